/*
 * The buddy allocator: blocks of 2^order frames, order 0 to 11 (4 KiB to 8 MiB), aligned to
 * their size; a free list per order and zone, one lock per zone.
 *
 *	take(order): the smallest free block that is large enough; halves it until it fits, the
 *	upper halves go to their lists. O(orders).
 *	give(block): joins it with its buddy (the block whose address differs in one bit) as long
 *	as that one is free and of the same order. O(orders).
 *
 * A frame record tells "head of a free block" by state FRAME_FREE and order <= 11, both written
 * under the zone's lock; every record that stops being a head gets order FRAME_ORDER_NONE, so no
 * stale head can be joined by mistake. Single frames keep that order while they are out, since their
 * state changes without the lock (frame.c).
 * All other records of a free block are not touched: giving 1 GiB to the buddy at boot writes
 * 128 records. Records exist for whole 8 MiB blocks, so a buddy's record can always be read;
 * what is not RAM says FRAME_RESERVED and joins with nothing.
 *
 * Double and foreign frees: a block that is given back must have state FRAME_USED.
 *
 * Lists are last in, first out: the frame freed last is the one that is still in the cache.
 */
#include "allocator.h"

#include <core/panic.h>
#include <lib/compiler.h>

static void list_block(struct zone *z, struct frame *f, unsigned order)
{
	f->state = FRAME_FREE;
	f->order = (uint8_t)order;
	list_add_head(&z->free[order], &f->link);
	z->blocks[order]++;
	z->nonempty |= 1u << order;
}

static void unlist_block(struct zone *z, struct frame *f, unsigned order)
{
	f->link.prev->next = f->link.next;
	f->link.next->prev = f->link.prev;
	f->order = FRAME_ORDER_NONE;
	if (--z->blocks[order] == 0)
		z->nonempty &= ~(1u << order);
}

struct frame *buddy_take_locked(struct zone *z, unsigned order)
{
	uint32_t fit = z->nonempty >> order;
	if (!fit)
		return nullptr;
	unsigned have = order + (unsigned)__builtin_ctz(fit);
	struct frame *f = list_first(&z->free[have], struct frame, link);
	unlist_block(z, f, have);
	while (have > order) {
		have--;
		list_block(z, f + ((size_t)1 << have), have);
	}
	atomic_store_explicit(&z->free_frames,
			      atomic_load_explicit(&z->free_frames, memory_order_relaxed) -
				      ((uint64_t)1 << order),
			      memory_order_relaxed);
	return f;
}

void buddy_give_locked(struct zone *z, pfn_t pfn, unsigned order)
{
	atomic_store_explicit(&z->free_frames,
			      atomic_load_explicit(&z->free_frames, memory_order_relaxed) +
				      ((uint64_t)1 << order),
			      memory_order_relaxed);
	while (order < FRAME_ORDER_MAX) {
		struct frame *buddy = frame_table + (pfn ^ ((pfn_t)1 << order));
		if (buddy->order != order || buddy->state != FRAME_FREE)
			break; /* the order first: of a single frame that is out only it stands still */
		unlist_block(z, buddy, order);
		frame_table[pfn].order = FRAME_ORDER_NONE;
		pfn &= ~((pfn_t)1 << order);
		order++;
	}
	list_block(z, frame_table + pfn, order);
}

static void block_used(struct frame *f, unsigned order, enum zone_id zone)
{
	f->state = FRAME_USED;
	f->order = order ? (uint8_t)order : FRAME_ORDER_NONE;
	f->zone = (uint8_t)zone;
	f->private = 0;
	atomic_store_explicit(&f->references, 1, memory_order_relaxed);
}

/* Frames of `zone` that a request without the right to the reserve must leave. */
static bool zone_has(const struct zone *z, uint64_t frames, bool reserve)
{
	uint64_t free = atomic_load_explicit(&z->free_frames, memory_order_relaxed);
	return free >= frames && (reserve || free - frames >= z->min);
}

static struct frame *buddy_allocate_zone(unsigned order, enum zone_id zone, bool reserve)
{
	if (order > FRAME_ORDER_MAX)
		return nullptr;
	struct zone *z = &zones[zone];
	if (!zone_has(z, (uint64_t)1 << order, reserve))
		return nullptr;
	bool on = spin_lock_irq(&z->lock);
	struct frame *f = buddy_take_locked(z, order);
	if (f) {
		block_used(f, order, zone);
		z->allocated++;
	}
	spin_unlock_irq(&z->lock, on);
	return f;
}

static struct frame *buddy_allocate(unsigned order, bool reserve)
{
	for (const enum zone_id *id = zone_fallback; *id != ZONE_COUNT; id++) {
		struct frame *f = buddy_allocate_zone(order, *id, reserve);
		if (f)
			return f;
	}
	return nullptr;
}

/* Gives [pfn, end) back as the blocks it consists of. */
static void give_run(struct zone *z, pfn_t pfn, pfn_t end)
{
	while (pfn < end) {
		unsigned order = pfn ? (unsigned)__builtin_ctzll(pfn) : FRAME_ORDER_MAX;
		order = MIN(order, FRAME_ORDER_MAX);
		while (pfn + ((pfn_t)1 << order) > end)
			order--;
		buddy_give_locked(z, pfn, order);
		pfn += (pfn_t)1 << order;
	}
}

