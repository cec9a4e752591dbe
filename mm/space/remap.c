/*
 * mremap: a region's pages at another place, or of another size.
 *
 * Under aspace.lock. What can fail (the target made free, splits, a region, a promise, paths in the
 * page tree) comes before anything moves.
 */
#include "commit_private.h"
#include "region.h"

#include <core/panic.h>
#include <mm/user_copy.h>

#define REMAP_MAYMOVE 1u
#define REMAP_FIXED 2u
#define REMAP_DONTUNMAP 4u

/* aspace.lock. r grows to `end`; there is room. */
static enum kerr extend(struct aspace *as, struct region *r, vaddr_t end)
{
	uint64_t pages = (end - r->end) >> PAGE_SHIFT;
	enum kerr err = commit_charge(region_promised(r, pages));
	if (err != KERR_OK)
		return err;
	as->virtual_pages += pages;
	region_account(r, (int64_t)pages);
	rwlock_write_lock(&r->lock);
	WRITE_ONCE(r->end, end);
	rwlock_write_unlock(&r->lock);
	struct region *next = region_next(r);
	if (next)
		region_merge(as, r, next);
	return KERR_OK;
}

/* aspace.lock. Moves [old, old + old_size) of r to `to`, which is free and new_size long. The promise
 * for the old range is still held, and goes if the old range is unmapped (`leaves`). */
static enum kerr move(struct aspace *as, struct region *r, vaddr_t old, size_t old_size, vaddr_t to,
		      size_t new_size, bool leaves)
{
	size_t keep = MIN(old_size, new_size);
	uint64_t pages = region_promised(r, new_size >> PAGE_SHIFT);
	uint64_t taken_over = leaves ? region_promised(r, keep >> PAGE_SHIFT) : 0;
	struct region *moved = region_copy(r, as);
	if (!moved)
		return KERR_NOMEM;
	enum kerr err = commit_charge(pages - taken_over);
	if (err != KERR_OK) {
		region_free_unused(moved);
		return err;
	}
	commit_transfer(taken_over);
	moved->start = to;
	moved->end = to + new_size;
	moved->grows = false; /* as one that was split */
	if (r->object)
		moved->offset = r->offset + (old - r->start);
	/* Faults stay away from the old range while its pages leave; the new region is not in the tree
	 * yet. */
	rwlock_write_lock(&r->lock);
	if (leaves) /* nor must it fail to unmap what is left */
		err = pagetree_prepare(&as->pages, old >> PAGE_SHIFT,
				       (old + old_size - 1) >> PAGE_SHIFT, old >> PAGE_SHIFT,
				       (old + old_size - 1) >> PAGE_SHIFT);
	if (err == KERR_OK && !r->shared && keep)
		err = pagetree_move(&as->pages, old >> PAGE_SHIFT, to >> PAGE_SHIFT,
				    keep >> PAGE_SHIFT);
	if (err == KERR_OK && keep) {
		struct tlb_batch batch;
		tlb_batch_init(&batch, &as->tlb);
		err = mapper_unmap_range(&as->mapper, old, old_size, true, 0, 0, &batch);
		BUG_ON(err != KERR_OK);
		tlb_batch_finish(&batch);
	}
	rwlock_write_unlock(&r->lock);
	if (err != KERR_OK) {
		commit_release(pages);
		region_free_unused(moved);
		return err;
	}
	as->virtual_pages += new_size >> PAGE_SHIFT;
	region_account(moved, (int64_t)(new_size >> PAGE_SHIFT));
	region_insert(as, moved, r);
	return KERR_OK;
}

/* aspace.lock. Whether r's [old, old + old_size) may become new_size long. */
static enum kerr may_resize(const struct aspace *as, const struct region *r, vaddr_t old,
			    size_t old_size, size_t new_size, unsigned flags)
{
	uint64_t more = new_size > old_size ? new_size - old_size : 0;
	if (r->marks & MARK_SEALED)
		return KERR_PERM;
	if (!old_size && !r->shared)
		return KERR_INVAL; /* a second view of private memory */
	if ((flags & REMAP_DONTUNMAP) && r->kind == REGION_DEVICE)
		return KERR_INVAL;
	if (r->hugetlb && (more || (flags & (REMAP_FIXED | REMAP_DONTUNMAP))))
		return KERR_INVAL;
	if (old_size > r->end - old)
		return KERR_FAULT;
	if (more && r->object && r->offset + (old - r->start) + new_size < r->offset)
		return KERR_INVAL;
	if (more && r->kind == REGION_DEVICE)
		return KERR_FAULT;
	if (!lock_allowed(as, r->marks, more))
		return KERR_AGAIN;
	if (flags & REMAP_DONTUNMAP)
		more = new_size;
	return within_limits(as, more >> PAGE_SHIFT) ? KERR_OK : KERR_NOMEM;
}

