/*
 * The latency benchmark: an audio-like task (1 ms of work every 5 ms), an interactive task (2 ms of work at
 * odd times) and a server that a client asks, beside eight processes that compute. On a kernel that knows
 * intents (<tern/tern.h>) each says what it is; on others the call fails and nothing else changes.
 *
 * latency [SECONDS [HOGS]] prints for each task: "latency NAME RUNS MISSES MEDIAN P99 MAX", nanoseconds from when it
 * should have run to when it did; a miss of the audio task is a period whose work ended after the next began, or that
 * went by without a run; of the others an answer later than 50 ms.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tern/tern.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
#define MOST 20000
#define ANSWER (50 * MS)

struct task {
	const char *name, *preset;
	void (*run)(struct task *t);
	uint64_t period, work;
	uint32_t runs, misses;
	uint64_t late[MOST];
};

static struct shared {
	_Atomic uint32_t ready, go, calibrated;
	uint64_t start, end;
	struct task tasks[3];
} *shared;

static uint64_t loops_per_ms;
static int requests[2];

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t due)
{
	struct timespec t = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
		;
}

static void spin(uint64_t loops)
{
	for (volatile uint64_t i = 0; i < loops; i++)
		;
}

/* A fixed amount, whatever else runs. */
static void work(uint64_t ns)
{
	spin(loops_per_ms * ns / MS);
}

/* With all CPUs at work: an emulator that runs one after the other gives each a part of its speed. */
static void calibrate(void)
{
	const uint64_t loops = 400000;
	cpu_set_t mine;
	int cpus = sched_getaffinity(0, sizeof(mine), &mine) ? 1 : CPU_COUNT(&mine);
	uint64_t began, took;

	for (int i = 1; i < cpus; i++)
		if (fork() == 0) {
			while (!atomic_load(&shared->calibrated))
				spin(1000);
			_exit(0);
		}
	if (cpus > 1)
		usleep(20000);
	spin(loops / 4);
	began = now_ns();
	spin(loops);
	took = now_ns() - began;
	loops_per_ms = loops * MS / (took ? took : 1);
	atomic_store(&shared->calibrated, 1);
	while (wait(NULL) > 0)
		;
}

static void declare(const char *preset)
{
	struct tern_intent i = {.size = sizeof(i), .op = TERN_INTENT_PRESET};

	strncpy(i.preset, preset, sizeof(i.preset) - 1);
	(void)!syscall(TERN_NR_INTENT, &i);
}

static void note(struct task *t, uint64_t due, uint64_t limit)
{
	uint64_t now = now_ns();

	if (t->runs >= MOST)
		return;
	t->late[t->runs++] = now > due ? now - due : 0;
	work(t->work);
	if (now_ns() > due + limit)
		t->misses++;
}

static void audio(struct task *t)
{
	for (uint64_t due = shared->start; due < shared->end; due += t->period) {
		sleep_until(due);
		note(t, due, t->period);
		/* Periods that went by meanwhile are lost, as samples are. */
		for (uint64_t now = now_ns();
		     due + 2 * t->period <= now && due + t->period < shared->end; due += t->period)
			t->misses++;
	}
}

static void interactive(struct task *t)
{
	uint32_t seed = 1;

	for (uint64_t due = shared->start; due < shared->end;) {
		seed = seed * 1664525u + 1013904223u;
		due += t->period / 2 + t->period * (seed >> 16) / 65536u;
		sleep_until(due);
		note(t, due, ANSWER);
	}
}

static void client(struct task *t)
{
	for (uint64_t due = shared->start + MS; due < shared->end; due += t->period) {
		sleep_until(due);
		if (write(requests[1], &due, sizeof(due)) != sizeof(due))
			_exit(1);
	}
	_exit(0);
}

static void server(struct task *t)
{
	uint64_t due;

	if (fork() == 0) {
		close(requests[0]);
		client(t);
	}
	close(requests[1]);
	while (read(requests[0], &due, sizeof(due)) == sizeof(due))
		note(t, due, ANSWER);
	wait(NULL);
}

static void hog(void)
{
	while (now_ns() < shared->end)
		spin(loops_per_ms / 4);
}

static void start(struct task *t, const char *preset)
{
	if (fork() != 0)
		return;
	prctl(PR_SET_TIMERSLACK, 1);
	declare(preset);
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go))
		usleep(1000);
	sleep_until(shared->start - 2 * MS);
	if (t)
		t->run(t);
	else
		hog();
	_exit(0);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void report(struct task *t)
{
	uint32_t n = t->runs;

	qsort(t->late, n, sizeof(t->late[0]), compare);
	printf("latency %s %u %u %lu %lu %lu\n", t->name, n, t->misses,
	       n ? (unsigned long)t->late[n / 2] : 0,
	       n ? (unsigned long)t->late[n * 99ul / 100] : 0,
	       n ? (unsigned long)t->late[n - 1] : 0);
}

int main(int argc, char **argv)
{
	uint64_t seconds = argc > 1 ? strtoul(argv[1], NULL, 10) : 2;
	uint32_t hogs = argc > 2 ? (uint32_t)atoi(argv[2]) : 8, all = hogs + 3;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED || pipe(requests) != 0)
		return 1;
	memset(shared, 0, sizeof(*shared));
	shared->tasks[0] = (struct task){"audio", "audio_playback", audio, 5 * MS, MS, 0, 0, {}};
	shared->tasks[1] =
		(struct task){"interactive", "ui_thread", interactive, 30 * MS, 2 * MS, 0, 0, {}};
	shared->tasks[2] = (struct task){"server", "web_server", server, 10 * MS, MS, 0, 0, {}};
	calibrate();
	for (int i = 0; i < 3; i++)
		start(&shared->tasks[i], shared->tasks[i].preset);
	close(requests[0]);
	close(requests[1]);
	for (uint32_t i = 0; i < hogs; i++)
		start(NULL, "compilation");
	while (atomic_load(&shared->ready) < all)
		usleep(1000);
	shared->start = now_ns() + 20 * MS;
	shared->end = shared->start + seconds * 1000000000u;
	atomic_store(&shared->go, 1);
	while (wait(NULL) > 0)
		;
	for (int i = 0; i < 3; i++)
		report(&shared->tasks[i]);
	return 0;
}
