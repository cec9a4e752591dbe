/*
 * The scheduler `prio` (TH-4, TH-5): 140 levels, one a priority. The highest level runs; equals take
 * turns, 10 ms each below 100 and for SCHED_RR; SCHED_FIFO runs until it blocks. All ops are O(1).
 *
 * A low thread waits for ever while higher ones run: that is what priorities say. Fairness between
 * nice values is left to other policies.
 *
 * Data: struct levels for each CPU, under that CPU's run-queue lock; nothing in the thread.
 */
#include "sched_levels.h"
#include <mm/heap.h>

#define SLICE SCHED_SLICE

static struct levels *queues; /* (run queue lock of each; set by init) */

static enum kerr prio_init(cpu_t cpus)
{
	queues = heap_alloc_zeroed(sizeof(*queues) * cpus);
	if (!queues)
		return KERR_NOMEM;
	for (cpu_t c = 0; c < cpus; c++)
		levels_init(&queues[c]);
	return KERR_OK;
}

static void prio_exit(void)
{
	heap_free(queues);
	queues = nullptr;
}

static struct thread *prio_pick_next(cpu_t cpu)
{
	return levels_pick(&queues[cpu]);
}

static void prio_add_thread(cpu_t cpu, struct thread *t, const struct sched_carry *carry)
{
	t->slice_left = SLICE;
}

static void prio_remove_thread(cpu_t cpu, struct thread *t)
{
	levels_take(&queues[cpu], t);
}

static void prio_export_thread(cpu_t cpu, const struct thread *t, struct sched_carry *out)
{
}

static void prio_thread_ready(cpu_t cpu, struct thread *t, enum ready_reason why)
{
	bool first = why == READY_PREEMPTED && (t->slice_left > 0 || levels_runs_on(t));

	if (!first)
		t->slice_left = SLICE;
	levels_put(&queues[cpu], t, t->priority, first);
}

static void prio_thread_block(cpu_t cpu, struct thread *t)
{
}

static void prio_yield(cpu_t cpu, struct thread *t)
{
	t->slice_left = 0;
}

static nsec_t prio_tick(cpu_t cpu, struct thread *running, nsec_t ran)
{
	if (levels_runs_on(running) || levels_empty_at(&queues[cpu], running->priority))
		return NSEC_NEVER;
	return running->slice_left > ran ? running->slice_left - ran : 0;
}

static void prio_set_priority(cpu_t cpu, struct thread *t, uint8_t priority)
{
	t->priority = priority;
	/* It may be on its way to another CPU's queue, which this lock does not guard. */
	if (READ_ONCE(t->queued_on) == cpu && t->level != priority) {
		levels_take(&queues[cpu], t);
		levels_put(&queues[cpu], t, priority, false);
	}
}

static bool prio_needs_reschedule(cpu_t cpu, const struct thread *running)
{
	return levels_top(&queues[cpu]) > (int)running->priority;
}

static struct thread *prio_pull(cpu_t cpu, cpu_t to)
{
	return levels_pull(&queues[cpu], to);
}

static void prio_stats(cpu_t cpu, struct sched_stats *out)
{
}

const struct scheduler_ops sched_prio = {
	.name = "prio",
	.version = 2,
	.strict = true,
	.init = prio_init,
	.exit = prio_exit,
	.pick_next = prio_pick_next,
	.add_thread = prio_add_thread,
	.remove_thread = prio_remove_thread,
	.drain = prio_pick_next,
	.export_thread = prio_export_thread,
	.exit_thread = prio_thread_block,
	.thread_ready = prio_thread_ready,
	.thread_block = prio_thread_block,
	.yield = prio_yield,
	.tick = prio_tick,
	.set_priority = prio_set_priority,
	.needs_reschedule = prio_needs_reschedule,
	.pull = prio_pull,
	.stats = prio_stats,
};
