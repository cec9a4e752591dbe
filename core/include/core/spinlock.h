/*
 * Spinlocks with ranks. A CPU takes locks in rising rank order only; debug builds check it at
 * run time, with the names (DB-3). docs/locking.md lists the order; the enum is the order.
 */
#pragma once

#include <core/task.h>

/* Lower ranks are taken first (outermost). Equal ranks never nest, except where a *_pair
 * function takes two of them in address order. */
enum lock_rank {
	RANK_NONE = 0,      /* not checked: used by nothing but panic and tests */
	RANK_PROCESS = 10,  /* exec: process tree, groups, sessions */
	RANK_SIGNAL = 20,   /* exec: one process's signal state */
	RANK_FILES = 30,    /* fs: descriptor table */
	RANK_DCACHE = 40,   /* fs: directory entries */
	RANK_INODE = 50,    /* fs: inode fields */
	RANK_TTY = 60,      /* drivers: terminal */
	RANK_PIPE = 65,     /* net: threads that release passed descriptors */
	RANK_FUTEX = 70,    /* exec: futex bucket */
	RANK_FUTEX_PI = 75, /* exec: priority-inheriting futexes, all */
	RANK_ASPACE = 80,   /* mm: region tree (short updates) */
	RANK_OBJECT = 90,   /* mm: memory object, page tree */
	RANK_PAGETABLE = 100, /* mm: kernel table */
	RANK_WAITQ = 110,   /* core: wait queue */
	RANK_EPOLL = 115,   /* ipc: an epoll's ready list; nests, watched to watching */
	RANK_HEAP = 120,    /* mm: slab caches, kernel areas */
	RANK_ZONE = 130,    /* mm: frame allocator zone */
	RANK_TIMER = 140,   /* core: a CPU's timer queue */
	RANK_INTENT = 145,  /* exec: what intents have reserved */
	RANK_RUNQUEUE = 150, /* exec: a CPU's run queue */
	RANK_FIGURES = 160, /* exec: which calls were missing */
	RANK_IRQ = 170,     /* HAL: interrupt controller */
	RANK_CONSOLE = 180, /* core: console output */
	RANK_LOG = 190,     /* core: log ring; innermost, so that anything may log */
};

struct spinlock {
	_Atomic uint32_t locked;
#if defined(TERN_DEBUG)
	uint32_t rank;
	const char *name;
	struct task *owner;
#endif
};

#if defined(TERN_DEBUG)
#define SPINLOCK_INIT(lock_rank, lock_name) {.rank = (lock_rank), .name = (lock_name)}
void spin_debug_acquired(struct spinlock *l);
void spin_debug_check(const struct spinlock *l);
void spin_debug_release(struct spinlock *l);
#else
/* clang-format off */
#define SPINLOCK_INIT(lock_rank, lock_name) {}
/* clang-format on */
#define spin_debug_acquired(l) ((void)0)
#define spin_debug_check(l) ((void)0)
#define spin_debug_release(l) ((void)0)
#endif

static inline void spin_init(struct spinlock *l, enum lock_rank rank, const char *name)
{
	*l = (struct spinlock)SPINLOCK_INIT(rank, name);
}

void spin_wait(struct spinlock *l); /* the contended path */

/* In a module: who ends a guarded call (core/guard.h) has to know what it holds. */
#if defined(TERN_MODULE)
void guard_spin_wanted(struct spinlock *l);
void guard_spin_taken(struct spinlock *l);
void guard_spin_freed(struct spinlock *l);
#else
#define guard_spin_wanted(l) ((void)0)
#define guard_spin_taken(l) ((void)0)
#define guard_spin_freed(l) ((void)0)
#endif

ALWAYS_INLINE void spin_acquire(struct spinlock *l)
{
	guard_spin_wanted(l);
	spin_debug_check(l);
	if (unlikely(atomic_exchange_explicit(&l->locked, 1, memory_order_acquire)))
		spin_wait(l);
	spin_debug_acquired(l);
	guard_spin_taken(l);
}

ALWAYS_INLINE void spin_release(struct spinlock *l)
{
	guard_spin_freed(l);
	spin_debug_release(l);
	atomic_store_explicit(&l->locked, 0, memory_order_release);
}

/* Preemption off until the unlock. Not for locks that interrupt handlers take. */
ALWAYS_INLINE void spin_lock(struct spinlock *l)
{
	preempt_disable();
	spin_acquire(l);
}

ALWAYS_INLINE void spin_unlock(struct spinlock *l)
{
	spin_release(l);
	preempt_enable();
}

/* Interrupts (and preemption) off until the unlock, which gets the result. */
[[nodiscard]] ALWAYS_INLINE bool spin_lock_irq(struct spinlock *l)
{
	bool on = hal.cpu.irq_save();
	preempt_disable();
	spin_acquire(l);
	return on;
}

ALWAYS_INLINE void spin_unlock_irq(struct spinlock *l, bool on)
{
	spin_release(l);
	hal.cpu.irq_restore(on);
	preempt_enable();
}

[[nodiscard]] bool spin_try_lock(struct spinlock *l);

/* Debug builds: the caller holds it. */
#if defined(TERN_DEBUG)
void spin_assert_held(const struct spinlock *l);
#else
#define spin_assert_held(l) ((void)0)
#endif
