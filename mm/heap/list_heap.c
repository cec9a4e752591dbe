/*
 * The list heap (HP-4, heap=list): free blocks in linked lists, split on allocation, joined with
 * their neighbours on free.
 *
 *	arena = | struct arena | block | block | ... | edge |
 *	block = | size, size of the one before, tag, check | payload |     a free one: its list link
 *
 * The two sizes (boundary tags) lead to both neighbours, so joining is a few loads. A free block is in
 * the list of its size's power of two; `filled` has a bit for each list that is not empty. A request
 * looks at the first PROBES blocks of its own list and takes the first that fits, else the first of
 * any higher list, which fits for certain; only before it would grow it walks its list to the end.
 *
 * Two pools: blocks up to 16 KiB in arenas of frames (128 KiB, less where there is no such block),
 * which can be taken in any context; larger ones in arenas of kmap pages. An arena without a block in
 * use is kept if it is its pool's only one, else it goes back.
 *
 * Each header carries a check of its address and fields. It is looked at whenever a header is
 * followed: what a program error wrote over stops the kernel before it hands out memory twice.
 *
 * Costs: 16 bytes a block; allocate and free are some tens of instructions under the pool's lock,
 * which all CPUs share: several times the slab, and it does not scale. It wastes less memory on odd
 * sizes, and is a second opinion: what works with both does not depend on the slab's classes.
 *
 * Lock: pool.lock (RANK_HEAP, interrupts off); frames and pages are taken and given back outside.
 *
 * Rejected: one list in order of addresses (a search as long as memory is fragmented, with a cache
 * miss a step); a lock for each arena (a free would have to find its arena first).
 */
#include "heap_ops.h"

#include "frame.h"
#include "inject.h"
#include "kmap_private.h"

#include <core/log.h>
#include <core/panic.h>
#include <core/spinlock.h>
#include <lib/string.h>
#include <mm/pressure.h>

#define UNIT 16u
#define BLOCK_MIN 2u  /* units: a header and a list link */
#define SPLIT_MIN 4u  /* units: less than this stays with the block it was cut from */
#define LISTS 32u
#define PROBES 16u
#define ARENA_ORDER 5u
#define LARGE_ARENA ((size_t)256 << 10)
#define SIZE_LIMIT ((size_t)1 << 34)

enum tag { TAG_FREE = 0x46524545, TAG_USED = 0x55534544, TAG_EDGE = 0x45444745 };

struct block { /* (pool.lock), but the payload, which is the owner's while it is used */
	uint32_t size;   /* units, with this header */
	uint32_t before; /* units of the block in front; 0: the first of its arena */
	uint32_t tag;    /* enum tag, + 1 in arenas of the large pool */
	uint32_t check;
	struct list link; /* of a free block */
};
#define HEADER offsetof(struct block, link)
static_assert(HEADER == UNIT);

struct arena {
	struct list link; /* (pool.lock) */
	size_t bytes;     /* constant */
	uint64_t order;   /* constant; of its frames, in the small pool */
	struct block first[];
};
static_assert(sizeof(struct arena) % UNIT == 0);

static struct pool {
	struct spinlock lock;
	uint32_t large;              /* constant; 1: arenas of pages */
	uint32_t filled;             /* (lock) bit: list is not empty */
	struct list lists[LISTS];    /* (lock) free blocks by power of two of their size */
	struct list arenas;          /* (lock) */
	size_t empty;                /* (lock) arenas without a block in use */
	size_t total, used;          /* (lock) bytes of arenas; of payloads */
	uint64_t allocations, frees; /* (lock) */
} pools[2];

/* ---- Blocks --------------------------------------------------------------------------------- */

static uint32_t check_of(const struct block *b)
{
	uint64_t v = (uint64_t)(uintptr_t)b ^ (uint64_t)b->size << 32 ^ (uint64_t)b->before << 7;
	v = (v ^ b->tag) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(v >> 32);
}

static void set(struct block *b, uint32_t size, uint32_t before, uint32_t tag)
{
	b->size = size;
	b->before = before;
	b->tag = tag;
	b->check = check_of(b);
}

static struct block *at(struct block *b, int64_t units)
{
	return (struct block *)((char *)b + units * (int64_t)UNIT);
}

