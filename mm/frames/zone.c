/*
 * Zones: ranges of physical addresses that some devices cannot see past, on each node. A frame
 * belongs to the zone its address says: DMA below 16 MiB, DMA32 below 4 GiB, NORMAL above; HIGH and
 * DEVICE exist as names (the direct map covers all RAM, device memory has no records).
 *
 *	request (node, highest zone) --> fallback[node]: its own zones from NORMAL down, then
 *	those of the next node by distance ... --> the first with frames above its watermark
 *	--> the policy (buddy, bitmap, hybrid, bump) picks them, under the zone's lock
 *
 * So low memory is used last on each node, and a near node's low memory before a far one's. Each
 * zone keeps a minimum that only the kernel's own requests may use (watermark min); below `low`
 * of all zones together the CPUs give up their caches, above `high` they stop.
 *
 * The records of frames are written here: a block's head is FRAME_USED while it is out (a second
 * free finds FRAME_FREE), whatever the policy keeps to know what is free.
 *
 * Rejected: a policy that sees zones and nodes (each had the same loops, and one forgot a
 * watermark); one lock for all zones of a node (DMA requests are rare, but batches are long).
 */
#include "allocator.h"
#include "memory_map.h"

#include <core/panic.h>
#include <core/time.h>
#include <lib/compiler.h>
#include <mm/frame.h>
#include <mm/numa.h>

#define ZONES_USED 3 /* DMA, DMA32, NORMAL: those with frames */

static struct zone zones[NODE_MAX][ZONES_USED];
/* By node: all zones with memory, best first, ended by null. Constant after init. */
static struct zone *fallback[NODE_MAX][NODE_MAX * ZONES_USED + 1];
const struct frame_allocator_ops
	*frame_allocator; /* (swapping of the slot `frames`; others peek) */

static const char *const zone_names[ZONE_COUNT] = {
	[ZONE_DMA] = "DMA",   [ZONE_DMA32] = "DMA32",   [ZONE_NORMAL] = "Normal",
	[ZONE_HIGH] = "High", [ZONE_DEVICE] = "Device",
};

static struct zone *zone_of_pfn(pfn_t pfn)
{
	return &zones[numa_node_of(pfn)][zone_id_of_pfn(pfn)];
}

/* That a frame was last allocated from; any for one that never was (its free is refused). */
static inline struct zone *zone_of(const struct frame *f)
{
	return &zones[f->node][f->zone];
}

struct zone *zone_get(size_t index)
{
	for (unsigned n = 0; n < numa_nodes(); n++)
		for (unsigned id = 0; id < ZONES_USED; id++)
			if (zones[n][id].present && index-- == 0)
				return &zones[n][id];
	return nullptr;
}

/* Who has this frame to give: the zone, or, while its policy is changed, the next one's part of it. */
static struct zone *part_of(struct zone *z, pfn_t pfn)
{
	return unlikely(z->next) && pfn < z->moved ? z->next : z;
}

/* ---- Boot ----------------------------------------------------------------------------------- */

/* Calls fn for each part of [start, end) that lies in one zone. */
static void for_zones(pfn_t start, pfn_t end, void (*fn)(struct zone *z, pfn_t start, pfn_t end))
{
	while (start < end) {
		enum zone_id id = zone_id_of_pfn(start);
		pfn_t stop = MIN(end, numa_node_end(start));
		if (id != ZONE_NORMAL)
			stop = MIN(stop, id == ZONE_DMA ? ZONE_DMA_END : ZONE_DMA32_END);
		fn(zone_of_pfn(start), start, stop);
		start = stop;
	}
}

static void add_present(struct zone *z, pfn_t start, pfn_t end)
{
	if (!z->present || start < z->start)
		z->start = start;
	if (end > z->end)
		z->end = end;
	z->present += end - start;
}

static void add_frames(struct zone *z, pfn_t start, pfn_t end)
{
	bool on = spin_lock_irq(&z->lock);
	for (pfn_t at = start, stop; at < end; at = stop) {
		struct zone *part = part_of(z, at);
		stop = part == z ? end : MIN(end, z->moved);
		part->policy->add(part, at, stop - at);
		if (part != z)
			atomic_fetch_add_explicit(&part->free_frames, stop - at,
						  memory_order_relaxed);
	}
	z->managed += end - start;
	atomic_fetch_add_explicit(&z->free_frames, end - start, memory_order_relaxed);
	spin_unlock_irq(&z->lock, on);
}

