/* Program entry: sp points at argc, argv, envp (as the kernel lays the first stack). */
	.text
	.globl _start
_start:
	.option push
	.option norelax
	lla	gp, __global_pointer$
	.option pop
	li	fp, 0
	mv	a0, sp
	andi	sp, sp, -16
	call	start_c
	unimp

/* long syscall6(long number, a0 .. a5) */
	.globl syscall6
syscall6:
	mv	a7, a0
	mv	a0, a1
	mv	a1, a2
	mv	a2, a3
	mv	a3, a4
	mv	a4, a5
	mv	a5, a6
	ecall
	ret

	.section .note.GNU-stack, "", @progbits
