/*
 * Deliberate crashes, for tests of the panic page: kcrash=NAME on the command line does the wrong
 * thing called NAME in the boot thread. README.md lists what the page must say. What the watchdogs
 * see is only reported, and the boot goes on.
 */
#include "ktest_private.h"

#include <core/log.h>
#include <core/panic.h>
#include <core/spinlock.h>
#include <core/time.h>
#include <core/wait.h>
#include <exec/process.h>
#include <exec/thread.h>
#include <exec/watchdog.h>
#include <ktest/ktest.h>
#include <lib/string.h>
#include <mm/aspace.h>
#include <mm/heap.h>
#include <mm/heap_debug.h>
#include <mm/user_copy.h>

static NOINLINE void null_read(void)
{
	EXPECT_EQ(*(volatile int *)8, 0);
}

static NOINLINE void null_write(void)
{
	*(volatile int *)8 = 1;
}

/* A call that kCFI would stop before the hardware can. */
#define UNCHECKED_CALLS __attribute__((no_sanitize("kcfi")))

UNCHECKED_CALLS static NOINLINE void null_call(void)
{
	void (*volatile fn)(void) = (void (*)(void))16;
	fn();
}

static NOINLINE void bug(void)
{
	volatile int two = 2;
	BUG_ON(two == 2);
}

/* Writes its own code: text is read-only. */
static NOINLINE void text_write(void)
{
	*(volatile char *)(uintptr_t)text_write = 0;
}

