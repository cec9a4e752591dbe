/* UNIX sockets without the system calls: a stream against a queue of bytes, messages against a queue of
 * messages, every allocation failing once, cycles of sockets, and two CPUs at the two ends. */
#include "fs_fixture.h"
#include "inject.h"

#include <fs/poll.h>
#include <mm/frame.h>
#include <mm/heap.h>
#include <net/socket.h>

/* ---- Help ------------------------------------------------------------------------------------- */

/* As the gate does it: closes what it cannot give a file. */
static enum kerr file_for(struct socket *s, int flags, struct file **out)
{
	enum kerr err = socket_file(s, flags, out);

	if (err != KERR_OK) {
		s->ops->close(s);
		socket_put(s);
	}
	return err;
}

static enum kerr make(int type, int flags, struct file **out)
{
	struct socket *s;
	enum kerr err = socket_create(AF_UNIX, type, 0, &s);

	return err == KERR_OK ? file_for(s, flags, out) : err;
}

static enum kerr make_pair(int type, int flags, struct file *ends[2])
{
	struct socket *a, *b;
	enum kerr err = socket_create(AF_UNIX, type, 0, &a);

	if (err != KERR_OK)
		return err;
	err = socket_create(AF_UNIX, type, 0, &b);
	if (err != KERR_OK) {
		socket_put(a);
		return err;
	}
	EXPECT_OK(a->ops->pair(a, b));
	err = file_for(a, flags, &ends[0]);
	if (err != KERR_OK) {
		b->ops->close(b);
		socket_put(b);
		return err;
	}
	err = file_for(b, flags, &ends[1]);
	if (err != KERR_OK)
		file_put(ends[0]);
	return err;
}

static struct socket_address address_of(const char *name)
{
	struct socket_address a = {.family = AF_UNIX};

	strlcpy((char *)a.bytes + 2, name, 100);
	a.length = (uint32_t)(2 + strlen(name));
	if (name[0] == '@')
		a.bytes[2] = 0;
	return a;
}

static enum kerr send_files(struct file *f, struct file *const *files, uint32_t count,
			    const void *data, size_t size, size_t *done)
{
	const struct io_buffer b = {(vaddr_t)data, size, false};
	struct socket_message m = {
		.parts = &b, .part_count = 1, .size = size, .flags = MSG_DONTWAIT | MSG_NOSIGNAL};
	struct socket *s = socket_of(f);

	*done = 0;
	m.rights = rights_create(count);
	if (!m.rights)
		return KERR_NOMEM;
	for (uint32_t i = 0; i < count; i++) {
		file_get(files[i]);
		m.rights->files[m.rights->count++] = files[i];
	}
	enum kerr err = s->ops->send(s, &m, done);
	if (m.rights)
		rights_release(m.rights);
	return err;
}

/* *rights: the number of files that came along; they are put. */
static enum kerr receive(struct file *f, void *data, size_t size, unsigned flags, size_t *done,
			 uint32_t *rights)
{
	const struct io_buffer b = {(vaddr_t)data, size, false};
	struct socket_message m = {
		.parts = &b, .part_count = 1, .size = size, .flags = flags | MSG_DONTWAIT};
	struct socket *s = socket_of(f);
	enum kerr err = s->ops->receive(s, &m, done);

	*rights = m.rights ? m.rights->count : 0;
	if (m.rights)
		rights_release(m.rights);
	return err;
}

/* ---- A stream ----------------------------------------------------------------------------------- */

#define MODEL_MARKS 4096

/* Bytes are their positions' patterns; ranges that carry files, in order. */
static struct {
	uint64_t written, read;
	struct {
		uint64_t start, end;
		bool taken;
	} marks[MODEL_MARKS];
	size_t first, last;
} model;

/* How far a receive of `size` bytes goes, and whether files come with it. */
static size_t model_receive(size_t size, bool *with)
{
	uint64_t end = MIN(model.read + size, model.written);

	*with = false;
	for (size_t i = model.first; i < model.last; i++) {
		if (model.marks[i].start >= end)
			break;
		if (model.marks[i].taken)
			continue;
		*with = true;
		return MIN(end, model.marks[i].end) - model.read;
	}
	return end - model.read;
}

