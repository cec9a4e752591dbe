/* eventfd, timerfd, signalfd: reading, writing, polling, every error. What it expects is what Linux does. */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#define fails(call, number) ((call) == -1 && errno == (number))

/* The 8 bytes that a read gives; -1: it failed. */
static int64_t value(int fd)
{
	uint64_t v;

	return read(fd, &v, sizeof(v)) == sizeof(v) ? (int64_t)v : -1;
}

static int give(int fd, uint64_t v)
{
	return write(fd, &v, sizeof(v)) == sizeof(v) ? 0 : -1;
}

static short polled(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static bool named(int fd, const char *want)
{
	char link[64], name[64] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, name, sizeof(name) - 1) > 0 && strcmp(name, want) == 0;
}

/* ---- eventfd ------------------------------------------------------------------------------------- */

static void *give_later(void *arg)
{
	sleep_ms(30);
	give((int)(intptr_t)arg, 5);
	return NULL;
}

static void *take_later(void *arg)
{
	sleep_ms(30);
	value((int)(intptr_t)arg);
	return NULL;
}

static void test_eventfd(void)
{
	int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
	uint64_t v = 1;
	char small[7];
	pthread_t thread;
	struct stat st;

	check(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC &&
		      (fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == (O_NONBLOCK | O_RDWR),
	      "eventfd");
	check(named(fd, "anon_inode:[eventfd]"), "its name");
	check(fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0, "its mode");
	check(polled(fd) == (POLLIN | POLLOUT) && value(fd) == 3, "a read gives the count");
	check(fails(value(fd), EAGAIN) && polled(fd) == POLLOUT, "EAGAIN for nothing");
	check(give(fd, 4) == 0 && give(fd, 5) == 0 && value(fd) == 9, "writes add up");
	check(fails(give(fd, UINT64_MAX), EINVAL), "EINVAL for the largest number");
	check(give(fd, UINT64_MAX - 1) == 0 && polled(fd) == POLLIN && fails(give(fd, 1), EAGAIN),
	      "EAGAIN when full");
	check(give(fd, 0) == 0 && value(fd) == -2, "all comes out");
	check(fails(read(fd, small, 7), EINVAL) && fails(write(fd, small, 7), EINVAL),
	      "EINVAL for less than eight bytes");
	check(give(fd, 1) == 0 && fails(syscall(SYS_read, fd, 8, 8), EFAULT), "EFAULT");
	check(fails(syscall(SYS_write, fd, 8, 8), EFAULT), "EFAULT for a write");
	check(fails(eventfd(0, 2), EINVAL) && fails(eventfd(0, 1 << 20), EINVAL),
	      "EINVAL for flags");
	check(lseek(fd, 3, SEEK_SET) == 0 && fails(pread(fd, &v, 8, 0), ESPIPE), "no position");
	close(fd);

	fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	check(value(fd) == 1 && value(fd) == 1 && fails(value(fd), EAGAIN),
	      "EFD_SEMAPHORE gives one at a time");
	close(fd);

	fd = eventfd(0, 0);
	pthread_create(&thread, NULL, give_later, (void *)(intptr_t)fd);
	check(value(fd) == 5, "a read waits");
	pthread_join(thread, NULL);
	give(fd, UINT64_MAX - 1);
	pthread_create(&thread, NULL, take_later, (void *)(intptr_t)fd);
	check(give(fd, 7) == 0 && value(fd) == 7, "a write waits");
	pthread_join(thread, NULL);
	int ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN | EPOLLET};
	give(fd, 3);
	check(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && epoll_wait(ep, &e, 1, 0) == 1 &&
		      epoll_wait(ep, &e, 1, 0) == 0,
	      "an edge");
	check(give(fd, 1) == 0 && epoll_wait(ep, &e, 1, 0) == 1, "each write is one");
	check(value(fd) == 4 && give(fd, 0) == 0 && epoll_wait(ep, &e, 1, 0) == 0, "zero is none");
	close(ep);
	close(fd);
	check(in_child({
		      int shared = eventfd(0, 0);
		      if (fork() == 0)
			      _exit(give(shared, 9) != 0);
		      if (value(shared) != 9)
			      _exit(1);
	      }) == 0,
	      "between processes");
}

