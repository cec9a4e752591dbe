/*
 * The scheduler `dis` (TH-4, DI-3, DI-4, DI-6): by declared intents (exec/intent.c).
 *
 *	rank 8  critical        fixed priorities, highest first: intents of class 7, SCHED_FIFO, SCHED_RR
 *	rank 7  class 0, 1   6  earliest deadline first
 *	rank 5  class 2, 3   4  fair: virtual time by weight, the earliest virtual deadline first
 *	rank 3  class 4, 5   2  multilevel feedback, four sublevels each
 *	rank 1  class 6         first come, first served
 *	rank 0                  the idle thread
 *
 * The first rank with a thread runs. Against starvation: the deadline ranks together get at most
 * EDF_MOST of each EDF_WINDOW of a CPU as long as somebody below waits; below them, a rank that
 * has had nothing for STARVE gets one turn of RESCUE_TURN, and so does a thread of a fair rank that
 * waited that long, however little it weighs. The critical rank is bound by nothing, like real-time
 * priorities everywhere. Inside a rank all take turns, so with n threads on a CPU and 7 ranks nobody
 * waits longer than about n * (STARVE + 7 * RESCUE_TURN).
 *
 * A thread without an intent is ranked by its Linux policy: 100 and above critical, SCHED_BATCH 3,
 * SCHED_IDLE 1, SCHED_OTHER 4 with the weight of its nice value.
 *
 * Budgets (dis_budget.c): what a thread ran is charged whenever it leaves the CPU; over its quota it is held back until
 * its period ends. While one with a budget runs, sched_watch() makes the engine ask tick() even if nobody waits.
 *
 * Data: struct queue for each CPU and struct dis_thread in the thread, under that CPU's run-queue lock; intent,
 * account and model lie in thread.dis and outlive a change of the scheduler.
 *
 * Costs: O(log n) in the fair and deadline ranks, O(1) elsewhere, O(n) for held threads at a tick.
 */
#include "sched_dis.h"
#include <core/cpu.h>
#include <lib/string.h>
#include <mm/heap.h>

#define STARVE (200 * NSEC_PER_MSEC)
#define RESCUE_TURN (4 * NSEC_PER_MSEC)
#define EDF_WINDOW (100 * NSEC_PER_MSEC)
#define EDF_MOST (95 * NSEC_PER_MSEC)
#define BOOST (500 * NSEC_PER_MSEC)
#define DEADLINE (10 * NSEC_PER_MSEC) /* of who declared none */
#define WAKE_BONUS (3 * NSEC_PER_MSEC) /* of virtual time, at most, for who slept */
#define DEBT_MOST (20 * NSEC_PER_MSEC) /* of virtual time, taken along */
#define GRANULARITY NSEC_PER_MSEC /* who woke must be that much better to preempt in a fair rank */

static struct queue *queues; /* (run queue lock of each; set by init) */
static _Atomic uint8_t stands[CPU_MAX]; /* what each CPU runs now; for placing */
static uint32_t weights[PRIORITY_COUNT]; /* (const after the first init) */

/* Clocks of several CPUs, and readings before and after a lock, may differ by a little. */
static nsec_t since(nsec_t now, nsec_t then)
{
	return now > then ? now - then : 0;
}

/* ---- Ranks ---- */

static uint8_t rank_of(const struct thread *t)
{
	if (t->priority >= PRIORITY_REALTIME_MIN)
		return RANK_CRITICAL;
	if (t->dis.declared)
		return t->dis.intent.class == INTENT_CRITICAL
			       ? RANK_CRITICAL
			       : (uint8_t)(RANK_REAL - t->dis.intent.class);
	if (t->policy == SCHED_BATCH)
		return RANK_BATCH;
	if (t->policy == SCHED_IDLE || t->priority <= PRIORITY_LOW)
		return t->priority > t->base_priority ? RANK_SERVER : RANK_IDLE;
	if (t->priority > sched_priority_of(SCHED_OTHER, -20, 0))
		return RANK_INTERACTIVE;
	return dis_on(DIS_PRIORITY) ? dis_learnt_rank(t) : RANK_SERVER;
}

