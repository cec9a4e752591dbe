/*
 * Intents (DI-1, DI-2, DI-4): what a thread says of itself, so that the scheduler `dis` need not guess.
 * And what the kernel keeps of each thread for it: the budget's account and what was learnt
 * (exec/model.h). Under the other schedulers intents are kept and have no effect.
 */
#pragma once

#include <exec/model.h>
#include <lib/kerr.h>

enum intent_class { /* the numbers programs use */
		    INTENT_REALTIME,
		    INTENT_SOFT_REALTIME,
		    INTENT_INTERACTIVE,
		    INTENT_SERVER,
		    INTENT_BATCH,
		    INTENT_BACKGROUND,
		    INTENT_IDLE,
		    INTENT_CRITICAL, /* above all */
		    INTENT_CLASSES,
};

/* How soon it wants to run after it woke (and to be done, for the deadline classes). */
enum intent_latency {
	LATENCY_NONE,
	LATENCY_BEST_EFFORT,
	LATENCY_SOFT,    /* a target */
	LATENCY_HARD,    /* a maximum: classes 0 and 7 only */
	LATENCY_BOUNDED, /* a bound that is kept as long as the CPU is not overloaded: classes 0 to 3 */
	LATENCY_KINDS,
};

enum intent_budget {
	BUDGET_UNLIMITED,
	BUDGET_PERCENT, /* `amount` of one CPU, in each `period` */
	BUDGET_QUOTA, /* `quota` in each `period` */
	BUDGET_SHARES, /* a weight beside its equals; 1024 is that of nice 0 */
	BUDGET_KINDS,
};

#define INTENT_ONE_CORE 1u /* stays on the CPU that it is given */
#define INTENT_ALL_CORES 2u
#define INTENT_BOOT_CPU 4u /* while it waits on CPU 0 it is not taken from there */
#define INTENT_NUMA 8u /* while it waits it is not taken to another node */
#define INTENT_NO_INHERIT 16u /* children start without an intent */
#define INTENT_FLAGS 31u

struct intent {
	uint8_t class, latency, budget;
	uint8_t preset; /* index + 1 of the one it came from, 0: none */
	uint32_t flags;
	uint32_t amount; /* percent or shares */
	nsec_t latency_time; /* 0 without a number */
	nsec_t slice; /* 0: what suits the class */
	nsec_t quota, period; /* filled in for percent, too */
	uint64_t memory; /* bytes of private memory of the process; 0: unlimited */
};

struct thread;

/* In each thread; zero to begin with. */
struct dis_task {
	bool declared; /* (run queue lock) `intent` holds */
	struct intent intent; /* (run queue lock; written under intent_lock, too) */
	uint64_t
		own_affinity; /* (intent_lock) before INTENT_ONE_CORE bound it; 0: it is not bound */
	_Atomic bool gone; /* it has ended: reserves nothing any more */
	uint32_t reserved; /* (intent_lock) of `reserved_on`, thousandths */
	uint32_t reserved_on; /* (intent_lock) */
	nsec_t used, period_end; /* (run queue lock) the budget's account */
	nsec_t throttled_since; /* (run queue lock) 0: it is not */
	nsec_t throttled; /* (run queue lock) in all */
	uint64_t throttles, deadlines, misses; /* (run queue lock) */
	struct thread_model model; /* (run queue lock) */
};

/* ---- exec/intent_rules.c ---- */

#define INTENT_PRESETS 9
const char *intent_preset_name(unsigned index); /* null: no more */
/* NOENT: there is none of that name. */
enum kerr intent_preset(const char *name, struct intent *out);
/* Fills in what follows from the rest. INVAL: it contradicts itself; RANGE: a budget or a time that no
 * machine can keep; PERM comes from intent_declare. */
enum kerr intent_complete(struct intent *i);
/* ---- exec/intent.c ---- */

/* `t` (the caller holds rcu) has this intent from now on; null: none. On an error the old one stays. PERM: the
 * caller may not; BUSY: the CPUs have promised too much already. Says nothing of memory. */
enum kerr intent_declare(struct thread *t, const struct intent *i);
/* The same for thread `tid` (0: the current one), with the memory budget of its process. Also SRCH; NOMEM: less
 * memory than the process has. Thread context. */
enum kerr intent_set(int tid, const struct intent *i);
/* Copies what is kept of a thread. SRCH. */
enum kerr intent_look(int tid, struct dis_task *out);
/* May the caller declare this for t (null: take back what there is)? The one place that says so. */
bool intent_allowed(const struct thread *t, const struct intent *i);
/* `t` has no intent any more, unless to idle: its process may not compete for the CPU. */
void intent_withdraw(struct thread *t);
/* A child of `parent`, which is the current thread; it is not known to anybody yet. */
void intent_inherit(struct thread *child, const struct thread *parent);
/* `t` ends, or leaves its class: what it had reserved is free. Thread context. */
void intent_release(struct thread *t);
/* The limits of a process's address space, with the memory budget in them. */
struct process;
struct aspace;
void intent_memory_limits(const struct process *p, struct aspace *as);
/* ---- exec/intent_text.c: as in /proc/PID/intent ---- */

#define INTENT_TEXT 320
/* "PRESET", "KEY=VALUE ...", or both; "none": *none is set. INVAL, NOENT (an unknown preset), RANGE. */
enum kerr intent_parse(const char *text, struct intent *out, bool *none);
void intent_format(const struct intent *i, char *text, size_t size);
const char *intent_class_name(unsigned class);

/* ---- exec/sched_dis.c ---- */

enum dis_strategy { DIS_SLICE, DIS_PRIORITY, DIS_AFFINITY, DIS_ENERGY, DIS_STRATEGIES };
const char *dis_strategy_name(unsigned s);
bool dis_strategy_on(unsigned s);
void dis_strategy_set(unsigned s, bool on);

#define DIS_RANKS 9 /* 0: the idle thread; 1 to 7: classes idle to real-time; 8: critical */
struct dis_stats {
	uint64_t picked[DIS_RANKS];
	uint64_t rescues; /* turns given to a level that had waited too long */
	uint64_t overruns; /* times the deadline classes had used up their share of a CPU */
	uint64_t throttles, deadlines, misses;
	uint64_t kept; /* threads that were not taken away for their warm cache */
};
/* A run, when its thread went to sleep. */
struct dis_sample {
	int tid;
	uint8_t why; /* enum model_sleep */
	char name[16]; /* of the thread */
	uint64_t ran, waited, slept; /* ns: on a CPU, for a CPU, asleep before it */
	uint64_t pages; /* of its process */
};
/* Records the next `samples` runs of all threads; what was recorded before is gone. 0: none. INVAL: too
 * many, NOMEM. Thread context. */
enum kerr dis_trace_start(uint32_t samples);
/* False: not that many were recorded yet. */
bool dis_trace_get(uint32_t index, struct dis_sample *out);
/* KERR_NODEV: `dis` is not the scheduler. */
enum kerr dis_stats(uint32_t cpu, struct dis_stats *out);
