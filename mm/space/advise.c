/*
 * madvise: what programs tell about the use that they will make of a range.
 *
 *	marks      of the region: forks, dumps, order of use, volatile (region.h)
 *	contents   DONTNEED, FREE, REMOVE: pages go, at once or under pressure
 *	presence   POPULATE_*: pages come
 *	hints      WILLNEED, COLD, PAGEOUT: nothing to do where nothing is swapped out
 *
 * Region by region, as Linux does: a hole is skipped and reported at the end (KERR_NOMEM), an error
 * ends the call where it is.
 */
#include "region.h"

#include <core/panic.h>
#include <mm/advice.h>
#include <mm/huge.h>

/* Advice that only changes marks. */
struct mark_advice {
	uint16_t clear, set;
	bool known;
};

static const struct mark_advice mark_advice[] = {
	[ADVISE_NORMAL] = {MARK_SEQUENTIAL | MARK_RANDOM, 0, true},
	[ADVISE_RANDOM] = {MARK_SEQUENTIAL, MARK_RANDOM, true},
	[ADVISE_SEQUENTIAL] = {MARK_RANDOM, MARK_SEQUENTIAL, true},
	[ADVISE_DONTFORK] = {0, MARK_NO_FORK, true},
	[ADVISE_DOFORK] = {MARK_NO_FORK, 0, true},
	[ADVISE_DONTDUMP] = {0, MARK_NO_DUMP, true},
	[ADVISE_DODUMP] = {MARK_NO_DUMP, 0, true},
	[ADVISE_WIPEONFORK] = {0, MARK_WIPE, true},
	[ADVISE_KEEPONFORK] = {MARK_WIPE, 0, true},
};

static bool changes_marks(int advice)
{
	return (unsigned)advice < ARRAY_SIZE(mark_advice) && mark_advice[advice].known;
}

static bool known(int advice)
{
	switch (advice) {
	case ADVISE_WILLNEED:
	case ADVISE_DONTNEED:
	case ADVISE_FREE:
	case ADVISE_REMOVE:
	case ADVISE_HUGEPAGE:
	case ADVISE_NOHUGEPAGE:
	case ADVISE_COLD:
	case ADVISE_PAGEOUT:
	case ADVISE_POPULATE_READ:
	case ADVISE_POPULATE_WRITE:
	case ADVISE_DONTNEED_LOCKED:
	case ADVISE_COLLAPSE:
	case ADVISE_VOLATILE:
	case ADVISE_NONVOLATILE:
		return true;
	default:
		return changes_marks(advice);
	}
}