/* `b`, if it is a header. */
static struct block *sound(struct block *b)
{
	if (unlikely(b->check != check_of(b)))
		panic("heap: the header of block %p is damaged", (char *)b + HEADER);
	return b;
}

static struct block *next_of(struct block *b)
{
	return sound(at(b, b->size));
}

static unsigned list_of(uint32_t units)
{
	return 31u - (unsigned)__builtin_clz(units);
}

static void put_locked(struct pool *p, struct block *b, uint32_t size, uint32_t before)
{
	unsigned n = list_of(size);
	set(b, size, before, TAG_FREE + p->large);
	list_add_head(&p->lists[n], &b->link);
	p->filled |= 1u << n;
}

static void unlink_locked(struct pool *p, struct block *b)
{
	unsigned n = list_of(b->size);
	list_remove(&b->link);
	if (list_empty(&p->lists[n]))
		p->filled &= ~(1u << n);
}

static void set_before(struct block *b, uint32_t before)
{
	set(b, b->size, before, b->tag);
}

static bool is_whole(const struct pool *p, struct block *b)
{
	return b->before == 0 && next_of(b)->tag == TAG_EDGE + p->large;
}

static struct block *block_of(const void *payload)
{
	return (struct block *)((char *)payload - HEADER);
}

static size_t list_size(const void *payload)
{
	return (size_t)block_of(payload)->size * UNIT - HEADER;
}

/* ---- Allocation ----------------------------------------------------------------------------- */

/* A free block of at least `units`, or null. */
static struct block *find_locked(struct pool *p, uint32_t units)
{
	unsigned own = list_of(units), probes = 0;
	uint32_t higher = p->filled & ~(uint32_t)(((uint64_t)2 << own) - 1);
	struct block *b;

	list_for_each(b, &p->lists[own], link) {
		if (sound(b)->size >= units)
			return b;
		if (higher && ++probes == PROBES)
			break;
	}
	if (!higher)
		return nullptr;
	return sound(list_first(&p->lists[__builtin_ctz(higher)], struct block, link));
}

/* What is cut off the end of a used block becomes free. */
static void trim_locked(struct pool *p, struct block *b, uint32_t units)
{
	uint32_t rest = b->size - units;
	if (rest < SPLIT_MIN)
		return;
	struct block *next = next_of(b), *cut = at(b, units);
	if (next->tag == TAG_FREE + p->large) {
		unlink_locked(p, next);
		rest += next->size;
		next = next_of(next);
	}
	set(b, units, b->before, b->tag);
	put_locked(p, cut, rest, units);
	set_before(next, rest);
}

/* Takes `units` out of free block `b`, so that the payload is aligned. */
static void *carve_locked(struct pool *p, struct block *b, uint32_t units, size_t align)
{
	struct block *next = next_of(b);
	uint32_t size = b->size, before = b->before;

	p->empty -= is_whole(p, b);
	unlink_locked(p, b);
	uintptr_t payload = ALIGN_UP((uintptr_t)b + HEADER, align);
	uint32_t gap = (uint32_t)((payload - HEADER - (uintptr_t)b) / UNIT);
	if (gap && gap < BLOCK_MIN)
		gap += (uint32_t)(align / UNIT);
	if (gap) {
		put_locked(p, b, gap, before);
		b = at(b, gap);
		before = gap;
		size -= gap;
		set_before(next, size);
	}
	set(b, size, before, TAG_USED + p->large);
	trim_locked(p, b, units);
	p->allocations++;
	p->used += b->size * (size_t)UNIT - HEADER;
	return (char *)b + HEADER;
}

static struct arena *arena_new(const struct pool *p, size_t need)
{
	struct arena *a = nullptr;
	if (p->large) {
		size_t bytes = ALIGN_UP(need, LARGE_ARENA);
		a = kmap_alloc_tagged(bytes, HEAP_TAG_LIST);
		if (!a)
			a = kmap_alloc_tagged(bytes = ALIGN_UP(need, PAGE_SIZE), HEAP_TAG_LIST);
		if (a)
			a->bytes = bytes;
		return a;
	}
	for (int order = ARENA_ORDER; order >= 0 && PAGE_SIZE << order >= need; order--) {
		struct frame *f = frame_alloc((unsigned)order, 0);
		if (!f)
			continue;
		a = frame_data(f);
		a->bytes = PAGE_SIZE << order;
		a->order = (uint64_t)order;
		heap_frames_own(f, (unsigned)order, &heap_list);
		heap_frames_add((int64_t)1 << order);
		break;
	}
	return a;
}

