/* epoll: level, edge, one-shot, exclusive; every error; nesting; dup, fork and close; poll and select of
 * many. What it expects is what Linux does. */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#ifndef EPOLLEXCLUSIVE
#define EPOLLEXCLUSIVE (1u << 28)
#endif

/* The call fails with this errno. */
#define fails(call, number) ((call) == -1 && errno == (number))

/* For wrong arguments, which compilers would warn about. */
static int (*volatile raw_wait)(int, struct epoll_event *, int, int) = epoll_wait;
static int (*volatile raw_poll)(struct pollfd *, nfds_t, int) = poll;

static int add(int ep, int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.u64 = 0x1234567800000000ull + (unsigned)fd};

	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static int mod(int ep, int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.u64 = 0x1234567800000000ull + (unsigned)fd};

	return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
}

static int del(int ep, int fd)
{
	return epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
}

/* The events of the one descriptor that is ready now; 0: none; ~0: more, or the wrong one. */
static uint32_t only(int ep, int fd)
{
	struct epoll_event e[4];
	int n = epoll_wait(ep, e, 4, 0);

	if (n <= 0)
		return n ? ~0u : 0;
	return n == 1 && e[0].data.u64 == 0x1234567800000000ull + (unsigned)fd ? e[0].events : ~0u;
}

static void put(int fd)
{
	if (write(fd, "x", 1) != 1)
		tap_failed++;
}

static void get(int fd, size_t size)
{
	char buf[256];

	if (read(fd, buf, size) != (ssize_t)size)
		tap_failed++;
}

static void test_levels(void)
{
	int p[2], ep = epoll_create1(EPOLL_CLOEXEC);

	check(ep >= 0 && fcntl(ep, F_GETFD) == FD_CLOEXEC, "epoll_create1");
	check(pipe(p) == 0 && add(ep, p[0], EPOLLIN) == 0, "a pipe is added");
	check(only(ep, p[0]) == 0, "an empty pipe is not ready");
	put(p[1]);
	check(only(ep, p[0]) == EPOLLIN && only(ep, p[0]) == EPOLLIN,
	      "level-triggered: again and again");
	get(p[0], 1);
	check(only(ep, p[0]) == 0, "until it is read");
	check(mod(ep, p[0], EPOLLIN | EPOLLET) == 0, "made edge-triggered");
	put(p[1]);
	check(only(ep, p[0]) == EPOLLIN && only(ep, p[0]) == 0, "edge-triggered: once");
	put(p[1]);
	check(only(ep, p[0]) == EPOLLIN && only(ep, p[0]) == 0, "once more for more input");
	get(p[0], 1);
	check(only(ep, p[0]) == 0, "reading a part is no edge");
	check(mod(ep, p[0], EPOLLIN | EPOLLET) == 0 && only(ep, p[0]) == EPOLLIN,
	      "EPOLL_CTL_MOD looks anew");
	check(mod(ep, p[0], EPOLLIN | EPOLLONESHOT) == 0 && only(ep, p[0]) == EPOLLIN &&
		      only(ep, p[0]) == 0,
	      "one-shot: once");
	put(p[1]);
	check(only(ep, p[0]) == 0, "one-shot: more input does not count");
	check(mod(ep, p[0], EPOLLIN | EPOLLONESHOT) == 0 && only(ep, p[0]) == EPOLLIN,
	      "until it is armed again");
	close(p[1]);
	check(only(ep, p[0]) == 0, "not even the end");
	check(mod(ep, p[0], 0) == 0 && only(ep, p[0]) == EPOLLHUP, "EPOLLHUP comes unasked");
	check(del(ep, p[0]) == 0 && only(ep, p[0]) == 0, "deleted");
	close(p[0]);

	check(pipe(p) == 0 && add(ep, p[1], EPOLLOUT | EPOLLET) == 0 &&
		      only(ep, p[1]) == EPOLLOUT && only(ep, p[1]) == 0,
	      "room in a pipe");
	put(p[1]);
	get(p[0], 1);
	check(only(ep, p[1]) == 0, "is no edge while it was not full");
	close(p[0]);
	check(only(ep, p[1]) == (EPOLLOUT | EPOLLERR), "EPOLLERR when nobody reads");
	close(p[1]);
	close(ep);
}

