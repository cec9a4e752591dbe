/*
 * The bump allocator: the frames that exist before the allocators do. It takes from the largest
 * usable range inside the window that early tables map, downwards from its top, so that low memory
 * (DMA) is left alone and what is taken is one run.
 *
 * A request that must be aligned may leave a gap above itself; gaps are remembered (GAPS of them,
 * then aligned requests fail and the caller maps small pages) so that retirement loses nothing.
 * What was handed out is never taken back. After bump_retire() a call is a panic: whoever still
 * holds on to it would take frames that the buddy owns.
 *
 * Boot CPU only, no lock.
 */
#include "bump.h"
#include "allocator.h"
#include "memory_map.h"

#include <core/panic.h>
#include <lib/compiler.h>
#include <mm/frame.h>

#define GAPS 16

enum bump_state { BUMP_IDLE, BUMP_ACTIVE, BUMP_RETIRED };

static struct {
	enum bump_state state;
	const struct memory_range *map;
	size_t count;
	paddr_t low, high;        /* window */
	paddr_t bottom, top;      /* what is left of the current run */
	paddr_t done[GAPS][2];    /* runs that were used up before: [first taken, end of run) */
	size_t done_count;
	paddr_t gaps[GAPS][2];
	size_t gap_count;
	paddr_t run_end;          /* where the current run began, going down */
	uint64_t used;
} bump;

static bool usable(const struct memory_range *r, paddr_t low, paddr_t high, paddr_t *start,
		   paddr_t *end)
{
	if (r->kind != BOOT_MEM_USABLE)
		return false;
	*start = ALIGN_UP(MAX(r->start, low), PAGE_SIZE);
	*end = ALIGN_DOWN(MIN(r->end, high), PAGE_SIZE);
	return *start < *end;
}

/* Sets the run to the largest one in the window that has not been touched. */
static bool choose_run(void)
{
	paddr_t best_start = 0, best_end = 0;
	for (size_t i = 0; i < bump.count; i++) {
		paddr_t start, end;
		if (!usable(&bump.map[i], bump.low, bump.high, &start, &end))
			continue;
		for (size_t d = 0; d < bump.done_count; d++) {
			if (bump.done[d][0] < end && start < bump.done[d][1])
				end = bump.done[d][0]; /* runs are used from the top */
		}
		if (end > start && end - start > best_end - best_start) {
			best_start = start;
			best_end = end;
		}
	}
	bump.bottom = best_start;
	bump.top = bump.run_end = best_end;
	return best_end > best_start;
}

void bump_start(const struct memory_range *map, size_t count, paddr_t low, paddr_t high)
{
	BUG_ON(bump.state != BUMP_IDLE);
	bump.map = map;
	bump.count = count;
	bump.low = low;
	bump.high = high;
	bump.state = BUMP_ACTIVE;
	choose_run();
}

/* Leaves the current run; what was taken from it is kept in mind. False: too many runs. */
static bool close_run(void)
{
	if (bump.top == bump.run_end)
		return true;
	if (bump.done_count == GAPS)
		return false;
	bump.done[bump.done_count][0] = bump.top;
	bump.done[bump.done_count][1] = bump.run_end;
	bump.done_count++;
	bump.run_end = bump.top;
	return true;
}

void bump_widen(paddr_t low, paddr_t high)
{
	BUG_ON(bump.state != BUMP_ACTIVE);
	BUG_ON(!close_run());
	bump.low = low;
	bump.high = high;
	choose_run();
}

paddr_t bump_take(size_t size, size_t align)
{
	if (bump.state != BUMP_ACTIVE)
		panic("bump allocator: called when not in use");
	for (int tries = 0; tries < 2; tries++) {
		if (bump.top - bump.bottom >= size) {
			paddr_t at = ALIGN_DOWN(bump.top - size, align);
			bool gap = at + size != bump.top;
			if (at >= bump.bottom && (!gap || bump.gap_count < GAPS)) {
				if (gap) {
					bump.gaps[bump.gap_count][0] = at + size;
					bump.gaps[bump.gap_count][1] = bump.top;
					bump.gap_count++;
				}
				bump.top = at;
				bump.used += size >> PAGE_SHIFT;
				return at;
			}
		}
		if (size > PAGE_SIZE || !close_run() || !choose_run())
			return 0; /* large ones have a smaller way out; keep the run for it */
	}
	return 0;
}

/* Gives [start, end) without what `done` says was taken. */
static void give_rest(paddr_t start, paddr_t end, void (*give)(paddr_t, paddr_t))
{
	while (start < end) {
		/* The next taken stretch in the range, lowest first. */
		paddr_t next = end, after = end;
		for (size_t d = 0; d < bump.done_count; d++) {
			if (bump.done[d][0] < next && bump.done[d][1] > start) {
				next = MAX(bump.done[d][0], start);
				after = bump.done[d][1];
			}
		}
		if (next > start)
			give(start, MIN(next, end));
		start = after;
	}
}

