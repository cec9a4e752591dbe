/*
 * Connections of UNIX sockets: listen, connect, accept.
 *
 * connect makes the other end at once: an embryo, connected to the client, that waits in the listener's list
 * for a file. So the client can send before anybody accepts. The embryo and the client know each
 * other before the embryo can be seen; the client's own state follows, under its own lock, which is
 * harmless because until connect returns nobody has reason to use it.
 *
 * A full list (more than `backlog`) makes connectors sleep on the listener's room queue. If the listener closes,
 * what is in the list is closed too, and its clients read ECONNRESET.
 */
#include "unix/unix.h"

enum kerr unix_listen(struct socket *s, unsigned backlog)
{
	struct unix_socket *u = unix_of(s);
	enum kerr err = KERR_OK;

	mutex_lock(&u->bind_lock);
	mutex_lock(&u->lock);
	if (!u->address || u->state == UNIX_CONNECTED) {
		err = KERR_INVAL;
	} else {
		u->backlog = MIN(backlog, BACKLOG_MAX);
		u->state = UNIX_LISTENING;
		u->peer_credentials = unix_own_credentials(true);
	}
	mutex_unlock(&u->lock);
	mutex_unlock(&u->bind_lock);
	if (err == KERR_OK)
		wake_all(&u->room_queue); /* there may be more room now */
	return err;
}

/* Nobody will accept what is put in its list, or there is room in it. */
static bool can_queue(struct unix_socket *l, size_t size)
{
	return l->state != UNIX_LISTENING || (l->shutdown & SHUT_READ) ||
	       l->pending_count <= l->backlog;
}

/* Puts the embryo into the listener's list; *who gets the credentials of who listens. */
static enum kerr enqueue(struct unix_socket *u, struct unix_socket *l, struct unix_socket *e,
			 bool nonblocking, struct socket_credentials *who)
{
	enum kerr err = KERR_OK;

	mutex_lock(&l->lock);
	if (!can_queue(l, 0))
		err = nonblocking
			      ? KERR_AGAIN
			      : unix_wait(l, &l->room_queue, can_queue, 0, u->socket.send_timeout);
	if (err == KERR_OK && (l->state != UNIX_LISTENING || (l->shutdown & SHUT_READ)))
		err = KERR_CONNREFUSED;
	if (err == KERR_OK && u->state != UNIX_NEW)
		err = u->state == UNIX_CONNECTED ? KERR_ISCONN : KERR_INVAL;
	if (err == KERR_OK) {
		*who = l->peer_credentials;
		atomic_store_explicit(&e->address, address_get(l->address), memory_order_relaxed);
		atomic_store_explicit(&e->listener, l, memory_order_release);
		list_add_tail(&l->pending, &e->pending_link);
		l->pending_count++;
		unix_get(e); /* the list's */
	}
	bool more = l->pending_count <= l->backlog;
	mutex_unlock(&l->lock);
	if (more)
		wake_one(&l->room_queue);
	return err;
}

/* An end for `u` to talk to; they refer to each other only if the connection comes about. */
static struct unix_socket *embryo_create(struct unix_socket *u)
{
	struct unix_socket *e = unix_create(u->socket.ops);

	if (!e)
		return nullptr;
	e->state = UNIX_CONNECTED;
	e->peer_credentials = unix_own_credentials(true);
	unix_get(u);
	atomic_store_explicit(&e->peer, u, memory_order_relaxed);
	return e;
}

static enum kerr connect_locked(struct unix_socket *u, const struct socket_address *a,
				bool nonblocking)
{
	struct unix_socket *l, *e;
	struct socket_credentials who;
	enum kerr err = unix_find(a, u->socket.ops->type, &l);

	if (err != KERR_OK)
		return err;
	if (socket_option(&u->socket, SOCKET_PASS_CREDENTIALS)) {
		err = unix_autobind(u);
		if (err != KERR_OK)
			goto out;
	}
	e = embryo_create(u);
	if (!e) {
		err = KERR_NOMEM;
		goto out;
	}
	err = enqueue(u, l, e, nonblocking, &who);
	if (err == KERR_OK) {
		mutex_lock(&u->lock);
		atomic_store_explicit(&u->peer, e, memory_order_release); /* with the reference */
		u->state = UNIX_CONNECTED;
		u->peer_credentials = who;
		mutex_unlock(&u->lock);
		wake_one(&l->read_queue);
		wake_all(&u->write_queue); /* pollers: it is writable now */
	} else {
		atomic_store_explicit(&e->peer, nullptr, memory_order_relaxed);
		unix_put(u);
		unix_put(e);
	}
out:
	unix_put(l);
	return err;
}

enum kerr unix_connect(struct socket *s, const struct socket_address *a, bool nonblocking)
{
	struct unix_socket *u = unix_of(s);

	mutex_lock(&u->bind_lock);
	enum kerr err = connect_locked(u, a, nonblocking);
	mutex_unlock(&u->bind_lock);
	return err;
}

static bool can_accept(struct unix_socket *u, size_t size)
{
	return u->pending_count > 0 || (u->shutdown & SHUT_READ);
}

enum kerr unix_accept(struct socket *s, bool nonblocking, struct socket **out)
{
	struct unix_socket *u = unix_of(s), *e = nullptr;
	enum kerr err = KERR_OK;

	if (u->state != UNIX_LISTENING)
		return KERR_INVAL;
	mutex_lock(&u->lock);
	if (u->pending_count == 0)
		err = nonblocking ? KERR_AGAIN
				  : unix_wait(u, &u->read_queue, can_accept, 0,
					      u->socket.receive_timeout);
	if (err == KERR_OK && u->pending_count == 0)
		err = KERR_INVAL; /* shut down */
	if (err == KERR_OK) {
		e = list_first(&u->pending, struct unix_socket, pending_link);
		list_remove(&e->pending_link);
		u->pending_count--;
		atomic_store_explicit(&e->listener, nullptr, memory_order_release);
		*out = &e->socket;
	}
	bool more = u->pending_count > 0;
	mutex_unlock(&u->lock);
	if (e)
		wake_one(&u->room_queue);
	if (more)
		wake_one(&u->read_queue);
	return err;
}
