/*
 * Sending and receiving: sendto, sendmsg, sendmmsg and their counterparts.
 *
 * A message is decoded into a struct socket_message: the vector, the address, and of the control
 * data the descriptors as files and the credentials as checked. What a receive brings is written back
 * after it, since what was received cannot be put back: a bad address then loses it, as on Linux.
 */
#include "socket.h"

#include <core/time.h>
#include <exec/domain.h>
#include <lib/string.h>
#include <mm/heap.h>

#define CONTROL_MAX 131072u /* net.core.optmem_max */
#define MESSAGES_MAX 1024u  /* of one sendmmsg */
#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2

struct user_message { /* struct msghdr */
	uint64_t name;
	int32_t name_length;
	uint64_t vector, vector_count, control, control_size;
	uint32_t flags;
};
struct user_messages { /* struct mmsghdr */
	struct user_message message;
	uint32_t size;
};
static_assert(sizeof(struct user_message) == 56 && sizeof(struct user_messages) == 64);

struct control_header { /* struct cmsghdr */
	uint64_t size;
	int32_t level, type;
};
#define CONTROL_ALIGN(n) ALIGN_UP(n, sizeof(uint64_t))

static inline long outcome(enum kerr err, size_t done)
{
	return err == KERR_OK || done ? (long)done : err;
}

static long send(struct file *f, struct socket *s, struct socket_message *m)
{
	size_t done = 0;

	if (file_nonblocking(f))
		m->flags |= MSG_DONTWAIT;
	enum kerr err = s->ops->send(s, m, &done);
	if (m->rights)
		rights_release(m->rights);
	return outcome(err, done);
}

static long receive(struct file *f, struct socket *s, struct socket_message *m)
{
	size_t done = 0;

	if (file_nonblocking(f))
		m->flags |= MSG_DONTWAIT;
	enum kerr err = s->ops->receive(s, m, &done);
	return outcome(err, done);
}

/* ---- One buffer ---- */

SYSCALL(sendto)
{
	const struct io_buffer b = {.addr = a1, .size = MIN(a2, TRANSFER_MAX), .user = true};
	struct socket_message m = {
		.parts = &b, .part_count = 1, .size = b.size, .flags = (unsigned)a3};
	struct socket_address a;
	struct socket *s;
	struct file *f;

	if (!user_range_ok(b.addr, b.size))
		return KERR_FAULT;
	enum kerr err = socket_get_fd((int)a0, &f, &s);
	if (err != KERR_OK)
		return err;
	if (a4) {
		err = address_read(a4, (int)a5, &a);
		m.address = &a;
	}
	long result = err == KERR_OK ? send(f, s, &m) : err;
	file_put(f);
	return result;
}

SYSCALL(recvfrom)
{
	const struct io_buffer b = {.addr = a1, .size = MIN(a2, TRANSFER_MAX), .user = true};
	struct socket_message m = {
		.parts = &b, .part_count = 1, .size = b.size, .flags = (unsigned)a3};
	struct socket_address a = {};
	struct socket *s;
	struct file *f;

	if (!user_range_ok(b.addr, b.size))
		return KERR_FAULT;
	enum kerr err = socket_get_fd((int)a0, &f, &s);
	if (err != KERR_OK)
		return err;
	if (a4)
		m.address = &a;
	long result = receive(f, s, &m);
	if (m.rights)
		rights_release(m.rights);
	if (result >= 0 && a4) {
		err = address_write(a4, a5, &a);
		if (err != KERR_OK)
			result = err;
	}
	file_put(f);
	return result;
}

/* ---- Control data in ---- */

static bool is_own(uint32_t id, uint32_t real, uint32_t effective, uint32_t saved)
{
	return id == real || id == effective || id == saved;
}

static enum kerr decode_credentials(const void *data, size_t size, struct socket_message *m)
{
	const struct process *p = current_process();
	const struct credentials *c = &p->credentials;

