/*
 * Conformance of the scheduling policies (exec/sched.h) with what the contract promises: `prio` and `fifo`
 * op by op against a model, a plain list of the ready threads in the order they may run. What holds for
 * every policy, over time, is in exec_sched_run.c.
 */
#include "machine.h"

#include <exec/sched.h>
#include <stdlib.h>

#define THREADS 40
#define CPUS 3
#define STEPS 4000

static struct thread threads[THREADS];

/* The model: ready threads of each CPU, first to run first. */
static struct thread *order[CPUS][THREADS];
static unsigned count[CPUS];

/* What a policy promises of its order. */
struct rules {
	const struct scheduler_ops *ops;
	uint8_t (*level)(const struct thread *t);
	nsec_t slice;       /* below real-time */
	bool all_preempt;   /* a higher level preempts; false: only real-time ones do */
};

static const struct rules *rules;

static uint8_t prio_level(const struct thread *t)
{
	return t->priority;
}

static uint8_t fifo_level(const struct thread *t)
{
	return t->priority >= PRIORITY_REALTIME_MIN ? t->priority : 1;
}

static const struct rules prio_rules = {&sched_prio, prio_level, 10 * NSEC_PER_MSEC, true};
static const struct rules fifo_rules = {&sched_fifo, fifo_level, 100 * NSEC_PER_MSEC, false};

static void model_insert(cpu_t cpu, struct thread *t, bool before_equals)
{
	unsigned at = 0;

	while (at < count[cpu] && (before_equals ? rules->level(order[cpu][at]) > rules->level(t)
						 : rules->level(order[cpu][at]) >= rules->level(t)))
		at++;
	memmove(&order[cpu][at + 1], &order[cpu][at], (count[cpu] - at) * sizeof(order[0][0]));
	order[cpu][at] = t;
	count[cpu]++;
}

static void model_remove(cpu_t cpu, const struct thread *t)
{
	unsigned at = 0;

	while (order[cpu][at] != t)
		at++;
	count[cpu]--;
	memmove(&order[cpu][at], &order[cpu][at + 1], (count[cpu] - at) * sizeof(order[0][0]));
}

static void make_ready(const struct scheduler_ops *ops, cpu_t cpu, struct thread *t,
		       enum ready_reason why)
{
	bool first = why == READY_PREEMPTED && (t->slice_left > 0 || t->policy == SCHED_FIFO);

	model_insert(cpu, t, first);
	t->task.hal.cpu = cpu;
	t->queued_on = cpu;
	ops->thread_ready(cpu, t, why);
}

/* The thread that the model says may go to `to`. */
static struct thread *model_pull(cpu_t cpu, cpu_t to)
{
	for (unsigned i = 0; i < count[cpu]; i++)
		if (order[cpu][i]->affinity >> to & 1 && !order[cpu][i]->on_cpu)
			return order[cpu][i];
	return nullptr;
}

static void step(const struct scheduler_ops *ops, struct test_random *random)
{
	struct thread *t = &threads[test_random_below(random, THREADS)];
	cpu_t cpu = (cpu_t)test_random_below(random, CPUS);

	if (t->queued_on != CPU_NONE)
		cpu = t->task.hal.cpu;
	switch (test_random_below(random, 6)) {
	case 0:
	case 1:
		if (t->queued_on != CPU_NONE)
			return;
		t->on_cpu = test_random_below(random, 4) == 0;
		t->affinity = test_random(random) | 1u << cpu;
		t->slice_left = test_random_below(random, 2) ? 5 * NSEC_PER_MSEC : 0;
		make_ready(ops, cpu, t, (enum ready_reason)test_random_below(random, 3));
		return;
	case 2:
		EXPECT_EQ(ops->pick_next(cpu), count[cpu] ? order[cpu][0] : nullptr);
		if (count[cpu]) {
			order[cpu][0]->queued_on = CPU_NONE;
			model_remove(cpu, order[cpu][0]);
		}
		return;
	case 3: {
		uint8_t priority = (uint8_t)test_random_below(random, PRIORITY_COUNT);
		uint8_t before = rules->level(t), old = t->priority;
		t->priority = priority;
		bool moves = t->queued_on == cpu && before != rules->level(t);
		t->priority = old;
		if (moves)
			model_remove(cpu, t);
		/* It may have moved since the caller looked: not that CPU's to requeue. */
		if (test_random_below(random, 4) == 0)
			ops->set_priority((cpu + 1) % CPUS, t, priority);
		ops->set_priority(cpu, t, priority);
		EXPECT_EQ(t->priority, priority);
		if (moves)
			model_insert(cpu, t, false);
		return;
	}
	case 4:
		if (t->queued_on == CPU_NONE)
			return;
		ops->remove_thread(cpu, t);
		model_remove(cpu, t);
		t->queued_on = CPU_NONE;
		return;
	default: {
		cpu_t to = (cpu_t)test_random_below(random, CPUS);
		struct thread *want = model_pull(cpu, to);
		EXPECT_EQ(ops->pull(cpu, to), want);
		if (want) {
			want->queued_on = CPU_NONE;
			model_remove(cpu, want);
		}
	}
	}
}

