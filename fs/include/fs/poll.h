/*
 * Waiting for several files: poll, ppoll, select. A poll_table registers a waiter on each queue
 * that a file's poll op names; any wake marks the table and unparks its task.
 */
#pragma once

#include <fs/file.h>

struct poll_entry {
	struct waiter waiter;
	struct waitq *queue;
	struct poll_table *table;
	struct poll_entry *next; /* on the heap: those after the first POLL_INLINE */
};

#define POLL_INLINE 6

struct poll_table {
	_Atomic bool woken;
	bool no_memory;
	unsigned count;
	struct poll_entry entries[POLL_INLINE];
	struct poll_entry *more;
};

void poll_table_init(struct poll_table *t);
/* From a file's poll op: `q` wakes what the op reports. `t` null: does nothing. */
void poll_wait(struct poll_table *t, struct waitq *q);
void poll_table_end(struct poll_table *t); /* takes all waiters off */

struct poll_item {
	int fd;            /* < 0: ignored */
	uint16_t events;   /* POLL_* asked for; ERR, HUP, NVAL come anyway */
	uint16_t found;    /* out */
};
/* Waits until one of `items` has something to tell or the deadline (time_now() or 0: only looks).
 * *ready: how many. KERR_INTR: a signal; KERR_NOMEM. */
enum kerr fd_poll(struct poll_item *items, size_t count, nsec_t deadline, size_t *ready);
