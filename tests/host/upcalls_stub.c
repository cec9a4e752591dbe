/*
 * The upcall table of host tests that have no exec: one task a CPU, which parks by waiting for
 * interrupts until its token arrives. Weak, so that a test that links exec gets the real one.
 */
#include "machine.h"

#include <core/cpu.h>
#include <core/rcu.h>
#include <core/time.h>

struct test_upcalls test_upcalls;

/* Only there if core is linked. */
#pragma weak timer_set
#pragma weak timer_cancel
#pragma weak rcu_quiescent

static bool page_fault(struct trap *trap)
{
	return test_upcalls.page_fault && test_upcalls.page_fault(trap);
}

static void exception(struct trap *trap)
{
	if (test_upcalls.exception)
		test_upcalls.exception(trap);
	else
		ktest_fail(__FILE__, __LINE__, "exception %d at %#lx", trap->kind, trap->ip);
}

static bool fpu_trap(struct trap *trap)
{
	ktest_fail(__FILE__, __LINE__, "the unit is used, at %#lx", trap->ip);
	return false;
}

static void syscall(struct hal_frame *frame)
{
	if (test_upcalls.syscall)
		test_upcalls.syscall(frame);
	else
		ktest_fail(__FILE__, __LINE__, "a system call");
}

static void user_work(struct hal_frame *frame, uint32_t work)
{
	if (test_upcalls.user_work)
		test_upcalls.user_work(frame, work);
}

static void reschedule(bool preempted)
{
	if (test_upcalls.reschedule)
		test_upcalls.reschedule(preempted);
	if (rcu_quiescent && current_task()->preempt_count == 0)
		rcu_quiescent(cpu_id());
}

static void nothing(struct timer *t)
{
}

static enum kerr park(enum wait_reason reason, bool interruptible, nsec_t deadline)
{
	struct task *task = current_task();
	struct timer wake = {.fn = nothing, .cpu = CPU_NONE};

	if (test_upcalls.park)
		return test_upcalls.park(reason, interruptible, deadline);
	bool timed = deadline != NSEC_NEVER && timer_set;
	bool on = hal.cpu.irq_save();
	enum kerr err = KERR_OK;
	if (timed)
		timer_set(&wake, deadline);
	while (!atomic_exchange(&task->token, 0)) {
		if (hal.timer.now() >= deadline) {
			err = KERR_TIMEDOUT;
			break;
		}
		if (rcu_quiescent)
			rcu_quiescent(cpu_id());
		hal.cpu.wait();
	}
	if (timed)
		timer_cancel(&wake);
	hal.cpu.irq_restore(on);
	return err;
}

static void unpark(struct task *task)
{
	if (test_upcalls.unpark) {
		test_upcalls.unpark(task);
		return;
	}
	atomic_store(&task->token, 1);
	cpu_t cpu = task->hal.cpu;
	if (cpu != cpu_id())
		hal.smp.ipi((cpuset_t)1 << cpu);
}

static unsigned priority_of(const struct task *task)
{
	return 0;
}

static void priority_lend(struct task *owner, unsigned priority)
{
}

static void priority_restore(struct task *task)
{
}

static bool memory_short(unsigned attempt)
{
	return test_upcalls.memory_short && test_upcalls.memory_short(attempt);
}

static uint64_t lock_limit(void)
{
	return test_upcalls.lock_limit ? test_upcalls.lock_limit() : UINT64_MAX;
}

static enum kerr spawn(const char *name, void (*fn)(void *arg), void *arg)
{
	return KERR_OK; /* the rest of the boot: not in tests */
}

__attribute__((weak)) const struct core_upcalls upcalls = {
	.page_fault = page_fault,
	.exception = exception,
	.fpu_trap = fpu_trap,
	.syscall = syscall,
	.user_work = user_work,
	.reschedule = reschedule,
	.park = park,
	.unpark = unpark,
	.priority_of = priority_of,
	.priority_lend = priority_lend,
	.priority_restore = priority_restore,
	.memory_short = memory_short,
	.lock_limit = lock_limit,
	.spawn = spawn,
	.run_idle = test_idle,
};
