/*
 * The scheduler `dis` in simulated time, one CPU: budgets to the microsecond, deadlines, the order of the
 * levels, the bound of the deadline classes. The machine is driven as the engine drives a policy, with a timer that
 * goes off when tick() said.
 */
#include "machine.h"

#include <lib/format.h>
#include <sched_dis.h>

#define THREADS 8
#define US NSEC_PER_USEC
#define MS NSEC_PER_MSEC

struct job {
	struct thread t;
	nsec_t period, work; /* 0: computes for ever */
	nsec_t due, left;    /* of the run in progress */
	uint64_t runs, late;
	bool asleep;
};

static struct job jobs[THREADS];
static unsigned job_count;
static struct job *running;
static nsec_t longest_wait;

/* exec_sched_run.c has what policies call of the engine, for its own machine: with CPU 0's counters. */
void sim_ready_add(cpu_t cpu, int count);
bool sim_asks(cpu_t cpu);

/* What the engine knows of its CPUs: here nobody waits elsewhere, and none idles. */
struct runqueue runqueues[CPU_MAX];
_Atomic cpuset_t sched_idle;

static const struct scheduler_ops *const dis = &sched_dis;

static void enqueue(struct job *j, enum ready_reason why)
{
	j->t.queued_on = 0;
	j->t.ready_since = time_now();
	sim_ready_add(0, 1);
	dis->thread_ready(0, &j->t, why);
}

static void charge(void)
{
	nsec_t now = time_now(), ran = now - running->t.ran_since;

	running->t.run_time += ran;
	running->t.ran_since = now;
	running->t.slice_left = running->t.slice_left > ran ? running->t.slice_left - ran : 0;
	running->left = running->left > ran ? running->left - ran : 0;
}

static void reschedule(bool block)
{
	if (running) {
		charge();
		if (block) {
			running->asleep = true;
			dis->thread_block(0, &running->t);
		} else {
			enqueue(running, READY_PREEMPTED);
		}
	}
	struct thread *t = dis->pick_next(0);
	running = t ? container_of(t, struct job, t) : nullptr;
	if (!t)
		return;
	sim_ready_add(0, -1);
	longest_wait = MAX(longest_wait, time_now() - t->ready_since);
	t->queued_on = CPU_NONE;
	t->ran_since = time_now();
	t->ready_since = 0;
}

/* How long until something must be looked at. */
static nsec_t next_event(void)
{
	static struct thread idle;
	nsec_t now = time_now(), next = 10 * MS;

	for (unsigned i = 0; i < job_count; i++)
		if (jobs[i].asleep)
			next = MIN(next, jobs[i].due > now ? jobs[i].due - now : 0);
	if (running && running->period)
		next = MIN(next, running->left);
	idle.ran_since = now;
	if (sim_asks(0)) {
		nsec_t ran = running ? now - running->t.ran_since : 0;
		nsec_t left = dis->tick(0, running ? &running->t : &idle, ran);
		next = MIN(next, left);
	}
	return next;
}

static void wake_due(void)
{
	nsec_t now = time_now();

	for (unsigned i = 0; i < job_count; i++) {
		struct job *j = &jobs[i];
		if (!j->asleep || j->due > now)
			continue;
		j->asleep = false;
		j->left = j->work;
		enqueue(j, READY_NEW);
	}
}

static void finish_run(void)
{
	struct job *j = running;

	j->runs++;
	j->late += time_now() > j->due + j->period;
	j->due += j->period;
	reschedule(true);
}

/* Its way out of the kernel would end in a switch. */
static bool leaves_at_edge(void)
{
	return running->t.task.at_edge && atomic_exchange(&running->t.task.work, 0);
}

static void run_for(nsec_t span)
{
	nsec_t end = time_now() + span;

	while (time_now() < end && test_failures() == 0) {
		nsec_t step = MIN(next_event(), end - time_now());
		host_time_advance(MAX(step, 1));
		if (running)
			charge();
		wake_due();
		if (running && running->period && running->left == 0)
			finish_run();
		else if (!running)
			reschedule(false);
		else if (leaves_at_edge() || dis->needs_reschedule(0, &running->t) ||
			 (sim_asks(0) &&
			  dis->tick(0, &running->t, time_now() - running->t.ran_since) == 0))
			reschedule(false);
	}
}

static struct job *add_job(const char *intent, nsec_t period, nsec_t work)
{
	struct job *j = &jobs[job_count++];
	bool none;

