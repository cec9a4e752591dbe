/*
 * The figures of /proc/PID/{maps,smaps,smaps_rollup,statm,status}, against what must come out: known
 * maps, touches and forks. All but what is Tern's own holds on Linux too (which counts LazyFree late, and
 * has a region in smaps that VmSize has not).
 */
#define _GNU_SOURCE
#include "../../../user/include/tern/memory.h"
#include "tap.h"
#include <fcntl.h>
#include <sys/mman.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHAR (MAP_SHARED | MAP_ANONYMOUS)

static char text[1 << 18];

static const char *contents(int pid, const char *file)
{
	char path[64];
	size_t size = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid ? pid : getpid(), file);
	int fd = open(path, O_RDONLY);
	while (fd >= 0 && (n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)n;
	close(fd);
	text[size] = 0;
	return text;
}

/* The number after `name` at the start of a line, from `at` on up to `end` (null: all). */
static long number(const char *at, const char *end, const char *name)
{
	for (; at && (!end || at < end); at = strchr(at, '\n'), at += at != NULL)
		if (strncmp(at, name, strlen(name)) == 0)
			return strtol(at + strlen(name), NULL, 10);
	return -1;
}

/* The entry of the region that begins at p, as text. */
static const char *entry(int pid, const void *p, const char **end)
{
	char start[32];

	snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
	const char *at = contents(pid, "smaps");
	while (at && strncmp(at, start, strlen(start)) != 0)
		at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
	const char *flags = at ? strstr(at, "VmFlags:") : NULL;
	*end = flags ? strchr(flags, '\n') : NULL;
	return at;
}

static long kb(int pid, const void *p, const char *name)
{
	const char *end, *at = entry(pid, p, &end);
	return at ? number(at, end, name) : -2;
}

static bool has_flag(const void *p, const char *flag)
{
	const char *end, *at = entry(0, p, &end);
	char line[256] = "", word[8];

	at = at ? strstr(at, "VmFlags:") : NULL;
	if (!at)
		return false;
	memcpy(line, at, (size_t)(end - at) < sizeof(line) ? (size_t)(end - at) : 0);
	strcat(line, " ");
	snprintf(word, sizeof(word), " %s ", flag);
	return strstr(line, word) != NULL;
}

struct want {
	const char *name;
	long kb;
};

/* All that a list names must be as it says. */
static bool all(int pid, const void *p, const struct want *w)
{
	bool good = true;

	for (; w->name; w++) {
		long got = kb(pid, p, w->name);
		if (got != w->kb) {
			printf("# %s %ld, not %ld\n", w->name, got, w->kb);
			good = false;
		}
	}
	return good;
}
#define ALL(pid, p, ...) all(pid, p, (const struct want[]){__VA_ARGS__, {NULL, 0}})

/* A mapping that touches no other. */
static char *map(unsigned pages, int prot, int flags, int fd)
{
	char *p = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, PRIV | MAP_NORESERVE, -1, 0);
	return mmap(p + PAGE, pages * PAGE, prot, flags | MAP_FIXED, fd, 0);
}

static void touch(char *p, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		*(volatile char *)(p + i * PAGE) = (char)(i + 1);
}

static void look(char *p, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		(void)*(volatile char *)(p + i * PAGE);
}

/* A child that does as it is told, one letter at a time. */
struct child {
	pid_t pid;
	int to, from;
};

static struct child start(char *p)
{
	struct child c;
	int down[2], up[2];
	char order;

	if (pipe(down) || pipe(up))
		exit(2);
	fflush(stdout);
	c.pid = fork();
	if (c.pid == 0) {
		while (read(down[0], &order, 1) == 1 && order != 'e') {
			if (order == 'w')
				touch(p, 0, 2);
			else if (order == 'r')
				look(p, 0, 8);
			else if (order == 'u')
				munmap(p, 8 * PAGE);
			if (write(up[1], &order, 1) != 1)
				break;
		}
		_exit(0);
	}
	c.to = down[1];
	c.from = up[0];
	return c;
}

static void order(struct child *c, char what)
{
	if (write(c->to, &what, 1) != 1)
		exit(2);
	if (what == 'e')
		waitpid(c->pid, NULL, 0);
	else if (read(c->from, &what, 1) != 1)
		exit(2);
}

