/*
 * memcpy, memmove, memset and whole pages, for few executed instructions: moves of eight bytes,
 * unrolled. (The string instructions cost one counted step an element in an emulator, and tens of
 * cycles to start on hardware; below some hundred bytes, where kernels copy most, these are faster
 * there too.) Registers: System V ABI; all return dst in rax.
 *
 * Pages are zeroed and copied through SSE registers with interrupts off, so that no switch of
 * threads comes between saving and restoring them (so does user_copy.S, in its own way).
 * Whose registers they are does not matter: the unit is turned on for them if it is off.
 */
#include "cpu_offsets.h"
#include "kcfi.h"
#include "regs.h"

	/* `body`, with the unit on and interrupts off. */
	.macro WITH_UNIT body
	pushfq
	cli
	cmpl	$0, %gs:CPU_FPU_OFF
	jne	1f
	\body
	popfq
	ret
1:	clts
	\body
	mov	$(CR0_KERNEL | CR0_TS), %eax
	mov	%rax, %cr0
	popfq
	ret
	.endm

	.macro PAGE_ZERO
	sub	$24, %rsp
	movups	%xmm0, (%rsp)
	xorps	%xmm0, %xmm0
	.set	at, 0
	.rept	256
	movaps	%xmm0, at(%rdi)
	.set	at, at + 16
	.endr
	movups	(%rsp), %xmm0
	add	$24, %rsp
	.endm

	.macro PAGE_COPY
	sub	$40, %rsp
	movups	%xmm0, (%rsp)
	movups	%xmm1, 16(%rsp)
	.set	at, 0
	.rept	128
	movaps	at(%rsi), %xmm0
	movaps	at+16(%rsi), %xmm1
	movaps	%xmm0, at(%rdi)
	movaps	%xmm1, at+16(%rdi)
	.set	at, at + 32
	.endr
	movups	(%rsp), %xmm0
	movups	16(%rsp), %xmm1
	add	$40, %rsp
	.endm

	.text

	.globl	memcpy
	.type	memcpy, @function
	.p2align 4
memcpy:
	mov	%rdi, %rax
	cmp	$16, %rdx
	jb	.Lsmall
	cmp	$32, %rdx
	ja	.Lforward
	/* 16 to 32: two overlapping pairs. */
	mov	(%rsi), %rcx
	mov	8(%rsi), %r8
	mov	-16(%rsi,%rdx), %r9
	mov	-8(%rsi,%rdx), %r10
	mov	%rcx, (%rdi)
	mov	%r8, 8(%rdi)
	mov	%r9, -16(%rdi,%rdx)
	mov	%r10, -8(%rdi,%rdx)
	ret
.Lsmall:
	cmp	$8, %edx
	jae	1f
	cmp	$4, %edx
	jae	2f
	test	%edx, %edx
	jz	4f
	movzbl	(%rsi), %ecx
	movzbl	-1(%rsi,%rdx), %r8d
	cmp	$3, %edx
	jb	3f
	movzbl	1(%rsi), %r9d
	mov	%r9b, 1(%rdi)
3:	mov	%cl, (%rdi)
	mov	%r8b, -1(%rdi,%rdx)
4:	ret
1:	mov	(%rsi), %rcx
	mov	-8(%rsi,%rdx), %r8
	mov	%rcx, (%rdi)
	mov	%r8, -8(%rdi,%rdx)
	ret
2:	mov	(%rsi), %ecx
	mov	-4(%rsi,%rdx), %r8d
	mov	%ecx, (%rdi)
	mov	%r8d, -4(%rdi,%rdx)
	ret
	/* More than 32: the last 32 bytes are loaded first, so that an overlap does not hurt. */
.Lforward:
	push	%rbx
	push	%rbp
	mov	-8(%rsi,%rdx), %r8
	mov	-16(%rsi,%rdx), %r9
	mov	-24(%rsi,%rdx), %r10
	mov	-32(%rsi,%rdx), %r11
	lea	-32(%rdi,%rdx), %rbp	/* where they go */
	sub	$64, %rdx
	jbe	6f
	.p2align 4
5:	mov	(%rsi), %rcx
	mov	8(%rsi), %rbx
	mov	%rcx, (%rdi)
	mov	%rbx, 8(%rdi)
	mov	16(%rsi), %rcx
	mov	24(%rsi), %rbx
	mov	%rcx, 16(%rdi)
	mov	%rbx, 24(%rdi)
	mov	32(%rsi), %rcx
	mov	40(%rsi), %rbx
	mov	%rcx, 32(%rdi)
	mov	%rbx, 40(%rdi)
	mov	48(%rsi), %rcx
	mov	56(%rsi), %rbx
	mov	%rcx, 48(%rdi)
	mov	%rbx, 56(%rdi)
	add	$64, %rsi
	add	$64, %rdi
	sub	$64, %rdx
	ja	5b
