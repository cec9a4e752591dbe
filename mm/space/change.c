/*
 * mprotect, madvise, mremap, brk, and what asks about ranges (mincore, mlock, msync).
 *
 * All under aspace.lock; as in map.c each first reserves (regions for splits, paths in the page
 * tree), then acts.
 */
#include "commit_private.h"
#include "region.h"

#include <core/panic.h>
#include <mm/huge.h>
#include <mm/user_copy.h>

/* [addr, addr + size) as whole pages in *end; false: not page aligned or no user range. */
static bool page_range(vaddr_t addr, size_t size, vaddr_t *end)
{
	if (!IS_ALIGNED(addr, PAGE_SIZE) || size > aspace_user_end())
		return false;
	size = ALIGN_UP(size, PAGE_SIZE);
	*end = addr + size;
	return user_range_ok(addr, size);
}

/* aspace.lock. No hole in [start, end). */
static bool covered(struct aspace *as, vaddr_t start, vaddr_t end)
{
	struct region *r = region_find(as, start);
	while (r && r->end < end) {
		struct region *next = region_next(r);
		if (!next || next->start != r->end)
			return false;
		r = next;
	}
	return r;
}

/* aspace.lock. Makes region bounds at `start` and `end`. */
static enum kerr split_at(struct aspace *as, vaddr_t at)
{
	struct region *r = region_find(as, at);
	if (!r || r->start == at)
		return KERR_OK;
	if (r->hugetlb && !IS_ALIGNED(at, HUGE_SIZE))
		return KERR_INVAL;
	if (as->region_count >= REGION_MAX)
		return KERR_NOMEM;
	struct region *upper = region_copy(r, as);
	if (!upper)
		return KERR_NOMEM;
	rwlock_write_lock(&r->lock);
	region_split(as, r, at, upper);
	rwlock_write_unlock(&r->lock);
	return KERR_OK;
}

/* aspace.lock. Undoes splits that turned out to be needless, and joins what became alike. */
static void merge_range(struct aspace *as, vaddr_t start, vaddr_t end)
{
	struct region *r = region_find(as, start), *next;
	if (r && region_prev(r))
		r = region_prev(r);
	if (!r)
		r = region_above(as, start);
	while (r && r->start <= end) {
		next = region_next(r);
		if (!next)
			return;
		if (next->start > end || !region_merge(as, r, next))
			r = next;
	}
}

/* ---- mprotect ------------------------------------------------------------------------------- */

/* r becomes data once it is made writable. */
static bool becomes_data(const struct region *r, unsigned prot)
{
	return !r->accounted && !r->shared && !r->hugetlb && (prot & PROT_WRITE);
}

/* aspace.lock. Promises what becomes data in [start, end). */
static NOINLINE enum kerr promise_writable(struct aspace *as, vaddr_t start, vaddr_t end)
{
	uint64_t pages = 0;
	struct region *r = region_above(as, start);
	for (; r && r->start < end; r = region_next(r)) {
		if (becomes_data(r, PROT_WRITE) && !r->noreserve)
			pages += (MIN(r->end, end) - MAX(r->start, start)) >> PAGE_SHIFT;
	}
	return pages ? commit_charge(pages) : KERR_OK;
}

static void protect_region(struct aspace *as, struct region *r, unsigned prot)
{
	struct tlb_batch batch;
	enum kerr err;
	rwlock_write_lock(&r->lock);
	unsigned old = r->prot;
	region_set_prot(r, prot);
	if (becomes_data(r, prot)) {
		r->accounted = true;
		region_account(r, (int64_t)((r->end - r->start) >> PAGE_SHIFT));
	}
	tlb_batch_init(&batch, &as->tlb);
	if (!r->prot || (r->prot & ~old & PROT_EXEC))
		/* Out of reach, or about to be executed: faults look at each page again. */
		err = mapper_unmap_range(&as->mapper, r->start, r->end - r->start, true, 0, 0,
					 &batch);
	else if (old & ~r->prot)
		err = mapper_protect_range(&as->mapper, r->start, r->end - r->start,
					   MAP_USER | (r->prot & PROT_WRITE ? MAP_WRITABLE : 0) |
						   (r->prot & PROT_EXEC && !(r->prot & PROT_WRITE)
							    ? 0
							    : MAP_NO_EXECUTE),
					   false, true, &batch);
	else
		err = KERR_OK; /* more rights: faults find out */
	BUG_ON(err != KERR_OK);
	tlb_batch_finish(&batch);
	rwlock_write_unlock(&r->lock);
}

