/* Futexes with priority inheritance: the calls' errors, inversion with three threads, the death of an
 * owner, chains, condition variables. */
#define _GNU_SOURCE
#include "cpus.h"
#include "tap.h"
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { LOCK = 6, UNLOCK, TRYLOCK, WAIT_REQUEUE = 11, CMP_REQUEUE, LOCK2 };
#define PRIVATE 128

static uint32_t word, second;

static long futex(uint32_t *w, int op, long v, const void *t, void *w2, long v3)
{
	return syscall(SYS_futex, w, op | PRIVATE, v, t, w2, v3);
}

static int self(void)
{
	return (int)syscall(SYS_gettid);
}

static void errors(void)
{
	struct timespec past = {0, 0}, wrong = {0, 2000000000};

	check(futex(&word, LOCK, 0, NULL, NULL, 0) == 0 && word == (uint32_t)self(), "lock");
	check(futex(&word, LOCK, 0, NULL, NULL, 0) == -1 && errno == EDEADLK, "twice: EDEADLK");
	check(futex(&word, UNLOCK, 0, NULL, NULL, 0) == 0 && word == 0, "unlock");
	check(futex(&word, UNLOCK, 0, NULL, NULL, 0) == -1 && errno == EPERM, "not mine: EPERM");
	check(futex(&word, TRYLOCK, 0, NULL, NULL, 0) == 0, "trylock");
	check(in_child(_exit(futex(&word, TRYLOCK, 0, NULL, NULL, 0) == -1 && errno == EAGAIN)) ==
		      1,
	      "trylock of what is taken: EAGAIN");
	check(in_child(_exit(futex(&word, LOCK, 0, &past, NULL, 0) == -1 && errno == ETIMEDOUT)) ==
		      1,
	      "a time that has passed: ETIMEDOUT");
	check(futex(&word, LOCK2, 0, &wrong, NULL, 0) == -1 && errno == EINVAL, "a wrong time");
	check(futex(&word, UNLOCK, 0, NULL, NULL, 0) == 0, "unlock again");
	word = 0x3ffffff;
	check(futex(&word, LOCK, 0, NULL, NULL, 0) == -1 && errno == ESRCH, "nobody's: ESRCH");
	word = 0;
	check(futex((uint32_t *)((char *)&word + 1), LOCK, 0, NULL, NULL, 0) == -1 &&
		      errno == EINVAL,
	      "misaligned: EINVAL");
	check(futex((uint32_t *)4096, LOCK, 0, NULL, NULL, 0) == -1 && errno == EFAULT, "no page");
	check(futex(&word, CMP_REQUEUE, 2, NULL, &second, 0) == -1 && errno == EINVAL,
	      "a requeue that wakes two: EINVAL");
	check(futex(&word, CMP_REQUEUE, 1, NULL, &second, 5) == -1 && errno == EAGAIN,
	      "a requeue of another value: EAGAIN");
	check(futex(&word, WAIT_REQUEUE, 0, NULL, &word, 0) == -1 && errno == EINVAL,
	      "a requeue to itself: EINVAL");
}

/* ---- Inversion: low has the lock, high wants it, middle computes on the one CPU ---- */

static pthread_mutex_t lock;
static atomic_int low_has, high_wants, high_done, middle_stop;
static atomic_long middle_rounds;

static void start(pthread_t *t, void *(*fn)(void *), int priority)
{
	pthread_attr_t a;
	struct sched_param p = {.sched_priority = priority};

	pthread_attr_init(&a);
	pthread_attr_setinheritsched(&a, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&a, SCHED_FIFO);
	pthread_attr_setschedparam(&a, &p);
	if (pthread_create(t, &a, fn, NULL))
		exit(1);
}