6:	/* rdx + 64 bytes are left, 1 to 64, of which the last 32 wait in registers. */
	add	$32, %rdx
	jle	8f
7:	mov	(%rsi), %rcx
	mov	%rcx, (%rdi)
	add	$8, %rsi
	add	$8, %rdi
	sub	$8, %rdx
	ja	7b
8:	mov	%r11, (%rbp)
	mov	%r10, 8(%rbp)
	mov	%r9, 16(%rbp)
	mov	%r8, 24(%rbp)
	pop	%rbp
	pop	%rbx
	ret
	.size	memcpy, . - memcpy

	.globl	memmove
	.type	memmove, @function
	.p2align 4
memmove:
	mov	%rdi, %rax
	sub	%rsi, %rax		/* dst - src, unsigned: below size means dst lies in src */
	cmp	%rdx, %rax
	jae	memcpy
	cmp	$32, %rdx
	jbe	memcpy			/* loads everything before it stores */
	mov	%rdi, %rax
1:	mov	-8(%rsi,%rdx), %rcx
	mov	-16(%rsi,%rdx), %r8
	mov	-24(%rsi,%rdx), %r9
	mov	-32(%rsi,%rdx), %r10
	mov	%rcx, -8(%rdi,%rdx)
	mov	%r8, -16(%rdi,%rdx)
	mov	%r9, -24(%rdi,%rdx)
	mov	%r10, -32(%rdi,%rdx)
	sub	$32, %rdx
	cmp	$32, %rdx
	jae	1b
2:	test	%rdx, %rdx
	jz	3f
	movzbl	-1(%rsi,%rdx), %ecx
	mov	%cl, -1(%rdi,%rdx)
	dec	%rdx
	jmp	2b
3:	ret
	.size	memmove, . - memmove

	.globl	memset
	.type	memset, @function
	.p2align 4
memset:
	mov	%rdi, %rax
	movzbl	%sil, %ecx
	movabs	$0x0101010101010101, %r8
	imul	%r8, %rcx
	cmp	$16, %rdx
	jb	4f
	mov	%rcx, -8(%rdi,%rdx)
	mov	%rcx, -16(%rdi,%rdx)
	sub	$16, %rdx
	sub	$64, %rdx
	jb	2f
	.p2align 4
1:	mov	%rcx, (%rdi)
	mov	%rcx, 8(%rdi)
	mov	%rcx, 16(%rdi)
	mov	%rcx, 24(%rdi)
	mov	%rcx, 32(%rdi)
	mov	%rcx, 40(%rdi)
	mov	%rcx, 48(%rdi)
	mov	%rcx, 56(%rdi)
	add	$64, %rdi
	sub	$64, %rdx
	jae	1b
2:	add	$64, %rdx
	jz	5f
3:	mov	%rcx, (%rdi)
	add	$8, %rdi
	sub	$8, %rdx
	ja	3b
5:	ret
4:	cmp	$8, %edx
	jae	6f
	cmp	$4, %edx
	jae	7f
	test	%edx, %edx
	jz	5b
	mov	%cl, (%rdi)
	mov	%cl, -1(%rdi,%rdx)
	shr	$1, %edx
	mov	%cl, (%rdi,%rdx)
	ret
6:	mov	%rcx, (%rdi)
	mov	%rcx, -8(%rdi,%rdx)
	ret
7:	mov	%ecx, (%rdi)
	mov	%ecx, -4(%rdi,%rdx)
	ret
	.size	memset, . - memset

/* void x86_page_zero(void *page); */
	.globl	x86_page_zero
	.type	x86_page_zero, @function
	CFI_FUNCTION x86_page_zero
x86_page_zero:
	WITH_UNIT PAGE_ZERO
	.size	x86_page_zero, . - x86_page_zero

/* void x86_page_copy(void *restrict dst, const void *restrict src); */
	.globl	x86_page_copy
	.type	x86_page_copy, @function
	CFI_FUNCTION x86_page_copy
x86_page_copy:
	WITH_UNIT PAGE_COPY
	.size	x86_page_copy, . - x86_page_copy

	.section .note.GNU-stack, "", @progbits
