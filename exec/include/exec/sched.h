/*
 * Scheduling policies (TH-3). The engine (exec/switch.c, exec/sched.c) owns what every policy needs:
 * run-queue locks, states, placement, balancing, accounting, the switch itself. A policy owns the
 * order in which the ready threads of one CPU run: one const table, chosen at boot with `sched=` and
 * changed at run time by writing a name to /sys/kernel/sched/policy. docs/scheduling.md tells how to
 * write one; tests/host/exec_sched.c holds each to this contract.
 *
 * All ops but init and exit run with the run-queue lock of `cpu` held and interrupts off; none sleeps
 * or allocates. Each CPU has its own queue, and while the policy changes some CPUs still have the
 * old one: a policy never looks at another CPU's queue.
 */
#pragma once

#include <exec/thread.h>

enum ready_reason {
	READY_NEW,       /* woken, created or moved here: behind its equals, with a new slice */
	READY_PREEMPTED, /* goes on as soon as it can, with what is left of its slice */
	READY_YIELDED,   /* behind its equals */
};

struct sched_stats {
	uint64_t switches[SWITCH_REASON_COUNT]; /* by why the thread before left */
	uint64_t starts;                 /* switches to a thread that had never run */
	uint64_t migrations, pulls;      /* pushed away by a full CPU, pulled by an idle one */
	uint64_t boosts, sunk;           /* mlfq */
	uint32_t ready;                  /* queued threads */
	uint32_t held;                   /* threads the policy holds back */
};

/* What a thread takes with it when the policy changes. Zero: nothing is known. */
struct sched_carry {
	uint32_t version; /* 1 */
	uint8_t sunk; /* how far below its best place it stands, in levels of its old policy */
};

static inline uint64_t sched_switches(const struct sched_stats *s)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < SWITCH_REASON_COUNT; i++)
		sum += s->switches[i];
	return sum;
}

struct scheduler_ops {
	const char *name;
	uint32_t version;
	/* It wants to be asked exactly when tick() said, though a timer for a later time is set. */
	bool exact;
	/* A higher priority goes before a lower one for as long as it likes; otherwise only the real-time ones do. */
	bool strict;
	/* Makes the queues of `cpus` CPUs. No lock held; may allocate. */
	enum kerr (*init)(cpu_t cpus);
	/* Gives back what init took: no CPU has this policy any more. No lock held. */
	void (*exit)(void);
	/* Takes the next thread to run out of the queue; null: none is ready. */
	struct thread *(*pick_next)(cpu_t cpu);
	/* A thread comes under this policy: before it is queued for the first time, and when the policy
	 * was changed (`carry`: what export_thread said; else null). Sets slice_left and sched_data. */
	void (*add_thread)(cpu_t cpu, struct thread *t, const struct sched_carry *carry);
	/* Takes a queued thread out of the queue; one that is held back, too. */
	void (*remove_thread)(cpu_t cpu, struct thread *t);
	/* Takes any queued thread out, those held back too, best first; null: the queue is empty. */
	struct thread *(*drain)(cpu_t cpu);
	/* `t`, queued or running, goes to another policy: what that one should know. */
	void (*export_thread)(cpu_t cpu, const struct thread *t, struct sched_carry *out);
	/* `t` ran and has ended. */
	void (*exit_thread)(cpu_t cpu, struct thread *t);
	/* Queues `t`. */
	void (*thread_ready)(cpu_t cpu, struct thread *t, enum ready_reason why);
	/* `t` ran and sleeps now; it is not queued. */
	void (*thread_block)(cpu_t cpu, struct thread *t);
	/* `t` runs and gives way: its slice is over by its own will; thread_ready follows. */
	void (*yield)(cpu_t cpu, struct thread *t);
	/* How long `running`, which has run for `ran` ns of its slice, may go on before somebody
	 * who waits must have the CPU: 0: not at all, NSEC_NEVER: nobody waits for it. Asked when
	 * somebody begins to wait, at a switch, and when the time it gave is over. Also asked
	 * with the idle thread while threads are held back: until the first of them may run.
	 * A policy that holds threads back (their budget is spent) tells so with sched_hold(), and
	 * lets them go here with sched_release(). */
	nsec_t (*tick)(cpu_t cpu, struct thread *running, nsec_t ran);
	/* Sets the effective priority; requeues `t` if it is queued. */
	void (*set_priority)(cpu_t cpu, struct thread *t, uint8_t priority);
	/* Somebody in the queue should run rather than `running`. */
	bool (*needs_reschedule)(cpu_t cpu, const struct thread *running);
	/* Takes a thread that may run on `to` and is not on a CPU out of the queue; null: none. */
	struct thread *(*pull)(cpu_t cpu, cpu_t to);
	void (*stats)(cpu_t cpu, struct sched_stats *out); /* adds what the policy counts */
	/* Where t, which wakes and ran on `last`, should be queued, of `allowed`; no CPU idles. No lock. Null:
	 * where it ran, if that is allowed. */
	cpu_t (*place)(struct thread *t, cpu_t last, cpuset_t allowed);
	/* t wakes, `last` is at work and another CPU idles: it should wait for `last` all the same. No lock. Null: never. */
	bool (*stay)(const struct thread *t, cpu_t last);
};

