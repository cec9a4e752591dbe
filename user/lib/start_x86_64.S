/* Program entry: the stack holds argc, argv, envp (System V ABI, AMD64 supplement, 3.4.1). */
	.text
	.globl _start
_start:
	xorl	%ebp, %ebp
	movq	%rsp, %rdi
	andq	$-16, %rsp
	call	start_c
	ud2

/* long syscall6(long number, a0 .. a5) */
	.globl syscall6
syscall6:
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %r10
	movq	%r9, %r8
	movq	8(%rsp), %r9
	syscall
	ret

	.section .note.GNU-stack, "", @progbits
