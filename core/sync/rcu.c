/*
 * Read-copy-update, simplest form. A machine-wide grace period is a set of CPUs that have not been
 * quiet since it began (`waiting`); a CPU clears its bit when it switches threads, returns to user
 * mode from an interrupt, or is idle. The scheduler's cost is one load and a bit test.
 *
 * Everything else happens in a timer that runs every PERIOD while there are callbacks: if
 * `waiting` is empty, the callbacks of the ended period are called, those that came since begin
 * the next, and CPUs that lag (idle, or long in user mode) get an interrupt.
 *
 * Data: each CPU's `incoming`, pushed to by compare-and-swap -> `current` (waiting for this grace
 * period) -> `ready` -> called. The last two belong to whoever has `running`, the timer's function.
 * No lock, and no line shared with another CPU but where `running` is read.
 *
 * Rejected: callbacks at quiescent points (they would run with scheduler locks held); epochs per
 * reader (cost in every reader); one list with a lock (every munmap met there).
 */
#include <core/cpu.h>
#include <core/rcu.h>
#include <core/time.h>
#include <core/wait.h>

#define PERIOD (5 * NSEC_PER_MSEC)
#define CALLS_AT_ONCE 512

static _Atomic cpuset_t waiting;

static struct {
	struct rcu_head *_Atomic incoming;
} ALIGNED(64) cpus[CPU_MAX];
static _Atomic bool running; /* the timer is set, or its function is not done with these: */
static struct calls { /* oldest first */
	struct rcu_head *first, **end;
	size_t count;
} current = {.end = &current.first}, ready = {.end = &ready.first};

static void advance(struct timer *t);
static struct timer timer = {.fn = advance, .cpu = CPU_NONE};

void rcu_quiescent(cpu_t cpu)
{
	if (unlikely(atomic_load_explicit(&waiting, memory_order_relaxed) & cpu_bit(cpu)))
		atomic_fetch_and_explicit(&waiting, ~cpu_bit(cpu), memory_order_acq_rel);
}

bool rcu_waits_for(cpu_t cpu)
{
	return atomic_load_explicit(&waiting, memory_order_relaxed) & cpu_bit(cpu);
}

void rcu_call(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
	/* Any CPU's list will do, if this thread is moved meanwhile. */
	struct rcu_head *_Atomic *list = &cpus[cpu_id()].incoming;

	head->fn = fn;
	head->next = atomic_load_explicit(list, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(list, &head->next, head))
		;
	if (unlikely(!atomic_load(&running)) && !atomic_exchange(&running, true))
		timer_set(&timer, time_now() + PERIOD);
}

static void calls_append(struct calls *to, struct calls *from)
{
	if (!from->first)
		return;
	*to->end = from->first;
	to->end = from->end;
	to->count += from->count;
	*from = (struct calls){.end = &from->first};
}

/* A CPU's pushed list, newest first, comes to the end of `to`. */
static void calls_take(struct calls *to, struct rcu_head *newest)
{
	struct rcu_head *oldest = nullptr, **end = newest ? &newest->next : nullptr;

	while (newest) {
		struct rcu_head *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
		to->count++;
	}
	if (oldest) {
		*to->end = oldest;
		to->end = end;
	}
}

static bool any_incoming(void)
{
	for (cpu_t i = 0; i < cpu_count; i++)
		if (atomic_load(&cpus[i].incoming))
			return true;
	return false;
}

/* The oldest whose grace period is over: CALLS_AT_ONCE at most, or a quarter of them if that is more. (A fixed
 * number would be a rate, and programs that open and close files faster would fill memory.) */
static struct rcu_head *take_ready(void)
{
	struct rcu_head *first = ready.first, **end = &first;
	size_t n = 0, most = MAX(ready.count / 4, (size_t)CALLS_AT_ONCE);

	for (; *end && n < most; n++)
		end = &(*end)->next;
	ready.count -= n;
	ready.first = *end;
	if (!ready.first)
		ready.end = &ready.first;
	*end = nullptr;
	return first;
}

/* The grace period is over: the next one begins for what came meanwhile. */
static cpuset_t next_period(void)
{
	calls_append(&ready, &current);
	for (cpu_t i = 0; i < cpu_count; i++)
		if (atomic_load_explicit(&cpus[i].incoming, memory_order_relaxed))
			calls_take(&current, atomic_exchange(&cpus[i].incoming, nullptr));
	cpuset_t lagging = current.first ? cpu_online() : 0;
	atomic_store_explicit(&waiting, lagging, memory_order_seq_cst);
	return lagging;
}

/* Nothing is left to do, or what is left is somebody else's by now. */
static bool may_stop(void)
{
	if (ready.first || current.first || any_incoming())
		return false;
	atomic_store(&running, false);
	return !any_incoming() || atomic_exchange(&running, true);
}

static void advance(struct timer *t)
{
	cpuset_t lagging = atomic_load_explicit(&waiting, memory_order_acquire);

	if (!lagging)
		lagging = next_period();
	for (struct rcu_head *calls = take_ready(), *next; calls; calls = next) {
		next = calls->next;
		calls->fn(calls);
	}
	if (lagging)
		cpu_kick(lagging & ~cpu_bit(cpu_id()));
	if (lagging & cpu_bit(cpu_id()))
		atomic_fetch_or_explicit(&current_task()->work, TASK_WORK_RESCHEDULE,
					 memory_order_relaxed);
	if (!may_stop())
		timer_set(t, time_now() + PERIOD);
}

struct synchronizer {
	struct rcu_head head;
	struct waitq queue;
	_Atomic bool done;
};

static void synchronized(struct rcu_head *head)
{
	struct synchronizer *s = (struct synchronizer *)head;

	atomic_store(&s->done, true);
	wake_all(&s->queue);
}

void rcu_synchronize(void)
{
	struct synchronizer s = {};

	waitq_init(&s.queue);
	rcu_call(&s.head, synchronized);
	enum kerr err = wait_until(&s.queue, atomic_load(&s.done), WAIT_OTHER, false, NSEC_NEVER);
	(void)err; /* not interruptible, no deadline */
	/* The waker may still hold the queue lock, which lies on this stack. */
	bool on = spin_lock_irq(&s.queue.lock);
	spin_unlock_irq(&s.queue.lock, on);
}
