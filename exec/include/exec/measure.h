/* The kernel's own operations, measured while it runs: for the kernel shell's `bench` and the call
 * tern_benchmark(503). */
#pragma once

#include <hal/types.h>
#include <lib/kerr.h>

#define MEASURE_ROUNDS_MAX 1000000u

struct measure_result {
	uint64_t rounds;
	nsec_t total; /* of all rounds; under the emulator's -icount: instructions of all CPUs */
};

/* The name of measurement `index` and what one round is; false: no more. */
bool measure_get(size_t index, const char **name, const char **what);
/* Does `rounds` (0: a number that suits it) rounds after some to warm up. KERR_NOENT: no such name;
 * KERR_INVAL: too many; KERR_NOMEM; KERR_INTR: a signal came. Sleeps. */
enum kerr measure_run(const char *name, uint64_t rounds, struct measure_result *out);
