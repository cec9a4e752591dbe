/* epoll against a model, with every allocation failing, and between two CPUs; eventfd and poll beside it. */
#include "fs_fixture.h"

#include <fs/poll.h>
#include <ipc/epoll.h>
#include <ipc/event.h>
#include <ipc/pipe.h>
#include <mm/heap.h>

#include "inject.h"

static enum kerr event_write(struct file *f, uint64_t value)
{
	size_t done;

	return file_write(f, &(struct io_buffer){(vaddr_t)&value, sizeof(value), false}, &done);
}

static enum kerr event_read(struct file *f, uint64_t *value)
{
	size_t done;

	return file_read(f, &(struct io_buffer){(vaddr_t)value, sizeof(*value), false}, &done);
}

struct collected {
	size_t count;
	struct epoll_event events[64];
	size_t fail_at; /* this one cannot be handed out; 0: all can */
};

static enum kerr emit(void *arg, const struct epoll_event *event)
{
	struct collected *c = arg;

	if (c->fail_at && c->count + 1 == c->fail_at)
		return KERR_FAULT;
	c->events[c->count++] = *event;
	return KERR_OK;
}

static size_t collect(struct file *ep, size_t max, struct collected *c)
{
	size_t count;

	*c = (struct collected){};
	EXPECT_OK(epoll_collect(ep, max, 0, emit, c, &count));
	EXPECT_EQ(count, c->count);
	return count;
}

/* ---- Against a model ----------------------------------------------------------------------------- */

#define FILES 12

struct expected {
	struct file *file;
	uint64_t count;
	bool added, armed, edge; /* edge: something happened that was not told yet */
	uint32_t events;
};

static bool model_tells(const struct expected *m)
{
	if (!m->added || !m->armed || !(m->events & POLL_IN) || m->count == 0)
		return false;
	return m->events & EPOLL_EDGE ? m->edge : true;
}

static void model_step(struct file *ep, struct expected *m, int fd, struct test_random *random)
{
	static const uint32_t modes[] = {0, EPOLL_EDGE, EPOLL_ONESHOT, EPOLL_EDGE | EPOLL_ONESHOT};
	struct epoll_event event = {.events = (test_random_below(random, 5) ? POLL_IN : 0) |
					      modes[test_random_below(random, 4)],
				    .data = (uint64_t)fd};
	uint64_t value = test_random_below(random, 3);
	enum kerr err;

	switch (test_random_below(random, 6)) {
	case 0:
		err = epoll_control(ep, EPOLL_ADD, fd, m->file, &event);
		EXPECT_EQ(err, m->added ? KERR_EXIST : KERR_OK);
		break;
	case 1:
		err = epoll_control(ep, EPOLL_MODIFY, fd, m->file, &event);
		EXPECT_EQ(err, m->added ? KERR_OK : KERR_NOENT);
		break;
	case 2:
		err = epoll_control(ep, EPOLL_DELETE, fd, m->file, nullptr);
		EXPECT_EQ(err, m->added ? KERR_OK : KERR_NOENT);
		m->added = false;
		return;
	case 3:
		err = event_read(m->file, &value);
		EXPECT_EQ(err, m->count ? KERR_OK : KERR_AGAIN);
		m->count = 0;
		return;
	default:
		EXPECT_OK(event_write(m->file, value));
		m->count += value;
		m->edge = true;
		return;
	}
	if (err == KERR_OK) {
		m->added = m->armed = m->edge = true;
		m->events = event.events;
	}
}

static void model_compare(struct file *ep, struct expected *models)
{
	struct collected c;
	size_t expected = 0;

	for (int i = 0; i < FILES; i++)
		expected += model_tells(&models[i]);
	EXPECT_EQ(collect(ep, 64, &c), expected);
	for (size_t i = 0; i < c.count; i++) {
		EXPECT(c.events[i].data < FILES);
		EXPECT(model_tells(&models[c.events[i].data]));
		EXPECT_EQ(c.events[i].events, POLL_IN);
	}
	for (int i = 0; i < FILES; i++) {
		if (model_tells(&models[i]) && models[i].events & EPOLL_ONESHOT)
			models[i].armed = false;
		models[i].edge = false; /* told, or found to be nothing */
	}
}

PROPERTY(epoll_model, 40)
{
	struct expected models[FILES] = {};
	struct file *ep;

	fixture_boot(nullptr);
	EXPECT_OK(epoll_file_create(&ep));
	for (int i = 0; i < FILES; i++)
		EXPECT_OK(eventfd_create(0, false, O_NONBLOCK, &models[i].file));
	for (int step = 0; step < 600; step++) {
		int i = (int)test_random_below(random, FILES);
		model_step(ep, &models[i], i, random);
		if (test_random_below(random, 3) == 0)
			model_compare(ep, models);
		if (test_random_below(random, 40) ==
		    0) { /* a new file: the watch of the old one ends */
			file_put(models[i].file);
			models[i] = (struct expected){};
			EXPECT_OK(eventfd_create(0, false, O_NONBLOCK, &models[i].file));
		}
	}
	bool ep_first = test_random_below(random, 2);
	if (ep_first)
		file_put(ep);
	for (int i = 0; i < FILES; i++)
		file_put(models[i].file);
	if (!ep_first)
		file_put(ep);
	fx_settle();
}

