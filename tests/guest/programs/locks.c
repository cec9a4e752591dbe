/* flock and record locks: who is in whose way, ranges, waiting, deadlock, and when they go. */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>

#define fails(call, number) ((call) == -1 && errno == (number))

static const char name[] = "/tmp/locks.tmp";

static int lock(int fd, int command, short type, off_t start, off_t length)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

	return fcntl(fd, command, &l);
}

/* What is in the way of a write lock on [start, start + length): "free" or "r 10 20 PID". */
static const char *query(int fd, int command, off_t start, off_t length, pid_t *pid)
{
	static char text[64];
	struct flock l = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

	if (fcntl(fd, command, &l) != 0)
		return strerror(errno);
	if (l.l_type == F_UNLCK)
		return "free";
	snprintf(text, sizeof(text), "%c %ld %ld", l.l_type == F_RDLCK ? 'r' : 'w', (long)l.l_start,
		 (long)l.l_len);
	if (pid)
		*pid = l.l_pid;
	return text;
}

/* As another process sees it. */
static bool seen(int fd, off_t start, off_t length, const char *want)
{
	return in_child({
		       const char *got = query(fd, F_GETLK, start, length, NULL);
		       if (strcmp(got, want) != 0) {
			       printf("# %s, not %s\n", got, want);
			       fflush(stdout);
			       _exit(1);
		       }
	       }) == 0;
}

