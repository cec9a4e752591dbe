/*
 * The address space against a model: mapmodel THREADS STEPS [hog]. Each thread has a range of pages, a file and
 * a few shared objects of its own, and maps, writes, protects, splits, moves, copies, advises, locks,
 * forks and unmaps in it at random; what each page holds and allows is what the model says, down to si_code
 * and si_addr of a refused access. With `hog` another program takes all memory there is over and over.
 *
 * A call may fail for want of memory (ENOMEM): then the thread's range is unmapped and the model begins
 * anew; how often is told. Private pages that were freed lazily may have become zeroes. All of it
 * holds on Linux.
 */
#define _GNU_SOURCE
#include "numbers.h"
#include "tap.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define PAGE 4096ul
#define PAGES 160u
#define FILE_PAGES 48u
#define OBJECTS 3u
#define THREADS_MAX 8
#define RW (PROT_READ | PROT_WRITE)

enum kind { NONE, ANON, PRIVATE_FILE, SHARED_FILE, SHARED_ANON };

struct page {
	uint8_t kind, prot, object;
	bool own, lazy, locked, no_fork, wipe;
	uint16_t index;
	uint32_t value; /* own contents */
};

struct thread {
	pthread_t id;
	unsigned number;
	uint64_t random, steps, restarts, forks;
	char *base;
	int fd;
	struct page page[PAGES];
	uint32_t file[FILE_PAGES], object[OBJECTS][FILE_PAGES];
	bool failed;
	char why[160];
};

static struct thread threads[THREADS_MAX];
static unsigned long total_steps;
static pthread_barrier_t all_there;
static bool pressure; /* somebody else takes all memory */
static __thread sigjmp_buf escape;
static __thread volatile int fault_signal, fault_code;
static __thread void *volatile fault_address;

static uint64_t next(struct thread *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random;
}

static unsigned below(struct thread *t, unsigned n)
{
	return (unsigned)((next(t) >> 11) % n);
}

#define FAIL(t, ...)                                                                               \
	do {                                                                                       \
		if (!(t)->failed)                                                                  \
			snprintf((t)->why, sizeof((t)->why), __VA_ARGS__);                         \
		(t)->failed = true;                                                                \
	} while (0)

/* ---- Contents ------------------------------------------------------------------------------------- */

static char *at(struct thread *t, unsigned page)
{
	return t->base + page * PAGE;
}

/* Two words of each page, which depend on its value; 0 is a page of zeroes. */
static uint64_t first_word(uint32_t v)
{
	return v * 0x9e3779b97f4a7c15u;
}

static uint64_t last_word(uint32_t v)
{
	return v * 0xc2b2ae3d27d4eb4fu;
}

static uint32_t *shared_value(struct thread *t, const struct page *p)
{
	return p->kind == SHARED_ANON ? &t->object[p->object][p->index] : &t->file[p->index];
}

static uint32_t value_of(struct thread *t, const struct page *p)
{
	if (p->kind == ANON || (p->kind == PRIVATE_FILE && p->own))
		return p->value;
	return *shared_value(t, p);
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
	fault_signal = signo;
	fault_code = info->si_code;
	fault_address = info->si_addr;
	siglongjmp(escape, 1);
}

static bool write_page(char *p, uint32_t v)
{
	if (sigsetjmp(escape, 0))
		return false;
	((volatile uint64_t *)p)[0] = first_word(v);
	((volatile uint64_t *)p)[511] = last_word(v);
	return true;
}

static bool read_page(char *p, uint64_t *first, uint64_t *last)
{
	if (sigsetjmp(escape, 0))
		return false;
	*first = ((volatile uint64_t *)p)[0];
	*last = ((volatile uint64_t *)p)[511];
	return true;
}

