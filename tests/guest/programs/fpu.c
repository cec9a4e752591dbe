/* Floating-point and vector registers survive switches between threads, signals and fork. */
#include "tap.h"
#include <pthread.h>
#include <signal.h>

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

int main(void)
{
	pthread_t t[6];
	struct sigaction a = {.sa_handler = disturb};

	for (intptr_t i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, compare, (void *)(i * 1000));
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	check(wrong == 0, "six threads compute side by side");

	double alone = churn(1, 200000);
	sigaction(SIGALRM, &a, NULL);
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec every = {{0, 1000000}, {0, 1000000}};
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) {
		timer_settime(timer, 0, &every, NULL);
		check(churn(1, 200000) == alone, "handlers that compute do not disturb");
		timer_delete(timer);
	}
	int same = 0;
	for (int i = 0; i < 4; i++)
		same += in_child(_exit(churn(1, 200000) == alone));
	check(same == 4, "children compute the same");
	volatile double nan = 0.0 / (alone - alone);
	check(nan != nan, "no trap on 0/0");
	return tap_end();
}
