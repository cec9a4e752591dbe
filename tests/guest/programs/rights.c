/* What UNIX sockets carry beside bytes: descriptors and credentials; options; sockets that only messages hold;
 * bad control data. Every result here is what Linux gives. */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#define CONTROL_SIZE 2048
#define RIGHTS_MAX 253

static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
static const char *const type_names[] = {"stream", "datagram", "packet"};
static void *volatile nowhere = (void *)8;
static char buf[4096];
static char control[CONTROL_SIZE] __attribute__((aligned(8)));

static bool fails(long result, int error)
{
	return result < 0 && errno == error;
}

static int set_option(int fd, int name, int value)
{
	return setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value));
}

/* ---- One message with control data ---- */

struct message {
	struct msghdr header;
	struct iovec part;
};

static struct message message_of(void *data, size_t size, size_t control_size)
{
	struct message m = {.part = {data, size}};

	m.header.msg_control = control_size ? control : NULL;
	m.header.msg_controllen = control_size;
	return m;
}

/* The system call, since a C library may touch what the kernel is to see. */
static ssize_t send_it(int fd, struct message *m, int flags)
{
	m->header.msg_iov = &m->part;
	m->header.msg_iovlen = 1;
	return syscall(SYS_sendmsg, fd, &m->header, flags);
}

static ssize_t receive_it(int fd, struct message *m, int flags)
{
	m->header.msg_iov = &m->part;
	m->header.msg_iovlen = 1;
	return syscall(SYS_recvmsg, fd, &m->header, flags);
}

static ssize_t send_fds(int fd, const int *fds, int count, const void *data, size_t size)
{
	struct message m = message_of((void *)data, size, CMSG_SPACE(count * sizeof(int)));
	struct cmsghdr *c = (struct cmsghdr *)control;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	return send_it(fd, &m, 0);
}

/* Gives the number of descriptors; -1: nothing was received. */
static int receive_fds(int fd, int *fds, size_t room, size_t data, int flags, int *out_flags,
		       ssize_t *size)
{
	struct message m = message_of(buf, data, room);
	struct cmsghdr *c = (struct cmsghdr *)control;

	memset(control, 0, sizeof(control));
	*size = receive_it(fd, &m, flags);
	*out_flags = m.header.msg_flags;
	if (*size < 0)
		return -1;
	if (m.header.msg_controllen == 0)
		return 0;
	if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return -2;
	int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(c), count * sizeof(int));
	return count;
}

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* ---- Descriptors ---- */

static void test_rights(int t)
{
	const char *type = type_names[t];
	int p[2], pipes[2], fds[4], flags;
	ssize_t size;

	socketpair(AF_UNIX, types[t], 0, p);
	if (pipe(pipes))
		return;
	int base = lowest_free();
	check(send_fds(p[0], (int[]){pipes[0], pipes[1]}, 2, "data", 4) == 4, "%s: sends two",
	      type);
	check(receive_fds(p[1], fds, 100, 100, 0, &flags, &size) == 2 && size == 4 && flags == 0 &&
		      fds[0] == base && fds[1] == base + 1,
	      "%s: they get the lowest numbers", type);
	check(write(fds[1], "through", 7) == 7 && read(pipes[0], buf, 100) == 7,
	      "%s: the same pipe", type);
	check(fcntl(fds[0], F_GETFD) == 0, "%s: not close-on-exec", type);
	close(fds[0]);
	close(fds[1]);
	send_fds(p[0], pipes, 1, "d", 1);
	check(receive_fds(p[1], fds, 100, 100, MSG_CMSG_CLOEXEC, &flags, &size) == 1 &&
		      fcntl(fds[0], F_GETFD) == FD_CLOEXEC && (flags & MSG_CMSG_CLOEXEC),
	      "%s: MSG_CMSG_CLOEXEC", type);
	close(fds[0]);
	send_fds(p[0], pipes, 2, "d", 1);
	check(receive_fds(p[1], fds, CMSG_LEN(sizeof(int)), 100, 0, &flags, &size) == 1 &&
		      flags == MSG_CTRUNC && lowest_free() == base + 1,
	      "%s: room for one", type);
	close(fds[0]);
	send_fds(p[0], pipes, 2, "d", 1);
	check(receive_fds(p[1], fds, 0, 100, 0, &flags, &size) == 0 && flags == MSG_CTRUNC &&
		      lowest_free() == base,
	      "%s: no room", type);
	send_fds(p[0], pipes, 1, "d", 1);
	check(read(p[1], buf, 10) == 1 && lowest_free() == base, "%s: read drops them", type);
	send_fds(p[0], pipes, 1, "d", 1);
	check(receive_fds(p[1], fds, 100, 100, MSG_PEEK, &flags, &size) == 1 &&
		      close(fds[0]) == 0 &&
		      receive_fds(p[1], fds, 100, 100, 0, &flags, &size) == 1 && close(fds[0]) == 0,
	      "%s: a look gives them too", type);
	/* The last holder is the message. */
	send_fds(p[0], &pipes[1], 1, "d", 1);
	close(pipes[1]);
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	check(fails(read(pipes[0], buf, 1), EAGAIN), "%s: a message keeps a file open", type);
	close(p[0]);
	close(p[1]);
	check(read(pipes[0], buf, 1) == 0, "%s: until its socket closes", type);
	close(pipes[0]);
}

