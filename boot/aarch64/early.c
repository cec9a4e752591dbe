/*
 * The first translation tables, built with the MMU off at physical addresses: everything here is
 * PC-relative and aligned.
 *
 *   TTBR0  the GiB of the image, at its own address: only for the step into the next line
 *   TTBR1  the image at its linked address in 4 KiB pages, text read-only, the rest not executable
 *          the direct map from DIRECT_MAP on: the GiB of image and device tree, in 1 GiB blocks
 *
 * mm replaces them by its own; the identity map stays for CPUs that start later.
 */
#include "early.h"

#include <hal/image.h>

void early_tables_build(paddr_t image, paddr_t fdt);

alignas(4096) struct early_area early_area __attribute__((section(".bss.early")));

static uint64_t pointer_to(const void *table)
{
	return (uint64_t)table | EARLY_TABLE;
}

static void image_map(struct early_area *a, paddr_t image)
{
	uint64_t pages = (uint64_t)(__image_end - __image_start) >> PAGE_SHIFT;
	uint64_t code_pages = (uint64_t)(__init_text_end - __image_start) >> PAGE_SHIFT;
	a->root[511] = pointer_to(a->image_top);
	a->image_top[510] = pointer_to(a->image_middle);
	for (uint64_t page = 0; page < pages; page++) {
		uint64_t rights =
			page < code_pages ? EARLY_READ_ONLY | EARLY_UXN : EARLY_NO_EXECUTE;
		a->image_middle[page / 512] = pointer_to(a->image[page / 512]);
		a->image[page / 512][page % 512] =
			(image + (page << PAGE_SHIFT)) | EARLY_PAGE | EARLY_NORMAL | rights;
	}
}

static void direct_map(struct early_area *a, paddr_t start, paddr_t end)
{
	for (uint64_t gib = start / GIB; gib <= (end - 1) / GIB && gib < 512; gib++)
		a->direct[gib] = gib * GIB | EARLY_BLOCK | EARLY_NORMAL | EARLY_NO_EXECUTE;
}

void early_tables_build(paddr_t image, paddr_t fdt)
{
	struct early_area *a = &early_area;
	paddr_t image_end = image + (uint64_t)(__image_end - __image_start);
	uint64_t gib = image / GIB;
	image_map(a, image);
	a->root[0] = pointer_to(a->direct);
	direct_map(a, image, image_end);
	direct_map(a, fdt, fdt + FDT_REACH);
	/* Two blocks: the image may straddle the border. */
	a->identity_root[gib / 512] = pointer_to(a->identity);
	a->identity[gib % 512] = gib * GIB | EARLY_BLOCK | EARLY_NORMAL;
	if (gib % 512 < 511)
		a->identity[gib % 512 + 1] = (gib + 1) * GIB | EARLY_BLOCK | EARLY_NORMAL;
}
