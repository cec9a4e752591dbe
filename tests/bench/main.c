/*
 * Runs the benchmarks whose names are given, or all for one CPU. Each is run once to warm up and
 * then three times; the least is printed, because everything that disturbs (interrupts, other
 * threads) only adds. `--rounds N NAME` does the operation N times after a warm-up and prints no
 * figure: the profiler counts from outside, between bench_begin and bench_end. `--locks NAME` prints
 * for each lock of the kernel how often an operation takes it and finds it taken, from
 * /sys/kernel/debug/locks of Tern's debug builds.
 */
#include "bench.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

void bench_discount(uint64_t ns)
{
	paused_total += ns;
}

int reap(pid_t pid)
{
	int status;

	if (pid < 0)
		return errno;
	if (waitpid(pid, &status, 0) != pid)
		return errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ECHILD;
}

static volatile int state;

__attribute__((noinline)) void bench_begin(void)
{
	state = 1;
}

__attribute__((noinline)) void bench_end(void)
{
	state = 0;
}

#define LOCKS "/sys/kernel/debug/locks"
#define LOCKS_MAX 512

struct lock_row {
	char name[48], kind[8];
	unsigned long long taken, contended;
};

static size_t read_locks(struct lock_row *rows)
{
	FILE *f = fopen(LOCKS, "r");
	size_t n = 0;

	while (f && n < LOCKS_MAX &&
	       fscanf(f, " %47[^\t]\t%7s %llu %llu", rows[n].name, rows[n].kind, &rows[n].taken,
		      &rows[n].contended) == 4)
		n++;
	if (f)
		fclose(f);
	return n;
}

static const struct lock_row *find_lock(const struct lock_row *rows, size_t n,
					const struct lock_row *like)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(rows[i].name, like->name) == 0 && strcmp(rows[i].kind, like->kind) == 0)
			return &rows[i];
	return NULL;
}

static void print_locks(const struct benchmark *b, const struct lock_row *before, size_t before_n,
			const struct lock_row *after, size_t after_n)
{
	for (size_t i = 0; i < after_n; i++) {
		const struct lock_row *was = find_lock(before, before_n, &after[i]);
		double taken = (double)(after[i].taken - (was ? was->taken : 0));
		double contended = (double)(after[i].contended - (was ? was->contended : 0));
		if (taken > 0)
			printf("lock\t%s\t%s\t%s\t%.4f\t%.4f\n", b->name, after[i].name,
			       after[i].kind, taken / (double)b->rounds,
			       contended / (double)b->rounds);
	}
}

static int count_locks(const struct benchmark *b)
{
	static struct lock_row before[LOCKS_MAX], after[LOCKS_MAX];
	int err = b->setup ? b->setup() : 0;

	if (!err)
		err = b->run(b->rounds / 4 + 1);
	size_t before_n = read_locks(before);
	if (!err)
		err = before_n ? b->run(b->rounds) : ENODEV;
	size_t after_n = read_locks(after);
	if (b->teardown)
		b->teardown();
	if (err)
		printf("bench %s failed %s\n", b->name, strerror(err));
	else
		print_locks(b, before, before_n, after, after_n);
	fflush(stdout);
	return err;
}

static int profiled(const struct benchmark *b, unsigned long rounds)
{
	int err = b->run(rounds / 4 + 1);

	if (err)
		return err;
	bench_begin();
	err = b->run(rounds);
	bench_end();
	return err;
}

/* The least time of `n` operations; they are done four times. */
static int repeat(const struct benchmark *b, uint64_t *best)
{
	int err = 0;

	*best = UINT64_MAX;
	for (int round = 0; round < 4 && !err; round++) {
		unsigned long n = round == 0 ? b->rounds / 4 + 1 : b->rounds;
		paused_total = 0;
		uint64_t start = clock_ns();
		err = b->run(n);
		uint64_t took = clock_ns() - start - paused_total;
		if (round > 0 && took < *best)
			*best = took;
	}
	return err;
}

/* True if it failed. */
static int measure(const struct benchmark *b, unsigned long rounds)
{
	uint64_t best = 0;
	int err = b->setup ? b->setup() : 0;

	if (!err)
		err = rounds ? profiled(b, rounds) : repeat(b, &best);
	if (b->teardown)
		b->teardown();
	if (err) {
		printf("bench %s failed %s\n", b->name, strerror(err));
	} else if (rounds) {
		printf("bench %s 0 ns\n", b->name);
	} else {
		uint64_t tenths = best * 10 / b->rounds;
		printf("bench %s %llu.%llu ns\n", b->name, (unsigned long long)tenths / 10,
		       (unsigned long long)tenths % 10);
	}
	fflush(stdout);
	return err != 0;
}

static int wanted(const char *name, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(name, argv[i]) == 0)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	const struct group *const groups[] = {&syscall_group, &memory_group, &process_group,
					      &thread_group,  &wait_group,   &cpus_group};
	unsigned long rounds = 0;
	int locks = 0, failed = 0;

	argc--, argv++;
	if (argc == 1 && strcmp(argv[0], "--exit") == 0)
		return 0; /* what fork_exec_wait starts */
	if (argc > 1 && strcmp(argv[0], "--rounds") == 0) {
		rounds = strtoul(argv[1], NULL, 10);
		argc -= 2, argv += 2;
	}
	if (argc > 1 && strcmp(argv[0], "--locks") == 0)
		locks = 1, argc--, argv++;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		const struct benchmark *b = groups[i]->benchmarks;
		for (size_t left = groups[i]->count; left; left--, b++)
			if (argc ? wanted(b->name, argc, argv) : groups[i] != &cpus_group)
				failed |= locks ? count_locks(b) != 0 : measure(b, rounds);
	}
	return failed;
}
