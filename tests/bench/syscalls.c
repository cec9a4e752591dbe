/* Calls that do little: what the kernel's entry, the file layer and the terminal of them cost. */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fd = -1;
static char page[4096];

static int null_call(unsigned long n)
{
	while (n--)
		syscall(SYS_getppid);
	return 0;
}

static int open_zero(void)
{
	fd = open("/dev/zero", O_RDONLY);
	return fd < 0 ? errno : 0;
}

static int open_null(void)
{
	fd = open("/dev/null", O_WRONLY);
	return fd < 0 ? errno : 0;
}

static void close_fd(void)
{
	close(fd);
	fd = -1;
}

static int read_byte(unsigned long n)
{
	char c;

	while (n--)
		if (read(fd, &c, 1) != 1)
			return errno;
	return 0;
}

static int write_byte(unsigned long n)
{
	char c = 0;

	while (n--)
		if (write(fd, &c, 1) != 1)
			return errno;
	return 0;
}

static int stat_file(unsigned long n)
{
	struct stat s;

	while (n--)
		if (stat("/tmp/tern-bench/file", &s) != 0)
			return errno;
	return 0;
}

static int open_close(unsigned long n)
{
	while (n--) {
		int f = open("/tmp/tern-bench/file", O_RDONLY);
		if (f < 0)
			return errno;
		close(f);
	}
	return 0;
}

static int make_file(void)
{
	mkdir("/tmp/tern-bench", 0755);
	fd = open("/tmp/tern-bench/file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0)
		return errno;
	return write(fd, page, sizeof(page)) == sizeof(page) ? 0 : errno;
}

static void remove_file(void)
{
	close_fd();
	unlink("/tmp/tern-bench/file");
}

static int create_unlink(unsigned long n)
{
	while (n--) {
		int f = open("/tmp/tern-bench/new", O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (f < 0 || write(f, "x", 1) != 1)
			return errno;
		close(f);
		if (unlink("/tmp/tern-bench/new") != 0)
			return errno;
	}
	return 0;
}

static int pread_page(unsigned long n)
{
	while (n--)
		if (pread(fd, page, sizeof(page), 0) != sizeof(page))
			return errno;
	return 0;
}

static int pwrite_page(unsigned long n)
{
	while (n--)
		if (pwrite(fd, page, sizeof(page), 0) != sizeof(page))
			return errno;
	return 0;
}

static int yield(unsigned long n)
{
	while (n--)
		sched_yield();
	return 0;
}

static const struct benchmark table[] = {
	{"null_call", "getppid", 20000, NULL, null_call, NULL},
	{"read_zero", "read of 1 byte from /dev/zero", 10000, open_zero, read_byte, close_fd},
	{"write_null", "write of 1 byte to /dev/null", 10000, open_null, write_byte, close_fd},
	{"stat", "stat of a file in tmpfs", 5000, make_file, stat_file, remove_file},
	{"open_close", "open and close of a file in tmpfs", 5000, make_file, open_close,
	 remove_file},
	{"create_unlink", "create, write 1 byte, unlink", 2000, make_file, create_unlink,
	 remove_file},
	{"pread_4k", "pread of 4 KiB", 5000, make_file, pread_page, remove_file},
	{"pwrite_4k", "pwrite of 4 KiB", 5000, make_file, pwrite_page, remove_file},
	{"sched_yield", "sched_yield, alone", 10000, NULL, yield, NULL},
};
const struct group syscall_group = {table, sizeof(table) / sizeof(table[0])};
