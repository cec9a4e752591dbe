/*
 * Waiting for several files. A file's poll op tells what holds now and names, by poll_wait, the
 * queues that wake when that changes. Who asks decides what is hung on the queues: poll(2) a
 * waiter for as long as it sleeps (fs/poll.c), epoll one that stays (ipc/epoll_item.c).
 */
#pragma once

#include <fs/file.h>

struct poll_table {
	/* Hangs a waiter on `q`, which wakes for `events` (POLL_*). */
	void (*add)(struct poll_table *t, struct waitq *q, unsigned events);
};

/* From a file's poll op: `q` wakes what the op reports as `events`. It must live as long as the file: a watch
 * by epoll ends when the file is closed, before its close op. `t` null: does nothing; `q` null: there was no
 * memory for it. */
ALWAYS_INLINE void poll_wait_for(struct poll_table *t, struct waitq *q, unsigned events)
{
	if (unlikely(t))
		t->add(t, q, events);
}
/* The same for a queue that wakes for everything. */
ALWAYS_INLINE void poll_wait(struct poll_table *t, struct waitq *q)
{
	poll_wait_for(t, q, ~0u);
}

struct poll_item {
	int fd; /* < 0: ignored */
	uint16_t events; /* POLL_* asked for; ERR, HUP, NVAL come anyway */
	uint16_t found; /* out */
};
struct poll_result {
	size_t ready; /* items that have something to tell */
	size_t first, end; /* all whose `found` is not what it was are in [first, end) */
};
/* Waits until one of `items` has something to tell or the deadline (time_now() or 0: only looks).
 * KERR_INTR: a signal; KERR_NOMEM. */
enum kerr fd_poll(struct poll_item *items, size_t count, nsec_t deadline, struct poll_result *out);
