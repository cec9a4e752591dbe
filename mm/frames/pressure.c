/*
 * Memory pressure: the way from "low" to an error.
 *
 *	free < low of all zones     an event: the thread `reclaim` asks the shrinkers until free is above
 *	                            high again, or they have nothing more
 *	free at min: a program      frame_reclaim(): it asks them itself
 *	finds no frame
 *	still none                  upcalls.memory_short: exec ends a program, the one that asked waits
 *	that takes too long         the error: FAULT_NO_MEMORY, KERR_NOMEM
 *
 * An event is the moment at which free frames fall below the mark, not the time spent below it: so
 * a machine that lives at the edge does not run shrinkers for ever. Who really finds nothing asks for
 * itself.
 *
 * Each shrinker is asked for what is missing to the high watermark (at least WANT_MIN), so that nothing is
 * thrown away that there is room for.
 *
 * Shrinkers are a table that only grows, at boot; the last one is asked first, because what caches
 * of objects give goes to slabs, what slabs give to the CPUs' caches. One caller runs them at a time; who waited for it
 * looks at what came back before it does the same again.
 *
 * Locks: shrink_lock (a mutex): after any lock under which a page of an object may be made, an
 * inode's, a region's. Shrinkers take spinlocks only.
 */
#include "frame.h"

#include <core/init.h>
#include <core/panic.h>
#include <core/rcu.h>
#include <core/wait.h>
#include <mm/policy.h>
#include <mm/pressure.h>

#define SHRINKERS_MAX 8
#define WANT_MIN 64u

struct entry {
	const struct shrinker *shrinker; /* (const) */
	_Atomic uint64_t given;
};

static struct entry table[SHRINKERS_MAX];
static _Atomic uint32_t table_count;
static struct mutex shrink_lock = MUTEX_INIT(shrink_lock);
static struct waitq event_queue = WAITQ_INIT(event_queue);
static _Atomic bool event_pending;
static _Atomic uint64_t events, rounds;
static struct { /* for figures; [0] by the thread, [1] by who needs a frame */
	_Atomic uint64_t runs, asked, given;
} done[2];

void shrinker_register(const struct shrinker *s)
{
	uint32_t n = atomic_load(&table_count);

	if (n == SHRINKERS_MAX)
		panic("memory: no room for shrinker %s", s->name);
	table[n] = (struct entry){.shrinker = s};
	atomic_store(&table_count, n + 1);
}

bool shrinker_get(size_t index, struct shrinker_info *out)
{
	if (index >= atomic_load(&table_count))
		return false;
	const struct entry *e = &table[index];
	*out = (struct shrinker_info){
		.name = e->shrinker->name,
		.count = e->shrinker->count(),
		.given = atomic_load_explicit(&e->given, memory_order_relaxed),
	};
	return true;
}

uint64_t pressure_events(void)
{
	return atomic_load_explicit(&events, memory_order_relaxed);
}

void reclaim_stats(struct reclaim_stats *out)
{
	*out = (struct reclaim_stats){
		.wakes = atomic_load(&done[0].runs),
		.stalls = atomic_load(&done[1].runs),
		.asked = atomic_load(&done[0].asked),
		.asked_direct = atomic_load(&done[1].asked),
		.given = atomic_load(&done[0].given),
		.given_direct = atomic_load(&done[1].given),
	};
}

/* shrink_lock held. One round over the shrinkers. What caches of objects give becomes free frames only
 * when slabs and CPUs were asked too, so those always are. */
static uint64_t shrink(bool direct)
{
	uint32_t count = atomic_load(&table_count);
	uint64_t given = 0;

	/* Somebody who needs frames though there are some wants them on certain nodes, or in a row: nobody
	 * knows where those lie that a shrinker gives. */
	bool all = direct && (policy_short_nodes() || !frame_shortfall());
	for (uint32_t i = count; i-- > 0;) {
		uint64_t want = table[i].shrinker->count();
		if (!all)
			want = MIN(want, MAX(frame_shortfall(), WANT_MIN));
		uint64_t n = want ? table[i].shrinker->scan(want) : 0;
		atomic_fetch_add_explicit(&done[direct].asked, want, memory_order_relaxed);
		atomic_fetch_add_explicit(&done[direct].given, n, memory_order_relaxed);
		atomic_fetch_add_explicit(&table[i].given, n, memory_order_relaxed);
		given += n;
	}
	return given;
}

bool frame_reclaim(void)
{
	uint64_t round = atomic_load(&rounds);

	mutex_lock(&shrink_lock);
	/* A whole round that began after we asked, by somebody else, counts as ours. */
	bool any = atomic_load(&rounds) >= round + 2 && !frame_scarce_here();
	if (!any) {
		any = shrink(true) > 0;
		atomic_fetch_add(&done[1].runs, 1);
		atomic_fetch_add(&rounds, 1);
	}
	mutex_unlock(&shrink_lock);
	return any;
}

/* ---- The event ------------------------------------------------------------------------------ */

void pressure_event(void)
{
	atomic_fetch_add_explicit(&events, 1, memory_order_relaxed);
	atomic_store(&event_pending, true);
	if (waitq_active(&event_queue))
		wake_all(&event_queue);
}

void reclaim_balance(void)
{
	uint64_t given;

	atomic_fetch_add(&done[0].runs, 1);
	do {
		mutex_lock(&shrink_lock);
		given = shrink(false);
		atomic_fetch_add(&rounds, 1);
		mutex_unlock(&shrink_lock);
	} while (given && frame_shortfall());
}

static void reclaim_thread(void *arg)
{
	for (;;) {
		enum kerr err = wait_until(&event_queue, atomic_exchange(&event_pending, false),
					   WAIT_MEMORY, true, NSEC_NEVER);
		(void)err; /* at rest: nobody sends signals to a kernel thread */
		reclaim_balance();
	}
}

static enum kerr pressure_start(const struct boot_info *info)
{
	return upcalls.spawn("reclaim", reclaim_thread, nullptr);
}

static const struct init_ops start_ops = {.init = pressure_start};
INIT_SUBSYSTEM(reclaim, .phase = INIT_RUNTIME, .priority = 0, .requires = INIT_MEMORY,
	       INIT_DEPENDS("memory"), .ops = &start_ops);
