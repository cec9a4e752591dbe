/*
 * Advisory locks (flock, fcntl).
 *
 * An inode that was ever locked has a struct inode_locks: a list of all locks on it under a mutex,
 * and one queue where everybody sleeps who found somebody in the way; whatever goes wakes all of
 * them, and each looks anew. Locks of one owner never overlap, and those of one type never touch:
 * a new one is cut out of, or joined with, what the owner had. Two spare locks, which that may
 * need, are allocated before anything changes.
 *
 * Whole-file locks and record locks do not see each other. Record locks belong to a descriptor
 * table (a process) or an open file; an owner is told by that pointer.
 *
 * Deadlock: a process that would wait writes down for whom. If that chain, followed from owner to
 * owner, comes back to it, it gets KERR_DEADLOCK instead. Only processes take part.
 *
 * Locks: inode_locks.mutex -> waits_lock, a mutex. Costs: a closed file or descriptor whose inode was never
 * locked pays one test; lists are searched from end to end, since they are short.
 * Rejected: a tree of ranges; waking only those whose range has become free.
 */
#include "vfs_private.h"

#include <exec/process.h>
#include <fs/locks.h>
#include <mm/heap.h>

struct lock {
	struct list link; /* (inode_locks.mutex) */
	enum file_lock_kind kind;
	const void *owner; /* struct file or struct fd_table */
	struct file_lock_range range;
};

struct inode_locks {
	struct mutex mutex;
	struct list held; /* (mutex) struct lock */
	struct waitq changed;
};

/* A process that waits for another one; on the sleeper's stack. */
struct lock_wait {
	struct list link; /* (waits_lock) */
	const void *owner, *blocker;
};

static struct mutex waits_lock = MUTEX_INIT(waits_lock);
static struct list waits = LIST_INIT(waits); /* (waits_lock) */

static struct inode_locks *locks_of(const struct inode *i)
{
	return atomic_load_explicit(&i->locks, memory_order_acquire);
}

static struct inode_locks *locks_make(struct inode *i)
{
	struct inode_locks *l = locks_of(i), *old = nullptr;

	if (l)
		return l;
	l = heap_alloc(sizeof(*l));
	if (!l)
		return nullptr;
	mutex_init(&l->mutex, "inode.locks");
	list_init(&l->held);
	waitq_init(&l->changed);
	if (atomic_compare_exchange_strong(&i->locks, &old, l))
		return l;
	heap_free(l);
	return old;
}

static const void *owner_of(struct file *f, enum file_lock_kind kind)
{
	return kind == FILE_LOCK_PROCESS ? current_process()->resources[RESOURCE_FILES]
					 : (const void *)f;
}

/* ---- Conflicts ---- */

static bool in_the_way(const struct lock *held, const struct lock *wish)
{
	if ((held->kind == FILE_LOCK_WHOLE) != (wish->kind == FILE_LOCK_WHOLE))
		return false;
	if (held->kind == wish->kind && held->owner == wish->owner)
		return false;
	if (held->range.type == FILE_LOCK_READ && wish->range.type == FILE_LOCK_READ)
		return false;
	return held->range.first <= wish->range.last && wish->range.first <= held->range.last;
}

static struct lock *blocker_locked(struct inode_locks *l, const struct lock *wish)
{
	struct lock *held;

	if (wish->range.type == FILE_LOCK_NONE)
		return nullptr;
	list_for_each(held, &l->held, link)
		if (in_the_way(held, wish))
			return held;
	return nullptr;
}

/* ---- Changes ---- */

static bool same_owner(const struct lock *a, const struct lock *b)
{
	return a->kind == b->kind && a->owner == b->owner;
}

/* Takes [r.first, r.last] out of `held`; *spare is used up if the middle goes. */
static void cut_locked(struct lock *held, const struct file_lock_range *r, struct lock **spare)
{
	bool head = held->range.first<r->first, tail = held->range.last> r->last;

	if (head && tail) {
		struct lock *rest = *spare;
		*spare = nullptr;
		*rest = *held;
		rest->range.first = r->last + 1;
		held->range.last = r->first - 1;
		list_add_head(&held->link, &rest->link);
	} else if (head) {
		held->range.last = r->first - 1;
	} else if (tail) {
		held->range.first = r->last + 1;
	} else {
		list_remove(&held->link);
		heap_free(held);
	}
}

/* Nobody is in the way: makes it so. `wish` is used up unless it is an unlock. */
static void apply_locked(struct inode_locks *l, struct lock **wish, struct lock **spare)
{
	struct lock *held, *next, *w = *wish;

	list_for_each_safe(held, next, &l->held, link) {
		const struct file_lock_range r = w->range, *h = &held->range;
		if (!same_owner(held, w))
			continue;
		if (h->type == r.type) {
			if (h->first > r.last + 1 || r.first > h->last + 1)
				continue;
			w->range.first = MIN(h->first, r.first);
			w->range.last = MAX(h->last, r.last);
			list_remove(&held->link);
			heap_free(held);
		} else if (h->first <= r.last && r.first <= h->last) {
			cut_locked(held, &r, spare);
		}
	}
	if (w->range.type == FILE_LOCK_NONE)
		return;
	list_add_tail(&l->held, &w->link);
	*wish = nullptr;
}

