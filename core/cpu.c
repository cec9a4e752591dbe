/*
 * The CPUs, and calls between them.
 *
 * A CPU has one outstanding call at a time (calls[cpu]); it posts its bit into the inbox of each
 * target and interrupts those whose inbox was empty: at most one interrupt a CPU a call. Targets
 * run the function and clear their bit in `pending`. While the caller waits it serves its own inbox,
 * so two CPUs that call each other do not wait forever.
 */
#include "core_private.h"
#include <core/cpu.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/rcu.h>
#include <core/upcalls.h>
#include <hal/upcall.h>

cpu_t cpu_count RO_AFTER_INIT = 1;

static _Atomic cpuset_t online;

static struct call {
	void (*fn)(void *arg);  /* (the CPU's own, constant while pending) */
	void *arg;
	_Atomic cpuset_t pending;
} ALIGNED(64) calls[CPU_MAX];

static struct inbox {
	_Atomic cpuset_t from;
} ALIGNED(64) inboxes[CPU_MAX];

cpuset_t cpu_online(void)
{
	return atomic_load_explicit(&online, memory_order_relaxed);
}

void cpu_boot(const struct boot_info *info)
{
	cpu_count = (cpu_t)MIN(info->cpu_count, (size_t)CPU_MAX);
	if (cpu_count == 0)
		cpu_count = 1;
	if (info->cpu_count > CPU_MAX)
		log_warn("cpu: %zu CPUs found, %d are used", info->cpu_count, CPU_MAX);
	atomic_store(&online, cpu_bit(0));
}

void cpu_kick(cpuset_t cpus)
{
	if (cpus)
		hal.smp.ipi(cpus);
}

/* Runs what others asked of this CPU. Interrupts or preemption off. */
bool cpu_service_calls(void)
{
	cpu_t self = cpu_id();
	cpuset_t from = atomic_exchange_explicit(&inboxes[self].from, 0, memory_order_acquire);

	for (cpuset_t left = from; left; left &= left - 1) {
		struct call *c = &calls[__builtin_ctzll(left)];
		c->fn(c->arg);
		atomic_fetch_and_explicit(&c->pending, ~cpu_bit(self), memory_order_release);
	}
	return from != 0;
}

void cpu_call(cpuset_t cpus, void (*fn)(void *arg), void *arg)
{
	preempt_disable();
	cpu_t self = cpu_id();
	cpuset_t others = cpus & cpu_online() & ~cpu_bit(self), interrupt = 0;
	struct call *c = &calls[self];

	c->fn = fn;
	c->arg = arg;
	atomic_store_explicit(&c->pending, others, memory_order_release);
	for (cpuset_t left = others; left; left &= left - 1) {
		cpu_t cpu = (cpu_t)__builtin_ctzll(left);
		if (atomic_fetch_or_explicit(&inboxes[cpu].from, cpu_bit(self),
					     memory_order_acq_rel) == 0)
			interrupt |= cpu_bit(cpu);
	}
	cpu_kick(interrupt);
	if (cpus & cpu_bit(self)) {
		bool on = hal.cpu.irq_save();
		fn(arg);
		hal.cpu.irq_restore(on);
	}
	while (atomic_load_explicit(&c->pending, memory_order_acquire)) {
		bool on = hal.cpu.irq_save();
		bool served = cpu_service_calls();
		hal.cpu.irq_restore(on);
		if (!served)
			hal.cpu.relax();
	}
	preempt_enable();
}

void core_ipi(void)
{
	cpu_service_calls();
	if (rcu_waits_for(cpu_id()))
		atomic_fetch_or_explicit(&current_task()->work, TASK_WORK_RESCHEDULE,
					 memory_order_relaxed);
}

void cpu_start_others(const struct boot_info *info, struct task *(*idle_task)(cpu_t cpu))
{
	for (cpu_t cpu = 1; cpu < cpu_count; cpu++) {
		struct task *idle = idle_task(cpu);
		if (!idle) {
			log_error("cpu %u: no memory for its idle thread, not started", cpu);
			continue;
		}
		idle->hal.cpu = cpu;
		enum kerr err = hal.smp.start(cpu, &idle->hal);
		if (err != KERR_OK)
			log_error("cpu %u (hardware id %#lx) does not start: %s", cpu,
				  (unsigned long)info->cpus[cpu].hardware_id, kerr_name(err));
	}
}

void core_cpu_main(void)
{
	cpu_t cpu = cpu_id();

	hal.platform.cpu_init(cpu);
	atomic_fetch_or(&online, cpu_bit(cpu));
	log_debug("cpu %u: online", cpu);
	upcalls.run_idle();
}
