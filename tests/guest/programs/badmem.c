/*
 * Every call of the mmap family with wild, overflowing, misaligned, zero and huge arguments, and what
 * Linux answers. The table was made by running this program on Linux; `badmem -p FOLDER` prints what the
 * kernel under it says where that differs. FOLDER (default /tmp) is a tmpfs.
 *
 * Each row begins with the same memory, in pages from A on:
 *
 *	0..3   private, read and write        10..11 private, no access
 *	4..5   a hole                         12..13 a file, shared, from a descriptor that only reads
 *	6..7   private, read only             14..15 a file, private, read and write
 *	8..9   shared, read and write         16..19 a hole
 *
 * All rows hold on Linux 6.18 (x86_64). How low an address may be mapped is a setting there, so only 0
 * is tried.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#define PAGE 4096ul
#define A ((unsigned long)arena)
#define AT(n) (A + (n) * PAGE)
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define PRIV (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHAR (MAP_SHARED | MAP_ANONYMOUS)
#define HUGE_SIZE (1ul << 60)
#define ALL (~0ul)
#define MINUS_PAGE (~0ul - PAGE + 1)
#define LOCK_PAGES 16
#define ANY 1 /* success, whatever the value */
#define GROWSUP 0x02000000
#define GROWSDOWN 0x01000000
#define VALIDATE 3
#define MOVE MREMAP_MAYMOVE
#define FIX (MREMAP_MAYMOVE | MREMAP_FIXED)
#define KEEP (MREMAP_MAYMOVE | 4)

struct row {
	const char *text;
	long number, want;
	unsigned long a[6];
};

#define ROW(want, call, ...)                                                                       \
	{                                                                                          \
		#call "(" #__VA_ARGS__ ")", SYS_##call, want,                                      \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static char *arena;
static int rw_fd, ro_fd, wo_fd, dir_fd;
static bool print_only;
static unsigned char vector[64];

static void put(unsigned first, unsigned pages, int prot, int flags, int fd)
{
	if (mmap((void *)AT(first), pages * PAGE, prot, flags | MAP_FIXED, fd, 0) == MAP_FAILED) {
		perror("badmem: the arena");
		exit(2);
	}
}

static void prepare(void)
{
	syscall(SYS_munlockall);
	munmap((void *)A, 64 * PAGE);
	put(0, 4, RW, PRIV, -1);
	put(6, 2, PROT_READ, PRIV, -1);
	put(8, 2, RW, SHAR, -1);
	put(10, 2, PROT_NONE, PRIV, -1);
	put(12, 2, PROT_READ, MAP_SHARED, ro_fd);
	put(14, 2, RW, MAP_PRIVATE, rw_fd);
}

static bool maps_something(const struct row *r)
{
	return r->number == SYS_mmap || r->number == SYS_mremap;
}

static long result_of(const struct row *r)
{
	long got = syscall(r->number, r->a[0], r->a[1], r->a[2], r->a[3], r->a[4], r->a[5]);

	if (got == -1)
		return -errno;
	/* Out of the way, if it is outside the arena. */
	if (maps_something(r) && ((unsigned long)got < A || (unsigned long)got >= AT(64)))
		munmap((void *)got, r->number == SYS_mmap ? r->a[1] : r->a[2]);
	return got;
}

static void run(const char *what, const struct row *rows, size_t count)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < count; i++) {
		const struct row *r = &rows[i];
		prepare();
		long got = result_of(r);
		bool good = r->want == ANY ? got >= 0 : got == r->want;
		if (!good) {
			printf("%s%s: %ld, not %ld\n", print_only ? "" : "# ", r->text, got,
			       r->want);
			wrong++;
		}
	}
	if (!print_only)
		check(wrong == 0, "%s: %zu rows", what, count);
}
#define RUN(what, rows) run(what, rows, sizeof(rows) / sizeof((rows)[0]))

