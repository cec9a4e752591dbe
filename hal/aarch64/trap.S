/*
 * Exception vectors. From user mode SP_EL1 is the thread's stack top, because a user frame always
 * lies at the very top of the stack and leaving pops it: so the entry needs no lookup.
 * From the kernel the frame goes on the stack that runs, after a probe (AT) that there is one:
 * otherwise the registers go to the one emergency stack and the machine stops.
 * Null system call: 30 instructions in, 23 out.
 */
#include "kcfi.h"
#include "frame.h"

#define EC_SVC64 0x15
#define EMERGENCY_SIZE 8192

	.arch armv8-a
	.text

	.macro frame_save
	stp	x0, x1, [sp, #FRAME_X(0)]
	stp	x2, x3, [sp, #FRAME_X(2)]
	stp	x4, x5, [sp, #FRAME_X(4)]
	stp	x6, x7, [sp, #FRAME_X(6)]
	stp	x8, x9, [sp, #FRAME_X(8)]
	stp	x10, x11, [sp, #FRAME_X(10)]
	stp	x12, x13, [sp, #FRAME_X(12)]
	stp	x14, x15, [sp, #FRAME_X(14)]
	stp	x16, x17, [sp, #FRAME_X(16)]
	stp	x18, x19, [sp, #FRAME_X(18)]
	stp	x20, x21, [sp, #FRAME_X(20)]
	stp	x22, x23, [sp, #FRAME_X(22)]
	stp	x24, x25, [sp, #FRAME_X(24)]
	stp	x26, x27, [sp, #FRAME_X(26)]
	stp	x28, x29, [sp, #FRAME_X(28)]
	.endm

	.macro frame_load
	ldp	x0, x1, [sp, #FRAME_X(0)]
	ldp	x2, x3, [sp, #FRAME_X(2)]
	ldp	x4, x5, [sp, #FRAME_X(4)]
	ldp	x6, x7, [sp, #FRAME_X(6)]
	ldp	x8, x9, [sp, #FRAME_X(8)]
	ldp	x10, x11, [sp, #FRAME_X(10)]
	ldp	x12, x13, [sp, #FRAME_X(12)]
	ldp	x14, x15, [sp, #FRAME_X(14)]
	ldp	x16, x17, [sp, #FRAME_X(16)]
	ldp	x18, x19, [sp, #FRAME_X(18)]
	ldp	x20, x21, [sp, #FRAME_X(20)]
	ldp	x22, x23, [sp, #FRAME_X(22)]
	ldp	x24, x25, [sp, #FRAME_X(24)]
	ldp	x26, x27, [sp, #FRAME_X(26)]
	ldp	x28, x29, [sp, #FRAME_X(28)]
	.endm

	/* The rest of a user frame; x24 = ESR. */
	.macro user_enter
	sub	sp, sp, #FRAME_SIZE
	frame_save
	mrs	x21, sp_el0
	mrs	x22, elr_el1
	mrs	x23, spsr_el1
	mrs	x24, esr_el1
	stp	x30, x21, [sp, #FRAME_LR]
	stp	x22, x23, [sp, #FRAME_PC]
	.endm

	/* A vector for traps of the kernel: probes the stack, goes on at `handler`. */
	.macro kernel_vector handler
	.balign 128
	sub	sp, sp, #FRAME_SIZE
	msr	tpidrro_el0, x0
	mov	x0, sp
	at	s1e1w, x0
	isb
	mrs	x0, par_el1
	tbnz	x0, #0, stack_overflow
	mrs	x0, tpidrro_el0
	msr	tpidrro_el0, xzr
	b	\handler
	.endm

	.macro user_vector handler
	.balign 128
	user_enter
	b	\handler
	.endm

	.macro kernel_save
	frame_save
	add	x21, sp, #FRAME_SIZE
	mrs	x22, elr_el1
	mrs	x23, spsr_el1
	stp	x30, x21, [sp, #FRAME_LR]
	stp	x22, x23, [sp, #FRAME_PC]
	stp	x29, x22, [sp, #FRAME_ORIG_X0]
	add	x29, sp, #FRAME_ORIG_X0
	mov	x0, sp
	.endm

	.balign 2048
	.globl trap_vectors
trap_vectors:
	/* Kernel on SP_EL0: never happens, and is handled as what it is. */
	kernel_vector kernel_sync
	kernel_vector kernel_irq
	kernel_vector kernel_fiq
	kernel_vector kernel_serror
	/* Kernel */
	kernel_vector kernel_sync
	kernel_vector kernel_irq
	kernel_vector kernel_fiq
	kernel_vector kernel_serror

	/* User, 64-bit: system calls first. */
	.balign 128
	user_enter
	lsr	x25, x24, #26
	cmp	x25, #EC_SVC64
	b.ne	user_sync
	str	x0, [sp, #FRAME_ORIG_X0]
	mov	x29, xzr
	mov	x0, sp
	msr	daifclr, #7
	bl	core_syscall
	b	user_leave
	user_vector user_irq
	user_vector user_fiq
	user_vector user_serror
	/* User, 32-bit: never entered, frame_init and signal_pop allow no such state. */
	user_vector user_serror
	user_vector user_irq
	user_vector user_fiq
	user_vector user_serror

user_sync:
	mov	x29, xzr
	mov	x0, sp
	mov	x1, x24
	mrs	x2, far_el1
	msr	daifclr, #7
	bl	trap_user
	b	user_leave

user_irq:
	mov	x29, xzr
	mov	x0, sp
	msr	daifclr, #5
	mov	x1, #1
	bl	irq_handle
	b	user_leave

user_fiq:
	mov	x29, xzr
	mov	x0, sp
	bl	irq_handle_fiq
	b	user_leave

user_serror:
	mov	x29, xzr
	mov	x0, sp
	mov	x1, x24
	mov	x2, #1
	bl	trap_serror
	b	user_leave

	/* void trap_leave(struct hal_frame *frame): hal.user.enter. Interrupts are off. */
	.globl trap_leave
	CFI_FUNCTION trap_leave
trap_leave:
	mov	sp, x0
	ldr	x1, [sp, #FRAME_TLS]
	msr	tpidr_el0, x1
user_leave:
	msr	daifset, #15
	ldp	x22, x23, [sp, #FRAME_PC]
	ldp	x30, x21, [sp, #FRAME_LR]
	msr	elr_el1, x22
	msr	spsr_el1, x23
	msr	sp_el0, x21
	frame_load
	add	sp, sp, #FRAME_SIZE
	eret

kernel_sync:
	kernel_save
	mrs	x1, esr_el1
	mrs	x2, far_el1
	msr	daifclr, #5
	bl	trap_kernel
	b	kernel_leave

kernel_irq:
	kernel_save
	msr	daifclr, #5
	mov	x1, #0
	bl	irq_handle
	b	kernel_leave

kernel_fiq:
	kernel_save
	bl	irq_handle_fiq
	b	kernel_leave

kernel_serror:
	kernel_save
	mrs	x1, esr_el1
	mov	x2, #0
	bl	trap_serror

kernel_leave:
	msr	daifset, #15
	ldp	x22, x23, [sp, #FRAME_PC]
	ldr	x30, [sp, #FRAME_LR]
	msr	elr_el1, x22
	msr	spsr_el1, x23
	frame_load
	add	sp, sp, #FRAME_SIZE
	eret

	/*
	 * The stack has no room for a frame. tpidrro_el0 = x0 of the trap; sp = the frame that
	 * could not be. One CPU gets the emergency stack; others that come here wait for its panic.
	 */
stack_overflow:
	mov	x0, sp
	msr	sp_el0, x0
	adrp	x0, emergency_taken
	add	x0, x0, :lo12:emergency_taken
	msr	tpidr_el0, x1
	mov	x1, sp
	/* x0, x1 free; sp must become a stack before anything else can be saved. */
	mov	sp, x0
1:	ldaxrb	w1, [sp]
	cbnz	w1, 2f
	mov	w1, #1
	stxrb	w0, w1, [sp]
	cbnz	w0, 1b
	adrp	x0, emergency_frame
	add	x0, x0, :lo12:emergency_frame
	mov	sp, x0
	mrs	x0, tpidrro_el0
	mrs	x1, tpidr_el0
	kernel_save
	mrs	x1, sp_el0
	add	x1, x1, #FRAME_SIZE
	str	x1, [sp, #FRAME_SP]
	mrs	x1, esr_el1
	mrs	x2, far_el1
	bl	trap_stack_overflow
2:	wfe
	b	2b

	.bss
	.balign 16
	.skip	EMERGENCY_SIZE
emergency_frame:
	.skip	FRAME_SIZE
emergency_taken:
	.skip	1
