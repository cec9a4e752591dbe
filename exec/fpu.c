/*
 * The lazy floating-point and vector unit (TH-7): registers are saved only when another thread needs
 * the unit.
 *
 * A switch leaves the registers of the thread that goes where they are. Each CPU knows whose they
 * are (runqueue.fpu_owner), each thread where its own are (thread.fpu_cpu):
 *
 *	a CPU		in that CPU's unit, newer than the area in memory (or equal to it)
 *	CPU_NONE	in the area
 *	FPU_HELD	in the area, which its thread is reading or rewriting (signals, exec): no
 *			switch may load them meanwhile
 *
 * A user thread finds the unit on if it is the owner, off otherwise; its first use traps, and then
 * the owner's registers are saved and its own loaded. Kernel threads and idle ones use none, so
 * nothing at all is done for them: a thread that sleeps and wakes on its CPU while nobody else
 * computes is never saved. One that has trapped in nearly every turn gets the unit with the switch
 * (fpu_uses), for a while, then must show by a trap that it still wants it: a trap costs more than
 * the save and load that it would leave out.
 *
 * A thread that moved to another CPU asks for its registers when it first uses them, by a call to
 * the CPU that has them; it waits in its own context with interrupts on and no lock. A switch
 * never waits. Who ends or begins a new program only gives them up: whoever takes the
 * pointer fpu_owner by an atomic exchange, the owner or the CPU, disposes of what it stood for, so
 * no CPU keeps a pointer to a thread that is gone.
 *
 * Order: fpu_owner and fpu_on are changed by their own CPU with interrupts off, but that fpu_owner
 * may become null by its thread anywhere. fpu_cpu goes from CPU_NONE to a CPU by that CPU, running
 * the thread; back by the CPU after a save (release; who finds CPU_NONE sees the area) or by the
 * thread itself. Cost of a switch between threads that do not compute: three loads and compares.
 *
 * Rejected: saving when a thread goes to sleep, or when its CPU idles (most wake where they were);
 * loading with a switch on another CPU (the switch would have to wait for it).
 * Known: CPUs that read ahead of the trap (CVE-2018-3665, Intel's of before 2019) let a program guess
 * at what the unit holds of another.
 */
#include "process_private.h"
#include "sched_private.h"
#include "thread_private.h"
#include <core/panic.h>
#include <exec/fault.h>
#include <lib/string.h>

#define FPU_HELD (CPU_NONE - 1)
#define USES_EAGER 4u /* so much recent use: loaded with the switch */
#define USES_AGAIN 127u /* so many times; then one trap must show that it is still right */

static inline void unit_set(struct runqueue *rq, bool on)
{
	if (rq->fpu_on != on) {
		rq->fpu_on = on;
		hal.cpu.fpu_enable(on);
	}
}

/* The unit, which is on, becomes nobody's. Own CPU, interrupts off. */
static inline void unit_empty(struct runqueue *rq)
{
	struct thread *owner = nullptr;

	if (atomic_load_explicit(&rq->fpu_owner, memory_order_relaxed))
		owner = atomic_exchange_explicit(&rq->fpu_owner, nullptr, memory_order_acquire);
	if (owner) {
		hal.cpu.fpu_save(&owner->task.hal);
		atomic_store_explicit(&owner->fpu_cpu, CPU_NONE, memory_order_release);
	}
}

/* The unit becomes t's, whose registers are in its area, and which runs here or will next. Own CPU,
 * interrupts off. */
static inline void unit_take(struct runqueue *rq, struct thread *t, cpu_t cpu)
{
	unit_set(rq, true);
	unit_empty(rq);
	hal.cpu.fpu_load(&t->task.hal);
	atomic_store_explicit(&t->fpu_cpu, cpu, memory_order_relaxed);
	atomic_store_explicit(&rq->fpu_owner, t, memory_order_release);
}

/* A thread that has used the unit in nearly every turn gets it before it asks. */
static inline bool is_eager(struct thread *t)
{
	unsigned uses = t->fpu_uses;

	if (uses >= USES_EAGER) {
		t->fpu_uses = (uint8_t)(uses < USES_AGAIN ? uses + 1 : USES_EAGER - 1);
		return true;
	}
	return false;
}

void fpu_switch(struct runqueue *rq, struct thread *next, cpu_t cpu)
{
	if (!next->task.hal.fpu)
		return;
	if (atomic_load_explicit(&rq->fpu_owner, memory_order_relaxed) == next) {
		unit_set(rq, true);
		return;
	}
	if (next->fpu_uses) {
		bool at_hand =
			atomic_load_explicit(&next->fpu_cpu, memory_order_acquire) == CPU_NONE;
		if (at_hand && is_eager(next)) {
			unit_take(rq, next, cpu);
			return;
		}
		if (next->fpu_uses < USES_EAGER)
			next->fpu_uses--;
	}
	unit_set(rq, false);
}

