/*
 * Huge pages of programs (VM-4).
 *
 * There are no compound pages. A huge page is 512 frames in a row, each with its own record and
 * references, in 512 slots of the page tree; the huge leaf in the hardware table is a denser cache of
 * those slots. So splitting replaces the leaf by a table of the same frames, or by nothing, and all
 * that works on a part of it (munmap, mprotect, madvise, mremap, a write after fork) works on pages.
 *
 *	window    2 MiB aligned, wholly within one private anonymous region that is not executable
 *	fault     no table for the window yet:
 *	            its 512 slots hold a run       the leaf comes back (after fork, mremap, a split)
 *	            none is taken, a write         a block of 512 zeroed frames, if there is room
 *	            else                           page by page
 *	          a leaf in the way: used if it allows the access; made writable if nobody else has
 *	          any of its frames; else split
 *	promotion the last page of a window is written and its slots hold a run: the table goes,
 *	          the leaf comes. MADV_COLLAPSE makes the run by copying.
 *
 * Why no fault can install a page that is out of date: slots of a window change only by faults
 * that hold an entry of its table, under the region's lock; while there is a table no leaf can
 * be put in, and a table goes only with the region locked for writing. A leaf is put in by
 * compare-and-swap from nothing, so it describes the slots as they are.
 *
 * fill_locks: faults on one untouched window wait for the one that fills it, hashed by window. Without
 * them all would be right, but two threads would each take a block and mix them. After a region's
 * rwlock; nothing but frames is asked for under it.
 *
 * Policy. "always" is the default: most programs do not ask, and a window costs one fault
 * instead of 512. A block is only taken while a quarter of all memory stays free (in regions that
 * asked by MADV_HUGEPAGE: down to the low watermark), so a small machine keeps its memory
 * for pages that are used. Stacks never get huge pages: each thread would take one.
 *
 * Rejected: a huge page of zeroes for reads (2 MiB that a 64 MiB machine misses); a thread that looks for
 * windows to collapse (costs always, and gains for programs that could ask).
 */
#include "fault.h"

#include "counters.h"
#include "inject.h"

#include <core/cmdline.h>
#include <core/panic.h>
#include <lib/string.h>
#include <mm/huge.h>

#define HUGE_PAGES PAGETREE_BLOCK
#define HUGE_ORDER 9u
#define FILL_LOCKS 16u
static_assert(HUGE_PAGES << PAGE_SHIFT == HUGE_SIZE);

static _Atomic enum huge_mode mode = HUGE_ALWAYS;
static struct mutex fill_locks[FILL_LOCKS];

void huge_setup(void)
{
	static const char *const names[] = {
		[HUGE_ALWAYS] = "always", [HUGE_MADVISE] = "madvise", [HUGE_NEVER] = "never"};
	char word[16];
	for (unsigned i = 0; i < FILL_LOCKS; i++)
		mutex_init(&fill_locks[i], "huge window");
	if (!cmdline_get("transparent_hugepage", word, sizeof(word)))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(word, names[i]) == 0)
			huge_set_mode((enum huge_mode)i);
}

enum huge_mode huge_mode(void)
{
	return atomic_load_explicit(&mode, memory_order_relaxed);
}

void huge_set_mode(enum huge_mode to)
{
	atomic_store_explicit(&mode, to, memory_order_relaxed);
}

void huge_stats(struct huge_stats *out)
{
	*out = (struct huge_stats){
		.mapped = mm_counted(COUNT_HUGE) * HUGE_PAGES,
		.faults = mm_counted(COUNT_HUGE_FAULT),
		.fallbacks = mm_counted(COUNT_HUGE_FALLBACK),
		.splits = mm_counted(COUNT_HUGE_SPLIT),
		.collapses = mm_counted(COUNT_HUGE_COLLAPSE),
	};
}

void aspace_set_huge_disabled(struct aspace *as, bool disabled)
{
	WRITE_ONCE(as->huge_disabled, disabled);
}

bool aspace_huge_disabled(struct aspace *as)
{
	return READ_ONCE(as->huge_disabled);
}

uint64_t aspace_huge_bytes(struct aspace *as, vaddr_t start, vaddr_t end)
{
	mutex_lock(&as->lock);
	uint64_t pages = mapper_count_huge(&as->mapper, start, end - start);
	mutex_unlock(&as->lock);
	return pages << PAGE_SHIFT;
}

/* ---- Which windows -------------------------------------------------------------------------- */

static bool wanted(const struct region *r)
{
	enum huge_mode m = huge_mode();
	return !READ_ONCE(r->as->huge_disabled) &&
	       (m == HUGE_ALWAYS || (m == HUGE_MADVISE && r->huge == REGION_HUGE_YES));
}

