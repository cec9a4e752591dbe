/*
 * Budgets of the scheduler `dis` (DI-4): what a thread may run in each period, and what it ran.
 *
 * Over its quota a thread is held back until its period ends, but only at the edge to user mode, where it
 * holds no lock that others may wait for: elsewhere TASK_WORK_EDGE is set, and its way out of the kernel
 * ends in a switch. What it ran too much by then is charged to the next period, so the sum is right. Who is to
 * end or to stop, and who owns a futex that somebody waits for, is not held.
 *
 * All under the lock of the thread's run queue. An intent that is just being declared, under another queue's lock while
 * the thread is being moved, may be seen in part; what is made of it is made anew when it is there.
 */
#include "sched_dis.h"

void dis_budget_charge(struct dis_task *k, nsec_t now, nsec_t ran)
{
	nsec_t quota = READ_ONCE(k->intent.quota), period = READ_ONCE(k->intent.period);

	if (unlikely(!quota || !period))
		return;
	if (!k->period_end) { /* what it ran before it declared is not the budget's */
		k->used = 0;
		k->period_end = now + period;
		return;
	}
	k->used += ran;
	if (now < k->period_end)
		return;
	/* It ran in one piece up to now: what lies behind the period's end belongs to the next one. */
	nsec_t after = MIN(ran, now - k->period_end), before = k->used - after;
	nsec_t periods = 1 + (now - k->period_end) / period;
	nsec_t paid = periods > before / quota + 1 ? before : MIN(before, periods * quota);
	k->used = before - paid + after;
	k->period_end += periods * period;
}

bool dis_budget_spent(const struct thread *t)
{
	return dis_has_budget(t) && t->dis.used >= t->dis.intent.quota && !t->lent_priority;
}

bool dis_to_be_held(const struct thread *t)
{
	return dis_budget_spent(t) && t->task.at_edge &&
	       !(atomic_load_explicit(&t->task.work, memory_order_relaxed) & TASK_WORK_STOP);
}

bool dis_ask_to_edge(struct thread *t)
{
	return !(atomic_fetch_or_explicit(&t->task.work, TASK_WORK_EDGE, memory_order_relaxed) &
		 TASK_WORK_EDGE);
}

nsec_t dis_budget_left(struct thread *running, nsec_t now, nsec_t ran)
{
	nsec_t used = running->dis.used + running->run_time - dis_data(running)->run_mark + ran;
	nsec_t quota = running->dis.intent.quota, end = running->dis.period_end;

	if (running->lent_priority) /* until that ends */
		return NSEC_PER_MSEC;
	if (now >= end) /* the account is a period behind */
		return used > quota ? 0 : quota - used;
	if (used < quota)
		return MIN(quota - used, end - now + NSEC_PER_USEC);
	return dis_ask_to_edge(running) ? 0 : NSEC_NEVER;
}