/* Private pages in [start, end) of r are dropped, entries too: the next access starts afresh. */
static enum kerr discard(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end)
{
	if (unlikely(r->hugetlb)) {
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

/* as->lock held; let go meanwhile, so that r may be gone afterwards. */
static enum kerr remove(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end)
{
	struct vm_object *o = r->object;
	if ((r->marks & MARK_LOCKED) || !o || r->kind == REGION_DEVICE)
		return KERR_INVAL;
	if (!r->shared || r->no_write)
		return KERR_ACCESS;
	if (o->ops->fill)
		return KERR_OPNOTSUPP;
	uint64_t from = r->offset + (start - r->start);
	vm_object_get(o);
	mutex_unlock(&as->lock);
	vm_object_punch(o, from, from + (end - start));
	vm_object_put(o);
	mutex_lock(&as->lock);
	return KERR_OK;
}

/* A sealed region's contents stay, unless the program could write them anyway. */
static bool seal_forbids(const struct region *r, int advice)
{
	if (!(r->marks & MARK_SEALED) || r->object || (r->prot & PROT_WRITE))
		return false;
	return advice == ADVISE_DONTNEED || advice == ADVISE_FREE || advice == ADVISE_REMOVE ||
	       advice == ADVISE_DONTNEED_LOCKED || advice == ADVISE_DONTFORK ||
	       advice == ADVISE_WIPEONFORK;
}

static enum kerr change_marks(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end,
			      int advice)
{
	const struct mark_advice *m = &mark_advice[advice];
	if (r->kind == REGION_DEVICE && (advice == ADVISE_DOFORK || advice == ADVISE_DODUMP))
		return KERR_INVAL;
	if (advice == ADVISE_WIPEONFORK && (r->object || r->shared))
		return KERR_INVAL;
	as->special_fork |= (m->set & (MARK_NO_FORK | MARK_WIPE)) != 0;
	return mark_part(as, r, start, end, m->clear, m->set, &r);
}

static enum kerr change_huge(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end,
			     enum region_huge huge)
{
	if (r->huge == huge)
		return KERR_OK;
	enum kerr err = split_at(as, start);
	if (err == KERR_OK)
		err = split_at(as, end);
	if (err != KERR_OK)
		return err;
	r = region_find(as, start);
	rwlock_write_lock(&r->lock);
	r->huge = (uint8_t)huge;
	rwlock_write_unlock(&r->lock);
	return KERR_OK;
}

static enum kerr change_volatile(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end,
				 bool on, bool *purged)
{
	if (r->object || r->hugetlb)
		return KERR_INVAL;
	if (!on) {
		if ((r->marks & MARK_PURGED) && purged)
			*purged = true;
		return mark_part(as, r, start, end, MARK_VOLATILE | MARK_PURGED, 0, &r);
	}
	if (r->marks & MARK_LOCKED)
		return KERR_INVAL;
	purge_enter(as);
	return mark_part(as, r, start, end, 0, MARK_VOLATILE, &r);
}

/* as->lock held. The advice for [start, end), which lies in r. */
static enum kerr advise_region(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end,
			       int advice, bool *purged)
{
	if (unlikely(seal_forbids(r, advice)))
		return KERR_PERM;
	bool stays = r->kind == REGION_DEVICE || (r->marks & MARK_LOCKED);
	switch (advice) {
	case ADVISE_DONTNEED:
		return stays ? KERR_INVAL : discard(as, r, start, end);
	case ADVISE_DONTNEED_LOCKED:
		return r->kind == REGION_DEVICE ? KERR_INVAL : discard(as, r, start, end);
	case ADVISE_FREE:
		if (stays || r->object || r->hugetlb)
			return KERR_INVAL;
		purge_enter(as);
		purge_mark_lazy(as, r, start, end);
		return KERR_OK;
	case ADVISE_REMOVE:
		return remove(as, r, start, end);
	case ADVISE_HUGEPAGE:
		return change_huge(as, r, start, end, REGION_HUGE_YES);
	case ADVISE_NOHUGEPAGE:
		return change_huge(as, r, start, end, REGION_HUGE_NO);
	case ADVISE_COLD:
	case ADVISE_PAGEOUT:
		return stays ? KERR_INVAL : KERR_OK;
	case ADVISE_VOLATILE:
	case ADVISE_NONVOLATILE:
		return change_volatile(as, r, start, end, advice == ADVISE_VOLATILE, purged);
	default:
		return changes_marks(advice) ? change_marks(as, r, start, end, advice) : KERR_OK;
	}
}

static enum kerr advise_locked(struct aspace *as, vaddr_t start, vaddr_t end, int advice,
			       bool *purged)
{
	enum kerr hole = KERR_OK, err = KERR_OK;
	vaddr_t at = start;
	while (at < end && err == KERR_OK) {
		struct region *r = region_above(as, at);
		if (!r || r->start >= end) {
			hole = KERR_NOMEM;
			break;
		}
		if (r->start > at) {
			hole = KERR_NOMEM;
			at = r->start;
		}
		vaddr_t to = MIN(end, r->end);
		err = advise_region(as, r, at, to, advice, purged);
		at = to;
	}
	merge_range(as, start, end);
	return err != KERR_OK ? err : hole;
}

/* Each page as if it were read or written now. */
static enum kerr populate(struct aspace *as, vaddr_t start, vaddr_t end, bool write)
{
	while (start < end) {
		mutex_lock(&as->lock);
		struct region *r = region_find(as, start);
		vaddr_t to = r ? MIN(end, r->end) : start;
		bool allowed = r && r->kind != REGION_DEVICE &&
			       (r->prot & (write ? PROT_WRITE : PROT_READ));
		mutex_unlock(&as->lock);
		if (!r)
			return KERR_NOMEM;
		if (!allowed)
			return KERR_INVAL;
		enum kerr err = aspace_populate(as, start, to, write);
		if (err != KERR_OK)
			return err;
		start = to;
	}
	return KERR_OK;
}

enum kerr aspace_advise(struct aspace *as, vaddr_t addr, size_t size, int advice, bool *purged)
{
	vaddr_t end;
	if (!known(advice) || !whole_pages(addr, size, &end))
		return KERR_INVAL;
	if (end == addr)
		return KERR_OK;
	if (advice == ADVISE_POPULATE_READ || advice == ADVISE_POPULATE_WRITE)
		return populate(as, addr, end, advice == ADVISE_POPULATE_WRITE);
	if (advice == ADVISE_COLLAPSE)
		return huge_collapse(as, addr, end);
	mutex_lock(&as->lock);
	enum kerr err = advise_locked(as, addr, end, advice, purged);
	mutex_unlock(&as->lock);
	return err;
}