static void test_errors(void)
{
	struct epoll_event e = {.events = EPOLLIN}, *wild = (void *)8;
	int p[2], ep = epoll_create(1), file = open("/proc/self/exe", O_RDONLY),
		  dir = open("/", O_RDONLY);
	int null = open("/dev/null", O_RDWR), path = open("/", O_PATH);

#ifdef SYS_epoll_create
	check(fails(syscall(SYS_epoll_create, 0), EINVAL) &&
		      fails(syscall(SYS_epoll_create, -1), EINVAL),
	      "epoll_create wants a size");
#endif
	check(fails(epoll_create1(1), EINVAL) && fails(epoll_create1(-1), EINVAL),
	      "epoll_create1 knows its flag");
	check(pipe(p) == 0 && add(ep, p[0], EPOLLIN) == 0, "a pipe");
	check(fails(add(ep, p[0], EPOLLOUT), EEXIST), "EEXIST");
	check(fails(mod(ep, p[1], EPOLLOUT), ENOENT) && fails(del(ep, p[1]), ENOENT), "ENOENT");
	check(fails(add(ep, file, EPOLLIN), EPERM) && fails(add(ep, dir, EPOLLIN), EPERM) &&
		      fails(add(ep, null, EPOLLIN), EPERM),
	      "EPERM for what cannot be polled");
	check(fails(add(ep, path, EPOLLIN), EBADF), "EBADF for O_PATH");
	check(fails(add(ep, ep, EPOLLIN), EINVAL), "EINVAL for itself");
	check(fails(add(p[0], p[1], EPOLLIN), EINVAL), "EINVAL for what is no epoll");
	check(fails(add(-1, p[0], EPOLLIN), EBADF) && fails(add(999, p[0], EPOLLIN), EBADF) &&
		      fails(add(ep, -1, EPOLLIN), EBADF) && fails(add(ep, 999, EPOLLIN), EBADF),
	      "EBADF");
	check(fails(epoll_ctl(ep, 0, p[0], &e), EINVAL) &&
		      fails(epoll_ctl(ep, 4, p[0], &e), EINVAL) &&
		      fails(epoll_ctl(ep, -1, p[0], &e), EINVAL),
	      "EINVAL for other operations");
	check(fails(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], wild), EFAULT) &&
		      fails(epoll_ctl(ep, EPOLL_CTL_ADD, -1, wild), EFAULT) &&
		      fails(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], (void *)-8l), EFAULT),
	      "EFAULT for the event");
	check(fails(raw_wait(ep, &e, 0, 0), EINVAL) && fails(raw_wait(ep, &e, -1, 0), EINVAL) &&
		      fails(raw_wait(ep, &e, INT32_MAX, 0), EINVAL),
	      "EINVAL for maxevents");
	check(fails(raw_wait(p[0], &e, 1, 0), EINVAL) && fails(raw_wait(-1, &e, 1, 0), EBADF),
	      "epoll_wait of others");
	check(fails(raw_wait(ep, (void *)-4096l, 1, 0), EFAULT), "EFAULT for a kernel address");
	check(raw_wait(ep, wild, 1, 0) == 0, "a bad address does not matter without events");
	put(p[1]);
	check(fails(raw_wait(ep, wild, 1, 0), EFAULT), "but with");
	check(only(ep, p[0]) == EPOLLIN, "the event is still there");
	check(mod(ep, p[0], EPOLLIN | EPOLLET | EPOLLONESHOT) == 0 &&
		      fails(raw_wait(ep, wild, 1, 0), EFAULT) && only(ep, p[0]) == EPOLLIN &&
		      only(ep, p[0]) == 0,
	      "an edge, too");
	check(fails(mod(ep, p[0], EPOLLIN | EPOLLEXCLUSIVE), EINVAL),
	      "EPOLLEXCLUSIVE is for EPOLL_CTL_ADD");
	check(fails(add(ep, p[1], EPOLLOUT | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL) &&
		      fails(add(ep, p[1], EPOLLOUT | EPOLLPRI | EPOLLEXCLUSIVE), EINVAL),
	      "not with EPOLLONESHOT or EPOLLPRI");
	check(add(ep, p[1], EPOLLOUT | EPOLLET | EPOLLEXCLUSIVE) == 0 &&
		      fails(mod(ep, p[1], EPOLLOUT), EINVAL) && del(ep, p[1]) == 0,
	      "and cannot be changed");
	char c;
	check(fails(read(ep, &c, 1), EINVAL) && fails(write(ep, &c, 1), EINVAL) &&
		      lseek(ep, 5, SEEK_SET) == 0,
	      "an epoll is not read or written");
	check(fails(syscall(SYS_epoll_pwait, ep, &e, 1, 0, &c, 7), EINVAL) &&
		      fails(syscall(SYS_epoll_pwait, ep, &e, 1, 0, wild, 8), EFAULT),
	      "epoll_pwait checks its mask");
	struct timespec bad = {0, 1000000000}, negative = {-1, 0};
	check(fails(syscall(SYS_epoll_pwait2, ep, &e, 1, &bad, NULL, 8), EINVAL) &&
		      fails(syscall(SYS_epoll_pwait2, ep, &e, 1, &negative, NULL, 8), EINVAL) &&
		      fails(syscall(SYS_epoll_pwait2, ep, &e, 1, wild, NULL, 8), EFAULT),
	      "epoll_pwait2 checks its time");
	close(p[0]), close(p[1]), close(ep), close(file), close(dir), close(null), close(path);
}