static void test_boundaries(void)
{
	int p[2], fds[4], flags, zero = 0;
	ssize_t size;

	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	write(p[0], "before", 6);
	send_fds(p[0], &zero, 1, "with", 4);
	write(p[0], "after", 5);
	check(receive_fds(p[1], fds, 100, 100, 0, &flags, &size) == 1 && size == 10,
	      "a stream ends a receive behind descriptors");
	close(fds[0]);
	check(receive_fds(p[1], fds, 100, 100, 0, &flags, &size) == 0 && size == 5, "the rest");
	send_fds(p[0], &zero, 1, "one", 3);
	send_fds(p[0], &zero, 1, "two", 3);
	check(receive_fds(p[1], fds, 100, 2, 0, &flags, &size) == 1 && size == 2,
	      "with its first bytes");
	close(fds[0]);
	check(receive_fds(p[1], fds, 100, 100, 0, &flags, &size) == 1 && size == 4 &&
		      memcmp(buf, "etwo", 4) == 0,
	      "once only");
	close(fds[0]);
	send_fds(p[0], &zero, 1, "x", 1);
	write(p[0], "y", 1);
	check(recv(p[1], buf, 10, 0) == 1 && recv(p[1], buf, 10, 0) == 1,
	      "also for a receive that drops them");
	send_fds(p[0], &zero, 1, "x", 1);
	write(p[0], "y", 1);
	check(recv(p[1], buf, 10, MSG_PEEK) == 1, "and for a look");
	close(p[0]);
	close(p[1]);
}

