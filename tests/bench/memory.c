/* Address spaces: mapping, faults, protection. */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KIB64 65536ul
#define FILE_PAGES 1024ul
#define HUGE (2ul << 20)

static char *area;
static int fd;

static int map_unmap(unsigned long n)
{
	while (n--) {
		void *p = mmap(NULL, KIB64, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);
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

static int make_file(void)
{
	static const char page[PAGE] = {1};

	fd = open("/tmp/bench-mapped", O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return errno;
	for (unsigned long i = 0; i < FILE_PAGES; i++)
		if (write(fd, page, PAGE) != (ssize_t)PAGE)
			return errno;
	return 0;
}

static void remove_file(void)
{
	close(fd);
	unlink("/tmp/bench-mapped");
}

/* The pages are in memory; a kernel may map neighbours along with the one that faulted. */
static int fault_file(unsigned long n)
{
	area = mmap(NULL, FILE_PAGES * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	if (area == MAP_FAILED)
		return errno;
	for (unsigned long i = 0; i < n; i++)
		(void)((volatile char *)area)[i % FILE_PAGES * PAGE];
	bench_pause();
	munmap(area, FILE_PAGES * PAGE);
	bench_resume();
	return 0;
}

/* A child that only waits has the same pages; then the parent writes to them. */
static int fault_cow(unsigned long n)
{
	int gate[2];
	char c;

	bench_pause();
	area = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || pipe(gate) != 0)
		return errno;
	madvise(area, n * PAGE, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < n; i++)
		((volatile char *)area)[i * PAGE] = 1;
	pid_t child = fork();
	if (child == 0) {
		close(gate[1]);
		_exit(read(gate[0], &c, 1) != 0);
	}
	close(gate[0]);
	bench_resume();
	for (unsigned long i = 0; i < n; i++)
		((volatile char *)area)[i * PAGE] = 2;
	bench_pause();
	close(gate[1]);
	int err = reap(child);
	munmap(area, n * PAGE);
	bench_resume();
	return err;
}

/* Aligned, with huge pages asked for; null: no memory. */
static char *huge_area(unsigned long size)
{
	char *p =
		mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	char *at = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	if (at > p)
		munmap(p, (size_t)(at - p));
	munmap(at + size, (size_t)(p + HUGE - at));
	madvise(at, size, MADV_HUGEPAGE);
	return at;
}

static int fault_huge(unsigned long n)
{
	bench_pause();
	char *p = huge_area(n * HUGE);
	if (!p)
		return ENOMEM;
	bench_resume();
	for (unsigned long i = 0; i < n; i++)
		((volatile char *)p)[i * HUGE] = 1;
	bench_pause();
	munmap(p, n * HUGE);
	bench_resume();
	return 0;
}

/* The whole life of one, and of its pages. */
static int huge_cycle(unsigned long n)
{
	bench_pause();
	char *p = huge_area(HUGE);
	if (!p)
		return ENOMEM;
	munmap(p, HUGE);
	bench_resume();
	while (n--) {
		if (mmap(p, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) != p)
			return errno;
		for (unsigned long i = 0; i < HUGE; i += PAGE)
			((volatile char *)p)[i] = 1;
		munmap(p, HUGE);
	}
	return 0;
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

static const struct benchmark table[] = {
	{"fault_anon_write", "first write to an anonymous page", 1024, NULL, fault_write, NULL},
	{"fault_anon_read", "first read of an anonymous page", 1024, NULL, fault_read, NULL},
	{"fault_file", "access to each page of a mapped file in tmpfs", FILE_PAGES, make_file,
	 fault_file, remove_file},
	{"fault_cow", "first write to a page shared since fork", 1024, NULL, fault_cow, NULL},
	{"fault_huge", "first write to 2 MiB with huge pages asked for", 16, NULL, fault_huge,
	 NULL},
	{"huge_cycle", "mmap of 2 MiB, a write to each page, munmap", 16, NULL, huge_cycle, NULL},
	{"mmap_munmap_64k", "mmap and munmap of 64 KiB, untouched", 2000, NULL, map_unmap, NULL},
	{"mprotect_pair", "64 KiB to read-only and back", 2000, map_area, protect_pair, unmap_area},
	{"brk_pair", "brk up 64 KiB, touch, down", 2000, NULL, brk_pair, NULL},
};
const struct group memory_group = {table, sizeof(table) / sizeof(table[0])};
