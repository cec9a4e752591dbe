/*
 * Faults and memory errors (VM-17, VM-24): the signal, its code and address for each kind; fault-around,
 * copy-on-write by its last owner, the growth of stacks, holes of files; and that after each error the
 * program goes on. All of it holds on Linux.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)
#define KERNEL 0x80 /* SI_KERNEL: where the CPU tells no address */

static sigjmp_buf escape;
static volatile int got_signal, got_code;
static char *volatile got_address;

static void on_fault(int signo, siginfo_t *info, void *context)
{
	got_signal = signo;
	got_code = info->si_code;
	got_address = info->si_addr;
	siglongjmp(escape, 1);
}

static bool touch(char *p, bool write)
{
	got_signal = got_code = 0;
	if (sigsetjmp(escape, 1))
		return false;
	if (write)
		*(volatile char *)p = 1;
	else
		(void)*(volatile char *)p;
	return true;
}

/* The access is refused with just this. */
static bool refused(char *p, bool write, int signo, int code)
{
	return !touch(p, write) && got_signal == signo && got_code == code && got_address == p;
}

static bool runs(char *p)
{
	got_signal = got_code = 0;
	if (sigsetjmp(escape, 1))
		return false;
	((void (*)(void))p)();
	return true;
}

static char *map(size_t pages, int prot, int flags, int fd)
{
	char *p = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, PRIV | MAP_NORESERVE, -1, 0);

	return mmap(p + PAGE, pages * PAGE, prot, flags | MAP_FIXED, fd, 0);
}

static int file_of(size_t size)
{
	char name[] = "/tmp/faults.XXXXXX", page[PAGE];
	int fd = mkstemp(name);

	unlink(name);
	memset(page, 'f', sizeof(page));
	for (size_t at = 0; at < size; at += PAGE)
		if (pwrite(fd, page, size - at < PAGE ? size - at : PAGE, (off_t)at) < 0)
			exit(2);
	return fd;
}

static void test_signals(void)
{
	char *p = map(4, RW, PRIV, -1);

	check(munmap(p + PAGE, PAGE) == 0 && refused(p + PAGE + 5, false, SIGSEGV, SEGV_MAPERR) &&
		      refused(p + PAGE + 5, true, SIGSEGV, SEGV_MAPERR),
	      "nothing there: SEGV_MAPERR, with the address to the byte");
	check(refused((char *)8, false, SIGSEGV, SEGV_MAPERR), "a null pointer with an offset");
	check(!touch((char *)0x8000000000000000ul, false) && got_signal == SIGSEGV &&
		      (got_code == KERNEL || got_code == SEGV_MAPERR),
	      "an address that no program can have");
	check(mprotect(p, PAGE, PROT_READ) == 0 && refused(p + 9, true, SIGSEGV, SEGV_ACCERR) &&
		      touch(p, false),
	      "a write to what is read only: SEGV_ACCERR");
	check(mprotect(p, PAGE, PROT_NONE) == 0 && refused(p + 9, false, SIGSEGV, SEGV_ACCERR) &&
		      refused(p + 9, true, SIGSEGV, SEGV_ACCERR),
	      "PROT_NONE: SEGV_ACCERR");
	check(!runs(p + 2 * PAGE) && got_signal == SIGSEGV && got_code == SEGV_ACCERR &&
		      got_address == p + 2 * PAGE,
	      "data is not executed");
	int fd = file_of(PAGE + 100);
	char *q = map(4, RW, MAP_SHARED, fd), *r = map(4, RW, MAP_PRIVATE, fd);
	check(touch(q + PAGE + 200, true) && refused(q + 2 * PAGE + 3, false, SIGBUS, BUS_ADRERR) &&
		      refused(r + 2 * PAGE + 3, true, SIGBUS, BUS_ADRERR),
	      "behind the last page of a file: BUS_ADRERR");
	check(touch(q, false) && ftruncate(fd, 0) == 0 && refused(q + 1, false, SIGBUS, BUS_ADRERR),
	      "and after it was cut");
	check(ftruncate(fd, 4 * (off_t)PAGE) == 0 && touch(q + 3 * PAGE, true) && q[0] == 0,
	      "made longer, it is there and empty");
	/* The same errors in system calls. */
	int fds[2];
	check(pipe(fds) == 0 && write(fds[1], p + PAGE, 1) < 0 && errno == EFAULT &&
		      write(fds[1], "x", 1) == 1 && read(fds[0], p, 1) < 0 && errno == EFAULT,
	      "a system call says EFAULT");
	close(fds[0]);
	close(fds[1]);
	close(fd);
}

