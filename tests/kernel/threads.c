/* Self-tests of exec's scheduling: park and unpark, priorities, affinity, sleeping, inheritance. */
#include <core/cpu.h>
#include <core/time.h>
#include <core/wait.h>
#include <exec/sched.h>
#include <exec/thread.h>
#include <ktest/cpus.h>
#include <ktest/ktest.h>

/* Starts fn(arg) at `priority` on the CPUs of `cpus`; it has ended when *ended is 1. */
struct job {
	void (*fn)(void *arg);
	void *arg;
	cpuset_t cpus;
	_Atomic uint32_t ended;
};

static void run_job(void *arg)
{
	struct job *job = arg;

	EXPECT_OK(sched_set_affinity(current_thread(), job->cpus));
	thread_yield();
	job->fn(job->arg);
	atomic_store(&job->ended, 1);
}

static bool start(struct job *job, int priority, struct thread **out)
{
	return EXPECT_OK(kthread_create("ktest job", priority, run_job, job, out));
}

static void join(struct job *job)
{
	while (!atomic_load(&job->ended))
		EXPECT_OK(thread_sleep_until(time_now() + NSEC_PER_MSEC, false));
}

/* ---- park and unpark ------------------------------------------------------------------------ */

#define HANDS 2000

struct ball {
	struct task *_Atomic player[2];
	_Atomic uint32_t turn; /* who may play */
	_Atomic uint32_t played;
};

struct player {
	struct ball *ball;
	uint32_t me;
};

static void play(void *arg)
{
	struct player *p = arg;
	struct ball *b = p->ball;

	atomic_store(&b->player[p->me], current_task());
	while (!atomic_load(&b->player[1 - p->me]))
		thread_yield();
	for (int i = 0; i < HANDS; i++) {
		while (atomic_load(&b->turn) != p->me)
			EXPECT_OK(upcalls.park(WAIT_OTHER, false, NSEC_NEVER));
		atomic_fetch_add(&b->played, 1);
		atomic_store(&b->turn, 1 - p->me);
		upcalls.unpark(atomic_load(&b->player[1 - p->me]));
	}
}

static void play_on(cpuset_t first, cpuset_t second)
{
	struct ball ball = {};
	struct player players[2] = {{&ball, 0}, {&ball, 1}};
	struct job jobs[2] = {{.fn = play, .arg = &players[0], .cpus = first},
			      {.fn = play, .arg = &players[1], .cpus = second}};

	if (!start(&jobs[0], PRIORITY_NORMAL, nullptr))
		return;
	if (start(&jobs[1], PRIORITY_NORMAL, nullptr))
		join(&jobs[1]);
	join(&jobs[0]);
	EXPECT_EQ(atomic_load(&ball.played), 2 * HANDS);
}

/* A lost wake-up would leave both asleep, and the test hanging. */
KERNEL_TEST(park_loses_no_wakeup_on_one_cpu)
{
	play_on(cpu_bit(0), cpu_bit(0));
}

KERNEL_TEST(park_loses_no_wakeup_between_cpus)
{
	cpuset_t others = cpu_online() & ~cpu_bit(0);

	if (!others) {
		ktest_skip("one CPU");
		return;
	}
	play_on(cpu_bit(0), others);
	play_on(cpu_online(), cpu_online());
}

KERNEL_TEST(park_takes_a_token_that_came_before)
{
	upcalls.unpark(current_task());
	upcalls.unpark(current_task());
	nsec_t before = time_now();
	EXPECT_OK(upcalls.park(WAIT_OTHER, false, before + 10 * NSEC_PER_SEC));
	EXPECT(time_now() - before < 5 * NSEC_PER_SEC);
	EXPECT_EQ(upcalls.park(WAIT_OTHER, false, time_now() + NSEC_PER_MSEC), KERR_TIMEDOUT);
}

KERNEL_TEST(sleep_is_not_short)
{
	for (nsec_t span = 0; span < 5 * NSEC_PER_MSEC; span += 700 * NSEC_PER_USEC) {
		nsec_t until = time_now() + span;
		EXPECT_OK(thread_sleep_until(until, false));
		EXPECT(time_now() >= until);
	}
}

/* ---- priorities and affinity ------------------------------------------------------------------ */

static _Atomic uint32_t spinning, stop_spinning;

static void spin(void *arg)
{
	atomic_fetch_add(&spinning, 1);
	while (!atomic_load(&stop_spinning))
		hal.cpu.relax();
}

static void note_time(void *arg)
{
	*(nsec_t *)arg = time_now();
}

