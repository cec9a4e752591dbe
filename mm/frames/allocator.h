/* What a frame allocator is (PMM-2): the table that buddy, bitmap, hybrid and bump fill in; zones. */
#pragma once

#include <core/spinlock.h>
#include <mm/memory.h>
#include <mm/numa.h>

#define FRAME_ORDER_MAX (FRAME_ORDERS - 1)
#define FRAME_ORDER_NONE 0xff /* frame.order of a frame that heads no block */
/* Frame records exist for whole blocks of this many frames, so a buddy's record always does. */
#define FRAME_BLOCK ((pfn_t)1 << FRAME_ORDER_MAX)
#define FRAME_BLOCK_WORDS (FRAME_BLOCK / 64)
#define PFN_NONE UINT64_MAX

#define ZONE_DMA_END ((pfn_t)(16ull << 20 >> PAGE_SHIFT))
#define ZONE_DMA32_END ((pfn_t)(4ull << 30 >> PAGE_SHIFT))

struct zone;
struct frame_bitmap;

/*
 * A policy: which of a zone's frames to hand out. zone.c chooses the zone, keeps its lock (held in
 * all of these, interrupts off), the watermarks, the frames' records and the counts; frame.c
 * keeps CPU caches before that. So these are slow-path calls, honestly indirect.
 */
struct frame_allocator_ops {
	const char *name;
	/* Makes what it needs to know about [z->start, z->end); bump_take() works. No lock. */
	enum kerr (*init)(struct zone *z);
	/* New frames, of the boot or given up later: any run within one zone. */
	void (*add)(struct zone *z, pfn_t pfn, size_t count);
	/* A block of 2^order frames, aligned to its size. PFN_NONE: there is none. */
	pfn_t (*allocate)(struct zone *z, unsigned order);
	/* `count` frames in a row (at most FRAME_BLOCK), the first aligned to 2^order. */
	pfn_t (*allocate_contiguous)(struct zone *z, size_t count, unsigned order);
	/* Up to `count` single frames; returns how many. */
	size_t (*allocate_batch)(struct zone *z, pfn_t *out, size_t count);
	/* Takes a block or a frame back; the number of frames that are free by it. */
	size_t (*deallocate)(struct zone *z, pfn_t pfn, unsigned order);
	/* Whether this frame is free. For audits: may be slow. */
	bool (*is_free)(const struct zone *z, pfn_t pfn);
	/* Free blocks by order, as /proc/buddyinfo shows them. May be slow. */
	void (*blocks)(const struct zone *z, uint64_t blocks[FRAME_ORDERS]);
	/* For a change of policy, the FRAME_BLOCK frames from `first` on, of which some may be no RAM, or another
	 * zone's. What is free of them goes into `words`, which are clear: a bit a frame. It is this policy's no
	 * more. */
	void (*export)(struct zone *z, pfn_t first, uint64_t words[FRAME_BLOCK_WORDS]);
	/* Takes over what another one exported; how many frames it has got by it. */
	size_t (*import)(struct zone *z, pfn_t first, const uint64_t words[FRAME_BLOCK_WORDS]);
	bool keeps_bitmap; /* zone.bitmap is its own */
	bool loses; /* what is freed is lost: not to be changed to */
};

extern const struct frame_allocator_ops frame_allocator_buddy, frame_allocator_bitmap,
	frame_allocator_hybrid, frame_allocator_bump;

/* ---- Zones (zone.c) ------------------------------------------------------------------------ */

struct buddy_lists { /* (zone lock) */
	uint32_t nonempty; /* bit n: free[n] has blocks */
	struct list free[FRAME_ORDERS]; /* heads of free blocks */
	uint64_t count[FRAME_ORDERS];
};

struct frame_bitmap { /* (zone lock), but the memory, which a change of policy brings and takes */
	uint64_t *words; /* bit: the frame is free; bit 0 is that of `base` */
	uint64_t *summary; /* bit n: words[n] has a free frame */
	pfn_t base;
	size_t count; /* words */
	size_t lowest; /* no word before it has a free frame */
	void *mapped; /* a kmap range that is all of the memory; null: it is the boot's */
};

struct zone {
	struct spinlock lock; /* innermost of mm; taken with interrupts off */
	const struct frame_allocator_ops *policy; /* (lock) */
	enum zone_id id; /* constant after init, as node, start, end, present */
	uint8_t node;
	pfn_t start, end;
	uint64_t present; /* frames of RAM */
	uint64_t managed; /* (lock) of these: ever given to the allocator */
	uint64_t min, low, high; /* (lock; others peek) watermarks */
	_Atomic uint64_t free_frames; /* written under lock, read by anybody */
	uint64_t allocated, freed; /* (lock) events */
	uint64_t taken[NODE_MAX]; /* (lock) frames, by the node they were wanted on */
	uint64_t interleaved, local; /* (lock) of these: by turns; to a CPU of this node */
	uint64_t small, large; /* (lock) hybrid: requests by path */
	struct buddy_lists buddy;
	struct frame_bitmap bitmap;
	struct list runs; /* (lock) bump: what is left */
	/* While the policy is changed: what the next one has, which is all before `moved`. */
	struct zone *next; /* (lock) */
	pfn_t moved; /* (lock) */
	struct frame_bitmap spare; /* (slot.swapping) an empty one for the next policy */
} ALIGNED(64);

/* The chosen policy: what zone.policy is, but while it is changed (change.c). */
extern const struct frame_allocator_ops *frame_allocator;