	if (size != sizeof(m->credentials))
		return KERR_INVAL;
	memcpy(&m->credentials, data, size);
	m->has_credentials = true;
	if ((m->credentials.pid != p->pid &&
	     !process_capable(TERN_CAP_ANY_IPC, LINUX_CAP_SYS_ADMIN)) ||
	    (!is_own(m->credentials.uid, c->uid, c->euid, c->suid) &&
	     !process_capable(TERN_CAP_IDENTITY, LINUX_CAP_SETUID)) ||
	    (!is_own(m->credentials.gid, c->gid, c->egid, c->sgid) &&
	     !process_capable(TERN_CAP_IDENTITY, LINUX_CAP_SETGID)))
		return KERR_PERM;
	struct process *named = process_find(m->credentials.pid);
	if (!named)
		return KERR_SRCH;
	process_put(named);
	return KERR_OK;
}

static enum kerr decode_rights(const void *data, size_t size, struct socket_message *m)
{
	size_t count = size / sizeof(int);

	if (count == 0)
		return KERR_OK;
	if (count + (m->rights ? m->rights->count : 0) > RIGHTS_MAX)
		return KERR_INVAL;
	if (!m->rights)
		m->rights = rights_create(RIGHTS_MAX);
	if (!m->rights)
		return KERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		int fd;
		memcpy(&fd, (const int *)data + i, sizeof(fd));
		struct file *f = fd_get_any(fd);
		if (!f)
			return KERR_BADF;
		m->rights->files[m->rights->count++] = f;
	}
	return KERR_OK;
}

/* Each control message in `bytes`. The rights are the caller's also if it fails. */
static enum kerr decode_control(const uint8_t *bytes, size_t size, const struct socket *s,
				struct socket_message *m)
{
	enum kerr err = KERR_OK;
	size_t at = 0;

	while (err == KERR_OK && at < size && size - at >= sizeof(struct control_header)) {
		struct control_header h;
		memcpy(&h, bytes + at, sizeof(h));
		if (h.size < sizeof(h) || h.size > size - at)
			return KERR_INVAL;
		const uint8_t *data = bytes + at + sizeof(h);
		at += CONTROL_ALIGN(h.size);
		if (h.level != SOL_SOCKET)
			continue;
		if (h.type == SCM_RIGHTS && s->family == AF_UNIX)
			err = decode_rights(data, h.size - sizeof(h), m);
		else if (h.type == SCM_CREDENTIALS)
			err = decode_credentials(data, h.size - sizeof(h), m);
		else
			err = KERR_INVAL;
	}
	return err;
}

static enum kerr read_control(const struct user_message *u, const struct socket *s,
			      struct socket_message *m)
{
	uint8_t small[64], *bytes = small;

	if (u->control_size > CONTROL_MAX)
		return KERR_NOBUFS;
	if (u->control_size == 0)
		return KERR_OK;
	if (u->control_size > sizeof(small))
		bytes = heap_alloc(u->control_size);
	if (!bytes)
		return KERR_NOBUFS;
	enum kerr err = user_read(bytes, u->control, u->control_size);
	if (err == KERR_OK)
		err = decode_control(bytes, u->control_size, s, m);
	if (bytes != small)
		heap_free(bytes);
	return err;
}

/* ---- Whole messages in ---- */

/* What a message's decoding keeps until the message is done. */
struct decoded {
	struct user_message user;
	struct socket_address address;
	struct io_buffer small[VECTOR_SMALL], *parts;
	struct socket_message message;
};

/* The header and the vector; decoded_end() after success. */
static enum kerr decode_header(vaddr_t from, unsigned flags, struct decoded *d)
{
	enum kerr err = user_read(&d->user, from, sizeof(d->user));

	if (err != KERR_OK)
		return err;
	if (!d->user.name)
		d->user.name_length = 0;
	if (d->user.name_length < 0)
		return KERR_INVAL;
	if (d->user.vector_count > VECTOR_MAX)
		return KERR_MSGSIZE;
	err = vector_read(d->user.vector, d->user.vector_count, d->small, &d->parts);
	if (err != KERR_OK)
		return err;
	d->message = (struct socket_message){
		.parts = d->parts, .part_count = d->user.vector_count, .flags = flags};
	for (size_t i = 0; i < d->user.vector_count; i++)
		d->message.size += d->parts[i].size;
	return KERR_OK;
}