	*j = (struct job){.period = period, .work = work, .left = work, .due = time_now()};
	j->t.queued_on = CPU_NONE;
	j->t.affinity = 1;
	j->t.task.at_edge = true; /* it computes in user mode */
	j->t.priority = j->t.base_priority = PRIORITY_NORMAL;
	if (intent) {
		EXPECT_OK(intent_parse(intent, &j->t.dis.intent, &none));
		j->t.dis.declared = !none;
	}
	dis->add_thread(0, &j->t, nullptr);
	enqueue(j, READY_NEW);
	return j;
}

static void begin(void)
{
	static bool booted;

	if (!booted)
		test_kernel(nullptr);
	booted = true;
	job_count = 0;
	running = nullptr;
	REQUIRE(dis->init(1) == KERR_OK);
}

/* ---- Budgets: within 2 % over ten periods, whatever runs beside ---- */

static void budget_is_kept(const char *intent, nsec_t quota, nsec_t period, unsigned hogs)
{
	begin();
	struct job *j = add_job(intent, 0, 0);
	for (unsigned i = 0; i < hogs; i++)
		add_job("class=idle", 0, 0);
	run_for(period + 37 * US);
	for (unsigned round = 0; round < 20; round++) {
		if (running)
			charge();
		nsec_t before = j->t.run_time;
		run_for(10 * period);
		if (running)
			charge();
		nsec_t used = j->t.run_time - before, due = 10 * quota;
		EXPECT(used * 100 <= due * 102 && used * 100 >= due * 98);
	}
	EXPECT(j->t.dis.throttles >= 195 && j->t.dis.throttled > 0);
}

TEST(dis_budget_alone)
{
	budget_is_kept("class=batch cpu=quota:2ms/10ms", 2 * MS, 10 * MS, 0);
}

TEST(dis_budget_percent)
{
	budget_is_kept("class=server cpu=percent:30", 30 * MS, 100 * MS, 0);
}

TEST(dis_budget_beside_others)
{
	budget_is_kept("class=realtime latency=bounded:10ms cpu=quota:1ms/4ms", MS, 4 * MS, 3);
}

TEST(dis_budget_small)
{
	budget_is_kept("class=interactive cpu=quota:100us/1ms", 100 * US, MS, 0);
}

/* At random: quota, period, class, wake-ups of others. */
PROPERTY(dis_budget_random, 30)
{
	char intent[80];
	static const char *const classes[] = {"soft-realtime", "interactive", "server", "batch"};
	nsec_t period = (1 + test_random_below(random, 100)) * MS;
	nsec_t quota = MAX(period / 100 * (5 + test_random_below(random, 80)), 100 * US);

	begin();
	format(intent, sizeof(intent), "class=%s cpu=quota:%lu/%lu",
	       classes[test_random_below(random, 4)], (unsigned long)quota, (unsigned long)period);
	struct job *j = add_job(intent, 0, 0);
	add_job("class=realtime latency=bounded:5ms", 5 * MS, 100 * US);
	add_job("class=idle", 0, 0);
	run_for(3 * period);
	run_for(j->t.dis.period_end - time_now());
	if (running)
		charge();
	nsec_t before = j->t.run_time;
	run_for(10 * period);
	if (running)
		charge();
	nsec_t used = j->t.run_time - before;
	EXPECT(used * 100 <= 10 * quota * 102);
	/* What the real-time job takes at the end of a period may be missing. */
	EXPECT(used * 100 >= 10 * quota * 90);
}

/* A held thread that somebody waits for goes on. */
TEST(dis_budget_gives_way_to_inheritance)
{
	begin();
	struct job *j = add_job("class=batch cpu=quota:1ms/1s", 0, 0);
	run_for(20 * MS);
	EXPECT(!running && j->t.dis.throttled_since);
	j->t.lent_priority = PRIORITY_NORMAL; /* by its equal */
	dis->set_priority(0, &j->t, PRIORITY_NORMAL);
	run_for(20 * MS);
	EXPECT_EQ(running, j);
	EXPECT(j->t.run_time > 15 * MS);
	j->t.lent_priority = 0;
	dis->set_priority(0, &j->t, PRIORITY_NORMAL);
	run_for(5 * MS);
	EXPECT(!running && j->t.dis.throttled_since);
}

/* In the kernel it may hold a lock: it is only asked to come out. */
TEST(dis_budget_holds_at_the_edge_only)
{
	begin();
	struct job *j = add_job("class=batch cpu=quota:1ms/1s", 0, 0);
	j->t.task.at_edge = false;
	run_for(20 * MS);
	EXPECT_EQ(running, j);
	EXPECT(j->t.task.work & TASK_WORK_EDGE);
	j->t.task.at_edge = true;
	reschedule(false);
	EXPECT(!running && j->t.dis.throttled_since);
	j->t.task.work = TASK_WORK_STOP; /* it is to end */
	dis->set_priority(0, &j->t, PRIORITY_NORMAL);
	reschedule(false);
	EXPECT_EQ(running, j);
}

