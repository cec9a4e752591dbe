/*
 * Huge pages: that they come, that every change of a part leaves the rest as it was, that fork, threads
 * and huge pages get along, and what the explicit ones (MAP_HUGETLB) promise and refuse.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#define PAGE 4096ul
#define HUGE (2ul << 20)
#define PAGES_HUGE (HUGE / PAGE)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

/* The number behind `name` in a file of lines "name: n" or "name n"; -1: it is not there. */
static long figure(const char *file, const char *name)
{
	char line[256];
	FILE *f = fopen(file, "r");
	long value = -1;
	size_t length = strlen(name);

	while (f && value < 0 && fgets(line, sizeof(line), f))
		if (strncmp(line, name, length) == 0 &&
		    (line[length] == ':' || line[length] == ' '))
			value = strtol(line + length + 1, NULL, 10);
	if (f)
		fclose(f);
	return value;
}

static long huge_kib(void)
{
	return figure("/proc/meminfo", "AnonHugePages");
}

static long event(const char *name)
{
	return figure("/proc/vmstat", name);
}

static bool write_file(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

#define ENABLED "/sys/kernel/mm/transparent_hugepage/enabled"

static char *map(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Page i begins with i + salt. */
static void fill(char *p, size_t pages, unsigned salt)
{
	for (size_t i = 0; i < pages; i++)
		*(unsigned *)(p + i * PAGE) = (unsigned)i + salt;
}

static bool holds(const char *p, size_t from, size_t to, unsigned salt)
{
	for (size_t i = from; i < to; i++)
		if (*(const volatile unsigned *)(p + i * PAGE) != (unsigned)i + salt)
			return false;
	return true;
}

static long faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt;
}

static void test_comes(void)
{
	long before = huge_kib(), allocs = event("thp_fault_alloc");
	char *p = map(4 * HUGE);

	check(((uintptr_t)p & (HUGE - 1)) == 0, "a mapping of whole huge pages is aligned to them");
	p[5] = 1;
	check(huge_kib() >= before + 2048 && event("thp_fault_alloc") > allocs,
	      "one write brings a huge page");
	long count = faults();
	fill(p, PAGES_HUGE, 7);
	check(faults() - count < 8, "and no more faults in it");
	check(holds(p, 0, PAGES_HUGE, 7), "which holds what is written");
	char *q = p + HUGE;
	bool zero = true;
	q[9] = 0;
	for (size_t i = 0; i < HUGE; i += 8)
		zero &= *(uint64_t *)(q + i) == 0;
	check(zero, "a fresh one is zero");
	munmap(p, 4 * HUGE);
	check(huge_kib() <= before + 2048, "and they are gone with the mapping");
}

static void test_parts(void)
{
	char *p = map(3 * HUGE);

	fill(p, 3 * PAGES_HUGE, 0);
	long splits = event("thp_split_pmd");
	munmap(p + HUGE + 5 * PAGE, PAGE);
	check(event("thp_split_pmd") > splits, "munmap of one page splits");
	check(in_child(p[HUGE + 5 * PAGE] = 1) == 139, "the hole faults");
	check(holds(p, 0, PAGES_HUGE + 5, 0) && holds(p, PAGES_HUGE + 6, 3 * PAGES_HUGE, 0),
	      "the rest holds");
	check(mprotect(p + 8 * PAGE, 4 * PAGE, PROT_READ) == 0 && holds(p, 0, PAGES_HUGE, 0) &&
		      in_child(p[9 * PAGE] = 1) == 139 && in_child(p[12 * PAGE] = 1) == 0,
	      "mprotect of a part");
	check(mprotect(p + 8 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE) == 0, "and back");
	fill(p, PAGES_HUGE, 3);
	check(holds(p, 0, PAGES_HUGE, 3), "writes go on");
	char *q = p + 2 * HUGE;
	check(madvise(q + 100 * PAGE, 10 * PAGE, MADV_DONTNEED) == 0 && q[100 * PAGE] == 0 &&
		      *(unsigned *)(q + 109 * PAGE) == 0 &&
		      holds(p, 2 * PAGES_HUGE, 2 * PAGES_HUGE + 100, 0) &&
		      holds(p, 2 * PAGES_HUGE + 110, 3 * PAGES_HUGE, 0),
	      "MADV_DONTNEED of a part");
	munmap(p, 3 * HUGE);

	p = map(2 * HUGE);
	fill(p, 2 * PAGES_HUGE, 1);
	char *to = map(HUGE);
	q = mremap(p + HUGE / 2, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	check(q == to && holds(q, 0, PAGES_HUGE, 1 + PAGES_HUGE / 2) &&
		      holds(p, 0, PAGES_HUGE / 2, 1) &&
		      holds(p, 3 * PAGES_HUGE / 2, 2 * PAGES_HUGE, 1),
	      "mremap takes half of one and half of the next");
	munmap(p, 2 * HUGE);
	munmap(to, HUGE);

	p = map(HUGE);
	fill(p, PAGES_HUGE, 2);
	long kib = huge_kib();
	to = map(HUGE);
	q = mremap(p, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	check(q == to && holds(q, 0, PAGES_HUGE, 2), "mremap of a whole one");
	q[0]++;
	check(huge_kib() >= kib, "stays a huge page at its new place");
	munmap(to, HUGE);
}

static void test_fork(void)
{
	char *p = map(2 * HUGE);
	int gate[2], back[2];
	char c = 0;

	fill(p, 2 * PAGES_HUGE, 0);
	check(in_child({
		      bool good = holds(p, 0, 2 * PAGES_HUGE, 0);
		      fill(p, 2 * PAGES_HUGE, 9);
		      _exit(!(good && holds(p, 0, 2 * PAGES_HUGE, 9)));
	      }) == 0 &&
		      holds(p, 0, 2 * PAGES_HUGE, 0),
	      "a child writes to its own");
	long kib = huge_kib(), count = faults();
	fill(p, PAGES_HUGE, 1);
	check(huge_kib() >= kib && faults() - count < 8, "alone again, the parent keeps it whole");

	if (pipe(gate) != 0 || pipe(back) != 0)
		return;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		close(gate[1]);
		(void)!read(gate[0], &c, 1);
		_exit(!(holds(p, 0, PAGES_HUGE, 1) && holds(p, PAGES_HUGE, 2 * PAGES_HUGE, 0)));
	}
	long anonymous = figure("/proc/meminfo", "AnonPages");
	*(unsigned *)(p + 77 * PAGE) = 1234;
	long more = figure("/proc/meminfo", "AnonPages") - anonymous;
	check(more >= 0 && more < 512, "the first write after fork copies a page, not a huge page");
	fill(p + HUGE, PAGES_HUGE, 5);
	(void)!write(gate[1], "x", 1);
	close(gate[1]);
	close(gate[0]);
	check(status_of(child) == 0, "the child sees none of the parent's writes");
	*(unsigned *)(p + 77 * PAGE) = 78;
	check(holds(p, 0, PAGES_HUGE, 1), "and the parent has all of them");
	munmap(p, 2 * HUGE);
}

static void test_advice(void)
{
	char *p = map(2 * HUGE);
	long kib = huge_kib();

	check(madvise(p, HUGE, MADV_NOHUGEPAGE) == 0, "MADV_NOHUGEPAGE");
	p[0] = 1;
	check(huge_kib() <= kib, "is obeyed");
	fill(p, PAGES_HUGE, 4);
	check(madvise(p, HUGE, MADV_COLLAPSE) < 0 && errno == EINVAL, "collapse there: EINVAL");
	check(madvise(p, HUGE, MADV_HUGEPAGE) == 0, "MADV_HUGEPAGE");
	kib = huge_kib();
	long collapses = event("thp_collapse_alloc");
	check(madvise(p, HUGE, MADV_COLLAPSE) == 0 && huge_kib() >= kib + 2048 &&
		      event("thp_collapse_alloc") > collapses && holds(p, 0, PAGES_HUGE, 4),
	      "MADV_COLLAPSE makes a huge page of what is there");
	check(madvise(p, HUGE, MADV_COLLAPSE) == 0, "again: nothing to do");
	check(madvise(p + PAGE, PAGE, MADV_COLLAPSE) == 0, "less than one: nothing to do");
	check(madvise(p + 1, HUGE, MADV_COLLAPSE) < 0 && errno == EINVAL,
	      "a crooked address: EINVAL");
	char *q = map(HUGE);
	munmap(q, HUGE);
	check(madvise(q, HUGE, MADV_COLLAPSE) < 0 && errno == ENOMEM, "nothing mapped: ENOMEM");
	munmap(p, 2 * HUGE);

	check(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 &&
		      prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1,
	      "PR_SET_THP_DISABLE");
	p = map(HUGE);
	kib = huge_kib();
	p[0] = 1;
	check(huge_kib() <= kib, "is obeyed");
	check(in_child(_exit(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0))) == 1, "and inherited");
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	munmap(p, HUGE);
	check(prctl(PR_SET_THP_DISABLE, 1, 1, 0, 0) < 0 && errno == EINVAL,
	      "with more arguments: EINVAL");

	check(write_file(ENABLED, "never"), "the policy never");
	p = map(HUGE);
	kib = huge_kib();
	p[0] = 1;
	check(huge_kib() <= kib, "is obeyed");
	munmap(p, HUGE);
	check(write_file(ENABLED, "madvise\n"), "the policy madvise");
	p = map(2 * HUGE);
	madvise(p + HUGE, HUGE, MADV_HUGEPAGE);
	kib = huge_kib();
	p[0] = 1;
	long plain = huge_kib();
	p[HUGE] = 1;
	check(plain <= kib && huge_kib() >= kib + 2048, "is obeyed");
	munmap(p, 2 * HUGE);
	check(!write_file(ENABLED, "sometimes"), "another word is refused");
	check(write_file(ENABLED, "always"), "the policy always");
}

/* Refills a window that was split: once its last page is written it is a huge page again. */
static void test_promotion(void)
{
	char *p = map(HUGE);

	fill(p, PAGES_HUGE, 0);
	mprotect(p + 3 * PAGE, PAGE, PROT_READ);
	mprotect(p, HUGE, PROT_READ);
	mprotect(p, HUGE, PROT_READ | PROT_WRITE);
	long kib = huge_kib();
	fill(p, PAGES_HUGE, 6);
	check(huge_kib() >= kib + 2048 && holds(p, 0, PAGES_HUGE, 6),
	      "what was split becomes whole again when it is written to the end");
	munmap(p, HUGE);
}

/* ---- Threads ---------------------------------------------------------------------------------- */

#define WINDOWS 4
#define THREADS 4
#define ROUNDS 60

static char *arena;
static atomic_int wrong;
static atomic_uint round_now;

static unsigned next_random(unsigned *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Each thread owns the pages whose number is its own modulo THREADS, and does to them what it likes. */
static void *disturb(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, state = me * 77 + 5;
	unsigned *value = calloc(WINDOWS * PAGES_HUGE, sizeof(*value));

	for (int i = 0; i < 2000; i++) {
		size_t page = next_random(&state) % (WINDOWS * PAGES_HUGE / THREADS) * THREADS + me;
		unsigned *at = (unsigned *)(arena + page * PAGE);
		unsigned what = next_random(&state) % 16;
		if (what == 0) {
			if (madvise(at, PAGE, MADV_DONTNEED) != 0)
				wrong++;
			value[page] = 0;
		} else if (what == 1) {
			if (mprotect(at, PAGE, PROT_READ) != 0 ||
			    *(volatile unsigned *)at != value[page] ||
			    mprotect(at, PAGE, PROT_READ | PROT_WRITE) != 0)
				wrong++;
		} else if (what == 2) {
			if (mmap(at, PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
				wrong++;
			value[page] = 0;
		} else if (what == 3) {
			(void)madvise((char *)((uintptr_t)at & ~(HUGE - 1)), HUGE, MADV_COLLAPSE);
		} else if (what < 10) {
			*at = value[page] = next_random(&state);
		} else if (*(volatile unsigned *)at != value[page]) {
			wrong++;
		}
		if (i % 400 == 0) {
			pid_t pid = fork();
			if (pid == 0) {
				for (size_t k = me; k < WINDOWS * PAGES_HUGE; k += THREADS * 7)
					if (*(volatile unsigned *)(arena + k * PAGE) != value[k])
						_exit(1);
				*at = value[page] + 1;
				_exit(0);
			}
			if (pid > 0 && status_of(pid) != 0)
				wrong++;
		}
	}
	free(value);
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[THREADS];

	arena = map(WINDOWS * HUGE);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, disturb, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check(wrong == 0,
	      "%d threads that write, split, unmap, collapse and fork in the same windows",
	      THREADS);
	munmap(arena, WINDOWS * HUGE);
}

static void *touch_window(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned r = 1; r <= ROUNDS; r++) {
		while ((atomic_load(&round_now) & 0xffff) < r)
			;
		volatile unsigned *at = (unsigned *)(arena + (me * 100 + r) * PAGE);
		if (*at != 0)
			wrong++;
		*at = me + 1;
		atomic_fetch_add(&round_now, 0x10000);
	}
	return NULL;
}

/* All threads at the same untouched window at once. */
static void test_race(void)
{
	pthread_t threads[THREADS];

	wrong = 0;
	round_now = 0;
	arena = map(HUGE);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, touch_window, (void *)i);
	for (unsigned r = 1; r <= ROUNDS; r++) {
		munmap(arena, HUGE);
		arena = mmap(arena, HUGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		atomic_store(&round_now, r);
		while (atomic_load(&round_now) >> 16 < THREADS)
			sleep_ms(0);
		for (unsigned i = 0; i < THREADS; i++)
			if (*(unsigned *)(arena + (i * 100 + r) * PAGE) != i + 1)
				wrong++;
		atomic_store(&round_now, 0);
	}
	check(wrong == 0, "%d threads that meet in an untouched window", THREADS);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	munmap(arena, HUGE);
}

/* Blocks of 2 MiB that are free, by /proc/buddyinfo (orders 9 to 11). */
static long whole_blocks(void)
{
	char line[512];
	FILE *f = fopen("/proc/buddyinfo", "r");
	long blocks = 0;

	while (f && fgets(line, sizeof(line), f)) {
		char *at = strstr(line, "zone");
		long n[12] = {0};
		if (!at)
			continue;
		at += 4;
		while (*at == ' ')
			at++;
		while (*at && *at != ' ')
			at++;
		for (int order = 0; order < 12; order++)
			n[order] = strtol(at, &at, 10);
		blocks += n[9] + 2 * n[10] + 4 * n[11];
	}
	if (f)
		fclose(f);
	return blocks;
}

static void test_fragments(void)
{
	long before = whole_blocks();

	for (int round = 0; round < 20; round++) {
		char *p = map(16 * HUGE);
		for (int i = 0; i < 16; i++)
			p[i * HUGE] = 1;
		for (int i = 0; i < 16; i += 3)
			mprotect(p + i * HUGE + 8 * PAGE, PAGE, PROT_READ);
		munmap(p, 16 * HUGE);
	}
	long after = whole_blocks();
	check(after >= before - 4, "memory is as whole afterwards (%ld blocks, %ld before)", after,
	      before);
}

/* ---- Explicit huge pages ------------------------------------------------------------------------ */

#define POOL "/proc/sys/vm/nr_hugepages"
#define SURPLUS "/proc/sys/vm/nr_overcommit_hugepages"

static char *explicit(size_t size, int flags)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_HUGETLB | flags, -1,
		       0);

	return p == MAP_FAILED ? NULL : p;
}

static bool pool_is(long total, long free, long reserved, long surplus)
{
	long t = figure("/proc/meminfo", "HugePages_Total"),
	     f = figure("/proc/meminfo", "HugePages_Free"),
	     r = figure("/proc/meminfo", "HugePages_Rsvd"),
	     s = figure("/proc/meminfo", "HugePages_Surp");

	if (t == total && f == free && r == reserved && s == surplus)
		return true;
	printf("# %ld %ld %ld %ld\n", t, f, r, s);
	return false;
}

static void test_explicit_arguments(void)
{
	check(write_file(POOL, "0") && pool_is(0, 0, 0, 0), "an empty pool");
	check(!explicit(HUGE, MAP_PRIVATE) && errno == ENOMEM, "gives nothing: ENOMEM");
	check(write_file(POOL, "8") && pool_is(8, 8, 0, 0), "a pool of eight");
	check(!explicit(9 * HUGE, MAP_PRIVATE) && errno == ENOMEM, "nine are too many");
	check(!explicit(HUGE, MAP_PRIVATE | 14 << MAP_HUGE_SHIFT) && errno == EINVAL,
	      "16 KiB: EINVAL");
	check(!explicit(1ul << 30, MAP_PRIVATE | 30 << MAP_HUGE_SHIFT) &&
		      (errno == ENOMEM || errno == EINVAL),
	      "1 GiB: there are none");
	char *p = explicit(PAGE, MAP_PRIVATE | 21 << MAP_HUGE_SHIFT);
	check(p && ((uintptr_t)p & (HUGE - 1)) == 0 && pool_is(8, 8, 1, 0),
	      "less than one becomes one, aligned and promised");
	p[HUGE - 1] = 1;
	check(pool_is(8, 7, 0, 0), "and taken when it is touched");
	check(munmap(p, PAGE) < 0 && errno == EINVAL, "munmap of a part: EINVAL");
	check(mprotect(p + PAGE, PAGE, PROT_READ) < 0 && errno == EINVAL,
	      "mprotect of a part: EINVAL");
	check(madvise(p + PAGE, HUGE - PAGE, MADV_DONTNEED) < 0 && errno == EINVAL,
	      "MADV_DONTNEED of a part: EINVAL");
	check(mmap(p + PAGE, HUGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED,
		   -1, 0) == MAP_FAILED &&
		      errno == EINVAL,
	      "a crooked fixed address: EINVAL");
	check(mmap(p + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
			      MAP_FAILED &&
		      errno == EINVAL,
	      "a fixed mapping into it: EINVAL");
	check(mremap(p, HUGE, 2 * HUGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL,
	      "mremap: EINVAL");
	check(munmap(p, HUGE) == 0 && pool_is(8, 8, 0, 0), "given back");
}

static void test_explicit_use(void)
{
	char *p = explicit(4 * HUGE, MAP_PRIVATE);

	check(p && pool_is(8, 8, 4, 0), "four promised");
	check(!explicit(5 * HUGE, MAP_PRIVATE) && errno == ENOMEM, "five more: ENOMEM");
	long count = faults();
	bool zero = true;
	for (size_t i = 0; i < 2 * HUGE; i += 512)
		zero &= *(volatile uint64_t *)(p + i) == 0;
	fill(p, 2 * PAGES_HUGE, 1);
	check(zero && faults() - count < 6 && pool_is(8, 6, 2, 0),
	      "two used, zero, with a fault each");
	check(in_child({
		      bool good = holds(p, 0, 2 * PAGES_HUGE, 1);
		      fill(p, PAGES_HUGE, 4);
		      _exit(!(good && holds(p, 0, PAGES_HUGE, 4)));
	      }) == 0 &&
		      holds(p, 0, 2 * PAGES_HUGE, 1),
	      "a child's write copies");
	check(pool_is(8, 6, 2, 0), "into one that comes back");
	fill(p, PAGES_HUGE, 6);
	check(holds(p, 0, PAGES_HUGE, 6) && pool_is(8, 6, 2, 0), "alone again: written in place");
	check(mprotect(p + HUGE, HUGE, PROT_READ) == 0 && holds(p, PAGES_HUGE, 2 * PAGES_HUGE, 1) &&
		      in_child(p[HUGE] = 1) == 139,
	      "mprotect of a whole one");
	check(munmap(p + HUGE, HUGE) == 0 && pool_is(8, 7, 2, 0), "munmap of the middle");
	check(madvise(p, HUGE, MADV_DONTNEED) == 0 && pool_is(8, 8, 3, 0) && p[5] == 0,
	      "MADV_DONTNEED gives back and keeps the promise");
	munmap(p, 4 * HUGE);
	check(pool_is(8, 8, 0, 0), "all is back");

	p = explicit(12 * HUGE, MAP_PRIVATE | MAP_NORESERVE);
	check(p && pool_is(8, 8, 0, 0), "MAP_NORESERVE promises nothing");
	check(in_child(for (int i = 0; i < 8; i++) p[i * HUGE] = 1) == 0,
	      "and gives what there is");
	check(in_child(for (int i = 0; i < 9; i++) p[i * HUGE] = 1) == 128 + 7, "then SIGBUS");
	munmap(p, 12 * HUGE);

	p = explicit(2 * HUGE, MAP_SHARED);
	check(p && pool_is(8, 8, 2, 0), "a shared mapping");
	check(in_child(p[HUGE + 7] = 9) == 0 && p[HUGE + 7] == 9 && p[0] == 0 &&
		      pool_is(8, 6, 0, 0),
	      "is shared");
	munmap(p, HUGE);
	munmap(p + HUGE, HUGE);
	check(pool_is(8, 8, 0, 0), "and given back");

	check(write_file(POOL, "1") && write_file(SURPLUS, "2") && pool_is(1, 1, 0, 0),
	      "one and two more");
	p = explicit(3 * HUGE, MAP_PRIVATE);
	check(p && pool_is(3, 3, 3, 2), "three can be had");
	check(!explicit(HUGE, MAP_PRIVATE), "not four");
	if (p) {
		fill(p, 3 * PAGES_HUGE, 0);
		munmap(p, 3 * HUGE);
	}
	check(pool_is(1, 1, 0, 0), "the surplus goes");
	check(write_file(POOL, "0") && write_file(SURPLUS, "0") && pool_is(0, 0, 0, 0),
	      "and the pool");
}

int main(void)
{
	write_file(ENABLED, "always");
	test_comes();
	test_parts();
	test_fork();
	test_advice();
	test_promotion();
	test_race();
	test_threads();
	test_explicit_arguments();
	test_explicit_use();
	test_fragments();
	return tap_end();
}
