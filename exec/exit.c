/*
 * The end of threads and processes.
 *
 * A thread leaves its process and the tables first; the last one takes the process down: address
 * space, files, children to their new parent, and it becomes a zombie that waits for wait4(2), or
 * vanishes if the parent does not care. All that a zombie keeps is its struct. A thread holds a
 * reference to its process until the CPU has left its stack.
 *
 * Locks: process_tree_lock -> process lock. Nothing sleeps under either.
 */
#include "process_private.h"
#include "sched_private.h"
#include "thread_private.h"
#include <core/panic.h>
#include <exec/domain.h>
#include <exec/exit.h>
#include <exec/oom.h>

#define CLOCK_TICK (NSEC_PER_SEC / 100)

void sched_use_aspace(struct aspace *as)
{
	bool on = hal.cpu.irq_save();

	current_process()->aspace = as;
	runqueues[cpu_id()].aspace = as;
	aspace_activate(as);
	hal.cpu.irq_restore(on);
}

void vfork_release(struct process *p)
{
	if (!atomic_load_explicit(&p->vfork_parent, memory_order_relaxed))
		return;
	rcu_read_lock(); /* the parent's thread is not freed before the unlock */
	struct thread *parent = atomic_exchange(&p->vfork_parent, nullptr);
	if (parent)
		sched_unpark(&parent->task);
	rcu_read_unlock();
}

void process_release_locked(struct process *p)
{
	p->state = PROCESS_DEAD;
	list_remove(&p->sibling);
	process_unhash_locked(p);
	group_leave_locked(p);
}

void process_released(struct process *p)
{
	id_release(p->pid);
	process_put(p);
}

/* ---- Telling the parent ---- */

static void child_info(const struct process *p, int signo, int code, int status,
		       struct signal_info *info)
{
	*info = (struct signal_info){
		.signo = signo,
		.code = code,
		.child = p->pid,
		.child_uid = p->credentials.uid,
		.status = status,
		.user_time = p->user_time / CLOCK_TICK,
		.system_time = p->system_time / CLOCK_TICK,
	};
}

void process_notify_parent(struct process *p, int code, int signo)
{
	struct signal_info info;

	child_info(p, SIGCHLD, code, signo, &info);
	bool on = spin_lock_irq(&process_tree_lock);
	struct process *parent = p->parent;
	p->report_stop = code == CLD_STOPPED;
	p->report_continue = code == CLD_CONTINUED;
	if (parent && parent->state < PROCESS_ZOMBIE && parent != &kernel_process) {
		if (!signal_actions_no_stop_report(parent->actions)) {
			enum kerr err = signal_send(parent, nullptr, &info);
			(void)err; /* a standard signal: cannot fail */
		}
		wake_all(&parent->child_wait);
	}
	spin_unlock_irq(&process_tree_lock, on);
}

/* A zombie reports to its parent. True: the parent does not want to know, nobody will wait. */
static bool report_end_locked(struct process *p)
{
	struct process *parent = p->parent;
	struct signal_info info;
	int status = p->exit_status;

	if (!parent || parent == &kernel_process || parent->state >= PROCESS_ZOMBIE)
		return true;
	bool vanish = p->exit_signal == SIGCHLD && signal_actions_no_zombies(parent->actions);
	if (p->exit_signal) {
		bool killed = status & 0x7f;
		child_info(p, p->exit_signal, killed ? CLD_KILLED : CLD_EXITED,
			   killed ? status & 0x7f : status >> 8, &info);
		enum kerr err = signal_send(parent, nullptr, &info);
		(void)err; /* the child's end must not fail; a full queue loses a real-time one */
	}
	/* To the front, where wait4 looks first: reaping thousands of children must not take a walk over
	 * all of them each time. */
	list_remove(&p->sibling);
	list_add_head(&parent->children, &p->sibling);
	wake_all(&parent->child_wait);
	return vanish;
}

/* ---- The tree ---- */