/* On the CPU that has arg's registers, perhaps no more; interrupts off. Who runs here is a kernel thread, for
 * which the unit's state does not matter, or finds it off as before, or is arg itself, which has
 * come here meanwhile and must ask anew. */
static void send_home(void *arg)
{
	struct runqueue *rq = &runqueues[cpu_id()];
	bool on = hal.cpu.irq_save();

	if (atomic_load_explicit(&rq->fpu_owner, memory_order_relaxed) == arg) {
		unit_set(rq, true);
		unit_empty(rq);
		unit_set(rq, false);
	}
	hal.cpu.irq_restore(on);
}

/* The current thread's registers are no more in another CPU's unit. Interrupts on; on return they are
 * off. True: they are in this CPU's unit. */
static bool bring_home(struct thread *t)
{
	for (;;) {
		(void)hal.cpu.irq_save();
		cpu_t at = atomic_load_explicit(&t->fpu_cpu, memory_order_acquire);
		if (at >= FPU_HELD || at == t->task.hal.cpu)
			return at == t->task.hal.cpu;
		hal.cpu.irq_restore(true);
		cpu_call(cpu_bit(at), send_home, t);
	}
}

NOINLINE bool fpu_trap(struct trap *trap)
{
	struct thread *t = current_thread();

	/* In the kernel: a user copy that wants it, or had it when it began and was switched out. */
	if (!trap->from_user && (t->task.preempt_count || !t->task.hal.fpu))
		return false;
	hal.cpu.irq_restore(true);
	bool here = bring_home(t);
	cpu_t cpu = t->task.hal.cpu;
	t->fpu_traps++;
	if (t->fpu_uses < USES_EAGER)
		t->fpu_uses = (uint8_t)(t->fpu_uses + (t->fpu_uses ? USES_EAGER - 2 : 2));
	if (here)
		unit_set(&runqueues[cpu], true);
	else
		unit_take(&runqueues[cpu], t, cpu);
	if (trap->from_user)
		hal.cpu.irq_restore(true);
	return true;
}

/* The unit off, and the area the current thread's to read and rewrite. Comes with interrupts off, turns them on. */
static void hold(struct thread *t)
{
	unit_set(&runqueues[t->task.hal.cpu], false);
	atomic_store_explicit(&t->fpu_cpu, FPU_HELD, memory_order_relaxed);
	hal.cpu.irq_restore(true);
}

bool fpu_hold(void)
{
	struct thread *t = current_thread();
	bool live = bring_home(t);

	if (live)
		unit_empty(&runqueues[t->task.hal.cpu]);
	hold(t);
	return live;
}

/* Whatever unit has the registers: no more. What another CPU is doing while this loops is one save, with
 * interrupts off. */
static void give_up(struct thread *t)
{
	cpu_t at;

	while ((at = atomic_load_explicit(&t->fpu_cpu, memory_order_acquire)) != CPU_NONE) {
		struct thread *expected = t;
		if (atomic_compare_exchange_strong(&runqueues[at].fpu_owner, &expected, nullptr))
			atomic_store_explicit(&t->fpu_cpu, CPU_NONE, memory_order_relaxed);
		else
			hal.cpu.relax();
	}
}

bool fpu_hold_to_rewrite(void)
{
	struct thread *t = current_thread();

	(void)hal.cpu.irq_save();
	bool live = atomic_load_explicit(&t->fpu_cpu, memory_order_relaxed) == t->task.hal.cpu;
	give_up(t);
	hold(t);
	return live;
}

void fpu_release(bool live)
{
	struct thread *t = current_thread();
	bool on = hal.cpu.irq_save();
	cpu_t cpu = t->task.hal.cpu;

	atomic_store_explicit(&t->fpu_cpu, CPU_NONE, memory_order_relaxed);
	if (live && is_eager(t))
		unit_take(&runqueues[cpu], t, cpu);
	hal.cpu.irq_restore(on);
}

/* The area is as the registers are, and they go on. Interrupts as with bring_home. */
static void write_down(struct thread *t)
{
	if (bring_home(t))
		hal.cpu.fpu_save(&t->task.hal);
}

void fpu_show(void)
{
	write_down(current_thread());
	hal.cpu.irq_restore(true);
}

void fpu_fork(struct thread *child)
{
	struct thread *t = current_thread();

	write_down(t);
	hal.cpu.fpu_copy(&child->task.hal, &t->task.hal);
	hal.cpu.irq_restore(true);
}

void fpu_drop(void)
{
	struct thread *t = current_thread();

	WRITE_ONCE(t->fpu_uses, 0);
	atomic_signal_fence(memory_order_seq_cst); /* no switch loads it from here on */
	give_up(t);
}

void fpu_new_program(void)
{
	(void)fpu_hold_to_rewrite();
	memset(current_thread()->task.hal.fpu, 0, hal.user.info()->fpu_size);
	fpu_release(false);
}