static void test_private(void)
{
	char *p = map(10, RW, PRIV, -1);

	look(p, 7, 3);
	check(ALL(0, p, {"Size:", 40}, {"Rss:", 0}, {"Anonymous:", 0}),
	      "pages that were only read are the page of zeroes");
	touch(p, 0, 4);
	check(ALL(0, p, {"Size:", 40}, {"Rss:", 16}, {"Pss:", 16}, {"Shared_Clean:", 0},
		  {"Shared_Dirty:", 0}, {"Private_Clean:", 0}, {"Private_Dirty:", 16},
		  {"Referenced:", 16}, {"Anonymous:", 16}, {"LazyFree:", 0}, {"Locked:", 0},
		  {"AnonHugePages:", 0}, {"Swap:", 0}),
	      "four written pages");
	struct child a = start(p);
	check(ALL(0, p, {"Rss:", 16}, {"Pss:", 8}, {"Shared_Dirty:", 16}, {"Private_Dirty:", 0},
		  {"Anonymous:", 16}),
	      "after a fork: shared by two");
	check(ALL(a.pid, p, {"Rss:", 16}, {"Pss:", 8}, {"Shared_Dirty:", 16},
		  {"Private_Dirty:", 0}),
	      "and the child says the same");
	order(&a, 'w');
	check(ALL(0, p, {"Rss:", 16}, {"Pss:", 12}, {"Shared_Dirty:", 8}, {"Private_Dirty:", 8}) &&
		      ALL(a.pid, p, {"Rss:", 16}, {"Pss:", 12}, {"Shared_Dirty:", 8},
			  {"Private_Dirty:", 8}),
	      "the child has written to two of them");
	touch(p, 2, 1);
	check(ALL(0, p, {"Pss:", 14}, {"Shared_Dirty:", 4}, {"Private_Dirty:", 12}),
	      "and the parent to one");
	struct child b = start(p), c = start(p);
	check(ALL(0, p, {"Rss:", 16}, {"Pss:", 4}, {"Shared_Dirty:", 16}),
	      "two more children: one page by four, three by three (a little less than 5)");
	order(&b, 'u');
	check(ALL(0, p, {"Pss:", 7}, {"Shared_Dirty:", 16}) && kb(b.pid, p, "Rss:") == -2,
	      "one of them unmaps it");
	order(&a, 'e');
	order(&b, 'e');
	order(&c, 'e');
	check(ALL(0, p, {"Pss:", 16}, {"Shared_Dirty:", 0}, {"Private_Dirty:", 16}),
	      "they are gone: all is the parent's own again");
	madvise(p, 2 * PAGE, MADV_DONTNEED);
	check(ALL(0, p, {"Rss:", 8}, {"Private_Dirty:", 8}), "two pages are discarded");
}

static void test_shared(void)
{
	char *p = map(8, RW, SHAR, -1);

	touch(p, 0, 5);
	check(ALL(0, p, {"Rss:", 20}, {"Pss:", 20}, {"Private_Dirty:", 20}, {"Shared_Dirty:", 0},
		  {"Anonymous:", 0}),
	      "shared memory, five pages written");
	struct child a = start(p);
	check(kb(a.pid, p, "Rss:") == 0, "a child has not looked at it yet");
	order(&a, 'w');
	touch(p, 0, 5);
	long seen = kb(a.pid, p, "Rss:");
	check(seen >= 8 && seen <= 20 &&
		      ALL(0, p, {"Rss:", 20}, {"Pss:", 20 - seen / 2}, {"Shared_Dirty:", seen},
			  {"Private_Dirty:", 20 - seen}),
	      "it has, to %ld KiB: shared by two", seen);
	order(&a, 'e');
	check(ALL(0, p, {"Pss:", 20}, {"Private_Dirty:", 20}), "alone again");
}

static void test_file(void)
{
	char name[] = "/tmp/figures.XXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	for (int i = 0; i < 8; i++)
		if (pwrite(fd, name, sizeof(name), i * (off_t)PAGE) < 0)
			exit(2);
	char *p = map(8, RW, MAP_PRIVATE, fd);
	touch(p, 0, 3);
	check(ALL(0, p, {"Anonymous:", 12}), "three pages of a private file written");
	look(p, 0, 8);
	check(ALL(0, p, {"Rss:", 32}, {"Pss:", 32}, {"Anonymous:", 12}), "all eight read");
	close(fd);
}

