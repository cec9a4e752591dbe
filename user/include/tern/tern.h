/*
 * Tern's own system calls, 500 to 505, for programs that run on it and for the kernel itself.
 *
 * Each takes the address of one structure, whose first field `size` the caller sets to
 * sizeof(struct ...) as it knows it. The kernel fills in no more than that, so that programs and
 * kernels of different age understand each other: new fields go to the end, a kernel that does
 * not know them leaves them 0, and `size` comes back as what the kernel filled in. EINVAL: `size` is
 * less than the first version's (or another field is wrong); E2BIG: more than a page, or a field that the kernel does
 * not know asks for something; EFAULT: the structure is not there; ENOSYS: no such call (yet).
 */
#pragma once

#include <stdint.h>

/* The same numbers on every architecture. */
#define TERN_NR_SCHED_STATS 500
#define TERN_NR_HOT_RELOAD 501
#define TERN_NR_SELF_HEAL 502
#define TERN_NR_BENCHMARK 503
#define TERN_NR_INFO 504
#define TERN_NR_INTENT 505

/* ---- 500: what the scheduler did ---- */

#define TERN_ALL_CPUS UINT32_MAX

struct tern_sched_stats {
	uint32_t size;
	uint32_t cpu; /* in: a CPU that runs, or TERN_ALL_CPUS for the sums */
	char scheduler[16]; /* the policy's name */
	uint32_t cpus; /* CPUs that run */
	uint32_t ready; /* threads that wait for a CPU */
	uint64_t user_ns, system_ns, idle_ns;
	uint64_t switches; /* of threads */
	uint64_t migrations, pulls; /* threads given to, and taken by, other CPUs */
};
#define TERN_SCHED_STATS_FIRST 80 /* bytes of the first version */

/* ---- 501: exchanges a part of the kernel while it is in use ---- */

#define TERN_RELOAD_LIST 1u /* changes nothing: only describes slot number `index` */

/* ENOENT: no such slot, or no such provider of it (TERN_RELOAD_LIST tells which), or past the last; EPERM;
 * EBUSY: somebody else swaps that slot now (the healer is waited for; EINTR: a signal ended that);
 * EOPNOTSUPP: the provider cannot take over a running machine; ETIMEDOUT: the old provider did not
 * become quiet; EIO: the step that was told to fail has. After an error the old provider goes on with
 * its state. */
struct tern_hot_reload {
	uint32_t size;
	uint32_t flags;
	uint32_t index; /* in, with TERN_RELOAD_LIST */
	uint32_t
		fail; /* in, for tests: 1 init, 2 quiesce, 3 export, 4 import, 5 switch fails; 0: none */
	char slot[32]; /* in, or out with TERN_RELOAD_LIST; ended by 0, as the other one */
	char provider[32]; /* in: who shall take over; out: whose turn it is */
	/* Out: */
	char kind[16];
	char providers[160]; /* "a b c" */
	uint64_t swaps, rollbacks; /* of this slot since boot */
	uint64_t pause_last, pause_median, pause_max; /* ns for which users had to wait */
};
#define TERN_HOT_RELOAD_FIRST 296

/* ---- 502: what is watched and healed ---- */

/* op: */
#define TERN_HEAL_STATUS 0 /* component number `index` (ENOENT: past the last) */
#define TERN_HEAL_EVENT 1 /* the first event after number `number` (ENOENT: none) */
#define TERN_HEAL_CHECK 2 /* checks `name`, or all if it is empty, now (ENOENT) */
#define TERN_HEAL_RESET 3 /* an isolated `name` is restarted and watched again */
#define TERN_HEAL_INJECT                                                                           \
	4 /* `what` is to happen to the block device `name`, `times` times: crash, hang, lost,
			      nomem, wild, wrong, bug (ENODEV: no such device; EOPNOTSUPP: its driver cannot) */

/* CHECK, RESET and INJECT want the capability hot_swap (EPERM). */
struct tern_self_heal {
	uint32_t size;
	uint32_t op;
	uint32_t index, times; /* in */
	char name[32]; /* in or out, ended by 0 */
	char what[16]; /* in, or out: the state; of an event what was done */
	char why[120]; /* out: the last failure; of an event the reason */
	uint64_t number, time_ns; /* of an event */
	uint64_t checks, failures, restarts, swaps, isolations, escalations; /* of a component */
	uint64_t repair_last_ns, repair_max_ns; /* from a failure to the end of what was done */
};
#define TERN_SELF_HEAL_FIRST 264

/* ---- 503: the kernel's own operations, measured now ---- */

