/*
 * Interrupts: bits of host_cpu.pending that are looked at when interrupts are turned on, in
 * hal.cpu.relax and wait, and, where the seed asks for it, at each hal.cpu.current. Handlers run on
 * the interrupted thread's stack as a plain call, so core_irq_exit may switch threads inside.
 */
#include "machine.h"

static void deliver_lines(struct host_cpu *cpu)
{
	uint32_t lines = atomic_exchange(&cpu->lines, 0);

	while (lines) {
		unsigned line = (unsigned)__builtin_ctz(lines);
		lines &= lines - 1;
		core_irq(line);
	}
}

static void deliver_console(void)
{
	char bytes[64];
	size_t count = host_console_take(bytes, sizeof(bytes));

	if (count > 0)
		core_console_input(bytes, count);
}

/* Interrupts off; returns with them off, maybe on another CPU. */
static void deliver(struct host_cpu *cpu, struct hal_frame *frame, bool from_user)
{
	uint32_t bits = atomic_exchange(&cpu->pending, 0);

	if (bits & PENDING_STOP)
		host_cpu_halt();
	if (!bits)
		return;
	if (cpu->irq_on)
		host_die("an interrupt is taken with interrupts on");
	cpu->counters.interrupts++;
	core_irq_enter();
	if (bits & PENDING_IPI)
		core_ipi();
	if (bits & PENDING_TIMER)
		core_timer();
	if (bits & PENDING_LINE)
		deliver_lines(cpu);
	if (bits & PENDING_CONSOLE)
		deliver_console();
	core_irq_exit(frame, from_user); /* may come back on another CPU */
	if (host_self()->irq_on)
		host_die("core_irq_exit returned with interrupts on");
}

void host_point(void)
{
	if (host.points_off)
		return;
	if (host_is_simulated())
		host_sim_point();
	else
		host_threads_point(host_self());
	struct host_cpu *cpu = host_self();
	while (cpu->irq_on && host_is_pending(cpu)) {
		struct hal_frame frame = {};
		cpu->irq_on = false;
		deliver(cpu, &frame, false);
		cpu = host_self();
		cpu->irq_on = true;
	}
}

void host_user_point(struct hal_frame *frame)
{
	if (host_is_simulated())
		host_sim_point();
	else
		host_threads_point(host_self());
	while (host_is_pending(host_self()))
		deliver(host_self(), frame, true);
}

void host_pend(struct host_cpu *cpu, uint32_t bits)
{
	atomic_fetch_or(&cpu->pending, bits);
	if (!host_is_simulated())
		host_threads_wake(cpu);
}

bool host_irq_save(void)
{
	struct host_cpu *cpu = host_self();
	bool on = cpu->irq_on;

	cpu->irq_on = false;
	return on;
}

void host_irq_restore(bool on)
{
	if (!on)
		return;
	struct host_cpu *cpu = host_self();
	cpu->irq_on = true;
	if (host_is_simulated() || unlikely(host_threads_point(cpu)))
		host_point();
}

void host_cpu_relax(void)
{
	if (!host_is_simulated())
		host_threads_relax();
	else if (!host.points_off)
		host_sim_relax();
	host_point();
}

void host_cpu_wait(void)
{
	struct host_cpu *cpu = host_self();
	struct hal_frame frame = {};

	if (cpu->irq_on)
		host_die("hal.cpu.wait with interrupts on");
	if (host_is_simulated())
		host_sim_wait(cpu);
	else
		host_threads_wait(cpu);
	deliver(host_self(), &frame, false);
}

nsec_t host_timer_now(void)
{
	if (!host_is_simulated())
		return host_threads_now();
	host.time += 20; /* so that a loop that waits for a time ends */
	return host.time;
}

void host_timer_arm(nsec_t deadline)
{
	struct host_cpu *cpu = host_self();

	cpu->deadline = deadline;
	if (deadline != NSEC_NEVER && deadline <= host_timer_now()) {
		cpu->deadline = NSEC_NEVER;
		host_pend(cpu, PENDING_TIMER);
	}
}

enum kerr host_irq_route(unsigned line, enum irq_trigger trigger, cpu_t cpu)
{
	if (line >= HOST_LINES)
		return KERR_INVAL;
	atomic_store(&host.line_cpu[line], cpu);
	return KERR_OK;
}

void host_irq_raise(unsigned line)
{
	cpu_t cpu = atomic_load(&host.line_cpu[line]);

	if (cpu == CPU_NONE)
		return;
	atomic_fetch_or(&host.cpus[cpu].lines, 1u << line);
	host_pend(&host.cpus[cpu], PENDING_LINE);
}

/* ---- Other CPUs ----------------------------------------------------------------------------- */

enum kerr host_smp_start(cpu_t index, struct hal_thread *idle)
{
	if (index >= host.config.cpus || host.cpus[index].started)
		return KERR_INVAL;
	struct host_cpu *cpu = &host.cpus[index];
	struct host_cpu *self = host_self();
	cpu->idle = idle;
	cpu->current = idle;
	cpu->root = cpu->kernel_root = self->kernel_root;
	cpu->started = true;
	if (!host_is_simulated())
		return host_threads_start(cpu);
	host_sim_start(cpu);
	return KERR_OK;
}

void host_smp_ipi(cpuset_t cpus)
{
	struct host_cpu *self = host_self();

	for (; cpus; cpus &= cpus - 1) {
		cpu_t target = (cpu_t)__builtin_ctzll(cpus);
		if (target == self->index || target >= host.config.cpus)
			host_die("ipi from CPU %u to CPU %u of %u", self->index, target,
				 host.config.cpus);
		self->counters.ipis++;
		host_pend(&host.cpus[target], PENDING_IPI);
	}
	if (host.config.interleave)
		host_point();
}

/* Simulated CPUs take turns. */
bool host_smp_sample(cpu_t cpu, struct hal_unwind *out, bool *kernel)
{
	return false;
}

void host_smp_stop_others(void)
{
	struct host_cpu *self = host_self();

	for (cpu_t i = 0; i < host.config.cpus; i++) {
		if (&host.cpus[i] == self || !host.cpus[i].started)
			continue;
		if (host_is_simulated())
			host.cpus[i].stopped = true;
		else
			host_pend(&host.cpus[i], PENDING_STOP);
	}
}

void host_cpu_halt(void)
{
	struct host_cpu *cpu = host_self();

	cpu->stopped = true;
	cpu->irq_on = false;
	if (host_is_simulated())
		host_sim_halt(cpu);
	for (;;)
		pthread_exit(nullptr);
}