static void test_mmap(void)
{
	const struct row rows[] = {
		ROW(ANY, mmap, 0, PAGE, RW, PRIV, -1, 0),
		ROW(ANY, mmap, 0, 1, RW, PRIV, -1, 0),
		ROW(ANY, mmap, 1, PAGE, RW, PRIV, -1, 0),
		ROW(ANY, mmap, HUGE_SIZE, PAGE, RW, PRIV, -1, 0),
		ROW(ANY, mmap, ALL, PAGE, RW, PRIV, -1, 0),
		ROW(ANY, mmap, 0, PAGE, RW, PRIV, 12345, 0),
		ROW(ANY, mmap, 0, PAGE, ALL, PRIV, -1, 0),
		ROW(ANY, mmap, 0, PAGE, 0, PRIV, -1, 0),
		ROW(ANY, mmap, 0, PAGE, RW, PRIV | MAP_NORESERVE, -1, 0),
		ROW(ANY, mmap, 0, PAGE, RW, PRIV | MAP_STACK | MAP_DENYWRITE | MAP_EXECUTABLE, -1,
		    0),
		ROW(ANY, mmap, 0, PAGE, RW, PRIV | 0x200000, -1, 0),
		ROW(-EINVAL, mmap, 0, 0, RW, PRIV, -1, 0),
		ROW(-EINVAL, mmap, 0, PAGE, RW, PRIV, -1, 1),
		ROW(-EINVAL, mmap, 0, PAGE, RW, PRIV, -1, ALL),
		ROW(ANY, mmap, 0, PAGE, RW, PRIV, -1, PAGE),
		ROW(-EINVAL, mmap, 0, PAGE, RW, MAP_ANONYMOUS, -1, 0),
		ROW(-EINVAL, mmap, 0, PAGE, RW, 0, rw_fd, 0),
		ROW(-EINVAL, mmap, 0, PAGE, RW, 4 | MAP_ANONYMOUS, -1, 0),
		ROW(-EINVAL, mmap, 0, PAGE, RW, VALIDATE | MAP_ANONYMOUS, -1, 0),
		ROW(-ENOMEM, mmap, 0, ALL, RW, PRIV, -1, 0),
		ROW(-ENOMEM, mmap, 0, MINUS_PAGE, RW, PRIV, -1, 0),
		ROW(-ENOMEM, mmap, 0, HUGE_SIZE, RW, PRIV, -1, 0),
		ROW(-ENOMEM, mmap, 0, HUGE_SIZE, 0, PRIV | MAP_NORESERVE, -1, 0),
		ROW(-EBADF, mmap, 0, PAGE, RW, MAP_PRIVATE, -1, 0),
		ROW(-EBADF, mmap, 0, PAGE, RW, MAP_PRIVATE, 12345, 0),
		ROW(-EBADF, mmap, 0, 0, RW, MAP_PRIVATE, -1, 0),
		ROW(-ENODEV, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, dir_fd, 0),
		ROW(-EACCES, mmap, 0, PAGE, RW, MAP_SHARED, ro_fd, 0),
		ROW(-EACCES, mmap, 0, PAGE, RW, VALIDATE, ro_fd, 0),
		ROW(-EACCES, mmap, 0, PAGE, PROT_READ, MAP_SHARED, wo_fd, 0),
		ROW(-EACCES, mmap, 0, PAGE, PROT_WRITE, MAP_SHARED, wo_fd, 0),
		ROW(-EACCES, mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, wo_fd, 0),
		ROW(ANY, mmap, 0, PAGE, RW, MAP_PRIVATE, ro_fd, 0),
		ROW(ANY, mmap, 0, PAGE, RW, MAP_SHARED, rw_fd, 0),
		ROW(ANY, mmap, 0, PAGE, RW, VALIDATE, rw_fd, 0),
		ROW(-EOPNOTSUPP, mmap, 0, PAGE, RW, VALIDATE | 0x200000, rw_fd, 0),
		ROW(ANY, mmap, 0, PAGE, RW, MAP_SHARED | 0x200000, rw_fd, 0),
		ROW(ANY, mmap, 0, PAGE, RW, MAP_SHARED, rw_fd, 1ul << 40),
		ROW(-EINVAL, mmap, 0, PAGE, RW, MAP_SHARED, rw_fd, 100),
		ROW(-EINVAL, mmap, 0, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, rw_fd, 0),
		ROW(-EINVAL, mmap, 0, PAGE, RW, SHAR | MAP_GROWSDOWN, -1, 0),
		ROW(ANY, mmap, 0, PAGE, RW, PRIV | MAP_GROWSDOWN, -1, 0),
		ROW((long)AT(16), mmap, AT(16), PAGE, RW, PRIV, -1, 0),
		ROW((long)AT(16), mmap, AT(16) + 5, PAGE, RW, PRIV, -1, 0),
		ROW((long)AT(0), mmap, AT(0), 20 * PAGE, RW, PRIV | MAP_FIXED, -1, 0),
		ROW((long)AT(4), mmap, AT(4), 2 * PAGE, RW, PRIV | MAP_FIXED_NOREPLACE, -1, 0),
		ROW(-EEXIST, mmap, AT(4), 3 * PAGE, RW, PRIV | MAP_FIXED_NOREPLACE, -1, 0),
		ROW(-EEXIST, mmap, AT(0), PAGE, RW, PRIV | MAP_FIXED_NOREPLACE, -1, 0),
		ROW(-EINVAL, mmap, AT(0) + 1, PAGE, RW, PRIV | MAP_FIXED, -1, 0),
		ROW(-EINVAL, mmap, AT(4) + 1, PAGE, RW, PRIV | MAP_FIXED_NOREPLACE, -1, 0),
		ROW(-ENOMEM, mmap, HUGE_SIZE, PAGE, RW, PRIV | MAP_FIXED, -1, 0),
		ROW(-ENOMEM, mmap, HUGE_SIZE + 1, PAGE, RW, PRIV | MAP_FIXED, -1, 0),
		ROW(-ENOMEM, mmap, MINUS_PAGE, PAGE, RW, PRIV | MAP_FIXED, -1, 0),
		ROW(-ENOMEM, mmap, AT(0), HUGE_SIZE, RW, PRIV | MAP_FIXED, -1, 0),
		ROW(-EPERM, mmap, 0, PAGE, RW, PRIV | MAP_FIXED, -1, 0),
		ROW(ANY, mmap, 0, 4 * PAGE, RW, PRIV | MAP_LOCKED, -1, 0),
		ROW(-EAGAIN, mmap, 0, (LOCK_PAGES + 1) * PAGE, RW, PRIV | MAP_LOCKED, -1, 0),
		ROW(ANY, mmap, 0, 4 * PAGE, RW, PRIV | MAP_POPULATE, -1, 0),
		ROW(ANY, mmap, 0, 4 * PAGE, PROT_NONE, PRIV | MAP_POPULATE, -1, 0),
		ROW(ANY, mmap, 0, 64 * PAGE, RW, MAP_SHARED | MAP_POPULATE, rw_fd, 0),
	};

	RUN("mmap", rows);
}

