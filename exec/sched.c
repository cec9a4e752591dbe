/*
 * Where threads go: wake placement, balancing, slices, priorities, affinity.
 *
 * Placement: a thread that still has its registers in a CPU stays there; else the CPU it ran on
 * if that idles, or if the policy says that it soon will; else any idle CPU it may use; else where
 * it ran (its cache is warm there), unless what runs there goes before it for as long as it likes. An idle CPU pulls
 * from the fullest queue before it sleeps, and every 100 ms of contention a CPU pushes one thread over: to the
 * emptiest if that has two fewer, or, if nobody who waits may run here, to where the least urgent thread runs.
 *
 * There is no tick: the slice timer is set only while an equal of the running thread waits, and is
 * left to run out when it no longer matters (one interrupt in 10 ms at most).
 *
 * Locks: one run-queue lock at a time, never two. A READY thread that is in no queue belongs to
 * whoever took it out.
 */
#include "sched_private.h"
#include <core/panic.h>
#include <exec/process.h>

#define BALANCE_TICKS 10
#define BALANCE (BALANCE_TICKS * SCHED_SLICE)

_Atomic cpuset_t sched_online;
_Atomic cpuset_t sched_idle;
_Atomic cpuset_t sched_spared;

static inline void request_reschedule(struct thread *t)
{
	atomic_fetch_or_explicit(&t->task.work, TASK_WORK_RESCHEDULE, memory_order_relaxed);
}

/* Under rcu. */
static inline const struct thread *runs_on(cpu_t cpu)
{
	return atomic_load_explicit(&runqueues[cpu].current, memory_order_relaxed);
}

/* While `running` wants the CPU, whoever has `priority` waits, whatever turns are taken otherwise. */
static inline bool outranks(const struct thread *running, uint8_t priority,
			    const struct scheduler_ops *policy)
{
	uint8_t its = READ_ONCE(running->priority);

	return its > priority && (its >= PRIORITY_REALTIME_MIN || policy->strict);
}

/* The CPUs of `cpus` that are to get threads; those that are spared only if there are no others. */
static inline cpuset_t usable(cpuset_t cpus)
{
	cpuset_t spared = atomic_load_explicit(&sched_spared, memory_order_relaxed);

	cpus &= atomic_load_explicit(&sched_online, memory_order_relaxed);
	return unlikely(cpus & spared) && cpus & ~spared ? cpus & ~spared : cpus;
}

/* The CPU of these that runs the thread of the lowest priority. */
static cpu_t least_urgent(cpuset_t cpus)
{
	cpu_t best = CPU_NONE;
	uint8_t lowest = PRIORITY_COUNT;

	for (; cpus; cpus &= cpus - 1) {
		cpu_t cpu = (cpu_t)__builtin_ctzll(cpus);
		uint8_t priority = READ_ONCE(runs_on(cpu)->priority);
		if (priority < lowest) {
			best = cpu;
			lowest = priority;
		}
	}
	return best;
}

static cpu_t choose_cpu(struct thread *t)
{
	cpu_t last = t->task.hal.cpu;

	if (atomic_load_explicit(&t->on_cpu, memory_order_acquire))
		return last;
	cpuset_t online = atomic_load_explicit(&sched_online, memory_order_relaxed);
	if (online == cpu_bit(last))
		return last;
	cpuset_t allowed = usable(atomic_load_explicit(&t->affinity, memory_order_relaxed));
	if (!allowed)
		allowed = online;
	cpuset_t idle = atomic_load_explicit(&sched_idle, memory_order_relaxed) & allowed;
	cpu_t target = last;
	const struct scheduler_ops *policy = READ_ONCE(runqueues[last].policy);
	if (idle) {
		if (!(idle & cpu_bit(last))) {
			if (unlikely(policy->stay) && allowed & cpu_bit(last) &&
			    policy->stay(t, last))
				return last;
			target = (cpu_t)__builtin_ctzll(idle);
		}
		/* Reserved: the next wake-up looks for another one. */
		atomic_fetch_and_explicit(&sched_idle, ~cpu_bit(target), memory_order_relaxed);
	} else if (unlikely(policy->place)) {
		target = policy->place(t, last, allowed);
	} else if (!(allowed & cpu_bit(last)) ||
		   unlikely(outranks(runs_on(last), t->priority, policy))) {
		target = least_urgent(allowed);
	}
	return target;
}

void sched_request(struct thread *t)
{
	request_reschedule(t);
}

