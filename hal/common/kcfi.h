/*
 * kCFI (HW-4): the compiler puts a number for the function's type in front of each function whose
 * address is taken, and compares before an indirect call. Assembly that is called through a pointer
 * says CFI_FUNCTION(name) before its label: the number comes from the C files that take its address
 * (0 if none does: then nobody calls it so).
 */
#pragma once

#ifdef __ASSEMBLER__

/* clang-format off */
	.macro CFI_FUNCTION name, align=16
	.weak	__kcfi_typeid_\name
	.balign	\align
	.skip	\align - 4		/* so that the function itself is aligned */
	.long	__kcfi_typeid_\name
	.endm
/* clang-format on */

#else

#include <hal/types.h>

/* Where a failed check traps; each word is its distance from there. */
extern const int32_t __kcfi_traps_start[], __kcfi_traps_end[];

/* Only for traps that end the kernel: a search through some thousands. */
static inline bool kcfi_traps_at(vaddr_t ip)
{
	for (const int32_t *t = __kcfi_traps_start; t < __kcfi_traps_end; t++)
		if ((vaddr_t)t + (vaddr_t)(int64_t)*t == ip)
			return true;
	return false;
}

#endif