/* The access failed: rightly, and as it should? */
static void check_refused(struct thread *t, unsigned n, bool write)
{
	const struct page *p = &t->page[n];
	int code = p->kind == NONE ? SEGV_MAPERR : SEGV_ACCERR;
	bool right = p->kind == NONE || !(p->prot & (write ? PROT_WRITE : PROT_READ));

	/* Pages of files stop a little before memory does. */
	if (pressure && fault_signal == SIGBUS && fault_code == BUS_ADRERR &&
	    (p->kind == PRIVATE_FILE || p->kind == SHARED_FILE) && !p->own)
		return;
	if (!right || fault_signal != SIGSEGV || fault_code != code || fault_address != at(t, n))
		FAIL(t,
		     "step %lu: %s of page %u (kind %u, prot %u): signal %d, code %d, address %p",
		     t->steps, write ? "write" : "read", n, p->kind, p->prot, fault_signal,
		     fault_code, fault_address);
}

static void check_page(struct thread *t, unsigned n)
{
	struct page *p = &t->page[n];
	uint64_t first, last;

	if (!read_page(at(t, n), &first, &last)) {
		check_refused(t, n, false);
		return;
	}
	uint32_t v = p->kind == NONE ? 0 : value_of(t, p);
	if (p->lazy && !first && !last) {
		p->value = 0;
		return;
	}
	if (p->kind == NONE || !(p->prot & PROT_READ) || first != first_word(v) ||
	    last != last_word(v))
		FAIL(t, "step %lu: page %u (kind %u, prot %u, own %d) holds %lx %lx, not %lx %lx",
		     t->steps, n, p->kind, p->prot, p->own, (long)first, (long)last,
		     (long)first_word(v), (long)last_word(v));
}

static void do_write(struct thread *t, unsigned n)
{
	struct page *p = &t->page[n];
	uint32_t v = (uint32_t)next(t) | 1;

	if (!write_page(at(t, n), v)) {
		check_refused(t, n, true);
		return;
	}
	if (p->kind == NONE || !(p->prot & PROT_WRITE)) {
		FAIL(t, "step %lu: page %u (kind %u, prot %u) could be written", t->steps, n,
		     p->kind, p->prot);
	} else if (p->kind == ANON || p->kind == PRIVATE_FILE) {
		p->own = true;
		p->lazy = false;
		p->value = v;
	} else {
		*shared_value(t, p) = v;
	}
}

/* ---- Operations: 0, or the error number that was not expected ------------------------------------------ */

static void some_range(struct thread *t, unsigned *first, unsigned *count)
{
	*first = below(t, PAGES);
	unsigned most = PAGES - *first < 24 ? PAGES - *first : 24;
	*count = 1 + below(t, most);
}

static unsigned some_prot(struct thread *t)
{
	static const uint8_t choice[] = {PROT_NONE, PROT_READ, RW, RW, RW, PROT_READ | PROT_EXEC};
	return choice[below(t, sizeof(choice))];
}

/* Whether the pages are one mapping without holes, in one state, so that Linux has one region. */
static bool uniform(struct thread *t, unsigned first, unsigned count)
{
	for (unsigned i = first + 1; i < first + count; i++) {
		const struct page *a = &t->page[i - 1], *b = &t->page[i];
		if (a->kind != b->kind || a->prot != b->prot || a->locked != b->locked ||
		    a->no_fork != b->no_fork || a->wipe != b->wipe ||
		    (a->kind != ANON && (a->object != b->object || a->index + 1 != b->index)))
			return false;
	}
	return t->page[first].kind != NONE;
}

static unsigned mapped_pages(struct thread *t, unsigned first, unsigned count)
{
	unsigned n = 0;
	while (n < count && t->page[first + n].kind != NONE)
		n++;
	return n;
}

static bool object_free(struct thread *t, unsigned object)
{
	for (unsigned i = 0; i < PAGES; i++)
		if (t->page[i].kind == SHARED_ANON && t->page[i].object == object)
			return false;
	return true;
}

