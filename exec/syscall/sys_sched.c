/* Scheduling: policies, priorities, affinity, membarrier. */
#include "gate.h"
#include <core/cpu.h>
#include <exec/sched.h>
#include <mm/numa.h>

#define PRIO_PROCESS 0
#define PRIO_PGRP 1
#define PRIO_USER 2
#define REALTIME_MAX 99

SYSCALL(sched_yield)
{
	thread_yield();
	return KERR_OK;
}

/* Finds thread `tid` (0: the current one) for a short look; rcu_read_unlock() later if not null. */
static struct thread *look_at(int tid)
{
	rcu_read_lock();
	struct thread *t = tid ? thread_find(tid) : current_thread();
	if (!t)
		rcu_read_unlock();
	return t;
}

static bool may_change(const struct thread *t)
{
	const struct credentials *me = &current_process()->credentials,
				 *other = &t->process->credentials;

	return me->euid == 0 || me->euid == other->uid || me->euid == other->euid;
}

/* ---- nice ---- */

static enum kerr set_nice(struct thread *t, int nice)
{
	if (!may_change(t))
		return KERR_PERM;
	if (nice < t->nice && !process_superuser())
		return KERR_ACCESS;
	t->nice = (int8_t)nice;
	if (t->policy != SCHED_FIFO && t->policy != SCHED_RR)
		sched_set_priority(t, sched_priority_of(t->policy, nice, 0));
	return KERR_OK;
}

static bool concerns(const struct process *p, int which, int who)
{
	switch (which) {
	case PRIO_PROCESS:
		return p->pid == who;
	case PRIO_PGRP:
		return p->pgid == who;
	default:
		return p->credentials.uid == (uint32_t)who;
	}
}

static int own_number(int which)
{
	const struct process *p = current_process();

	return which == PRIO_PROCESS ? p->pid
	       : which == PRIO_PGRP  ? p->pgid
				     : (int)p->credentials.uid;
}

SYSCALL(setpriority)
{
	int which = (int)a0, who = (int)a1, nice = MAX(-20, MIN(19, (int)a2));
	enum kerr result = KERR_SRCH;
	struct process *p;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return KERR_INVAL;
	if (which == PRIO_PROCESS) {
		struct thread *t = look_at(who);
		if (t) {
			result = set_nice(t, nice);
			rcu_read_unlock();
		}
		return result;
	}
	if (who == 0)
		who = own_number(which);
	for (int pid = 0; (p = process_next(pid)); process_put(p)) {
		pid = p->pid;
		if (!concerns(p, which, who))
			continue;
		struct thread *t = look_at(pid);
		if (t) {
			result = set_nice(t, nice);
			rcu_read_unlock();
		}
	}
	return result;
}

SYSCALL(getpriority)
{
	int which = (int)a0, who = (int)a1, best = 20;
	struct process *p;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return KERR_INVAL;
	if (which == PRIO_PROCESS) {
		struct thread *t = look_at(who);
		if (!t)
			return KERR_SRCH;
		best = t->nice;
		rcu_read_unlock();
		return 20 - best;
	}
	if (who == 0)
		who = own_number(which);
	for (int pid = 0; (p = process_next(pid)); process_put(p)) {
		pid = p->pid;
		struct thread *t = concerns(p, which, who) ? look_at(pid) : nullptr;
		if (t) {
			best = MIN(best, t->nice);
			rcu_read_unlock();
		}
	}
	return best == 20 ? KERR_SRCH : 20 - best;
}

/* ---- policies ---- */

static bool realtime(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool known(int policy)
{
	return realtime(policy) || policy == SCHED_OTHER || policy == SCHED_BATCH ||
	       policy == SCHED_IDLE;
}

static enum kerr set_policy(struct thread *t, int policy, int priority)
{
	if (!known(policy) || priority < 0 || priority > REALTIME_MAX ||
	    realtime(policy) != (priority > 0))
		return KERR_INVAL;
	if (!may_change(t) || (realtime(policy) && !process_superuser()))
		return KERR_PERM;
	t->policy = (uint8_t)policy;
	sched_set_priority(t, sched_priority_of(t->policy, t->nice, priority));
	return KERR_OK;
}

static int realtime_priority(const struct thread *t)
{
	return realtime(t->policy) ? t->base_priority - 99 : 0;
}

static long change_policy(int tid, int policy, vaddr_t parameter)
{
	int priority;
	enum kerr err = tid < 0 || !parameter ? KERR_INVAL
					      : user_read(&priority, parameter, sizeof(priority));

	if (err != KERR_OK)
		return err;
	struct thread *t = look_at(tid);
	if (!t)
		return KERR_SRCH;
	err = set_policy(t, policy < 0 ? t->policy : policy, priority);
	rcu_read_unlock();
	return err;
}

SYSCALL(sched_setscheduler)
{
	return (int)a1 < 0 ? KERR_INVAL : change_policy((int)a0, (int)a1 & ~0x40000000, a2);
}

SYSCALL(sched_setparam)
{
	return change_policy((int)a0, -1, a1);
}

SYSCALL(sched_getscheduler)
{
	struct thread *t = (int)a0 < 0 ? nullptr : look_at((int)a0);

	if (!t)
		return (int)a0 < 0 ? KERR_INVAL : KERR_SRCH;
	int policy = t->policy;
	rcu_read_unlock();
	return policy;
}

SYSCALL(sched_getparam)
{
	struct thread *t = (int)a0 < 0 ? nullptr : look_at((int)a0);

	if (!t)
		return (int)a0 < 0 ? KERR_INVAL : KERR_SRCH;
	int priority = realtime_priority(t);
	rcu_read_unlock();
	return user_write(a1, &priority, sizeof(priority));
}

SYSCALL(sched_getattr)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = {.size = 48};
	struct thread *t = (int)a0 < 0 || a2 < sizeof(attr) || a3 ? nullptr : look_at((int)a0);

	if (!t)
		return (int)a0 < 0 || a2 < sizeof(attr) || a3 ? KERR_INVAL : KERR_SRCH;
	attr.policy = t->policy;
	attr.nice = t->nice;
	attr.priority = (uint32_t)realtime_priority(t);
	rcu_read_unlock();
	return user_write(a1, &attr, sizeof(attr));
}

