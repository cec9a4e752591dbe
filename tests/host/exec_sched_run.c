/*
 * The conformance suite that every scheduling policy passes: a small machine of three CPUs in
 * virtual time drives the ops table as the engine does (wake, tick, preempt, yield, block, pull, push, change of
 * priority, change of the policy), in a seeded order. Checked at each step: no thread is lost or in
 * two places, nobody runs where it may not, a real-time thread that waits runs before what is below
 * it, and nobody who was promised a turn waits longer than the policy's bound.
 */
#include "machine.h"

#include <exec/sched.h>
#include <sched_dis.h>

#define THREADS 24
#define CPUS 3
#define STEP NSEC_PER_MSEC

enum place { ASLEEP, QUEUED, RUNS };

struct sim_thread {
	struct thread t;
	enum place place;
	cpu_t cpu;
	nsec_t waits_since, longest;
	uint64_t turns;
	unsigned sleepiness; /* of 100: how often it sleeps after a step */
};

struct sim_cpu {
	struct sim_thread *running; /* null: idle */
	const struct scheduler_ops *policy;
	unsigned ready, held;
	bool watched;
};

static struct sim_thread threads[THREADS];
static struct sim_cpu cpus[CPUS];
static nsec_t now;
static struct test_random *dice;

static const struct scheduler_ops *const policies[] = {&sched_prio, &sched_fifo, &sched_mlfq,
						       &sched_dis};

/* How long a thread below real-time may wait in a queue with `ready` others, where that is promised. */
static nsec_t promise(const struct scheduler_ops *ops, unsigned ready)
{
	if (ops == &sched_fifo)
		return ready * 100 * NSEC_PER_MSEC + 100 * NSEC_PER_MSEC;
	if (ops == &sched_mlfq) /* the next boost, then a turn of each on the top level */
		return 2 * 500 * NSEC_PER_MSEC + ready * 40 * NSEC_PER_MSEC;
	if (ops ==
	    &sched_dis) /* each turn of its rank comes after 200 ms and turns of seven others */
		return ready * (200 + 7 * 4) * NSEC_PER_MSEC;
	return NSEC_NEVER;
}

/* ---- What policies call of the engine ---- */

_Atomic cpuset_t sched_spared;

void sched_hold(cpu_t cpu, uint32_t count)
{
	cpus[cpu].ready -= count;
	cpus[cpu].held += count;
}

void sched_release(cpu_t cpu, uint32_t count)
{
	cpus[cpu].held -= count;
	cpus[cpu].ready += count;
}

void sched_watch(cpu_t cpu, bool on)
{
	cpus[cpu].watched = on;
}

void dis_start(void)
{
}

void dis_stop(void)
{
}

/* For exec_dis.c, which has a machine of its own. */
void sim_ready_add(cpu_t cpu, int count);
bool sim_asks(cpu_t cpu);

void sim_ready_add(cpu_t cpu, int count)
{
	cpus[cpu].ready += (unsigned)count;
}

bool sim_asks(cpu_t cpu)
{
	return cpus[cpu].ready || cpus[cpu].held || cpus[cpu].watched;
}

uint8_t sched_priority_of(uint8_t policy, int nice, int realtime)
{
	return (uint8_t)(PRIORITY_NORMAL - nice);
}

/* ---- */

static struct sim_thread *of(struct thread *t)
{
	return (struct sim_thread *)t;
}

static void enqueue(struct sim_thread *s, cpu_t cpu, enum ready_reason why)
{
	struct sim_cpu *c = &cpus[cpu];

	s->place = QUEUED;
	s->cpu = s->t.task.hal.cpu = s->t.queued_on = cpu;
	s->waits_since = now;
	c->ready++;
	c->policy->thread_ready(cpu, &s->t, why);
}

static void taken(struct sim_thread *s)
{
	REQUIRE(s->place == QUEUED);
	cpus[s->cpu].ready--;
	s->t.queued_on = CPU_NONE;
}

static cpu_t some_cpu(const struct sim_thread *s)
{
	cpu_t cpu = (cpu_t)test_random_below(dice, CPUS);

	while (!(s->t.affinity >> cpu & 1))
		cpu = (cpu + 1) % CPUS;
	return cpu;
}