static uint8_t list_of(const struct thread *t)
{
	const struct dis_thread *d = dis_data(t);

	switch (d->rank) {
	case RANK_CRITICAL:
		return t->priority >= PRIORITY_REALTIME_MIN ? t->priority : PRIORITY_CRITICAL;
	case RANK_BATCH:
		return (uint8_t)(LIST_BATCH - d->sub);
	case RANK_BACKGROUND:
		return (uint8_t)(LIST_BACKGROUND - d->sub);
	default:
		return LIST_IDLE;
	}
}

static uint32_t weight_of(const struct thread *t)
{
	if (t->dis.declared && t->dis.intent.budget == BUDGET_SHARES)
		return MAX(READ_ONCE(t->dis.intent.amount), 1u);
	return weights[MIN(t->priority, PRIORITY_COUNT - 1)];
}

/* ns of a CPU as virtual time. */
static uint64_t virtual(const struct thread *t, nsec_t span)
{
	return span * WEIGHT_ONE / weight_of(t);
}

static nsec_t slice_of(const struct thread *t)
{
	static const uint8_t ms[DIS_RANKS] = {100, 100, 16, 8, 8, 4, 2, 1, 10};
	const struct dis_thread *d = dis_data(t);

	if (t->dis.declared && t->dis.intent.slice)
		return t->dis.intent.slice;
	if (dis_on(DIS_SLICE) && d->rank <= RANK_INTERACTIVE && d->rank >= RANK_BACKGROUND) {
		nsec_t learnt = dis_learnt_slice(t);
		if (learnt)
			return learnt;
	}
	nsec_t slice = ms[d->rank] * NSEC_PER_MSEC;
	return is_feedback(d->rank) ? slice << d->sub : slice;
}

static nsec_t latency_of(const struct thread *t)
{
	return t->dis.declared && t->dis.intent.latency_time ? t->dis.intent.latency_time
							     : DEADLINE;
}

/* A fair thread's virtual deadline: small slices and latency targets come sooner. */
static uint64_t fair_key(const struct thread *t)
{
	nsec_t want = slice_of(t);

	if (t->dis.declared && t->dis.intent.latency_time)
		want = MIN(want, t->dis.intent.latency_time);
	return dis_data(t)->when + virtual(t, want);
}

/* ---- The queue ---- */

static bool has(const struct queue *q, unsigned rank)
{
	return q->waiting[rank] != 0;
}

static unsigned top_below(const struct queue *q, unsigned rank)
{
	while (rank > 0 && !has(q, rank))
		rank--;
	return rank;
}

static void tree_put(struct rb_tree *tree, struct dis_thread *d, uint64_t key)
{
	struct rb_node *parent = nullptr, **link = &tree->root;

	d->key = key;
	while (*link) {
		parent = *link;
		bool left = (int64_t)(key - rb_entry(parent, struct dis_thread, node)->key) < 0;
		link = left ? &parent->left : &parent->right;
	}
	rb_insert(tree, &d->node, parent, link);
}

static struct thread *of_node(struct rb_node *n)
{
	return n ? container_of((uint8_t *)rb_entry(n, struct dis_thread, node), struct thread,
				sched_data[0])
		 : nullptr;
}

static void put(struct queue *q, struct thread *t, bool first, nsec_t now)
{
	struct dis_thread *d = dis_data(t);

	if (is_tree(d->rank)) {
		tree_put(dis_tree(q, d->rank), d, is_fair(d->rank) ? fair_key(t) : d->when);
		d->place = PLACE_TREE;
		if (is_fair(d->rank)) {
			d->queued_at = now;
			list_add_tail(&q->arrivals[d->rank - RANK_SERVER], &t->run_link);
		}
	} else {
		levels_put(&q->levels, t, list_of(t), first);
		d->place = PLACE_LIST;
	}
	if (q->waiting[d->rank]++ == 0)
		q->served[d->rank] = now;
}

static void take(struct queue *q, struct thread *t)
{
	struct dis_thread *d = dis_data(t);

	if (d->place == PLACE_TREE) {
		rb_remove(dis_tree(q, d->rank), &d->node);
		if (is_fair(d->rank)) {
			list_remove(&t->run_link);
			d->lag = 0;
		}
	} else if (d->place == PLACE_LIST)
		levels_take(&q->levels, t);
	else
		list_remove(&t->run_link);
	if (d->place != PLACE_HELD)
		q->waiting[d->rank]--;
	else
		q->held--;
	d->place = PLACE_NONE;
}