/* ---- Waiting ---- */

/* Writes down that `wait->owner` waits for `wait->blocker`, unless that one waits for it. */
static enum kerr wait_enter(struct lock_wait *wait)
{
	const void *at = wait->blocker;
	const struct lock_wait *other;
	enum kerr err = KERR_OK;
	bool found = true;

	mutex_lock(&waits_lock);
	for (unsigned steps = 0; found && at != wait->owner && steps < 64; steps++) {
		found = false;
		list_for_each(other, &waits, link) {
			if (other->owner != at)
				continue;
			at = other->blocker;
			found = true;
			break;
		}
	}
	if (at == wait->owner)
		err = KERR_DEADLOCK;
	else
		list_add_tail(&waits, &wait->link);
	mutex_unlock(&waits_lock);
	return err;
}

static void wait_leave(struct lock_wait *wait)
{
	mutex_lock(&waits_lock);
	list_remove(&wait->link);
	mutex_unlock(&waits_lock);
}

/* Sleeps with the mutex dropped until something changes. */
static enum kerr wait_change_locked(struct inode_locks *l, const struct lock *wish,
				    const struct lock *blocker)
{
	struct lock_wait wait = {.owner = wish->owner, .blocker = blocker->owner};
	bool processes = wish->kind == FILE_LOCK_PROCESS && blocker->kind == FILE_LOCK_PROCESS;
	enum kerr err = processes ? wait_enter(&wait) : KERR_OK;
	struct waiter w;

	if (err != KERR_OK)
		return err;
	wait_begin(&l->changed, &w);
	mutex_unlock(&l->mutex);
	err = wait_park(&w, WAIT_LOCK, true, NSEC_NEVER);
	mutex_lock(&l->mutex);
	wait_end(&l->changed, &w);
	if (processes)
		wait_leave(&wait);
	return err == KERR_OK ? KERR_OK : KERR_RESTART;
}

static enum kerr lock_locked(struct inode_locks *l, struct lock **wish, struct lock **spare,
			     bool wait)
{
	struct lock *blocker;
	enum kerr err = KERR_OK;

	/* A whole-file lock that changes its type is given up first. */
	if ((*wish)->kind == FILE_LOCK_WHOLE) {
		struct lock none = **wish, *old = &none;
		none.range.type = FILE_LOCK_NONE;
		apply_locked(l, &old, spare);
		wake_all(&l->changed);
	}
	while ((blocker = blocker_locked(l, *wish))) {
		err = wait ? wait_change_locked(l, *wish, blocker) : KERR_AGAIN;
		if (err != KERR_OK)
			return err;
	}
	apply_locked(l, wish, spare);
	wake_all(&l->changed); /* less may be locked, or only for reading */
	return KERR_OK;
}

enum kerr file_lock(struct file *f, enum file_lock_kind kind, const struct file_lock_range *range,
		    bool wait)
{
	struct inode_locks *l = locks_make(f->inode);
	struct lock *wish = heap_alloc(sizeof(*wish)), *spare = heap_alloc(sizeof(*spare));
	enum kerr err = KERR_NOMEM;

	if (l && wish && spare) {
		*wish = (struct lock){.kind = kind, .owner = owner_of(f, kind), .range = *range};
		wish->range.pid = kind == FILE_LOCK_OPEN ? -1 : current_process()->pid;
		mutex_lock(&l->mutex);
		err = lock_locked(l, &wish, &spare, wait);
		mutex_unlock(&l->mutex);
	}
	heap_free(wish);
	heap_free(spare);
	return err;
}

void file_lock_query(struct file *f, enum file_lock_kind kind, struct file_lock_range *range)
{
	struct inode_locks *l = locks_of(f->inode);
	const struct lock wish = {.kind = kind, .owner = owner_of(f, kind), .range = *range};

	range->type = FILE_LOCK_NONE;
	if (!l)
		return;
	mutex_lock(&l->mutex);
	const struct lock *blocker = blocker_locked(l, &wish);
	if (blocker)
		*range = blocker->range;
	mutex_unlock(&l->mutex);
}

/* ---- The end of an owner ---- */

static void release_owner(struct inode *i, const void *owner)
{
	struct inode_locks *l = locks_of(i);
	struct lock *held, *next;

	mutex_lock(&l->mutex);
	list_for_each_safe(held, next, &l->held, link) {
		if (held->owner != owner)
			continue;
		list_remove(&held->link);
		heap_free(held);
	}
	wake_all(&l->changed);
	mutex_unlock(&l->mutex);
}

void locks_release(struct file *f, const void *owner)
{
	if (unlikely(locks_of(f->inode)))
		release_owner(f->inode, owner);
}

void locks_free(struct inode *i)
{
	struct inode_locks *l = locks_of(i);

	assert(list_empty(&l->held)); /* owners have files, and files have the inode */
	heap_free(l);
}
