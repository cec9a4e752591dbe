/*
 * epoll(7): the ready list, waiting, and the life of an epoll. Items are in epoll_item.c, epolls
 * that watch epolls in epoll_nest.c.
 *
 * An item is one watched (descriptor, file). It hangs on the file's wait queues with a callback,
 * so an event costs what is ready and not what is watched:
 *
 *     idle --wake--> ready --epoll_wait takes it--> off the list, its file is asked
 *      ^                                             |
 *      |<-- nothing holds; edge-triggered; one-shot -+-- level-triggered: to the tail again
 *
 * "Ready" means that something may hold: only file_poll() tells. A level-triggered item therefore
 * stays listed after it was handed out, until some epoll_wait finds nothing. New ones go to the
 * tail, and one call asks no item twice: whoever is not served comes first the next time.
 *
 * Locks, outermost first: epoll_nesting (only if an epoll watches an epoll) -> epoll.lock, a mutex
 * (tree, and whoever takes from the ready list; outer before inner epolls) -> what the watched
 * file's poll op takes. Wakers come from below: the file's queue lock (WAITQ) -> ep->queue.lock
 * (EPOLL; ready list, sleepers, the watching epolls' hooks) -> the queue lock of the epoll that
 * watches this one -> run queue.
 *
 * Races. Wake against wait: both take the queue lock. The item leaves the list before its file is
 * asked, so a wake after the question lists it again, and one before it is seen by the question.
 * Wake against removal: wait_end() takes the file's queue lock, so afterwards no callback runs.
 * Wait or control against close: all hold epoll.lock; a watched file's close op runs only after
 * its items are gone, so an item under the lock can always be asked. An epoll is freed by its own
 * close, or by the closer of a watched file that holds it then.
 *
 * Several sleepers: one is woken per event; who takes from the list wakes the next while something
 * is left.
 *
 * Costs: a wake is two lock pairs more than without epoll; epoll_wait of one ready item a mutex,
 * three short lock holds, one question; control a tree search and a hook.
 * Rejected: stealing the whole list, with a second one for what comes meanwhile (two places to
 * look at and splices that undo themselves); taking events at wake time without asking (the
 * level-triggered cannot do without, and edge-triggered ones would report what has already gone).
 */
#include "epoll_private.h"

#include <core/time.h>
#include <lib/string.h>
#include <mm/heap.h>

static struct cache *epoll_cache RO_AFTER_INIT;
static struct inode inode;

void epoll_put(struct epoll *ep)
{
	if (atomic_fetch_sub_explicit(&ep->references, 1, memory_order_acq_rel) == 1)
		cache_free(epoll_cache, ep);
}

void epoll_wake_sleeper_locked(struct epoll *ep)
{
	struct waiter *w;

	if (list_empty(&ep->sleepers))
		return;
	w = list_first(&ep->sleepers, struct waiter, link);
	list_remove(&w->link);
	list_add_tail(&ep->sleepers, &w->link); /* the next wake is another one's */
	upcalls.unpark(w->task);
}

/* ---- Taking from the ready list ---- */

/* The events that `item` has to tell now. It is off the list. */
static uint32_t item_ask(struct epoll_item *item)
{
	return file_poll(item->file, nullptr) &
	       atomic_load_explicit(&item->events, memory_order_relaxed);
}

/* It was handed out: true if it goes on the list again. */
static bool item_served(struct epoll_item *item)
{
	uint32_t events = atomic_load_explicit(&item->events, memory_order_relaxed);

	if (events & EPOLL_ONESHOT)
		atomic_store_explicit(&item->events, events & EPOLL_PRIVATE, memory_order_relaxed);
	return !(events & (EPOLL_ONESHOT | EPOLL_EDGE));
}

/* Hands out what holds of the items that are listed now. */
static enum kerr take_locked(struct epoll *ep, size_t max, epoll_emit *emit, void *arg,
			     size_t *count)
{
	enum kerr err = KERR_OK;
	bool last = false;

	if (list_empty(&ep->ready))
		return KERR_OK;
	bool on = spin_lock_irq(&ep->queue.lock);
	const struct list *end = ep->ready.prev; /* only we take items off */
	while (*count < max && !last && err == KERR_OK) {
		struct epoll_item *item = list_first(&ep->ready, struct epoll_item, ready);
		bool again = false;
		last = &item->ready == end;
		list_remove(&item->ready);
		spin_unlock_irq(&ep->queue.lock, on);

		const struct epoll_event event = {item_ask(item), item->data};
		if (event.events) {
			err = emit(arg, &event);
			if (err == KERR_OK) {
				++*count;
				again = item_served(item);
			}
		}

		on = spin_lock_irq(&ep->queue.lock);
		if (unlikely(err != KERR_OK)) { /* it keeps its place */
			list_remove(&item->ready);
			list_add_head(&ep->ready, &item->ready);
		} else if (again && list_empty(&item->ready)) {
			list_add_tail(&ep->ready, &item->ready);
		}
	}
	if (!list_empty(&ep->ready))
		epoll_wake_sleeper_locked(ep);
	spin_unlock_irq(&ep->queue.lock, on);
	return err;
}