void bump_retire(void (*give)(paddr_t start, paddr_t end))
{
	BUG_ON(bump.state != BUMP_ACTIVE);
	BUG_ON(!close_run());
	bump.state = BUMP_RETIRED;
	for (size_t i = 0; i < bump.count; i++) {
		paddr_t start, end;
		if (usable(&bump.map[i], 0, ~(paddr_t)0, &start, &end))
			give_rest(start, end, give);
	}
	for (size_t i = 0; i < bump.gap_count; i++)
		give(bump.gaps[i][0], bump.gaps[i][1]);
}

uint64_t bump_used(void)
{
	return bump.used;
}

/* The highest run of `size` bytes below `top`, in one usable region and clear of all others. */
static paddr_t find_below(const struct boot_region *regions, size_t count, paddr_t low, paddr_t top,
			  size_t size)
{
	for (;;) {
		if (top < low || top - low < size)
			return 0;
		paddr_t at = ALIGN_DOWN(top - size, PAGE_SIZE);
		if (at < low)
			return 0;
		paddr_t lower = at + size; /* or: the obstacle ends our run here */
		for (size_t i = 0; i < count; i++) {
			if (regions[i].kind != BOOT_MEM_USABLE && regions[i].start < at + size &&
			    at < regions[i].end && regions[i].start < lower)
				lower = regions[i].start;
		}
		if (lower == at + size)
			return at;
		top = lower;
	}
}

paddr_t bump_find_raw(const struct boot_region *regions, size_t count, paddr_t low, paddr_t high,
		      size_t size)
{
	paddr_t best = 0;
	for (size_t i = 0; i < count; i++) {
		if (regions[i].kind != BOOT_MEM_USABLE)
			continue;
		paddr_t at = find_below(regions, count, MAX(regions[i].start, low),
					MIN(regions[i].end, high), size);
		best = MAX(best, at);
	}
	return best;
}

/* ---- pmm=bump: for measurements ------------------------------------------------------------ */

/*
 * The same idea as a policy for zones: what is left is a list of runs, each told by its first
 * frame's record (private: its length); a block comes from the first that it fits in. What is freed
 * stays lost, so this is the cost of allocation with none of reuse (but for the CPU caches).
 */
static enum kerr policy_init(struct zone *z)
{
	list_init(&z->runs);
	return KERR_OK;
}

static void policy_add(struct zone *z, pfn_t pfn, size_t count)
{
	if (!count)
		return;
	frame_table[pfn].private = count;
	list_add_head(&z->runs, &frame_table[pfn].link);
}

static pfn_t policy_take_run(struct zone *z, size_t count, unsigned order)
{
	struct frame *f;

	list_for_each(f, &z->runs, link) {
		pfn_t start = frame_pfn(f), end = start + f->private;
		pfn_t at = ALIGN_UP(start, (pfn_t)1 << order);
		if (at >= end || end - at < count)
			continue;
		list_remove(&f->link);
		policy_add(z, at + count, end - at - count);
		policy_add(z, start, at - start);
		return at;
	}
	return PFN_NONE;
}

static pfn_t policy_take(struct zone *z, unsigned order)
{
	return policy_take_run(z, (size_t)1 << order, order);
}

static size_t policy_take_batch(struct zone *z, pfn_t *out, size_t count)
{
	size_t n = 0;

	while (n < count && (out[n] = policy_take(z, 0)) != PFN_NONE)
		n++;
	return n;
}

static size_t policy_deallocate(struct zone *z, pfn_t pfn, unsigned order)
{
	return 0;
}

static bool policy_is_free(const struct zone *z, pfn_t pfn)
{
	const struct frame *f;

	list_for_each(f, &z->runs, link)
		if (pfn - frame_pfn(f) < f->private)
			return true;
	return false;
}

static void policy_blocks(const struct zone *z, uint64_t blocks[FRAME_ORDERS])
{
	const struct frame *f;

	list_for_each(f, &z->runs, link)
		frame_run_blocks(frame_pfn(f), f->private, blocks);
}

static void policy_export(struct zone *z, pfn_t first, uint64_t words[FRAME_BLOCK_WORDS])
{
	const pfn_t last = first + FRAME_BLOCK;
	struct frame *f, *next;

	list_for_each_safe(f, next, &z->runs, link) {
		pfn_t start = frame_pfn(f), end = start + f->private;
		pfn_t from = MAX(start, first), to = MIN(end, last);
		if (from >= to)
			continue;
		list_remove(&f->link);
		policy_add(z, start, from - start);
		policy_add(z, to, end - to);
		words_mark(words, from - first, to - from);
	}
}

/* Only on the way back, when the change away from it has failed. */
static size_t policy_import(struct zone *z, pfn_t first, const uint64_t words[FRAME_BLOCK_WORDS])
{
	size_t count, all = 0;

	for (size_t at = 0; words_next_run(words, &at, &count); at += count) {
		policy_add(z, first + at, count);
		all += count;
	}
	return all;
}

const struct frame_allocator_ops frame_allocator_bump = {
	.name = "bump",
	.init = policy_init,
	.add = policy_add,
	.allocate = policy_take,
	.allocate_contiguous = policy_take_run,
	.allocate_batch = policy_take_batch,
	.deallocate = policy_deallocate,
	.is_free = policy_is_free,
	.blocks = policy_blocks,
	.export = policy_export,
	.import = policy_import,
	.loses = true,
};
