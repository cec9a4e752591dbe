/*
 * Messages through UNIX sockets: SOCK_DGRAM, and SOCK_SEQPACKET, which is connected like a stream.
 *
 * A message is a record (mark) and its bytes in the receiver's ring. It goes in whole, under the
 * receiver's lock; if the sender's memory faults half-way the ring takes the bytes back.
 *
 * Room: the receiver holds at most what the sender's buffer size allows, and DATAGRAMS_MAX messages of those
 * that it is not connected to. Senders without room sleep on the receiver's room queue. Pollers cannot be
 * there, because the peer of a datagram socket can change while somebody polls: they are on the socket's own write
 * queue, and a receiver wakes those of its connected senders whose poll found no room (wants_room).
 *
 * The list of connected senders and their links are under the receiver's lock; who is connected to
 * whom changes under the sender's bind lock, so that list and pointer agree.
 */
#include "unix/unix.h"

#include <fs/poll.h>

/* ---- Peers of datagram sockets ----------------------------------------------------------------- */

/* Referenced, or null. */
static struct unix_socket *peer_get(struct unix_socket *u)
{
	mutex_lock(&u->lock);
	struct unix_socket *p = unix_peer(u);
	if (p)
		unix_get(p);
	mutex_unlock(&u->lock);
	return p;
}

void datagram_leave_peer(struct unix_socket *u, struct unix_socket *peer)
{
	mutex_lock(&peer->lock);
	list_remove(&u->sender_link);
	mutex_unlock(&peer->lock);
	unix_put(peer);
}

/* u's lock is held: those of its senders whose poll found no room look again. */
static void wake_senders(struct unix_socket *u)
{
	struct unix_socket *from;

	list_for_each(from, &u->senders, sender_link)
		if (atomic_exchange(&from->wants_room, false))
			wake_all(&from->write_queue);
}

/* What came from the old peer is not for a socket that has changed it. */
static void forget_old(struct unix_socket *u, struct unix_socket *old)
{
	struct list rights = LIST_INIT(rights);

	mutex_lock(&u->lock);
	bool any = u->mark_count > 0;
	queue_purge(u, &rights);
	wake_senders(u);
	mutex_unlock(&u->lock);
	rights_release_all(&rights);
	if (!any)
		return;
	wake_all(&u->room_queue);
	mutex_lock(&old->lock);
	bool told = !old->closed && unix_peer(old) == u;
	if (told)
		old->error = KERR_CONNRESET;
	mutex_unlock(&old->lock);
	if (told)
		wake_all(&old->read_queue);
}

static enum kerr may_connect(struct unix_socket *u, struct unix_socket *p)
{
	mutex_lock(&p->lock);
	struct unix_socket *its = unix_peer(p);
	enum kerr err = p->closed ? KERR_CONNREFUSED : its && its != u ? KERR_PERM : KERR_OK;
	mutex_unlock(&p->lock);
	return err;
}

/* Consumes the reference to `p` (may be null). bind_lock held. */
static void set_peer(struct unix_socket *u, struct unix_socket *p)
{
	mutex_lock(&u->lock);
	struct unix_socket *old = unix_peer(u);
	atomic_store_explicit(&u->peer, p, memory_order_release);
	u->state = p ? UNIX_CONNECTED : UNIX_NEW;
	mutex_unlock(&u->lock);
	if (old) {
		if (old != p)
			forget_old(u, old);
		datagram_leave_peer(u, old);
	}
	if (p) {
		mutex_lock(&p->lock);
		if (!p->closed)
			list_add_tail(&p->senders, &u->sender_link);
		mutex_unlock(&p->lock);
	}
	wake_all(&u->write_queue);
}

enum kerr datagram_connect(struct socket *s, const struct socket_address *a, bool nonblocking)
{
	struct unix_socket *u = unix_of(s), *p = nullptr;
	enum kerr err = KERR_OK;

