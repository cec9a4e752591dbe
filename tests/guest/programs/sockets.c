/* UNIX sockets: names, connections, messages, options, descriptors in messages, ends, bad input. Every
 * result here is what Linux gives. */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#define ALL_TYPES 3
static const int types[ALL_TYPES] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
static const char *const type_names[ALL_TYPES] = {"stream", "datagram", "packet"};

static char buf[70000];
static void *volatile nowhere = (void *)8;

static bool fails(long result, int error)
{
	return result < 0 && errno == error;
}

static struct sockaddr_un address;
static socklen_t address_size;

/* "name" in the folder, "@name" in the abstract space. */
static struct sockaddr *named(const char *name)
{
	memset(&address, 0, sizeof(address));
	address.sun_family = AF_UNIX;
	strcpy(address.sun_path, name);
	address_size = offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
	if (name[0] == '@') {
		address.sun_path[0] = 0;
		address_size--;
	}
	return (struct sockaddr *)&address;
}

static int bind_to(int fd, const char *name)
{
	struct sockaddr *a = named(name);

	return bind(fd, a, address_size);
}

static int connect_to(int fd, const char *name)
{
	struct sockaddr *a = named(name);

	return connect(fd, a, address_size);
}

static ssize_t send_to(int fd, const char *text, const char *name)
{
	struct sockaddr *a = named(name);

	return sendto(fd, text, strlen(text), 0, a, address_size);
}

static int make(int type, const char *name)
{
	int fd = socket(AF_UNIX, type, 0);

	return name && bind_to(fd, name) < 0 ? -1 : fd;
}

static int listener(int type, const char *name, int backlog)
{
	int fd = make(type, name);

	return listen(fd, backlog) < 0 ? -1 : fd;
}

static int events(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static bool gets_signal(int signo)
{
	sigset_t set;
	struct timespec none = {0, 0};

	sigemptyset(&set);
	sigaddset(&set, signo);
	return sigtimedwait(&set, NULL, &none) == signo;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) < 0 ? -1 : value;
}

static int set_option(int fd, int name, int value)
{
	return setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value));
}

/* ---- Making ---- */