static void test_bad_control(int t)
{
	const char *type = type_names[t];
	struct cmsghdr *c = (struct cmsghdr *)control;
	int p[2], many[RIGHTS_MAX + 1] = {};
	struct message m;

	socketpair(AF_UNIX, types[t], 0, p);
	int base = lowest_free();
	check(fails(send_fds(p[0], (int[]){0, 999}, 2, "d", 1), EBADF) &&
		      fails(send_fds(p[0], (int[]){-1}, 1, "d", 1), EBADF),
	      "%s: bad descriptors", type);
	check(fails(send_fds(p[0], many, RIGHTS_MAX + 1, "d", 1), EINVAL), "%s: too many", type);
	check(send_fds(p[0], many, RIGHTS_MAX, "d", 1) == 1 && read(p[1], buf, 10) == 1,
	      "%s: as many as go", type);
	check(send_fds(p[0], many, 0, "d", 1) == 1 && read(p[1], buf, 10) == 1, "%s: none", type);
	static const struct {
		size_t size, length;
		int level, kind, error;
	} bad[] = {
		{24, 15, SOL_SOCKET, SCM_RIGHTS, EINVAL},
		{24, 25, SOL_SOCKET, SCM_RIGHTS, EINVAL},
		{24, SIZE_MAX, SOL_SOCKET, SCM_RIGHTS, EINVAL},
		{24, 0, SOL_SOCKET, SCM_RIGHTS, EINVAL},
		{24, 20, SOL_SOCKET, 99, EINVAL},
		{24, 20, SOL_SOCKET, SCM_CREDENTIALS, EINVAL},
		{24, 20, 77, 1, 0},
		{15, 99, SOL_SOCKET, SCM_RIGHTS, 0},
		{24, 24, SOL_SOCKET, SCM_RIGHTS, 0},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(control, 0, sizeof(control));
		m = message_of("d", 1, bad[i].size);
		*c = (struct cmsghdr){.cmsg_level = bad[i].level, .cmsg_type = bad[i].kind};
		c->cmsg_len = bad[i].length;
		check(bad[i].error ? fails(send_it(p[0], &m, 0), bad[i].error)
				   : send_it(p[0], &m, 0) == 1 && read(p[1], buf, 9) == 1,
		      "%s: control data %zu", type, i);
	}
	m = message_of("d", 1, 24);
	m.header.msg_control = nowhere;
	check(fails(send_it(p[0], &m, 0), EFAULT), "%s: not there", type);
	m.header.msg_controllen = (size_t)INT_MAX + 1;
	check(fails(send_it(p[0], &m, 0), ENOBUFS), "%s: huge", type);
	m = message_of("d", 1, 0);
	m.header.msg_name = buf;
	m.header.msg_namelen = -1;
	check(fails(send_it(p[0], &m, 0), EINVAL), "%s: a negative name", type);
	m = message_of("d", 1, 0);
	m.header.msg_iov = &m.part;
	m.header.msg_iovlen = 1025;
	check(fails(syscall(SYS_sendmsg, p[0], &m.header, 0), EMSGSIZE), "%s: a long vector", type);
	memset(&m.header.msg_iovlen, 0xff, sizeof(m.header.msg_iovlen));
	check(fails(syscall(SYS_sendmsg, p[0], &m.header, 0), EMSGSIZE), "%s: an endless one",
	      type);
	m = message_of((void *)-4096l, 100, 0);
	check(fails(send_it(p[0], &m, 0), EFAULT), "%s: kernel memory", type);
	m = message_of("d", SIZE_MAX, 0);
	check(fails(send_it(p[0], &m, 0), EINVAL), "%s: a negative part", type);
	check(fails(syscall(SYS_sendmsg, p[0], nowhere, 0), EFAULT) &&
		      fails(syscall(SYS_recvmsg, p[0], nowhere, 0), EFAULT),
	      "%s: no header", type);
	check(fails(recv(p[1], buf, 1, MSG_DONTWAIT), EAGAIN) && lowest_free() == base,
	      "%s: nothing came through, nothing is left", type);
	/* What is received into bad control memory is lost, not leaked. */
	send_fds(p[0], many, 3, "d", 1);
	m = message_of(buf, 10, 100);
	m.header.msg_control = nowhere;
	check(receive_it(p[1], &m, 0) == 1 && (m.header.msg_flags & MSG_CTRUNC) &&
		      lowest_free() == base,
	      "%s: descriptors into nowhere", type);
	close(p[0]);
	close(p[1]);
}

static void test_descriptor_limit(void)
{
	struct rlimit old, tight;
	int p[2], fds[8], flags, four[4] = {};
	ssize_t size;

	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	int base = lowest_free();
	send_fds(p[0], four, 4, "d", 1);
	getrlimit(RLIMIT_NOFILE, &old);
	tight = old;
	tight.rlim_cur = base + 2;
	setrlimit(RLIMIT_NOFILE, &tight);
	check(receive_fds(p[1], fds, 100, 10, 0, &flags, &size) == 2 && flags == MSG_CTRUNC,
	      "descriptors up to the limit");
	setrlimit(RLIMIT_NOFILE, &old);
	close(fds[0]);
	close(fds[1]);
	int status = in_child(tight.rlim_cur = tight.rlim_max = 20;
			      setrlimit(RLIMIT_NOFILE, &tight); if (setuid(12345)) _exit(9);
			      int sent = 0; while (send_fds(p[0], four, 4, "d", 1) == 1) sent += 4;
			      _exit(errno == ETOOMANYREFS && sent >= 16 && sent <= 24 ? 0 : 1));
	check(status == 0, "ETOOMANYREFS (%d)", status);
	close(p[0]);
	close(p[1]);
}

/* ---- Credentials ---- */

static bool receive_credentials(int fd, struct ucred *out, ssize_t want)
{
	struct message m = message_of(buf, 100, 100);
	struct cmsghdr *c = (struct cmsghdr *)control;
	ssize_t size = receive_it(fd, &m, MSG_DONTWAIT);

	if (size != want || m.header.msg_controllen < CMSG_LEN(sizeof(*out)) ||
	    c->cmsg_type != SCM_CREDENTIALS)
		return false;
	memcpy(out, CMSG_DATA(c), sizeof(*out));
	return true;
}

static ssize_t send_credentials(int fd, struct ucred who)
{
	struct message m = message_of("c", 1, CMSG_SPACE(sizeof(who)));
	struct cmsghdr *c = (struct cmsghdr *)control;

	*c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
	c->cmsg_len = CMSG_LEN(sizeof(who));
	memcpy(CMSG_DATA(c), &who, sizeof(who));
	return send_it(fd, &m, 0);
}