TEST(epoll_takes_turns)
{
	struct file *ep, *files[10];
	unsigned turns[10] = {};
	struct collected c;

	fixture_boot(nullptr);
	EXPECT_OK(epoll_file_create(&ep));
	for (int i = 0; i < 10; i++) {
		EXPECT_OK(eventfd_create(1, false, O_NONBLOCK, &files[i]));
		struct epoll_event event = {POLL_IN, (uint64_t)i};
		EXPECT_OK(epoll_control(ep, EPOLL_ADD, i, files[i], &event));
	}
	for (int round = 0; round < 20; round++) {
		EXPECT_EQ(collect(ep, 3, &c), 3);
		for (int i = 0; i < 3; i++)
			turns[c.events[i].data]++;
	}
	for (int i = 0; i < 10; i++)
		EXPECT_EQ(turns[i], 6);
	/* What cannot be handed out stays. */
	for (size_t at = 1; at <= 4; at++) {
		c = (struct collected){.fail_at = at};
		size_t count;
		enum kerr err = epoll_collect(ep, 64, 0, emit, &c, &count);
		EXPECT_EQ(err, at == 1 ? KERR_FAULT : KERR_OK);
		EXPECT_EQ(count, at - 1);
		EXPECT_EQ(collect(ep, 64, &c), 10);
	}
	for (int i = 0; i < 10; i++)
		file_put(files[i]);
	EXPECT_EQ(collect(ep, 64, &c), 0);
	file_put(ep);
}

/* ---- Nesting -------------------------------------------------------------------------------------- */

static enum kerr nest(struct file *outer, struct file *inner)
{
	return epoll_control(outer, EPOLL_ADD, 0, inner, &(struct epoll_event){POLL_IN, 0});
}

/* Wide nets of epolls are refused before an event has too many ways up, in whatever order they are made. */
static void wide_net(bool from_above)
{
	struct file *layers[4][30];
	unsigned added = 0, refused = 0;

	for (int l = 0; l < 4; l++)
		for (int i = 0; i < 30; i++)
			EXPECT_OK(epoll_file_create(&layers[l][i]));
	for (int step = 1; step < 4; step++)
		for (int i = 0; i < 900; i++) {
			int l = from_above ? 4 - step : step;
			enum kerr err = nest(layers[l][i / 30], layers[l - 1][i % 30]);
			EXPECT(err == KERR_OK || err == KERR_INVAL);
			added += err == KERR_OK;
			refused += err == KERR_INVAL;
		}
	EXPECT(added > 30 && refused > 30);
	EXPECT(added < 2000);
	if (!from_above)
		EXPECT_EQ(nest(layers[0][0], layers[1][0]), KERR_LOOP);
	for (int i = 0; i < 30; i++)
		for (int l = 0; l < 4; l++)
			file_put(layers[l][i]);
}

TEST(epoll_paths_are_bounded)
{
	fixture_boot(nullptr);
	wide_net(false);
	wide_net(true);
	fx_settle();
}

/* ---- Memory --------------------------------------------------------------------------------------- */

/* A file whose poll op names more queues than an item has room for. */
static struct waitq many_queues[5];
static unsigned many_events;

static unsigned many_poll(struct file *f, struct poll_table *table)
{
	for (int i = 0; i < 5; i++)
		poll_wait(table, &many_queues[i]);
	return many_events;
}

static enum kerr many_queues_create(struct file **out)
{
	static const struct file_ops ops = {.poll = many_poll};
	struct file *null;
	enum kerr err = vfs_open(nullptr, "/many", O_RDWR | O_CREAT, 0600, &null);

	if (err != KERR_OK)
		return err;
	inode_get(null->inode);
	err = file_create(null->inode, &ops, O_RDWR, out);
	if (err != KERR_OK)
		inode_put(null->inode);
	file_put(null);
	for (int i = 0; i < 5; i++)
		waitq_init(&many_queues[i]);
	return err;
}

TEST(epoll_hangs_on_every_queue)
{
	struct epoll_event event = {POLL_IN | EPOLL_EDGE, 3};
	struct file *ep, *f;
	struct collected c;

	fixture_boot(nullptr);
	EXPECT_OK(epoll_file_create(&ep));
	EXPECT_OK(many_queues_create(&f));
	EXPECT_OK(epoll_control(ep, EPOLL_ADD, 3, f, &event));
	many_events = POLL_IN;
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(collect(ep, 8, &c), 0);
		wake_all(&many_queues[i]);
		EXPECT_EQ(collect(ep, 8, &c), 1);
	}
	EXPECT_OK(epoll_control(ep, EPOLL_DELETE, 3, f, nullptr));
	for (int i = 0; i < 5; i++)
		EXPECT(list_empty(&many_queues[i].waiters));
	many_events = 0;
	file_put(f);
	file_put(ep);
}

