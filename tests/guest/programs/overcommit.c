/* What may be promised: the three modes of overcommit, and a count that comes out even. */
#define _GNU_SOURCE
#include "numbers.h"
#include "tap.h"
#include <fcntl.h>
#include <sys/mman.h>

#define PAGE 4096ul
#define KIB 1024ul
#define MIB (1ul << 20)
#define RW (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)

static long meminfo(const char *name)
{
	return number_in("/proc/meminfo", name);
}

static bool set(const char *name, long value)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/vm/overcommit_%s", name);
	return write_number(path, value);
}

static long get(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/vm/overcommit_%s", name);
	return number_in(path, "");
}

static char *map(size_t size, int protection, int flags)
{
	char *p = mmap(NULL, size, protection, flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool maps(size_t size, int protection, int flags)
{
	char *p = map(size, protection, flags);

	if (p)
		munmap(p, size);
	return p;
}

static void test_settings(void)
{
	check(get("memory") == 0 && get("ratio") == 50 && get("kbytes") == 0,
	      "mode 0, half of memory");
	long limit = meminfo("CommitLimit:"), total = meminfo("MemTotal:");
	check(limit > total / 2 - 8 && limit <= total / 2, "CommitLimit is that half");
	check(!set("memory", 3) && !set("memory", -1) && get("memory") == 0, "there is no mode 3");
	check(set("ratio", 80) && meminfo("CommitLimit:") / 8 >= total / 10 - 8, "another ratio");
	check(set("kbytes", 40000) && meminfo("CommitLimit:") == 40000 && get("ratio") == 0,
	      "kbytes instead of a ratio");
	check(set("ratio", 50) && get("kbytes") == 0 && meminfo("CommitLimit:") == limit,
	      "and back");
}

static void test_modes(void)
{
	size_t all = (size_t)meminfo("MemTotal:") * KIB;

	check(!maps(all + MIB, RW, PRIVATE) && errno == ENOMEM,
	      "mode 0: more than there is, refused");
	check(!maps(all + MIB, RW, SHARED) && errno == ENOMEM, "shared memory, too");
	check(maps(all + MIB, RW, PRIVATE | MAP_NORESERVE), "MAP_NORESERVE: granted");
	check(maps(all + MIB, PROT_READ, PRIVATE), "and what is not writable");
	char *p = map(all - MIB, RW, PRIVATE);
	char *q = map(all - MIB, RW, PRIVATE);
	check(p && q, "twice what there is, in two requests");
	/* Other rights at the ends of one, else they may be one region, too large to fork. */
	check(mprotect(q, PAGE, PROT_READ) == 0 &&
		      mprotect(q + all - MIB - PAGE, PAGE, PROT_READ) == 0,
	      "with other rights at the ends of one");
	check(in_child(_exit(7)) == 7, "and a fork of that");
	munmap(p, all - MIB);
	munmap(q, all - MIB);
	p = map(all + MIB, PROT_NONE, PRIVATE);
	check(p && mprotect(p, all + MIB, RW) < 0 && errno == ENOMEM, "mprotect is asked as mmap");
	check(mprotect(p, all / 2, RW) == 0, "and may grant a part");
	munmap(p, all + MIB);

	set("memory", 1);
	check(maps(all * 20, RW, PRIVATE), "mode 1: twenty times what there is");

	set("memory", 2);
	size_t limit = (size_t)meminfo("CommitLimit:") * KIB;
	check(!maps(limit, RW, PRIVATE) && errno == ENOMEM, "mode 2: not all of the limit at once");
	check(!maps(limit, RW, PRIVATE | MAP_NORESERVE) && errno == ENOMEM,
	      "MAP_NORESERVE changes nothing");
	check(maps(limit, PROT_READ, PRIVATE), "what is not writable is free");
	size_t left = (size_t)(meminfo("CommitLimit:") - meminfo("Committed_AS:")) * KIB;
	check(maps(left * 3 / 4, RW, PRIVATE) && maps(left * 3 / 4, RW, SHARED),
	      "three quarters of what is left, one after the other");
	p = map(left * 3 / 4, RW, PRIVATE);
	check(p && fork() < 0 && errno == ENOMEM, "then a fork is refused");
	check(mremap(p, left * 3 / 4, left * 2, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM,
	      "and to grow");
	q = mremap(p, left * 3 / 4, left / 2, 0);
	check(q == p && maps(left / 4, RW, PRIVATE), "what shrinks leaves room");
	munmap(p, left / 2);
	check((long)sbrk((intptr_t)limit) == -1 && errno == ENOMEM, "brk is refused");
	set("memory", 0);
}

static void count_one(const char *what, long kib, long before)
{
	long grown = meminfo("Committed_AS:") - before;

	check(grown >= kib && grown < kib + 64, "%s counts (%ld kB)", what, grown);
}

static void test_count(void)
{
	long before = meminfo("Committed_AS:");
	char *p = map(4 * MIB, RW, PRIVATE);
	count_one("private memory", 4096, before);
	mprotect(p, 4 * MIB, PROT_READ);
	count_one("also when it is read-only again,", 4096, before);
	munmap(p, 4 * MIB);
	p = map(4 * MIB, RW, SHARED);
	count_one("shared memory", 4096, before);
	munmap(p, 4 * MIB);
	p = map(4 * MIB, RW, SHARED | MAP_NORESERVE);
	count_one("MAP_NORESERVE: nothing", 0, before);
	memset(p, 1, MIB);
	count_one("but its pages, once they are there,", 1024, before);
	munmap(p, 4 * MIB);
	int fd = open("/tmp/overcommit", O_RDWR | O_CREAT | O_TRUNC, 0600);
	p = map(MIB, RW, PRIVATE);
	check(write(fd, p, MIB) == (ssize_t)MIB, "a file of 1 MiB");
	munmap(p, MIB);
	count_one("tmpfs", 1024, before);
	ftruncate(fd, 0);
	close(fd);
	unlink("/tmp/overcommit");
	count_one("nothing", 0, before);
}

static unsigned seed = 1;

static unsigned below(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static void live(int depth)
{
	char *area = map(256 * PAGE, PROT_NONE, PRIVATE);

	for (int n = 0; n < 120; n++) {
		char *at = area + below(200) * PAGE;
		size_t size = (1 + below(40)) * PAGE;
		switch (below(7)) {
		case 0:
			mmap(at, size, RW, PRIVATE | MAP_FIXED, -1, 0);
			break;
		case 1:
			mmap(at, size, RW, SHARED | MAP_FIXED, -1, 0);
			break;
		case 2:
			mprotect(at, size, below(2) ? RW : PROT_READ);
			break;
		case 3:
			munmap(at, size);
			break;
		case 4:
			mremap(at, size, (1 + below(60)) * PAGE, MREMAP_MAYMOVE);
			break;
		case 5:
			sbrk((intptr_t)(below(16) * PAGE));
			break;
		case 6:
			if (depth < 3 && below(4) == 0 && fork() == 0) {
				seed += (unsigned)getpid();
				live(depth + 1);
			}
			break;
		}
	}
	while (wait(NULL) > 0)
		;
	if (depth)
		_exit(0);
}

static void test_even(void)
{
	int status = in_child(live(1)); /* what is allocated once is there */
	long before = meminfo("Committed_AS:"), after = 0;

	for (unsigned i = 0; i < 6; i++) {
		seed = i * 77;
		status |= in_child(live(1));
	}
	/* The last of them may still be on its way out when its parent has gone. */
	for (int i = 0; i < 100 && (after = meminfo("Committed_AS:")) != before; i++)
		sleep_ms(20);
	check(status == 0 && after == before, "random lives leave nothing behind (%ld, %ld kB)",
	      before, after);
}

int main(void)
{
	test_settings();
	test_modes();
	test_count();
	test_even();
	return tap_end();
}
