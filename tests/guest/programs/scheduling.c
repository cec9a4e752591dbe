/*
 * Scheduling: the calls with their arguments and errors as Linux gives them, row by row; and the
 * policies of this kernel, changed while threads compute, sleep and wake each other.
 */
#define _GNU_SOURCE
#include "cpus.h"
#include "tap.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define POLICY "/sys/kernel/sched/policy"
#define BAD ((void *)-4096l)

/* musl's own functions refuse all of it. */
#define sched_setscheduler(pid, policy, p) syscall(SYS_sched_setscheduler, pid, policy, p)
#define sched_getscheduler(pid) (int)syscall(SYS_sched_getscheduler, pid)

struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint64_t later;
};

static int value; /* for rows that read or write something */
static int ten = 10, hundred = 100, zero;
static uint64_t mask_all = ~0ull, mask_none;
static struct timespec span;
static struct attributes normal = {.size = 48, .nice = 3}, tiny = {.size = 40},
			 extended = {.size = 56, .later = 1},
			 odd_flags = {.size = 48, .flags = 1 << 20},
			 late = {.size = 48, .policy = 6, .runtime = 10000000, .deadline = 5000000},
			 busy = {.size = 48,
				 .policy = 6,
				 .runtime = 1000000,
				 .deadline = 5000000,
				 .period = 10000000},
			 got;