static void test_making(void)
{
	static const struct {
		int family, type, protocol, error;
	} bad[] = {
		{AF_UNIX, 0, 0, ESOCKTNOSUPPORT},
		{AF_UNIX, 9, 0, ESOCKTNOSUPPORT},
		{AF_UNIX, 11, 0, EINVAL},
		{AF_UNIX, SOCK_STREAM, 2, EPROTONOSUPPORT},
		{AF_UNIX, SOCK_STREAM | 0x10, 0, EINVAL},
		{46, SOCK_STREAM, 0, EAFNOSUPPORT},
		{-1, SOCK_STREAM, 0, EAFNOSUPPORT},
		{44000, 77, 0, EINVAL},
		{AF_UNSPEC, SOCK_STREAM, 0, EAFNOSUPPORT},
	};
	struct stat st;
	int pair[2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check(fails(socket(bad[i].family, bad[i].type, bad[i].protocol), bad[i].error),
		      "socket(%d, %d, %d)", bad[i].family, bad[i].type, bad[i].protocol);
	for (int t = 0; t < ALL_TYPES; t++) {
		int fd = socket(AF_UNIX, types[t], t == 1 ? PF_UNIX : 0);
		check(fd >= 0 && option(fd, SO_TYPE) == types[t] &&
			      option(fd, SO_DOMAIN) == AF_UNIX && option(fd, SO_PROTOCOL) == 0 &&
			      option(fd, SO_ERROR) == 0 && option(fd, SO_ACCEPTCONN) == 0,
		      "%s: what it is", type_names[t]);
		check(fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0777 &&
			      st.st_size == 0,
		      "%s: fstat", type_names[t]);
		char link[64], want[64], text[64] = "";
		sprintf(link, "/proc/self/fd/%d", fd);
		sprintf(want, "socket:[%lu]", (unsigned long)st.st_ino);
		check(readlink(link, text, sizeof(text) - 1) > 0 && strcmp(text, want) == 0,
		      "%s: its name in /proc", type_names[t]);
		check(fails(lseek(fd, 0, SEEK_SET), ESPIPE) && fails(pread(fd, buf, 1, 0), ESPIPE),
		      "%s: no position", type_names[t]);
		close(fd);
	}
	int fd = socket(AF_UNIX, SOCK_RAW, 0);
	check(fd >= 0 && option(fd, SO_TYPE) == SOCK_DGRAM, "SOCK_RAW is a datagram socket");
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	check((fcntl(fd, F_GETFL) & O_NONBLOCK) && fcntl(fd, F_GETFD) == FD_CLOEXEC &&
		      (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR,
	      "flags of socket");
	close(fd);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0 &&
		      fails(read(pair[0], buf, 1), EAGAIN) && fcntl(pair[1], F_GETFD) == 0,
	      "flags of socketpair");
	close(pair[0]);
	close(pair[1]);
	check(fails(socketpair(AF_UNIX, 7, 0, pair), ESOCKTNOSUPPORT) &&
		      fails(socketpair(AF_UNIX, SOCK_STREAM, 0, nowhere), EFAULT) &&
		      fails(socketpair(77, SOCK_STREAM, 0, pair), EAFNOSUPPORT),
	      "bad pairs");
	int next = dup(0);
	close(next);
	check(next == fd, "bad pairs leave no descriptor");
	check(fails(listen(0, 1), ENOTSOCK) && fails(listen(99, 1), EBADF) &&
		      fails(send(0, buf, 1, 0), ENOTSOCK) && fails(recv(99, buf, 1, 0), EBADF) &&
		      fails(shutdown(0, 0), ENOTSOCK),
	      "no sockets");
}

/* ---- Names ---- */

static void test_paths(int t)
{
	const char *type = type_names[t];
	struct sockaddr_un got;
	socklen_t size = sizeof(got);
	struct stat st;
	int fd = socket(AF_UNIX, types[t], 0), other = socket(AF_UNIX, types[t], 0);

	umask(022);
	check(getsockname(fd, (void *)&got, &size) == 0 && size == 2 && got.sun_family == AF_UNIX,
	      "%s: no name", type);
	check(bind_to(fd, "name") == 0 && lstat("name", &st) == 0 && S_ISSOCK(st.st_mode) &&
		      (st.st_mode & 0777) == 0755,
	      "%s: bind makes a node", type);
	size = sizeof(got);
	check(getsockname(fd, (void *)&got, &size) == 0 && size == 7 &&
		      strcmp(got.sun_path, "name") == 0,
	      "%s: getsockname", type);
	size = 4;
	memset(&got, 'x', sizeof(got));
	check(getsockname(fd, (void *)&got, &size) == 0 && size == 7 &&
		      memcmp(got.sun_path, "naxx", 4) == 0,
	      "%s: getsockname cuts", type);
	check(fails(bind_to(other, "name"), EADDRINUSE) && fails(bind_to(fd, "second"), EINVAL),
	      "%s: one name, one socket", type);
	check(fails(access("second", F_OK), ENOENT), "%s: a failed bind leaves no node", type);
	check(fails(bind_to(other, "none/name"), ENOENT) &&
		      fails(bind_to(other, "name/x"), ENOTDIR),
	      "%s: bad paths", type);
	check(fails(open("name", O_RDWR), ENXIO), "%s: open of a node", type);
	check(fails(connect_to(other, "none"), ENOENT), "%s: connect to nothing", type);
	int plain = open("plain", O_CREAT | O_RDWR, 0600);
	check(fails(connect_to(other, "plain"), ECONNREFUSED), "%s: connect to a plain file", type);
	check(symlink("name", "link") == 0 && fails(bind_to(other, "link"), EADDRINUSE),
	      "%s: bind does not follow links", type);
	int wrong = socket(AF_UNIX, types[(t + 1) % ALL_TYPES], 0);
	check(fails(connect_to(wrong, "name"), EPROTOTYPE), "%s: wrong type", type);
	close(wrong);
	check(rename("name", "moved") == 0 && fails(connect_to(other, "name"), ENOENT),
	      "%s: renamed", type);
	check(t == 1 ? connect_to(other, "moved") == 0
		     : fails(connect_to(other, "moved"), ECONNREFUSED),
	      "%s: found under the new name", type);
	close(fd);
	check(fails(connect_to(other, "moved"), ECONNREFUSED), "%s: nobody there any more", type);
	check(unlink("moved") == 0 && unlink("link") == 0 && unlink("plain") == 0, "%s: gone",
	      type);
	close(other);
	close(plain);
}

static void test_lengths(void)
{
	static const struct {
		int family, size, error;
	} bad[] = {{AF_UNIX, -1, EINVAL},  {AF_UNIX, 1, EINVAL},    {AF_UNIX, 111, EINVAL},
		   {AF_UNIX, 128, EINVAL}, {AF_UNIX, 129, EINVAL},  {AF_UNIX, INT_MAX, EINVAL},
		   {AF_INET, 10, EINVAL},  {AF_UNSPEC, 10, EINVAL}, {AF_UNIX, INT_MIN, EINVAL}};
	union {
		struct sockaddr_un un;
		char bytes[200];
	} a = {};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memset(a.un.sun_path, 'a', sizeof(a.un.sun_path));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a.un.sun_family = bad[i].family;
		check(fails(bind(fd, (void *)&a, bad[i].size), bad[i].error) &&
			      fails(connect(fd, (void *)&a, bad[i].size), bad[i].error),
		      "an address of family %d, size %d", bad[i].family, bad[i].size);
	}
	a.un.sun_family = AF_UNIX;
	check(fails(bind(fd, nowhere, 10), EFAULT) && fails(connect(fd, nowhere, 10), EFAULT) &&
		      fails(getsockname(fd, (void *)&a, nowhere), EFAULT),
	      "an address that is not there");
	check(fails(connect(fd, (void *)&a, 2), EINVAL), "connect to no name");
	a.un.sun_family = AF_UNIX;
	check(bind(fd, (void *)&a, sizeof(a.un)) == 0, "a path without an end mark");
	socklen_t size = sizeof(a);
	check(getsockname(fd, (void *)&a, &size) == 0 && size == 2 + 108 + 1, "has one");
	size = INT_MAX + 1u;
	check(fails(getsockname(fd, (void *)&a, &size), EINVAL), "a negative room");
	close(fd);
	a.bytes[sizeof(a.un)] = 0;
	unlink(a.un.sun_path);
}