static void test_nesting(void)
{
	int chain[8], p[2], last = 0, a = epoll_create1(0), b = epoll_create1(0),
			    c = epoll_create1(0);

	check(pipe(p) == 0 && add(a, p[0], EPOLLIN) == 0 && add(b, a, EPOLLIN) == 0 &&
		      add(c, b, EPOLLIN | EPOLLET) == 0,
	      "epolls watch epolls");
	struct pollfd pfd = {.fd = b, .events = POLLIN};
	check(poll(&pfd, 1, 0) == 0 && only(c, b) == 0, "nothing is ready");
	put(p[1]);
	check(poll(&pfd, 1, 0) == 1 && pfd.revents == POLLIN, "poll of an epoll");
	check(only(c, b) == EPOLLIN && only(c, b) == 0, "an edge goes up");
	check(only(b, a) == EPOLLIN && only(b, a) == EPOLLIN && only(a, p[0]) == EPOLLIN,
	      "levels stay");
	put(p[1]);
	check(only(c, b) == EPOLLIN && only(c, b) == 0, "the next edge goes up as well");
	get(p[0], 2);
	check(only(b, a) == 0 && poll(&pfd, 1, 0) == 0, "all read: nothing is ready");
	put(p[1]);
	check(only(c, b) == EPOLLIN && only(b, a) == EPOLLIN, "and ready again");
	get(p[0], 1);
	check(fails(add(a, c, EPOLLIN), ELOOP) && fails(add(a, b, EPOLLIN), ELOOP),
	      "ELOOP for a cycle");
	check(fails(add(c, a, EPOLLIN | EPOLLEXCLUSIVE), EINVAL),
	      "EPOLLEXCLUSIVE is not for epolls");
	close(a);
	put(p[1]);
	check(only(b, a) == 0 && only(c, b) == 0, "a closed epoll is gone from others");
	check(add(b, p[0], EPOLLIN) == 0 && only(c, b) == EPOLLIN, "which go on");
	close(b), close(c), close(p[0]), close(p[1]);

	for (int i = 0; i < 8; i++)
		chain[i] = epoll_create1(0);
	while (last < 7 && add(chain[last + 1], chain[last], EPOLLIN) == 0)
		last++;
	int why = errno;
	check(last == 4 && why == ELOOP, "at most five deep (%d)", last + 1);
	check(fails(add(chain[0], chain[7], EPOLLIN), ELOOP), "from below, too");
	for (int i = 0; i < 8; i++)
		close(chain[i]);
}

static void test_duplicates(void)
{
	int p[2], ep = epoll_create1(0);

	check(pipe(p) == 0 && add(ep, p[0], EPOLLIN) == 0, "a pipe");
	int other = dup(p[0]);
	check(add(ep, other, EPOLLIN) == 0, "its duplicate is another item");
	put(p[1]);
	struct epoll_event e[4];
	check(epoll_wait(ep, e, 4, 0) == 2, "both are ready");
	close(p[0]);
	check(epoll_wait(ep, e, 4, 0) == 2, "a closed number stays while the file is open");
	check(fails(del(ep, p[0]), EBADF), "and cannot be taken out");
	int again = dup2(other, p[0]);
	check(again == p[0] && del(ep, p[0]) == 0 && only(ep, other) == EPOLLIN,
	      "until the number is there again");
	close(p[0]);
	close(other);
	check(epoll_wait(ep, e, 4, 0) == 0, "the last close takes the item out");
	check(pipe(p) == 0 && add(ep, p[0], EPOLLIN) == 0,
	      "a new file with the same number is new");
	check(in_child({
		      put(p[1]);
		      close(p[0]);
		      if (only(ep, p[0]) != EPOLLIN)
			      _exit(1);
	      }) == 0 &&
		      only(ep, p[0]) == EPOLLIN,
	      "a child shares the epoll");
	close(p[0]);
	check(epoll_wait(ep, e, 4, 0) == 0, "closed in the last process");
	close(p[1]);
	close(ep);
}

