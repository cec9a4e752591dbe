/*
 * Where the firmware jumps to: supervisor mode, translation and interrupts off, a0 = hart id,
 * a1 = device tree, at any address that is a multiple of 2 MiB. The first 64 bytes are the header
 * of the Linux RISC-V boot image, which boot loaders read.
 *
 * The first hart boots; all others come here as well, when hal.smp.start has them started, and go on in
 * hal/riscv64/switch.S. One address for all because of firmware: OpenSBI (1.1 for one) announces a start before it
 * has written down address and argument, and the hart, if it looks just then, goes by the old ones.
 */
#include "regs.h"

#define IMAGE_OFFSET 0x200000 /* from the start of RAM */
#define STACK_SIZE 16384

	.section .head, "ax"
	.globl	boot_entry
	.option	push
	.option	norvc
boot_entry:
	j	boot_start
	nop
	.dword	IMAGE_OFFSET
	.dword	__image_size
	.dword	0		/* flags: little endian */
	.word	2		/* header version 0.2 */
	.word	0
	.dword	0
	.ascii	"RISCV\0\0\0"
	.ascii	"RSC\005"
	.word	0
	.option	pop

	.balign	4
boot_start:
	csrci	sstatus, SSTATUS_SIE
	csrw	sie, zero
	csrw	sscratch, zero
	lla	t0, boot_stopped
	csrw	stvec, t0
	lla	t0, boot_begun
	li	t1, 1
	amoswap.w t0, t1, (t0)
	bnez	t0, boot_later
	mv	s1, a0
	mv	s2, a1
	li	tp, 0
	li	s0, 0
	lla	t0, boot_entered
	csrr	t1, time
	sd	t1, 0(t0)

	lla	t0, __bss_start
	lla	t1, __bss_end
1:	sd	zero, 0(t0)
	sd	zero, 8(t0)
	sd	zero, 16(t0)
	sd	zero, 24(t0)
	addi	t0, t0, 32
	bltu	t0, t1, 1b

	lla	sp, boot_stack_end
	mv	a0, s2
	lla	a1, boot_entry
	call	boot_tables_on	/* returns how far up the image is mapped now */

	lla	t0, 2f
	add	t0, t0, a0
	add	sp, sp, a0
	jr	t0
2:	mv	a0, s1
	call	boot_main

boot_later:
	tail	riscv_smp_entry

	/* A trap before there is a handler. */
	.balign	4
boot_stopped:
	wfi
	j	boot_stopped

	.data
	.balign	4
boot_begun:
	.word	0

	.bss
	.balign	16
	.zero	STACK_SIZE
boot_stack_end:
