/*
 * Strategies of the scheduler `dis` (DI-6): what was learnt of threads, applied. Each can be switched in
 * /sys/kernel/sched/dis.
 *
 *	slice     in the fair and feedback ranks a slice as long as the next run is foretold to be
 *	priority  who declared nothing and is seen to answer quickly stands with the interactive ones
 *	affinity  who waits stays where its cache is warm if what runs there is about to sleep
 *	energy    work is kept on as few CPUs as it needs (dis_control.c)
 *
 * No lock of its own: called under the run-queue lock, reads the models.
 */
#include "sched_dis.h"
#include <exec/process.h>
#include <mm/numa.h>

#define LONGEST (16 * NSEC_PER_MSEC)
#define QUICK (4 * NSEC_PER_MSEC) /* an answer that stands before the server class */

bool dis_strategies[DIS_STRATEGIES] = {
	[DIS_SLICE] = true, [DIS_PRIORITY] = true, [DIS_AFFINITY] = true, [DIS_ENERGY] = false};

uint8_t dis_learnt_rank(const struct thread *t)
{
	const struct thread_model *m = &t->dis.model;

	if (m->behaviour != BEHAVIOUR_LATENCY && m->behaviour != BEHAVIOUR_PERIODIC &&
	    m->behaviour != BEHAVIOUR_IO_BOUND && m->behaviour != BEHAVIOUR_EVENT_DRIVEN)
		return RANK_SERVER;
	if (m->predicted > QUICK)
		return RANK_SERVER;
	/* It lost the right if it runs much longer than foretold. */
	return m->current <= MAX(4 * m->predicted, 2 * NSEC_PER_MSEC) ? RANK_INTERACTIVE
								      : RANK_SERVER;
}

/* A run that is foretold to end in one slice gets that slice; of what is longer, or ran longer than foretold, nothing is
 * known that would help. */
nsec_t dis_learnt_slice(const struct thread *t)
{
	struct model_advice advice;

	model_advise(&t->dis.model, &advice);
	return model_rest(&t->dis.model) <= LONGEST ? advice.slice : 0;
}

/* What is left of the run in progress; 0: not known. */
static nsec_t rest_of(const struct thread *t)
{
	return t->dis.model.samples < 8 ? 0 : model_rest(&t->dis.model);
}

bool dis_lets_end(const struct thread *running, nsec_t ran, const struct thread *first)
{
	nsec_t rest = rest_of(running), other = rest_of(first);

	if (rest <= ran || rest > LONGEST || first->dis.declared)
		return false;
	return !other || rest - ran <= other;
}

static _Atomic nsec_t ends[CPU_MAX]; /* when what runs there will sleep; 0: not known */

void dis_foretell(cpu_t cpu, const struct thread *t, nsec_t now)
{
	nsec_t rest = t ? rest_of(t) : 0;

	atomic_store_explicit(&ends[cpu], rest ? now + rest : 0, memory_order_relaxed);
}

static bool ends_soon(cpu_t cpu, nsec_t now)
{
	nsec_t end = atomic_load_explicit(&ends[cpu], memory_order_relaxed);

	return end > now && end - now < DIS_PATIENCE;
}

bool dis_may_stay(cpu_t cpu)
{
	return dis_on(DIS_AFFINITY) && READ_ONCE(runqueues[cpu].ready) == 0 &&
	       ends_soon(cpu, time_now());
}

bool dis_others_idle(const struct thread *t)
{
	return dis_on(DIS_AFFINITY) &&
	       atomic_load_explicit(&sched_idle, memory_order_relaxed) &
		       atomic_load_explicit(&t->affinity, memory_order_relaxed);
}

bool dis_may_move(struct queue *q, const struct thread *t, cpu_t from, cpu_t to, nsec_t now)
{
	uint32_t flags = t->dis.declared ? t->dis.intent.flags : 0;

	if (!(atomic_load_explicit(&t->affinity, memory_order_relaxed) & cpu_bit(to)) ||
	    atomic_load_explicit(&t->on_cpu, memory_order_acquire))
		return false;
	if (flags & INTENT_BOOT_CPU && from == 0)
		return false;
	if (flags & INTENT_NUMA && numa_node_of_cpu(from) != numa_node_of_cpu(to))
		return false;
	if (dis_on(DIS_AFFINITY) && now < t->ready_since + DIS_PATIENCE && ends_soon(from, now)) {
		q->stats.kept++;
		return false;
	}
	return true;
}

uint64_t dis_resident(const struct thread *t)
{
	const struct aspace *as = t->process ? t->process->aspace : nullptr;

	return as ? aspace_resident_pages(as) : 0;
}

const char *dis_strategy_name(unsigned s)
{
	static const char *const names[DIS_STRATEGIES] = {"slice", "priority", "affinity",
							  "energy"};

	return s < DIS_STRATEGIES ? names[s] : nullptr;
}

bool dis_strategy_on(unsigned s)
{
	return READ_ONCE(dis_strategies[s]);
}
