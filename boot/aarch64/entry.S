/*
 * Where control arrives: the boot CPU by the Linux arm64 boot protocol (x0 = device tree, MMU off,
 * EL2 or EL1, image at any 4 KiB boundary), the others by PSCI CPU_ON (x0 = idle thread).
 * Both drop to EL1, turn the MMU on through an identity map and jump to the linked address.
 */
#include <hal/thread_offsets.h>
#include "early.h"

	.arch armv8-a

/* MAIR_EL1: normal write-back, device nGnRE, normal write-through, normal uncached. */
#define MAIR_VALUE 0x44bb04ff
/* TCR_EL1: 48 bits both halves, 4 KiB both, inner shareable, write-back walks; IPS is added. */
#define TCR_VALUE 0xb5103510
/* SCTLR_EL1: the bits that are 1 with everything off, and with MMU and caches on. */
#define SCTLR_OFF 0x30d00800
#define SCTLR_ON 0x30d0181d

	.section .head, "ax"
	.globl boot_entry
boot_entry:
	b	primary
	nop
	.quad	0		/* text_offset */
	.quad	__image_size
	.quad	0xa		/* little endian, 4 KiB pages, anywhere in memory */
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0

	.text

/* Continues at EL1 with the MMU off, in the caller; keeps x0, x1, x19 to x30. */
el1_enter:
	mrs	x2, CurrentEL
	cmp	x2, #(2 << 2)
	b.eq	1f
	ldr	x2, =SCTLR_OFF
	msr	sctlr_el1, x2
	isb
	ret
	/* EL2: nothing of EL1 is trapped, the timers and the GIC's registers are EL1's. */
1:	ldr	x2, =(1 << 31 | 3 << 40)	/* HCR_EL2.RW, and no traps of PAC keys */
	msr	hcr_el2, x2
	mov	x2, #3
	msr	cnthctl_el2, x2
	msr	cntvoff_el2, xzr
	mrs	x2, midr_el1
	msr	vpidr_el2, x2
	mrs	x2, mpidr_el1
	msr	vmpidr_el2, x2
	mov	x2, #0x33ff
	msr	cptr_el2, x2
	msr	hstr_el2, xzr
	msr	vttbr_el2, xzr
	mrs	x2, pmcr_el0
	ubfx	x2, x2, #11, #5			/* all counters are EL1's */
	msr	mdcr_el2, x2
	mrs	x2, id_aa64pfr0_el1
	ubfx	x2, x2, #24, #4
	cbz	x2, 2f
	mrs	x2, s3_4_c12_c9_5		/* ICC_SRE_EL2 */
	mov	x3, #9			/* SRE, and EL1 may use its own */
	orr	x2, x2, x3
	msr	s3_4_c12_c9_5, x2
	isb
	msr	s3_4_c12_c11_0, xzr		/* ICH_HCR_EL2 */
2:	ldr	x2, =SCTLR_OFF
	msr	sctlr_el1, x2
	mov	x2, #0x3c5			/* EL1h, all masked */
	msr	spsr_el2, x2
	msr	elr_el2, x30
	isb
	eret

/* Turns the MMU on: x4 = kernel root; continues at the linked address of x30. */
mmu_on:
	adrp	x2, early_area
	add	x2, x2, #EARLY_IDENTITY
	msr	ttbr0_el1, x2
	msr	ttbr1_el1, x4
	ldr	x2, =MAIR_VALUE
	msr	mair_el1, x2
	ldr	x2, =TCR_VALUE
	mrs	x3, id_aa64mmfr0_el1
	and	x3, x3, #7
	cmp	x3, #5				/* not more than 48 bits: the entries have no more */
	mov	x5, #5
	csel	x3, x3, x5, ls
	orr	x2, x2, x3, lsl #32
	msr	tcr_el1, x2
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb
	ldr	x2, =SCTLR_ON
	msr	sctlr_el1, x2
	isb
	adrp	x2, __image_start
	sub	x30, x30, x2
	ldr	x2, =0xffffffff80000000
	add	x30, x30, x2
	ret

primary:
	mov	x19, x0
	adrp	x1, boot_entered
	mrs	x2, cntvct_el0
	str	x2, [x1, :lo12:boot_entered]
	bl	el1_enter
	/* Tables and stack: zero, then fill in. */
	adrp	x1, early_area
	add	x1, x1, :lo12:early_area
	ldr	x2, =EARLY_STACK_TOP
	add	x2, x1, x2
	mov	x20, x1
1:	stp	xzr, xzr, [x1], #16
	stp	xzr, xzr, [x1], #16
	stp	xzr, xzr, [x1], #16
	stp	xzr, xzr, [x1], #16
	cmp	x1, x2
	b.lo	1b
	mov	sp, x1
	mov	x29, xzr
	adrp	x0, __image_start
	mov	x1, x19
	mov	x21, x0
	bl	early_tables_build
	/* What was written past the caches must not be covered by old lines in them. */
	dmb	sy
	mov	x1, x20
	ldr	x2, =EARLY_STACK_TOP
	add	x2, x1, x2
	mrs	x3, ctr_el0
	ubfx	x3, x3, #16, #4			/* log2 of the smallest line, in words */
	mov	x4, #4
	lsl	x3, x4, x3
2:	dc	ivac, x1
	add	x1, x1, x3
	cmp	x1, x2
	b.lo	2b
	dsb	sy
	add	x4, x20, #EARLY_ROOT
	bl	mmu_on
	/* High from here. */
	adrp	x1, early_area
	add	x1, x1, :lo12:early_area
	ldr	x2, =EARLY_STACK_TOP
	add	sp, x1, x2
	adrp	x1, trap_vectors
	add	x1, x1, :lo12:trap_vectors
	msr	vbar_el1, x1
	msr	tpidr_el1, xzr
	isb
	mov	x0, x19
	mov	x1, x21
	mov	x29, xzr
	mov	x30, xzr
	b	boot_main

	/* A CPU from a spin table: takes its idle thread, says so by clearing it. */
	.globl boot_spin_entry
boot_spin_entry:
	adrp	x1, smp_spin_idle
	add	x1, x1, :lo12:smp_spin_idle
	ldr	x0, [x1]
	str	xzr, [x1]
	dsb	sy
	.globl boot_secondary_entry
boot_secondary_entry:
	mov	x19, x0
	bl	el1_enter
	adrp	x4, smp_root
	ldr	x4, [x4, :lo12:smp_root]
	bl	mmu_on
	adrp	x1, trap_vectors
	add	x1, x1, :lo12:trap_vectors
	msr	vbar_el1, x1
	isb
	mov	x0, x19
	ldr	x1, [x0, #HAL_THREAD_STACK_TOP]
	mov	sp, x1
	mov	x29, xzr
	mov	x30, xzr
	b	smp_secondary
