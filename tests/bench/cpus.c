/*
 * What several CPUs do at once. The figure is for one operation of all that were done: the time
 * from the first one's start to the last one's end, over the number of operations.
 */
#define _GNU_SOURCE
#include "bench.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CPUS_MAX 8
#define KIB64 65536ul

static int cpus;
static unsigned long share; /* operations of each */
static pthread_t partner;
static int ping[2], pong[2];

static int stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) != 0 ? errno : 0;
}

static int go_anywhere(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < CPUS_MAX; i++)
		CPU_SET(i, &set);
	return sched_setaffinity(0, sizeof(set), &set) != 0 ? errno : 0;
}

static int need_cpus(void)
{
	cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus > CPUS_MAX)
		cpus = CPUS_MAX;
	return cpus < 2 ? ENODEV : 0;
}

static int touch_pages(void)
{
	char *area = mmap(NULL, share * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (area == MAP_FAILED)
		return errno;
	madvise(area, share * PAGE, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < share; i++)
		((volatile char *)area)[i * PAGE] = 1;
	return munmap(area, share * PAGE) != 0 ? errno : 0;
}

/* Touched, so that every munmap has something to take out of the other CPUs' TLBs. */
static int map_and_unmap(void)
{
	for (unsigned long i = 0; i < share; i++) {
		char *p = mmap(NULL, KIB64, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);
		if (p == MAP_FAILED)
			return errno;
		*(volatile char *)p = 1;
		if (munmap(p, KIB64) != 0)
			return errno;
	}
	return 0;
}

struct worker {
	int cpu;
	int (*work)(void);
	int err;
};

static void *thread_work(void *argument)
{
	struct worker *w = argument;

	w->err = stay_on(w->cpu);
	if (!w->err)
		w->err = w->work();
	return NULL;
}

static int in_threads(unsigned long n, int (*work)(void))
{
	struct worker workers[CPUS_MAX];
	pthread_t threads[CPUS_MAX];
	int started, err = 0;

	share = n / (unsigned long)cpus;
	for (started = 0; started < cpus && !err; started++) {
		workers[started] = (struct worker){started, work, 0};
		err = pthread_create(&threads[started], NULL, thread_work, &workers[started]);
	}
	for (int i = 0; i < started - (err != 0); i++) {
		pthread_join(threads[i], NULL);
		if (workers[i].err)
			err = workers[i].err;
	}
	return err;
}

static int in_processes(unsigned long n, int (*work)(void))
{
	pid_t children[CPUS_MAX];
	int err = 0;

	share = n / (unsigned long)cpus;
	for (int i = 0; i < cpus; i++) {
		children[i] = fork();
		if (children[i] == 0)
			_exit(stay_on(i) || work() ? 1 : 0);
	}
	for (int i = 0; i < cpus; i++) {
		int ended = reap(children[i]);
		err = ended ? ended : err;
	}
	return err;
}

static int faults_one_space(unsigned long n)
{
	return in_threads(n, touch_pages);
}

static int faults_many_spaces(unsigned long n)
{
	return in_processes(n, touch_pages);
}

static int mmap_one_space(unsigned long n)
{
	return in_threads(n, map_and_unmap);
}

static int mmap_many_spaces(unsigned long n)
{
	return in_processes(n, map_and_unmap);
}

static void *futex_answer(void *unused)
{
	stay_on(1);
	return turn_answer(unused);
}

static int futex_setup(void)
{
	int err = need_cpus();

	if (!err)
		err = stay_on(0);
	turn_start();
	return err ? err : pthread_create(&partner, NULL, futex_answer, NULL);
}

static int futex_across(unsigned long n)
{
	while (n--) {
		turn_give(1);
		turn_wait(1);
	}
	return 0;
}

static void futex_end(void)
{
	turn_give(2);
	if (partner)
		pthread_join(partner, NULL);
	partner = 0;
	go_anywhere();
}

static void *pipe_answer(void *unused)
{
	char c;

	stay_on(1);
	while (read(ping[0], &c, 1) == 1 && c == 0)
		if (write(pong[1], &c, 1) != 1)
			break;
	return unused;
}

static int pipe_setup(void)
{
	int err = need_cpus();

	if (!err)
		err = stay_on(0);
	if (!err && (pipe(ping) != 0 || pipe(pong) != 0))
		err = errno;
	return err ? err : pthread_create(&partner, NULL, pipe_answer, NULL);
}

static int pipe_across(unsigned long n)
{
	char c = 0;

	while (n--)
		if (write(ping[1], &c, 1) != 1 || read(pong[0], &c, 1) != 1)
			return errno;
	return 0;
}

static void pipe_end(void)
{
	if (partner) {
		if (write(ping[1], "x", 1) == 1)
			pthread_join(partner, NULL);
		for (int i = 0; i < 2; i++) {
			close(ping[i]);
			close(pong[i]);
		}
	}
	partner = 0;
	go_anywhere();
}

static const struct benchmark table[] = {
	{"faults_one_space", "page faults of all CPUs in one address space", 4096, need_cpus,
	 faults_one_space, NULL},
	{"faults_many_spaces", "page faults of all CPUs, each in its own", 4096, need_cpus,
	 faults_many_spaces, NULL},
	{"mmap_one_space", "mmap, touch, munmap on all CPUs in one address space", 256, need_cpus,
	 mmap_one_space, NULL},
	{"mmap_many_spaces", "mmap, touch, munmap on all CPUs, each in its own", 256, need_cpus,
	 mmap_many_spaces, NULL},
	{"futex_across", "futex round trip between two CPUs", 500, futex_setup, futex_across,
	 futex_end},
	{"pipe_across", "pipe round trip between two CPUs", 500, pipe_setup, pipe_across, pipe_end},
};
const struct group cpus_group = {table, sizeof(table) / sizeof(table[0])};