static void test_unmap_protect(void)
{
	const struct row unmap[] = {
		ROW(0, munmap, A, PAGE),
		ROW(0, munmap, A, 1),
		ROW(0, munmap, A, 20 * PAGE),
		ROW(0, munmap, AT(4), 2 * PAGE),
		ROW(-EINVAL, munmap, A, 0),
		ROW(-EINVAL, munmap, A + 1, PAGE),
		ROW(-EINVAL, munmap, A, HUGE_SIZE),
		ROW(-EINVAL, munmap, A, ALL),
		ROW(-EINVAL, munmap, A, MINUS_PAGE),
		ROW(-EINVAL, munmap, HUGE_SIZE, PAGE),
		ROW(-EINVAL, munmap, MINUS_PAGE, PAGE),
		ROW(-EINVAL, munmap, MINUS_PAGE, 2 * PAGE),
		ROW(0, munmap, 0, PAGE),
	};
	const struct row protect[] = {
		ROW(0, mprotect, A, PAGE, PROT_READ),
		ROW(0, mprotect, A, 1, PROT_NONE),
		ROW(0, mprotect, A, 0, RW),
		ROW(0, mprotect, HUGE_SIZE, 0, RW),
		ROW(0, mprotect, A, 0, 0x100),
		ROW(0, mprotect, A, PAGE, PROT_READ | 8),
		ROW(0, mprotect, A, 4 * PAGE, RX),
		ROW(0, mprotect, AT(6), 6 * PAGE, RW),
		ROW(0, mprotect, AT(14), 2 * PAGE, RW | PROT_EXEC),
		ROW(0, mprotect, AT(12), 2 * PAGE, PROT_READ),
		ROW(-EACCES, mprotect, AT(12), 2 * PAGE, RW),
		ROW(-EACCES, mprotect, AT(10), 4 * PAGE, RW),
		ROW(-EINVAL, mprotect, A + 1, PAGE, RW),
		ROW(-EINVAL, mprotect, A + 1, 0, RW),
		ROW(-EINVAL, mprotect, A, PAGE, 0x100),
		ROW(-EINVAL, mprotect, A, PAGE, ALL),
		ROW(-EINVAL, mprotect, A, PAGE, 1ul << 40),
		ROW(-EINVAL, mprotect, A, PAGE, RW | GROWSUP | GROWSDOWN),
		ROW(-EINVAL, mprotect, A, PAGE, RW | GROWSUP),
		ROW(-EINVAL, mprotect, A, PAGE, RW | GROWSDOWN),
		ROW(-ENOMEM, mprotect, AT(4), PAGE, RW),
		ROW(-ENOMEM, mprotect, AT(4), PAGE, RW | GROWSDOWN),
		ROW(-EINVAL, mprotect, AT(4), 3 * PAGE, RW | GROWSDOWN),
		ROW(-ENOMEM, mprotect, AT(4), PAGE, RW | GROWSUP),
		ROW(-ENOMEM, mprotect, A, 8 * PAGE, RW),
		ROW(-ENOMEM, mprotect, AT(14), 8 * PAGE, RW),
		ROW(-ENOMEM, mprotect, A, ALL, RW),
		ROW(-ENOMEM, mprotect, A, MINUS_PAGE, RW),
		ROW(-ENOMEM, mprotect, AT(4), HUGE_SIZE, RW),
		ROW(-ENOMEM, mprotect, HUGE_SIZE, PAGE, RW),
		ROW(-ENOMEM, mprotect, MINUS_PAGE, PAGE, RW),
		ROW(-ENOMEM, mprotect, MINUS_PAGE, 2 * PAGE, RW),
	};

	RUN("munmap", unmap);
	RUN("mprotect", protect);
}

