/* Scheduling: policies, priorities, affinity, membarrier. */
#include "gate.h"
#include <core/cpu.h>
#include <exec/domain.h>
#include <exec/futex.h>
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

/* ---- nice ---- */

static bool realtime(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

/* RLIMIT_NICE counts from 1 (nice 19) to 40 (nice -20). */
static bool may_have_nice(const struct thread *t, int nice)
{
	return (uint64_t)(20 - nice) <= t->process->limits[RLIMIT_NICE].current ||
	       process_capable(TERN_CAP_ANY_PRIORITY, LINUX_CAP_SYS_NICE);
}

static enum kerr set_nice(struct thread *t, int nice)
{
	if (!sched_may_change(t))
		return KERR_PERM;
	if (nice < t->nice && !may_have_nice(t, nice))
		return KERR_ACCESS;
	t->nice = (int8_t)nice;
	if (!realtime(t->policy)) {
		sched_set_priority(t, sched_priority_of(t->policy, nice, 0));
		futex_pi_priority_changed(t);
	}
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

static bool known(int policy)
{
	return realtime(policy) || policy == SCHED_OTHER || policy == SCHED_BATCH ||
	       policy == SCHED_IDLE;
}

#define RESET_ON_FORK 0x40000000 /* beside a policy */

/* What sched_setscheduler and sched_setattr ask for. */
struct wish {
	int policy, priority, nice;
	bool reset_on_fork, set_nice;
};

/* Without the capability for more, RLIMIT_RTPRIO and RLIMIT_NICE say how far it may go. */
static bool may_have_policy(const struct thread *t, const struct wish *w)
{
	uint64_t most = t->process->limits[RLIMIT_RTPRIO].current;

	if (w->policy != SCHED_IDLE && !process_has(TERN_CAP_CPU))
		return false;
	if (realtime(w->policy) &&
	    ((w->policy != t->policy && !most) ||
	     (w->priority > t->realtime && (uint64_t)w->priority > most)) &&
	    !process_capable(TERN_CAP_REAL_TIME, LINUX_CAP_SYS_NICE))
		return false;
	if (w->set_nice && !realtime(w->policy) && w->nice < t->nice && !may_have_nice(t, w->nice))
		return false;
	if (t->policy == SCHED_IDLE && w->policy != SCHED_IDLE && !may_have_nice(t, t->nice))
		return false;
	return sched_may_change(t) && (!t->reset_on_fork || w->reset_on_fork ||
				       process_capable(TERN_CAP_ANY_PRIORITY, LINUX_CAP_SYS_NICE));
}

static enum kerr set_policy(struct thread *t, const struct wish *w)
{
	if (!known(w->policy) || w->priority < 0 || w->priority > REALTIME_MAX ||
	    realtime(w->policy) != (w->priority > 0))
		return KERR_INVAL;
	if (!may_have_policy(t, w))
		return KERR_PERM;
	t->policy = (uint8_t)w->policy;
	t->realtime = (uint8_t)w->priority;
	t->reset_on_fork = w->reset_on_fork;
	if (w->set_nice && !realtime(w->policy))
		t->nice = (int8_t)w->nice;
	sched_set_priority(t, sched_priority_of(t->policy, t->nice, w->priority));
	futex_pi_priority_changed(t);
	return KERR_OK;
}

/* policy -1: the one it has. */
static long change_policy(int tid, int policy, vaddr_t parameter)
{
	struct wish w = {};
	enum kerr err = tid < 0 || !parameter
				? KERR_INVAL
				: user_read(&w.priority, parameter, sizeof(w.priority));

	if (err != KERR_OK)
		return err;
	struct thread *t = look_at(tid);
	if (!t)
		return KERR_SRCH;
	w.policy = policy < 0 ? t->policy : policy & ~RESET_ON_FORK;
	w.reset_on_fork = policy < 0 ? t->reset_on_fork : policy & RESET_ON_FORK;
	err = set_policy(t, &w);
	rcu_read_unlock();
	return err;
}

SYSCALL(sched_setscheduler)
{
	return (int)a1 < 0 ? KERR_INVAL : change_policy((int)a0, (int)a1, a2);
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
	int policy = t->policy | (t->reset_on_fork ? RESET_ON_FORK : 0);
	rcu_read_unlock();
	return policy;
}

SYSCALL(sched_getparam)
{
	struct thread *t = (int)a0 < 0 || !a1 ? nullptr : look_at((int)a0);

	if (!t)
		return (int)a0 < 0 || !a1 ? KERR_INVAL : KERR_SRCH;
	int priority = t->realtime;
	rcu_read_unlock();
	return user_write(a1, &priority, sizeof(priority));
}

/* struct sched_attr, its first version; later ones add what this kernel has no use for. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};
static_assert(sizeof(struct attributes) == 48);

#define ATTR_RESET_ON_FORK 1u
#define ATTR_KEEP_POLICY 8u
#define ATTR_KEEP_PARAMS 16u
#define ATTR_FLAGS (ATTR_RESET_ON_FORK | 2u | 4u | ATTR_KEEP_POLICY | ATTR_KEEP_PARAMS)

/* TOO_BIG: something beyond what is known is not zero; *addr's size then says what is known. */
static enum kerr attributes_read(vaddr_t addr, struct attributes *out)
{
	uint32_t size, known_size = sizeof(*out);
	uint8_t rest[64];
	enum kerr err = user_read(&size, addr, sizeof(size));

	if (err != KERR_OK)
		return err;
	if (size == 0)
		size = known_size;
	if (size < known_size || size > PAGE_SIZE)
		goto too_big;
	for (size_t at = known_size; at < size; at += sizeof(rest)) {
		size_t n = MIN(size - at, sizeof(rest));
		err = user_read(rest, addr + at, n);
		if (err != KERR_OK)
			return err;
		for (size_t i = 0; i < n; i++)
			if (rest[i])
				goto too_big;
	}
	return user_read(out, addr, sizeof(*out));
too_big:
	err = user_write(addr, &known_size, sizeof(known_size));
	return err == KERR_OK ? KERR_TOOBIG : err;
}

/* Reservations are not given yet: the right ones find no room, the wrong ones are wrong. */
static enum kerr deadline_refused(const struct attributes *a)
{
	uint64_t period = a->period ? a->period : a->deadline;

	if (a->priority || a->runtime < 1024 || a->deadline < a->runtime || period < a->deadline ||
	    (int64_t)period < 0)
		return KERR_INVAL;
	return process_capable(TERN_CAP_BYPASS_SCHEDULER, LINUX_CAP_SYS_NICE) ? KERR_BUSY
									      : KERR_PERM;
}

SYSCALL(sched_setattr)
{
	struct attributes a;

	if (!a1 || (int)a0 < 0 || a2)
		return KERR_INVAL;
	enum kerr err = attributes_read(a1, &a);
	if (err != KERR_OK)
		return err;
	if ((int)a.policy < 0 || (a.flags & ~(uint64_t)ATTR_FLAGS))
		return KERR_INVAL;
	struct wish w = {.policy = (int)a.policy,
			 .priority = (int)MIN(a.priority, REALTIME_MAX + 1u),
			 .nice = MAX(-20, MIN(19, a.nice)),
			 .reset_on_fork = a.flags & ATTR_RESET_ON_FORK,
			 .set_nice = true};
	struct thread *t = look_at((int)a0);
	if (!t)
		return KERR_SRCH;
	if (a.flags & ATTR_KEEP_POLICY)
		w.policy = t->policy;
	if (a.flags & ATTR_KEEP_PARAMS) {
		w.priority = t->realtime;
		w.nice = t->nice;
	}
	err = w.policy == SCHED_DEADLINE ? deadline_refused(&a) : set_policy(t, &w);
	rcu_read_unlock();
	return err;
}

SYSCALL(sched_getattr)
{
	struct attributes attr = {.size = sizeof(attr)};
	bool wrong = !a1 || (int)a0 < 0 || a2 < sizeof(attr) || a2 > PAGE_SIZE || a3;
	struct thread *t = wrong ? nullptr : look_at((int)a0);

	if (!t)
		return wrong ? KERR_INVAL : KERR_SRCH;
	attr.policy = t->policy;
	attr.flags = t->reset_on_fork ? ATTR_RESET_ON_FORK : 0;
	attr.nice = t->nice;
	attr.priority = t->realtime;
	rcu_read_unlock();
	return user_write(a1, &attr, sizeof(attr));
}

static bool has_range(int policy)
{
	return known(policy) || policy == SCHED_DEADLINE;
}

SYSCALL(sched_get_priority_max)
{
	return !has_range((int)a0) ? (long)KERR_INVAL : realtime((int)a0) ? REALTIME_MAX : 0;
}

SYSCALL(sched_get_priority_min)
{
	return !has_range((int)a0) ? (long)KERR_INVAL : realtime((int)a0) ? 1 : 0;
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
	err = sched_may_change(t) ? sched_set_affinity(t, cpus) : KERR_PERM;
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
