/* What a frame allocator is (PMM-2): the table that bump and buddy fill in, and zones. */
#pragma once

#include <core/spinlock.h>
#include <mm/memory.h>

#define FRAME_ORDER_MAX (FRAME_ORDERS - 1)
#define FRAME_ORDER_NONE 0xff /* frame.order of a frame that heads no free block */
/* Frame records exist for whole blocks of this many frames, so a buddy's record always does. */
#define FRAME_BLOCK ((pfn_t)1 << FRAME_ORDER_MAX)

#define ZONE_DMA_END ((pfn_t)(16ull << 20 >> PAGE_SHIFT))
#define ZONE_DMA32_END ((pfn_t)(4ull << 30 >> PAGE_SHIFT))

struct frame_range {
	pfn_t start, end; /* frames, `end` is the first after */
};

/*
 * A policy for single frames and blocks. The front (frame.c) keeps CPU caches before it, so these
 * are slow-path calls: honestly indirect. All are safe in any context. Blocks come aligned to
 * their size, state FRAME_USED, references 1. Null: no such block.
 */
struct frame_allocator_ops {
	const char *name;
	/* Takes over `count` ranges of usable frames, sorted, whose records are zero. */
	enum kerr (*init)(const struct frame_range *ranges, size_t count);
	/* From any zone programs may use, best one first; `reserve`: may go below the minimum
	 * watermark. */
	struct frame *(*allocate)(unsigned order, bool reserve);
	/* `count` frames in a row, aligned to 2^order frames; the rest of the block stays free. */
	struct frame *(*allocate_contiguous)(size_t count, unsigned order);
	/* Strictly from `zone`. */
	struct frame *(*allocate_zone)(unsigned order, enum zone_id zone, bool reserve);
	size_t (*allocate_batch)(struct frame **out, size_t count, bool reserve);
	void (*deallocate)(struct frame *f, unsigned order);
	void (*deallocate_batch)(struct frame **frames, size_t count);
	uint64_t (*free_frames)(void);
	uint64_t (*total_frames)(void);
	bool (*stats)(enum zone_id zone, struct zone_info *out);
};

extern const struct frame_allocator_ops frame_allocator_bump;
extern const struct frame_allocator_ops frame_allocator_buddy;

/* ---- Zones (zone.c) ------------------------------------------------------------------------ */

struct zone {
	struct spinlock lock; /* innermost of mm; taken with interrupts off */
	uint32_t nonempty;    /* (lock) bit n: free[n] has blocks */
	struct list free[FRAME_ORDERS];   /* (lock) heads of free blocks */
	uint64_t blocks[FRAME_ORDERS];    /* (lock) length of each list */
	_Atomic uint64_t free_frames;     /* written under lock, read by anybody */
	uint64_t allocated, freed;        /* (lock) events */
	uint64_t managed, present;        /* constant after init */
	uint64_t min, low, high;          /* constant after init: watermarks */
	pfn_t start, end;                 /* constant after init */
} ALIGNED(64);

extern struct zone zones[ZONE_COUNT];
extern const char *const zone_names[ZONE_COUNT];

static inline enum zone_id zone_of_pfn(pfn_t pfn)
{
	return pfn < ZONE_DMA_END ? ZONE_DMA : pfn < ZONE_DMA32_END ? ZONE_DMA32 : ZONE_NORMAL;
}

void zone_init_all(void);
/* Adds frames to the figures of their zone. */
void zone_add(pfn_t start, pfn_t end);
void zone_set_watermarks(void);
/* The zones that a general request tries, best first, ended by ZONE_COUNT. */
extern const enum zone_id zone_fallback[];

/* ---- Buddy: the block level, zone lock held (buddy.c); tests and later allocators use it. ---- */

struct frame *buddy_take_locked(struct zone *z, unsigned order);
void buddy_give_locked(struct zone *z, pfn_t pfn, unsigned order);

/* A free that makes no sense: double, foreign, wrong size. Panics in debug builds. */
void frame_report(const char *what, const struct frame *f);