static void test_abstract(void)
{
	struct sockaddr_un got;
	socklen_t size = sizeof(got);
	int a = make(SOCK_DGRAM, "@tern"), b = socket(AF_UNIX, SOCK_DGRAM, 0);

	check(a >= 0 && fails(bind_to(b, "@tern"), EADDRINUSE), "an abstract name is one socket's");
	check(getsockname(a, (void *)&got, &size) == 0 && size == 7 &&
		      memcmp(got.sun_path, "\0tern", 5) == 0,
	      "and is told");
	int s = make(SOCK_STREAM, "@tern");
	check(s >= 0, "another type, another name");
	int p = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	check(fails(connect_to(p, "@tern"), ECONNREFUSED) &&
		      fails(connect_to(p, "@xx"), ECONNREFUSED),
	      "abstract names that nobody has");
	check(fails(access("tern", F_OK), ENOENT), "no node");
	named("@tern");
	address.sun_path[5] = 0;
	check(bind(b, (void *)&address, address_size + 1) == 0, "zeroes count");
	close(b);
	close(a);
	a = make(SOCK_DGRAM, "@tern");
	check(a >= 0, "free after close");
	b = socket(AF_UNIX, SOCK_DGRAM, 0);
	sa_family_t family = AF_UNIX;
	size = sizeof(got);
	check(bind(b, (void *)&family, 2) == 0 && getsockname(b, (void *)&got, &size) == 0 &&
		      size == 8 && got.sun_path[0] == 0,
	      "autobind");
	check(bind(b, (void *)&family, 2) == 0, "autobind again changes nothing");
	close(a);
	close(b);
	close(s);
	close(p);
}

/* ---- Connections ---- */