/* ---- timerfd ------------------------------------------------------------------------------------- */

static int set(int fd, int flags, long first_ms, long interval_ms)
{
	struct itimerspec t = {.it_value = {first_ms / 1000, first_ms % 1000 * 1000000},
			       .it_interval = {interval_ms / 1000, interval_ms % 1000 * 1000000}};

	return timerfd_settime(fd, flags, &t, NULL);
}

static void test_timerfd(void)
{
	struct itimerspec t, old;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	check(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && named(fd, "anon_inode:[timerfd]"),
	      "timerfd_create");
	check(fails(value(fd), EAGAIN) && polled(fd) == 0, "a timer that is off");
	check(timerfd_gettime(fd, &t) == 0 && t.it_value.tv_sec == 0 && t.it_value.tv_nsec == 0,
	      "has no time left");
	check(set(fd, 0, 20, 0) == 0 && timerfd_gettime(fd, &t) == 0 && t.it_value.tv_nsec > 0 &&
		      t.it_value.tv_nsec <= 20000000 && polled(fd) == 0,
	      "armed");
	sleep_ms(30);
	check(polled(fd) == POLLIN && value(fd) == 1 && fails(value(fd), EAGAIN), "expired once");
	check(timerfd_gettime(fd, &t) == 0 && t.it_value.tv_nsec == 0, "and is off");
	check(set(fd, 0, 5, 10) == 0, "with an interval");
	sleep_ms(60);
	int64_t count = value(fd);
	check(count >= 5 && count < 1000, "tells how often it expired (%d)", (int)count);
	check(timerfd_gettime(fd, &t) == 0 && t.it_interval.tv_nsec == 10000000 &&
		      t.it_value.tv_nsec > 0 && t.it_value.tv_nsec <= 10000000,
	      "and goes on");
	t = (struct itimerspec){};
	check(timerfd_settime(fd, 0, &t, &old) == 0 && old.it_interval.tv_nsec == 10000000 &&
		      old.it_value.tv_nsec > 0,
	      "turned off, with what was");
	sleep_ms(20);
	check(fails(value(fd), EAGAIN), "silent");
	set(fd, 0, 1, 0);
	sleep_ms(10);
	check(set(fd, 0, 1000, 0) == 0 && polled(fd) == 0, "setting it again forgets");
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	t.it_value = now;
	t.it_interval.tv_sec = 1000;
	check(timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL) == 0, "an absolute time");
	sleep_ms(5);
	check(value(fd) == 1, "that has passed");
	close(fd);
}

static void test_clocks(void)
{
	struct itimerspec t;
	struct timespec now;
	int fd = timerfd_create(CLOCK_REALTIME, 0);
	uint64_t start;

	t = (struct itimerspec){.it_value = {1, 0}, .it_interval = {1000000000, 0}};
	check(fd >= 0 && timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &t,
					 NULL) == 0,
	      "of the wall clock");
	clock_gettime(CLOCK_REALTIME, &now);
	check(value(fd) == (now.tv_sec - 1) / 1000000000 + 1, "long ago, with its intervals");
	clock_gettime(CLOCK_REALTIME, &now);
	t.it_value = (struct timespec){now.tv_sec + (now.tv_nsec + 30000000) / 1000000000,
				       (now.tv_nsec + 30000000) % 1000000000};
	start = now_ns();
	check(timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL) == 0 && value(fd) == 1 &&
		      now_ns() - start > 20000000,
	      "a read waits for it");
	close(fd);
}