static void decoded_end(struct decoded *d)
{
	vector_end(d->parts, d->small);
}

static long send_message(struct file *f, struct socket *s, vaddr_t from, unsigned flags)
{
	struct decoded d;
	struct socket_message *m = &d.message;
	enum kerr err = decode_header(from, flags, &d);
	long result;

	if (err != KERR_OK)
		return err;
	if (d.user.name_length) {
		int most = (int)sizeof(d.address.bytes);
		err = address_read(d.user.name, MIN(d.user.name_length, most), &d.address);
		m->address = &d.address;
	}
	if (err == KERR_OK)
		err = read_control(&d.user, s, m);
	if (err == KERR_OK) {
		result = send(f, s, m);
	} else {
		result = err;
		if (m->rights)
			rights_release(m->rights);
	}
	decoded_end(&d);
	return result;
}

SYSCALL(sendmsg)
{
	struct socket *s;
	struct file *f;
	enum kerr err = socket_get_fd((int)a0, &f, &s);

	if (err != KERR_OK)
		return err;
	long result = send_message(f, s, a1, (unsigned)a2);
	file_put(f);
	return result;
}

SYSCALL(sendmmsg)
{
	size_t count = MIN((unsigned)a2, MESSAGES_MAX), n = 0;
	long result = 0;
	struct socket *s;
	struct file *f;
	enum kerr err = socket_get_fd((int)a0, &f, &s);

	if (err != KERR_OK)
		return err;
	for (; n < count; n++) {
		vaddr_t at = a1 + n * sizeof(struct user_messages);
		result = send_message(f, s, at, (unsigned)a3);
		if (result < 0)
			break;
		uint32_t size = (uint32_t)result;
		err = user_write(at + offsetof(struct user_messages, size), &size, sizeof(size));
		if (err != KERR_OK) {
			result = err;
			break;
		}
	}
	file_put(f);
	return n ? (long)n : result;
}

/* ---- Control data out ---- */

struct control_out {
	vaddr_t at;
	size_t room, used;
	unsigned flags; /* MSG_CTRUNC */
};

/* Writes the header in front of `size` bytes of data and moves on behind them. */
static enum kerr close_control(struct control_out *c, int type, size_t size)
{
	const struct control_header h = {sizeof(h) + size, SOL_SOCKET, type};
	enum kerr err = user_write(c->at, &h, sizeof(h));
	size_t step = MIN(CONTROL_ALIGN(h.size), c->room);

	if (err != KERR_OK)
		return err;
	c->at += step;
	c->used += step;
	c->room -= step;
	return KERR_OK;
}

static enum kerr encode_credentials(struct control_out *c, const struct socket_credentials *from)
{
	if (c->room < sizeof(struct control_header)) {
		c->flags |= MSG_CTRUNC;
		return KERR_OK;
	}
	size_t size = MIN(sizeof(*from), c->room - sizeof(struct control_header));
	if (size < sizeof(*from))
		c->flags |= MSG_CTRUNC;
	enum kerr err = user_write(c->at + sizeof(struct control_header), from, size);
	return err == KERR_OK ? close_control(c, SCM_CREDENTIALS, size) : err;
}

/* Installs as many of the files as there is room for; the others go. */
static enum kerr encode_rights(struct control_out *c, struct socket_rights *r, bool close_on_exec)
{
	size_t header = sizeof(struct control_header), n = 0;
	size_t most = c->room > header ? MIN((c->room - header) / sizeof(int), r->count) : 0;
	enum kerr err = KERR_OK;
	int fd;

	for (; n < most; n++) {
		if (fd_reserve(0, close_on_exec, &fd) != KERR_OK)
			break;
		if (user_write(c->at + header + n * sizeof(fd), &fd, sizeof(fd)) != KERR_OK) {
			fd_release(fd);
			break;
		}
		file_get(r->files[n]); /* the rights keep theirs until they are released */
		fd_fill(fd, r->files[n]);
	}
	if (n < r->count)
		c->flags |= MSG_CTRUNC;
	if (n > 0)
		err = close_control(c, SCM_RIGHTS, n * sizeof(fd));
	rights_release(r);
	return err;
}

