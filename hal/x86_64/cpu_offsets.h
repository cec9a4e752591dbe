/* Offsets in struct x86_cpu (cpu.h checks them), for assembly. */
#pragma once

/* The area's own address stands at 0, as in the TLS model: clang relies on that for loads through
 * %gs:0. */
#define CPU_SELF 0
#define CPU_CURRENT 8
#define CPU_USER_SP 16
#define CPU_IDLE 24
#define CPU_APIC_ID 32
#define CPU_FPU_OFF 44
#define CPU_TSS 52
#define CPU_RSP0 56
#define CPU_SIZE 2048