static void test_mremap(void)
{
	const struct row rows[] = {
		ROW((long)A, mremap, A, PAGE, PAGE, 0),
		ROW((long)A, mremap, A, 2 * PAGE, PAGE, 0),
		ROW((long)A, mremap, A, 2 * PAGE, 1, 0),
		ROW((long)A, mremap, A, 4 * PAGE, 5 * PAGE, 0),
		ROW((long)A, mremap, A, 4 * PAGE, 6 * PAGE, MOVE),
		ROW(-ENOMEM, mremap, A, 4 * PAGE, 7 * PAGE, 0),
		ROW(ANY, mremap, A, 4 * PAGE, 7 * PAGE, MOVE),
		ROW(-ENOMEM, mremap, A, 2 * PAGE, 3 * PAGE, 0),
		ROW(ANY, mremap, A, 2 * PAGE, 3 * PAGE, MOVE),
		ROW((long)AT(40), mremap, A, 4 * PAGE, 4 * PAGE, FIX, AT(40)),
		ROW((long)AT(40), mremap, A, 4 * PAGE, PAGE, FIX, AT(40)),
		ROW((long)AT(40), mremap, A, PAGE, 4 * PAGE, FIX, AT(40)),
		ROW((long)AT(8), mremap, A, 4 * PAGE, 4 * PAGE, FIX, AT(8)),
		ROW(ANY, mremap, A, 4 * PAGE, 4 * PAGE, KEEP),
		ROW((long)AT(40), mremap, A, 4 * PAGE, 4 * PAGE, KEEP, AT(40)),
		ROW((long)AT(40), mremap, A, 4 * PAGE, 4 * PAGE, KEEP | FIX, AT(40)),
		ROW(-EINVAL, mremap, A, 4 * PAGE, 5 * PAGE, KEEP),
		ROW(-EINVAL, mremap, A, 4 * PAGE, 4 * PAGE, 4),
		ROW(-EINVAL, mremap, A, PAGE, PAGE, 8),
		ROW(-EINVAL, mremap, A, PAGE, PAGE, MREMAP_FIXED, AT(40)),
		ROW(-EINVAL, mremap, A, PAGE, PAGE, 1ul << 40),
		ROW(-EINVAL, mremap, A, PAGE, 0, 0),
		ROW(-EINVAL, mremap, A, PAGE, ALL, 0),
		ROW(-EINVAL, mremap, A + 1, PAGE, PAGE, 0),
		ROW(-EINVAL, mremap, A, PAGE, PAGE, FIX, AT(40) + 1),
		ROW(-EINVAL, mremap, A, PAGE, PAGE, FIX, A),
		ROW(-EINVAL, mremap, A, 4 * PAGE, 4 * PAGE, FIX, AT(2)),
		ROW(-EINVAL, mremap, A, 4 * PAGE, 4 * PAGE, FIX, AT(0) - PAGE),
		ROW(-EINVAL, mremap, A, PAGE, PAGE, FIX, HUGE_SIZE),
		ROW(-EINVAL, mremap, A, PAGE, PAGE, FIX, MINUS_PAGE),
		ROW(-EINVAL, mremap, A, PAGE, HUGE_SIZE, FIX, AT(40)),
		ROW(-EPERM, mremap, A, PAGE, PAGE, FIX, 0),
		ROW(-EFAULT, mremap, AT(4), PAGE, 2 * PAGE, MOVE),
		ROW(-EFAULT, mremap, AT(4), PAGE, PAGE, 0),
		ROW(-EFAULT, mremap, HUGE_SIZE, PAGE, 2 * PAGE, MOVE),
		ROW(-EFAULT, mremap, MINUS_PAGE, PAGE, 2 * PAGE, MOVE),
		ROW(-EFAULT, mremap, A, 5 * PAGE, 6 * PAGE, MOVE),
		ROW(-EFAULT, mremap, AT(6), 4 * PAGE, 6 * PAGE, MOVE),
		ROW((long)AT(6), mremap, AT(6), 4 * PAGE, PAGE, 0),
		ROW(-EINVAL, mremap, A, 0, PAGE, MOVE),
		ROW(-EINVAL, mremap, A, 0, PAGE, 0),
		ROW(ANY, mremap, AT(8), 0, PAGE, MOVE),
		ROW(ANY, mremap, AT(8), 0, 4 * PAGE, MOVE),
		ROW(-ENOMEM, mremap, AT(8), 0, PAGE, 0),
		ROW((long)AT(40), mremap, AT(8), 0, PAGE, FIX, AT(40)),
		ROW(ANY, mremap, AT(12), 0, PAGE, MOVE),
		ROW(-EINVAL, mremap, AT(14), 0, PAGE, MOVE),
		ROW(-EFAULT, mremap, AT(4), 0, PAGE, MOVE),
		ROW(ANY, mremap, AT(12), 2 * PAGE, 4 * PAGE, MOVE),
		ROW(ANY, mremap, AT(10), 2 * PAGE, 4 * PAGE, MOVE),
	};

	RUN("mremap", rows);
}