static size_t resident(char *p, size_t pages)
{
	unsigned char there[64];
	size_t n = 0;

	if (mincore(p, pages * PAGE, there))
		return 0;
	for (size_t i = 0; i < pages; i++)
		n += there[i] & 1;
	return n;
}

static long rss(void)
{
	long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (fscanf(f, "%ld %ld", &size, &pages) != 2)
		pages = -1;
	fclose(f);
	return pages;
}

static void test_pages(void)
{
	char *p = map(32, RW, PRIV, -1);

	check(touch(p + 3 * PAGE, true) && resident(p, 32) == 1, "one write brings one page");
	check(touch(p + 9 * PAGE, false) && p[9 * PAGE] == 0, "a read is of zeroes");
	int fd = file_of(32 * PAGE);
	char *q = map(32, PROT_READ, MAP_SHARED, fd);
	(void)rss();
	long before = rss();
	check(touch(q + 16 * PAGE, false) && rss() - before >= 16,
	      "a file: what is around comes, too");
	/* The last owner writes in place: no page more. */
	char *r = map(16, RW, PRIV, -1);
	memset(r, 1, 16 * PAGE);
	check(in_child(memset(r, 2, 8 * PAGE)) == 0, "a child has copied half");
	before = rss();
	memset(r, 3, 16 * PAGE);
	check(rss() == before, "the parent has it back, without a copy");
	close(fd);
}

static __attribute__((noinline)) int deep(unsigned kib)
{
	volatile char room[1024];

	room[0] = (char)kib;
	return kib ? deep(kib - 1) + room[0] : 0;
}