void zone_add_frames(pfn_t start, pfn_t end)
{
	for_zones(start, end, add_frames);
}

/* The zones of `node` and then of the others, nearest first. */
static void make_fallback(unsigned node)
{
	struct zone **out = fallback[node];

	for (uint32_t left = (uint32_t)((1ull << numa_nodes()) - 1); left;) {
		unsigned best = (unsigned)__builtin_ctz(left);
		for (uint32_t rest = left & (left - 1); rest; rest &= rest - 1) {
			unsigned n = (unsigned)__builtin_ctz(rest);
			if (numa_distance(node, n) < numa_distance(node, best))
				best = n;
		}
		left &= ~(1u << best);
		for (unsigned id = ZONES_USED; id-- > 0;)
			if (zones[best][id].present)
				*out++ = &zones[best][id];
	}
	*out = nullptr;
}

enum kerr zone_init_all(const struct frame_allocator_ops *policy)
{
	size_t cursor = 0;
	paddr_t start, end;
	struct zone *z;

	frame_allocator = policy;
	for (unsigned n = 0; n < NODE_MAX; n++) {
		for (unsigned id = 0; id < ZONES_USED; id++) {
			z = &zones[n][id];
			*z = (struct zone){
				.id = (enum zone_id)id, .node = (uint8_t)n, .policy = policy};
			list_init(&z->runs);
			(void)buddy_init(z); /* empty, also where it is not the one */
			spin_init(&z->lock, RANK_ZONE, zone_names[id]);
		}
	}
	while (memory_map_ram(&cursor, &start, &end))
		for_zones(start >> PAGE_SHIFT, end >> PAGE_SHIFT, add_present);
	for (size_t i = 0; (z = zone_get(i)); i++) {
		enum kerr err = policy->init(z);
		if (err != KERR_OK)
			return err;
	}
	for (unsigned n = 0; n < numa_nodes(); n++)
		make_fallback(n);
	return KERR_OK;
}

void zone_set_watermarks(void)
{
	struct zone *z;

	for (size_t i = 0; (z = zone_get(i)); i++) {
		/* A 256th of the zone, within 128 KiB to 4 MiB; nothing for a tiny one. */
		uint64_t min = z->managed / 256;
		min = MIN(MAX(min, 32), 1024);
		if (z->managed < 512)
			min = z->managed / 16;
		z->min = min;
		z->low = min + min / 4;
		z->high = min + min / 2;
	}
}

/* ---- Allocation ----------------------------------------------------------------------------- */

static void block_used(struct zone *z, struct frame *f, unsigned order)
{
	f->state = FRAME_USED;
	f->order = order ? (uint8_t)order : FRAME_ORDER_NONE;
	f->zone = (uint8_t)z->id;
	f->node = z->node;
	f->private = 0;
	atomic_store_explicit(&f->references, 1, memory_order_relaxed);
}

static void count_free(struct zone *z, int64_t change)
{
	uint64_t free = atomic_load_explicit(&z->free_frames, memory_order_relaxed);
	atomic_store_explicit(&z->free_frames, free + (uint64_t)change, memory_order_relaxed);
}

static void count_taken(struct zone *z, const struct zone_request *r, uint64_t blocks,
			uint64_t frames)
{
	count_free(z, -(int64_t)frames);
	z->allocated += blocks;
	z->taken[r->wanted] += frames;
	z->local += z->node == r->cpu_node ? frames : 0;
	z->interleaved += r->interleaved && z->node == r->wanted ? frames : 0;
}

static bool zone_suits(const struct zone *z, const struct zone_request *r, uint64_t frames)
{
	if ((r->exact ? z->id != r->highest : z->id > r->highest) || !(r->nodes >> z->node & 1))
		return false;
	uint64_t free = atomic_load_explicit(&z->free_frames, memory_order_relaxed);
	return free >= frames && (r->reserve || free - frames >= z->min);
}

