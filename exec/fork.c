/*
 * clone(2): new threads and processes.
 *
 * Everything that can fail comes first (memory, numbers, copies); then the child is entered into
 * the tree and the tables under process_tree_lock, and started. vfork and CLONE_VM really share the
 * address space; the parent of a vfork sleeps until the child's vfork_release().
 */
#include "process_private.h"
#include "sched_private.h"
#include "thread_private.h"
#include <core/cmdline.h>
#include <exec/domain.h>
#include <exec/fork.h>
#include <exec/oom.h>
#include <lib/string.h>
#include <mm/user_copy.h>

#define KNOWN_FLAGS                                                                                \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VFORK | CLONE_PARENT |          \
	 CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |                       \
	 CLONE_CHILD_CLEARTID | CLONE_DETACHED | CLONE_UNTRACED | CLONE_CHILD_SETTID | CLONE_IO |  \
	 CLONE_CLEAR_SIGHAND)

static bool valid(const struct clone_request *r)
{
	uint64_t f = r->flags;

	if (f & ~KNOWN_FLAGS || r->exit_signal < 0 || r->exit_signal > SIGNAL_COUNT)
		return false;
	if ((f & CLONE_THREAD && !(f & CLONE_SIGHAND)) || (f & CLONE_SIGHAND && !(f & CLONE_VM)))
		return false;
	return !(f & CLONE_SIGHAND && f & CLONE_CLEAR_SIGHAND);
}

/* ---- The thread ---- */

static void inherit_thread(struct thread *t, struct thread *parent, const struct clone_request *r)
{
	t->policy = parent->policy;
	t->nice = parent->nice;
	t->realtime = parent->realtime;
	t->priority = t->base_priority = parent->base_priority;
	if (unlikely(parent->reset_on_fork)) {
		t->nice = t->realtime || t->nice < 0 ? 0 : t->nice;
		t->policy = SCHED_OTHER;
		t->realtime = 0;
		t->priority = t->base_priority = sched_priority_of(SCHED_OTHER, t->nice, 0);
	}
	atomic_store_explicit(&t->affinity, parent->affinity, memory_order_relaxed);
	if (unlikely(parent->dis.declared))
		intent_inherit(t, parent);
	t->signal_mask = parent->signal_mask;
	if (unlikely(parent->task.memory.policy.mode))
		t->task.memory = parent->task.memory;
	if (!(r->flags & CLONE_VM) || r->flags & CLONE_VFORK) {
		t->alt_stack_base = parent->alt_stack_base;
		t->alt_stack_size = parent->alt_stack_size;
	}
	if (r->flags & CLONE_CHILD_CLEARTID)
		t->clear_child_tid = r->child_tid;
	t->task.hal.tls = parent->task.hal.tls;

	fpu_fork(t);

	hal.user.frame_fork(thread_frame(t), thread_frame(parent), r->stack);
	if (r->flags & CLONE_SETTLS)
		hal.user.set_tls(&t->task.hal, thread_frame(t), r->tls);
}

/* First thing a child does if it has to tell itself its number (CLONE_CHILD_SETTID). */
static void write_own_tid(void *arg)
{
	int tid = current_thread()->tid;

	if (user_write((vaddr_t)arg, &tid, sizeof(tid)) != KERR_OK)
		return; /* as Linux: a bad address is the program's own affair */
}

/* ---- The process ---- */

static enum kerr clone_resources(struct process *p, struct process *parent, uint64_t flags)
{
	static const uint64_t share_flag[RESOURCE_COUNT] = {CLONE_FILES, CLONE_FS};

	for (unsigned i = 0; i < RESOURCE_COUNT; i++) {
		if (!parent->resources[i])
			continue;
		enum kerr err = process_resource_ops[i]->clone(
			parent->resources[i], flags & share_flag[i], &p->resources[i]);
		if (err != KERR_OK)
			return err;
	}
	return KERR_OK;
}

