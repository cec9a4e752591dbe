/* Memory: demand zero, copy-on-write, protection, file mappings, growth of stack and heap, limits. */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define PAGE 4096ul
#define MIB (1ul << 20)

static char *map(size_t size, int protection, int flags)
{
	char *p = mmap(NULL, size, protection, MAP_ANONYMOUS | flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool all(const char *p, size_t size, char value)
{
	for (size_t i = 0; i < size; i++)
		if (p[i] != value)
			return false;
	return true;
}

static void test_anonymous(void)
{
	char *p = map(8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	check(p && all(p, 8 * MIB, 0), "fresh memory is zero");
	memset(p, 3, 8 * MIB);
	check(all(p, 8 * MIB, 3), "and holds what is written");
	check(munmap(p + MIB, 2 * MIB) == 0, "a hole is cut");
	check(in_child(p[MIB] = 1) == 139 && all(p, MIB, 3) && all(p + 3 * MIB, MIB, 3),
	      "the hole faults, the rest stays");
	char *q = mmap(p + MIB, PAGE, PROT_READ | PROT_WRITE,
		       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(q == p + MIB && all(q, PAGE, 0), "a fixed mapping fills it, with zeroes");
	check(madvise(p, MIB, MADV_DONTNEED) == 0 && all(p, MIB, 0), "MADV_DONTNEED empties");
	check(munmap(p, 8 * MIB) == 0, "all is given back");
	check(mmap(p + 1, PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			      MAP_FAILED &&
		      errno == EINVAL,
	      "a crooked address is refused");
	check(map(0, PROT_READ, MAP_PRIVATE) == NULL && errno == EINVAL, "and an empty size");
	check(map(1ul << 60, PROT_READ, MAP_PRIVATE) == NULL && errno == ENOMEM, "and a huge one");
}

static void test_protection(void)
{
	char *p = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	memset(p, 1, 4 * PAGE);
	check(mprotect(p + PAGE, PAGE, PROT_READ) == 0, "mprotect of the middle");
	check(in_child(p[PAGE] = 1) == 139, "a write there kills");
	check(in_child(_exit(p[PAGE] + p[2 * PAGE])) == 2, "reads do not");
	mprotect(p + PAGE, PAGE, PROT_NONE);
	check(in_child(_exit(p[PAGE])) == 139, "PROT_NONE forbids them too");
	mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE);
	p[PAGE] = 9;
	check(p[PAGE] == 9 && p[PAGE + 1] == 1, "and lifting it shows the old content");
	munmap(p, 4 * PAGE);
	check(mprotect(p, PAGE, PROT_READ) < 0 && errno == ENOMEM, "nothing there: ENOMEM");
}

static void test_fork(void)
{
	char *own = map(2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *shared = map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	memset(own, 1, 2 * MIB);
	check(in_child({
		      memset(own, 2, 2 * MIB);
		      shared[0] = 5;
		      _exit(own[MIB]);
	      }) == 2,
	      "a child has its own copy");
	check(all(own, 2 * MIB, 1), "the parent's stays");
	check(shared[0] == 5, "shared memory is shared");
	int good = 0;
	for (int i = 0; i < 8; i++)
		good += in_child({
				own[i * PAGE] = (char)(i + 10);
				_exit(in_child(_exit(own[i * PAGE] + own[MIB])));
			}) == i + 11;
	check(good == 8, "grandchildren too");
	munmap(own, 2 * MIB);
	munmap(shared, PAGE);
}

static void test_files(void)
{
	int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char text[3 * PAGE];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i / PAGE + 'a');
	check(write(fd, text, 2 * PAGE + 100) == (ssize_t)(2 * PAGE + 100), "a file to map");
	char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	check(p != MAP_FAILED && p[0] == 'a' && p[PAGE] == 'b' && p[2 * PAGE + 99] == 'c',
	      "a private mapping shows it");
	check(all(p + 2 * PAGE + 100, PAGE - 100, 0), "with zeroes behind its end");
	p[0] = 'X';
	char c;
	check(pread(fd, &c, 1, 0) == 1 && c == 'a', "writes stay private");
	char *q = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, (off_t)PAGE);
	check(q != MAP_FAILED && q[0] == 'b', "an offset works");
	close(fd);
	check(q[5] == 'b', "the mapping outlives the descriptor");
	unlink("mapped");
	check(q[PAGE - 1] == 'b', "and the name");
	munmap(p, 3 * PAGE);
	munmap(q, PAGE);
	check(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED && errno == EBADF,
	      "no descriptor, no mapping");
	fd = open("/proc/self/exe", O_RDONLY);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	check(p != MAP_FAILED && memcmp(p, "\177ELF", 4) == 0, "a program is mapped");
	close(fd);
}

static int deep(int n)
{
	volatile char room[1024];

	room[0] = (char)n;
	return n == 0 ? 0 : deep(n - 1) + (room[0] != (char)n);
}

static char *set_break(char *to)
{
	return (char *)syscall(SYS_brk, to);
}

static void test_growth(void)
{
	check(deep(4000) == 0, "the stack grows by 4 MiB");
	char *start = set_break(NULL);
	check(set_break(start + 4 * MIB) == start + 4 * MIB && all(start, 4 * MIB, 0),
	      "the heap grows, zeroed");
	memset(start, 1, 4 * MIB);
	check(set_break(start) == start, "and shrinks");
	check(set_break(start + MIB) == start + MIB && all(start, MIB, 0), "and is zero again");
	check(set_break((char *)(1ul << 60)) == start + MIB, "but not without end");
	char *p = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memset(p, 7, PAGE);
	char *q = mremap(p, PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	check(q != MAP_FAILED && q[5] == 7 && q[63 * PAGE] == 0, "mremap keeps the content");
	munmap(q, 64 * PAGE);
}

static void test_limits(void)
{
	struct rlimit limit = {64 * MIB, 64 * MIB};

	check(in_child({
		      setrlimit(RLIMIT_AS, &limit);
		      _exit(map(128 * MIB, PROT_READ, MAP_PRIVATE) == NULL && errno == ENOMEM);
	      }) == 1,
	      "RLIMIT_AS holds");
}

int main(void)
{
	test_anonymous();
	test_protection();
	test_fork();
	test_files();
	test_growth();
	test_limits();
	return tap_end();
}