static inline enum zone_id zone_id_of_pfn(pfn_t pfn)
{
	return pfn < ZONE_DMA_END ? ZONE_DMA : pfn < ZONE_DMA32_END ? ZONE_DMA32 : ZONE_NORMAL;
}
/* The `index`th zone with memory, by node and address; null past the end. */
struct zone *zone_get(size_t index);

/* Boot: the zones of all RAM, with `policy` for each. */
enum kerr zone_init_all(const struct frame_allocator_ops *policy);
/* New frames become allocatable; their records are not FRAME_USED. */
void zone_add_frames(pfn_t start, pfn_t end);
void zone_set_watermarks(void);

/*
 * Blocks come with state FRAME_USED and references 1, nothing zeroed. They are taken from the zones of
 * `node` and then of the others by distance, of those in `nodes`, none above `highest`; `reserve`: may
 * go below the minimum watermark. Any context.
 */
struct zone_request {
	enum zone_id highest;
	bool exact; /* `highest` and no other zone */
	bool reserve;
	uint8_t node;
	uint8_t wanted, cpu_node; /* for the figures: the node hoped for, the CPU's */
	bool interleaved; /* for the figures: by turns */
	bool spill; /* if `nodes` have none, the others may give: policy.c */
	uint16_t nodes; /* a bit each */
};
#define NODES_ALL ((uint16_t)0xffff)
static_assert(NODE_MAX <= 16);
/* The first of `nodes` with memory on the way from `node`; `node` if there is none. */
unsigned zone_nearest(unsigned node, uint16_t nodes);
/* Whether programs are out of frames on all of `nodes`. */
bool zone_scarce(uint16_t nodes);
struct frame *zone_allocate(const struct zone_request *r, unsigned order);
struct frame *zone_allocate_contiguous(const struct zone_request *r, size_t count, unsigned order);
size_t zone_allocate_batch(const struct zone_request *r, struct frame **out, size_t count);
void zone_free(struct frame *f, unsigned order);
/* 2^order single frames in a row, aligned, FRAME_USED: as one block. */
void zone_free_run(struct frame *first, unsigned order);
/* Single frames that are FRAME_USED. */
void zone_free_batch(struct frame **frames, size_t count);
uint64_t zone_free_frames(void);
uint64_t zone_managed_frames(void);
void zone_figures(struct zone *z, struct zone_info *out);
/* What is free goes from the zone's policy to `next`, whose bitmap, if it has one, is z->spare; the old one's is
 * z->spare then. *held: the longest time in ns for which the lock was held. False: the new policy does not have as many
 * frames as the zone has counted. One at a time. */
bool zone_change_policy(struct zone *z, const struct frame_allocator_ops *next, nsec_t *held);

/* The largest order of a block that begins at `pfn` and has at most `count` frames. */
static inline unsigned frame_run_order(pfn_t pfn, size_t count)
{
	unsigned fits = 63 - (unsigned)__builtin_clzll(count);
	unsigned aligned = pfn ? (unsigned)__builtin_ctzll(pfn) : FRAME_ORDER_MAX;
	return MIN(MIN(fits, aligned), (unsigned)FRAME_ORDER_MAX);
}
/* Adds the blocks that a free run consists of. */
void frame_run_blocks(pfn_t pfn, size_t count, uint64_t blocks[FRAME_ORDERS]);

/* ---- Block level, zone lock held: what hybrid is made of ----------------------------------- */

enum kerr buddy_init(struct zone *z);
pfn_t buddy_take(struct zone *z, unsigned order);
void buddy_give(struct zone *z, pfn_t pfn, unsigned order);
void buddy_give_run(struct zone *z, pfn_t pfn, pfn_t end);
bool buddy_is_free(const struct zone *z, pfn_t pfn);
void buddy_blocks(const struct zone *z, uint64_t blocks[FRAME_ORDERS]);
void buddy_export(struct zone *z, pfn_t first, uint64_t words[FRAME_BLOCK_WORDS]);
/* The frames that are in its lists. */
size_t buddy_count(const struct zone *z);

enum kerr bitmap_init(struct zone *z);
/* The bytes of a bitmap for all of the zone. */
size_t bitmap_bytes(const struct zone *z);
/* Makes *b an empty one, of bitmap_bytes(z) zeroed bytes at `memory`. */
void bitmap_place(struct frame_bitmap *b, const struct zone *z, void *memory);
void bitmap_export(struct zone *z, pfn_t first, uint64_t words[FRAME_BLOCK_WORDS]);
/* `count` words of frames from `first` on, which the bitmap does not have yet. */
void bitmap_put_words(struct zone *z, pfn_t first, const uint64_t *words, size_t count);
size_t bitmap_count(const struct zone *z, pfn_t first);
/* Sets `count` bits from `at` on. */
void words_mark(uint64_t *words, size_t at, size_t count);
/* The next run of set bits at or after *at, of a block's; false: none. */
bool words_next_run(const uint64_t words[FRAME_BLOCK_WORDS], size_t *at, size_t *count);
pfn_t bitmap_take(struct zone *z, unsigned order);
pfn_t bitmap_take_run(struct zone *z, size_t count, unsigned order);
size_t bitmap_take_batch(struct zone *z, pfn_t *out, size_t count);
/* How many of the run were not free before: fewer than `count` is a double free, and reported. */
size_t bitmap_give(struct zone *z, pfn_t pfn, size_t count);
void bitmap_remove(struct zone *z, pfn_t pfn, size_t count); /* they are free */
bool bitmap_is_free(const struct zone *z, pfn_t pfn);
void bitmap_blocks(const struct zone *z, uint64_t blocks[FRAME_ORDERS]);

/* A free that makes no sense: double, foreign, wrong size. Panics in debug builds. */
void frame_report(const char *what, const struct frame *f);
