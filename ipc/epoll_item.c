/*
 * epoll's items: how they hang on files, how they come and go. See epoll.c first.
 *
 * An item is in four places: its epoll's tree, its file's list of watchers, the wait queues that
 * the file's poll op names (a hook each), and, when something happened, the ready list. It is
 * added in the order tree, list, queues, and leaves in the order queues, ready list, tree, list.
 * Leaving the file's list is the last time that the item or its epoll is reached through the file,
 * so a file whose list is empty can be freed.
 *
 * The list hangs on file->watchers and is guarded by one of a few spinlocks (watch locks), chosen
 * by the file's address; they are leaves: nothing is taken while one is held. (Rejected: a lock in
 * struct file, which all files would pay for; one lock for all.)
 *
 * A close of the file (file_put_last, no reference left) ends all its items: it finds one under
 * the watch lock, references that item's epoll, takes the epoll's lock and looks whether the item
 * is still there. While an item is in the list its epoll cannot be freed: an epoll that is closed
 * itself removes its items first. Whoever is faster removes the item; the other finds it gone.
 */
#include "epoll_private.h"

#include <lib/string.h>
#include <mm/heap.h>

#define WATCH_LOCKS 16

static struct cache *item_cache RO_AFTER_INIT;
static struct {
	struct spinlock lock;
} ALIGNED(64) watch_locks[WATCH_LOCKS];

static struct spinlock *watch_lock(const struct file *f)
{
	return &watch_locks[(uintptr_t)f / sizeof(*f) % WATCH_LOCKS].lock;
}

/* ---- Waking ---- */

/* The epoll's queue lock is held. False: nobody waits. */
static bool wake_locked(struct epoll *ep)
{
	bool sleepers = !list_empty(&ep->sleepers), watchers = !list_empty(&ep->queue.waiters);

	if (sleepers)
		epoll_wake_sleeper_locked(ep);
	if (unlikely(watchers))
		wake_one_locked(&ep->queue);
	return sleepers || watchers;
}

/* The watched file's queue lock is held, any context. True: somebody will come and look. */
static bool notify(struct waiter *w)
{
	struct epoll_hook *hook = container_of(w, struct epoll_hook, waiter);
	struct epoll_item *item = hook->item;
	struct epoll *ep = item->epoll;
	uint32_t events = atomic_load_explicit(&item->events, memory_order_relaxed);

	/* 0 but for private bits: a one-shot item that has fired. */
	if (!(events & ~EPOLL_PRIVATE & hook->events))
		return false;
	spin_acquire(&ep->queue.lock);
	if (list_empty(&item->ready))
		list_add_tail(&ep->ready, &item->ready);
	bool wanted = wake_locked(ep);
	spin_release(&ep->queue.lock);
	return wanted;
}

/* ---- Hooks ---- */

struct hanger {
	struct poll_table table;
	struct epoll_item *item;
	unsigned count;
	bool no_memory;
};

static void hang(struct poll_table *table, struct waitq *q, unsigned events)
{
	struct hanger *h = container_of(table, struct hanger, table);
	struct epoll_item *item = h->item;
	struct epoll_hook *hook = nullptr;

	if (q && h->count < HOOKS_INLINE) {
		hook = &item->hooks[h->count++];
	} else if (q && (hook = heap_alloc(sizeof(*hook)))) {
		hook->next = item->more;
		item->more = hook;
	}
	if (!hook) {
		h->no_memory = true;
		return;
	}
	hook->item = item;
	hook->queue = q;
	hook->events = events;
	hook->waiter =
		(struct waiter){.notify = notify, .exclusive = item->events & EPOLL_EXCLUSIVE};
	wait_add(q, &hook->waiter);
}

static void unhang(struct epoll_item *item)
{
	for (unsigned n = 0; n < HOOKS_INLINE && item->hooks[n].queue; n++)
		wait_end(item->hooks[n].queue, &item->hooks[n].waiter);
	while (item->more) {
		struct epoll_hook *hook = item->more;
		item->more = hook->next;
		wait_end(hook->queue, &hook->waiter);
		heap_free(hook);
	}
}

