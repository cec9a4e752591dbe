/*
 * Sleeping reader-writer locks. `state` is the number of readers in the low bits; WRITER while a
 * writer holds it; WAITERS while anybody sleeps, which also keeps new readers out, so that a writer
 * is not starved. Read lock and unlock without a writer are one atomic operation each.
 */
#include <core/lock_stat.h>
#include <core/panic.h>
#include <core/wait.h>

#define WRITER 0x80000000u
#define WAITERS 0x40000000u

void rwlock_init(struct rwlock *l, const char *name)
{
	atomic_init(&l->state, 0);
	spin_init(&l->queue.lock, RANK_WAITQ, name);
	list_init(&l->queue.waiters);
}

bool rwlock_try_read_lock(struct rwlock *l)
{
	uint32_t seen = atomic_load_explicit(&l->state, memory_order_relaxed);

	while (!(seen & (WRITER | WAITERS)))
		if (atomic_compare_exchange_weak_explicit(&l->state, &seen, seen + 1,
							  memory_order_acquire,
							  memory_order_relaxed)) {
			lock_count(l->queue.lock.name, LOCK_READ, false);
			return true;
		}
	return false;
}

/* A registered sleeper's attempt; a woken reader may pass WAITERS, or two sleepers could hold each
 * other off. False: WAITERS is set and the holder will wake us. */
static bool take_or_mark(struct rwlock *l, bool write)
{
	uint32_t seen = atomic_load_explicit(&l->state, memory_order_relaxed);

	for (;;) {
		bool free = write ? !(seen & ~WAITERS) : !(seen & WRITER);
		uint32_t want = !free ? seen | WAITERS : write ? seen | WRITER : seen + 1;
		if (atomic_compare_exchange_weak_explicit(
			    &l->state, &seen, want, memory_order_acquire, memory_order_relaxed))
			return free;
	}
}

static void lock_slow(struct rwlock *l, bool write)
{
	struct waiter w;

	lock_count(l->queue.lock.name, write ? LOCK_WRITE : LOCK_READ, true);
	wait_begin(&l->queue, &w);
	while (!take_or_mark(l, write)) {
		enum kerr err = wait_park(&w, WAIT_LOCK, false, NSEC_NEVER);
		(void)err; /* only wake-ups end it */
	}
	wait_end(&l->queue, &w);
	lock_count(l->queue.lock.name, write ? LOCK_WRITE : LOCK_READ, false);
}

void rwlock_read_lock(struct rwlock *l)
{
	sleep_check("taking a sleeping lock to read");
	if (unlikely(!rwlock_try_read_lock(l)))
		lock_slow(l, false);
}

/* The lock has become free: whoever still sleeps sets WAITERS again. */
static void release_waiters(struct rwlock *l)
{
	atomic_fetch_and_explicit(&l->state, ~WAITERS, memory_order_relaxed);
	wake_all(&l->queue);
}

void rwlock_read_unlock(struct rwlock *l)
{
	uint32_t before = atomic_fetch_sub_explicit(&l->state, 1, memory_order_release);

	assert((before & ~(WRITER | WAITERS)) > 0);
	if (unlikely(before == (1 | WAITERS)))
		release_waiters(l);
}

bool rwlock_try_write_lock(struct rwlock *l)
{
	uint32_t expected = 0;

	if (!atomic_compare_exchange_strong_explicit(&l->state, &expected, WRITER,
						     memory_order_acquire, memory_order_relaxed))
		return false;
	lock_count(l->queue.lock.name, LOCK_WRITE, false);
	return true;
}

void rwlock_write_lock(struct rwlock *l)
{
	sleep_check("taking a sleeping lock to write");
	if (unlikely(!rwlock_try_write_lock(l)))
		lock_slow(l, true);
}

void rwlock_write_unlock(struct rwlock *l)
{
	uint32_t before = atomic_fetch_and_explicit(&l->state, ~WRITER, memory_order_release);

	assert(before & WRITER);
	if (unlikely(before & WAITERS))
		release_waiters(l);
}
