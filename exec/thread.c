/*
 * Threads: creation, their states, idle threads, kernel threads, the end.
 *
 * A thread is its struct (a slab object, freed one RCU grace period after its end, so that lookups
 * by tid need no lock), a kernel stack with guard pages, and for user threads an FPU save area.
 * The user registers lie at the very top of the stack. A dead thread's stack is freed by the
 * thread that runs next on its CPU, the first moment nobody stands on it.
 */
#include "process_private.h"
#include "sched_private.h"
#include "thread_private.h"
#include "watchdog.h"
#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <exec/domain.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <mm/kmap.h>
#include <mm/memory.h>

static struct cache *threads RO_AFTER_INIT;
static struct cache *fpu_areas RO_AFTER_INIT;
static const struct boot_info *boot RO_AFTER_INIT;

/* ---- States (TH-2) ---- */

#define TO(state) (1u << THREAD_##state)
static const uint8_t allowed_moves[] = {
	[THREAD_CREATING] = TO(READY) | TO(DEAD),
	[THREAD_READY] = TO(RUNNING),
	[THREAD_RUNNING] = TO(READY) | TO(BLOCKED) | TO(SLEEPING) | TO(STOPPED) | TO(ZOMBIE),
	[THREAD_BLOCKED] = TO(READY) | TO(RUNNING),
	[THREAD_SLEEPING] = TO(READY) | TO(RUNNING),
	[THREAD_STOPPED] = TO(READY) | TO(RUNNING),
	[THREAD_DEAD] = 0,
	[THREAD_ZOMBIE] = TO(DEAD),
};

const char *thread_state_name(enum thread_state state)
{
	static const char *const names[] = {"creating", "ready",   "running", "blocked",
					    "sleeping", "stopped", "dead",    "zombie"};
	return state < ARRAY_SIZE(names) ? names[state] : "?";
}

/* A move that the table does not have, or from another state than the thread is in: a bug of the
 * kernel, after which no queue can be trusted. */
[[noreturn]] static NOINLINE void bad_move(const struct thread *t, enum thread_state from,
					   enum thread_state to)
{
	panic("thread %d (%s): state %s, asked to go from %s to %s", t->tid, t->task.name,
	      thread_state_name(t->state), thread_state_name(from), thread_state_name(to));
}

void thread_move(struct thread *t, enum thread_state from, enum thread_state to)
{
	uint8_t old = atomic_exchange_explicit(&t->state, (uint8_t)to, memory_order_seq_cst);

	if (unlikely(old != from || !(allowed_moves[from] >> to & 1))) {
		atomic_store(&t->state, old);
		bad_move(t, from, to);
	}
}

bool thread_try_move(struct thread *t, enum thread_state from, enum thread_state to)
{
	uint8_t expected = (uint8_t)from;

	if (unlikely(!(allowed_moves[from] >> to & 1)))
		bad_move(t, from, to);
	return atomic_compare_exchange_strong_explicit(&t->state, &expected, (uint8_t)to,
						       memory_order_seq_cst, memory_order_seq_cst);
}

/* ---- Creation ---- */

static void wake_sleeper(struct timer *timer)
{
	sched_unpark(&container_of(timer, struct thread, sleep_timer)->task);
}

static void init_common(struct thread *t, struct process *p, const char *name, uint8_t priority)
{
	strlcpy(t->task.name, name, sizeof(t->task.name));
	t->process = p;
	t->state = THREAD_CREATING;
	t->priority = t->base_priority = priority;
	t->affinity = ~(cpuset_t)0;
	list_init(&t->run_link);
	t->queued_on = CPU_NONE;
	atomic_init(&t->fpu_cpu, CPU_NONE);
	t->entered = NSEC_NEVER;
	t->start_time = time_now();
	t->alt_stack_flags = 2; /* SS_DISABLE */
	list_init(&t->process_link);
	list_init(&t->signal_queue);
	list_init(&t->pi_owned);
	timer_init(&t->sleep_timer, wake_sleeper);
}

