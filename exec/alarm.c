/*
 * alarm(2) and setitimer(ITIMER_REAL): one timer a process, SIGALRM when it fires. The function runs
 * in interrupt context; the timer is cancelled before its process can go away (exit.c).
 */
#include "process_private.h"

void alarm_expired(struct timer *timer)
{
	struct process *p = container_of(timer, struct process, alarm);
	bool on = spin_lock_irq(&p->lock);

	if (p->alarm_deadline && p->alarm_deadline <= time_now()) {
		const struct signal_info info = {.signo = SIGALRM, .code = SI_KERNEL};
		enum kerr err = signal_send_locked(p, nullptr, &info);
		(void)err; /* a standard signal: cannot fail */
		p->alarm_deadline = p->alarm_interval ? p->alarm_deadline + p->alarm_interval : 0;
	}
	nsec_t next = p->alarm_deadline;
	spin_unlock_irq(&p->lock, on);
	if (next)
		timer_set(timer, MAX(next, time_now() + 10 * NSEC_PER_USEC));
}

void alarm_get(nsec_t *left, nsec_t *interval)
{
	struct process *p = current_process();
	bool on = spin_lock_irq(&p->lock);
	nsec_t now = time_now();

	*left = p->alarm_deadline ? (p->alarm_deadline > now ? p->alarm_deadline - now : 1) : 0;
	*interval = p->alarm_interval;
	spin_unlock_irq(&p->lock, on);
}

void alarm_set(nsec_t first, nsec_t interval, nsec_t *old_left, nsec_t *old_interval)
{
	struct process *p = current_process();

	alarm_get(old_left, old_interval);
	timer_cancel(&p->alarm);
	bool on = spin_lock_irq(&p->lock);
	p->alarm_deadline = first ? time_now() + first : 0;
	p->alarm_interval = first ? interval : 0;
	nsec_t deadline = p->alarm_deadline;
	spin_unlock_irq(&p->lock, on);
	timer_cancel(&p->alarm); /* one that expired between re-armed itself for the old time */
	if (deadline)
		timer_set(&p->alarm, deadline);
}
