/*
 * Which policies there are, and changing from one to another while threads run (TH-4; the slot
 * `scheduler` of hot swap is this function).
 *
 * A run queue knows its policy, so the change needs no stop of the machine: the new policy makes its
 * queues, then CPU after CPU is locked, its queue drained into the new policy's and its pointer set.
 * The pause is the time one queue is locked. In between some CPUs have the old policy and some the
 * new one; a thread that crosses is given its data anew: run queue and thread carry the number of the
 * change (`epoch`), and sched_attach() compares them whenever a thread is queued. A sleeping
 * thread is not touched at all: it comes under the new policy when it wakes.
 *
 * What can fail, the new policy's init, comes first; on an error nothing has changed.
 *
 * Locks: change_lock (sleeping) around registration and changes; run-queue locks one at a time.
 *
 * Rejected: stopping all CPUs with an interrupt: the pause would be that of the slowest, for all,
 * and a CPU that waits for a lock with interrupts off would hold up the machine.
 */
#include "sched_private.h"
#include <core/cmdline.h>
#include <core/log.h>
#include <core/wait.h>
#include <lib/string.h>

static struct mutex change_lock = MUTEX_INIT(change_lock);
static const struct scheduler_ops *policies[SCHED_POLICIES_MAX] = {
	&sched_prio, &sched_fifo, &sched_mlfq, &sched_dis}; /* (change_lock) */
static const struct scheduler_ops *chosen; /* (change_lock; others peek) */
static uint32_t epoch; /* (change_lock) */
static struct sched_change_stats figures; /* (change_lock) */

const struct scheduler_ops *sched_policy_get(size_t index)
{
	return index < SCHED_POLICIES_MAX ? READ_ONCE(policies[index]) : nullptr;
}

const struct scheduler_ops *sched_policy_find(const char *name)
{
	const struct scheduler_ops *ops;

	for (size_t i = 0; (ops = sched_policy_get(i)); i++)
		if (strcmp(ops->name, name) == 0)
			return ops;
	return nullptr;
}

const char *sched_name(void)
{
	return READ_ONCE(chosen)->name;
}

static bool complete(const struct scheduler_ops *o)
{
	return o->name && o->init && o->exit && o->pick_next && o->add_thread && o->remove_thread &&
	       o->drain && o->export_thread && o->exit_thread && o->thread_ready &&
	       o->thread_block && o->yield && o->tick && o->set_priority && o->needs_reschedule &&
	       o->pull && o->stats;
}

enum kerr sched_policy_register(const struct scheduler_ops *ops)
{
	enum kerr err = KERR_NOMEM;

	if (!complete(ops))
		return KERR_INVAL;
	mutex_lock(&change_lock);
	if (sched_policy_find(ops->name)) {
		err = KERR_EXIST;
		goto unlock;
	}
	/* The last place stays empty: it ends the list. */
	for (size_t i = 0; i < SCHED_POLICIES_MAX - 1; i++)
		if (!policies[i]) {
			WRITE_ONCE(policies[i], ops);
			err = KERR_OK;
			break;
		}
unlock:
	mutex_unlock(&change_lock);
	return err;
}

enum kerr sched_policy_unregister(const struct scheduler_ops *ops)
{
	enum kerr err = KERR_OK;
	size_t at = 0;

	mutex_lock(&change_lock);
	if (chosen == ops) {
		err = KERR_BUSY;
		goto unlock;
	}
	while (at < SCHED_POLICIES_MAX && policies[at] != ops)
		at++;
	for (; at + 1 < SCHED_POLICIES_MAX; at++)
		WRITE_ONCE(policies[at], policies[at + 1]);
unlock:
	mutex_unlock(&change_lock);
	return err;
}

enum kerr sched_policies_boot(cpu_t cpus)
{
	char name[16];

	chosen = &sched_prio;
	if (cmdline_get("sched", name, sizeof(name))) {
		const struct scheduler_ops *asked = sched_policy_find(name);
		if (asked)
			chosen = asked;
		else
			log_warn("sched=%s: there is no such scheduler; %s it is", name,
				 chosen->name);
	}
	enum kerr err = chosen->init(cpus);
	if (err != KERR_OK)
		return err;
	epoch = 1;
	for (cpu_t cpu = 0; cpu < cpus; cpu++) {
		runqueues[cpu].policy = chosen;
		runqueues[cpu].epoch = epoch;
	}
	return KERR_OK;
}

static void carry_over(struct runqueue *rq, cpu_t cpu, struct thread *t,
		       const struct scheduler_ops *next)
{
	struct sched_carry carry = {.version = 1};

	rq->policy->export_thread(cpu, t, &carry);
	next->add_thread(cpu, t, &carry);
	t->sched_epoch = epoch;
}

/* All of one CPU's threads; gives the time it was locked. */
static nsec_t change_cpu(cpu_t cpu, const struct scheduler_ops *next)
{
	struct runqueue *rq = &runqueues[cpu];
	bool on = spin_lock_irq(&rq->lock);
	nsec_t began = time_now();
	struct thread *t, *running = atomic_load_explicit(&rq->current, memory_order_relaxed);

	rq->ready += rq->held & ~RUNQUEUE_WATCHED;
	rq->held = 0;
	while ((t = rq->policy->drain(cpu))) {
		carry_over(rq, cpu, t, next);
		next->thread_ready(cpu, t, READY_NEW);
		figures.threads++;
	}
	/* A thread that runs but came here under another change has no data that could be read. */
	if (running && running != rq->idle && running->sched_epoch == rq->epoch)
		carry_over(rq, cpu, running, next);
	rq->policy = next;
	rq->epoch = epoch;
	if (running) { /* it looks for whom to run, and sets its timer, as the new policy says */
		sched_attach(rq, cpu, running);
		sched_request(running);
	}
	nsec_t pause = time_now() - began;
	spin_unlock_irq(&rq->lock, on);
	return pause;
}

enum kerr sched_policy_change(const struct scheduler_ops *next)
{
	enum kerr err = KERR_OK;

	mutex_lock(&change_lock);
	const struct scheduler_ops *old = chosen;
	if (next == old)
		goto unlock;
	if (sched_policy_find(next->name) != next) {
		err = KERR_NOENT; /* unregistered meanwhile */
		goto unlock;
	}
	err = next->init(cpu_count);
	if (err != KERR_OK)
		goto unlock;
	epoch++;
	figures.changes++;
	figures.pause_last = 0;
	for (cpu_t cpu = 0; cpu < cpu_count; cpu++) {
		nsec_t pause = change_cpu(cpu, next);
		figures.pause_last = MAX(figures.pause_last, pause);
	}
	figures.pause_max = MAX(figures.pause_max, figures.pause_last);
	WRITE_ONCE(chosen, next);
	preempt_disable();
	cpu_kick(cpu_online() & ~cpu_bit(cpu_id()));
	preempt_enable();
	old->exit();
unlock:
	mutex_unlock(&change_lock);
	return err;
}

void sched_change_figures(struct sched_change_stats *out)
{
	mutex_lock(&change_lock);
	*out = figures;
	mutex_unlock(&change_lock);
}
