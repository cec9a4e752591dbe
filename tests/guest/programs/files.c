/* Files and descriptors: offsets, holes, links, directories, pipes, poll, errors. */
#define _GNU_SOURCE
#include "tap.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>

static char buf[70000];
static void *volatile nowhere = (void *)8;

static bool fails(long result, int error)
{
	return result < 0 && errno == error;
}

static void test_data(void)
{
	struct stat st;
	int fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0640);

	check(fd >= 0 && fails(open("f", O_CREAT | O_EXCL, 0600), EEXIST), "O_EXCL");
	check(write(fd, "hello world", 11) == 11 && lseek(fd, 6, SEEK_SET) == 6 &&
		      read(fd, buf, 100) == 5 && memcmp(buf, "world", 5) == 0,
	      "write, seek, read");
	check(read(fd, buf, 1) == 0 && lseek(fd, -3, SEEK_END) == 8, "the end");
	check(fails(lseek(fd, -1, SEEK_SET), EINVAL), "no seek before the start");
	check(pwrite(fd, "X", 1, 1 << 20) == 1 && fstat(fd, &st) == 0 &&
		      st.st_size == (1 << 20) + 1 && st.st_blocks * 512 < 100000,
	      "a hole takes no room");
	check(pread(fd, buf, 100, 5000) == 100 && buf[0] == 0 && buf[99] == 0, "and reads as zero");
	check(ftruncate(fd, 5) == 0 && pread(fd, buf, 100, 0) == 5, "truncation");
	check(ftruncate(fd, 10) == 0 && pread(fd, buf, 100, 0) == 10 && buf[7] == 0,
	      "what was cut off does not come back");
	struct iovec v[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
	check(lseek(fd, 0, SEEK_SET) == 0 && writev(fd, v, 3) == 5 && pread(fd, buf, 5, 0) == 5 &&
		      memcmp(buf, "abcde", 5) == 0,
	      "writev");
	int copy = dup(fd);
	check(lseek(copy, 0, SEEK_CUR) == 5 && lseek(fd, 2, SEEK_SET) == 2 &&
		      lseek(copy, 0, SEEK_CUR) == 2,
	      "dup shares the offset");
	int append = open("f", O_WRONLY | O_APPEND);
	check(write(append, "Z", 1) == 1 && fstat(fd, &st) == 0 && st.st_size == 11, "O_APPEND");
	check(fails(read(append, buf, 1), EBADF) && fails(write(99, buf, 1), EBADF), "EBADF");
	check((st.st_mode & 07777) == 0640 && S_ISREG(st.st_mode) && st.st_nlink == 1, "stat");
	close(copy);
	close(append);
	close(fd);
	check(fails(close(fd), EBADF), "a closed descriptor is gone");
}

