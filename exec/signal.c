/*
 * Signals, the sending side: actions, pending sets, choice of the thread, kill(2).
 *
 * A pending signal is a bit in the process's or the thread's set; signals that carry information
 * also have an item in the queue. Standard signals pend once, real-time ones (32 and up) queue up.
 * What is ignored is dropped when it is sent, unless the target blocks it (it may change its mind).
 * SIGKILL ends the process at once; all other default actions happen in the target (deliver.c).
 *
 * Actions live in an object of their own, because clone(2) can share them. Only entries that were
 * ever changed are valid (`changed`), so fork copies few of the 64.
 *
 * Locks: process lock (sets, queues, threads) -> actions lock. Any context.
 */
#include "process_private.h"
#include "sched_private.h"
#include <core/panic.h>
#include <exec/domain.h>
#include <lib/string.h>
#include <mm/heap.h>

struct signal_actions {
	_Atomic uint32_t references;
	struct spinlock lock;          /* interrupt-safe, RANK_FILES */
	_Atomic uint64_t changed;      /* entries that are valid; all others are the default */
	_Atomic uint64_t ignored, caught; /* (lock for writing) what they say, for quick tests */
	struct signal_action action[SIGNAL_COUNT];
};

struct signal_item {
	struct list link; /* (process lock) */
	struct signal_info info;
};

#define DEFAULT_IGNORED                                                                            \
	(SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGCONT))
#define STOP_SIGNALS                                                                               \
	(SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))
#define FAULT_SIGNALS                                                                              \
	(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |     \
	 SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS))

static struct cache *items RO_AFTER_INIT;
static struct cache *action_sets RO_AFTER_INIT;

void signal_boot(void)
{
	items = cache_create("signal", sizeof(struct signal_item), 0);
	action_sets = cache_create("signal actions", sizeof(struct signal_actions), 0);
}

/* ---- Actions ---- */

struct signal_actions *signal_actions_create(void)
{
	struct signal_actions *a = cache_alloc(action_sets);

	if (!a)
		return nullptr;
	a->references = 1;
	spin_init(&a->lock, RANK_FILES, "signal actions");
	a->changed = a->ignored = a->caught = 0;
	return a;
}

struct signal_actions *signal_actions_copy(struct signal_actions *from)
{
	struct signal_actions *a = signal_actions_create();

	if (!a)
		return nullptr;
	bool on = spin_lock_irq(&from->lock);
	a->changed = from->changed;
	a->ignored = from->ignored;
	a->caught = from->caught;
	for (uint64_t left = a->changed; left; left &= left - 1) {
		int i = __builtin_ctzll(left);
		a->action[i] = from->action[i];
	}
	spin_unlock_irq(&from->lock, on);
	return a;
}

void signal_actions_get(struct signal_actions *a)
{
	atomic_fetch_add_explicit(&a->references, 1, memory_order_relaxed);
}

void signal_actions_put(struct signal_actions *a)
{
	if (atomic_fetch_sub_explicit(&a->references, 1, memory_order_acq_rel) == 1)
		cache_free(action_sets, a);
}

bool signal_actions_shared(const struct signal_actions *a)
{
	return atomic_load_explicit(&a->references, memory_order_acquire) > 1;
}

/* execve: what was caught is the default again; what was ignored stays ignored. */
void signal_actions_exec(struct signal_actions *a)
{
	bool on = spin_lock_irq(&a->lock);

	a->changed = a->ignored;
	a->caught = 0;
	for (uint64_t left = a->ignored; left; left &= left - 1)
		a->action[__builtin_ctzll(left)] = (struct signal_action){.handler = SIG_IGN};
	spin_unlock_irq(&a->lock, on);
}

struct signal_action signal_action_get(struct signal_actions *a, int signo)
{
	struct signal_action action = {};
	bool on = spin_lock_irq(&a->lock);

	if (a->changed & SIGNAL_BIT(signo))
		action = a->action[signo - 1];
	spin_unlock_irq(&a->lock, on);
	return action;
}

