/*
 * Control registers and bits of the RISC-V supervisor, for C and assembly (The RISC-V
 * Instruction Set Manual, Volume II: Privileged Architecture, 20211203, chapter 4).
 */
#pragma once

/* sstatus */
#define SSTATUS_SIE 0x2
#define SSTATUS_SPIE 0x20
#define SSTATUS_SPP 0x100
#define SSTATUS_FS 0x6000
#define SSTATUS_FS_CLEAN 0x4000
#define SSTATUS_FS_DIRTY 0x6000
#define SSTATUS_SUM 0x40000

/* sie, sip */
#define SIE_SOFT 0x2
#define SIE_TIMER 0x20
#define SIE_EXTERNAL 0x200

/* scause */
#define CAUSE_INTERRUPT_SOFT 1
#define CAUSE_INTERRUPT_TIMER 5
#define CAUSE_INTERRUPT_EXTERNAL 9
#define CAUSE_ECALL_U 8
#define CAUSE_FETCH_FAULT 12
#define CAUSE_LOAD_FAULT 13
#define CAUSE_STORE_FAULT 15

/* satp */
#define SATP_SV39 8
#define SATP_SV48 9
#define SATP_SV57 10
#define SATP_MODE_SHIFT 60
#define SATP_ASID_SHIFT 44
#define SATP_ASID_MASK 0xffff
#define SATP_PPN_MASK 0xfffffffffff

/* Page-table entries (4.4.1; memory types: chapter 6, Svpbmt) */
#define PTE_V 0x001
#define PTE_R 0x002
#define PTE_W 0x004
#define PTE_X 0x008
#define PTE_U 0x010
#define PTE_G 0x020
#define PTE_A 0x040
#define PTE_D 0x080
#define PTE_SOFT 0x100
#define PTE_PPN_SHIFT 10
#define PTE_PPN_MASK 0x3ffffffffffc00
#define PTE_PBMT 0x6000000000000000
#define PTE_PBMT_NC 0x2000000000000000
#define PTE_PBMT_IO 0x4000000000000000

/* stimecmp (Sstc), by number: the assembler knows the name only with the extension. */
#define CSR_STIMECMP 0x14d

#ifndef __ASSEMBLER__
#include <stdint.h>

#define REGS_STRING_(x) #x
#define REGS_STRING(x) REGS_STRING_(x)

#define csr_read(csr)                                                                              \
	({                                                                                         \
		uint64_t csr_value_;                                                               \
		asm volatile("csrr %0, " REGS_STRING(csr) : "=r"(csr_value_)::"memory");           \
		csr_value_;                                                                        \
	})
#define csr_write(csr, value)                                                                      \
	asm volatile("csrw " REGS_STRING(csr) ", %0" ::"rK"((uint64_t)(value)) : "memory")
#define csr_set(csr, bits)                                                                         \
	asm volatile("csrs " REGS_STRING(csr) ", %0" ::"rK"((uint64_t)(bits)) : "memory")
#define csr_clear(csr, bits)                                                                       \
	asm volatile("csrc " REGS_STRING(csr) ", %0" ::"rK"((uint64_t)(bits)) : "memory")
#endif
