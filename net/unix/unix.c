/*
 * UNIX domain sockets (unix(7)): life, and what streams and messages have in common.
 *
 *       file A          file B            a connection: each end holds the other by a reference
 *         |               |
 *      socket A <-peer-> socket B         what A sends is queued at B, under B's lock (queue.c)
 *      [ring, marks]    [ring, marks]
 *
 *   listener --pending--> embryo <-peer-> client    accept gives the embryo a file (connect.c)
 *   name --> socket                                 a node's inode, or the table of abstract names (name.c)
 *
 * States: NEW -> CONNECTED, NEW -> LISTENING; datagram sockets go back and forth between NEW and CONNECTED. Closing
 * is not a state of its own: a closed socket has shutdown = BOTH, no name, no peer and an empty queue,
 * and lives on only until its peer and those who just found it let go.
 *
 * Lock order: bind_lock of one socket -> a directory's inode -> (nothing of ours);
 *             bind_lock -> lock of one socket -> flight lock; registry is innermost.
 * No two sockets' `lock`s nest: what both ends of a connection must know is told to one after
 * the other, in an order in which the half-way state is harmless. A socket's lock is held while user memory is
 * copied, so it comes before the address space's. Nothing is released under a socket's lock.
 */
#include "unix/unix.h"

#include <core/init.h>
#include <core/time.h>
#include <exec/domain.h>
#include <exec/process.h>
#include <mm/heap.h>

static struct cache *unix_cache;

/* ---- Life -------------------------------------------------------------------------------------- */

struct unix_socket *unix_create(const struct socket_ops *ops)
{
	struct unix_socket *u = cache_alloc_zeroed(unix_cache);

	if (!u)
		return nullptr;
	socket_init(&u->socket, AF_UNIX, ops);
	u->domain = current_process()->domain;
	domain_hold(u->domain);
	mutex_init(&u->bind_lock, "socket.bind_lock");
	mutex_init(&u->lock, "socket.lock");
	ring_init(&u->ring);
	waitq_init(&u->read_queue);
	waitq_init(&u->write_queue);
	waitq_init(&u->room_queue);
	struct list *const lists[] = {
		&u->marks,     &u->senders,    &u->sender_link, &u->pending, &u->pending_link,
		&u->name_link, &u->all_link,   &u->flight_link, &u->held,    &u->holder_link,
		&u->gc_link,   &u->gc_holders, &u->gc_owned};
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_init(lists[i]);
	names_add(u);
	return u;
}

static enum kerr create(int type, int protocol, struct socket **out)
{
	const struct socket_ops *ops;

	if (protocol != 0 && protocol != AF_UNIX)
		return KERR_PROTONOSUPPORT;
	switch (type) {
	case SOCK_STREAM:
		ops = &unix_stream_ops;
		break;
	case SOCK_DGRAM:
	case SOCK_RAW: /* as BSD had it */
		ops = &unix_datagram_ops;
		break;
	case SOCK_SEQPACKET:
		ops = &unix_packet_ops;
		break;
	default:
		return KERR_SOCKTNOSUPPORT;
	}
	struct unix_socket *u = unix_create(ops);
	if (!u)
		return KERR_NOMEM;
	*out = &u->socket;
	return KERR_OK;
}

static void unix_freed(struct rcu_head *head)
{
	struct unix_socket *u = container_of(head, struct unix_socket, socket.inode.rcu);

	domain_release(u->domain);
	cache_free(unix_cache, u);
}

/* Closed, or never more than an object: an error on the way to a file. */
void unix_destroy(struct socket *s)
{
	struct unix_socket *u = unix_of(s);

	names_remove(u);
	address_put(u->address);
	ring_destroy(&u->ring);
	/* The collector looks at an embryo's listener without a reference. */
	rcu_call(&s->inode.rcu, unix_freed);
}

struct unix_socket *unix_of_file(struct file *f)
{
	struct socket *s = socket_of(f);

	return s && s->family == AF_UNIX ? unix_of(s) : nullptr;
}

/* ---- Small things ------------------------------------------------------------------------------ */

struct socket_credentials unix_own_credentials(bool effective)
{
	const struct process *p = current_process();
	const struct credentials *c = &p->credentials;

	return (struct socket_credentials){p->pid, effective ? c->euid : c->uid,
					   effective ? c->egid : c->gid};
}

enum kerr unix_wait(struct unix_socket *u, struct waitq *q,
		    bool (*ready)(struct unix_socket *u, size_t size), size_t size, nsec_t timeout)
{
	nsec_t deadline = socket_deadline(timeout);
	struct waiter w;
	enum kerr err = KERR_OK;

	wait_begin_exclusive(q, &w);
	while (!ready(u, size) && err == KERR_OK) {
		mutex_unlock(&u->lock);
		err = wait_park(&w, WAIT_IPC, true, deadline);
		mutex_lock(&u->lock);
	}
	wait_end(q, &w);
	return err == KERR_OK || ready(u, size) ? KERR_OK : socket_wait_error(err, timeout);
}

enum kerr unix_take_error(struct socket *s)
{
	struct unix_socket *u = unix_of(s);

	if (likely(!u->error))
		return KERR_OK;
	return (enum kerr)atomic_exchange(&u->error, KERR_OK);
}

unsigned unix_events_locked(const struct unix_socket *u, bool readable, bool lonely)
{
	unsigned events = 0;

	if (u->error)
		events |= POLL_ERR;
	if (u->shutdown == SHUT_BOTH || lonely)
		events |= POLL_HUP;
	if (u->shutdown & SHUT_READ)
		events |= POLL_RDHUP | POLL_IN | POLL_RDNORM;
	if (readable || u->pending_count > 0)
		events |= POLL_IN | POLL_RDNORM;
	return events;
}

