/* What the files of kbench share. */
#pragma once

#include <stddef.h>

#define BENCH_ROUNDS 400

/* run(n) does it n times; the figure is for one. */
struct kernel_benchmark {
	const char *name;
	void (*run)(unsigned n);
};

/* bench_memory.c */
extern const struct kernel_benchmark memory_benchmarks[], parallel_benchmarks[];
extern const size_t memory_benchmark_count, parallel_benchmark_count;
/* False: no memory for what they work on. */
bool memory_benchmarks_setup(void);
