/*
 * mlock and its relatives. Nothing is ever swapped out, but pages of locked regions are not purged
 * (purge.c), not taken by madvise, and are there from the beginning, unless ON_FAULT says that they
 * may come when they are touched. What is locked counts (aspace.locked_pages) against
 * RLIMIT_MEMLOCK; whoever makes a locked region larger asks lock_allowed().
 */
#include "region.h"

#include <core/upcalls.h>

/* as->lock held. Clears and sets marks in [start, end); stops at a hole. */
static enum kerr mark_range(struct aspace *as, vaddr_t start, vaddr_t end, unsigned set)
{
	enum kerr err = KERR_OK;
	struct region *r = region_find(as, start);
	vaddr_t at = start;
	for (; at < end && err == KERR_OK; at = r->end, r = region_next(r)) {
		if (!r || r->start > at) {
			err = KERR_NOMEM;
			break;
		}
		err = mark_part(as, r, at, end, MARK_LOCKED | MARK_ON_FAULT,
				r->kind == REGION_DEVICE ? 0 : set, &r);
	}
	merge_range(as, start, end);
	return err;
}

/* The pages of what is pinned in [start, end). */
static enum kerr bring_in(struct aspace *as, vaddr_t start, vaddr_t end)
{
	while (start < end) {
		mutex_lock(&as->lock);
		struct region *r = region_above(as, start);
		vaddr_t from = r ? MAX(start, r->start) : end, to = r ? MIN(end, r->end) : end;
		bool wanted = r && is_pinned(r->marks),
		     write = r && !r->shared && (r->prot & PROT_WRITE);
		mutex_unlock(&as->lock);
		enum kerr err =
			wanted && from < to ? aspace_populate(as, from, to, write) : KERR_OK;
		if (err != KERR_OK)
			return err == KERR_NOMEM ? KERR_AGAIN : KERR_NOMEM;
		start = MAX(to, start + PAGE_SIZE);
	}
	return KERR_OK;
}

/* as->lock held. Pages of [start, end) that are locked already. */
static uint64_t locked_in(struct aspace *as, vaddr_t start, vaddr_t end)
{
	uint64_t pages = 0;
	for (struct region *r = region_above(as, start); r && r->start < end; r = region_next(r)) {
		if (r->marks & MARK_LOCKED)
			pages += (MIN(r->end, end) - MAX(r->start, start)) >> PAGE_SHIFT;
	}
	return pages;
}

/* [addr, addr + size) as whole pages. */
static bool outer_pages(vaddr_t addr, size_t size, vaddr_t *start, vaddr_t *end)
{
	*start = ALIGN_DOWN(addr, PAGE_SIZE);
	*end = *start + ALIGN_UP(size + (addr - *start), PAGE_SIZE);
	return *end >= *start;
}

enum kerr aspace_lock(struct aspace *as, vaddr_t addr, size_t size, bool on_fault)
{
	uint64_t limit = upcalls.lock_limit() >> PAGE_SHIFT;
	vaddr_t start, end;
	if (!limit)
		return KERR_PERM;
	bool fits = outer_pages(addr, size, &start, &end);
	uint64_t pages = (end - start) >> PAGE_SHIFT;
	mutex_lock(&as->lock);
	enum kerr err = KERR_OK;
	if (pages > limit || as->locked_pages + pages > limit + locked_in(as, start, end))
		err = KERR_NOMEM;
	else if (!fits)
		err = KERR_INVAL;
	else
		err = mark_range(as, start, end, MARK_LOCKED | (on_fault ? MARK_ON_FAULT : 0));
	mutex_unlock(&as->lock);
	return err == KERR_OK ? bring_in(as, start, end) : err;
}

enum kerr aspace_unlock(struct aspace *as, vaddr_t addr, size_t size)
{
	vaddr_t start, end;
	if (!outer_pages(addr, size, &start, &end))
		return KERR_INVAL;
	mutex_lock(&as->lock);
	enum kerr err = mark_range(as, start, end, 0);
	mutex_unlock(&as->lock);
	return err;
}

enum kerr aspace_lock_all(struct aspace *as, unsigned flags)
{
	uint64_t limit = flags ? upcalls.lock_limit() >> PAGE_SHIFT : ~0ull;
	uint16_t marks = flags & LOCK_ON_FAULT ? MARK_LOCKED | MARK_ON_FAULT : MARK_LOCKED;
	if (!limit)
		return KERR_PERM;
	mutex_lock(&as->lock);
	if ((flags & LOCK_CURRENT) && as->virtual_pages > limit) {
		mutex_unlock(&as->lock);
		return KERR_NOMEM;
	}
	as->future_marks = flags & LOCK_FUTURE ? marks : 0;
	for (vaddr_t at = 0; flags == 0 || (flags & LOCK_CURRENT);) {
		struct region *r = region_above(as, at);
		if (!r)
			break;
		at = r->end;
		/* Whole regions: nothing is split, nothing can fail. */
		(void)!mark_part(as, r, r->start, r->end, MARK_LOCKED | MARK_ON_FAULT,
				 flags && r->kind != REGION_DEVICE ? marks : 0, &r);
	}
	merge_range(as, 0, aspace_user_end());
	mutex_unlock(&as->lock);
	if (flags & LOCK_CURRENT)
		(void)!bring_in(as, 0, aspace_user_end());
	return KERR_OK;
}