/* Something holds already: as if it had just happened. */
static void ready_now(struct epoll_item *item)
{
	struct epoll *ep = item->epoll;
	bool on = spin_lock_irq(&ep->queue.lock);

	if (list_empty(&item->ready)) {
		list_add_tail(&ep->ready, &item->ready);
		wake_locked(ep);
	}
	spin_unlock_irq(&ep->queue.lock, on);
}

/* ---- Tree ---- */

static int compare(const struct file *f, int fd, const struct epoll_item *item)
{
	if (f != item->file)
		return f < item->file ? -1 : 1;
	return fd < item->fd ? -1 : fd > item->fd;
}

/* Null: not there; then *parent and *link tell where it would be. */
static struct epoll_item *find_locked(struct epoll *ep, const struct file *f, int fd,
				      struct rb_node **parent, struct rb_node ***link)
{
	*parent = nullptr;
	*link = &ep->items.root;
	while (**link) {
		*parent = **link;
		struct epoll_item *item = rb_entry(*parent, struct epoll_item, node);
		int order = compare(f, fd, item);
		if (order == 0)
			return item;
		*link = order < 0 ? &(*parent)->left : &(*parent)->right;
	}
	return nullptr;
}

/* ---- The file's list ---- */

static void watch_begin(struct epoll_item *item)
{
	struct file *f = item->file;
	struct spinlock *l = watch_lock(f);

	spin_lock(l);
	item->file_next = atomic_load_explicit(&f->watchers, memory_order_relaxed);
	item->file_link = &f->watchers;
	if (item->file_next)
		item->file_next->file_link = (struct epoll_item * _Atomic *)&item->file_next;
	atomic_store_explicit(&f->watchers, item, memory_order_relaxed);
	spin_unlock(l);
}

static void watch_end(struct epoll_item *item)
{
	struct spinlock *l = watch_lock(item->file);

	spin_lock(l);
	if (item->file_next)
		item->file_next->file_link = item->file_link;
	/* Release: pairs with file_put_last's look at the list. */
	atomic_store_explicit(item->file_link, item->file_next, memory_order_release);
	spin_unlock(l);
}

/* ---- Coming and going ---- */

void epoll_item_remove_locked(struct epoll_item *item)
{
	struct epoll *ep = item->epoll;

	unhang(item);
	bool on = spin_lock_irq(&ep->queue.lock);
	list_remove(&item->ready);
	spin_unlock_irq(&ep->queue.lock, on);
	rb_remove(&ep->items, &item->node);
	if (unlikely(!list_empty(&item->inner)))
		epoll_nest_remove_locked(item);
	watch_end(item);
	cache_free(item_cache, item);
}

static enum kerr add_locked(struct epoll *ep, struct file *f, int fd,
			    const struct epoll_event *event)
{
	struct rb_node *parent, **link;

	if (find_locked(ep, f, fd, &parent, &link))
		return KERR_EXIST;
	struct epoll_item *item = cache_alloc(item_cache);
	if (!item)
		return KERR_NOMEM;
	item->epoll = ep;
	item->file = f;
	item->fd = fd;
	atomic_init(&item->events, event->events | POLL_ERR | POLL_HUP);
	item->data = event->data;
	item->more = nullptr;
	for (unsigned n = 0; n < HOOKS_INLINE; n++)
		item->hooks[n].queue = nullptr;
	list_init(&item->ready);
	list_init(&item->inner);
	list_init(&item->outer);
	rb_insert(&ep->items, &item->node, parent, link);
	watch_begin(item);
	struct epoll *inner = epoll_of(f);
	if (unlikely(inner))
		epoll_nest_add_locked(item, inner);

	struct hanger h = {.table = {hang}, .item = item};
	unsigned found = file_poll(f, &h.table);
	if (unlikely(h.no_memory)) {
		epoll_item_remove_locked(item);
		return KERR_NOMEM;
	}
	if (found & item->events)
		ready_now(item);
	return KERR_OK;
}