static int open_it(void)
{
	return open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void test_flock(void)
{
	int a = open_it(), b = open_it(), same = dup(a);

	check(flock(a, LOCK_SH) == 0 && flock(b, LOCK_SH | LOCK_NB) == 0, "two share");
	check(fails(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK), "none alone");
	check(flock(a, LOCK_EX | LOCK_NB) == 0, "what could not be raised is lost");
	check(fails(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK), "alone");
	check(flock(same, LOCK_EX | LOCK_NB) == 0, "a duplicate is the same file");
	check(in_child({
		      if (flock(a, LOCK_EX | LOCK_NB) != 0 || flock(a, LOCK_UN) != 0)
			      _exit(1);
	      }) == 0 &&
		      flock(b, LOCK_EX | LOCK_NB) == 0,
	      "a child's is, too");
	check(flock(b, LOCK_UN) == 0 && flock(b, LOCK_UN) == 0, "unlocked twice");
	flock(a, LOCK_EX);
	close(a);
	check(fails(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK), "it stays with the duplicate");
	close(same);
	check(flock(b, LOCK_SH | LOCK_NB) == 0, "and goes with it");
	check(fails(flock(b, 0), EINVAL) && fails(flock(b, LOCK_SH | LOCK_EX), EINVAL) &&
		      fails(flock(-1, LOCK_SH), EBADF),
	      "errors");
	a = open_it();
	flock(b, LOCK_EX);
	pid_t child = fork();
	if (child == 0) {
		uint64_t start = now_ns();
		close(b);
		_exit(flock(a, LOCK_EX) != 0 || now_ns() - start < 10000000);
	}
	sleep_ms(30);
	flock(b, LOCK_UN);
	check(status_of(child) == 0, "it is waited for");
	close(a), close(b);
}

static void test_ranges(void)
{
	int fd = open_it();
	pid_t pid = 0;

	check(lock(fd, F_SETLK, F_WRLCK, 10, 20) == 0 && seen(fd, 0, 0, "w 10 20"), "a range");
	check(seen(fd, 0, 10, "free") && seen(fd, 30, 0, "free") && seen(fd, 29, 1, "w 10 20"),
	      "and not beside it");
	check(strcmp(query(fd, F_GETLK, 0, 0, NULL), "free") == 0, "one's own is not in the way");
	check(lock(fd, F_SETLK, F_WRLCK, 30, 10) == 0 && seen(fd, 0, 0, "w 10 30"),
	      "neighbours join");
	check(lock(fd, F_SETLK, F_RDLCK, 15, 5) == 0 && seen(fd, 15, 1, "r 15 5") &&
		      seen(fd, 0, 15, "w 10 5") && seen(fd, 20, 0, "w 20 20"),
	      "another type cuts");
	check(lock(fd, F_SETLK, F_UNLCK, 22, 2) == 0 && seen(fd, 22, 2, "free") &&
		      seen(fd, 20, 2, "w 20 2") && seen(fd, 24, 1, "w 24 16"),
	      "an unlock, too");
	check(lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0 && seen(fd, 1000, 1, "w 0 0"),
	      "all, whatever is there");
	check(lock(fd, F_SETLK, F_UNLCK, 100, 0) == 0 && seen(fd, 100, 0, "free") &&
		      seen(fd, 0, 0, "w 0 100"),
	      "to the end");
	check(in_child({
		      if (!fails(lock(fd, F_SETLK, F_RDLCK, 50, 1), EAGAIN) ||
			  lock(fd, F_SETLK, F_WRLCK, 100, 5) != 0)
			      _exit(1);
		      query(fd, F_GETLK, 0, 0, &pid);
		      if (pid != getppid())
			      _exit(2);
	      }) == 0,
	      "EAGAIN, and whose it is");
	check(seen(fd, 100, 0, "free"), "locks go with their process");
	struct flock back = {.l_type = F_UNLCK, .l_whence = SEEK_END, .l_start = 50, .l_len = -10};
	check(ftruncate(fd, 0) == 0 && fcntl(fd, F_SETLK, &back) == 0 && seen(fd, 40, 10, "free") &&
		      seen(fd, 0, 0, "w 0 40"),
	      "backwards from the end");
	close(open_it());
	check(seen(fd, 0, 0, "free"), "closing any descriptor of the file releases all");
	close(fd);
}

static void test_errors(void)
{
	int fd = open_it(), in = open(name, O_RDONLY), out = open(name, O_WRONLY);
	struct flock l = {.l_type = F_RDLCK, .l_whence = 7};

	check(fails(fcntl(fd, F_SETLK, &l), EINVAL) && fails(lock(fd, F_SETLK, 5, 0, 1), EINVAL) &&
		      fails(lock(fd, F_SETLK, -1, 0, 1), EINVAL),
	      "EINVAL");
	check(fails(lock(fd, F_SETLK, F_RDLCK, -1, 1), EINVAL) &&
		      fails(lock(fd, F_SETLK, F_RDLCK, 5, -6), EINVAL),
	      "before the start");
	check(fails(lock(fd, F_SETLK, F_RDLCK, INT64_MAX, 2), EOVERFLOW), "EOVERFLOW");
	check(lock(fd, F_SETLK, F_RDLCK, INT64_MAX, 1) == 0 &&
		      seen(fd, 5, 0, "r 9223372036854775807 0"),
	      "the last byte");
	check(fails(lock(in, F_SETLK, F_WRLCK, 0, 1), EBADF) &&
		      fails(lock(out, F_SETLK, F_RDLCK, 0, 1), EBADF) &&
		      fails(lock(-1, F_SETLK, F_RDLCK, 0, 1), EBADF),
	      "EBADF without the right");
	check(fails(syscall(SYS_fcntl, fd, F_SETLK, 8), EFAULT) &&
		      fails(syscall(SYS_fcntl, fd, F_GETLK, 0), EFAULT),
	      "EFAULT");
	l = (struct flock){.l_type = F_UNLCK};
	check(fails(fcntl(fd, F_GETLK, &l), EINVAL), "a question for nothing");
	l = (struct flock){.l_type = F_RDLCK, .l_pid = 1};
	check(fails(fcntl(fd, F_OFD_SETLK, &l), EINVAL), "OFD locks have no process");
	close(fd), close(in), close(out);
}

static void test_open_files(void)
{
	int a = open_it(), b = open_it();
	pid_t pid = 0;

	check(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10) == 0 &&
		      fails(lock(b, F_OFD_SETLK, F_RDLCK, 5, 10), EAGAIN),
	      "open files of one process");
	check(strcmp(query(b, F_OFD_GETLK, 0, 0, &pid), "w 0 10") == 0 && pid == -1,
	      "belong to no process");
	check(fails(lock(b, F_SETLK, F_WRLCK, 9, 1), EAGAIN),
	      "are in the way of the process's own");
	check(lock(b, F_SETLK, F_WRLCK, 10, 1) == 0 &&
		      fails(lock(a, F_OFD_SETLK, F_WRLCK, 10, 1), EAGAIN),
	      "and the other way round");
	int same = dup(a);
	close(a);
	check(fails(lock(b, F_OFD_SETLK, F_RDLCK, 5, 1), EAGAIN), "a duplicate keeps them");
	close(same);
	check(lock(b, F_OFD_SETLK, F_RDLCK, 5, 1) == 0, "the last close releases");
	check(flock(b, LOCK_EX | LOCK_NB) == 0, "flock does not see them");
	close(b);
}

