/*
 * The bitmap allocator: one bit a frame of the zone's span, set while the frame is free.
 *
 *	words    [ 64 frames | 64 frames | ... ]      bit set: free
 *	summary  [ 1 bit per word: has a free one ]   so that full stretches are passed 64 words at once
 *
 * First fit: frames go out lowest first, so the top of a zone stays whole. `lowest` is a word
 * index that nothing free lies before. Blocks up to 32 frames are found within one word with shifts;
 * larger ones as runs. A block costs O(span / 4096) at worst, a single frame usually one word.
 *
 * A frame that is freed while its bit is set is a double free, whatever its record says.
 *
 * Rejected: next fit (as fast here, but small requests then cut up the whole zone); a tree of
 * summaries (one level covers 16 MiB a word: 64 GiB are 4,096 loads at worst).
 */
#include "allocator.h"
#include "bump.h"

#include <core/panic.h>
#include <lib/compiler.h>
#include <lib/string.h>
#include <mm/frame.h>

#define BITS 64u

static size_t words_of(const struct zone *z)
{
	return (ALIGN_UP(z->end, BITS) - ALIGN_DOWN(z->start, FRAME_BLOCK)) / BITS;
}

size_t bitmap_bytes(const struct zone *z)
{
	size_t words = words_of(z), summaries = (words + BITS - 1) / BITS;

	return ALIGN_UP((words + summaries) * sizeof(uint64_t), PAGE_SIZE);
}

void bitmap_place(struct frame_bitmap *b, const struct zone *z, void *memory)
{
	b->base = ALIGN_DOWN(z->start, FRAME_BLOCK);
	b->count = words_of(z);
	b->words = memory;
	b->summary = b->words + b->count;
	b->lowest = b->count;
}

enum kerr bitmap_init(struct zone *z)
{
	size_t bytes = bitmap_bytes(z);
	paddr_t at = bump_take(bytes, PAGE_SIZE);

	if (!at)
		return KERR_NOMEM;
	void *memory = (void *)(direct_map + at);
	memset(memory, 0, bytes);
	bitmap_place(&z->bitmap, z, memory);
	return KERR_OK;
}

static void word_set(struct frame_bitmap *b, size_t i, uint64_t value)
{
	uint64_t bit = 1ull << (i % BITS);

	b->words[i] = value;
	if (value)
		b->summary[i / BITS] |= bit;
	else
		b->summary[i / BITS] &= ~bit;
}

/* The bits of [from, from + count) that lie in word `i`, all in bit numbers of the bitmap. */
static uint64_t mask_in(size_t i, uint64_t from, uint64_t count)
{
	uint64_t low = i * BITS, first = MAX(from, low) - low;
	uint64_t last = MIN(from + count, low + BITS) - low;

	return (last == BITS ? 0 : 1ull << last) - (1ull << first);
}

static void run_clear(struct frame_bitmap *b, uint64_t at, size_t count)
{
	for (size_t i = at / BITS; i <= (at + count - 1) / BITS; i++)
		word_set(b, i, b->words[i] & ~mask_in(i, at, count));
}

void bitmap_remove(struct zone *z, pfn_t pfn, size_t count)
{
	run_clear(&z->bitmap, pfn - z->bitmap.base, count);
}

/* The first word from `i` on with a free frame; b->count: none. */
static size_t next_word(const struct frame_bitmap *b, size_t i)
{
	while (i < b->count) {
		uint64_t rest = b->summary[i / BITS] >> (i % BITS);
		if (rest)
			return i + (size_t)__builtin_ctzll(rest);
		i = ALIGN_DOWN(i, BITS) + BITS;
	}
	return b->count;
}

static size_t first_word(struct frame_bitmap *b)
{
	return b->lowest = next_word(b, b->lowest);
}