static void action_set(struct signal_actions *a, int signo, const struct signal_action *set)
{
	uint64_t bit = SIGNAL_BIT(signo);
	bool on = spin_lock_irq(&a->lock);

	a->action[signo - 1] = *set;
	a->changed |= bit;
	a->ignored &= ~bit;
	a->caught &= ~bit;
	if (set->handler == SIG_IGN)
		a->ignored |= bit;
	else if (set->handler != SIG_DFL)
		a->caught |= bit;
	spin_unlock_irq(&a->lock, on);
}

void signal_action_reset(struct signal_actions *a, int signo)
{
	action_set(a, signo, &(struct signal_action){});
}

/* Signal numbers whose arrival changes nothing, as the actions are now. */
static uint64_t ignored_set(const struct signal_actions *a)
{
	uint64_t ignored = atomic_load_explicit(&a->ignored, memory_order_relaxed);

	return ignored |
	       (DEFAULT_IGNORED & ~atomic_load_explicit(&a->caught, memory_order_relaxed));
}

bool signal_actions_no_zombies(struct signal_actions *a)
{
	struct signal_action chld = signal_action_get(a, SIGCHLD);

	return chld.handler == SIG_IGN || chld.flags & SA_NOCLDWAIT;
}

bool signal_actions_no_stop_report(struct signal_actions *a)
{
	return signal_action_get(a, SIGCHLD).flags & SA_NOCLDSTOP;
}

/* ---- Pending ---- */

static void discard_locked(struct process *p, uint64_t *bits, struct list *queue, uint64_t which)
{
	struct signal_item *item, *next;

	if (!(*bits & which))
		return;
	*bits &= ~which;
	list_for_each_safe(item, next, queue, link) {
		if (!(which & SIGNAL_BIT(item->info.signo)))
			continue;
		list_remove(&item->link);
		p->queued_signals--;
		cache_free(items, item);
	}
}

static void discard_all_locked(struct process *p, uint64_t which)
{
	struct thread *t;

	discard_locked(p, &p->pending.bits, &p->pending.queue, which);
	list_for_each(t, &p->threads, process_link)
		discard_locked(p, &t->signal_pending, &t->signal_queue, which);
}

void signal_flush(struct list *queue)
{
	struct signal_item *item, *next;

	list_for_each_safe(item, next, queue, link) {
		list_remove(&item->link);
		cache_free(items, item);
	}
}

static bool take_from(struct process *p, uint64_t *bits, struct list *queue, int signo,
		      struct signal_info *out)
{
	struct signal_item *item, *found = nullptr;
	bool more = false;

	if (!(*bits & SIGNAL_BIT(signo)))
		return false;
	*out = (struct signal_info){.signo = signo};
	list_for_each(item, queue, link) {
		if (item->info.signo != signo)
			continue;
		if (found) {
			more = true;
			break;
		}
		found = item;
	}
	if (found) {
		*out = found->info;
		list_remove(&found->link);
		p->queued_signals--;
		cache_free(items, found);
	}
	if (!more)
		*bits &= ~SIGNAL_BIT(signo);
	return true;
}

bool signal_take_locked(struct thread *t, uint64_t wanted, struct signal_info *out)
{
	struct process *p = t->process;
	uint64_t there = (t->signal_pending | p->pending.bits) & wanted;

	if (!there)
		return false;
	if (there & FAULT_SIGNALS)
		there &= FAULT_SIGNALS;
	int signo = __builtin_ctzll(there) + 1;
	return take_from(p, &t->signal_pending, &t->signal_queue, signo, out) ||
	       take_from(p, &p->pending.bits, &p->pending.queue, signo, out);
}

void signal_update_work_locked(struct thread *t)
{
	if ((t->signal_pending | t->process->pending.bits) & ~t->signal_mask)
		atomic_fetch_or_explicit(&t->task.work, TASK_WORK_SIGNAL, memory_order_seq_cst);
	else
		atomic_fetch_and_explicit(&t->task.work, ~TASK_WORK_SIGNAL, memory_order_seq_cst);
}

/* ---- Sending ---- */