#define A(x) ((long)(x))
static const struct {
	const char *name;
	long call, a, b, c, d;
	int error; /* 0: it succeeds with `result`; -1: any result */
	long result;
} rows[] = {
	{"getpriority of nobody", SYS_getpriority, 0, 99999, 0, 0, ESRCH, 0},
	{"getpriority of an unknown kind", SYS_getpriority, 3, 0, 0, 0, EINVAL, 0},
	{"getpriority of oneself", SYS_getpriority, 0, 0, 0, 0, 0, 20},
	{"setpriority of an unknown kind", SYS_setpriority, -1, 0, 0, 0, EINVAL, 0},
	{"setpriority of nobody", SYS_setpriority, 0, 99999, 0, 0, ESRCH, 0},
	{"setpriority of no such group", SYS_setpriority, 1, 99999, 0, 0, ESRCH, 0},
	{"setpriority of no such user", SYS_setpriority, 2, 54321, 0, 0, ESRCH, 0},
	{"setpriority far out of range", SYS_setpriority, 0, 0, 1000, 0, 0, 0},
	{"getpriority: it was cut", SYS_getpriority, 0, 0, 0, 0, 0, 1},
	{"setpriority back", SYS_setpriority, 0, 0, 0, 0, 0, 0},
	{"setscheduler: policy", SYS_sched_setscheduler, 0, 4, A(&zero), 0, EINVAL, 0},
	{"setscheduler: negative policy", SYS_sched_setscheduler, 0, -1, A(&zero), 0, EINVAL, 0},
	{"setscheduler: negative pid", SYS_sched_setscheduler, -1, 0, A(&zero), 0, EINVAL, 0},
	{"setscheduler: nobody", SYS_sched_setscheduler, 99999, 0, A(&zero), 0, ESRCH, 0},
	{"setscheduler: null", SYS_sched_setscheduler, 0, 0, 0, 0, EINVAL, 0},
	{"setscheduler: bad address", SYS_sched_setscheduler, 0, 0, A(BAD), 0, EFAULT, 0},
	{"setscheduler: OTHER with a priority", SYS_sched_setscheduler, 0, 0, A(&ten), 0, EINVAL,
	 0},
	{"setscheduler: FIFO without one", SYS_sched_setscheduler, 0, 1, A(&zero), 0, EINVAL, 0},
	{"setscheduler: FIFO with 100", SYS_sched_setscheduler, 0, 1, A(&hundred), 0, EINVAL, 0},
	{"setscheduler: DEADLINE", SYS_sched_setscheduler, 0, 6, A(&zero), 0, EINVAL, 0},
	{"setscheduler: RR 10", SYS_sched_setscheduler, 0, 2, A(&ten), 0, 0, 0},
	{"getscheduler: RR", SYS_sched_getscheduler, 0, 0, 0, 0, 0, 2},
	{"getparam", SYS_sched_getparam, 0, A(&value), 0, 0, 0, 0},
	{"setparam: 0 for RR", SYS_sched_setparam, 0, A(&zero), 0, 0, EINVAL, 0},
	{"setparam: 10", SYS_sched_setparam, 0, A(&ten), 0, 0, 0, 0},
	{"rr_get_interval", SYS_sched_rr_get_interval, 0, A(&span), 0, 0, 0, 0},
	{"setscheduler: reset on fork", SYS_sched_setscheduler, 0, 1 | 0x40000000, A(&ten), 0, 0,
	 0},
	{"getscheduler: reset on fork", SYS_sched_getscheduler, 0, 0, 0, 0, 0, 1 | 0x40000000},
	{"setscheduler: OTHER", SYS_sched_setscheduler, 0, 0, A(&zero), 0, 0, 0},
	{"getscheduler: negative", SYS_sched_getscheduler, -1, 0, 0, 0, EINVAL, 0},
	{"getscheduler: nobody", SYS_sched_getscheduler, 99999, 0, 0, 0, ESRCH, 0},
	{"getparam: null", SYS_sched_getparam, 0, 0, 0, 0, EINVAL, 0},
	{"getparam: bad address", SYS_sched_getparam, 0, A(BAD), 0, 0, EFAULT, 0},
	{"priority_max: FIFO", SYS_sched_get_priority_max, 1, 0, 0, 0, 0, 99},
	{"priority_min: RR", SYS_sched_get_priority_min, 2, 0, 0, 0, 0, 1},
	{"priority_max: DEADLINE", SYS_sched_get_priority_max, 6, 0, 0, 0, 0, 0},
	{"priority_max: IDLE", SYS_sched_get_priority_max, 5, 0, 0, 0, 0, 0},
	{"priority_max: 4", SYS_sched_get_priority_max, 4, 0, 0, 0, EINVAL, 0},
	{"priority_min: -1", SYS_sched_get_priority_min, -1, 0, 0, 0, EINVAL, 0},
	{"rr_get_interval: negative", SYS_sched_rr_get_interval, -1, A(&span), 0, 0, EINVAL, 0},
	{"rr_get_interval: bad address", SYS_sched_rr_get_interval, 0, A(BAD), 0, 0, EFAULT, 0},
	{"setattr: null", SYS_sched_setattr, 0, 0, 0, 0, EINVAL, 0},
	{"setattr: flags", SYS_sched_setattr, 0, A(&normal), 1, 0, EINVAL, 0},
	{"setattr: negative pid", SYS_sched_setattr, -1, A(&normal), 0, 0, EINVAL, 0},
	{"setattr: nobody", SYS_sched_setattr, 99999, A(&normal), 0, 0, ESRCH, 0},
	{"setattr: bad address", SYS_sched_setattr, 0, A(BAD), 0, 0, EFAULT, 0},
	{"setattr: too small", SYS_sched_setattr, 0, A(&tiny), 0, 0, E2BIG, 0},
	{"setattr: unknown rest", SYS_sched_setattr, 0, A(&extended), 0, 0, E2BIG, 0},
	{"setattr: unknown flags", SYS_sched_setattr, 0, A(&odd_flags), 0, 0, EINVAL, 0},
	{"setattr: runtime beyond deadline", SYS_sched_setattr, 0, A(&late), 0, 0, EINVAL, 0},
	{"setattr: DEADLINE", SYS_sched_setattr, 0, A(&busy), 0, 0, EBUSY, 0},
	{"setattr: nice 3", SYS_sched_setattr, 0, A(&normal), 0, 0, 0, 0},
	{"getattr", SYS_sched_getattr, 0, A(&got), 48, 0, 0, 0},
	{"getattr: too small", SYS_sched_getattr, 0, A(&got), 40, 0, EINVAL, 0},
	{"getattr: too large", SYS_sched_getattr, 0, A(&got), 8192, 0, EINVAL, 0},
	{"getattr: flags", SYS_sched_getattr, 0, A(&got), 48, 1, EINVAL, 0},
	{"getattr: bad address", SYS_sched_getattr, 0, A(BAD), 48, 0, EFAULT, 0},
	{"setaffinity: no CPU", SYS_sched_setaffinity, 0, 8, A(&mask_none), 0, EINVAL, 0},
	{"setaffinity: nobody", SYS_sched_setaffinity, 99999, 8, A(&mask_all), 0, ESRCH, 0},
	{"setaffinity: bad address", SYS_sched_setaffinity, 0, 8, A(BAD), 0, EFAULT, 0},
	{"setaffinity: all", SYS_sched_setaffinity, 0, 8, A(&mask_all), 0, 0, 0},
	{"getaffinity: too short", SYS_sched_getaffinity, 0, 4, A(&mask_all), 0, EINVAL, 0},
	{"getaffinity: nobody", SYS_sched_getaffinity, 99999, 8, A(&mask_all), 0, ESRCH, 0},
	{"getcpu: bad address", SYS_getcpu, A(BAD), 0, 0, 0, EFAULT, 0},
	{"getrusage: kind", SYS_getrusage, 2, A(&span), 0, 0, EINVAL, 0},
};