static enum kerr clone_signals(struct process *p, struct process *parent, uint64_t flags)
{
	if (flags & CLONE_SIGHAND) {
		signal_actions_get(parent->actions);
		p->actions = parent->actions;
		return KERR_OK;
	}
	p->actions = signal_actions_copy(parent->actions);
	if (!p->actions)
		return KERR_NOMEM;
	if (flags & CLONE_CLEAR_SIGHAND)
		signal_actions_exec(p->actions);
	return KERR_OK;
}

/* False: the domain has as many processes as it may. */
static bool inherit_process(struct process *p, struct process *parent)
{
	bool on = spin_lock_irq(&parent->lock), joined = domain_join(parent->domain);

	p->credentials = parent->credentials;
	p->domain = joined ? parent->domain : nullptr;
	memcpy(p->limits, parent->limits, sizeof(p->limits));
	spin_unlock_irq(&parent->lock, on);
	memcpy(p->name, parent->name, sizeof(p->name));
	p->no_new_privileges = parent->no_new_privileges;
	p->dumpable = parent->dumpable;
	p->personality = parent->personality;
	p->memory_budget = parent->memory_budget;
	p->oom_adjust = parent->oom_adjust;
	p->oom_adjust_min = parent->oom_adjust_min;
	p->trampoline = parent->trampoline;
	p->arg_start = parent->arg_start;
	p->arg_end = parent->arg_end;
	p->env_start = parent->env_start;
	p->env_end = parent->env_end;
	p->stack_start = parent->stack_start;
	return joined;
}

/* Undoes what is there of a process that never ran. */
static void process_discard(struct process *p)
{
	for (unsigned i = 0; i < RESOURCE_COUNT; i++)
		if (p->resources[i])
			process_resource_ops[i]->release(p->resources[i]);
	if (p->executable)
		process_executable_put(p->executable);
	if (p->aspace)
		aspace_put(p->aspace);
	if (p->actions)
		signal_actions_put(p->actions);
	if (p->domain)
		domain_leave(p->domain);
	p->state = PROCESS_DEAD;
	process_put(p);
}

/* RLIMIT_NPROC, from which the superuser is free. */
static bool too_many(const struct process *parent)
{
	uint32_t uid = parent->credentials.uid;
	uint64_t count = 0;
	struct process *p;

	if (uid == 0 || process_has_privilege(TERN_CAP_RESOURCE_ADMIN, LINUX_CAP_SYS_RESOURCE) ||
	    process_has_privilege(TERN_CAP_RESOURCE_ADMIN, LINUX_CAP_SYS_ADMIN))
		return false;
	for (int pid = 0; (p = process_next(pid)); process_put(p)) {
		pid = p->pid;
		count += p->credentials.uid == uid ? p->thread_count : 0;
	}
	return count >= parent->limits[RLIMIT_NPROC].current;
}

static enum kerr copy_process(struct process *parent, uint64_t flags, struct process **out)
{
	if (too_many(parent))
		return KERR_AGAIN;
	struct process *p = process_create();
	enum kerr err = KERR_OK;
	if (!p)
		return KERR_NOMEM;
	err = inherit_process(p, parent) ? clone_signals(p, parent, flags) : KERR_AGAIN;
	if (err != KERR_OK)
		goto fail;
	if (!parent->aspace) {
		p->aspace = nullptr; /* the parent lives in the kernel; execve brings one */
	} else if (flags & CLONE_VM) {
		aspace_get(parent->aspace);
		p->aspace = parent->aspace;
		p->shares_aspace = parent->shares_aspace = true;
	} else {
		err = aspace_fork(parent->aspace, &p->aspace);
		if (err != KERR_OK)
			goto fail;
	}
	err = clone_resources(p, parent, flags);
	if (err != KERR_OK)
		goto fail;
	if (parent->executable)
		p->executable = process_executable_get(parent->executable);
	*out = p;
	return KERR_OK;
fail:
	process_discard(p);
	return err;
}

