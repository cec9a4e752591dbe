/*
 * The hybrid allocator: what is smaller than 2 MiB comes from the bitmap, the rest from the buddy.
 *
 *	< 512 frames:  bitmap --(nothing fits)--> one 2 MiB chunk of the buddy becomes the bitmap's
 *	>= 512 frames: buddy; a chunk whose 512 frames are all back in the bitmap goes back to it
 *
 * So single frames cannot cut up more chunks than they fill, and large blocks stay available
 * without a search. A frame is free in exactly one of the two. zone.small and zone.large count the
 * requests by path.
 *
 * Cost over the bitmap: a free looks at its chunk's eight words. Rejected: keeping an empty chunk
 * in the bitmap against a request that comes and goes at the edge (moving one is 8 words and one
 * list operation, less than a free frame's own cache miss).
 */
#include "allocator.h"

#include <lib/compiler.h>
#include <mm/frame.h>

#define CHUNK_ORDER 9
#define CHUNK ((size_t)1 << CHUNK_ORDER)
#define CHUNK_WORDS (CHUNK / 64)

static enum kerr hybrid_init(struct zone *z)
{
	(void)buddy_init(z); /* cannot fail */
	return bitmap_init(z);
}

static bool chunk_whole(const struct zone *z, pfn_t pfn)
{
	const uint64_t *w = &z->bitmap.words[(pfn - z->bitmap.base) / 64];

	for (size_t i = 0; i < CHUNK_WORDS; i++)
		if (w[i] != UINT64_MAX)
			return false;
	return true;
}

/* Puts the part of a chunk [pfn, pfn + count) back. */
static size_t give_part(struct zone *z, pfn_t pfn, size_t count)
{
	pfn_t chunk = ALIGN_DOWN(pfn, CHUNK);
	size_t added = bitmap_give(z, pfn, count);

	/* The last chunk of a zone may be shorter than the bitmap's last chunk would be. */
	if (chunk + CHUNK <= z->end && chunk_whole(z, chunk)) {
		bitmap_remove(z, chunk, CHUNK);
		buddy_give(z, chunk, CHUNK_ORDER);
	}
	return added;
}

static size_t give_run(struct zone *z, pfn_t pfn, size_t count)
{
	size_t added = 0;

	while (count) {
		size_t part = MIN(CHUNK - pfn % CHUNK, count);
		if (part == CHUNK) {
			buddy_give(z, pfn, CHUNK_ORDER);
			added += part;
		} else {
			added += give_part(z, pfn, part);
		}
		pfn += part;
		count -= part;
	}
	return added;
}

static void hybrid_add(struct zone *z, pfn_t pfn, size_t count)
{
	(void)give_run(z, pfn, count);
}

/* A chunk of the buddy becomes the bitmap's; false: there is none. */
static bool refill(struct zone *z)
{
	pfn_t chunk = buddy_take(z, CHUNK_ORDER);

	if (chunk == PFN_NONE)
		return false;
	(void)bitmap_give(z, chunk, CHUNK);
	return true;
}

static pfn_t hybrid_take(struct zone *z, unsigned order)
{
	pfn_t pfn;

	if (order >= CHUNK_ORDER) {
		z->large++;
		return buddy_take(z, order);
	}
	z->small++;
	while ((pfn = bitmap_take(z, order)) == PFN_NONE && refill(z))
		;
	return pfn;
}

static pfn_t hybrid_take_run(struct zone *z, size_t count, unsigned order)
{
	pfn_t pfn;

	if (count < CHUNK && order < CHUNK_ORDER) {
		z->small++;
		while ((pfn = bitmap_take_run(z, count, order)) == PFN_NONE && refill(z))
			;
		return pfn;
	}
	z->large++;
	unsigned need = count == 1 ? 0 : 64 - (unsigned)__builtin_clzll(count - 1);
	need = MAX(need, order);
	pfn = buddy_take(z, need);
	if (pfn != PFN_NONE)
		(void)give_run(z, pfn + count, ((size_t)1 << need) - count);
	return pfn;
}

static size_t hybrid_take_batch(struct zone *z, pfn_t *out, size_t count)
{
	size_t n = 0;

	z->small++;
	do
		n += bitmap_take_batch(z, out + n, count - n);
	while (n < count && refill(z));
	return n;
}

static size_t hybrid_deallocate(struct zone *z, pfn_t pfn, unsigned order)
{
	if (order >= CHUNK_ORDER) {
		buddy_give(z, pfn, order);
		return (size_t)1 << order;
	}
	return give_part(z, pfn, (size_t)1 << order);
}

static bool hybrid_is_free(const struct zone *z, pfn_t pfn)
{
	return bitmap_is_free(z, pfn) || buddy_is_free(z, pfn);
}

static void hybrid_blocks(const struct zone *z, uint64_t blocks[FRAME_ORDERS])
{
	buddy_blocks(z, blocks);
	bitmap_blocks(z, blocks);
}

static void hybrid_export(struct zone *z, pfn_t first, uint64_t words[FRAME_BLOCK_WORDS])
{
	buddy_export(z, first, words);
	bitmap_export(z, first, words);
}

static size_t hybrid_import(struct zone *z, pfn_t first, const uint64_t words[FRAME_BLOCK_WORDS])
{
	size_t before = buddy_count(z);

	for (size_t at = 0; at < FRAME_BLOCK_WORDS; at += CHUNK_WORDS) {
		uint64_t all = UINT64_MAX;
		for (size_t i = 0; i < CHUNK_WORDS; i++)
			all &= words[at + i];
		if (all == UINT64_MAX)
			buddy_give(z, first + at * 64, CHUNK_ORDER);
		else
			bitmap_put_words(z, first + at * 64, words + at, CHUNK_WORDS);
	}
	return buddy_count(z) - before + bitmap_count(z, first);
}

const struct frame_allocator_ops frame_allocator_hybrid = {
	.name = "hybrid",
	.init = hybrid_init,
	.add = hybrid_add,
	.allocate = hybrid_take,
	.allocate_contiguous = hybrid_take_run,
	.allocate_batch = hybrid_take_batch,
	.deallocate = hybrid_deallocate,
	.is_free = hybrid_is_free,
	.blocks = hybrid_blocks,
	.export = hybrid_export,
	.import = hybrid_import,
	.keeps_bitmap = true,
};