TEST(dis_budget_counts_from_its_declaration)
{
	bool none;

	begin();
	struct job *j = add_job(nullptr, 0, 0);
	run_for(5 * NSEC_PER_SEC);
	EXPECT_OK(intent_parse("class=batch cpu=quota:10ms/100ms", &j->t.dis.intent, &none));
	j->t.dis.declared = true;
	dis->set_priority(0, &j->t, PRIORITY_NORMAL);
	reschedule(false);
	nsec_t before = j->t.run_time;
	run_for(NSEC_PER_SEC);
	EXPECT(j->t.run_time - before >= 98 * MS && j->t.run_time - before <= 112 * MS);
}

/* ---- Deadlines and levels ---- */

TEST(dis_deadlines_are_kept)
{
	begin();
	struct job *a = add_job("class=realtime latency=bounded:5ms", 5 * MS, 2 * MS),
		   *b = add_job("class=realtime latency=bounded:7ms", 7 * MS, 2 * MS),
		   *c = add_job("class=realtime latency=bounded:20ms", 20 * MS, 4 * MS);
	add_job("class=batch", 0, 0);
	run_for(2 * NSEC_PER_SEC);
	EXPECT(a->runs >= 395 && b->runs >= 280 && c->runs >= 95);
	EXPECT_EQ(a->late + b->late + c->late, 0); /* 0.4 + 0.286 + 0.2 of the CPU: feasible */
	EXPECT_EQ(a->t.dis.misses + b->t.dis.misses + c->t.dis.misses, 0);
	EXPECT(a->t.dis.deadlines >= 395);
}

TEST(dis_levels_in_order)
{
	static const char *const classes[] = {
		"class=critical", "class=realtime", "class=soft-realtime", "class=interactive",
		"class=server",   "class=batch",    "class=background",    "class=idle"};

	begin();
	for (unsigned i = 8; i > 0; i--)
		add_job(classes[i - 1], 0, 0);
	for (unsigned i = 0; i < 8; i++) {
		struct thread *t = dis->pick_next(0);
		EXPECT_EQ(t, &jobs[7 - i].t);
		sim_ready_add(0, -1);
		t->queued_on = CPU_NONE;
	}
	EXPECT(!dis->pick_next(0));
}

/* A real-time thread that never sleeps leaves one part in twenty, and the lowest gets of it. */
TEST(dis_deadline_classes_are_bounded)
{
	begin();
	struct job *hog = add_job("class=realtime", 0, 0), *low = add_job("class=idle", 0, 0);
	add_job("class=batch", 0, 0);
	add_job("class=server", 0, 0);
	run_for(4 * NSEC_PER_SEC);
	EXPECT(hog->t.run_time > 3700 * MS && hog->t.run_time < 3850 * MS);
	EXPECT(low->t.run_time > 40 * MS);
}

/* What it ran while nobody else wanted the CPU does not count against it. */
TEST(dis_deadline_class_alone_owes_nothing)
{
	begin();
	struct job *hog = add_job("class=realtime", 0, 0);
	run_for(3 * NSEC_PER_SEC);
	add_job("class=server", 0, 0);
	nsec_t before = hog->t.run_time;
	run_for(200 * MS);
	EXPECT(hog->t.run_time - before >= 180 * MS);
}

TEST(dis_fair_thread_alone_owes_nothing)
{
	begin();
	struct job *first = add_job(nullptr, 0, 0);
	run_for(5 * NSEC_PER_SEC);
	struct job *second = add_job(nullptr, 0, 0);
	nsec_t before = first->t.run_time;
	run_for(2 * NSEC_PER_SEC);
	EXPECT(first->t.run_time - before > 900 * MS && second->t.run_time > 900 * MS);
}

/* A light thread, which lives on turns given out of pity, does not make the others look poor beside who wakes. */
TEST(dis_light_thread_is_no_measure)
{
	begin();
	add_job(nullptr, 0, 0);
	struct job *light = add_job("class=server cpu=shares:2", 0, 0);
	run_for(20 * NSEC_PER_SEC);
	struct job *wakes = add_job(nullptr, 20 * MS, 2 * MS);
	run_for(2 * NSEC_PER_SEC);
	EXPECT(light->t.run_time > 200 * MS);
	EXPECT(wakes->runs >= 95 && wakes->late == 0);
}

