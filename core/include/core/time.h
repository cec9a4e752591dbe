/* Time and timers. Times are nanoseconds of hal.timer.now(): monotonic from about power-on. */
#pragma once

#include <core/spinlock.h>
#include <lib/rbtree.h>

ALWAYS_INLINE nsec_t time_now(void)
{
	return hal.timer.now();
}

/* Wall clock: nanoseconds since 1970 = time_now() + offset. */
nsec_t time_wall(void);
void time_set_wall(nsec_t wall);

/* One-shot timers in a tree per CPU. `fn` runs in interrupt context on the CPU that set it. */
struct timer {
	struct rb_node node; /* (queue lock of timer.cpu) */
	nsec_t deadline;
	void (*fn)(struct timer *t);
	cpu_t cpu;
	bool queued; /* (queue lock) */
};

void timer_init(struct timer *t, void (*fn)(struct timer *t));
/* (Re)arms `t` on this CPU. Any context; by one at a time, for instance under a lock. */
void timer_set(struct timer *t, nsec_t deadline);
/* After it returns fn neither runs on the CPU that set it last nor will run (waits for a running one,
 * so not from fn itself, nor with a lock that fn takes). True if it was still queued. */
bool timer_cancel(struct timer *t);