/* One watch of each kind; what fails leaves nothing behind. */
static enum kerr everything(void)
{
	struct file *files[7] = {};
	struct epoll_event event = {POLL_IN | POLL_OUT, 1};
	struct poll_item items[1] = {{.fd = -1}};
	struct poll_result result;
	enum kerr err = epoll_file_create(&files[0]);

	if (err == KERR_OK)
		err = eventfd_create(0, false, 0, &files[1]);
	if (err == KERR_OK)
		err = timerfd_create(false, 0, &files[2]);
	if (err == KERR_OK)
		err = signalfd_create(~0ull, 0, &files[3]);
	if (err == KERR_OK)
		err = ipc_pipe_create(&files[4], &files[5], 0);
	if (err == KERR_OK)
		err = many_queues_create(&files[6]);
	for (int i = 1; i < 7 && err == KERR_OK; i++) {
		err = epoll_control(files[0], EPOLL_ADD, i, files[i], &event);
		if (err != KERR_OK)
			EXPECT_EQ(epoll_control(files[0], EPOLL_DELETE, i, files[i], nullptr),
				  KERR_NOENT);
	}
	if (err == KERR_OK)
		err = fd_poll(items, 1, 0, &result);
	for (int i = 0; i < 7; i++)
		if (files[i])
			file_put(files[i]);
	return err;
}

TEST(epoll_nth_allocation_fails)
{
	fixture_boot(nullptr);
	EXPECT_OK(everything()); /* fills the slabs */
	fx_settle();
	for (int n = 1; n < 60; n++) {
		size_t before = heap_stats().used;
		memory_fail_in = n;
		enum kerr err = everything();
		bool came = memory_fail_in == 0;
		memory_fail_in = 0;
		EXPECT_EQ(err, came ? KERR_NOMEM : KERR_OK);
		fx_settle();
		EXPECT_EQ(heap_stats().used, before);
		if (!came)
			return;
	}
	EXPECT(false);
}

/* ---- Two CPUs ------------------------------------------------------------------------------------- */

#define ROUNDS 3000

static struct {
	struct file *ep, *events[4];
} shared;

/* CPU 0 writes; CPU 1 waits for edges. Each write must be seen. */
static void writer(void)
{
	struct test_random random = {test_seed()};

	for (int i = 0; i < ROUNDS; i++)
		EXPECT_OK(event_write(shared.events[test_random_below(&random, 4)], 1));
}

static void waiter(void)
{
	uint64_t seen = 0, value;
	struct collected c;
	size_t count;

	while (seen < ROUNDS) {
		c = (struct collected){};
		EXPECT_OK(epoll_collect(shared.ep, 2, time_now() + 20 * NSEC_PER_SEC, emit, &c,
					&count));
		EXPECT(count > 0);
		if (count == 0)
			return;
		for (size_t i = 0; i < count; i++)
			if (event_read(shared.events[c.events[i].data], &value) == KERR_OK)
				seen += value;
	}
	EXPECT_EQ(seen, ROUNDS);
}

/* Both add, take out and close files of their own, at one epoll. */
static void churn(cpu_t cpu, void *arg)
{
	struct test_random random = {test_seed() + cpu};
	struct collected c;

	for (int i = 0; i < 300; i++) {
		struct file *f, *other = shared.events[test_random_below(&random, 4)];
		struct epoll_event event = {POLL_IN | POLL_OUT, 9};
		EXPECT_OK(eventfd_create(1, false, O_NONBLOCK, &f));
		EXPECT_OK(epoll_control(shared.ep, EPOLL_ADD, (int)cpu, f, &event));
		enum kerr err = epoll_control(shared.ep, EPOLL_ADD, 7, other, &event);
		EXPECT(err == KERR_OK || err == KERR_EXIST);
		EXPECT_OK(event_write(other, 1));
		collect(shared.ep, 3, &c);
		err = epoll_control(shared.ep, EPOLL_DELETE, 7, other, nullptr);
		EXPECT(err == KERR_OK || err == KERR_NOENT);
		file_put(f);
	}
}

static void both(cpu_t cpu, void *arg)
{
	fixture_enter(cpu);
	if (cpu == 0)
		writer();
	else
		waiter();
}

static void run_two(struct host_config config)
{
	fixture_boot(&config);
	EXPECT_OK(epoll_file_create(&shared.ep));
	for (uint64_t i = 0; i < 4; i++) {
		EXPECT_OK(eventfd_create(0, false, O_NONBLOCK, &shared.events[i]));
		struct epoll_event event = {POLL_IN | EPOLL_EDGE, i};
		EXPECT_OK(epoll_control(shared.ep, EPOLL_ADD, (int)i, shared.events[i], &event));
	}
	test_on_all_cpus(both, nullptr);
	test_on_all_cpus(churn, nullptr);
	file_put(shared.ep);
	for (int i = 0; i < 4; i++)
		file_put(shared.events[i]);
}

TEST(epoll_between_two_simulated_cpus)
{
	run_two((struct host_config){.cpus = 2, .interleave = 12, .seed = test_seed()});
}

TEST(epoll_between_two_threads)
{
	run_two((struct host_config){.cpus = 2, .mode = HOST_THREADS});
}
