/* What smp.start leaves for the CPU that begins in switch.S, before it can translate addresses; it finds the one
 * with its hart id. */
#pragma once

#define SMP_START_SATP 0
#define SMP_START_THREAD 8
#define SMP_START_STACK 16
#define SMP_START_HIGH 24
#define SMP_START_HART 32
#define SMP_START_SIZE 40
#define SMP_START_COUNT 64 /* CPU_MAX */

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct smp_start {
	uint64_t satp; /* written last; 0: not yet */
	uint64_t thread;
	uint64_t stack_top;
	uint64_t high; /* where to go on once satp is loaded */
	uint64_t hart;
};

static_assert(offsetof(struct smp_start, satp) == SMP_START_SATP);
static_assert(offsetof(struct smp_start, thread) == SMP_START_THREAD);
static_assert(offsetof(struct smp_start, stack_top) == SMP_START_STACK);
static_assert(offsetof(struct smp_start, high) == SMP_START_HIGH);
static_assert(offsetof(struct smp_start, hart) == SMP_START_HART);
static_assert(sizeof(struct smp_start) == SMP_START_SIZE);
#endif