static void test_connection(int t)
{
	const char *type = type_names[t];
	struct sockaddr_un got;
	socklen_t size = sizeof(got);
	int fd = socket(AF_UNIX, types[t], 0), c = socket(AF_UNIX, types[t], 0);

	check(fails(listen(fd, 1), EINVAL), "%s: listen without a name", type);
	check(fails(accept(fd, NULL, NULL), EINVAL), "%s: accept without listen", type);
	check(fails(getpeername(fd, (void *)&got, &size), ENOTCONN), "%s: no peer", type);
	check(bind_to(fd, "server") == 0 && fails(connect_to(c, "server"), ECONNREFUSED),
	      "%s: nobody listens", type);
	check(listen(fd, 1) == 0 && option(fd, SO_ACCEPTCONN) == 1 && events(fd) == 0, "%s: listen",
	      type);
	check(fails(connect_to(fd, "server"), EINVAL), "%s: a listener does not connect", type);
	check(connect_to(c, "server") == 0 && events(fd) == POLLIN, "%s: connect", type);
	check(fails(connect_to(c, "server"), EISCONN) && fails(listen(c, 1), EINVAL), "%s: once",
	      type);
	check(write(c, "early", 5) == 5, "%s: a write before accept", type);
	int a = accept4(fd, (void *)&got, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	check(a >= 0 && size == 2 && got.sun_family == AF_UNIX && fcntl(a, F_GETFD) == FD_CLOEXEC &&
		      (fcntl(a, F_GETFL) & O_NONBLOCK),
	      "%s: accept4", type);
	check(read(a, buf, 100) == 5 && memcmp(buf, "early", 5) == 0 &&
		      fails(read(a, buf, 1), EAGAIN),
	      "%s: what was written before", type);
	size = sizeof(got);
	check(getpeername(c, (void *)&got, &size) == 0 && size == 9 &&
		      strcmp(got.sun_path, "server") == 0,
	      "%s: the client's peer", type);
	size = sizeof(got);
	check(getsockname(a, (void *)&got, &size) == 0 && size == 9, "%s: the server's name", type);
	/* A C library may answer EINVAL by trying accept. */
	check(fails(syscall(SYS_accept4, fd, NULL, NULL, 1), EINVAL) &&
		      fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fails(accept(fd, NULL, NULL), EAGAIN),
	      "%s: nobody else", type);
	close(c);
	check(read(a, buf, 1) == 0, "%s: the client has gone", type);
	close(a);
	/* backlog 1: two wait, the third does not get in. */
	int w[3];
	for (int i = 0; i < 3; i++)
		w[i] = socket(AF_UNIX, types[t] | SOCK_NONBLOCK, 0);
	check(connect_to(w[0], "server") == 0 && connect_to(w[1], "server") == 0 &&
		      fails(connect_to(w[2], "server"), EAGAIN),
	      "%s: the backlog", type);
	fcntl(fd, F_SETFL, 0);
	fcntl(w[2], F_SETFL, 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(connect_to(w[2], "server") != 0);
	sleep_ms(20);
	a = accept(fd, NULL, NULL);
	check(a >= 0 && status_of(pid) == 0, "%s: connect waits for room", type);
	close(fd);
	check(fails(read(w[1], buf, 1), ECONNRESET) && read(w[1], buf, 1) == 0,
	      "%s: the listener closes on those who wait", type);
	check(fails(read(w[0], buf, 1), EAGAIN), "%s: but not on who was accepted", type);
	for (int i = 0; i < 3; i++)
		close(w[i]);
	close(a);
	unlink("server");
}

static void test_waiting(void)
{
	int fd = listener(SOCK_STREAM, "server", 0), c;

	pid_t pid = fork();
	if (pid == 0) {
		sleep_ms(20);
		c = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect_to(c, "server") < 0 || read(c, buf, 1) != 1)
			_exit(1);
		sleep_ms(20);
		_exit(write(c, "y", 1) != 1);
	}
	int a = accept(fd, NULL, NULL);
	check(a >= 0 && write(a, "x", 1) == 1 && read(a, buf, 1) == 1 && status_of(pid) == 0,
	      "accept and read wait");
	close(a);
	struct timeval t = {0, 30000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	uint64_t start = now_ns();
	check(fails(accept(fd, NULL, NULL), EAGAIN) && now_ns() - start >= 29000000,
	      "accept times out");
	pid = fork();
	if (pid == 0) {
		sleep_ms(30);
		shutdown(fd, SHUT_RD);
		_exit(0);
	}
	t.tv_usec = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	check(fails(accept(fd, NULL, NULL), EINVAL) && status_of(pid) == 0,
	      "shutdown ends an accept");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	check(fails(accept(fd, NULL, NULL), EAGAIN), "but not one that does not wait");
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	check(fails(connect_to(c, "server"), ECONNREFUSED), "and refuses connections");
	close(c);
	close(fd);
	unlink("server");
}

/* ---- Streams ---- */

static void test_stream(void)
{
	int p[2], n;
	struct iovec v[3] = {{"ab", 2}, {"", 0}, {"cde", 3}}, in[2] = {{buf, 2}, {buf + 10, 10}};

	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	check(events(p[0]) == POLLOUT && writev(p[0], v, 3) == 5 &&
		      events(p[1]) == (POLLIN | POLLOUT),
	      "writev");
	check(ioctl(p[1], FIONREAD, &n) == 0 && n == 5, "FIONREAD");
	check(recv(p[1], buf, 3, MSG_PEEK) == 3 && memcmp(buf, "abc", 3) == 0, "MSG_PEEK");
	check(recv(p[1], buf, 9, MSG_PEEK | MSG_WAITALL) == 5, "MSG_PEEK does not wait");
	check(readv(p[1], in, 2) == 5 && memcmp(buf, "ab", 2) == 0 &&
		      memcmp(buf + 10, "cde", 3) == 0,
	      "readv");
	check(fails(recv(p[1], buf, 1, MSG_DONTWAIT), EAGAIN), "MSG_DONTWAIT");
	check(write(p[0], "x", 0) == 0 && read(p[1], buf, 0) == 0, "nothing");
	n = 1;
	check(ioctl(p[1], FIONBIO, &n) == 0 && fails(read(p[1], buf, 1), EAGAIN), "FIONBIO");
	n = 0;
	ioctl(p[1], FIONBIO, &n);
	check(fails(send_to(p[0], "x", "n"), EISCONN), "sendto on a connection");
	int u = socket(AF_UNIX, SOCK_STREAM, 0);
	check(fails(write(u, "x", 1), ENOTCONN) && fails(read(u, buf, 1), EINVAL) &&
		      fails(send_to(u, "x", "n"), EOPNOTSUPP) && events(u) == (POLLOUT | POLLHUP),
	      "not connected");
	close(u);
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 5; i++) {
			sleep_ms(5);
			if (write(p[0], "12", 2) != 2)
				_exit(1);
		}
		_exit(0);
	}
	check(recv(p[1], buf, 10, MSG_WAITALL) == 10 && status_of(pid) == 0, "MSG_WAITALL");
	int f = open("data", O_CREAT | O_RDWR, 0600);
	check(write(f, "from a file", 11) == 11 && lseek(f, 5, SEEK_SET) == 5 &&
		      sendfile(p[0], f, NULL, 100) == 6 && read(p[1], buf, 100) == 6 &&
		      memcmp(buf, "a file", 6) == 0,
	      "sendfile");
	close(f);
	unlink("data");
	check(fails(write(p[0], nowhere, 1), EFAULT) &&
		      fails(recv(p[1], nowhere, 0, MSG_DONTWAIT), EAGAIN),
	      "EFAULT of a write");
	write(p[0], "xyz", 3);
	check(fails(read(p[1], nowhere, 3), EFAULT) && read(p[1], buf, 3) == 3,
	      "EFAULT of a read keeps data");
	close(p[0]);
	close(p[1]);
}

