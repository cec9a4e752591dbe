/*
 * Sockets: making, naming, connecting, options. Each call decodes and checks, then asks the socket's
 * ops. What is sent and received is in sys_message.c.
 */
#include "socket.h"

#define SOCK_TYPE_BITS 0xf
#define SOL_SOCKET 1

enum kerr address_read(vaddr_t from, int length, struct socket_address *out)
{
	if (length < 0 || (size_t)length > sizeof(out->bytes))
		return KERR_INVAL;
	out->length = (uint32_t)length;
	out->family = AF_UNSPEC;
	return length ? user_read(out->bytes, from, (size_t)length) : KERR_OK;
}

enum kerr address_write(vaddr_t to, vaddr_t length_at, const struct socket_address *a)
{
	int room, length = (int)a->length;
	enum kerr err = user_read(&room, length_at, sizeof(room));

	if (err != KERR_OK)
		return err;
	if (room < 0)
		return KERR_INVAL;
	err = user_write(to, a->bytes, (size_t)MIN(room, length));
	return err == KERR_OK ? user_write(length_at, &length, sizeof(length)) : err;
}

/* ---- Making ---- */

/* SOCK_NONBLOCK and SOCK_CLOEXEC, which have the values of O_NONBLOCK and O_CLOEXEC. */
static bool type_flags_good(int type)
{
	return !(type & ~SOCK_TYPE_BITS & ~(O_NONBLOCK | O_CLOEXEC));
}

/* A file for a socket; the socket's reference is consumed in any case. */
static enum kerr file_for(struct socket *s, int flags, struct file **out)
{
	enum kerr err = socket_file(s, flags, out);

	if (err != KERR_OK) {
		s->ops->close(s);
		socket_put(s);
	}
	return err;
}

SYSCALL(socket)
{
	int type = (int)a1, fd;
	struct socket *s;
	struct file *f;

	if (!type_flags_good(type))
		return KERR_INVAL;
	enum kerr err = socket_create((int)a0, type & SOCK_TYPE_BITS, (int)a2, &s);
	if (err != KERR_OK)
		return err;
	err = file_for(s, type, &f);
	if (err != KERR_OK)
		return err;
	err = fd_install(f, 0, type & O_CLOEXEC, &fd);
	if (err != KERR_OK)
		file_put(f);
	return err == KERR_OK ? fd : err;
}

static enum kerr make_pair(int family, int type, int protocol, struct file *ends[2])
{
	struct socket *a, *b;
	enum kerr err = socket_create(family, type & SOCK_TYPE_BITS, protocol, &a);

	if (err != KERR_OK)
		return err;
	err = socket_create(family, type & SOCK_TYPE_BITS, protocol, &b);
	if (err != KERR_OK) {
		socket_put(a);
		return err;
	}
	err = a->ops->pair ? a->ops->pair(a, b) : KERR_OPNOTSUPP;
	if (err != KERR_OK) {
		socket_put(a);
		socket_put(b);
		return err;
	}
	err = file_for(a, type, &ends[0]);
	if (err != KERR_OK) {
		b->ops->close(b);
		socket_put(b);
		return err;
	}
	err = file_for(b, type, &ends[1]);
	if (err != KERR_OK)
		file_put(ends[0]);
	return err;
}

SYSCALL(socketpair)
{
	struct file *ends[2];
	int fds[2], type = (int)a1;

	if (!type_flags_good(type))
		return KERR_INVAL;
	enum kerr err = fd_reserve(0, type & O_CLOEXEC, &fds[0]);
	if (err != KERR_OK)
		return err;
	err = fd_reserve(0, type & O_CLOEXEC, &fds[1]);
	if (err != KERR_OK)
		goto fail_second;
	err = user_write(a3, fds, sizeof(fds));
	if (err == KERR_OK)
		err = make_pair((int)a0, type, (int)a2, ends);
	if (err != KERR_OK)
		goto fail;
	fd_fill(fds[0], ends[0]);
	fd_fill(fds[1], ends[1]);
	return KERR_OK;
fail:
	fd_release(fds[1]);
fail_second:
	fd_release(fds[0]);
	return err;
}

/* ---- Names and connections ---- */

SYSCALL(bind)
{
	struct socket_address a;
	struct socket *s;
	struct file *f;
	enum kerr err = socket_get_fd((int)a0, &f, &s);

	if (err != KERR_OK)
		return err;
	err = address_read(a1, (int)a2, &a);
	if (err == KERR_OK)
		err = s->ops->bind ? s->ops->bind(s, &a) : KERR_OPNOTSUPP;
	file_put(f);
	return err;
}

SYSCALL(connect)
{
	struct socket_address a;
	struct socket *s;
	struct file *f;
	enum kerr err = socket_get_fd((int)a0, &f, &s);

	if (err != KERR_OK)
		return err;
	err = address_read(a1, (int)a2, &a);
	if (err == KERR_OK)
		err = s->ops->connect ? s->ops->connect(s, &a, file_nonblocking(f))
				      : KERR_OPNOTSUPP;
	file_put(f);
	return err;
}

