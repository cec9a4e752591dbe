/*
 * System registers of AArch64: access, and the fields this port uses.
 * Arm Architecture Reference Manual for A-profile (DDI 0487), chapter D19.
 */
#pragma once

#include <hal/types.h>

#define reg_read(name)                                                                             \
	({                                                                                         \
		uint64_t value_;                                                                   \
		__asm__ volatile("mrs %0, " #name : "=r"(value_));                                 \
		value_;                                                                            \
	})
#define reg_write(name, value) __asm__ volatile("msr " #name ", %x0" ::"rZ"((uint64_t)(value)))

#define isb() __asm__ volatile("isb" ::: "memory")
#define dsb(domain) __asm__ volatile("dsb " #domain ::: "memory")
#define dmb(domain) __asm__ volatile("dmb " #domain ::: "memory")

/* An ID register field: four bits. */
static inline unsigned id_field(uint64_t value, unsigned shift)
{
	return (value >> shift) & 0xf;
}

/* SCTLR_EL1. Bits named in the manual's order; the rest stays 0. */
#define SCTLR_M (1ull << 0)
#define SCTLR_C (1ull << 2)
#define SCTLR_SA (1ull << 3)
#define SCTLR_SA0 (1ull << 4)
#define SCTLR_EOS (1ull << 11)
#define SCTLR_I (1ull << 12)
#define SCTLR_DZE (1ull << 14)   /* DC ZVA in user mode */
#define SCTLR_UCT (1ull << 15)   /* CTR_EL0 in user mode */
#define SCTLR_NTWI (1ull << 16) /* WFI, WFE in user mode do not trap */
#define SCTLR_NTWE (1ull << 18)
#define SCTLR_TSCXT (1ull << 20)
#define SCTLR_EIS (1ull << 22)
#define SCTLR_SPAN (1ull << 23) /* 0: exceptions set PAN */
#define SCTLR_UCI (1ull << 26)   /* cache maintenance by address in user mode */
#define SCTLR_NTLSMD (1ull << 28)
#define SCTLR_LSMAOE (1ull << 29)
#define SCTLR_EPAN (1ull << 57) /* PAN also for pages that user mode may only execute */
#define SCTLR_KERNEL                                                                               \
	(SCTLR_M | SCTLR_C | SCTLR_SA | SCTLR_SA0 | SCTLR_EOS | SCTLR_I | SCTLR_DZE | SCTLR_UCT |  \
	 SCTLR_NTWI | SCTLR_NTWE | SCTLR_TSCXT | SCTLR_EIS | SCTLR_SPAN | SCTLR_UCI |              \
	 SCTLR_NTLSMD | SCTLR_LSMAOE)

/* TCR_EL1 */
#define TCR_AS (1ull << 36)   /* 16-bit ASIDs */
#define TCR_TBI0 (1ull << 37) /* user addresses: the top byte is ignored, as Linux promises */
#define TCR_HA (1ull << 39)   /* hardware sets AF */
#define TCR_HD (1ull << 40)   /* hardware manages dirty state */

#define TTBR_ASID_SHIFT 48

/* ESR_EL1 exception classes */
#define ESR_EC_SHIFT 26
#define EC_UNKNOWN 0x00
#define EC_SVC64 0x15
#define EC_INSTRUCTION_ABORT_USER 0x20
#define EC_INSTRUCTION_ABORT 0x21
#define EC_PC_ALIGNMENT 0x22
#define EC_DATA_ABORT_USER 0x24
#define EC_DATA_ABORT 0x25
#define EC_SP_ALIGNMENT 0x26
#define EC_FPU_OFF 0x07
#define EC_FLOATING_POINT 0x2c
#define EC_SERROR 0x2f
#define EC_BREAKPOINT_USER 0x30
#define EC_BREAKPOINT 0x31
#define EC_STEP_USER 0x32
#define EC_STEP 0x33
#define EC_WATCHPOINT_USER 0x34
#define EC_WATCHPOINT 0x35
#define EC_BRK64 0x3c

#define ESR_WNR (1u << 6)
#define ESR_CM (1u << 8) /* a cache maintenance instruction: reads, though WnR is set */
#define ESR_FNV (1u << 10)

#define MPIDR_AFFINITY 0xff00ffffffull

/* PSTATE and SPSR_EL1 */
#define PSTATE_NZCV 0xf0000000ull
#define PSTATE_DIT (1ull << 24)
#define PSTATE_PAN (1ull << 22)
#define PSTATE_SSBS (1ull << 12)
#define PSTATE_I (1ull << 7)
#define PSTATE_MODE 0x1full
#define PSTATE_EL0 0x0ull

#define DAIF_IRQ 2 /* immediate of daifset and daifclr */
#define DAIF_FIQ 1
#define DAIF_SERROR 4
