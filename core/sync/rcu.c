/*
 * Read-copy-update. A grace period is one for the machine: a set of CPUs that have not been quiet since it
 * began (`waiting`). A CPU clears its bit when it switches threads, returns to user mode from an interrupt,
 * or is idle; the scheduler's cost is one load and a bit test.
 *
 * Callbacks are each CPU's own, and called there: by a timer that runs every PERIOD while the CPU has some. So
 * who frees much pays for it, with its own time and its own caches, and cannot be faster than what it leaves
 * behind is freed.
 *
 * Data: `sequence` counts beginnings and ends of grace periods, odd while one is under way. A CPU's
 * callbacks go from `fresh` to `batch`, which waits for the end of the next period to begin (`wanted`), to
 * `ready`. They are touched by their own CPU only, interrupts off. The timers of all CPUs move the sequence on: one
 * at a time (`stepping`), and who finds another at it leaves it to that one.
 *
 * Order: `sequence` turns odd before `waiting` is set. So who reads it even has made its changes before any
 * CPU is asked to be quiet.
 *
 * Rejected: one timer for the callbacks of all CPUs (twelve CPUs free faster than one calls: it was never
 * done, and what it had interrupted never ran again); callbacks at quiescent points (they would run with
 * scheduler locks held); epochs per reader (cost in every reader).
 */
#include <core/cpu.h>
#include <core/rcu.h>
#include <core/time.h>
#include <core/wait.h>

#define PERIOD (5 * NSEC_PER_MSEC)
#define CALLS_AT_ONCE 512

static _Atomic cpuset_t waiting;
static _Atomic uint64_t sequence;
static _Atomic bool stepping;
static nsec_t began, kicked; /* (stepping) */

struct calls { /* oldest first */
	struct rcu_head *first, **end; /* `end` only if there are any */
	size_t count;
};

static void advance(struct timer *t);

static struct rcu_cpu {
	struct calls fresh, batch, ready;
	uint64_t wanted; /* the sequence that `batch` waits for */
	bool armed;      /* the timer is set, or its function runs */
	struct timer timer;
} ALIGNED(64) cpus[CPU_MAX] = {
	[0 ... CPU_MAX - 1] = {.timer = {.fn = advance, .cpu = CPU_NONE}},
};

void rcu_quiescent(cpu_t cpu)
{
	if (unlikely(atomic_load_explicit(&waiting, memory_order_relaxed) & cpu_bit(cpu)))
		atomic_fetch_and_explicit(&waiting, ~cpu_bit(cpu), memory_order_acq_rel);
}

bool rcu_waits_for(cpu_t cpu)
{
	return atomic_load_explicit(&waiting, memory_order_relaxed) & cpu_bit(cpu);
}

uint64_t rcu_period(void)
{
	return atomic_load_explicit(&sequence, memory_order_relaxed);
}

/* ---- Callbacks ------------------------------------------------------------------------------ */

static void calls_append(struct calls *to, struct calls *from)
{
	if (!from->first)
		return;
	*(to->first ? to->end : &to->first) = from->first;
	to->end = from->end;
	to->count += from->count;
	*from = (struct calls){};
}

/* The oldest that are ready: CALLS_AT_ONCE at most, or a quarter of them if that is more. (A fixed
 * number would be a rate, and programs that open and close files faster would fill memory.) */
static struct rcu_head *take_ready(struct calls *ready)
{
	struct rcu_head *first = ready->first, **end = &first;
	size_t n = 0, most = MAX(ready->count / 4, (size_t)CALLS_AT_ONCE);

	for (; *end && n < most; n++)
		end = &(*end)->next;
	ready->count -= n;
	ready->first = *end;
	*end = nullptr;
	return first;
}

static NOINLINE void start(struct rcu_cpu *c, bool on)
{
	c->armed = true;
	timer_set(&c->timer, time_now() + PERIOD);
	hal.cpu.irq_restore(on);
}

