/*
 * Bump heaps (HP-2): the next bytes of an arena, of any alignment, never taken back.
 *
 *	early heap       one arena (a static array of the image) for what runs before the frames are
 *	                 there. Initialised once; null when it is full or a size overflows; after
 *	                 bump_heap_retire() it gives nothing more, its blocks stay valid. Boot CPU
 *	                 only, no lock.
 *	heap=bump        the whole kernel on it, for measurements: what an allocation costs at the
 *	                 least, and how much a run allocates altogether. Its arenas are 64 KiB of
 *	                 frames (less where there are none); blocks above 16 KiB are kmap ranges.
 *
 * Each block is preceded by its size, so that it can be moved. What is left of an arena when a block
 * does not fit is lost.
 *
 * Lock: bump_lock (RANK_HEAP, interrupts off) guards the arena of heap=bump and the counters; frames
 * are taken outside.
 */
#include "heap_ops.h"

#include "frame.h"
#include "inject.h"
#include "kmap_private.h"

#include <core/spinlock.h>
#include <lib/string.h>

#define ARENA_ORDER 4

enum bump_heap_state { EMPTY, READY, RETIRED };

struct arena {
	uintptr_t start, next, end;
};

static enum bump_heap_state state; /* boot CPU */
static struct arena early;         /* boot CPU */

static struct spinlock bump_lock = SPINLOCK_INIT(RANK_HEAP, "bump heap");
static struct arena current;      /* (bump_lock) */
static struct heap_stats counted; /* (bump_lock) `free` is not kept */

static void *take(struct arena *arena, size_t size, size_t align)
{
	uintptr_t at, end;
	if (align < sizeof(size_t) * 2)
		align = sizeof(size_t) * 2;
	if (__builtin_add_overflow(arena->next, sizeof(size_t) + align - 1, &at))
		return nullptr;
	at = ALIGN_DOWN(at, align);
	if (__builtin_add_overflow(at, size, &end) || end > arena->end)
		return nullptr;
	((size_t *)at)[-1] = size;
	arena->next = end;
	return (void *)at;
}

size_t bump_heap_size(const void *block)
{
	return ((const size_t *)block)[-1];
}

/* ---- Early ---------------------------------------------------------------------------------- */

bool bump_heap_init(void *start, size_t size)
{
	if (state != EMPTY)
		return false;
	early.start = early.next = (uintptr_t)start;
	early.end = early.start + size;
	state = READY;
	return true;
}

void bump_heap_retire(void)
{
	state = RETIRED;
}

void bump_heap_reset(void)
{
	if (state == READY)
		early.next = early.start;
}

void *bump_heap_alloc(size_t size, size_t align)
{
	return state == READY && size ? take(&early, size, align) : nullptr;
}

/* ---- heap=bump ------------------------------------------------------------------------------ */

/* A new arena for a block of `need` bytes: the largest that there is. */
static bool grow(size_t need)
{
	for (int order = ARENA_ORDER; order >= 0; order--) {
		size_t bytes = PAGE_SIZE << order;
		struct frame *f = bytes >= need ? frame_alloc((unsigned)order, 0) : nullptr;
		if (!f)
			continue;
		heap_frames_own(f, (unsigned)order, &heap_bump);
		uintptr_t start = (uintptr_t)frame_data(f);
		bool on = spin_lock_irq(&bump_lock);
		current = (struct arena){start, start, start + bytes};
		counted.total += bytes;
		spin_unlock_irq(&bump_lock, on);
		heap_frames_add((int64_t)1 << order);
		return true;
	}
	return false;
}

static void *large(size_t size)
{
	char *range = size <= SIZE_MAX - PAGE_SIZE
			      ? kmap_alloc_tagged(size + PAGE_SIZE, HEAP_TAG_BUMP)
			      : nullptr;
	if (!range)
		return nullptr;
	void *block = range + PAGE_SIZE;
	((size_t *)block)[-1] = size;
	bool on = spin_lock_irq(&bump_lock);
	counted.total += ALIGN_UP(size, PAGE_SIZE) + PAGE_SIZE;
	counted.used += size;
	counted.allocations++;
	spin_unlock_irq(&bump_lock, on);
	return block;
}

static void *bump_allocate(size_t size, size_t align)
{
	if (size > HEAP_SMALL_MAX)
		return large(size);
	if (memory_should_fail())
		return nullptr;
	for (;;) {
		bool on = spin_lock_irq(&bump_lock);
		void *block = take(&current, size, align);
		if (block) {
			counted.used += size;
			counted.allocations++;
		}
		spin_unlock_irq(&bump_lock, on);
		if (block || !grow(size + align + 2 * sizeof(size_t)))
			return block;
	}
}

static void bump_free(void *block)
{
	bool on = spin_lock_irq(&bump_lock);
	counted.used -= bump_heap_size(block);
	counted.deallocations++;
	spin_unlock_irq(&bump_lock, on);
}

static void *bump_realloc(void *block, size_t size)
{
	size_t have = bump_heap_size(block);
	if (size <= have)
		return block;
	void *new = bump_allocate(size, 0);
	if (!new)
		return nullptr;
	memcpy(new, block, have);
	bump_free(block);
	return new;
}

static void bump_stats(struct heap_stats *out)
{
	bool on = spin_lock_irq(&bump_lock);
	*out = counted;
	spin_unlock_irq(&bump_lock, on);
	out->free = out->total - out->used;
}

static size_t bump_audit(void)
{
	bool on = spin_lock_irq(&bump_lock);
	bool good = current.start <= current.next && current.next <= current.end;
	spin_unlock_irq(&bump_lock, on);
	return !good;
}

const struct heap_ops heap_bump = {
	.name = "bump",
	.allocate = bump_allocate,
	.deallocate = bump_free,
	.reallocate = bump_realloc,
	.size = bump_heap_size,
	.stats = bump_stats,
	.audit = bump_audit,
};