/* A higher thread gets the CPU while a lower one never lets go of it by itself. */
KERNEL_TEST(higher_priority_preempts)
{
	cpu_t cpu = (cpu_t)(63 - __builtin_clzll(cpu_online()));
	struct job low = {.fn = spin, .cpus = cpu_bit(cpu)};
	nsec_t ran = 0;
	struct job high = {.fn = note_time, .arg = &ran, .cpus = cpu_bit(cpu)};

	atomic_store(&spinning, 0);
	atomic_store(&stop_spinning, 0);
	sched_set_priority(current_thread(), PRIORITY_REALTIME); /* not to be held up ourselves */
	if (start(&low, PRIORITY_NORMAL, nullptr)) {
		while (!atomic_load(&spinning))
			EXPECT_OK(thread_sleep_until(time_now() + NSEC_PER_MSEC, false));
		if (start(&high, PRIORITY_HIGH, nullptr))
			join(&high);
		EXPECT(ran != 0);
		EXPECT_EQ(atomic_load(&low.ended), 0);
		atomic_store(&stop_spinning, 1);
		join(&low);
	}
	sched_set_priority(current_thread(), PRIORITY_NORMAL);
}

/* Equals share a CPU by slices, though neither lets go. */
KERNEL_TEST(equals_take_turns)
{
	cpu_t cpu = (cpu_t)(63 - __builtin_clzll(cpu_online()));
	struct job jobs[3] = {};

	atomic_store(&spinning, 0);
	atomic_store(&stop_spinning, 0);
	sched_set_priority(current_thread(), PRIORITY_REALTIME);
	unsigned started = 0;
	for (; started < 3; started++) {
		jobs[started] = (struct job){.fn = spin, .cpus = cpu_bit(cpu)};
		if (!start(&jobs[started], PRIORITY_NORMAL, nullptr))
			break;
	}
	nsec_t limit = time_now() + 10 * NSEC_PER_SEC;
	while (atomic_load(&spinning) < started && time_now() < limit)
		EXPECT_OK(thread_sleep_until(time_now() + NSEC_PER_MSEC, false));
	EXPECT_EQ(atomic_load(&spinning), started);
	atomic_store(&stop_spinning, 1);
	for (unsigned i = 0; i < started; i++)
		join(&jobs[i]);
	sched_set_priority(current_thread(), PRIORITY_NORMAL);
}

static void wander(void *arg)
{
	for (int i = 0; i < 20; i++)
		for (cpuset_t left = cpu_online(); left; left &= left - 1) {
			cpu_t cpu = (cpu_t)__builtin_ctzll(left);
			EXPECT_OK(sched_set_affinity(current_thread(), cpu_bit(cpu)));
			thread_yield();
			EXPECT_EQ(READ_ONCE(current_task()->hal.cpu), cpu);
		}
}

KERNEL_TEST(affinity_moves_a_thread)
{
	struct job jobs[4] = {};

	for (int i = 0; i < 4; i++) {
		jobs[i] = (struct job){.fn = wander, .cpus = cpu_online()};
		if (!start(&jobs[i], PRIORITY_NORMAL, nullptr))
			jobs[i].ended = 1;
	}
	for (int i = 0; i < 4; i++)
		join(&jobs[i]);
	EXPECT_EQ(sched_set_affinity(current_thread(), 0), KERR_INVAL);
}

/* ---- inheritance ------------------------------------------------------------------------------ */

static struct mutex shared = MUTEX_INIT(shared);
static _Atomic uint32_t low_has_it, release_it;
static uint8_t seen_priority;

static void hold_mutex(void *arg)
{
	mutex_lock(&shared);
	atomic_store(&low_has_it, 1);
	while (!atomic_load(&release_it))
		EXPECT_OK(thread_sleep_until(time_now() + 100 * NSEC_PER_USEC, false));
	seen_priority = current_thread()->priority;
	mutex_unlock(&shared);
	EXPECT_EQ(current_thread()->priority, PRIORITY_LOW);
}

static void want_mutex(void *arg)
{
	mutex_lock(&shared);
	mutex_unlock(&shared);
}

KERNEL_TEST(mutex_owner_inherits)
{
	struct job low = {.fn = hold_mutex, .cpus = cpu_online()};
	struct job high = {.fn = want_mutex, .cpus = cpu_online()};
	struct thread *waiter;

	atomic_store(&low_has_it, 0);
	atomic_store(&release_it, 0);
	if (!start(&low, PRIORITY_LOW, nullptr))
		return;
	while (!atomic_load(&low_has_it))
		EXPECT_OK(thread_sleep_until(time_now() + NSEC_PER_MSEC, false));
	if (start(&high, PRIORITY_HIGH, &waiter)) {
		nsec_t limit = time_now() + 5 * NSEC_PER_SEC;
		while (atomic_load(&waiter->state) != THREAD_BLOCKED && time_now() < limit)
			EXPECT_OK(thread_sleep_until(time_now() + NSEC_PER_MSEC, false));
		atomic_store(&release_it, 1);
		join(&high);
		EXPECT_EQ(seen_priority, PRIORITY_HIGH);
	}
	atomic_store(&release_it, 1);
	join(&low);
}

/* Takes `first`, then `second` if there is one, holds what it has until told, and gives back in the same order. */
struct holder {
	struct job job;
	struct mutex *first, *second;
	_Atomic uint32_t has, release;
	uint8_t priority_after; /* its priority when it had given `first` back */
	uint32_t turn; /* which one it was to get `first` */
};

static _Atomic uint32_t turns;