/* Into the tree. The caller has filled in pid, tid and exit_signal. A signal that came meanwhile is
 * dealt with first: one for the whole group must not miss the child. */
static enum kerr publish_process(struct process *p, struct thread *t, struct process *self,
				 bool sibling)
{
	bool on = spin_lock_irq(&process_tree_lock);
	struct process *parent = sibling ? self->parent : self;

	if (signal_pending()) {
		spin_unlock_irq(&process_tree_lock, on);
		return KERR_RESTART_ALWAYS;
	}
	p->parent = parent;
	list_add_tail(&parent->children, &p->sibling);
	group_join_locked(p, self->group);
	process_hash_locked(p);
	p->state = PROCESS_RUNNING;
	process_thread_publish_locked(p, t);
	spin_unlock_irq(&process_tree_lock, on);
	return KERR_OK;
}

static enum kerr publish_thread(struct process *p, struct thread *t)
{
	enum kerr err = KERR_OK;
	bool on = spin_lock_irq(&process_tree_lock);

	spin_acquire(&p->lock);
	if (p->exiting || current_thread()->must_end)
		err = KERR_RESTART_ALWAYS; /* this thread is about to end, too */
	else if (p->group_stop)
		atomic_fetch_or(&t->task.work, TASK_WORK_STOP);
	spin_release(&p->lock);
	if (err == KERR_OK)
		process_thread_publish_locked(p, t);
	spin_unlock_irq(&process_tree_lock, on);
	return err;
}

/* ---- vfork ---- */

/* Killing the parent ends the wait; nothing else does. The child is referenced. */
static void vfork_wait(struct process *child)
{
	struct thread *self = current_thread();

	while (atomic_load(&child->vfork_parent) == self) {
		if (READ_ONCE(self->process->exiting) || READ_ONCE(self->must_end)) {
			struct thread *expected = self;
			atomic_compare_exchange_strong(&child->vfork_parent, &expected, nullptr);
			break;
		}
		enum kerr err = sched_park(WAIT_CHILD, false, NSEC_NEVER);
		(void)err; /* not interruptible, no deadline */
	}
}

enum kerr process_clone(const struct clone_request *r, int *tid)
{
	struct thread *self = current_thread();
	struct process *parent = self->process, *p = parent;
	bool new_process = !(r->flags & CLONE_THREAD);

	if (!valid(r))
		return KERR_INVAL;
	if (!oom_admit())
		return KERR_NOMEM;
	struct thread *t = thread_create(parent, self->task.name, true);
	if (!t)
		return KERR_NOMEM;
	enum kerr err = id_alloc(&t->tid);
	if (err != KERR_OK)
		goto fail_id;
	if (new_process) {
		err = copy_process(parent, r->flags, &p);
		if (err != KERR_OK)
			goto fail_process;
		p->pid = t->tid;
		p->exit_signal = (uint8_t)r->exit_signal;
		t->process = p;
	}
	inherit_thread(t, self, r);
	if (r->flags & CLONE_CHILD_SETTID) {
		t->entry = write_own_tid;
		t->entry_arg = (void *)r->child_tid;
	}
	*tid = t->tid;
	if (r->flags & CLONE_PARENT_SETTID &&
	    user_write(r->parent_tid, tid, sizeof(*tid)) != KERR_OK)
		*tid = t->tid; /* as Linux: a bad address is the program's own affair */
	if (new_process && r->flags & CLONE_VFORK) {
		process_get(p);
		p->vfork_parent = self;
	}
	err = new_process ? publish_process(p, t, parent, r->flags & CLONE_PARENT)
			  : publish_thread(p, t);
	if (err != KERR_OK)
		goto fail_publish;
	figures_forked();
	thread_launch(t);
	if (new_process && r->flags & CLONE_VFORK) {
		vfork_wait(p);
		process_put(p);
	}
	return KERR_OK;

fail_publish:
	if (new_process) {
		if (r->flags & CLONE_VFORK)
			process_put(p);
		process_discard(p);
	}
fail_process:
	id_release(t->tid);
fail_id:
	thread_destroy_unborn(t);
	return err;
}