struct tern_benchmark {
	uint32_t size;
	uint32_t index; /* in, with an empty name: which one to describe (ENOENT: past the last) */
	char name[24]; /* in: which one to run, ended by 0 (ENOENT: there is none) */
	char what[64]; /* out: what one round is */
	uint64_t rounds; /* in: how many, at most 1000000; 0: what suits it. out: how many it was */
	uint64_t total_ns; /* out: of all rounds; instructions under the emulator's -icount */
};
#define TERN_BENCHMARK_FIRST 112

/* ---- 504: the kernel ---- */

/* Bit n, n < 16: call 500 + n is there. */
#define TERN_FEATURE_SCHED_STATS (1ull << 0)
#define TERN_FEATURE_HOT_RELOAD (1ull << 1)
#define TERN_FEATURE_SELF_HEAL (1ull << 2)
#define TERN_FEATURE_BENCHMARK (1ull << 3)
#define TERN_FEATURE_INFO (1ull << 4)
#define TERN_FEATURE_INTENT (1ull << 5)
#define TERN_FEATURE_LOCK_CHECKS                                                                   \
	(1ull << 16) /* lock ranks, sleeping in atomic context: debug builds */

struct tern_info {
	uint32_t size;
	uint32_t cpus; /* that run */
	uint64_t features; /* TERN_FEATURE_* */
	uint64_t boot_ns; /* from the kernel's first instruction to the first program's */
	char version[32]; /* the kernel's own */
	char release[32]; /* the Linux whose calls programs find */
	char machine[16];
	char build[16]; /* "release", "debug" */
	char compiler[64];
	char profile[16]; /* profile= of the command line; "" without */
	char scheduler[16], frames[16]; /* the policies in use */
};
#define TERN_INFO_FIRST 232

/* ---- 505: what a thread wants of the scheduler `dis` ---- */

enum tern_intent_class {
	TERN_CLASS_REALTIME, /* earliest deadline first; needs the right to SCHED_FIFO, like the next and critical */
	TERN_CLASS_SOFT_REALTIME,
	TERN_CLASS_INTERACTIVE,
	TERN_CLASS_SERVER,
	TERN_CLASS_BATCH,
	TERN_CLASS_BACKGROUND,
	TERN_CLASS_IDLE,
	TERN_CLASS_CRITICAL, /* above all */
};

enum tern_intent_latency {
	TERN_LATENCY_NONE,
	TERN_LATENCY_BEST_EFFORT,
	TERN_LATENCY_SOFT, /* latency_ns is a target */
	TERN_LATENCY_HARD, /* a maximum: real-time and critical only */
	TERN_LATENCY_BOUNDED, /* kept as long as the CPU is not overloaded: real-time to server */
};

enum tern_intent_budget {
	TERN_BUDGET_UNLIMITED,
	TERN_BUDGET_PERCENT, /* `amount` of one CPU, in each period_ns (0: 100 ms) */
	TERN_BUDGET_QUOTA, /* quota_ns in each period_ns */
	TERN_BUDGET_SHARES, /* `amount` against the others of the class; 1024 is nice 0 */
};

#define TERN_INTENT_ONE_CORE 1u /* stays on the CPU that it is given */
#define TERN_INTENT_ALL_CORES 2u
#define TERN_INTENT_BOOT_CPU 4u
#define TERN_INTENT_NUMA 8u
#define TERN_INTENT_NO_INHERIT 16u

#define TERN_INTENT_GET 0 /* op */
#define TERN_INTENT_SET 1
#define TERN_INTENT_PRESET 2 /* the preset that `preset` names */
#define TERN_INTENT_CLEAR 3

/* SET, PRESET and CLEAR also fill in what holds then. EINVAL: it contradicts itself; ERANGE: a budget
 * or a time that cannot be kept; ENOENT: no such preset; EPERM; ESRCH: no such thread; EBUSY: the CPUs
 * have been promised to others; ENOMEM: a memory budget below what the process has. Then nothing has changed. */
struct tern_intent {
	uint32_t size;
	uint32_t op;
	int32_t tid; /* 0: the calling thread */
	uint32_t task_class, latency, budget, flags;
	uint32_t amount;
	uint64_t latency_ns;
	uint64_t slice_ns; /* 0: what suits the class */
	uint64_t quota_ns, period_ns;
	uint64_t memory; /* bytes of private memory of the process; 0: unlimited */
	char preset[24]; /* ended by 0 */
	uint32_t declared; /* out: 0: there is none, and the fields above say nothing */
	uint32_t reserved;
	uint64_t throttles, throttled_ns; /* out: times and time held back for its budget */
	uint64_t deadlines,
		misses; /* out: runs of a deadline class, and those that ended too late */
};
#define TERN_INTENT_FIRST 136
