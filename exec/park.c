/*
 * Sleeping and waking: park, unpark, and sleeping for a time.
 *
 * unpark leaves a token, so that one that comes before the park is not lost. To sleep, a thread
 * changes its state first and looks for the token (and signals) after; to wake, the waker leaves
 * the token (or the signal bit) first and looks at the state after. Both sides are sequentially
 * consistent, so at least one of them sees the other. Whoever moves the state back, the thread to
 * RUNNING or exactly one waker to READY, decides; that waker then queues the thread.
 */
#include "sched_private.h"
#include <core/panic.h>
#include <core/rcu.h>
#include <core/wait.h>
#include <exec/signal.h>

#define WAKING_WORK (TASK_WORK_SIGNAL | TASK_WORK_STOP)

bool signal_pending(void)
{
	return atomic_load_explicit(&current_task()->work, memory_order_relaxed) & WAKING_WORK;
}

static inline bool has_reason_to_run(struct thread *t, bool interruptible)
{
	return atomic_load_explicit(&t->task.token, memory_order_seq_cst) ||
	       (interruptible &&
		atomic_load_explicit(&t->task.work, memory_order_seq_cst) & WAKING_WORK);
}

enum kerr thread_park(enum wait_reason reason, bool interruptible, nsec_t deadline,
		      enum thread_state how)
{
	struct thread *t = current_thread();

	sleep_check("sleeping");
	assert(t->task.preempt_count == 0);
	if (atomic_load_explicit(&t->task.token, memory_order_relaxed) &&
	    atomic_exchange_explicit(&t->task.token, 0, memory_order_acq_rel))
		return KERR_OK;
	if (interruptible && signal_pending())
		return KERR_INTR;
	if (deadline != NSEC_NEVER) {
		if (time_now() >= deadline)
			return KERR_TIMEDOUT;
		if (how == THREAD_BLOCKED)
			how = THREAD_SLEEPING;
		timer_set(&t->sleep_timer, deadline);
	}

	bool on = hal.cpu.irq_save();
	t->wait_reason = (uint8_t)reason;
	t->interruptible = interruptible;
	thread_move(t, THREAD_RUNNING, how);
	if (!has_reason_to_run(t, interruptible) || !thread_try_move(t, how, THREAD_RUNNING))
		sched_switch(SWITCH_BLOCKED);
	hal.cpu.irq_restore(on);

	if (deadline != NSEC_NEVER && !timer_cancel(&t->sleep_timer)) {
		atomic_exchange_explicit(&t->task.token, 0, memory_order_acq_rel);
		return KERR_TIMEDOUT;
	}
	atomic_exchange_explicit(&t->task.token, 0, memory_order_acq_rel);
	return KERR_OK;
}

void sched_wake(struct thread *t)
{
	uint8_t state = atomic_load_explicit(&t->state, memory_order_seq_cst);

	if (state != THREAD_BLOCKED && state != THREAD_SLEEPING && state != THREAD_STOPPED)
		return;
	if (thread_try_move(t, state, THREAD_READY))
		sched_place(t, READY_NEW);
}

void sched_unpark(struct task *task)
{
	/* A token that is there already belongs to a waker who looks at the state after us. */
	if (!atomic_exchange_explicit(&task->token, 1, memory_order_seq_cst))
		sched_wake((struct thread *)task);
}

enum kerr sched_park(enum wait_reason reason, bool interruptible, nsec_t deadline)
{
	return thread_park(reason, interruptible, deadline, THREAD_BLOCKED);
}

static enum kerr sleep_step(nsec_t deadline, bool interruptible)
{
	return thread_park(WAIT_TIMER, interruptible, deadline, THREAD_SLEEPING);
}

enum kerr thread_sleep_until(nsec_t deadline, bool interruptible)
{
	enum kerr err;

	do {
		err = sleep_step(deadline, interruptible);
	} while (err == KERR_OK);
	return err == KERR_TIMEDOUT ? KERR_OK : err;
}

void thread_yield(void)
{
	bool on = hal.cpu.irq_save();
	struct thread *t = current_thread();
	cpu_t cpu = t->task.hal.cpu;
	struct runqueue *rq = &runqueues[cpu];

	/* Nobody waits, so whom the policy would choose is known. */
	if (likely(!(READ_ONCE(rq->ready) | READ_ONCE(rq->held)) &&
		   atomic_load_explicit(&t->affinity, memory_order_relaxed) & cpu_bit(cpu)))
		rcu_quiescent(cpu);
	else
		sched_switch(SWITCH_YIELDED);
	hal.cpu.irq_restore(on);
}

void sched_reschedule(bool interrupt)
{
	bool on = hal.cpu.irq_save();

	sched_switch(interrupt ? SWITCH_INTERRUPT : SWITCH_PREEMPTED);
	hal.cpu.irq_restore(on);
}