static void check_questions(const struct scheduler_ops *ops, struct test_random *random)
{
	struct thread running = {.priority = (uint8_t)test_random_below(random, PRIORITY_COUNT),
				 .slice_left = rules->slice};

	for (cpu_t cpu = 0; cpu < CPUS; cpu++) {
		bool higher = count[cpu] && rules->level(order[cpu][0]) > rules->level(&running) &&
			      (rules->all_preempt ||
			       order[cpu][0]->priority >= PRIORITY_REALTIME_MIN),
		     equal = false;
		for (unsigned i = 0; i < count[cpu]; i++)
			equal |= rules->level(order[cpu][i]) == rules->level(&running);
		EXPECT_EQ(ops->needs_reschedule(cpu, &running), higher);
		EXPECT_EQ(ops->tick(cpu, &running, 4 * NSEC_PER_MSEC),
			  equal ? rules->slice - 4 * NSEC_PER_MSEC : NSEC_NEVER);
		if (equal)
			EXPECT_EQ(ops->tick(cpu, &running, rules->slice + 1), 0);
	}
}

/* The runs of a property share a process: one machine for all. */
static void boot_once(void)
{
	static bool booted;

	if (!booted)
		test_kernel(nullptr);
	booted = true;
}

static void conforms(const struct rules *r, struct test_random *random)
{
	const struct scheduler_ops *ops = r->ops;

	rules = r;
	boot_once();
	REQUIRE(ops->name && ops->version > 0);
	REQUIRE(ops->init(CPUS) == KERR_OK);
	for (unsigned i = 0; i < THREADS; i++) {
		struct thread *t = &threads[i];
		*t = (struct thread){.queued_on = CPU_NONE,
				     .priority = (uint8_t)test_random_below(random, PRIORITY_COUNT),
				     .policy = test_random_below(random, 3) ? SCHED_OTHER
									    : SCHED_FIFO};
		ops->add_thread(0, t, nullptr);
		EXPECT(t->slice_left > 0);
	}
	for (cpu_t cpu = 0; cpu < CPUS; cpu++)
		EXPECT(!ops->pick_next(cpu));
	for (unsigned i = 0; i < STEPS && test_failures() == 0; i++) {
		step(ops, random);
		if (i % 16 == 0)
			check_questions(ops, random);
	}
	for (cpu_t cpu = 0; cpu < CPUS; cpu++)
		while (count[cpu]) {
			EXPECT_EQ(ops->pick_next(cpu), order[cpu][0]);
			model_remove(cpu, order[cpu][0]);
		}
	ops->exit();
}

PROPERTY(sched_prio_conforms, 60)
{
	conforms(&prio_rules, random);
}

PROPERTY(sched_fifo_conforms, 60)
{
	conforms(&fifo_rules, random);
}

/* Equals take turns: preempted at the end of their slices, each runs equally often. */
TEST(sched_prio_is_fair_among_equals)
{
	unsigned ran[3] = {};

	boot_once();
	REQUIRE(sched_prio.init(1) == KERR_OK);
	for (unsigned i = 0; i < 3; i++) {
		threads[i] = (struct thread){.priority = PRIORITY_NORMAL, .queued_on = CPU_NONE};
		sched_prio.add_thread(0, &threads[i], nullptr);
		sched_prio.thread_ready(0, &threads[i], READY_NEW);
	}
	for (unsigned i = 0; i < 30; i++) {
		struct thread *t = sched_prio.pick_next(0);
		REQUIRE(t != nullptr);
		ran[t - threads]++;
		t->slice_left = 0;
		sched_prio.thread_ready(0, t, READY_PREEMPTED);
	}
	for (unsigned i = 0; i < 3; i++)
		EXPECT_EQ(ran[i], 10);
	sched_prio.exit();
}

/* Interrupted before its slice is over, a thread goes on before its equals. */
TEST(sched_prio_keeps_the_rest_of_a_slice)
{
	boot_once();
	REQUIRE(sched_prio.init(1) == KERR_OK);
	for (unsigned i = 0; i < 2; i++) {
		threads[i] = (struct thread){.priority = PRIORITY_NORMAL, .queued_on = CPU_NONE};
		sched_prio.add_thread(0, &threads[i], nullptr);
	}
	sched_prio.thread_ready(0, &threads[1], READY_NEW);
	threads[0].slice_left = 3 * NSEC_PER_MSEC;
	sched_prio.thread_ready(0, &threads[0], READY_PREEMPTED);
	EXPECT_EQ(sched_prio.pick_next(0), &threads[0]);
	EXPECT_EQ(threads[0].slice_left, 3 * NSEC_PER_MSEC);
	threads[0].slice_left = 3 * NSEC_PER_MSEC;
	sched_prio.yield(0, &threads[0]);
	sched_prio.thread_ready(0, &threads[0], READY_YIELDED);
	EXPECT_EQ(sched_prio.pick_next(0), &threads[1]);
	sched_prio.exit();
}
