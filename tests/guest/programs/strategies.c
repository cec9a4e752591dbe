/*
 * What the strategies of the scheduler `dis` gain (DI-6): each has one scenario, made of threads that declare nothing, run with
 * all strategies off, with this one alone, and with the three that are on by default. The same program is the
 * benchmark (`./tern bench ARCH --strategies`, counted) and the test: what is compared are counts that the kernel keeps,
 * or a median, and a strategy must gain much less here than it does, so that a busy host does not matter.
 *
 *	slice     four jobs of 12 ms come together every 60 ms, one CPU: how often one is cut short
 *	priority  three tasks of 1 ms at odd times beside four that compute, one CPU: how late they run
 *	affinity  two tasks of 60 us a CPU at odd times, all CPUs: how often one wakes on another CPU than it ran on
 *	energy    three tasks of 1 ms at odd times, all CPUs: switches on all CPUs but the busiest
 */
#define _GNU_SOURCE
#include "cpus.h"
#include "tap.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define POLICY "/sys/kernel/sched/policy"
#define US 1000ull
#define MS 1000000ull
#define WORKERS 8
#define MOST 1024

enum counted { CUT, LATE, MOVED, ELSEWHERE };
#define TOO_LATE MS

static const struct scenario {
	const char *name, *what;
	enum counted counted;
	unsigned workers, /* 0: two a CPU */
		beside, learn, runs;
	bool one_cpu, odd;
	uint64_t period, apart, work;
	unsigned percent; /* of the figure without: less than that is asked for with it */
} scenarios[] = {
	{"slice", "jobs cut short, in 1,000", CUT, 4, 0, 10, 16, true, false, 60 * MS, 0, 12 * MS,
	 50},
	{"priority", "ran more than 1 ms late, of 1,000", LATE, 3, 4, 30, 60, true, true, 20 * MS,
	 3 * MS, MS, 60},
	{"affinity", "moved to another CPU, of 1,000", MOVED, 0, 0, 30, 200, false, true, MS, 0,
	 60 * US, 60},
	{"energy", "switches on all CPUs but the busiest", ELSEWHERE, 3, 0, 20, 60, false, true,
	 10 * MS, 0, MS, 60},
};
static const char *const names[] = {"slice", "priority", "affinity", "energy"};

static struct task {
	const struct scenario *s;
	unsigned me;
	pthread_t thread;
	long cut, moved;
	uint64_t late[MOST], took[MOST];
} tasks[WORKERS];
static uint64_t start;
static atomic_bool stop;

static void compute(uint64_t span)
{
	uint64_t until = cpu_ns() + span;

	/* Not a clock reading after the other: an emulator that counts may be slow at them. */
	while (cpu_ns() < until)
		for (volatile int i = 0; i < 1000; i++)
			;
}

static void sleep_until(uint64_t due)
{
	struct timespec t = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
		;
}

static char *get_text(const char *path)
{
	static _Thread_local char text[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = 0;
	return text;
}

static bool put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

static bool is_on(const char *strategy)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/sched/dis/%s", strategy);
	return get_text(path)[0] == '1';
}

static void turn(const char *strategy, bool on)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/sched/dis/%s", strategy);
	put_text(path, on ? "1" : "0");
}

/* ---- What the kernel counts ---- */

static long cut_short(void)
{
	struct rusage r;

	getrusage(RUSAGE_THREAD, &r);
	return r.ru_nivcsw;
}

static long moved(void)
{
	const char *at = strstr(get_text("/proc/thread-self/sched"), "nr_migrations : ");

	return at ? atol(at + 16) : 0;
}

/* Switches of each CPU, since boot: the sum without the CPU that has the most since `before`. */
static long switches(long before[static 64])
{
	char *line = strchr(get_text("/sys/kernel/sched/stats"), '\n');
	long sum = 0, most = 0;

	for (int cpu = 0; line && line[1] && cpu < 64; cpu++, line = strchr(line + 1, '\n')) {
		long n[5] = {0};
		sscanf(line, "%*d %ld %ld %ld %ld %ld", &n[0], &n[1], &n[2], &n[3], &n[4]);
		long all = n[0] + n[1] + n[2] + n[3] + n[4], since = all - before[cpu];
		before[cpu] = all;
		sum += since;
		most = since > most ? since : most;
	}
	return sum - most;
}

/* ---- One run ---- */

static uint32_t odd(uint32_t *seed, uint64_t below)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (uint32_t)(below * (*seed >> 16) / 65536u);
}

static void begin(const struct scenario *s)
{
	if (s->one_cpu)
		keep_on(0, 0);
	prctl(PR_SET_TIMERSLACK, 1);
}

