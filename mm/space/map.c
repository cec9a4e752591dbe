/*
 * mmap, munmap and the search for room.
 *
 * Everything here runs under aspace.lock; each operation first finds out what it needs (a region to
 * split with, copies of shared page-tree nodes at the edges), which can fail, and then acts, which
 * cannot. Order of acting on a range that goes: regions write-locked (faults have left) ->
 * entries removed, one flush -> private pages put -> regions unlocked. Page tables and tree nodes go
 * when the gap round the range contains all that they span.
 *
 * Room is searched from the top of the map area downwards, first fit. `hint` and `hole` remember where
 * the last search ended and how large a hole it may have skipped, so that a series of maps does
 * not walk over the same regions again.
 */
#include "commit_private.h"
#include "hugepool.h"
#include "region.h"

#include <core/panic.h>
#include <core/upcalls.h>
#include <mm/huge.h>

static vaddr_t user_end(void)
{
	return hal.mmu.geometry()->user_end;
}

/* ---- Room ----------------------------------------------------------------------------------- */

bool range_free_locked(struct aspace *as, vaddr_t start, vaddr_t end)
{
	struct region *r = region_above(as, start);
	return !r || r->start >= end;
}

/* The lowest address that something below a growing region may use up to. */
static vaddr_t usable_start(const struct region *r)
{
	return r->grows && r->start > STACK_GAP ? r->start - STACK_GAP : r->start;
}

static vaddr_t search(struct aspace *as, size_t size, vaddr_t top, uint64_t *largest)
{
	vaddr_t end = top;
	struct region *r = region_above(as, top - 1);
	struct rb_node *n = r ? &r->node : rb_last(&as->regions);
	*largest = 0;
	for (;;) {
		/* `r` is the first region that may end above `end`. */
		r = n ? rb_entry(n, struct region, node) : nullptr;
		vaddr_t low = r ? MIN(r->end, end) : MMAP_MIN;
		if (r && r->start >= end)
			low = end;
		if (low < MMAP_MIN)
			low = MMAP_MIN;
		if (end > low && end - low >= size)
			return end - size;
		if (end > low)
			*largest = MAX(*largest, end - low);
		if (!r)
			return 0;
		end = MIN(end, usable_start(r));
		if (end <= MMAP_MIN)
			return 0;
		n = rb_prev(n);
	}
}

static vaddr_t find_free(struct aspace *as, size_t size)
{
	uint64_t largest;
	vaddr_t top = as->map_top, at = 0;
	if (size > top)
		return 0;
	if (as->hint > MMAP_MIN && as->hint <= top && size > as->hole) {
		at = search(as, size, as->hint, &largest);
		if (at) {
			as->hole = MAX(as->hole, largest);
			as->hint = at;
			return at;
		}
	}
	at = search(as, size, top, &largest);
	if (at) {
		as->hole = largest;
		as->hint = at;
	}
	return at;
}

/* Whole huge pages are laid so that they can be. */
vaddr_t find_free_locked(struct aspace *as, size_t size)
{
	if (size >= HUGE_SIZE && IS_ALIGNED(size, HUGE_SIZE)) {
		vaddr_t at = find_free(as, size + HUGE_SIZE - PAGE_SIZE);
		if (at) {
			at = ALIGN_UP(at, HUGE_SIZE);
			as->hint = at;
			as->hole = MAX(as->hole, HUGE_SIZE);
			return at;
		}
	}
	return find_free(as, size);
}

/* What ended at `end` is gone: there is a hole [low, high) now. */
static void note_free(struct aspace *as, vaddr_t end, vaddr_t low, vaddr_t high)
{
	if (end <= as->hint)
		return; /* the search comes by */
	if (low <= as->hint)
		as->hint = MIN(high, as->map_top); /* the hole reaches down to the hint */
	else if (high - low > as->hole)
		as->hole = high - low;
}

