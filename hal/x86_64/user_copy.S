/*
 * The kernel's accesses to user memory. Each instruction that may fault has a pair in .fixups; the
 * landings count what is left exactly, by going on byte by byte where a block failed.
 */
#include "patch.h"

	PATCH_TABLE_START user

	.macro FIXUP landing
	.pushsection .fixups, "aw", @progbits
	.quad	770f, \landing
	.popsection
770:
	.endm

	.text
/* size_t x86_user_copy(void *dst, const void *src, size_t size); what was NOT copied. */
	.globl	x86_user_copy
	.type	x86_user_copy, @function
	.p2align 4
x86_user_copy:
	PATCH_STAC
	cmp	$8, %rdx
	je	.Lone8
	cmp	$4, %rdx
	je	.Lone4
	sub	$64, %rdx
	jb	2f
	.p2align 4
1:	/* Blocks of 64: rdx = what is left behind this one. */
	FIXUP	.Lblock_failed
	mov	(%rsi), %rax
	FIXUP	.Lblock_failed
	mov	8(%rsi), %rcx
	FIXUP	.Lblock_failed
	mov	16(%rsi), %r8
	FIXUP	.Lblock_failed
	mov	24(%rsi), %r9
	FIXUP	.Lblock_failed
	mov	%rax, (%rdi)
	FIXUP	.Lblock_failed
	mov	%rcx, 8(%rdi)
	FIXUP	.Lblock_failed
	mov	%r8, 16(%rdi)
	FIXUP	.Lblock_failed
	mov	%r9, 24(%rdi)
	FIXUP	.Lblock_failed
	mov	32(%rsi), %rax
	FIXUP	.Lblock_failed
	mov	40(%rsi), %rcx
	FIXUP	.Lblock_failed
	mov	48(%rsi), %r8
	FIXUP	.Lblock_failed
	mov	56(%rsi), %r9
	FIXUP	.Lblock_failed
	mov	%rax, 32(%rdi)
	FIXUP	.Lblock_failed
	mov	%rcx, 40(%rdi)
	FIXUP	.Lblock_failed
	mov	%r8, 48(%rdi)
	FIXUP	.Lblock_failed
	mov	%r9, 56(%rdi)
	add	$64, %rsi
	add	$64, %rdi
	sub	$64, %rdx
	jae	1b
2:	add	$56, %rdx		/* words of 8 */
	js	4f
3:	FIXUP	.Lword_failed
	mov	(%rsi), %rax
	FIXUP	.Lword_failed
	mov	%rax, (%rdi)
	add	$8, %rsi
	add	$8, %rdi
	sub	$8, %rdx
	jns	3b
4:	add	$8, %rdx
	jz	6f
5:	FIXUP	.Lbyte_failed
	movzbl	(%rsi), %eax
	FIXUP	.Lbyte_failed
	mov	%al, (%rdi)
	inc	%rsi
	inc	%rdi
	dec	%rdx
	jnz	5b
6:	PATCH_CLAC
	xor	%eax, %eax
	ret
.Lone8:
	FIXUP	.Lbyte_loop
	mov	(%rsi), %rax
	FIXUP	.Lbyte_loop
	mov	%rax, (%rdi)
	PATCH_CLAC
	xor	%eax, %eax
	ret
.Lone4:
	FIXUP	.Lbyte_loop
	mov	(%rsi), %eax
	FIXUP	.Lbyte_loop
	mov	%eax, (%rdi)
	PATCH_CLAC
	xor	%eax, %eax
	ret
.Lblock_failed:
	add	$56, %rdx
.Lword_failed:
	add	$8, %rdx
.Lbyte_loop:				/* one of the next rdx bytes fails */
	FIXUP	.Lbyte_failed
	movzbl	(%rsi), %eax
	FIXUP	.Lbyte_failed
	mov	%al, (%rdi)
	inc	%rsi
	inc	%rdi
	dec	%rdx
	jnz	.Lbyte_loop
.Lbyte_failed:
	PATCH_CLAC
	mov	%rdx, %rax
	ret
	.size	x86_user_copy, . - x86_user_copy

/* enum kerr x86_user_cmpxchg32(uint32_t *addr, uint32_t *expected, uint32_t desired); */
	.globl	x86_user_cmpxchg32
	.type	x86_user_cmpxchg32, @function
	.p2align 4
x86_user_cmpxchg32:
	mov	(%rsi), %eax
	PATCH_STAC
	FIXUP	.Lcmpxchg_failed
	lock cmpxchg %edx, (%rdi)
	PATCH_CLAC
	mov	%eax, (%rsi)
	xor	%eax, %eax
	ret
.Lcmpxchg_failed:
	PATCH_CLAC
	mov	$-14, %eax		/* KERR_FAULT */
	ret
	.size	x86_user_cmpxchg32, . - x86_user_cmpxchg32

/* Code for programs: rt_sigreturn(). x86_64 programs bring their own (SA_RESTORER). */
	.section .rodata.trampoline, "a", @progbits
	.globl	x86_user_trampoline, x86_user_trampoline_end
x86_user_trampoline:
	mov	$15, %eax
	syscall
x86_user_trampoline_end:
	.text

	PATCH_TABLE_END user

	.section .note.GNU-stack, "", @progbits
