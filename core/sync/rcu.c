/*
 * Read-copy-update, simplest form. A machine-wide grace period is a set of CPUs that have not been
 * quiet since it began (`waiting`); a CPU clears its bit when it switches threads, returns to user
 * mode from an interrupt, or is idle. The scheduler's cost is one load and a bit test.
 *
 * Everything else happens in a timer that runs every PERIOD while there are callbacks: if
 * `waiting` is empty, the callbacks of the ended period are called, those that came since begin
 * the next, and CPUs that lag (idle, or long in user mode) get an interrupt.
 *
 * Data: `incoming` -> `current` (waiting for this grace period) -> called. (lock)
 * Rejected: callbacks at quiescent points (they would run with scheduler locks held); epochs per
 * reader (cost in every reader).
 */
#include <core/cpu.h>
#include <core/rcu.h>
#include <core/time.h>
#include <core/wait.h>

#define PERIOD (5 * NSEC_PER_MSEC)
#define CALLS_AT_ONCE 512

static _Atomic cpuset_t waiting;

static struct spinlock lock = SPINLOCK_INIT(RANK_RCU, "rcu");
static struct rcu_head *incoming;  /* (lock) */
static struct rcu_head *current;   /* (lock) */
static struct rcu_head *ready;     /* (lock) grace period over, not called yet */
static bool running;               /* (lock) the timer is set or its function runs */

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
	bool on = spin_lock_irq(&lock);

	head->fn = fn;
	head->next = incoming;
	incoming = head;
	bool start = !running;
	running = true;
	spin_unlock_irq(&lock, on);
	if (start)
		timer_set(&timer, time_now() + PERIOD);
}

static void append(struct rcu_head **list, struct rcu_head *more)
{
	while (*list)
		list = &(*list)->next;
	*list = more;
}

/* The oldest callbacks whose grace period is over, CALLS_AT_ONCE at most. */
static struct rcu_head *take_ready_locked(void)
{
	struct rcu_head *first = ready, **end = &first;

	for (unsigned n = 0; *end && n < CALLS_AT_ONCE; n++)
		end = &(*end)->next;
	ready = *end;
	*end = nullptr;
	return first;
}

static void advance(struct timer *t)
{
	cpuset_t lagging = atomic_load_explicit(&waiting, memory_order_acquire);
	bool on = spin_lock_irq(&lock);

	if (!lagging) {
		append(&ready, current);
		current = incoming;
		incoming = nullptr;
		if (current)
			lagging = cpu_online();
		atomic_store_explicit(&waiting, lagging, memory_order_seq_cst);
	}
	struct rcu_head *calls = take_ready_locked();
	running = ready || current || incoming;
	bool again = running;
	spin_unlock_irq(&lock, on);

	while (calls) {
		struct rcu_head *next = calls->next;
		calls->fn(calls);
		calls = next;
	}
	if (lagging)
		cpu_kick(lagging & ~cpu_bit(cpu_id()));
	if (lagging & cpu_bit(cpu_id()))
		atomic_fetch_or_explicit(&current_task()->work, TASK_WORK_RESCHEDULE,
					 memory_order_relaxed);
	if (again)
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
