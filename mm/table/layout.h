/* The kernel's half of the address space: areas, its table, what maps there. */
#pragma once

#include "mapper.h"

#include <hal/boot_info.h>

enum kernel_area_id {
	AREA_DIRECT,  /* all RAM */
	AREA_FRAMES,  /* frame_table */
	AREA_KMAP,    /* kmap_alloc: page-wise memory, large heap blocks */
	AREA_STACKS,  /* kernel stacks */
	AREA_DEVICE,  /* registers */
	AREA_MODULES, /* code loaded later, near the image */
	AREA_IMAGE,
	AREA_COUNT,
};

struct kernel_area {
	vaddr_t start, end; /* end: first address after; 0 for the last byte of the space */
	const char *name;
};

extern struct kernel_area kernel_areas[AREA_COUNT];
extern struct mapper kernel_mapper;

/* Boot, in this order: areas from geometry and the map; the table, switched to; frame records. */
void layout_init(const struct boot_info *info);
void layout_build_table(const struct boot_info *info);
void layout_build_frame_table(void);
/* From here on tables come from the frame allocator. */
void layout_set_frames_ready(void);
bool layout_frames_ready(void);

/* The highest physical address that fits the direct map. */
paddr_t layout_physical_limit(void);
/* After the boot: init sections unmapped, ro_after_init read-only. */
void layout_seal(const struct boot_info *info);

static inline bool kernel_area_has(enum kernel_area_id id, vaddr_t addr)
{
	return addr >= kernel_areas[id].start && addr < kernel_areas[id].end;
}
