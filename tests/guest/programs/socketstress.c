/* UNIX sockets under threads: many pairs that echo, connections that come and go with their listeners,
 * datagrams from many to one, and threads that do anything to a few shared descriptors. */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PAIRS 6
#define THREADS 8
#define SLOTS 12

static _Atomic bool stop;
static _Atomic long failures, deeds;

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static int sockets(void)
{
	char line[256];
	FILE *f = fopen("/proc/net/unix", "r");
	int lines = -1;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		lines++;
	fclose(f);
	return lines;
}

static bool comes_down_to(int count)
{
	for (int i = 0; i < 200; i++) {
		close(socket(AF_UNIX, SOCK_DGRAM, 0));
		if (sockets() <= count)
			return true;
		sleep_ms(10);
	}
	return false;
}

/* ---- Echo ---- */

struct pair {
	int fd[2], type;
};

static bool move_all(int fd, char *at, size_t size, bool out)
{
	while (size) {
		ssize_t n = out ? write(fd, at, size) : read(fd, at, size);
		if (n <= 0)
			return false;
		at += n;
		size -= n;
	}
	return true;
}

static void *echo(void *arg)
{
	struct pair *p = arg;
	char data[5000];
	ssize_t n;

	while ((n = read(p->fd[1], data, sizeof(data))) > 0)
		if (!move_all(p->fd[1], data, n, true))
			failures++;
	return NULL;
}

static void *ask(void *arg)
{
	struct pair *p = arg;
	char out[5000], in[5000];
	uint32_t seed = (uint32_t)p->fd[0];

	for (int i = 0; i < 150; i++) {
		size_t size = 1 + next(&seed) % (i % 10 ? 100 : sizeof(out));
		memset(out, (int)next(&seed), size);
		if (!move_all(p->fd[0], out, size, true) || !move_all(p->fd[0], in, size, false) ||
		    memcmp(in, out, size))
			failures++;
	}
	shutdown(p->fd[0], SHUT_WR);
	return NULL;
}

static void test_echo(void)
{
	struct pair pairs[PAIRS];
	pthread_t threads[2 * PAIRS];

	for (int i = 0; i < PAIRS; i++) {
		pairs[i].type = i % 2 ? SOCK_SEQPACKET : SOCK_STREAM;
		if (socketpair(AF_UNIX, pairs[i].type, 0, pairs[i].fd))
			return;
		pthread_create(&threads[2 * i], NULL, echo, &pairs[i]);
		pthread_create(&threads[2 * i + 1], NULL, ask, &pairs[i]);
	}
	for (int i = 0; i < 2 * PAIRS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < PAIRS; i++) {
		close(pairs[i].fd[0]);
		close(pairs[i].fd[1]);
	}
	check(failures == 0, "%d pairs echo", PAIRS);
}

/* ---- Several readers and writers of one stream ---- */

static int shared[2];
static _Atomic long sum_out, sum_in;

static void *add_bytes(void *arg)
{
	char data[64];
	uint32_t seed = (uint32_t)(uintptr_t)arg;

	for (int i = 0; i < 300; i++) {
		size_t size = 1 + next(&seed) % sizeof(data);
		for (size_t k = 0; k < size; k++)
			sum_out += data[k] = next(&seed) & 127;
		if (!move_all(shared[0], data, size, true))
			failures++;
	}
	return NULL;
}

static void *take_bytes(void *arg)
{
	char data[100];
	ssize_t n;

	while ((n = read(shared[1], data, sizeof(data))) > 0)
		for (ssize_t k = 0; k < n; k++)
			sum_in += data[k];
	return NULL;
}

static void test_shared(void)
{
	pthread_t threads[THREADS];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, shared))
		return;
	int small = 1;
	setsockopt(shared[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, i % 2 ? add_bytes : take_bytes,
			       (void *)(uintptr_t)i);
	for (int i = 1; i < THREADS; i += 2)
		pthread_join(threads[i], NULL);
	close(shared[0]);
	for (int i = 0; i < THREADS; i += 2)
		pthread_join(threads[i], NULL);
	close(shared[1]);
	check(failures == 0 && sum_in == sum_out && sum_in > 0,
	      "four writers, four readers, one stream");
}

/* ---- Listeners that come and go ---- */

static const struct sockaddr_un meeting = {AF_UNIX, "\0meeting"};
#define MEETING_SIZE (offsetof(struct sockaddr_un, sun_path) + 8)

static void *serve(void *arg)
{
	uint32_t seed = 7;

	while (!stop) {
		int l = socket(AF_UNIX, SOCK_STREAM, 0);
		if (bind(l, (const void *)&meeting, MEETING_SIZE) || listen(l, 2))
			failures++;
		for (unsigned n = next(&seed) % 20; n > 0 && !stop; n--) {
			struct pollfd f = {l, POLLIN, 0};
			int c = poll(&f, 1, 20) == 1 ? accept(l, NULL, NULL) : -1;
			char byte;
			if (c >= 0 && next(&seed) % 4 && read(c, &byte, 1) == 1 &&
			    write(c, &byte, 1) != 1 && errno != EPIPE)
				failures++;
			close(c);
		}
		close(l);
	}
	return NULL;
}

