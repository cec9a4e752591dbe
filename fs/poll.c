/*
 * poll(2) and its kin. First each file is asked without any registration: most calls end here,
 * because something is ready or nobody wants to wait. Only then a waiter goes onto each queue that
 * a file's poll op names, with a second question per file, since it may have become ready in
 * between; a wake sets `woken` and unparks the task; then all are asked again.
 *
 * Files: a thread that is alone with its descriptor table needs no references, since only itself
 * could close them (fd_view_private). Otherwise all are referenced for the whole call.
 * Waiters: the first few are on the caller's stack, more come from the heap in blocks.
 * Costs: a descriptor that is only looked at is one table load and two calls.
 * Rejected: asking under rcu without references (poll ops may sleep); registering in the first
 * pass (it doubles the cost of calls that find something).
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

struct question {
	struct poll_item *items;
	size_t count;
	struct fd_view view;
	struct file **files; /* referenced, if view.files is null; null: KERR_BADF or not asked */
};

static NOINLINE unsigned ask_special(const struct file *f, int fd)
{
	if (fd < 0)
		return 0;
	/* O_PATH files count as not open; others without a poll op are always ready. */
	if (!f || atomic_load_explicit(&f->flags, memory_order_relaxed) & O_PATH)
		return POLL_NVAL;
	return POLL_IN | POLL_OUT | POLL_RDNORM | POLL_WRNORM;
}

/* `s` null: without registering. */
ALWAYS_INLINE void ask_all(const struct question *q, struct poll_set *s, struct poll_result *out,
			   bool borrowed)
{
	struct poll_result r = {.first = out->first, .end = out->end};
	struct poll_item *item = q->items;

	for (size_t n = 0; n < q->count; n++, item++) {
		struct file *f = borrowed ? fd_view_get(&q->view, item->fd) : q->files[n];
		unsigned wanted = item->events | POLL_ERR | POLL_HUP, events;
		if (likely(f && f->ops->poll)) {
			if (s)
				s->wanted = wanted;
			events = f->ops->poll(f, s && !r.ready ? &s->table : nullptr) & wanted;
		} else {
			events = ask_special(f, item->fd) & (wanted | POLL_NVAL);
		}
		if (unlikely(events))
			r.ready++;
		if (unlikely(item->found != events)) {
			item->found = (uint16_t)events;
			r.first = MIN(r.first, n);
			r.end = MAX(r.end, n + 1);
		}
	}
	*out = r;
}

/* The two kinds of question, each without tests for the other. */
static NOINLINE void ask(const struct question *q, struct poll_set *s, struct poll_result *out)
{
	if (q->view.files)
		ask_all(q, s, out, true);
	else
		ask_all(q, s, out, false);
}

static NOINLINE void look(const struct question *q, struct poll_result *out)
{
	if (q->view.files)
		ask_all(q, nullptr, out, true);
	else
		ask_all(q, nullptr, out, false);
}

/* Nothing was ready: waits until something is. */
static NOINLINE enum kerr wait_ready(const struct question *q, nsec_t deadline,
				     struct poll_result *out)
{
	struct poll_set s = {.table = {set_add}};
	enum kerr err = KERR_OK;

	ask(q, &s, out);
	while (out->ready == 0 && err == KERR_OK) {
		if (s.no_memory) {
			err = KERR_NOMEM;
			break;
		}
		while (!atomic_load_explicit(&s.woken, memory_order_acquire) && err == KERR_OK)
			err = upcalls.park(WAIT_IO, true, deadline);
		atomic_store_explicit(&s.woken, false, memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst); /* before the files are asked */
		look(q, out);
	}
	set_end(&s);
	return out->ready || err == KERR_TIMEDOUT ? KERR_OK : err;
}

static enum kerr files_get(struct question *q, struct file **few)
{
	q->files = few;
	if (q->count > FILES_SMALL) {
		q->files = heap_alloc(q->count * sizeof(*q->files));
		if (!q->files)
			return KERR_NOMEM;
	}
	for (size_t n = 0; n < q->count; n++)
		q->files[n] = q->items[n].fd >= 0 ? fd_get_any(q->items[n].fd) : nullptr;
	return KERR_OK;
}

static void files_put(struct question *q, struct file **few)
{
	for (size_t n = 0; n < q->count; n++)
		if (q->files[n])
			file_put(q->files[n]);
	if (q->files != few)
		heap_free(q->files);
}

enum kerr fd_poll(struct poll_item *items, size_t count, nsec_t deadline, struct poll_result *out)
{
	struct file *few[FILES_SMALL];
	struct question q = {items, count, fd_view_private(), nullptr};
	enum kerr err = KERR_OK;

	*out = (struct poll_result){.first = count};
	if (!q.view.files)
		err = files_get(&q, few);
	if (err != KERR_OK)
		return err;
	look(&q, out);
	if (out->ready == 0 && deadline)
		err = wait_ready(&q, deadline, out);
	if (!q.view.files)
		files_put(&q, few);
	return err;
}
