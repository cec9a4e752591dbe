/*
 * The context switch.
 *
 * A CPU's run queue is locked while its next thread is chosen, not across the switch itself. What
 * keeps a thread from being run by two CPUs is thread.on_cpu: set (under the lock) when a CPU
 * picks it, cleared by whoever runs next there, once its registers are all saved. Until then it may
 * be queued on that one CPU only (which cannot pick it before it has finished this switch).
 *
 * Who may queue a thread: the CPU it ran on, if it is RUNNING in sched_switch(); otherwise only
 * who moved it from a sleeping state to READY (one atomic exchange: exec/park.c). So a wake-up
 * that races with going to sleep needs no second lock.
 *
 * Cost: one lock, one clock reading, two calls into the policy; the address space is changed only
 * when it differs, the FPU as fpu.c tells. Rejected: handing the lock over to the next thread, which
 * saves nothing here and needs every new thread to start with a held lock.
 */
#include "sched_private.h"
#include "watchdog.h"
#include <core/panic.h>
#include <core/rcu.h>
#include <exec/process.h>

struct runqueue runqueues[CPU_MAX] = {
	[0 ... CPU_MAX - 1] = {.lock = SPINLOCK_INIT(RANK_RUNQUEUE, "run queue"),
			       .slice_due = NSEC_NEVER},
};

static inline void fpu_before(struct runqueue *rq, struct thread *prev, struct thread *next,
			      enum switch_reason reason)
{
	fpu_switch(rq, next, prev->task.hal.cpu);
}

/* Charges the running thread for the time since it got the CPU or was charged last. A system
 * call in progress is charged up to now, too. */
static inline void charge(struct runqueue *rq, struct thread *t, nsec_t now)
{
	nsec_t ran = now - t->ran_since;

	t->run_time += ran;
	t->ran_since = now;
	t->slice_left = t->slice_left > ran ? t->slice_left - ran : 0;
	if (t->entered != NSEC_NEVER) {
		t->system_time += now - t->entered;
		t->entered = now;
	}
	rq->system_time += t->system_time - t->system_charged;
	t->system_charged = t->system_time;
	rq->busy_time += ran;
}

/* ---- Hooks (TH-6): what is done at each change from one thread to another ---- */

struct switch_hook {
	const char *name;
	/* On prev's stack, interrupts off, no lock. */
	void (*before)(struct runqueue *rq, struct thread *prev, struct thread *next,
		       enum switch_reason reason);
	/* On next's stack; prev may be another one than before: who ran here last. Null: nothing. */
	void (*after)(struct thread *prev);
};

static inline void counters_before(struct runqueue *rq, struct thread *prev, struct thread *next,
				   enum switch_reason reason)
{
	rq->stats.switches[reason]++;
	prev->switches[reason]++;
}

static inline void aspace_before(struct runqueue *rq, struct thread *prev, struct thread *next,
				 enum switch_reason reason)
{
	struct aspace *as = next->process->aspace;

	if (as != rq->aspace) {
		rq->aspace = as;
		aspace_activate(as);
	}
}

/* From here on prev may run elsewhere, unless it is ours to bury or to place. */
static inline void release_after(struct thread *prev)
{
	if (unlikely(atomic_load_explicit(&prev->state, memory_order_relaxed) == THREAD_ZOMBIE)) {
		thread_bury(prev);
		return;
	}
	bool migrate = prev->migrate;

	prev->migrate = false;
	atomic_store_explicit(&prev->on_cpu, false, memory_order_release);
	if (unlikely(migrate))
		sched_place(prev, READY_NEW);
}

/* In this order. The table is const, so a release build calls nothing through it. The TLS pointer is
 * moved by hal.cpu.switch_to, with the registers; CPU times are charged under the lock. */
static const struct switch_hook hooks[] = {
	{"counters", counters_before, nullptr},
	{"address space", aspace_before, nullptr},
	{"fpu", fpu_before, nullptr},
	{"release", nullptr, release_after},
};

