/*
 * The hung-task watchdog: threads that sleep where no signal wakes them, for longer than
 * hung_task_timeout_secs.
 *
 * A kernel thread looks CHECKS times in that time. A thread that sleeps uninterruptibly and has not
 * been switched since the last look gets the time between the looks credited, divided by the number of
 * threads that wait for each CPU: on a machine that has eight times as much to do as it can, or
 * whose emulator is slow, whoever it waits for is late as well. A look that comes late counts as
 * one.
 *
 * Not hung, however long they sleep: kernel threads at rest, which wait interruptibly (nobody sends
 * them signals); a parent in vfork, which a kill ends.
 *
 * A sleeping thread's stack stays while the process tree's lock is held, because its end takes that
 * lock; it may wake and run meanwhile, so what is found there is only as good as a guess.
 *
 * Rejected: a timer in each sleep (a cost for all, to find what should never be).
 */
#include "process_private.h"
#include "sched_private.h"
#include "watchdog.h"

#include <core/log.h>
#include <core/panic.h>
#include <core/wait.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/kmap.h>

#define TIMEOUT_DEFAULT 120u
#define CHECKS 8u
#define FRAMES_MAX 16u
#define REPORTED UINT64_MAX

static _Atomic uint32_t timeout = TIMEOUT_DEFAULT;
static _Atomic uint64_t hung;
static struct waitq settings = WAITQ_INIT(settings);
static _Atomic uint32_t changes;

struct report {
	int tid, pid;
	char name[16];
	uint8_t reason;
	uint64_t seconds;
	unsigned frames;
	vaddr_t frame[FRAMES_MAX];
};

uint32_t watchdog_hung_timeout(void)
{
	return atomic_load(&timeout);
}

void watchdog_hung_set(uint32_t seconds)
{
	atomic_store(&timeout, seconds);
	atomic_fetch_add(&changes, 1);
	wake_all(&settings);
}

uint64_t watchdog_hung_count(void)
{
	return atomic_load(&hung);
}

static bool may_hang(const struct thread *t)
{
	return atomic_load_explicit(&t->state, memory_order_relaxed) == THREAD_BLOCKED &&
	       !READ_ONCE(t->interruptible) && READ_ONCE(t->wait_reason) != WAIT_CHILD;
}

/* Process tree lock held. */
static void fill_report(struct report *r, struct thread *t)
{
	vaddr_t low = (vaddr_t)t->stack, high = low + KSTACK_SIZE;

	*r = (struct report){.tid = t->tid,
			     .pid = t->process->pid,
			     .reason = t->wait_reason,
			     .seconds = t->watched_for / NSEC_PER_SEC};
	memcpy(r->name, t->task.name, sizeof(r->name));
	if (!t->stack || t->task.hal.kernel_sp < low || t->task.hal.kernel_sp > high - 128)
		return;
	struct hal_unwind u = hal.cpu.saved(&t->task.hal);
	do {
		r->frame[r->frames++] = u.ip;
	} while (r->frames < FRAMES_MAX && u.fp && hal.cpu.unwind(&u, low, high));
}

static void print_report(const struct report *r)
{
	static const char *const reasons[] = {"io",     "lock",  "signal", "futex", "ipc",
					      "memory", "child", "timer",  "other"};
	char text[200];

	log_error("watchdog: hung task: thread %d \"%s\" of process %d sleeps for %lu s, waits for "
		  "%s",
		  r->tid, r->name, r->pid, (unsigned long)r->seconds,
		  r->reason < ARRAY_SIZE(reasons) ? reasons[r->reason] : "?");
	for (unsigned i = 0; i < r->frames; i++) {
		int used = format(text, sizeof(text), "  #%-2u ", i);
		symbol_format(r->frame[i] - 1, text + used, sizeof(text) - (size_t)used);
		log_error("%s", text);
	}
	atomic_fetch_add(&hung, 1);
}

/* Credits `span` to the sleepers of p; true: *r is about one that has too much. */
static bool look_at(struct process *p, nsec_t span, nsec_t limit, struct report *r)
{
	struct thread *t;
	bool found = false;
	bool on = spin_lock_irq(&process_tree_lock);

	spin_acquire(&p->lock);
	list_for_each(t, &p->threads, process_link) {
		uint64_t switches = thread_voluntary(t) + thread_involuntary(t);
		if (!may_hang(t) || switches != t->watched_switches) {
			t->watched_switches = switches;
			t->watched_for = 0;
			continue;
		}
		if (t->watched_for == REPORTED)
			continue;
		if (!found)
			t->watched_for += span;
		if (!found && t->watched_for >= limit) {
			fill_report(r, t);
			t->watched_for = REPORTED;
			found = true;
		}
	}
	spin_release(&p->lock);
	spin_unlock_irq(&process_tree_lock, on);
	return found;
}

/* How many times slower things go than on a machine with a CPU for each thread. */
static uint64_t slowness(void)
{
	uint64_t waiting = 0, cpus = 0;

	for (cpuset_t left = atomic_load_explicit(&sched_online, memory_order_relaxed); left;
	     left &= left - 1, cpus++)
		waiting += READ_ONCE(runqueues[__builtin_ctzll(left)].ready);
	return 1 + (cpus ? waiting / cpus : 0);
}

static void look_at_all(nsec_t span, nsec_t limit)
{
	struct process *p;
	struct report r;

	span /= slowness();
	if (look_at(&kernel_process, span, limit, &r))
		print_report(&r);
	for (int pid = 0; (p = process_next(pid)); process_put(p)) {
		pid = p->pid;
		if (look_at(p, span, limit, &r))
			print_report(&r);
	}
}

static void hung_thread(void *arg)
{
	for (;;) {
		uint32_t seconds = atomic_load(&timeout), seen = atomic_load(&changes);
		nsec_t span = seconds * NSEC_PER_SEC / CHECKS;
		enum kerr err = wait_until(&settings, atomic_load(&changes) != seen, WAIT_TIMER,
					   true, seconds ? time_now() + span : NSEC_NEVER);
		if (err == KERR_TIMEDOUT)
			look_at_all(span, seconds * NSEC_PER_SEC);
	}
}

enum kerr watchdog_hung_start(void)
{
	return kthread_create("watchdog", PRIORITY_HIGH, hung_thread, nullptr, nullptr);
}
