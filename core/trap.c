/*
 * Where traps enter portable code. A HAL has saved the registers and decoded the cause; here it is
 * given to who handles it, and on the way back the work that waits is done.
 *
 * Every path to user mode ends in core_return_to_user with interrupts off and no work bit set, so
 * a signal or a wake-up that comes in later is itself an interrupt and passes here again.
 */
#include <core/panic.h>
#include <core/rcu.h>
#include <core/upcalls.h>
#include <hal/upcall.h>

bool core_trap(struct trap *t)
{
	if (t->kind == TRAP_PAGE_FAULT)
		return upcalls.page_fault(t);
	if (unlikely(t->kind == TRAP_FPU))
		return upcalls.fpu_trap(t);
	if (!t->from_user)
		return false;
	upcalls.exception(t);
	return true;
}

void core_syscall(struct hal_frame *frame)
{
	upcalls.syscall(frame);
	core_return_to_user(frame);
}

static NOINLINE void do_work(struct hal_frame *frame, uint32_t work)
{
	const uint32_t switches = TASK_WORK_RESCHEDULE | TASK_WORK_EDGE;
	struct task *t = current_task();

	hal.cpu.irq_restore(true);
	if (work & switches) {
		atomic_fetch_and_explicit(&t->work, ~switches, memory_order_relaxed);
		t->at_edge = true;
		upcalls.reschedule(false);
		t->at_edge = false;
	}
	if (work & ~switches)
		upcalls.user_work(frame, work);
	(void)hal.cpu.irq_save();
}

void core_return_to_user(struct hal_frame *frame)
{
	uint32_t work;

	(void)hal.cpu.irq_save();
	assert(current_task()->preempt_count == 0);
	while (unlikely((work = atomic_load_explicit(&current_task()->work, memory_order_relaxed))))
		do_work(frame, work);
}

void core_irq_enter(void)
{
	struct task *t = current_task();

	t->preempt_count++;
#if defined(TERN_DEBUG)
	t->lock_base = t->lock_count;
#endif
}

void core_irq_exit(struct hal_frame *frame, bool from_user)
{
	struct task *t = current_task();

#if defined(TERN_DEBUG)
	assert(t->lock_count == t->lock_base);
	t->lock_base = 0;
#endif
	if (unlikely(atomic_load_explicit(&irq_exit_wanted, memory_order_relaxed)) && !from_user)
		irq_exit_work(frame);
	t->preempt_count--;
	if (from_user) {
		rcu_quiescent(cpu_id());
		core_return_to_user(frame);
		return;
	}
	if (t->preempt_count == 0 &&
	    atomic_load_explicit(&t->work, memory_order_relaxed) & TASK_WORK_RESCHEDULE) {
		atomic_fetch_and_explicit(&t->work, ~TASK_WORK_RESCHEDULE, memory_order_relaxed);
		upcalls.reschedule(true);
	}
}

/* preempt_enable found a reschedule request. With interrupts off it waits for their return, which
 * brings no preemption point of its own: whoever turns them on next (unlock, interrupt exit,
 * return to user mode) has one. */
NOINLINE void preempt_check(void)
{
	struct task *t = current_task();

	if (!hal.cpu.irq_enabled())
		return;
	atomic_fetch_and_explicit(&t->work, ~TASK_WORK_RESCHEDULE, memory_order_relaxed);
	upcalls.reschedule(false);
}
