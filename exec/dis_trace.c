/*
 * Recording runs (DI-5): while a recording is on, each thread that goes to sleep under the scheduler `dis` leaves a row,
 * what the model is fed with. /sys/kernel/sched/dis/trace starts it and shows it; tests/host/traces/ has such
 * recordings, against which the prediction is measured.
 *
 * trace_lock (innermost but for the log) for all data; `left` is also read without it, so that nothing is
 * paid while nobody records.
 */
#include "sched_dis.h"
#include <lib/string.h>
#include <mm/heap.h>

#define MOST 4096

static struct spinlock trace_lock = SPINLOCK_INIT(RANK_FIGURES, "dis trace");
static struct dis_sample *rows; /* (trace_lock) */
static uint32_t count;          /* (trace_lock) */
static _Atomic uint32_t left;   /* (trace_lock for writing) rows still to be recorded */

enum kerr dis_trace_start(uint32_t samples)
{
	struct dis_sample *made = nullptr, *old;

	if (samples > MOST)
		return KERR_INVAL;
	if (samples && !(made = heap_alloc_zeroed(samples * sizeof(*made))))
		return KERR_NOMEM;
	bool on = spin_lock_irq(&trace_lock);
	old = rows;
	rows = made;
	count = 0;
	atomic_store_explicit(&left, samples, memory_order_relaxed);
	spin_unlock_irq(&trace_lock, on);
	heap_free(old);
	return KERR_OK;
}

bool dis_trace_get(uint32_t index, struct dis_sample *out)
{
	bool on = spin_lock_irq(&trace_lock), found = index < count;

	if (found)
		*out = rows[index];
	spin_unlock_irq(&trace_lock, on);
	return found;
}

void dis_trace_add(const struct thread *t, enum model_sleep why, uint64_t pages)
{
	const struct thread_model *m = &t->dis.model;

	if (likely(!atomic_load_explicit(&left, memory_order_relaxed)))
		return;
	spin_acquire(&trace_lock);
	uint32_t n = atomic_load_explicit(&left, memory_order_relaxed);
	if (n) {
		struct dis_sample *s = &rows[count++];
		atomic_store_explicit(&left, n - 1, memory_order_relaxed);
		*s = (struct dis_sample){
			.tid = t->tid,
			.why = (uint8_t)why,
			.ran = m->current,
			.waited = m->waited,
			.slept = m->slept && m->woke > m->slept ? m->woke - m->slept : 0,
			.pages = pages};
		memcpy(s->name, t->task.name, sizeof(s->name));
	}
	spin_release(&trace_lock);
}
