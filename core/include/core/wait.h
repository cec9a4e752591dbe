/*
 * Sleeping: wait queues, mutexes, sleeping reader-writer locks, completions. None of it may be
 * called with a spinlock held or interrupts off, except the waking side (any context).
 *
 * The pattern:
 *	struct waiter w;
 *	wait_begin(&queue, &w);
 *	while (!condition && err == KERR_OK)
 *		err = wait_park(&w, WAIT_IO, true, NSEC_NEVER);
 *	wait_end(&queue, &w);
 * A wake between wait_begin and wait_park is not lost: it leaves a token.
 */
#pragma once

#include <core/spinlock.h>
#include <core/upcalls.h>
#include <lib/list.h>

struct waitq {
	struct spinlock lock; /* interrupt-safe */
	struct list waiters;
};

struct waiter {
	struct list link; /* (queue lock) */
	struct task *task;
	bool exclusive; /* wake_one wakes one exclusive waiter and all others before it */
	/* Called instead of unpark if not null (poll, epoll): queue lock held, any context. An exclusive
	 * one that answers false has no use for this wake: wake_one goes on to the next. */
	bool (*notify)(struct waiter *w);
};

#define WAITQ_INIT(name) {SPINLOCK_INIT(RANK_WAITQ, #name), LIST_INIT((name).waiters)}

/* Debug builds: panics, with the locks that are held, if the caller may not sleep; `what` is what it is
 * about to do. Every function that may sleep calls it first, also when it will not have to. */
#if defined(TERN_DEBUG)
void sleep_check(const char *what);
void sleep_check_begin(void); /* the scheduler runs: from now on it matters */
#else
#define sleep_check(what) ((void)0)
#define sleep_check_begin() ((void)0)
#endif

void waitq_init(struct waitq *q);
void wait_begin(struct waitq *q, struct waiter *w);
void wait_begin_exclusive(struct waitq *q, struct waiter *w);
/* With w->notify and w->exclusive set by the caller; for poll. */
void wait_add(struct waitq *q, struct waiter *w);
void wait_end(struct waitq *q, struct waiter *w);
/* A module says where it waits (core/guard.h). */
void module_wait_begin(struct waitq *q, struct waiter *w);
void module_wait_end(struct waitq *q, struct waiter *w);
#if defined(TERN_MODULE)
#define wait_begin module_wait_begin
#define wait_end module_wait_end
#endif
enum kerr wait_park(struct waiter *w, enum wait_reason reason, bool interruptible, nsec_t deadline);
void wake_all(struct waitq *q);
void wake_one(struct waitq *q);
void wake_one_locked(struct waitq *q); /* the caller holds q->lock */
static inline bool waitq_active(struct waitq *q)
{
	atomic_thread_fence(memory_order_seq_cst); /* against the waiter's check of its condition */
	return !list_empty(&q->waiters);
}

/* Sleeps until `condition`; gives KERR_OK, KERR_INTR, KERR_TIMEDOUT. */
#define wait_until(queue, condition, reason, interruptible, deadline)                              \
	({                                                                                         \
		enum kerr wait_err_ = KERR_OK;                                                     \
		if (!(condition)) {                                                                \
			struct waiter wait_w_;                                                     \
			wait_begin((queue), &wait_w_);                                             \
			while (!(condition) && wait_err_ == KERR_OK)                               \
				wait_err_ = wait_park(&wait_w_, (reason), (interruptible),         \
						      (deadline));                                 \
			wait_end((queue), &wait_w_);                                               \
			if (wait_err_ != KERR_OK && (condition))                                   \
				wait_err_ = KERR_OK;                                               \
		}                                                                                  \
		wait_err_;                                                                         \
	})

/* Sleeping mutex; one owner; the owner inherits the priority of who waits. */
struct mutex {
	_Atomic uintptr_t owner; /* struct task *, bit 0: somebody waits */
	struct waitq queue;
};

#define MUTEX_INIT(name)                                                                           \
	{                                                                                          \
		0,                                                                                 \
		{                                                                                  \
			SPINLOCK_INIT(RANK_WAITQ, #name), LIST_INIT((name).queue.waiters)          \
		}                                                                                  \
	}
/* `name`: what the lock guards, in the statistics (core/lock_stat.h). */
void mutex_init(struct mutex *m, const char *name);
void mutex_lock(struct mutex *m);
[[nodiscard]] bool mutex_try_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);
/* Those who wait for it have it in turn, and then the caller has it again. At once if nobody waits. */
void mutex_pass(struct mutex *m);
/* A module says what it holds (core/guard.h). */
void module_mutex_lock(struct mutex *m);
bool module_mutex_try_lock(struct mutex *m);
void module_mutex_unlock(struct mutex *m);
#if defined(TERN_MODULE)
#define mutex_lock module_mutex_lock
#define mutex_try_lock module_mutex_try_lock
#define mutex_unlock module_mutex_unlock
#endif
bool mutex_held(const struct mutex *m); /* by the current task */

/* Many readers or one writer; a waiting writer holds new readers off. */
struct rwlock {
	_Atomic uint32_t state; /* readers, or RWLOCK_WRITER; RWLOCK_WAITERS */
	struct waitq queue;
};

void rwlock_init(struct rwlock *l, const char *name);
void rwlock_read_lock(struct rwlock *l);
[[nodiscard]] bool rwlock_try_read_lock(struct rwlock *l);
void rwlock_read_unlock(struct rwlock *l);
void rwlock_write_lock(struct rwlock *l);
[[nodiscard]] bool rwlock_try_write_lock(struct rwlock *l);
void rwlock_write_unlock(struct rwlock *l);
