/*
 * Purgeable memory (VM-19): private pages that a program could do without.
 *
 *	lazy       MADV_FREE: PAGE_LAZY in the slot, entries taken away. A read maps the page again, read
 *	           only, as it is not OWNED; a write takes the flag away (fault.c: write_slot): then it
 *	           stays. Nothing is counted on that way
 *	volatile   MARK_VOLATILE on a region: all its pages, also those written later, until it is
 *	           made non-volatile. If some went, MARK_PURGED says so
 *
 * Under pressure the shrinker goes over the address spaces that ever had such pages and takes those that
 * nobody shares, as only these give a frame. They read as zeroes afterwards.
 *
 * The shrinker runs in whoever found no frame, with perhaps a region's or an inode's lock held: it
 * only tries locks and leaves out what is in use. It allocates nothing: what would have to be copied
 * first (nodes shared since a fork) stays too.
 *
 * Lock order: purge_lock -> (tried) aspace.lock -> (tried) region.lock. purge_lock is never held
 * while waiting for one of these; who has them may wait for it.
 */
#include "region.h"

#include <core/panic.h>
#include <mm/pressure.h>

#define RUN 32u
#define STEP ((uint64_t)256)

static struct mutex purge_lock = MUTEX_INIT(purge_lock);
static struct list purge_spaces = LIST_INIT(purge_spaces); /* (purge_lock) */
static _Atomic uint64_t expected; /* pages marked since the last scan, about */

/* ---- Marking -------------------------------------------------------------------------------- */

void purge_enter(struct aspace *as)
{
	if (READ_ONCE(as->purgeable))
		return;
	mutex_lock(&purge_lock);
	if (!as->purgeable)
		list_add_tail(&purge_spaces, &as->purge_link);
	WRITE_ONCE(as->purgeable, true);
	mutex_unlock(&purge_lock);
}

void purge_leave(struct aspace *as)
{
	mutex_lock(&purge_lock);
	list_remove(&as->purge_link);
	mutex_unlock(&purge_lock);
}

/* rcu read lock held, r write-locked. A page that cannot be marked for want of memory just stays. */
static bool mark_page(struct aspace *as, uint64_t key)
{
	struct page_ref ref;
	if (pagetree_ref(&as->pages, key, false, &ref) != KERR_OK)
		return false;
	page_slot_t v = atomic_load_explicit(ref.slot, memory_order_acquire);
	while (v && !pagetree_swap(&as->pages, &ref, key, &v, (v & ~PAGE_OWNED) | PAGE_LAZY))
		;
	return v;
}

void purge_mark_lazy(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end)
{
	uint64_t key, last = (end - 1) >> PAGE_SHIFT, marked = 0;
	struct tlb_batch batch;
	tlb_batch_init(&batch, &as->tlb);
	rwlock_write_lock(&r->lock);
	enum kerr err = mapper_unmap_range(&as->mapper, start, end - start, true, 0, 0, &batch);
	BUG_ON(err != KERR_OK);
	tlb_batch_finish(&batch);
	for (uint64_t at = start >> PAGE_SHIFT; pagetree_next(&as->pages, at, last, &key);
	     at = key + 1) {
		rcu_read_lock();
		marked += mark_page(as, key);
		rcu_read_unlock();
	}
	rwlock_write_unlock(&r->lock);
	atomic_fetch_add_explicit(&expected, marked, memory_order_relaxed);
}

/* ---- Purging -------------------------------------------------------------------------------- */

/* rcu read lock held. The page gives a frame if it goes, and can go without memory. */
static bool can_go(struct region *r, uint64_t key)
{
	page_slot_t v = 0;
	bool exclusive;
	if (!pagetree_window(&r->as->pages, key, 1, &v, &exclusive) || !v || !exclusive)
		return false;
	if (!(v & PAGE_LAZY) && !(r->marks & MARK_VOLATILE))
		return false;
	return atomic_load_explicit(&page_slot_frame(v)->references, memory_order_acquire) == 1;
}

/* Up to RUN pages that can go, from *at on. */
static unsigned gather(struct region *r, uint64_t *at, uint64_t last, uint64_t *keys)
{
	unsigned n = 0;
	uint64_t key;
	while (n < RUN && pagetree_next(&r->as->pages, *at, last, &key)) {
		rcu_read_lock();
		if (can_go(r, key))
			keys[n++] = key;
		rcu_read_unlock();
		*at = key + 1;
	}
	return n;
}

/* r write-locked. */
static uint64_t purge_region(struct region *r, uint64_t want)
{
	struct aspace *as = r->as;
	uint64_t keys[RUN], at = r->start >> PAGE_SHIFT, last = (r->end - 1) >> PAGE_SHIFT;
	uint64_t given = 0;
	unsigned n;
	while (given < want && (n = gather(r, &at, last, keys))) {
		struct tlb_batch batch;
		tlb_batch_init(&batch, &as->tlb);
		for (unsigned i = 0; i < n; i++) {
			enum kerr err = mapper_unmap_range(&as->mapper, keys[i] << PAGE_SHIFT,
							   PAGE_SIZE, true, 0, 0, &batch);
			BUG_ON(err != KERR_OK);
		}
		tlb_batch_finish(&batch);
		for (unsigned i = 0; i < n; i++)
			pagetree_remove(&as->pages, keys[i], keys[i], keys[i], keys[i]);
		given += n;
	}
	if (given && (r->marks & MARK_VOLATILE))
		r->marks |= MARK_PURGED;
	return given;
}

/* as->lock held. */
static uint64_t purge_space(struct aspace *as, uint64_t want)
{
	uint64_t given = 0;
	for (struct rb_node *n = rb_first(&as->regions); n && given < want; n = rb_next(n)) {
		struct region *r = rb_entry(n, struct region, node);
		if (r->object || (r->marks & MARK_LOCKED) || !rwlock_try_write_lock(&r->lock))
			continue;
		given += purge_region(r, want - given);
		rwlock_write_unlock(&r->lock);
	}
	return given;
}

/* A mebibyte at a time is enough to go on, and the rest stays. Volatile pages that were written later are
 * not in `expected`. */
static uint64_t purge_count(void)
{
	uint64_t n = atomic_load_explicit(&expected, memory_order_relaxed);
	return n ? MIN(n, STEP) : !list_empty(&purge_spaces);
}

static uint64_t purge_scan(uint64_t want)
{
	struct aspace *as;
	uint64_t given = 0;
	if (!mutex_try_lock(&purge_lock))
		return 0;
	want = MAX(want, STEP);
	list_for_each(as, &purge_spaces, purge_link) {
		if (given >= want)
			break;
		if (!mutex_try_lock(&as->lock))
			continue;
		given += purge_space(as, want - given);
		mutex_unlock(&as->lock);
	}
	uint64_t left = atomic_load_explicit(&expected, memory_order_relaxed);
	atomic_store_explicit(&expected, given < want || left < given ? 0 : left - given,
			      memory_order_relaxed);
	mutex_unlock(&purge_lock);
	return given;
}

static const struct shrinker purge_shrinker = {
	.name = "purgeable",
	.count = purge_count,
	.scan = purge_scan,
};

void purge_setup(void)
{
	shrinker_register(&purge_shrinker);
}