/* ---- Programs started by the kernel itself ---- */

enum kerr process_spawn(const char *name, void (*fn)(void *arg), void *arg, int *pid)
{
	struct process *parent = current_process(), *p;

	if (!oom_admit())
		return KERR_NOMEM;
	struct thread *t = thread_create(parent, name, true);
	if (!t)
		return KERR_NOMEM;
	enum kerr err = id_alloc(&t->tid);
	if (err != KERR_OK)
		goto fail_id;
	err = copy_process(parent, 0, &p);
	if (err != KERR_OK)
		goto fail_process;
	p->pid = *pid = t->tid;
	p->exit_signal = SIGCHLD;
	strlcpy(p->name, name, sizeof(p->name));
	t->process = p;
	t->entry = fn;
	t->entry_arg = arg;
	err = publish_process(p, t, parent, false);
	if (err != KERR_OK)
		goto fail_publish;
	figures_forked();
	thread_launch(t);
	return KERR_OK;

fail_publish:
	process_discard(p);
fail_process:
	id_release(t->tid);
fail_id:
	thread_destroy_unborn(t);
	return err;
}

enum kerr process_start_first(void (*fn)(void *arg), void *arg)
{
	struct process *p = process_create();

	if (!p)
		return KERR_NOMEM;
	struct thread *t = thread_create(p, "init", true);
	if (!t)
		goto fail_thread;
	p->actions = signal_actions_create();
	if (!p->actions)
		goto fail_actions;
	t->entry = fn;
	t->entry_arg = arg;
	t->tid = p->pid = 1;
	strlcpy(p->name, "init", sizeof(p->name));
	for (unsigned i = 0; i < RLIMIT_COUNT; i++)
		p->limits[i] = (struct rlimit64){RLIM_INFINITY, RLIM_INFINITY};
	p->credentials.capabilities = (struct capabilities)CAPABILITIES_ROOT;
	p->domain = DOMAIN_OF(SYSTEM);
	atomic_fetch_add_explicit(&p->domain->processes, 1, memory_order_relaxed);
	p->limits[RLIMIT_STACK].current = 8ull << 20;
	p->limits[RLIMIT_CORE].current = 0;
	uint64_t files = MIN(MAX(cmdline_u64("limit.files", 1024), 16u), (uint64_t)524288);
	p->limits[RLIMIT_NOFILE] = (struct rlimit64){files, 524288};
	p->limits[RLIMIT_MEMLOCK] = (struct rlimit64){8ull << 20, 8ull << 20};
	p->limits[RLIMIT_SIGPENDING] = (struct rlimit64){4096, 4096};
	p->limits[RLIMIT_NPROC].current = p->limits[RLIMIT_NPROC].maximum =
		cmdline_u64("limit.processes", (uint64_t)id_limit() / 2);
	p->limits[RLIMIT_NICE] = p->limits[RLIMIT_RTPRIO] = (struct rlimit64){};

	bool on = spin_lock_irq(&process_tree_lock);
	enum kerr err = group_create_locked(p, true);
	if (err == KERR_OK) {
		p->parent = &kernel_process;
		list_add_tail(&kernel_process.children, &p->sibling);
		process_hash_locked(p);
		p->state = PROCESS_RUNNING;
		process_init = p;
		process_thread_publish_locked(p, t);
	}
	spin_unlock_irq(&process_tree_lock, on);
	if (err == KERR_OK) {
		thread_launch(t);
		return KERR_OK;
	}
fail_actions:
	thread_destroy_unborn(t);
fail_thread:
	process_discard(p);
	return KERR_NOMEM;
}