void sched_hold(cpu_t cpu, uint32_t count)
{
	runqueues[cpu].ready -= count;
	runqueues[cpu].held += count;
}

void sched_release(cpu_t cpu, uint32_t count)
{
	runqueues[cpu].held -= count;
	runqueues[cpu].ready += count;
}

void sched_watch(cpu_t cpu, bool on)
{
	uint32_t held = runqueues[cpu].held & ~RUNQUEUE_WATCHED;

	runqueues[cpu].held = held | (on ? RUNQUEUE_WATCHED : 0);
}

/* `left`, what the policy leaves to the running thread, has no end, and somebody waits for it. */
static inline bool in_vain(const struct runqueue *rq, const struct thread *running, nsec_t left)
{
	return left == NSEC_NEVER && rq->ready && running != rq->idle;
}

nsec_t sched_slice(struct runqueue *rq, const struct scheduler_ops *policy, cpu_t cpu,
		   struct thread *running, nsec_t ran)
{
	nsec_t left = POLICY_CALL(policy, tick, cpu, running, ran);

	if (unlikely(in_vain(rq, running, left) && READ_ONCE(rq->slice_due) == NSEC_NEVER))
		return BALANCE;
	return left;
}

/* Somebody waits on another CPU now, whose timer is not set or for too late: it must look. */
static NOINLINE bool must_look(struct runqueue *rq, cpu_t cpu, const struct scheduler_ops *policy,
			       struct thread *running)
{
	if (!policy->exact)
		return true;
	nsec_t now = time_now(), since = running->ran_since,
	       left = sched_slice(rq, policy, cpu, running, now > since ? now - since : 0);
	return left != NSEC_NEVER && now + left < READ_ONCE(rq->slice_due);
}

/* The queue that t may stand in, locked: that of `target`, unless this was forbidden to it since it was chosen
 * (sched_set_affinity sees t in the queue, or we see its change). One that still has its registers in
 * the CPU must stand there, and leaves when it runs: an earlier request may have ended with the switch that is
 * under way, which lets this one stand. */
static struct runqueue *lock_queue(struct thread *t, cpu_t *target)
{
	for (;;) {
		struct runqueue *rq = &runqueues[*target];
		spin_acquire(&rq->lock);
		cpuset_t may = atomic_load_explicit(&t->affinity, memory_order_relaxed) &
			       atomic_load_explicit(&sched_online, memory_order_relaxed);
		if (likely(may & cpu_bit(*target)) || !may)
			return rq;
		if (atomic_load_explicit(&t->on_cpu, memory_order_acquire)) {
			request_reschedule(t);
			return rq;
		}
		spin_release(&rq->lock);
		*target = t->task.hal.cpu = (cpu_t)__builtin_ctzll(may);
		atomic_thread_fence(memory_order_seq_cst);
	}
}

static void place_on(struct thread *t, cpu_t target, enum ready_reason why)
{
	struct runqueue *rq = lock_queue(t, &target);
	cpu_t here = cpu_id();
	nsec_t slice = NSEC_NEVER;

	const struct scheduler_ops *policy = rq->policy;
	sched_attach(rq, target, t);
	WRITE_ONCE(t->queued_on, target);
	rq->ready++;
	POLICY_CALL(policy, thread_ready, target, t, why);
	struct thread *running = atomic_load_explicit(&rq->current, memory_order_relaxed);
	bool kick = running == rq->idle || POLICY_CALL(policy, needs_reschedule, target, running);
	if (!kick) {
		/* When the system call that wakes it began is near enough, and costs no clock. */
		nsec_t since = current_thread()->entered;
		t->ready_since = since != NSEC_NEVER ? since : time_now();
		if (!READ_ONCE(rq->slice_armed)) {
			if (target == here)
				slice = sched_slice(rq, policy, here, running,
						    time_now() - running->ran_since);
			else /* it arms its own timer */
				kick = must_look(rq, target, policy, running);
		}
	}
	if (kick)
		request_reschedule(running);
	spin_release(&rq->lock);
	if (kick && target != here)
		cpu_kick(cpu_bit(target));
	if (slice != NSEC_NEVER)
		sched_slice_arm(rq, slice);
}

void sched_place(struct thread *t, enum ready_reason why)
{
	bool on = hal.cpu.irq_save();
	cpu_t target = choose_cpu(t);

	if (target != t->task.hal.cpu) {
		t->task.hal.cpu = target;
		t->moves++;
		/* Against sched_set_priority: it sees the new CPU or we see the new priority. */
		atomic_thread_fence(memory_order_seq_cst);
	}
	preempt_disable();
	place_on(t, target, why);
	hal.cpu.irq_restore(on);
	preempt_enable();
}

