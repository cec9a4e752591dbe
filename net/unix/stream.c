/*
 * Streams of UNIX sockets: send, receive, poll.
 *
 * A direction of a connection is the receiver's ring, under the receiver's lock; it is all that
 * a send or a receive locks, so the two directions do not meet and no two sockets' locks ever nest. A
 * writer sleeps on its own write queue, where its pollers are too; the reader wakes that through its peer.
 *
 * Records (marks) divide the stream where bytes carry descriptors or credentials. A receive may begin before
 * a range with descriptors and run into it, but ends where that range ends; with SO_PASSCRED it
 * never crosses from one sender's bytes to another's.
 *
 * As with a pipe, up to a page is written whole or not at all, so small messages of several
 * writers stay whole.
 */
#include "unix/unix.h"

#include <exec/signal.h>
#include <fs/poll.h>

/* ---- Sending ----------------------------------------------------------------------------------- */

/* How the sender's buffer size looks from the receiver `p`. */
static size_t limit_of(struct unix_socket *p)
{
	/* p->peer is null for a moment when p is being closed; then nothing is written anyway. */
	struct unix_socket *from = unix_peer(p);

	return from ? from->socket.send_buffer : 0;
}

static size_t room_at(struct unix_socket *p, size_t limit)
{
	size_t used = queue_used(p);

	return used < limit ? limit - used : 0;
}

static bool can_write(struct unix_socket *p, size_t need)
{
	return (p->shutdown & SHUT_READ) || room_at(p, limit_of(p)) >= need;
}

/* A record for what is about to be written at p's head: none (null), the last one, or a new one. */
static enum kerr mark_for(struct unix_socket *u, struct unix_socket *p, struct socket_message *m,
			  struct unix_mark **out, bool *is_new)
{
	struct socket_credentials c;
	bool with_credentials = message_credentials(u, p, m, &c);

	*out = nullptr;
	*is_new = false;
	if (likely(!with_credentials && !m->rights))
		return KERR_OK;
	if (!with_credentials)
		c = unix_nobody;
	if (!m->rights && !list_empty(&p->marks)) {
		struct unix_mark *last = list_last(&p->marks, struct unix_mark, link);
		if (!last->rights && last->start + last->size == p->ring.head &&
		    last->size < SOCKET_FORCED_BUFFER_MAX &&
		    credentials_equal(&last->credentials, &c)) {
			*out = last;
			return KERR_OK;
		}
	}
	*out = mark_create();
	if (!*out)
		return KERR_NOMEM;
	*is_new = true;
	(*out)->start = p->ring.head;
	(*out)->credentials = c;
	return KERR_OK;
}

/* Writes up to `size` bytes from *done on into p, with their record. */
static enum kerr put(struct unix_socket *u, struct unix_socket *p, struct socket_message *m,
		     size_t size, size_t *done)
{
	struct unix_mark *mark;
	bool is_new;
	size_t moved;
	enum kerr err = queue_reserve(p, size);

	if (err == KERR_OK)
		err = mark_for(u, p, m, &mark, &is_new);
	if (err != KERR_OK)
		return err;
	err = queue_put(p, m, *done, size, &moved);
	*done += moved;
	if (likely(!mark))
		return err;
	mark->size += (uint32_t)moved;
	if (!is_new)
		return err;
	if (moved == 0) {
		mark_free(mark);
		return err;
	}
	mark->rights = m->rights;
	m->rights = nullptr;
	queue_append(p, mark);
	return err;
}

static enum kerr send_step(struct unix_socket *u, struct unix_socket *p, struct socket_message *m,
			   size_t *done)
{
	size_t left = m->size - *done, need = MIN(left, PAGE_SIZE);

	if (!can_write(p, need)) {
		if (m->flags & MSG_DONTWAIT)
			return KERR_AGAIN;
		enum kerr err =
			unix_wait(p, &u->write_queue, can_write, need, u->socket.send_timeout);
		if (err != KERR_OK)
			return err;
	}
	if (p->shutdown & SHUT_READ)
		return KERR_PIPE;
	size_t before = *done;
	enum kerr err = put(u, p, m, MIN(left, room_at(p, u->socket.send_buffer)), done);
	if (*done > before)
		wake_one(&p->read_queue);
	return err;
}

