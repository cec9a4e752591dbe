/*
 * What core knows of a thread: the schedulable identity. exec's struct thread starts with one;
 * before the scheduler runs, each CPU has a bare one. The running task is one load away
 * (hal.cpu.current), its CPU one more.
 */
#pragma once

#include <hal/hal.h>
#include <lib/compiler.h>
#include <stdatomic.h>

/* Bits of task.work: what must be done before the task returns to user mode; RESCHEDULE also
 * at the next point where kernel code can be preempted. Set by anybody, cleared by the task. */
#define TASK_WORK_RESCHEDULE 0x1u
#define TASK_WORK_SIGNAL 0x2u
#define TASK_WORK_STOP 0x4u /* stop or exit was asked for */
#define TASK_WORK_EDGE                                                                             \
	0x8u /* to be switched out where it holds nothing: at the edge to user mode */

/* Priorities (TH-5): 0 to 139, higher first; 100 and above are real-time. */
#define PRIORITY_IDLE 0
#define PRIORITY_LOW 30
#define PRIORITY_NORMAL 60
#define PRIORITY_HIGH 90
#define PRIORITY_REALTIME_MIN 100 /* from here on they preempt the rest under every policy */
#define PRIORITY_REALTIME 120
#define PRIORITY_CRITICAL 139
#define PRIORITY_COUNT 140

#define TASK_LOCKS_MAX 12

/* Where memory should come from; all zero: the nearest node first. Values: mm/policy.h. */
struct memory_policy {
	uint8_t mode;    /* enum policy_mode */
	uint8_t home;    /* 1 + the node whose neighbours come first; 0: the CPU's */
	bool active;     /* changes where frames come from: never on a machine with one node */
	uint8_t unused;  /* zero, as policies are compared as a whole */
	uint16_t flags;  /* POLICY_STATIC, ... */
	uint16_t nodes;  /* a bit a node: those it means */
	uint64_t asked;  /* those that the program named */
};
static_assert(sizeof(struct memory_policy) == 16);

struct task_memory { /* (own; policy is read by others) */
	struct memory_policy policy;
	const struct memory_policy *place; /* that of the region a fault is in; null: policy */
	uint64_t index;       /* 1 + the page that the fault is about; 0: no fault */
	uint16_t short_nodes; /* nodes that had no frame for a bound request; 0: all were asked */
	uint8_t next, left;   /* interleaving: the node of the next frame, frames left on it */
	bool policed;         /* some policy is active */
};

struct task {
	struct hal_thread hal;   /* first: HAL and core share the pointer */
	uint32_t preempt_count;  /* (own) > 0: not preemptible */
	_Atomic uint32_t work;   /* TASK_WORK_* */
	_Atomic uint32_t token;  /* park/unpark: 1 if an unpark came since the last park */
	bool at_edge; /* (own) it is switched out on the way to user mode: it holds no lock */
	uint16_t lock_count; /* (own) debug: spinlocks held, in order */
	uint16_t lock_base; /* (own) debug: first one of the current interrupt handler */
	const struct spinlock *locks[TASK_LOCKS_MAX];
	char name[16];
	struct task_memory memory;
	_Atomic int32_t waited_mutexes; /* those it holds that somebody waits for */
	struct guard *guard; /* (own) the innermost guarded call; core/guard.h */
};

static_assert(offsetof(struct task, hal) == 0);

ALWAYS_INLINE struct task *current_task(void)
{
	return (struct task *)hal.cpu.current();
}

/* The CPU this runs on. Only stable while preemption is off. */
ALWAYS_INLINE cpu_t cpu_id(void)
{
	return current_task()->hal.cpu;
}

/* A preemption point that was put off; called by preempt_enable. */
void preempt_check(void);

ALWAYS_INLINE void preempt_disable(void)
{
	current_task()->preempt_count++;
	atomic_signal_fence(memory_order_seq_cst);
}

ALWAYS_INLINE void preempt_enable(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	struct task *t = current_task();
	if (--t->preempt_count == 0 &&
	    unlikely(atomic_load_explicit(&t->work, memory_order_relaxed) & TASK_WORK_RESCHEDULE))
		preempt_check();
}

/* Drops the count without a preemption point; the scheduler's own. */
ALWAYS_INLINE void preempt_enable_no_check(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	current_task()->preempt_count--;
}