void sched_slice_arm(struct runqueue *rq, nsec_t left)
{
	nsec_t due = time_now() + left;

	/* An exact policy sets it anew each time, and BALANCE is too long for others. */
	WRITE_ONCE(rq->slice_armed, !READ_ONCE(rq->policy)->exact && left < BALANCE);
	WRITE_ONCE(rq->slice_due, due);
	timer_set(&rq->slice_timer, due);
}

/* The CPU with the fewest waiting threads, and how many; not one where those of `running` would wait in vain. */
static cpu_t emptiest(const struct thread *running, const struct scheduler_ops *policy,
		      uint32_t *ready)
{
	cpu_t best = CPU_NONE;

	for (cpuset_t left = usable(~(cpuset_t)0); left; left &= left - 1) {
		cpu_t cpu = (cpu_t)__builtin_ctzll(left);
		uint32_t n = READ_ONCE(runqueues[cpu].ready);
		if (runs_on(cpu) != runqueues[cpu].idle)
			n++;
		if (outranks(runs_on(cpu), running->priority, policy))
			continue;
		if (best == CPU_NONE || n < *ready) {
			best = cpu;
			*ready = n;
		}
	}
	return best;
}

/* Where one that waits here should wait instead; CPU_NONE: here is as good. */
static cpu_t better_cpu(const struct runqueue *rq, const struct thread *running, bool vain)
{
	uint32_t least = 0;
	cpu_t to;

	if (vain) {
		to = least_urgent(usable(~(cpuset_t)0));
		return READ_ONCE(runs_on(to)->priority) < running->priority ? to : CPU_NONE;
	}
	to = emptiest(running, rq->policy, &least);
	return to == CPU_NONE || rq->ready + 1 < least + 2 ? CPU_NONE : to;
}

/* Pushes one waiting thread to a better CPU, if there is one. */
static void balance(struct runqueue *rq, cpu_t cpu, const struct thread *running, bool vain)
{
	cpu_t to = better_cpu(rq, running, vain);

	if (to == CPU_NONE || to == cpu)
		return;
	spin_acquire(&rq->lock);
	struct thread *t = rq->policy->pull(cpu, to);
	if (t) {
		WRITE_ONCE(t->queued_on, CPU_NONE);
		rq->ready--;
		t->task.hal.cpu = to;
		t->moves++;
	}
	spin_release(&rq->lock);
	if (!t)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	rq->stats.migrations++;
	place_on(t, to, READY_NEW);
}

/* Interrupt context on the queue's own CPU. */
void sched_slice_timer(struct timer *timer)
{
	struct runqueue *rq = container_of(timer, struct runqueue, slice_timer);
	cpu_t cpu = cpu_id();
	struct thread *running = current_thread();

	/* Before the lock: a wake-up that still saw it set has made rq->ready visible by then. */
	WRITE_ONCE(rq->slice_armed, false);
	WRITE_ONCE(rq->slice_due, NSEC_NEVER);
	spin_acquire(&rq->lock);
	nsec_t left = NSEC_NEVER;
	bool vain = false;
	if (rq->held || (running != rq->idle && rq->ready)) {
		left = rq->policy->tick(cpu, running, time_now() - running->ran_since);
		vain = in_vain(rq, running, left);
		if (left == 0 || (running == rq->idle && rq->ready))
			request_reschedule(running);
	}
	spin_release(&rq->lock);
	if (vain)
		left = BALANCE;
	if (left != NSEC_NEVER && left != 0)
		sched_slice_arm(rq, left);
	/* At once if somebody waits here in vain for what was foretold to end while another CPU idles. */
	bool idles = rq->policy->stay &&
		     atomic_load_explicit(&sched_idle, memory_order_relaxed) &
			     ~atomic_load_explicit(&sched_spared, memory_order_relaxed);
	if (READ_ONCE(rq->ready) && (++rq->balance_ticks >= BALANCE_TICKS || idles || vain)) {
		rq->balance_ticks = 0;
		balance(rq, cpu, running, vain);
	}
}

