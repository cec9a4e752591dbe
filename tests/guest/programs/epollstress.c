/* epoll under load: threads that add, change, close and wait at random; producers and consumers on edges, one-shots
 * and levels that must not lose an event; closes in the middle of waits. */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

static long scale = 1;

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* ---- No event is lost ---------------------------------------------------------------------------- */

#define PIPES 8

struct flow {
	int ep, pipes[PIPES][2];
	uint32_t mode; /* EPOLLET, EPOLLET | EPOLLONESHOT, or 0 */
	long want; /* bytes a pipe */
	_Atomic long got;
	_Atomic int stuck;
};

static void *produce(void *arg)
{
	struct flow *f = arg;
	uint32_t random = (uint32_t)(uintptr_t)&arg | 1;
	char bytes[700] = {};
	long left[PIPES], all = 0;

	for (int i = 0; i < PIPES; i++)
		all += left[i] = f->want;
	while (all > 0) {
		int i = (int)(next_random(&random) % PIPES);
		long n = 1 + next_random(&random) % sizeof(bytes);
		if (n > left[i])
			n = left[i];
		if (n == 0)
			continue;
		n = write(f->pipes[i][1], bytes, (size_t)n);
		if (n < 0)
			return NULL;
		left[i] -= n;
		all -= n;
	}
	return NULL;
}

/* Reads all there is, as edges want it. */
static void *consume(void *arg)
{
	struct flow *f = arg;
	struct epoll_event e[3];
	char bytes[512];

	while (f->got < f->want * PIPES) {
		int n = epoll_wait(f->ep, e, 3, 3000);
		if (n == 0 && f->got < f->want * PIPES) {
			f->stuck++;
			return NULL;
		}
		for (int i = 0; i < n; i++) {
			if (e[i].data.u32 == PIPES) /* the end */
				continue;
			int fd = f->pipes[e[i].data.u32][0];
			ssize_t got;
			while ((got = read(fd, bytes, sizeof(bytes))) > 0)
				f->got += got;
			if (f->mode & EPOLLONESHOT) {
				struct epoll_event again = {.events = EPOLLIN | f->mode,
							    .data.u32 = e[i].data.u32};
				epoll_ctl(f->ep, EPOLL_CTL_MOD, fd, &again);
			}
		}
	}
	return NULL;
}

static void test_flow(const char *name, uint32_t mode, int consumers)
{
	struct flow f = {.ep = epoll_create1(0), .mode = mode, .want = 40000 * scale};
	pthread_t producer, t[4];
	int end = eventfd(0, EFD_NONBLOCK);
	bool right = true;

	for (int i = 0; i < PIPES; i++) {
		struct epoll_event e = {.events = EPOLLIN | mode, .data.u32 = (uint32_t)i};
		right &= pipe(f.pipes[i]) == 0 && fcntl(f.pipes[i][0], F_SETFL, O_NONBLOCK) == 0 &&
			 epoll_ctl(f.ep, EPOLL_CTL_ADD, f.pipes[i][0], &e) == 0;
	}
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = PIPES};
	right &= epoll_ctl(f.ep, EPOLL_CTL_ADD, end, &e) == 0;
	pthread_create(&producer, NULL, produce, &f);
	for (int i = 0; i < consumers; i++)
		pthread_create(&t[i], NULL, consume, &f);
	pthread_join(producer, NULL);
	while (f.got < f.want * PIPES && f.stuck == 0)
		sleep_ms(1);
	eventfd_write(end, 1); /* those that still wait */
	for (int i = 0; i < consumers; i++)
		pthread_join(t[i], NULL);
	check(right && f.stuck == 0 && f.got == f.want * PIPES, "%s: nothing is lost (%ld of %ld)",
	      name, f.got, f.want * PIPES);
	for (int i = 0; i < PIPES; i++)
		close(f.pipes[i][0]), close(f.pipes[i][1]);
	close(end);
	close(f.ep);
}

/* Two threads wake each other through edges of two eventfds. */
struct ping {
	int from, to, rounds;
	_Atomic bool lost;
};

static void *ping_pong(void *arg)
{
	struct ping *p = arg;
	int ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN | EPOLLET};
	eventfd_t v;

	epoll_ctl(ep, EPOLL_CTL_ADD, p->from, &e);
	for (int i = 0; i < p->rounds && !p->lost; i++) {
		if (epoll_wait(ep, &e, 1, 3000) != 1 || eventfd_read(p->from, &v) != 0 || v != 1)
			p->lost = true;
		eventfd_write(p->to, 1);
	}
	close(ep);
	return NULL;
}

static void test_ping_pong(void)
{
	int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK),
	    rounds = (int)(3000 * scale);
	struct ping one = {a, b, rounds, false}, two = {b, a, rounds, false};
	pthread_t t[2];

	pthread_create(&t[0], NULL, ping_pong, &one);
	pthread_create(&t[1], NULL, ping_pong, &two);
	eventfd_write(a, 1);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	check(!one.lost && !two.lost, "edges go to and fro");
	close(a);
	close(b);
}

/* ---- Anything at any time ------------------------------------------------------------------------ */

#define SLOTS 24
#define EPOLLS 4

static int slots[SLOTS], epolls[EPOLLS];
static _Atomic int seeds = 1;
static _Atomic bool done;

static int fresh(uint32_t r)
{
	int p[2];
	struct itimerspec soon = {{0, 300000}, {0, 200000}};

	switch (r % 4) {
	case 0:
		return eventfd(r & 16 ? 1 : 0, EFD_NONBLOCK);
	case 1:
		if (pipe2(p, O_NONBLOCK) != 0)
			return -1;
		if (write(p[1], "x", r & 16 ? 1 : 0) < 0)
			sched_yield(); /* others close numbers, too */
		close(p[1]);
		return p[0];
	case 2: {
		int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
		timerfd_settime(fd, 0, &soon, NULL);
		return fd;
	}
	default:
		return epoll_create1(0);
	}
}