/* Sets work bits of `t` and makes it look at them, wherever it is. */
void thread_notify(struct thread *t, uint32_t work)
{
	if (work)
		atomic_fetch_or_explicit(&t->task.work, work, memory_order_seq_cst);
	if (t == current_thread())
		return;
	if (work & TASK_WORK_STOP)
		sched_unhold(t);
	sched_unpark(&t->task);
	preempt_disable();
	if (atomic_load_explicit(&t->on_cpu, memory_order_seq_cst) ||
	    atomic_load_explicit(&t->state, memory_order_seq_cst) == THREAD_RUNNING) {
		cpu_t cpu = READ_ONCE(t->task.hal.cpu);
		if (cpu != cpu_id())
			cpu_kick(cpu_bit(cpu));
	}
	preempt_enable();
}

void process_end_all_locked(struct process *p, int status)
{
	struct thread *t;

	if (!p->exiting) {
		p->exiting = true;
		p->exit_status = status;
		p->group_stop = false;
	}
	list_for_each(t, &p->threads, process_link)
		thread_notify(t, TASK_WORK_STOP);
}

void process_continue_locked(struct process *p)
{
	struct thread *t;

	if (!p->group_stop)
		return;
	p->group_stop = false;
	p->continue_report = true;
	uint8_t stopped = PROCESS_STOPPED;
	atomic_compare_exchange_strong(&p->state, &stopped, PROCESS_RUNNING);
	list_for_each(t, &p->threads, process_link)
		thread_notify(t, 0);
}

/* A signal that nobody would notice. */
static bool dropped(struct process *p, struct thread *t, int signo)
{
	uint64_t bit = SIGNAL_BIT(signo);

	if (!t)
		t = list_first(&p->threads, struct thread, process_link);
	if ((t->signal_mask | t->waiting_for) & bit)
		return false;
	if (ignored_set(p->actions) & bit)
		return true;
	/* Program 1 has only what it asked for. */
	return p == process_init &&
	       !(atomic_load_explicit(&p->actions->caught, memory_order_relaxed) & bit);
}

static void wake_for_locked(struct process *p, struct thread *t, uint64_t bit)
{
	if (t) {
		if (!(t->signal_mask & bit) || t->waiting_for & bit)
			thread_notify(t, TASK_WORK_SIGNAL);
		return;
	}
	list_for_each(t, &p->threads, process_link) {
		if (t->signal_mask & bit && !(t->waiting_for & bit))
			continue;
		thread_notify(t, TASK_WORK_SIGNAL);
		return;
	}
}

static enum kerr enqueue_locked(struct process *p, uint64_t *bits, struct list *queue,
				const struct signal_info *info)
{
	struct signal_item *item = nullptr;

	if (p->queued_signals < p->limits[RLIMIT_SIGPENDING].current)
		item = cache_alloc(items);
	if (item) {
		item->info = *info;
		list_add_tail(queue, &item->link);
		p->queued_signals++;
	} else if (info->signo >= SIGRTMIN && info->code < 0) {
		return KERR_AGAIN;
	}
	*bits |= SIGNAL_BIT(info->signo);
	return KERR_OK;
}

enum kerr signal_send_locked(struct process *p, struct thread *t, const struct signal_info *info)
{
	int signo = info->signo;
	uint64_t bit = SIGNAL_BIT(signo);

	if (p->state >= PROCESS_ZOMBIE || list_empty(&p->threads) || p == &kernel_process)
		return KERR_OK;
	if (bit & STOP_SIGNALS) {
		discard_all_locked(p, SIGNAL_BIT(SIGCONT));
	} else if (signo == SIGCONT) {
		discard_all_locked(p, STOP_SIGNALS);
		process_continue_locked(p);
	}
	if (dropped(p, t, signo))
		return KERR_OK;
	if (signo == SIGKILL) {
		process_end_all_locked(p, SIGKILL);
		return KERR_OK;
	}
	uint64_t *bits = t ? &t->signal_pending : &p->pending.bits;
	if (signo < SIGRTMIN && *bits & bit)
		return KERR_OK;
	enum kerr err = enqueue_locked(p, bits, t ? &t->signal_queue : &p->pending.queue, info);
	if (err == KERR_OK) {
		wake_for_locked(p, t, bit);
		signal_watch_wake(p);
	}
	return err;
}

