/*
 * The scheduler `mlfq` (TH-4): multilevel feedback below the real-time priorities. Eight levels; a
 * thread starts on the highest that its nice value allows, and each time it has used up its
 * allotment there it sinks one level, where the allotment is longer. Time used counts on through
 * sleeps, so that giving up the CPU just before the end gains nothing. What mostly sleeps stays on top and
 * preempts what computes.
 *
 * Against starvation: every BOOST all threads below 100 go to the top level with a new
 * allotment, whatever their nice value: each gets its turn there. The first CPU to see that it is time
 * moves the common generation on; each CPU follows at its next tick or wake-up, for its queue (O(threads
 * that wait)), and a thread that slept follows when it wakes.
 *
 * Real-time threads (100 and above) go before all others, by priority, as in `prio`.
 *
 * Data: struct queue for each CPU and struct mlfq_thread in the thread, under that CPU's run-queue lock.
 */
#include "sched_levels.h"
#include <lib/string.h>
#include <mm/heap.h>

#define LEVELS 8
#define TOP LEVELS /* levels are 1 to 8, so that the idle thread's 0 is below all */
#define BOOST (500 * NSEC_PER_MSEC)

struct queue {
	struct levels levels;
	uint32_t generation; /* of the boost that the queued threads have had */
	uint64_t boosts, sunk;
};

struct mlfq_thread {
	uint32_t generation; /* of the last boost it had */
	uint8_t level;       /* 1 to TOP, where it stands or stood last; for below 100 */
};

static struct queue *queues;             /* (run queue lock of each; set by init) */
static _Atomic uint32_t generation;      /* boosts so far */
static _Atomic nsec_t next_boost;

static inline struct mlfq_thread *data_of(const struct thread *t)
{
	static_assert(sizeof(struct mlfq_thread) <= sizeof(t->sched_data));
	return (struct mlfq_thread *)t->sched_data;
}

static enum kerr mlfq_init(cpu_t cpus)
{
	queues = heap_alloc_zeroed(sizeof(*queues) * cpus);
	if (!queues)
		return KERR_NOMEM;
	for (cpu_t c = 0; c < cpus; c++) {
		levels_init(&queues[c].levels);
		queues[c].generation = atomic_load(&generation);
	}
	atomic_store(&next_boost, time_now() + BOOST);
	return KERR_OK;
}

static void mlfq_exit(void)
{
	heap_free(queues);
	queues = nullptr;
}

static inline bool realtime(const struct thread *t)
{
	return t->priority >= PRIORITY_REALTIME_MIN;
}

/* nice 0 and below may stand on top; 1 to 19 up to 7 .. 3; SCHED_IDLE on 1. Who was lent a priority
 * by a thread that waits for it: on top. */
static inline uint8_t ceiling(const struct thread *t)
{
	if (t->priority >= PRIORITY_NORMAL || t->priority > t->base_priority)
		return TOP;
	if (t->priority <= PRIORITY_LOW)
		return 1;
	return (uint8_t)(TOP - (PRIORITY_NORMAL - t->priority + 3) / 4);
}

/* nice -1 to -20 do not sink below 2 .. 6. */
static inline uint8_t floor_of(const struct thread *t)
{
	return t->priority > PRIORITY_NORMAL
		       ? (uint8_t)(1 + MIN(t->priority - PRIORITY_NORMAL + 3, 20) / 4)
		       : 1;
}

/* 4, 4, 8, 8, 16, 16, 32, 32 ms from the top down. */
static inline nsec_t allotment(uint8_t level)
{
	return (nsec_t)(4 * NSEC_PER_MSEC) << ((TOP - level) / 2);
}

static inline uint8_t level_of(const struct thread *t)
{
	return realtime(t) ? t->priority : data_of(t)->level;
}

static void restart(struct thread *t, uint8_t level)
{
	data_of(t)->level = level;
	t->slice_left = realtime(t) ? SCHED_SLICE : allotment(level);
}

/* ---- Boost ---- */

static void boost_queue(struct queue *q, uint32_t now_generation)
{
	struct thread *t, *next;

	q->generation = now_generation;
	q->boosts++;
	for (uint8_t level = TOP - 1; level > 0; level--) {
		list_for_each_safe(t, next, &q->levels.lists[level], run_link) {
			levels_take(&q->levels, t);
			restart(t, TOP);
			data_of(t)->generation = now_generation;
			levels_put(&q->levels, t, TOP, false);
		}
	}
}

/* Time left until the next boost; does it if it is time. */
static nsec_t boost_look(struct queue *q, nsec_t now)
{
	nsec_t due = atomic_load_explicit(&next_boost, memory_order_relaxed);

	if (now >= due &&
	    atomic_compare_exchange_strong_explicit(&next_boost, &due, now + BOOST,
						    memory_order_relaxed, memory_order_relaxed)) {
		atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
		due = now + BOOST;
	}
	uint32_t current = atomic_load_explicit(&generation, memory_order_relaxed);
	if (unlikely(q->generation != current))
		boost_queue(q, current);
	return due > now ? due - now : BOOST;
}