static enum kerr stream_send(struct socket *s, struct socket_message *m, size_t *done)
{
	struct unix_socket *u = unix_of(s), *p = unix_peer(u);
	enum kerr err = KERR_OK;

	*done = 0;
	if (unlikely(m->flags & MSG_OOB))
		return KERR_OPNOTSUPP;
	if (unlikely(m->address))
		return u->state == UNIX_CONNECTED ? KERR_ISCONN : KERR_OPNOTSUPP;
	if (unlikely(!p))
		return KERR_NOTCONN;
	if (unlikely(m->rights))
		err = flight_allowed(m->rights->count);
	if (err != KERR_OK)
		return err;
	mutex_lock(&p->lock);
	if (m->size == 0 && (p->shutdown & SHUT_READ))
		err = KERR_PIPE;
	while (*done < m->size && err == KERR_OK)
		err = send_step(u, p, m, done);
	bool more = room_at(p, s->send_buffer) > 0;
	mutex_unlock(&p->lock);
	if (more)
		wake_one(&u->write_queue); /* another writer of this socket */
	if (err == KERR_PIPE && *done == 0 && !(m->flags & MSG_NOSIGNAL))
		process_signal(current_process(), SIGPIPE);
	return *done ? KERR_OK : err;
}

/* ---- Receiving --------------------------------------------------------------------------------- */

static bool can_read(struct unix_socket *u, size_t size)
{
	return ring_used(&u->ring) > 0 || (u->shutdown & SHUT_READ) || u->error;
}

/* One receive's progress. */
struct reading {
	struct unix_socket *u;
	struct socket_message *m;
	bool peek, began; /* began: m->credentials are those of the bytes so far */
};

/* The record that covers `position` or comes next; null: none. */
static struct unix_mark *mark_at(struct unix_socket *u, uint64_t position)
{
	struct unix_mark *m;

	list_for_each(m, &u->marks, link)
		if (m->start + m->size > position)
			return m;
	return nullptr;
}

/* What the record at the front means for a receive that stands at `position`: how far it goes at most; 0: not
 * a byte of it. */
static size_t limit_by(struct reading *r, const struct unix_mark *mark, uint64_t position)
{
	bool inside = mark && mark->start <= position;
	const struct socket_credentials *c = inside ? &mark->credentials : &unix_nobody;

	if (r->began && socket_option(&r->u->socket, SOCKET_PASS_CREDENTIALS) &&
	    !credentials_equal(c, &r->m->credentials))
		return 0;
	if (!r->began)
		r->m->credentials = *c;
	r->began = true;
	if (!mark)
		return SIZE_MAX;
	return inside ? mark->start + mark->size - position : mark->start - position;
}

/* Bytes of `mark` up to `end` were copied: hands its rights over, and then the receive ends. A receive
 * that goes on has read a record to its end, so it meets each record once. */
static enum kerr pass_mark(struct reading *r, struct unix_mark *mark, uint64_t end, bool *stop)
{
	enum kerr err = mark_rights(mark, r->peek, &r->m->rights);

	if (err != KERR_OK)
		return err;
	*stop = r->m->rights;
	if (end == mark->start + mark->size && !r->peek)
		mark_free(queue_take(r->u));
	return KERR_OK;
}

/* Copies what can be copied in one piece. *stop: nothing of what follows may be added. */
static enum kerr read_step(struct reading *r, size_t *done, bool *stop)
{
	struct unix_socket *u = r->u;
	uint64_t position = u->ring.tail + (r->peek ? *done : 0);
	size_t n = MIN(r->m->size - *done, u->ring.head - position);
	struct unix_mark *mark = nullptr;
	enum kerr err = KERR_OK;

