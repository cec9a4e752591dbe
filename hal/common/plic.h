/*
 * The RISC-V platform-level interrupt controller (RISC-V PLIC Specification 1.0.0). Sources are
 * numbered from 1; a context is one hart in one mode.
 */
#pragma once

#include <hal/types.h>
#include <lib/kerr.h>

#define PLIC_NO_CONTEXT UINT32_MAX

/* Boot CPU: `registers` are mapped; `sources` is the highest source; `context[cpu]` the number of
 * the context that CPU takes its interrupts from. All sources are off afterwards. */
void plic_init(volatile void *registers, size_t size, unsigned sources,
	       const uint32_t context[CPU_MAX]);
/* This CPU takes interrupts of every priority from now on. */
void plic_cpu_init(cpu_t cpu);
/* Delivers `source` to `cpu` only, or to none (CPU_NONE). Any context. */
enum kerr plic_route(unsigned source, cpu_t cpu);
/* The most urgent pending source, now claimed; 0: there is none. IRQs off. */
unsigned plic_claim(cpu_t cpu);
void plic_complete(cpu_t cpu, unsigned source);
