/*
 * Scheduling policies (TH-3). The engine (exec/switch.c, exec/sched.c) owns what every policy needs:
 * run-queue locks, states, placement, balancing, accounting, the switch itself. A policy owns the
 * order in which the ready threads of one CPU run: one const table, chosen at boot.
 *
 * All ops but init run with the run-queue lock of `cpu` held and interrupts off; none sleeps or
 * allocates.
 */
#pragma once

#include <exec/thread.h>

enum ready_reason {
	READY_NEW,       /* woken, created or moved here: behind its equals, with a new slice */
	READY_PREEMPTED, /* goes on as soon as it can, with what is left of its slice */
	READY_YIELDED,   /* behind its equals */
};

struct sched_stats {
	uint64_t switches, voluntary, involuntary, wakeups, migrations, pulls, kicks;
	uint32_t ready;      /* queued threads */
	nsec_t idle_time;
};

struct scheduler_ops {
	const char *name;
	uint32_t version;
	/* Makes the queues of `cpus` CPUs. No lock held. */
	enum kerr (*init)(cpu_t cpus);
	/* Takes the next thread to run out of the queue; null: none is ready. */
	struct thread *(*pick_next)(cpu_t cpu);
	/* A thread comes to be: its slice, its defaults. No lock. */
	void (*add_thread)(struct thread *t);
	/* Takes a queued thread out of the queue. */
	void (*remove_thread)(cpu_t cpu, struct thread *t);
	/* Queues `t`. */
	void (*thread_ready)(cpu_t cpu, struct thread *t, enum ready_reason why);
	/* `t` ran and does not want to any more (it sleeps or ends); it is not queued. */
	void (*thread_block)(cpu_t cpu, struct thread *t);
	/* `t` runs and gives way: its slice is over by its own will; thread_ready follows. */
	void (*yield)(cpu_t cpu, struct thread *t);
	/* How long `running`, which has run for `ran` ns of its slice, may go on before somebody
	 * who waits must have the CPU: 0: not at all, NSEC_NEVER: nobody waits for it. */
	nsec_t (*tick)(cpu_t cpu, struct thread *running, nsec_t ran);
	/* Sets the effective priority; requeues `t` if it is queued. */
	void (*set_priority)(cpu_t cpu, struct thread *t, uint8_t priority);
	/* Somebody in the queue should run rather than `running`. */
	bool (*needs_reschedule)(cpu_t cpu, const struct thread *running);
	/* Takes a thread that may run on `to` and is not on a CPU out of the queue; null: none. */
	struct thread *(*pull)(cpu_t cpu, cpu_t to);
	void (*stats)(cpu_t cpu, struct sched_stats *out); /* adds what the policy counts */
};

extern const struct scheduler_ops sched_prio;

/* Changes the effective and base priority of a thread. Any context. */
void sched_set_priority(struct thread *t, uint8_t priority);
/* Restricts it to `cpus` (at least one that runs: KERR_INVAL); moves it if need be. */
enum kerr sched_set_affinity(struct thread *t, cpuset_t cpus);
void sched_stats(cpu_t cpu, struct sched_stats *out);
const char *sched_name(void);

/* Linux policies and nice values to priorities (TH-5). */
#define SCHED_OTHER 0
#define SCHED_FIFO 1
#define SCHED_RR 2
#define SCHED_BATCH 3
#define SCHED_IDLE 5
/* nice -20 .. 19 gives 80 .. 41 (0: PRIORITY_NORMAL); real-time 1 .. 39 and above gives 100 .. 138. */
uint8_t sched_priority_of(uint8_t policy, int nice, int realtime);