struct thread *thread_create(struct process *p, const char *name, bool user)
{
	struct thread *t = cache_alloc_zeroed(threads);

	if (!t)
		return nullptr;
	t->stack = kstack_alloc();
	if (!t->stack)
		goto fail_stack;
	if (user) {
		t->task.hal.fpu = cache_alloc_zeroed(fpu_areas);
		if (!t->task.hal.fpu)
			goto fail_fpu;
	}
	init_common(t, p, name, PRIORITY_NORMAL);
	t->calls = process_call_tables[0];
	t->task.hal.cpu = cpu_id();
	/* The user registers lie above what the first switch needs. */
	t->task.hal.stack_top = (uintptr_t)t->stack + KSTACK_SIZE - hal.user.info()->frame_size;
	hal.cpu.thread_init(&t->task.hal, thread_start_entry, t);
	t->task.hal.stack_top = (uintptr_t)t->stack + KSTACK_SIZE;
	return t;

fail_fpu:
	kstack_free(t->stack);
fail_stack:
	cache_free(threads, t);
	return nullptr;
}

void thread_destroy_unborn(struct thread *t)
{
	thread_move(t, THREAD_CREATING, THREAD_DEAD);
	kstack_free(t->stack);
	if (t->task.hal.fpu)
		cache_free(fpu_areas, t->task.hal.fpu);
	cache_free(threads, t);
}

void thread_launch(struct thread *t)
{
	thread_move(t, THREAD_CREATING, THREAD_READY);
	sched_place(t, READY_NEW);
}

/* Interrupts off, on the new thread's own stack. */
void thread_start_entry(struct hal_thread *prev, void *arg)
{
	struct thread *t = arg;

	runqueues[t->task.hal.cpu].stats.starts++;
	sched_switch_finish((struct thread *)prev);
	if (t->entry) {
		hal.cpu.irq_restore(true);
		t->entry(t->entry_arg);
	}
	if (!t->task.hal.fpu)
		thread_end();
	struct hal_frame *frame = thread_frame(t);
	core_return_to_user(frame);
	if (unlikely(t->tid == 1))
		boot_user_starts();
	hal.user.enter(frame);
}

enum kerr kthread_create(const char *name, int priority, void (*fn)(void *arg), void *arg,
			 struct thread **out)
{
	struct thread *t = thread_create(&kernel_process, name, false);

	if (!t)
		return KERR_NOMEM;
	enum kerr err = id_alloc(&t->tid);
	if (err != KERR_OK) {
		thread_destroy_unborn(t);
		return err;
	}
	t->priority = t->base_priority = (uint8_t)priority;
	t->entry = fn;
	t->entry_arg = arg;
	t->entered = t->start_time; /* all its time is the kernel's */
	process_thread_publish(&kernel_process, t);
	if (out)
		*out = t;
	thread_launch(t);
	return KERR_OK;
}

enum kerr thread_spawn(const char *name, void (*fn)(void *arg), void *arg)
{
	return kthread_create(name, PRIORITY_NORMAL, fn, arg, nullptr);
}

/* ---- The end ---- */

void thread_leave_cpu(void)
{
	struct thread *t = current_thread();

	fpu_drop();
	(void)hal.cpu.irq_save();
	thread_move(t, THREAD_RUNNING, THREAD_ZOMBIE);
	sched_switch(SWITCH_EXIT);
	panic("thread %d ran after its end", t->tid);
}

void thread_end(void)
{
	process_thread_withdraw(current_thread());
	thread_leave_cpu();
}

static void free_thread(struct rcu_head *head)
{
	cache_free(threads, container_of(head, struct thread, rcu));
}

void thread_bury(struct thread *t)
{
	BUG_ON(t->fpu_cpu != CPU_NONE);
	if (t->stack)
		kstack_free(t->stack);
	if (t->task.hal.fpu)
		cache_free(fpu_areas, t->task.hal.fpu);
	process_put(t->process);
	thread_move(t, THREAD_ZOMBIE, THREAD_DEAD);
	rcu_call(&t->rcu, free_thread);
}

