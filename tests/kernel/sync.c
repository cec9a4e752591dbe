/* Self-tests of core/sync: locks, wait queues and their guarantees on all CPUs at once. */
#include <core/cpu.h>
#include <core/time.h>
#include <core/wait.h>
#include <ktest/cpus.h>
#include <ktest/ktest.h>

#define ROUNDS 2000

/* ---- Spinlocks ------------------------------------------------------------------------------ */

static struct spinlock count_lock = SPINLOCK_INIT(RANK_NONE, "ktest count");
static uint64_t count; /* (count_lock) or by the lock of the test */

static void count_with_spinlock(cpu_t cpu, void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		spin_lock(&count_lock);
		uint64_t seen = READ_ONCE(count);
		WRITE_ONCE(count, seen + 1);
		spin_unlock(&count_lock);
		bool on = spin_lock_irq(&count_lock);
		count++;
		spin_unlock_irq(&count_lock, on);
	}
}

KERNEL_TEST(spinlock_excludes)
{
	count = 0;
	ktest_on_all_cpus(count_with_spinlock, nullptr);
	EXPECT_EQ(count, (uint64_t)ktest_cpu_count() * ROUNDS * 2);
}

KERNEL_TEST(spinlock_try_and_interrupt_state)
{
	struct spinlock a, b;

	spin_init(&a, RANK_NONE, "ktest a");
	spin_init(&b, RANK_NONE, "ktest b");
	uint32_t before = current_task()->preempt_count;
	REQUIRE(spin_try_lock(&a));
	EXPECT_EQ(current_task()->preempt_count, before + 1);
	EXPECT(hal.cpu.irq_enabled());
	bool on = spin_lock_irq(&b);
	EXPECT(on);
	EXPECT(!hal.cpu.irq_enabled());
	spin_unlock_irq(&b, on);
	EXPECT(hal.cpu.irq_enabled());
	spin_unlock(&a);
	EXPECT_EQ(current_task()->preempt_count, before);
}

static void fire_again(struct timer *t)
{
	timer_set(t, time_now() + 10 * NSEC_PER_USEC);
}

/* The timer's interrupt takes locks as well: what debug kernels note of ours stays right. */
KERNEL_TEST(spinlocks_freed_in_any_order_under_interrupts)
{
	struct spinlock a, b;
	struct timer t;
	unsigned left = 0;

	spin_init(&a, RANK_NONE, "ktest a");
	spin_init(&b, RANK_NONE, "ktest b");
	timer_init(&t, fire_again);
	fire_again(&t);
	for (nsec_t end = time_now() + 300 * NSEC_PER_MSEC; time_now() < end && !left;) {
		spin_lock(&a);
		spin_lock(&b);
		spin_unlock(&a);
		spin_unlock(&b);
#if defined(TERN_DEBUG)
		left = current_task()->lock_count;
#endif
	}
	timer_cancel(&t);
	EXPECT_EQ(left, 0);
}

static struct spinlock held_lock = SPINLOCK_INIT(RANK_NONE, "ktest held");
static _Atomic uint32_t holders, tries_that_held;

static void try_lock_all(cpu_t cpu, void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (!spin_try_lock(&held_lock))
			continue;
		EXPECT_EQ(atomic_fetch_add(&holders, 1), 0);
		atomic_fetch_add(&tries_that_held, 1);
		atomic_fetch_sub(&holders, 1);
		spin_unlock(&held_lock);
	}
}

KERNEL_TEST(spinlock_try_excludes)
{
	atomic_store(&tries_that_held, 0);
	ktest_on_all_cpus(try_lock_all, nullptr);
	EXPECT(atomic_load(&tries_that_held) > 0);
}

/* ---- Mutex ---------------------------------------------------------------------------------- */

static struct mutex count_mutex = MUTEX_INIT(count_mutex);

