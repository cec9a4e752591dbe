/*
 * Memory functions, pages, and copies to and from user memory.
 * memcpy and memmove up to 64 bytes load everything before they store, so overlap does not
 * matter there; accesses may be unaligned, so none of this runs with the MMU off except on
 * 8-byte aligned multiples of 8.
 */
#include "kcfi.h"

	.arch armv8-a+fp+simd
	.arch_extension pan
	.text

	.globl memcpy, memmove, memset
	.balign 64
memmove:
	cmp	x2, #64
	b.ls	.Lsmall
	sub	x3, x0, x1
	cmp	x3, x2
	b.lo	.Lbackward
	b	.Lforward

	.balign 64
memcpy:
	cmp	x2, #64
	b.hi	.Lforward
.Lsmall:
	add	x4, x1, x2
	add	x5, x0, x2
	cmp	x2, #16
	b.lo	1f
	cmp	x2, #32
	b.hi	2f
	ldp	x6, x7, [x1]
	ldp	x8, x9, [x4, #-16]
	stp	x6, x7, [x0]
	stp	x8, x9, [x5, #-16]
	ret
2:	ldp	x6, x7, [x1]
	ldp	x8, x9, [x1, #16]
	ldp	x10, x11, [x4, #-32]
	ldp	x12, x13, [x4, #-16]
	stp	x6, x7, [x0]
	stp	x8, x9, [x0, #16]
	stp	x10, x11, [x5, #-32]
	stp	x12, x13, [x5, #-16]
	ret
1:	tbz	x2, #3, 3f
	ldr	x6, [x1]
	ldr	x7, [x4, #-8]
	str	x6, [x0]
	str	x7, [x5, #-8]
	ret
3:	tbz	x2, #2, 4f
	ldr	w6, [x1]
	ldr	w7, [x4, #-4]
	str	w6, [x0]
	str	w7, [x5, #-4]
	ret
4:	cbz	x2, 5f
	lsr	x3, x2, #1
	ldrb	w6, [x1]
	ldrb	w7, [x1, x3]
	ldrb	w8, [x4, #-1]
	strb	w6, [x0]
	strb	w7, [x0, x3]
	strb	w8, [x5, #-1]
5:	ret

	/* More than 64 bytes, upwards: whole blocks, the last one overlapping from the end.
	 * memmove comes here only with dst below src or apart, and then the last block's loads
	 * come after stores that lie below them: so they are taken first. */
.Lforward:
	add	x4, x1, x2
	add	x5, x0, x2
	ldp	x10, x11, [x4, #-64]
	ldp	x12, x13, [x4, #-48]
	ldp	x14, x15, [x4, #-32]
	ldp	x16, x17, [x4, #-16]
	mov	x3, x0
	sub	x2, x2, #64
6:	ldp	x6, x7, [x1]
	ldp	x8, x9, [x1, #16]
	stp	x6, x7, [x3]
	ldp	x6, x7, [x1, #32]
	stp	x8, x9, [x3, #16]
	ldp	x8, x9, [x1, #48]
	stp	x6, x7, [x3, #32]
	stp	x8, x9, [x3, #48]
	add	x1, x1, #64
	add	x3, x3, #64
	subs	x2, x2, #64
	b.hi	6b
	stp	x10, x11, [x5, #-64]
	stp	x12, x13, [x5, #-48]
	stp	x14, x15, [x5, #-32]
	stp	x16, x17, [x5, #-16]
	ret

	/* The same downwards; the first block is taken before and stored last. */
.Lbackward:
	cbz	x3, 5b
	add	x4, x1, x2
	add	x5, x0, x2
	ldp	x10, x11, [x1]
	ldp	x12, x13, [x1, #16]
	ldp	x14, x15, [x1, #32]
	ldp	x16, x17, [x1, #48]
	sub	x2, x2, #64
7:	ldp	x6, x7, [x4, #-16]
	ldp	x8, x9, [x4, #-32]
	stp	x6, x7, [x5, #-16]
	ldp	x6, x7, [x4, #-48]
	stp	x8, x9, [x5, #-32]
	ldp	x8, x9, [x4, #-64]
	stp	x6, x7, [x5, #-48]
	stp	x8, x9, [x5, #-64]
	sub	x4, x4, #64
	sub	x5, x5, #64
	subs	x2, x2, #64
	b.hi	7b
	stp	x10, x11, [x0]
	stp	x12, x13, [x0, #16]
	stp	x14, x15, [x0, #32]
	stp	x16, x17, [x0, #48]
	ret

	/* Zeroes of 256 bytes and more go by DC ZVA where its block is 64 bytes (BS = 4). */
	.balign 64
memset:
	and	w1, w1, #0xff
	mov	x3, x0
	cmp	x2, #16
	b.lo	3f
	mov	x4, #0x0101010101010101
	mul	x1, x1, x4
	add	x5, x0, x2
	cmp	x2, #256
	b.lo	1f
	cbnz	x1, 1f
	mrs	x6, dczid_el0
	cmp	w6, #4
	b.ne	1f
	stp	xzr, xzr, [x3]
	stp	xzr, xzr, [x3, #16]
	stp	xzr, xzr, [x3, #32]
	stp	xzr, xzr, [x3, #48]
	add	x3, x3, #64
	and	x3, x3, #~63
	and	x6, x5, #~63
2:	dc	zva, x3
	add	x3, x3, #64
	cmp	x3, x6
	b.lo	2b
	stp	xzr, xzr, [x5, #-64]
	stp	xzr, xzr, [x5, #-48]
	stp	xzr, xzr, [x5, #-32]
	stp	xzr, xzr, [x5, #-16]
	ret
1:	sub	x2, x2, #16
4:	stp	x1, x1, [x3], #16
	subs	x2, x2, #16
	b.hi	4b
	stp	x1, x1, [x5, #-16]
	ret
3:	cbz	x2, 6f
5:	strb	w1, [x3], #1
	subs	x2, x2, #1
	b.ne	5b
6:	ret

/* void mmu_page_zero(void *page) */
	.globl mmu_page_zero
	CFI_FUNCTION mmu_page_zero 64
mmu_page_zero:
	mrs	x1, dczid_el0
	add	x2, x0, #1, lsl #12
	cmp	w1, #4
	b.ne	2f
1:
	.rept 32
	dc	zva, x0
	add	x0, x0, #64
	.endr
	cmp	x0, x2
	b.ne	1b
	ret
2:	stp	xzr, xzr, [x0]
	stp	xzr, xzr, [x0, #16]
	stp	xzr, xzr, [x0, #32]
	stp	xzr, xzr, [x0, #48]
	add	x0, x0, #64
	cmp	x0, x2
	b.ne	2b
	ret

/*
 * void mmu_page_copy(void *restrict dst, const void *restrict src)
 * Through q0 to q7, which belong to a program: they are put aside, with interrupts off so that a
 * switch of threads does not find ours in them. 290 instructions against 540 through x registers.
 */
	.globl mmu_page_copy
	CFI_FUNCTION mmu_page_copy 64
mmu_page_copy:
	mrs	x3, daif
	msr	daifset, #2
	sub	sp, sp, #128
	stp	q0, q1, [sp]
	stp	q2, q3, [sp, #32]
	stp	q4, q5, [sp, #64]
	stp	q6, q7, [sp, #96]
	add	x2, x0, #1, lsl #12
1:
	.rept 4
	ldp	q0, q1, [x1], #32
	ldp	q2, q3, [x1], #32
	ldp	q4, q5, [x1], #32
	ldp	q6, q7, [x1], #32
	stp	q0, q1, [x0], #32
	stp	q2, q3, [x0], #32
	stp	q4, q5, [x0], #32
	stp	q6, q7, [x0], #32
	.endr
	cmp	x0, x2
	b.ne	1b
	ldp	q0, q1, [sp]
	ldp	q2, q3, [sp, #32]
	ldp	q4, q5, [sp, #64]
	ldp	q6, q7, [sp, #96]
	add	sp, sp, #128
	msr	daif, x3
	ret

/* ---- User memory ---- */

	/* An access that may fault, and where it goes on if the fault is not answered: two
	 * distances from the place of the entry's halves, so that nothing needs relocation. */
	.macro try landing, insn:vararg
	.section .fixups, "a"
	.quad	.Ltry\@ - ., \landing - .
	.previous
.Ltry\@:
	\insn
	.endm

	.macro user_open
	adrp	x8, cpu_has_pan
	ldrb	w8, [x8, :lo12:cpu_has_pan]
	cbz	w8, .Lopen\@
	msr	pan, #0
.Lopen\@:
	.endm

	.macro user_close
	cbz	w8, .Lclose\@
	msr	pan, #1
.Lclose\@:
	.endm

/*
 * size_t user_copy(void *dst, const void *src, size_t size): bytes not copied.
 * Blocks of 64, then one piece for each bit of what is left. A fault lands in a loop over bytes
 * that copies what can be copied, so the result is exact.
 */
	.globl user_copy
	CFI_FUNCTION user_copy 64
user_copy:
	user_open
	cmp	x2, #64
	b.lo	2f
1:	try	.Lbytes, ldp x4, x5, [x1]
	try	.Lbytes, ldp x6, x7, [x1, #16]
	try	.Lbytes, ldp x9, x10, [x1, #32]
	try	.Lbytes, ldp x11, x12, [x1, #48]
	try	.Lbytes, stp x4, x5, [x0]
	try	.Lbytes, stp x6, x7, [x0, #16]
	try	.Lbytes, stp x9, x10, [x0, #32]
	try	.Lbytes, stp x11, x12, [x0, #48]
	sub	x2, x2, #64
	add	x1, x1, #64
	add	x0, x0, #64
	cmp	x2, #64
	b.hs	1b
2:	tbz	x2, #5, 3f
	try	.Lleft32, ldp x4, x5, [x1]
	try	.Lleft32, ldp x6, x7, [x1, #16]
	try	.Lleft32, stp x4, x5, [x0]
	try	.Lleft32, stp x6, x7, [x0, #16]
	add	x1, x1, #32
	add	x0, x0, #32
3:	tbz	x2, #4, 4f
	try	.Lleft16, ldp x4, x5, [x1]
	try	.Lleft16, stp x4, x5, [x0], #16
	add	x1, x1, #16
4:	tbz	x2, #3, 5f
	try	.Lleft8, ldr x4, [x1]
	try	.Lleft8, str x4, [x0], #8
	add	x1, x1, #8
5:	tst	x2, #7
	b.eq	8f
	tbz	x2, #2, 6f
	try	.Lleft4, ldr w4, [x1]
	try	.Lleft4, str w4, [x0], #4
	add	x1, x1, #4
6:	tbz	x2, #1, 7f
	try	.Lleft2, ldrh w4, [x1]
	try	.Lleft2, strh w4, [x0], #2
	add	x1, x1, #2
7:	tbz	x2, #0, 8f
	try	.Lleft1, ldrb w4, [x1]
	try	.Lleft1, strb w4, [x0]
8:	user_close
	mov	x0, #0
	ret

	/* What a piece of that size and all smaller ones still have to copy. */
.Lleft32:
	and	x2, x2, #63
	b	.Lbytes
.Lleft16:
	and	x2, x2, #31
	b	.Lbytes
.Lleft8:
	and	x2, x2, #15
	b	.Lbytes
.Lleft4:
	and	x2, x2, #7
	b	.Lbytes
.Lleft2:
	and	x2, x2, #3
	b	.Lbytes
.Lleft1:
	and	x2, x2, #1
.Lbytes:
	cbz	x2, 9f
	try	9f, ldrb w4, [x1], #1
	try	9f, strb w4, [x0], #1
	sub	x2, x2, #1
	b	.Lbytes
9:	user_close
	mov	x0, x2
	ret

/* enum kerr user_cmpxchg32(uint32_t *addr, uint32_t *expected, uint32_t desired) */
	.globl user_cmpxchg32
	CFI_FUNCTION user_cmpxchg32
user_cmpxchg32:
	ldr	w3, [x1]
	user_open
1:	try	3f, ldaxr w4, [x0]
	cmp	w4, w3
	b.ne	2f
	try	3f, stlxr w5, w2, [x0]
	cbnz	w5, 1b
2:	user_close
	str	w4, [x1]
	mov	w0, #0
	ret
3:	user_close
	mov	w0, #-14 /* KERR_FAULT */
	ret
