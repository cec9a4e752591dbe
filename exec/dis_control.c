/*
 * What steers the scheduler `dis` from outside: its strategies, its figures, and the strategy `energy`.
 *
 * energy: every PERIOD the threads that run or wait are counted, over all CPUs, and averaged. Work is
 * placed on no more CPUs than that average, a quarter added, needs; the others are spared: they get no
 * thread that may run elsewhere, take none from others, and sleep on. Threads bound to a spared CPU run there.
 *
 * control_lock (sleeping) around switching and the timer; the mask is atomic.
 */
#include "sched_dis.h"
#include <core/wait.h>

#define PERIOD (20 * NSEC_PER_MSEC)
#define ONE 256u

static struct mutex control_lock = MUTEX_INIT(control_lock);
static struct timer timer;      /* (control_lock) */
static _Atomic bool running;    /* the timer goes on; (control_lock for writing) */
static bool in_use;             /* (control_lock) `dis` is the scheduler, or about to be */
static uint32_t load;           /* (timer) threads, times ONE */

static uint32_t count_threads(void)
{
	uint32_t n = 0;

	for (cpu_t c = 0; c < cpu_count; c++) {
		const struct runqueue *rq = &runqueues[c];
		n += READ_ONCE(rq->ready);
		n += rq->idle &&
		     atomic_load_explicit(&rq->current, memory_order_relaxed) != rq->idle;
	}
	return n;
}

static void sample(struct timer *t)
{
	cpuset_t online = atomic_load_explicit(&sched_online, memory_order_relaxed), used = 0;

	if (!atomic_load(&running))
		return;
	load = (load * 7 + count_threads() * ONE) / 8;
	unsigned wanted = MAX((load * 5 / 4 + ONE / 2) / ONE, 1u);
	for (cpuset_t left = online; left && wanted; left &= left - 1, wanted--)
		used |= left & -left;
	atomic_store_explicit(&sched_spared, online & ~used, memory_order_relaxed);
	timer_set(t, time_now() + PERIOD);
}

/* control_lock held. */
static void adapt(void)
{
	bool wanted = in_use && dis_on(DIS_ENERGY);

	if (wanted == atomic_load(&running))
		return;
	atomic_store(&running, wanted);
	if (wanted) {
		load = count_threads() * ONE;
		timer_init(&timer, sample);
		timer_set(&timer, time_now() + PERIOD);
	} else {
		timer_cancel(&timer);
		atomic_store(&sched_spared, 0);
	}
}

static void use(bool on)
{
	mutex_lock(&control_lock);
	in_use = on;
	adapt();
	mutex_unlock(&control_lock);
}

void dis_start(void)
{
	use(true);
}

void dis_stop(void)
{
	use(false);
}

void dis_strategy_set(unsigned s, bool on)
{
	mutex_lock(&control_lock);
	WRITE_ONCE(dis_strategies[s], on);
	adapt();
	mutex_unlock(&control_lock);
}

enum kerr dis_stats(uint32_t cpu, struct dis_stats *out)
{
	struct runqueue *rq = &runqueues[cpu];
	bool on = spin_lock_irq(&rq->lock);
	enum kerr err = rq->policy == &sched_dis ? KERR_OK : KERR_NODEV;

	if (err == KERR_OK)
		dis_stats_of(cpu, out);
	spin_unlock_irq(&rq->lock, on);
	return err;
}