static void test_timerfd_arguments(void)
{
	struct itimerspec t, bad = {.it_value = {1, 1000000000}};
	int fd = timerfd_create(CLOCK_BOOTTIME, 0);
	uint64_t start = 0, v;

	check(fd >= 0 && set(fd, 0, 10, 0) == 0 && value(fd) == 1, "CLOCK_BOOTTIME");
	check(fails(timerfd_create(12, 0), EINVAL) && fails(timerfd_create(-1, 0), EINVAL) &&
		      fails(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL) &&
		      fails(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL),
	      "EINVAL for clocks and flags");
	t = (struct itimerspec){};
	check(fails(timerfd_settime(fd, 0, &bad, NULL), EINVAL) &&
		      fails(timerfd_settime(fd, 4, &t, NULL), EINVAL),
	      "EINVAL");
	bad.it_value = (struct timespec){-1, 0};
	check(fails(timerfd_settime(fd, 0, &bad, NULL), EINVAL), "EINVAL for a negative time");
	check(fails(timerfd_settime(0, 0, &t, NULL), EINVAL) &&
		      fails(timerfd_settime(99, 0, &t, NULL), EBADF) &&
		      fails(timerfd_gettime(0, &t), EINVAL) &&
		      fails(timerfd_gettime(-1, &t), EBADF),
	      "other descriptors");
	check(fails(syscall(SYS_timerfd_settime, fd, 0, 8, 0), EFAULT) &&
		      fails(syscall(SYS_timerfd_gettime, fd, 8), EFAULT) &&
		      fails(syscall(SYS_timerfd_settime, fd, 0, &t, 8), EFAULT),
	      "EFAULT");
	check(fails(write(fd, &start, 8), EINVAL) && fails(syscall(SYS_read, fd, &v, 7), EINVAL),
	      "EINVAL for a write and a short read");
	int ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN};
	check(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && set(fd, 0, 20, 20) == 0 &&
		      epoll_wait(ep, &e, 1, 0) == 0 && epoll_wait(ep, &e, 1, 1000) == 1,
	      "epoll of a timer");
	check(value(fd) >= 1 && epoll_wait(ep, &e, 1, 1000) == 1, "and of its next expiry");
	t = (struct itimerspec){.it_value = {INT64_MAX, 999999999}, .it_interval = {INT64_MAX, 1}};
	check(timerfd_settime(fd, 0, &t, NULL) == 0 &&
		      timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL) == 0 && polled(fd) == 0,
	      "times beyond all");
	t = (struct itimerspec){.it_value = {0, 1}, .it_interval = {0, 1}};
	check(timerfd_settime(fd, 0, &t, NULL) == 0, "an interval of a nanosecond");
	sleep_ms(2);
	check(value(fd) > 1000, "costs nothing");
	close(ep);
	close(fd);
}

/* ---- signalfd ------------------------------------------------------------------------------------ */

/* The set changes, and the readers do. Closes fd. */
static void test_signalfd_sets(int fd, const sigset_t *mask)
{
	struct signalfd_siginfo info[4];
	sigset_t none, other;
	int ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN};

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	sigemptyset(&none);
	kill(getpid(), SIGUSR1);
	check(signalfd(fd, &none, 0) == fd && polled(fd) == 0, "the set is changed");
	check(signalfd(fd, mask, 0) == fd && polled(fd) == POLLIN && epoll_wait(ep, &e, 1, 0) == 1,
	      "and back");
	check(read(fd, info, sizeof(info)) == sizeof(info[0]), "the signal was kept");
	check(in_child({
		      sigset_t all;
		      sigfillset(&all);
		      int mine = signalfd(-1, &all, 0);
		      pid_t parent = getpid();
		      sigprocmask(SIG_BLOCK, &all, NULL);
		      if (fork() == 0) {
			      sleep_ms(30);
			      kill(parent, SIGUSR2);
			      _exit(0);
		      }
		      if (read(mine, info, sizeof(info[0])) != sizeof(info[0]) ||
			  info[0].ssi_signo != SIGUSR2)
			      _exit(1);
	      }) == 0,
	      "a read waits");
	/* Signals of the reader count, and the file may be polled by several processes in turn. */
	check(in_child({
		      if (polled(fd) != 0 || kill(getpid(), SIGUSR1) != 0 || polled(fd) != POLLIN)
			      _exit(1);
		      struct pollfd p = {.fd = fd, .events = POLLIN};
		      if (poll(&p, 1, 1000) != 1)
			      _exit(2);
		      struct epoll_event mine = {.events = EPOLLIN};
		      int inner = epoll_create1(0);
		      if (epoll_ctl(inner, EPOLL_CTL_ADD, fd, &mine) != 0 ||
			  epoll_wait(inner, &mine, 1, 0) != 1)
			      _exit(3);
	      }) == 0,
	      "a child sees its own signals");
	check(read(fd, info, sizeof(info)) == sizeof(info[0]) && info[0].ssi_signo == SIGCHLD,
	      "the parent only its own");

	check(fails(signalfd(-1, mask, 1), EINVAL) && fails(signalfd(0, mask, 0), EINVAL) &&
		      fails(signalfd(99, mask, 0), EBADF),
	      "errors");
	check(fails(syscall(SYS_signalfd4, -1, mask, 4, 0), EINVAL) &&
		      fails(syscall(SYS_signalfd4, -1, 8, 8, 0), EFAULT) &&
		      fails(syscall(SYS_signalfd4, -1, 0, 8, 0), EFAULT),
	      "bad masks");
	check(fails(read(fd, info, 127), EINVAL) && fails(write(fd, info, 128), EINVAL), "sizes");
	kill(getpid(), SIGUSR1);
	check(fails(syscall(SYS_read, fd, 8, 128), EFAULT), "EFAULT");
	sigemptyset(&other);
	sigaddset(&other, SIGKILL);
	int only_kill = signalfd(-1, &other, SFD_NONBLOCK);
	check(only_kill >= 0 && fails(read(only_kill, info, sizeof(info)), EAGAIN),
	      "SIGKILL is not read");
	close(only_kill), close(ep), close(fd);
}

