/*
 * The benchmark program's frame. Each benchmark is a function that does one operation `n` times;
 * the frame times it and prints "bench NAME VALUE ns". Under the emulator's -icount shift=0 a
 * nanosecond of the guest's clock is one executed instruction, so the same program counts
 * instructions on any kernel; without -icount it measures time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096ul

struct benchmark {
	const char *name;
	const char *what;
	unsigned long rounds;        /* operations in one measurement */
	int (*setup)(void);          /* 0, or an errno value: the row is reported as failed */
	int (*run)(unsigned long n); /* the same */
	void (*teardown)(void);
};

struct group {
	const struct benchmark *benchmarks;
	size_t count;
};

/* The last one is for more than one CPU: it runs only when its operations are named. */
extern const struct group syscall_group, memory_group, process_group, thread_group, wait_group,
	cpus_group;

/* Where the profiler starts and ends. */
void bench_begin(void);
void bench_end(void);

uint64_t clock_ns(void);
/* For benchmarks whose operation is only a part of what must be run: the time counts, not the rest. */
void bench_pause(void);
void bench_resume(void);
/* Takes what was asked for off the time: the rest is the overshoot. */
void bench_discount(uint64_t ns);

/* Waits for a child; 0 if it exited with status 0. A negative pid is a fork that failed. */
int reap(pid_t pid);

/* A turn that two threads give each other by futex: 0 is the first's, 1 the partner's, 2 the end
 * (threads.c). turn_wait() returns when it is not `whose` any more, turn_answer() is the partner. */
void turn_start(void);
void turn_give(int whose);
void turn_wait(int whose);
void *turn_answer(void *unused);
