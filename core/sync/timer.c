/*
 * Timers: one red-black tree per CPU by deadline, with the earliest cached, and the CPU's one-shot hardware
 * timer armed for it. A timer fires on the CPU that set it. There is no periodic tick.
 *
 * Locks: a CPU's queue lock (interrupt-safe) guards its tree and the `queued` of its timers. Who sets and cancels one
 * timer sees to it that this is done by one at a time: a timer has no lock of its own. Its function may set it
 * while another cancels it: `running` tells that the function is being called right now.
 * Costs: set and cancel O(log n); expiry of k timers one interrupt.
 *
 * Rejected: a timer wheel (better for many thousand network timers, worse deadlines, more memory).
 */
#include <core/cpu.h>
#include <core/time.h>
#include <hal/upcall.h>

struct timer_queue {
	struct spinlock lock;
	struct rb_tree tree;
	struct timer *first;            /* leftmost, or null */
	struct timer *_Atomic running;  /* its fn is being called */
	nsec_t armed;                   /* what the hardware is set to */
} ALIGNED(64);

static struct timer_queue queues[CPU_MAX] = {
	[0 ... CPU_MAX - 1] = {.lock = SPINLOCK_INIT(RANK_TIMER, "timers"), .armed = NSEC_NEVER},
};

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	*t = (struct timer){.fn = fn, .cpu = CPU_NONE};
}

static void arm_locked(struct timer_queue *q)
{
	nsec_t deadline = q->first ? q->first->deadline : NSEC_NEVER;

	if (deadline != q->armed) {
		q->armed = deadline;
		hal.timer.arm(deadline);
	}
}

static void insert_locked(struct timer_queue *q, struct timer *t)
{
	struct rb_node **link = &q->tree.root, *parent = nullptr;
	bool leftmost = true;

	while (*link) {
		parent = *link;
		if (t->deadline < rb_entry(parent, struct timer, node)->deadline) {
			link = &parent->left;
		} else {
			link = &parent->right;
			leftmost = false;
		}
	}
	rb_insert(&q->tree, &t->node, parent, link);
	t->queued = true;
	if (leftmost)
		q->first = t;
}

static void remove_locked(struct timer_queue *q, struct timer *t)
{
	if (q->first == t) {
		struct rb_node *next = rb_next(&t->node);
		q->first = next ? rb_entry(next, struct timer, node) : nullptr;
	}
	rb_remove(&q->tree, &t->node);
	t->queued = false;
}

/* Takes `t` off its queue. False: it was not queued. *ran: its function is being called there right now. */
static bool dequeue(struct timer *t, bool *ran)
{
	cpu_t cpu = READ_ONCE(t->cpu);

	*ran = false;
	if (cpu == CPU_NONE)
		return false;
	struct timer_queue *q = &queues[cpu];
	bool on = spin_lock_irq(&q->lock);
	bool was = t->queued && t->cpu == cpu;
	*ran = atomic_load_explicit(&q->running, memory_order_relaxed) == t;
	if (was) {
		remove_locked(q, t);
		/* Another CPU's hardware may fire once for nothing; it re-arms itself then. */
		if (cpu == cpu_id())
			arm_locked(q);
	}
	spin_unlock_irq(&q->lock, on);
	return was;
}

static bool runs(const struct timer *t)
{
	cpu_t cpu = READ_ONCE(t->cpu);

	return cpu != CPU_NONE &&
	       atomic_load_explicit(&queues[cpu].running, memory_order_acquire) == t;
}

void timer_set(struct timer *t, nsec_t deadline)
{
	bool on = hal.cpu.irq_save();
	struct timer_queue *q = &queues[cpu_id()];
	bool ran;

	if (t->cpu != CPU_NONE && t->cpu != cpu_id())
		dequeue(t, &ran);
	spin_acquire(&q->lock);
	if (t->queued)
		remove_locked(q, t);
	t->cpu = cpu_id();
	t->deadline = deadline;
	insert_locked(q, t);
	arm_locked(q);
	spin_release(&q->lock);
	hal.cpu.irq_restore(on);
}

bool timer_cancel(struct timer *t)
{
	bool was = false, ran;

	/* A function that was running may have set it again before it returned. */
	do {
		was |= dequeue(t, &ran);
		while (ran && runs(t))
			hal.cpu.relax();
	} while (ran);
	return was;
}

void core_timer(void)
{
	struct timer_queue *q = &queues[cpu_id()];

	spin_acquire(&q->lock);
	q->armed = 0; /* it has just fired: whatever comes next must reach the hardware */
	nsec_t now = time_now();
	while (q->first && q->first->deadline <= now) {
		struct timer *t = q->first;
		remove_locked(q, t);
		atomic_store_explicit(&q->running, t, memory_order_relaxed);
		spin_release(&q->lock);
		t->fn(t);
		spin_acquire(&q->lock);
		atomic_store_explicit(&q->running, nullptr, memory_order_release);
		now = time_now();
	}
	arm_locked(q);
	spin_release(&q->lock);
}