static bool grow(struct pool *p, uint32_t units)
{
	struct arena *a = arena_new(p, sizeof(struct arena) + ((size_t)units + 1) * UNIT);
	if (!a)
		return false;
	uint32_t room = (uint32_t)((a->bytes - sizeof(struct arena)) / UNIT) - 1;
	bool on = spin_lock_irq(&p->lock);
	list_add_tail(&p->arenas, &a->link);
	set(at(a->first, room), 1, room, TAG_EDGE + p->large);
	put_locked(p, a->first, room, 0);
	p->total += a->bytes;
	p->empty++;
	spin_unlock_irq(&p->lock, on);
	return true;
}

static uint32_t units_for(size_t size)
{
	return MAX((uint32_t)((ALIGN_UP(size, (size_t)UNIT) + HEADER) / UNIT), BLOCK_MIN);
}

static void *list_allocate(size_t size, size_t align)
{
	struct pool *p = &pools[size > HEAP_SMALL_MAX];

	if (size > SIZE_LIMIT || memory_should_fail())
		return nullptr;
	align = MAX(align, (size_t)UNIT);
	uint32_t units = units_for(size);
	uint32_t room = units + (align > UNIT ? (uint32_t)(align / UNIT) + 1 : 0);
	for (;;) {
		bool on = spin_lock_irq(&p->lock);
		struct block *b = find_locked(p, room);
		void *payload = b ? carve_locked(p, b, units, align) : nullptr;
		spin_unlock_irq(&p->lock, on);
		if (payload || !grow(p, room))
			return payload;
	}
}

/* ---- Free ----------------------------------------------------------------------------------- */

static void arena_delete(const struct pool *p, struct arena *a)
{
	if (!a)
		return;
	if (p->large) {
		kmap_free(a);
		return;
	}
	heap_frames_add(-((int64_t)1 << a->order));
	heap_frames_own(frame_of(a), (unsigned)a->order, nullptr);
	frame_free(frame_of(a), (unsigned)a->order);
}

/* The arena, which holds nothing but free block `b`, leaves its pool. */
static struct arena *arena_take_locked(struct pool *p, struct block *b)
{
	struct arena *a = (struct arena *)((char *)b - sizeof(struct arena));
	unlink_locked(p, b);
	list_remove(&a->link);
	p->total -= a->bytes;
	return a;
}

/* Gives the arena that has become superfluous, or null. */
static struct arena *free_locked(struct pool *p, struct block *b)
{
	uint32_t size = b->size, before = b->before;
	struct block *next = next_of(b);

	p->frees++;
	p->used -= size * (size_t)UNIT - HEADER;
	if (next->tag == TAG_FREE + p->large) {
		unlink_locked(p, next);
		size += next->size;
		next = next_of(next);
	}
	if (before) {
		struct block *front = sound(at(b, -(int64_t)before));
		if (front->tag == TAG_FREE + p->large) {
			unlink_locked(p, front);
			size += before;
			before = front->before;
			b = front;
		}
	}
	put_locked(p, b, size, before);
	set_before(next, size);
	if (!is_whole(p, b))
		return nullptr;
	if (p->empty)
		return arena_take_locked(p, b);
	p->empty++;
	return nullptr;
}

static struct pool *pool_of(const void *payload)
{
	return &pools[kmap_contains(payload)];
}

/* The used block; stops where there is none. */
static struct block *used_locked(const struct pool *p, void *payload)
{
	if (unlikely((uintptr_t)payload % UNIT))
		panic("heap_free: %p was not allocated", payload);
	struct block *b = sound(block_of(payload));
	if (unlikely(b->tag != TAG_USED + p->large))
		panic("heap_free: %p is free already", payload);
	return b;
}