static void calls(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		errno = 0;
		long r = syscall(rows[i].call, rows[i].a, rows[i].b, rows[i].c, rows[i].d);
		int error = r < 0 ? errno : 0;
		bool good = error == rows[i].error && (error || r == rows[i].result);
		if (!good)
			printf("# %s: %ld, %s\n", rows[i].name, r, strerror(error));
		tap_failed += !good;
		printf("%s %s\n", good ? "ok" : "not ok", rows[i].name);
	}
	check(value == 10, "getparam gave 10");
	check(span.tv_sec == 0 && span.tv_nsec >= 1000000, "the slice is some milliseconds");
	check(got.size == 48 && got.policy == 0 && got.nice == 3, "getattr gave nice 3");
	check(setpriority(PRIO_PROCESS, 0, 0) == 0, "nice 0 again");
}

/* ---- Who may not ---- */

static int as_user(void)
{
	struct sched_param ten_p = {.sched_priority = 10}, five = {.sched_priority = 5}, none = {};
	struct rlimit rt = {5, 5}, nice_limit = {25, 25};
	int bad = 0;

	if (setrlimit(RLIMIT_RTPRIO, &rt) || setrlimit(RLIMIT_NICE, &nice_limit) || setuid(1000))
		return 100;
	bad += !(sched_setscheduler(0, SCHED_FIFO, &ten_p) == -1 && errno == EPERM);
	bad += 2 * (sched_setscheduler(0, SCHED_FIFO, &five) != 0);
	bad += 4 * (sched_setscheduler(0, SCHED_OTHER, &none) != 0);
	bad += 8 * (setpriority(PRIO_PROCESS, 0, -5) != 0);
	bad += 16 * !(setpriority(PRIO_PROCESS, 0, -6) == -1 && errno == EACCES);
	bad += 32 * !(setpriority(PRIO_PROCESS, 1, 10) == -1 && errno == EPERM);
	bad += 64 * !(sched_setscheduler(1, SCHED_OTHER, &none) == -1 && errno == EPERM);
	return bad;
}

static void rights(void)
{
	check(in_child(_exit(as_user())) == 0, "limits and rights of who is not the superuser");
	struct sched_param p = {.sched_priority = 20};
	int child = in_child(sched_setscheduler(0, SCHED_FIFO | 0x40000000, &p);
			     _exit(in_child(_exit(sched_getscheduler(0)))));
	check(child == 0, "a child of reset on fork is ordinary");
	child = in_child(sched_setscheduler(0, SCHED_RR, &p);
			 _exit(in_child(_exit(sched_getscheduler(0)))));
	check(child == SCHED_RR, "a child of RR is RR");
}

/* ---- Figures ---- */

static long field(const char *path, const char *name)
{
	char text[4096], *at;
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	close(fd);
	if (n < 0)
		return -1;
	text[n] = 0;
	at = strstr(text, name);
	return at ? atol(at + strlen(name)) : -1;
}