/* What a received message brought, back to the caller: name, control data, flags. */
static enum kerr write_back(vaddr_t to, struct decoded *d, const struct socket *s)
{
	struct socket_message *m = &d->message;
	struct control_out c = {.at = d->user.control,
				.room = d->user.control ? d->user.control_size : 0};
	enum kerr err = KERR_OK;

	if (socket_option(s, SOCKET_PASS_CREDENTIALS))
		err = encode_credentials(&c, &m->credentials);
	if (m->rights && err == KERR_OK)
		err = encode_rights(&c, m->rights, m->flags & MSG_CMSG_CLOEXEC);
	else if (m->rights)
		rights_release(m->rights);
	if (err == KERR_OK && m->address)
		err = address_write(d->user.name, to + offsetof(struct user_message, name_length),
				    m->address);
	uint32_t flags = m->result_flags | c.flags | (m->flags & MSG_CMSG_CLOEXEC);
	uint64_t used = c.used;
	if (err == KERR_OK)
		err = user_write(to + offsetof(struct user_message, flags), &flags, sizeof(flags));
	if (err == KERR_OK)
		err = user_write(to + offsetof(struct user_message, control_size), &used,
				 sizeof(used));
	return err;
}

static long receive_message(struct file *f, struct socket *s, vaddr_t to, unsigned flags)
{
	struct decoded d;
	enum kerr err = decode_header(to, flags, &d);

	if (err != KERR_OK)
		return err;
	if (d.user.name) {
		d.address = (struct socket_address){};
		d.message.address = &d.address;
	}
	long result = receive(f, s, &d.message);
	if (result >= 0) {
		err = write_back(to, &d, s);
		if (err != KERR_OK)
			result = err;
	} else if (d.message.rights) {
		rights_release(d.message.rights);
	}
	decoded_end(&d);
	return result;
}

SYSCALL(recvmsg)
{
	struct socket *s;
	struct file *f;
	enum kerr err = socket_get_fd((int)a0, &f, &s);

	if (err != KERR_OK)
		return err;
	long result = receive_message(f, s, a1, (unsigned)a2);
	file_put(f);
	return result;
}

/* Messages until there are `count`, an error comes, or the time is over, at which it looks after each. */
static long receive_messages(struct file *f, struct socket *s, vaddr_t array, size_t count,
			     unsigned flags, nsec_t deadline)
{
	size_t n = 0;
	long result = 0;

	while (n < count) {
		vaddr_t at = array + n * sizeof(struct user_messages);
		result = receive_message(f, s, at, flags & ~MSG_WAITFORONE);
		if (result < 0)
			break;
		uint32_t size = (uint32_t)result;
		if (user_write(at + offsetof(struct user_messages, size), &size, sizeof(size)) !=
		    KERR_OK) {
			result = KERR_FAULT;
			break;
		}
		n++;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (deadline != NSEC_NEVER && time_now() >= deadline)
			break;
	}
	return n ? (long)n : result;
}

SYSCALL(recvmmsg)
{
	nsec_t deadline = NSEC_NEVER, span;
	struct socket *s;
	struct file *f;
	enum kerr err = a4 ? timespec_read(a4, &span) : KERR_OK;

	if (err != KERR_OK)
		return err;
	if (a4)
		deadline = deadline_after(span);
	err = socket_get_fd((int)a0, &f, &s);
	if (err != KERR_OK)
		return err;
	long result =
		receive_messages(f, s, a1, MIN((unsigned)a2, MESSAGES_MAX), (unsigned)a3, deadline);
	file_put(f);
	if (a4 && result > 0) {
		nsec_t now = time_now();
		err = timespec_write(a4, deadline > now ? deadline - now : 0);
		if (err != KERR_OK)
			result = err;
	}
	return result;
}