static void list_free(void *payload)
{
	struct pool *p = pool_of(payload);
	bool on = spin_lock_irq(&p->lock);
	struct arena *dead = free_locked(p, used_locked(p, payload));
	spin_unlock_irq(&p->lock, on);
	arena_delete(p, dead);
}

/* In place, if the block has room or the free one behind it has. */
static bool resize_locked(struct pool *p, struct block *b, uint32_t units)
{
	struct block *next = next_of(b);
	uint32_t had = b->size, size = had;

	if (size < units && next->tag == TAG_FREE + p->large)
		size += next->size;
	if (size < units)
		return false;
	if (size > had) {
		unlink_locked(p, next);
		next = next_of(next);
		set(b, size, b->before, b->tag);
		set_before(next, size);
	}
	trim_locked(p, b, units);
	p->used += ((size_t)b->size - had) * UNIT;
	return true;
}

static void *list_realloc(void *payload, size_t size)
{
	struct pool *p = pool_of(payload);
	size_t have = list_size(payload);

	if (size > SIZE_LIMIT)
		return nullptr;
	bool on = spin_lock_irq(&p->lock);
	bool done = resize_locked(p, used_locked(p, payload), units_for(size));
	spin_unlock_irq(&p->lock, on);
	if (done)
		return payload;
	void *new = list_allocate(size, 0);
	if (!new)
		return nullptr;
	memcpy(new, payload, MIN(have, size));
	list_free(payload);
	return new;
}

/* ---- Figures and pressure ------------------------------------------------------------------- */

static void list_stats(struct heap_stats *out)
{
	*out = (struct heap_stats){};
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++) {
		struct pool *p = &pools[i];
		bool on = spin_lock_irq(&p->lock);
		out->total += p->total;
		out->used += p->used;
		out->allocations += p->allocations;
		out->deallocations += p->frees;
		spin_unlock_irq(&p->lock, on);
	}
	out->free = out->total - out->used;
}

static size_t audit_arena(const struct pool *p, struct arena *a)
{
	uint32_t before = 0;
	for (struct block *b = a->first;; b = at(b, b->size)) {
		if (b->check != check_of(b) || b->before != before || b->size == 0) {
			log_error("heap: the header of block %p is damaged", (char *)b + HEADER);
			return 1;
		}
		if (b->tag == TAG_EDGE + p->large)
			return 0;
		before = b->size;
	}
}

static size_t list_audit(void)
{
	size_t bad = 0;
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++) {
		struct pool *p = &pools[i];
		struct arena *a;
		bool on = spin_lock_irq(&p->lock);
		list_for_each(a, &p->arenas, link)
			bad += audit_arena(p, a);
		spin_unlock_irq(&p->lock, on);
	}
	return bad;
}

static uint64_t list_idle(void)
{
	return READ_ONCE(pools[0].empty) << ARENA_ORDER;
}

/* The empty arenas of the small pool. */
static uint64_t list_trim(uint64_t want)
{
	struct pool *p = &pools[0];
	uint64_t before = heap_frame_count();
	for (;;) {
		struct arena *a, *dead = nullptr;
		bool on = spin_lock_irq(&p->lock);
		list_for_each(a, &p->arenas, link) {
			if (a->first->tag != TAG_FREE || !is_whole(p, sound(a->first)))
				continue;
			p->empty--;
			dead = arena_take_locked(p, a->first);
			break;
		}
		spin_unlock_irq(&p->lock, on);
		if (!dead)
			break;
		arena_delete(p, dead);
	}
	uint64_t after = heap_frame_count();
	return after < before ? before - after : 0;
}

static const struct shrinker list_shrinker = {
	.name = "list heap", .count = list_idle, .scan = list_trim};

void list_heap_init(void)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(pools); i++) {
		pools[i].large = i;
		spin_init(&pools[i].lock, RANK_HEAP, "list heap");
		list_init(&pools[i].arenas);
		for (size_t n = 0; n < LISTS; n++)
			list_init(&pools[i].lists[n]);
	}
}

const struct heap_ops heap_list = {
	.name = "list",
	.allocate = list_allocate,
	.deallocate = list_free,
	.reallocate = list_realloc,
	.size = list_size,
	.stats = list_stats,
	.audit = list_audit,
	.shrinker = &list_shrinker,
};
