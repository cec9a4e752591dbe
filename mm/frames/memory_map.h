/* The sanitised memory map (PMM-10, PMM-11). */
#pragma once

#include <mm/memory.h>

/*
 * Pure: turns `count` firmware regions in any order and overlap into sorted ranges without
 * overlap in `out` (room for 2 * count), the most restrictive kind winning. `bounds` is scratch
 * for 2 * count addresses. Returns the number of ranges. Empty and inverted regions are dropped.
 */
size_t memory_map_sanitise(const struct boot_region *in, size_t count, struct memory_range *out,
			   paddr_t *bounds);

/* Builds the map of this machine; the first thing mm does. Panics if there is no room for it. */
void memory_map_init(const struct boot_info *info);
/* RAM from `limit` on is none: no CPU, or no direct map, gets there. Before anything is taken. */
void memory_map_limit(paddr_t limit);
const struct memory_range *memory_map(size_t *count);
/* Kinds that are RAM with a frame record and a place in the direct map. */
bool memory_kind_is_ram(enum boot_memory_kind kind);
/* Highest RAM address + 1. */
paddr_t memory_map_end(void);
/* RAM ranges as page-aligned bytes, neighbours merged: the `index`th at or after; false past the
 * end. Outward rounding. */
bool memory_map_ram(size_t *cursor, paddr_t *start, paddr_t *end);
/* Firmware-reserved ranges that lie against RAM and are small: tables the HAL may read. */
bool memory_map_firmware(size_t *cursor, paddr_t *start, paddr_t *end);
/* Takes a range off the map's reserved kinds after the boot. */
void memory_map_set_usable(size_t index);
