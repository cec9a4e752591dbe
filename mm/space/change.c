/*
 * mprotect, brk, mseal, and what asks about ranges (mincore, msync): and the steps that all changes of
 * a part of a region share.
 *
 * All under aspace.lock; as in map.c each first reserves (regions for splits, paths in the page
 * tree), then acts. A call over several regions does one after the other, as Linux does: what lies
 * before a hole or an error is changed.
 */
#include "commit_private.h"
#include "region.h"

#include <core/panic.h>
#include <mm/huge.h>

bool whole_pages(vaddr_t addr, size_t size, vaddr_t *end)
{
	*end = addr + ALIGN_UP(size, PAGE_SIZE);
	return IS_ALIGNED(addr, PAGE_SIZE) && *end >= addr && ALIGN_UP(size, PAGE_SIZE) >= size;
}

bool covered(struct aspace *as, vaddr_t start, vaddr_t end)
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

bool any_marked(struct aspace *as, vaddr_t start, vaddr_t end, unsigned mark)
{
	struct region *r = region_above(as, start);
	for (; r && r->start < end; r = region_next(r)) {
		if (r->marks & mark)
			return true;
	}
	return false;
}

enum kerr split_at(struct aspace *as, vaddr_t at)
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

void merge_range(struct aspace *as, vaddr_t start, vaddr_t end)
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

/* aspace.lock. The part of r in [start, end) as a region of its own. */
static enum kerr isolate(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end,
			 struct region **part)
{
	enum kerr err = KERR_OK;
	*part = r;
	if (r->start < start) {
		err = split_at(as, start);
		if (err != KERR_OK)
			return err;
		*part = region_next(r);
	}
	return (*part)->end > end ? split_at(as, end) : KERR_OK;
}

enum kerr mark_part(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end, unsigned clear,
		    unsigned set, struct region **part)
{
	uint16_t marks = (uint16_t)((r->marks & ~clear) | set);
	*part = r;
	if (marks == r->marks)
		return KERR_OK;
	enum kerr err = isolate(as, r, start, end, part);
	if (err != KERR_OK)
		return err;
	r = *part;
	int64_t pages = (int64_t)((r->end - r->start) >> PAGE_SHIFT);
	rwlock_write_lock(&r->lock);
	if ((r->marks ^ marks) & MARK_LOCKED)
		as->locked_pages += (uint64_t)(marks & MARK_LOCKED ? pages : -pages);
	r->marks = marks;
	rwlock_write_unlock(&r->lock);
	return KERR_OK;
}

/* ---- mprotect ------------------------------------------------------------------------------- */

/* r becomes data once it is made writable. */
static bool becomes_data(const struct region *r, unsigned prot)
{
	return !r->accounted && !r->shared && !r->hugetlb && (prot & PROT_WRITE);
}

