/*
 * From a boot protocol to `struct boot_info`. Each protocol (PVH, Multiboot2, device tree)
 * describes itself as a boot_source: small iterators over what the firmware left in memory,
 * nothing stored. boot_info_build() walks them twice, once to find room for the arrays in the
 * memory they describe, once to fill them in: so nothing here has a fixed size.
 * All of it runs on the boot CPU with early tables on, before any allocator.
 */
#pragma once

#include <hal/boot_info.h>

/* Iterators: give item `index` in *out; false past the end. */
struct boot_source {
	const char *protocol;
	const char *command_line; /* never null */
	const void *context;
	bool (*region)(const struct boot_source *s, size_t index, struct boot_region *out);
	bool (*module)(const struct boot_source *s, size_t index, struct boot_module *out);
	bool (*cpu)(const struct boot_source *s, size_t index, struct boot_cpu *out);
	bool (*node_range)(const struct boot_source *s, size_t index, struct boot_node_range *out);
	bool (*distance)(const struct boot_source *s, size_t index, struct boot_distance *out);
	paddr_t rsdp;
	const void *fdt; /* in the direct map */
	size_t fdt_size;
	const void *seed;
	size_t seed_size;
	struct boot_framebuffer framebuffer;
};

/* What the early tables hold. */
struct boot_early {
	paddr_t image_start, image_end;
	vaddr_t image_base, direct_map;
	paddr_t early_start, early_end; /* mapped in the direct map */
	paddr_t console_mmio;
	size_t console_mmio_size;
};

/* Ticks of the CPU's clock at the first instruction; entry.S stores them. */
extern uint64_t boot_entered;

/* Never returns null: without room for its arrays it stops with a message (core_panic). The
 * kernel image, the arrays, the modules and the device tree are added as regions. cpus[0] is the
 * CPU whose hardware id is `boot_cpu`. */
struct boot_info *boot_info_build(const struct boot_source *source, const struct boot_early *early,
				  uint64_t boot_cpu);

/* By how many bytes, whole GiBs below 2^bits of them, the direct map moves up. Of the source the command
 * line and the seed are used; `hardware`: entropy, 0 if there is none. */
uint64_t boot_slide(const struct boot_source *s, uint64_t hardware, unsigned bits);
#define BOOT_SLIDE_BITS 15 /* 32 TiB of a half of 128 TiB */
#define BOOT_SLIDE_BITS_39 6 /* 64 GiB of 256: Sv39 */

/* Applies the image's own R_*_RELATIVE relocations for running at `slide` bytes from where it was
 * linked. Position-independent; called once, before any pointer in data is used. `base` is where
 * the image start is mapped now. Every patched place and target must lie in the image; false: not so. */
bool boot_relocate(vaddr_t base, uint64_t slide);