static void test_names(void)
{
	struct stat st;
	char deep[PATH_MAX + 10];

	check(link("f", "g") == 0 && stat("g", &st) == 0 && st.st_nlink == 2, "link");
	check(symlink("g", "s") == 0 && lstat("s", &st) == 0 && S_ISLNK(st.st_mode) &&
		      readlink("s", buf, 10) == 1,
	      "symlink");
	check(mkdir("d", 0755) == 0 && fails(mkdir("d", 0755), EEXIST), "mkdir");
	check(rename("g", "d/h") == 0 && fails(access("g", F_OK), ENOENT) &&
		      access("d/h", R_OK) == 0,
	      "rename into a folder");
	check(fails(rmdir("d"), ENOTEMPTY) && fails(unlink("d"), EISDIR), "a full folder stays");
	check(fails(open("f/x", O_RDONLY), ENOTDIR) && fails(open("d", O_WRONLY), EISDIR) &&
		      fails(open("", O_RDONLY), ENOENT),
	      "errors of open");
	check(mkdir("d/e", 0700) == 0 && fails(rename("d", "d/e/x"), EINVAL),
	      "no folder into itself");
	memset(deep, 'a', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = 0;
	check(fails(open(deep, O_RDONLY), ENAMETOOLONG), "ENAMETOOLONG");
	check(symlink("loop", "loop") == 0 && fails(open("loop", O_RDONLY), ELOOP), "ELOOP");
	int dir = open("d", O_RDONLY | O_DIRECTORY);
	int fd = openat(dir, "new", O_CREAT | O_WRONLY, 0600);
	check(fd >= 0 && fstatat(dir, "new", &st, 0) == 0 && unlinkat(dir, "new", 0) == 0,
	      "openat");
	check(fstat(fd, &st) == 0 && st.st_nlink == 0 && write(fd, "x", 1) == 1,
	      "unlinked but open");
	check(fchdir(dir) == 0 && access("h", F_OK) == 0 && chdir("..") == 0, "fchdir");
	close(fd);
	close(dir);
	int n = 0;
	DIR *list = opendir("d");
	for (struct dirent *e; (e = readdir(list));)
		n += strcmp(e->d_name, "h") == 0 || strcmp(e->d_name, "e") == 0 ? 1 : 10;
	closedir(list);
	check(n == 22, "readdir");
	struct timespec times[2] = {{1000, 5}, {2000, 7}};
	check(utimensat(AT_FDCWD, "f", times, 0) == 0 && stat("f", &st) == 0 &&
		      st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 7,
	      "utimensat");
	check(unlink("d/h") == 0 && rmdir("d/e") == 0 && rmdir("d") == 0 && unlink("s") == 0 &&
		      unlink("loop") == 0 && unlink("f") == 0,
	      "all is removed");
}

static void test_pipes(void)
{
	int p[2], n;

	check(pipe2(p, O_CLOEXEC) == 0 && (fcntl(p[0], F_GETFD) & FD_CLOEXEC), "pipe2");
	check(write(p[1], "abc", 3) == 3 && ioctl(p[0], FIONREAD, &n) == 0 && n == 3, "FIONREAD");
	check(read(p[0], buf, 100) == 3, "a short read");
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	ssize_t total = 0, w;
	while ((w = write(p[1], buf, 4096)) > 0)
		total += w;
	int err = errno;
	check(w < 0 && err == EAGAIN && total == 65536, "a pipe holds 64 KiB (%zd)", total);
	struct pollfd f[2] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}};
	check(poll(f, 2, 0) == 1 && f[0].revents == POLLIN && f[1].revents == 0, "poll");
	while (total > 0)
		total -= read(p[0], buf, sizeof(buf));
	check(poll(f, 2, 0) == 1 && f[1].revents == POLLOUT, "poll of an empty pipe");
	uint64_t start = now_ns();
	check(poll(f, 1, 30) == 0 && now_ns() - start >= 29000000, "poll waits");
	fcntl(p[1], F_SETFL, 0);
	close(p[1]);
	check(poll(f, 1, -1) == 1 && (f[0].revents & POLLHUP) && read(p[0], buf, 1) == 0,
	      "hang-up");
	close(p[0]);

	/* A megabyte through a pipe, from a slower writer to a faster reader and back. */
	if (pipe(p))
		return;
	pid_t pid = fork();
	if (pid == 0) {
		close(p[0]);
		for (int i = 0; i < 1000; i++) {
			memset(buf, i, 1049);
			if (write(p[1], buf, 1049) != 1049)
				_exit(1);
		}
		_exit(0);
	}
	close(p[1]);
	long got = 0;
	bool right = true;
	for (ssize_t r; (r = read(p[0], buf, 5000)) > 0; got += r)
		for (ssize_t i = 0; i < r; i++)
			right &= buf[i] == (char)((got + i) / 1049);
	check(right && got == 1049000 && status_of(pid) == 0, "a megabyte arrives in order");
	fd_set set;
	FD_ZERO(&set);
	FD_SET(p[0], &set);
	struct timeval t = {0, 0};
	check(select(p[0] + 1, &set, NULL, NULL, &t) == 1 && FD_ISSET(p[0], &set), "select");
	close(p[0]);
}

static void test_descriptors(void)
{
	int fd = open("/dev/null", O_RDWR);

	check(dup2(fd, 50) == 50 && fcntl(fd, F_DUPFD, 100) == 100, "numbers of choice");
	check(dup3(fd, 51, O_CLOEXEC) == 51 && (fcntl(51, F_GETFD) & FD_CLOEXEC) &&
		      fails(dup3(fd, fd, 0), EINVAL),
	      "dup3");
	check(in_child(_exit(fcntl(100, F_GETFD) == 0)) == 1, "fork copies descriptors");
	int count = 0;
	while (dup(fd) >= 0)
		count++;
	int err = errno;
	check(err == EMFILE && count > 100, "EMFILE after %d", count);
	for (int i = fd; i < fd + count + 100; i++)
		close(i);
	fd = open("/dev/full", O_WRONLY);
	check(fails(write(fd, "x", 1), ENOSPC), "/dev/full");
	close(fd);
	fd = open("/dev/zero", O_RDONLY);
	check(fails(read(fd, nowhere, 1), EFAULT), "EFAULT");
	close(fd);
}

int main(void)
{
	char folder[] = "files.XXXXXX";

	if (!mkdtemp(folder) || chdir(folder))
		return 99;
	test_data();
	test_names();
	test_pipes();
	test_descriptors();
	check(chdir("..") == 0 && rmdir(folder) == 0, "nothing is left");
	return tap_end();
}