static void test_lazy(void)
{
	char *p = map(8, RW, PRIV, -1);

	touch(p, 0, 8);
	check(madvise(p, 4 * PAGE, MADV_FREE) == 0, "MADV_FREE of four pages");
	check(ALL(0, p, {"Rss:", 32}, {"LazyFree:", 16}, {"Private_Clean:", 16}, {"Pss_Dirty:", 16},
		  {"Private_Dirty:", 16}, {"Anonymous:", 32}),
	      "they are clean and lazily freed");
	look(p, 0, 4);
	check(p[0] == 1 && p[PAGE] == 2 && kb(0, p, "LazyFree:") == 16,
	      "reading does not change it");
	touch(p, 1, 1);
	check(ALL(0, p, {"Rss:", 32}, {"LazyFree:", 12}, {"Private_Dirty:", 20}),
	      "writing does, for that page");
	if (kb(0, p, "Volatile:") < 0)
		return; /* Linux */
	check(ALL(0, p, {"Volatile:", 0}, {"Nonvolatile:", 32}), "nothing is volatile");
	check(madvise(p, 8 * PAGE, MADV_TERN_VOLATILE) == 0 &&
		      ALL(0, p, {"Rss:", 32}, {"Volatile:", 32}, {"Nonvolatile:", 0}),
	      "all of it is");
	check(madvise(p, 8 * PAGE, MADV_TERN_NONVOLATILE) == 0 &&
		      ALL(0, p, {"Volatile:", 0}, {"Nonvolatile:", 32}) && p[7 * PAGE] == 8,
	      "made non-volatile: nothing was purged");
}

static void test_lock(void)
{
	char *p = map(8, RW, PRIV, -1);
	long before = number(contents(0, "status"), NULL, "VmLck:");

	check(mlock(p, 8 * PAGE) == 0 && ALL(0, p, {"Rss:", 32}, {"Locked:", 32}) &&
		      has_flag(p, "lo"),
	      "mlock brings pages in, and they count as locked");
	check(number(contents(0, "status"), NULL, "VmLck:") == before + 32, "VmLck");
	check(munlock(p + 4 * PAGE, 4 * PAGE) == 0 && kb(0, p, "Locked:") == 16 &&
		      kb(0, p + 4 * PAGE, "Locked:") == 0 &&
		      number(contents(0, "status"), NULL, "VmLck:") == before + 16,
	      "half is unlocked");
	check(munlock(p, 8 * PAGE) == 0 && kb(0, p, "Size:") == 32, "the rest: one region again");
	char *q = map(8, RW, PRIV, -1);
	check(mlock2(q, 8 * PAGE, MLOCK_ONFAULT) == 0 && kb(0, q, "Rss:") == 0,
	      "MLOCK_ONFAULT: when they are touched");
	touch(q, 0, 3);
	check(kb(0, q, "Locked:") == 12, "three were");
	check(mlockall(MCL_FUTURE) == 0, "mlockall(MCL_FUTURE)");
	char *r = map(4, RW, PRIV, -1);
	char *top = sbrk((intptr_t)(3 * PAGE));
	check(ALL(0, r, {"Rss:", 16}, {"Locked:", 16}), "what is mapped afterwards is locked");
	check(top != (void *)-1 &&
		      number(contents(0, "status"), NULL, "VmLck:") >= before + 24 + 16 + 12,
	      "and what brk adds");
	check(in_child(_exit(number(contents(0, "status"), NULL, "VmLck:") != 0)) == 0,
	      "a child has nothing locked");
	check(munlockall() == 0 && number(contents(0, "status"), NULL, "VmLck:") == 0,
	      "munlockall");
}

