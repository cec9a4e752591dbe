/*
 * The kernel heap (HP-1 to HP-6): heap_* for memory of any size, cache_* for objects of one type.
 * heap=slab|list|bump on the command line chooses who provides it: slabs of frames with per-CPU
 * magazines, and whole pages above 16 KiB, unless said otherwise. heap_debug adds mm/heap_debug.h.
 * Any context except where said; never sleeps; null when there is no memory.
 */
#pragma once

#include <lib/compiler.h>
#include <lib/kerr.h>

/* At least 16-byte aligned (8 up to 8 bytes); contents undefined. Above 16 KiB: not from
 * interrupts. */
[[nodiscard]] void *heap_alloc(size_t size);
[[nodiscard]] void *heap_alloc_zeroed(size_t size);
/* align: power of two up to a page. */
[[nodiscard]] void *heap_alloc_aligned(size_t size, size_t align);
/* Keeps the old block when it fails. */
[[nodiscard]] void *heap_realloc(void *block, size_t size);
void heap_free(void *block); /* null is fine */

struct heap_stats {
	size_t total, used, free;
	uint64_t allocations, deallocations;
};
struct heap_stats heap_stats(void);
const char *heap_name(void); /* of the provider: "slab", "list", "bump" */

struct cache; /* objects of one type */
/* Never fails during boot; `name` stays the caller's. align 0: natural. */
struct cache *cache_create(const char *name, size_t size, size_t align);
/* Objects come zeroed and must be freed zeroed, but for their first eight bytes: for structures that
 * are cheaper to clean up than to clear. */
struct cache *cache_create_zeroed(const char *name, size_t size, size_t align);
[[nodiscard]] void *cache_alloc(struct cache *c);
[[nodiscard]] void *cache_alloc_zeroed(struct cache *c);
void cache_free(struct cache *c, void *object);