SYSCALL(sched_get_priority_max)
{
	return !known((int)a0) ? (long)KERR_INVAL : realtime((int)a0) ? REALTIME_MAX : 0;
}

SYSCALL(sched_get_priority_min)
{
	return !known((int)a0) ? (long)KERR_INVAL : realtime((int)a0) ? 1 : 0;
}

SYSCALL(sched_rr_get_interval)
{
	struct thread *t = (int)a0 < 0 ? nullptr : look_at((int)a0);

	if (!t)
		return (int)a0 < 0 ? KERR_INVAL : KERR_SRCH;
	nsec_t slice = t->policy == SCHED_FIFO ? 0 : 10 * NSEC_PER_MSEC;
	rcu_read_unlock();
	return timespec_write(a1, slice);
}

/* ---- affinity ---- */

SYSCALL(sched_setaffinity)
{
	cpuset_t cpus = 0;
	enum kerr err = user_read(&cpus, a2, MIN(a1, sizeof(cpus)));

	if (err != KERR_OK)
		return err;
	struct thread *t = (int)a0 < 0 ? nullptr : look_at((int)a0);
	if (!t)
		return KERR_SRCH;
	err = may_change(t) ? sched_set_affinity(t, cpus) : KERR_PERM;
	bool self = t == current_thread();
	rcu_read_unlock();
	if (err == KERR_OK && self)
		thread_yield(); /* leaves a CPU that it may not use any more */
	return err;
}

SYSCALL(sched_getaffinity)
{
	struct thread *t;

	if (a1 < sizeof(cpuset_t) || !IS_ALIGNED(a1, 8))
		return KERR_INVAL;
	t = (int)a0 < 0 ? nullptr : look_at((int)a0);
	if (!t)
		return KERR_SRCH;
	cpuset_t cpus = t->affinity & cpu_online();
	rcu_read_unlock();
	enum kerr err = user_write(a2, &cpus, sizeof(cpus));
	return err == KERR_OK ? (long)sizeof(cpus) : err;
}

SYSCALL(getcpu)
{
	uint32_t cpu = READ_ONCE(current_task()->hal.cpu), node = numa_node_of_cpu(cpu);
	enum kerr err = a0 ? user_write(a0, &cpu, sizeof(cpu)) : KERR_OK;

	return err == KERR_OK && a1 ? user_write(a1, &node, sizeof(node)) : err;
}

/* ---- membarrier(2) ---- */

#define MEMBARRIER_QUERY 0
#define MEMBARRIER_GLOBAL 1
#define MEMBARRIER_PRIVATE 8
#define MEMBARRIER_REGISTER_PRIVATE 16
#define MEMBARRIER_SYNC_CORE 32
#define MEMBARRIER_REGISTER_SYNC_CORE 64
#define MEMBARRIER_KNOWN                                                                           \
	(MEMBARRIER_GLOBAL | MEMBARRIER_PRIVATE | MEMBARRIER_REGISTER_PRIVATE |                    \
	 MEMBARRIER_SYNC_CORE | MEMBARRIER_REGISTER_SYNC_CORE)

static void nothing(void *arg)
{
	atomic_thread_fence(memory_order_seq_cst);
}

SYSCALL(membarrier)
{
	if (a1)
		return KERR_INVAL;
	switch ((int)a0) {
	case MEMBARRIER_QUERY:
		return MEMBARRIER_KNOWN;
	case MEMBARRIER_REGISTER_PRIVATE:
	case MEMBARRIER_REGISTER_SYNC_CORE:
		return KERR_OK;
	case MEMBARRIER_GLOBAL:
	case MEMBARRIER_PRIVATE:
	case MEMBARRIER_SYNC_CORE:
		cpu_call(cpu_online(), nothing, nullptr);
		return KERR_OK;
	default:
		return KERR_INVAL;
	}
}