static void test_madvise(void)
{
	const struct row rows[] = {
		ROW(0, madvise, A, PAGE, MADV_NORMAL),
		ROW(0, madvise, A, PAGE, MADV_RANDOM),
		ROW(0, madvise, A, PAGE, MADV_SEQUENTIAL),
		ROW(0, madvise, A, PAGE, MADV_WILLNEED),
		ROW(0, madvise, A, PAGE, MADV_DONTNEED),
		ROW(0, madvise, A, 1, MADV_DONTNEED),
		ROW(0, madvise, A, 0, MADV_DONTNEED),
		ROW(0, madvise, AT(4), 0, MADV_DONTNEED),
		ROW(0, madvise, A, PAGE, MADV_FREE),
		ROW(0, madvise, AT(6), 2 * PAGE, MADV_FREE),
		ROW(0, madvise, AT(6), 10 * PAGE, MADV_DONTNEED),
		ROW(-EINVAL, madvise, AT(8), PAGE, MADV_FREE),
		ROW(-EINVAL, madvise, AT(14), PAGE, MADV_FREE),
		ROW(-EINVAL, madvise, AT(6), 4 * PAGE, MADV_FREE),
		ROW(-EINVAL, madvise, A, PAGE, MADV_REMOVE),
		ROW(0, madvise, AT(8), PAGE, MADV_REMOVE),
		ROW(-EACCES, madvise, AT(12), PAGE, MADV_REMOVE),
		ROW(-EACCES, madvise, AT(14), PAGE, MADV_REMOVE),
		ROW(-ENOMEM, madvise, AT(4), PAGE, MADV_REMOVE),
		ROW(0, madvise, A, PAGE, MADV_DONTFORK),
		ROW(0, madvise, A, PAGE, MADV_DOFORK),
		ROW(0, madvise, AT(12), PAGE, MADV_DONTFORK),
		ROW(0, madvise, A, PAGE, MADV_WIPEONFORK),
		ROW(0, madvise, A, PAGE, MADV_KEEPONFORK),
		ROW(-EINVAL, madvise, AT(8), PAGE, MADV_WIPEONFORK),
		ROW(-EINVAL, madvise, AT(14), PAGE, MADV_WIPEONFORK),
		ROW(0, madvise, AT(14), PAGE, MADV_KEEPONFORK),
		ROW(0, madvise, A, PAGE, MADV_DONTDUMP),
		ROW(0, madvise, A, PAGE, MADV_DODUMP),
		ROW(0, madvise, A, PAGE, 20 /* COLD */),
		ROW(0, madvise, A, PAGE, 21 /* PAGEOUT */),
		ROW(0, madvise, A, PAGE, 22 /* POPULATE_READ */),
		ROW(0, madvise, A, PAGE, 23 /* POPULATE_WRITE */),
		ROW(0, madvise, AT(6), 2 * PAGE, 22),
		ROW(-EINVAL, madvise, AT(6), 2 * PAGE, 23),
		ROW(-EINVAL, madvise, AT(10), PAGE, 22),
		ROW(-EINVAL, madvise, AT(12), PAGE, 23),
		ROW(-ENOMEM, madvise, AT(4), PAGE, 22),
		ROW(-ENOMEM, madvise, A, 8 * PAGE, 22),
		ROW(-EFAULT, madvise, AT(15), PAGE, 22), /* behind the end of the file */
		ROW(0, madvise, A, PAGE, 24 /* DONTNEED_LOCKED */),
		ROW(-EINVAL, madvise, A, PAGE, 5),
		ROW(-EINVAL, madvise, A, PAGE, 7),
		ROW(-EINVAL, madvise, A, PAGE, -1),
		ROW(-EINVAL, madvise, A, PAGE, 1000),
		ROW(-EINVAL, madvise, A, 0, 1000),
		ROW(-EINVAL, madvise, A + 1, PAGE, MADV_NORMAL),
		ROW(-EINVAL, madvise, A + 1, 0, MADV_NORMAL),
		ROW(-EINVAL, madvise, A, ALL, MADV_NORMAL),
		ROW(-EINVAL, madvise, A, MINUS_PAGE, MADV_NORMAL),
		ROW(-ENOMEM, madvise, A, HUGE_SIZE, MADV_NORMAL),
		ROW(-ENOMEM, madvise, AT(4), PAGE, MADV_NORMAL),
		ROW(-ENOMEM, madvise, A, 6 * PAGE, MADV_DONTNEED),
		ROW(-ENOMEM, madvise, AT(14), 4 * PAGE, MADV_DONTFORK),
		ROW(-ENOMEM, madvise, AT(4), 4 * PAGE, MADV_DONTDUMP),
		ROW(-ENOMEM, madvise, HUGE_SIZE, PAGE, MADV_DONTNEED),
		ROW(-ENOMEM, madvise, MINUS_PAGE - PAGE, PAGE, MADV_DONTNEED),
		ROW(-EINVAL, madvise, MINUS_PAGE, 2 * PAGE, MADV_DONTNEED),
	};

	RUN("madvise", rows);
}

