/*
 * Memory operations. All accesses are naturally aligned: misaligned ones may be emulated by the
 * firmware, thousands of instructions each. Where source and destination differ in alignment,
 * aligned words are merged by shifts. Copies from and to user memory are the same code, with an
 * entry in .fixups for each access: a fault that is not answered lands in a byte loop which
 * finds the exact place, so that the result is exact.
 */
#include "kcfi.h"
#include "regs.h"

/* One access; `landing` empty: kernel memory, cannot fail. */
.macro access landing, op:vararg
.ifnb \landing
.Laccess\@:
	\op
	.pushsection .fixups, "aw"
	.dword	.Laccess\@, \landing
	.popsection
.else
	\op
.endif
.endm

.macro copy_64 landing, at
	access	\landing, ld t0, \at + 0(a1)
	access	\landing, ld t1, \at + 8(a1)
	access	\landing, ld t2, \at + 16(a1)
	access	\landing, ld t3, \at + 24(a1)
	access	\landing, ld t4, \at + 32(a1)
	access	\landing, ld t5, \at + 40(a1)
	access	\landing, ld a4, \at + 48(a1)
	access	\landing, ld a5, \at + 56(a1)
	access	\landing, sd t0, \at + 0(a0)
	access	\landing, sd t1, \at + 8(a0)
	access	\landing, sd t2, \at + 16(a0)
	access	\landing, sd t3, \at + 24(a0)
	access	\landing, sd t4, \at + 32(a0)
	access	\landing, sd t5, \at + 40(a0)
	access	\landing, sd a4, \at + 48(a0)
	access	\landing, sd a5, \at + 56(a0)
.endm

/*
 * Copies a2 bytes from a1 to a0, forward. Afterwards a0 is the end; a6 was computed as the end.
 * Uses t0-t5, a3-a6. `word` and `byte` are the landings (word: a1 is the true source;
 * merge: a1 is rounded down and t0 has to be added).
 */
.macro copy_body word, merge, byte
	add	a6, a0, a2
	or	t0, a0, a1
	andi	t0, t0, 7
	bnez	t0, .Lunaligned\@
.Laligned\@:
	andi	t0, a2, -256
	beqz	t0, .Lblocks\@
	add	a3, a0, t0
.Llarge\@:
	copy_64	\word, 0
	copy_64	\word, 64
	copy_64	\word, 128
	copy_64	\word, 192
	addi	a0, a0, 256
	addi	a1, a1, 256
	bne	a0, a3, .Llarge\@
	sub	a2, a6, a0
.Lblocks\@:
	andi	t0, a2, -64
	beqz	t0, .Lwords\@
	add	a3, a0, t0
.Lblock\@:
	copy_64	\word, 0
	addi	a0, a0, 64
	addi	a1, a1, 64
	bne	a0, a3, .Lblock\@
.Lwords\@:
	andi	t0, a6, -8
	beq	a0, t0, .Ltail\@
.Lword\@:
	access	\word, ld t1, (a1)
	access	\word, sd t1, (a0)
	addi	a0, a0, 8
	addi	a1, a1, 8
	bne	a0, t0, .Lword\@
.Ltail\@:
	/* Less than 8 bytes, both aligned to 8. */
	beq	a0, a6, .Ldone\@
	andi	t0, a6, 4
	beqz	t0, .Ltail2\@
	access	\word, lw t1, (a1)
	access	\word, sw t1, (a0)
	addi	a0, a0, 4
	addi	a1, a1, 4
.Ltail2\@:
	andi	t0, a6, 2
	beqz	t0, .Ltail1\@
	access	\word, lh t1, (a1)
	access	\word, sh t1, (a0)
	addi	a0, a0, 2
	addi	a1, a1, 2
.Ltail1\@:
	andi	t0, a6, 1
	beqz	t0, .Ldone\@
	access	\word, lb t1, (a1)
	access	\word, sb t1, (a0)
	addi	a0, a0, 1
	j	.Ldone\@

