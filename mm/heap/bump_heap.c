/*
 * The bump heap (HP-2): for what runs before the slab. It hands out the next bytes of one arena
 * (a static array of the image), of any alignment, never takes back, and gives null when it is
 * full or when a size overflows. It is initialised once; after bump_heap_retire() it gives
 * nothing more, its blocks stay valid.
 *
 * Boot CPU only, no lock.
 */
#include "heap_ops.h"

#include <lib/compiler.h>
#include <lib/string.h>

enum bump_heap_state { EMPTY, READY, RETIRED };

static struct {
	enum bump_heap_state state;
	uintptr_t start, next, end;
	uint64_t allocations, frees;
} arena;

bool bump_heap_init(void *start, size_t size)
{
	if (arena.state != EMPTY)
		return false;
	arena.start = arena.next = (uintptr_t)start;
	arena.end = arena.start + size;
	arena.state = READY;
	return true;
}

void bump_heap_retire(void)
{
	arena.state = RETIRED;
}

void bump_heap_reset(void)
{
	if (arena.state == READY)
		arena.next = arena.start;
}

bool bump_heap_owns(const void *block)
{
	return (uintptr_t)block >= arena.start && (uintptr_t)block < arena.end;
}

/* Each block is preceded by its size, so that it can be moved later. */
void *bump_heap_alloc(size_t size, size_t align)
{
	uintptr_t at, end;
	if (arena.state != READY || size == 0)
		return nullptr;
	if (align < sizeof(size_t) * 2)
		align = sizeof(size_t) * 2;
	if (__builtin_add_overflow(arena.next, sizeof(size_t) + align - 1, &at))
		return nullptr;
	at = ALIGN_DOWN(at, align);
	if (__builtin_add_overflow(at, size, &end) || end > arena.end)
		return nullptr;
	((size_t *)at)[-1] = size;
	arena.next = end;
	arena.allocations++;
	return (void *)at;
}

static void bump_free(void *block)
{
	arena.frees += block != nullptr;
}

static void *bump_realloc(void *block, size_t size)
{
	void *new = bump_heap_alloc(size, 0);
	if (new && block)
		memcpy(new, block, MIN(((size_t *)block)[-1], size));
	return new;
}

static void bump_stats(struct heap_stats *out)
{
	*out = (struct heap_stats){
		.total = arena.end - arena.start,
		.used = arena.next - arena.start,
		.free = arena.end - arena.next,
		.allocations = arena.allocations,
		.deallocations = arena.frees,
	};
}

const struct heap_ops heap_bump = {
	.name = "bump",
	.allocate = bump_heap_alloc,
	.deallocate = bump_free,
	.reallocate = bump_realloc,
	.stats = bump_stats,
};
