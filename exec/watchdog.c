/*
 * Lockup watchdogs: a CPU that stays in code with preemption off (soft), and one that takes no
 * interrupts (hard).
 *
 * A CPU that leaves its idle thread sets a timer of its own, a quarter of the threshold ahead; it is set
 * again as long as the CPU is busy. So an idle machine has no tick, and a busy CPU an interrupt
 * every few seconds.
 *
 * Soft: at each beat the CPU looks whether the grace period of rcu (core/sync/rcu.c) that waited for
 * it at the last beat still does. A grace period is what every CPU ends by passing the scheduler,
 * idling or returning to user mode, so no counter is needed on those paths; each beat makes sure that
 * one is under way. From the first miss on the beats come faster (STEPS in a threshold), and STEPS
 * misses in a row are a lockup. The CPU itself logs what it interrupted.
 *
 * Hard: a CPU that is busy asks the next one to watch it, which sets its own timer even if it idles. If
 * the beat of the watched one is overdue, the watcher counts its own beats, fast, in the same way.
 * It tells which thread runs there, and where, if the machine has an interrupt for that which cannot be
 * masked (hal.smp.sample).
 *
 * Time: what counts is beats, not the clock. A virtual CPU that its host does not let run, or an emulator
 * that stands still, has no beats either, and after it one, however late; so slowness scales the
 * threshold by itself.
 *
 * Locks: none. A CPU's state is its own, but for the flags that say so.
 *
 * Rejected: a thread per CPU that must run now and then (a switch for each check, and it says nothing
 * of a CPU whose interrupts are off); a time stamp in each context switch.
 */
#include "watchdog.h"
#include "process_private.h"
#include "sched_private.h"

#include <core/cmdline.h>
#include <core/guard.h>
#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/rcu.h>
#include <core/time.h>
#include <exec/process.h>
#include <lib/format.h>
#include <mm/kmap.h>

#define THRESH_DEFAULT 10u
#define STEPS 20u
#define FRAMES_MAX 16u

struct watched_cpu watched_cpus[CPU_MAX];

static struct beat {
	struct timer timer;         /* (own CPU) */
	struct rcu_head probe;      /* (own CPU) makes a grace period */
	_Atomic bool probing;       /* `probe` is with rcu */
	_Atomic uint64_t beats;     /* (own CPU writes) */
	_Atomic nsec_t due;         /* (own CPU writes) when the next one is */
	uint64_t period;            /* (own CPU) the grace period that waited for it */
	bool lagging;               /* (own CPU) it did at the last beat */
	uint32_t missed;            /* (own CPU) beats in a row in which it did not end */
	/* Of the CPU that this one watches: */
	uint64_t seen;              /* (own CPU) its beats */
	uint32_t overdue;           /* (own CPU) own beats since it should have had one */
} ALIGNED(64) beats[CPU_MAX];

static _Atomic uint32_t thresh = THRESH_DEFAULT;
static _Atomic uint64_t soft_lockups, hard_lockups;

/* The CPU that watches `cpu`, or the one that `cpu` watches (forward = false). */
static cpu_t neighbour(cpu_t cpu, bool forward)
{
	cpuset_t others = atomic_load_explicit(&sched_online, memory_order_relaxed) & ~cpu_bit(cpu);
	cpuset_t above = others & ~(cpu_bit(cpu) | (cpu_bit(cpu) - 1));
	cpuset_t below = others & (cpu_bit(cpu) - 1);

	if (!others)
		return CPU_NONE;
	if (forward)
		return (cpu_t)__builtin_ctzll(above ? above : below);
	return (cpu_t)(63 - __builtin_clzll(below ? below : above));
}

static bool is_busy(cpu_t cpu)
{
	const struct runqueue *rq = &runqueues[cpu];

	return rq->idle && atomic_load_explicit(&rq->current, memory_order_relaxed) != rq->idle;
}

static void ask_neighbour(cpu_t cpu)
{
	cpu_t other = neighbour(cpu, true);

	if (other == CPU_NONE ||
	    atomic_load_explicit(&watched_cpus[other].armed, memory_order_relaxed) ||
	    atomic_exchange_explicit(&watched_cpus[other].asked, true, memory_order_relaxed))
		return;
	cpu_kick(cpu_bit(other));
}