/* key: PROTECT_SAME_KEY, or another. */
static void protect_region(struct aspace *as, struct region *r, unsigned prot, int key)
{
	struct tlb_batch batch;
	enum kerr err;
	rwlock_write_lock(&r->lock);
	unsigned old = r->prot;
	bool other_key = key != PROTECT_SAME_KEY && key != r->key;
	if (other_key)
		r->key = (uint8_t)key;
	region_set_prot(r, prot);
	if (becomes_data(r, prot)) {
		r->accounted = true;
		region_account(r, (int64_t)((r->end - r->start) >> PAGE_SHIFT));
	}
	tlb_batch_init(&batch, &as->tlb);
	if (!r->prot || (r->prot & ~old & PROT_EXEC) || other_key)
		/* Out of reach, about to be executed, other bits: faults look at each page again. */
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

/* Whether r may get these rights. */
static enum kerr may_protect(const struct aspace *as, const struct region *r, unsigned prot)
{
	if (unlikely(as->deny_exec) && (prot & PROT_EXEC) &&
	    ((prot & PROT_WRITE) || !(r->prot & PROT_EXEC)))
		return KERR_ACCESS;
	if ((prot & PROT_WRITE) && r->shared && r->no_write)
		return KERR_ACCESS;
	return r->marks & MARK_SEALED ? KERR_PERM : KERR_OK;
}

/* aspace.lock. The part of r in [start, end); *r: the region that it is now. */
static enum kerr protect_part(struct aspace *as, struct region **r, vaddr_t start, vaddr_t end,
			      unsigned prot, int key)
{
	enum kerr err = may_protect(as, *r, prot);
	if (err == KERR_OK)
		err = isolate(as, *r, start, end, r);
	if (err == KERR_OK && becomes_data(*r, prot) && !(*r)->noreserve)
		err = commit_charge(((*r)->end - (*r)->start) >> PAGE_SHIFT);
	if (err == KERR_OK)
		protect_region(as, *r, prot, key);
	return err;
}

static enum kerr protect_locked(struct aspace *as, vaddr_t start, vaddr_t end, unsigned prot,
				int key)
{
	if (key != PROTECT_SAME_KEY && !(as->keys >> key & 1))
		return KERR_INVAL;
	struct region *r = region_above(as, start);
	vaddr_t at = start;
	enum kerr err = KERR_OK;
	if (unlikely(key != PROTECT_SAME_KEY) && !(as->keys >> key & 1))
		return KERR_INVAL;
	if (unlikely(prot & PROT_GROWSDOWN)) {
		if (!r || r->start >= end)
			return KERR_NOMEM;
		if (!r->grows)
			return KERR_INVAL;
		start = at = r->start;
	}
	if (!r || r->start > start)
		return KERR_NOMEM;
	if (unlikely(prot & PROT_GROWSUP))
		return KERR_INVAL; /* no region does */
	for (; at < end && err == KERR_OK; at = r->end, r = region_next(r)) {
		if (!r || r->start > at)
			err = KERR_NOMEM;
		else
			err = protect_part(as, &r, at, end, prot, key);
		if (err != KERR_OK)
			break;
	}
	merge_range(as, start, MIN(at, end));
	return err;
}

enum kerr aspace_protect(struct aspace *as, vaddr_t addr, size_t size, unsigned prot)
{
	return aspace_protect_key(as, addr, size, prot, PROTECT_SAME_KEY);
}

enum kerr aspace_protect_key(struct aspace *as, vaddr_t addr, size_t size, unsigned prot, int key)
{
	vaddr_t end;
	unsigned grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
	if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || !IS_ALIGNED(addr, PAGE_SIZE))
		return KERR_INVAL;
	if (size == 0)
		return KERR_OK;
	if (!whole_pages(addr, size, &end) || end == addr)
		return KERR_NOMEM;
	if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | grows))
		return KERR_INVAL;
	mutex_lock(&as->lock);
	enum kerr err = protect_locked(as, addr, end, prot, key);
	mutex_unlock(&as->lock);
	return err;
}

enum kerr aspace_deny_exec(struct aspace *as, unsigned bits)
{
	enum kerr err = KERR_OK;
	if ((bits & ~(MDWE_REFUSE | MDWE_NO_INHERIT)) || bits == MDWE_NO_INHERIT)
		return KERR_INVAL;
	mutex_lock(&as->lock);
	if (as->deny_exec && as->deny_exec != bits)
		err = KERR_PERM;
	else
		as->deny_exec = (uint8_t)bits;
	mutex_unlock(&as->lock);
	return err;
}

unsigned aspace_exec_denied(const struct aspace *as)
{
	return READ_ONCE(as->deny_exec);
}

/* ---- mseal ---------------------------------------------------------------------------------- */