/* Until something is listed; KERR_INTR, KERR_TIMEDOUT. */
static enum kerr sleep_until_ready(struct epoll *ep, nsec_t deadline)
{
	struct waiter w = {.task = current_task()};
	enum kerr err = KERR_OK;
	bool on = spin_lock_irq(&ep->queue.lock);

	list_add_tail(&ep->sleepers, &w.link);
	spin_unlock_irq(&ep->queue.lock, on);
	while (list_empty(&ep->ready) && err == KERR_OK)
		err = upcalls.park(WAIT_IO, true, deadline);
	on = spin_lock_irq(&ep->queue.lock);
	list_remove(&w.link);
	spin_unlock_irq(&ep->queue.lock, on);
	return err;
}

enum kerr epoll_collect(struct file *f, size_t max, nsec_t deadline, epoll_emit *emit, void *arg,
			size_t *count)
{
	struct epoll *ep = epoll_of(f);
	enum kerr err, waited = KERR_OK;

	*count = 0;
	if (!ep)
		return KERR_INVAL;
	for (;;) {
		mutex_lock(&ep->lock);
		err = take_locked(ep, max, emit, arg, count);
		mutex_unlock(&ep->lock);
		if (*count)
			return KERR_OK;
		if (err != KERR_OK || deadline == 0 || waited == KERR_TIMEDOUT)
			return err;
		if (waited != KERR_OK)
			return waited;
		waited = sleep_until_ready(ep, deadline);
	}
}

/* ---- The file ---- */

/* Readable if one of the listed items has something to tell; those that have not leave the list. */
static unsigned epoll_poll(struct file *f, struct poll_table *table)
{
	struct epoll *ep = f->private;
	unsigned found = 0;

	poll_wait_for(table, &ep->queue, POLL_IN | POLL_RDNORM);
	mutex_lock(&ep->lock);
	bool on = spin_lock_irq(&ep->queue.lock);
	while (!found && !list_empty(&ep->ready)) {
		struct epoll_item *item = list_first(&ep->ready, struct epoll_item, ready);
		list_remove(&item->ready);
		spin_unlock_irq(&ep->queue.lock, on);
		if (item_ask(item))
			found = POLL_IN | POLL_RDNORM;
		on = spin_lock_irq(&ep->queue.lock);
		if (found) {
			list_remove(&item->ready);
			list_add_head(&ep->ready, &item->ready);
			epoll_wake_sleeper_locked(ep); /* one that looked while it was off */
		}
	}
	spin_unlock_irq(&ep->queue.lock, on);
	mutex_unlock(&ep->lock);
	return found;
}

static void epoll_close(struct file *f)
{
	struct epoll *ep = f->private;
	bool nested = !list_empty(&ep->inner); /* can only shrink */

	if (nested)
		mutex_lock(&epoll_nesting);
	mutex_lock(&ep->lock);
	while (ep->items.root)
		epoll_item_remove_locked(rb_entry(ep->items.root, struct epoll_item, node));
	mutex_unlock(&ep->lock);
	if (nested)
		mutex_unlock(&epoll_nesting);
	epoll_put(ep);
}

static const struct file_ops ops = {
	.poll = epoll_poll,
	.seek = anonymous_seek,
	.close = epoll_close,
};

struct epoll *epoll_of(struct file *f)
{
	return f->ops == &ops ? f->private : nullptr;
}

enum kerr epoll_file_create(struct file **out)
{
	struct epoll *ep = cache_alloc_zeroed(epoll_cache);

	if (!ep)
		return KERR_NOMEM;
	mutex_init(&ep->lock, "epoll.lock");
	waitq_init(&ep->queue);
	spin_init(&ep->queue.lock, RANK_EPOLL, "epoll");
	list_init(&ep->ready);
	list_init(&ep->sleepers);
	list_init(&ep->inner);
	list_init(&ep->outer);
	atomic_init(&ep->references, 1);
	enum kerr err = anonymous_file_create(&inode, &ops, 0, ep, out);
	if (err != KERR_OK)
		cache_free(epoll_cache, ep);
	return err;
}

static size_t describe(struct inode *i, char *buf, size_t size)
{
	return strlcpy(buf, "anon_inode:[eventpoll]", size);
}

void epoll_init(void)
{
	static const struct inode_ops inode_ops = {.describe = describe};

	epoll_cache = cache_create("epoll", sizeof(struct epoll), 0);
	anonymous_inode_init(&inode, &inode_ops);
	epoll_items_init();
}
