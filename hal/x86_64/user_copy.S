/*
 * The kernel's accesses to user memory. Each instruction that may fault has a pair in .fixups; the
 * landings count what is left exactly, by going on byte by byte where a block failed.
 *
 * From BULK bytes on the copy goes through SSE registers, if the unit is on and so they are the current
 * thread's: then a switch of threads in the middle (a fault may sleep) keeps what is in them like any
 * other FPU state, and they get their own contents back at the end. From BULK_WANTED bytes on it is worth
 * a trap to get the unit, which may also come in the middle, after such a switch.
 */
#include "kcfi.h"
#include "cpu_offsets.h"
#include "patch.h"
#include "regs.h"

#include <hal/thread_offsets.h>

#define BULK 256
#define BULK_WANTED 512

	PATCH_TABLE_START user

	.macro FIXUP landing
	.pushsection .fixups, "aw", @progbits
	.quad	770f, \landing
	.popsection
770:
	.endm

	.macro BULK_LOAD at, to
	FIXUP	.Lbulk_failed
	movups	\at(%rsi), \to
	.endm

	.macro BULK_STORE from, at
	FIXUP	.Lbulk_failed
	movups	\from, \at(%rdi)
	.endm

	.macro BULK_END
	movups	(%rsp), %xmm0
	movups	16(%rsp), %xmm1
	movups	32(%rsp), %xmm2
	movups	48(%rsp), %xmm3
	add	$64, %rsp
	.endm

	.text
/* size_t x86_user_copy(void *dst, const void *src, size_t size); what was NOT copied. */
	.globl	x86_user_copy
	.type	x86_user_copy, @function
	CFI_FUNCTION x86_user_copy
x86_user_copy:
	PATCH_STAC
	cmp	$8, %rdx
	je	.Lone8
	cmp	$4, %rdx
	je	.Lone4
	cmp	$BULK, %rdx
	jae	.Lbulk
.Lblocks:
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
	/* Blocks of 128 through xmm0 to xmm3. */
.Lbulk:
	mov	%gs:CPU_CURRENT, %rax
	cmpq	$0, HAL_THREAD_FPU(%rax)
	je	.Lblocks
	cmpl	$0, %gs:CPU_FPU_OFF
	jne	.Lunit_off
.Lunit_on:
	sub	$64, %rsp
	FIXUP	.Lunit_refused
	movups	%xmm0, (%rsp)
	movups	%xmm1, 16(%rsp)
	movups	%xmm2, 32(%rsp)
	movups	%xmm3, 48(%rsp)
	sub	$128, %rdx
	.p2align 4
7:	BULK_LOAD	0, %xmm0
	BULK_LOAD	16, %xmm1
	BULK_LOAD	32, %xmm2
	BULK_LOAD	48, %xmm3
	BULK_STORE	%xmm0, 0
	BULK_STORE	%xmm1, 16
	BULK_STORE	%xmm2, 32
	BULK_STORE	%xmm3, 48
	BULK_LOAD	64, %xmm0
	BULK_LOAD	80, %xmm1
	BULK_LOAD	96, %xmm2
	BULK_LOAD	112, %xmm3
	BULK_STORE	%xmm0, 64
	BULK_STORE	%xmm1, 80
	BULK_STORE	%xmm2, 96
	BULK_STORE	%xmm3, 112
	sub	$-128, %rsi
	sub	$-128, %rdi
	sub	$128, %rdx
	jae	7b
	BULK_END
	add	$128, %rdx		/* less than 128 */
	jmp	.Lblocks
.Lunit_off:
	cmp	$BULK_WANTED, %rdx
	jb	.Lblocks
	testb	$THREAD_FPU_HELD, HAL_THREAD_FLAGS(%rax)
	jz	.Lunit_on
	jmp	.Lblocks
.Lunit_refused:
	add	$64, %rsp
	jmp	.Lblocks
.Lbulk_failed:
	BULK_END
	add	$128, %rdx
	jmp	.Lbyte_loop

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
	CFI_FUNCTION x86_user_cmpxchg32
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
