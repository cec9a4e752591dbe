/* ktest_on_all_cpus() by kernel threads that are bound to a CPU each. */
#include <core/cpu.h>
#include <core/wait.h>
#include <exec/sched.h>
#include <exec/thread.h>
#include <ktest/cpus.h>
#include <ktest/ktest.h>
#include <lib/format.h>

struct job {
	void (*fn)(cpu_t cpu, void *arg);
	void *arg;
	cpuset_t cpus;
	_Atomic cpu_t next;        /* hands out CPUs to the threads */
	_Atomic uint32_t arrived;  /* threads on their CPU */
	uint32_t count;
	_Atomic uint32_t done;
	struct waitq finished;
};

/* The n-th CPU of the set. */
static cpu_t nth_cpu(cpuset_t cpus, uint32_t n)
{
	while (n--)
		cpus &= cpus - 1;
	return (cpu_t)__builtin_ctzll(cpus);
}

static void worker(void *arg)
{
	struct job *job = arg;
	cpu_t cpu = nth_cpu(job->cpus, atomic_fetch_add(&job->next, 1));

	if (EXPECT_OK(sched_set_affinity(current_thread(), cpu_bit(cpu)))) {
		while (READ_ONCE(current_task()->hal.cpu) != cpu)
			thread_yield();
		atomic_fetch_add(&job->arrived, 1);
		while (atomic_load(&job->arrived) < job->count)
			hal.cpu.relax();
		job->fn(cpu, job->arg);
	}
	/* The last touch of *job but for the lock, which the waiter takes too. */
	bool on = spin_lock_irq(&job->finished.lock);
	atomic_fetch_add(&job->done, 1);
	spin_unlock_irq(&job->finished.lock, on);
	wake_all(&job->finished);
	atomic_fetch_add(&job->next, 1);
}

void ktest_on_all_cpus(void (*fn)(cpu_t cpu, void *arg), void *arg)
{
	struct job job = {.fn = fn, .arg = arg, .cpus = cpu_online()};

	job.count = (uint32_t)__builtin_popcountll(job.cpus);
	waitq_init(&job.finished);
	for (uint32_t i = 0; i < job.count; i++)
		if (!EXPECT_OK(kthread_create("ktest", PRIORITY_NORMAL, worker, &job, nullptr)))
			atomic_fetch_add(&job.done, 1);
	(void)!wait_until(&job.finished, atomic_load(&job.done) == job.count, WAIT_OTHER, false,
			  NSEC_NEVER);
	/* Until each worker has left wake_all (job is on this stack). */
	while (atomic_load(&job.next) < 2 * job.count)
		thread_yield();
}

cpu_t ktest_cpu_count(void)
{
	return (cpu_t)__builtin_popcountll(cpu_online());
}