static enum kerr protect_locked(struct aspace *as, vaddr_t start, vaddr_t end, unsigned prot)
{
	struct region *r;
	if (!covered(as, start, end))
		return KERR_NOMEM;
	bool more_data = false;
	for (r = region_find(as, start); r && r->start < end; r = region_next(r)) {
		if ((prot & PROT_WRITE) && r->shared && r->no_write)
			return KERR_ACCESS;
		more_data |= becomes_data(r, prot);
	}
	enum kerr err = split_at(as, start);
	if (err == KERR_OK)
		err = split_at(as, end);
	if (err == KERR_OK && more_data)
		err = promise_writable(as, start, end);
	if (err == KERR_OK) {
		for (r = region_find(as, start); r && r->start < end; r = region_next(r))
			protect_region(as, r, prot);
	}
	merge_range(as, start, end);
	return err;
}

enum kerr aspace_protect(struct aspace *as, vaddr_t addr, size_t size, unsigned prot)
{
	vaddr_t end;
	if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		return KERR_INVAL;
	if (!IS_ALIGNED(addr, PAGE_SIZE))
		return KERR_INVAL;
	if (size == 0)
		return KERR_OK;
	if (!page_range(addr, size, &end))
		return KERR_NOMEM;
	mutex_lock(&as->lock);
	enum kerr err = protect_locked(as, addr, end, prot);
	mutex_unlock(&as->lock);
	return err;
}

/* ---- madvise -------------------------------------------------------------------------------- */

#define ADVISE_DONTNEED 4
#define ADVISE_FREE 8
#define ADVISE_REMOVE 9
#define ADVISE_DONTFORK 10
#define ADVISE_DOFORK 11
#define ADVISE_HUGEPAGE 14
#define ADVISE_NOHUGEPAGE 15
#define ADVISE_COLD 20
#define ADVISE_PAGEOUT 21
#define ADVISE_POPULATE_READ 22
#define ADVISE_POPULATE_WRITE 23
#define ADVISE_COLLAPSE 25

/* Private pages in [start, end) of r are dropped, entries too: the next access starts afresh. */
static enum kerr discard(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end)
{
	if (r->hugetlb) {
		end = ALIGN_DOWN(end, HUGE_SIZE);
		if (!IS_ALIGNED(start, HUGE_SIZE))
			return KERR_INVAL;
		if (start >= end)
			return KERR_OK;
	}
	uint64_t first = start >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
	/* Nodes go whole only if they lie in the range: the region goes on around it. */
	enum kerr err = pagetree_prepare(&as->pages, first, last, first, last);
	if (err != KERR_OK)
		return err;
	struct tlb_batch batch;
	tlb_batch_init(&batch, &as->tlb);
	rwlock_write_lock(&r->lock);
	err = mapper_unmap_range(&as->mapper, start, end - start, true, 0, 0, &batch);
	BUG_ON(err != KERR_OK);
	tlb_batch_finish(&batch);
	uint64_t untouched = unlikely(r->hugetlb) ? hugetlb_untouched(r) : 0;
	if (!r->shared)
		pagetree_remove(&as->pages, first, last, first, last);
	if (unlikely(r->hugetlb))
		hugetlb_discarded(r, untouched);
	rwlock_write_unlock(&r->lock);
	return KERR_OK;
}

/* What a region remembers of an advice. */
static void set_advice(struct region *r, int advice)
{
	switch (advice) {
	case ADVISE_DONTFORK:
	case ADVISE_DOFORK:
		r->no_fork = advice == ADVISE_DONTFORK;
		r->as->has_unforked |= r->no_fork;
		break;
	case ADVISE_HUGEPAGE:
		r->huge = REGION_HUGE_YES;
		break;
	default:
		r->huge = REGION_HUGE_NO;
	}
}

static enum kerr set_range(struct aspace *as, vaddr_t start, vaddr_t end, int advice)
{
	enum kerr err = split_at(as, start);
	if (err == KERR_OK)
		err = split_at(as, end);
	struct region *r = region_above(as, start);
	for (; err == KERR_OK && r && r->start < end; r = region_next(r)) {
		rwlock_write_lock(&r->lock);
		set_advice(r, advice);
		rwlock_write_unlock(&r->lock);
	}
	merge_range(as, start, end);
	return err;
}

static enum kerr advise_locked(struct aspace *as, vaddr_t start, vaddr_t end, int advice)
{
	bool hole = !covered(as, start, end);
	if (advice == ADVISE_DONTFORK || advice == ADVISE_DOFORK || advice == ADVISE_HUGEPAGE ||
	    advice == ADVISE_NOHUGEPAGE) {
		enum kerr err = set_range(as, start, end, advice);
		return err != KERR_OK ? err : hole ? KERR_NOMEM : KERR_OK;
	}
	if (advice == ADVISE_DONTNEED || advice == ADVISE_FREE) {
		struct region *r = region_above(as, start);
		for (; r && r->start < end; r = region_next(r)) {
			if (advice == ADVISE_FREE && r->object)
				return KERR_INVAL;
			enum kerr err = discard(as, r, MAX(start, r->start), MIN(end, r->end));
			if (err != KERR_OK)
				return err;
		}
	}
	return hole ? KERR_NOMEM : KERR_OK;
}