static void test_sync_core(void)
{
	const struct row sync[] = {
		ROW(0, msync, A, PAGE, MS_SYNC),
		ROW(0, msync, A, PAGE, MS_ASYNC),
		ROW(0, msync, A, PAGE, MS_INVALIDATE),
		ROW(0, msync, A, PAGE, 0),
		ROW(0, msync, A, 0, MS_SYNC),
		ROW(0, msync, AT(4), 0, MS_SYNC),
		ROW(0, msync, AT(6), 10 * PAGE, MS_SYNC | MS_INVALIDATE),
		ROW(-EINVAL, msync, A, PAGE, MS_SYNC | MS_ASYNC),
		ROW(-EINVAL, msync, A, PAGE, 8),
		ROW(-EINVAL, msync, A, PAGE, ALL),
		ROW(-EINVAL, msync, A + 1, PAGE, MS_SYNC),
		ROW(-ENOMEM, msync, AT(4), PAGE, MS_SYNC),
		ROW(-ENOMEM, msync, A, 8 * PAGE, MS_SYNC),
		ROW(-ENOMEM, msync, A, 8 * PAGE, MS_ASYNC),
		ROW(-ENOMEM, msync, A, HUGE_SIZE, MS_SYNC),
		ROW(0, msync, A, ALL, MS_SYNC),
		ROW(-ENOMEM, msync, A, MINUS_PAGE, MS_SYNC),
		ROW(-ENOMEM, msync, HUGE_SIZE, PAGE, MS_SYNC),
	};
	const unsigned long v = (unsigned long)vector;
	const struct row core[] = {
		ROW(0, mincore, A, 4 * PAGE, v),
		ROW(0, mincore, A, 1, v),
		ROW(0, mincore, A, 0, v),
		ROW(0, mincore, AT(4), 0, v),
		ROW(0, mincore, AT(6), 10 * PAGE, v),
		ROW(-EINVAL, mincore, A + 1, PAGE, v),
		ROW(-ENOMEM, mincore, AT(4), PAGE, v),
		ROW(-ENOMEM, mincore, A, 5 * PAGE, v),
		ROW(-ENOMEM, mincore, A, ALL, v),
		ROW(-ENOMEM, mincore, A, HUGE_SIZE, v),
		ROW(-ENOMEM, mincore, HUGE_SIZE, PAGE, v),
		ROW(-EFAULT, mincore, A, PAGE, 0),
		ROW(-EFAULT, mincore, A, PAGE, HUGE_SIZE),
		ROW(-EFAULT, mincore, A, PAGE, AT(6)),
		ROW(-EFAULT, mincore, AT(4), PAGE, HUGE_SIZE),
		ROW(-ENOMEM, mincore, AT(4), PAGE, AT(4)),
	};

	RUN("msync", sync);
	RUN("mincore", core);
}

static void test_lock(void)
{
	const struct row rows[] = {
		ROW(0, mlock, A, PAGE),
		ROW(0, mlock, A + 1, 1),
		ROW(0, mlock, A, 0),
		ROW(0, mlock, A + 1, 0),
		ROW(0, mlock, AT(4), 0),
		ROW(0, mlock, A, 4 * PAGE),
		ROW(0, mlock, AT(6), 4 * PAGE),
		ROW(0, mlock, AT(8), 2 * PAGE),
		ROW(-ENOMEM, mlock, AT(10), PAGE), /* no access: cannot be brought in */
		ROW(-ENOMEM, mlock, AT(14), 2 * PAGE), /* behind the end of the file */
		ROW(-ENOMEM, mlock, AT(4), PAGE),
		ROW(-ENOMEM, mlock, A, 6 * PAGE),
		ROW(-ENOMEM, mlock, A, (LOCK_PAGES + 1) * PAGE),
		ROW(-ENOMEM, mlock, A, HUGE_SIZE),
		ROW(0, mlock, A, ALL),
		ROW(-ENOMEM, mlock, A, MINUS_PAGE),
		ROW(-ENOMEM, mlock, HUGE_SIZE, PAGE),
		ROW(0, mlock2, A, PAGE, 0),
		ROW(0, mlock2, A, PAGE, 1),
		ROW(0, mlock2, AT(10), PAGE, 1),
		ROW(-EINVAL, mlock2, A, PAGE, 2),
		ROW(-EINVAL, mlock2, A, PAGE, ALL),
		ROW(0, munlock, A, PAGE),
		ROW(0, munlock, A + 1, 2 * PAGE),
		ROW(0, munlock, A, 0),
		ROW(-ENOMEM, munlock, A, 5 * PAGE),
		ROW(-ENOMEM, munlock, AT(4), PAGE),
		ROW(0, munlock, A, ALL),
		ROW(-EINVAL, munlock, A, MINUS_PAGE),
		ROW(-EINVAL, mlockall, 0),
		ROW(-EINVAL, mlockall, 8),
		ROW(-EINVAL, mlockall, 4),
		ROW(-EINVAL, mlockall, ALL),
		ROW(-ENOMEM, mlockall, MCL_CURRENT),
		ROW(0, mlockall, MCL_FUTURE),
		ROW(0, mlockall, MCL_FUTURE | 4),
		ROW(0, munlockall, 0),
	};

	RUN("mlock", rows);
}