static void charge(struct sim_thread *s)
{
	nsec_t ran = now - s->t.ran_since;

	s->t.run_time += ran;
	s->t.ran_since = now;
	s->t.slice_left = s->t.slice_left > ran ? s->t.slice_left - ran : 0;
}

/* The engine's switch: what runs on `cpu` goes where `why` says, the next one comes. */
static void reschedule(cpu_t cpu, bool block, bool yields)
{
	struct sim_cpu *c = &cpus[cpu];
	struct sim_thread *prev = c->running;

	if (prev) {
		charge(prev);
		if (block) {
			prev->place = ASLEEP;
			c->policy->thread_block(cpu, &prev->t);
		} else {
			if (yields)
				c->policy->yield(cpu, &prev->t);
			enqueue(prev, cpu, yields ? READY_YIELDED : READY_PREEMPTED);
		}
	}
	struct thread *t = c->policy->pick_next(cpu);
	c->running = t ? of(t) : nullptr;
	EXPECT_EQ(t == nullptr, c->ready == 0);
	if (!t)
		return;
	taken(of(t));
	EXPECT_EQ(of(t)->cpu, cpu);
	EXPECT(t->affinity >> cpu & 1);
	of(t)->place = RUNS;
	of(t)->turns++;
	of(t)->longest = MAX(of(t)->longest, now - of(t)->waits_since);
	t->ran_since = now;
}

static void wake(struct sim_thread *s)
{
	enqueue(s, some_cpu(s), READY_NEW);
}

static void settle(cpu_t cpu)
{
	struct sim_cpu *c = &cpus[cpu];

	if (!c->running) {
		reschedule(cpu, false, false);
		return;
	}
	if (c->policy->needs_reschedule(cpu, &c->running->t) ||
	    ((c->ready || c->held || c->watched) &&
	     c->policy->tick(cpu, &c->running->t, now - c->running->t.ran_since) == 0))
		reschedule(cpu, false, false);
}

/* A real-time thread that waits must not wait for anything below it. */
static void check_realtime(void)
{
	for (unsigned i = 0; i < THREADS; i++) {
		struct sim_thread *s = &threads[i];
		if (s->place != QUEUED || s->t.priority < PRIORITY_REALTIME_MIN)
			continue;
		REQUIRE(cpus[s->cpu].running);
		EXPECT(cpus[s->cpu].running->t.priority >= s->t.priority);
	}
}

static void check_places(void)
{
	unsigned queued[CPUS] = {};

	for (unsigned i = 0; i < THREADS; i++) {
		EXPECT_EQ(threads[i].t.queued_on != CPU_NONE, threads[i].place == QUEUED);
		if (threads[i].place == QUEUED)
			queued[threads[i].cpu]++;
		if (threads[i].place == RUNS)
			EXPECT_EQ(cpus[threads[i].cpu].running, &threads[i]);
	}
	for (cpu_t c = 0; c < CPUS; c++)
		EXPECT_EQ(queued[c], cpus[c].ready + cpus[c].held);
}

static void pull(void)
{
	cpu_t from = (cpu_t)test_random_below(dice, CPUS),
	      to = (cpu_t)test_random_below(dice, CPUS);

	if (from == to || cpus[from].policy != cpus[to].policy)
		return;
	struct thread *t = cpus[from].policy->pull(from, to);
	if (!t)
		return;
	EXPECT(t->affinity >> to & 1);
	taken(of(t));
	nsec_t since = of(t)->waits_since;
	enqueue(of(t), to, READY_NEW);
	of(t)->waits_since = since;
}

