/* Program entry: sp points at argc, argv, envp (as the kernel lays the first stack). */
	.text
	.globl _start
_start:
	mov	x29, xzr
	mov	x30, xzr
	mov	x0, sp
	bl	start_c
	brk	#0

/* long syscall6(long number, a0 .. a5) */
	.globl syscall6
syscall6:
	mov	x8, x0
	mov	x0, x1
	mov	x1, x2
	mov	x2, x3
	mov	x3, x4
	mov	x4, x5
	mov	x5, x6
	svc	#0
	ret

	.section .note.GNU-stack, "", %progbits
