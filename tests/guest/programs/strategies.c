/*
 * What the strategies of the scheduler `dis` gain (DI-6): each has one scenario, made of threads that declare nothing, run with
 * all strategies off, with this one alone, and with the three that are on by default. The same program is the
 * benchmark (`./tern bench ARCH --strategies`, counted) and the test: what is compared are counts that the kernel keeps,
 * or a median, and a strategy must gain much less here than it does, so that a busy host does not matter.
 *
 *	slice     four jobs of 12 ms come together every 60 ms, one CPU: how often one is cut short
 *	priority  three tasks of 1 ms at odd times beside four that compute, one CPU: how late they run
 *	affinity  eight tasks of 60 us at odd times, all CPUs: how often one wakes on another CPU than it ran on
 *	energy    three tasks of 1 ms every 10 ms, all CPUs: switches on all CPUs but the busiest
 */
#define _GNU_SOURCE
#include "tap.h"
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
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
	unsigned workers, hogs, learn, runs;
	bool one_cpu, odd;
	uint64_t period, apart, work;
	unsigned percent; /* of the figure without: less than that is asked for with it */
} scenarios[] = {
	{"slice", "jobs cut short, in 1,000", CUT, 4, 0, 12, 20, true, false, 60 * MS, 0, 12 * MS, 50},
	{"priority", "ran more than 1 ms late, of 1,000", LATE, 3, 4, 40, 80, true, true, 20 * MS, 3 * MS, MS, 60},
	{"affinity", "moved to another CPU, of 1,000", MOVED, 8, 0, 100, 900, false, true, MS, 0,
	 60 * US, 60},
	{"energy", "switches on all CPUs but the busiest", ELSEWHERE, 3, 0, 20, 80, false, false, 10 * MS,
	 3 * MS, MS, 60},
};
static const char *const names[] = {"slice", "priority", "affinity", "energy"};

static struct shared {
	_Atomic uint64_t start, end;
	struct {
		long cut, moved;
		uint64_t late[MOST], took[MOST];
	} of[WORKERS];
} *shared;

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void compute(uint64_t span)
{
	uint64_t until = cpu_ns() + span;

	while (cpu_ns() < until)
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
	static char text[8192];
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

static bool is_on(const char *strategy, bool on[static 1])
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/sched/dis/%s", strategy);
	*on = get_text(path)[0] == '1';
	return true;
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

	getrusage(RUSAGE_SELF, &r);
	return r.ru_nivcsw;
}

static long moved(void)
{
	const char *at = strstr(get_text("/proc/self/sched"), "nr_migrations : ");

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

static void worker(const struct scenario *s, unsigned me)
{
	uint32_t seed = me + 1;
	uint64_t due = shared->start + me * s->apart;

	for (unsigned k = 0; k < s->learn + s->runs; k++) {
		if (k == s->learn) {
			shared->of[me].cut = -cut_short();
			shared->of[me].moved = -moved();
		}
		seed = seed * 1664525u + 1013904223u;
		due += s->odd ? s->period / 2 + s->period * (seed >> 16) / 65536u : s->period;
		sleep_until(due);
		uint64_t late = now_ns() - due;
		compute(s->work);
		if (k < s->learn)
			continue;
		shared->of[me].late[k - s->learn] = late;
		shared->of[me].took[k - s->learn] = now_ns() - due;
	}
	shared->of[me].cut += cut_short();
	shared->of[me].moved += moved();
	_exit(0);
}

/* Beside them: 12 ms at odd times, 15 % of a CPU. */
static void beside(unsigned me)
{
	uint32_t seed = me + 100;

	for (uint64_t due = shared->start; !shared->end;) {
		seed = seed * 1664525u + 1013904223u;
		due += 40 * MS + 80 * MS * (seed >> 16) / 65536u;
		sleep_until(due);
		compute(12 * MS);
	}
	_exit(0);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct figures {
	long figure, took; /* took: ns from when it was due to its end, mean */
};

static struct figures add_up(const struct scenario *s, long elsewhere)
{
	static uint64_t late[WORKERS * MOST];
	long cut = 0, moves = 0, lates = 0, count = s->workers * s->runs;
	uint64_t took = 0;

	for (unsigned w = 0; w < s->workers; w++) {
		cut += shared->of[w].cut;
		moves += shared->of[w].moved;
		memcpy(late + w * s->runs, shared->of[w].late, s->runs * sizeof(late[0]));
		for (unsigned k = 0; k < s->runs; k++)
		{
			took += shared->of[w].took[k];
			lates += shared->of[w].late[k] > TOO_LATE;
		}
	}
	qsort(late, (size_t)count, sizeof(late[0]), compare);
	struct figures f = {.took = (long)(took / (uint64_t)count)};
	f.figure = s->counted == CUT     ? cut * 1000 / count
		   : s->counted == MOVED ? moves * 1000 / count
		   : s->counted == LATE  ? lates * 1000 / count
					 : elsewhere;
	return f;
}

static struct figures run(const struct scenario *s)
{
	pid_t pids[WORKERS], hogs[WORKERS];
	long before[64] = {0};

	memset(shared, 0, sizeof(*shared));
	shared->start = now_ns() + 50 * MS;
	fflush(stdout);
	for (unsigned w = 0; w < s->workers + s->hogs; w++) {
		pid_t pid = fork();
		if (pid == 0) {
			cpu_set_t first;
			CPU_ZERO(&first);
			CPU_SET(0, &first);
			if (s->one_cpu)
				sched_setaffinity(0, sizeof(first), &first);
			prctl(PR_SET_TIMERSLACK, 1);
			if (w < s->workers)
				worker(s, w);
			beside(w);
		}
		*(w < s->workers ? &pids[w] : &hogs[w - s->workers]) = pid;
	}
	sleep_until(shared->start + s->learn * s->period);
	switches(before);
	for (unsigned w = 0; w < s->workers; w++)
		check(status_of(pids[w]) == 0, "%s: a task ends", s->name);
	long elsewhere = switches(before);
	shared->end = 1;
	for (unsigned h = 0; h < s->hogs; h++)
		status_of(hogs[h]);
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

int main(void)
{
	char was[32];
	bool on[4];

	if (access(POLICY, F_OK) != 0)
		return 0; /* not this kernel */
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(was, sizeof(was), "%s", get_text(POLICY));
	was[strcspn(was, "\n")] = 0;
	check(put_text(POLICY, "dis"), "dis");
	for (int i = 0; i < 4; i++)
		is_on(names[i], &on[i]);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		gains(&scenarios[i]);
	for (int i = 0; i < 4; i++)
		turn(names[i], on[i]);
	check(put_text(POLICY, was), "the first scheduler again");
	return tap_end();
}
