/*
 * Tern's own system calls, 500 to 504, for programs that run on it and for the kernel itself.
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
#define TERN_NR_HOT_RELOAD 501 /* reserved */
#define TERN_NR_SELF_HEAL 502
#define TERN_NR_BENCHMARK 503
#define TERN_NR_INFO 504

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

/* ---- 502: what is watched and healed ---- */

/* op: */
#define TERN_HEAL_STATUS 0 /* component number `index` (ENOENT: past the last) */
#define TERN_HEAL_EVENT 1 /* the first event after number `number` (ENOENT: none) */
#define TERN_HEAL_CHECK 2 /* checks `name`, or all if it is empty, now (ENOENT) */
#define TERN_HEAL_RESET 3 /* an isolated `name` is restarted and watched again */
#define TERN_HEAL_INJECT                                                                           \
	4 /* `what` is to happen to the block device `name`, `times` times: crash, hang, lost,
			      nomem, wild, wrong, bug (ENODEV: no such device; EOPNOTSUPP: its driver cannot) */

/* CHECK, RESET and INJECT want the superuser (EPERM). */
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