static struct frame *buddy_allocate_contiguous(size_t count, unsigned order)
{
	if (!count || count > FRAME_BLOCK || order > FRAME_ORDER_MAX)
		return nullptr;
	unsigned need = count == 1 ? 0 : 64 - (unsigned)__builtin_clzll(count - 1);
	need = MAX(need, order);
	struct frame *f = buddy_allocate(need, true);
	if (!f)
		return nullptr;
	/* Each frame becomes one of its own, so that the run can be freed in pieces. */
	pfn_t pfn = frame_pfn(f);
	struct zone *z = &zones[f->zone];
	enum zone_id id = (enum zone_id)f->zone;
	bool on = spin_lock_irq(&z->lock);
	for (size_t i = 0; i < count; i++)
		block_used(f + i, 0, id);
	give_run(z, pfn + count, pfn + ((pfn_t)1 << need));
	spin_unlock_irq(&z->lock, on);
	return f;
}

static size_t take_batch(struct zone *z, enum zone_id id, struct frame **out, size_t count,
			 bool reserve)
{
	size_t n = 0;
	bool on = spin_lock_irq(&z->lock);
	while (n < count && zone_has(z, 1, reserve)) {
		struct frame *f = buddy_take_locked(z, 0);
		if (!f)
			break;
		block_used(f, 0, id);
		out[n++] = f;
	}
	z->allocated += n;
	spin_unlock_irq(&z->lock, on);
	return n;
}

static size_t buddy_allocate_batch(struct frame **out, size_t count, bool reserve)
{
	size_t n = 0;
	for (const enum zone_id *id = zone_fallback; *id != ZONE_COUNT && n < count; id++) {
		if (zone_has(&zones[*id], 1, reserve))
			n += take_batch(&zones[*id], *id, out + n, count - n, reserve);
	}
	return n;
}

static void give_locked(struct zone *z, struct frame *f, unsigned order)
{
	if (unlikely(f->state != FRAME_USED)) {
		frame_report(f->state == FRAME_FREE ? "double free" : "foreign free", f);
		return;
	}
	atomic_store_explicit(&f->references, 0, memory_order_relaxed);
	buddy_give_locked(z, frame_pfn(f), order);
	z->freed++;
}

static void buddy_deallocate(struct frame *f, unsigned order)
{
	pfn_t pfn = frame_pfn(f);
	if (order > FRAME_ORDER_MAX || (pfn & (((pfn_t)1 << order) - 1))) {
		frame_report("misaligned free", f);
		return;
	}
	struct zone *z = &zones[zone_of_pfn(pfn)];
	bool on = spin_lock_irq(&z->lock);
	give_locked(z, f, order);
	spin_unlock_irq(&z->lock, on);
}

static void buddy_deallocate_batch(struct frame **frames, size_t count)
{
	size_t i = 0;
	while (i < count) {
		struct zone *z = &zones[zone_of_pfn(frame_pfn(frames[i]))];
		bool on = spin_lock_irq(&z->lock);
		do {
			give_locked(z, frames[i], 0);
			i++;
		} while (i < count && &zones[zone_of_pfn(frame_pfn(frames[i]))] == z);
		spin_unlock_irq(&z->lock, on);
	}
}

static enum kerr buddy_init(const struct frame_range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		pfn_t pfn = ranges[i].start;
		while (pfn < ranges[i].end) {
			enum zone_id id = zone_of_pfn(pfn);
			pfn_t limit = id == ZONE_DMA ? ZONE_DMA_END :
				      id == ZONE_DMA32 ? ZONE_DMA32_END : ranges[i].end;
			pfn_t stop = MIN(ranges[i].end, limit);
			struct zone *z = &zones[id];
			bool on = spin_lock_irq(&z->lock);
			give_run(z, pfn, stop);
			z->managed += stop - pfn;
			spin_unlock_irq(&z->lock, on);
			pfn = stop;
		}
	}
	zone_set_watermarks();
	return KERR_OK;
}

static uint64_t buddy_free_frames(void)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < ZONE_COUNT; i++)
		n += atomic_load_explicit(&zones[i].free_frames, memory_order_relaxed);
	return n;
}

static uint64_t buddy_total_frames(void)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < ZONE_COUNT; i++)
		n += zones[i].managed;
	return n;
}

static bool buddy_stats(enum zone_id zone, struct zone_info *out)
{
	struct zone *z = &zones[zone];
	if (!z->present)
		return false;
	bool on = spin_lock_irq(&z->lock);
	*out = (struct zone_info){
		.name = zone_names[zone],
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
	};
	for (unsigned o = 0; o < FRAME_ORDERS; o++)
		out->blocks[o] = z->blocks[o];
	spin_unlock_irq(&z->lock, on);
	return true;
}

const struct frame_allocator_ops frame_allocator_buddy = {
	.name = "buddy",
	.init = buddy_init,
	.allocate = buddy_allocate,
	.allocate_contiguous = buddy_allocate_contiguous,
	.allocate_zone = buddy_allocate_zone,
	.allocate_batch = buddy_allocate_batch,
	.deallocate = buddy_deallocate,
	.deallocate_batch = buddy_deallocate_batch,
	.free_frames = buddy_free_frames,
	.total_frames = buddy_total_frames,
	.stats = buddy_stats,
};
