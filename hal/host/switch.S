/* From one stack to another, and where a new thread begins. System V ABI, x86-64, 3.2. */
#if !defined(__x86_64__)
#error "hal/host: add host_stack_switch for this machine"
#endif

	.text
/* void *host_stack_switch(uintptr_t *save, uintptr_t load, void *pass) */
	.globl	host_stack_switch
	.type	host_stack_switch, @function
host_stack_switch:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, (%rdi)
	mov	%rsi, %rsp
	mov	%rdx, %rax
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size	host_stack_switch, . - host_stack_switch

/* rax = prev, rbx = entry, r12 = its argument */
	.globl	host_thread_start
	.type	host_thread_start, @function
host_thread_start:
	mov	%rax, %rdi
	mov	%rbx, %rsi
	mov	%r12, %rdx
	xor	%ebp, %ebp
	call	host_thread_main
	ud2
	.size	host_thread_start, . - host_thread_start

/* long host_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]): the registers that C keeps lie
 * on the stack at *guard, and whoever loads it again is back here. */
	.globl	host_guarded_call
	.type	host_guarded_call, @function
host_guarded_call:
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
	.size	host_guarded_call, . - host_guarded_call

/* [[noreturn]] void host_guarded_end(const uintptr_t *guard) */
	.globl	host_guarded_end
	.type	host_guarded_end, @function
host_guarded_end:
	mov	(%rdi), %rsp
	xor	%eax, %eax
	jmp	1b
	.size	host_guarded_end, . - host_guarded_end

	.section .note.GNU-stack, "", @progbits