static struct region *region_below(const struct aspace *as, const struct region *above)
{
	if (above)
		return region_prev(above);
	struct rb_node *n = rb_last(&as->regions);
	return n ? rb_entry(n, struct region, node) : nullptr;
}

void gap_around(struct aspace *as, vaddr_t start, vaddr_t end, vaddr_t *low, vaddr_t *high)
{
	struct region *above = region_above(as, end - 1);
	*high = end;
	if (!above || above->start >= end || above->end == end) {
		if (above && above->start < end)
			above = region_next(above);
		*high = above ? above->start : user_end();
	}
	struct region *below = region_above(as, start);
	*low = start;
	if (!below || below->start >= start) {
		below = region_below(as, below);
		*low = below ? below->end : 0;
	}
}

bool within_limits(const struct aspace *as, uint64_t pages)
{
	return (as->virtual_pages + pages) <= as->total_limit >> PAGE_SHIFT;
}

/* RLIMIT_DATA counts private writable memory, promised or not. */
static bool data_within_limit(const struct aspace *as, uint64_t pages)
{
	return as->committed + as->uncommitted + pages <= as->data_limit >> PAGE_SHIFT;
}

/* ---- Unmap ---------------------------------------------------------------------------------- */

/* Entries, then private pages, of a range whose regions are write-locked. */
static void zap(struct aspace *as, vaddr_t start, vaddr_t end, vaddr_t low, vaddr_t high)
{
	struct tlb_batch batch;
	tlb_batch_init(&batch, &as->tlb);
	enum kerr err =
		mapper_unmap_range(&as->mapper, start, end - start, true, low, high, &batch);
	BUG_ON(err != KERR_OK);
	tlb_batch_finish(&batch);
	pagetree_remove(&as->pages, start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT, low >> PAGE_SHIFT,
			(high - 1) >> PAGE_SHIFT);
}

/* Cuts [start, end) out of r, which overlaps it; r is write-locked. True: nothing is left of it. */
static bool cut(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end,
		struct region **spare)
{
	vaddr_t from = MAX(r->start, start), to = MIN(r->end, end);
	uint64_t pages = (to - from) >> PAGE_SHIFT;
	as->peak_pages = MAX(as->peak_pages, as->virtual_pages);
	as->virtual_pages -= pages;
	region_account(r, -(int64_t)pages);
	if (r->accounted)
		commit_release(region_promised(r, pages));
	if (r->start < start && r->end > end) {
		region_split(as, r, end, *spare);
		*spare = nullptr;
		WRITE_ONCE(r->end, start);
	} else if (r->start < start) {
		WRITE_ONCE(r->end, start);
	} else if (r->end > end) {
		if (r->object)
			r->offset += end - r->start;
		WRITE_ONCE(r->start, end);
	} else {
		region_remove(as, r);
		return true;
	}
	return false;
}

enum kerr unmap_locked(struct aspace *as, vaddr_t start, vaddr_t end)
{
	struct region *first = region_above(as, start), *spare = nullptr, *r, *next;
	if (!first || first->start >= end)
		return KERR_OK;
	if (unlikely(as->sealed) && any_marked(as, start, end, MARK_SEALED))
		return KERR_PERM;
	if (unlikely(as->has_hugetlb) && (!hugetlb_may_cut(as, start) || !hugetlb_may_cut(as, end)))
		return KERR_INVAL;
	if (first->start < start && first->end > end) {
		if (as->region_count >= REGION_MAX || !(spare = region_copy(first, as)))
			return KERR_NOMEM;
	}
	vaddr_t low, high;
	gap_around(as, start, end, &low, &high);
	enum kerr err = pagetree_prepare(&as->pages, start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT,
					 low >> PAGE_SHIFT, (high - 1) >> PAGE_SHIFT);
	if (err != KERR_OK) {
		region_free_unused(spare);
		return err;
	}
	for (r = first; r && r->start < end; r = region_next(r)) {
		rwlock_write_lock(&r->lock);
		if (unlikely(r->hugetlb))
			hugetlb_release(r, MAX(r->start, start), MIN(r->end, end));
	}
	zap(as, start, end, low, high);
	for (r = first; r && r->start < end; r = next) {
		next = region_next(r);
		bool gone = cut(as, r, start, end, &spare);
		rwlock_write_unlock(&r->lock);
		if (gone)
			region_put(r);
	}
	note_free(as, end, low, high);
	return KERR_OK;
}

