/* Floating-point and vector registers survive switches between threads, signals and fork. */
#define _GNU_SOURCE
#include "cpus.h"
#include "tap.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t ticks;
static _Atomic int wrong;

/* A sum that only comes out if sixteen live values are kept through all interruptions. */
static double churn(double seed, int rounds)
{
	double v[16];

	for (int i = 0; i < 16; i++)
		v[i] = seed + i;
	for (int r = 0; r < rounds; r++)
		for (int i = 0; i < 16; i++)
			v[i] = v[i] * 1.0000001 + v[(i + 5) & 15] * 1e-7;
	double sum = 0;
	for (int i = 0; i < 16; i++)
		sum += v[i];
	return sum;
}

static void *compare(void *arg)
{
	double seed = (double)(intptr_t)arg, first = churn(seed, 20000);

	for (int i = 0; i < 20; i++)
		if (churn(seed, 20000) != first)
			wrong++;
	return NULL;
}

static void disturb(int sig)
{
	volatile double x = 3.0;

	for (int i = 0; i < 20; i++)
		x = x * 1.5 + 2.0;
	ticks++;
}

/* ---- Threads that never compute cost no saves ---- */

static long saves_of_this_thread(void)
{
	char text[1024], *at;
	int fd = open("/proc/thread-self/sched", O_RDONLY);

	if (fd < 0)
		fd = open("/proc/self/sched", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = 0;
	at = strstr(text, "fpu_saves :");
	return at ? atol(at + strlen("fpu_saves :")) : -1;
}

static int ends[2][2];

/* The other side of a conversation: nothing here touches the unit. */
static void *answer(void *arg)
{
	char c;

	while (read(ends[0][0], &c, 1) == 1 && write(ends[1][1], &c, 1) == 1)
		;
	return NULL;
}

static void talk(void)
{
	pthread_t t;
	char c = 'x';
	long before, after, rounds = 500;

	if (pipe(ends[0]) || pipe(ends[1]) || pthread_create(&t, NULL, answer, NULL))
		exit(1);
	before = saves_of_this_thread();
	for (long i = 0; i < rounds; i++)
		if (write(ends[0][1], &c, 1) != 1 || read(ends[1][0], &c, 1) != 1)
			exit(1);
	after = saves_of_this_thread();
	close(ends[0][1]);
	pthread_join(t, NULL);
	if (before < 0)
		return; /* not this kernel */
	check(after - before < 20, "500 switches without computing: %ld saves", after - before);
}

/* ---- Every register, while the thread is moved from CPU to CPU ---- */

static void *wander(void *arg)
{
	double seed = (double)(intptr_t)arg, first = churn(seed, 2000);
	cpu_set_t all;

	sched_getaffinity(0, sizeof(all), &all);
	for (int i = 0; i < 200; i++) {
		keep_on(0, (int)((i + (intptr_t)arg) % CPU_COUNT(&all)));
		if (churn(seed, 2000) != first)
			wrong++;
	}
	return NULL;
}

int main(void)
{
	pthread_t t[6];
	struct sigaction a = {.sa_handler = disturb};

	for (intptr_t i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, compare, (void *)(i * 1000));
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	check(wrong == 0, "six threads compute side by side");

	for (intptr_t i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, wander, (void *)(i * 7 + 1));
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	check(wrong == 0, "and while they move between CPUs");
	talk();

	int same;
	double alone = churn(1, 200000);
	sigaction(SIGALRM, &a, NULL);
	struct itimerval every = {{0, 1000}, {0, 1000}}, never = {};
	setitimer(ITIMER_REAL, &every, NULL);
	volatile double one = 1; /* the compiler does not know that it is all the same */
	same = 1;
	for (int i = 0; i < 50 && (i < 4 || ticks < 3); i++)
		same &= churn(one, 200000) == alone;
	setitimer(ITIMER_REAL, &never, NULL);
	check(same && ticks > 0, "handlers that compute do not disturb (%d)", (int)ticks);
	same = 0;
	for (int i = 0; i < 4; i++)
		same += in_child(_exit(churn(1, 200000) == alone));
	check(same == 4, "children compute the same");
	volatile double nan = 0.0 / (alone - alone);
	check(nan != nan, "no trap on 0/0");
	return tap_end();
}
