/*
 * Frames: the physical pages, a 32-byte record each, and the calls that allocate them (PMM).
 */
#pragma once

#include <hal/types.h>
#include <lib/kerr.h>
#include <lib/list.h>
#include <stdatomic.h>

/* FRAME_POOLED: in use, of a pool (frames/hugepool.c), to which it goes back. */
enum frame_state {
	FRAME_RESERVED,
	FRAME_FREE,
	FRAME_USED,
	FRAME_ZERO_SHARED,
	FRAME_LAZY,
	FRAME_POOLED,
};
enum zone_id { ZONE_DMA, ZONE_DMA32, ZONE_NORMAL, ZONE_HIGH, ZONE_DEVICE, ZONE_COUNT };

struct frame {
	_Atomic uint32_t references; /* FRAME_USED: holders; the last frame_put frees it */
	uint8_t state;               /* enum frame_state */
	uint8_t order; /* of the free block or allocation it heads; 0xff: none, or one frame */
	uint8_t zone;
	uint8_t node;
	union {
		struct list link; /* free lists, slab lists (their lock) */
		struct {
			void *owner; /* cache, object: who uses it */
			uint64_t index;
		};
	};
	uint64_t private; /* the owner's */
};
static_assert(sizeof(struct frame) == 32);

/* Requests. */
#define FRAME_ZEROED 0x1u /* contents are zero */
#define FRAME_DMA 0x2u /* strictly below 16 MiB */
#define FRAME_DMA32 0x4u /* strictly below 4 GiB */
#define FRAME_USER 0x8u /* for a program: must not take the kernel's reserve */

/* 2^order frames, physically contiguous and aligned to their size, references = 1. Any context.
 * Never sleeps. Null: no memory (thread context may frame_reclaim() and try again). */
[[nodiscard]] struct frame *frame_alloc(unsigned order, unsigned flags);
/* Up to `count` single frames into `out`; returns how many. */
size_t frame_alloc_batch(struct frame **out, size_t count, unsigned flags);
/* Takes back what frame_alloc gave, whatever its references. A double or foreign free panics
 * in debug builds and is reported and ignored in release ones. */
void frame_free(struct frame *f, unsigned order);
void frame_free_batch(struct frame **frames, size_t count);
/* 2^order single frames that lie in a row, aligned to their size: past the CPU's cache, as one block,
 * so that what was whole becomes whole again. Their references are gone. */
void frame_free_run(struct frame *first, unsigned order);
/* After taking `frames` there would still be a quarter of all memory free (`plenty`), or at least
 * more than the low watermark. */
bool frame_room(uint64_t frames, bool plenty);

/* `count` frames in a row, aligned to 2^align_order frames; each is one of its own afterwards
 * (freed with order 0). At most 8 MiB. */
[[nodiscard]] struct frame *frame_alloc_contiguous(size_t count, unsigned align_order,
						   unsigned flags);
/* Strictly from one zone. */
[[nodiscard]] struct frame *frame_alloc_zone(unsigned order, enum zone_id zone, unsigned flags);
/* A frame whose contents are zero (again): the next FRAME_ZEROED request gets it for nothing. */
void frame_free_zeroed(struct frame *f);
/* Frames that sit in CPU caches go back, caches of the heap shrink; true if anything came of it.
 * Sleeps: thread context, interrupts on, no spinlock. What to do when FRAME_USER found nothing. */
bool frame_reclaim(void);

static inline void frame_get(struct frame *f)
{
	atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
}
void frame_put(struct frame *f); /* single frames */

extern struct frame *frame_table; /* indexed by pfn; sparse: only RAM is backed */
extern vaddr_t direct_map;

static inline pfn_t frame_pfn(const struct frame *f)
{
	return (pfn_t)(f - frame_table);
}
static inline paddr_t frame_address(const struct frame *f)
{
	return frame_pfn(f) << PAGE_SHIFT;
}
static inline void *frame_data(const struct frame *f)
{
	return (void *)(direct_map + frame_address(f));
}
/* The record of a RAM frame. Null for an address that is no RAM. */
struct frame *frame_at(paddr_t addr);
static inline struct frame *frame_of(const void *direct_map_pointer)
{
	return frame_table + (((vaddr_t)direct_map_pointer - direct_map) >> PAGE_SHIFT);
}

struct frame_totals {
	uint64_t total, free, reserved; /* frames */
};
struct frame_totals frame_totals(void);