static void test_credentials(int t)
{
	const char *type = type_names[t];
	struct ucred who = {};
	int p[2];

	socketpair(AF_UNIX, types[t], 0, p);
	write(p[0], "x", 1);
	set_option(p[1], SO_PASSCRED, 1);
	check(receive_credentials(p[1], &who, 1) && who.pid == 0 && who.uid == 65534,
	      "%s: sent before SO_PASSCRED", type);
	write(p[0], "x", 1);
	check(receive_credentials(p[1], &who, 1) && who.pid == getpid() && who.uid == getuid() &&
		      who.gid == getgid(),
	      "%s: SO_PASSCRED", type);
	pid_t child = fork();
	if (child == 0)
		_exit(write(p[0], "y", 1) != 1);
	status_of(child);
	write(p[0], "x", 1);
	check(receive_credentials(p[1], &who, 1) && who.pid == child &&
		      receive_credentials(p[1], &who, 1) && who.pid == getpid(),
	      "%s: bytes of two senders stay apart", type);
	check(send_credentials(p[0], (struct ucred){1, 7, 8}) == 1 &&
		      receive_credentials(p[1], &who, 1) && who.pid == 1 && who.uid == 7 &&
		      who.gid == 8,
	      "%s: the superuser says what it likes", type);
	check(fails(send_credentials(p[0], (struct ucred){999999, 0, 0}), ESRCH),
	      "%s: but of somebody", type);
	int status = in_child(
		if (setuid(12345)) _exit(9);
		if (!fails(send_credentials(p[0], (struct ucred){1, 12345, getgid()}), EPERM) ||
		    !fails(send_credentials(p[0], (struct ucred){getpid(), 0, getgid()}), EPERM))
			_exit(1);
		_exit(send_credentials(p[0], (struct ucred){getpid(), 12345, getgid()}) != 1));
	check(status == 0 && receive_credentials(p[1], &who, 1) && who.uid == 12345,
	      "%s: others do not", type);
	struct message m = message_of(buf, 10, 20);
	write(p[0], "x", 1);
	check(receive_it(p[1], &m, 0) == 1 && m.header.msg_flags == MSG_CTRUNC &&
		      m.header.msg_controllen == 20,
	      "%s: little room", type);
	close(p[0]);
	close(p[1]);
}

static void test_peer_credentials(void)
{
	struct sockaddr_un a = {AF_UNIX, "peer"};
	struct ucred who;
	socklen_t size = sizeof(who);
	int p[2], fd = socket(AF_UNIX, SOCK_STREAM, 0);

	check(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && size == 12 &&
		      who.pid == 0 && who.uid == (uid_t)-1 && who.gid == (gid_t)-1,
	      "no peer, no credentials");
	socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p);
	check(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.pid == getpid(),
	      "SO_PEERCRED of a pair");
	size = 5;
	check(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && size == 5, "cut");
	bind(fd, (void *)&a, sizeof(a));
	listen(fd, 5);
	chmod("peer", 0777);
	pid_t pid = fork();
	if (pid == 0) {
		int c = socket(AF_UNIX, SOCK_STREAM, 0);
		size = sizeof(who);
		if (setuid(12345) || connect(c, (void *)&a, sizeof(a)))
			_exit(1);
		getsockopt(c, SOL_SOCKET, SO_PEERCRED, &who, &size);
		_exit(who.pid != getppid() || who.uid != 0 || read(c, buf, 1) != 0);
	}
	int s = accept(fd, NULL, NULL);
	size = sizeof(who);
	check(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.pid == pid &&
		      who.uid == 12345,
	      "SO_PEERCRED of who connected");
	close(s);
	check(status_of(pid) == 0, "and of who listens");
	chmod("peer", 0500);
	int status =
		in_child(int c = socket(AF_UNIX, SOCK_STREAM, 0);
			 _exit(setuid(12345) || !fails(connect(c, (void *)&a, sizeof(a)), EACCES)));
	check(status == 0, "connecting needs the right to write");
	close(fd);
	close(p[0]);
	close(p[1]);
	unlink("peer");
}

/* ---- Options ---- */