	if (a->length < sizeof(a->family))
		return KERR_INVAL;
	mutex_lock(&u->bind_lock);
	if (a->family != AF_UNSPEC) {
		if (socket_option(s, SOCKET_PASS_CREDENTIALS))
			err = unix_autobind(u);
		if (err == KERR_OK)
			err = unix_find(a, SOCK_DGRAM, &p);
		if (err == KERR_OK) {
			err = may_connect(u, p);
			if (err != KERR_OK)
				unix_put(p);
		}
	}
	if (err == KERR_OK)
		set_peer(u, p);
	mutex_unlock(&u->bind_lock);
	return err;
}

/* The peer that u was connected to has closed: u is connected no more. */
static void lose_peer(struct unix_socket *u, struct unix_socket *p)
{
	mutex_lock(&u->bind_lock);
	if (unix_peer(u) == p)
		set_peer(u, nullptr);
	mutex_unlock(&u->bind_lock);
}

/* ---- Sending ----------------------------------------------------------------------------------- */

/* `size` bytes from u fit into p. */
static bool fits(struct unix_socket *p, const struct unix_socket *u, size_t size)
{
	size_t used = queue_used(p);

	if (unix_peer(p) != u && p->mark_count > DATAGRAMS_MAX)
		return false;
	return used == 0 || used + size + MARK_COST <= u->socket.send_buffer;
}

/* Why nothing can be sent to p any more; KERR_OK: it can. */
static enum kerr refusal(struct unix_socket *p, struct unix_socket *u)
{
	struct unix_socket *its = unix_peer(p);

	if (p->closed)
		return u->socket.ops->type == SOCK_DGRAM ? KERR_CONNREFUSED : KERR_PIPE;
	if (its && its != u)
		return KERR_PERM;
	return p->shutdown & SHUT_READ ? KERR_PIPE : KERR_OK;
}

/* Sleeps until the message fits or cannot be sent any more. */
static enum kerr wait_for_room(struct unix_socket *p, struct unix_socket *u, size_t size)
{
	nsec_t timeout = u->socket.send_timeout, deadline = socket_deadline(timeout);
	struct waiter w;
	enum kerr err = KERR_OK;

	wait_begin_exclusive(&p->room_queue, &w);
	while (refusal(p, u) == KERR_OK && !fits(p, u, size) && err == KERR_OK) {
		mutex_unlock(&p->lock);
		err = wait_park(&w, WAIT_IPC, true, deadline);
		mutex_lock(&p->lock);
	}
	wait_end(&p->room_queue, &w);
	if (err == KERR_OK || refusal(p, u) != KERR_OK || fits(p, u, size))
		return KERR_OK;
	return socket_wait_error(err, timeout);
}

/* p's lock is held. Consumes `mark` if it succeeds. */
static enum kerr put_message(struct unix_socket *u, struct unix_socket *p, struct socket_message *m,
			     struct unix_mark *mark)
{
	enum kerr err = refusal(p, u);
	size_t moved;

	if (err == KERR_OK && !fits(p, u, m->size)) {
		if (m->flags & MSG_DONTWAIT)
			return KERR_AGAIN;
		err = wait_for_room(p, u, m->size);
		if (err == KERR_OK)
			err = refusal(p, u);
	}
	if (err == KERR_OK)
		err = queue_reserve(p, m->size);
	if (err != KERR_OK)
		return err;
	uint64_t head = p->ring.head;
	err = queue_put(p, m, 0, m->size, &moved);
	if (err != KERR_OK) {
		ring_unput(&p->ring, head);
		return err;
	}
	if (!message_credentials(u, p, m, &mark->credentials))
		mark->credentials = unix_nobody;
	mark->size = (uint32_t)m->size;
	mark->rights = m->rights;
	m->rights = nullptr;
	queue_append(p, mark);
	return KERR_OK;
}

/* What a message's own end has against it. */
static enum kerr may_send(struct unix_socket *u, const struct socket_message *m)
{
	if (m->size > u->socket.send_buffer - 32)
		return KERR_MSGSIZE;
	if (u->error)
		return unix_take_error(&u->socket);
	if (u->shutdown & SHUT_WRITE)
		return KERR_PIPE;
	return m->rights ? flight_allowed(m->rights->count) : KERR_OK;
}