static struct thread *first_of(const struct queue *q, unsigned rank)
{
	if (!has(q, rank))
		return nullptr;
	if (is_tree(rank))
		return of_node(rb_first(dis_tree((struct queue *)q, rank)));
	for (int list = dis_list_high(rank); list >= dis_list_low(rank); list--)
		if (!levels_empty_at(&q->levels, (unsigned)list))
			return list_first(&q->levels.lists[list], struct thread, run_link);
	return nullptr;
}

/* What the running thread ran and was not charged for. */
static nsec_t uncharged(const struct thread *running, nsec_t now)
{
	return running->run_time - dis_data(running)->run_mark + since(now, running->ran_since);
}

/* Virtual time, as debt to the queue it leaves. */
static void fair_leave(struct queue *q, struct thread *t)
{
	struct dis_thread *d = dis_data(t);

	if (is_fair(d->rank))
		d->lag = (int64_t)(d->when - q->fair[d->rank - RANK_SERVER]);
}

static void floor_raise(struct queue *q, unsigned rank, uint64_t when)
{
	uint64_t *floor = &q->fair[rank - RANK_SERVER];

	if ((int64_t)(when - *floor) > 0)
		*floor = when;
}

static void fair_enter(struct queue *q, struct thread *t, nsec_t slept, nsec_t now)
{
	struct dis_thread *d = dis_data(t);
	const struct thread *alone = has(q, d->rank) ? nullptr : q->running;

	/* Who ran while nobody waited owes nothing for it. */
	if (alone && alone != t && dis_data(alone)->rank == d->rank && !dis_data(alone)->rescued)
		floor_raise(q, d->rank,
			    dis_data(alone)->when + virtual(alone, uncharged(alone, now)));
	int64_t lag = MIN(d->lag, (int64_t)DEBT_MOST) - (int64_t)MIN(slept, NSEC_PER_SEC);
	d->when = q->fair[d->rank - RANK_SERVER] + (uint64_t)MAX(lag, -(int64_t)WAKE_BONUS);
}

/* ---- Accounts ---- */

/* Charges what t ran since it was charged last. */
static void account(struct queue *q, struct thread *t, nsec_t now)
{
	struct dis_thread *d = dis_data(t);
	nsec_t ran = t->run_time - d->run_mark;

	d->run_mark = t->run_time;
	model_ran(&t->dis.model, ran);
	if (dis_has_budget(t))
		dis_budget_charge(&t->dis, now, ran);
	if (is_fair(d->rank))
		d->when += virtual(t, ran);
	if (is_edf(d->rank)) {
		if (since(now, q->edf_from) >= EDF_WINDOW) {
			/* The new window begins with this run, the end of it if nobody asked for longer. */
			ran = MIN(ran, EDF_MOST);
			q->edf_from = now - ran;
			q->edf_used = 0;
			q->edf_over = false;
		}
		q->edf_used += ran;
		if (q->edf_used >= EDF_MOST && !q->edf_over) {
			q->edf_over = true;
			q->stats.overruns++;
		}
	}
}

static bool edf_over(struct queue *q, nsec_t now)
{
	if (q->edf_over && since(now, q->edf_from) >= EDF_WINDOW)
		q->edf_over = false;
	return q->edf_over;
}

/* ---- Held threads ---- */

static void hold(struct queue *q, cpu_t cpu, struct thread *t, nsec_t now)
{
	dis_data(t)->place = PLACE_HELD;
	list_add_tail(&q->holds, &t->run_link);
	q->held++;
	q->stats.throttles++;
	t->dis.throttles++;
	t->dis.throttled_since = now;
	sched_hold(cpu, 1);
}

static void unhold(struct queue *q, cpu_t cpu, struct thread *t, nsec_t now)
{
	take(q, t);
	t->dis.throttled += since(now, t->dis.throttled_since);
	t->dis.throttled_since = 0;
	sched_release(cpu, 1);
}

