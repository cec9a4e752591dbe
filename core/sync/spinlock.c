/*
 * Spinlocks: test and test-and-set. Ticket and queue locks hand the lock to a certain waiter, who,
 * on a virtual CPU that its host has taken off, makes all others wait; here whoever runs takes
 * it. Locks are held for tens of instructions, so fairness is left to chance.
 *
 * Debug builds keep the locks that a task holds in its own array and check the rank order on every
 * acquire: a lock may only be taken while all held ones have a lower rank. A wrong order is a
 * panic with both names, before it can become a deadlock. Interrupt handlers note theirs in the same array,
 * from lock_count on: what lies below is right whenever one may come.
 */
#include <core/lock_stat.h>
#include <core/panic.h>
#include <core/spinlock.h>

void spin_wait(struct spinlock *l)
{
	lock_count(l->name, LOCK_SPIN, true);
	do {
		while (atomic_load_explicit(&l->locked, memory_order_relaxed))
			hal.cpu.relax();
	} while (atomic_exchange_explicit(&l->locked, 1, memory_order_acquire));
}

bool spin_try_lock(struct spinlock *l)
{
	preempt_disable();
	if (atomic_load_explicit(&l->locked, memory_order_relaxed) == 0 &&
	    atomic_exchange_explicit(&l->locked, 1, memory_order_acquire) == 0) {
		spin_debug_acquired(l);
		return true;
	}
	preempt_enable();
	return false;
}

#if defined(TERN_DEBUG)

void spin_debug_check(const struct spinlock *l)
{
	const struct task *t = current_task();

	/* Locks below lock_base belong to the code that this interrupt handler interrupted. */
	for (unsigned i = 0; i < t->lock_count; i++) {
		const struct spinlock *held = t->locks[i];
		if (i < t->lock_base && held != l)
			continue;
		if (held == l)
			panic("lock %s is taken twice by %s", l->name, t->name);
		if (l->rank != RANK_NONE && held->rank > l->rank)
			panic("lock order: %s (rank %u) is taken while %s (rank %u) is held",
			      l->name, l->rank, held->name, held->rank);
	}
}

void spin_debug_acquired(struct spinlock *l)
{
	struct task *t = current_task();

	if (t->lock_count == TASK_LOCKS_MAX)
		panic("%s holds %u spinlocks and takes %s", t->name, t->lock_count, l->name);
	t->locks[t->lock_count] = l;
	atomic_signal_fence(memory_order_seq_cst);
	t->lock_count++;
	l->owner = t;
	lock_count(l->name, LOCK_SPIN, false);
}

void spin_debug_release(struct spinlock *l)
{
	struct task *t = current_task();

	if (l->owner != t)
		panic("lock %s is released by %s, which does not hold it", l->name, t->name);
	l->owner = nullptr;
	for (unsigned i = t->lock_count; i-- > 0;) {
		if (t->locks[i] != l)
			continue;
		for (; i + 1u < t->lock_count; i++)
			t->locks[i] = t->locks[i + 1];
		atomic_signal_fence(memory_order_seq_cst);
		t->lock_count--;
		return;
	}
}

void spin_assert_held(const struct spinlock *l)
{
	if (l->owner != current_task())
		panic("lock %s should be held here", l->name);
}

#endif