	if (unlikely(!list_empty(&u->marks)) || unlikely(r->began)) {
		mark = mark_at(u, position);
		n = MIN(n, limit_by(r, mark, position));
		if (n == 0) {
			*stop = true;
			return KERR_OK;
		}
		if (mark && mark->start > position)
			mark = nullptr; /* only bytes before it */
	} else {
		r->m->credentials = unix_nobody;
		r->began = true;
	}
	size_t moved = queue_peek(u, position, r->m, *done, n);
	if (mark && moved)
		err = pass_mark(r, mark, position + moved, stop);
	if (err != KERR_OK)
		return err;
	if (!r->peek)
		ring_consume(&u->ring, moved);
	*done += moved;
	return moved < n ? KERR_FAULT : KERR_OK;
}

/* Reads until nothing is left to read, wanted or allowed; sleeps for what must come. */
static enum kerr read_all(struct reading *r, size_t target, size_t *done)
{
	struct unix_socket *u = r->u;
	struct socket *s = &u->socket;
	bool stop = false;
	enum kerr err = KERR_OK;

	while (!stop && err == KERR_OK) {
		if (ring_used(&u->ring) > (r->peek ? *done : 0)) {
			if (*done == r->m->size)
				break;
			err = read_step(r, done, &stop);
			continue;
		}
		if (*done >= target || (r->peek && *done))
			break;
		if (u->error)
			return unix_take_error(s);
		if (u->shutdown & SHUT_READ)
			break;
		if (r->m->flags & MSG_DONTWAIT)
			return KERR_AGAIN;
		err = unix_wait(u, &u->read_queue, can_read, 0, s->receive_timeout);
	}
	return err;
}

static enum kerr stream_receive(struct socket *s, struct socket_message *m, size_t *done)
{
	struct unix_socket *u = unix_of(s);
	struct reading r = {.u = u, .m = m, .peek = m->flags & MSG_PEEK};
	size_t target = m->flags & MSG_WAITALL ? m->size : MIN(s->low_water, m->size);

	*done = 0;
	if (unlikely(u->state != UNIX_CONNECTED))
		return KERR_INVAL;
	if (unlikely(m->flags & MSG_OOB))
		return KERR_OPNOTSUPP;
	struct unix_socket *p = unix_peer(u);
	mutex_lock(&u->lock);
	enum kerr err = read_all(&r, MAX(target, (size_t)1), done);
	bool more = ring_used(&u->ring) > 0;
	mutex_unlock(&u->lock);
	if (*done > 0)
		wake_one(&p->write_queue);
	if (more)
		wake_one(&u->read_queue);
	if (unlikely(m->address) && *done > 0)
		address_show(p->address, m->address);
	return *done ? KERR_OK : err;
}

/* ---- Polling ----------------------------------------------------------------------------------- */

static unsigned stream_poll(struct socket *s, struct poll_table *table)
{
	struct unix_socket *u = unix_of(s), *p;
	bool writable = u->state == UNIX_NEW;

	poll_wait(table, &u->read_queue);
	poll_wait(table, &u->write_queue);
	p = unix_peer(u);
	if (p) {
		mutex_lock(&p->lock);
		writable = queue_used(p) * 4 <= s->send_buffer || (p->shutdown & SHUT_READ);
		mutex_unlock(&p->lock);
	}
	mutex_lock(&u->lock);
	unsigned events = unix_events_locked(u, ring_used(&u->ring) > 0, u->state == UNIX_NEW);
	mutex_unlock(&u->lock);
	return writable ? events | POLL_OUT | POLL_WRNORM : events;
}

const struct socket_ops unix_stream_ops = {
	.type = SOCK_STREAM,
	.bind = unix_bind,
	.connect = unix_connect,
	.pair = unix_pair,
	.listen = unix_listen,
	.accept = unix_accept,
	.name = unix_name,
	.send = stream_send,
	.receive = stream_receive,
	.shutdown = unix_shutdown,
	.poll = stream_poll,
	.queued = unix_queued,
	.take_error = unix_take_error,
	.listening = unix_listening,
	.peer_credentials = unix_peer_credentials,
	.close = unix_close,
	.destroy = unix_destroy,
};