/* As one that has just come to its rank. */
static void begin_in_rank(struct queue *q, struct thread *t, nsec_t now)
{
	struct dis_thread *d = dis_data(t);

	if (is_fair(d->rank))
		fair_enter(q, t, 0, now);
	else
		d->when = now + latency_of(t);
	t->slice_left = slice_of(t);
}

static void queue_unheld(struct queue *q, cpu_t cpu, struct thread *t, nsec_t now)
{
	unhold(q, cpu, t, now);
	begin_in_rank(q, t, now);
	put(q, t, false, now);
}

/* Queues those whose period has come; time until the next one, NEVER: there is none. */
static nsec_t release_due(struct queue *q, cpu_t cpu, nsec_t now)
{
	nsec_t next = NSEC_NEVER;
	struct thread *t, *other;

	if (likely(!q->held))
		return next;
	list_for_each_safe(t, other, &q->holds, run_link) {
		dis_budget_charge(&t->dis, now, 0);
		if (dis_to_be_held(t))
			next = MIN(next, since(t->dis.period_end, now) + 1);
		else
			queue_unheld(q, cpu, t, now);
	}
	return next;
}

/* ---- The choice ---- */

/* The rank whose turn it is; *rescue: only because it has waited too long. */
static unsigned choose(struct queue *q, nsec_t now, bool *rescue)
{
	unsigned top = top_below(q, RANK_CRITICAL), longest = 0;

	*rescue = false;
	if (is_edf(top) && edf_over(q, now)) {
		unsigned lower = top_below(q, RANK_INTERACTIVE);
		top = lower ? lower : top;
	}
	if (top > RANK_INTERACTIVE)
		return top;
	for (unsigned r = 1; r < top; r++)
		if (has(q, r) && since(now, q->served[r]) >= STARVE &&
		    (!longest || q->served[r] < q->served[longest]))
			longest = r;
	*rescue = longest;
	return longest ? longest : top;
}

/* Of a fair rank who has waited longest, however light it is; null: nobody too long. */
static struct thread *starving(const struct queue *q, unsigned rank, nsec_t now, nsec_t bound)
{
	const struct list *list = is_fair(rank) ? &q->arrivals[rank - RANK_SERVER] : nullptr;

	if (!list || list_empty(list))
		return nullptr;
	struct thread *t = list_first(list, struct thread, run_link);
	return since(now, dis_data(t)->queued_at) >= bound ? t : nullptr;
}

/* As what a running thread counts against those who wait. */
static unsigned standing(const struct thread *running)
{
	const struct dis_thread *d = dis_data(running);

	return d->rescued ? RANK_INTERACTIVE : d->rank;
}

static bool better(struct queue *q, const struct thread *running, nsec_t now)
{
	const struct dis_thread *d = dis_data(running);
	unsigned top = top_below(q, RANK_CRITICAL), mine = standing(running);

	if (is_edf(top) && mine < RANK_SOFT && mine > 0 && edf_over(q, now))
		top = top_below(q, RANK_INTERACTIVE);
	if (top != mine)
		return top > mine;
	if (top == RANK_CRITICAL)
		return levels_top(&q->levels) > list_of(running);
	if (d->rescued || !top)
		return false;
	const struct thread *first = first_of(q, top);
	if (is_edf(top))
		return dis_data(first)->when < d->when;
	if (!is_fair(top))
		return is_feedback(top) && dis_data(first)->sub < d->sub;
	nsec_t ran = uncharged(running, now);
	if (dis_on(DIS_SLICE) && dis_lets_end(running, ran, first))
		return false;
	uint64_t mine_now = d->when + virtual(running, ran);
	return (int64_t)(mine_now - dis_data(first)->when) > (int64_t)GRANULARITY &&
	       (int64_t)(mine_now + virtual(running, slice_of(running)) - dis_data(first)->key) > 0;
}