static int do_map(struct thread *t)
{
	unsigned first, count, prot = some_prot(t), index = 0, object = 0;
	enum kind kind = ANON + (enum kind)below(t, 4);
	int flags = MAP_FIXED, fd = -1;

	some_range(t, &first, &count);
	if (kind == SHARED_ANON) {
		object = below(t, OBJECTS);
		if (!object_free(t, object))
			return 0;
		flags |= MAP_SHARED | MAP_ANONYMOUS;
	} else if (kind == ANON) {
		flags |= MAP_PRIVATE | MAP_ANONYMOUS | (below(t, 8) ? 0 : MAP_POPULATE) |
			 (below(t, 8) ? 0 : MAP_NORESERVE);
	} else {
		index = below(t, FILE_PAGES - 24);
		fd = t->fd;
		flags |= kind == SHARED_FILE ? MAP_SHARED : MAP_PRIVATE;
	}
	if (mmap(at(t, first), count * PAGE, (int)prot, flags, fd, (off_t)(index * PAGE)) ==
	    MAP_FAILED)
		return errno;
	if (kind == SHARED_ANON)
		memset(t->object[object], 0, sizeof(t->object[object]));
	for (unsigned i = 0; i < count; i++)
		t->page[first + i] = (struct page){.kind = (uint8_t)kind,
						   .prot = (uint8_t)prot,
						   .object = (uint8_t)object,
						   .index = (uint16_t)(index + i)};
	return 0;
}

static int do_unmap(struct thread *t)
{
	unsigned first, count;

	some_range(t, &first, &count);
	if (munmap(at(t, first), count * PAGE))
		return errno;
	memset(&t->page[first], 0, count * sizeof(t->page[0]));
	return 0;
}

/* A call on a range that does what comes before a hole and then says ENOMEM. It says the same if there
 * was no memory for what comes before: under pressure the caller has that done once more, without a
 * hole. */
static int expect_hole(int result, bool hole)
{
	int err = result ? errno : 0;
	return hole ? (err == ENOMEM ? 0 : err ? err : EPROTO) : err;
}

static int do_protect(struct thread *t)
{
	unsigned first, count, prot = some_prot(t);

	some_range(t, &first, &count);
	unsigned whole = mapped_pages(t, first, count);
	int err = expect_hole(mprotect(at(t, first), count * PAGE, (int)prot), whole < count);
	if (!err && pressure && whole && whole < count &&
	    mprotect(at(t, first), whole * PAGE, (int)prot))
		return errno;
	for (unsigned i = 0; !err && i < whole; i++)
		t->page[first + i].prot = (uint8_t)prot;
	return err;
}

static void discard(struct page *p)
{
	p->own = p->lazy = false;
	p->value = 0;
}

static int do_discard(struct thread *t)
{
	unsigned first, count;
	bool locked = false;

	some_range(t, &first, &count);
	for (unsigned i = 0; i < count; i++)
		locked |= t->page[first + i].locked;
	if (locked) /* Linux stops somewhere */
		return 0;
	bool hole = mapped_pages(t, first, count) < count;
	int err = expect_hole(madvise(at(t, first), count * PAGE, MADV_DONTNEED), hole);
	for (unsigned i = 0, n; !err && pressure && hole && i < count; i += n + 1) {
		n = mapped_pages(t, first + i, count - i);
		if (n && madvise(at(t, first + i), n * PAGE, MADV_DONTNEED))
			return errno;
	}
	for (unsigned i = 0; !err && i < count; i++)
		if (t->page[first + i].kind == ANON || t->page[first + i].kind == PRIVATE_FILE)
			discard(&t->page[first + i]);
	return err;
}

static int do_lazy(struct thread *t)
{
	unsigned first, count;

	some_range(t, &first, &count);
	for (unsigned i = 0; i < count; i++)
		if (t->page[first + i].kind != ANON || t->page[first + i].locked)
			return 0;
	if (madvise(at(t, first), count * PAGE, MADV_FREE))
		return errno;
	for (unsigned i = 0; i < count; i++)
		t->page[first + i].lazy = t->page[first + i].own;
	return 0;
}