static void model_consume(size_t n)
{
	model.read += n;
	for (size_t i = model.first; i < model.last; i++)
		if (model.marks[i].start < model.read)
			model.marks[i].taken = true;
	while (model.first < model.last && model.marks[model.first].end <= model.read)
		model.first++;
}

static void stream_write(struct file *ends[2], size_t n, bool with, uint8_t *bytes)
{
	size_t done;

	for (size_t k = 0; k < n; k++)
		bytes[k] = fx_pattern(model.written + k);
	enum kerr err = with ? send_files(ends[0], ends, 1, bytes, n, &done)
			     : fx_put(ends[0], bytes, n, &done);
	EXPECT(err == KERR_OK ? done > 0 : err == KERR_AGAIN && done == 0);
	if (with && done) {
		model.marks[model.last].start = model.written;
		model.marks[model.last].end = model.written + done;
		model.marks[model.last++].taken = false;
	}
	model.written += done;
}

static void stream_read(struct file *f, size_t n, bool peek, uint8_t *bytes)
{
	uint32_t rights;
	size_t done;
	bool with;
	size_t want = model_receive(n, &with);

	EXPECT_EQ(receive(f, bytes, n, peek ? MSG_PEEK : 0, &done, &rights),
		  model.written > model.read ? KERR_OK : KERR_AGAIN);
	EXPECT_EQ(done, want);
	EXPECT_EQ(rights, with);
	for (size_t k = 0; k < done; k++)
		if (bytes[k] != fx_pattern(model.read + k)) {
			EXPECT_EQ(bytes[k], fx_pattern(model.read + k));
			break;
		}
	if (!peek)
		model_consume(done);
}

PROPERTY(unix_stream, 30)
{
	static uint8_t bytes[40000];
	struct file *ends[2];

	fixture_boot(nullptr);
	memset(&model, 0, sizeof(model));
	EXPECT_OK(make_pair(SOCK_STREAM, O_NONBLOCK, ends));
	for (int i = 0; i < 1500; i++) {
		size_t n = 1 + test_random_below(
				       random, test_random_below(random, 4) ? 300 : sizeof(bytes));
		if (test_random_below(random, 2))
			stream_write(ends, n, test_random_below(random, 5) == 0, bytes);
		else
			stream_read(ends[1], n, test_random_below(random, 4) == 0, bytes);
	}
	while (model.read < model.written && !test_failures())
		stream_read(ends[1], sizeof(bytes), false, bytes);
	file_put(ends[0]);
	file_put(ends[1]);
}

/* ---- Messages ----------------------------------------------------------------------------------- */

PROPERTY(unix_messages, 30)
{
	static uint8_t bytes[60000];
	static size_t sizes[4096];
	size_t first = 0, last = 0, done;
	uint64_t written = 0, read = 0;
	uint32_t rights;
	struct file *ends[2];

	fixture_boot(nullptr);
	EXPECT_OK(make_pair(test_random_below(random, 2) ? SOCK_DGRAM : SOCK_SEQPACKET, O_NONBLOCK,
			    ends));
	for (int i = 0; i < 1500; i++) {
		size_t n = test_random_below(random,
					     test_random_below(random, 4) ? 300 : sizeof(bytes));
		if (test_random_below(random, 2)) {
			for (size_t k = 0; k < n; k++)
				bytes[k] = fx_pattern(written + k);
			if (fx_put(ends[0], bytes, n, &done) != KERR_OK)
				continue;
			EXPECT_EQ(done, n);
			sizes[last++] = n;
			written += n;
			continue;
		}
		bool peek = test_random_below(random, 4) == 0;
		enum kerr err = receive(ends[1], bytes, n, MSG_TRUNC | (peek ? MSG_PEEK : 0), &done,
					&rights);
		EXPECT_EQ(err, first < last ? KERR_OK : KERR_AGAIN);
		if (err != KERR_OK)
			continue;
		EXPECT_EQ(done, sizes[first]);
		for (size_t k = 0; k < MIN(n, done); k++)
			if (bytes[k] != fx_pattern(read + k)) {
				EXPECT_EQ(bytes[k], fx_pattern(read + k));
				break;
			}
		read += peek ? 0 : done;
		first += !peek;
	}
	file_put(ends[0]);
	file_put(ends[1]);
}

