/*
 * Intents (DI-1, DI-4): who may declare them, what children get, and what is promised. What they may say:
 * exec/intent_rules.c.
 *
 * An intent belongs to a thread and outlives execve and a change of the scheduler. A new thread or child
 * inherits it with an account of its own; but not the classes real-time, soft real-time and critical (a right
 * to deadlines is for one thread), nor with the flag no-inherit. The memory budget is the process's:
 * the last one that one of its threads declared; children have the same.
 *
 * Promises: an intent of class 0 or 1 with a quota reserves its share, of its CPU (one-core) or of all
 * together; more than MOST thousandths are refused. Without a quota it reserves nothing and has what the
 * deadline ranks have together.
 *
 * The memory budget is kept where memory is promised: mmap and brk fail with ENOMEM when the private
 * writable memory of the process would be more than it, by the check that RLIMIT_DATA has anyway.
 *
 * Locks: intent_lock (a spinlock, rank INTENT) -> a run-queue lock. Address spaces' mutexes are taken with neither.
 */
#include "process_private.h"
#include "sched_private.h"
#include <core/cpu.h>
#include <exec/domain.h>
#include <exec/intent.h>

#define MOST 950 /* thousandths of a CPU that may be promised */

static struct spinlock intent_lock = SPINLOCK_INIT(RANK_INTENT, "intents");
static uint32_t promised[CPU_MAX]; /* (intent_lock) thousandths, of each CPU */
static uint32_t promised_anywhere; /* (intent_lock) on whichever CPU */

/* ---- Who may ---- */

bool sched_may_change(const struct thread *t)
{
	const struct credentials *me = &current_process()->credentials,
				 *other = &t->process->credentials;

	if (process_separated(t->process, DOMAIN_SIGNAL))
		return false;
	return me->euid == other->uid || me->euid == other->euid ||
	       process_capable(TERN_CAP_ANY_PRIORITY, LINUX_CAP_SYS_NICE);
}

/* Without the capability cpu a process only idles, whoever declares what. */
static bool may_compete(const struct thread *t)
{
	return t->process->credentials.capabilities.effective.own >> TERN_CAP_CPU & 1;
}

bool intent_allowed(const struct thread *t, const struct intent *i)
{
	if (!process_has(TERN_CAP_OWN_PRIORITY) || !sched_may_change(t))
		return false;
	if (!i)
		return true;
	if (i->flags & INTENT_ONE_CORE && !process_has(TERN_CAP_AFFINITY))
		return false;
	if (i->class != INTENT_IDLE && !may_compete(t))
		return false;
	if (i->class > INTENT_SOFT_REALTIME && i->class != INTENT_CRITICAL)
		return true;
	return process_capable(TERN_CAP_REAL_TIME, LINUX_CAP_SYS_NICE) ||
	       t->process->limits[RLIMIT_RTPRIO].current > 0;
}

/* ---- Promises ---- */

static uint32_t share_of(const struct intent *i)
{
	bool deadline_class = i->class <= INTENT_SOFT_REALTIME;

	return deadline_class && i->quota
		       ? (uint32_t)((i->quota * 1000 + i->period - 1) / i->period)
		       : 0;
}

static void give_back(struct thread *t)
{
	struct dis_task *k = &t->dis;

	if (k->reserved_on < CPU_MAX)
		promised[k->reserved_on] -= k->reserved;
	else
		promised_anywhere -= k->reserved;
	k->reserved = 0;
}

/* The CPU with the least promised among those it may use. */
static cpu_t least_promised(cpuset_t allowed)
{
	cpu_t best = CPU_NONE;

	for (; allowed; allowed &= allowed - 1) {
		cpu_t cpu = (cpu_t)__builtin_ctzll(allowed);
		if (best == CPU_NONE || promised[cpu] < promised[best])
			best = cpu;
	}
	return best;
}

/* intent_lock held. What t had is given back, or stays as it was on an error. */
static enum kerr reserve(struct thread *t, const struct intent *i, cpu_t *bound)
{
	cpuset_t online = atomic_load_explicit(&sched_online, memory_order_relaxed);
	struct dis_task *k = &t->dis;
	uint32_t had = k->reserved, had_on = k->reserved_on, share = i ? share_of(i) : 0;
	uint32_t sum = share, cpus = (uint32_t)__builtin_popcountll(online);
	cpuset_t own = k->own_affinity ? k->own_affinity : t->affinity;

	give_back(t);
	*bound = CPU_NONE;
	if (i && i->flags & INTENT_ONE_CORE)
		*bound = least_promised(own & online);
	for (cpu_t c = 0; c < CPU_MAX; c++)
		sum += promised[c];
	sum += promised_anywhere;
	if (sum > MOST * cpus || (*bound != CPU_NONE && promised[*bound] + share > MOST)) {
		k->reserved = had;
		if (had_on < CPU_MAX)
			promised[had_on] += had;
		else
			promised_anywhere += had;
		return share ? KERR_BUSY : KERR_OK;
	}
	/* Who has no quota still takes its place where the fewest are. */
	k->reserved =
		*bound != CPU_NONE && i->class <= INTENT_SOFT_REALTIME ? MAX(share, 1u) : share;
	k->reserved_on = *bound;
	if (*bound < CPU_MAX)
		promised[*bound] += k->reserved;
	else
		promised_anywhere += k->reserved;
	return KERR_OK;
}

