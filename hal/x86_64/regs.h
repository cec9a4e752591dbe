/*
 * Numbers of the x86_64 architecture, for C and assembly: control registers, MSRs, CPUID bits,
 * selectors, vectors. Source: Intel SDM volume 3 and 4, AMD APM volume 2.
 */
#pragma once

#define CR0_PE 0x00000001
#define CR0_MP 0x00000002
#define CR0_EM 0x00000004
#define CR0_TS 0x00000008
#define CR0_ET 0x00000010
#define CR0_NE 0x00000020
#define CR0_WP 0x00010000
#define CR0_NW 0x20000000
#define CR0_CD 0x40000000
#define CR0_PG 0x80000000
/* What this kernel runs with on every CPU. */
#define CR0_KERNEL (CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG)

#define CR4_PAE 0x00000020
#define CR4_MCE 0x00000040
#define CR4_PGE 0x00000080
#define CR4_OSFXSR 0x00000200
#define CR4_OSXMMEXCPT 0x00000400
#define CR4_UMIP 0x00000800
#define CR4_LA57 0x00001000
#define CR4_FSGSBASE 0x00010000
#define CR4_OSXSAVE 0x00040000
#define CR4_SMEP 0x00100000
#define CR4_SMAP 0x00200000
#define CR4_PKE 0x00400000

#define MSR_APIC_BASE 0x01b
#define MSR_PAT 0x277
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)

#define EFER_SCE 0x001
#define EFER_LME 0x100
#define EFER_NXE 0x800

#define RFLAGS_CF 0x000001
#define RFLAGS_FIXED 0x000002
#define RFLAGS_TF 0x000100
#define RFLAGS_IF 0x000200
#define RFLAGS_DF 0x000400
#define RFLAGS_IOPL 0x003000
#define RFLAGS_NT 0x004000
#define RFLAGS_RF 0x010000
#define RFLAGS_AC 0x040000
/* The flags a program may set for itself: CF PF AF ZF SF TF DF OF RF AC. */
#define RFLAGS_USER 0x050dd5

/* Selectors: the numbers that Linux programs see. SYSRET wants user SS and CS in this order. */
#define SELECTOR_KERNEL_CODE 0x10
#define SELECTOR_KERNEL_DATA 0x18
#define SELECTOR_USER_BASE 0x23
#define SELECTOR_USER_DATA 0x2b
#define SELECTOR_USER_CODE 0x33
#define SELECTOR_TSS 0x40

/* Vectors. 0 to 31 are the CPU's; a GSI on the I/O APIC has VECTOR_LINE + its number. */
#define VECTOR_DEBUG 1
#define VECTOR_NMI 2
#define VECTOR_DOUBLE_FAULT 8
#define VECTOR_PAGE_FAULT 14
#define VECTOR_MACHINE_CHECK 18
#define VECTOR_LINE 0x20
#define VECTOR_LINE_LAST 0xdf
#define VECTOR_TIMER 0xef
#define VECTOR_IPI 0xf0
#define VECTOR_SPURIOUS 0xff
/* In hal_frame.vector, not a hardware vector: SYSCALL, whose frame nobody has changed since. */
#define VECTOR_SYSCALL 0x100

/* hal_thread.flags: the area is being read or rewritten, so the copies must not ask for the unit. */
#define THREAD_FPU_HELD 1

#define IST_DOUBLE_FAULT 1
#define IST_NMI 2
#define IST_MACHINE_CHECK 3
#define IST_STACK_SIZE 512 /* only the way to the shared panic stack */
