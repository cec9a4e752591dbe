/* Address spaces: mapping, faults, protection. */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KIB64 65536ul
#define PAGE 4096ul

static char *area;

static int map_unmap(unsigned long n)
{
	while (n--) {
		void *p = mmap(NULL, KIB64, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || munmap(p, KIB64) != 0)
			return errno;
	}
	return 0;
}

static int touch(unsigned long n, int protection, int write)
{
	area = mmap(NULL, n * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return errno;
	/* One huge-page-sized piece would be another benchmark. */
	madvise(area, n * PAGE, MADV_NOHUGEPAGE);
	volatile char *p = area;
	for (unsigned long i = 0; i < n; i++) {
		if (write)
			p[i * PAGE] = 1;
		else
			(void)p[i * PAGE];
	}
	bench_pause();
	munmap(area, n * PAGE);
	bench_resume();
	return 0;
}

static int fault_write(unsigned long n)
{
	return touch(n, PROT_READ | PROT_WRITE, 1);
}

static int fault_read(unsigned long n)
{
	return touch(n, PROT_READ, 0);
}

static int map_area(void)
{
	area = mmap(NULL, KIB64, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return errno;
	for (unsigned long i = 0; i < KIB64; i += PAGE)
		area[i] = 1;
	return 0;
}

static void unmap_area(void)
{
	munmap(area, KIB64);
}

static int protect_pair(unsigned long n)
{
	while (n--)
		if (mprotect(area, KIB64, PROT_READ) != 0 ||
		    mprotect(area, KIB64, PROT_READ | PROT_WRITE) != 0)
			return errno;
	return 0;
}

/* The call itself: some C libraries refuse sbrk. */
static int brk_pair(unsigned long n)
{
	long start = syscall(SYS_brk, 0);

	while (n--) {
		if (syscall(SYS_brk, start + KIB64) != start + (long)KIB64)
			return ENOMEM;
		*(volatile char *)start = 1;
		if (syscall(SYS_brk, start) != start)
			return ENOMEM;
	}
	return 0;
}

const struct benchmark memory_benchmarks[] = {
	{"fault_anon_write", "first write to an anonymous page", 1024, NULL, fault_write, NULL},
	{"fault_anon_read", "first read of an anonymous page", 1024, NULL, fault_read, NULL},
	{"mmap_munmap_64k", "mmap and munmap of 64 KiB, untouched", 2000, NULL, map_unmap, NULL},
	{"mprotect_pair", "64 KiB to read-only and back", 2000, map_area, protect_pair, unmap_area},
	{"brk_pair", "brk up 64 KiB, touch, down", 2000, NULL, brk_pair, NULL},
};
const size_t memory_benchmark_count = sizeof(memory_benchmarks) / sizeof(memory_benchmarks[0]);