/* Until a rank below must be rescued, or the deadline ranks must give way. */
static nsec_t patience(struct queue *q, const struct thread *running, nsec_t ran, nsec_t now)
{
	unsigned mine = standing(running);
	nsec_t left = NSEC_NEVER;

	ran += running->run_time - dis_data(running)->run_mark;
	if (mine == RANK_CRITICAL)
		return left;
	if (is_edf(mine)) {
		if (!top_below(q, RANK_INTERACTIVE))
			return left;
		if (edf_over(q, now))
			return 0;
		return since(EDF_MOST, q->edf_used + ran);
	}
	if (q->edf_over && (has(q, RANK_REAL) || has(q, RANK_SOFT)))
		left = q->edf_from + EDF_WINDOW > now ? q->edf_from + EDF_WINDOW - now : 0;
	if (dis_data(running)->rescued)
		return MIN(left, since(RESCUE_TURN, ran));
	for (unsigned r = 1; r < mine; r++)
		if (has(q, r))
			left = MIN(left, since(q->served[r] + STARVE, now));
	const struct thread *oldest = starving(q, mine, now, 0);
	return oldest ? MIN(left, since(dis_data(oldest)->queued_at + STARVE, now)) : left;
}

/* ---- The ops ---- */

static void enter_rank(struct queue *q, struct thread *t, uint8_t rank, nsec_t now)
{
	struct dis_thread *d = dis_data(t);

	d->rank = rank;
	d->lag = 0;
	d->sub = 0;
	begin_in_rank(q, t, now);
}

static void make_weights(void)
{
	uint64_t w = WEIGHT_ONE * 1024ull;

	/* 5/4 from one nice value to the next; scaled by 1024 for the roundings. */
	for (int p = PRIORITY_NORMAL; p < PRIORITY_COUNT; p++, w = MIN(w * 5 / 4, 1ull << 40))
		weights[p] = (uint32_t)MIN(w >> 10, 100000ull);
	w = WEIGHT_ONE * 1024ull;
	for (int p = PRIORITY_NORMAL; p >= 0; p--, w = w * 4 / 5)
		weights[p] = (uint32_t)MAX(w >> 10, 8ull);
}

static enum kerr op_init(cpu_t cpus)
{
	struct queue *made = heap_alloc_zeroed(sizeof(*made) * cpus);
	nsec_t now = time_now();

	if (!made)
		return KERR_NOMEM;
	make_weights();
	for (cpu_t c = 0; c < cpus; c++) {
		levels_init(&made[c].levels);
		list_init(&made[c].holds);
		list_init(&made[c].arrivals[0]);
		list_init(&made[c].arrivals[1]);
		made[c].next_boost = now + BOOST;
		made[c].edf_from = now;
	}
	queues = made;
	dis_start();
	return KERR_OK;
}

static void op_exit(void)
{
	dis_stop();
	heap_free(queues);
	queues = nullptr;
}

static struct thread *op_pick_next(cpu_t cpu)
{
	struct queue *q = &queues[cpu];
	nsec_t now = time_now();
	bool rescue;

	release_due(q, cpu, now);
	unsigned rank = choose(q, now, &rescue);
	struct thread *t = starving(q, rank, now, rescue ? 0 : STARVE);
	rescue |= t != nullptr;
	if (!t)
		t = first_of(q, rank);
	q->running = nullptr;
	dis_foretell(cpu, t, now);
	if (!t) {
		atomic_store_explicit(&stands[cpu], RANK_NOBODY, memory_order_relaxed);
		sched_watch(cpu, false);
		return nullptr;
	}
	take(q, t);
	struct dis_thread *d = dis_data(t);
	d->rescued = rescue;
	q->served[rank] = now;
	q->running = t;
	atomic_store_explicit(&stands[cpu], rescue ? RANK_INTERACTIVE : rank, memory_order_relaxed);
	q->stats.picked[rank]++;
	q->stats.rescues += rescue;
	if (is_fair(rank) && !rescue) /* a light one is far ahead of its equals by its turns */
		floor_raise(q, rank, d->when);
	if (t->ready_since)
		t->dis.model.waited += since(now, t->ready_since);
	sched_watch(cpu, dis_has_budget(t));
	return t;
}

static struct thread *op_drain(cpu_t cpu)
{
	struct queue *q = &queues[cpu];
	struct thread *t = first_of(q, top_below(q, RANK_CRITICAL));

	if (!t && q->held) {
		t = list_first(&q->holds, struct thread, run_link);
		t->dis.throttled += since(time_now(), t->dis.throttled_since);
		t->dis.throttled_since = 0;
	}
	q->running = nullptr;
	if (t)
		take(q, t);
	return t;
}

