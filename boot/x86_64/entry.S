/*
 * The first instructions, in 32-bit mode without paging, by one of two protocols:
 *
 *   PVH         (qemu -kernel): the note below names pvh_entry; ebx = struct hvm_start_info.
 *   Multiboot2  (GRUB): the header below names multiboot2_entry; eax = magic, ebx = information.
 *
 * Builds the early tables with pages of 2 MiB: the first 4 GiB at their physical addresses and in
 * the direct map, the image at its link address. Then long mode, the kernel's addresses,
 * boot_main(). Only offsets to head_start are used, for a PIE may not hold 32-bit addresses; the
 * ELF's physical address is KERNEL_LMA. Sources: Xen docs/misc/pvh; Multiboot2 specification 2.0,
 * chapter 3; Intel SDM volume 3, 10.8.5.
 */
#include "kernel.ld.h"

#include "cpu_offsets.h"
#include "regs.h"

#define IMAGE_BASE 0xffffffff80000000
#define DIRECT_MAP_SLOT 256	/* 0xffff800000000000 */
#define IMAGE_SLOT 511
#define IMAGE_SLOT_2 510
#define IMAGE_LARGE_PAGES 32
#define TABLE 0x3		/* present, writable */
#define LARGE 0x83
#define SELECTOR_32_CODE 32	/* in the table here only */
#define MAGIC_LEFT 0x36d76289	/* eax of Multiboot2 */

#define PHYSICAL(label) (KERNEL_LMA + label - head_start)
#define OFFSET(symbol) (symbol - head_start)

	.section .head, "ax", @progbits
	.p2align 3
head_start:
	.long	0xe85250d6, 0, header_end - head_start, -(0xe85250d6 + header_end - head_start)
	.word	1, 1			/* what we look at: command line, modules, map, RSDP */
	.long	28, 1, 3, 6, 14, 15
	.long	0
	.word	2, 0			/* addresses: GRUB refuses to load a PIE by its ELF header */
	.long	24, KERNEL_LMA, KERNEL_LMA
	.long	KERNEL_LMA + __image_load_size, KERNEL_LMA + __image_size
	.word	3, 0			/* entry */
	.long	12, PHYSICAL(multiboot2_entry)
	.long	0
	.word	6, 0			/* modules on page boundaries */
	.long	8
	.word	0, 0
	.long	8
header_end:

	.code32
	.globl	boot_entry
boot_entry:
pvh_entry:
	xor	%esi, %esi
	jmp	1f
multiboot2_entry:
	mov	$1, %esi
	cmp	$MAGIC_LEFT, %eax
	je	1f
	mov	$2, %esi		/* boot_main() says so */
1:	cli
	cld
	mov	%ebx, %edi		/* esi, edi: the arguments of boot_main */
	mov	$KERNEL_LMA, %ebp
	rdtsc
	mov	%eax, OFFSET(boot_entered)(%ebp)
	mov	%edx, OFFSET(boot_entered) + 4(%ebp)
	mov	$0x80000000, %eax
	cpuid
	cmp	$0x80000001, %eax
	jb	no_long_mode
	mov	$0x80000001, %eax
	cpuid
	bt	$29, %edx
	jnc	no_long_mode
	mov	$EFER_LME, %esp
	bt	$20, %edx
	jnc	2f
	or	$EFER_NXE, %esp		/* esp: EFER */
2:
	/* 4 GiB in pages of 2 MiB. */
	lea	OFFSET(early_level1)(%ebp), %ebx
	mov	$LARGE, %eax
	mov	$2048, %ecx
3:	mov	%eax, (%ebx)
	add	$0x200000, %eax
	add	$8, %ebx
	dec	%ecx
	jnz	3b
	/* The image. */
	lea	OFFSET(early_image_level1)(%ebp), %ebx
	lea	LARGE(%ebp), %eax
	mov	$IMAGE_LARGE_PAGES, %ecx
