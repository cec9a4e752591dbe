/*
 * Threads (TH-1, TH-2): the schedulable unit. A thread belongs to one process; kernel threads
 * belong to process 0 and have no address space.
 */
#pragma once

#include <core/rcu.h>
#include <core/task.h>
#include <core/time.h>
#include <core/upcalls.h>
#include <exec/intent.h>
#include <lib/list.h>

enum thread_state {
	THREAD_CREATING,
	THREAD_READY,
	THREAD_RUNNING,
	THREAD_BLOCKED,
	THREAD_SLEEPING, /* blocked with a deadline */
	THREAD_STOPPED,
	THREAD_DEAD,
	THREAD_ZOMBIE,
};

#define SCHED_DATA_SIZE 64 /* room in each thread for the policy's own data */

/* Why a thread gives up its CPU (TH-6). */
enum switch_reason {
	SWITCH_PREEMPTED, /* somebody else was better, at a preemption point */
	SWITCH_INTERRUPT, /* the same, at the end of an interrupt; also: the idle thread found work */
	SWITCH_YIELDED,
	SWITCH_BLOCKED,
	SWITCH_EXIT,
	SWITCH_REASON_COUNT,
};

struct process;
struct aspace;

struct thread {
	struct task task; /* first */
	int tid;
	_Atomic uint8_t state; /* enum thread_state; moves as thread_move() allows */
	uint8_t wait_reason; /* (own) enum wait_reason while blocked */
	bool interruptible; /* (own) while blocked: a signal would wake it */
	/* (run queue lock) Effective, the highest of those that follow: without inheritance, lent by who waits
	 * for its futexes, and for its mutexes in the kernel (0: nobody). */
	uint8_t priority, base_priority, lent_priority, mutex_priority;
	uint8_t level; /* (run queue lock) the list it stands in while queued */
	uint8_t policy; /* (run queue lock) Linux SCHED_* */
	int8_t nice; /* (run queue lock) */
	uint8_t realtime; /* (run queue lock) Linux' real-time priority, 1 to 99, or 0 */
	bool reset_on_fork; /* (own; set by who may) children start with the ordinary policy */
	_Atomic cpuset_t affinity; /* (run queue lock for writing) */
	struct process *process; /* (const) */
	struct list process_link; /* (process lock) */
	/* scheduler's own */
	struct list run_link; /* (run queue lock) */
	cpu_t queued_on; /* (that CPU's run queue lock) CPU_NONE: not queued */
	bool migrate; /* (own) may not run here: placed anew once it is off this CPU */
	_Atomic bool on_cpu; /* its registers are (still) in a CPU: see exec/switch.c */
	_Atomic cpu_t fpu_cpu; /* whose unit holds its registers, or CPU_NONE: exec/fpu.c */
	uint32_t fpu_traps; /* (own) times it got the unit by using it */
	uint8_t fpu_uses; /* (own) how much it used the unit lately */
	nsec_t slice_left, ran_since; /* (own) */
	uint32_t sched_epoch; /* (run queue lock) the policy in which sched_data has a meaning */
	alignas(8) uint8_t sched_data[SCHED_DATA_SIZE]; /* (run queue lock) the policy's own */
	nsec_t ready_since; /* (run queue lock) since when it waits behind others; 0: it does not */
	nsec_t wait_time; /* (run queue lock) spent waiting there */
	uint64_t moves; /* (who queues it) times it was queued on another CPU than it ran on */
	/* figures; run_time counts all, system_time the part spent in system calls */
	nsec_t run_time, system_time; /* (own) */
	nsec_t system_charged; /* (own) the part of it that its CPUs have counted */
	const void
		*_Atomic calls; /* (process lock for writing) its system-call table: exec/domain.c */
	nsec_t entered; /* (own) since when the call in progress runs, or NEVER */
	uint64_t switches[SWITCH_REASON_COUNT]; /* (own) */
	nsec_t start_time;
	uint64_t watched_switches; /* (watchdog) its switches when that looked last */
	uint64_t watched_for; /* (watchdog) ns that it has slept on since, as counted there */
	void *stack; /* lowest address of the kernel stack; null: the boot stack */
	struct timer sleep_timer; /* (own) */
	struct thread *hash_next; /* (tree lock; rcu) */
	/* signals: see exec/signal.h */
	_Atomic uint64_t signal_mask; /* (own; changed under the process lock) */
	uint64_t waiting_for; /* (process lock) rt_sigtimedwait's set, or 0 */
	uint64_t saved_mask; /* (own) sigsuspend, ppoll: put back after the handler */
	bool restore_mask; /* (own) saved_mask is valid */
	uint64_t signal_pending; /* (process lock) directed at this thread */
	struct list signal_queue; /* (process lock) their siginfo */
	int restart; /* (own) KERR_RESTART_* of the call that ends now, or 0 */
	nsec_t restart_deadline; /* (own) where a restarted sleep goes on, or 0 */
	bool must_end; /* (process lock) another thread's execve ends it */
	bool stop_counted; /* (process lock) it has joined the group stop */
	vaddr_t alt_stack_base; /* (own) */
	uint64_t alt_stack_size;
	int alt_stack_flags;
	vaddr_t fault_addr; /* (own) of the last fault, for sigcontext */
	uint64_t fault_code;
	vaddr_t clear_child_tid; /* (own) futex to wake at exit */
	vaddr_t robust_list; /* (own) */
	struct list
		pi_owned; /* (pi lock) priority-inheriting futexes with waiters: exec/futex_pi.c */
	struct pi_waiter *pi_blocked; /* (pi lock) its place in the queue of one */
	bool pi_exited; /* (pi lock) it owns none any more */
	int exit_code;
	/* what entry functions need */
	void (*entry)(void *arg); /* kernel code it starts in; null: straight to user mode */
	void *entry_arg;
	struct rcu_head rcu;
	struct dis_task dis; /* intent, budget, what was learnt */
};

/* As Linux tells them apart: by its own will is who blocked. */
static inline uint64_t thread_voluntary(const struct thread *t)
{
	return t->switches[SWITCH_BLOCKED] + t->switches[SWITCH_EXIT];
}

static inline uint64_t thread_involuntary(const struct thread *t)
{
	return t->switches[SWITCH_PREEMPTED] + t->switches[SWITCH_INTERRUPT] +
	       t->switches[SWITCH_YIELDED];
}

static inline struct thread *current_thread(void)
{
	return (struct thread *)current_task();
}

/* A kernel thread, ready to run at once; fn's return ends it. */
enum kerr kthread_create(const char *name, int priority, void (*fn)(void *arg), void *arg,
			 struct thread **out);
/* Sleeps until `deadline`; KERR_INTR if interruptible and a signal came. */
enum kerr thread_sleep_until(nsec_t deadline, bool interruptible);
void thread_yield(void);
/* Changes the state: the table in thread.c lists the moves there are (TH-2); any other panics. */
void thread_move(struct thread *t, enum thread_state from, enum thread_state to);
const char *thread_state_name(enum thread_state state);
/* Ends the current kernel thread. */
[[noreturn]] void thread_end(void);
/* By tid; only under rcu_read_lock, for as long as that is held. Null: there is none. */
struct thread *thread_find(int tid);
/* The saved user registers of a user thread. */
static inline struct hal_frame *thread_frame(const struct thread *t)
{
	return (struct hal_frame *)(t->task.hal.stack_top - hal.user.info()->frame_size);
}
