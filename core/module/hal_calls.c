/*
 * What a module calls where the kernel uses its HAL table (hal/module_table.h). Each is a few
 * instructions and a call away, which a module pays and the kernel does not.
 */
#include <core/panic.h>
#include <core/time.h>
#include <core/wait.h>
#include <hal/module_table.h>
#include <lib/export.h>
#include <module/call.h>
#include <module/slot.h>

struct hal_thread *module_hal_current(void)
{
	return hal.cpu.current();
}

/* In a guarded call, turning interrupts off only turns preemption off (core/guard.c): so that a timer
 * interrupt can end it. In an interrupt handler they are off. */
bool module_hal_irq_save(void)
{
	struct guard *g = current_task()->guard;

	if (!g)
		return hal.cpu.irq_save();
	if (g->masked || !hal.cpu.irq_enabled())
		return false;
	preempt_disable();
	g->masked = true;
	return true;
}

void module_hal_irq_restore(bool on)
{
	struct guard *g = current_task()->guard;

	if (!g || !on || !g->masked) {
		hal.cpu.irq_restore(on);
		return;
	}
	g->masked = false;
	preempt_enable();
}

bool module_hal_irq_enabled(void)
{
	const struct guard *g = current_task()->guard;

	return hal.cpu.irq_enabled() && !(g && g->masked);
}

/* Mutexes: noted, so that they are given back if a fault ends the call. */
static void note(struct mutex *m)
{
	struct guard *g = current_task()->guard;

	if (!g)
		return;
	BUG_ON(g->mutex_count == GUARD_LOCKS);
	g->mutexes[g->mutex_count++] = m;
}

void module_mutex_lock(struct mutex *m)
{
	mutex_lock(m);
	note(m);
}

bool module_mutex_try_lock(struct mutex *m)
{
	bool taken = mutex_try_lock(m);

	if (taken)
		note(m);
	return taken;
}

void module_mutex_unlock(struct mutex *m)
{
	struct guard *g = current_task()->guard;

	for (unsigned i = g ? g->mutex_count : 0; i-- > 0;) {
		if (g->mutexes[i] != m)
			continue;
		for (g->mutex_count--; i < g->mutex_count; i++)
			g->mutexes[i] = g->mutexes[i + 1];
		break;
	}
	mutex_unlock(m);
}

/* Gates of slots and wait queues: left if a fault ends the call, or no swap would ever find the slot empty, and
 * who wakes would find a waiter on a stack that is gone. */
static void undo_enter(void *slot, uintptr_t gate)
{
	slot_leave(slot, (unsigned)gate);
}

unsigned module_slot_enter(struct slot *s)
{
	unsigned gate = slot_enter(s);

	guard_note(undo_enter, s, gate);
	return gate;
}

void module_slot_leave(struct slot *s, unsigned gate)
{
	guard_forget(undo_enter, s, gate);
	slot_leave(s, gate);
}

static void undo_wait(void *queue, uintptr_t waiter)
{
	wait_end(queue, (struct waiter *)waiter);
}

void module_wait_begin(struct waitq *q, struct waiter *w)
{
	wait_begin(q, w);
	guard_note(undo_wait, q, (uintptr_t)w);
}

void module_wait_end(struct waitq *q, struct waiter *w)
{
	guard_forget(undo_wait, q, (uintptr_t)w);
	wait_end(q, w);
}

/* Timers: the function is called guarded, and not while its module has interrupts off here. */
#define TIMER_LATER (100 * NSEC_PER_USEC)

static void timer_fire(struct timer *t)
{
	const struct guard *interrupted = current_task()->guard;
	struct module_timer *m = container_of(t, struct module_timer, timer);

	if (interrupted && (interrupted->masked || interrupted->spin_count))
		timer_set(t, time_now() + TIMER_LATER);
	else
		(void)module_call(m->owner, MODULE_FN(m->fn), MODULE_ARG(m), 0, 0, 0);
}

void module_timer_init(struct module_timer *t, struct module *owner,
		       void (*fn)(struct module_timer *t))
{
	timer_init(&t->timer, timer_fire);
	t->owner = owner;
	t->fn = fn;
}

EXPORT_SYMBOL(module_mutex_lock);
EXPORT_SYMBOL(module_mutex_try_lock);
EXPORT_SYMBOL(module_mutex_unlock);
EXPORT_SYMBOL(module_slot_enter);
EXPORT_SYMBOL(module_slot_leave);
EXPORT_SYMBOL(module_wait_begin);
EXPORT_SYMBOL(module_wait_end);
EXPORT_SYMBOL(module_timer_init);

void module_hal_relax(void)
{
	hal.cpu.relax();
}

nsec_t module_hal_now(void)
{
	return hal.timer.now();
}

EXPORT_SYMBOL(module_hal_current);
EXPORT_SYMBOL(module_hal_irq_save);
EXPORT_SYMBOL(module_hal_irq_restore);
EXPORT_SYMBOL(module_hal_irq_enabled);
EXPORT_SYMBOL(module_hal_relax);
EXPORT_SYMBOL(module_hal_now);
