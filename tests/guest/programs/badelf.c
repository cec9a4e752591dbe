/*
 * Programs that are damaged: cut off, with wild headers, with single bytes turned. Each is started
 * in a child; whatever happens to it, it is an error or a signal, and the machine goes on.
 */
#define _GNU_SOURCE
#include "tap.h"
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

static char *original;
static size_t size;
static int refused, ran, killed;

/* Some damage makes it run for ever. */
static struct itimerval limit = {.it_value.tv_sec = 2};

static int start(const char *image, size_t length)
{
	int fd = open("damaged", O_CREAT | O_TRUNC | O_WRONLY, 0755);

	if (fd < 0 || write(fd, image, length) != (ssize_t)length)
		return -1;
	close(fd);
	int status = in_child({
		setitimer(ITIMER_REAL, &limit, NULL);
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execl("./damaged", "damaged", "exit", "5", NULL);
		_exit(errno == ENOEXEC || errno == EINVAL || errno == ENOMEM || errno == EFAULT ||
				      errno == EIO || errno == ENOENT || errno == EACCES ||
				      errno == ELIBBAD || errno == EPERM || errno == EAGAIN
			      ? 126
			      : 127);
	});
	refused += status == 126;
	killed += status > 128;
	ran += status >= 0 && status < 126;
	return status;
}

static char *fresh(void)
{
	static char *copy;

	if (!copy)
		copy = malloc(size);
	memcpy(copy, original, size);
	return copy;
}

static void test_headers(void)
{
	char *image;
	Elf64_Ehdr *e;
	Elf64_Phdr *p;

	static const size_t lengths[] = {0, 1, 4, 16, 63, 64, 65, 100, 120, 1000, 4096, 5000};
	int bad = 0;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		int status = start(original, lengths[i]);
		bad += lengths[i] < 64 ? status != 126 && lengths[i] > 0 : status == 5;
	}
	check(bad == 0, "cut-off programs do not run");

#define DAMAGE(name, ...)                                                                          \
	do {                                                                                       \
		image = fresh();                                                                   \
		e = (Elf64_Ehdr *)image;                                                           \
		p = (Elf64_Phdr *)(image + e->e_phoff);                                            \
		while (p->p_type != PT_LOAD)                                                       \
			p++;                                                                       \
		__VA_ARGS__;                                                                       \
		int status_ = start(image, size);                                                  \
		check(status_ == 126 || status_ > 128, "%s (%d)", name, status_);                  \
	} while (0)

	DAMAGE("another machine", e->e_machine = 4);
	DAMAGE("not a program", e->e_type = ET_REL);
	DAMAGE("no segments", e->e_phnum = 0);
	DAMAGE("65535 segments", e->e_phnum = 65535);
	DAMAGE("segments of a strange size", e->e_phentsize = 7);
	DAMAGE("segments behind the end", e->e_phoff = size + 100);
	DAMAGE("segments at the end of numbers", e->e_phoff = UINT64_MAX - 8);
	DAMAGE("an entry in nothing", e->e_entry = 0x10);
	DAMAGE("an entry in the kernel", e->e_entry = 0xffffffff80000000u);
	DAMAGE("a segment in the kernel", p->p_vaddr = 0xffffffff80000000u);
	DAMAGE("a segment around the end", p->p_vaddr = UINT64_MAX - 4095);
	DAMAGE("a huge segment", p->p_memsz = UINT64_MAX - 8192);
	DAMAGE("a segment larger in the file than in memory", p->p_memsz = 1, p->p_filesz = 8192);
	DAMAGE("file bytes behind the end", p->p_offset = 1ull << 40);
	DAMAGE("file bytes at the end of numbers", p->p_offset = UINT64_MAX - 4095);
	DAMAGE("a crooked segment", p->p_vaddr += 123);
	DAMAGE("an interpreter behind the end", p->p_type = PT_INTERP, p->p_offset = size + 1);
	DAMAGE("an interpreter without end", p->p_type = PT_INTERP, p->p_filesz = UINT64_MAX);
}

static void test_random(int rounds)
{
	uint64_t r = 2463534242u;

	limit.it_value = (struct timeval){.tv_usec = 400000};
	for (int i = 0; i < rounds; i++) {
		char *image = fresh();
		int turns = i % 4 + 1;
		while (turns--) {
			r ^= r << 13;
			r ^= r >> 7;
			r ^= r << 17;
			image[(r >> 8) % (i % 2 ? 64 : 700)] = (char)(r >> 40);
		}
		start(image, size);
	}
	limit.it_value = (struct timeval){.tv_sec = 2};
	check(refused + ran + killed > rounds, "random damage: %d refused, %d killed, %d ran",
	      refused, killed, ran);
}

int main(int argc, char **argv)
{
	char folder[] = "badelf.XXXXXX";
	struct stat st;
	int fd = open(argc > 1 ? argv[1] : "/bin/crash", O_RDONLY);

	if (fd < 0 || fstat(fd, &st) || !mkdtemp(folder) || chdir(folder))
		return 99;
	size = (size_t)st.st_size;
	original = malloc(size);
	if (read(fd, original, size) != st.st_size)
		return 98;
	check(start(original, size) == 5, "the whole program runs");
	test_headers();
	test_random(argc > 2 ? atoi(argv[2]) : 300);
	check(start(original, size) == 5, "and still does");
	check(unlink("damaged") == 0 && chdir("..") == 0 && rmdir(folder) == 0, "nothing is left");
	return tap_end();
}