/* A hole in a shared object, by the mapping or by the file. */
static int do_punch(struct thread *t)
{
	unsigned first, count;

	some_range(t, &first, &count);
	count = count < 6 ? count : 6;
	const struct page *p = &t->page[first];
	if (!uniform(t, first, count) || p->kind < SHARED_FILE || p->locked)
		return 0;
	if (madvise(at(t, first), count * PAGE, MADV_REMOVE))
		return errno;
	for (unsigned i = 0; i < count; i++)
		*shared_value(t, &t->page[first + i]) = 0;
	return 0;
}

static int do_file_punch(struct thread *t)
{
	unsigned index = below(t, FILE_PAGES - 4), count = 1 + below(t, 4);

	if (fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(index * PAGE),
		      (off_t)(count * PAGE)))
		return errno;
	memset(&t->file[index], 0, count * sizeof(t->file[0]));
	return 0;
}

static int do_file_write(struct thread *t)
{
	unsigned index = below(t, FILE_PAGES);
	uint32_t v = (uint32_t)next(t) | 1;
	const uint64_t first = first_word(v), last = last_word(v);

	if (pwrite(t->fd, &first, 8, (off_t)(index * PAGE)) != 8)
		return pressure && errno == ENOSPC ? 0 : errno;
	if (pwrite(t->fd, &last, 8, (off_t)(index * PAGE + 511 * 8)) != 8)
		return errno;
	t->file[index] = v;
	return 0;
}

static int do_advise(struct thread *t)
{
	static const int advice[] = {MADV_DONTFORK,   MADV_DOFORK,   MADV_WIPEONFORK,
				     MADV_KEEPONFORK, MADV_WILLNEED, MADV_NORMAL};
	unsigned first, count, which = below(t, 6);

	some_range(t, &first, &count);
	if (mapped_pages(t, first, count) < count)
		return 0;
	for (unsigned i = 0; i < count; i++)
		if (advice[which] == MADV_WIPEONFORK && t->page[first + i].kind != ANON)
			return 0;
	if (madvise(at(t, first), count * PAGE, advice[which]))
		return errno;
	for (unsigned i = 0; i < count; i++) {
		struct page *p = &t->page[first + i];
		p->no_fork = which == 0 || (which != 1 && p->no_fork);
		p->wipe = which == 2 || (which != 3 && p->wipe);
	}
	return 0;
}

static int do_lock(struct thread *t)
{
	unsigned first, count;
	bool lock = below(t, 3) == 0;

	some_range(t, &first, &count);
	count = count < 6 ? count : 6;
	if (mapped_pages(t, first, count) < count)
		return 0;
	/* Without access a page cannot be brought in; a private file's is copied for it, on Linux
	 * also later, when it becomes writable. */
	for (unsigned i = 0; lock && i < count; i++)
		if (!t->page[first + i].prot || t->page[first + i].kind == PRIVATE_FILE)
			return 0;
	if (lock ? mlock(at(t, first), count * PAGE) : munlock(at(t, first), count * PAGE))
		return errno == EAGAIN ? ENOMEM : errno;
	for (unsigned i = 0; i < count; i++)
		t->page[first + i].locked = lock;
	return 0;
}