bool sched_pull_idle(struct runqueue *rq, cpu_t cpu)
{
	cpu_t from = CPU_NONE;
	uint32_t most = 0;

	if (unlikely(atomic_load_explicit(&sched_spared, memory_order_relaxed) & cpu_bit(cpu)))
		return false;
	for (cpuset_t left =
		     atomic_load_explicit(&sched_online, memory_order_relaxed) & ~cpu_bit(cpu);
	     left; left &= left - 1) {
		cpu_t other = (cpu_t)__builtin_ctzll(left);
		uint32_t n = READ_ONCE(runqueues[other].ready);
		if (n > most) {
			most = n;
			from = other;
		}
	}
	if (from == CPU_NONE)
		return false;
	spin_acquire(&runqueues[from].lock);
	struct thread *t = runqueues[from].policy->pull(from, cpu);
	if (t) {
		WRITE_ONCE(t->queued_on, CPU_NONE);
		runqueues[from].ready--;
		t->task.hal.cpu = cpu;
		t->moves++;
	}
	spin_release(&runqueues[from].lock);
	if (!t)
		return false;
	atomic_thread_fence(memory_order_seq_cst);
	rq->stats.pulls++;
	place_on(t, cpu, READY_NEW);
	return true;
}

/* Runs fn on t's run queue with its lock held, and again if t moved meanwhile (see sched_place). */
static void with_queue(struct thread *t, void (*fn)(cpu_t cpu, struct thread *t, uint8_t value),
		       uint8_t value)
{
	cpu_t cpu;

	do {
		cpu = READ_ONCE(t->task.hal.cpu);
		struct runqueue *rq = &runqueues[cpu];
		bool on = spin_lock_irq(&rq->lock);
		if (READ_ONCE(t->task.hal.cpu) == cpu)
			fn(cpu, t, value);
		bool kick = false;
		struct thread *running = atomic_load_explicit(&rq->current, memory_order_relaxed);
		if (rq->policy->needs_reschedule(cpu, running)) {
			request_reschedule(running);
			kick = cpu != cpu_id();
		}
		spin_unlock_irq(&rq->lock, on);
		if (kick)
			cpu_kick(cpu_bit(cpu));
		atomic_thread_fence(memory_order_seq_cst);
	} while (READ_ONCE(t->task.hal.cpu) != cpu);
}

/* fn once, under the lock of the queue that t belongs to. */
static void update(struct thread *t, void (*fn)(struct thread *t, const void *arg), const void *arg,
		   bool change)
{
	cpu_t cpu;
	bool done = false;

	do {
		cpu = READ_ONCE(t->task.hal.cpu);
		struct runqueue *rq = &runqueues[cpu];
		bool on = spin_lock_irq(&rq->lock), look = false;
		if (READ_ONCE(t->task.hal.cpu) == cpu) {
			if (!done)
				fn(t, arg);
			done = true;
			if (change)
				rq->policy->set_priority(cpu, t, t->priority);
		}
		struct thread *running = atomic_load_explicit(&rq->current, memory_order_relaxed);
		if (change)
			look = running == t || rq->policy->needs_reschedule(cpu, running);
		if (look)
			request_reschedule(running);
		spin_unlock_irq(&rq->lock, on);
		if (look && cpu != cpu_id())
			cpu_kick(cpu_bit(cpu));
		atomic_thread_fence(memory_order_seq_cst);
	} while (!done || (change && READ_ONCE(t->task.hal.cpu) != cpu));
}

void sched_update(struct thread *t, void (*fn)(struct thread *t, const void *arg), const void *arg)
{
	update(t, fn, arg, true);
}

void sched_look(struct thread *t, void (*fn)(struct thread *t, const void *arg), const void *arg)
{
	update(t, fn, arg, false);
}

static void set_effective(cpu_t cpu, struct thread *t)
{
	uint8_t lent = MAX(t->lent_priority, t->mutex_priority);

	runqueues[cpu].policy->set_priority(cpu, t, MAX(t->base_priority, lent));
}

static void set_base(cpu_t cpu, struct thread *t, uint8_t priority)
{
	t->base_priority = priority;
	set_effective(cpu, t);
}

void sched_set_priority(struct thread *t, uint8_t priority)
{
	with_queue(t, set_base, priority);
}

static void raise_mutex(cpu_t cpu, struct thread *t, uint8_t priority)
{
	t->mutex_priority = MAX(t->mutex_priority, priority);
	set_effective(cpu, t);
}