enum kerr aspace_advise(struct aspace *as, vaddr_t addr, size_t size, int advice)
{
	vaddr_t end;
	bool known = (advice >= 0 && advice <= ADVISE_DONTNEED) ||
		     (advice >= ADVISE_FREE && advice <= 17 && advice != ADVISE_REMOVE) ||
		     (advice >= ADVISE_COLD && advice <= ADVISE_POPULATE_WRITE) ||
		     advice == ADVISE_COLLAPSE;
	if (!known || !IS_ALIGNED(addr, PAGE_SIZE))
		return KERR_INVAL;
	if (size == 0)
		return KERR_OK;
	if (!page_range(addr, size, &end))
		return size > aspace_user_end() ? KERR_INVAL : KERR_NOMEM;
	if (advice == ADVISE_POPULATE_READ || advice == ADVISE_POPULATE_WRITE)
		return aspace_populate(as, addr, end, advice == ADVISE_POPULATE_WRITE);
	if (advice == ADVISE_COLLAPSE)
		return huge_collapse(as, addr, end);
	mutex_lock(&as->lock);
	enum kerr err = advise_locked(as, addr, end, advice);
	mutex_unlock(&as->lock);
	return err;
}

/* ---- mremap --------------------------------------------------------------------------------- */

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
	if (r->object)
		moved->offset = r->offset + (old - r->start);
	/* Faults stay away from the old range while its pages leave; the new region is not in the tree
	 * yet. */
	rwlock_write_lock(&r->lock);
	if (!r->shared)
		err = pagetree_move(&as->pages, old >> PAGE_SHIFT, to >> PAGE_SHIFT,
				    keep >> PAGE_SHIFT);
	if (err == KERR_OK) {
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

static enum kerr remap_locked(struct aspace *as, vaddr_t old, size_t old_size, size_t new_size,
			      unsigned flags, vaddr_t *addr)
{
	enum kerr err;
	if (flags & REMAP_FIXED) {
		if (!IS_ALIGNED(*addr, PAGE_SIZE) || *addr < MMAP_MIN ||
		    !user_range_ok(*addr, new_size) ||
		    (*addr < old + old_size && old < *addr + new_size))
			return KERR_INVAL;
		err = unmap_locked(as, *addr, *addr + new_size);
		if (err != KERR_OK)
			return err;
	}
	struct region *r = region_find(as, old);
	if (!r || old + old_size > r->end)
		return KERR_FAULT;
	if (r->hugetlb && (new_size > old_size || (flags & (REMAP_FIXED | REMAP_DONTUNMAP))))
		return KERR_INVAL;
	if (new_size <= old_size && !(flags & REMAP_FIXED)) {
		*addr = old;
		return new_size < old_size ? unmap_locked(as, old + new_size, old + old_size)
					   : KERR_OK;
	}
	if (new_size > old_size && !within_limits(as, (new_size - old_size) >> PAGE_SHIFT))
		return KERR_NOMEM;
	if (!(flags & REMAP_FIXED)) {
		if (old + old_size == r->end && user_range_ok(old, new_size) &&
		    range_free_locked(as, r->end, old + new_size)) {
			*addr = old;
			return extend(as, r, old + new_size);
		}
		if (!(flags & REMAP_MAYMOVE))
			return KERR_NOMEM;
		*addr = find_free_locked(as, new_size);
		if (!*addr)
			return KERR_NOMEM;
	}
	/* A region that can be cut without fail: splits are made before anything moves. */
	err = split_at(as, old);
	if (err == KERR_OK)
		err = split_at(as, old + old_size);
	if (err == KERR_OK)
		err = move(as, region_find(as, old), old, old_size, *addr, new_size,
			   !(flags & REMAP_DONTUNMAP));
	if (err == KERR_OK && !(flags & REMAP_DONTUNMAP))
		err = unmap_locked(as, old, old + old_size);
	merge_range(as, old, old + old_size);
	return err;
}

enum kerr aspace_remap(struct aspace *as, vaddr_t old, size_t old_size, size_t new_size,
		       unsigned flags, vaddr_t *addr)
{
	vaddr_t end;
	if ((flags & ~(REMAP_MAYMOVE | REMAP_FIXED | REMAP_DONTUNMAP)) || new_size == 0 ||
	    new_size > aspace_user_end() || ((flags & REMAP_FIXED) && !(flags & REMAP_MAYMOVE)) ||
	    ((flags & REMAP_DONTUNMAP) && (!(flags & REMAP_MAYMOVE) || old_size != new_size)) ||
	    old_size == 0 || !page_range(old, old_size, &end))
		return KERR_INVAL;
	mutex_lock(&as->lock);
	enum kerr err =
		remap_locked(as, old, end - old, ALIGN_UP(new_size, PAGE_SIZE), flags, addr);
	mutex_unlock(&as->lock);
	return err;
}

/* ---- brk ------------------------------------------------------------------------------------ */

void aspace_set_brk(struct aspace *as, vaddr_t start)
{
	mutex_lock(&as->lock);
	as->brk_start = as->brk = start;
	mutex_unlock(&as->lock);
}

enum kerr aspace_brk(struct aspace *as, vaddr_t want, vaddr_t *now)
{
	enum kerr err = KERR_OK;
	mutex_lock(&as->lock);
	vaddr_t old_end = ALIGN_UP(as->brk, PAGE_SIZE);
	if (want >= as->brk_start && want < aspace_user_end() &&
	    want - as->brk_start <= as->data_limit) {
		vaddr_t end = ALIGN_UP(want, PAGE_SIZE);
		if (end < old_end)
			err = unmap_locked(as, end, old_end);
		else if (end > old_end)
			err = map_brk_locked(as, old_end, end);
		if (err == KERR_OK)
			as->brk = want;
	}
	*now = as->brk;
	mutex_unlock(&as->lock);
	return KERR_OK;
}

/* ---- Names, limits, questions --------------------------------------------------------------- */

void aspace_name(struct aspace *as, vaddr_t addr, const char *name)
{
	mutex_lock(&as->lock);
	struct region *r = region_find(as, addr);
	if (r)
		r->name = name;
	mutex_unlock(&as->lock);
}

void aspace_set_limits(struct aspace *as, uint64_t stack, uint64_t data, uint64_t total)
{
	mutex_lock(&as->lock);
	as->stack_limit = stack;
	as->data_limit = data;
	as->total_limit = total;
	/* mmap goes down from below the stack's reach: its limit, within 128 MiB and 5/6 of all. */
	uint64_t reach = MIN(MAX(stack, 128ull << 20), aspace_user_top() / 6 * 5);
	as->map_top = ALIGN_DOWN(aspace_user_top() - reach, PAGE_SIZE);
	as->hint = 0;
	mutex_unlock(&as->lock);
}

enum kerr aspace_check_mapped(struct aspace *as, vaddr_t addr, size_t size)
{
	vaddr_t end;
	if (!IS_ALIGNED(addr, PAGE_SIZE))
		return KERR_INVAL;
	if (size == 0)
		return KERR_OK;
	if (!page_range(addr, size, &end))
		return KERR_NOMEM;
	mutex_lock(&as->lock);
	bool ok = covered(as, addr, end);
	mutex_unlock(&as->lock);
	return ok ? KERR_OK : KERR_NOMEM;
}

enum kerr aspace_residency(struct aspace *as, vaddr_t addr, size_t pages, uint8_t *out)
{
	vaddr_t end;
	if (pages > aspace_user_end() >> PAGE_SHIFT || !page_range(addr, pages << PAGE_SHIFT, &end))
		return KERR_NOMEM;
	mutex_lock(&as->lock);
	bool ok = covered(as, addr, end);
	struct region *r = ok ? region_find(as, addr) : nullptr;
	for (vaddr_t va = addr; ok && va < end; va += PAGE_SIZE) {
		while (va >= r->end)
			r = region_next(r);
		rcu_read_lock();
		bool in = !r->shared && pagetree_get(&as->pages, va >> PAGE_SHIFT);
		if (!in && r->object)
			in = pagetree_get(&r->object->pages,
					  (r->offset + (va - r->start)) >> PAGE_SHIFT);
		rcu_read_unlock();
		*out++ = in;
	}
	mutex_unlock(&as->lock);
	return ok ? KERR_OK : KERR_NOMEM;
}

enum kerr aspace_lock(struct aspace *as, vaddr_t addr, size_t size)
{
	enum kerr err = aspace_check_mapped(as, ALIGN_DOWN(addr, PAGE_SIZE),
					    size + (addr & (PAGE_SIZE - 1)));
	vaddr_t end = addr + size;
	for (vaddr_t va = ALIGN_DOWN(addr, PAGE_SIZE); err == KERR_OK && va < end;) {
		struct region_info info;
		if (!aspace_region_at(as, va, &info))
			return KERR_NOMEM;
		if (info.object)
			vm_object_put(info.object);
		vaddr_t stop = MIN(info.end, ALIGN_UP(end, PAGE_SIZE));
		if (info.prot)
			err = aspace_populate(as, MAX(va, info.start), stop,
					      info.prot & PROT_WRITE);
		va = stop;
	}
	return err == KERR_FAULT ? KERR_NOMEM : err;
}