static void op_add_thread(cpu_t cpu, struct thread *t, const struct sched_carry *carry)
{
	struct dis_thread *d = dis_data(t);

	memset(d, 0, sizeof(*d));
	if (t->priority == PRIORITY_IDLE)
		return; /* the CPU's own idle thread: of no rank */
	d->run_mark = t->run_time;
	enter_rank(&queues[cpu], t, rank_of(t), time_now());
	d->boost = queues[cpu].boost;
	if (!carry || !carry->sunk)
		return;
	if (is_fair(d->rank)) /* it has computed much: a little behind the others */
		d->when += WAKE_BONUS;
	else if (is_feedback(d->rank))
		d->sub = (uint8_t)MIN(carry->sunk / 2, SUBS - 1);
}

static void op_remove_thread(cpu_t cpu, struct thread *t)
{
	struct queue *q = &queues[cpu];

	if (dis_data(t)->place == PLACE_HELD) {
		unhold(q, cpu, t, time_now());
		return;
	}
	take(q, t);
	fair_leave(q, t);
}

static void op_export_thread(cpu_t cpu, const struct thread *t, struct sched_carry *out)
{
	const struct dis_thread *d = dis_data(t);

	out->sunk = is_feedback(d->rank) ? (uint8_t)(d->sub * 2) : 0;
}

/* It woke: a new run begins. */
static void begin_run(struct queue *q, struct thread *t, nsec_t now)
{
	struct dis_thread *d = dis_data(t);
	nsec_t slept = t->dis.model.slept && d->slept ? since(now, t->dis.model.slept) : 0;

	if (d->slept) {
		model_woke(&t->dis.model, now);
		d->slept = false;
		if (is_edf(d->rank))
			d->when = now + latency_of(t);
		if (!is_feedback(d->rank))
			t->slice_left = slice_of(t);
	} else if (t->slice_left == 0) {
		t->slice_left = slice_of(t);
	}
	if (is_fair(d->rank))
		fair_enter(q, t, slept, now);
}

/* Its slice is over, or it gave it up. */
static void begin_slice(struct queue *q, struct thread *t, bool yielded)
{
	struct dis_thread *d = dis_data(t);

	if (is_feedback(d->rank) && !yielded && d->sub < SUBS - 1) {
		d->sub++;
		q->sunk++;
	} else if (is_edf(d->rank)) {
		d->when += latency_of(t);
	} else if (is_fair(d->rank) && yielded) {
		const struct thread *first = first_of(q, d->rank);
		if (first && (int64_t)(dis_data(first)->key - d->when) > 0)
			d->when = dis_data(first)->key;
	}
	t->slice_left = slice_of(t);
}

static void op_thread_ready(cpu_t cpu, struct thread *t, enum ready_reason why)
{
	struct queue *q = &queues[cpu];
	struct dis_thread *d = dis_data(t);
	nsec_t now = time_now();
	/* Its turn was cut short by a deadline: it is still due. */
	bool due = d->rescued && t->run_time - d->run_mark < RESCUE_TURN / 4;
	bool first = why == READY_PREEMPTED && t->slice_left > 0 && (!d->rescued || due);

	account(q, t, now);
	d->rescued = false;
	uint8_t rank = rank_of(t);
	bool moved = rank != d->rank;
	if (moved)
		enter_rank(q, t, rank, now);
	if (is_feedback(rank) && d->boost != q->boost) {
		d->boost = q->boost;
		d->sub = 0;
	}
	if (rank == RANK_CRITICAL && t->policy == SCHED_FIFO && why == READY_PREEMPTED)
		first = true;
	else if (why == READY_NEW) {
		if (t != q->running) /* else op_thread_block comes yet */
			begin_run(q, t, now);
		q->stays_until = q->running && dis_others_idle(t) ? now + DIS_PATIENCE : 0;
	} else if (moved)
		first = false;
	else if (t->slice_left == 0 || why == READY_YIELDED)
		begin_slice(q, t, why == READY_YIELDED);
	if (dis_to_be_held(t)) {
		hold(q, cpu, t, now);
	} else {
		put(q, t, first, now);
		if (dis_budget_spent(t))
			(void)dis_ask_to_edge(t);
	}
	if (unlikely(due) && d->place != PLACE_HELD)
		q->served[rank] = since(now, STARVE);
}