enum kerr signal_send(struct process *p, struct thread *t, const struct signal_info *info)
{
	bool on = spin_lock_irq(&p->lock);
	enum kerr err = signal_send_locked(p, t, info);

	spin_unlock_irq(&p->lock, on);
	return err;
}

void process_signal(struct process *p, int signo)
{
	struct signal_info info = {.signo = signo, .code = SI_KERNEL};

	if (signal_send(p, nullptr, &info) != KERR_OK)
		return; /* only real-time signals can fail */
}

/* A thread took itself out of what `bits` of the process's set could go to. */
void signal_retarget_locked(struct process *p, uint64_t bits)
{
	bits &= p->pending.bits;
	for (; bits; bits &= bits - 1)
		wake_for_locked(p, nullptr, bits & -bits);
}

static void force(struct signal_info *info)
{
	struct thread *t = current_thread();
	struct process *p = t->process;
	int signo = info->signo;
	uint64_t bit = SIGNAL_BIT(signo);

	bool on = spin_lock_irq(&p->lock);
	bool blocked = t->signal_mask & bit;
	if (bit & FAULT_SIGNALS && (blocked || p->actions->ignored & bit)) {
		signal_action_reset(p->actions, signo);
		t->signal_mask &= ~bit;
	}
	if (!(bit & FAULT_SIGNALS) && !blocked && ignored_set(p->actions) & bit)
		goto out;
	if (!(t->signal_pending & bit) &&
	    enqueue_locked(p, &t->signal_pending, &t->signal_queue, info) != KERR_OK)
		t->signal_pending |= bit;
	signal_update_work_locked(t);
out:
	spin_unlock_irq(&p->lock, on);
}

void signal_force(int signo, int code, vaddr_t addr)
{
	struct signal_info info = {.signo = signo, .code = code, .addr = addr};

	if (code == SI_KERNEL || signo == SIGPIPE)
		info.addr = 0;
	force(&info);
}

void signal_force_key(vaddr_t addr, unsigned key)
{
	struct signal_info info = {.signo = SIGSEGV, .code = SEGV_PKUERR, .addr = addr, .key = key};

	force(&info);
}

/* ---- kill(2) and its like ---- */

bool signal_permitted(struct process *p, int signo)
{
	const struct credentials *me = &current_process()->credentials, *other = &p->credentials;

	if (p == current_process())
		return true;
	if (!process_has(TERN_CAP_SIGNAL) || process_separated(p, DOMAIN_SIGNAL))
		return false;
	return me->euid == other->suid || me->euid == other->uid || me->uid == other->suid ||
	       me->uid == other->uid ||
	       (signo == SIGCONT && p->session == current_process()->session) ||
	       process_capable(TERN_CAP_KILL, LINUX_CAP_KILL);
}

static enum kerr send_checked(struct process *p, const struct signal_info *info)
{
	if (!signal_permitted(p, info->signo))
		return process_separated(p, DOMAIN_SEE) ? KERR_SRCH : KERR_PERM;
	return info->signo ? signal_send(p, nullptr, info) : KERR_OK;
}

static enum kerr kill_group(int pgid, const struct signal_info *info)
{
	enum kerr result = KERR_SRCH;
	struct process *p;
	bool on = spin_lock_irq(&process_tree_lock);
	struct process_group *g = group_find_locked(pgid);

	if (g) {
		list_for_each(p, &g->members, group_link) {
			enum kerr err = send_checked(p, info);
			if (err == KERR_OK || result == KERR_SRCH)
				result = err;
		}
	}
	spin_unlock_irq(&process_tree_lock, on);
	return result;
}

static enum kerr kill_all(const struct signal_info *info)
{
	enum kerr result = KERR_SRCH;
	struct process *p;

	for (int pid = 1; (p = process_next(pid)); process_put(p)) {
		pid = p->pid;
		if (p == current_process())
			continue;
		enum kerr err = send_checked(p, info);
		if (err == KERR_OK || result == KERR_SRCH)
			result = err;
	}
	return result;
}

