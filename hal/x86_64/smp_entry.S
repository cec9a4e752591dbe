/*
 * Where the other CPUs start: in real mode at the page to which smp.c copies the code between
 * x86_smp_trampoline and its end (Intel SDM volume 3, 9.4.4); it is some page below 1 MiB. From
 * there to protected mode, to long mode on tables that hold the kernel's upper half and the first
 * 2 MiB, and to the kernel's own addresses. There the CPU finds its area by its APIC id: so
 * several may start at once.
 */
#include "cpu_offsets.h"
#include "regs.h"

#include <hal/thread_offsets.h>

#define AT(label) (label - x86_smp_trampoline)

	.section .rodata.trampoline, "a", @progbits
	.code16
	.globl	x86_smp_trampoline, x86_smp_trampoline_end, x86_smp_trampoline_data
	.globl	x86_smp_protected, x86_smp_long_mode, x86_smp_gdt
x86_smp_trampoline:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	xorl	%ebx, %ebx
	movw	%ax, %bx
	shll	$4, %ebx		/* where this page is */
	lgdtl	AT(data_gdt)
	movl	$(CR0_PE | CR0_ET), %eax
	movl	%eax, %cr0
	ljmpl	*AT(data_protected)
	.code32
x86_smp_protected:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %ss
	movl	AT(data_cr4)(%ebx), %eax
	movl	%eax, %cr4
	movl	AT(data_root)(%ebx), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	movl	AT(data_efer)(%ebx), %eax
	xorl	%edx, %edx
	wrmsr
	movl	$CR0_KERNEL, %eax
	movl	%eax, %cr0
	ljmpl	*AT(data_long_mode)(%ebx)
	.code64
x86_smp_long_mode:
	mov	x86_smp_trampoline_data(%rip), %rax
	jmp	*%rax

	.p2align 3
x86_smp_gdt:
	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
x86_smp_trampoline_data:		/* struct smp_trampoline_data */
	.quad	0
data_efer:
	.long	0
data_root:
	.long	0
	.word	0
data_gdt:
	.word	0
	.long	0
data_protected:
	.long	0, 0
data_long_mode:
	.long	0, 0
data_cr4:
	.long	0, 0
x86_smp_trampoline_end:

	.text
	.globl	x86_smp_entry
	.type	x86_smp_entry, @function
x86_smp_entry:
	mov	x86_smp_root(%rip), %rax
	mov	%rax, %cr3
	xor	%eax, %eax
	cpuid
	cmp	$0xb, %eax
	jb	1f
	mov	$0xb, %eax
	xor	%ecx, %ecx
	cpuid
	test	%ebx, %ebx
	jz	1f
	mov	%edx, %edi
	jmp	2f
1:	mov	$1, %eax
	cpuid
	shr	$24, %ebx
	mov	%ebx, %edi
2:	lea	x86_cpus(%rip), %rbx
	mov	x86_cpu_count(%rip), %ecx
3:	cmp	%edi, CPU_APIC_ID(%rbx)
	jne	4f
	mov	CPU_IDLE(%rbx), %rax
	test	%rax, %rax
	jnz	6f
4:	add	$CPU_SIZE, %rbx
	dec	%ecx
	jnz	3b
5:	cli				/* nobody asked for this one */
	hlt
	jmp	5b
6:	mov	HAL_THREAD_STACK_TOP(%rax), %rsp
	mov	%rbx, %rdi
	mov	%rbx, %rax
	mov	%rbx, %rdx
	shr	$32, %rdx
	mov	$MSR_GS_BASE, %ecx
	wrmsr
	xor	%ebp, %ebp
	call	x86_smp_cpu_main
	ud2
	.size	x86_smp_entry, . - x86_smp_entry

	.section .note.GNU-stack, "", @progbits