UNCHECKED_CALLS static NOINLINE void data_execute(void)
{
	static char data[16];
	void (*volatile fn)(void) = (void (*)(void))(uintptr_t)data;
	fn();
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winfinite-recursion"
static NOINLINE int descend(volatile int *above)
{
	volatile int here[128];
	here[0] = *above + 1;
	return descend(here) + here[0];
}
#pragma clang diagnostic pop

static NOINLINE void stack_overflow(void)
{
	volatile int zero = 0;
	descend(&zero);
}

static NOINLINE void lock_twice(void)
{
	static struct spinlock lock = SPINLOCK_INIT(RANK_NONE, "twice");
	spin_lock(&lock);
	spin_lock(&lock); /* a debug build names it; a release build stands still */
}

/* ---- Hardening ------------------------------------------------------------------------------ */

static volatile int sealed RO_AFTER_INIT;

static NOINLINE void sealed_write(void)
{
	sealed = 1;
}

static NOINLINE INIT_TEXT void boot_code(void)
{
	sealed = 2;
}

static NOINLINE void init_call(void)
{
	boot_code();
}

static NOINLINE void smash(volatile char *from, size_t size)
{
	char small[24];
	volatile char *to = small;
	for (size_t i = 0; i < size; i++)
		to[i] = from[i];
}

static NOINLINE void stack_smash(void)
{
	static char much[128];
	memset(much, 'x', sizeof(much));
	smash(much, 64);
}

static NOINLINE int wants_two(int a, const char *b)
{
	return a + b[0];
}

static NOINLINE void call_type(void)
{
	void (*volatile fn)(long) = (void (*)(long))(uintptr_t)wants_two;
	fn(7);
}

/* A page that a program could have, filled in already, in front of this thread. */
static volatile char *user_page(unsigned prot)
{
	struct aspace *as;
	vaddr_t at = 0x400000;

	if (aspace_create(&as) != KERR_OK ||
	    aspace_map(as, &at, PAGE_SIZE, prot, MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_FIXED,
		       nullptr, 0) != KERR_OK ||
	    aspace_fault(as, at, TRAP_READ) != FAULT_CONTINUE)
		panic("no user page for the test");
	current_process()->aspace = as;
	bool on = hal.cpu.irq_save();
	aspace_activate(as);
	hal.cpu.irq_restore(on);
	char c;
	if (user_read(&c, at, 1) != KERR_OK)
		panic("the user page cannot be read in the right way");
	return (volatile char *)at;
}

static NOINLINE void stray_read(void)
{
	EXPECT_EQ(*user_page(PROT_READ), 0);
}

static NOINLINE void stray_write(void)
{
	*user_page(PROT_READ | PROT_WRITE) = 1;
}

UNCHECKED_CALLS static NOINLINE void stray_execute(void)
{
	void (*volatile fn)(void) = (void (*)(void))(uintptr_t)user_page(PROT_READ | PROT_EXEC);
	fn();
}

/* Slower than a compiler that knows what free() means. */
static NOINLINE char *block(size_t size)
{
	char *volatile p = heap_alloc(size);
	return p;
}

static NOINLINE void heap_overflow(void)
{
	char *p = block(100);
	p[103] = 'x';
	heap_free(p);
}

static NOINLINE void heap_underflow(void)
{
	char *p = block(100);
	p[-20] = 'x';
	heap_free(p);
}

static NOINLINE void heap_double_free(void)
{
	char *p = block(100);
	heap_free(p);
	heap_free(p);
}

static NOINLINE void heap_use_after_free(void)
{
	volatile char *p = block(100);
	heap_free((char *)p);
	p[7] = 'x';
	heap_debug_sweep();
}

static NOINLINE void heap_foreign_free(void)
{
	static char global[64];
	heap_free(global + 16);
}

/* ---- Sleeping where one may not: only debug builds see it ---- */

static struct mutex free_mutex = MUTEX_INIT(free_mutex);

static NOINLINE void sleep_locked(void)
{
	static struct spinlock lock = SPINLOCK_INIT(RANK_NONE, "held");
	spin_lock(&lock);
	mutex_lock(&free_mutex); /* it would not even have to wait */
	spin_unlock(&lock);
}

static NOINLINE void sleep_irq_off(void)
{
	bool on = hal.cpu.irq_save();
	mutex_lock(&free_mutex);
	hal.cpu.irq_restore(on);
}

static NOINLINE void sleep_preempt_off(void)
{
	preempt_disable();
	(void)!thread_sleep_until(time_now() + NSEC_PER_MSEC, false);
	preempt_enable();
}

/* ---- What the watchdogs see: reported, then it goes on. Needs watchdog_thresh=1 and
 * hung_task_timeout_secs=1. ---- */

static struct watchdog_figures figures(void)
{
	struct watchdog_figures f;

	watchdog_figures(&f);
	return f;
}

/* In another thread and on another CPU than the boot's, if there is one. */
static void in_thread(void (*fn)(void *arg))
{
	if (kthread_create("culprit", PRIORITY_NORMAL, fn, nullptr, nullptr) != KERR_OK)
		log_error("ktest: no thread");
}

static void await_report(uint64_t (*count)(void), nsec_t limit)
{
	nsec_t last = time_now() + limit;

	while (!count() && time_now() < last)
		(void)!thread_sleep_until(time_now() + 10 * NSEC_PER_MSEC, false);
	log_info("ktest: %s", count() ? "reported" : "nothing was reported");
}

static uint64_t soft_count(void)
{
	return figures().soft_lockups;
}

static uint64_t hard_count(void)
{
	return figures().hard_lockups;
}

static uint64_t hung_count(void)
{
	return figures().hung_tasks;
}

static NOINLINE void spin_until_seen(uint64_t (*count)(void))
{
	nsec_t last = time_now() + 60 * NSEC_PER_SEC;

	while (!count() && time_now() < last)
		hal.cpu.relax();
}

static NOINLINE void stay_atomic(void *arg)
{
	static struct spinlock lock = SPINLOCK_INIT(RANK_NONE, "too long");

	spin_lock(&lock);
	spin_until_seen(soft_count);
	spin_unlock(&lock);
}

static void soft_lockup(void)
{
	in_thread(stay_atomic);
	await_report(soft_count, 60 * NSEC_PER_SEC);
}

static NOINLINE void stay_deaf(void *arg)
{
	bool on = hal.cpu.irq_save();

	spin_until_seen(hard_count);
	hal.cpu.irq_restore(on);
}

static void hard_lockup(void)
{
	in_thread(stay_deaf);
	await_report(hard_count, 60 * NSEC_PER_SEC);
}

static NOINLINE void wait_for_mutex(void *arg)
{
	mutex_lock(&free_mutex);
	mutex_unlock(&free_mutex);
}

static void hung_task(void)
{
	mutex_lock(&free_mutex);
	in_thread(wait_for_mutex);
	await_report(hung_count, 60 * NSEC_PER_SEC);
	mutex_unlock(&free_mutex);
}

/* A thread that computes in the kernel, can be preempted and has no competitor, and one that waits
 * with an end: no reason for a report. */
static NOINLINE void compute(void *arg)
{
	for (nsec_t last = time_now() + 5 * NSEC_PER_SEC; time_now() < last;)
		hal.cpu.relax();
}

static NOINLINE void sleep_long(void *arg)
{
	(void)!thread_sleep_until(time_now() + 5 * NSEC_PER_SEC, false);
}

static void no_lockup(void)
{
	in_thread(compute);
	in_thread(sleep_long);
	(void)!thread_sleep_until(time_now() + 6 * NSEC_PER_SEC, false);
	struct watchdog_figures f = figures();
	log_info("ktest: %s",
		 f.soft_lockups + f.hard_lockups + f.hung_tasks ? "false alarm" : "no false alarm");
}

/* The table of states does not have it. */
static NOINLINE void wrong_move(void)
{
	thread_move(current_thread(), THREAD_RUNNING, THREAD_DEAD);
}

/* The table has it, but the thread is in another state. */
static NOINLINE void wrong_state(void)
{
	(void)hal.cpu.irq_save();
	thread_move(current_thread(), THREAD_READY, THREAD_RUNNING);
}

static const struct {
	const char *name;
	void (*fn)(void);
} crashes[] = {
	{"null-read", null_read},
	{"null-write", null_write},
	{"null-call", null_call},
	{"bug", bug},
	{"text-write", text_write},
	{"data-execute", data_execute},
	{"stack", stack_overflow},
	{"lock-twice", lock_twice},
	{"sealed-write", sealed_write},
	{"init-call", init_call},
	{"stack-smash", stack_smash},
	{"call-type", call_type},
	{"user-read", stray_read},
	{"user-write", stray_write},
	{"user-execute", stray_execute},
	{"heap-overflow", heap_overflow},
	{"heap-underflow", heap_underflow},
	{"heap-double-free", heap_double_free},
	{"heap-use-after-free", heap_use_after_free},
	{"heap-foreign-free", heap_foreign_free},
	{"sleep-locked", sleep_locked},
	{"sleep-irq-off", sleep_irq_off},
	{"sleep-preempt-off", sleep_preempt_off},
	{"wrong-move", wrong_move},
	{"wrong-state", wrong_state},
	{"soft-lockup", soft_lockup},
	{"hard-lockup", hard_lockup},
	{"hung-task", hung_task},
	{"no-lockup", no_lockup},
};

void ktest_crash(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++) {
		if (strcmp(crashes[i].name, name) != 0)
			continue;
		log_info("ktest: crashing on purpose: %s", name);
		crashes[i].fn();
		log_info("ktest: %s goes on", name);
		return;
	}
	log_error("ktest: kcrash=%s: there is no such crash", name);
}