static long microseconds(const struct rusage *r)
{
	return r->ru_utime.tv_sec * 1000000 + r->ru_utime.tv_usec + r->ru_stime.tv_sec * 1000000 +
	       r->ru_stime.tv_usec;
}

static void figures(void)
{
	struct rusage a, b;
	struct timespec nap = {0, 2000000};

	/* A sleep that is over before the processor leaves the thread is none. */
	int naps = 0;
	getrusage(RUSAGE_SELF, &a);
	do {
		nanosleep(&nap, NULL);
		naps++;
		getrusage(RUSAGE_SELF, &b);
	} while (b.ru_nvcsw - a.ru_nvcsw < 20 && naps < 400);
	check(b.ru_nvcsw - a.ru_nvcsw >= 20 && b.ru_nvcsw - a.ru_nvcsw <= naps + 4,
	      "sleeps are voluntary switches");
	long before = field("/proc/self/status", "\nvoluntary_ctxt_switches:");
	for (naps = 0;
	     naps < 400 && field("/proc/self/status", "\nvoluntary_ctxt_switches:") == before;
	     naps++)
		nanosleep(&nap, NULL);
	check(field("/proc/self/status", "\nvoluntary_ctxt_switches:") > before,
	      "/proc/self/status counts them");
	/* Both clocks are the thread's: the inner reading is not longer, the outer one not shorter. */
	uint64_t outer = cpu_ns();
	getrusage(RUSAGE_THREAD, &a);
	uint64_t inner = cpu_ns(), end;
	do
		end = cpu_ns();
	while (end - inner < 30000000);
	getrusage(RUSAGE_THREAD, &b);
	outer = cpu_ns() - outer;
	uint64_t took = (uint64_t)(microseconds(&b) - microseconds(&a));
	check(took >= (end - inner) / 1000 - 2 && took <= outer / 1000 + 2,
	      "getrusage and the CPU clock agree (%lu us; %lu to %lu ns)", (unsigned long)took,
	      (unsigned long)(end - inner), (unsigned long)outer);
	check(field("/proc/self/schedstat", "") >= 30000000, "/proc/self/schedstat has the time");
	check(field("/proc/self/sched", "nr_switches :") > 20, "/proc/self/sched has the switches");
}

/* ---- Reasons of switches and of sleeping (TH-2, TH-6) ---- */

#define STATS "/sys/kernel/sched/stats"

/* The sum over the CPUs of the column that the first line calls `name`. */
static long reason(const char *name)
{
	char line[512], *word, *rest;
	int column = -1;
	long sum = 0;
	FILE *f = fopen(STATS, "r");

	while (f && fgets(line, sizeof(line), f)) {
		bool head = column < 0;
		int i = 0;
		for (word = strtok_r(line, " \n", &rest); word;
		     word = strtok_r(NULL, " \n", &rest), i++)
			if (head ? strcmp(word, name) == 0 : i == column) {
				column = i;
				sum += head ? 0 : atol(word);
			}
	}
	if (f)
		fclose(f);
	return column < 0 ? -1 : sum;
}

static void *nothing(void *arg)
{
	return arg;
}

static void *sleeps(void *arg)
{
	usleep(5000);
	return arg;
}

static void *yields(void *arg)
{
	keep_on(0, 0);
	for (uint64_t end = now_ns() + 100000000; now_ns() < end;)
		sched_yield();
	return arg;
}

static void *computes(void *arg)
{
	keep_on(0, 0);
	for (uint64_t end = now_ns() + 100000000; now_ns() < end;)
		;
	return arg;
}

static void cause(void *(*fn)(void *arg), int count)
{
	pthread_t t[2];

	for (int i = 0; i < count; i++)
		pthread_create(&t[i], NULL, fn, NULL);
	for (int i = 0; i < count; i++)
		pthread_join(t[i], NULL);
}