static enum model_sleep sleep_kind(const struct thread *t)
{
	return t->wait_reason == WAIT_IO      ? SLEEP_IO
	       : t->wait_reason == WAIT_TIMER ? SLEEP_TIMER
					      : SLEEP_EVENT;
}

/* It may have been woken since it said that it sleeps: then it is queued here already. Its deadline is that of its
 * waking: d->when moves on with each slice. */
static void op_thread_block(cpu_t cpu, struct thread *t)
{
	struct queue *q = &queues[cpu];
	struct dis_thread *d = dis_data(t);
	nsec_t now = time_now();
	bool woken = d->place != PLACE_NONE;

	if (woken)
		take(q, t);
	account(q, t, now);
	if (is_edf(d->rank) && t->dis.declared) {
		q->stats.deadlines++;
		t->dis.deadlines++;
		if (t->dis.model.woke && now > t->dis.model.woke + latency_of(t)) {
			q->stats.misses++;
			t->dis.misses++;
		}
	}
	fair_leave(q, t);
	d->rescued = false;
	d->slept = true;
	uint64_t pages = dis_resident(t);
	dis_trace_add(t, sleep_kind(t), pages);
	model_slept(&t->dis.model, now, sleep_kind(t), pages);
	if (woken) {
		begin_run(q, t, now);
		put(q, t, false, now);
	}
}

static void op_exit_thread(cpu_t cpu, struct thread *t)
{
	queues[cpu].running = nullptr;
	account(&queues[cpu], t, time_now());
}

static void op_yield(cpu_t cpu, struct thread *t)
{
	t->slice_left = 0;
}

/* All threads of the feedback ranks start again at the top. */
static void boost(struct queue *q, nsec_t now)
{
	q->next_boost = now + BOOST;
	q->boost++;
	for (unsigned rank = RANK_BACKGROUND; rank <= RANK_BATCH; rank++)
		for (int list = dis_list_high(rank) - 1; list >= dis_list_low(rank); list--) {
			struct thread *t, *next;
			list_for_each_safe(t, next, &q->levels.lists[list], run_link) {
				take(q, t);
				dis_data(t)->sub = 0;
				dis_data(t)->boost = q->boost;
				t->slice_left = slice_of(t);
				nsec_t served = q->served[rank];
				put(q, t, false, now);
				q->served[rank] = served;
			}
		}
	q->boosts++;
}

static nsec_t op_tick(cpu_t cpu, struct thread *running, nsec_t ran)
{
	struct queue *q = &queues[cpu];
	nsec_t now = running->ran_since + ran;
	nsec_t left = release_due(q, cpu, now);
	const struct dis_thread *d = dis_data(running);

	if (now >= q->next_boost)
		boost(q, now);
	if (d->rank == RANK_NOBODY)
		return top_below(q, RANK_CRITICAL) ? 0 : left;
	nsec_t budget = dis_has_budget(running) ? dis_budget_left(running, now, ran) : NSEC_NEVER;
	left = MIN(left, budget);
	if (left == 0 || !top_below(q, RANK_CRITICAL))
		return left;
	if (better(q, running, now))
		return 0;
	if (now < q->stays_until) /* then who waits goes where it is idle */
		left = MIN(left, q->stays_until - now);
	left = MIN(left, patience(q, running, ran, now));
	if (has(q, d->rank) &&
	    !(d->rank == RANK_CRITICAL &&
	      (running->policy == SCHED_FIFO || levels_empty_at(&q->levels, list_of(running)))))
		left = MIN(left, running->slice_left > ran ? running->slice_left - ran : 0);
	if (is_feedback(d->rank))
		left = MIN(left, since(q->next_boost, now));
	return left;
}

