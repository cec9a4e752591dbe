/* What the files of net/unix share: see unix.c for the picture. */
#pragma once

#include <core/wait.h>
#include <fs/ring.h>
#include <net/socket.h>

#define UNIX_PATH_SIZE 108u
#define UNIX_PATH_OFFSET 2u   /* of sun_path */
#define DATAGRAMS_MAX 10u /* net.unix.max_dgram_qlen: of senders that are not the receiver's peer */
#define MARK_COST 512u /* what a message's record counts against the buffer, in bytes */

/* A name: as long-lived as the sockets and messages that show it. */
struct unix_address {
	_Atomic uint32_t references;
	uint32_t length; /* (const) of bytes */
	uint8_t bytes[UNIX_PATH_OFFSET + UNIX_PATH_SIZE + 1]; /* (const) struct sockaddr_un */
};

enum unix_state { UNIX_NEW, UNIX_LISTENING, UNIX_CONNECTED };

/* One message (datagrams), or a range of a stream whose bytes have something in common. */
struct unix_mark {
	struct list link;
	uint64_t start; /* stream: position in the ring */
	uint32_t size; /* bytes */
	struct socket_credentials credentials;
	struct unix_socket *source; /* messages: who sent it, referenced; streams: null */
	struct socket_rights *rights;
};

struct unix_socket {
	struct socket socket;
	/* Serialises bind, connect and listen of this socket; outside of `lock`. */
	struct mutex bind_lock;
	struct mutex lock;
	struct domain
		*domain; /* (const) its maker's: who is kept apart from that does not find it */
	/* What waits to be read here. */
	struct ring ring; /* (lock) */
	struct list marks; /* (lock) struct unix_mark, oldest first */
	uint32_t mark_count; /* (lock) */
	_Atomic uint8_t state; /* (lock for writing) enum unix_state */
	_Atomic uint8_t shutdown; /* (lock for writing) SHUT_*: this side will not */
	bool closed; /* (lock) its file has gone */
	_Atomic int error; /* enum kerr, told once */
	/* Readers and acceptors sleep on the first, this socket's own writers on the second; on the third
	 * those who need room here: senders of messages, connections when the backlog is full. */
	struct waitq read_queue, write_queue, room_queue;
	struct unix_socket *_Atomic peer; /* referenced; streams: set once, null again in close;
					     datagrams: (lock) */
	struct list senders; /* (lock) datagram sockets connected to this one */
	struct list sender_link; /* (lock of the peer) */
	_Atomic bool wants_room; /* poll found that the peer has no room */
	/* Connections */
	struct list pending; /* (lock) of a listener: embryos, by pending_link */
	uint32_t pending_count, backlog; /* (lock) */
	struct list pending_link; /* (lock of the listener) */
	struct unix_socket *_Atomic listener; /* of an embryo: not referenced; null once accepted */
	struct socket_credentials peer_credentials; /* (lock) a listener's own, inherited */
	/* Name */
	struct unix_address *_Atomic address; /* (bind_lock for writing, once) */
	struct path path; /* (bind_lock) the node that leads here; null dentry: none */
	struct list name_link; /* (registry) hash chain of abstract names */
	struct list all_link; /* (registry) */
	/* Passed in messages: see flight.c */
	struct file *file; /* (flight) valid while in_flight */
	uint32_t in_flight; /* (flight) references that messages hold to the file */
	struct list flight_link; /* (flight) among those in flight */
	struct list held; /* (flight) struct socket_rights with sockets, queued here */
	struct list holder_link; /* (flight) among those that hold some */
	struct list gc_link; /* (flight; then the collector's own) */
	struct list gc_holders; /* (flight) holders that this candidate owns, by gc_owned */
	struct list gc_owned; /* (flight) */
	uint32_t gc_count; /* (flight) references from outside the candidates */
	bool gc_candidate; /* (flight) */
};

static inline struct unix_socket *unix_of(struct socket *s)
{
	return container_of(s, struct unix_socket, socket);
}
static inline void unix_get(struct unix_socket *u)
{
	socket_get(&u->socket);
}
static inline void unix_put(struct unix_socket *u)
{
	socket_put(&u->socket);
}
static inline struct unix_socket *unix_peer(struct unix_socket *u)
{
	return atomic_load_explicit(&u->peer, memory_order_acquire);
}
static inline bool unix_is_message(const struct unix_socket *u)
{
	return u->socket.ops->type != SOCK_STREAM;
}

/* ---- unix.c ---- */

extern const struct socket_ops unix_stream_ops, unix_datagram_ops, unix_packet_ops;
struct unix_socket *unix_create(const struct socket_ops *ops); /* null: no memory */
struct unix_socket *unix_of_file(struct file *f); /* null: something else */
struct socket_credentials unix_own_credentials(bool effective);
/* Sleeps on q with u's lock dropped until `ready(u, size)`. KERR_AGAIN: the time is over; KERR_RESTART*. */
enum kerr unix_wait(struct unix_socket *u, struct waitq *q,
		    bool (*ready)(struct unix_socket *u, size_t size), size_t size, nsec_t timeout);
