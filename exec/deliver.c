/*
 * Signals, the receiving side: on the way back to user mode a thread ends, stops, or turns to a
 * handler. One signal is dealt with at each turn; core comes back as long as work bits are set, so
 * several handlers end up stacked, the last one running first.
 *
 * A system call that a signal interrupted left thread.restart (KERR_RESTART_*). It is settled with
 * the first handler (restart or EINTR), or, if no handler runs, by doing the call again.
 *
 * rt_sigsuspend and ppoll wait with a temporary mask; the frame of the first handler keeps the
 * mask from before (saved_mask), so that sigreturn brings it back.
 */
#include "process_private.h"
#include "sched_private.h"
#include "thread_private.h"
#include <core/log.h>
#include <exec/exit.h>
#include <lib/string.h>
#include <mm/user_copy.h>

#define SS_ONSTACK 1
#define SS_DISABLE 2

#define DEFAULT_IGNORED                                                                            \
	(SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGCONT))
#define STOP_SIGNALS                                                                               \
	(SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))
#define FAULT_SIGNALS                                                                              \
	(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |     \
	 SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS))

/* ---- siginfo ---- */

void signal_info_encode(const struct signal_info *info, uint8_t out[128])
{
	memset(out, 0, 128);
	memcpy(out + 0, &info->signo, 4);
	memcpy(out + 4, &info->error, 4);
	memcpy(out + 8, &info->code, 4);
	if (SIGNAL_BIT(info->signo) & FAULT_SIGNALS && info->code > 0) {
		memcpy(out + 16, &info->addr, 8);
		if (info->signo == SIGSEGV && info->code == SEGV_PKUERR)
			memcpy(out + 32, &info->key, 4);
		return;
	}
	memcpy(out + 16, &info->pid, 4);
	memcpy(out + 20, &info->uid, 4);
	if (info->signo == SIGCHLD && info->code > 0) {
		memcpy(out + 24, &info->status, 4);
		memcpy(out + 32, &info->user_time, 8);
		memcpy(out + 40, &info->system_time, 8);
	} else {
		memcpy(out + 24, &info->value, 8);
	}
}

void signal_info_decode(const uint8_t in[128], int signo, struct signal_info *out)
{
	*out = (struct signal_info){.signo = signo};
	memcpy(&out->error, in + 4, 4);
	memcpy(&out->code, in + 8, 4);
	memcpy(&out->pid, in + 16, 4);
	memcpy(&out->uid, in + 20, 4);
	memcpy(&out->value, in + 24, 8);
}

/* ---- Stop and continue ---- */

void thread_group_stop(void)
{
	struct thread *t = current_thread();
	struct process *p = t->process;
	bool on = spin_lock_irq(&p->lock);

	if (!p->group_stop || p->exiting) {
		spin_unlock_irq(&p->lock, on);
		return;
	}
	t->stop_counted = true;
	bool last = ++p->stopped_threads == p->thread_count;
	if (last)
		p->state = PROCESS_STOPPED;
	int signo = p->stop_signal;
	spin_unlock_irq(&p->lock, on);
	if (last)
		process_notify_parent(p, CLD_STOPPED, signo);
	while (READ_ONCE(p->group_stop) && !READ_ONCE(p->exiting) && !READ_ONCE(t->must_end))
		if (thread_park(WAIT_SIGNAL, false, NSEC_NEVER, THREAD_STOPPED) != KERR_OK)
			break; /* not interruptible: cannot happen */

	on = spin_lock_irq(&p->lock);
	t->stop_counted = false;
	p->stopped_threads--;
	bool report = p->continue_report;
	p->continue_report = false;
	spin_unlock_irq(&p->lock, on);
	if (report)
		process_notify_parent(p, CLD_CONTINUED, SIGCONT);
}

static void stop_group(int signo)
{
	struct process *p = current_process();
	struct thread *t;

	if (signo != SIGSTOP && process_group_orphaned(p->pgid))
		return;
	bool on = spin_lock_irq(&p->lock);
	if (!p->exiting && !p->group_stop) {
		p->group_stop = true;
		p->stop_signal = (uint8_t)signo;
		list_for_each(t, &p->threads, process_link)
			thread_notify(t, TASK_WORK_STOP);
	}
	spin_unlock_irq(&p->lock, on);
}

/* TASK_WORK_STOP: something about the whole process. Does not return if it ends. */
static void stop_work(void)
{
	struct thread *t = current_thread();
	struct process *p = t->process;

	atomic_fetch_and_explicit(&t->task.work, ~TASK_WORK_STOP, memory_order_seq_cst);
	if (!READ_ONCE(p->exiting) && !READ_ONCE(t->must_end))
		thread_group_stop();
	if (READ_ONCE(p->exiting) || READ_ONCE(t->must_end))
		thread_exit(p->exit_status);
}