/* What exec/sched_change.c does with each CPU. */
static void change(const struct scheduler_ops *next)
{
	const struct scheduler_ops *old = cpus[0].policy;

	if (next == old)
		return;
	REQUIRE(next->init(CPUS) == KERR_OK);
	for (cpu_t cpu = 0; cpu < CPUS; cpu++) {
		struct sim_cpu *c = &cpus[cpu];
		struct sched_carry carry = {.version = 1};
		struct thread *t;
		unsigned moved = 0;
		c->ready += c->held;
		c->held = 0;
		while ((t = old->drain(cpu))) {
			old->export_thread(cpu, t, &carry);
			next->add_thread(cpu, t, &carry);
			next->thread_ready(cpu, t, READY_NEW);
			of(t)->waits_since = now;
			moved++;
		}
		EXPECT_EQ(moved, c->ready);
		if (c->running) {
			old->export_thread(cpu, &c->running->t, &carry);
			next->add_thread(cpu, &c->running->t, &carry);
		}
		c->policy = next;
	}
	for (unsigned i = 0; i < THREADS; i++)
		if (threads[i].place == ASLEEP)
			next->add_thread(0, &threads[i].t, nullptr);
	old->exit();
	for (cpu_t cpu = 0; cpu < CPUS; cpu++)
		reschedule(cpu, false, false);
}

static void start(const struct scheduler_ops *ops, unsigned realtime)
{
	static bool booted;

	if (!booted)
		test_kernel(nullptr);
	booted = true;
	REQUIRE(ops->init(CPUS) == KERR_OK);
	now = time_now();
	for (cpu_t c = 0; c < CPUS; c++)
		cpus[c] = (struct sim_cpu){.policy = ops};
	for (unsigned i = 0; i < THREADS; i++) {
		struct sim_thread *s = &threads[i];
		*s = (struct sim_thread){.sleepiness = test_random_below(dice, 3) * 20};
		s->t.queued_on = CPU_NONE;
		s->t.affinity =
			test_random_below(dice, 3) ? ~0ull : 1ull << test_random_below(dice, CPUS);
		s->t.priority = (uint8_t)(41 + test_random_below(dice, 40));
		if (i < realtime) {
			s->t.priority =
				(uint8_t)(PRIORITY_REALTIME_MIN + test_random_below(dice, 39));
			s->t.policy = test_random_below(dice, 2) ? SCHED_FIFO : SCHED_RR;
			s->sleepiness = 90;
		}
		s->t.base_priority = s->t.priority;
		ops->add_thread(0, &s->t, nullptr);
		EXPECT(s->t.slice_left > 0);
		wake(s);
	}
}

static void finish(void)
{
	for (cpu_t cpu = 0; cpu < CPUS; cpu++) {
		cpus[cpu].ready += cpus[cpu].held;
		cpus[cpu].held = 0;
		while (cpus[cpu].policy->drain(cpu))
			cpus[cpu].ready--;
		EXPECT_EQ(cpus[cpu].ready, 0);
	}
	cpus[0].policy->exit();
}

static void change_priority(struct sim_thread *s)
{
	uint8_t p = (uint8_t)(41 + test_random_below(dice, 40));

	if (s->t.priority >= PRIORITY_REALTIME_MIN)
		return;
	s->t.base_priority = p;
	cpus[s->place == ASLEEP ? 0 : s->cpu].policy->set_priority(s->cpu, &s->t, p);
	EXPECT_EQ(s->t.priority, p);
}

static void pass(nsec_t span)
{
	host_time_advance(span);
	now = time_now();
}

static void step(void)
{
	pass(STEP);
	for (cpu_t cpu = 0; cpu < CPUS; cpu++) {
		struct sim_thread *s = cpus[cpu].running;
		unsigned roll = test_random_below(dice, 100);
		if (s && roll < s->sleepiness)
			reschedule(cpu, true, false);
		else if (s && roll > 97)
			reschedule(cpu, false, true);
	}
	struct sim_thread *s = &threads[test_random_below(dice, THREADS)];
	if (s->place == ASLEEP)
		wake(s);
	if (test_random_below(dice, 4) == 0)
		pull();
	if (test_random_below(dice, 10) == 0)
		change_priority(&threads[test_random_below(dice, THREADS)]);
	for (cpu_t cpu = 0; cpu < CPUS; cpu++)
		settle(cpu);
	check_places();
	check_realtime();
}

/* All of the contract, for one policy; few real-time threads, which sleep most of the time. */
static void run(const struct scheduler_ops *ops)
{
	start(ops, 3);
	for (unsigned i = 0; i < 6000 && test_failures() == 0; i++)
		step();
	for (unsigned i = 3; i < THREADS; i++)
		EXPECT(promise(ops, THREADS) == NSEC_NEVER ||
		       threads[i].longest <= promise(ops, THREADS) + 3 * 500 * NSEC_PER_MSEC);
	finish();
}