SYSCALL(listen)
{
	struct socket *s;
	struct file *f;
	enum kerr err = socket_get_fd((int)a0, &f, &s);

	if (err != KERR_OK)
		return err;
	/* A negative backlog is a large one. */
	err = s->ops->listen ? s->ops->listen(s, (unsigned)a1) : KERR_OPNOTSUPP;
	file_put(f);
	return err;
}

/* A connection and its file; the name of who connected goes to the caller. */
static enum kerr accept_file(struct socket *s, bool nonblocking, int flags, vaddr_t address,
			     vaddr_t length_at, struct file **out)
{
	struct socket_address a;
	struct socket *connection;
	enum kerr err = s->ops->accept(s, nonblocking, &connection);

	if (err != KERR_OK)
		return err;
	err = file_for(connection, flags, out);
	if (err != KERR_OK || !address)
		return err;
	err = connection->ops->name(connection, true, &a);
	if (err == KERR_OK)
		err = address_write(address, length_at, &a);
	if (err != KERR_OK)
		file_put(*out);
	return err;
}

static long accept_with(int fd, vaddr_t address, vaddr_t length_at, int flags)
{
	struct file *f, *connection;
	struct socket *s;
	int out;

	if (flags & ~(O_NONBLOCK | O_CLOEXEC))
		return KERR_INVAL;
	enum kerr err = socket_get_fd(fd, &f, &s);
	if (err != KERR_OK)
		return err;
	err = fd_reserve(0, flags & O_CLOEXEC, &out);
	if (err != KERR_OK)
		goto out_file;
	err = s->ops->accept
		      ? accept_file(s, file_nonblocking(f), flags, address, length_at, &connection)
		      : KERR_OPNOTSUPP;
	if (err == KERR_OK)
		fd_fill(out, connection);
	else
		fd_release(out);
out_file:
	file_put(f);
	return err == KERR_OK ? out : err;
}

SYSCALL(accept)
{
	return accept_with((int)a0, a1, a2, 0);
}

SYSCALL(accept4)
{
	return accept_with((int)a0, a1, a2, (int)a3);
}

static long name_out(int fd, bool peer, vaddr_t address, vaddr_t length_at)
{
	struct socket_address a;
	struct socket *s;
	struct file *f;
	enum kerr err = socket_get_fd(fd, &f, &s);

	if (err != KERR_OK)
		return err;
	err = s->ops->name(s, peer, &a);
	if (err == KERR_OK)
		err = address_write(address, length_at, &a);
	file_put(f);
	return err;
}

SYSCALL(getsockname)
{
	return name_out((int)a0, false, a1, a2);
}

SYSCALL(getpeername)
{
	return name_out((int)a0, true, a1, a2);
}

SYSCALL(shutdown)
{
	struct socket *s;
	struct file *f;
	enum kerr err = socket_get_fd((int)a0, &f, &s);

	if (err != KERR_OK)
		return err;
	if ((int)a1 < 0 || (int)a1 > 2)
		err = KERR_INVAL;
	else
		err = s->ops->shutdown ? s->ops->shutdown(s, (unsigned)a1 + 1) : KERR_OPNOTSUPP;
	file_put(f);
	return err;
}

/* ---- Options ---- */

SYSCALL(setsockopt)
{
	uint8_t value[SOCKET_OPTION_MAX];
	struct socket *s;
	struct file *f;
	int size = (int)a4;
	enum kerr err = socket_get_fd((int)a0, &f, &s);

	if (err != KERR_OK)
		return err;
	if (size < 0)
		err = KERR_INVAL;
	else if ((int)a1 != SOL_SOCKET)
		err = KERR_OPNOTSUPP;
	else
		err = user_read(value, a3, MIN((size_t)size, sizeof(value)));
	if (err == KERR_OK)
		err = socket_set_option(s, (int)a2, value, MIN((size_t)size, sizeof(value)));
	file_put(f);
	return err;
}

static enum kerr option_out(struct socket *s, int name, vaddr_t to, vaddr_t size_at)
{
	uint8_t value[2 * SOCKET_OPTION_MAX]; /* SO_PEERNAME is an address */
	int room;
	enum kerr err = user_read(&room, size_at, sizeof(room));

	if (err != KERR_OK)
		return err;
	if (room < 0)
		return KERR_INVAL;
	size_t size = MIN((size_t)room, sizeof(value));
	err = socket_get_option(s, name, value, &size);
	if (err == KERR_OK)
		err = user_write(to, value, size);
	room = (int)size;
	return err == KERR_OK ? user_write(size_at, &room, sizeof(room)) : err;
}

SYSCALL(getsockopt)
{
	struct socket *s;
	struct file *f;
	enum kerr err = socket_get_fd((int)a0, &f, &s);

	if (err != KERR_OK)
		return err;
	err = (int)a1 == SOL_SOCKET ? option_out(s, (int)a2, a3, a4) : KERR_OPNOTSUPP;
	file_put(f);
	return err;
}