struct frame *zone_allocate(const struct zone_request *r, unsigned order)
{
	if (order > FRAME_ORDER_MAX)
		return nullptr;
	for (struct zone **at = fallback[r->node], *z; (z = *at); at++) {
		if (!zone_suits(z, r, (uint64_t)1 << order))
			continue;
		bool on = spin_lock_irq(&z->lock);
		pfn_t pfn = z->policy->allocate(z, order);
		if (unlikely(z->next) && pfn == PFN_NONE) {
			pfn = z->next->policy->allocate(z->next, order);
			count_free(z->next, pfn == PFN_NONE ? 0 : -((int64_t)1 << order));
		}
		if (pfn != PFN_NONE) {
			block_used(z, frame_table + pfn, order);
			count_taken(z, r, 1, (uint64_t)1 << order);
		}
		spin_unlock_irq(&z->lock, on);
		if (pfn != PFN_NONE)
			return frame_table + pfn;
	}
	return nullptr;
}

struct frame *zone_allocate_contiguous(const struct zone_request *r, size_t count, unsigned order)
{
	if (!count || count > FRAME_BLOCK || order > FRAME_ORDER_MAX)
		return nullptr;
	for (struct zone **at = fallback[r->node], *z; (z = *at); at++) {
		if (!zone_suits(z, r, count))
			continue;
		bool on = spin_lock_irq(&z->lock);
		pfn_t pfn = z->policy->allocate_contiguous(z, count, order);
		if (unlikely(z->next) && pfn == PFN_NONE) {
			pfn = z->next->policy->allocate_contiguous(z->next, count, order);
			count_free(z->next, pfn == PFN_NONE ? 0 : -(int64_t)count);
		}
		if (pfn != PFN_NONE) {
			/* Each is one of its own, so that the run can be freed in pieces. */
			for (size_t i = 0; i < count; i++)
				block_used(z, frame_table + pfn + i, 0);
			count_taken(z, r, 1, count);
		}
		spin_unlock_irq(&z->lock, on);
		if (pfn != PFN_NONE)
			return frame_table + pfn;
	}
	return nullptr;
}

size_t zone_allocate_batch(const struct zone_request *r, struct frame **out, size_t count)
{
	pfn_t pfns[32];
	size_t n = 0;

	for (struct zone **at = fallback[r->node], *z; (z = *at) && n < count;) {
		size_t want = MIN(count - n, ARRAY_SIZE(pfns)), got = 0;
		bool on = spin_lock_irq(&z->lock);
		while (want && !zone_suits(z, r, want))
			want /= 2; /* near the watermark */
		if (want)
			got = z->policy->allocate_batch(z, pfns, want);
		if (unlikely(z->next) && !got && want) {
			got = z->next->policy->allocate_batch(z->next, pfns, want);
			count_free(z->next, -(int64_t)got);
		}
		for (size_t i = 0; i < got; i++) {
			out[n++] = frame_table + pfns[i];
			block_used(z, frame_table + pfns[i], 0);
		}
		count_taken(z, r, got, got);
		spin_unlock_irq(&z->lock, on);
		if (!got)
			at++;
	}
	return n;
}

/* ---- Free ----------------------------------------------------------------------------------- */

static void give_back(struct zone *z, pfn_t pfn, unsigned order)
{
	struct zone *part = part_of(z, pfn);
	int64_t count = (int64_t)part->policy->deallocate(part, pfn, order);

	count_free(z, count);
	if (unlikely(part != z))
		count_free(part, count);
	z->freed++;
}

static void free_locked(struct zone *z, struct frame *f, unsigned order)
{
	if (unlikely(f->state != FRAME_USED)) {
		frame_report(f->state == FRAME_FREE ? "double free" : "foreign free", f);
		return;
	}
	if (unlikely(order && f->order != order)) {
		frame_report("free with the wrong size", f);
		return;
	}
	atomic_store_explicit(&f->references, 0, memory_order_relaxed);
	f->state = FRAME_FREE;
	f->order = FRAME_ORDER_NONE;
	give_back(z, frame_pfn(f), order);
}

void zone_free(struct frame *f, unsigned order)
{
	pfn_t pfn = frame_pfn(f);

	if (order > FRAME_ORDER_MAX || (pfn & (((pfn_t)1 << order) - 1))) {
		frame_report("misaligned free", f);
		return;
	}
	struct zone *z = zone_of(f);
	bool on = spin_lock_irq(&z->lock);
	free_locked(z, f, order);
	spin_unlock_irq(&z->lock, on);
}