static map_flags_t leaf_flags(const struct region *r, bool writable)
{
	return r->read_flags | (writable ? MAP_WRITABLE | MAP_DIRTY : 0);
}

static struct frame *block_alloc(bool plenty)
{
	if (!frame_room(HUGE_PAGES, plenty))
		return nullptr;
	return frame_alloc_contiguous(HUGE_PAGES, HUGE_ORDER, FRAME_USER);
}

/* What of a block was not put anywhere. */
static void block_free(struct frame *block, unsigned from)
{
	if (from == 0) {
		frame_free_run(block, HUGE_ORDER);
		return;
	}
	for (unsigned i = from; i < HUGE_PAGES; i++)
		frame_free(block + i, 0);
}

/* ---- Faults --------------------------------------------------------------------------------- */

static enum huge_result done(struct fault *x, struct frame *base)
{
	x->frame = base + mapper_index(x->va, 0);
	x->private = true;
	return HUGE_DONE;
}

/* There is a leaf. */
static enum huge_result use_leaf(struct fault *x, pte_t *e, pte_t old, bool may)
{
	struct pte_parts parts = hal.mmu.decode(old, MAPPER_HUGE);
	struct frame *base = frame_table + (parts.address >> PAGE_SHIFT);
	vaddr_t window = ALIGN_DOWN(x->va, HUGE_SIZE);
	if (fault_allows(parts, x->access)) {
		tlb_flush_local(&x->as->tlb, x->va);
		return done(x, base);
	}
	if (may && x->access == TRAP_WRITE && (x->r->prot & PROT_WRITE) &&
	    pagetree_block_own(&x->as->pages, window >> PAGE_SHIFT, base)) {
		pte_t new = hal.mmu.leaf(parts.address, leaf_flags(x->r, true), MAPPER_HUGE);
		if (mapper_swap(e, &old, new)) {
			/* More rights on the same frames: stale entries elsewhere fault. */
			tlb_flush_local(&x->as->tlb, x->va);
			return done(x, base);
		}
	}
	mapper_split(&x->as->mapper, x->va, &x->as->tlb);
	return HUGE_NO;
}

/* The window's lock held; there was no table and no leaf. */
static enum huge_result fill(struct fault *x, vaddr_t window, pte_t *e, struct frame *table)
{
	uint64_t first = window >> PAGE_SHIFT;
	bool writable, write = x->access == TRAP_WRITE;
	struct frame *base = nullptr;
	enum pagetree_block state = pagetree_block_state(&x->as->pages, first, &base, &writable);
	if (state == BLOCK_MIXED || (state == BLOCK_EMPTY && !write))
		return HUGE_NO;
	if (state == BLOCK_WHOLE && write && !writable &&
	    !(writable = pagetree_block_own(&x->as->pages, first, base)))
		return HUGE_NO;
	if (state == BLOCK_EMPTY) {
		base = block_alloc(x->r->huge != REGION_HUGE_YES);
		if (!base) {
			mm_count(COUNT_HUGE_FALLBACK, 1);
			return HUGE_NO;
		}
		for (unsigned i = 0; i < HUGE_PAGES; i++)
			hal.mmu.page_zero(frame_data(base + i));
		unsigned placed = pagetree_block_fill(&x->as->pages, first, base);
		mm_count(COUNT_ANONYMOUS, placed);
		if (placed < HUGE_PAGES) {
			block_free(base, placed);
			return HUGE_NO;
		}
		mm_count(COUNT_HUGE_FAULT, 1);
		writable = true;
	}
	map_flags_t flags = leaf_flags(x->r, writable && (x->r->prot & PROT_WRITE));
	if (!mapper_leaf_install(&x->as->mapper, e, table, window, frame_address(base), flags))
		return HUGE_NO; /* a table came: the pages are there, one by one */
	return done(x, base);
}

enum huge_result huge_fault(struct fault *x)
{
	vaddr_t window = ALIGN_DOWN(x->va, HUGE_SIZE);
	bool may = huge_possible(x->r, window);
	struct mutex *lock = &fill_locks[(window / HUGE_SIZE) % FILL_LOCKS];
	struct frame *table;
	pte_t *e;
	enum kerr err = mapper_entry_make(&x->as->mapper, x->va, MAPPER_HUGE, &e, &table);
	if (err != KERR_OK)
		return x->r->hugetlb ? HUGE_MEMORY : HUGE_NO;
	if (x->r->hugetlb) {
		mutex_lock(lock);
		enum huge_result result = hugetlb_fault(x, e, table);
		mutex_unlock(lock);
		return result;
	}
	pte_t old = mapper_load(e);
	if (!old.raw && may && wanted(x->r)) {
		enum huge_result result = HUGE_NO;
		mutex_lock(lock);
		old = mapper_load(e);
		if (!old.raw)
			result = fill(x, window, e, table);
		mutex_unlock(lock);
		if (result != HUGE_NO)
			return result;
		old = mapper_load(e);
	}
	if (hal.mmu.decode(old, MAPPER_HUGE).kind != PTE_LEAF)
		return HUGE_NO;
	return use_leaf(x, e, old, may);
}

