/* The CPUs: which there are, which run, and calling functions on others. */
#pragma once

#include <core/task.h>

extern cpu_t cpu_count;               /* set once at boot: known CPUs, 0 .. cpu_count - 1 */
cpuset_t cpu_online(void);            /* a bit per CPU that runs */
static inline cpuset_t cpu_bit(cpu_t cpu)
{
	return (cpuset_t)1 << cpu;
}

/* Interrupts CPUs so that they look at their work bits. Any context. */
void cpu_kick(cpuset_t cpus);
/* Runs fn(arg) on each of `cpus` in interrupt context, and waits for all. Includes the caller's
 * own if its bit is set. Interrupts on, no spinlock that fn or an interrupt handler takes. */
void cpu_call(cpuset_t cpus, void (*fn)(void *arg), void *arg);
/* Starts the other CPUs; each gets `idle_task(cpu)` to run on. */
void cpu_start_others(const struct boot_info *info, struct task *(*idle_task)(cpu_t cpu));
