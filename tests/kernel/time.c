/* Self-tests of timers, RCU and calls between CPUs. */
#include <core/cpu.h>
#include <core/rcu.h>
#include <core/time.h>
#include <core/wait.h>
#include <ktest/cpus.h>
#include <ktest/ktest.h>

/* ---- Timers --------------------------------------------------------------------------------- */

#define TIMERS 40

struct test_timer {
	struct timer timer;
	_Atomic uint32_t fired;
	nsec_t at;
	cpu_t cpu;
};

static void timer_note(struct timer *t)
{
	struct test_timer *tt = container_of(t, struct test_timer, timer);

	tt->at = time_now();
	tt->cpu = cpu_id();
	atomic_fetch_add(&tt->fired, 1);
}

static void wait_for(nsec_t time)
{
	while (time_now() < time)
		hal.cpu.relax();
}

/* Waits until *flag is not zero; a timer that never comes is found after a second. */
static bool arrives(_Atomic uint32_t *flag)
{
	nsec_t last = time_now() + NSEC_PER_SEC;

	while (!atomic_load(flag) && time_now() < last)
		hal.cpu.relax();
	return atomic_load(flag);
}

static struct test_timer all_timers[8][TIMERS];

static void timers_on_one(cpu_t cpu, void *arg)
{
	struct test_timer *timers = all_timers[cpu % 8];
	struct test_random random = {cpu};
	nsec_t start = time_now();

	for (int i = 0; i < TIMERS; i++) {
		timer_init(&timers[i].timer, timer_note);
		atomic_store(&timers[i].fired, 0);
		timer_set(&timers[i].timer, start + test_random_below(&random, 3 * NSEC_PER_MSEC));
	}
	for (int i = 0; i < TIMERS; i += 4)
		if (timer_cancel(&timers[i].timer))
			atomic_store(&timers[i].fired, 100);
	for (int i = 0; i < TIMERS; i++) {
		if (!EXPECT(arrives(&timers[i].fired)))
			return;
		if (atomic_load(&timers[i].fired) >= 100)
			continue;
		EXPECT(timers[i].at >= timers[i].timer.deadline);
		EXPECT_EQ(timers[i].cpu, cpu);
	}
	wait_for(time_now() + 100 * NSEC_PER_USEC);
	for (int i = 0; i < TIMERS; i++) {
		uint32_t fired = atomic_load(&timers[i].fired);
		EXPECT(fired == 1 || fired == 100); /* once, or cancelled and never */
	}
}

KERNEL_TEST(timers_fire_once_on_their_cpu)
{
	if (ktest_cpu_count() > 8) {
		ktest_skip("more than eight CPUs");
		return;
	}
	ktest_on_all_cpus(timers_on_one, nullptr);
}

KERNEL_TEST(timer_set_again_and_past)
{
	struct test_timer t = {};

	timer_init(&t.timer, timer_note);
	timer_set(&t.timer, time_now() + 3600 * NSEC_PER_SEC);
	nsec_t soon = time_now() + 500 * NSEC_PER_USEC;
	timer_set(&t.timer, soon);
	REQUIRE(arrives(&t.fired));
	EXPECT(t.at >= soon);
	timer_set(&t.timer, 1); /* long ago: at once */
	while (atomic_load(&t.fired) < 2)
		hal.cpu.relax();
	EXPECT(!timer_cancel(&t.timer));
	timer_set(&t.timer, time_now() + 3600 * NSEC_PER_SEC);
	EXPECT(timer_cancel(&t.timer));
	EXPECT(!timer_cancel(&t.timer));
	EXPECT_EQ(atomic_load(&t.fired), 2);
}

static void cancel_from_elsewhere(cpu_t cpu, void *arg)
{
	struct test_timer *t = arg;

	if (cpu == 0)
		return;
	timer_cancel(&t->timer);
}

KERNEL_TEST(timer_cancel_on_other_cpus)
{
	struct test_timer t = {};

	for (int i = 0; i < 20; i++) {
		timer_init(&t.timer, timer_note);
		atomic_store(&t.fired, 0);
		timer_set(&t.timer, time_now() + 50 * NSEC_PER_USEC);
		ktest_on_all_cpus(cancel_from_elsewhere, &t);
		timer_cancel(&t.timer);
		uint32_t fired = atomic_load(&t.fired);
		EXPECT(fired <= 1);
		wait_for(time_now() + 100 * NSEC_PER_USEC);
		EXPECT_EQ(atomic_load(&t.fired), fired);
	}
}

KERNEL_TEST(time_never_goes_back)
{
	nsec_t last = time_now();

	for (int i = 0; i < 20000; i++) {
		nsec_t now = time_now();
		REQUIRE(now >= last);
		last = now;
	}
}

/* ---- RCU ------------------------------------------------------------------------------------ */

struct thing {
	struct rcu_head head;
	_Atomic uint32_t dead;
	struct thing *next_free;
};

static struct thing things[64];
static struct thing *_Atomic published;
static _Atomic uint32_t things_freed, rcu_stop;
static struct spinlock free_lock = SPINLOCK_INIT(RANK_NONE, "ktest free");
static struct thing *free_things; /* (free_lock) */

static void thing_free(struct rcu_head *head)
{
	struct thing *t = container_of(head, struct thing, head);

	atomic_store(&t->dead, 1);
	bool on = spin_lock_irq(&free_lock);
	t->next_free = free_things;
	free_things = t;
	spin_unlock_irq(&free_lock, on);
	atomic_fetch_add(&things_freed, 1);
}