void zone_free_run(struct frame *first, unsigned order)
{
	size_t count = (size_t)1 << order;
	struct zone *z = zone_of(first);
	bool on = spin_lock_irq(&z->lock);
	for (size_t i = 0; i < count; i++) {
		struct frame *f = first + i;
		if (unlikely(f->state != FRAME_USED || zone_of(f) != z)) {
			frame_report("a run of frames that are not all in use", f);
			spin_unlock_irq(&z->lock, on);
			return;
		}
	}
	for (size_t i = 0; i < count; i++) {
		atomic_store_explicit(&first[i].references, 0, memory_order_relaxed);
		first[i].state = FRAME_FREE;
		first[i].order = FRAME_ORDER_NONE;
	}
	give_back(z, frame_pfn(first), order);
	spin_unlock_irq(&z->lock, on);
}

void zone_free_batch(struct frame **frames, size_t count)
{
	size_t i = 0;

	while (i < count) {
		struct zone *z = zone_of(frames[i]);
		bool on = spin_lock_irq(&z->lock);
		do
			free_locked(z, frames[i++], 0);
		while (i < count && zone_of(frames[i]) == z);
		spin_unlock_irq(&z->lock, on);
	}
}

/* ---- Another policy ------------------------------------------------------------------------- */

/* `next`'s part, empty. */
static void change_begin(struct zone *z, const struct frame_allocator_ops *next, struct zone *side)
{
	*side = (struct zone){
		.id = z->id, .node = z->node, .start = z->start, .end = z->end, .policy = next};
	list_init(&side->runs);
	(void)buddy_init(side);
	bool on = spin_lock_irq(&z->lock);
	if (next->keeps_bitmap) {
		struct frame_bitmap *b = z->spare.words ? &z->spare : &z->bitmap;
		BUG_ON(!b->words || (b == &z->bitmap && z->policy->keeps_bitmap));
		side->bitmap = *b;
		*b = (struct frame_bitmap){};
	}
	z->moved = 0;
	z->next = side;
	spin_unlock_irq(&z->lock, on);
}

/* Frames that CPUs have in their caches are out, for this purpose as for any other. */
static bool change_block(struct zone *z, pfn_t first, nsec_t *held)
{
	uint64_t words[FRAME_BLOCK_WORDS] = {};
	size_t sent = 0;

	bool on = spin_lock_irq(&z->lock);
	nsec_t began = time_now();
	z->policy->export(z, first, words);
	size_t here = z->next->policy->import(z->next, first, words);
	count_free(z->next, (int64_t)here);
	z->moved = first + FRAME_BLOCK;
	nsec_t took = time_now() - began;
	spin_unlock_irq(&z->lock, on);
	*held = MAX(*held, took);
	for (size_t i = 0; i < FRAME_BLOCK_WORDS; i++)
		sent += (size_t)__builtin_popcountll(words[i]);
	return here == sent;
}

static void lists_move(struct buddy_lists *to, struct buddy_lists *from)
{
	*to = *from;
	for (unsigned o = 0; o < FRAME_ORDERS; o++) {
		list_init(&to->free[o]);
		list_splice_tail(&to->free[o], &from->free[o]);
	}
}

/* All is the next policy's: it becomes the zone's. */
static bool change_end(struct zone *z, nsec_t *held)
{
	bool on = spin_lock_irq(&z->lock);
	nsec_t began = time_now();
	struct zone *side = z->next;
	bool good = atomic_load_explicit(&side->free_frames, memory_order_relaxed) ==
		    atomic_load_explicit(&z->free_frames, memory_order_relaxed);

	z->policy = side->policy;
	lists_move(&z->buddy, &side->buddy);
	list_init(&z->runs);
	list_splice_tail(&z->runs, &side->runs);
	if (z->policy->keeps_bitmap) {
		if (z->bitmap.words)
			z->spare = z->bitmap;
		z->bitmap = side->bitmap;
	}
	z->small += side->small;
	z->large += side->large;
	z->next = nullptr;
	nsec_t took = time_now() - began;
	spin_unlock_irq(&z->lock, on);
	*held = MAX(*held, took);
	return good;
}