static void test_fairness(void)
{
	enum { COUNT = 20 };
	int fds[COUNT], ep = epoll_create1(0), turns[COUNT] = {}, right = 1;
	struct epoll_event e[4];

	for (int i = 0; i < COUNT; i++) {
		fds[i] = eventfd(1, EFD_NONBLOCK);
		struct epoll_event one = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &one) != 0)
			right = 0;
	}
	for (int round = 0; round < COUNT * 3 / 4; round++) {
		if (epoll_wait(ep, e, 4, 0) != 4)
			right = 0;
		for (int i = 0; i < 4; i++)
			turns[e[i].data.u32]++;
	}
	for (int i = 0; i < COUNT; i++)
		if (turns[i] != 3)
			right = 0;
	check(right, "all that are ready have their turn");
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	check(epoll_wait(ep, e, 4, 0) == 0, "all closed");
	close(ep);
}

/* ---- Waiting ------------------------------------------------------------------------------------ */

static void *write_later(void *arg)
{
	sleep_ms(30);
	put((int)(intptr_t)arg);
	return NULL;
}

static volatile sig_atomic_t caught;

static void handler(int signo)
{
	caught++;
}

static void *signal_later(void *arg)
{
	sleep_ms(30);
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

static void test_waiting(void)
{
	int p[2], ep = epoll_create1(0);
	struct epoll_event e;
	pthread_t thread, me = pthread_self();

	check(pipe(p) == 0 && add(ep, p[0], EPOLLIN) == 0, "a pipe");
	uint64_t start = now_ns();
	check(epoll_wait(ep, &e, 1, 30) == 0 && now_ns() - start >= 30000000, "a timeout");
	start = now_ns();
	struct timespec t = {0, 5000000};
	check(syscall(SYS_epoll_pwait2, ep, &e, 1, &t, NULL, 8) == 0 && now_ns() - start >= 5000000,
	      "in nanoseconds");
	pthread_create(&thread, NULL, write_later, (void *)(intptr_t)p[1]);
	check(epoll_wait(ep, &e, 1, -1) == 1 && e.data.fd == p[0], "woken by a write");
	pthread_join(thread, NULL);
	get(p[0], 1);
	pthread_create(&thread, NULL, write_later, (void *)(intptr_t)p[1]);
	struct pollfd pfd = {.fd = ep, .events = POLLIN};
	check(poll(&pfd, 1, 5000) == 1, "poll of an epoll is woken");
	pthread_join(thread, NULL);
	get(p[0], 1);

	sigset_t blocked, open_set;
	sigemptyset(&open_set);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&thread, NULL, signal_later, &me);
	check(fails(epoll_wait(ep, &e, 1, 5000), EINTR) && caught == 1,
	      "EINTR, whatever SA_RESTART says");
	pthread_join(thread, NULL);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGUSR1);
	check(epoll_wait(ep, &e, 1, 10) == 0 && caught == 1, "a blocked signal does not wake");
	check(fails(epoll_pwait(ep, &e, 1, 5000, &open_set), EINTR) && caught == 2,
	      "epoll_pwait lets it in");
	sigset_t now;
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	check(sigismember(&now, SIGUSR1) == 1, "and blocks it again");
	put(p[1]);
	raise(SIGUSR1);
	check(epoll_pwait(ep, &e, 1, 5000, &open_set) == 1 && caught == 2,
	      "events come before signals");
	pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
	check(caught == 3, "which come after");
	close(p[0]), close(p[1]), close(ep);
}

struct waiter_set {
	int ep, woken;
};