/* A megabyte in odd pieces, both ways at once. */
static void test_volume(void)
{
	int p[2];
	long size = 1 << 20, sum = 0, want = 0;

	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	pid_t pid = fork();
	if (pid == 0) {
		close(p[0]);
		for (long got = 0; got < size;) {
			ssize_t r = read(p[1], buf, 5000);
			if (r <= 0 || write(p[1], buf, r) != r)
				_exit(1);
			got += r;
		}
		_exit(0);
	}
	close(p[1]);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	bool right = true;
	for (long out = 0, in = 0; in < size && right;) {
		struct pollfd f = {p[0], POLLIN | (out < size ? POLLOUT : 0), 0};
		right = poll(&f, 1, 5000) > 0;
		if (f.revents & POLLOUT) {
			size_t n = size - out < 7777 ? size - out : 7777;
			for (size_t i = 0; i < n; i++)
				buf[i] = (out + i) / 1049;
			ssize_t w = write(p[0], buf, n);
			right &= w > 0 || errno == EAGAIN;
			out += w > 0 ? w : 0;
		}
		if (f.revents & POLLIN) {
			ssize_t r = read(p[0], buf, sizeof(buf));
			for (ssize_t i = 0; i < r; i++)
				right &= buf[i] == (char)((in + i) / 1049);
			in += r > 0 ? r : 0;
		}
		sum = in;
	}
	want = size;
	check(right && sum == want && status_of(pid) == 0, "a megabyte there and back");
	close(p[0]);
}