static void test_signalfd(void)
{
	struct signalfd_siginfo info[4];
	sigset_t mask;
	struct epoll_event e = {.events = EPOLLIN};

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	int fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC), ep = epoll_create1(0);
	check(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && named(fd, "anon_inode:[signalfd]"),
	      "signalfd");
	check(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && epoll_wait(ep, &e, 1, 0) == 0,
	      "no signal");
	check(fails(read(fd, info, sizeof(info)), EAGAIN) && polled(fd) == 0, "EAGAIN");
	check(kill(getpid(), SIGUSR1) == 0 && polled(fd) == POLLIN && epoll_wait(ep, &e, 1, 0) == 1,
	      "a signal is seen");
	check(read(fd, info, sizeof(info)) == sizeof(info[0]) && info[0].ssi_signo == SIGUSR1 &&
		      info[0].ssi_code == SI_USER && info[0].ssi_pid == (uint32_t)getpid() &&
		      info[0].ssi_uid == getuid() && info[0].ssi_errno == 0,
	      "and read");
	check(polled(fd) == 0 && epoll_wait(ep, &e, 1, 0) == 0, "once");
	union sigval sv = {.sival_int = 77};
	sigqueue(getpid(), SIGRTMIN + 3, sv);
	sv.sival_int = 78;
	sigqueue(getpid(), SIGRTMIN + 3, sv);
	pthread_kill(pthread_self(), SIGUSR1);
	check(read(fd, info, sizeof(info)) == 3 * sizeof(info[0]) && info[0].ssi_signo == SIGUSR1 &&
		      info[0].ssi_code == SI_TKILL && info[1].ssi_signo == (uint32_t)SIGRTMIN + 3 &&
		      info[1].ssi_int == 77 && info[1].ssi_code == SI_QUEUE &&
		      info[2].ssi_int == 78,
	      "several at once, with their values");
	pid_t child = fork();
	if (child == 0)
		_exit(33);
	check(epoll_wait(ep, &e, 1, 2000) == 1 && read(fd, info, sizeof(info)) == sizeof(info[0]) &&
		      info[0].ssi_signo == SIGCHLD && info[0].ssi_pid == (uint32_t)child &&
		      info[0].ssi_status == 33 && info[0].ssi_code == CLD_EXITED,
	      "epoll is woken by a child's end");
	check(status_of(child) == 33, "which is waited for");

	close(ep);
	test_signalfd_sets(fd, &mask);
}

int main(void)
{
	test_eventfd();
	test_timerfd();
	test_clocks();
	test_timerfd_arguments();
	test_signalfd();
	return tap_end();
}