void intent_release(struct thread *t)
{
	atomic_store(&t->dis.gone, true);
	/* Against declare_locked: it sees that, or we see what it reserved. */
	atomic_thread_fence(memory_order_seq_cst);
	if (likely(!READ_ONCE(t->dis.reserved)))
		return;
	bool on = spin_lock_irq(&intent_lock);
	give_back(t);
	spin_unlock_irq(&intent_lock, on);
}

/* ---- Declaring ---- */

/* The run queue of t is locked. */
static void install(struct thread *t, const void *arg)
{
	const struct intent *i = arg;

	t->dis.declared = i;
	if (i)
		t->dis.intent = *i;
	t->dis.used = 0;
	t->dis.period_end = 0;
}

/* intent_lock held. */
static enum kerr declare_locked(struct thread *t, const struct intent *i)
{
	cpu_t bound;
	enum kerr err = reserve(t, i, &bound);

	if (err != KERR_OK)
		return err;
	cpuset_t own = t->dis.own_affinity;
	sched_update(t, install, i);
	if (bound != CPU_NONE) {
		t->dis.own_affinity = own ? own : t->affinity;
		err = sched_set_affinity(t, cpu_bit(bound));
	} else if (own) {
		t->dis.own_affinity = 0;
		err = sched_set_affinity(t, own);
	}
	if (atomic_load(&t->dis.gone))
		give_back(t); /* it ended meanwhile */
	return err;
}

enum kerr intent_declare(struct thread *t, const struct intent *i)
{
	if (!intent_allowed(t, i) || (t->dis.declared && !intent_allowed(t, &t->dis.intent)))
		return KERR_PERM;
	bool on = spin_lock_irq(&intent_lock);
	/* Once more: whoever takes the capability away withdraws under this lock. */
	enum kerr err =
		i && i->class != INTENT_IDLE && !may_compete(t) ? KERR_PERM : declare_locked(t, i);
	spin_unlock_irq(&intent_lock, on);
	return err;
}

void intent_withdraw(struct thread *t)
{
	bool on = spin_lock_irq(&intent_lock);

	/* Giving back what was reserved cannot fail. */
	if (t->dis.declared && t->dis.intent.class != INTENT_IDLE)
		(void)!declare_locked(t, nullptr);
	spin_unlock_irq(&intent_lock, on);
}

/* A reference to t's process, with what may fail about its memory budget decided. */
static enum kerr memory_check(int tid, const struct intent *i, struct process **out)
{
	rcu_read_lock();
	struct thread *t = tid ? thread_find(tid) : current_thread();
	struct process *p = t ? t->process : nullptr;
	enum kerr err = !t ? KERR_SRCH : !intent_allowed(t, i) ? KERR_PERM : KERR_OK;
	if (err == KERR_OK)
		process_get(p);
	rcu_read_unlock();
	if (err != KERR_OK)
		return err;
	struct aspace *as = i && i->memory ? process_aspace(p) : nullptr;
	if (as) {
		if (aspace_data_bytes(as) > i->memory)
			err = KERR_NOMEM;
		aspace_put(as);
	}
	if (err != KERR_OK)
		process_put(p);
	else
		*out = p;
	return err;
}

void intent_memory_limits(const struct process *p, struct aspace *as)
{
	uint64_t budget = READ_ONCE(p->memory_budget), data = p->limits[RLIMIT_DATA].current;

	aspace_set_limits(as, p->limits[RLIMIT_STACK].current, budget ? MIN(data, budget) : data,
			  p->limits[RLIMIT_AS].current);
}

enum kerr intent_set(int tid, const struct intent *i)
{
	struct process *p;
	enum kerr err = tid < 0 ? KERR_INVAL : memory_check(tid, i, &p);

	if (err != KERR_OK)
		return err;
	rcu_read_lock();
	struct thread *t = tid ? thread_find(tid) : current_thread();
	err = t && t->process == p ? intent_declare(t, i) : KERR_SRCH;
	rcu_read_unlock();
	uint64_t memory = i ? i->memory : 0;
	if (err == KERR_OK && READ_ONCE(p->memory_budget) != memory) {
		WRITE_ONCE(p->memory_budget, memory);
		struct aspace *as = process_aspace(p);
		if (as) {
			intent_memory_limits(p, as);
			aspace_put(as);
		}
	}
	process_put(p);
	return err;
}

static void copy_out(struct thread *t, const void *arg)
{
	**(struct dis_task *const *)arg = t->dis;
}

enum kerr intent_look(int tid, struct dis_task *out)
{
	rcu_read_lock();
	struct thread *t = tid < 0 ? nullptr : tid ? thread_find(tid) : current_thread();
	if (t)
		sched_look(t, copy_out, &out);
	rcu_read_unlock();
	return t ? KERR_OK : KERR_SRCH;
}

void intent_inherit(struct thread *child, const struct thread *parent)
{
	bool on = spin_lock_irq(&intent_lock);
	const struct intent *i = &parent->dis.intent;

	if (parent->dis.declared && !(i->flags & INTENT_NO_INHERIT) &&
	    i->class > INTENT_SOFT_REALTIME && i->class != INTENT_CRITICAL) {
		child->dis.declared = true;
		child->dis.intent = *i;
		child->dis.own_affinity = parent->dis.own_affinity;
	} else if (parent->dis.own_affinity) {
		atomic_store_explicit(&child->affinity, parent->dis.own_affinity,
				      memory_order_relaxed);
	}
	spin_unlock_irq(&intent_lock, on);
}
