/* Self-tests of all scheduling policies: what each promises, and changes from one to another under load. */
#include <core/cpu.h>
#include <core/rcu.h>
#include <core/time.h>
#include <core/wait.h>
#include <exec/sched.h>
#include <exec/thread.h>
#include <ktest/ktest.h>
#include <lib/string.h>

#define WORKERS 12
#define CHANGES 100

struct worker {
	void (*fn)(struct worker *w);
	cpuset_t cpus;
	struct worker *partner;
	struct task *_Atomic task;
	_Atomic uint32_t turn; /* of a pair: mine to play */
	_Atomic uint64_t rounds;
	_Atomic uint32_t wrong; /* times it ran where it may not */
	_Atomic uint32_t late; /* times it slept five seconds for want of a wake-up */
	_Atomic uint32_t ended;
};

static _Atomic uint32_t stop;

static void pause(nsec_t span)
{
	EXPECT_OK(thread_sleep_until(time_now() + span, false));
}

static void run_worker(void *arg)
{
	struct worker *w = arg;

	EXPECT_OK(sched_set_affinity(current_thread(), w->cpus));
	thread_yield();
	atomic_store(&w->task, current_task());
	w->fn(w);
	atomic_store(&w->ended, 1);
}

static void look(struct worker *w)
{
	preempt_disable();
	if (!(w->cpus & cpu_bit(cpu_id())))
		atomic_fetch_add(&w->wrong, 1);
	preempt_enable();
	atomic_fetch_add(&w->rounds, 1);
}

static void compute(struct worker *w)
{
	while (!atomic_load(&stop)) {
		look(w);
		hal.cpu.relax();
	}
}

static void give_way(struct worker *w)
{
	while (!atomic_load(&stop)) {
		look(w);
		thread_yield();
	}
}

static void nap(struct worker *w)
{
	while (!atomic_load(&stop)) {
		look(w);
		EXPECT_OK(thread_sleep_until(time_now() + 200 * NSEC_PER_USEC, false));
	}
}

static void wake_partner(struct worker *w)
{
	rcu_read_lock();
	struct task *partner = atomic_load(&w->partner->task);
	if (partner)
		upcalls.unpark(partner);
	rcu_read_unlock();
}

/* Two hand a ball to and fro: a lost wake-up or a lost thread stops both. */
static void play(struct worker *w)
{
	while (!atomic_load(&w->partner->task) && !atomic_load(&stop))
		pause(NSEC_PER_MSEC);
	while (!atomic_load(&stop)) {
		while (!atomic_load(&w->turn) && !atomic_load(&stop))
			if (upcalls.park(WAIT_OTHER, false, time_now() + 5 * NSEC_PER_SEC) !=
			    KERR_OK)
				atomic_fetch_add(&w->late, 1);
		look(w);
		atomic_store(&w->turn, 0);
		atomic_store(&w->partner->turn, 1);
		wake_partner(w);
	}
	wake_partner(w);
	atomic_store(&w->task, nullptr); /* before it ends, the partner must have stopped, too */
	while (atomic_load(&w->partner->task))
		pause(NSEC_PER_MSEC);
}

static bool start(struct worker *w, int priority)
{
	if (EXPECT_OK(kthread_create("ktest sched", priority, run_worker, w, nullptr)))
		return true;
	atomic_store(&w->ended, 1);
	return false;
}

static void join(struct worker *w)
{
	while (!atomic_load(&w->ended))
		pause(NSEC_PER_MSEC);
	EXPECT_EQ(atomic_load(&w->wrong), 0);
}

static cpu_t last_cpu(void)
{
	return (cpu_t)(63 - __builtin_clzll(cpu_online()));
}

/* Runs `fn` under every policy, and puts back the one that was in use. */
static void under_each(void (*fn)(const struct scheduler_ops *ops))
{
	const struct scheduler_ops *before = sched_policy_find(sched_name()), *ops;

	sched_set_priority(current_thread(), PRIORITY_REALTIME); /* not to be held up ourselves */
	for (size_t i = 0; (ops = sched_policy_get(i)); i++) {
		if (!EXPECT_OK(sched_policy_change(ops)))
			break;
		EXPECT_EQ(strcmp(sched_name(), ops->name), 0);
		atomic_store(&stop, 0);
		fn(ops);
	}
	EXPECT_OK(sched_policy_change(before));
	sched_set_priority(current_thread(), PRIORITY_NORMAL);
}

/* Pairs, sleepers, hogs and threads that yield, some bound to a CPU. */
static unsigned load(struct worker *w)
{
	static void (*const kinds[])(struct worker *) = {play,     play, compute,
							 give_way, nap,  compute};
	unsigned n = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){.fn = kinds[i % ARRAY_SIZE(kinds)], .cpus = cpu_online()};
		if (w[i].fn == compute)
			w[i].cpus = cpu_bit(i % 4 == 2 ? 0 : last_cpu());
		if (w[i].fn == play)
			w[i].partner = &w[i % ARRAY_SIZE(kinds) ? i - 1 : i + 1];
		if (i % ARRAY_SIZE(kinds) == 0)
			w[i].turn = 1;
	}
	while (n < WORKERS && start(&w[n], (int)(50 + n)))
		n++;
	EXPECT_EQ(n, WORKERS);
	return n;
}

