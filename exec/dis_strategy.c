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

#define SOON (300 * NSEC_PER_USEC)
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

nsec_t dis_learnt_slice(const struct thread *t)
{
	struct model_advice advice;

	model_advise(&t->dis.model, &advice);
	return advice.slice;
}

/* The thread that runs there will soon sleep. */
static bool ends_soon(const struct queue *q)
{
	const struct thread *r = q->running;

	if (!r || r->dis.model.samples < 8)
		return false;
	uint64_t rest = model_rest(&r->dis.model);
	return rest > 0 && rest < SOON;
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
	if (dis_on(DIS_AFFINITY) && now < t->ready_since + SOON && ends_soon(q)) {
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