static void test_options(void)
{
	static const int on_off[] = {SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST,
				     SO_OOBINLINE, SO_DONTROUTE, SO_PASSCRED};
	struct timeval t = {3, 200000}, got;
	struct linger l = {1, 7}, got_linger;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), value;
	socklen_t size;

	for (size_t i = 0; i < sizeof(on_off) / sizeof(on_off[0]); i++) {
		size = sizeof(value);
		check(set_option(fd, on_off[i], 5) == 0 &&
			      getsockopt(fd, SOL_SOCKET, on_off[i], &value, &size) == 0 &&
			      value == 1 && set_option(fd, on_off[i], 0) == 0 &&
			      getsockopt(fd, SOL_SOCKET, on_off[i], &value, &size) == 0 &&
			      value == 0,
		      "option %d", on_off[i]);
	}
	size = sizeof(got);
	check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0 &&
		      getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &got, &size) == 0 &&
		      size == sizeof(got) && got.tv_sec == 3 && got.tv_usec == 200000,
	      "SO_RCVTIMEO");
	t.tv_usec = 1000000;
	check(fails(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)), EDOM), "a bad time");
	check(fails(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, 8), EINVAL), "half a time");
	size = sizeof(l);
	check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0 &&
		      getsockopt(fd, SOL_SOCKET, SO_LINGER, &got_linger, &size) == 0 &&
		      got_linger.l_onoff == 1 && got_linger.l_linger == 7,
	      "SO_LINGER");
	size = sizeof(value);
	check(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &size) == 0 && value == 212992 &&
		      set_option(fd, SO_RCVBUF, 100000) == 0 &&
		      getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &size) == 0 && value == 200000,
	      "buffers");
	check(set_option(fd, SO_SNDBUF, INT_MAX) == 0 &&
		      getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &size) == 0 && value >= 425984,
	      "the largest");
	size = 2;
	value = 0;
	check(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) == 0 && size == 2, "a short room");
	size = 100;
	check(getsockopt(fd, SOL_SOCKET, SO_TYPE, buf, &size) == 0 && size == 4, "a long one");
	size = -1;
	check(fails(getsockopt(fd, SOL_SOCKET, SO_TYPE, buf, &size), EINVAL) &&
		      fails(getsockopt(fd, SOL_SOCKET, SO_TYPE, buf, nowhere), EFAULT),
	      "bad rooms");
	check(fails(set_option(fd, SO_TYPE, 1), ENOPROTOOPT) &&
		      fails(set_option(fd, 9999, 1), ENOPROTOOPT) &&
		      fails(setsockopt(fd, 77, 1, &value, 4), EOPNOTSUPP),
	      "no such options");
	size = 4;
	check(fails(getsockopt(fd, SOL_SOCKET, 9999, &value, &size), ENOPROTOOPT) &&
		      fails(getsockopt(fd, 77, 1, &value, &size), EOPNOTSUPP),
	      "to read either");
	check(fails(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, 3), EINVAL) &&
		      fails(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, -1), EINVAL) &&
		      fails(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, nowhere, 4), EFAULT),
	      "bad values");
	close(fd);
}

/* A receive with a time limit is not done again after a handler, one without is. */
static void nothing(int signo)
{
}

