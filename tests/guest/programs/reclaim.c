/*
 * Watermarks: below low, what programs can do without goes, by a thread of the kernel, until free memory is above
 * high again. To be run with little memory (64 MiB).
 */
#define _GNU_SOURCE
#include "numbers.h"
#include "tap.h"
#include <sys/mman.h>

#define PAGE 4096ul
#define MIB (1ul << 20)
#define LAZY (16 * MIB)

static char *map(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(p, size, MADV_NOHUGEPAGE);
	return p == MAP_FAILED ? NULL : p;
}

/* The sum of a line of all zones. */
static long zones(const char *name)
{
	char line[100], word[40];
	long sum = 0, v;
	FILE *f = fopen("/proc/zoneinfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " %39s %ld", word, &v) == 2 && !strcmp(word, name))
			sum += v;
	if (f)
		fclose(f);
	return sum;
}

static long vmstat(const char *name)
{
	return number_in("/proc/vmstat", name);
}

int main(void)
{
	long low = zones("low"), high = zones("high"), min = zones("min");
	long wakes = vmstat("pageoutrun "), scan = vmstat("pgscan_kswapd "),
	     steal = vmstat("pgsteal_kswapd ") + vmstat("pgsteal_direct ");
	char *lazy = map(LAZY);

	check(min > 0 && min < low && low < high, "watermarks: %ld %ld %ld", min, low, high);
	check(wakes >= 0 && scan >= 0 && steal >= 0, "counters");
	memset(lazy, 1, LAZY);
	check(madvise(lazy, LAZY, MADV_FREE) == 0 && lazy[LAZY / 2] == 1, "16 MiB, lazily freed");
	check(zones("low") == low, "marks stay where they are");
	/* Down to the low mark and below it. */
	size_t size = (size_t)vmstat("nr_free_pages ") * PAGE + 4 * MIB;
	char *p = map(size);
	for (size_t i = 0; i < size; i += PAGE)
		p[i] = 2;
	sleep_ms(50);
	check(vmstat("pageoutrun ") > wakes, "the thread ran");
	check(vmstat("pgscan_kswapd ") > scan, "it asked");
	long got = vmstat("pgsteal_kswapd ") + vmstat("pgsteal_direct ") - steal;
	check(got >= 4 * (long)(MIB / PAGE), "and was given: %ld", got);
	size_t gone = 0, there = 0;
	for (size_t i = 0; i < LAZY; i += PAGE)
		++*(lazy[i] ? &there : &gone);
	check(gone >= 4 * MIB / PAGE / 2, "lazily freed pages have gone: %zu", gone);
	check(there > 0, "not all of them: %zu stay", there);
	bool whole = true;
	for (size_t i = 0; i < size; i += PAGE)
		whole &= p[i] == 2;
	check(whole, "what was written is there");
	munmap(p, size);
	check(vmstat("nr_free_pages ") > high, "free memory is above high");
	return tap_end();
}