static void handler(int signo)
{
}

static void test_waiting(void)
{
	int fd = open_it(), p[2];
	char c = 0;

	check(pipe(p) == 0 && lock(fd, F_SETLK, F_WRLCK, 0, 1) == 0, "byte 0 is mine");
	pid_t child = fork();
	if (child == 0) {
		if (lock(fd, F_SETLK, F_WRLCK, 1, 1) != 0 || write(p[1], "x", 1) != 1)
			_exit(1);
		_exit(lock(fd, F_SETLKW, F_WRLCK, 0, 1) != 0 ? 2 : 0);
	}
	if (read(p[0], &c, 1) != 1)
		c = 0;
	sleep_ms(50);
	check(c == 'x' && fails(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK),
	      "EDEADLK for a circle");
	check(lock(fd, F_SETLK, F_UNLCK, 0, 1) == 0 && status_of(child) == 0,
	      "which goes on when one gives way");
	check(lock(fd, F_SETLKW, F_WRLCK, 0, 2) == 0, "both are free");
	child = fork();
	if (child == 0) {
		struct sigaction action = {.sa_handler = handler};
		sigaction(SIGALRM, &action, NULL);
		alarm(1);
		_exit(fails(lock(fd, F_SETLKW, F_WRLCK, 0, 1), EINTR) ? 0 : 1);
	}
	check(status_of(child) == 0, "a signal ends the wait");
	check(in_child({
		      if (fork() == 0)
			      _exit(lock(fd, F_SETLKW, F_WRLCK, 0, 1));
		      sleep_ms(20);
		      _exit(0);
	      }) == 0,
	      "nobody waits for the dead");
	close(fd), close(p[0]), close(p[1]);
}

/* Processes add to a number in a file, one at a time. */
static void test_counter(void)
{
	enum { CHILDREN = 4, ROUNDS = 200 };
	int fd = open_it(), value = 0;
	pid_t child[CHILDREN];

	check(ftruncate(fd, 0) == 0 && pwrite(fd, &value, sizeof(value), 0) == sizeof(value),
	      "a number");
	for (int i = 0; i < CHILDREN; i++) {
		child[i] = fork();
		if (child[i] != 0)
			continue;
		int mine = open_it();
		for (int n = 0; n < ROUNDS; n++) {
			int v;
			if (i % 2 && flock(mine, LOCK_EX))
				_exit(1);
			if (lock(mine, F_SETLKW, F_WRLCK, 0, 4) || pread(mine, &v, 4, 0) != 4)
				_exit(1);
			v++;
			if (pwrite(mine, &v, 4, 0) != 4 || lock(mine, F_SETLK, F_UNLCK, 0, 4) ||
			    (i % 2 && flock(mine, LOCK_UN)))
				_exit(1);
		}
		_exit(0);
	}
	bool right = true;
	for (int i = 0; i < CHILDREN; i++)
		right &= status_of(child[i]) == 0;
	check(right && pread(fd, &value, 4, 0) == 4 && value == CHILDREN * ROUNDS,
	      "added to by several (%d)", value);
	close(fd);
}

int main(void)
{
	test_flock();
	test_ranges();
	test_errors();
	test_open_files();
	test_waiting();
	test_counter();
	unlink(name);
	return tap_end();
}