/* The first free frame at or after `at`; UINT64_MAX: none. */
static uint64_t next_free(const struct frame_bitmap *b, uint64_t at)
{
	size_t i = at / BITS;

	if (i < b->count && b->words[i] >> (at % BITS))
		return at + (uint64_t)__builtin_ctzll(b->words[i] >> (at % BITS));
	i = next_word(b, i + 1);
	return i < b->count ? i * BITS + (uint64_t)__builtin_ctzll(b->words[i]) : UINT64_MAX;
}

/* How many frames from `at` on are free, `enough` at most. */
static uint64_t run_length(const struct frame_bitmap *b, uint64_t at, uint64_t enough)
{
	uint64_t n = 0;

	while (n < enough && (at + n) / BITS < b->count) {
		uint64_t used = ~b->words[(at + n) / BITS] >> ((at + n) % BITS);
		uint64_t here = BITS - (at + n) % BITS;
		if (used)
			return MIN(n + (uint64_t)__builtin_ctzll(used), enough);
		n += here;
	}
	return MIN(n, enough);
}

pfn_t bitmap_take_run(struct zone *z, size_t count, unsigned order)
{
	struct frame_bitmap *b = &z->bitmap;
	uint64_t at = (uint64_t)first_word(b) * BITS;

	while ((at = next_free(b, at)) != UINT64_MAX) {
		at = ALIGN_UP(at, 1ull << order);
		uint64_t have = run_length(b, at, count);
		if (have == count) {
			run_clear(b, at, count);
			return b->base + at;
		}
		at += have + 1;
	}
	return PFN_NONE;
}

/* Bits of `w` where 2^order free frames begin, aligned; order < 6. */
static uint64_t blocks_in_word(uint64_t w, unsigned order)
{
	static const uint64_t aligned[] = {~0ull,
					   0x5555555555555555,
					   0x1111111111111111,
					   0x0101010101010101,
					   0x0001000100010001,
					   0x0000000100000001};
	for (unsigned o = 0; o < order; o++)
		w &= w >> (1u << o);
	return w & aligned[order];
}

pfn_t bitmap_take(struct zone *z, unsigned order)
{
	struct frame_bitmap *b = &z->bitmap;

	if (order >= 6)
		return bitmap_take_run(z, (size_t)1 << order, order);
	for (size_t i = first_word(b); i < b->count; i = next_word(b, i + 1)) {
		uint64_t fits = blocks_in_word(b->words[i], order);
		if (!fits)
			continue;
		unsigned bit = (unsigned)__builtin_ctzll(fits);
		word_set(b, i, b->words[i] & ~(((1ull << (1u << order)) - 1) << bit));
		return b->base + i * BITS + bit;
	}
	return PFN_NONE;
}

size_t bitmap_take_batch(struct zone *z, pfn_t *out, size_t count)
{
	struct frame_bitmap *b = &z->bitmap;
	size_t n = 0;

	for (size_t i = first_word(b); i < b->count && n < count; i = next_word(b, i + 1)) {
		uint64_t w = b->words[i];
		for (; w && n < count; w &= w - 1)
			out[n++] = b->base + i * BITS + (unsigned)__builtin_ctzll(w);
		word_set(b, i, w);
	}
	return n;
}

size_t bitmap_give(struct zone *z, pfn_t pfn, size_t count)
{
	struct frame_bitmap *b = &z->bitmap;
	uint64_t at = pfn - b->base;
	size_t added = 0;

	for (size_t i = at / BITS; i <= (at + count - 1) / BITS; i++) {
		uint64_t mask = mask_in(i, at, count), twice = b->words[i] & mask;
		if (unlikely(twice)) {
			uint64_t bit = i * BITS + (uint64_t)__builtin_ctzll(twice);
			frame_report("double free", frame_table + b->base + bit);
		}
		added += (size_t)__builtin_popcountll(mask & ~twice);
		word_set(b, i, b->words[i] | mask);
	}
	b->lowest = MIN(b->lowest, at / BITS);
	return added;
}

static void bitmap_add(struct zone *z, pfn_t pfn, size_t count)
{
	BUG_ON(bitmap_give(z, pfn, count) != count);
}

