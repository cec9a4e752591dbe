/*
 * Purgeable memory under real pressure: run on a small machine. What was freed lazily or made volatile
 * goes when another program needs the frames, and nothing else does.
 */
#define _GNU_SOURCE
#include "../../../user/include/tern/memory.h"
#include "numbers.h"
#include "tap.h"
#include <sys/mman.h>

#define PAGE 4096ul
#define MIB (1ul << 20)
#define RW (PROT_READ | PROT_WRITE)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)

static uint64_t pattern(size_t page)
{
	return 0x9e3779b97f4a7c15u * (page + 1);
}

static void fill(uint64_t *p, size_t size)
{
	for (size_t page = 0; page < size / PAGE; page++)
		for (unsigned i = 0; i < PAGE / 8; i++)
			p[page * (PAGE / 8) + i] = pattern(page) + i;
}

static uint64_t *map(size_t size, bool huge)
{
	/* Between guards: a region of its own. */
	char *p = mmap(NULL, size + 2 * PAGE, PROT_NONE, PRIV | MAP_NORESERVE, -1, 0);

	p = mmap(p + PAGE, size, RW, PRIV | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED)
		exit(2);
	if (!huge)
		madvise(p, size, MADV_NOHUGEPAGE);
	fill((uint64_t *)p, size);
	return (uint64_t *)p;
}

/* Pages that hold what was written: all of it; *zero: that read as zeroes; others are wrong. */
static size_t intact(const uint64_t *p, size_t size, size_t *zero)
{
	size_t good = 0;

	*zero = 0;
	for (size_t page = 0; page < size / PAGE; page++, p += PAGE / 8) {
		unsigned same = 0, none = 0;
		for (unsigned i = 0; i < PAGE / 8; i++) {
			same += p[i] == pattern(page) + i;
			none += p[i] == 0;
		}
		good += same == PAGE / 8;
		*zero += none == PAGE / 8;
	}
	return good;
}

/* Another program, which needs `size` bytes at once; its status. It shares nothing with this one: pages
 * that a child has too are not purged. */
static int hog(size_t size)
{
	char word[24];

	snprintf(word, sizeof(word), "%zu", size);
	fflush(stdout);
	pid_t pid = vfork();
	if (pid == 0) {
		execl("/proc/self/exe", "purge", word, NULL);
		_exit(4);
	}
	return status_of(pid);
}

static int be_hog(size_t size)
{
	char *p = mmap(NULL, size, RW, PRIV, -1, 0);

	if (p == MAP_FAILED)
		return 3;
	for (size_t at = 0; at < size; at += PAGE)
		p[at] = 1;
	return 0;
}

static size_t free_bytes(void)
{
	return (size_t)number_in("/proc/meminfo", "MemFree:") * 1024;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return be_hog(strtoul(argv[1], NULL, 10));
	const size_t lazy_size = 8 * MIB, volatile_size = 6 * MIB, kept_size = 2 * MIB;
	size_t zero, good;
	uint64_t *lazy = map(lazy_size, true), *soft = map(volatile_size, false);
	uint64_t *kept = map(kept_size, true), *again = map(kept_size, false);
	uint64_t *back = map(kept_size, false), *locked = map(MIB, false);

	check(madvise(lazy, lazy_size, MADV_FREE) == 0, "8 MiB are freed lazily");
	check(madvise(soft, volatile_size, MADV_TERN_VOLATILE) == 0, "6 MiB are volatile");
	check(intact(lazy, lazy_size, &zero) == lazy_size / PAGE &&
		      intact(soft, volatile_size, &zero) == volatile_size / PAGE,
	      "without pressure all of it is there");
	check(madvise(again, kept_size, MADV_FREE) == 0, "2 MiB are freed lazily");
	for (size_t page = 0; page < kept_size / PAGE; page++)
		again[page * (PAGE / 8) + 7] = pattern(page) + 7; /* what it was */
	check(madvise(back, kept_size, MADV_TERN_VOLATILE) == 0 &&
		      madvise(back, kept_size, MADV_TERN_NONVOLATILE) == 0,
	      "2 MiB are volatile and then not: nothing was purged");
	check(mlock(locked, MIB) == 0 && madvise(locked, MIB, MADV_FREE) < 0 && errno == EINVAL &&
		      madvise(locked, MIB, MADV_TERN_VOLATILE) < 0 && errno == EINVAL,
	      "locked memory is not purgeable");

	size_t size = free_bytes() + 9 * MIB;
	int status = hog(size);
	check(status == 0, "another program gets %zu MiB, 9 more than are free (%d)", size / MIB,
	      status);
	good = intact(lazy, lazy_size, &zero);
	check(good + zero == lazy_size / PAGE && zero > 0,
	      "of the lazily freed pages %zu are there, %zu are zeroes", good, zero);
	size_t gone = zero;
	good = intact(soft, volatile_size, &zero);
	gone += zero;
	check(good + zero == volatile_size / PAGE,
	      "of the volatile pages %zu are there, %zu are zeroes", good, zero);
	check(gone >= 8 * MIB / PAGE, "together they gave what was missing: %zu pages", gone);
	check(madvise(soft, volatile_size, MADV_TERN_NONVOLATILE) == (zero > 0),
	      "non-volatile: told whether pages have gone");
	check(madvise(soft, volatile_size, MADV_TERN_NONVOLATILE) == 0, "once");
	check(intact(kept, kept_size, &zero) == kept_size / PAGE, "ordinary pages stay");
	check(intact(again, kept_size, &zero) == kept_size / PAGE,
	      "those that were written again, too");
	check(intact(back, kept_size, &zero) == kept_size / PAGE,
	      "those non-volatile in time, too");
	check(intact(locked, MIB, &zero) == MIB / PAGE, "locked ones, too");

	/* Volatile once more, then all of it written: it goes as well. */
	fill(soft, volatile_size);
	check(madvise(soft, volatile_size, MADV_TERN_VOLATILE) == 0, "volatile once more");
	fill(soft, volatile_size);
	munmap(lazy, lazy_size);
	size = free_bytes() + 3 * MIB;
	check(hog(size) == 0 && madvise(soft, volatile_size, MADV_TERN_NONVOLATILE) == 1,
	      "and purged, although it was written meanwhile");
	good = intact(soft, volatile_size, &zero);
	check(good + zero == volatile_size / PAGE && zero >= 2 * MIB / PAGE, "in whole pages: %zu",
	      zero);

	/* Shared by a fork: purged for both or for none, never for one half. */
	fill(soft, volatile_size);
	check(in_child({
		      madvise(soft, volatile_size, MADV_FREE);
		      int got = hog(free_bytes() + MIB / 2);
		      if (got != 0 && got != 128 + 9)
			      _exit(1);
		      good = intact(soft, volatile_size, &zero);
		      _exit(good + zero != volatile_size / PAGE);
	      }) == 0 &&
		      intact(soft, volatile_size, &zero) == volatile_size / PAGE,
	      "a child's advice does not touch its parent's pages");
	return tap_end();
}