/* To another place in the range; there: moved, copied (shared memory, old size 0), or left empty. */
static int do_move(struct thread *t)
{
	unsigned first, count, way = below(t, 4);

	some_range(t, &first, &count);
	count = count < 10 ? count : 10;
	unsigned to = below(t, PAGES - count + 1);
	if ((to < first + count && first < to + count) || !uniform(t, first, count))
		return 0;
	bool copy = way == 0 && t->page[first].kind >= SHARED_FILE;
	bool keep = way == 1 && t->page[first].kind == ANON;
	void *p = mremap(at(t, first), copy ? 0 : count * PAGE, count * PAGE,
			 MREMAP_MAYMOVE | MREMAP_FIXED | (keep ? 4 : 0), at(t, to));
	int err = p == MAP_FAILED ? errno : 0;
	if (err && err != EFAULT) /* alike, but more than one region: written once or not */
		return err;
	memset(&t->page[to], 0, count * sizeof(t->page[0]));
	for (unsigned i = 0; !err && i < count; i++) {
		t->page[to + i] = t->page[first + i];
		if (keep) {
			discard(&t->page[first + i]);
			t->page[first + i].locked = false;
		} else if (!copy) {
			t->page[first + i] = (struct page){};
		}
	}
	return 0;
}

static int do_resize(struct thread *t)
{
	unsigned first, count, less = 0;

	some_range(t, &first, &count);
	if (!uniform(t, first, count))
		return 0;
	less = below(t, count);
	void *p = mremap(at(t, first), count * PAGE, (count - less) * PAGE, 0);
	if (p == MAP_FAILED)
		return errno == EFAULT && !less ? 0 : errno;
	memset(&t->page[first + count - less], 0, less * sizeof(t->page[0]));
	return 0;
}

static void check_all(struct thread *t)
{
	for (unsigned i = 0; i < PAGES && !t->failed; i++)
		check_page(t, i);
}

/* A child sees the same, may change all of it, and nothing of that comes back but what is shared. */
static int do_fork(struct thread *t)
{
	pid_t pid = fork();

	if (pid < 0)
		return errno == EAGAIN ? ENOMEM : errno;
	if (pid == 0) {
		for (unsigned i = 0; i < PAGES; i++) {
			struct page *p = &t->page[i];
			if (p->no_fork)
				*p = (struct page){};
			else if (p->wipe)
				discard(p);
		}
		check_all(t);
		for (unsigned i = 0; i < PAGES; i++)
			if (t->page[i].kind == ANON || t->page[i].kind == PRIVATE_FILE)
				do_write(t, i);
		check_all(t);
		if (t->failed)
			fprintf(stderr, "# child: %s\n", t->why);
		_exit(t->failed);
	}
	t->forks++;
	int status = status_of(pid);
	if (status != 0 && status != 128 + SIGKILL) /* which may be for want of memory */
		FAIL(t, "step %lu: child's status %d", t->steps, status);
	return 0;
}

static int do_residency(struct thread *t)
{
	unsigned first, count;
	unsigned char there[PAGES];

	some_range(t, &first, &count);
	if (mapped_pages(t, first, count) < count)
		return 0;
	if (mincore(at(t, first), count * PAGE, there))
		return errno;
	for (unsigned i = 0; i < count; i++) {
		const struct page *p = &t->page[first + i];
		if (p->own && !p->lazy && !(there[i] & 1))
			FAIL(t, "step %lu: page %u was written and is not there", t->steps,
			     first + i);
	}
	return msync(at(t, first), count * PAGE, MS_SYNC) ? errno : 0;
}

static int step(struct thread *t)
{
	static const struct {
		unsigned weight;
		int (*fn)(struct thread *t);
	} table[] = {
		{50, do_map},    {25, do_unmap},     {50, do_protect},   {30, do_discard},
		{20, do_lazy},   {10, do_punch},     {5, do_file_punch}, {20, do_file_write},
		{20, do_advise}, {15, do_lock},      {40, do_move},      {10, do_resize},
		{3, do_fork},    {10, do_residency},
	};
	unsigned dice = below(t, 1000);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (dice < table[i].weight)
			return table[i].fn(t);
		dice -= table[i].weight;
	}
	if (dice % 2)
		do_write(t, below(t, PAGES));
	else
		check_page(t, below(t, PAGES));
	return 0;
}

/* ---- Runs --------------------------------------------------------------------------------------------- */

