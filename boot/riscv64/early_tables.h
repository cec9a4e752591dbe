/* From physical addresses to the kernel's: what boot_tables_on() leaves for boot_main(). */
#pragma once

#include "boot.h"

struct early_tables {
	struct boot_early early;
	paddr_t fdt;      /* its physical address */
	size_t fdt_limit; /* bytes of the direct map behind it */
	uint64_t slide, slide_39; /* boot_slide() */
};

extern struct early_tables early_tables;

/* Translation off; `fdt` and `image` are physical. Builds tables, turns translation on (the code
 * that runs stays mapped where it is), returns the image's virtual minus its physical address. */
uint64_t boot_tables_on(paddr_t fdt, paddr_t image);
