/* What the files of the scheduling engine share: switch.c, sched.c, park.c, thread.c. */
#pragma once

#include <core/cpu.h>
#include <exec/sched.h>

struct aspace;

struct runqueue {
	struct spinlock lock;         /* RANK_RUNQUEUE, interrupts off */
	uint32_t ready;               /* (lock; others peek) queued threads that may run */
	uint32_t held; /* (lock) queued threads that the policy holds back, and RUNQUEUE_WATCHED */
	const struct scheduler_ops *policy; /* (lock) */
	uint32_t epoch; /* (lock) of the policy: see exec/sched_change.c */
	struct thread *_Atomic current; /* (own CPU, under lock; others under lock or rcu) */
	struct thread *idle; /* (const after start) */
	struct aspace *aspace; /* (own CPU) what aspace_activate() was last given */
	struct thread *_Atomic fpu_owner; /* whose registers the unit holds: exec/fpu.c */
	bool fpu_on; /* (own CPU) programs may use the unit */
	bool slice_armed; /* (own CPU) slice_timer is set */
	uint32_t balance_ticks; /* (own CPU) */
	struct timer slice_timer; /* (own CPU) */
	nsec_t slice_due; /* (own CPU; others peek) what it is set to */
	nsec_t started; /* (own CPU) when it came up */
	nsec_t busy_time, system_time; /* (lock) charged at each switch */
	nsec_t shown_user, shown_system; /* (lock) what exec_cpu_times() last gave */
	struct sched_stats stats; /* (own CPU) */
} ALIGNED(64);

/* In `held`: tick() is asked about the running thread even if nobody waits. */
#define RUNQUEUE_WATCHED (1u << 31)

/* policy->op(...). A release build calls the default policy directly and inlines it. */
#define POLICY_CALL(policy, op, ...)                                                               \
	(likely((policy) == &sched_prio) ? sched_prio.op(__VA_ARGS__) : (policy)->op(__VA_ARGS__))

extern struct runqueue runqueues[CPU_MAX];
extern _Atomic cpuset_t sched_online; /* CPUs that take threads */
extern _Atomic cpuset_t sched_idle; /* CPUs that wait for an interrupt */
extern _Atomic cpuset_t sched_spared; /* CPUs that get no thread which may run elsewhere (energy) */

/* Gives this CPU to the next thread. Interrupts off; the current thread's state says whether it
 * wants to go on (RUNNING: it is queued again). Returns when it runs again. */
void sched_switch(enum switch_reason reason);
/* The second half of a switch, on the stack of the thread that now runs. Interrupts off. */
void sched_switch_finish(struct thread *prev);
/* What a new thread's entry function gets first. */
void thread_start_entry(struct hal_thread *prev, void *arg);

/* Queues a READY thread that nobody else handles, on the CPU of its choice. Any context. */
void sched_place(struct thread *t, enum ready_reason why);
/* What the policy's tick() says. While somebody waits whom nothing lets run here: when to look for another CPU
 * for it, if no timer is set for earlier. Lock held. */
nsec_t sched_slice(struct runqueue *rq, const struct scheduler_ops *policy, cpu_t cpu,
		   struct thread *running, nsec_t ran);
/* Arms the slice timer if `running` may not run for ever. Interrupts off, no lock. */
void sched_slice_arm(struct runqueue *rq, nsec_t left);
void sched_slice_timer(struct timer *timer);
/* Takes a thread from the CPU with the most; true: one is queued here now. Interrupts off. */
bool sched_pull_idle(struct runqueue *rq, cpu_t cpu);

/* Boot: the policies, and the one that the command line names, on all run queues. */
enum kerr sched_policies_boot(cpu_t cpus);
/* `t`, in no queue, comes under the policy of `rq`, whose lock is held. */
static inline void sched_attach(struct runqueue *rq, cpu_t cpu, struct thread *t)
{
	if (unlikely(t->sched_epoch != rq->epoch)) {
		t->sched_epoch = rq->epoch;
		rq->policy->add_thread(cpu, t, nullptr);
	}
}
/* A thread's next place is on its CPU's queue anew; the running one looks at once. Lock held. */
void sched_request(struct thread *t);

/* If `t` sleeps, makes it ready. Any context. */
void sched_wake(struct thread *t);
bool thread_try_move(struct thread *t, enum thread_state from, enum thread_state to);

/* park() with the state to sleep in. */
enum kerr thread_park(enum wait_reason reason, bool interruptible, nsec_t deadline,
		      enum thread_state how);

/* fpu.c. The unit as `next` must find it on this CPU, `cpu`. Interrupts off. */
void fpu_switch(struct runqueue *rq, struct thread *next, cpu_t cpu);

void sched_run_idle(void) __attribute__((noreturn));
/* Frees what a dead thread leaves; from sched_switch_finish. */
void thread_bury(struct thread *t);

enum kerr sched_park(enum wait_reason reason, bool interruptible, nsec_t deadline);
void sched_unpark(struct task *task);
/* Priority inheritance for core's mutexes. */
unsigned sched_priority_now(const struct task *task);
void sched_priority_lend(struct task *owner, unsigned priority);
void sched_priority_restore(struct task *task);
void sched_reschedule(bool interrupt);
