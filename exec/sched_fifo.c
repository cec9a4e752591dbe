/*
 * The scheduler `fifo` (TH-4): who came first runs first, whatever its nice value, until it blocks,
 * yields or has had the CPU for 100 ms; then the next one does. So nobody below the real-time priorities
 * starves: with n of them ready a thread waits at most n turns. Real-time threads (100 and above) go before
 * all others, by priority, as in `prio`.
 *
 * Fewest switches of all policies, and the longest latency: a thread that wakes up waits behind all
 * that are ready. Rejected: turns without a limit, with which one program that computes keeps even
 * the kernel's own threads from a CPU.
 *
 * Data: struct levels for each CPU, of which one list is used below 100; under that CPU's
 * run-queue lock; nothing in the thread.
 */
#include "sched_levels.h"
#include <mm/heap.h>

#define TURN (100 * NSEC_PER_MSEC)
#define THE_QUEUE 1

static struct levels *queues; /* (run queue lock of each; set by init) */

static enum kerr fifo_init(cpu_t cpus)
{
	queues = heap_alloc_zeroed(sizeof(*queues) * cpus);
	if (!queues)
		return KERR_NOMEM;
	for (cpu_t c = 0; c < cpus; c++)
		levels_init(&queues[c]);
	return KERR_OK;
}

static void fifo_exit(void)
{
	heap_free(queues);
	queues = nullptr;
}

static inline bool realtime(const struct thread *t)
{
	return t->priority >= PRIORITY_REALTIME_MIN;
}

static inline uint8_t level_of(const struct thread *t)
{
	return realtime(t) ? t->priority : THE_QUEUE;
}

static inline nsec_t turn_of(const struct thread *t)
{
	return realtime(t) ? SCHED_SLICE : TURN;
}

static struct thread *fifo_pick_next(cpu_t cpu)
{
	return levels_pick(&queues[cpu]);
}

static void fifo_add_thread(cpu_t cpu, struct thread *t, const struct sched_carry *carry)
{
	t->slice_left = turn_of(t);
}

static void fifo_remove_thread(cpu_t cpu, struct thread *t)
{
	levels_take(&queues[cpu], t);
}

static void fifo_export_thread(cpu_t cpu, const struct thread *t, struct sched_carry *out)
{
}

static void fifo_thread_ready(cpu_t cpu, struct thread *t, enum ready_reason why)
{
	bool first = why == READY_PREEMPTED && (t->slice_left > 0 || levels_runs_on(t));

	if (!first)
		t->slice_left = turn_of(t);
	levels_put(&queues[cpu], t, level_of(t), first);
}

static void fifo_thread_block(cpu_t cpu, struct thread *t)
{
}

static void fifo_yield(cpu_t cpu, struct thread *t)
{
	t->slice_left = 0;
}

static nsec_t fifo_tick(cpu_t cpu, struct thread *running, nsec_t ran)
{
	if ((levels_runs_on(running) && realtime(running)) ||
	    levels_empty_at(&queues[cpu], level_of(running)))
		return NSEC_NEVER;
	return running->slice_left > ran ? running->slice_left - ran : 0;
}

static void fifo_set_priority(cpu_t cpu, struct thread *t, uint8_t priority)
{
	t->priority = priority;
	if (READ_ONCE(t->queued_on) == cpu && t->level != level_of(t)) {
		levels_take(&queues[cpu], t);
		levels_put(&queues[cpu], t, level_of(t), false);
	}
}

static bool fifo_needs_reschedule(cpu_t cpu, const struct thread *running)
{
	int top = levels_top(&queues[cpu]);

	return top >= PRIORITY_REALTIME_MIN && top > (int)running->priority;
}

static struct thread *fifo_pull(cpu_t cpu, cpu_t to)
{
	return levels_pull(&queues[cpu], to);
}

static void fifo_stats(cpu_t cpu, struct sched_stats *out)
{
}

const struct scheduler_ops sched_fifo = {
	.name = "fifo",
	.version = 1,
	.init = fifo_init,
	.exit = fifo_exit,
	.pick_next = fifo_pick_next,
	.add_thread = fifo_add_thread,
	.remove_thread = fifo_remove_thread,
	.drain = fifo_pick_next,
	.export_thread = fifo_export_thread,
	.exit_thread = fifo_thread_block,
	.thread_ready = fifo_thread_ready,
	.thread_block = fifo_thread_block,
	.yield = fifo_yield,
	.tick = fifo_tick,
	.set_priority = fifo_set_priority,
	.needs_reschedule = fifo_needs_reschedule,
	.pull = fifo_pull,
	.stats = fifo_stats,
};
