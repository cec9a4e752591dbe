/*
 * Figures for /proc: counts, load averages, CPU times, missing system calls.
 *
 * Load averages follow the number of threads that run or wait for a CPU, sampled every five
 * seconds on CPU 0 (the only periodic timer there is), with weights e^(-5/60), e^(-5/300),
 * e^(-5/900) in 11-bit fixed point, as everywhere.
 */
#include "process_private.h"
#include "sched_private.h"

#define LOAD_PERIOD (5 * NSEC_PER_SEC)
#define FIXED_ONE 2048

static struct timer load_timer;
static uint64_t load[3]; /* (CPU 0's timer; others read) */
static _Atomic uint64_t forks;

static uint32_t count_running(void)
{
	uint32_t n = 0;

	for (cpu_t c = 0; c < cpu_count; c++) {
		struct runqueue *rq = &runqueues[c];
		n += READ_ONCE(rq->ready);
		if (rq->idle &&
		    atomic_load_explicit(&rq->current, memory_order_relaxed) != rq->idle)
			n++;
	}
	return n;
}

static void sample(struct timer *timer)
{
	static const uint64_t weight[3] = {1884, 2014, 2037};
	uint64_t active = (uint64_t)count_running() * FIXED_ONE;

	for (int i = 0; i < 3; i++)
		load[i] = (load[i] * weight[i] + active * (FIXED_ONE - weight[i])) / FIXED_ONE;
	timer_set(timer, time_now() + LOAD_PERIOD);
}

void figures_start(void)
{
	timer_init(&load_timer, sample);
	timer_set(&load_timer, time_now() + LOAD_PERIOD);
}

void figures_forked(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

/* The part of a running thread that no switch has charged yet is its own guess: a call that ends
 * meanwhile may be missed. So what was shown once is never taken back (programs compute with
 * differences); the sum is exact. */
void exec_cpu_times(cpu_t cpu, struct cpu_times *out)
{
	struct runqueue *rq = &runqueues[cpu];
	bool on = spin_lock_irq(&rq->lock);
	nsec_t now = time_now(), busy = rq->busy_time, kernel = rq->system_time;
	const struct thread *running = atomic_load_explicit(&rq->current, memory_order_relaxed);

	if (rq->started && running != rq->idle) {
		nsec_t since = READ_ONCE(running->ran_since), entered = READ_ONCE(running->entered);
		busy += now > since ? now - since : 0;
		kernel += READ_ONCE(running->system_time) - READ_ONCE(running->system_charged);
		if (entered != NSEC_NEVER && now > entered)
			kernel += now - entered;
	}
	kernel = MAX(MIN(kernel, busy), rq->shown_system);
	rq->shown_user = MAX(busy - kernel, rq->shown_user);
	rq->shown_system = busy - rq->shown_user;
	*out = (struct cpu_times){.user = rq->shown_user, .system = rq->shown_system};
	if (rq->started && now > rq->started + busy)
		out->idle = now - rq->started - busy;
	spin_unlock_irq(&rq->lock, on);
}

void exec_figures(struct exec_figures *out)
{
	*out = (struct exec_figures){
		.running = count_running(),
		.load = {load[0], load[1], load[2]},
		.forks = atomic_load_explicit(&forks, memory_order_relaxed),
		.last_pid = id_last(),
	};
	for (cpu_t c = 0; c < cpu_count; c++)
		for (unsigned r = 0; r < SWITCH_REASON_COUNT; r++)
			out->context_switches += READ_ONCE(runqueues[c].stats.switches[r]);
	struct process *p;
	for (int pid = 0; (p = process_next(pid)); process_put(p)) {
		pid = p->pid;
		out->threads += READ_ONCE(p->thread_count);
	}
}

/* ---- Missing system calls ---- */

#define MISSING_MAX 64

static struct spinlock missing_lock = SPINLOCK_INIT(RANK_FIGURES, "missing calls");
static struct missing_call missing[MISSING_MAX]; /* (missing_lock) in order of first use */
static size_t missing_used;

void missing_call_count(unsigned long number, const char *name)
{
	bool on = spin_lock_irq(&missing_lock);
	size_t i = 0;

	while (i < missing_used && missing[i].number != number)
		i++;
	if (i < MISSING_MAX) {
		if (i == missing_used)
			missing[missing_used++] =
				(struct missing_call){.number = number, .name = name};
		missing[i].count++;
		missing[i].last_pid = current_process()->pid;
	}
	spin_unlock_irq(&missing_lock, on);
}

bool missing_call_get(size_t index, struct missing_call *out)
{
	bool on = spin_lock_irq(&missing_lock);
	bool found = index < missing_used;

	if (found)
		*out = missing[index];
	spin_unlock_irq(&missing_lock, on);
	return found;
}
