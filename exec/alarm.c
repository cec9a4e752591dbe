/*
 * alarm(2) and setitimer(ITIMER_REAL): one timer a process, SIGALRM when it fires. The function runs
 * in interrupt context. The timer is set under the process's lock, by whoever does; one that is no more wanted
 * fires for nothing. It is cancelled before its process can go away, which rcu keeps for a function that still runs on a
 * CPU that set the timer earlier.
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
	if (p->alarm_deadline)
		timer_set(timer, MAX(p->alarm_deadline, time_now() + 10 * NSEC_PER_USEC));
	spin_unlock_irq(&p->lock, on);
}

static void get_locked(const struct process *p, nsec_t now, nsec_t *left, nsec_t *interval)
{
	*left = p->alarm_deadline ? (p->alarm_deadline > now ? p->alarm_deadline - now : 1) : 0;
	*interval = p->alarm_interval;
}

void alarm_get(nsec_t *left, nsec_t *interval)
{
	struct process *p = current_process();
	bool on = spin_lock_irq(&p->lock);

	get_locked(p, time_now(), left, interval);
	spin_unlock_irq(&p->lock, on);
}

void alarm_set(nsec_t first, nsec_t interval, nsec_t *old_left, nsec_t *old_interval)
{
	struct process *p = current_process();
	bool on = spin_lock_irq(&p->lock);
	nsec_t now = time_now();

	get_locked(p, now, old_left, old_interval);
	p->alarm_deadline = first ? now + first : 0;
	p->alarm_interval = first ? interval : 0;
	if (first)
		timer_set(&p->alarm, p->alarm_deadline);
	spin_unlock_irq(&p->lock, on);
}

void alarm_end(struct process *p)
{
	bool on = spin_lock_irq(&p->lock);

	p->alarm_deadline = p->alarm_interval = 0; /* it does not set itself again */
	spin_unlock_irq(&p->lock, on);
	timer_cancel(&p->alarm);
}
