/*
 * The global heap (HP-1, HP-5): the early heap until the frames are there, then the provider that
 * heap=slab|list|bump names, with the debug mode in front of it if heap_debug is on the command line.
 * Blocks of the early heap live on in the image; they are known by address.
 *
 * The slab is called directly, not through its table, where nothing is in front of it: one
 * predictable branch for an indirect call on every allocation. `direct` says so.
 */
#include <mm/heap.h>

#include "heap_ops.h"

#include <core/cmdline.h>
#include <core/log.h>
#include <hal/types.h>
#include <lib/string.h>
#include <mm/heap_debug.h>
#include <mm/pressure.h>
#include <stdatomic.h>

#define EARLY_BYTES 16384

static char early_arena[EARLY_BYTES] ALIGNED(64);
/* These change once, on the boot CPU. */
static const struct heap_ops *provider RO_AFTER_INIT; /* null: the early heap */
static bool direct RO_AFTER_INIT;
static _Atomic int64_t frames_held;

const struct heap_ops *heap_provider(void)
{
	return provider;
}

const char *heap_name(void)
{
	return provider ? provider->name : "early";
}

uint64_t heap_frame_count(void)
{
	return (uint64_t)atomic_load_explicit(&frames_held, memory_order_relaxed);
}

void heap_frames_add(int64_t count)
{
	atomic_fetch_add_explicit(&frames_held, count, memory_order_relaxed);
}

/* ---- Start ---------------------------------------------------------------------------------- */

/* The one that heap= names; the slab if there is no such name. */
static const struct heap_ops *choose(void)
{
	static const struct heap_ops *const all[] = {&heap_slab, &heap_list, &heap_bump};
	char name[16];

	if (!cmdline_get("heap", name, sizeof(name)))
		return all[0];
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (strcmp(name, all[i]->name) == 0)
			return all[i];
	log_warn("heap=%s: unknown, using slab (there are slab, list, bump)", name);
	return all[0];
}

void heap_start(void)
{
	const struct heap_ops *chosen = choose();
	bool debug = cmdline_has("heap_debug");

	direct = chosen == &heap_slab && !debug;
	slab_init(direct);
	list_heap_init();
	bump_heap_retire();
	provider = chosen;
	if (debug)
		heap_debug_init(chosen);
	if (chosen->shrinker)
		shrinker_register(chosen->shrinker);
	if (!direct)
		log_info("heap: %s%s", chosen->name, debug ? ", in debug mode" : "");
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static bool is_early(const void *block)
{
	return (uintptr_t)block - (uintptr_t)early_arena < EARLY_BYTES;
}

static NOINLINE void *alloc_slow(size_t size, size_t align)
{
	if (size == 0)
		size = 1;
	if (!provider) {
		bump_heap_init(early_arena, sizeof(early_arena));
		return bump_heap_alloc(size, align);
	}
	return heap_debug_on() ? heap_debug_alloc(nullptr, size, align)
			       : provider->allocate(size, align);
}

void *heap_alloc(size_t size)
{
	if (likely(direct && size - 1 < HEAP_SMALL_MAX))
		return slab_alloc(size);
	return alloc_slow(size, 0);
}

void *heap_alloc_zeroed(size_t size)
{
	void *block = heap_alloc(size);
	if (block && (!direct || size <= HEAP_SMALL_MAX))
		memset(block, 0, size); /* the slab's larger ones come zeroed */
	return block;
}

void *heap_alloc_aligned(size_t size, size_t align)
{
	if (align > PAGE_SIZE || (align & (align - 1)))
		return nullptr;
	return alloc_slow(size, align);
}

static NOINLINE void free_slow(void *block)
{
	if (!block || is_early(block))
		return;
	if (heap_debug_on())
		heap_debug_free(nullptr, block);
	else
		provider->deallocate(block);
}

void heap_free(void *block)
{
	if (likely(direct && block && !is_early(block)))
		slab_free(block);
	else
		free_slow(block);
}

void *heap_realloc(void *block, size_t size)
{
	if (!block)
		return heap_alloc(size);
	if (is_early(block)) {
		void *new = heap_alloc(size);
		if (new)
			memcpy(new, block, MIN(bump_heap_size(block), size));
		return new;
	}
	if (heap_debug_on())
		return heap_debug_realloc(block, size ? size : 1);
	return provider->reallocate(block, size ? size : 1);
}

void *heap_object_alloc(const char *cache, size_t size, size_t align)
{
	return heap_debug_on() ? heap_debug_alloc(cache, size, align)
			       : provider->allocate(size, align);
}

void heap_object_free(const char *cache, void *object)
{
	if (heap_debug_on())
		heap_debug_free(cache, object);
	else
		provider->deallocate(object);
}

struct heap_stats heap_stats(void)
{
	struct heap_stats s = {};
	if (provider)
		provider->stats(&s);
	return s;
}
