/*
 * Read-copy-update in its simplest form: a reader has preemption off; what it may still see is
 * freed after every CPU has passed through the scheduler, user mode or idle once.
 */
#pragma once

#include <core/task.h>

struct rcu_head {
	struct rcu_head *next;
	void (*fn)(struct rcu_head *head);
};

ALWAYS_INLINE void rcu_read_lock(void)
{
	preempt_disable();
}

ALWAYS_INLINE void rcu_read_unlock(void)
{
	preempt_enable();
}

/* Calls fn(head) after a grace period, from thread or interrupt context, interrupts maybe off: fn frees memory and
 * does nothing else. Any context. */
void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head));
/* Waits for a grace period; sleeps. */
void rcu_synchronize(void);
/* The scheduler calls this at each context switch and idle entry, the trap exit to user mode
 * and the timer interrupt from user mode or idle too: this CPU holds no reference now. */
void rcu_quiescent(cpu_t cpu);
/* A grace period waits for this CPU. */
bool rcu_waits_for(cpu_t cpu);
/* The number of the grace period: if it is the same and still waits for a CPU, that has not passed. */
uint64_t rcu_period(void);