static void *work(void *arg)
{
	struct task *t = arg;
	const struct scenario *s = t->s;
	uint32_t seed = t->me + 1;
	uint64_t due = start + t->me * s->apart;

	begin(s);
	for (unsigned k = 0; k < s->learn + s->runs; k++) {
		if (k == s->learn) {
			t->cut = -cut_short();
			t->moved = -moved();
		}
		due += s->odd ? s->period / 2 + odd(&seed, s->period) : s->period;
		sleep_until(due);
		uint64_t late = now_ns() - due;
		compute(s->work);
		if (k < s->learn)
			continue;
		t->late[k - s->learn] = late;
		t->took[k - s->learn] = now_ns() - due;
	}
	t->cut += cut_short();
	t->moved += moved();
	return NULL;
}

/* 12 ms at odd times, 15 % of a CPU. */
static void *compute_beside(void *arg)
{
	struct task *t = arg;
	uint32_t seed = t->me + 100;

	begin(t->s);
	for (uint64_t due = start; !atomic_load(&stop);) {
		due += 40 * MS + odd(&seed, 80 * MS);
		sleep_until(due);
		compute(12 * MS);
	}
	return NULL;
}

struct figures {
	long figure, took; /* took: ns from when it was due to its end, mean */
};

static unsigned workers_of(const struct scenario *s)
{
	cpu_set_t mine;
	unsigned cpus = sched_getaffinity(0, sizeof(mine), &mine) ? 1 : (unsigned)CPU_COUNT(&mine);

	return s->workers ? s->workers : cpus < WORKERS / 2 ? cpus * 2 : WORKERS;
}

static struct figures add_up(const struct scenario *s, long elsewhere)
{
	long cut = 0, moves = 0, late = 0, count = workers_of(s) * s->runs;
	uint64_t took = 0;

	for (struct task *t = tasks; t < tasks + workers_of(s); t++) {
		cut += t->cut;
		moves += t->moved;
		for (unsigned k = 0; k < s->runs; k++) {
			took += t->took[k];
			late += t->late[k] > TOO_LATE;
		}
	}
	struct figures f = {.took = (long)(took / (uint64_t)count)};
	f.figure = s->counted == ELSEWHERE ? elsewhere
					   : (s->counted == CUT     ? cut
					      : s->counted == MOVED ? moves
								    : late) *
						     1000 / count;
	return f;
}

static struct figures run(const struct scenario *s)
{
	long before[64] = {0};
	unsigned workers = workers_of(s), all = workers + s->beside;

	start = now_ns() + 50 * MS;
	atomic_store(&stop, false);
	for (unsigned i = 0; i < all; i++) {
		tasks[i].s = s;
		tasks[i].me = i;
		if (pthread_create(&tasks[i].thread, NULL, i < workers ? work : compute_beside,
				   &tasks[i]))
			exit(1);
	}
	sleep_until(start + s->learn * s->period);
	switches(before);
	for (unsigned i = 0; i < workers; i++)
		pthread_join(tasks[i].thread, NULL);
	long elsewhere = switches(before);
	atomic_store(&stop, true);
	for (unsigned i = workers; i < all; i++)
		pthread_join(tasks[i].thread, NULL);
	return add_up(s, elsewhere);
}

static void gains(const struct scenario *s)
{
	struct figures f[3];

	for (int how = 0; how < 3; how++) {
		for (int i = 0; i < 4; i++)
			turn(names[i], how == 2 ? i < 3 : how && strcmp(names[i], s->name) == 0);
		f[how] = run(s);
	}
	printf("# strategy %s %ld %ld %ld took %ld %ld %ld\n", s->name, f[0].figure, f[1].figure,
	       f[2].figure, f[0].took, f[1].took, f[2].took);
	check(f[0].figure > 0 && f[1].figure * 100 < f[0].figure * (long)s->percent,
	      "%s: %s, %ld without it, %ld with it", s->name, s->what, f[0].figure, f[1].figure);
}

/* The names of strategies; none: all. */
int main(int argc, char **argv)
{
	char was[32];
	bool on[4];

	if (access(POLICY, F_OK) != 0)
		return 0; /* not this kernel */
	snprintf(was, sizeof(was), "%s", get_text(POLICY));
	was[strcspn(was, "\n")] = 0;
	check(put_text(POLICY, "dis"), "dis");
	for (int i = 0; i < 4; i++)
		on[i] = is_on(names[i]);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		for (int a = argc > 1 ? 1 : 0; a < argc; a++)
			if (argc == 1 || strcmp(argv[a], scenarios[i].name) == 0)
				gains(&scenarios[i]);
	for (int i = 0; i < 4; i++)
		turn(names[i], on[i]);
	check(put_text(POLICY, was), "the first scheduler again");
	return tap_end();
}