static struct thing *thing_take(void)
{
	bool on = spin_lock_irq(&free_lock);
	struct thing *t = free_things;

	if (t)
		free_things = t->next_free;
	spin_unlock_irq(&free_lock, on);
	return t;
}

static void rcu_read_things(void)
{
	while (!atomic_load(&rcu_stop)) {
		rcu_read_lock();
		struct thing *t = atomic_load(&published);
		for (int i = 0; i < 30; i++) {
			EXPECT_EQ(atomic_load(&t->dead), 0);
			hal.cpu.relax();
		}
		rcu_read_unlock();
	}
}

static void rcu_replace_things(void)
{
	nsec_t end = time_now() + 60 * NSEC_PER_MSEC;

	while (time_now() < end || atomic_load(&things_freed) < 10) {
		struct thing *next = thing_take();
		if (!next) {
			hal.cpu.relax();
			continue;
		}
		atomic_store(&next->dead, 0);
		struct thing *old = atomic_exchange(&published, next);
		rcu_call(&old->head, thing_free);
	}
	atomic_store(&rcu_stop, 1);
}

static void rcu_on_one(cpu_t cpu, void *arg)
{
	if (cpu == 0)
		rcu_replace_things();
	else
		rcu_read_things();
}

KERNEL_TEST(rcu_keeps_what_readers_see)
{
	free_things = nullptr;
	atomic_store(&things_freed, 0);
	atomic_store(&rcu_stop, 0);
	for (size_t i = 1; i < ARRAY_SIZE(things); i++) {
		things[i].next_free = free_things;
		free_things = &things[i];
	}
	atomic_store(&things[0].dead, 0);
	atomic_store(&published, &things[0]);
	ktest_on_all_cpus(rcu_on_one, nullptr);
	EXPECT(atomic_load(&things_freed) >= 10);
	rcu_synchronize();
	rcu_synchronize(); /* none of the heads is in use when the next test begins */
}

/* A reader that stays for several periods of the machinery. */
static _Atomic uint32_t reader_inside, reader_left;
static struct thing long_thing;

static void read_for_long(cpu_t cpu, void *arg)
{
	if (cpu == 0) {
		while (!atomic_load(&reader_inside))
			hal.cpu.relax();
		rcu_call(&long_thing.head, thing_free);
		while (!atomic_load(&things_freed))
			hal.cpu.relax();
		EXPECT(atomic_load(&reader_left));
		return;
	}
	if (cpu > 1)
		return;
	rcu_read_lock();
	atomic_store(&reader_inside, 1);
	nsec_t end = time_now() + 40 * NSEC_PER_MSEC;
	while (time_now() < end) {
		EXPECT_EQ(atomic_load(&long_thing.dead), 0);
		hal.cpu.relax();
	}
	atomic_store(&reader_left, 1);
	rcu_read_unlock();
}

KERNEL_TEST(rcu_waits_for_a_long_reader)
{
	if (!(cpu_online() & cpu_bit(1))) {
		ktest_skip("needs two CPUs");
		return;
	}
	atomic_store(&things_freed, 0);
	atomic_store(&reader_inside, 0);
	atomic_store(&reader_left, 0);
	atomic_store(&long_thing.dead, 0);
	ktest_on_all_cpus(read_for_long, nullptr);
	EXPECT_EQ(atomic_load(&long_thing.dead), 1);
}

/* Who frees pays, and a CPU is not kept from its own work by what the others free. */
static struct called {
	struct rcu_head head;
	_Atomic cpu_t on;
} called[CPU_MAX];

static void note_cpu(struct rcu_head *head)
{
	atomic_store(&container_of(head, struct called, head)->on, cpu_id());
}

static void call_later(cpu_t cpu, void *arg)
{
	struct called *c = &called[cpu];

	atomic_store(&c->on, CPU_NONE);
	rcu_call(&c->head, note_cpu);
	while (atomic_load(&c->on) == CPU_NONE)
		hal.cpu.relax();
	EXPECT_EQ(atomic_load(&c->on), cpu);
}

KERNEL_TEST(rcu_calls_where_it_was_asked)
{
	for (int i = 0; i < 3; i++)
		ktest_on_all_cpus(call_later, nullptr);
}

/* ---- Calls between CPUs ----------------------------------------------------------------------- */

static _Atomic uint64_t calls_seen[CPU_MAX];

static void call_note(void *arg)
{
	EXPECT(!hal.cpu.irq_enabled());
	EXPECT_EQ(*(uint64_t *)arg, 0x600d600d600d600d);
	atomic_fetch_add(&calls_seen[cpu_id()], 1);
}

static void call_from_one(cpu_t cpu, void *arg)
{
	uint64_t word = 0x600d600d600d600d; /* on this stack: gone if a call came too late */

	for (int i = 0; i < 100; i++)
		cpu_call(cpu_online(), call_note, &word);
	word = 0;
}

KERNEL_TEST(cpu_call_reaches_all_from_all)
{
	for (cpu_t i = 0; i < CPU_MAX; i++)
		atomic_store(&calls_seen[i], 0);
	ktest_on_all_cpus(call_from_one, nullptr);
	for (cpu_t i = 0; i < CPU_MAX; i++)
		EXPECT_EQ(atomic_load(&calls_seen[i]),
			  cpu_online() & cpu_bit(i) ? ktest_cpu_count() * 100u : 0);
}