static void test_flow(void)
{
	int p[2];
	ssize_t w, total = 0;

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p);
	while ((w = write(p[0], buf, 4096)) > 0)
		total += w;
	int err = errno;
	check(w < 0 && err == EAGAIN && total > 100000 && total < 300000 && events(p[0]) == 0,
	      "a full socket holds about 200 KiB");
	check(read(p[1], buf, 4096) == 4096 && !(events(p[0]) & POLLOUT),
	      "a page of room is not writable yet");
	while (total > 0 && (w = read(p[1], buf, sizeof(buf))) > 0)
		total -= w;
	check(events(p[0]) == POLLOUT, "an empty one is");
	/* A reader wakes a writer that sleeps, and who polls for room. */
	for (int polls = 0; polls < 2; polls++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct pollfd f = {p[0], POLLOUT, 0};
			fcntl(p[0], F_SETFL, polls ? O_NONBLOCK : 0);
			for (long left = 600000; left > 0; left -= w) {
				if (polls && poll(&f, 1, 10000) != 1)
					_exit(1);
				w = write(p[0], buf, left < 6000 ? left : 6000);
				if (w < 0 && polls && errno == EAGAIN)
					w = 0;
				if (w < 0)
					_exit(2);
			}
			_exit(0);
		}
		fcntl(p[1], F_SETFL, 0);
		for (total = 0; total < 600000 && (w = read(p[1], buf, 9000)) > 0;)
			total += w;
		check(total == 600000 && status_of(pid) == 0, "a writer that %s is woken",
		      polls ? "polls" : "sleeps");
	}
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	check(set_option(p[0], SO_SNDBUF, 1) == 0 && option(p[0], SO_SNDBUF) == 4608 &&
		      set_option(p[0], SO_SNDBUF, 10000) == 0 && option(p[0], SO_SNDBUF) == 20000,
	      "SO_SNDBUF");
	total = 0;
	while ((w = write(p[0], buf, 4096)) > 0)
		total += w;
	check(total >= 8192 && total <= 40960, "a smaller buffer holds less");
	fcntl(p[0], F_SETFL, 0);
	struct timeval t = {0, 30000};
	setsockopt(p[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	uint64_t start = now_ns();
	check(fails(write(p[0], buf, 4096), EAGAIN) && now_ns() - start >= 29000000, "SO_SNDTIMEO");
	close(p[0]);
	close(p[1]);
}

/* ---- Ends ---- */

static void test_shutdown(int t)
{
	const char *type = type_names[t];
	int p[2];

	socketpair(AF_UNIX, types[t], 0, p);
	check(fails(shutdown(p[0], 3), EINVAL) && fails(shutdown(p[0], -1), EINVAL),
	      "%s: bad shutdown", type);
	write(p[0], "last", 4);
	check(shutdown(p[0], SHUT_WR) == 0 && fails(send(p[0], "x", 1, MSG_NOSIGNAL), EPIPE),
	      "%s: no more writes", type);
	check(events(p[1]) == (POLLIN | POLLOUT | POLLRDHUP) && read(p[1], buf, 100) == 4 &&
		      read(p[1], buf, 100) == 0,
	      "%s: the other end reads the rest and the end", type);
	check(write(p[1], "back", 4) == 4 && read(p[0], buf, 100) == 4, "%s: the other way works",
	      type);
	check(shutdown(p[1], SHUT_WR) == 0 &&
		      (events(p[0]) & (POLLHUP | POLLRDHUP)) == (POLLHUP | POLLRDHUP),
	      "%s: both", type);
	close(p[0]);
	close(p[1]);
	socketpair(AF_UNIX, types[t], 0, p);
	write(p[0], "x", 1);
	check(shutdown(p[1], SHUT_RD) == 0 && fails(send(p[0], "x", 1, MSG_NOSIGNAL), EPIPE) &&
		      read(p[1], buf, 10) == 1 && read(p[1], buf, 10) == 0,
	      "%s: no more reads", type);
	close(p[0]);
	check((events(p[1]) & (POLLIN | POLLHUP)) == (POLLIN | POLLHUP), "%s: hang-up", type);
	close(p[1]);
}

static void test_close(void)
{
	int p[2];

	for (int t = 0; t < ALL_TYPES; t += 2) {
		const char *type = type_names[t];
		socketpair(AF_UNIX, types[t], 0, p);
		write(p[0], "x", 1);
		close(p[0]);
		check(read(p[1], buf, 10) == 1 && read(p[1], buf, 10) == 0, "%s: a clean end",
		      type);
		check(fails(write(p[1], "x", 1), EPIPE), "%s: EPIPE", type);
		check(gets_signal(SIGPIPE) == (t == 0), "%s: SIGPIPE", type);
		check(fails(send(p[1], "x", 1, MSG_NOSIGNAL), EPIPE) && !gets_signal(SIGPIPE),
		      "%s: MSG_NOSIGNAL", type);
		close(p[1]);
		socketpair(AF_UNIX, types[t], 0, p);
		write(p[1], "unread", 6);
		close(p[0]);
		check(events(p[1]) & POLLERR, "%s: POLLERR", type);
		check(fails(read(p[1], buf, 10), ECONNRESET) && read(p[1], buf, 10) == 0,
		      "%s: what was not read resets", type);
		close(p[1]);
		socketpair(AF_UNIX, types[t], 0, p);
		write(p[1], "unread", 6);
		close(p[0]);
		check(option(p[1], SO_ERROR) == ECONNRESET && option(p[1], SO_ERROR) == 0,
		      "%s: SO_ERROR", type);
		close(p[1]);
	}
	socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
	close(p[0]);
	check(fails(write(p[1], "x", 1), ECONNREFUSED) && fails(write(p[1], "x", 1), ENOTCONN),
	      "datagram: the peer has gone");
	close(p[1]);
	/* A reader that sleeps is woken by each end. */
	for (int how = 0; how < 2; how++) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, p);
		pid_t pid = fork();
		if (pid == 0) {
			close(p[0]);
			_exit(read(p[1], buf, 1) != 0);
		}
		close(p[1]);
		sleep_ms(10);
		if (how)
			close(p[0]);
		else
			shutdown(p[0], SHUT_RDWR);
		check(status_of(pid) == 0, "%s wakes a reader", how ? "close" : "shutdown");
		if (!how)
			close(p[0]);
	}
}