4:	mov	%eax, (%ebx)
	add	$0x200000, %eax
	add	$8, %ebx
	dec	%ecx
	jnz	4b
	/* The tables above them. */
	lea	OFFSET(early_level1) + TABLE(%ebp), %eax
	lea	OFFSET(early_level2)(%ebp), %ebx
	mov	%eax, (%ebx)
	add	$0x1000, %eax
	mov	%eax, 8(%ebx)
	add	$0x1000, %eax
	mov	%eax, 16(%ebx)
	add	$0x1000, %eax
	mov	%eax, 24(%ebx)
	lea	OFFSET(early_image_level1) + TABLE(%ebp), %eax
	lea	OFFSET(early_image_level2)(%ebp), %edx
	mov	%eax, 8 * IMAGE_SLOT_2(%edx)
	lea	OFFSET(early_root)(%ebp), %eax
	or	$TABLE, %ebx
	or	$TABLE, %edx
	mov	%ebx, (%eax)
	mov	%ebx, 8 * DIRECT_MAP_SLOT(%eax)
	mov	%edx, 8 * IMAGE_SLOT(%eax)

	mov	%eax, %cr3
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$MSR_EFER, %ecx
	xor	%edx, %edx
	mov	%esp, %eax
	wrmsr
	mov	$CR0_KERNEL, %eax
	mov	%eax, %cr0
	lgdt	PHYSICAL(gdt_register)
	ljmp	$SELECTOR_KERNEL_CODE, $PHYSICAL(long_mode)

no_long_mode:				/* says so on the first serial port */
	lea	OFFSET(no_long_mode_text)(%ebp), %esi
5:	mov	$0x3fd, %edx
	in	%dx, %al
	test	$0x20, %al
	jz	5b
	lodsb
	test	%al, %al
	jz	6f
	mov	$0x3f8, %edx
	out	%al, %dx
	jmp	5b
6:	hlt
	jmp	6b

	.code64
long_mode:
	lea	7f(%rip), %rax
	movabs	$(IMAGE_BASE - KERNEL_LMA), %rbx
	add	%rbx, %rax
	jmp	*%rax
7:	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%eax, %ss
	lea	boot_stack_top(%rip), %rsp
	lea	boot_thread(%rip), %rax	/* so that `current` is something */
	lea	x86_cpus(%rip), %rdx
	mov	%rax, CPU_CURRENT(%rdx)
	mov	%rdx, CPU_SELF(%rdx)
	mov	%edx, %eax
	shr	$32, %rdx
	mov	$MSR_GS_BASE, %ecx
	wrmsr
	xor	%ebp, %ebp
	mov	%edi, %edi		/* upper halves */
	mov	%esi, %esi
	call	boot_main
	ud2

/*
 * Turns paging with four levels into paging with five, which takes a moment without any (Intel SDM
 * volume 3, 4.1.2): down to 32-bit code at its physical address, and back. Called from C, interrupts
 * off, on the early tables, which a fifth level comes above of: its last entry leads to the kernel's
 * half as it was, its first one to the low memory. The CPU has it; no stack below 4 GiB is needed.
 */
	.globl	boot_five_levels
boot_five_levels:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, switch_stack(%rip)
	sgdt	switch_gdt(%rip)
	lea	early_root5(%rip), %rax
	mov	$PHYSICAL(early_root) + TABLE, %ecx
	mov	%rcx, (%rax)
	mov	%rcx, 8 * 511(%rax)
	lgdt	gdt_register(%rip)
	mov	$PHYSICAL(8f), %eax
	push	$SELECTOR_32_CODE
	push	%rax
	lretq
	.code32
8:	mov	%cr0, %eax
	and	$~CR0_PG, %eax
	mov	%eax, %cr0
	mov	%cr4, %eax
	or	$CR4_LA57, %eax
	mov	%eax, %cr4
	mov	$PHYSICAL(early_root5), %eax
	mov	%eax, %cr3
	mov	$CR0_KERNEL, %eax
	mov	%eax, %cr0
	ljmp	$SELECTOR_KERNEL_CODE, $PHYSICAL(9f)
	.code64
9:	lea	10f(%rip), %rax
	movabs	$(IMAGE_BASE - KERNEL_LMA), %rcx
	add	%rcx, %rax
	jmp	*%rax
10:	mov	switch_stack(%rip), %rsp
	lgdt	switch_gdt(%rip)
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.p2align 3
gdt:	.quad	0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
gdt_register:
	.word	39
	.long	PHYSICAL(gdt), 0
no_long_mode_text:
	.asciz	"Tern needs a 64-bit CPU.\r\n"

	.section .note.Xen, "a", @note
	.p2align 2
	.long	4, 8, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.quad	PHYSICAL(pvh_entry)

	.bss
	.p2align 12
	.globl	early_root, early_level2, early_direct
early_root5:
	.skip	4096
early_root:
	.skip	4096
early_level2:
	.skip	4096
early_direct:				/* main.c's */
	.skip	4096
early_level1:
	.skip	4 * 4096
early_image_level2:
	.skip	4096
early_image_level1:
	.skip	4096
	.skip	16384
boot_stack_top:
switch_stack:
	.skip	8
switch_gdt:
	.skip	24
boot_thread:
	.skip	1024

	.section .note.GNU-stack, "", @progbits
