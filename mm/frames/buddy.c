/*
 * The buddy allocator: blocks of 2^order frames, order 0 to 11 (4 KiB to 8 MiB), aligned to
 * their size; a free list per order and zone.
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
 * what is not RAM says FRAME_RESERVED and joins with nothing. Two blocks of different zones never
 * join: zones of one node meet at multiples of 8 MiB, and nodes are told apart by frame.node.
 *
 * Lists are last in, first out: the frame freed last is the one that is still in the cache.
 */
#include "allocator.h"

#include <lib/compiler.h>
#include <mm/frame.h>

static void list_block(struct zone *z, struct frame *f, unsigned order)
{
	f->state = FRAME_FREE;
	f->order = (uint8_t)order;
	f->node = z->node;
	list_add_head(&z->buddy.free[order], &f->link);
	z->buddy.count[order]++;
	z->buddy.nonempty |= 1u << order;
}

static void unlist_block(struct zone *z, struct frame *f, unsigned order)
{
	f->link.prev->next = f->link.next;
	f->link.next->prev = f->link.prev;
	f->order = FRAME_ORDER_NONE;
	if (--z->buddy.count[order] == 0)
		z->buddy.nonempty &= ~(1u << order);
}

enum kerr buddy_init(struct zone *z)
{
	for (unsigned o = 0; o < FRAME_ORDERS; o++)
		list_init(&z->buddy.free[o]);
	return KERR_OK;
}

pfn_t buddy_take(struct zone *z, unsigned order)
{
	uint32_t fit = z->buddy.nonempty >> order;
	if (!fit)
		return PFN_NONE;
	unsigned have = order + (unsigned)__builtin_ctz(fit);
	struct frame *f = list_first(&z->buddy.free[have], struct frame, link);
	unlist_block(z, f, have);
	while (have > order) {
		have--;
		list_block(z, f + ((size_t)1 << have), have);
	}
	return frame_pfn(f);
}

void buddy_give(struct zone *z, pfn_t pfn, unsigned order)
{
	while (order < FRAME_ORDER_MAX) {
		struct frame *buddy = frame_table + (pfn ^ ((pfn_t)1 << order));
		if (buddy->order != order || buddy->state != FRAME_FREE || buddy->node != z->node)
			break; /* the order first: of a single frame that is out only it stands still */
		unlist_block(z, buddy, order);
		frame_table[pfn].order = FRAME_ORDER_NONE;
		pfn &= ~((pfn_t)1 << order);
		order++;
	}
	list_block(z, frame_table + pfn, order);
}

/* Gives [pfn, end) as the blocks it consists of. */
void buddy_give_run(struct zone *z, pfn_t pfn, pfn_t end)
{
	while (pfn < end) {
		unsigned order = frame_run_order(pfn, end - pfn);
		buddy_give(z, pfn, order);
		pfn += (pfn_t)1 << order;
	}
}

static void buddy_add(struct zone *z, pfn_t pfn, size_t count)
{
	buddy_give_run(z, pfn, pfn + count);
}

static pfn_t buddy_take_run(struct zone *z, size_t count, unsigned order)
{
	unsigned need = count == 1 ? 0 : 64 - (unsigned)__builtin_clzll(count - 1);

	need = MAX(need, order);
	pfn_t pfn = buddy_take(z, need);
	if (pfn == PFN_NONE)
		return PFN_NONE;
	buddy_give_run(z, pfn + count, pfn + ((pfn_t)1 << need));
	return pfn;
}

static size_t buddy_take_batch(struct zone *z, pfn_t *out, size_t count)
{
	size_t n = 0;

	while (n < count && (out[n] = buddy_take(z, 0)) != PFN_NONE)
		n++;
	return n;
}

static size_t buddy_deallocate(struct zone *z, pfn_t pfn, unsigned order)
{
	buddy_give(z, pfn, order);
	return (size_t)1 << order;
}

bool buddy_is_free(const struct zone *z, pfn_t pfn)
{
	for (unsigned order = 0; order < FRAME_ORDERS; order++) {
		const struct frame *head = frame_table + (pfn & ~(((pfn_t)1 << order) - 1));
		if (head->state == FRAME_FREE && head->order >= order && head->order < FRAME_ORDERS)
			return true;
	}
	return false;
}

void buddy_blocks(const struct zone *z, uint64_t blocks[FRAME_ORDERS])
{
	for (unsigned o = 0; o < FRAME_ORDERS; o++)
		blocks[o] = z->buddy.count[o];
}

/* ---- Changes of policy ---- */

static bool is_head(const struct zone *z, const struct frame *f)
{
	return f->order < FRAME_ORDERS && f->state == FRAME_FREE && f->node == z->node;
}

/* How many frames from `i` on head nothing: of most blocks all, so sixteen are looked at together. */
static size_t heads_from(const struct frame *block, size_t i)
{
	static_assert(FRAME_RESERVED == 0);

	for (; i % 16 == 0 && i < FRAME_BLOCK; i += 16) {
		uint8_t orders = FRAME_ORDER_NONE, states = FRAME_RESERVED;
		for (size_t n = 0; n < 16; n++)
			orders &= READ_ONCE(block[i + n].order);
		if (orders == FRAME_ORDER_NONE)
			continue;
		for (size_t n = 0; n < 16; n++)
			states |= READ_ONCE(block[i + n].state);
		if (states != FRAME_RESERVED)
			break;
	}
	return i;
}

/* Each head stops being one, so that none can be taken for a free block later. A block that is out is passed at once;
 * if its owner makes single frames of it meanwhile, they are still out. */
void buddy_export(struct zone *z, pfn_t first, uint64_t words[FRAME_BLOCK_WORDS])
{
	struct frame *block = frame_table + first;

	for (size_t i = 0; (i = heads_from(block, i)) < FRAME_BLOCK;) {
		struct frame *f = block + i;
		unsigned order = READ_ONCE(f->order);
		if (order >= FRAME_ORDERS) {
			i++;
			continue;
		}
		i += (size_t)1 << order;
		if (is_head(z, f)) {
			unlist_block(z, f, order);
			words_mark(words, (size_t)(f - block), (size_t)1 << order);
		} else if (f->state != FRAME_USED) {
			i = (size_t)(f - block) + 1; /* not ours */
		}
	}
}

size_t buddy_count(const struct zone *z)
{
	size_t frames = 0;

	for (unsigned o = 0; o < FRAME_ORDERS; o++)
		frames += z->buddy.count[o] << o;
	return frames;
}

static size_t buddy_import(struct zone *z, pfn_t first, const uint64_t words[FRAME_BLOCK_WORDS])
{
	size_t count, before = buddy_count(z);

	for (size_t at = 0; words_next_run(words, &at, &count); at += count)
		buddy_give_run(z, first + at, first + at + count);
	return buddy_count(z) - before;
}

const struct frame_allocator_ops frame_allocator_buddy = {
	.name = "buddy",
	.init = buddy_init,
	.add = buddy_add,
	.allocate = buddy_take,
	.allocate_contiguous = buddy_take_run,
	.allocate_batch = buddy_take_batch,
	.deallocate = buddy_deallocate,
	.is_free = buddy_is_free,
	.blocks = buddy_blocks,
	.export = buddy_export,
	.import = buddy_import,
};
