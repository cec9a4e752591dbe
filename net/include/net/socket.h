/*
 * Sockets: what all families share. A socket is an object with an ops table, one for each family
 * and type; a file in front of it makes it a descriptor. Numbers and addresses are Linux's.
 *
 * A socket lives as long as its inode is referenced: by its file, by a peer, by a queue of
 * connections not yet accepted. Calls sleep unless said otherwise; the caller holds a reference and
 * no spinlock. Errors are Linux's for the call of the same name.
 */
#pragma once

#include <fs/file.h>

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_LIMIT 46 /* numbers of families are below it */

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define SOCK_LIMIT 11

#define MSG_OOB 0x1u
#define MSG_PEEK 0x2u
#define MSG_CTRUNC 0x8u
#define MSG_TRUNC 0x20u
#define MSG_DONTWAIT 0x40u
#define MSG_WAITALL 0x100u
#define MSG_ERRQUEUE 0x2000u
#define MSG_NOSIGNAL 0x4000u
#define MSG_WAITFORONE 0x10000u
#define MSG_CMSG_CLOEXEC 0x40000000u

#define SHUT_READ 1u /* bits: shutdown(2)'s argument plus one */
#define SHUT_WRITE 2u
#define SHUT_BOTH 3u

#define BACKLOG_MAX 4096u /* net.core.somaxconn */
#define SOCKET_BUFFER_DEFAULT 212992u
#define SOCKET_BUFFER_MAX 212992u /* what SO_SNDBUF may ask for; it gets the double */
#define SOCKET_FORCED_BUFFER_MAX (8u << 20)
#define RIGHTS_MAX 253u /* descriptors in one message */

struct socket_address {
	uint32_t length; /* of what is valid in bytes; 0: none */
	union {
		uint16_t family;
		uint8_t bytes[128];
	};
};

struct socket_credentials {
	int pid;
	uint32_t uid, gid;
};

/* Files on their way through a message; made by rights_create, given back by rights_release. */
struct socket_rights {
	struct list link;   /* a family's own */
	void *holder;       /* a family's own: the socket that it waits at */
	uint32_t counter;   /* a family's own: whose limit it counts against */
	uint32_t count;
	struct file *files[];
};
/* Null: no memory. The caller fills files[] and count. */
struct socket_rights *rights_create(uint32_t capacity);
/* Puts the files. Closing one may release others: those are put after it, not inside it, so the kernel's
 * stack is safe from chains of sockets that hold each other. */
void rights_release(struct socket_rights *r);
struct socket_rights *rights_duplicate(const struct socket_rights *r); /* null: no memory */

/* What one send or receive moves. */
struct socket_message {
	const struct io_buffer *parts;
	size_t part_count, size; /* size: of all parts */
	unsigned flags; /* MSG_* */
	unsigned result_flags; /* receive: MSG_TRUNC */
	struct socket_address *address; /* send: where to, receive: gets from where; may be null */
	struct socket_rights *
		rights; /* send: consumed if the call succeeds (then null); receive: the caller's */
	bool has_credentials; /* send: explicit ones; receive: there are some */
	struct socket_credentials credentials;
};
/* The part at byte `at` < m->size, from there to its end. */
struct io_buffer message_piece(const struct socket_message *m, size_t at);

struct socket;

