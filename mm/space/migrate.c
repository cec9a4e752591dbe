/*
 * Private pages move to other nodes: copied, and put into the page tree's slot in place of the old
 * frame (mbind with MPOL_MF_MOVE, move_pages, migrate_pages).
 *
 *	region write-locked      no fault is under way, none finds the page
 *	entries of the run go    one flush for up to RUN pages: break before make
 *	each page                a frame on the target node, copied, slot replaced, the old one put
 *	unlocked                 faults make the entries again
 *
 * Only private pages move. One that other processes have too (a fork) stays, unless the privileged ask
 * for all: then this process gets a copy of its own, which is what a write would do. One with
 * an extra reference (a transfer is under way) stays: what it writes would be lost. Pages of
 * objects stay: they may be mapped anywhere.
 *
 * Under aspace.lock; then the region's.
 */
#include "migrate.h"

#include "counters.h"
#include "policy_private.h"

#include <core/panic.h>

/* The run's pages with entries that must go: [*first, *last], offsets. */
static bool bounds(const struct page_run *run, unsigned *first, unsigned *last)
{
	*first = run->count;
	for (unsigned i = 0; i < run->count; i++) {
		if (run->node[i] == NODE_NONE)
			continue;
		*first = MIN(*first, i);
		*last = i;
	}
	return *first < run->count;
}

/* Whether a page may move; *f: its frame. */
static enum kerr movable(struct aspace *as, uint64_t key, bool all, struct frame **f)
{
	page_slot_t v = 0;
	bool exclusive;

	rcu_read_lock();
	bool there = pagetree_window(&as->pages, key, 1, &v, &exclusive);
	rcu_read_unlock();
	if (!there || !v)
		return KERR_NOENT;
	*f = page_slot_frame(v);
	uint32_t holders = atomic_load_explicit(&(*f)->references, memory_order_acquire);
	if (v & PAGE_OWNED && exclusive)
		return holders == 1 ? KERR_OK : KERR_BUSY;
	return (exclusive && holders == 1) || all ? KERR_OK : KERR_ACCESS;
}

static enum kerr replace(struct aspace *as, uint64_t key, struct frame *new)
{
	struct page_ref ref;
	enum kerr err;

	rcu_read_lock();
	err = pagetree_ref(&as->pages, key, false, &ref);
	if (err != KERR_OK)
		goto out;
	page_slot_t v = atomic_load_explicit(ref.slot, memory_order_acquire);
	struct frame *old = page_slot_frame(v);
	hal.mmu.page_copy(frame_data(new), frame_data(old));
	bool swapped = pagetree_swap(&as->pages, &ref, key, &v, page_slot_make(new, true));
	BUG_ON(!swapped); /* the region is write-locked */
	mm_count(COUNT_ANONYMOUS, 1);
	anonymous_put(old);
out:
	rcu_read_unlock();
	return err;
}

static int move_one(struct aspace *as, uint64_t key, unsigned node, uint16_t allowed, bool all)
{
	struct frame *f;
	enum kerr err = movable(as, key, all, &f);

	if (err != KERR_OK || f->node == node)
		return err == KERR_OK ? (int)node : (int)err;
	struct frame *new = frame_alloc_on(node, allowed ? allowed : (uint16_t)(1u << node));
	if (!new)
		return KERR_NOMEM;
	err = replace(as, key, new);
	if (err != KERR_OK) {
		frame_free(new, 0);
		return err;
	}
	return new->node;
}

void region_move_run(struct region *r, struct page_run *run)
{
	struct tlb_batch batch;
	unsigned first, last = 0;

	if (!bounds(run, &first, &last))
		return;
	vaddr_t start = (run->key + first) << PAGE_SHIFT;
	tlb_batch_init(&batch, &r->as->tlb);
	enum kerr err =
		mapper_unmap_range(&r->as->mapper, start, (vaddr_t)(last - first + 1) << PAGE_SHIFT,
				   true, 0, 0, &batch);
	tlb_batch_finish(&batch);
	for (unsigned i = first; i <= last; i++) {
		if (run->node[i] == NODE_NONE)
			continue;
		run->status[i] = err != KERR_OK ? (int)err
						: move_one(r->as, run->key + i, run->node[i],
							   run->allowed, run->all);
	}
}

/* ---- A range, by a rule --------------------------------------------------------------------- */

/* Where the page on `node` should be instead; NODE_NONE: it is right. */
static uint8_t wanted(const struct migration *m, uint64_t index, unsigned node)
{
	if (m->map)
		return m->map[node] == node ? NODE_NONE : m->map[node];
	const struct memory_policy *p = m->policy;
	if (p->mode == POLICY_BIND || p->mode == POLICY_PREFERRED_MANY) {
		if (p->nodes >> node & 1)
			return NODE_NONE;
	}
	unsigned to = policy_node_of(p, index);
	return to == node ? NODE_NONE : (uint8_t)to;
}

static uint64_t index_of(const struct region *r, uint64_t key)
{
	return r->object ? (r->offset >> PAGE_SHIFT) + key - (r->start >> PAGE_SHIFT) : key;
}

static void flush_run(struct region *r, struct migration *m, struct page_run *run)
{
	if (!run->count)
		return;
	region_move_run(r, run);
	for (unsigned i = 0; i < run->count; i++)
		m->failed += run->node[i] != NODE_NONE && run->status[i] < 0;
	run->count = 0;
}

void region_migrate(struct region *r, vaddr_t start, vaddr_t end, struct migration *m)
{
	struct page_run run = {.allowed = m->allowed, .all = m->all};
	uint64_t key, last = (end - 1) >> PAGE_SHIFT;

	if (r->hugetlb)
		return; /* the pool's blocks stay whole */
	for (uint64_t at = start >> PAGE_SHIFT; pagetree_next(&r->as->pages, at, last, &key);
	     at = key + 1) {
		rcu_read_lock();
		page_slot_t v = pagetree_get(&r->as->pages, key);
		rcu_read_unlock();
		unsigned node = page_slot_frame(v)->node;
		uint8_t to = wanted(m, index_of(r, key), node);
		if (to == NODE_NONE)
			continue;
		if (run.count && key >= run.key + RUN)
			flush_run(r, m, &run);
		if (!run.count)
			run.key = key;
		while (run.key + run.count < key)
			run.node[run.count++] = NODE_NONE;
		run.node[run.count++] = to;
	}
	flush_run(r, m, &run);
}