NOINLINE void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	bool on = hal.cpu.irq_save();
	struct rcu_cpu *c = &cpus[cpu_id()];

	*head = (struct rcu_head){.fn = fn};
	*(c->fresh.first ? c->fresh.end : &c->fresh.first) = head;
	c->fresh.end = &head->next;
	c->fresh.count++;
	if (likely(c->armed))
		hal.cpu.irq_restore(on);
	else
		start(c, on);
}

/* ---- Grace periods -------------------------------------------------------------------------- */

/* The sequence at which a whole grace period will have passed from here on. */
static uint64_t sequence_after(void)
{
	return (atomic_load(&sequence) + 3) & ~UINT64_C(1);
}

static bool has_passed(uint64_t wanted)
{
	return atomic_load_explicit(&sequence, memory_order_acquire) >= wanted;
}

/* Ends the grace period that waits for nobody, and begins one if `wanted` is not reached; the CPUs to
 * interrupt so that they pass. At most one begins in a PERIOD, however many CPUs have callbacks. */
static cpuset_t step_locked(uint64_t wanted)
{
	cpuset_t lagging = atomic_load_explicit(&waiting, memory_order_acquire);
	uint64_t at = atomic_load_explicit(&sequence, memory_order_relaxed);
	nsec_t now = time_now();

	if (at % 2 && !lagging)
		atomic_store(&sequence, ++at);
	if (at % 2 == 0 && at < wanted && now >= began + PERIOD) {
		atomic_store(&sequence, at + 1);
		lagging = cpu_online();
		atomic_store(&waiting, lagging);
		began = now;
	} else if (now < kicked + PERIOD) {
		return 0;
	}
	kicked = now;
	return lagging;
}

static void step(uint64_t wanted)
{
	if (atomic_exchange_explicit(&stepping, true, memory_order_acquire))
		return;
	cpuset_t lagging = step_locked(wanted);
	atomic_store_explicit(&stepping, false, memory_order_release);
	cpu_kick(lagging & ~cpu_bit(cpu_id()));
	if (lagging & cpu_bit(cpu_id()))
		atomic_fetch_or_explicit(&current_task()->work, TASK_WORK_RESCHEDULE,
					 memory_order_relaxed);
}

static void advance(struct timer *t)
{
	struct rcu_cpu *c = container_of(t, struct rcu_cpu, timer);

	if (c->batch.first)
		step(c->wanted);
	if (has_passed(c->wanted))
		calls_append(&c->ready, &c->batch);
	if (!c->batch.first && c->fresh.first) {
		calls_append(&c->batch, &c->fresh);
		c->wanted = sequence_after();
		step(c->wanted);
	}
	for (struct rcu_head *calls = take_ready(&c->ready), *next; calls; calls = next) {
		next = calls->next;
		calls->fn(calls);
	}
	c->armed = c->fresh.first || c->batch.first || c->ready.first;
	if (c->armed)
		timer_set(t, time_now() + PERIOD);
}

struct synchronizer {
	struct rcu_head head;
	struct waitq queue;
	_Atomic bool done;
};

/* Under the queue's lock, which lies on the waiter's stack like all of it: that takes it last. */
static void synchronized(struct rcu_head *head)
{
	struct synchronizer *s = (struct synchronizer *)head;

	bool on = spin_lock_irq(&s->queue.lock);
	atomic_store(&s->done, true);
	wake_one_locked(&s->queue);
	spin_unlock_irq(&s->queue.lock, on);
}

void rcu_synchronize(void)
{
	struct synchronizer s = {};

	sleep_check("waiting for a grace period");
	waitq_init(&s.queue);
	rcu_call(&s.head, synchronized);
	enum kerr err = wait_until(&s.queue, atomic_load(&s.done), WAIT_OTHER, false, NSEC_NEVER);
	(void)err; /* not interruptible, no deadline */
	/* The waker may still hold the lock. */
	bool on = spin_lock_irq(&s.queue.lock);
	spin_unlock_irq(&s.queue.lock, on);
}
