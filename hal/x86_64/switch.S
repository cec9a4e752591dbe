/*
 * From one kernel stack to another. C's callee-saved registers are on the stack of a thread that
 * does not run; kernel_sp points at them. FS and GS base are x86_cpu_switch_to()'s job (cpu.c).
 */
#include "cpu_offsets.h"
#include "frame.h"

#include <hal/thread_offsets.h>

	.text
/* struct hal_thread *x86_switch_stacks(struct hal_thread *prev, struct hal_thread *next);
 * returns the thread that ran before on this CPU. Interrupts off. */
	.globl	x86_switch_stacks
	.type	x86_switch_stacks, @function
	.p2align 4
x86_switch_stacks:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	HAL_THREAD_STACK_TOP(%rsi), %rax
	mov	%rsp, HAL_THREAD_KERNEL_SP(%rdi)
	sub	$FRAME_TAIL, %rax
	mov	HAL_THREAD_KERNEL_SP(%rsi), %rsp
	mov	%rax, %gs:CPU_RSP0
	mov	%rsi, %gs:CPU_CURRENT
	mov	%rdi, %rax
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size	x86_switch_stacks, . - x86_switch_stacks

/* Where a new thread's first switch returns to: r12 = entry, r13 = its argument, rax = prev. */
	.globl	x86_switch_thread_start
	.type	x86_switch_thread_start, @function
x86_switch_thread_start:
	mov	%rax, %rdi
	mov	%r13, %rsi
	call	*%r12
	ud2
	.size	x86_switch_thread_start, . - x86_switch_thread_start

/* long x86_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]): the registers that C keeps lie
 * on the stack at *guard, and whoever loads it again is back here. */
	.globl	x86_guarded_call
	.type	x86_guarded_call, @function
x86_guarded_call:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$8, %rsp
	mov	%rsp, (%rdi)
	mov	%rsi, %rax
	mov	%rdx, %r10
	mov	(%r10), %rdi
	mov	8(%r10), %rsi
	mov	16(%r10), %rdx
	mov	24(%r10), %rcx
	call	*%rax
1:	add	$8, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size	x86_guarded_call, . - x86_guarded_call

/* [[noreturn]] void x86_guarded_end(const uintptr_t *guard) */
	.globl	x86_guarded_end
	.type	x86_guarded_end, @function
x86_guarded_end:
	mov	(%rdi), %rsp
	xor	%eax, %eax
	jmp	1b
	.size	x86_guarded_end, . - x86_guarded_end

	.section .note.GNU-stack, "", @progbits