extern const struct scheduler_ops sched_prio, sched_fifo, sched_mlfq, sched_dis;
#define SCHED_SLICE (10 * NSEC_PER_MSEC) /* SCHED_RR's, and of `prio` */

/* For policies, run-queue lock of `cpu` held: `count` queued threads may not run now (they stay with
 * the policy, and pick_next does not give them); they may again. */
void sched_hold(cpu_t cpu, uint32_t count);
void sched_release(cpu_t cpu, uint32_t count);
/* Ask tick() about what runs even if nobody waits (it has a budget), or no more. Lock as above. */
void sched_watch(cpu_t cpu, bool on);

/* ---- The policies there are (exec/sched_change.c) ---- */

#define SCHED_POLICIES_MAX 8
/* Makes a policy known. EXIST: the name is taken; NOMEM: no room; INVAL: an op is missing. */
enum kerr sched_policy_register(const struct scheduler_ops *ops);
/* BUSY: it is the one in use. */
enum kerr sched_policy_unregister(const struct scheduler_ops *ops);
/* The index-th, in the order of registration; null: no more. */
const struct scheduler_ops *sched_policy_get(size_t index);
const struct scheduler_ops *sched_policy_find(const char *name);

/* What changes cost. A pause is the time for which one CPU's run queue was locked. */
struct sched_change_stats {
	uint64_t changes, threads; /* threads: moved from queue to queue, in all */
	nsec_t pause_last, pause_max; /* the longest of the last change, and of all */
};
/* All threads go on under `ops`, CPU by CPU; none is lost, and on an error nothing has changed: NOMEM, or
 * what its init said; NOENT: it is not registered. May sleep. */
enum kerr sched_policy_change(const struct scheduler_ops *ops);
/* The same in two steps: after KERR_OK (EXIST: it is the one in use) either of the other two follows, by
 * the same thread; meanwhile no other change begins. */
enum kerr sched_policy_try(const struct scheduler_ops *ops);
void sched_policy_keep(void);
void sched_policy_back(void); /* cannot fail */
void sched_change_figures(struct sched_change_stats *out);

/* Changes the effective and base priority of a thread. Any context. */
void sched_set_priority(struct thread *t, uint8_t priority);
/* `t` runs at `priority` or more until it is told otherwise; 0: nobody lends to it. Any context. */
void sched_lend(struct thread *t, uint8_t priority);
/* `t` is to end or stop: its budget no longer holds it back. Any context. */
void sched_unhold(struct thread *t);
/* Restricts it to `cpus` (at least one that runs: KERR_INVAL); moves it if need be. */
enum kerr sched_set_affinity(struct thread *t, cpuset_t cpus);
/* Whether the caller may change how t is scheduled: same user, or the capability; not across domains. */
bool sched_may_change(const struct thread *t);
/* The policy looks anew at what t is (its intent has changed): fn(t, arg) runs with t's run queue locked. */
void sched_update(struct thread *t, void (*fn)(struct thread *t, const void *arg), const void *arg);
/* The same without a change. */
void sched_look(struct thread *t, void (*fn)(struct thread *t, const void *arg), const void *arg);
void sched_stats(cpu_t cpu, struct sched_stats *out);
const char *sched_name(void);

/* Linux policies and nice values to priorities (TH-5). */
#define SCHED_OTHER 0
#define SCHED_FIFO 1
#define SCHED_RR 2
#define SCHED_BATCH 3
#define SCHED_IDLE 5
#define SCHED_DEADLINE 6
/* nice -20 .. 19 gives 80 .. 41 (0: PRIORITY_NORMAL); real-time 1 .. 99 gives 100 .. 138: two or three
 * neighbours share one, so that the order is kept. */
uint8_t sched_priority_of(uint8_t policy, int nice, int realtime);
