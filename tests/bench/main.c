/*
 * Runs the benchmarks whose names contain one of the arguments; all of them without arguments.
 * Each is run once to warm up and then three times; the least is printed, because everything
 * that disturbs (interrupts, other threads) only adds.
 */
#include "bench.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t paused_at, paused_total;

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_pause(void)
{
	paused_at = clock_ns();
}

void bench_resume(void)
{
	paused_total += clock_ns() - paused_at;
}

static int measure(const struct benchmark *b, uint64_t *best)
{
	int err = b->setup ? b->setup() : 0;

	*best = UINT64_MAX;
	for (int round = 0; round < 4 && !err; round++) {
		unsigned long n = round == 0 ? b->rounds / 4 + 1 : b->rounds;
		paused_total = 0;
		uint64_t start = clock_ns();
		err = b->run(n);
		uint64_t took = clock_ns() - start - paused_total;
		if (round > 0 && took / n < *best)
			*best = took / n;
	}
	if (b->teardown)
		b->teardown();
	return err;
}

static int wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]))
			return 1;
	return argc < 2;
}

static int run_group(const struct benchmark *b, size_t count, int argc, char **argv)
{
	int failed = 0;

	for (; count; count--, b++) {
		uint64_t ns;
		if (!wanted(b->name, argc, argv))
			continue;
		int err = measure(b, &ns);
		if (err) {
			printf("bench %s failed %s\n", b->name, strerror(err));
			failed = 1;
		} else {
			printf("bench %s %llu ns\n", b->name, (unsigned long long)ns);
		}
		fflush(stdout);
	}
	return failed;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--exit") == 0)
		return 0; /* what fork_exec starts */
	int failed = run_group(syscall_benchmarks, syscall_benchmark_count, argc, argv);
	failed |= run_group(memory_benchmarks, memory_benchmark_count, argc, argv);
	failed |= run_group(process_benchmarks, process_benchmark_count, argc, argv);
	return failed;
}