/* ---- Idle ---- */

static struct thread *idle_create(cpu_t cpu)
{
	struct thread *t = cache_alloc_zeroed(threads);

	if (!t)
		return nullptr;
	char name[16] = "idle/";
	format(name, sizeof(name), "idle/%u", cpu);
	init_common(t, &kernel_process, name, PRIORITY_IDLE);
	t->task.hal.cpu = cpu;
	t->task.preempt_count = 1; /* until its loop runs */
	t->state = THREAD_RUNNING;
	t->on_cpu = true;
	t->affinity = cpu_bit(cpu);
	struct runqueue *rq = &runqueues[cpu];
	rq->idle = t;
	rq->current = t;
	timer_init(&rq->slice_timer, sched_slice_timer);
	return t;
}

static struct task *idle_for_start(cpu_t cpu)
{
	struct thread *t = idle_create(cpu);

	if (!t)
		return nullptr;
	t->stack = kstack_alloc();
	if (!t->stack) {
		cache_free(threads, t);
		return nullptr;
	}
	t->task.hal.stack_top = (uintptr_t)t->stack + KSTACK_SIZE;
	return &t->task;
}

void sched_run_idle(void)
{
	struct thread *self = current_thread();
	cpu_t cpu = self->task.hal.cpu;
	struct runqueue *rq = &runqueues[cpu];

	BUG_ON(self != rq->idle);
	self->task.preempt_count = 0;
	self->ran_since = rq->started = time_now();
	atomic_fetch_or(&sched_online, cpu_bit(cpu));
	for (;;) {
		if (READ_ONCE(rq->ready) ||
		    atomic_load_explicit(&self->task.work, memory_order_relaxed)) {
			sched_switch(SWITCH_INTERRUPT);
			continue;
		}
		atomic_fetch_or_explicit(&sched_idle, cpu_bit(cpu), memory_order_seq_cst);
		if (!READ_ONCE(rq->ready) && !sched_pull_idle(rq, cpu)) {
			rcu_quiescent(cpu);
			watchdog_cpu_idle(cpu);
			if (!frame_idle_work())
				hal.cpu.wait();
		}
		atomic_fetch_and_explicit(&sched_idle, ~cpu_bit(cpu), memory_order_relaxed);
	}
}

/* ---- Boot ---- */

static enum kerr scheduler_init(const struct boot_info *info)
{
	boot = info;
	threads = cache_create("thread", sizeof(struct thread), 64);
	fpu_areas = cache_create("fpu", hal.user.info()->fpu_size, 64);
	process_boot();
	enum kerr err = sched_policies_boot(cpu_count);
	if (err != KERR_OK)
		return err;
	/* What has run since the entry point becomes CPU 0's idle thread, on its stack. */
	struct task *bare = current_task();
	struct thread *idle = idle_create(0);
	if (!idle)
		return KERR_NOMEM;
	idle->task.hal = bare->hal;
	idle->task.preempt_count = bare->preempt_count;
	bool on = hal.cpu.irq_save();
	hal.cpu.set_current(&idle->task.hal);
	hal.cpu.irq_restore(on);
	atomic_fetch_or(&sched_online, cpu_bit(0));
	figures_start();
	log_info("scheduler: %s, %u CPU%s", sched_name(), cpu_count, cpu_count == 1 ? "" : "s");
	return KERR_OK;
}

static enum kerr scheduler_start(void)
{
	cpu_start_others(boot, idle_for_start);
	return KERR_OK;
}

static const struct init_ops scheduler_ops = {.init = scheduler_init, .start = scheduler_start};
INIT_SUBSYSTEM(scheduler, .phase = INIT_CORE, .priority = 10,
	       .requires = INIT_MEMORY | INIT_HEAP | INIT_TIMERS, .provides = INIT_SCHEDULER,
	       INIT_DEPENDS("cpu", "memory", "timers"), .ops = &scheduler_ops);
