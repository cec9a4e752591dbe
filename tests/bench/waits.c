/* Waiting for many descriptors, and for time. */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MOST 100
#define SLEEP_NS 1000000

static struct pollfd watched[MOST];
static int ends[2], epoll_fd;

/* All descriptors are the reading end of one pipe that holds a byte only for the last of them. */
static int open_watched(void)
{
	if (pipe(ends) != 0)
		return errno;
	for (int i = 0; i < MOST; i++) {
		watched[i].fd = dup(ends[0]);
		watched[i].events = POLLIN;
		if (watched[i].fd < 0)
			return errno;
	}
	return 0;
}

static void close_watched(void)
{
	for (int i = 0; i < MOST; i++)
		close(watched[i].fd);
	close(ends[0]);
	close(ends[1]);
}

/* Nothing is ready and the call does not wait: the cost of asking all of them. */
static int poll_some(unsigned long n, nfds_t count)
{
	while (n--)
		if (poll(watched, count, 0) != 0)
			return errno ? errno : EPROTO;
	return 0;
}

static int poll_10(unsigned long n)
{
	return poll_some(n, 10);
}

static int poll_100(unsigned long n)
{
	return poll_some(n, 100);
}

static int epoll_setup(void)
{
	int err = open_watched();

	epoll_fd = err ? -1 : epoll_create1(0);
	return err ? err : epoll_fd < 0 ? errno : 0;
}

static void epoll_end(void)
{
	close(epoll_fd);
	close_watched();
}

static int epoll_pair(unsigned long n)
{
	struct epoll_event event = {.events = EPOLLIN};

	while (n--)
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, watched[0].fd, &event) != 0 ||
		    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watched[0].fd, NULL) != 0)
			return errno;
	return 0;
}

static int epoll_ready_setup(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int err = epoll_setup();

	if (!err && (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, watched[0].fd, &event) != 0 ||
		     write(ends[1], "x", 1) != 1))
		err = errno;
	return err;
}

static int epoll_ready(unsigned long n)
{
	struct epoll_event event;

	while (n--)
		if (epoll_wait(epoll_fd, &event, 1, -1) != 1)
			return errno ? errno : EPROTO;
	return 0;
}

/* Without the slack that a kernel may add on purpose to a sleep. */
static int sleep_setup(void)
{
	prctl(PR_SET_TIMERSLACK, 1);
	return 0;
}

static int sleep_overshoot(unsigned long n)
{
	struct timespec t = {.tv_nsec = SLEEP_NS};

	for (unsigned long i = 0; i < n; i++)
		if (nanosleep(&t, NULL) != 0)
			return errno;
	bench_discount(n * (uint64_t)SLEEP_NS);
	return 0;
}

static const struct benchmark table[] = {
	{"poll_10", "poll of 10 descriptors, none ready", 2000, open_watched, poll_10,
	 close_watched},
	{"poll_100", "poll of 100 descriptors, none ready", 500, open_watched, poll_100,
	 close_watched},
	{"epoll_ctl_pair", "epoll_ctl: add and delete a descriptor", 2000, epoll_setup, epoll_pair,
	 epoll_end},
	{"epoll_wait_ready", "epoll_wait with one descriptor ready", 2000, epoll_ready_setup,
	 epoll_ready, epoll_end},
	{"nanosleep_overshoot", "nanosleep of 1 ms: how much later it returns", 100, sleep_setup,
	 sleep_overshoot, NULL},
};
const struct group wait_group = {table, sizeof(table) / sizeof(table[0])};