static void *visit(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg;

	while (!stop) {
		int c = socket(AF_UNIX, SOCK_STREAM | (next(&seed) % 2 ? SOCK_NONBLOCK : 0), 0);
		char byte = 'v';
		if (connect(c, (const void *)&meeting, MEETING_SIZE)) {
			if (errno != ECONNREFUSED && errno != EAGAIN)
				failures++;
		} else if (next(&seed) % 4) {
			fcntl(c, F_SETFL, 0);
			ssize_t n = send(c, &byte, 1, MSG_NOSIGNAL);
			if (n == 1)
				n = read(c, &byte, 1);
			if (n < 0 && errno != ECONNRESET && errno != EPIPE)
				failures++;
			deeds += n == 1;
		}
		close(c);
	}
	return NULL;
}

static void test_listeners(void)
{
	pthread_t threads[THREADS];
	int before = sockets();

	stop = false;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, i ? visit : serve, (void *)(uintptr_t)i);
	sleep_ms(1500);
	stop = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	check(failures == 0 && deeds > 0, "listeners come and go");
	check(comes_down_to(before), "and leave nothing");
}

/* ---- Many to one ---- */

static const struct sockaddr_un box = {AF_UNIX, "\0box"};
#define BOX_SIZE (offsetof(struct sockaddr_un, sun_path) + 4)
#define LETTERS 200

static void *post(void *arg)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	long letter[2] = {(long)(uintptr_t)arg, 0};
	bool polls = letter[0] % 2;

	if (connect(fd, (const void *)&box, BOX_SIZE))
		failures++;
	for (; letter[1] < LETTERS; letter[1]++) {
		struct pollfd f = {fd, POLLOUT, 0};
		while (polls && send(fd, letter, sizeof(letter), MSG_DONTWAIT) < 0) {
			if (errno != EAGAIN)
				failures++;
			poll(&f, 1, 1000);
		}
		if (!polls && send(fd, letter, sizeof(letter), 0) != sizeof(letter))
			failures++;
	}
	close(fd);
	return NULL;
}

static void test_letters(void)
{
	pthread_t threads[THREADS];
	long expected[THREADS] = {}, letter[2];
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (bind(fd, (const void *)&box, BOX_SIZE))
		return;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, post, (void *)(uintptr_t)i);
	for (int i = 0; i < THREADS * LETTERS; i++)
		if (recv(fd, letter, sizeof(letter), 0) != sizeof(letter) || letter[0] < 0 ||
		    letter[0] >= THREADS || letter[1] != expected[letter[0]]++)
			failures++;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	close(fd);
	check(failures == 0, "letters of %d arrive in order", THREADS);
}

/* ---- Anything ---- */

static _Atomic int slots[SLOTS];

static void pass(int fd, int what)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec part = {"p", 1};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};

	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &what, sizeof(what));
	sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void collect(int fd, int flags)
{
	char data[300], control[CMSG_SPACE(4 * sizeof(int))] __attribute__((aligned(8)));
	struct iovec part = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};

	if (recvmsg(fd, &m, MSG_DONTWAIT | flags) < 0)
		return;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS) {
		int got;
		memcpy(&got, CMSG_DATA(c), sizeof(got));
		close(got);
		deeds++;
	}
}

static void replace(int index, int fd)
{
	int old = atomic_exchange(&slots[index], fd);

	if (old >= 0)
		close(old);
}

static void do_something(uint32_t *seed)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	int a = slots[next(seed) % SLOTS], b = slots[next(seed) % SLOTS], p[2];
	char data[2000] = "";
	struct pollfd f = {a, POLLIN | POLLOUT, 0};

	switch (next(seed) % 10) {
	case 0:
		if (socketpair(AF_UNIX, types[next(seed) % 3], 0, p) == 0) {
			replace(next(seed) % SLOTS, p[0]);
			replace(next(seed) % SLOTS, p[1]);
		}
		break;
	case 1:
		replace(next(seed) % SLOTS, -1);
		break;
	case 2:
	case 3:
		pass(a, b);
		break;
	case 4:
		collect(a, 0);
		break;
	case 5:
		collect(a, MSG_PEEK);
		break;
	case 6:
		if (next(seed) % 4 == 0)
			shutdown(a, next(seed) % 3);
		break;
	case 7:
		poll(&f, 1, next(seed) % 3);
		break;
	case 8:
		recv(a, data, sizeof(data), MSG_DONTWAIT);
		break;
	default:
		send(a, data, next(seed) % sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	}
}

static void *disturb(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg;

	while (!stop)
		do_something(&seed);
	return NULL;
}

static void test_anything(void)
{
	pthread_t threads[THREADS];
	int before = sockets();

	stop = false;
	deeds = 0;
	for (int i = 0; i < SLOTS; i++)
		slots[i] = -1;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, disturb, (void *)(uintptr_t)(i + 1));
	sleep_ms(2000);
	stop = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SLOTS; i++)
		replace(i, -1);
	check(deeds > 0, "descriptors wander");
	check(comes_down_to(before), "and are all closed at the end");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	alarm(200);
	test_echo();
	test_shared();
	test_listeners();
	test_letters();
	test_anything();
	return tap_end();
}