static void op_set_priority(cpu_t cpu, struct thread *t, uint8_t priority)
{
	struct dis_thread *d = dis_data(t);
	struct queue *q = &queues[cpu];
	bool queued = READ_ONCE(t->queued_on) == cpu;

	t->priority = priority;
	if (!queued && READ_ONCE(t->queued_on) != CPU_NONE)
		return; /* on its way to another CPU: done there */
	uint8_t rank = rank_of(t);
	nsec_t now = time_now();
	if (queued && d->place == PLACE_HELD) {
		if (rank != d->rank)
			enter_rank(q, t, rank, now);
		if (!dis_to_be_held(t))
			queue_unheld(q, cpu, t, now);
		return;
	}
	if (queued) {
		if (rank == d->rank && (is_tree(rank) || t->level == list_of(t)))
			return;
		take(q, t);
	} else if (t != q->running || rank == d->rank) {
		return; /* asleep, or just being queued elsewhere: op_thread_ready asks for the rank */
	}
	if (rank != d->rank)
		enter_rank(q, t, rank, now);
	if (queued)
		put(q, t, false, now);
}

static bool op_needs_reschedule(cpu_t cpu, const struct thread *running)
{
	return better(&queues[cpu], running, time_now());
}

static struct thread *pull_from(struct queue *q, unsigned rank, cpu_t from, cpu_t to, nsec_t now)
{
	struct thread *t;

	if (is_tree(rank)) {
		for (struct rb_node *n = rb_first(dis_tree(q, rank)); n; n = rb_next(n))
			if (dis_may_move(q, of_node(n), from, to, now))
				return of_node(n);
		return nullptr;
	}
	for (int list = dis_list_high(rank); list >= dis_list_low(rank); list--)
		list_for_each(t, &q->levels.lists[list], run_link)
			if (dis_may_move(q, t, from, to, now))
				return t;
	return nullptr;
}

static struct thread *op_pull(cpu_t cpu, cpu_t to)
{
	struct queue *q = &queues[cpu];
	nsec_t now = time_now();

	for (unsigned rank = RANK_CRITICAL; rank > 0; rank--) {
		struct thread *t = has(q, rank) ? pull_from(q, rank, cpu, to, now) : nullptr;
		if (t) {
			take(q, t);
			fair_leave(q, t);
			return t;
		}
	}
	return nullptr;
}

/* Where it ran if it may run there at once, or after some turns where it cannot do so anywhere; else where what runs
 * counts least. */
static cpu_t op_place(struct thread *t, cpu_t last, cpuset_t allowed)
{
	uint8_t rank = rank_of(t), least = RANK_CRITICAL + 1;
	bool may_stay =
		allowed & cpu_bit(last) &&
		(rank == RANK_CRITICAL ||
		 atomic_load_explicit(&stands[last], memory_order_relaxed) != RANK_CRITICAL);
	cpu_t best = last;

	for (cpuset_t left = allowed; left; left &= left - 1) {
		cpu_t cpu = (cpu_t)__builtin_ctzll(left);
		uint8_t runs = atomic_load_explicit(&stands[cpu], memory_order_relaxed);
		if (cpu == last && runs < rank)
			return last;
		if (runs < least) {
			least = runs;
			best = cpu;
		}
	}
	return least < rank || !may_stay ? best : last;
}

/* What outranks the thread that runs there, or has deadlines, does not wait for it. */
static bool op_stay(const struct thread *t, cpu_t last)
{
	uint8_t rank = rank_of(t);

	return rank < RANK_SOFT &&
	       rank <= atomic_load_explicit(&stands[last], memory_order_relaxed) &&
	       dis_may_stay(last);
}

static void op_stats(cpu_t cpu, struct sched_stats *out)
{
	out->boosts = queues[cpu].boosts;
	out->sunk = queues[cpu].sunk;
}

void dis_stats_of(cpu_t cpu, struct dis_stats *out)
{
	*out = queues[cpu].stats;
}

const struct scheduler_ops sched_dis = {
	.name = "dis",
	.version = 1,
	.exact = true,
	.init = op_init,
	.exit = op_exit,
	.pick_next = op_pick_next,
	.add_thread = op_add_thread,
	.remove_thread = op_remove_thread,
	.drain = op_drain,
	.export_thread = op_export_thread,
	.exit_thread = op_exit_thread,
	.thread_ready = op_thread_ready,
	.thread_block = op_thread_block,
	.yield = op_yield,
	.tick = op_tick,
	.set_priority = op_set_priority,
	.needs_reschedule = op_needs_reschedule,
	.pull = op_pull,
	.stats = op_stats,
	.place = op_place,
	.stay = op_stay,
};