enum kerr aspace_unmap(struct aspace *as, vaddr_t addr, size_t size)
{
	if (!IS_ALIGNED(addr, PAGE_SIZE) || size == 0 || size > user_end() ||
	    addr > user_end() - size)
		return KERR_INVAL;
	size = ALIGN_UP(size, PAGE_SIZE);
	mutex_lock(&as->lock);
	enum kerr err = unmap_locked(as, addr, addr + size);
	mutex_unlock(&as->lock);
	return err;
}

/* ---- Map ------------------------------------------------------------------------------------ */

static void describe(struct region *t, struct aspace *as, unsigned prot, unsigned flags,
		     struct vm_object *object, uint64_t offset)
{
	*t = (struct region){
		.as = as,
		.object = object,
		.offset = object ? offset : 0,
		.kind = !object              ? REGION_ANONYMOUS
			: object->ops->place ? REGION_DEVICE
					     : REGION_FILE,
		.shared = flags & MMAP_SHARED,
		.grows = flags & MMAP_GROWSDOWN,
		.no_write = flags & MMAP_DENY_WRITE,
		.marks = flags & MMAP_LOCKED ? MARK_LOCKED : 0,
	};
	if (t->grows)
		t->kind = REGION_STACK;
	if (flags & MMAP_STACK)
		t->huge = REGION_HUGE_NO;
	region_set_prot(t, prot);
	if (flags & MMAP_HUGETLB)
		t->hugetlb =
			t->shared || (flags & MMAP_NORESERVE) ? HUGETLB_PLAIN : HUGETLB_RESERVED;
	t->accounted = !t->shared && !t->hugetlb && (t->prot & PROT_WRITE);
	t->noreserve = !t->shared && (flags & MMAP_NORESERVE) && commit_honours_noreserve();
}

/* Where to, by hint and flags. */
static enum kerr choose(struct aspace *as, vaddr_t *addr, size_t size, unsigned flags)
{
	if (flags & (MMAP_FIXED | MMAP_FIXED_NOREPLACE)) {
		if (size > user_end() || *addr > user_end() - size)
			return KERR_NOMEM;
		if (!IS_ALIGNED(*addr, PAGE_SIZE))
			return KERR_INVAL;
		if (*addr < MMAP_MIN)
			return KERR_PERM;
		if ((flags & MMAP_FIXED_NOREPLACE) && !range_free_locked(as, *addr, *addr + size))
			return KERR_EXIST;
		return KERR_OK;
	}
	vaddr_t hint =
		flags & MMAP_HUGETLB ? ALIGN_UP(*addr, HUGE_SIZE) : ALIGN_DOWN(*addr, PAGE_SIZE);
	vaddr_t top = hint < aspace_user_top() ? aspace_user_top() : user_end();
	if (hint >= MMAP_MIN && size <= top && hint <= top - size &&
	    range_free_locked(as, hint, hint + size)) {
		*addr = hint;
		return KERR_OK;
	}
	*addr = find_free_locked(as, size);
	if ((flags & MMAP_HUGETLB) && !IS_ALIGNED(*addr, HUGE_SIZE))
		return KERR_NOMEM;
	return *addr ? KERR_OK : KERR_NOMEM;
}