/* ---- No memory ---------------------------------------------------------------------------------- */

static enum kerr meet(const char *name, struct file *l, struct file *c, struct file *f)
{
	struct socket *ls = socket_of(l), *cs = socket_of(c), *as;
	const struct socket_address a = address_of(name);
	struct file *accepted;
	size_t done;
	enum kerr err = ls->ops->bind(ls, &a);

	if (err == KERR_OK)
		err = ls->ops->listen(ls, 1);
	if (err == KERR_OK)
		err = cs->ops->connect(cs, &a, true);
	if (err == KERR_OK)
		err = send_files(c, &f, 1, "x", 1, &done);
	if (err != KERR_OK)
		return err;
	EXPECT_OK(ls->ops->accept(ls, true, &as));
	err = file_for(as, 0, &accepted);
	if (err == KERR_OK)
		file_put(accepted);
	return err;
}

static enum kerr meet_at(const char *name, int type, struct file *f)
{
	struct file *l, *c;
	enum kerr err = make(type, 0, &l);

	if (err != KERR_OK)
		return err;
	err = make(type, 0, &c);
	if (err == KERR_OK) {
		err = meet(name, l, c, f);
		file_put(c);
	}
	file_put(l);
	return err;
}

static enum kerr pass_messages(int type, struct file *f)
{
	static uint8_t bytes[150000];
	struct file *ends[2];
	uint32_t rights;
	size_t done;
	enum kerr err = make_pair(type, O_NONBLOCK, ends);

	if (err != KERR_OK)
		return err;
	err = send_files(ends[0], &f, 1, bytes, 10, &done);
	if (err == KERR_OK)
		err = send_files(ends[0], ends, 2, bytes, sizeof(bytes), &done);
	if (err == KERR_OK && done < sizeof(bytes))
		err = KERR_NOMEM; /* a stream tells it at the next write */
	if (err == KERR_OK)
		err = receive(ends[1], bytes, 10, MSG_PEEK, &done, &rights);
	if (err == KERR_OK) {
		EXPECT_OK(receive(ends[1], bytes, 10, 0, &done, &rights));
		EXPECT_EQ(rights, 1);
	}
	file_put(ends[0]);
	file_put(ends[1]);
	return err;
}

static enum kerr do_all(struct file *f)
{
	enum kerr err = pass_messages(SOCK_STREAM, f);

	if (err == KERR_OK)
		err = pass_messages(SOCK_DGRAM, f);
	if (err == KERR_OK)
		err = pass_messages(SOCK_SEQPACKET, f);
	if (err == KERR_OK)
		err = meet_at("/node", SOCK_STREAM, f);
	if (err == KERR_OK)
		err = meet_at("@name", SOCK_SEQPACKET, f);
	memory_fail_in = 0;
	struct file *any; /* closing one collects sockets that were sent to themselves */
	EXPECT_OK(make(SOCK_STREAM, 0, &any));
	file_put(any);
	/* The second one leaves the same entry in the cache whatever came before. */
	for (int i = 0; i < 2; i++) {
		enum kerr ignored = fx_unlink("/node");
		(void)ignored;
	}
	fx_settle();
	return err;
}

