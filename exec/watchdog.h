/* The watchdogs, inside exec: what context switch and idle loop tell them. */
#pragma once

#include <core/cpu.h>
#include <exec/watchdog.h>

struct watched_cpu {
	_Atomic bool armed; /* (own CPU writes) its timer is set, or its function runs */
	_Atomic bool asked; /* another CPU wants it to watch */
};
extern struct watched_cpu watched_cpus[CPU_MAX];

void watchdog_arm(cpu_t cpu);

/* This CPU goes from its idle thread to another one. Interrupts off, no lock. */
ALWAYS_INLINE void watchdog_cpu_busy(cpu_t cpu)
{
	if (unlikely(!atomic_load_explicit(&watched_cpus[cpu].armed, memory_order_relaxed)))
		watchdog_arm(cpu);
}

/* It is about to sleep. Interrupts off. */
ALWAYS_INLINE void watchdog_cpu_idle(cpu_t cpu)
{
	if (unlikely(atomic_load_explicit(&watched_cpus[cpu].asked, memory_order_relaxed)))
		watchdog_arm(cpu);
}

/* watchdog_hung.c */
uint32_t watchdog_hung_timeout(void);
void watchdog_hung_set(uint32_t seconds);
uint64_t watchdog_hung_count(void);
enum kerr watchdog_hung_start(void);
