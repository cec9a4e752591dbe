/*
 * Contract: hal.timer and hal.smp: one clock for all, deadlines in the past and the future, waiting,
 * interrupts between CPUs. The machine's timer belongs to core/; where a test arms it by hand,
 * interrupts are off, and core arms it anew when the interrupt comes.
 */
#include <core/cpu.h>
#include <core/time.h>
#include <ktest/cpus.h>
#include <ktest/ktest.h>

/* ---- The clock -------------------------------------------------------------------------------- */

static struct {
	_Atomic uint64_t last; /* the latest time that any CPU has seen */
	_Atomic uint32_t backwards;
} clock;

/* now() after having seen another CPU's time is not before it. */
static void read_clock(cpu_t cpu, void *arg)
{
	for (int i = 0; i < 3000; i++) {
		uint64_t seen = atomic_load(&clock.last);
		uint64_t now = hal.timer.now();
		if (now + *(uint64_t *)arg < seen)
			atomic_fetch_add(&clock.backwards, 1);
		while (now > seen && !atomic_compare_exchange_weak(&clock.last, &seen, now))
			;
	}
}

KERNEL_TEST(timer_clock_is_one_for_all_cpus)
{
	uint64_t slack = 0;

	atomic_store(&clock.last, 0);
	atomic_store(&clock.backwards, 0);
	ktest_on_all_cpus(read_clock, &slack);
	EXPECT_EQ(atomic_load(&clock.backwards), 0);
}

KERNEL_TEST(timer_clock_runs)
{
	nsec_t start = hal.timer.now(), now = start;
	unsigned steps = 0;

	for (unsigned i = 0; i < 100000 && steps < 100; i++) {
		nsec_t next = hal.timer.now();
		REQUIRE(next >= now);
		steps += next > now;
		now = next;
	}
	EXPECT(steps >= 100);
	EXPECT(now - start < 10 * NSEC_PER_SEC);
	EXPECT(now < 365 * 86400 * NSEC_PER_SEC);
}

/* ---- Deadlines -------------------------------------------------------------------------------- */

/* Sleeps in hal.cpu.wait until `deadline`, for which the timer is armed. */
static void wait_until_time(nsec_t deadline)
{
	while (hal.timer.now() < deadline) {
		hal.timer.arm(deadline); /* another interrupt's work may have armed it anew */
		hal.cpu.wait();
		EXPECT(!hal.cpu.irq_enabled());
	}
}

static void deadlines_on_one(cpu_t cpu, void *arg)
{
	static const nsec_t delays[] = {1, 1000, 20 * NSEC_PER_USEC, NSEC_PER_MSEC,
					5 * NSEC_PER_MSEC};

	preempt_disable();
	bool on = hal.cpu.irq_save();
	for (size_t i = 0; i < ARRAY_SIZE(delays); i++) {
		nsec_t deadline = hal.timer.now() + delays[i];
		wait_until_time(deadline); /* an interrupt that never comes hangs here */
		EXPECT(hal.timer.now() >= deadline);
	}
	/* Past ones come at once. */
	for (int i = 0; i < 5; i++) {
		hal.timer.arm(i ? hal.timer.now() - 1 : 0);
		hal.cpu.wait();
	}
	hal.cpu.irq_restore(on);
	preempt_enable();
}

/* Core must not lose its own timers by what the test did. */
static void rearm_core(cpu_t cpu, void *arg)
{
	struct timer t;

	timer_init(&t, arg);
	timer_set(&t, 1);
	while (READ_ONCE(t.queued))
		hal.cpu.relax();
	timer_cancel(&t);
}

static void nothing(struct timer *t)
{
}

KERNEL_TEST(timer_deadlines_on_every_cpu)
{
	ktest_on_all_cpus(deadlines_on_one, nullptr);
	ktest_on_all_cpus(rearm_core, nothing);
}

static void note_time(struct timer *t)
{
	t->deadline = hal.timer.now();
}

/* NEVER takes an armed deadline back; a later arm replaces an earlier one. */
KERNEL_TEST(timer_never_and_replaced)
{
	struct timer t;

	preempt_disable();
	bool on = hal.cpu.irq_save();
	nsec_t start = hal.timer.now();
	hal.timer.arm(start + 2 * NSEC_PER_MSEC);
	hal.timer.arm(NSEC_NEVER);
	hal.timer.arm(start + 6 * NSEC_PER_MSEC);
	hal.cpu.irq_restore(on);
	preempt_enable();
	timer_init(&t, note_time);
	nsec_t deadline = hal.timer.now() + NSEC_PER_MSEC;
	timer_set(&t, deadline);
	while (READ_ONCE(t.queued))
		hal.cpu.relax();
	timer_cancel(&t);
	EXPECT(t.deadline >= deadline);
}

/* An interrupt that became pending before wait() ends it at once. */
KERNEL_TEST(timer_pending_before_wait_is_not_missed)
{
	preempt_disable();
	bool on = hal.cpu.irq_save();
	for (int i = 0; i < 50; i++) {
		nsec_t deadline = hal.timer.now() + 20 * NSEC_PER_USEC;
		hal.timer.arm(deadline);
		while (hal.timer.now() < deadline + 100 * NSEC_PER_USEC)
			hal.cpu.relax();
		EXPECT(!hal.cpu.irq_enabled());
		hal.cpu.wait();
	}
	hal.cpu.irq_restore(on);
	preempt_enable();
	rearm_core(0, nothing);
}

/* ---- Interrupts between CPUs -------------------------------------------------------------------- */

static uint64_t message; /* plain memory, written before the interrupt */
static _Atomic uint64_t received[CPU_MAX];

static void receive(void *arg)
{
	if (message == *(uint64_t *)arg)
		atomic_fetch_add(&received[cpu_id()], 1);
}

KERNEL_TEST(smp_ipi_reaches_every_cpu_with_memory)
{
	for (cpu_t cpu = 0; cpu < CPU_MAX; cpu++)
		atomic_store(&received[cpu], 0);
	for (uint64_t n = 1; n <= 100; n++) {
		for (cpu_t cpu = 0; cpu < cpu_count; cpu++) {
			if (!(cpu_online() & cpu_bit(cpu)))
				continue;
			message = n * 64 + cpu;
			uint64_t expected = message;
			cpu_call(cpu_bit(cpu), receive, &expected);
			EXPECT_EQ(atomic_load(&received[cpu]), n);
		}
	}
}

/* All at once, and again before the first has been taken: at least one arrives. */
KERNEL_TEST(smp_ipi_to_many)
{
	preempt_disable();
	cpuset_t others = cpu_online() & ~cpu_bit(cpu_id());
	if (others)
		for (int i = 0; i < 200; i++)
			hal.smp.ipi(others);
	preempt_enable();
	uint64_t expected = message = 1;
	for (cpu_t cpu = 0; cpu < CPU_MAX; cpu++)
		atomic_store(&received[cpu], 0);
	cpu_call(others, receive, &expected);
	for (cpuset_t left = others; left; left &= left - 1)
		EXPECT_EQ(atomic_load(&received[__builtin_ctzll(left)]), 1);
}