static void *wait_for_one(void *arg)
{
	struct waiter_set *s = arg;
	struct epoll_event e;

	if (epoll_wait(s->ep, &e, 1, 2000) == 1)
		__atomic_add_fetch(&s->woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void test_many_waiters(void)
{
	enum { THREADS = 4 };
	struct waiter_set s = {epoll_create1(0), 0};
	pthread_t t[THREADS];
	int fd = eventfd(0, EFD_NONBLOCK);

	check(add(s.ep, fd, EPOLLIN | EPOLLET) == 0, "an edge for many waiters");
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, wait_for_one, &s);
	sleep_ms(50);
	uint64_t one = 1;
	check(write(fd, &one, 8) == 8, "one event");
	sleep_ms(50);
	check(__atomic_load_n(&s.woken, __ATOMIC_SEQ_CST) == 1, "wakes one (%d)", s.woken);
	for (int i = 1; i < THREADS; i++)
		if (write(fd, &one, 8) != 8)
			break;
		else
			sleep_ms(20);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	check(s.woken == THREADS, "each event the next (%d)", s.woken);
	close(fd);
	close(s.ep);
}

static void test_exclusive(void)
{
	enum { THREADS = 4 };
	struct waiter_set s[THREADS];
	pthread_t t[THREADS];
	int p[2], woken = 0, right = pipe(p) == 0;

	for (int i = 0; i < THREADS; i++) {
		s[i] = (struct waiter_set){epoll_create1(0), 0};
		right &= add(s[i].ep, p[0], EPOLLIN | EPOLLEXCLUSIVE) == 0;
		pthread_create(&t[i], NULL, wait_for_one, &s[i]);
	}
	check(right, "EPOLLEXCLUSIVE items of one pipe");
	sleep_ms(50);
	put(p[1]);
	sleep_ms(50);
	for (int i = 0; i < THREADS; i++)
		woken += __atomic_load_n(&s[i].woken, __ATOMIC_SEQ_CST);
	check(woken >= 1 && woken < THREADS, "not all are woken");
	for (int i = 0; i < THREADS; i++)
		put(p[1]);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		close(s[i].ep);
	}
	close(p[0]), close(p[1]);
}

/* ---- poll and select of many ---------------------------------------------------------------------- */

static void test_poll_many(void)
{
	enum { COUNT = 100 };
	struct pollfd fds[COUNT + 3];
	int pipes[COUNT][2], right = 1;
	pthread_t thread;

	for (int i = 0; i < COUNT; i++) {
		right &= pipe(pipes[i]) == 0;
		fds[i] = (struct pollfd){.fd = pipes[i][0], .events = POLLIN, .revents = 0x7f};
	}
	check(right && poll(fds, COUNT, 0) == 0, "poll of many that are not ready");
	for (int i = 0; i < COUNT; i++)
		right &= fds[i].revents == 0;
	check(right, "clears what they tell");
	put(pipes[COUNT - 1][1]);
	check(poll(fds, COUNT, -1) == 1 && fds[COUNT - 1].revents == POLLIN,
	      "the last one is ready");
	get(pipes[COUNT - 1][0], 1);
	pthread_create(&thread, NULL, write_later, (void *)(intptr_t)pipes[70][1]);
	check(poll(fds, COUNT, 5000) == 1 && fds[70].revents == POLLIN, "one of many wakes");
	pthread_join(thread, NULL);
	get(pipes[70][0], 1);
	fds[COUNT] = (struct pollfd){.fd = -1, .events = POLLIN, .revents = 7};
	fds[COUNT + 1] = (struct pollfd){.fd = 900, .events = POLLIN};
	fds[COUNT + 2] = (struct pollfd){.fd = pipes[0][1], .events = POLLIN | POLLOUT};
	check(poll(fds, COUNT + 3, 1000) == 2 && fds[COUNT].revents == 0 &&
		      fds[COUNT + 1].revents == POLLNVAL && fds[COUNT + 2].revents == POLLOUT,
	      "bad numbers and others");
	check(fails(raw_poll((void *)8, 1, 0), EFAULT) && raw_poll(NULL, 0, 0) == 0 &&
		      fails(raw_poll(fds, 1u << 30, 0), EINVAL),
	      "bad arguments of poll");
	fd_set in, out;
	FD_ZERO(&in);
	FD_ZERO(&out);
	for (int i = 0; i < COUNT; i++)
		FD_SET(pipes[i][0], &in);
	FD_SET(pipes[3][1], &out);
	put(pipes[9][1]);
	struct timeval wait = {1, 0};
	check(select(pipes[COUNT - 1][1] + 1, &in, &out, NULL, &wait) == 2 &&
		      FD_ISSET(pipes[9][0], &in) && FD_ISSET(pipes[3][1], &out) &&
		      !FD_ISSET(pipes[8][0], &in),
	      "select of many");
	for (int i = 0; i < COUNT; i++)
		close(pipes[i][0]), close(pipes[i][1]);
}

int main(void)
{
	test_levels();
	test_errors();
	test_nesting();
	test_duplicates();
	test_fairness();
	test_waiting();
	test_many_waiters();
	test_exclusive();
	test_poll_many();
	return tap_end();
}