/* What a child of the first kind sleeps for, as /proc says it. */
static bool sleeps_for(const char *what, int kind)
{
	static int shared_word;
	char path[32], text[32] = "";
	int p[2];

	fflush(stdout);
	if (pipe(p))
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		if (kind == 0)
			read(p[0], &c, 1);
		else if (kind == 1)
			sleep(1000);
		else if (kind == 2)
			syscall(SYS_futex, &shared_word, 0, 0, NULL, NULL, 0);
		else if (kind == 3 && fork())
			waitpid(-1, NULL, 0);
		else if (kind == 3)
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigset_t all_pass; /* pause() is a poll where there is no such call */
		sigemptyset(&all_pass);
		for (;;)
			sigsuspend(&all_pass);
	}
	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	for (int i = 0; i < 2000 && strcmp(text, what) != 0; i++) {
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = 0;
		text[strcspn(text, "\n")] = 0;
		close(fd);
		usleep(1000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(p[0]);
	close(p[1]);
	if (strcmp(text, what) != 0)
		printf("# it says %s\n", text);
	return strcmp(text, what) == 0;
}

static void reasons(void)
{
	static const struct {
		const char *name;
		void *(*fn)(void *arg);
		int count;
	} rows[] = {{"new", nothing, 1},
		    {"exit", nothing, 1},
		    {"blocked", sleeps, 1},
		    {"yielded", yields, 2},
		    {"preempted", computes, 2}};
	static const char *const waits[] = {"ipc", "timer", "futex", "child", "signal"};

	if (access(STATS, F_OK) != 0)
		return; /* not this kernel */
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		long before = reason(rows[i].name), more = 0;
		/* Interrupts that find kernel code are another reason. */
		for (int k = 0; k < 20 && !more; k++) {
			cause(rows[i].fn, rows[i].count);
			more = reason(rows[i].name) - before;
		}
		check(before >= 0 && more > 0, "switches are counted: %s", rows[i].name);
	}
	check(reason("interrupt") >= 0, "switches are counted: interrupt");
	for (int i = 0; i < 5; i++)
		check(sleeps_for(waits[i], i), "one sleeps for %s", waits[i]);
}

/* ---- A thread that sleeps and wakes all the time is moved ---- */

static atomic_bool stop;
static atomic_long rounds[6];
static int ends[2][2];
static atomic_int moved_id, moved_cpu;

static void *answer(void *arg)
{
	char c;

	while (read(ends[0][0], &c, 1) == 1 && write(ends[1][1], &c, 1) == 1)
		;
	return NULL;
}

static void *moved(void *arg)
{
	char c = 'x';

	moved_id = (int)syscall(SYS_gettid);
	while (!stop && write(ends[0][1], &c, 1) == 1 && read(ends[1][0], &c, 1) == 1) {
		moved_cpu = sched_getcpu();
		++rounds[0];
	}
	close(ends[0][1]);
	return NULL;
}

/* Its CPU is taken from it while it leaves that CPU, is woken, or waits: two rounds later it is elsewhere. */
static void moves(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), wrong = 0;
	pthread_t t[2];

	if (pipe(ends[0]) || pipe(ends[1]))
		exit(1);
	pthread_create(&t[0], NULL, answer, NULL);
	pthread_create(&t[1], NULL, moved, NULL);
	while (!moved_id)
		usleep(100);
	for (int i = 0; i < 400; i++) {
		wrong += keep_on(moved_id, (int)(i % cpus)) != 0;
		for (long seen = rounds[0]; rounds[0] < seen + 3;)
			sched_yield();
		wrong += moved_cpu != i % cpus;
	}
	check(wrong == 0, "moved 400 times between sleeping and waking (wrong: %ld)", wrong);
	stop = true;
	pthread_join(t[1], NULL);
	pthread_join(t[0], NULL);
	for (int i = 0; i < 4; i++)
		close(ends[i / 2][i % 2]);
	stop = false;
	rounds[0] = 0;
}

/* ---- The policies of this kernel ---- */

static void *hog(void *arg)
{
	while (!stop)
		++*(atomic_long *)arg;
	return NULL;
}

static void *sleeper(void *arg)
{
	struct timespec nap = {0, 300000};

	while (!stop) {
		nanosleep(&nap, NULL);
		++*(atomic_long *)arg;
	}
	return NULL;
}

static void *echo(void *arg)
{
	char c;

	while (read(ends[0][0], &c, 1) == 1 && write(ends[1][1], &c, 1) == 1)
		++*(atomic_long *)arg;
	return NULL;
}