/* ---- Messages ---- */

static void test_messages(int t)
{
	const char *type = type_names[t];
	struct iovec v[3] = {{"ab", 2}, {"", 0}, {"cde", 3}}, in[2] = {{buf, 2}, {buf + 10, 2}};
	struct msghdr m = {.msg_iov = in, .msg_iovlen = 2};
	int p[2], n;

	socketpair(AF_UNIX, types[t], 0, p);
	check(writev(p[0], v, 3) == 5 && write(p[0], "", 0) == 0 && write(p[0], "third", 5) == 5,
	      "%s: three messages", type);
	check(ioctl(p[1], FIONREAD, &n) == 0 && n == (t == 1 ? 5 : 10), "%s: FIONREAD", type);
	check(recvmsg(p[1], &m, MSG_PEEK) == 4 && (m.msg_flags & MSG_TRUNC), "%s: peek", type);
	check(recvmsg(p[1], &m, MSG_PEEK | MSG_TRUNC) == 5, "%s: its true size", type);
	check(recvmsg(p[1], &m, 0) == 4 && m.msg_flags == MSG_TRUNC && memcmp(buf, "ab", 2) == 0 &&
		      memcmp(buf + 10, "cd", 2) == 0,
	      "%s: the rest is lost", type);
	check(recv(p[1], buf, 10, 0) == 0, "%s: an empty message", type);
	check(recv(p[1], buf, 3, MSG_TRUNC) == 5, "%s: MSG_TRUNC", type);
	check(fails(recv(p[1], buf, 3, MSG_DONTWAIT), EAGAIN), "%s: no more", type);
	check(fails(send(p[0], buf, 4, MSG_OOB), EOPNOTSUPP), "%s: MSG_OOB", type);
	char *big = malloc(1 << 20);
	memset(big, 'b', 1 << 20);
	check(fails(send(p[0], big, 1 << 20, 0), EMSGSIZE), "%s: EMSGSIZE", type);
	check(send(p[0], big, 150000, 0) == 150000 && recv(p[1], big, 1 << 20, 0) == 150000,
	      "%s: a large one", type);
	check(fails(send(p[0], nowhere, 4, 0), EFAULT) &&
		      fails(recv(p[1], buf, 9, MSG_DONTWAIT), EAGAIN),
	      "%s: EFAULT sends nothing", type);
	memset(big, 'x', 9000);
	char *edge = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(edge + 8192, 8192);
	check(fails(send(p[0], edge, 9000, 0), EFAULT) && send(p[0], big, 100, 0) == 100 &&
		      recv(p[1], buf, 20000, 0) == 100 && buf[99] == 'x',
	      "%s: nor does half a message", type);
	munmap(edge, 8192);
	int count = 0;
	while (send(p[0], "x", 1, MSG_DONTWAIT) == 1)
		count++;
	int err = errno;
	check(err == EAGAIN && count > 100, "%s: room for many small ones", type);
	check(events(p[0]) == 0, "%s: full is not writable", type);
	while (recv(p[1], buf, 1, MSG_DONTWAIT) == 1)
		count--;
	check(count == 0 && events(p[0]) == POLLOUT, "%s: all arrive", type);
	free(big);
	close(p[0]);
	close(p[1]);
}

