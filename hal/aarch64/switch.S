/*
 * Context switch, first steps of a thread, FPU state.
 * A thread that does not run has x19 to x30 on its stack, lowest address first, at kernel_sp.
 */
#include "kcfi.h"

#include <hal/thread_offsets.h>

	.arch armv8-a+fp+simd
	.text

/* struct hal_thread *switch_to(struct hal_thread *prev, struct hal_thread *next) */
	.globl cpu_switch_to
	CFI_FUNCTION cpu_switch_to 64
cpu_switch_to:
	stp	x29, x30, [sp, #-96]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	mov	x9, sp
	mrs	x10, tpidr_el0
	str	x9, [x0, #HAL_THREAD_KERNEL_SP]
	str	x10, [x0, #HAL_THREAD_TLS]
	ldr	x9, [x1, #HAL_THREAD_KERNEL_SP]
	ldr	x10, [x1, #HAL_THREAD_TLS]
	msr	tpidr_el1, x1
	msr	tpidr_el0, x10
	mov	sp, x9
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x30, [sp], #96
	ret

/* long cpu_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]): the registers that C
 * keeps lie on the stack at *guard, and whoever loads it again is back here. */
	.globl cpu_guarded_call
	CFI_FUNCTION cpu_guarded_call
cpu_guarded_call:
	stp	x29, x30, [sp, #-96]!
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	mov	x9, sp
	str	x9, [x0]
	mov	x9, x1
	mov	x10, x2
	ldp	x0, x1, [x10]
	ldp	x2, x3, [x10, #16]
	blr	x9
1:	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	x29, x30, [sp], #96
	ret

/* [[noreturn]] void cpu_guarded_end(const uintptr_t *guard) */
	.globl cpu_guarded_end
	CFI_FUNCTION cpu_guarded_end
cpu_guarded_end:
	ldr	x9, [x0]
	mov	sp, x9
	mov	x0, xzr
	b	1b

/* Where the first switch to a thread returns to: x0 = prev, x19 = entry, x20 = its argument. */
	.globl cpu_thread_start
cpu_thread_start:
	mov	x1, x20
	mov	x30, xzr
	br	x19

/* The area: q0 to q31, then FPSR and FPCR. */
	.globl cpu_fpu_save_area
cpu_fpu_save_area:
	stp	q0, q1, [x0, #0]
	stp	q2, q3, [x0, #32]
	stp	q4, q5, [x0, #64]
	stp	q6, q7, [x0, #96]
	stp	q8, q9, [x0, #128]
	stp	q10, q11, [x0, #160]
	stp	q12, q13, [x0, #192]
	stp	q14, q15, [x0, #224]
	stp	q16, q17, [x0, #256]
	stp	q18, q19, [x0, #288]
	stp	q20, q21, [x0, #320]
	stp	q22, q23, [x0, #352]
	stp	q24, q25, [x0, #384]
	stp	q26, q27, [x0, #416]
	stp	q28, q29, [x0, #448]
	stp	q30, q31, [x0, #480]
	mrs	x1, fpsr
	mrs	x2, fpcr
	add	x0, x0, #512
	stp	w1, w2, [x0]
	ret

	.globl cpu_fpu_load_area
cpu_fpu_load_area:
	ldp	q0, q1, [x0, #0]
	ldp	q2, q3, [x0, #32]
	ldp	q4, q5, [x0, #64]
	ldp	q6, q7, [x0, #96]
	ldp	q8, q9, [x0, #128]
	ldp	q10, q11, [x0, #160]
	ldp	q12, q13, [x0, #192]
	ldp	q14, q15, [x0, #224]
	ldp	q16, q17, [x0, #256]
	ldp	q18, q19, [x0, #288]
	ldp	q20, q21, [x0, #320]
	ldp	q22, q23, [x0, #352]
	ldp	q24, q25, [x0, #384]
	ldp	q26, q27, [x0, #416]
	ldp	q28, q29, [x0, #448]
	ldp	q30, q31, [x0, #480]
	add	x0, x0, #512
	ldp	w1, w2, [x0]
	msr	fpsr, x1
	msr	fpcr, x2
	ret
