/*
 * The ways into the kernel and back: 256 vectors, SYSCALL, and three emergencies.
 *
 * Ordinary vectors save a struct hal_frame on the interrupted thread's kernel stack. CS in the
 * frame tells whether GS must be swapped: interrupts are off from the entry to the swap and from
 * the swap back to IRETQ, and what IRETQ and SYSRETQ load has been made valid before (user.c), so
 * no other exception arrives with the wrong GS. Debug registers are never given to programs, so
 * neither does #DB after MOV SS. (Intel SDM volume 3, 6.14; AMD APM volume 2, 8.9.)
 *
 * Double fault, NMI and machine check may come at any instruction, also with the user's GS and
 * stack. They run on emergency stacks whose top holds the CPU's area, and never return: an NMI is
 * the order to stop, or a hardware failure (or, and then it does return, the question of another CPU
 * where this one is: smp.c); all failures go to one shared panic stack, first come
 * first served.
 */
#include "cpu_offsets.h"
#include "frame.h"
#include "patch.h"
#include "regs.h"

#include <hal/thread_offsets.h>

	.macro PUSH_REGISTERS
	push	%rax
	push	%rcx
	push	%r11
	push	%r9
	push	%r8
	push	%r10
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	.endm

	.macro POP_REGISTERS
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%r10
	pop	%r8
	pop	%r9
	pop	%r11
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	.endm

	/* Vectors for which the CPU pushes an error code. */
	.set	ERROR_CODES, 0x60227d00

	PATCH_TABLE_START trap

	.text
	.p2align 6

/* ---- SYSCALL: rcx = rip, r11 = rflags, interrupts off by SFMASK ------------------------------ */

	.globl	x86_trap_syscall_entry
	.type	x86_trap_syscall_entry, @function
x86_trap_syscall_entry:
	swapgs
	mov	%rsp, %gs:CPU_USER_SP
	mov	%gs:CPU_RSP0, %rsp
	push	$SELECTOR_USER_DATA
	push	%gs:CPU_USER_SP
	push	%r11
	push	$SELECTOR_USER_CODE
	push	%rcx
	push	%rax
	push	$VECTOR_SYSCALL
	sub	$24, %rsp		/* rax, rcx, r11: not needed */
	push	%r9
	push	%r8
	push	%r10
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	sti
	call	core_syscall
	/* C has kept rbx, rbp, r12 to r15. Whoever changes more than the result also changes
	 * `vector` (frame_own() in user.c). rip is canonical, for it is below user_end: the last
	 * page before the hole is never mapped. */
	cmpl	$VECTOR_SYSCALL, FRAME_VECTOR(%rsp)
	jne	x86_trap_return_user
	mov	FRAME_RDI(%rsp), %rdi
	mov	FRAME_RSI(%rsp), %rsi
	mov	FRAME_RDX(%rsp), %rdx
	mov	FRAME_R10(%rsp), %r10
	mov	FRAME_R8(%rsp), %r8
	mov	FRAME_R9(%rsp), %r9
	mov	FRAME_RAX(%rsp), %rax
	mov	FRAME_RIP(%rsp), %rcx
	mov	FRAME_RFLAGS(%rsp), %r11
	mov	FRAME_RSP(%rsp), %rsp
	swapgs
	sysretq
	.size	x86_trap_syscall_entry, . - x86_trap_syscall_entry

/* ---- Vectors --------------------------------------------------------------------------------- */

	.p2align 4
trap_entry:
	PATCH_CLAC
	PUSH_REGISTERS
	cld
	mov	%rsp, %rdi
	testb	$3, FRAME_CS(%rsp)
	jz	1f
	swapgs
	call	x86_trap_user
	jmp	x86_trap_return_user
1:	call	x86_trap_kernel
	jmp	trap_return_kernel

	.p2align 4
irq_entry:
	PATCH_CLAC
	PUSH_REGISTERS
	cld
	mov	%rsp, %rdi
	testb	$3, FRAME_CS(%rsp)
	jz	1f
	swapgs
	mov	$1, %esi
	call	x86_irq_dispatch
	.globl	x86_trap_return_user
x86_trap_return_user:			/* rsp: the user frame; interrupts off */
	POP_REGISTERS
	swapgs
	iretq
1:	xor	%esi, %esi
	call	x86_irq_dispatch
trap_return_kernel:
	POP_REGISTERS
	iretq

/* [[noreturn]] void x86_trap_enter_user(struct hal_frame *frame); */
	.globl	x86_trap_enter_user
	.type	x86_trap_enter_user, @function
x86_trap_enter_user:
	mov	%rdi, %rsp
	jmp	x86_trap_return_user
	.size	x86_trap_enter_user, . - x86_trap_enter_user

/* ---- Emergencies ----------------------------------------------------------------------------- */

	.p2align 4
emergency_entry:
	PATCH_CLAC
	PUSH_REGISTERS
	cld
	/* The one kind that returns: another CPU wants to know where this one is. */
	cmpl	$VECTOR_NMI, FRAME_VECTOR(%rsp)
	jne	1f
	cmpl	$0, x86_sampling(%rip)
	je	1f
	cmpl	$0, x86_stopping(%rip)
	jne	1f
	mov	%rsp, %rdi
	call	x86_smp_sample_take
	POP_REGISTERS
	iretq
1:
	/* The frame (22 words) ends where the CPU's word on this stack is: set GS by it. */
	mov	FRAME_SS + 8(%rsp), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	mov	$MSR_GS_BASE, %ecx
	wrmsr
	cmpl	$0, x86_stopping(%rip)
	jne	2f
	mov	%rsp, %rdi
	mov	$1, %eax
	xchg	%eax, panic_stack_taken(%rip)
	test	%eax, %eax
	jnz	2f
	lea	panic_stack_top(%rip), %rsp
	xor	%ebp, %ebp
	call	x86_trap_emergency
2:	cli
	hlt
	jmp	2b

/* ---- One stub of 16 bytes a vector ----------------------------------------------------------- */

	.p2align 4
	.globl	x86_trap_stubs
x86_trap_stubs:
	.set	vector, 0
	.rept	256
	.p2align 4
	.if	!((ERROR_CODES >> vector) & 1) || vector >= 32
	push	$0
	.endif
	push	$vector
	.if	vector == VECTOR_NMI || vector == VECTOR_DOUBLE_FAULT || vector == VECTOR_MACHINE_CHECK
	jmp	emergency_entry
	.elseif	vector < 32
	jmp	trap_entry
	.else
	jmp	irq_entry
	.endif
	.set	vector, vector + 1
	.endr

	PATCH_TABLE_END trap

	.bss
	.p2align 6
	.skip	16384
panic_stack_top:
panic_stack_taken:
	.long	0

	.section .note.GNU-stack, "", @progbits