static void test_stacks(void)
{
	static char handler_stack[1 << 16];
	const stack_t alternate = {.ss_sp = handler_stack, .ss_size = sizeof(handler_stack)};
	const struct sigaction act = {.sa_sigaction = on_fault,
				      .sa_flags = SA_SIGINFO | SA_ONSTACK};

	check(in_child({
		      struct rlimit limit = {2 << 20, 2 << 20};
		      setrlimit(RLIMIT_STACK, &limit);
		      sigaltstack(&alternate, NULL);
		      sigaction(SIGSEGV, &act, NULL);
		      char *top = (char *)&limit;
		      if (sigsetjmp(escape, 1) == 0)
			      deep(4096);
		      long used = top - got_address;
		      _exit(got_signal == SIGSEGV && got_code == SEGV_MAPERR &&
					    used > (2 << 20) - (160 << 10) && used < (3 << 20)
				    ? 0
				    : 1);
	      }) == 0,
	      "a stack grows to its limit; then SEGV_MAPERR");
	/* A region that grows down by itself, and one below it. */
	char *p = mmap(NULL, 2048 * PAGE, PROT_NONE, PRIV | MAP_NORESERVE, -1, 0);
	munmap(p, 2048 * PAGE);
	char *stack = mmap(p + 2000 * PAGE, 4 * PAGE, RW, PRIV | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
	check(stack == p + 2000 * PAGE && touch(stack - 1, true) && touch(stack - 40 * PAGE, true),
	      "MAP_GROWSDOWN grows");
	char *below = mmap(p + 1600 * PAGE, 4 * PAGE, RW, PRIV | MAP_FIXED, -1, 0);
	check(below != MAP_FAILED && touch(below + 4 * PAGE + 257 * PAGE, true) &&
		      refused(below + 4 * PAGE + 200 * PAGE, true, SIGSEGV, SEGV_MAPERR),
	      "to 256 pages from what is below it, and no further");
}

static void test_errors(void)
{
	char *p = map(4, RW, PRIV, -1);

	/* Each error is followed by what helps. */
	check(mmap(NULL, 1ul << 60, RW, PRIV, -1, 0) == MAP_FAILED && errno == ENOMEM &&
		      mmap(NULL, PAGE, RW, PRIV, -1, 0) != MAP_FAILED,
	      "out of memory: less is granted");
	check(mprotect((char *)(1ul << 60), PAGE, RW) < 0 && errno == ENOMEM,
	      "an invalid address: back to the caller");
	check(!touch(p + 5 * PAGE, true) &&
		      mmap(p + 5 * PAGE, PAGE, RW, PRIV | MAP_FIXED, -1, 0) == p + 5 * PAGE &&
		      touch(p + 5 * PAGE, true),
	      "not mapped: the handler maps it, and it is there");
	check(mmap(p, PAGE, RW, PRIV | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED &&
		      errno == EEXIST && munmap(p, PAGE) == 0 &&
		      mmap(p, PAGE, RW, PRIV | MAP_FIXED_NOREPLACE, -1, 0) == p,
	      "already mapped: unmapped and mapped again");
	check(munmap(p + 1, PAGE) < 0 && errno == EINVAL &&
		      mmap(p + 1, PAGE, RW, PRIV, -1, 0) != MAP_FAILED,
	      "misaligned: refused, and a hint is aligned");
	check(mprotect(p, PAGE, PROT_READ) == 0 && !touch(p, true) && mprotect(p, PAGE, RW) == 0 &&
		      touch(p, true),
	      "no permission: granted, and it goes");
	check(in_child({
		      struct rlimit none = {};
		      if (setrlimit(RLIMIT_MEMLOCK, &none) || setresuid(1000, 1000, 1000))
			      _exit(2);
		      _exit(mlock(p, PAGE) == 0 || errno != EPERM);
	      }) == 0,
	      "a privilege is asked for");
}

static void test_holes(void)
{
	int fd = file_of(8 * PAGE);
	char *p = map(8, RW, MAP_SHARED, fd), c = 0;

	check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE, 3 * PAGE) == 0 &&
		      p[2 * PAGE] == 0 && p[PAGE] == 'f' && p[5 * PAGE] == 'f',
	      "a hole is punched, and maps see it");
	munmap(p, 8 * PAGE);
	check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE, 3 * PAGE) == 0 &&
		      lseek(fd, 0, SEEK_HOLE) == 2 * (off_t)PAGE &&
		      lseek(fd, 2 * PAGE, SEEK_DATA) == 5 * (off_t)PAGE &&
		      lseek(fd, 6 * PAGE, SEEK_HOLE) == 8 * (off_t)PAGE,
	      "SEEK_HOLE and SEEK_DATA find it");
	check(lseek(fd, 8 * PAGE, SEEK_DATA) < 0 && errno == ENXIO, "behind the end: ENXIO");
	check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE - 10, 20) == 0 &&
		      pread(fd, &c, 1, PAGE - 5) == 1 && c == 0 &&
		      pread(fd, &c, 1, PAGE - 11) == 1 && c == 'f' &&
		      pread(fd, &c, 1, PAGE + 10) == 1 && c == 'f',
	      "bytes of pages become zero");
	check(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE) < 0 && errno == EOPNOTSUPP,
	      "only with KEEP_SIZE");
	char *q = map(8, RW, MAP_SHARED, fd);
	q[6 * PAGE] = 'x';
	check(madvise(q + 6 * PAGE, PAGE, MADV_REMOVE) == 0 && q[6 * PAGE] == 0,
	      "MADV_REMOVE does the same");
	close(fd);
}

int main(void)
{
	const struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	test_signals();
	test_pages();
	test_stacks();
	test_errors();
	test_holes();
	return tap_end();
}