ALWAYS_INLINE void hooks_before(struct runqueue *rq, struct thread *prev, struct thread *next,
				enum switch_reason reason)
{
#pragma clang loop unroll(full)
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		if (hooks[i].before)
			hooks[i].before(rq, prev, next, reason);
}

void sched_switch_finish(struct thread *prev)
{
#pragma clang loop unroll(full)
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		if (hooks[i].after)
			hooks[i].after(prev);
}

/* ---- The switch ---- */

/* What becomes of a thread that gives the CPU up. Lock held. */
static inline void leave(struct runqueue *rq, const struct scheduler_ops *policy,
			 struct thread *prev, cpu_t cpu, nsec_t now, enum switch_reason reason)
{
	if (reason == SWITCH_BLOCKED) {
		POLICY_CALL(policy, thread_block, cpu, prev);
	} else if (unlikely(reason == SWITCH_EXIT)) {
		POLICY_CALL(policy, exit_thread, cpu, prev);
	} else if (prev != rq->idle) {
		thread_move(prev, THREAD_RUNNING, THREAD_READY);
		if (unlikely(!(atomic_load_explicit(&prev->affinity, memory_order_relaxed) &
			       cpu_bit(cpu)))) {
			prev->migrate = true;
			return;
		}
		if (reason == SWITCH_YIELDED)
			POLICY_CALL(policy, yield, cpu, prev);
		prev->ready_since = now;
		WRITE_ONCE(prev->queued_on, cpu);
		rq->ready++;
		POLICY_CALL(policy, thread_ready, cpu, prev,
			    reason == SWITCH_YIELDED ? READY_YIELDED : READY_PREEMPTED);
	}
}

void sched_switch(enum switch_reason reason)
{
	struct thread *prev = current_thread();
	cpu_t cpu = prev->task.hal.cpu;
	struct runqueue *rq = &runqueues[cpu];

	spin_acquire(&rq->lock);
	nsec_t now = time_now(); /* under the lock: exec_cpu_times() never sees it go back */
	if (prev != rq->idle)
		charge(rq, prev, now);
	/* Who is queued again before it has gone may have been asked to leave by whoever queued it. */
	if (atomic_load_explicit(&prev->task.work, memory_order_relaxed) & TASK_WORK_RESCHEDULE &&
	    likely(reason != SWITCH_BLOCKED || READ_ONCE(prev->queued_on) != cpu))
		atomic_fetch_and_explicit(&prev->task.work, ~TASK_WORK_RESCHEDULE,
					  memory_order_relaxed);
	const struct scheduler_ops *policy = rq->policy;
	leave(rq, policy, prev, cpu, now, reason);
	struct thread *next = POLICY_CALL(policy, pick_next, cpu);
	if (next) {
		WRITE_ONCE(next->queued_on, CPU_NONE);
		rq->ready--;
		if (next->ready_since) {
			next->wait_time += now - next->ready_since;
			next->ready_since = 0;
		}
		thread_move(next, THREAD_READY, THREAD_RUNNING);
	} else {
		next = rq->idle;
	}
	next->ran_since = now;
	nsec_t slice = NSEC_NEVER;
	if (!rq->slice_armed && (rq->ready | rq->held))
		slice = sched_slice(rq, policy, cpu, next, 0);
	if (next->entered != NSEC_NEVER)
		next->entered = now; /* its call goes on */
	atomic_store_explicit(&rq->current, next, memory_order_relaxed);
	atomic_store_explicit(&next->on_cpu, true, memory_order_relaxed);
	/* Against thread_notify: it sees that `next` runs, or `next` sees its work bits. */
	atomic_thread_fence(memory_order_seq_cst);
	spin_release(&rq->lock);

	rcu_quiescent(cpu);
	if (slice != NSEC_NEVER)
		sched_slice_arm(rq, slice);
	if (next == prev)
		return;
	if (prev == rq->idle)
		watchdog_cpu_busy(cpu);
	hooks_before(rq, prev, next, reason);
	next->task.hal.cpu = cpu;
	struct hal_thread *last = hal.cpu.switch_to(&prev->task.hal, &next->task.hal);
	sched_switch_finish((struct thread *)last);
}
