/*
 * Where signalfds wait for signals to a process: a wait queue in an object of its own, which the
 * process and each file that hung a waiter on it keep alive. Made when a process first polls or
 * reads a signalfd, so that others pay one load and test a signal.
 *
 * Lock order: process lock -> the queue's.
 */
#include "process_private.h"

#include <mm/heap.h>

struct signal_watch *signal_watch_current(void)
{
	struct process *p = current_process();
	struct signal_watch *w = atomic_load_explicit(&p->watch, memory_order_acquire),
			    *old = nullptr;

	if (w)
		return w;
	w = heap_alloc(sizeof(*w));
	if (!w)
		return nullptr;
	atomic_init(&w->references, 1);
	waitq_init(&w->queue);
	if (atomic_compare_exchange_strong(&p->watch, &old, w))
		return w;
	heap_free(w); /* another thread was faster */
	return old;
}

void signal_watch_get(struct signal_watch *w)
{
	atomic_fetch_add_explicit(&w->references, 1, memory_order_relaxed);
}

void signal_watch_put(struct signal_watch *w)
{
	if (atomic_fetch_sub_explicit(&w->references, 1, memory_order_acq_rel) == 1)
		heap_free(w);
}