.Lunaligned\@:
	/* Four aligned bytes are one access. */
	or	t0, a0, a1
	or	t0, t0, a2
	andi	t0, t0, 3
	bnez	t0, .Lshort\@
	li	t1, 4
	bne	a2, t1, .Lshort\@
	access	\word, lw t1, (a1)
	access	\word, sw t1, (a0)
	addi	a0, a0, 4
	j	.Ldone\@
.Lshort\@:
	li	t1, 16
	bltu	a2, t1, .Lbytes\@
	/* Bytes until the destination is aligned. */
	addi	t0, a0, 7
	andi	t0, t0, -8
	beq	a0, t0, .Ldst_aligned\@
.Lhead\@:
	access	\word, lb t1, (a1)
	access	\word, sb t1, (a0)
	addi	a0, a0, 1
	addi	a1, a1, 1
	bne	a0, t0, .Lhead\@
	sub	a2, a6, a0
.Ldst_aligned\@:
	andi	t0, a1, 7
	beqz	t0, .Laligned\@
	/* Merge: t1 = bits to shift down, t2 = bits to shift up, t3 = the word before. */
	sub	a1, a1, t0
	slli	t1, t0, 3
	neg	t2, t1
	andi	a3, a6, -8
	access	\merge, ld t3, (a1)
.Lmerge\@:
	access	\merge, ld t4, 8(a1)
	srl	t3, t3, t1
	sll	t5, t4, t2
	or	t3, t3, t5
	access	\merge, sd t3, (a0)
	mv	t3, t4
	addi	a0, a0, 8
	addi	a1, a1, 8
	bne	a0, a3, .Lmerge\@
	add	a1, a1, t0
.Lbytes\@:
	beq	a0, a6, .Ldone\@
.Lbyte\@:
	access	\byte, lb t1, (a1)
	access	\byte, sb t1, (a0)
	addi	a0, a0, 1
	addi	a1, a1, 1
	bne	a0, a6, .Lbyte\@
.Ldone\@:
.endm

	.text

	.globl	memcpy
memcpy:
	mv	a7, a0
	copy_body
	mv	a0, a7
	ret

/* size_t riscv_user_copy(void *dst, const void *src, size_t size): hal.user.copy. */
	.globl	riscv_user_copy
	CFI_FUNCTION riscv_user_copy
riscv_user_copy:
	li	a7, SSTATUS_SUM
	csrs	sstatus, a7
	copy_body .Luser_word, .Luser_merge, .Luser_byte
.Luser_byte:
	csrc	sstatus, a7
	sub	a0, a6, a0
	ret
.Luser_merge:
	add	a1, a1, t0
.Luser_word:
	access	.Luser_byte, lb t1, (a1)
	access	.Luser_byte, sb t1, (a0)
	addi	a0, a0, 1
	addi	a1, a1, 1
	bne	a0, a6, .Luser_word
	j	.Luser_byte

/* enum kerr riscv_user_cmpxchg32(uint32_t *addr, uint32_t *expected, uint32_t desired) */
	.globl	riscv_user_cmpxchg32
	CFI_FUNCTION riscv_user_cmpxchg32
riscv_user_cmpxchg32:
	li	a7, SSTATUS_SUM
	lw	t0, (a1)
	csrs	sstatus, a7
	li	a3, 0
1:	access	.Lcmpxchg_fault, lr.w.aqrl t1, (a0)
	bne	t1, t0, 2f
	access	.Lcmpxchg_fault, sc.w.rl t2, a2, (a0)
	bnez	t2, 1b
2:	csrc	sstatus, a7
	sw	t1, (a1)
	mv	a0, a3
	ret
.Lcmpxchg_fault:
	csrc	sstatus, a7
	li	a0, -14 /* KERR_FAULT */
	ret

/* void *memmove(void *dst, const void *src, size_t n): backwards only if it must be. */
	.globl	memmove
memmove:
	sub	t0, a0, a1
	bltu	t0, a2, 1f
	j	memcpy
1:	add	a3, a0, a2 /* ends of destination and source */
	add	a4, a1, a2
	xor	t0, a3, a4
	andi	t0, t0, 7
	bnez	t0, 5f
