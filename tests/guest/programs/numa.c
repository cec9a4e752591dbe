/*
 * Memory policies: on which nodes pages land, as move_pages and the nodes' counters tell, and the errors.
 * Runs on machines with any number of nodes; with one node everything lands there.
 */
#define _GNU_SOURCE
#include "cpus.h"
#include "numbers.h"
#include "tap.h"
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096ul
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif
#define NODES 16
#define RW (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

enum { DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL, MANY, WEIGHTED };
#define STATIC 0x8000
#define RELATIVE 0x4000
#define STRICT 1
#define MOVE 2
#define MOVE_ALL 4
#define GET_NODE 1
#define GET_ADDR 2
#define GET_ALLOWED 4

static unsigned nodes;           /* all of them */
static unsigned long memory;     /* those with memory, a bit each */
static int distance[NODES][NODES];
static unsigned here;            /* the node this runs on */

static long set_policy(int mode, unsigned long set)
{
	return syscall(SYS_set_mempolicy, mode, &set, 65);
}

static long get_policy(int *mode, unsigned long *set, void *addr, int flags)
{
	return syscall(SYS_get_mempolicy, mode, set, set ? 64 : 0, addr, flags);
}

static long bind(void *at, size_t size, int mode, unsigned long set, int flags)
{
	return syscall(SYS_mbind, at, size, mode, &set, 65, flags);
}

static long page_nodes(void *at, size_t count, int *status)
{
	void *pages[count];

	for (size_t i = 0; i < count; i++)
		pages[i] = (char *)at + i * PAGE;
	return syscall(SYS_move_pages, 0, count, pages, NULL, status, 0);
}

static char *map(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE, RW, PRIVATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void touch(char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		p[i * PAGE] = (char)(i + 1);
}

static bool intact(const char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		if (p[i * PAGE] != (char)(i + 1))
			return false;
	return true;
}

static bool all_on(char *p, size_t pages, unsigned node)
{
	int status[pages];

	if (page_nodes(p, pages, status) != 0)
		return false;
	for (size_t i = 0; i < pages; i++)
		if (status[i] != (int)node)
			return false;
	return true;
}

static long counter(unsigned node, const char *name)
{
	char path[80], word[40];
	long value = -1, v;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/numastat", node);
	FILE *f = fopen(path, "r");
	while (f && fscanf(f, "%39s %ld", word, &v) == 2)
		if (!strcmp(word, name))
			value = v;
	if (f)
		fclose(f);
	return value;
}

static long free_kib(unsigned node)
{
	char path[80], line[100];
	long value = -1;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", node);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "MemFree:"))
			value = atol(strstr(line, "MemFree:") + 8);
	if (f)
		fclose(f);
	return value;
}

static void learn(void)
{
	char path[80];
	unsigned cpu;

	get_policy(NULL, &memory, NULL, GET_ALLOWED);
	for (nodes = 0; nodes < NODES; nodes++) {
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/distance", nodes);
		FILE *f = fopen(path, "r");
		if (!f)
			break;
		for (unsigned i = 0; i < NODES && fscanf(f, "%d", &distance[nodes][i]) == 1; i++)
			;
		fclose(f);
	}
	/* From now on one CPU, so one node is near. */
	syscall(SYS_getcpu, &cpu, &here, NULL);
	keep_on(0, (int)cpu);
	syscall(SYS_getcpu, &cpu, &here, NULL);
}

/* The nearest to `from` of a set. */
static unsigned nearest(unsigned from, unsigned long set)
{
	unsigned best = NODES;

	for (unsigned n = 0; n < nodes; n++)
		if (set >> n & 1 && (best == NODES || distance[from][n] < distance[from][best]))
			best = n;
	return best;
}

static void test_errors(void)
{
	unsigned long set = 1, far[2] = {1, 1};
	char *p = map(4);
	int mode;

	check(nodes >= 1 && memory && here < nodes, "nodes, memory, and a place");
	check(set_policy(7, 1) == -1 && errno == EINVAL, "no such mode");
	check(set_policy(BIND | STATIC | RELATIVE, 1) == -1 && errno == EINVAL, "both flags");
	check(set_policy(DEFAULT, 1) == -1 && errno == EINVAL, "the default has no nodes");
	check(set_policy(BIND, 0) == -1 && errno == EINVAL, "bound to nothing");
	check(set_policy(BIND, 1ul << 60) == -1 && errno == EINVAL, "bound to what is not there");
	check(set_policy(LOCAL, 1) == -1 && errno == EINVAL, "local has no nodes");
	check(set_policy(INTERLEAVE | 0x2000, 1) == -1 && errno == EINVAL, "balancing is bind's");
	check(syscall(SYS_set_mempolicy, BIND, far, 129) == -1 && errno == EINVAL,
	      "too many nodes");
	check(syscall(SYS_set_mempolicy, BIND, &set, 40000) == -1 && errno == EINVAL,
	      "too long a mask");
	check(syscall(SYS_set_mempolicy, BIND, 8, 65) == -1 && errno == EFAULT, "a wild mask");
	check(syscall(SYS_set_mempolicy, DEFAULT, NULL, 0) == 0, "the default");
	check(get_policy(&mode, &set, NULL, 0) == 0 && mode == DEFAULT && set == 0, "is told");
	check(get_policy(&mode, &set, NULL, 8) == -1 && errno == EINVAL, "no such question");
	check(get_policy(&mode, &set, p, 0) == -1 && errno == EINVAL, "an address without flag");
	check(get_policy(&mode, NULL, (void *)16, GET_ADDR) == -1 && errno == EFAULT, "no region");
	check(get_policy(&mode, NULL, NULL, GET_NODE) == -1 && errno == EINVAL, "no turns to tell");
	check(get_policy(&mode, &set, NULL, GET_ALLOWED | GET_NODE) == -1 && errno == EINVAL,
	      "questions that exclude each other");
	check(syscall(SYS_get_mempolicy, &mode, &set, 0, NULL, 0) == -1 && errno == EINVAL,
	      "a mask too short for the answer");
	check(get_policy((int *)8, NULL, NULL, 0) == -1 && errno == EFAULT, "a wild answer");
	check(bind(p + 1, PAGE, BIND, memory, 0) == -1 && errno == EINVAL, "misaligned");
	check(bind(p, PAGE, BIND, memory, 8) == -1 && errno == EINVAL, "no such flag");
	check(bind(p, 0, BIND, memory, 0) == 0, "an empty range");
	check(bind(p, -PAGE, BIND, memory, 0) == -1 && errno == EINVAL, "round the end");
	munmap(p + PAGE, PAGE);
	check(bind(p, 4 * PAGE, BIND, memory, 0) == -1 && errno == EFAULT, "a hole");
	check(get_policy(&mode, NULL, p, GET_ADDR) == 0 && mode == DEFAULT, "then nothing changed");
	check(syscall(SYS_set_mempolicy_home_node, p, PAGE, nodes, 0) == -1 && errno == EINVAL,
	      "no such home");
	check(syscall(SYS_set_mempolicy_home_node, p, PAGE, 0, 1) == -1 && errno == EINVAL,
	      "home nodes have no flags");
	check(syscall(SYS_set_mempolicy_home_node, p, PAGE, 0, 0) == -1 && errno == ENOENT,
	      "a home without policy");
	bind(p, PAGE, INTERLEAVE, memory, 0);
	check(syscall(SYS_set_mempolicy_home_node, p, PAGE, 0, 0) == -1 && errno == EOPNOTSUPP,
	      "a home for one without");
	munmap(p, 4 * PAGE);
}

static void test_move_errors(void)
{
	char *p = map(4);
	void *pages[3] = {p, p + PAGE, (void *)16};
	int to[3] = {0, 0, 0}, status[3] = {99, 99, 99};

	p[0] = 1;
	check(syscall(SYS_move_pages, 0, 3, pages, NULL, status, 1) == -1 && errno == EINVAL,
	      "no such flag of move_pages");
	check(syscall(SYS_move_pages, 99999, 3, pages, NULL, status, 0) == -1 && errno == ESRCH,
	      "nobody's pages");
	check(syscall(SYS_move_pages, 0, 3, pages, NULL, 8, 0) == -1 && errno == EFAULT,
	      "a wild status");
	check(syscall(SYS_move_pages, 0, 3, pages, NULL, status, 0) == 0 && status[0] >= 0 &&
		      status[1] == -ENOENT && status[2] == -EFAULT,
	      "a page, none yet, none ever");
	volatile char zero = p[PAGE];
	check(syscall(SYS_move_pages, 0, 2, pages, NULL, status, 0) == 0 && !zero &&
		      status[1] == -EFAULT,
	      "the page of zeroes is none");
	to[0] = (int)nodes;
	check(syscall(SYS_move_pages, 0, 1, pages, to, status, MOVE) == -1 && errno == ENODEV,
	      "to no node");
	unsigned long from = 1, none = 1ul << 40, where = memory;
	check(syscall(SYS_migrate_pages, 0, 65, &from, &none) == -1 && errno == EINVAL,
	      "all to no node");
	check(syscall(SYS_migrate_pages, 99999, 65, &from, &where) == -1 && errno == ESRCH,
	      "nobody's at all");
	pid_t child = fork();
	if (child == 0) {
		bool refused = setuid(1000) == 0 && bind(p, PAGE, BIND, memory, MOVE_ALL) == -1 &&
			       errno == EPERM;
		refused &= syscall(SYS_move_pages, 0, 1, pages, NULL, status, MOVE_ALL) == -1 &&
			   errno == EPERM;
		refused &= syscall(SYS_move_pages, 1, 1, pages, NULL, status, 0) == -1 &&
			   errno == EPERM;
		_exit(refused ? 0 : 1);
	}
	check(status_of(child) == 0, "others' pages are the superuser's");
	munmap(p, 4 * PAGE);
}

static void test_told(void)
{
	unsigned long set = 0;
	int mode;

	check(set_policy(BIND, memory | 1ul << 50) == 0 && get_policy(&mode, &set, NULL, 0) == 0 &&
		      mode == BIND && set == memory,
	      "bound: what is not there is left out");
	check(set_policy(INTERLEAVE | STATIC, memory | 1ul << 50) == 0 &&
		      get_policy(&mode, &set, NULL, 0) == 0 && mode == (INTERLEAVE | STATIC) &&
		      set == (memory | 1ul << 50),
	      "static: told as it was asked");
	check(set_policy(PREFERRED, 0) == 0 && get_policy(&mode, &set, NULL, 0) == 0 &&
		      mode == LOCAL && set == 0,
	      "nothing preferred is local");
	check(set_policy(MANY, memory) == 0 && in_child({
						       if (get_policy(&mode, &set, NULL, 0) ||
							   mode != MANY || set != memory)
							       _exit(1);
					       }) == 0,
	      "children inherit");
	check(set_policy(INTERLEAVE, memory) == 0 && get_policy(&mode, NULL, NULL, GET_NODE) == 0 &&
		      memory >> mode & 1,
	      "whose turn it is");
	set_policy(DEFAULT, 0);
}

/* The region's policy as numa_maps shows it; false: there is no such region. */
static bool shown(void *at, char *out, size_t size)
{
	char line[400];
	bool found = false;
	FILE *f = fopen("/proc/self/numa_maps", "r");

	while (f && !found && fgets(line, sizeof(line), f))
		if (strtoul(line, NULL, 16) == (unsigned long)at) {
			snprintf(out, size, "%s", strchr(line, ' ') + 1);
			found = true;
		}
	if (f)
		fclose(f);
	return found;
}

static void test_nodes(void)
{
	for (unsigned n = 0; n < nodes; n++) {
		char *p = map(64), wanted[60], line[300] = "";
		if (!(memory >> n & 1)) {
			check(set_policy(BIND, 1ul << n) == -1 && errno == EINVAL,
			      "node %u has no memory to bind to", n);
			continue;
		}
		long hit = counter(n, "numa_hit");
		set_policy(BIND, 1ul << n);
		touch(p, 32);
		check(all_on(p, 32, n), "bound to node %u: 32 pages are there", n);
		set_policy(PREFERRED, 1ul << n);
		touch(p + 32 * PAGE, 32);
		check(all_on(p + 32 * PAGE, 32, n), "node %u preferred: 32 pages are there", n);
		set_policy(DEFAULT, 0);
		check(counter(n, "numa_hit") >= hit + (nodes > 1 && n != here ? 64 : 0),
		      "node %u counts hits", n);
		munmap(p, 64 * PAGE);
		p = map(64);
		check(bind(p, 64 * PAGE, BIND, 1ul << n, 0) == 0, "a region bound to node %u", n);
		touch(p, 64);
		check(all_on(p, 64, n), "its pages are on node %u", n);
		snprintf(wanted, sizeof(wanted), "bind:%u anon=64 dirty=64 N%u=64", n, n);
		check(shown(p, line, sizeof(line)) && !strncmp(line, wanted, strlen(wanted)),
		      "numa_maps shows it: %.60s", wanted);
		munmap(p, 64 * PAGE);
	}
}

static void test_turns(void)
{
	unsigned count = (unsigned)__builtin_popcountl(memory), got[NODES] = {};
	char *p = map(60);
	int status[60], want = 0;
	long before = 0, after = 0;

	for (unsigned n = 0; n < nodes; n++)
		before += counter(n, "interleave_hit");
	check(bind(p, 60 * PAGE, INTERLEAVE, memory, 0) == 0, "pages in turn");
	touch(p, 60);
	page_nodes(p, 60, status);
	bool turns = true;
	for (int i = 0; i < 60; i++) {
		got[status[i] & (NODES - 1)]++;
		turns &= status[i] >= 0 && (i < (int)count || status[i] == status[i - (int)count]);
	}
	for (unsigned n = 0; n < nodes; n++)
		want += memory >> n & 1 ? got[n] == 60 / count : got[n] == 0;
	check(turns && want == (int)nodes, "by address, the same for each node");
	for (unsigned n = 0; n < nodes; n++)
		after += counter(n, "interleave_hit");
	check(nodes == 1 || after == before + 60, "interleave_hit counts them");
	munmap(p, 60 * PAGE);
	p = map(60);
	set_policy(WEIGHTED, memory);
	touch(p, 60);
	set_policy(DEFAULT, 0);
	page_nodes(p, 60, status);
	memset(got, 0, sizeof(got));
	for (int i = 0; i < 60; i++)
		got[status[i] & (NODES - 1)]++;
	check(got[__builtin_ctzl(memory)] == 60 / count, "weights are one to begin with");
	munmap(p, 60 * PAGE);
	char path[80];
	unsigned first = (unsigned)__builtin_ctzl(memory);
	snprintf(path, sizeof(path), "/sys/kernel/mm/mempolicy/weighted_interleave/node%u", first);
	check(!write_number(path, 256) && !write_number(path, -1) && number_in(path, "") == 1,
	      "no such weight");
	check(write_number(path, 3) && number_in(path, "") == 3, "node %u weighs 3", first);
	p = map(60);
	bind(p, 60 * PAGE, WEIGHTED, memory, 0);
	touch(p, 60);
	page_nodes(p, 60, status);
	want = 0;
	for (int i = 0; i < 60; i++)
		want += status[i] == (int)first;
	int fair = 60 * 3 / (2 + (int)count);
	check(want >= fair - 2 && want <= fair + 2, "and gives %d of 60 pages", want);
	check(write_number(path, 1), "as it was");
	munmap(p, 60 * PAGE);
}

static void test_split(void)
{
	char *p = map(32), line[200];
	unsigned n = 63 - (unsigned)__builtin_clzl(memory);
	int mode;
	unsigned long set;

	mprotect(p, PAGE, PROT_NONE); /* so that no neighbour joins */
	mprotect(p + 31 * PAGE, PAGE, PROT_NONE);
	p += PAGE;
	check(bind(p + 10 * PAGE, 10 * PAGE, PREFERRED, 1ul << n, 0) == 0,
	      "the middle of a region");
	check(get_policy(&mode, &set, p + 9 * PAGE, GET_ADDR) == 0 && mode == DEFAULT, "before it");
	check(get_policy(&mode, &set, p + 10 * PAGE, GET_ADDR) == 0 && mode == PREFERRED &&
		      set == 1ul << n,
	      "in it");
	check(get_policy(&mode, &set, p + 20 * PAGE, GET_ADDR) == 0 && mode == DEFAULT,
	      "behind it");
	touch(p, 30);
	check(all_on(p + 10 * PAGE, 10, n) && all_on(p, 10, nearest(here, memory)),
	      "pages are where each part says");
	check(get_policy(&mode, NULL, p + 15 * PAGE, GET_ADDR | GET_NODE) == 0 && mode == (int)n,
	      "the node of a page");
	check(bind(p + 10 * PAGE, 10 * PAGE, DEFAULT, 0, 0) == 0 && shown(p, line, sizeof(line)) &&
		      !shown(p + 10 * PAGE, line, sizeof(line)),
	      "one region again");
	munmap(p - PAGE, 32 * PAGE);
}

static void test_moving(void)
{
	unsigned a = (unsigned)__builtin_ctzl(memory), b = 63 - (unsigned)__builtin_clzl(memory);
	char *p = map(200);
	void *pages[200];
	int to[200], status[200];
	unsigned long from = 1ul << a, where = 1ul << b;

	bind(p, 200 * PAGE, BIND, 1ul << a, 0);
	touch(p, 200);
	for (int i = 0; i < 200; i++) {
		pages[i] = p + (unsigned)i * PAGE;
		to[i] = (int)b;
		status[i] = 99;
	}
	check(syscall(SYS_move_pages, 0, 200, pages, to, status, MOVE) == 0 && all_on(p, 200, b),
	      "200 pages from node %u to node %u", a, b);
	check(status[0] == (int)b && status[199] == (int)b && intact(p, 200), "as they were");
	if (a != b)
		check(bind(p, 200 * PAGE, BIND, 1ul << a, STRICT) == -1 && errno == EIO,
		      "strict: pages are elsewhere");
	check(bind(p, 200 * PAGE, BIND, 1ul << a, STRICT | MOVE) == 0 && all_on(p, 200, a) &&
		      intact(p, 200),
	      "mbind moves them back");
	check(syscall(SYS_migrate_pages, 0, 65, &from, &where) == 0 && all_on(p, 200, b) &&
		      intact(p, 200),
	      "migrate_pages moves the whole program");
	check(syscall(SYS_migrate_pages, 0, 65, &where, &from) == 0 && all_on(p, 200, a),
	      "and back");
	int pipes[2];
	if (pipe(pipes))
		return;
	pid_t child = fork();
	if (child == 0) {
		char c;
		_exit(read(pipes[0], &c, 1) == 1 && intact(p, 200) ? 0 : 1);
	}
	long result = syscall(SYS_move_pages, 0, 2, pages, to, status, MOVE);
	check(a == b || (result == 0 && status[0] == -EACCES), "a child has them, too: they stay");
	result = syscall(SYS_move_pages, 0, 200, pages, to, status, MOVE_ALL);
	check(result == 0 && all_on(p, 200, b) && intact(p, 200), "all: moved for this program");
	memset(p, 0, 200 * PAGE);
	check(write(pipes[1], "x", 1) == 1 && status_of(child) == 0,
	      "the child's are as they were");
	munmap(p, 200 * PAGE);
}

/* More than a node has: what is preferred spills to the nearest, what is bound ends. */
static void test_full(void)
{
	unsigned n = 63 - (unsigned)__builtin_clzl(memory);
	unsigned next = nearest(n, memory & ~(1ul << n));
	long before = counter(next, "numa_miss"), foreign = counter(n, "numa_foreign");
	size_t pages = (size_t)free_kib(n) / 4 + 2000;
	char *p = map(pages);
	int status;

	check(bind(p, pages * PAGE, PREFERRED, 1ul << n, 0) == 0, "more than node %u has", n);
	touch(p, pages);
	check(page_nodes(p, 1, &status) == 0 && status == (int)n, "the first is on node %u", n);
	check(page_nodes(p + (pages - 1) * PAGE, 1, &status) == 0 && status == (int)next,
	      "the last on node %u, which is nearest to it", next);
	check(counter(next, "numa_miss") > before + 500 &&
		      counter(n, "numa_foreign") > foreign + 500,
	      "numa_miss, numa_foreign");
	munmap(p, pages * PAGE);
	check(in_child({
		      set_policy(BIND, 1ul << n);
		      char *q = map(pages);
		      touch(q, pages);
	      }) == 128 + 9,
	      "bound to node %u: ended when that is full", n);
	check(free_kib(next) > 8000, "though there is memory on node %u", next);
	p = map(100);
	set_policy(BIND, 1ul << n);
	touch(p, 100);
	set_policy(DEFAULT, 0);
	check(all_on(p, 100, n), "then there is room again");
	munmap(p, 100 * PAGE);
}

int main(int argc, char **argv)
{
	learn();
	test_errors();
	test_move_errors();
	test_told();
	test_nodes();
	test_turns();
	test_split();
	test_moving();
	if (argc > 1 && nodes > 1)
		test_full();
	return tap_end();
}