enum kerr signal_kill(int pid, const struct signal_info *info)
{
	if (info->signo < 0 || info->signo > SIGNAL_COUNT)
		return KERR_INVAL;
	if (pid == INT32_MIN)
		return KERR_SRCH;
	if (pid == 0)
		return kill_group(current_process()->pgid, info);
	if (pid == -1)
		return kill_all(info);
	if (pid < 0)
		return kill_group(-pid, info);
	struct process *p = process_find(pid);
	if (!p)
		return KERR_SRCH;
	enum kerr err = send_checked(p, info);
	process_put(p);
	return err;
}

enum kerr signal_thread(int tgid, int tid, const struct signal_info *info)
{
	enum kerr err = KERR_SRCH;

	if (info->signo < 0 || info->signo > SIGNAL_COUNT || tid <= 0)
		return KERR_INVAL;
	rcu_read_lock();
	struct thread *t = thread_find(tid);
	if (t && t->process != &kernel_process && (tgid <= 0 || t->process->pid == tgid)) {
		struct process *p = t->process;
		bool on = spin_lock_irq(&p->lock);
		if (!list_empty(&t->process_link)) /* it has not left */
			err = !signal_permitted(p, info->signo) ? KERR_PERM
			      : info->signo                     ? signal_send_locked(p, t, info)
								: KERR_OK;
		spin_unlock_irq(&p->lock, on);
	}
	rcu_read_unlock();
	return err;
}

/* ---- sigaction, masks ---- */

enum kerr signal_action(int signo, const struct signal_action *set, struct signal_action *old)
{
	struct process *p = current_process();

	if (signo < 1 || signo > SIGNAL_COUNT || (set && SIGNAL_BIT(signo) & SIGNAL_UNBLOCKABLE))
		return KERR_INVAL;
	if (old)
		*old = signal_action_get(p->actions, signo);
	if (!set)
		return KERR_OK;
	struct signal_action action = *set;
	action.mask &= ~SIGNAL_UNBLOCKABLE;
	action_set(p->actions, signo, &action);
	if (ignored_set(p->actions) & SIGNAL_BIT(signo)) {
		bool on = spin_lock_irq(&p->lock);
		discard_all_locked(p, SIGNAL_BIT(signo));
		signal_update_work_locked(current_thread());
		spin_unlock_irq(&p->lock, on);
	}
	return KERR_OK;
}

void signal_set_mask(uint64_t mask)
{
	struct thread *t = current_thread();
	struct process *p = t->process;
	bool on = spin_lock_irq(&p->lock);
	uint64_t newly = mask & ~t->signal_mask;

	t->signal_mask = mask & ~SIGNAL_UNBLOCKABLE;
	if (p->thread_count > 1)
		signal_retarget_locked(p, newly);
	signal_update_work_locked(t);
	spin_unlock_irq(&p->lock, on);
}

uint64_t signal_pending_all(void)
{
	struct thread *t = current_thread();
	bool on = spin_lock_irq(&t->process->lock);
	uint64_t set = t->signal_pending | t->process->pending.bits;

	spin_unlock_irq(&t->process->lock, on);
	return set;
}

uint64_t signal_pending_set(void)
{
	return signal_pending_all() & current_thread()->signal_mask;
}

bool signal_blocked_or_ignored(int signo)
{
	struct thread *t = current_thread();

	return (t->signal_mask | t->process->actions->ignored) & SIGNAL_BIT(signo);
}

void signal_figures(struct process *p, struct signal_figures *out)
{
	bool on = spin_lock_irq(&p->lock);

	*out = (struct signal_figures){.shared_pending = p->pending.bits};
	if (p->actions) {
		out->ignored = p->actions->ignored;
		out->caught = p->actions->caught;
	}
	if (!list_empty(&p->threads)) {
		struct thread *t = list_first(&p->threads, struct thread, process_link);
		out->pending = t->signal_pending;
		out->blocked = t->signal_mask;
	}
	spin_unlock_irq(&p->lock, on);
}