static void *ask(void *arg)
{
	char c = 'x';

	while (!stop && write(ends[0][1], &c, 1) == 1 && read(ends[1][0], &c, 1) == 1)
		++*(atomic_long *)arg;
	close(ends[0][1]);
	return NULL;
}

static bool set_policy(const char *name)
{
	int fd = open(POLICY, O_WRONLY);
	bool good = fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name);
	int error = errno;

	close(fd);
	errno = error;
	return good;
}

/* A process that computes until `end`, with a real-time policy or without. */
static pid_t computing(bool realtime, uint64_t end)
{
	struct sched_param p = {.sched_priority = 10};
	pid_t pid = fork();

	if (pid)
		return pid;
	if (realtime)
		sched_setscheduler(0, SCHED_FIFO, &p);
	while (now_ns() < end)
		;
	_exit(0);
}

/* Real-time programs on all CPUs but one, and others on all: who may use the last one does not wait for the
 * real-time ones, wherever it ran before. */
static void one_cpu_left(void)
{
	static const char *const names[] = {"fifo", "mlfq", "dis", "prio"};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus < 2)
		return;
	for (int i = 0; i < 4; i++) {
		pid_t pids[128];
		uint64_t began = now_ns(), end = began + 20000000000;
		check(set_policy(names[i]), "%s for all", names[i]);
		for (int k = 0; k < 2 * cpus - 1; k++)
			pids[k] = computing(k < cpus - 1, end);
		for (int k = 0; k < 8; k++)
			sleep_ms(10);
		uint64_t took = now_ns() - began;
		check(took < 15000000000, "%s: one CPU without real-time programs is enough",
		      names[i]);
		printf("# %s: %lu ms\n", names[i], (unsigned long)(took / 1000000));
		for (int k = 0; k < 2 * cpus - 1; k++) {
			kill(pids[k], SIGKILL);
			status_of(pids[k]);
		}
	}
}

static void policies(void)
{
	static const char *const names[] = {"fifo", "mlfq", "prio", "dis"};
	void *(*const kinds[])(void *) = {hog, hog, sleeper, echo, ask, hog};
	char was[32] = "";
	pthread_t t[6];
	bool all = true;

	int fd = open(POLICY, O_RDONLY);
	if (fd < 0)
		return; /* not this kernel */
	ssize_t n = read(fd, was, sizeof(was) - 1);
	close(fd);
	check(n > 1 && strpbrk(was, "\n"), "a policy is in use");
	was[strcspn(was, "\n")] = 0;
	check(!set_policy("nonsense") && errno == EINVAL, "an unknown policy is refused");
	check(in_child(setuid(1000); _exit(set_policy("fifo"))) == 0,
	      "only the superuser changes it");
	one_cpu_left();
	struct sched_param p = {.sched_priority = 5};
	sched_setscheduler(0, SCHED_RR, &p);
	if (pipe(ends[0]) || pipe(ends[1]))
		exit(1);
	pthread_attr_t plain;
	pthread_attr_init(&plain);
	pthread_attr_setinheritsched(&plain, PTHREAD_EXPLICIT_SCHED);
	for (int i = 0; i < 6; i++)
		pthread_create(&t[i], &plain, kinds[i], &rounds[i]);
	for (int i = 0; i < 100; i++) {
		all &= set_policy(names[i % 4]);
		usleep(1000);
	}
	check(all, "a hundred changes under load");
	check(set_policy("mlfq"), "mlfq");
	all = true;
	for (int i = 0; i < 6; i++) {
		long seen = rounds[i];
		for (int k = 0; k < 5000 && rounds[i] == seen; k++)
			usleep(1000);
		all &= rounds[i] != seen;
	}
	check(all, "no thread was lost");
	stop = true;
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	check(set_policy(was), "the first policy again");
	check(field("/sys/kernel/sched/change", "changes ") >= 100, "they were counted");
	check(field("/sys/kernel/sched/change", "pause_max_ns ") > 0, "their pause was measured");
}

int main(void)
{
	calls();
	rights();
	figures();
	moves();
	reasons();
	policies();
	return tap_end();
}