static void hold_both(void *arg)
{
	struct holder *h = arg;

	mutex_lock(h->first);
	h->turn = atomic_fetch_add(&turns, 1);
	atomic_store(&h->has, 1);
	if (h->second) {
		mutex_lock(h->second);
		atomic_store(&h->has, 2);
	}
	while (!atomic_load(&h->release))
		EXPECT_OK(thread_sleep_until(time_now() + 100 * NSEC_PER_USEC, false));
	mutex_unlock(h->first);
	h->priority_after = current_thread()->priority;
	if (h->second)
		mutex_unlock(h->second);
}

static struct thread *start_holder(struct holder *h, int priority, struct mutex *first,
				   struct mutex *second)
{
	struct thread *t = nullptr;

	*h = (struct holder){.job = {.fn = hold_both, .arg = h, .cpus = cpu_online()},
			     .first = first,
			     .second = second};
	if (!start(&h->job, priority, &t))
		h->job.ended = 1;
	return t;
}

/* Until `t` sleeps for a lock, or `h` has `count` of them. */
static void await_holder(struct holder *h, struct thread *t, uint32_t count)
{
	nsec_t limit = time_now() + 5 * NSEC_PER_SEC;

	while (time_now() < limit &&
	       (count ? atomic_load(&h->has) < count : atomic_load(&t->state) != THREAD_BLOCKED))
		EXPECT_OK(thread_sleep_until(time_now() + NSEC_PER_MSEC, false));
}

static void await_priority(struct thread *t, uint8_t priority)
{
	nsec_t limit = time_now() + 5 * NSEC_PER_SEC;

	while (time_now() < limit && READ_ONCE(t->priority) != priority)
		EXPECT_OK(thread_sleep_until(time_now() + NSEC_PER_MSEC, false));
	EXPECT_EQ(READ_ONCE(t->priority), priority);
}

static void end_holders(struct holder *h, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		atomic_store(&h[i].release, 1);
	for (unsigned i = 0; i < count; i++)
		join(&h[i].job);
}

/* Of three that wait, the last is real-time: it comes first, and who waits before lends past each other. */
KERNEL_TEST(mutex_next_owner_inherits)
{
	static struct mutex m = MUTEX_INIT(m);
	static struct holder h[4];
	static const int priorities[] = {PRIORITY_NORMAL, PRIORITY_LOW, PRIORITY_HIGH,
					 PRIORITY_REALTIME};
	struct thread *t[4];

	atomic_store(&turns, 0);
	for (unsigned i = 0; i < 4; i++) {
		t[i] = start_holder(&h[i], priorities[i], &m, nullptr);
		if (!t[i])
			return end_holders(h, i);
		await_holder(&h[i], t[i], i == 0);
	}
	await_priority(t[0], PRIORITY_REALTIME);
	atomic_store(&h[0].release, 1);
	await_holder(&h[3], t[3], 1);
	EXPECT_EQ(h[3].turn, 1);
	atomic_store(&h[3].release, 1);
	await_holder(&h[1], t[1], 1);
	EXPECT_EQ(h[1].turn, 2);
	await_priority(t[1], PRIORITY_HIGH); /* who waits behind it lends to it */
	end_holders(h, 4);
	EXPECT_EQ(h[1].priority_after, PRIORITY_LOW);
}

/* Giving back one of two does not end what is lent for the other. */
KERNEL_TEST(mutex_lent_for_each)
{
	static struct mutex a = MUTEX_INIT(a), b = MUTEX_INIT(b);
	static struct holder h[3];
	struct thread *t[3];

	t[0] = start_holder(&h[0], PRIORITY_LOW, &a, &b);
	if (!t[0])
		return;
	await_holder(&h[0], t[0], 2);
	t[1] = start_holder(&h[1], PRIORITY_NORMAL, &a, nullptr);
	t[2] = start_holder(&h[2], PRIORITY_HIGH, &b, nullptr);
	await_priority(t[0], PRIORITY_HIGH);
	if (t[1])
		await_holder(&h[1], t[1], 0);
	end_holders(h, 3);
	EXPECT_EQ(h[0].priority_after, PRIORITY_HIGH);
}

/* Who waits for a lock passes on what is lent to it. */
KERNEL_TEST(mutex_lends_along_chains)
{
	static struct mutex a = MUTEX_INIT(a), b = MUTEX_INIT(b);
	static struct holder h[3];
	struct thread *t[3];

	t[0] = start_holder(&h[0], PRIORITY_LOW, &a, nullptr);
	if (!t[0])
		return;
	await_holder(&h[0], t[0], 1);
	t[1] = start_holder(&h[1], PRIORITY_LOW + 1, &b, &a);
	if (t[1]) {
		await_holder(&h[1], t[1], 1);
		await_priority(t[0], PRIORITY_LOW + 1);
	}
	t[2] = start_holder(&h[2], PRIORITY_HIGH, &b, nullptr);
	await_priority(t[0], PRIORITY_HIGH);
	end_holders(h, 3);
	EXPECT_EQ(h[0].priority_after, PRIORITY_LOW);
}