/* Each of those that wait below gets its turn, not always the same. */
TEST(dis_rescues_take_turns)
{
	begin();
	add_job(nullptr, 0, 0);
	struct job *low[] = {add_job("class=idle", 0, 0), add_job("class=idle", 0, 0)};
	run_for(2 * NSEC_PER_SEC);
	EXPECT(low[0]->t.run_time >= 12 * MS && low[1]->t.run_time >= 12 * MS);
}

/* The wake-up may come before the thread has left the CPU. */
TEST(dis_woken_before_it_left)
{
	struct dis_stats stats;

	begin();
	struct job *j = add_job(nullptr, 0, 0);
	add_job(nullptr, 0, 0);
	run_for(NSEC_PER_SEC);
	REQUIRE(running);
	j = running;
	charge();
	enqueue(j, READY_NEW);
	dis->thread_block(0, &j->t);
	running = nullptr;
	EXPECT(!dis_data(&j->t)->slept);
	run_for(NSEC_PER_SEC);
	dis_stats_of(0, &stats);
	EXPECT_EQ(stats.rescues, 0);
	EXPECT(jobs[0].t.run_time > 900 * MS && jobs[1].t.run_time > 900 * MS);
}

TEST(dis_shares)
{
	begin();
	struct job *one = add_job("class=server cpu=shares:1024", 0, 0),
		   *three = add_job("class=server cpu=shares:3072", 0, 0);
	run_for(2 * NSEC_PER_SEC);
	if (running)
		charge();
	nsec_t ratio = three->t.run_time * 100 / one->t.run_time;
	EXPECT(ratio > 280 && ratio < 320);
}

/* ---- Strategies ---- */

static void run_until(const struct job *j)
{
	for (unsigned i = 0; i < 1000 && (running != j || time_now() == j->t.ran_since); i++)
		run_for(10 * US);
	REQUIRE(running == j);
}

TEST(dis_who_wakes_waits_for_a_cpu_that_is_soon_free)
{
	begin();
	struct job *brief = add_job(nullptr, MS, 100 * US);
	struct job wakes = {.t.priority = PRIORITY_NORMAL, .t.base_priority = PRIORITY_NORMAL};

	run_until(brief);
	EXPECT(!dis->stay(&wakes.t, 0)); /* nothing is known yet */
	run_for(20 * MS);
	run_until(brief);
	EXPECT(dis->stay(&wakes.t, 0));
	runqueues[0].ready = 1; /* somebody else waits for it */
	EXPECT(!dis->stay(&wakes.t, 0));
	runqueues[0].ready = 0;
	dis_strategies[DIS_AFFINITY] = false;
	EXPECT(!dis->stay(&wakes.t, 0));
	dis_strategies[DIS_AFFINITY] = true;
	wakes.t.priority = PRIORITY_CRITICAL;
	EXPECT(!dis->stay(&wakes.t, 0));
	wakes.t.priority = PRIORITY_NORMAL;
	host_time_advance(200 * US); /* it runs longer than foretold */
	EXPECT(!dis->stay(&wakes.t, 0));

	begin();
	struct job *longer = add_job(nullptr, 5 * MS, 2 * MS);
	run_for(100 * MS);
	run_until(longer);
	EXPECT(!dis->stay(&wakes.t, 0));
}

/* Four jobs of 12 ms come together: none is cut short, and each is. */
static uint64_t slices_of(bool strategy)
{
	uint64_t picked = 0, runs = 0;
	struct dis_stats s;

	begin();
	dis_strategies[DIS_SLICE] = strategy;
	for (unsigned i = 0; i < 4; i++)
		add_job(nullptr, 60 * MS, 12 * MS);
	run_for(900 * MS);
	for (unsigned i = 0; i < 4; i++)
		runs -= jobs[i].runs;
	dis_stats_of(0, &s);
	for (unsigned r = 1; r < DIS_RANKS; r++)
		picked -= s.picked[r];
	run_for(1200 * MS);
	for (unsigned i = 0; i < 4; i++)
		runs += jobs[i].runs;
	dis_stats_of(0, &s);
	for (unsigned r = 1; r < DIS_RANKS; r++)
		picked += s.picked[r];
	dis_strategies[DIS_SLICE] = true;
	return picked * 100 / runs;
}

TEST(dis_what_ends_soon_is_not_cut_short)
{
	EXPECT(slices_of(false) >= 180);
	EXPECT(slices_of(true) <= 110);
}