PROPERTY(sched_run_prio, 30)
{
	dice = random;
	run(&sched_prio);
}

PROPERTY(sched_run_fifo, 30)
{
	dice = random;
	run(&sched_fifo);
}

PROPERTY(sched_run_mlfq, 30)
{
	dice = random;
	run(&sched_mlfq);
}

PROPERTY(sched_run_dis, 30)
{
	dice = random;
	run(&sched_dis);
}

/* A hundred changes in the middle of all that. */
PROPERTY(sched_change_under_load, 20)
{
	dice = random;
	start(policies[test_random_below(random, ARRAY_SIZE(policies))], 3);
	for (unsigned i = 0; i < 100 && test_failures() == 0; i++) {
		for (unsigned k = test_random_below(random, 30); k > 0; k--)
			step();
		change(policies[test_random_below(random, ARRAY_SIZE(policies))]);
		check_places();
	}
	for (unsigned i = 0; i < 3000 && test_failures() == 0; i++)
		step();
	for (unsigned i = 0; i < THREADS; i++)
		EXPECT(cpus[0].policy == &sched_prio || threads[i].turns > 0);
	finish();
}

/* Without anything that sleeps: who is promised a turn gets it, also the lowest among hogs. */
static nsec_t wait_of_lowest(const struct scheduler_ops *ops)
{
	start(ops, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		threads[i].sleepiness = 0;
		threads[i].t.affinity = 1ull << (i % CPUS);
	}
	finish();
	EXPECT_OK(ops->init(CPUS));
	for (unsigned i = 0; i < THREADS; i++) {
		threads[i].t.priority = threads[i].t.base_priority = i < CPUS ? 41 : 80;
		ops->add_thread(0, &threads[i].t, nullptr);
		enqueue(&threads[i], i % CPUS, READY_NEW);
	}
	for (unsigned i = 0; i < 5000; i++) {
		pass(STEP);
		for (cpu_t cpu = 0; cpu < CPUS; cpu++)
			settle(cpu);
	}
	nsec_t longest = 0;
	for (unsigned i = 0; i < CPUS; i++)
		longest = MAX(MAX(longest, threads[i].longest), now - threads[i].waits_since);
	finish();
	return longest;
}

PROPERTY(sched_starvation_bound, 3)
{
	dice = random;
	EXPECT(wait_of_lowest(&sched_fifo) <= promise(&sched_fifo, THREADS / CPUS));
	EXPECT(wait_of_lowest(&sched_mlfq) <= promise(&sched_mlfq, THREADS / CPUS));
	EXPECT(wait_of_lowest(&sched_dis) <= promise(&sched_dis, THREADS / CPUS));
	EXPECT(wait_of_lowest(&sched_prio) > 4 * NSEC_PER_SEC); /* no promise: it waits for ever */
}

/* What computes sinks and what sleeps stays above it: the sleeper preempts. */
TEST(sched_mlfq_prefers_who_sleeps)
{
	struct test_random seed = {1};
	dice = &seed;
	start(&sched_mlfq, 0);
	finish();
	REQUIRE(sched_mlfq.init(1) == KERR_OK);
	cpus[0] = (struct sim_cpu){.policy = &sched_mlfq};
	for (unsigned i = 0; i < 3; i++) {
		threads[i].t.priority = threads[i].t.base_priority = PRIORITY_NORMAL;
		threads[i].t.affinity = 1;
		sched_mlfq.add_thread(0, &threads[i].t, nullptr);
		if (i > 0)
			enqueue(&threads[i], 0, READY_NEW);
	}
	threads[0].place = ASLEEP;
	for (unsigned i = 0; i < 100; i++) {
		pass(STEP);
		settle(0);
	}
	enqueue(&threads[0], 0, READY_NEW);
	EXPECT(sched_mlfq.needs_reschedule(0, &cpus[0].running->t));
	settle(0);
	EXPECT_EQ(cpus[0].running, &threads[0]);
	reschedule(0, true, false);
	finish();
}
