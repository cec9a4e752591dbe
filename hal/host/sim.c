/*
 * HOST_SIMULATED: the CPUs take turns in one host thread. A CPU that has no turn is a saved stack
 * pointer (host_cpu.sp). It loses its turn in wait and relax, and at one point in `interleave`, by
 * the seed. Time is virtual: each point costs some nanoseconds; when all CPUs wait, it jumps to
 * the next deadline. If all wait and no timer is armed, nothing can ever happen again: that is a
 * lost wake-up, and the process dies with a list of what each CPU waits in.
 */
#include "machine.h"

#include <lib/format.h>
#include <lib/string.h>

#define POINT_COST 50 /* ns; some 100 instructions */

static bool can_run(struct host_cpu *cpu)
{
	return cpu->started && !cpu->stopped && (!cpu->waiting || host_is_pending(cpu));
}

static void timers_check(void)
{
	for (cpu_t i = 0; i < host.config.cpus; i++) {
		struct host_cpu *cpu = &host.cpus[i];
		if (cpu->deadline > host.time)
			continue;
		cpu->deadline = NSEC_NEVER;
		host_pend(cpu, PENDING_TIMER);
	}
}

/* Another CPU that can run, by chance; null: there is none. */
static struct host_cpu *pick_other(const struct host_cpu *self)
{
	cpu_t n = host.config.cpus, first = (cpu_t)(host_random() % n);

	for (cpu_t i = 0; i < n; i++) {
		struct host_cpu *cpu = &host.cpus[(first + i) % n];
		if (cpu != self && can_run(cpu))
			return cpu;
	}
	return nullptr;
}

static void turn_to(struct host_cpu *to)
{
	struct host_cpu *from = host_self();

	from->counters.cpu_changes++;
	host_self_set(to);
	host_switch(&from->sp, to->sp, nullptr, to->current);
}

static void turn_to_other(void)
{
	struct host_cpu *other = host.config.cpus > 1 ? pick_other(host_self()) : nullptr;

	if (other)
		turn_to(other);
}

void host_sim_point(void)
{
	struct host_cpu *cpu = host_self();

	cpu->counters.points++;
	host.time += POINT_COST;
	if (host.config.spurious && host_random() % host.config.spurious == 0)
		host_pend(cpu, PENDING_TIMER);
	timers_check();
	if (host.config.interleave && host_random() % host.config.interleave == 0)
		turn_to_other();
}

void host_sim_relax(void)
{
	host.time += POINT_COST;
	timers_check();
	turn_to_other();
}

[[noreturn]] static void deadlock(void)
{
	char text[1024];
	size_t used = 0;

	for (cpu_t i = 0; i < host.config.cpus && used < sizeof(text); i++) {
		struct host_cpu *cpu = &host.cpus[i];
		used += (size_t)format(text + used, sizeof(text) - used, " CPU %u %s;", i,
				       !cpu->started  ? "not started"
				       : cpu->stopped ? "stopped"
						      : "waits");
	}
	host_die("deadlock: nothing can happen any more:%s no timer is armed", text);
}

/* All CPUs wait: on to the next deadline. */
static void time_jump(void)
{
	nsec_t next = NSEC_NEVER;

	for (cpu_t i = 0; i < host.config.cpus; i++)
		if (host.cpus[i].started && !host.cpus[i].stopped)
			next = MIN(next, host.cpus[i].deadline);
	if (next == NSEC_NEVER)
		deadlock();
	host.time = MAX(host.time, next);
	timers_check();
}

void host_sim_wait(struct host_cpu *cpu)
{
	cpu->waiting = true;
	timers_check();
	while (!host_is_pending(cpu)) {
		struct host_cpu *other = pick_other(cpu);
		if (other)
			turn_to(other);
		else
			time_jump();
	}
	cpu->waiting = false;
}

static void cpu_first(struct hal_thread *prev, void *arg)
{
	core_cpu_main();
}

void host_sim_start(struct host_cpu *cpu)
{
	host_cpu_thread_init(cpu->idle, cpu_first, nullptr);
	cpu->sp = cpu->idle->kernel_sp;
}

void host_sim_halt(struct host_cpu *cpu)
{
	for (;;) {
		struct host_cpu *other = pick_other(cpu);
		if (other)
			turn_to(other);
		else
			time_jump();
	}
}

void host_time_advance(nsec_t time)
{
	host.time += time;
	timers_check();
}