static void count_with_mutex(cpu_t cpu, void *arg)
{
	for (int i = 0; i < ROUNDS / 4; i++) {
		mutex_lock(&count_mutex);
		EXPECT(mutex_held(&count_mutex));
		uint64_t seen = READ_ONCE(count);
		if (i % 16 == 0)
			for (int k = 0; k < 20; k++)
				hal.cpu.relax();
		WRITE_ONCE(count, seen + 1);
		mutex_unlock(&count_mutex);
	}
}

KERNEL_TEST(mutex_excludes)
{
	count = 0;
	ktest_on_all_cpus(count_with_mutex, nullptr);
	EXPECT_EQ(count, (uint64_t)ktest_cpu_count() * (ROUNDS / 4));
	EXPECT(!mutex_held(&count_mutex));
	REQUIRE(mutex_try_lock(&count_mutex));
	EXPECT(mutex_held(&count_mutex));
	mutex_unlock(&count_mutex);
}

/* CPU 0 keeps it, but for passing it on; the others are done long before it lets go. */
static _Atomic uint32_t others_done;

static void pass_to_others(cpu_t cpu, void *arg)
{
	const uint32_t others = (uint32_t)ktest_cpu_count() - 1;

	if (cpu == 0) {
		mutex_lock(&count_mutex);
		while (atomic_load(&others_done) < others) {
			count++;
			mutex_pass(&count_mutex);
			EXPECT(mutex_held(&count_mutex));
		}
		mutex_unlock(&count_mutex);
		return;
	}
	for (int i = 0; i < 100; i++) {
		mutex_lock(&count_mutex);
		count++;
		mutex_unlock(&count_mutex);
	}
	atomic_fetch_add(&others_done, 1);
}

KERNEL_TEST(mutex_is_passed)
{
	count = 0;
	atomic_store(&others_done, 0);
	ktest_on_all_cpus(pass_to_others, nullptr);
	EXPECT(count >= ((uint64_t)ktest_cpu_count() - 1) * 100);
	EXPECT(!mutex_held(&count_mutex));
}

/* ---- Reader-writer lock --------------------------------------------------------------------- */

static struct rwlock pair_lock;
static uint64_t pair[2]; /* (pair_lock) always equal */
static _Atomic uint32_t readers_inside, readers_most;

static void read_and_write_pair(cpu_t cpu, void *arg)
{
	struct test_random random = {cpu};

	for (int i = 0; i < ROUNDS / 4; i++) {
		if (test_random_below(&random, 8) == 0) {
			rwlock_write_lock(&pair_lock);
			EXPECT_EQ(atomic_load(&readers_inside), 0);
			uint64_t next = pair[0] + 1;
			WRITE_ONCE(pair[0], next);
			hal.cpu.relax();
			WRITE_ONCE(pair[1], next);
			rwlock_write_unlock(&pair_lock);
			continue;
		}
		rwlock_read_lock(&pair_lock);
		uint32_t inside = atomic_fetch_add(&readers_inside, 1) + 1;
		if (inside > atomic_load(&readers_most))
			atomic_store(&readers_most, inside);
		uint64_t a = READ_ONCE(pair[0]);
		hal.cpu.relax();
		EXPECT_EQ(READ_ONCE(pair[1]), a);
		atomic_fetch_sub(&readers_inside, 1);
		rwlock_read_unlock(&pair_lock);
	}
}

KERNEL_TEST(rwlock_keeps_pairs_equal)
{
	rwlock_init(&pair_lock, "pair");
	pair[0] = pair[1] = 0;
	atomic_store(&readers_most, 0);
	ktest_on_all_cpus(read_and_write_pair, nullptr);
	EXPECT(pair[0] > 0);
	EXPECT_EQ(pair[0], pair[1]);
	EXPECT(atomic_load(&readers_most) > 0);
	/* Free again: two readers fit, then a writer. */
	REQUIRE(rwlock_try_read_lock(&pair_lock));
	REQUIRE(rwlock_try_read_lock(&pair_lock));
	rwlock_read_unlock(&pair_lock);
	rwlock_read_unlock(&pair_lock);
	rwlock_write_lock(&pair_lock);
	EXPECT(!rwlock_try_read_lock(&pair_lock));
	rwlock_write_unlock(&pair_lock);
}