static void *anything(void *arg)
{
	static const uint32_t modes[] = {0, EPOLLET, EPOLLONESHOT, EPOLLET | EPOLLONESHOT};
	uint32_t r = 0x9e3779b9u * (uint32_t)seeds++ | 1;
	char bytes[64];

	while (!done) {
		next_random(&r);
		uint32_t slot = r >> 8 & 31, what = r >> 16 & 15;
		int ep = epolls[r % EPOLLS];
		if (slot >= SLOTS)
			slot -= SLOTS;
		int fd = slots[slot];
		struct epoll_event e[4] = {
			{.events = (EPOLLIN | (r & 64 ? EPOLLOUT : 0)) | modes[r >> 24 & 3],
			 .data.u32 = slot}};
		switch (what) {
		case 0:
			/* A new file at the same number: the old one is closed there. */
			if ((fd = fresh(r >> 20)) >= 0) {
				dup2(fd, slots[slot]);
				close(fd);
			}
			break;
		case 1:
			close(fd);
			if ((fd = fresh(r >> 20)) >= 0 && fd != slots[slot]) {
				dup2(fd, slots[slot]);
				close(fd);
			}
			break;
		case 2:
			if (write(fd, "12345678", 8) < 0)
				sched_yield();
			break;
		case 3:
			if (read(fd, bytes, sizeof(bytes)) < 0)
				sched_yield();
			break;
		case 4:
		case 5:
			epoll_ctl(ep, EPOLL_CTL_DEL, fd, e);
			break;
		case 6:
		case 7:
			epoll_ctl(ep, EPOLL_CTL_MOD, fd, e);
			break;
		case 8: /* epolls among themselves, and in slots that are epolls */
			epoll_ctl(ep, r & 128 ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, epolls[r >> 10 & 3],
				  e);
			epoll_ctl(fd, EPOLL_CTL_ADD, slots[r >> 3 & 15], e);
			break;
		case 9: {
			struct pollfd p[3] = {
				{fd, POLLIN, 0}, {ep, POLLIN, 0}, {slots[r & 15], POLLOUT, 0}};
			poll(p, 3, r & 256 ? 1 : 0);
			break;
		}
		case 10:
			epoll_wait(ep, e, 1 + (int)(r & 3), r & 256 ? 1 : 0);
			break;
		default:
			epoll_ctl(ep, EPOLL_CTL_ADD, fd, e);
		}
	}
	return NULL;
}

static void *wait_always(void *arg)
{
	struct epoll_event e[5];

	while (!done)
		epoll_wait(epolls[(intptr_t)arg], e, 5, 2);
	return NULL;
}

static void test_anything(void)
{
	pthread_t t[4 + EPOLLS];

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < EPOLLS; i++)
		epolls[i] = epoll_create1(0);
	for (uint32_t i = 0; i < SLOTS; i++)
		slots[i] = fresh(i);
	for (intptr_t i = 0; i < EPOLLS; i++)
		pthread_create(&t[4 + i], NULL, wait_always, (void *)i);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, anything, NULL);
	sleep_ms(1500 * scale);
	done = true;
	for (int i = 0; i < 4 + EPOLLS; i++)
		pthread_join(t[i], NULL);
	check(true, "threads that do anything at any time");
	/* The epolls still work. */
	int fd = eventfd(1, 0), right = 0;
	for (int i = 0; i < EPOLLS; i++) {
		struct epoll_event e[64], one = {.events = EPOLLIN, .data.u64 = 4711};
		right += epoll_ctl(epolls[i], EPOLL_CTL_ADD, fd, &one) == 0;
		for (int n = epoll_wait(epolls[i], e, 64, 100); n-- > 0;)
			right += e[n].data.u64 == 4711;
		close(epolls[i]);
	}
	check(right == 2 * EPOLLS, "the epolls are well afterwards (%d)", right);
	close(fd);
	for (int i = 0; i < SLOTS; i++)
		close(slots[i]);
}

/* Many times: a file is closed while others wait for it and write to it. */
static void *close_it(void *arg)
{
	int *fds = arg;

	close(fds[0]);
	return NULL;
}

static void *write_it(void *arg)
{
	int *fds = arg;
	eventfd_write(fds[1], 1);
	return NULL;
}

static void test_close_against_wake(void)
{
	int ep = epoll_create1(0), rounds = (int)(300 * scale);
	struct epoll_event e = {.events = EPOLLIN};

	for (int i = 0; i < rounds; i++) {
		int fds[2] = {eventfd(0, EFD_NONBLOCK), 0};
		pthread_t t[2];
		fds[1] = dup(fds[0]);
		epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &e);
		epoll_ctl(ep, EPOLL_CTL_ADD, fds[1], &e);
		pthread_create(&t[0], NULL, close_it, fds);
		pthread_create(&t[1], NULL, write_it, fds);
		struct epoll_event got[4];
		epoll_wait(ep, got, 4, 1);
		pthread_join(t[0], NULL);
		pthread_join(t[1], NULL);
		close(fds[1]);
	}
	check(epoll_wait(ep, &e, 1, 0) == 0, "closes against wakes leave nothing behind");
	close(ep);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		scale = atol(argv[1]);
	test_flow("level", 0, 2);
	test_flow("edge, one thread", EPOLLET, 1);
	test_flow("edge, four threads", EPOLLET, 4);
	test_flow("edge and one-shot, four threads", EPOLLET | EPOLLONESHOT, 4);
	test_ping_pong();
	test_close_against_wake();
	test_anything();
	return tap_end();
}