/* Puts what `t` describes into its range, which is free; grows a neighbour if one is alike. */
static void place(struct aspace *as, struct region *t, struct region **spare)
{
	struct region *next = region_above(as, t->start), *prev = region_below(as, next);
	uint64_t pages = (t->end - t->start) >> PAGE_SHIFT;
	as->virtual_pages += pages;
	region_account(t, (int64_t)pages);
	if (prev && region_alike(prev, t)) {
		rwlock_write_lock(&prev->lock);
		WRITE_ONCE(prev->end, t->end);
		rwlock_write_unlock(&prev->lock);
		if (next)
			region_merge(as, prev, next);
		return;
	}
	if (next && region_alike(t, next)) {
		rwlock_write_lock(&next->lock);
		next->offset = t->offset;
		WRITE_ONCE(next->start, t->start);
		rwlock_write_unlock(&next->lock);
		return;
	}
	struct region *r = *spare;
	*spare = nullptr;
	region_insert(as, r, nullptr);
}

/* Whether `t` would become part of a neighbour, so that no region is needed. */
static bool will_merge(struct aspace *as, const struct region *t)
{
	struct region *next = region_above(as, t->start);
	if (next && next->start < t->end)
		return false; /* replaces something: the neighbours will be others */
	struct region *prev = region_below(as, next);
	return (prev && region_alike(prev, t)) || (next && region_alike(t, next));
}

/* aspace.lock. How many pages in [start, end) are promised. */
static uint64_t promised_in(struct aspace *as, vaddr_t start, vaddr_t end)
{
	uint64_t pages = 0;
	struct region *r = region_above(as, start);
	for (; r && r->start < end; r = region_next(r))
		pages +=
			region_promised(r, (MIN(r->end, end) - MAX(r->start, start)) >> PAGE_SHIFT);
	return pages;
}

/* Promises what `t` needs; the promise of what it replaces goes over to it. */
static enum kerr promise(struct aspace *as, const struct region *t, unsigned flags)
{
	uint64_t pages = region_promised(t, (t->end - t->start) >> PAGE_SHIFT);
	if (likely(!(flags & MMAP_FIXED)) || !pages)
		return commit_charge(pages);
	uint64_t has = promised_in(as, t->start, t->end);
	enum kerr err = commit_charge(pages - has);
	if (err == KERR_OK)
		commit_transfer(has);
	return err;
}

bool lock_allowed(const struct aspace *as, unsigned marks, uint64_t bytes)
{
	if (likely(!(marks & MARK_LOCKED)))
		return true;
	uint64_t limit = upcalls.lock_limit() >> PAGE_SHIFT, pages = bytes >> PAGE_SHIFT;
	return as->locked_pages <= limit && pages <= limit - as->locked_pages;
}

/* What the process asked for all that is mapped: mlockall, PR_SET_MDWE. */
static NOINLINE enum kerr apply_process(struct aspace *as, struct region *t)
{
	t->marks |= t->kind == REGION_DEVICE ? 0 : as->future_marks;
	if (!lock_allowed(as, t->marks, t->end - t->start))
		return KERR_AGAIN;
	return as->deny_exec && (t->prot & PROT_WRITE) && (t->prot & PROT_EXEC) ? KERR_ACCESS
										: KERR_OK;
}

static enum kerr map_locked(struct aspace *as, struct region *t, size_t size, unsigned flags)
{
	struct region *spare = nullptr;
	enum kerr err = choose(as, &t->start, size, flags);
	if (err != KERR_OK)
		return err;
	t->end = t->start + size;
	if (unlikely(t->marks | as->future_marks | as->deny_exec)) {
		err = apply_process(as, t);
		if (err != KERR_OK)
			return err;
	}
	if (!within_limits(as, size >> PAGE_SHIFT) || as->region_count >= REGION_MAX ||
	    (t->accounted && !t->grows && !data_within_limit(as, size >> PAGE_SHIFT)))
		return KERR_NOMEM;
	if (!will_merge(as, t) && !(spare = region_copy(t, as)))
		return KERR_NOMEM;
	uint64_t blocks = t->hugetlb == HUGETLB_RESERVED ? size / HUGE_SIZE : 0;
	err = unlikely(blocks) ? hugepool_reserve(blocks) : promise(as, t, flags);
	if (err != KERR_OK)
		goto out;
	if (flags & MMAP_FIXED) {
		err = unmap_locked(as, t->start, t->end);
		if (err != KERR_OK) {
			commit_release(region_promised(t, size >> PAGE_SHIFT));
			if (unlikely(blocks))
				hugepool_unreserve(blocks);
			goto out;
		}
	}
	as->has_hugetlb |= t->hugetlb != HUGETLB_NO;
	place(as, t, &spare);
out:
	region_free_unused(spare);
	return err;
}

