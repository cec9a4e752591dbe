/*
 * HOST_THREADS: each CPU is a host thread. A CPU that waits sleeps in a futex on `pending`, at most
 * until its deadline; whoever sets a bit wakes it. Memory order is the host's own.
 */
#include "machine.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static nsec_t clock_read(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (nsec_t)t.tv_sec * NSEC_PER_SEC + (nsec_t)t.tv_nsec;
}

/* host.time is the host's clock at host_boot. */
nsec_t host_threads_now(void)
{
	return clock_read() - host.time;
}

static void deadline_check(struct host_cpu *cpu)
{
	if (cpu->deadline == NSEC_NEVER || host_threads_now() < cpu->deadline)
		return;
	cpu->deadline = NSEC_NEVER;
	atomic_fetch_or(&cpu->pending, PENDING_TIMER);
}

/* There may be more CPUs than the host has: who is waited for must get its turn. */
void host_threads_relax(void)
{
	static thread_local unsigned spins;

	if (++spins % 32 == 0)
		sched_yield();
}

/* Looking at the clock costs more than most of what lies between two points. */
bool host_threads_point(struct host_cpu *cpu)
{
	if (cpu->counters.points++ % 32 == 0)
		deadline_check(cpu);
	return host_is_pending(cpu);
}

void host_threads_wait(struct host_cpu *cpu)
{
	for (;;) {
		deadline_check(cpu);
		atomic_store(&cpu->sleeping, true);
		if (host_is_pending(cpu))
			break;
		struct timespec left, *timeout = nullptr;
		if (cpu->deadline != NSEC_NEVER) {
			nsec_t now = host_threads_now(),
			       ns = cpu->deadline > now ? cpu->deadline - now : 0;
			left = (struct timespec){(time_t)(ns / NSEC_PER_SEC),
						 (long)(ns % NSEC_PER_SEC)};
			timeout = &left;
		}
		syscall(SYS_futex, &cpu->pending, FUTEX_WAIT_PRIVATE, 0, timeout, nullptr, 0);
	}
	atomic_store(&cpu->sleeping, false);
}

void host_threads_wake(struct host_cpu *cpu)
{
	if (atomic_load(&cpu->sleeping))
		syscall(SYS_futex, &cpu->pending, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

static void cpu_first(struct hal_thread *prev, void *arg)
{
	core_cpu_main();
}

static void *thread_main(void *arg)
{
	struct host_cpu *cpu = arg;
	uintptr_t ignored;

	host_cpu_stacks_init();
	host_mirror_thread_init();
	host_self_set(cpu);
	host_cpu_thread_init(cpu->idle, cpu_first, nullptr);
	host_switch(&ignored, cpu->idle->kernel_sp, nullptr, cpu->idle);
	return nullptr;
}

enum kerr host_threads_start(struct host_cpu *cpu)
{
	pthread_t thread;

	if (pthread_create(&thread, nullptr, thread_main, cpu) != 0)
		return KERR_NOMEM;
	pthread_detach(thread);
	return KERR_OK;
}
