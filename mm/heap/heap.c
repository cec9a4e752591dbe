/*
 * The global heap (HP-1, HP-5): the early heap until the frames are there, then the provider that
 * heap=slab|list|bump names, with the debug mode in front of it if heap_debug is on the command line.
 * Blocks of the early heap live on in the image; they are known by address.
 *
 * The slab is called directly, not through its table, where nothing is in front of it: one
 * predictable branch for an indirect call on every allocation. `direct` says so.
 *
 * The provider can be exchanged while blocks are out (RL-2, the slot `heap` in exec/slots). Blocks cannot be moved,
 * so the old provider lives on until its last one is freed: a block is told by where it lies. Frames of a
 * slab have their cache in `private`, those of another provider's arena have 0 there and the provider as
 * `owner`; kmap ranges carry a tag. So a free needs no lookup but the one the slab makes anyway: only where that
 * finds no cache it asks heap_owner(). A block that grows after an exchange moves to the new provider.
 * Each call works with one provider from beginning to end, whichever it read, and all of them are there
 * all the time, so nobody has to be quiet: the exchange is a store. Slabs of cache_create() are not
 * exchanged; caches that ask the provider (slab.c) ask the new one.
 *
 * Rejected: a table from address to owner (a lookup on every free); copying blocks over (who holds
 * pointers to them is not known).
 */
#include <mm/heap.h>

#include "heap_ops.h"
#include "kmap_private.h"

#include <core/cmdline.h>
#include <core/log.h>
#include <hal/types.h>
#include <lib/string.h>
#include <mm/change.h>
#include <mm/frame.h>
#include <mm/heap_debug.h>
#include <mm/pressure.h>
#include <stdatomic.h>

#define EARLY_BYTES 16384

static char early_arena[EARLY_BYTES] ALIGNED(64);
static const struct heap_ops *const providers[] = {&heap_slab, &heap_list, &heap_bump};
/* Written on the boot CPU, and by the slot `heap`; read by all, once in each call. (`direct` is one byte, and
 * read plainly: a volatile read costs the fast paths an instruction.) */
static struct {
	const struct heap_ops *provider; /* null: the early heap */
	bool direct;
} use ALIGNED(64);
static _Atomic int64_t frames_held ALIGNED(64);

const struct heap_ops *heap_provider(void)
{
	return READ_ONCE(use.provider);
}

const char *heap_name(void)
{
	const struct heap_ops *provider = heap_provider();
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
	char name[16];

	if (!cmdline_get("heap", name, sizeof(name)))
		return &heap_slab;
	for (size_t i = 0; i < ARRAY_SIZE(providers); i++)
		if (strcmp(name, providers[i]->name) == 0)
			return providers[i];
	log_warn("heap=%s: unknown, using slab (there are slab, list, bump)", name);
	return &heap_slab;
}

static void use_provider(const struct heap_ops *next)
{
	WRITE_ONCE(use.provider, next);
	WRITE_ONCE(use.direct, next == &heap_slab && !heap_debug_on());
}

void heap_start(void)
{
	const struct heap_ops *chosen = choose();
	bool debug = cmdline_has("heap_debug");

	slab_init(chosen == &heap_slab && !debug);
	list_heap_init();
	bump_heap_retire();
	if (debug)
		heap_debug_init();
	use_provider(chosen);
	for (size_t i = 0; i < ARRAY_SIZE(providers); i++)
		if (providers[i]->shrinker)
			shrinker_register(providers[i]->shrinker);
	if (chosen != &heap_slab || debug)
		log_info("heap: %s%s", chosen->name, debug ? ", in debug mode" : "");
}

/* ---- Blocks of several providers ------------------------------------------------------------ */