static void test_interruption(void)
{
	struct sigaction a = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	struct itimerval in_20_ms = {.it_value = {0, 20000}};
	struct timeval t = {5, 0};
	int p[2];

	sigaction(SIGALRM, &a, NULL);
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	setsockopt(p[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setitimer(ITIMER_REAL, &in_20_ms, NULL);
	check(fails(read(p[1], buf, 1), EINTR), "EINTR with a time limit");
	setitimer(ITIMER_REAL, &in_20_ms, NULL);
	check(fails(recv(p[1], buf, 1, 0), EINTR), "of recv too");
	t.tv_sec = 0;
	setsockopt(p[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	pid_t pid = fork();
	if (pid == 0) {
		sleep_ms(60);
		_exit(write(p[0], "x", 1) != 1);
	}
	setitimer(ITIMER_REAL, &in_20_ms, NULL);
	check(recv(p[1], buf, 1, 0) == 1 && status_of(pid) == 0, "a receive without one goes on");
	a.sa_flags = 0;
	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &in_20_ms, NULL);
	check(fails(recv(p[1], buf, 1, 0), EINTR), "without SA_RESTART");
	signal(SIGALRM, SIG_DFL);
	close(p[0]);
	close(p[1]);
}

/* ---- Sockets that only messages hold ---- */

/* UNIX sockets in the system. */
static int sockets(void)
{
	FILE *f = fopen("/proc/net/unix", "r");
	int lines = -1;

	if (!f)
		return -1;
	while (fgets(buf, sizeof(buf), f))
		lines++;
	fclose(f);
	return lines;
}

/* The collector runs when a socket closes, on Linux in another thread. */
static bool comes_down_to(int count)
{
	for (int i = 0; i < 100; i++) {
		close(socket(AF_UNIX, SOCK_DGRAM, 0));
		if (sockets() <= count)
			return true;
		sleep_ms(10);
	}
	return false;
}

static void test_cycles(void)
{
	struct sockaddr_un a = {AF_UNIX, "\0cycle"};
	int p[2], q[2], fds[2], flags, before = sockets();
	ssize_t size;

	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	send_fds(p[0], &p[1], 1, "d", 1);
	close(p[0]);
	close(p[1]);
	check(comes_down_to(before), "a socket in its own queue");
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, q);
	send_fds(p[0], &q[1], 1, "d", 1);
	send_fds(q[0], &p[1], 1, "d", 1);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
	check(comes_down_to(before), "two pairs in each other's queues");
	/* A ring that somebody still holds at one place stays. */
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	socketpair(AF_UNIX, SOCK_STREAM, 0, q);
	send_fds(p[0], &q[1], 1, "d", 1);
	send_fds(q[0], &p[0], 1, "e", 1);
	close(p[0]);
	close(q[0]);
	close(q[1]);
	close(socket(AF_UNIX, SOCK_DGRAM, 0));
	sleep_ms(30);
	check(receive_fds(p[1], fds, 100, 10, 0, &flags, &size) == 1 && size == 1 &&
		      buf[0] == 'd' &&
		      receive_fds(fds[0], fds + 1, 100, 10, 0, &flags, &size) == 1 &&
		      buf[0] == 'e' && write(fds[1], "alive", 5) == 5 && read(p[1], buf, 10) == 5,
	      "what is held is kept");
	close(p[1]);
	close(fds[0]);
	close(fds[1]);
	/* A listener in the queue of a connection that nobody accepted. */
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(l, (void *)&a, 2 + 6);
	listen(l, 5);
	connect(c, (void *)&a, 2 + 6);
	send_fds(c, (int[]){l, c}, 2, "d", 1);
	close(l);
	close(c);
	check(comes_down_to(before), "a listener in its own waiting connection");
	/* Deep nesting must not nest the closing. */
	int last = socket(AF_UNIX, SOCK_DGRAM, 0);
	for (int i = 0; i < 2000; i++) {
		socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
		if (send_fds(p[0], &last, 1, "d", 1) != 1)
			break;
		close(last);
		close(p[0]);
		last = p[1];
	}
	close(last);
	check(comes_down_to(before), "a chain of 2000 sockets");
}

static void test_list(void)
{
	struct sockaddr_un a = {AF_UNIX, "listed"}, b = {AF_UNIX, "\0hid\0den"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);
	char want[64], line[256], name[64];
	struct stat st;
	unsigned long number;
	unsigned refs, protocol, flags, type, state;
	int found = 0;

	bind(fd, (void *)&a, sizeof(a));
	listen(fd, 1);
	bind(other, (void *)&b, 2 + 8);
	fstat(fd, &st);
	FILE *f = fopen("/proc/net/unix", "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %x %x %x %x %x %lu %63s", &refs, &protocol, &flags, &type,
			   &state, &number, name) != 7)
			continue;
		if (number == st.st_ino)
			found += strcmp(name, "listed") == 0 && flags == 0x10000 &&
				 type == SOCK_STREAM && state == 1 && refs >= 2 - 1;
		found += strcmp(name, "@hid@den") == 0 && type == SOCK_DGRAM && flags == 0 ? 10 : 0;
	}
	fclose(f);
	check(found == 11, "/proc/net/unix (%d)", found);
	snprintf(want, sizeof(want), "/proc/%d/net/unix", getpid());
	check(access(want, R_OK) == 0, "and for each process");
	close(fd);
	close(other);
	unlink("listed");
}

int main(void)
{
	char folder[] = "rights.XXXXXX";

	if (!mkdtemp(folder) || chmod(folder, 0755) || chdir(folder))
		return 99;
	for (int t = 0; t < 3; t++) {
		test_rights(t);
		test_bad_control(t);
		test_credentials(t);
	}
	test_boundaries();
	test_descriptor_limit();
	test_peer_credentials();
	test_options();
	test_interruption();
	test_cycles();
	test_list();
	check(chdir("..") == 0 && rmdir(folder) == 0, "nothing is left");
	return tap_end();
}