struct socket_ops {
	uint8_t type; /* SOCK_* */
	/* Null below: KERR_OPNOTSUPP. */
	enum kerr (*bind)(struct socket *s, const struct socket_address *a);
	enum kerr (*connect)(struct socket *s, const struct socket_address *a, bool nonblocking);
	enum kerr (*pair)(struct socket *a, struct socket *b); /* both are new */
	enum kerr (*listen)(struct socket *s, unsigned backlog);
	/* *out: a new reference without a file yet. */
	enum kerr (*accept)(struct socket *s, bool nonblocking, struct socket **out);
	/* The own name or the peer's. Never null. */
	enum kerr (*name)(struct socket *s, bool peer, struct socket_address *out);
	/* *done with a message too long for the buffers: as MSG_TRUNC wants it. Never null. */
	enum kerr (*send)(struct socket *s, struct socket_message *m, size_t *done);
	enum kerr (*receive)(struct socket *s, struct socket_message *m, size_t *done);
	enum kerr (*shutdown)(struct socket *s, unsigned how); /* SHUT_* */
	unsigned (*poll)(struct socket *s, struct poll_table *table);
	/* Bytes that a read can have now, bytes sent that nobody has read; KERR_INVAL: listening. */
	enum kerr (*queued)(struct socket *s, bool outgoing, uint32_t *out);
	/* SO_ERROR: taken and reset. */
	enum kerr (*take_error)(struct socket *s);
	bool (*listening)(struct socket *s);
	void (*peer_credentials)(struct socket *s,
				 struct socket_credentials *out); /* pid 0: none */
	void (*close)(struct socket *s); /* the file has gone */
	void (*destroy)(struct socket *s); /* the last reference: frees it after a grace period */
};

/* socket.options */
#define SOCKET_REUSE_ADDRESS 0x1u
#define SOCKET_KEEP_ALIVE 0x2u
#define SOCKET_BROADCAST 0x4u
#define SOCKET_OOB_INLINE 0x8u
#define SOCKET_DONT_ROUTE 0x10u
#define SOCKET_DEBUG 0x20u
#define SOCKET_PASS_CREDENTIALS 0x40u
#define SOCKET_LINGER 0x80u

struct socket {
	struct inode inode; /* its references are the socket's */
	const struct socket_ops *ops; /* (const) */
	uint16_t family; /* (const) */
	_Atomic uint32_t options; /* SOCKET_* */
	_Atomic uint32_t send_buffer, receive_buffer; /* bytes */
	_Atomic uint32_t low_water; /* what makes a receive return */
	_Atomic uint32_t priority, linger;
	_Atomic nsec_t send_timeout, receive_timeout; /* 0: none */
};

/* Sets up what the family has allocated zeroed: one reference. */
void socket_init(struct socket *s, uint16_t family, const struct socket_ops *ops);
static inline void socket_get(struct socket *s)
{
	inode_get(&s->inode);
}
static inline void socket_put(struct socket *s)
{
	inode_put(&s->inode);
}
static inline bool socket_option(const struct socket *s, uint32_t bit)
{
	return atomic_load_explicit(&s->options, memory_order_relaxed) & bit;
}
/* When a sleep that begins now must end. */
nsec_t socket_deadline(nsec_t timeout);
/* The error of a sleep that ended: a call with a time limit is not done again after a signal. */
enum kerr socket_wait_error(enum kerr err, nsec_t timeout);

struct socket_family {
	uint16_t family;
	/* *out: one reference. KERR_PROTONOSUPPORT, KERR_SOCKTNOSUPPORT, KERR_NOMEM. */
	enum kerr (*create)(int type, int protocol, struct socket **out);
};
void socket_family_register(const struct socket_family *f); /* at init */

/* socket(2) without its flags; the family number may be anything. */
enum kerr socket_create(int family, int type, int protocol, struct socket **out);
/* A file on `s`; consumes the reference if it succeeds. `flags`: O_NONBLOCK. */
enum kerr socket_file(struct socket *s, int flags, struct file **out);
/* The socket of a file, or null: KERR_NOTSOCK. As long-lived as the file. */
struct socket *socket_of(const struct file *f);
/* SOL_SOCKET options. Set: `value` has `size` bytes. Get: *size in: room, out: what was put (at most that). */
#define SOCKET_OPTION_MAX 64u
enum kerr socket_set_option(struct socket *s, int name, const void *value, size_t size);
enum kerr socket_get_option(struct socket *s, int name, void *value, size_t *size);