static enum kerr send_to(struct unix_socket *u, struct unix_socket *p, struct socket_message *m,
			 size_t *done)
{
	enum kerr err;

	struct unix_mark *mark = mark_create();
	if (!mark)
		return KERR_NOMEM;
	unix_get(u);
	mark->source = u;
	mutex_lock(&p->lock);
	err = put_message(u, p, m, mark);
	bool more = err == KERR_OK && queue_used(p) < u->socket.send_buffer;
	mutex_unlock(&p->lock);
	if (err != KERR_OK) {
		mark_free(mark);
		return err;
	}
	*done = m->size;
	wake_one(&p->read_queue);
	if (more)
		wake_one(&p->room_queue);
	return KERR_OK;
}

static enum kerr datagram_send(struct socket *s, struct socket_message *m, size_t *done)
{
	struct unix_socket *u = unix_of(s), *p = nullptr;
	enum kerr err = KERR_OK;

	*done = 0;
	if (m->flags & MSG_OOB)
		return KERR_OPNOTSUPP;
	if (m->address)
		err = address_check(m->address);
	if (err == KERR_OK && socket_option(s, SOCKET_PASS_CREDENTIALS) && !u->address) {
		mutex_lock(&u->bind_lock);
		err = unix_autobind(u);
		mutex_unlock(&u->bind_lock);
	}
	if (err == KERR_OK)
		err = may_send(u, m);
	if (err == KERR_OK && m->address)
		err = unix_find(m->address, SOCK_DGRAM, &p);
	else if (err == KERR_OK && !(p = peer_get(u)))
		err = KERR_NOTCONN;
	if (err == KERR_OK) {
		err = send_to(u, p, m, done);
		if (err == KERR_CONNREFUSED)
			lose_peer(u, p);
	}
	if (p)
		unix_put(p);
	return err;
}

static enum kerr packet_send(struct socket *s, struct socket_message *m, size_t *done)
{
	struct unix_socket *u = unix_of(s), *p = unix_peer(u);

	*done = 0;
	if (u->error)
		return unix_take_error(s);
	if (!p)
		return KERR_NOTCONN;
	if (m->flags & MSG_OOB)
		return KERR_OPNOTSUPP;
	enum kerr err = may_send(u, m);
	return err == KERR_OK ? send_to(u, p, m, done) : err;
}

/* ---- Receiving --------------------------------------------------------------------------------- */

static bool can_receive(struct unix_socket *u, size_t size)
{
	return u->mark_count > 0 || (u->shutdown & SHUT_READ) || u->error;
}

/* Waits for a message. KERR_OK without one: the end. */
static enum kerr await_message(struct unix_socket *u, unsigned flags)
{
	for (;;) {
		if (u->error)
			return unix_take_error(&u->socket);
		if (u->mark_count > 0)
			return KERR_OK;
		bool end = u->shutdown & SHUT_READ;
		if (flags & MSG_DONTWAIT)
			return end && u->socket.ops->type == SOCK_SEQPACKET ? KERR_OK : KERR_AGAIN;
		if (end)
			return KERR_OK;
		enum kerr err =
			unix_wait(u, &u->read_queue, can_receive, 0, u->socket.receive_timeout);
		if (err != KERR_OK)
			return err;
	}
}

/* Copies the oldest message out and, unless it is only looked at, drops it: also if the copy faults. */
static enum kerr take_message(struct unix_socket *u, struct socket_message *m, size_t *done)
{
	struct unix_mark *mark = list_first(&u->marks, struct unix_mark, link);
	size_t n = MIN(m->size, mark->size);
	bool peek = m->flags & MSG_PEEK;
	enum kerr err = mark_rights(mark, peek, &m->rights);

	if (err != KERR_OK)
		return err;
	if (queue_peek(u, u->ring.tail, m, 0, n) < n)
		err = KERR_FAULT;
	m->credentials = mark->credentials;
	if (m->address)
		address_show(mark->source->address, m->address);
	if (n < mark->size)
		m->result_flags |= MSG_TRUNC;
	*done = m->flags & MSG_TRUNC ? mark->size : n;
	if (!peek) {
		ring_consume(&u->ring, mark->size);
		mark_free(queue_take(u));
	}
	return err;
}