static size_t bitmap_deallocate(struct zone *z, pfn_t pfn, unsigned order)
{
	return bitmap_give(z, pfn, (size_t)1 << order);
}

bool bitmap_is_free(const struct zone *z, pfn_t pfn)
{
	uint64_t at = pfn - z->bitmap.base;

	return z->bitmap.words[at / BITS] >> (at % BITS) & 1;
}

void bitmap_blocks(const struct zone *z, uint64_t blocks[FRAME_ORDERS])
{
	const struct frame_bitmap *b = &z->bitmap;
	uint64_t at = 0;

	while ((at = next_free(b, at)) != UINT64_MAX) {
		uint64_t count = run_length(b, at, UINT64_MAX);
		frame_run_blocks(b->base + at, count, blocks);
		at += count;
	}
}

/* ---- Changes of policy ---- */

void words_mark(uint64_t *words, size_t at, size_t count)
{
	for (size_t i = at / BITS; i <= (at + count - 1) / BITS; i++)
		words[i] |= mask_in(i, at, count);
}

/* The first bit at or after `at` that is set in the words, each of them with all bits of `flip` exchanged. */
static size_t words_find(const uint64_t words[FRAME_BLOCK_WORDS], size_t at, uint64_t flip)
{
	while (at < FRAME_BLOCK) {
		uint64_t rest = (words[at / BITS] ^ flip) >> (at % BITS);
		if (rest)
			return at + (size_t)__builtin_ctzll(rest);
		at = ALIGN_DOWN(at, BITS) + BITS;
	}
	return FRAME_BLOCK;
}

bool words_next_run(const uint64_t words[FRAME_BLOCK_WORDS], size_t *at, size_t *count)
{
	*at = words_find(words, *at, 0);
	*count = words_find(words, *at, UINT64_MAX) - *at;
	return *count;
}

/* The words from `first` on that there are; a zone may end within a block. */
static size_t words_here(const struct frame_bitmap *b, size_t first, size_t count)
{
	return first < b->count ? MIN(count, b->count - first) : 0;
}

void bitmap_export(struct zone *z, pfn_t first, uint64_t words[FRAME_BLOCK_WORDS])
{
	struct frame_bitmap *b = &z->bitmap;
	size_t from = (first - b->base) / BITS, count = words_here(b, from, FRAME_BLOCK_WORDS);

	for (size_t i = 0; i < count; i++) {
		words[i] |= b->words[from + i];
		word_set(b, from + i, 0);
	}
}

void bitmap_put_words(struct zone *z, pfn_t first, const uint64_t *words, size_t count)
{
	struct frame_bitmap *b = &z->bitmap;
	size_t from = (first - b->base) / BITS;

	count = words_here(b, from, count);
	for (size_t i = 0; i < count; i++)
		word_set(b, from + i, b->words[from + i] | words[i]);
	b->lowest = MIN(b->lowest, from);
}

size_t bitmap_count(const struct zone *z, pfn_t first)
{
	const struct frame_bitmap *b = &z->bitmap;
	size_t from = (first - b->base) / BITS, count = words_here(b, from, FRAME_BLOCK_WORDS);
	size_t frames = 0;

	for (size_t i = 0; i < count; i++)
		frames += (size_t)__builtin_popcountll(b->words[from + i]);
	return frames;
}

static size_t bitmap_import(struct zone *z, pfn_t first, const uint64_t words[FRAME_BLOCK_WORDS])
{
	bitmap_put_words(z, first, words, FRAME_BLOCK_WORDS);
	return bitmap_count(z, first);
}

const struct frame_allocator_ops frame_allocator_bitmap = {
	.name = "bitmap",
	.init = bitmap_init,
	.add = bitmap_add,
	.allocate = bitmap_take,
	.allocate_contiguous = bitmap_take_run,
	.allocate_batch = bitmap_take_batch,
	.deallocate = bitmap_deallocate,
	.is_free = bitmap_is_free,
	.blocks = bitmap_blocks,
	.export = bitmap_export,
	.import = bitmap_import,
	.keeps_bitmap = true,
};