2:	beq	a3, a0, 6f /* bytes until the ends are aligned */
	andi	t0, a3, 7
	beqz	t0, 3f
	addi	a3, a3, -1
	addi	a4, a4, -1
	lb	t1, (a4)
	sb	t1, (a3)
	j	2b
3:	addi	t2, a0, 8
4:	bltu	a3, t2, 5f
	addi	a3, a3, -8
	addi	a4, a4, -8
	ld	t1, (a4)
	sd	t1, (a3)
	j	4b
5:	beq	a3, a0, 6f
	addi	a3, a3, -1
	addi	a4, a4, -1
	lb	t1, (a4)
	sb	t1, (a3)
	j	5b
6:	ret

	.globl	memset
memset:
	mv	a7, a0
	add	a6, a0, a2
	li	t1, 16
	bltu	a2, t1, 4f
	andi	a1, a1, 0xff
	slli	t0, a1, 8
	or	a1, a1, t0
	slli	t0, a1, 16
	or	a1, a1, t0
	slli	t0, a1, 32
	or	a1, a1, t0
1:	andi	t0, a0, 7
	beqz	t0, 2f
	sb	a1, (a0)
	addi	a0, a0, 1
	j	1b
2:	sub	t0, a6, a0
	andi	t0, t0, -64
	beqz	t0, 6f
	add	a3, a0, t0
3:	sd	a1, 0(a0)
	sd	a1, 8(a0)
	sd	a1, 16(a0)
	sd	a1, 24(a0)
	sd	a1, 32(a0)
	sd	a1, 40(a0)
	sd	a1, 48(a0)
	sd	a1, 56(a0)
	addi	a0, a0, 64
	bne	a0, a3, 3b
6:	andi	a3, a6, -8
	beq	a0, a3, 4f
7:	sd	a1, (a0)
	addi	a0, a0, 8
	bne	a0, a3, 7b
4:	beq	a0, a6, 5f
	sb	a1, (a0)
	addi	a0, a0, 1
	j	4b
5:	mv	a0, a7
	ret

/* void riscv_page_zero(void *page): straight-line, one instruction for eight bytes, or with Zicboz
 * two for 64 (riscv_page_zero_by_block). */
	.globl	riscv_page_zero
	CFI_FUNCTION riscv_page_zero
riscv_page_zero:
	lbu	t0, riscv_page_zero_by_block
	bnez	t0, 1f
	addi	a0, a0, 1024
	addi	a0, a0, 1024
	.set	offset, -2048
	.rept	512
	sd	zero, offset(a0)
	.set	offset, offset + 8
	.endr
	ret
	.option	push
	.option	arch, +zicboz
1:
	.rept	64
	cbo.zero (a0)
	addi	a0, a0, 64
	.endr
	ret

/* bool riscv_page_zero_probe(void *block): whether this hart may use cbo.zero. */
	.globl	riscv_page_zero_probe
riscv_page_zero_probe:
	access	.Lnot_allowed, cbo.zero (a0)
	li	a0, 1
	ret
.Lnot_allowed:
	li	a0, 0
	ret
	.option	pop

/* void riscv_page_copy(void *restrict dst, const void *restrict src) */
	.globl	riscv_page_copy
	CFI_FUNCTION riscv_page_copy
riscv_page_copy:
	addi	a0, a0, 1024
	addi	a0, a0, 1024
	addi	a1, a1, 1024
	addi	a1, a1, 1024
	.set	offset, -2048
	.rept	64
	ld	t0, offset(a1)
	ld	t1, offset + 8(a1)
	ld	t2, offset + 16(a1)
	ld	t3, offset + 24(a1)
	ld	t4, offset + 32(a1)
	ld	t5, offset + 40(a1)
	ld	t6, offset + 48(a1)
	ld	a2, offset + 56(a1)
	sd	t0, offset(a0)
	sd	t1, offset + 8(a0)
	sd	t2, offset + 16(a0)
	sd	t3, offset + 24(a0)
	sd	t4, offset + 32(a0)
	sd	t5, offset + 40(a0)
	sd	t6, offset + 48(a0)
	sd	a2, offset + 56(a0)
	.set	offset, offset + 64
	.endr
	ret
