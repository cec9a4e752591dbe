/*
 * The scheduler `prio` (TH-4, TH-5): 140 levels, a list each, a bitmap of those that are not empty.
 * The highest level runs; equals take turns, 10 ms each below 100 and for SCHED_RR; SCHED_FIFO
 * runs until it blocks. All ops are O(1).
 *
 * A low thread waits for ever while higher ones run: that is what priorities say. Fairness between
 * nice values is left to other policies.
 *
 * Data: one struct prio_queue a CPU, under that CPU's run-queue lock.
 */
#include "sched_private.h"
#include <lib/string.h>
#include <mm/heap.h>

#define SLICE (10 * NSEC_PER_MSEC)
#define WORDS ((PRIORITY_COUNT + 63) / 64)

struct prio_queue {
	uint64_t bitmap[WORDS]; /* bit p: levels[p] is not empty */
	struct list levels[PRIORITY_COUNT];
};

static struct prio_queue *queues RO_AFTER_INIT;

static enum kerr prio_init(cpu_t cpus)
{
	queues = heap_alloc_zeroed(sizeof(*queues) * cpus);
	if (!queues)
		return KERR_NOMEM;
	for (cpu_t c = 0; c < cpus; c++)
		for (unsigned p = 0; p < PRIORITY_COUNT; p++)
			list_init(&queues[c].levels[p]);
	return KERR_OK;
}

/* The highest level with a thread, or -1. */
static inline int top_level(const struct prio_queue *q)
{
	for (int w = WORDS - 1; w >= 0; w--)
		if (q->bitmap[w])
			return w * 64 + 63 - __builtin_clzll(q->bitmap[w]);
	return -1;
}

static inline void take(struct prio_queue *q, struct thread *t)
{
	struct list *level = &q->levels[t->level];

	list_remove(&t->run_link);
	if (list_empty(level))
		q->bitmap[t->level / 64] &= ~((uint64_t)1 << (t->level % 64));
}

static inline void put(struct prio_queue *q, struct thread *t, bool first)
{
	struct list *level = &q->levels[t->priority];

	t->level = t->priority;
	if (first)
		list_add_head(level, &t->run_link);
	else
		list_add_tail(level, &t->run_link);
	q->bitmap[t->level / 64] |= (uint64_t)1 << (t->level % 64);
}

static struct thread *prio_pick_next(cpu_t cpu)
{
	struct prio_queue *q = &queues[cpu];
	int level = top_level(q);

	if (level < 0)
		return nullptr;
	struct thread *t = list_first(&q->levels[level], struct thread, run_link);
	take(q, t);
	return t;
}

static void prio_add_thread(struct thread *t)
{
	t->slice_left = SLICE;
	list_init(&t->run_link);
}

static void prio_remove_thread(cpu_t cpu, struct thread *t)
{
	take(&queues[cpu], t);
}

static bool runs_on(const struct thread *t)
{
	return t->policy == SCHED_FIFO;
}

static void prio_thread_ready(cpu_t cpu, struct thread *t, enum ready_reason why)
{
	bool first = why == READY_PREEMPTED && (t->slice_left > 0 || runs_on(t));

	if (!first)
		t->slice_left = SLICE;
	put(&queues[cpu], t, first);
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
	if (runs_on(running) || list_empty(&queues[cpu].levels[running->priority]))
		return NSEC_NEVER;
	return running->slice_left > ran ? running->slice_left - ran : 0;
}

static void prio_set_priority(cpu_t cpu, struct thread *t, uint8_t priority)
{
	t->priority = priority;
	/* It may be on its way to another CPU's queue, which this lock does not guard. */
	if (READ_ONCE(t->queued_on) == cpu && t->level != priority) {
		take(&queues[cpu], t);
		put(&queues[cpu], t, false);
	}
}

static bool prio_needs_reschedule(cpu_t cpu, const struct thread *running)
{
	return top_level(&queues[cpu]) > (int)running->priority;
}

static struct thread *prio_pull(cpu_t cpu, cpu_t to)
{
	struct prio_queue *q = &queues[cpu];

	for (int w = WORDS - 1; w >= 0; w--) {
		for (uint64_t bits = q->bitmap[w]; bits;) {
			int bit = 63 - __builtin_clzll(bits);
			struct thread *t;
			list_for_each(t, &q->levels[w * 64 + bit], run_link) {
				if (!(atomic_load_explicit(&t->affinity, memory_order_relaxed) &
				      cpu_bit(to)) ||
				    atomic_load_explicit(&t->on_cpu, memory_order_acquire))
					continue;
				take(q, t);
				return t;
			}
			bits &= ~((uint64_t)1 << bit);
		}
	}
	return nullptr;
}

static void prio_stats(cpu_t cpu, struct sched_stats *out)
{
}

const struct scheduler_ops sched_prio = {
	.name = "prio",
	.version = 1,
	.init = prio_init,
	.pick_next = prio_pick_next,
	.add_thread = prio_add_thread,
	.remove_thread = prio_remove_thread,
	.thread_ready = prio_thread_ready,
	.thread_block = prio_thread_block,
	.yield = prio_yield,
	.tick = prio_tick,
	.set_priority = prio_set_priority,
	.needs_reschedule = prio_needs_reschedule,
	.pull = prio_pull,
	.stats = prio_stats,
};