/* ---- Handlers ---- */

static bool on_alt_stack(const struct thread *t, vaddr_t sp)
{
	return sp > t->alt_stack_base && sp - t->alt_stack_base <= t->alt_stack_size;
}

int signal_alt_stack_flags(vaddr_t sp)
{
	const struct thread *t = current_thread();

	if (!t->alt_stack_size)
		return SS_DISABLE;
	return on_alt_stack(t, sp) ? SS_ONSTACK : 0;
}

enum kerr signal_set_alt_stack(vaddr_t base, uint64_t size, int flags, vaddr_t sp)
{
	struct thread *t = current_thread();

	if (t->alt_stack_size && on_alt_stack(t, sp))
		return KERR_PERM;
	if (flags & ~(SS_DISABLE | SS_ONSTACK))
		return KERR_INVAL;
	if (flags & SS_DISABLE) {
		t->alt_stack_base = t->alt_stack_size = 0;
		return KERR_OK;
	}
	if (size < hal.user.info()->min_signal_stack)
		return KERR_NOMEM;
	t->alt_stack_base = base;
	t->alt_stack_size = size;
	return KERR_OK;
}

static bool lay_frame(struct hal_frame *frame, const struct hal_signal *s)
{
	if (!hal.user.info()->handler_fpu_new) {
		fpu_show();
		return hal.user.signal_push(frame, s) == KERR_OK;
	}
	bool live = fpu_hold();
	enum kerr err = hal.user.signal_push(frame, s);
	fpu_release(live);
	return err == KERR_OK;
}

/* Turns the frame to the handler; false: the user stack cannot take it. */
static bool push_handler(struct hal_frame *frame, const struct signal_info *info,
			 const struct signal_action *action)
{
	struct thread *t = current_thread();
	struct process *p = t->process;
	vaddr_t sp = hal.user.regs(frame).sp;
	struct hal_signal s = {
		.signo = info->signo,
		.siginfo = action->flags & SA_SIGINFO,
		.handler = action->handler,
		.restorer = action->flags & SA_RESTORER ? action->restorer : p->trampoline,
		.mask = t->restore_mask ? t->saved_mask : t->signal_mask,
		.alt_base = t->alt_stack_base,
		.alt_size = t->alt_stack_size,
		.alt_flags = signal_alt_stack_flags(sp),
	};
	if (SIGNAL_BIT(info->signo) & FAULT_SIGNALS && info->code > 0) {
		s.fault_addr = t->fault_addr;
		s.fault_code = t->fault_code;
	}
	if (action->flags & SA_ONSTACK && t->alt_stack_size && !on_alt_stack(t, sp))
		s.stack_top = t->alt_stack_base + t->alt_stack_size;
	signal_info_encode(info, s.info);
	if (!lay_frame(frame, &s))
		return false;
	uint64_t mask = t->signal_mask | action->mask;
	if (!(action->flags & SA_NODEFER))
		mask |= SIGNAL_BIT(info->signo);
	t->restore_mask = false;
	signal_set_mask(mask);
	return true;
}

static void settle_restart_for_handler(struct hal_frame *frame, const struct signal_action *action)
{
	struct thread *t = current_thread();
	int restart = t->restart;

	t->restart = 0;
	t->restart_deadline = 0;
	if ((restart == KERR_RESTART && action->flags & SA_RESTART) ||
	    restart == KERR_RESTART_ALWAYS)
		hal.user.syscall_restart(frame, ~0ul);
	else if (restart)
		hal.user.syscall_result(frame, KERR_INTR);
}

static void settle_restart_without_handler(struct hal_frame *frame)
{
	struct thread *t = current_thread();

	if (!t->restart)
		return;
	if (t->restart != KERR_RESTART_BLOCK)
		t->restart_deadline = 0;
	t->restart = 0;
	hal.user.syscall_restart(frame, ~0ul);
}

/* ---- The choice ---- */

static void log_fault(const struct signal_info *info, const struct hal_frame *frame)
{
	struct thread *t = current_thread();
	struct hal_user_regs regs = hal.user.regs(frame);

	if (SIGNAL_BIT(info->signo) & FAULT_SIGNALS && info->code > 0)
		log_info("%s[%d]: signal %d (code %d) at %lx, ip %lx, sp %lx, error %lx",
			 t->task.name, t->tid, info->signo, info->code, (unsigned long)info->addr,
			 (unsigned long)regs.pc, (unsigned long)regs.sp,
			 (unsigned long)t->fault_code);
}