/* As wake_senders() for a connection's other end, which is not on the list. */
static void wake_packet_peer(struct unix_socket *u)
{
	struct unix_socket *p;

	if (u->socket.ops->type != SOCK_SEQPACKET)
		return;
	p = unix_peer(u);
	if (atomic_exchange(&p->wants_room, false))
		wake_all(&p->write_queue);
}

static enum kerr message_receive(struct socket *s, struct socket_message *m, size_t *done)
{
	struct unix_socket *u = unix_of(s);

	*done = 0;
	if (m->flags & MSG_OOB)
		return KERR_OPNOTSUPP;
	if (s->ops->type == SOCK_SEQPACKET && u->state != UNIX_CONNECTED)
		return KERR_NOTCONN;
	mutex_lock(&u->lock);
	enum kerr err = await_message(u, m->flags);
	bool taken = err == KERR_OK && u->mark_count > 0;
	if (taken) {
		err = take_message(u, m, done);
		wake_senders(u);
	}
	bool more = u->mark_count > 0;
	mutex_unlock(&u->lock);
	if (taken) {
		wake_one(&u->room_queue);
		wake_packet_peer(u);
	}
	if (more)
		wake_one(&u->read_queue);
	return err;
}

/* ---- Polling ----------------------------------------------------------------------------------- */

/* Could a message of no size be sent to the peer? Linux calls a quarter full writable. */
static bool peer_has_room(struct unix_socket *u, struct unix_socket *p)
{
	mutex_lock(&p->lock);
	bool room = p->closed || (p->shutdown & SHUT_READ) ||
		    (queue_used(p) * 4 <= u->socket.send_buffer &&
		     (unix_peer(p) == u || p->mark_count <= DATAGRAMS_MAX));
	if (!room)
		atomic_store(&u->wants_room, true);
	mutex_unlock(&p->lock);
	return room;
}

static unsigned message_poll(struct socket *s, struct poll_table *table)
{
	struct unix_socket *u = unix_of(s), *p;
	bool datagram = s->ops->type == SOCK_DGRAM;
	unsigned events;

	poll_wait(table, &u->read_queue);
	poll_wait(table, &u->write_queue);
	p = datagram ? peer_get(u) : unix_peer(u);
	bool writable = p ? peer_has_room(u, p) : u->state != UNIX_LISTENING;
	if (p && datagram)
		unix_put(p);
	mutex_lock(&u->lock);
	events = unix_events_locked(u, u->mark_count > 0, !datagram && u->state == UNIX_NEW);
	mutex_unlock(&u->lock);
	return writable ? events | POLL_OUT | POLL_WRNORM : events;
}

const struct socket_ops unix_datagram_ops = {
	.type = SOCK_DGRAM,
	.bind = unix_bind,
	.connect = datagram_connect,
	.pair = unix_pair,
	.name = unix_name,
	.send = datagram_send,
	.receive = message_receive,
	.shutdown = unix_shutdown,
	.poll = message_poll,
	.queued = unix_queued,
	.take_error = unix_take_error,
	.listening = unix_listening,
	.peer_credentials = unix_peer_credentials,
	.close = unix_close,
	.destroy = unix_destroy,
};

const struct socket_ops unix_packet_ops = {
	.type = SOCK_SEQPACKET,
	.bind = unix_bind,
	.connect = unix_connect,
	.pair = unix_pair,
	.listen = unix_listen,
	.accept = unix_accept,
	.name = unix_name,
	.send = packet_send,
	.receive = message_receive,
	.shutdown = unix_shutdown,
	.poll = message_poll,
	.queued = unix_queued,
	.take_error = unix_take_error,
	.listening = unix_listening,
	.peer_credentials = unix_peer_credentials,
	.close = unix_close,
	.destroy = unix_destroy,
};
