/*
 * poll(2) and its kin. First each file is asked without any registration: most calls end here,
 * because something is ready or nobody wants to wait. Only then a waiter goes onto each queue that a file's
 * poll op names, with a second question per file, since it may have become ready in between; a wake
 * sets `woken` and unparks the task; then all are asked again.
 *
 * Files: a thread that is alone with its descriptor table needs no references, since only itself
 * could close them (fd_borrow). Otherwise all are referenced for the whole call.
 * Waiters: the first few are on the caller's stack, more come from the heap in blocks.
 * Costs: a descriptor that is only looked at is one table load and two calls.
 * Rejected: asking under rcu without references (poll ops may sleep); registering in the first pass
 * (it doubles the cost of calls that find something).
 */
#include "vfs_private.h"

#include <core/time.h>
#include <core/upcalls.h>
#include <fs/poll.h>
#include <mm/heap.h>

#define FILES_SMALL 16
#define BLOCK_FIRST 6
#define BLOCK_ENTRIES 60

struct poll_entry {
	struct waiter waiter;
	struct waitq *queue;
	struct poll_set *set;
};

struct poll_block {
	struct poll_block *next;
	unsigned count;
	struct poll_entry entries[BLOCK_ENTRIES];
};

/* What one call waits with. All fields: (own), but `woken`. */
struct poll_set {
	struct poll_table table;
	_Atomic bool woken;
	bool no_memory;
	unsigned wanted; /* of the file that is being asked */
	unsigned count;
	struct poll_block *blocks; /* the newest first */
	struct poll_entry first[BLOCK_FIRST];
};

/* Queue lock held, any context. */
static bool notify(struct waiter *w)
{
	struct poll_entry *e = container_of(w, struct poll_entry, waiter);

	atomic_store_explicit(&e->set->woken, true, memory_order_release);
	upcalls.unpark(w->task);
	return true;
}

static struct poll_entry *entry_new(struct poll_set *s)
{
	struct poll_block *b = s->blocks;

	if (s->count < BLOCK_FIRST)
		return &s->first[s->count++];
	if (!b || b->count == BLOCK_ENTRIES) {
		b = heap_alloc(sizeof(*b));
		if (!b)
			return nullptr;
		b->next = s->blocks;
		b->count = 0;
		s->blocks = b;
	}
	return &b->entries[b->count++];
}

static void set_add(struct poll_table *table, struct waitq *q, unsigned events)
{
	struct poll_set *s = container_of(table, struct poll_set, table);

	if (!(events & s->wanted))
		return;
	struct poll_entry *e = q ? entry_new(s) : nullptr;
	if (!e) {
		s->no_memory = true;
		return;
	}
	e->set = s;
	e->queue = q;
	e->waiter = (struct waiter){.notify = notify};
	wait_add(q, &e->waiter);
}

/* Takes all waiters off. */
static void set_end(struct poll_set *s)
{
	for (unsigned n = 0; n < s->count; n++)
		wait_end(s->first[n].queue, &s->first[n].waiter);
	while (s->blocks) {
		struct poll_block *b = s->blocks;
		for (unsigned n = 0; n < b->count; n++)
			wait_end(b->entries[n].queue, &b->entries[n].waiter);
		s->blocks = b->next;
		heap_free(b);
	}
}

/* `files`: null is a bad or negative descriptor. `s` null: without registering. */
static size_t ask(struct poll_item *items, struct file **files, size_t count, struct poll_set *s)
{
	size_t ready = 0;

	for (size_t n = 0; n < count; n++) {
		struct poll_item *item = &items[n];
		unsigned wanted = item->events | POLL_ERR | POLL_HUP, events;
		if (likely(files[n])) {
			if (s)
				s->wanted = wanted;
			events = file_poll(files[n], s && !ready ? &s->table : nullptr) & wanted;
		} else {
			events = item->fd < 0 ? 0 : POLL_NVAL;
		}
		item->found = (uint16_t)events;
		ready += events != 0;
	}
	return ready;
}

/* Nothing was ready: waits until something is. */
static NOINLINE enum kerr wait_ready(struct poll_item *items, struct file **files, size_t count,
				     nsec_t deadline, size_t *ready)
{
	struct poll_set s = {.table = {set_add}};
	enum kerr err = KERR_OK;

	*ready = ask(items, files, count, &s);
	while (*ready == 0 && err == KERR_OK) {
		if (s.no_memory) {
			err = KERR_NOMEM;
			break;
		}
		while (!atomic_load_explicit(&s.woken, memory_order_acquire) && err == KERR_OK)
			err = upcalls.park(WAIT_IO, true, deadline);
		atomic_store_explicit(&s.woken, false, memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst); /* before the files are asked */
		*ready = ask(items, files, count, nullptr);
	}
	set_end(&s);
	return *ready || err == KERR_TIMEDOUT ? KERR_OK : err;
}

enum kerr fd_poll(struct poll_item *items, size_t count, nsec_t deadline, size_t *ready)
{
	struct file *few[FILES_SMALL], **files = few;
	bool borrowed = fd_table_is_private();
	enum kerr err = KERR_OK;

	if (count > FILES_SMALL) {
		files = heap_alloc(count * sizeof(*files));
		if (!files)
			return KERR_NOMEM;
	}
	if (borrowed)
		fd_borrow(items, count, files);
	else
		for (size_t n = 0; n < count; n++)
			files[n] = items[n].fd >= 0 ? fd_get(items[n].fd) : nullptr;
	*ready = ask(items, files, count, nullptr);
	if (*ready == 0 && deadline)
		err = wait_ready(items, files, count, deadline, ready);
	if (!borrowed)
		for (size_t n = 0; n < count; n++)
			if (files[n])
				file_put(files[n]);
	if (unlikely(files != few))
		heap_free(files);
	return err;
}
