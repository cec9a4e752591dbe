/* The first allocator of all (PMM-3). */
#pragma once

#include <mm/memory.h>

/* Starts on the sanitised map's usable frames within [low, high). */
void bump_start(const struct memory_range *map, size_t count, paddr_t low, paddr_t high);
/* Widens the window once all RAM is mapped. */
void bump_widen(paddr_t low, paddr_t high);
/* `size` and `align` in bytes, multiples of a page, align a power of two. 0: none left. Not
 * zeroed. Panics when retired. */
[[nodiscard]] paddr_t bump_take(size_t size, size_t align);
/* Ends it, and calls give(start, end) for all that it did not hand out (page-aligned bytes). */
void bump_retire(void (*give)(paddr_t start, paddr_t end));
/* Frames handed out so far. */
uint64_t bump_used(void);
/* Before there is a map: an unused page-aligned run of `size` bytes in raw firmware regions, as high
 * as possible in [low, high); 0: there is none. */
paddr_t bump_find_raw(const struct boot_region *regions, size_t count, paddr_t low, paddr_t high,
		      size_t size);