static void test_others(void)
{
	const struct row rows[] = {
		ROW(0, mseal, A, 0, 0),
		ROW(-EINVAL, mseal, A, PAGE, 1),
		ROW(-EINVAL, mseal, A + 1, PAGE, 0),
		ROW(-EINVAL, mseal, A, ALL, 0),
		ROW(-EINVAL, mseal, A, MINUS_PAGE, 0),
		ROW(-ENOMEM, mseal, AT(4), PAGE, 0),
		ROW(-ENOMEM, mseal, A, 8 * PAGE, 0),
		ROW(-ENOMEM, mseal, HUGE_SIZE, PAGE, 0),
		ROW(-EINVAL, prctl, 65, 4, 0, 0, 0),
		ROW(-EINVAL, prctl, 65, 2, 0, 0, 0),
		ROW(-EINVAL, prctl, 65, 1, 1, 0, 0),
		ROW(-EINVAL, prctl, 65, 1, 0, 0, 1),
		ROW(0, prctl, 65, 0, 0, 0, 0),
		ROW(0, prctl, 66, 0, 0, 0, 0),
		ROW(-EINVAL, prctl, 66, 1, 0, 0, 0),
		ROW(-EBADF, process_madvise, 12345, 0, 0, MADV_WILLNEED, 0),
		ROW(-EINVAL, process_madvise, 12345, 0, 0, MADV_WILLNEED, 1),
	};
	const unsigned long now = (unsigned long)syscall(SYS_brk, 0);
	const struct row breaks[] = {
		ROW((long)now, brk, 0),           ROW((long)now, brk, 1),
		ROW((long)now, brk, now),         ROW((long)now, brk, ALL),
		ROW((long)now, brk, HUGE_SIZE),   ROW((long)now, brk, 0x1000),
		ROW((long)now + 1, brk, now + 1), ROW((long)now + 100000, brk, now + 100000),
		ROW((long)now, brk, now),
	};

	RUN("mseal, prctl, process_madvise", rows);
	RUN("brk", breaks);
}

/* ---- What is there afterwards: calls over several regions do what comes before the error ------------ */

static bool readable(unsigned page)
{
	return syscall(SYS_write, wo_fd, (void *)AT(page), 1) == 1;
}

static bool writable(unsigned page)
{
	int fds[2];
	bool ok;

	if (pipe(fds) < 0)
		return false;
	ok = write(fds[1], "x", 1) == 1 && read(fds[0], (void *)AT(page), 1) == 1;
	close(fds[0]);
	close(fds[1]);
	return ok;
}

static void test_partial(void)
{
	prepare();
	check(mprotect((void *)A, 8 * PAGE, PROT_READ) < 0 && errno == ENOMEM && !writable(3) &&
		      !writable(0),
	      "mprotect over a hole: what comes before it has changed");
	prepare();
	check(mprotect((void *)AT(8), 6 * PAGE, RW) < 0 && errno == EACCES && writable(10),
	      "mprotect up to what may not be written: the rest has changed");
	prepare();
	memset((void *)A, 1, 4 * PAGE);
	check(madvise((void *)AT(3), 4 * PAGE, MADV_DONTNEED) < 0 && errno == ENOMEM &&
		      *(char *)AT(3) == 0 && *(char *)AT(2) == 1,
	      "madvise over a hole: both sides have changed");
	prepare();
	check(mlock((void *)AT(3), 3 * PAGE) < 0 && errno == ENOMEM &&
		      madvise((void *)AT(3), PAGE, MADV_DONTNEED) < 0 && errno == EINVAL,
	      "mlock over a hole: what comes before it is locked");
	check(msync((void *)AT(2), 2 * PAGE, MS_SYNC | MS_INVALIDATE) < 0 && errno == EBUSY,
	      "msync: locked memory is not invalidated");
	check(munlock((void *)AT(3), PAGE) == 0 && madvise((void *)AT(3), PAGE, MADV_DONTNEED) == 0,
	      "unlocked, it goes");
	prepare();
	memset(vector, 9, sizeof(vector));
	*(char *)AT(1) = 1;
	check(mincore((void *)AT(0), 4 * PAGE, vector) == 0 && !(vector[0] & 1) &&
		      (vector[1] & 1) && !(vector[2] & 1) && vector[4] == 9,
	      "mincore: what was touched is there, what was not is not");
	check(readable(6) && mincore((void *)AT(6), PAGE, vector) == 0 && (vector[0] & 1),
	      "what was read, too");
}