/* What is not plain private anonymous memory: checked, and shared memory gets its object, *own. */
static NOINLINE enum kerr prepare_object(vaddr_t addr, size_t *size, unsigned prot, unsigned flags,
					 struct vm_object *object, struct vm_object **own)
{
	bool shared = flags & MMAP_SHARED;
	if ((flags & MMAP_GROWSDOWN) && (object || shared))
		return KERR_INVAL;
	if ((flags & MMAP_DENY_WRITE) && shared && (prot & PROT_WRITE))
		return KERR_ACCESS;
	if (flags & MMAP_HUGETLB) {
		enum kerr err = hugetlb_check(flags, addr, size, object);
		if (err != KERR_OK)
			return err;
	}
	/* A copy of a page needs a frame behind it. */
	if (object)
		return object->ops->place && !shared ? KERR_INVAL : KERR_OK;
	if (!shared)
		return KERR_OK;
	if (flags & MMAP_HUGETLB)
		return hugetlb_object_create(*size, !(flags & MMAP_NORESERVE), own);
	return flags & MMAP_NORESERVE && commit_honours_noreserve()
		       ? vm_object_create_anonymous(*size, own)
		       : object_create_promised(*size, own);
}

enum kerr aspace_map(struct aspace *as, vaddr_t *addr, size_t size, unsigned prot, unsigned flags,
		     struct vm_object *object, uint64_t offset)
{
	struct vm_object *own = nullptr;
	struct region t;
	unsigned type = flags & (MMAP_SHARED | MMAP_PRIVATE);
	if (size == 0 || !IS_ALIGNED(offset, PAGE_SIZE) || type == 0 ||
	    (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)))
		return KERR_INVAL;
	if (size > user_end() || (object && offset + size < offset))
		return KERR_NOMEM;
	size = ALIGN_UP(size, PAGE_SIZE);
	if (type == (MMAP_SHARED | MMAP_PRIVATE)) /* MAP_SHARED_VALIDATE */
		flags &= ~MMAP_PRIVATE;
	if (object || (flags & (MMAP_SHARED | MMAP_GROWSDOWN | MMAP_HUGETLB))) {
		enum kerr err = prepare_object(*addr, &size, prot, flags, object, &own);
		if (err != KERR_OK)
			return err;
		offset = own ? 0 : offset;
	}
	describe(&t, as, prot, flags, own ? own : object, offset);
	if (own)
		t.kind = REGION_ANONYMOUS;
	t.start = *addr;
	mutex_lock(&as->lock);
	enum kerr err = map_locked(as, &t, size, flags);
	mutex_unlock(&as->lock);
	if (own)
		vm_object_put(own);
	if (err != KERR_OK)
		return err;
	*addr = t.start;
	if ((flags & (MMAP_POPULATE | MMAP_NONBLOCK)) == MMAP_POPULATE || is_pinned(t.marks))
		(void)!aspace_populate(as, t.start, t.start + size,
				       !t.shared && (prot & PROT_WRITE));
	return KERR_OK;
}

enum kerr map_brk_locked(struct aspace *as, vaddr_t start, vaddr_t end)
{
	struct region t;
	if (!range_free_locked(as, start, end))
		return KERR_NOMEM;
	describe(&t, as, PROT_READ | PROT_WRITE, MMAP_PRIVATE, nullptr, 0);
	t.start = start;
	return map_locked(as, &t, end - start, MMAP_FIXED_NOREPLACE);
}
