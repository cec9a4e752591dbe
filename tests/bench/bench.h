/*
 * The benchmark program's frame. Each benchmark is a function that does one operation `n` times;
 * the frame times it and prints "bench NAME VALUE ns". Under the emulator's -icount shift=0 a
 * nanosecond of the guest's clock is one executed instruction, so the same program counts
 * instructions on any kernel; without -icount it measures time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct benchmark {
	const char *name;
	const char *what;
	unsigned long rounds;        /* operations in one measurement */
	int (*setup)(void);          /* 0, or an errno value: the row is reported as failed */
	int (*run)(unsigned long n); /* the same */
	void (*teardown)(void);
};

extern const struct benchmark syscall_benchmarks[], process_benchmarks[], memory_benchmarks[];
extern const size_t syscall_benchmark_count, process_benchmark_count, memory_benchmark_count;

uint64_t clock_ns(void);
/* For benchmarks whose operation is only a part of what must be run: the time counts, not the rest. */
void bench_pause(void);
void bench_resume(void);