static void test_flags(void)
{
	static const struct {
		int advice, undo;
		const char *flag;
	} rows[] = {{MADV_SEQUENTIAL, MADV_NORMAL, "sr"},
		    {MADV_RANDOM, MADV_NORMAL, "rr"},
		    {MADV_DONTFORK, MADV_DOFORK, "dc"},
		    {MADV_WIPEONFORK, MADV_KEEPONFORK, "wf"},
		    {MADV_DONTDUMP, MADV_DODUMP, "dd"}};
	char *p = map(8, RW, PRIV, -1);
	bool good = true;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		good &= madvise(p + 2 * PAGE, 2 * PAGE, rows[i].advice) == 0 &&
			has_flag(p + 2 * PAGE, rows[i].flag) && !has_flag(p, rows[i].flag) &&
			kb(0, p, "Size:") == 8 && kb(0, p + 4 * PAGE, "Size:") == 16;
		good &= madvise(p, 8 * PAGE, rows[i].undo) == 0 && !has_flag(p, rows[i].flag) &&
			kb(0, p, "Size:") == 32;
	}
	check(good, "VmFlags of advice, on a part, and taken back");
	check(has_flag(p, "rd") && has_flag(p, "wr") && !has_flag(p, "ex") && !has_flag(p, "sh") &&
		      has_flag(p, "mr") && has_flag(p, "mw") && has_flag(p, "me") &&
		      has_flag(p, "ac"),
	      "VmFlags of rights");
	touch(p, 0, 8);
	madvise(p, 2 * PAGE, MADV_DONTFORK);
	madvise(p + 2 * PAGE, 2 * PAGE, MADV_WIPEONFORK);
	check(in_child(_exit(p[2 * PAGE] == 0 && p[3 * PAGE] == 0 && p[4 * PAGE] == 5 &&
			     kb(0, p, "Size:") == -2 && kb(0, p + 2 * PAGE, "Rss:") == 0)) == 1 &&
		      p[2 * PAGE] == 3,
	      "a child has not what is DONTFORK, and empty what is WIPEONFORK");
}

/* Adds up `name` over all of smaps. */
static long sum(const char *smaps, const char *name)
{
	long total = 0;

	for (const char *at = smaps; at; at = strchr(at, '\n'), at += at != NULL)
		if (strncmp(at, name, strlen(name)) == 0)
			total += strtol(at + strlen(name), NULL, 10);
	return total;
}

static void test_sums(void)
{
	static char smaps[sizeof(text)], rollup[4096];
	static const char *const names[] = {
		"Rss:",           "Shared_Clean:", "Shared_Dirty:", "Private_Clean:",
		"Private_Dirty:", "Referenced:",   "Anonymous:",    "LazyFree:"};
	/* Of a child that sleeps: nothing moves. */
	struct child c = start(NULL);
	long size, rss, shared, textual, lib, data;

	/* What is written here from now on is the parent's own already. */
	memset(smaps, 1, sizeof(smaps));
	memset(rollup, 1, sizeof(rollup));
	memset(text, 1, sizeof(text));
	order(&c, 'x');
	memcpy(smaps, contents(c.pid, "smaps"), sizeof(smaps));
	strncpy(rollup, contents(c.pid, "smaps_rollup"), sizeof(rollup) - 1);
	bool good = true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (number(rollup, NULL, names[i]) != sum(smaps, names[i])) {
			printf("# %s\n", names[i]);
			good = false;
		}
	check(good, "smaps_rollup is the sum of smaps");
	const char *status = contents(c.pid, "status");
	check(number(status, NULL, "VmSize:") == sum(smaps, "Size:") &&
		      number(status, NULL, "VmPeak:") >= number(status, NULL, "VmSize:"),
	      "VmSize is the sum of sizes");
	check(number(status, NULL, "VmRSS:") == sum(smaps, "Rss:") &&
		      number(status, NULL, "RssAnon:") == sum(smaps, "Anonymous:") &&
		      number(status, NULL, "VmRSS:") == number(status, NULL, "RssAnon:") +
								number(status, NULL, "RssFile:") +
								number(status, NULL, "RssShmem:"),
	      "VmRSS is the sum of Rss");
	long vm_data = number(status, NULL, "VmData:"), stack = number(status, NULL, "VmStk:");
	sscanf(contents(c.pid, "statm"), "%ld %ld %ld %ld %ld %ld", &size, &rss, &shared, &textual,
	       &lib, &data);
	check(size * 4 == sum(smaps, "Size:") && rss * 4 == sum(smaps, "Rss:") &&
		      shared * 4 == sum(smaps, "Rss:") - sum(smaps, "Anonymous:") && lib == 0 &&
		      data * 4 == vm_data + stack,
	      "statm says the same in pages");
	order(&c, 'e');
}

int main(void)
{
	test_private();
	test_shared();
	test_file();
	test_lazy();
	test_lock();
	test_flags();
	test_sums();
	return tap_end();
}
