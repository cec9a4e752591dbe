/*
 * poll(2) and its kin. The first pass asks each file with the table, which registers a waiter on each
 * queue; a wake sets t->woken and unparks the task; then all are asked again, without registering.
 * The first few waiters are in the table itself, on the caller's stack; more come from the heap.
 */
#include "vfs_private.h"

#include <core/time.h>
#include <core/upcalls.h>
#include <fs/poll.h>
#include <mm/heap.h>

/* Queue lock held, any context. */
static void notify(struct waiter *w)
{
	struct poll_entry *e = container_of(w, struct poll_entry, waiter);

	atomic_store_explicit(&e->table->woken, true, memory_order_release);
	upcalls.unpark(w->task);
}

void poll_table_init(struct poll_table *t)
{
	t->woken = false;
	t->no_memory = false;
	t->count = 0;
	t->more = nullptr;
}

void poll_wait(struct poll_table *t, struct waitq *q)
{
	struct poll_entry *e;

	if (!t)
		return;
	if (t->count < POLL_INLINE) {
		e = &t->entries[t->count++];
	} else {
		e = heap_alloc(sizeof(*e));
		if (!e) {
			t->no_memory = true;
			return;
		}
		e->next = t->more;
		t->more = e;
	}
	e->table = t;
	e->queue = q;
	e->waiter = (struct waiter){.task = current_task(), .notify = notify};
	wait_add(q, &e->waiter);
}

void poll_table_end(struct poll_table *t)
{
	for (unsigned n = 0; n < t->count; n++)
		wait_end(t->entries[n].queue, &t->entries[n].waiter);
	while (t->more) {
		struct poll_entry *e = t->more;
		t->more = e->next;
		wait_end(e->queue, &e->waiter);
		heap_free(e);
	}
	t->count = 0;
}

/* Files stay open while they are waited for: `files` are references, null: bad descriptor. */
static size_t ask(struct poll_item *items, struct file **files, size_t count, struct poll_table *t)
{
	size_t ready = 0;

	for (size_t n = 0; n < count; n++) {
		struct poll_item *item = &items[n];
		unsigned events = 0;
		item->found = 0;
		if (item->fd < 0)
			continue;
		if (!files[n])
			events = POLL_NVAL;
		else
			events = file_poll(files[n], ready ? nullptr : t) &
				 (item->events | POLL_ERR | POLL_HUP);
		item->found = (uint16_t)events;
		ready += events != 0;
	}
	return ready;
}

enum kerr fd_poll(struct poll_item *items, size_t count, nsec_t deadline, size_t *ready)
{
	struct file *few[POLL_INLINE], **files = few;
	struct poll_table t;
	enum kerr err = KERR_OK;

	if (count > POLL_INLINE) {
		files = heap_alloc(count * sizeof(*files));
		if (!files)
			return KERR_NOMEM;
	}
	for (size_t n = 0; n < count; n++)
		files[n] = items[n].fd >= 0 ? fd_get(items[n].fd) : nullptr;
	poll_table_init(&t);
	*ready = ask(items, files, count, deadline ? &t : nullptr);
	while (*ready == 0 && err == KERR_OK && deadline) {
		if (t.no_memory) {
			err = KERR_NOMEM;
			break;
		}
		while (!atomic_load_explicit(&t.woken, memory_order_acquire) && err == KERR_OK)
			err = upcalls.park(WAIT_IO, true, deadline);
		atomic_store_explicit(&t.woken, false, memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst); /* before the files are asked */
		*ready = ask(items, files, count, nullptr);
	}
	poll_table_end(&t);
	for (size_t n = 0; n < count; n++)
		if (files[n])
			file_put(files[n]);
	if (files != few)
		heap_free(files);
	if (*ready || err == KERR_TIMEDOUT)
		err = KERR_OK;
	return err;
}