/* ---- The ops ---- */

static struct thread *mlfq_pick_next(cpu_t cpu)
{
	return levels_pick(&queues[cpu].levels);
}

static void mlfq_add_thread(cpu_t cpu, struct thread *t, const struct sched_carry *carry)
{
	uint8_t top = ceiling(t), sunk = carry ? MIN(carry->sunk, TOP - 1) : 0;

	data_of(t)->generation = queues[cpu].generation;
	restart(t, MAX(floor_of(t), top > sunk ? (uint8_t)(top - sunk) : 1));
}

static void mlfq_remove_thread(cpu_t cpu, struct thread *t)
{
	levels_take(&queues[cpu].levels, t);
}

static void mlfq_export_thread(cpu_t cpu, const struct thread *t, struct sched_carry *out)
{
	uint8_t level = data_of(t)->level, top = ceiling(t);

	out->sunk = top > level ? (uint8_t)(top - level) : 0;
}

static void mlfq_thread_ready(cpu_t cpu, struct thread *t, enum ready_reason why)
{
	struct queue *q = &queues[cpu];
	struct mlfq_thread *d = data_of(t);
	bool first = why == READY_PREEMPTED && t->slice_left > 0;

	if (realtime(t)) {
		first |= why == READY_PREEMPTED && levels_runs_on(t);
		if (!first)
			t->slice_left = SCHED_SLICE;
		levels_put(&q->levels, t, t->priority, first);
		return;
	}
	if (unlikely(d->generation != q->generation)) {
		d->generation = q->generation;
		restart(t, TOP);
	} else if (t->slice_left == 0) {
		uint8_t top = ceiling(t), low = floor_of(t);
		q->sunk += d->level > low;
		restart(t, d->level > top ? top : d->level > low ? d->level - 1 : low);
	}
	levels_put(&q->levels, t, d->level, first);
}

static void mlfq_thread_block(cpu_t cpu, struct thread *t)
{
}

static void mlfq_yield(cpu_t cpu, struct thread *t)
{
}

static nsec_t mlfq_tick(cpu_t cpu, struct thread *running, nsec_t ran)
{
	struct queue *q = &queues[cpu];

	if (realtime(running)) {
		if (levels_runs_on(running) || levels_empty_at(&q->levels, running->priority))
			return NSEC_NEVER;
		return running->slice_left > ran ? running->slice_left - ran : 0;
	}
	nsec_t boost = boost_look(q, running->ran_since + ran);
	if (levels_top(&q->levels) > (int)data_of(running)->level)
		return 0; /* the boost put somebody above it */
	return running->slice_left > ran ? MIN(running->slice_left - ran, boost) : 0;
}

static void mlfq_set_priority(cpu_t cpu, struct thread *t, uint8_t priority)
{
	struct mlfq_thread *d = data_of(t);

	t->priority = priority;
	if (READ_ONCE(t->queued_on) != CPU_NONE && READ_ONCE(t->queued_on) != cpu)
		return; /* on another CPU: done there */
	if (!realtime(t))
		d->level = MIN(MAX(priority > t->base_priority ? TOP : d->level, floor_of(t)),
			       ceiling(t));
	if (READ_ONCE(t->queued_on) == cpu && t->level != level_of(t)) {
		levels_take(&queues[cpu].levels, t);
		levels_put(&queues[cpu].levels, t, level_of(t), false);
	}
}

static bool mlfq_needs_reschedule(cpu_t cpu, const struct thread *running)
{
	return levels_top(&queues[cpu].levels) > (int)level_of(running);
}

static struct thread *mlfq_pull(cpu_t cpu, cpu_t to)
{
	return levels_pull(&queues[cpu].levels, to);
}

static void mlfq_stats(cpu_t cpu, struct sched_stats *out)
{
	out->boosts = queues[cpu].boosts;
	out->sunk = queues[cpu].sunk;
}

const struct scheduler_ops sched_mlfq = {
	.name = "mlfq",
	.version = 1,
	.init = mlfq_init,
	.exit = mlfq_exit,
	.pick_next = mlfq_pick_next,
	.add_thread = mlfq_add_thread,
	.remove_thread = mlfq_remove_thread,
	.drain = mlfq_pick_next,
	.export_thread = mlfq_export_thread,
	.exit_thread = mlfq_thread_block,
	.thread_ready = mlfq_thread_ready,
	.thread_block = mlfq_thread_block,
	.yield = mlfq_yield,
	.tick = mlfq_tick,
	.set_priority = mlfq_set_priority,
	.needs_reschedule = mlfq_needs_reschedule,
	.pull = mlfq_pull,
	.stats = mlfq_stats,
};
