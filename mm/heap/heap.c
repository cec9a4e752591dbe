/*
 * The global heap: whichever provider is up (HP-1): the bump heap until the frames are there, then
 * the slab. Blocks of the bump heap live on in the image; heap_free() knows them by address.
 *
 * The slab is called directly, not through its table, when it is the provider: one predictable
 * branch for an indirect call on every allocation.
 */
#include <mm/heap.h>

#include "heap_ops.h"

#include <hal/types.h>
#include <lib/string.h>

#define EARLY_BYTES 16384

static char early_arena[EARLY_BYTES] ALIGNED(64);
static const struct heap_ops *provider = &heap_bump; /* changes once, on the boot CPU */

void heap_start_slab(void)
{
	slab_init();
	bump_heap_retire();
	provider = &heap_slab;
}

static NOINLINE void *alloc_slow(size_t size, size_t align)
{
	if (size == 0)
		size = 1;
	if (provider == &heap_bump)
		bump_heap_init(early_arena, sizeof(early_arena));
	return provider->allocate(size, align);
}

void *heap_alloc(size_t size)
{
	if (likely(provider == &heap_slab && size - 1 < HEAP_SMALL_MAX))
		return slab_alloc(size);
	return alloc_slow(size, 0);
}

void *heap_alloc_zeroed(size_t size)
{
	void *block = heap_alloc(size);
	if (block && (provider == &heap_bump || size <= HEAP_SMALL_MAX))
		memset(block, 0, size); /* larger ones come zeroed */
	return block;
}

void *heap_alloc_aligned(size_t size, size_t align)
{
	if (align > PAGE_SIZE || (align & (align - 1)))
		return nullptr;
	return alloc_slow(size, align);
}

void heap_free(void *block)
{
	if (!block)
		return;
	if (unlikely(bump_heap_owns(block)))
		heap_bump.deallocate(block);
	else
		slab_free(block);
}

void *heap_realloc(void *block, size_t size)
{
	if (!block)
		return heap_alloc(size);
	if (!bump_heap_owns(block))
		return heap_slab.reallocate(block, size);
	if (provider == &heap_bump)
		return heap_bump.reallocate(block, size);
	void *new = heap_alloc(size);
	if (new)
		memcpy(new, block, MIN(((size_t *)block)[-1], size));
	return new;
}

struct heap_stats heap_stats(void)
{
	struct heap_stats s;
	provider->stats(&s);
	return s;
}
