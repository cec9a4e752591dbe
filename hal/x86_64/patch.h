/*
 * STAC and CLAC where the CPU has SMAP, a no-op of the same length where it has not: each file of
 * assembly lists its places, cpu.c writes them once, before the kernel's text becomes read-only.
 */
#pragma once

#define PATCH_NOP 0x001f0f /* nopl (%rax) */
#define PATCH_CLAC_BYTES 0xca010f
#define PATCH_STAC_BYTES 0xcb010f

/* clang-format off */
#ifdef __ASSEMBLER__

	.macro PATCH_TABLE_START name
	.section .rodata.patch, "a", @progbits
	.p2align 2
	.globl	x86_patch_\name\()_start
x86_patch_\name\()_start:
	.previous
	.endm

	.macro PATCH_TABLE_END name
	.section .rodata.patch, "a", @progbits
	.globl	x86_patch_\name\()_end
x86_patch_\name\()_end:
	.previous
	.endm

	.macro PATCH_PLACE instruction
	.section .rodata.patch, "a", @progbits
	.long	771f - .
	.long	\instruction
	.previous
771:	.byte	0x0f, 0x1f, 0x00
	.endm

	.macro PATCH_CLAC
	PATCH_PLACE PATCH_CLAC_BYTES
	.endm

	.macro PATCH_STAC
	PATCH_PLACE PATCH_STAC_BYTES
	.endm

#else
/* clang-format on */

#include <stdint.h>

struct patch_place {
	int32_t offset; /* of the place, from this field */
	uint32_t instruction;
};

extern struct patch_place x86_patch_trap_start[], x86_patch_trap_end[];
extern struct patch_place x86_patch_user_start[], x86_patch_user_end[];

#endif
