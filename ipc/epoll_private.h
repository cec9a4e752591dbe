/* epoll, inside ipc: see epoll.c for how it works. */
#pragma once

#include "ipc_private.h"

#include <core/wait.h>
#include <fs/poll.h>
#include <ipc/epoll.h>

/* Bits of an item's events that are no events. */
#define EPOLL_PRIVATE (EPOLL_EXCLUSIVE | EPOLL_WAKEUP | EPOLL_ONESHOT | EPOLL_EDGE)

struct epoll {
	struct mutex lock;     /* the items, and whoever takes from the ready list */
	struct rb_tree items;  /* (lock) by file and fd */
	struct list ready;     /* (queue.lock) struct epoll_item.ready, oldest first */
	struct list sleepers;  /* (queue.lock) struct waiter of epoll_wait */
	struct waitq queue;    /* who watches this epoll; its lock has rank EPOLL */
	_Atomic uint32_t references; /* the file, and closers of watched files */
	struct list inner;     /* (nesting lock) items of this epoll that watch epolls */
	struct list outer;     /* (nesting lock) items of epolls that watch this one */
};

/* Hung on one queue of the watched file. */
struct epoll_hook {
	struct waiter waiter;
	struct waitq *queue;     /* (epoll lock) null: not hung */
	struct epoll_item *item;
	unsigned events;         /* (const) what the queue wakes for */
	struct epoll_hook *next; /* (epoll lock) on the heap: those after the first two */
};

#define HOOKS_INLINE 2

struct epoll_item {
	struct rb_node node;          /* (epoll lock) */
	struct list ready;            /* (queue lock) empty: not on the ready list */
	struct epoll *epoll;          /* (const) */
	struct file *file;            /* (const) not referenced: its close ends the item */
	int fd;         /* (const) */
	_Atomic uint32_t events; /* (epoll lock for writing) POLL_* that are wanted, EPOLL_* */
	uint64_t data; /* (epoll lock) */
	struct epoll_item *file_next; /* (watch lock) */
	struct epoll_item *_Atomic *file_link; /* (watch lock) what points to it */
	struct list inner, outer; /* (nesting lock) empty: the file is no epoll */
	struct epoll_hook hooks[HOOKS_INLINE];
	struct epoll_hook *more; /* (epoll lock) */
};

/* ---- epoll.c ---- */
struct epoll *epoll_of(struct file *f); /* null: `f` is none */
void epoll_put(struct epoll *ep);
void epoll_wake_sleeper_locked(
	struct epoll *ep); /* one of them, if there are any; queue lock held */

/* ---- epoll_item.c ---- */
void epoll_items_init(void);
void epoll_item_remove_locked(struct epoll_item *item);

/* ---- epoll_nest.c ---- Which epolls watch which: a graph without cycles. */
extern struct mutex epoll_nesting; /* taken before any epoll's lock */
/* Whether `outer` may watch `inner`: KERR_LOOP, KERR_INVAL (too many paths). Nesting lock held. */
enum kerr epoll_nest_check_locked(struct epoll *outer, struct epoll *inner);
void epoll_nest_add_locked(struct epoll_item *item, struct epoll *inner);
void epoll_nest_remove_locked(struct epoll_item *item);