static void end_mutex(cpu_t cpu, struct thread *t, uint8_t unused)
{
	uint8_t was = t->mutex_priority;

	WRITE_ONCE(t->mutex_priority, 0);
	/* Somebody marks another of its mutexes meanwhile: it sees that nothing is lent, or we see its mark. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&t->task.waited_mutexes, memory_order_relaxed) > 0)
		WRITE_ONCE(t->mutex_priority, was);
	set_effective(cpu, t);
}

static void look_again(cpu_t cpu, struct thread *t, uint8_t unused)
{
	set_effective(cpu, t);
}

void sched_unhold(struct thread *t)
{
	if (unlikely(t->dis.declared && t->dis.intent.quota))
		with_queue(t, look_again, 0);
}

static void set_lent(cpu_t cpu, struct thread *t, uint8_t priority)
{
	t->lent_priority = priority;
	set_effective(cpu, t);
}

void sched_lend(struct thread *t, uint8_t priority)
{
	with_queue(t, set_lent, priority);
}

/* Priority inheritance, for core's mutexes: see struct core_upcalls. */
unsigned sched_priority_now(const struct task *task)
{
	return READ_ONCE(((const struct thread *)task)->priority);
}

void sched_priority_lend(struct task *owner, unsigned priority)
{
	struct thread *t = (struct thread *)owner;

	atomic_thread_fence(memory_order_seq_cst); /* see end_mutex */
	if (READ_ONCE(t->base_priority) >= priority || READ_ONCE(t->mutex_priority) >= priority)
		return;
	with_queue(t, raise_mutex, (uint8_t)priority);
	/* It looks at its own lock again, and lends on; perhaps it is just about to wait for one. */
	uint8_t state = atomic_load(&t->state);
	if (t != current_thread() && state != THREAD_SLEEPING &&
	    (state != THREAD_BLOCKED || READ_ONCE(t->wait_reason) == WAIT_LOCK))
		sched_unpark(owner);
}

void sched_priority_restore(struct task *task)
{
	struct thread *t = (struct thread *)task;

	/* After the count of mutexes that are waited for, against who lends first and looks at the count then. */
	atomic_thread_fence(memory_order_seq_cst);
	if (READ_ONCE(t->mutex_priority))
		with_queue(t, end_mutex, 0);
}

enum kerr sched_set_affinity(struct thread *t, cpuset_t cpus)
{
	cpuset_t online = atomic_load_explicit(&sched_online, memory_order_relaxed);

	if (!(cpus & online))
		return KERR_INVAL;
	atomic_store_explicit(&t->affinity, cpus, memory_order_relaxed);
	bool take = false;
	cpu_t cpu;
	do {
		cpu = READ_ONCE(t->task.hal.cpu);
		struct runqueue *rq = &runqueues[cpu];
		bool on = spin_lock_irq(&rq->lock);
		bool kick = false;
		if (t->task.hal.cpu == cpu && !(cpus & cpu_bit(cpu))) {
			if (atomic_load_explicit(&t->on_cpu, memory_order_acquire)) {
				request_reschedule(t); /* it leaves in sched_switch */
				kick = cpu != cpu_id();
			} else if (READ_ONCE(t->queued_on) == cpu) {
				rq->policy->remove_thread(cpu, t);
				WRITE_ONCE(t->queued_on, CPU_NONE);
				rq->ready--;
				take = true;
			}
		}
		spin_unlock_irq(&rq->lock, on);
		if (kick)
			cpu_kick(cpu_bit(cpu));
		atomic_thread_fence(memory_order_seq_cst);
	} while (!take && READ_ONCE(t->task.hal.cpu) != cpu);
	if (take)
		sched_place(t, READY_NEW);
	return KERR_OK;
}

uint8_t sched_priority_of(uint8_t policy, int nice, int realtime)
{
	switch (policy) {
	case SCHED_FIFO:
	case SCHED_RR:
		return (uint8_t)(PRIORITY_REALTIME_MIN + (realtime - 1) * 38 / 98);
	case SCHED_IDLE:
		return PRIORITY_IDLE + 1;
	default:
		return (uint8_t)(PRIORITY_NORMAL - nice);
	}
}

void sched_stats(cpu_t cpu, struct sched_stats *out)
{
	struct runqueue *rq = &runqueues[cpu];
	bool on = spin_lock_irq(&rq->lock);

	*out = rq->stats;
	out->ready = rq->ready;
	out->held = rq->held & ~RUNQUEUE_WATCHED;
	rq->policy->stats(cpu, out);
	spin_unlock_irq(&rq->lock, on);
}