static void orphan_child_locked(struct process *p, struct process *child, struct list *gone)
{
	struct process *adopter = process_adopter_locked(p);

	list_remove(&child->sibling);
	child->parent = adopter;
	child->exit_signal = SIGCHLD;
	list_add_tail(&adopter->children, &child->sibling);
	if (child->parent_death_signal && child->state != PROCESS_ZOMBIE)
		process_signal(child, child->parent_death_signal);
	if (child->state == PROCESS_ZOMBIE) {
		if (report_end_locked(child)) {
			process_release_locked(child);
			list_add_tail(gone, &child->sibling);
		}
	} else if (child->group != p->group && child->session == p->session) {
		group_check_orphan_locked(child->group, nullptr);
	}
}

static void become_zombie(struct process *p)
{
	struct process *child, *next;
	struct list gone = LIST_INIT(gone);
	bool on = spin_lock_irq(&process_tree_lock);

	list_for_each_safe(child, next, &p->children, sibling)
		orphan_child_locked(p, child, &gone);
	/* The walk over the group only if this end can have orphaned it. */
	if (group_anchored_by_locked(p))
		group_check_orphan_locked(p->group, p);

	spin_acquire(&p->lock);
	p->state = PROCESS_ZOMBIE;
	struct signal_actions *actions = p->actions;
	p->actions = nullptr;
	signal_flush(&p->pending.queue);
	p->pending.bits = 0;
	spin_release(&p->lock);
	bool vanish = report_end_locked(p);
	if (vanish)
		process_release_locked(p);
	spin_unlock_irq(&process_tree_lock, on);

	signal_actions_put(actions);
	if (vanish)
		process_released(p);
	list_for_each_safe(child, next, &gone, sibling) {
		list_remove(&child->sibling);
		process_released(child);
	}
}

static void process_exit(struct process *p)
{
	if (p == process_init)
		panic("program 1 ended with %s %d", p->exit_status & 0x7f ? "signal" : "status",
		      p->exit_status & 0x7f ? p->exit_status & 0x7f : p->exit_status >> 8);
	alarm_end(p);
	bool on = spin_lock_irq(&p->lock);
	struct aspace *as = p->aspace;
	p->aspace = nullptr;
	spin_unlock_irq(&p->lock, on);
	if (as) {
		sched_use_aspace(nullptr);
		aspace_put(as);
		oom_memory_freed();
	}
	vfork_release(p);
	for (unsigned i = 0; i < RESOURCE_COUNT; i++) {
		on = spin_lock_irq(&p->lock); /* against those who look at it through /proc */
		void *resource = p->resources[i];
		p->resources[i] = nullptr;
		spin_unlock_irq(&p->lock, on);
		if (resource)
			process_resource_ops[i]->release(resource);
	}
	if (p->executable)
		process_executable_put(p->executable);
	p->executable = nullptr;
	if (p->session->sid == p->pid && process_session_end)
		process_session_end(p->session);
	domain_leave(p->domain);
	become_zombie(p);
}

/* ---- Threads ---- */

void thread_exit(int status)
{
	struct thread *t = current_thread();
	struct process *p = t->process;

	t->exit_code = status;
	futex_thread_exit(t);
	bool on = spin_lock_irq(&p->lock);
	if (!p->exiting && t->tid == p->pid)
		p->exit_status = status;
	signal_flush(&t->signal_queue);
	t->signal_pending = 0;
	if (p->thread_count > 1) {
		t->signal_mask = ~(uint64_t)0; /* what pends for all goes to the others */
		signal_retarget_locked(p, ~(uint64_t)0);
	}
	spin_unlock_irq(&p->lock, on);
	uint32_t left = process_thread_withdraw(t);
	if (left == 0)
		process_exit(p);
	else if (READ_ONCE(p->group_stop) && READ_ONCE(p->stopped_threads) == left)
		process_notify_parent(p, CLD_STOPPED, p->stop_signal);
	thread_leave_cpu();
}

void process_exit_group(int status)
{
	struct process *p = current_process();
	bool on = spin_lock_irq(&p->lock);

	process_end_all_locked(p, status);
	status = p->exit_status; /* somebody may have been faster */
	spin_unlock_irq(&p->lock, on);
	thread_exit(status);
}
