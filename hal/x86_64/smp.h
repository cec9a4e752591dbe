/*
 * Low memory for starting CPUs: boot/ finds the pages, keeps them out of the usable RAM, and tells
 * them to the HAL as the region of this name.
 */
#pragma once

#define SMP_REGION "smp trampoline"
#define SMP_LOW_PAGES 5 /* the code; a table for each level but the lowest */

#ifndef __ASSEMBLER__
#include <stdint.h>

/* What smp_entry.S finds behind its code. */
struct smp_trampoline_data {
	uint64_t entry;
	uint32_t efer, root;
	uint16_t unused, gdt_limit;
	uint32_t gdt_base;
	uint32_t protected_ip, protected_cs; /* far pointers: offset, selector */
	uint32_t long_ip, long_cs;
	uint32_t cr4, unused_end;
};
#endif
