/*
 * Sleeping mutexes with an owner. The uncontended lock and unlock are one compare-and-swap each.
 *
 * `owner` holds the task, or 0, with bit 0 set while somebody waits. A waiter sets bit 0, lends the
 * owner its priority and parks; unlock with bit 0 set clears the whole word and wakes one waiter, who
 * competes anew (no hand-over: the lock is never idle while its new owner is being scheduled).
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

/* One attempt of a registered waiter: take the mutex, or mark it as waited for. */
static bool take_or_mark(struct mutex *m)
{
	uintptr_t seen = atomic_load_explicit(&m->owner, memory_order_relaxed);

	for (;;) {
		uintptr_t want =
			seen & ~WAITERS ? seen | WAITERS : (uintptr_t)current_task() | WAITERS;
		if (atomic_compare_exchange_weak_explicit(
			    &m->owner, &seen, want, memory_order_acquire, memory_order_relaxed))
			return !(seen & ~WAITERS);
	}
}

/* The owner may release the mutex and even exit meanwhile, but tasks are freed only after a grace
 * period. */
static void lend_to_owner(struct mutex *m)
{
	rcu_read_lock();
	uintptr_t owner = atomic_load_explicit(&m->owner, memory_order_relaxed) & ~WAITERS;
	if (owner)
		upcalls.priority_lend((struct task *)owner);
	rcu_read_unlock();
}

static NOINLINE void mutex_lock_slow(struct mutex *m)
{
	struct waiter w;

	assert(!mutex_held(m));
	lock_count(m->queue.lock.name, LOCK_MUTEX, true);
	wait_begin_exclusive(&m->queue, &w);
	while (!take_or_mark(m)) {
		lend_to_owner(m);
		enum kerr err = wait_park(&w, WAIT_LOCK, false, NSEC_NEVER);
		(void)err; /* not interruptible, no deadline: only wake-ups end it */
	}
	wait_end(&m->queue, &w);
	lock_count(m->queue.lock.name, LOCK_MUTEX, false);
}

void mutex_lock(struct mutex *m)
{
	sleep_check("taking a mutex");
	if (unlikely(!mutex_try_lock(m)))
		mutex_lock_slow(m);
}

static NOINLINE void mutex_unlock_slow(struct mutex *m)
{
	atomic_store_explicit(&m->owner, 0, memory_order_release);
	wake_one(&m->queue);
	upcalls.priority_restore();
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
	do {
		lend_to_owner(m);
		enum kerr err = wait_park(&w, WAIT_LOCK, false, NSEC_NEVER);
		(void)err; /* not interruptible, no deadline: only wake-ups end it */
	} while (!take_or_mark(m));
	wait_end(&m->queue, &w);
}