enum kerr unix_pair(struct socket *a, struct socket *b);
enum kerr unix_shutdown(struct socket *s, unsigned how);
enum kerr unix_queued(struct socket *s, bool outgoing, uint32_t *out);
enum kerr unix_take_error(struct socket *s);
/* What poll tells of it but room to send. unix.lock is held; `lonely`: it never had a peer. */
unsigned unix_events_locked(const struct unix_socket *u, bool readable, bool lonely);
bool unix_listening(struct socket *s);
void unix_peer_credentials(struct socket *s, struct socket_credentials *out);
void unix_close(struct socket *s);
void unix_destroy(struct socket *s);

/* ---- name.c: addresses, bind, who has a name ---- */

void names_init(void);
void names_add(struct unix_socket *u); /* a new socket, for /proc/net/unix */
void names_remove(struct unix_socket *u); /* it closes, or is freed */
void names_unbind(struct unix_socket *u); /* it closes: nobody finds it any more */
enum kerr unix_bind(struct socket *s, const struct socket_address *a);
enum kerr unix_autobind(struct unix_socket *u); /* unless it has a name */
enum kerr unix_name(struct socket *s, bool peer, struct socket_address *out);
/* The socket of that name and type, referenced; null if it fails and the name is well formed. */
enum kerr unix_find(const struct socket_address *a, uint8_t type, struct unix_socket **out);
enum kerr address_check(const struct socket_address *a); /* KERR_INVAL: not a name */
void address_put(struct unix_address *a); /* null is fine */
struct unix_address *address_get(struct unix_address *a); /* the same */
void address_show(const struct unix_address *a, struct socket_address *out);

/* ---- connect.c ---- */

enum kerr unix_listen(struct socket *s, unsigned backlog);
enum kerr unix_connect(struct socket *s, const struct socket_address *a, bool nonblocking);
enum kerr unix_accept(struct socket *s, bool nonblocking, struct socket **out);
/* The connected ones: peers lose each other. `embryo`: nobody accepted it. */
void unix_close_one(struct unix_socket *u, bool embryo);

/* ---- dgram.c ---- */

enum kerr datagram_connect(struct socket *s, const struct socket_address *a, bool nonblocking);
void datagram_leave_peer(struct unix_socket *u, struct unix_socket *peer); /* no lock held */

/* ---- queue.c: what waits at a socket; all with its lock held unless said otherwise ---- */

void queue_init(void);
static inline size_t queue_used(const struct unix_socket *u)
{
	return ring_used(&u->ring) + (size_t)u->mark_count * MARK_COST;
}
/* Room for `size` more bytes in the ring. KERR_NOMEM. */
enum kerr queue_reserve(struct unix_socket *u, size_t size);
/* Copies bytes at..at+size of the message in. On errors *done of them are in. */
enum kerr queue_put(struct unix_socket *u, const struct socket_message *m, size_t at, size_t size,
		    size_t *done);
/* Copies out from `position` to byte `at` of the message; gives how many before a fault. */
size_t queue_peek(const struct unix_socket *u, uint64_t position, const struct socket_message *m,
		  size_t at, size_t size);
/* A record for a message from u; its lock need not be held. Null: no memory. */
struct unix_mark *mark_create(void);
void mark_free(struct unix_mark *m); /* without its rights; any lock of ours may be held */
/* Appends the record; its rights are in flight from now on. */
void queue_append(struct unix_socket *u, struct unix_mark *m);
/* Takes the first record out (rights and all). */
struct unix_mark *queue_take(struct unix_socket *u);
/* A message's rights for the receiver: moved, or with `copy` duplicated (KERR_NOMEM). */
enum kerr mark_rights(struct unix_mark *m, bool copy, struct socket_rights **out);
/* Empties the queue; the rights in it go to *rights, to be released when no lock is held. */
void queue_purge(struct unix_socket *u, struct list *rights);
void rights_release_all(struct list *rights); /* no lock held */
/* Does a message between these carry credentials, and which? Fills m->credentials. */
bool message_credentials(const struct unix_socket *from, const struct unix_socket *to,
			 const struct socket_message *m, struct socket_credentials *out);
extern const struct socket_credentials unix_nobody;
static inline bool credentials_equal(const struct socket_credentials *a,
				     const struct socket_credentials *b)
{
	return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

/* ---- flight.c ---- */

/* The current process may have `count` more files in messages. KERR_TOOMANYREFS. */
enum kerr flight_allowed(uint32_t count);
/* holder's lock is held. */
void flight_add(struct unix_socket *holder, struct socket_rights *r);
void flight_remove(struct socket_rights *r); /* any lock state but the flight lock */
struct socket_rights *flight_duplicate(const struct socket_rights *r);
/* Closes sockets that only messages in their own queues refer to. No lock held. */
void flight_collect(void);
