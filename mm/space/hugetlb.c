/*
 * MAP_HUGETLB: regions of explicit huge pages (VM-4), 2 MiB each, from the pool (frames/hugepool.c).
 *
 * A private one keeps its frames in the page tree, a shared one in an object of its own, both as 512
 * slots a huge page; the hardware has huge leaves only. Bounds of such regions stay multiples of
 * 2 MiB: what would cut one gets KERR_INVAL, as on Linux.
 *
 * Promises. mmap reserves what the region could touch (not with MAP_NORESERVE). In a region with
 * HUGETLB_RESERVED each window either holds a huge page or is reserved, so what is to be given
 * back when a range goes is counted, not kept. After fork the parent keeps the promise; the child, and
 * copies after a write, get what is left, or SIGBUS. A shared object counts its promises.
 *
 * Rejected: mremap that moves or grows (KERR_INVAL); 1 GiB pages: no run of frames is that long, so they
 * are a pool that is always empty (KERR_NOMEM), and KERR_INVAL where the CPU has none.
 *
 * Locks: a window's fill lock (huge.c) orders faults on it; then the pool's.
 */
#include "fault.h"

#include "counters.h"
#include "hugepool.h"

#include <core/panic.h>
#include <mm/heap.h>

#define HUGE_PAGES PAGETREE_BLOCK
#define SIZE_SHIFT 26
#define SIZE_2M 21u
#define SIZE_1G 30u

struct hugetlb_object {
	struct vm_object o;
	_Atomic uint64_t reserved; /* blocks promised and not touched yet */
};

static _Atomic uint64_t shared_frames;

/* ---- Shared --------------------------------------------------------------------------------- */

static struct hugetlb_object *object_of(struct vm_object *o)
{
	return container_of(o, struct hugetlb_object, o);
}

/* Single pages are not made: the fault makes huge ones. */
static enum kerr object_fill(struct vm_object *o, uint64_t index, void *page)
{
	return KERR_NOENT;
}

static void object_uncharge(struct vm_object *o, uint64_t pages)
{
	atomic_fetch_sub_explicit(&shared_frames, pages, memory_order_relaxed);
}

static void object_destroy(struct vm_object *o)
{
	hugepool_unreserve(atomic_load_explicit(&object_of(o)->reserved, memory_order_relaxed));
	heap_free(object_of(o));
}

static const struct vm_object_ops hugetlb_ops = {.name = "hugetlb",
						 .fill = object_fill,
						 .uncharge = object_uncharge,
						 .destroy = object_destroy};

enum kerr hugetlb_object_create(uint64_t size, bool reserve, struct vm_object **out)
{
	uint64_t blocks = reserve ? size / HUGE_SIZE : 0;
	enum kerr err = hugepool_reserve(blocks);
	if (err != KERR_OK)
		return err;
	struct hugetlb_object *h = heap_alloc(sizeof(*h));
	if (!h) {
		hugepool_unreserve(blocks);
		return KERR_NOMEM;
	}
	vm_object_init(&h->o, &hugetlb_ops, size, nullptr);
	atomic_store_explicit(&h->reserved, blocks, memory_order_relaxed);
	*out = &h->o;
	return KERR_OK;
}

/* One of the object's promises; false: there is none. */
static bool object_spend(struct vm_object *o)
{
	_Atomic uint64_t *reserved = &object_of(o)->reserved;
	uint64_t n = atomic_load_explicit(reserved, memory_order_relaxed);
	while (n && !atomic_compare_exchange_weak_explicit(
			    reserved, &n, n - 1, memory_order_relaxed, memory_order_relaxed))
		;
	return n;
}

/* ---- Regions -------------------------------------------------------------------------------- */

enum kerr hugetlb_check(unsigned flags, vaddr_t addr, size_t *size, bool file)
{
	unsigned shift = flags >> SIZE_SHIFT & 0x1f;
	unsigned leaves = hal.mmu.geometry()->leaf_levels;
	if (file || (shift && shift != SIZE_2M && shift != SIZE_1G) ||
	    !(leaves >> (shift == SIZE_1G ? 2 : 1) & 1))
		return KERR_INVAL;
	if (shift == SIZE_1G)
		return KERR_NOMEM;
	*size = ALIGN_UP(*size, HUGE_SIZE);
	if ((flags & (MMAP_FIXED | MMAP_FIXED_NOREPLACE)) && !IS_ALIGNED(addr, HUGE_SIZE))
		return KERR_INVAL;
	return *size ? KERR_OK : KERR_NOMEM;
}

bool hugetlb_may_cut(struct aspace *as, vaddr_t at)
{
	struct region *r = IS_ALIGNED(at, HUGE_SIZE) ? nullptr : region_find(as, at);
	return !r || !r->hugetlb || r->start == at;
}