static void *low(void *arg)
{
	pthread_mutex_lock(&lock);
	low_has = 1;
	while (!high_wants)
		;
	/* From here on only what `high` lends lets it run, once `middle` does. */
	for (uint64_t end = cpu_ns() + 20000000; cpu_ns() < end;)
		;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void *middle(void *arg)
{
	while (!middle_stop)
		middle_rounds++;
	return NULL;
}

static void *high(void *arg)
{
	high_wants = 1;
	pthread_mutex_lock(&lock);
	high_done = 1;
	middle_stop = 1;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void *stopper(void *arg)
{
	sleep(5);
	middle_stop = 1;
	return NULL;
}

static void inversion(void)
{
	pthread_mutexattr_t a;
	pthread_t t[4];
	cpu_set_t all;
	struct sched_param p = {.sched_priority = 50};

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	check(pthread_mutex_init(&lock, &a) == 0, "a mutex with inheritance");
	sched_getaffinity(0, sizeof(all), &all);
	keep_on(0, 0);
	syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &p);
	start(&t[0], low, 10);
	while (!low_has)
		usleep(1000);
	start(&t[3], stopper, 60); /* so that a kernel without inheritance fails, not hangs */
	start(&t[1], middle, 20);
	start(&t[2], high, 30);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	check(high_done && middle_rounds == 0, "the low one ran before the middle one (%ld)",
	      (long)middle_rounds);
	struct sched_param none = {};
	syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &none);
	sched_setaffinity(0, sizeof(all), &all);
	pthread_cancel(t[3]);
	pthread_join(t[3], NULL);
	pthread_mutex_destroy(&lock);
}

/* ---- Many threads, one lock ---- */

static long counter;

static void *count(void *arg)
{
	for (int i = 0; i < 3000; i++) {
		pthread_mutex_lock(&lock);
		long seen = counter;
		if (i % 64 == 0)
			sched_yield();
		counter = seen + 1;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void contention(void)
{
	pthread_mutexattr_t a;
	pthread_t t[6];

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&lock, &a);
	for (int i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, count, NULL);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	check(counter == 18000, "six threads count under it (%ld)", counter);
}

/* ---- The owner dies ---- */

static void *die_with_it(void *arg)
{
	pthread_mutex_lock(&lock);
	low_has = 2;
	usleep(50000);
	return NULL; /* with the lock */
}

static void death(void)
{
	pthread_mutexattr_t a;
	pthread_t t;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&lock, &a);
	pthread_create(&t, NULL, die_with_it, NULL);
	while (low_has != 2)
		usleep(1000);
	check(pthread_mutex_lock(&lock) == EOWNERDEAD, "who waited learns that the owner died");
	check(pthread_mutex_consistent(&lock) == 0 && pthread_mutex_unlock(&lock) == 0,
	      "and puts it right");
	check(pthread_mutex_lock(&lock) == 0 && pthread_mutex_unlock(&lock) == 0,
	      "it is a lock again");
	pthread_join(t, NULL);
}

/* ---- A ring of locks ---- */

static uint32_t ring[3];
static atomic_int ready, deadlocks;

static void *ring_thread(void *arg)
{
	long n = (long)arg;
	struct timespec limit;

	futex(&ring[n], LOCK, 0, NULL, NULL, 0);
	ready++;
	while (ready < 3)
		usleep(1000);
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 20;
	if (futex(&ring[(n + 1) % 3], LOCK, 0, &limit, NULL, 0) == 0)
		futex(&ring[(n + 1) % 3], UNLOCK, 0, NULL, NULL, 0);
	else
		deadlocks += errno == EDEADLK;
	futex(&ring[n], UNLOCK, 0, NULL, NULL, 0);
	return NULL;
}

static void cycle(void)
{
	pthread_t t[3];

	for (long i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, ring_thread, (void *)i);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	check(deadlocks == 1, "one of a ring of three is refused (%d)", (int)deadlocks);
}

/* ---- From a condition to the lock ---- */

static uint32_t condition, guard;
static atomic_int waiting, through, wrong_owner;

static void *wait_for_it(void *arg)
{
	waiting++;
	if (futex(&condition, WAIT_REQUEUE, 0, NULL, &guard, 0) == 0) {
		wrong_owner += (guard & 0x3fffffff) != (uint32_t)self();
		through++;
		futex(&guard, UNLOCK, 0, NULL, NULL, 0);
	}
	return NULL;
}

static void requeue(void)
{
	pthread_t t[4];
	long moved = 0;

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, wait_for_it, NULL);
	while (waiting < 4)
		usleep(1000);
	futex(&guard, LOCK, 0, NULL, NULL, 0);
	for (int i = 0; i < 1000 && moved < 4; i++) {
		long n = futex(&condition, CMP_REQUEUE, 1, (void *)(long)INT_MAX, &guard, 0);
		moved += n > 0 ? n : 0;
		usleep(1000);
	}
	check(moved == 4 && through == 0, "four went on to the lock (%ld)", moved);
	futex(&guard, UNLOCK, 0, NULL, NULL, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	check(through == 4 && !wrong_owner && guard == 0, "and got it one by one");
}

int main(void)
{
	errors();
	inversion();
	contention();
	death();
	cycle();
	requeue();
	return tap_end();
}