TEST(unix_no_memory)
{
	struct file *f;

	fixture_boot(nullptr);
	EXPECT_OK(vfs_open(nullptr, "/f", O_RDWR | O_CREAT, 0600, &f));
	EXPECT_OK(do_all(f));
	uint64_t used = heap_stats().used;
	int failed = 0;
	for (int n = 1; n < 2000; n++) {
		memory_fail_in = n;
		enum kerr err = do_all(f);
		failed += err != KERR_OK;
		if (!EXPECT(err == KERR_OK || err == KERR_NOMEM || err == KERR_NOBUFS) ||
		    !EXPECT_EQ(heap_stats().used, used) || !EXPECT_EQ(f->references, 1))
			break;
		if (err == KERR_OK && n > 300)
			break;
	}
	EXPECT(failed > 20);
	file_put(f);
}

/* ---- Cycles ------------------------------------------------------------------------------------- */

TEST(unix_cycles)
{
	struct file *p[2], *q[2], *l, *c;
	size_t done;

	fixture_boot(nullptr);
	uint64_t used = 0;
	for (int i = 0; i < 50; i++) {
		/* Each pair in the queues of the other. */
		EXPECT_OK(make_pair(SOCK_STREAM, 0, p));
		EXPECT_OK(make_pair(SOCK_DGRAM, 0, q));
		EXPECT_OK(send_files(p[0], q, 2, "d", 1, &done));
		EXPECT_OK(send_files(q[0], p, 2, "d", 1, &done));
		EXPECT_OK(send_files(q[1], p, 2, "d", 1, &done));
		for (int k = 0; k < 2; k++) {
			file_put(p[k]);
			file_put(q[k]);
		}
		/* A listener in the queue of an embryo of its own. */
		struct socket_address a = address_of("@cycle");
		EXPECT_OK(make(SOCK_STREAM, 0, &l));
		EXPECT_OK(make(SOCK_STREAM, 0, &c));
		EXPECT_OK(socket_of(l)->ops->bind(socket_of(l), &a));
		EXPECT_OK(socket_of(l)->ops->listen(socket_of(l), 3));
		EXPECT_OK(socket_of(c)->ops->connect(socket_of(c), &a, false));
		EXPECT_OK(send_files(c, (struct file *[]){l, c}, 2, "d", 1, &done));
		file_put(l);
		file_put(c);
		EXPECT_OK(make(SOCK_STREAM, 0, &c)); /* closing any collects */
		file_put(c);
		fx_settle();
		if (i == 0)
			used = heap_stats().used;
		if (!EXPECT_EQ(heap_stats().used, used))
			break;
	}
}

/* ---- Two CPUs ------------------------------------------------------------------------------------ */

static struct {
	struct file *ends[2];
	uint64_t total;
} shared;

static void both_ends(cpu_t cpu, void *arg)
{
	fx_stream(cpu, shared.ends[0], shared.ends[1], shared.total);
	/* Both ends go at the same time. */
	file_put(shared.ends[cpu]);
}

static void run_two(struct host_config config, int type)
{
	fixture_boot(&config);
	EXPECT_OK(make_pair(type, 0, shared.ends));
	shared.total = 400000;
	if (type != SOCK_STREAM)
		shared.total = 100000;
	test_on_all_cpus(both_ends, nullptr);
}

TEST(unix_stream_between_two_simulated_cpus)
{
	run_two((struct host_config){.cpus = 2, .interleave = 12, .seed = test_seed()},
		SOCK_STREAM);
}

TEST(unix_stream_between_two_threads)
{
	run_two((struct host_config){.cpus = 2, .mode = HOST_THREADS}, SOCK_STREAM);
}

/* ---- Anything, on four CPUs ----------------------------------------------------------------------- */

#define SLOTS 8

static struct spinlock slots_lock = SPINLOCK_INIT(RANK_FILES, "slots");
static struct file *slots[SLOTS]; /* (slots_lock) */

static struct file *slot_get(struct test_random *r)
{
	spin_lock(&slots_lock);
	struct file *f = slots[test_random_below(r, SLOTS)];
	if (f)
		file_get(f);
	spin_unlock(&slots_lock);
	return f;
}