/* ---- Wait queues ---------------------------------------------------------------------------- */

static struct waitq turn_queue = WAITQ_INIT(turn_queue);
static _Atomic uint64_t turn;

/* The CPUs pass a turn round: each waits for its own. A lost wake-up stands still. */
static void take_turns(cpu_t cpu, void *arg)
{
	uint64_t n = ktest_cpu_count(),
		 me = (uint64_t)__builtin_popcountll(cpu_online() & (cpu_bit(cpu) - 1));

	for (uint64_t i = 0; i < 200; i++) {
		EXPECT_OK(wait_until(&turn_queue, atomic_load(&turn) == i * n + me, WAIT_OTHER,
				     false, NSEC_NEVER));
		atomic_fetch_add(&turn, 1);
		wake_all(&turn_queue);
	}
}

KERNEL_TEST(waitq_loses_no_wake_up)
{
	atomic_store(&turn, 0);
	ktest_on_all_cpus(take_turns, nullptr);
	EXPECT_EQ(atomic_load(&turn), (uint64_t)ktest_cpu_count() * 200);
	EXPECT(!waitq_active(&turn_queue));
}

KERNEL_TEST(waitq_times_out)
{
	struct waitq q;

	waitq_init(&q);
	nsec_t start = time_now();
	enum kerr err = wait_until(&q, false, WAIT_OTHER, false, start + 3 * NSEC_PER_MSEC);
	EXPECT_EQ(err, KERR_TIMEDOUT);
	EXPECT(time_now() >= start + 3 * NSEC_PER_MSEC);
	EXPECT(!waitq_active(&q));
	/* The condition wins over a deadline that has passed. */
	EXPECT_OK(wait_until(&q, true, WAIT_OTHER, false, start));
}

static void wake_from_timer(struct timer *t)
{
	atomic_store(&turn, 1);
	wake_all(&turn_queue);
}

KERNEL_TEST(waitq_woken_by_interrupt)
{
	struct timer t;

	for (int i = 0; i < 20; i++) {
		atomic_store(&turn, 0);
		timer_init(&t, wake_from_timer);
		timer_set(&t, time_now() + 200 * NSEC_PER_USEC);
		EXPECT_OK(wait_until(&turn_queue, atomic_load(&turn) == 1, WAIT_OTHER, false,
				     NSEC_NEVER));
		timer_cancel(&t);
	}
}

static struct waitq slots_queue = WAITQ_INIT(slots_queue);
static _Atomic int32_t slots;
static _Atomic uint64_t taken;

static bool slot_take(void)
{
	int32_t have = atomic_load(&slots);

	while (have > 0)
		if (atomic_compare_exchange_weak(&slots, &have, have - 1))
			return true;
	return false;
}

/* Exclusive waiters: each wake_one lets one through; all get theirs. */
static void give_and_take(cpu_t cpu, void *arg)
{
	for (int i = 0; i < 200; i++) {
		atomic_fetch_add(&slots, 1);
		wake_one(&slots_queue);
		struct waiter w;
		wait_begin_exclusive(&slots_queue, &w);
		while (!slot_take()) {
			enum kerr err = wait_park(&w, WAIT_OTHER, false, NSEC_NEVER);
			EXPECT_EQ(err, KERR_OK);
		}
		wait_end(&slots_queue, &w);
		if (atomic_load(&slots) > 0)
			wake_one(&slots_queue);
		atomic_fetch_add(&taken, 1);
	}
}

KERNEL_TEST(waitq_exclusive_waiters_all_get_theirs)
{
	atomic_store(&slots, 0);
	atomic_store(&taken, 0);
	ktest_on_all_cpus(give_and_take, nullptr);
	EXPECT_EQ(atomic_load(&slots), 0);
	EXPECT_EQ(atomic_load(&taken), (uint64_t)ktest_cpu_count() * 200);
}