static void restart(struct thread *t)
{
	while (munmap(t->base, PAGES * PAGE))
		sleep_ms(1);
	memset(t->page, 0, sizeof(t->page));
	t->restarts++;
}

static void *live(void *arg)
{
	struct thread *t = arg;

	/* From here on nothing is mapped but at fixed addresses, so nobody else comes into a hole. */
	pthread_barrier_wait(&all_there);
	munmap(t->base, PAGES * PAGE);
	pthread_barrier_wait(&all_there);
	for (t->steps = 0; t->steps < total_steps && !t->failed; t->steps++) {
		int err = step(t);
		if (err == ENOMEM)
			restart(t);
		else if (err)
			FAIL(t, "step %lu: error %d", t->steps, err);
		if (t->steps % 2000 == 0)
			check_all(t);
	}
	check_all(t);
	return NULL;
}

static bool begin(struct thread *t, unsigned number)
{
	char name[] = "/tmp/mapmodel.XXXXXX";

	t->number = number;
	t->random = 88172645463325252u + number * 7919;
	t->base = mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t->fd = mkstemp(name);
	unlink(name);
	if (t->base == MAP_FAILED || t->fd < 0 || ftruncate(t->fd, (off_t)(FILE_PAGES * PAGE)))
		return false;
	t->base += PAGE; /* what is beside is alike to nothing */
	return true;
}

/* Takes all memory there is and some more, over and over; who is to be ended for it is clear. */
static int be_hog(void)
{
	for (;;) {
		pid_t pid = fork();
		if (pid == 0) {
			write_number("/proc/self/oom_score_adj", 1000);
			size_t size =
				(size_t)number_in("/proc/meminfo", "MemFree:") * 1024 + (1 << 20);
			char *p = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			for (size_t i = 0; p != MAP_FAILED && i < size; i += PAGE)
				p[i] = 1;
			_exit(0);
		}
		if (pid > 0)
			status_of(pid);
		sleep_ms(5);
	}
}

static pid_t start_hog(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		setpgid(0, 0);
		execl("/proc/self/exe", "mapmodel", "hog", NULL);
		_exit(4);
	}
	return pid;
}

int main(int argc, char **argv)
{
	static char stack[1 << 16];
	const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
	const struct sigaction act = {.sa_sigaction = on_fault,
				      .sa_flags = SA_SIGINFO | SA_NODEFER};
	uint64_t restarts = 0, forks = 0;

	if (argc == 2)
		return be_hog();
	unsigned count = argc > 2 ? (unsigned)atoi(argv[1]) : 1;
	total_steps = (argc > 2 ? strtoul(argv[2], NULL, 10) : 20000) / count;
	pressure = argc > 3;
	sigaltstack(&alternate, NULL);
	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	for (unsigned i = 0; i < count; i++)
		if (!begin(&threads[i], i))
			return 2;
	pthread_barrier_init(&all_there, NULL, count);
	for (unsigned i = 1; i < count; i++)
		if (pthread_create(&threads[i].id, NULL, live, &threads[i]))
			return 3;
	/* Last: what is there by now may find no memory. */
	pid_t hog = pressure ? start_hog() : 0;
	live(&threads[0]);
	for (unsigned i = 1; i < count; i++)
		pthread_join(threads[i].id, NULL);
	if (hog > 0) {
		kill(-hog, SIGKILL);
		status_of(hog);
	}
	for (unsigned i = 0; i < count; i++) {
		check(!threads[i].failed, "thread %u of %u, %lu steps%s", i, count, total_steps,
		      pressure ? " under pressure" : "");
		if (threads[i].failed)
			printf("# %s\n", threads[i].why);
		restarts += threads[i].restarts;
		forks += threads[i].forks;
	}
	printf("# %lu forks, %lu times out of memory\n", (unsigned long)forks,
	       (unsigned long)restarts);
	return tap_end();
}