static void slot_set(struct test_random *r, struct file *f)
{
	size_t n = test_random_below(r, SLOTS);

	spin_lock(&slots_lock);
	struct file *old = slots[n];
	slots[n] = f;
	spin_unlock(&slots_lock);
	if (old)
		file_put(old);
}

static void new_ones(struct test_random *r)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	const int type = types[test_random_below(r, 3)];
	const struct socket_address a = address_of(test_random_below(r, 2) ? "@a" : "/b");
	struct file *ends[2];

	if (test_random_below(r, 2)) {
		EXPECT_OK(make_pair(type, 0, ends));
		slot_set(r, ends[1]);
	} else {
		EXPECT_OK(make(type, 0, &ends[0]));
		struct socket *s = socket_of(ends[0]);
		enum kerr err = s->ops->bind(s, &a);
		if (err == KERR_OK && s->ops->listen)
			EXPECT_OK(s->ops->listen(s, 1));
	}
	slot_set(r, ends[0]);
}

static void use_one(struct test_random *r, struct file *f, struct file *other)
{
	static const char bytes[3000];
	char in[3000];
	struct socket *s = socket_of(f), *accepted;
	const struct socket_address a = address_of(test_random_below(r, 2) ? "@a" : "/b");
	struct file *accepted_file;
	enum kerr err = KERR_OK;
	uint32_t rights, queued;
	size_t done, size = 1 + test_random_below(r, sizeof(in));

	switch (test_random_below(r, 10)) {
	case 0:
	case 1:
		err = send_files(f, &other, 1, bytes, size, &done);
		break;
	case 2:
	case 3:
		err = receive(f, in, size, test_random_below(r, 3) ? 0 : MSG_PEEK, &done, &rights);
		break;
	case 4:
		err = s->ops->connect(s, &a, true);
		break;
	case 5:
		if (!s->ops->accept || s->ops->accept(s, true, &accepted) != KERR_OK)
			break;
		err = file_for(accepted, 0, &accepted_file);
		if (err == KERR_OK)
			slot_set(r, accepted_file);
		break;
	case 6:
		if (test_random_below(r, 5) == 0)
			err = s->ops->shutdown(s, 1 + (unsigned)test_random_below(r, 3));
		break;
	case 7:
		file_poll(f, nullptr);
		err = s->ops->queued(s, test_random_below(r, 2), &queued);
		break;
	case 8:
		err = fx_unlink("/b");
		break;
	default:
		slot_set(r, nullptr);
		break;
	}
	(void)err;
}

static void anything(cpu_t cpu, void *arg)
{
	struct test_random random = {test_seed() * 4 + cpu};

	fixture_enter(cpu);
	for (int i = 0; i < 4000; i++) {
		struct file *f = slot_get(&random), *other = slot_get(&random);
		if (!f || test_random_below(&random, 20) == 0)
			new_ones(&random);
		else if (other)
			use_one(&random, f, other);
		if (f)
			file_put(f);
		if (other)
			file_put(other);
	}
}

static void run_anything(struct host_config config)
{
	struct file *f;

	fixture_boot(&config);
	test_on_all_cpus(anything, nullptr);
	for (size_t i = 0; i < SLOTS; i++)
		if (slots[i])
			file_put(slots[i]);
	EXPECT_OK(make(SOCK_STREAM, 0, &f));
	file_put(f);
	fx_settle();
	/* All are gone: only the heading is left. */
	char text[2000];
	EXPECT_OK(fx_mkdir("/proc"));
	EXPECT_OK(fx_mount("proc", "/proc", ""));
	EXPECT_OK(fx_read("/proc/1/net/unix", text, sizeof(text)));
	EXPECT_EQ(strchr(text, '\n') - text + 1, strlen(text));
}

TEST(unix_anything_on_simulated_cpus)
{
	run_anything((struct host_config){.cpus = 4, .interleave = 10, .seed = test_seed()});
}

TEST(unix_anything_on_threads)
{
	run_anything((struct host_config){.cpus = 4, .mode = HOST_THREADS});
}