static void test_seal(void)
{
	prepare();
	memset((void *)A, 1, 4 * PAGE);
	check(syscall(SYS_mseal, AT(1), 2 * PAGE, 0) == 0, "two pages of four are sealed");
	check(munmap((void *)A, 4 * PAGE) < 0 && errno == EPERM && *(char *)A == 1,
	      "no munmap, not even of what is beside");
	check(mprotect((void *)AT(1), PAGE, PROT_READ) < 0 && errno == EPERM, "no mprotect");
	check(mremap((void *)AT(1), PAGE, PAGE, FIX, (void *)AT(40)) == MAP_FAILED &&
		      errno == EPERM,
	      "no mremap");
	check(mremap((void *)AT(1), 2 * PAGE, PAGE, 0) == MAP_FAILED && errno == EPERM,
	      "no shrinking");
	check(mmap((void *)AT(2), PAGE, RW, PRIV | MAP_FIXED, -1, 0) == MAP_FAILED &&
		      errno == EPERM,
	      "nothing is mapped over it");
	check(mremap((void *)AT(6), PAGE, PAGE, FIX, (void *)AT(2)) == MAP_FAILED && errno == EPERM,
	      "nothing is moved over it");
	check(madvise((void *)AT(1), PAGE, MADV_DONTNEED) == 0 && *(char *)AT(1) == 0,
	      "what could be written may be discarded");
	check(madvise((void *)AT(1), PAGE, MADV_WILLNEED) == 0, "other advice is taken");
	check(syscall(SYS_mseal, AT(1), PAGE, 0) == 0, "sealing twice is fine");
	check(syscall(SYS_mseal, AT(6), 2 * PAGE, 0) == 0 &&
		      madvise((void *)AT(6), PAGE, MADV_DONTNEED) < 0 && errno == EPERM &&
		      madvise((void *)AT(6), PAGE, MADV_FREE) < 0 && errno == EPERM &&
		      madvise((void *)AT(6), PAGE, MADV_DONTFORK) < 0 && errno == EPERM,
	      "what could not be written may not");
	check(in_child(_exit(munmap((void *)AT(1), PAGE) < 0 && errno == EPERM)) == 1,
	      "a child's is sealed, too");
	arena += 256 * PAGE; /* the old one stays for ever */
}

static void test_no_exec_gain(void)
{
	prepare();
	int status = in_child({
		if (prctl(65, 1, 0, 0, 0) || prctl(66, 0, 0, 0, 0) != 1)
			_exit(1);
		if (mmap(0, PAGE, RW | PROT_EXEC, PRIV, -1, 0) != MAP_FAILED || errno != EACCES)
			_exit(2);
		if (!mprotect((void *)A, PAGE, RX) || errno != EACCES)
			_exit(3);
		void *code = mmap(0, PAGE, RX, PRIV, -1, 0);
		if (code == MAP_FAILED || mprotect(code, PAGE, RX))
			_exit(4);
		if (!mprotect(code, PAGE, RW | PROT_EXEC) || errno != EACCES)
			_exit(5);
		if (!prctl(65, 0, 0, 0, 0) || errno != EPERM)
			_exit(6);
		if (in_child(_exit((int)prctl(66, 0, 0, 0, 0))) != 1)
			_exit(7);
	});
	check(status == 0, "PR_SET_MDWE: nothing becomes executable (%d)", status);
}

int main(int argc, char **argv)
{
	const struct rlimit lock = {LOCK_PAGES * PAGE, LOCK_PAGES * PAGE};
	char name[256];

	print_only = argc > 1 && !strcmp(argv[1], "-p");
	snprintf(name, sizeof(name), "%s/badmem.%d", argc > 2 ? argv[2] : "/tmp", getpid());
	rw_fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0666);
	ro_fd = open(name, O_RDONLY);
	wo_fd = open(name, O_WRONLY);
	dir_fd = open("/", O_RDONLY | O_DIRECTORY);
	unlink(name);
	if (rw_fd < 0 || ro_fd < 0 || wo_fd < 0 || dir_fd < 0 || write(rw_fd, name, 100) != 100)
		return 2;
	/* The rights of an ordinary user: the superuser is free from much. */
	if (setrlimit(RLIMIT_MEMLOCK, &lock) || setresgid(1000, 1000, 1000) ||
	    setresuid(1000, 1000, 1000))
		return 2;
	arena = mmap(NULL, 1024 * PAGE, PROT_NONE, PRIV | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return 2;
	munmap(arena, 1024 * PAGE);
	arena += 256 * PAGE;
	test_mmap();
	test_unmap_protect();
	test_mremap();
	test_madvise();
	test_sync_core();
	test_lock();
	test_others();
	test_partial();
	test_seal();
	test_no_exec_gain();
	return tap_end();
}
