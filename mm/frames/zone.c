/*
 * Zones: ranges of physical addresses that some devices cannot see past. A frame belongs to the
 * zone its address says: DMA below 16 MiB, DMA32 below 4 GiB, NORMAL above; HIGH and DEVICE exist
 * as names (the direct map covers all RAM, device memory has no records).
 *
 * A request without a zone goes down zone_fallback, so low memory is used last. Each zone keeps a
 * minimum that only the kernel's own requests may use (watermark min); below `low` a CPU
 * starts to give up its caches, above `high` it stops.
 */
#include "allocator.h"

#include <lib/compiler.h>

struct zone zones[ZONE_COUNT];

const char *const zone_names[ZONE_COUNT] = {
	[ZONE_DMA] = "DMA",   [ZONE_DMA32] = "DMA32",   [ZONE_NORMAL] = "Normal",
	[ZONE_HIGH] = "High", [ZONE_DEVICE] = "Device",
};

const enum zone_id zone_fallback[] = {ZONE_NORMAL, ZONE_DMA32, ZONE_DMA, ZONE_COUNT};

void zone_init_all(void)
{
	for (unsigned i = 0; i < ZONE_COUNT; i++) {
		struct zone *z = &zones[i];
		*z = (struct zone){};
		spin_init(&z->lock, RANK_ZONE, zone_names[i]);
		for (unsigned o = 0; o < FRAME_ORDERS; o++)
			list_init(&z->free[o]);
	}
}

void zone_add(pfn_t start, pfn_t end)
{
	while (start < end) {
		enum zone_id id = zone_of_pfn(start);
		pfn_t limit = id == ZONE_DMA ? ZONE_DMA_END :
			      id == ZONE_DMA32 ? ZONE_DMA32_END : end;
		pfn_t stop = MIN(end, limit);
		struct zone *z = &zones[id];
		if (!z->present || start < z->start)
			z->start = start;
		if (stop > z->end)
			z->end = stop;
		z->present += stop - start;
		start = stop;
	}
}

void zone_set_watermarks(void)
{
	for (unsigned i = 0; i < ZONE_COUNT; i++) {
		struct zone *z = &zones[i];
		/* A 256th of the zone, within 128 KiB to 4 MiB; nothing for a tiny one. */
		uint64_t min = z->managed / 256;
		min = MIN(MAX(min, 32), 1024);
		if (z->managed < 512)
			min = z->managed / 16;
		z->min = min;
		z->low = min + min / 4;
		z->high = min + min / 2;
	}
}