const struct heap_ops *heap_owner(const void *block)
{
	if (kmap_contains(block)) {
		unsigned tag = kmap_tag(block);
		return tag == HEAP_TAG_LIST   ? &heap_list
		       : tag == HEAP_TAG_BUMP ? &heap_bump
					      : &heap_slab;
	}
	const struct frame *f = frame_of(block);
	if (f->private)
		return &heap_slab;
	return f->owner == &heap_list   ? &heap_list
	       : f->owner == &heap_bump ? &heap_bump
					: &heap_slab;
}

bool heap_free_foreign(void *block)
{
	const struct heap_ops *owner = heap_owner(block);
	if (owner == &heap_slab)
		return false;
	owner->deallocate(block);
	return true;
}

/* Also the frames inside: what an earlier user left in their records must not look like a slab's. */
void heap_frames_own(struct frame *f, unsigned order, const struct heap_ops *owner)
{
	for (size_t i = 0; i < (size_t)1 << order; i++) {
		f[i].private = 0;
		f[i].owner = (void *)(uintptr_t)owner;
	}
}

const struct heap_ops *heap_provider_get(size_t index)
{
	return index < ARRAY_SIZE(providers) ? providers[index] : nullptr;
}

const char *heap_provider_name(const struct heap_ops *p)
{
	return p->name;
}

struct heap_stats heap_provider_stats(const struct heap_ops *p)
{
	struct heap_stats s;
	p->stats(&s);
	return s;
}

enum kerr heap_provider_check(const struct heap_ops *next)
{
	if (next == &heap_bump)
		return KERR_OPNOTSUPP;
	for (size_t size = 1; size <= HEAP_SMALL_MAX; size *= 8) {
		uint8_t *block = next->allocate(size, 0);
		if (!block)
			return KERR_NOMEM;
		bool good = next->size(block) >= size && heap_owner(block) == next;
		memset(block, 0x5a, size);
		next->deallocate(block);
		if (!good)
			return KERR_IO;
	}
	return KERR_OK;
}

void heap_provider_use(const struct heap_ops *next)
{
	use_provider(next);
}

void heap_provider_trim(const struct heap_ops *p)
{
	if (p->shrinker)
		(void)p->shrinker->scan(UINT64_MAX);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static bool is_early(const void *block)
{
	return (uintptr_t)block - (uintptr_t)early_arena < EARLY_BYTES;
}

static NOINLINE void *alloc_slow(size_t size, size_t align)
{
	const struct heap_ops *provider = heap_provider();
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
	if (likely(use.direct && size - 1 < HEAP_SMALL_MAX))
		return slab_alloc(size);
	return alloc_slow(size, 0);
}

void *heap_alloc_zeroed(size_t size)
{
	if (size > HEAP_SMALL_MAX && use.direct)
		return heap_slab.allocate(size, 0); /* its larger ones come zeroed */
	void *block = heap_alloc(size);
	if (block)
		memset(block, 0, size);
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
		heap_owner(block)->deallocate(block);
}

void heap_free(void *block)
{
	if (likely(use.direct && block && !is_early(block)))
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
	const struct heap_ops *owner = heap_owner(block);
	if (owner == heap_provider())
		return owner->reallocate(block, size ? size : 1);
	void *new = heap_alloc(size); /* so that the other one gets empty */
	if (new) {
		memcpy(new, block, MIN(owner->size(block), size));
		owner->deallocate(block);
	}
	return new;
}

void *heap_object_alloc(const char *cache, size_t size, size_t align)
{
	return heap_debug_on() ? heap_debug_alloc(cache, size, align)
			       : heap_provider()->allocate(size, align);
}

void heap_object_free(const char *cache, void *object)
{
	if (heap_debug_on())
		heap_debug_free(cache, object);
	else
		heap_owner(object)->deallocate(object);
}

struct heap_stats heap_stats(void)
{
	struct heap_stats s = {}, one;
	for (size_t i = 0; heap_provider() && i < ARRAY_SIZE(providers); i++) {
		providers[i]->stats(&one);
		s.total += one.total;
		s.used += one.used;
		s.free += one.free;
		s.allocations += one.allocations;
		s.deallocations += one.deallocations;
	}
	return s;
}