static void test_datagrams(void)
{
	struct sockaddr_un from;
	socklen_t size = sizeof(from);
	int s = make(SOCK_DGRAM, "server"), a = make(SOCK_DGRAM, "client"),
	    b = socket(AF_UNIX, SOCK_DGRAM, 0);

	check(fails(listen(s, 1), EOPNOTSUPP) && fails(accept(s, NULL, NULL), EOPNOTSUPP),
	      "datagrams do not listen");
	check(fails(write(a, "x", 1), ENOTCONN), "a datagram to nobody");
	check(send_to(a, "hello", "server") == 5 &&
		      recvfrom(s, buf, 100, 0, (void *)&from, &size) == 5 && size == 9 &&
		      strcmp(from.sun_path, "client") == 0,
	      "recvfrom tells the sender");
	size = sizeof(from);
	int late = socket(AF_UNIX, SOCK_DGRAM, 0);
	send_to(late, "x", "server");
	check(bind_to(late, "@late") == 0 && recvfrom(s, buf, 9, 0, (void *)&from, &size) == 1 &&
		      size == 7,
	      "a name it got later counts");
	close(late);
	size = sizeof(from);
	check(send_to(b, "x", "server") == 1 &&
		      recvfrom(s, buf, 100, 0, (void *)&from, &size) == 1 && size == 0,
	      "who may have no name");
	check(connect_to(b, "server") == 0 && write(b, "y", 1) == 1 && read(s, buf, 10) == 1,
	      "connect");
	check(connect_to(s, "client") == 0 && fails(write(b, "z", 1), EPERM),
	      "the server listens to one only");
	check(fails(connect_to(b, "server"), EPERM), "and cannot be connected to by others");
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	check(connect(s, &none, sizeof(none)) == 0 && write(b, "z", 1) == 1 &&
		      read(s, buf, 10) == 1,
	      "until it disconnects");
	check(connect(b, &none, sizeof(none)) == 0 && fails(write(b, "z", 1), ENOTCONN),
	      "disconnected");
	connect_to(b, "server");
	int count = 0;
	while (send(b, "x", 1, MSG_DONTWAIT) == 1)
		count++;
	check(count == 11 && events(b) == 0, "few datagrams wait at a stranger's");
	fcntl(b, F_SETFL, 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(write(b, "late", 4) != 4);
	sleep_ms(10);
	struct pollfd f = {b, POLLOUT, 0};
	while (count-- > 0)
		read(s, buf, 10);
	check(poll(&f, 1, 1000) == 1 && status_of(pid) == 0 && read(s, buf, 10) == 4,
	      "a sender waits for room");
	check(connect_to(s, "server") == 0 && write(s, "self", 4) == 4 && read(s, buf, 10) == 4,
	      "to itself");
	close(s);
	check(fails(write(b, "x", 1), ECONNREFUSED) && fails(write(b, "x", 1), ENOTCONN),
	      "the server closed");
	check(fails(send_to(b, "x", "server"), ECONNREFUSED), "its node is left");
	close(a);
	close(b);
	unlink("server");
	unlink("client");
}

static void test_many(void)
{
	struct mmsghdr m[4] = {};
	struct iovec v[4];
	char data[4][8] = {"0", "11", "222", "3333"};
	int p[2];

	socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
	for (int i = 0; i < 4; i++) {
		v[i] = (struct iovec){data[i], i + 1};
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	check(syscall(SYS_sendmmsg, p[0], m, 4, 0) == 4 && m[3].msg_len == 4 && m[0].msg_len == 1,
	      "sendmmsg");
	for (int i = 0; i < 4; i++)
		v[i].iov_len = 8;
	check(recvmmsg(p[1], m, 3, 0, NULL) == 3 && m[2].msg_len == 3, "recvmmsg");
	check(recvmmsg(p[1], m, 4, MSG_WAITFORONE, NULL) == 1 && m[0].msg_len == 4 &&
		      data[0][3] == '3',
	      "MSG_WAITFORONE");
	check(fails(recvmmsg(p[1], m, 4, MSG_DONTWAIT, NULL), EAGAIN), "none");
	struct timespec t = {0, 0};
	write(p[0], "a", 1);
	write(p[0], "b", 1);
	check(recvmmsg(p[1], m, 4, 0, &t) == 1, "a time limit that is over");
	t.tv_nsec = -1;
	check(fails(recvmmsg(p[1], m, 4, 0, &t), EINVAL), "a bad one");
	v[1].iov_base = nowhere;
	check(syscall(SYS_sendmmsg, p[0], m, 4, 0) == 1, "sendmmsg stops at an error");
	check(fails(syscall(SYS_sendmmsg, p[0], nowhere, 4, 0), EFAULT) &&
		      syscall(SYS_sendmmsg, p[0], m, 0, 0) == 0,
	      "bad arrays");
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	char folder[] = "sockets.XXXXXX";
	sigset_t set;

	if (!mkdtemp(folder) || chdir(folder))
		return 99;
	alarm(300);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	test_making();
	for (int t = 0; t < ALL_TYPES; t++)
		test_paths(t);
	test_lengths();
	test_abstract();
	test_connection(0);
	test_connection(2);
	test_waiting();
	test_stream();
	test_volume();
	test_flow();
	test_shutdown(0);
	test_shutdown(2);
	test_close();
	test_messages(1);
	test_messages(2);
	test_datagrams();
	test_many();
	check(chdir("..") == 0 && rmdir(folder) == 0, "nothing is left");
	return tap_end();
}
