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
#define TERN_NR_HOT_RELOAD 501
#define TERN_NR_SELF_HEAL 502  /* reserved */
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

/* ---- 501: exchanges a part of the kernel while it is in use ---- */

#define TERN_RELOAD_LIST 1u /* changes nothing: only describes slot number `index` */

/* ENOENT: no such slot, or no such provider of it (TERN_RELOAD_LIST tells which), or past the last; EPERM;
 * EBUSY: that slot is being swapped; EOPNOTSUPP: the provider cannot take over a running machine;
 * ETIMEDOUT: the old provider did not become quiet; EIO: the step that was told to fail has. After an error
 * the old provider goes on with its state. */
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
