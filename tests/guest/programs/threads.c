/* Threads: creation, joining, thread-local data, mutexes, conditions, barriers, fork among them. */
#include "tap.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#define THREADS 8
#define ROUNDS 2000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static _Thread_local int local = 7;
static long counter, turn, after_barrier;
static _Atomic int early;

static void *count(void *arg)
{
	local = (int)(intptr_t)arg;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
	}
	return (void *)(intptr_t)(local * 3);
}

static void *take_turns(void *arg)
{
	long me = (intptr_t)arg;

	for (int i = 0; i < 300; i++) {
		pthread_mutex_lock(&lock);
		while (turn % 3 != me)
			pthread_cond_wait(&changed, &lock);
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void *meet(void *arg)
{
	for (int i = 0; i < 50; i++) {
		__atomic_add_fetch(&after_barrier, 1, __ATOMIC_SEQ_CST);
		pthread_barrier_wait(&barrier);
		if (__atomic_load_n(&after_barrier, __ATOMIC_SEQ_CST) < (i + 1) * 4)
			early++;
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void *work_then_exit(void *arg)
{
	char deep[32768];

	memset(deep, (int)(intptr_t)arg, sizeof(deep));
	pthread_exit((void *)(intptr_t)deep[12345]);
}

static sem_t semaphore;

static void *post(void *arg)
{
	sleep_ms(20);
	sem_post(&semaphore);
	return NULL;
}

static void *wait_long(void *arg)
{
	for (;;)
		sleep_ms(1000);
	return NULL;
}

static void test_counting(void)
{
	pthread_t t[THREADS];
	void *result;
	bool right = true;

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t[i], NULL, count, (void *)(intptr_t)(i + 1)))
			right = false;
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &result);
		if ((intptr_t)result != (i + 1) * 3)
			right = false;
	}
	check(right, "threads return their values");
	check(counter == THREADS * ROUNDS, "a mutex protects a counter (%ld)", counter);
	check(local == 7, "thread-local data is per thread");
}

static void test_turns_and_barriers(void)
{
	pthread_t t[4];

	for (intptr_t i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, take_turns, (void *)i);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	check(turn == 900, "condition variables wake in turn");

	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, meet, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	check(early == 0 && after_barrier == 200, "nobody passes a barrier early");
}

static void test_many_short(void)
{
	bool right = true;

	for (int i = 0; i < 100; i++) {
		pthread_t t;
		void *result;
		if (pthread_create(&t, NULL, work_then_exit, (void *)(intptr_t)(i % 100)) ||
		    pthread_join(t, &result) || (intptr_t)result != i % 100)
			right = false;
	}
	check(right, "a hundred threads come and go");
}

static void test_waiting(void)
{
	pthread_t t;
	struct timespec deadline;

	sem_init(&semaphore, 0, 0);
	pthread_create(&t, NULL, post, NULL);
	check(sem_wait(&semaphore) == 0, "a semaphore wakes");
	pthread_join(t, NULL);

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_nsec += 30000000;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&lock);
	uint64_t start = now_ns();
	check(pthread_cond_timedwait(&changed, &lock, &deadline) == ETIMEDOUT, "a timed wait ends");
	check(now_ns() - start > 15000000, "and not before its time");
	pthread_mutex_unlock(&lock);

	pthread_create(&t, NULL, wait_long, NULL);
	sleep_ms(10);
	check(pthread_cancel(t) == 0 && pthread_join(t, NULL) == 0, "a thread is cancelled");
}

static void test_fork_and_exit(void)
{
	pthread_t t;

	pthread_create(&t, NULL, wait_long, NULL);
	check(in_child(_exit(local + 10)) == 17, "a threaded process forks");
	check(in_child({
		      pthread_t u;
		      pthread_create(&u, NULL, wait_long, NULL);
		      exit(5);
	      }) == 5,
	      "exit ends all threads");
	check(in_child({
		      pthread_t u;
		      pthread_create(&u, NULL, wait_long, NULL);
		      sleep_ms(5);
		      kill(getpid(), 9);
	      }) == 137,
	      "a signal kills all threads");
	check(in_child({
		      pthread_t u;
		      pthread_create(&u, NULL, wait_long, NULL);
		      sleep_ms(5);
		      execl("/proc/self/exe", "threads", "exec", NULL);
	      }) == 33,
	      "execve from a threaded process");
	check(sched_yield() == 0, "yield");
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return 33;
	test_counting();
	test_turns_and_barriers();
	test_many_short();
	test_waiting();
	test_fork_and_exit();
	return tap_end();
}
