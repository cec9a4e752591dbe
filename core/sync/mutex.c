/*
 * Sleeping mutexes with an owner. The uncontended lock and unlock are one compare-and-swap each.
 *
 * `owner` holds the task, or 0, with bit 0 set while somebody waits. A waiter sets bit 0, lends the
 * owner the priority of the most urgent waiter and parks; unlock with bit 0 set clears the whole word and
 * wakes one waiter, who competes anew (no hand-over: the lock is never idle while its new owner is being
 * scheduled). Real-time waiters are woken first, the others in the order they came: with priority
 * throughout, a nice thread might wait for ever. Who takes the mutex with others waiting inherits from them.
 *
 * What is lent ends with the last mutex that somebody waits for (task.waited_mutexes). Who is lent to while it
 * waits for another lock is woken and lends on: so a chain needs no pointer to a lock that may be gone.
 */
#include <core/lock_stat.h>
#include <core/panic.h>
#include <core/rcu.h>
#include <core/wait.h>

#define WAITERS ((uintptr_t)1)

void mutex_init(struct mutex *m, const char *name)
{
	atomic_init(&m->owner, 0);
	spin_init(&m->queue.lock, RANK_WAITQ, name);
	list_init(&m->queue.waiters);
}

bool mutex_held(const struct mutex *m)
{
	return (atomic_load_explicit(&m->owner, memory_order_relaxed) & ~WAITERS) ==
	       (uintptr_t)current_task();
}

bool mutex_try_lock(struct mutex *m)
{
	uintptr_t expected = 0;

	if (!atomic_compare_exchange_strong_explicit(&m->owner, &expected,
						     (uintptr_t)current_task(),
						     memory_order_acquire, memory_order_relaxed))
		return false;
	lock_count(m->queue.lock.name, LOCK_MUTEX, false);
	return true;
}

/* One mutex less of `owner` is waited for. */
static void count_off(struct task *owner)
{
	if (atomic_fetch_sub(&owner->waited_mutexes, 1) <= 1)
		upcalls.priority_restore(owner);
}

/* One attempt of a registered waiter: take the mutex, or mark it as waited for. Under rcu: the owner may
 * release the mutex and even exit meanwhile, but tasks are freed only after a grace period. Each mark is counted
 * before it is there, so that what it lends does not end with another mutex, and is counted off by the
 * slow unlock that it makes. */
static bool take_or_mark(struct mutex *m)
{
	uintptr_t seen = atomic_load_explicit(&m->owner, memory_order_relaxed);

	for (;;) {
		struct task *owner =
			seen & ~WAITERS ? (struct task *)(seen & ~WAITERS) : current_task();
		bool marks = !(seen & WAITERS);
		if (marks)
			atomic_fetch_add(&owner->waited_mutexes, 1);
		if (atomic_compare_exchange_weak_explicit(
			    &m->owner, &seen, (uintptr_t)owner | WAITERS, memory_order_acquire,
			    memory_order_relaxed))
			return owner == current_task();
		if (marks)
			count_off(owner);
	}
}

static unsigned most_urgent(struct mutex *m)
{
	unsigned most = 0;
	struct waiter *w;
	bool on = spin_lock_irq(&m->queue.lock);

	list_for_each(w, &m->queue.waiters, link)
		most = MAX(most, upcalls.priority_of(w->task));
	spin_unlock_irq(&m->queue.lock, on);
	return most;
}

/* Under rcu. */
static void lend_to_owner(struct mutex *m)
{
	unsigned most = most_urgent(m);
	uintptr_t marked = atomic_load(&m->owner);
	struct task *t = (struct task *)(marked & ~WAITERS);

	/* Without the mark it was released since, and its owner would not restore itself. */
	if (!t || !(marked & WAITERS))
		return;
	upcalls.priority_lend(t, most);
	/* The same, and its own restoring may have come before. */
	if (atomic_load(&m->owner) != marked && atomic_load(&t->waited_mutexes) <= 0)
		upcalls.priority_restore(t);
}

static bool try_as_waiter(struct mutex *m)
{
	rcu_read_lock();
	bool taken = take_or_mark(m);
	if (!taken)
		lend_to_owner(m);
	rcu_read_unlock();
	return taken;
}

static void wait_for_wake(struct waiter *w)
{
	enum kerr err = wait_park(w, WAIT_LOCK, false, NSEC_NEVER);
	(void)err; /* not interruptible, no deadline: only wake-ups end it */
}

static void take_as_waiter(struct mutex *m, struct waiter *w)
{
	while (!try_as_waiter(m))
		wait_for_wake(w);
	wait_end(&m->queue, w);
	upcalls.priority_lend(current_task(), most_urgent(m));
}

static NOINLINE void mutex_lock_slow(struct mutex *m)
{
	struct waiter w;

	assert(!mutex_held(m));
	lock_count(m->queue.lock.name, LOCK_MUTEX, true);
	wait_begin_exclusive(&m->queue, &w);
	take_as_waiter(m, &w);
	lock_count(m->queue.lock.name, LOCK_MUTEX, false);
}

void mutex_lock(struct mutex *m)
{
	sleep_check("taking a mutex");
	if (unlikely(!mutex_try_lock(m)))
		mutex_lock_slow(m);
}

static unsigned urgency(const struct waiter *w)
{
	unsigned priority = upcalls.priority_of(w->task);

	return priority >= PRIORITY_REALTIME_MIN ? priority : 0;
}

/* Whom it wakes it puts last, so that equals take turns. One that was woken before and has not run yet
 * may be asked again: it will come. */
static void wake_next(struct mutex *m)
{
	struct waiter *w, *best = nullptr;
	bool on = spin_lock_irq(&m->queue.lock);

	list_for_each(w, &m->queue.waiters, link)
		if (!best || urgency(w) > urgency(best))
			best = w;
	if (best) {
		list_remove(&best->link);
		list_add_tail(&m->queue.waiters, &best->link);
		upcalls.unpark(best->task);
	}
	spin_unlock_irq(&m->queue.lock, on);
}

static NOINLINE void mutex_unlock_slow(struct mutex *m)
{
	struct task *self = current_task();

	atomic_store(&m->owner, 0);
	wake_next(m);
	count_off(self);
}

void mutex_unlock(struct mutex *m)
{
	uintptr_t expected = (uintptr_t)current_task();

	assert(mutex_held(m));
	if (unlikely(!atomic_compare_exchange_strong_explicit(
		    &m->owner, &expected, 0, memory_order_release, memory_order_relaxed)))
		mutex_unlock_slow(m);
}

/* The caller gets behind the others before it lets go, and does not try before it is woken: whoever takes the mutex as a
 * waiter marks it, so that its release wakes the next one, in the end the caller. */
void mutex_pass(struct mutex *m)
{
	struct waiter w;

	sleep_check("passing a mutex");
	assert(mutex_held(m));
	if (!(atomic_load_explicit(&m->owner, memory_order_relaxed) & WAITERS))
		return;
	wait_begin_exclusive(&m->queue, &w);
	mutex_unlock_slow(m);
	wait_for_wake(&w);
	take_as_waiter(m, &w);
}