static void default_action(const struct signal_info *info, struct hal_frame *frame)
{
	struct process *p = current_process();
	uint64_t bit = SIGNAL_BIT(info->signo);

	if (bit & DEFAULT_IGNORED)
		return;
	if (p == process_init && !(bit & FAULT_SIGNALS && info->code > 0))
		return;
	if (bit & STOP_SIGNALS) {
		stop_group(info->signo);
		return;
	}
	log_fault(info, frame);
	process_exit_group(info->signo);
}

/* One signal, or none: true if one was there. */
static bool deliver_one(struct hal_frame *frame)
{
	struct thread *t = current_thread();
	struct process *p = t->process;
	struct signal_info info;
	bool on = spin_lock_irq(&p->lock);
	bool found = signal_take_locked(t, ~t->signal_mask, &info);

	signal_update_work_locked(t);
	spin_unlock_irq(&p->lock, on);
	if (!found)
		return false;
	struct signal_action action = signal_action_get(p->actions, info.signo);
	if (action.handler == SIG_IGN)
		return true;
	if (action.handler == SIG_DFL) {
		default_action(&info, frame);
		return true;
	}
	if (action.flags & SA_RESETHAND)
		signal_action_reset(p->actions, info.signo);
	settle_restart_for_handler(frame, &action);
	if (!push_handler(frame, &info, &action)) {
		signal_action_reset(p->actions, SIGSEGV);
		signal_force(SIGSEGV, SI_KERNEL, 0);
	}
	return true;
}

/* Upcall: work bits other than RESCHEDULE, before a return to user mode. */
void deliver_work(struct hal_frame *frame, uint32_t work)
{
	struct thread *t = current_thread();

	if (work & TASK_WORK_STOP)
		stop_work();
	while (deliver_one(frame)) {
		/* After a handler was set up core returns here only if more is pending. */
		if (!t->restart && !t->restore_mask)
			return;
	}
	settle_restart_without_handler(frame);
	if (t->restore_mask)
		signal_restore_mask();
}

/* ---- Masks for a while, waiting, returning ---- */

void signal_set_temporary_mask(uint64_t mask)
{
	struct thread *t = current_thread();

	t->saved_mask = t->signal_mask;
	t->restore_mask = true;
	signal_set_mask(mask);
}

void signal_restore_mask(void)
{
	struct thread *t = current_thread();

	if (!t->restore_mask)
		return;
	t->restore_mask = false;
	signal_set_mask(t->saved_mask);
}

enum kerr signal_wait(uint64_t set, nsec_t deadline, struct signal_info *out)
{
	struct thread *t = current_thread();
	struct process *p = t->process;
	enum kerr err = KERR_OK;

	set &= ~SIGNAL_UNBLOCKABLE;
	for (;;) {
		bool on = spin_lock_irq(&p->lock);
		bool found = signal_take_locked(t, set, out);
		t->waiting_for = found || err != KERR_OK ? 0 : set;
		signal_update_work_locked(t);
		spin_unlock_irq(&p->lock, on);
		if (found)
			return KERR_OK;
		if (err != KERR_OK)
			return err == KERR_TIMEDOUT ? KERR_AGAIN : err;
		err = sched_park(WAIT_SIGNAL, true, deadline);
	}
}

bool signal_take(uint64_t set, struct signal_info *out)
{
	struct thread *t = current_thread();
	struct process *p = t->process;
	bool on = spin_lock_irq(&p->lock);
	bool found = signal_take_locked(t, set & ~SIGNAL_UNBLOCKABLE, out);

	if (found)
		signal_update_work_locked(t);
	spin_unlock_irq(&p->lock, on);
	return found;
}

enum kerr signal_return(struct hal_frame *frame)
{
	struct thread *t = current_thread();
	struct hal_signal s = {};
	bool live = fpu_hold_to_rewrite();
	enum kerr err = hal.user.signal_pop(frame, &s);

	if (err != KERR_OK) /* not those of an earlier time */
		memset(t->task.hal.fpu, 0, hal.user.info()->fpu_size);
	fpu_release(live);
	if (err != KERR_OK)
		return err;
	signal_set_mask(s.mask);
	if (s.alt_flags & SS_DISABLE) {
		t->alt_stack_base = t->alt_stack_size = 0;
	} else if (s.alt_size >= hal.user.info()->min_signal_stack) {
		t->alt_stack_base = s.alt_base;
		t->alt_stack_size = s.alt_size;
	}
	return KERR_OK;
}