static enum kerr modify_locked(struct epoll *ep, struct file *f, int fd,
			       const struct epoll_event *event)
{
	struct rb_node *parent, **link;
	struct epoll_item *item = find_locked(ep, f, fd, &parent, &link);

	if (!item)
		return KERR_NOENT;
	if (item->events & EPOLL_EXCLUSIVE)
		return KERR_INVAL;
	item->data = event->data;
	/* Sequentially consistent: a wake after the question below sees the new events. */
	atomic_store(&item->events, event->events | POLL_ERR | POLL_HUP);
	atomic_thread_fence(memory_order_seq_cst);
	if (file_poll(f, nullptr) & item->events)
		ready_now(item);
	return KERR_OK;
}

static enum kerr delete_locked(struct epoll *ep, struct file *f, int fd)
{
	struct rb_node *parent, **link;
	struct epoll_item *item = find_locked(ep, f, fd, &parent, &link);

	if (!item)
		return KERR_NOENT;
	epoll_item_remove_locked(item);
	return KERR_OK;
}

#define EXCLUSIVE_MAY                                                                              \
	(POLL_IN | POLL_OUT | POLL_ERR | POLL_HUP | EPOLL_WAKEUP | EPOLL_EDGE | EPOLL_EXCLUSIVE)

static enum kerr control_check(struct file *file, enum epoll_operation operation, struct file *f,
			       const struct epoll_event *event)
{
	if (!f->ops->poll)
		return KERR_PERM;
	if (f == file || !epoll_of(file))
		return KERR_INVAL;
	if (operation != EPOLL_DELETE && event->events & EPOLL_EXCLUSIVE &&
	    (operation == EPOLL_MODIFY ||
	     (operation == EPOLL_ADD && (epoll_of(f) || event->events & ~EXCLUSIVE_MAY))))
		return KERR_INVAL;
	return KERR_OK;
}

enum kerr epoll_control(struct file *file, enum epoll_operation operation, int fd, struct file *f,
			const struct epoll_event *event)
{
	enum kerr err = control_check(file, operation, f, event);

	if (err != KERR_OK)
		return err;
	struct epoll *ep = epoll_of(file), *inner = epoll_of(f);
	if (unlikely(inner))
		mutex_lock(&epoll_nesting);
	if (unlikely(inner) && operation == EPOLL_ADD)
		err = epoll_nest_check_locked(ep, inner);
	mutex_lock(&ep->lock);
	if (err == KERR_OK) {
		switch (operation) {
		case EPOLL_ADD:
			err = add_locked(ep, f, fd, event);
			break;
		case EPOLL_DELETE:
			err = delete_locked(ep, f, fd);
			break;
		case EPOLL_MODIFY:
			err = modify_locked(ep, f, fd, event);
			break;
		default:
			err = KERR_INVAL;
		}
	}
	mutex_unlock(&ep->lock);
	if (unlikely(inner))
		mutex_unlock(&epoll_nesting);
	return err;
}

/* ---- A watched file is closed ---- */

/* The epoll of one of f's items, referenced; null: there is none left. */
static struct epoll *any_watcher(struct file *f, int *fd)
{
	struct spinlock *l = watch_lock(f);
	struct epoll *ep = nullptr;

	spin_lock(l);
	struct epoll_item *item = atomic_load_explicit(&f->watchers, memory_order_relaxed);
	if (item) {
		ep = item->epoll;
		*fd = item->fd;
		atomic_fetch_add_explicit(&ep->references, 1, memory_order_relaxed);
	}
	spin_unlock(l);
	return ep;
}

static void end_watches(struct file *f)
{
	bool nested = epoll_of(f);
	struct epoll *ep;
	int fd;

	if (nested)
		mutex_lock(&epoll_nesting);
	while ((ep = any_watcher(f, &fd))) {
		mutex_lock(&ep->lock);
		enum kerr err = delete_locked(ep, f, fd);
		(void)err; /* its epoll may have been faster */
		mutex_unlock(&ep->lock);
		epoll_put(ep);
	}
	if (nested)
		mutex_unlock(&epoll_nesting);
}

void epoll_items_init(void)
{
	item_cache = cache_create("epoll_item", sizeof(struct epoll_item), 0);
	for (unsigned n = 0; n < WATCH_LOCKS; n++)
		spin_init(&watch_locks[n].lock, RANK_EPOLL, "epoll watch");
	file_watch_register(end_watches);
}