/* Of a HUGETLB_RESERVED region: windows in [start, end) that were promised and not touched. */
static uint64_t untouched(const struct region *r, vaddr_t start, vaddr_t end)
{
	uint64_t pages =
		pagetree_count(&r->as->pages, start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
	return (end - start) / HUGE_SIZE - pages / HUGE_PAGES;
}

void hugetlb_release(struct region *r, vaddr_t start, vaddr_t end)
{
	if (r->hugetlb == HUGETLB_RESERVED)
		hugepool_unreserve(untouched(r, start, end));
}

void hugetlb_discarded(struct region *r, uint64_t untouched_before)
{
	if (r->hugetlb != HUGETLB_RESERVED)
		return;
	if (hugepool_reserve(untouched(r, r->start, r->end) - untouched_before) == KERR_OK)
		return;
	/* Somebody shares what was dropped, or was faster: from now on without promises. */
	hugepool_unreserve(untouched_before);
	r->hugetlb = HUGETLB_PLAIN;
}

uint64_t hugetlb_untouched(const struct region *r)
{
	return r->hugetlb == HUGETLB_RESERVED ? untouched(r, r->start, r->end) : 0;
}

/* ---- Faults --------------------------------------------------------------------------------- */

struct window {
	struct pagetree *tree;
	uint64_t first;
	vaddr_t va;
	pte_t *entry;
	struct frame *table, *base;
	bool owned;
};

/* A zeroed block in the empty slots. */
static enum huge_result populate(struct fault *x, struct window *w)
{
	struct region *r = x->r;
	bool reserved = r->object ? object_spend(r->object) : r->hugetlb == HUGETLB_RESERVED;
	struct frame *base = hugepool_take(reserved);
	if (!base)
		return HUGE_BUS;
	for (unsigned i = 0; i < HUGE_PAGES; i++)
		hal.mmu.page_zero(frame_data(base + i));
	unsigned placed = pagetree_block_fill(w->tree, w->first, base);
	mm_count(r->object ? COUNT_OBJECT : COUNT_ANONYMOUS, placed);
	if (r->object)
		atomic_fetch_add_explicit(&shared_frames, placed, memory_order_relaxed);
	if (placed == 0) {
		if (reserved && r->object)
			atomic_fetch_add_explicit(&object_of(r->object)->reserved, 1,
						  memory_order_relaxed);
		hugepool_give(base, reserved);
		return HUGE_MEMORY;
	}
	for (unsigned i = placed; i < HUGE_PAGES; i++)
		frame_free(base + i, 0);
	w->base = base;
	w->owned = true;
	return placed == HUGE_PAGES ? HUGE_DONE : HUGE_MEMORY;
}

/* The first write to a private huge page that others have too. */
static enum huge_result copy(struct fault *x, struct window *w)
{
	struct frame *base = hugepool_take(false);
	if (!base)
		return HUGE_BUS;
	mapper_unmap_huge(&x->as->mapper, w->entry, w->va, &x->as->tlb);
	enum kerr err = pagetree_block_replace(w->tree, w->first, base);
	if (err != KERR_OK) {
		hugepool_give(base, false);
		return HUGE_MEMORY;
	}
	w->base = base;
	w->owned = true;
	return HUGE_DONE;
}

static map_flags_t flags_for(const struct fault *x, bool owned)
{
	const struct region *r = x->r;
	bool writable = (r->prot & PROT_WRITE) && (owned || r->shared) &&
			(!(r->prot & PROT_EXEC) || x->access == TRAP_WRITE);
	map_flags_t flags = r->read_flags | MAP_SPECIAL;
	return writable ? flags | MAP_WRITABLE | MAP_DIRTY | MAP_NO_EXECUTE : flags;
}

static enum huge_result map_window(struct fault *x, struct window *w)
{
	map_flags_t flags = flags_for(x, w->owned);
	if (!(flags & MAP_NO_EXECUTE))
		hal.mmu.code_sync((vaddr_t)frame_data(w->base), HUGE_SIZE);
	mapper_unmap_huge(&x->as->mapper, w->entry, w->va, &x->as->tlb);
	if (!mapper_leaf_install(&x->as->mapper, w->entry, w->table, w->va, frame_address(w->base),
				 flags))
		return HUGE_NO;
	x->frame = w->base + mapper_index(x->va, 0);
	x->private = !x->r->object;
	return HUGE_DONE;
}

enum huge_result hugetlb_fault(struct fault *x, pte_t *entry, struct frame *table)
{
	struct region *r = x->r;
	struct window w = {.tree = r->object ? &r->object->pages : &x->as->pages,
			   .va = ALIGN_DOWN(x->va, HUGE_SIZE),
			   .entry = entry,
			   .table = table};
	w.first = (r->object ? r->offset + (w.va - r->start) : w.va) >> PAGE_SHIFT;
	struct pte_parts parts = hal.mmu.decode(mapper_load(entry), MAPPER_HUGE);
	if (parts.kind == PTE_TABLE)
		return HUGE_NO;
	enum huge_result result = HUGE_DONE;
	switch (pagetree_block_state(w.tree, w.first, &w.base, &w.owned)) {
	case BLOCK_MIXED:
		return HUGE_BUS; /* cannot be: regions and their changes are whole windows */
	case BLOCK_EMPTY:
		result = populate(x, &w);
		break;
	case BLOCK_WHOLE:
		if (fault_allows(parts, x->access)) {
			tlb_flush_local(&x->as->tlb, x->va);
			x->frame = w.base + mapper_index(x->va, 0);
			x->private = !r->object;
			return HUGE_DONE;
		}
		if (x->access == TRAP_WRITE && !r->object && !w.owned &&
		    !(w.owned = pagetree_block_own(w.tree, w.first, w.base)))
			result = copy(x, &w);
	}
	return result == HUGE_DONE ? map_window(x, &w) : result;
}

uint64_t hugetlb_shared_frames(void)
{
	return atomic_load_explicit(&shared_frames, memory_order_relaxed);
}