static void set_beat(struct beat *b, nsec_t span)
{
	nsec_t due = time_now() + span;

	atomic_store_explicit(&b->due, due, memory_order_relaxed);
	timer_set(&b->timer, due);
}

static void probe_done(struct rcu_head *head)
{
	atomic_store(&container_of(head, struct beat, probe)->probing, false);
}

/* A CPU that takes no interrupts: where it is, if the machine can tell. Its thread cannot end
 * meanwhile: that takes the tree's lock, which is tried only, for the stuck one may hold it. */
static void sample_runner(cpu_t cpu)
{
	struct hal_unwind u;
	vaddr_t frames[FRAMES_MAX];
	unsigned count = 0;
	char text[200];
	bool kernel;

	if (!hal.smp.sample(cpu, &u, &kernel) || !kernel)
		return;
	frames[count++] = u.ip;
	if (spin_try_lock(&process_tree_lock)) {
		const struct thread *t =
			atomic_load_explicit(&runqueues[cpu].current, memory_order_relaxed);
		vaddr_t low = t ? (vaddr_t)t->stack : 0;
		while (low && count < FRAMES_MAX && hal.cpu.unwind(&u, low, low + KSTACK_SIZE))
			frames[count++] = u.ip - 1;
		spin_unlock(&process_tree_lock);
	}
	for (unsigned i = 0; i < count; i++) {
		int used = format(text, sizeof(text), "  #%-2u ", i);
		symbol_format(frames[i], text + used, sizeof(text) - (size_t)used);
		log_error("%s", text);
	}
}

static void describe_runner(cpu_t cpu)
{
	rcu_read_lock();
	const struct thread *t =
		atomic_load_explicit(&runqueues[cpu].current, memory_order_relaxed);
	if (t) {
		log_error("watchdog: cpu %u runs thread %d \"%s\" of process %d", cpu, t->tid,
			  t->task.name, t->process->pid);
#if defined(TERN_DEBUG)
		for (unsigned i = 0; i < MIN(t->task.lock_count, TASK_LOCKS_MAX); i++) {
			const struct spinlock *l = READ_ONCE(t->task.locks[i]);
			if (l)
				log_error("watchdog: it holds lock %s", l->name);
		}
#endif
	}
	rcu_read_unlock();
}

/* Interrupt context on the CPU itself. True: it has not passed since the last beat. */
static bool check_own(struct beat *b, cpu_t cpu, uint32_t seconds)
{
	bool waits = rcu_waits_for(cpu);
	uint64_t period = rcu_period();
	bool stuck = waits && b->lagging && b->period == period;

	b->missed = stuck ? b->missed + 1 : 0;
	b->lagging = waits;
	b->period = period;
	if (waits) /* as core_ipi: what can be preempted passes at the end of this interrupt */
		atomic_fetch_or_explicit(&current_task()->work, TASK_WORK_RESCHEDULE,
					 memory_order_relaxed);
	else if (!atomic_exchange(&b->probing, true))
		rcu_call(&b->probe, probe_done);
	if (b->missed == STEPS) {
		log_error("watchdog: soft lockup: cpu %u has not passed the scheduler for %u s",
			  cpu, seconds);
		describe_runner(cpu);
		backtrace_log_interrupted();
		atomic_fetch_add(&soft_lockups, 1);
	}
	return stuck;
}

/* The CPU that this one watches. True: its beat is overdue. */
static bool check_other(struct beat *b, cpu_t other, nsec_t step, uint32_t seconds)
{
	const struct beat *o = &beats[other];
	uint64_t count = atomic_load_explicit(&o->beats, memory_order_relaxed);

	if (!atomic_load_explicit(&watched_cpus[other].armed, memory_order_relaxed) ||
	    count != b->seen ||
	    time_now() < atomic_load_explicit(&o->due, memory_order_relaxed) + step) {
		b->seen = count;
		b->overdue = 0;
		return false;
	}
	if (++b->overdue == STEPS) {
		log_error("watchdog: hard lockup: cpu %u has taken no interrupt for %u s", other,
			  seconds);
		describe_runner(other);
		sample_runner(other);
		atomic_fetch_add(&hard_lockups, 1);
	}
	return true;
}