bool zone_change_policy(struct zone *z, const struct frame_allocator_ops *next, nsec_t *held)
{
	static struct zone side;
	size_t cursor = 0;
	paddr_t start, end;
	bool good = true;

	*held = 0;
	change_begin(z, next, &side);
	while (memory_map_ram(&cursor, &start, &end)) {
		pfn_t at = MAX(start >> PAGE_SHIFT, z->start);
		pfn_t stop = MIN(end >> PAGE_SHIFT, z->end);
		/* A block may have several stretches of RAM: it is moved with the first. */
		for (at = MAX(ALIGN_DOWN(at, FRAME_BLOCK), z->moved); at < stop; at += FRAME_BLOCK)
			good &= change_block(z, at, held);
	}
	return change_end(z, held) && good;
}

/* ---- Figures -------------------------------------------------------------------------------- */

uint64_t zone_free_frames(void)
{
	uint64_t n = 0;
	struct zone **all = fallback[0];

	for (; *all; all++)
		n += atomic_load_explicit(&(*all)->free_frames, memory_order_relaxed);
	return n;
}

bool zone_scarce(uint16_t nodes)
{
	for (struct zone **at = fallback[0], *z; (z = *at); at++)
		if (nodes >> z->node & 1 &&
		    atomic_load_explicit(&z->free_frames, memory_order_relaxed) > z->min)
			return false;
	return true;
}

unsigned zone_nearest(unsigned node, uint16_t nodes)
{
	for (struct zone **at = fallback[node], *z; (z = *at); at++)
		if (nodes >> z->node & 1)
			return z->node;
	return node;
}

uint16_t numa_memory_nodes(void)
{
	unsigned set = 0;

	for (struct zone **at = fallback[0]; *at; at++)
		set |= 1u << (*at)->node;
	return (uint16_t)set;
}

uint64_t zone_managed_frames(void)
{
	uint64_t n = 0;
	struct zone **all = fallback[0];

	for (; *all; all++)
		n += READ_ONCE((*all)->managed);
	return n;
}

void frame_run_blocks(pfn_t pfn, size_t count, uint64_t blocks[FRAME_ORDERS])
{
	while (count) {
		unsigned order = frame_run_order(pfn, count);
		blocks[order]++;
		pfn += (pfn_t)1 << order;
		count -= (size_t)1 << order;
	}
}

struct numa_figures numa_figures(unsigned node)
{
	struct numa_figures out = {};
	struct zone *z;

	for (size_t i = 0; (z = zone_get(i)); i++) {
		bool on = spin_lock_irq(&z->lock);
		if (z->node == node) {
			out.total += z->managed;
			out.free += atomic_load_explicit(&z->free_frames, memory_order_relaxed);
			out.interleaved += z->interleaved;
			out.local += z->local;
		}
		for (unsigned from = 0; from < numa_nodes(); from++) {
			if (z->node == node)
				*(from == node ? &out.hit : &out.miss) += z->taken[from];
			else if (from == node)
				out.foreign += z->taken[from];
		}
		spin_unlock_irq(&z->lock, on);
	}
	out.other = out.hit + out.miss - out.local;
	return out;
}

void zone_figures(struct zone *z, struct zone_info *out)
{
	bool on = spin_lock_irq(&z->lock);
	*out = (struct zone_info){
		.name = zone_names[z->id],
		.node = z->node,
		.start_pfn = z->start,
		.spanned = z->end - z->start,
		.present = z->present,
		.managed = z->managed,
		.free = atomic_load_explicit(&z->free_frames, memory_order_relaxed),
		.watermark_min = z->min,
		.watermark_low = z->low,
		.watermark_high = z->high,
		.allocated = z->allocated,
		.freed = z->freed,
		.small = z->small,
		.large = z->large,
	};
	z->policy->blocks(z, out->blocks);
	if (z->next) {
		uint64_t more[FRAME_ORDERS] = {};
		z->next->policy->blocks(z->next, more);
		for (unsigned o = 0; o < FRAME_ORDERS; o++)
			out->blocks[o] += more[o];
	}
	spin_unlock_irq(&z->lock, on);
}