/* aspace.lock. Everything is checked and *addr is free. */
static enum kerr move_range(struct aspace *as, vaddr_t old, size_t old_size, vaddr_t to,
			    size_t new_size, unsigned flags)
{
	bool leaves = old_size && !(flags & REMAP_DONTUNMAP);
	if (as->region_count + 3 >= REGION_MAX)
		return KERR_NOMEM;
	/* A region that can be cut without fail: splits are made before anything moves. */
	enum kerr err = split_at(as, old);
	if (err == KERR_OK && old_size)
		err = split_at(as, old + old_size);
	if (err == KERR_OK)
		err = move(as, region_find(as, old), old, old_size, to, new_size, leaves);
	if (err == KERR_OK && leaves)
		err = unmap_locked(as, old, old + old_size);
	else if (err == KERR_OK && old_size) {
		struct region *r = region_find(as, old);
		err = mark_part(as, r, old, r->end, MARK_LOCKED | MARK_ON_FAULT, 0, &r);
	}
	merge_range(as, old, old + MAX(old_size, PAGE_SIZE));
	merge_range(as, to, to + new_size);
	return err;
}

/* aspace.lock. To a place that is given, or (DONTUNMAP) hinted at. */
static enum kerr remap_to(struct aspace *as, vaddr_t old, size_t old_size, size_t new_size,
			  unsigned flags, vaddr_t *addr)
{
	struct region *r = region_find(as, old);
	enum kerr err = KERR_OK;
	if (!r)
		return KERR_FAULT;
	if (flags & REMAP_FIXED) {
		if (*addr < MMAP_MIN)
			return KERR_PERM;
		err = unmap_locked(as, *addr, *addr + new_size);
	}
	if (err == KERR_OK && old_size > new_size) {
		if (r->marks & MARK_SEALED)
			return KERR_PERM;
		err = unmap_locked(as, old + new_size, old + old_size);
		old_size = new_size;
	}
	if (err != KERR_OK)
		return err;
	r = region_find(as, old);
	err = may_resize(as, r, old, old_size, new_size, flags);
	if (err != KERR_OK)
		return err;
	if (!(flags & REMAP_FIXED) &&
	    (*addr < MMAP_MIN || !range_free_locked(as, *addr, *addr + new_size)))
		*addr = find_free_locked(as, new_size);
	return *addr ? move_range(as, old, old_size, *addr, new_size, flags) : KERR_NOMEM;
}

static enum kerr remap_locked(struct aspace *as, vaddr_t old, size_t old_size, size_t new_size,
			      unsigned flags, vaddr_t *addr)
{
	if (flags & (REMAP_FIXED | REMAP_DONTUNMAP))
		return remap_to(as, old, old_size, new_size, flags, addr);
	struct region *r = region_find(as, old);
	if (!r)
		return KERR_FAULT;
	if (old_size >= new_size) {
		*addr = old;
		if (r->marks & MARK_SEALED)
			return KERR_PERM;
		if (old_size > r->end - old && old_size == new_size)
			return KERR_FAULT;
		return old_size > new_size ? unmap_locked(as, old + new_size, old + old_size)
					   : KERR_OK;
	}
	enum kerr err = may_resize(as, r, old, old_size, new_size, flags);
	if (err != KERR_OK)
		return err;
	if (old_size && old + old_size == r->end && user_range_ok(old, new_size) &&
	    range_free_locked(as, r->end, old + new_size)) {
		*addr = old;
		return extend(as, r, old + new_size);
	}
	if (!(flags & REMAP_MAYMOVE))
		return KERR_NOMEM;
	*addr = find_free_locked(as, new_size);
	return *addr ? move_range(as, old, old_size, *addr, new_size, flags) : KERR_NOMEM;
}

/* What is wrong with the arguments, whatever is mapped. */
static enum kerr check_arguments(vaddr_t old, size_t old_size, size_t new_size, unsigned flags,
				 vaddr_t to)
{
	if (flags & ~(REMAP_MAYMOVE | REMAP_FIXED | REMAP_DONTUNMAP))
		return KERR_INVAL;
	if ((flags & (REMAP_FIXED | REMAP_DONTUNMAP)) && !(flags & REMAP_MAYMOVE))
		return KERR_INVAL;
	if (((flags & REMAP_DONTUNMAP) && old_size != new_size) || !IS_ALIGNED(old, PAGE_SIZE) ||
	    !new_size)
		return KERR_INVAL;
	if (new_size > aspace_user_end())
		return KERR_INVAL;
	if (!(flags & (REMAP_FIXED | REMAP_DONTUNMAP)))
		return KERR_OK;
	if (!IS_ALIGNED(to, PAGE_SIZE) || to > aspace_user_end() - new_size)
		return KERR_INVAL;
	return to < old + old_size && old < to + new_size ? KERR_INVAL : KERR_OK;
}

enum kerr aspace_remap(struct aspace *as, vaddr_t old, size_t old_size, size_t new_size,
		       unsigned flags, vaddr_t *addr)
{
	size_t was = ALIGN_UP(old_size, PAGE_SIZE), size = ALIGN_UP(new_size, PAGE_SIZE);
	enum kerr err = check_arguments(old, was, size, flags, *addr);
	if (err != KERR_OK)
		return err;
	mutex_lock(&as->lock);
	err = remap_locked(as, old, was, size, flags, addr);
	struct region *r = err == KERR_OK && size > was ? region_find(as, *addr) : nullptr;
	bool fill = r && is_pinned(r->marks), write = r && !r->shared && (r->prot & PROT_WRITE);
	mutex_unlock(&as->lock);
	if (unlikely(fill))
		(void)!aspace_populate(as, *addr + was, *addr + size, write);
	return err;
}
