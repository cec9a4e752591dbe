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

	.section .note.GNU-stack, "", @progbits