/* ---- Collapse ------------------------------------------------------------------------------- */

/* aspace.lock. The window gets a leaf; its slots hold the run that begins with `base`, region locked for
 * writing and nothing mapped in it. */
static void map_run(struct aspace *as, struct region *r, vaddr_t window, struct frame *base,
		    bool writable)
{
	struct frame *table;
	pte_t *e;
	/* No memory for a table: the next fault tries again. */
	if (mapper_entry_make(&as->mapper, window, MAPPER_HUGE, &e, &table) == KERR_OK)
		(void)!mapper_leaf_install(&as->mapper, e, table, window, frame_address(base),
					   leaf_flags(r, writable && (r->prot & PROT_WRITE)));
}

/* Region locked for writing. What the window's table says is forgotten, and the table goes. */
static void unmap_window(struct aspace *as, vaddr_t window)
{
	struct tlb_batch batch;
	tlb_batch_init(&batch, &as->tlb);
	enum kerr err = mapper_unmap_range(&as->mapper, window, HUGE_SIZE, true, window,
					   window + HUGE_SIZE, &batch);
	BUG_ON(err != KERR_OK);
	tlb_batch_finish(&batch);
}

static bool has_leaf(struct aspace *as, vaddr_t window)
{
	return mapper_count_huge(&as->mapper, window, HUGE_SIZE) != 0;
}

/* aspace.lock, region locked for writing. */
static enum kerr collapse_window(struct aspace *as, struct region *r, vaddr_t window, bool copy)
{
	uint64_t first = window >> PAGE_SHIFT;
	struct frame *base;
	bool owned;
	if (has_leaf(as, window))
		return KERR_OK;
	enum pagetree_block state = pagetree_block_state(&as->pages, first, &base, &owned);
	if (state != BLOCK_WHOLE || (copy && !owned)) {
		if (!copy || state == BLOCK_EMPTY)
			return KERR_INVAL;
		base = block_alloc(false);
		if (!base)
			return KERR_NOMEM;
		unmap_window(as, window);
		enum kerr err = pagetree_block_replace(&as->pages, first, base);
		if (err != KERR_OK) {
			block_free(base, 0);
			return err;
		}
		owned = true;
	} else {
		unmap_window(as, window);
	}
	mm_count(COUNT_HUGE_COLLAPSE, 1);
	map_run(as, r, window, base, owned);
	return KERR_OK;
}

enum kerr huge_collapse(struct aspace *as, vaddr_t start, vaddr_t end)
{
	enum kerr result = KERR_OK;
	for (vaddr_t window = ALIGN_UP(start, HUGE_SIZE); window + HUGE_SIZE <= end;
	     window += HUGE_SIZE) {
		enum kerr err = KERR_INVAL;
		mutex_lock(&as->lock);
		struct region *r = region_find(as, window);
		if (r && huge_possible(r, window) && !as->huge_disabled) {
			rwlock_write_lock(&r->lock);
			err = collapse_window(as, r, window, true);
			rwlock_write_unlock(&r->lock);
		}
		mutex_unlock(&as->lock);
		if (!r)
			return KERR_NOMEM;
		if (err == KERR_NOENT)
			err = KERR_INVAL;
		if (err != KERR_OK)
			result = err;
	}
	return result;
}

void huge_promote(struct aspace *as, vaddr_t va)
{
	vaddr_t window = ALIGN_DOWN(va, HUGE_SIZE);
	uint64_t first = window >> PAGE_SHIFT;
	rcu_read_lock();
	struct frame *base = page_slot_frame(pagetree_get(&as->pages, first));
	struct frame *last = page_slot_frame(pagetree_get(&as->pages, first + HUGE_PAGES - 1));
	rcu_read_unlock();
	if (likely(!base || frame_pfn(base) % HUGE_PAGES || last != base + HUGE_PAGES - 1))
		return;
	mutex_lock(&as->lock);
	struct region *r = region_find(as, window);
	if (r && huge_possible(r, window) && wanted(r)) {
		rwlock_write_lock(&r->lock);
		(void)!collapse_window(as, r, window, false); /* no run: it stays as it is */
		rwlock_write_unlock(&r->lock);
	}
	mutex_unlock(&as->lock);
}