enum kerr aspace_seal(struct aspace *as, vaddr_t addr, size_t size)
{
	vaddr_t end;
	enum kerr err = KERR_OK;
	if (!whole_pages(addr, size, &end))
		return KERR_INVAL;
	if (end == addr)
		return KERR_OK;
	mutex_lock(&as->lock);
	if (!covered(as, addr, end))
		err = KERR_NOMEM;
	for (vaddr_t at = addr; err == KERR_OK && at < end;) {
		struct region *r = region_find(as, at);
		err = mark_part(as, r, at, end, 0, MARK_SEALED, &r);
		at = r->end;
		as->sealed = true;
	}
	merge_range(as, addr, end);
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
	vaddr_t grown = 0;
	mutex_lock(&as->lock);
	vaddr_t old_end = ALIGN_UP(as->brk, PAGE_SIZE);
	if (want >= as->brk_start && want < aspace_user_end() &&
	    want - as->brk_start <= as->data_limit) {
		vaddr_t end = ALIGN_UP(want, PAGE_SIZE);
		if (end < old_end)
			err = unmap_locked(as, end, old_end);
		else if (end > old_end)
			err = map_brk_locked(as, old_end, end);
		if (err == KERR_OK) {
			as->brk = want;
			grown = is_pinned(as->future_marks) ? end : 0;
		}
	}
	*now = as->brk;
	mutex_unlock(&as->lock);
	if (unlikely(grown > old_end))
		(void)!aspace_populate(as, old_end, grown, true);
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

/* as->lock held. mmap goes down from below the stack's reach: its limit, within 128 MiB and 5/6 of
 * all, and as far as it was pushed down by chance; and by chance some more. */
static void place_map_top(struct aspace *as)
{
	uint64_t reach = MAX(as->stack_limit, 128ull << 20) + as->stack_random + STACK_GAP;
	reach = MIN(reach < as->stack_limit ? ~0ull : reach, aspace_user_top() / 6 * 5);
	as->map_top = ALIGN_DOWN(aspace_user_top() - reach, PAGE_SIZE);
	as->map_top -= MIN(as->map_random, as->map_top / 2);
	as->hint = 0;
}

void aspace_set_limits(struct aspace *as, uint64_t stack, uint64_t data, uint64_t total)
{
	mutex_lock(&as->lock);
	bool moved = stack != as->stack_limit;
	as->stack_limit = stack;
	as->data_limit = data;
	as->total_limit = total;
	if (moved)
		place_map_top(as);
	mutex_unlock(&as->lock);
}

uint64_t aspace_resident_pages(const struct aspace *as)
{
	return atomic_load_explicit(&as->pages.pages, memory_order_relaxed);
}

uint64_t aspace_data_bytes(struct aspace *as)
{
	mutex_lock(&as->lock);
	uint64_t pages = as->committed + as->uncommitted;
	mutex_unlock(&as->lock);
	return pages << PAGE_SHIFT;
}

void aspace_set_random(struct aspace *as, uint64_t stack, uint64_t map)
{
	mutex_lock(&as->lock);
	as->stack_random = stack;
	as->map_random = map;
	place_map_top(as);
	mutex_unlock(&as->lock);
}

#define SYNC_ASYNC 1u
#define SYNC_INVALIDATE 2u

enum kerr aspace_sync(struct aspace *as, vaddr_t addr, size_t size, unsigned flags)
{
	vaddr_t end, at = addr;
	enum kerr err = KERR_OK, hole = KERR_OK;
	if (!IS_ALIGNED(addr, PAGE_SIZE))
		return KERR_INVAL;
	end = addr + ALIGN_UP(size, PAGE_SIZE);
	if (end < addr)
		return KERR_NOMEM;
	mutex_lock(&as->lock);
	while (at < end && err == KERR_OK) {
		struct region *r = region_above(as, at);
		if (!r || (r->start > at && flags == SYNC_ASYNC)) {
			err = KERR_NOMEM;
			break;
		}
		if (r->start > at) {
			hole = KERR_NOMEM;
			if (r->start >= end)
				break;
		}
		if ((flags & SYNC_INVALIDATE) && (r->marks & MARK_LOCKED))
			err = KERR_BUSY;
		at = r->end;
	}
	mutex_unlock(&as->lock);
	return err != KERR_OK ? err : hole;
}

/* as->lock held. */
static bool resident(struct region *r, vaddr_t va)
{
	paddr_t pa;
	map_flags_t flags;
	if (mapper_translate(&r->as->mapper, va, &pa, &flags, nullptr) == KERR_OK)
		return true; /* the page of zeroes, too */
	rcu_read_lock();
	bool in = !r->shared && pagetree_get(&r->as->pages, va >> PAGE_SHIFT);
	if (!in && r->object)
		in = pagetree_get(&r->object->pages, (r->offset + (va - r->start)) >> PAGE_SHIFT);
	rcu_read_unlock();
	return in;
}

enum kerr aspace_residency(struct aspace *as, vaddr_t addr, size_t pages, uint8_t *out,
			   size_t *done)
{
	*done = 0;
	mutex_lock(&as->lock);
	struct region *r = region_find(as, addr);
	for (vaddr_t va = addr; r && *done < pages; va += PAGE_SIZE) {
		if (va >= r->end) {
			r = region_next(r);
			if (!r || r->start != va)
				break;
		}
		out[(*done)++] = resident(r, va);
	}
	mutex_unlock(&as->lock);
	return *done || !pages ? KERR_OK : KERR_NOMEM;
}