bool unix_listening(struct socket *s)
{
	return unix_of(s)->state == UNIX_LISTENING;
}

void unix_peer_credentials(struct socket *s, struct socket_credentials *out)
{
	struct unix_socket *u = unix_of(s);

	mutex_lock(&u->lock);
	*out = u->peer_credentials;
	mutex_unlock(&u->lock);
}

enum kerr unix_queued(struct socket *s, bool outgoing, uint32_t *out)
{
	struct unix_socket *u = unix_of(s), *p = u;

	if (u->state == UNIX_LISTENING)
		return KERR_INVAL;
	mutex_lock(&u->lock);
	if (outgoing) {
		p = unix_peer(u);
		if (p)
			unix_get(p);
		*out = 0;
	} else if (s->ops->type == SOCK_DGRAM) {
		/* The next message only. */
		*out = u->mark_count ? list_first(&u->marks, struct unix_mark, link)->size : 0;
	} else {
		*out = (uint32_t)ring_used(&u->ring);
	}
	mutex_unlock(&u->lock);
	if (outgoing && p) {
		mutex_lock(&p->lock);
		*out = (uint32_t)queue_used(p);
		mutex_unlock(&p->lock);
		unix_put(p);
	}
	return KERR_OK;
}

enum kerr unix_pair(struct socket *first, struct socket *second)
{
	struct unix_socket *a = unix_of(first), *b = unix_of(second);

	/* Nobody else knows them yet. */
	a->peer_credentials = b->peer_credentials = unix_own_credentials(true);
	unix_get(a);
	unix_get(b);
	atomic_store_explicit(&a->peer, b, memory_order_relaxed);
	atomic_store_explicit(&b->peer, a, memory_order_relaxed);
	a->state = b->state = UNIX_CONNECTED;
	if (first->ops->type == SOCK_DGRAM) {
		list_add_tail(&b->senders, &a->sender_link);
		list_add_tail(&a->senders, &b->sender_link);
	}
	return KERR_OK;
}

/* ---- The end ----------------------------------------------------------------------------------- */

static void shut(struct unix_socket *u, unsigned how)
{
	mutex_lock(&u->lock);
	u->shutdown |= (uint8_t)how;
	mutex_unlock(&u->lock);
	wake_all(&u->read_queue);
	wake_all(&u->write_queue);
	wake_all(&u->room_queue);
}

enum kerr unix_shutdown(struct socket *s, unsigned how)
{
	struct unix_socket *u = unix_of(s), *p;

	shut(u, how);
	p = unix_peer(u);
	if (p && s->ops->type != SOCK_DGRAM) /* stays while s has its file */
		shut(p, (how & SHUT_READ ? SHUT_WRITE : 0) | (how & SHUT_WRITE ? SHUT_READ : 0));
	return KERR_OK;
}

/* Tells the other end of a connection; `lost`: something it sent was never read. */
static void hang_up(struct unix_socket *p, bool lost)
{
	mutex_lock(&p->lock);
	p->shutdown = SHUT_BOTH;
	if (lost)
		p->error = KERR_CONNRESET;
	mutex_unlock(&p->lock);
	wake_all(&p->read_queue);
	wake_all(&p->write_queue);
	unix_put(p);
}

/* Datagram sockets that are connected here find out when they send. u's lock is held. */
static void release_senders(struct unix_socket *u)
{
	while (!list_empty(&u->senders)) {
		struct unix_socket *from = list_first(&u->senders, struct unix_socket, sender_link);
		list_remove(&from->sender_link);
		wake_all(&from->write_queue);
	}
}

void unix_close_one(struct unix_socket *u, bool embryo)
{
	struct list rights = LIST_INIT(rights), pending = LIST_INIT(pending);

	mutex_lock(&u->lock);
	u->shutdown = SHUT_BOTH;
	u->closed = true;
	u->pending_count = 0;
	list_splice_tail(&pending, &u->pending);
	bool lost = ring_used(&u->ring) > 0 || u->mark_count > 0 || embryo;
	queue_purge(u, &rights);
	release_senders(u);
	struct unix_socket *p = unix_peer(u);
	atomic_store_explicit(&u->peer, nullptr, memory_order_relaxed);
	mutex_unlock(&u->lock);
	/* Those who wait here hold references, but no file: senders to a name, connectors. */
	wake_all(&u->room_queue);
	wake_all(&u->read_queue);
	while (!list_empty(&pending)) {
		struct unix_socket *e = list_first(&pending, struct unix_socket, pending_link);
		list_remove(&e->pending_link);
		unix_close_one(e, true);
		unix_put(e);
	}
	if (p && u->socket.ops->type == SOCK_DGRAM)
		datagram_leave_peer(u, p);
	else if (p)
		hang_up(p, lost);
	rights_release_all(&rights);
	names_remove(u);
}

void unix_close(struct socket *s)
{
	struct unix_socket *u = unix_of(s);

	names_unbind(u);
	unix_close_one(u, false);
	flight_collect();
}

/* ---- Init -------------------------------------------------------------------------------------- */

static const struct socket_family unix_family = {.family = AF_UNIX, .create = create};

static enum kerr unix_init(const struct boot_info *info)
{
	unix_cache = cache_create("unix_socket", sizeof(struct unix_socket), 0);
	queue_init();
	names_init();
	socket_family_register(&unix_family);
	return KERR_OK;
}

static const struct init_ops ops = {.init = unix_init};
INIT_SUBSYSTEM(unix_sockets, .phase = INIT_LATE, .priority = 11,
	       .requires = INIT_NETWORK | INIT_FILESYSTEM, INIT_DEPENDS("net"), .ops = &ops);
