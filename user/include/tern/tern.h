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
