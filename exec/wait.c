/*
 * wait4(2) and waitid(2): the parent looks through its children under process_tree_lock, and sleeps
 * on its child_wait until one changes. Who takes a zombie's status also takes it out of the tree.
 * Cost: linear in the number of children.
 */
#include "process_private.h"
#include <exec/exit.h>

static bool matches(const struct process *child, enum wait_for what, int id, unsigned options)
{
	if (what == WAIT_FOR_PID && child->pid != id)
		return false;
	if (what == WAIT_FOR_GROUP && child->pgid != id)
		return false;
	if (options & WAIT_ALL)
		return true;
	return !(options & WAIT_CLONE) == (child->exit_signal == SIGCHLD);
}

static void fill(const struct process *child, int code, int status, struct wait_result *out)
{
	*out = (struct wait_result){
		.pid = child->pid,
		.uid = child->credentials.uid,
		.code = code,
		.status = status,
		.user_time = child->user_time,
		.system_time = child->system_time,
		.voluntary_switches = child->voluntary_switches,
		.involuntary_switches = child->involuntary_switches,
	};
}

/* True: *out is filled; *reaped is the zombie that is no longer in the tree, or null. */
static bool look_locked(struct process *p, struct process *child, unsigned options,
			struct wait_result *out, struct process **reaped)
{
	if (child->state == PROCESS_ZOMBIE) {
		if (!(options & WAIT_EXITED))
			return false;
		int status = child->exit_status;
		fill(child, status & 0x7f ? CLD_KILLED : CLD_EXITED, status, out);
		if (!(options & WAIT_NOWAIT)) {
			p->child_user_time += child->user_time + child->child_user_time;
			p->child_system_time += child->system_time + child->child_system_time;
			process_release_locked(child);
			*reaped = child;
		}
		return true;
	}
	if (child->report_stop && options & WAIT_UNTRACED && child->group_stop) {
		fill(child, CLD_STOPPED, child->stop_signal << 8 | 0x7f, out);
		if (!(options & WAIT_NOWAIT))
			child->report_stop = false;
		return true;
	}
	if (child->report_continue && options & WAIT_CONTINUED) {
		fill(child, CLD_CONTINUED, 0xffff, out);
		if (!(options & WAIT_NOWAIT))
			child->report_continue = false;
		return true;
	}
	return false;
}

static enum kerr scan(struct process *p, enum wait_for what, int id, unsigned options,
		      struct wait_result *out)
{
	struct process *child, *reaped = nullptr;
	enum kerr err = KERR_CHILD;
	bool on = spin_lock_irq(&process_tree_lock);

	list_for_each(child, &p->children, sibling) {
		if (!matches(child, what, id, options))
			continue;
		err = KERR_AGAIN;
		if (look_locked(p, child, options, out, &reaped)) {
			err = KERR_OK;
			break;
		}
	}
	spin_unlock_irq(&process_tree_lock, on);
	if (reaped)
		process_released(reaped);
	return err;
}

enum kerr process_wait(enum wait_for what, int id, unsigned options, struct wait_result *out)
{
	struct process *p = current_process();
	struct waiter w;

	*out = (struct wait_result){};
	enum kerr err = scan(p, what, id, options, out);
	if (err != KERR_AGAIN)
		return err;
	if (options & WAIT_NOHANG)
		return KERR_OK;
	wait_begin(&p->child_wait, &w);
	while ((err = scan(p, what, id, options, out)) == KERR_AGAIN) {
		err = wait_park(&w, WAIT_CHILD, true, NSEC_NEVER);
		if (err != KERR_OK) {
			err = KERR_RESTART;
			break;
		}
	}
	wait_end(&p->child_wait, &w);
	return err;
}
