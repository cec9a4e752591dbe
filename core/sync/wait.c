/*
 * Wait queues: a list of waiters under an interrupt-safe lock.
 *
 * The waiter is on the sleeper's stack. It stays on the list until wait_end, so a wake before, in
 * or after the park is never lost: unpark leaves a token that the next park consumes. wake_all
 * unparks under the queue lock; wait_end takes that lock, so no waker touches a waiter that has
 * left. An exclusive waiter is moved to the tail when it is woken, so that the next wake_one finds another.
 *
 * Rejected: removing the waiter at wake-up (saves nothing, since the sleeper must take the lock
 * anyway to know that the waker is done with it).
 */
#include <core/panic.h>
#include <core/wait.h>

void waitq_init(struct waitq *q)
{
	spin_init(&q->lock, RANK_WAITQ, "waitq");
	list_init(&q->waiters);
}

static void add_waiter(struct waitq *q, struct waiter *w)
{
	bool on = spin_lock_irq(&q->lock);

	if (w->exclusive)
		list_add_tail(&q->waiters, &w->link);
	else
		list_add_head(&q->waiters, &w->link);
	spin_unlock_irq(&q->lock, on);
	/* The list is visible before the caller reads its condition (pairs with waitq_active). */
	atomic_thread_fence(memory_order_seq_cst);
}

void wait_begin(struct waitq *q, struct waiter *w)
{
	*w = (struct waiter){.task = current_task()};
	add_waiter(q, w);
}

void wait_begin_exclusive(struct waitq *q, struct waiter *w)
{
	*w = (struct waiter){.task = current_task(), .exclusive = true};
	add_waiter(q, w);
}

void wait_add(struct waitq *q, struct waiter *w)
{
	w->task = current_task();
	add_waiter(q, w);
}

void wait_end(struct waitq *q, struct waiter *w)
{
	bool on = spin_lock_irq(&q->lock);

	list_remove(&w->link);
	spin_unlock_irq(&q->lock, on);
}

enum kerr wait_park(struct waiter *w, enum wait_reason reason, bool interruptible, nsec_t deadline)
{
	assert(w->task == current_task());
	sleep_check("sleeping");
	return upcalls.park(reason, interruptible, deadline);
}

static bool wake_waiter(struct waiter *w)
{
	if (w->notify)
		return w->notify(w);
	upcalls.unpark(w->task);
	return true;
}

void wake_all(struct waitq *q)
{
	struct waiter *w, *next;

	if (!waitq_active(q))
		return;
	bool on = spin_lock_irq(&q->lock);
	list_for_each_safe(w, next, &q->waiters, link)
		wake_waiter(w);
	spin_unlock_irq(&q->lock, on);
}

void wake_one_locked(struct waitq *q)
{
	struct waiter *w, *next, *last = list_last(&q->waiters, struct waiter, link);

	spin_assert_held(&q->lock);
	list_for_each_safe(w, next, &q->waiters, link) {
		if (!w->exclusive) {
			wake_waiter(w);
			continue;
		}
		list_remove(&w->link);
		list_add_tail(&q->waiters, &w->link);
		if (wake_waiter(w) || w == last)
			break; /* those behind `last` have been asked already */
	}
}

void wake_one(struct waitq *q)
{
	if (!waitq_active(q))
		return;
	bool on = spin_lock_irq(&q->lock);
	wake_one_locked(q);
	spin_unlock_irq(&q->lock, on);
}

#if defined(TERN_DEBUG)

static _Atomic bool sleep_matters;

void sleep_check_begin(void)
{
	atomic_store(&sleep_matters, true);
}

void sleep_check(const char *what)
{
	const struct task *t = current_task();

	if (!atomic_load_explicit(&sleep_matters, memory_order_relaxed) ||
	    (t->preempt_count == 0 && hal.cpu.irq_enabled()))
		return;
	panic("%s in atomic context by %s: %u spinlocks held, preemption off %u times, interrupts "
	      "%s",
	      what, t->name, t->lock_count, t->preempt_count, hal.cpu.irq_enabled() ? "on" : "off");
}

#endif