KERNEL_TEST(sched_changes_under_load)
{
	static struct worker workers[WORKERS];
	const struct scheduler_ops *before = sched_policy_find(sched_name());
	struct sched_change_stats first, last;
	size_t policies = 0;

	while (sched_policy_get(policies))
		policies++;
	atomic_store(&stop, 0);
	sched_set_priority(current_thread(), PRIORITY_REALTIME);
	sched_change_figures(&first);
	unsigned n = load(workers);
	for (unsigned i = 0; i < CHANGES; i++) {
		EXPECT_OK(sched_policy_change(sched_policy_get((i + 1) % policies)));
		pause(NSEC_PER_MSEC);
	}
	sched_change_figures(&last);
	/* Who was lost never runs again: under a policy that lets all run, all do. */
	EXPECT_OK(sched_policy_change(&sched_mlfq));
	for (unsigned i = 0; i < n; i++) {
		uint64_t seen = atomic_load(&workers[i].rounds);
		nsec_t limit = time_now() + 20 * NSEC_PER_SEC;
		while (atomic_load(&workers[i].rounds) == seen && time_now() < limit)
			pause(NSEC_PER_MSEC);
		EXPECT(atomic_load(&workers[i].rounds) > seen);
	}
	atomic_store(&stop, 1);
	for (unsigned i = 0; i < n; i++) {
		join(&workers[i]);
		EXPECT_EQ(atomic_load(&workers[i].late), 0);
	}
	EXPECT(last.changes - first.changes >= CHANGES - 2);
	EXPECT(last.threads > first.threads);
	EXPECT(last.pause_max > 0);
	EXPECT_OK(sched_policy_change(before));
	sched_set_priority(current_thread(), PRIORITY_NORMAL);
}

/* A real-time thread runs though hogs have all CPUs and never let go of them. */
static void realtime_preempts(const struct scheduler_ops *ops)
{
	struct worker hogs[4], urgent = {.fn = nap, .cpus = cpu_bit(last_cpu())};

	for (unsigned i = 0; i < ARRAY_SIZE(hogs); i++) {
		hogs[i] = (struct worker){.fn = compute, .cpus = cpu_bit(last_cpu())};
		start(&hogs[i], 80);
	}
	start(&urgent, PRIORITY_REALTIME_MIN);
	nsec_t limit = time_now() + 10 * NSEC_PER_SEC;
	while (atomic_load(&urgent.rounds) < 20 && time_now() < limit)
		pause(NSEC_PER_MSEC);
	EXPECT(atomic_load(&urgent.rounds) >= 20);
	atomic_store(&stop, 1);
	join(&urgent);
	for (unsigned i = 0; i < ARRAY_SIZE(hogs); i++)
		join(&hogs[i]);
}

KERNEL_TEST(sched_realtime_preempts_under_each)
{
	under_each(realtime_preempts);
}

/* The lowest among hogs of the highest nice value: fifo and mlfq promise it its turns. */
static void nobody_starves(const struct scheduler_ops *ops)
{
	struct worker w[4];

	for (unsigned i = 0; i < ARRAY_SIZE(w); i++) {
		w[i] = (struct worker){.fn = compute, .cpus = cpu_bit(last_cpu())};
		start(&w[i], i == 0 ? 41 : 80);
	}
	nsec_t limit = time_now() + (ops == &sched_prio ? 100 * NSEC_PER_MSEC : 20 * NSEC_PER_SEC);
	uint64_t seen = 0;
	unsigned turns = 0;
	while (turns < 2 && time_now() < limit) {
		pause(NSEC_PER_MSEC);
		uint64_t now = atomic_load(&w[0].rounds);
		turns += now != seen;
		seen = now;
	}
	EXPECT(ops == &sched_prio || turns >= 2);
	atomic_store(&stop, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++)
		join(&w[i]);
}

KERNEL_TEST(sched_nobody_starves_where_promised)
{
	under_each(nobody_starves);
}

static enum kerr refuse(cpu_t cpus)
{
	return KERR_NOMEM;
}

/* A policy that cannot start leaves the old one in place; what is in use cannot be taken away. */
KERNEL_TEST(sched_change_that_fails_changes_nothing)
{
	static struct scheduler_ops broken;
	const struct scheduler_ops *before = sched_policy_find(sched_name());

	broken = sched_prio;
	EXPECT_EQ(sched_policy_register(&broken), KERR_EXIST);
	broken.name = "broken";
	broken.pull = nullptr;
	EXPECT_EQ(sched_policy_register(&broken), KERR_INVAL);
	broken.pull = sched_prio.pull;
	broken.init = refuse;
	EXPECT_EQ(sched_policy_change(&broken), KERR_NOENT);
	EXPECT_OK(sched_policy_register(&broken));
	EXPECT_EQ(sched_policy_change(&broken), KERR_NOMEM);
	EXPECT_EQ(sched_policy_find(sched_name()), before);
	EXPECT_EQ(sched_policy_unregister(before), KERR_BUSY);
	EXPECT_OK(sched_policy_unregister(&broken));
	EXPECT(!sched_policy_find("broken"));
}
