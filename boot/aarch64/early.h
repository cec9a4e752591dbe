/*
 * Memory that is in use before bss is cleared, and so is not cleared with it: the first tables
 * and the stack of the boot CPU. For entry.S and C.
 */
#pragma once

#define EARLY_IMAGE_TABLES                                                                         \
	9 /* 2 MiB each; one more than 16 MiB for an image that is not aligned  \
			      */
#define EARLY_TABLES (6 + EARLY_IMAGE_TABLES)
#define EARLY_STACK_SIZE 16384
#define EARLY_STACK_TOP (EARLY_TABLES * 4096 + EARLY_STACK_SIZE)

/* Order in the area. */
#define EARLY_IDENTITY 0 /* TTBR0: identity_root, then identity */
#define EARLY_ROOT 0x2000 /* TTBR1 */

#ifndef __ASSEMBLER__
#include <hal/types.h>

struct early_area {
	uint64_t identity_root[512], identity[512];
	uint64_t root[512];
	uint64_t direct[512];   /* level 2, from DIRECT_MAP on: 1 GiB blocks */
	uint64_t image_top[512]; /* level 2 of the last 512 GiB */
	uint64_t image_middle[512];
	uint64_t image[EARLY_IMAGE_TABLES][512];
	uint8_t stack[EARLY_STACK_SIZE];
};
static_assert(offsetof(struct early_area, root) == EARLY_ROOT);
static_assert(offsetof(struct early_area, image) == 6 * 4096);
static_assert(sizeof(struct early_area) == EARLY_STACK_TOP);

extern struct early_area early_area;

#define DIRECT_MAP 0xffff000000000000ull
#define GIB (1ull << 30)
#define FDT_REACH 0x200000ull /* the boot protocol: a device tree is not larger */

/* Attributes of early entries: see hal/aarch64/mmu.c for the bits. */
#define EARLY_TABLE 3ull
#define EARLY_NORMAL (1ull << 10 | 3ull << 8 | 0ull << 2)   /* AF, inner shareable */
#define EARLY_DEVICE (1ull << 10 | 3ull << 8 | 1ull << 2)
#define EARLY_BLOCK 1ull
#define EARLY_PAGE 3ull
#define EARLY_READ_ONLY (1ull << 7)
#define EARLY_PXN (1ull << 53)
#define EARLY_UXN (1ull << 54)
#define EARLY_NO_EXECUTE (EARLY_PXN | EARLY_UXN)
#endif