/* Interrupt context on the CPU of the timer. */
static void beat(struct timer *timer)
{
	struct beat *b = container_of(timer, struct beat, timer);
	cpu_t cpu = cpu_id(), other = neighbour(cpu, false);
	uint32_t seconds = atomic_load_explicit(&thresh, memory_order_relaxed);
	nsec_t step = seconds * NSEC_PER_SEC / STEPS;
	bool busy = is_busy(cpu), suspect = false;

	guard_watch();
	atomic_fetch_add_explicit(&b->beats, 1, memory_order_relaxed);
	if (seconds == 0) {
		atomic_store(&watched_cpus[cpu].armed, false);
		return;
	}
	if (busy)
		suspect = check_own(b, cpu, seconds) || b->lagging;
	else
		b->lagging = false;
	if (other != CPU_NONE && is_busy(other)) {
		busy = true;
		suspect |= check_other(b, other, step, seconds);
	}
	if (!busy) {
		atomic_store(&watched_cpus[cpu].armed, false);
		return;
	}
	if (is_busy(cpu))
		ask_neighbour(cpu);
	set_beat(b, suspect ? step : step * (STEPS / 4));
}

/* Interrupts off. */
void watchdog_arm(cpu_t cpu)
{
	struct beat *b = &beats[cpu];
	uint32_t seconds = atomic_load_explicit(&thresh, memory_order_relaxed);

	atomic_store_explicit(&watched_cpus[cpu].asked, false, memory_order_relaxed);
	if (seconds == 0 || atomic_load(&watched_cpus[cpu].armed))
		return;
	atomic_store(&watched_cpus[cpu].armed, true);
	if (!atomic_load_explicit(&b->beats, memory_order_relaxed))
		timer_init(&b->timer, beat);
	b->lagging = false;
	b->missed = b->overdue = 0;
	set_beat(b, seconds * NSEC_PER_SEC / 4);
	if (is_busy(cpu))
		ask_neighbour(cpu);
}

/* ---- Settings ---- */

void watchdog_settings(struct watchdog_settings *out)
{
	out->thresh = atomic_load(&thresh);
	out->hung_timeout = watchdog_hung_timeout();
}

enum kerr watchdog_configure(const struct watchdog_settings *s)
{
	if (s->thresh > WATCHDOG_SECONDS_MAX || s->hung_timeout > WATCHDOG_SECONDS_MAX)
		return KERR_INVAL;
	atomic_store(&thresh, s->thresh);
	watchdog_hung_set(s->hung_timeout);
	return KERR_OK;
}

void watchdog_figures(struct watchdog_figures *out)
{
	*out = (struct watchdog_figures){
		.soft_lockups = atomic_load(&soft_lockups),
		.hard_lockups = atomic_load(&hard_lockups),
		.hung_tasks = watchdog_hung_count(),
	};
}

static enum kerr watchdog_init(const struct boot_info *info)
{
	struct watchdog_settings s;

	watchdog_settings(&s);
	s.thresh = (uint32_t)MIN(cmdline_u64("watchdog_thresh", s.thresh), (uint64_t)UINT32_MAX);
	s.hung_timeout = (uint32_t)MIN(cmdline_u64("hung_task_timeout_secs", s.hung_timeout),
				       (uint64_t)UINT32_MAX);
	if (watchdog_configure(&s) != KERR_OK)
		log_warn("watchdog: times are 0 to %u s", WATCHDOG_SECONDS_MAX);
	return KERR_OK;
}

static enum kerr watchdog_stop(void)
{
	static const struct watchdog_settings off;

	return watchdog_configure(&off); /* what is armed ends by itself */
}

static const struct init_ops watchdog_ops = {
	.init = watchdog_init, .start = watchdog_hung_start, .stop = watchdog_stop};
INIT_SUBSYSTEM(watchdog, .phase = INIT_RUNTIME, .priority = -200, .optional = true,
	       .requires = INIT_SCHEDULER | INIT_TIMERS, INIT_DEPENDS("scheduler"),
	       .ops = &watchdog_ops);
