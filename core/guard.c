/*
 * Guarded calls: how a fault in a module ends one call instead of the kernel.
 *
 * The HAL saves the registers that C preserves on the stack of the caller and remembers where; ending
 * the call is loading them again, from whatever depth, on the same stack (hal.cpu.guarded_call,
 * guarded_end). struct guard lies on that stack too; the task leads to the innermost one.
 *
 *   who calls -> guard_call -> module -> fault -> trap handler -> guard_trap --+
 *             <- IO, locks and counts as at the entry <------------------------+
 *
 * What may be ended is decided by the chain of frames between the fault and the guard: all of them must be
 * the module's, but for the first, which may also be a routine that holds nothing (`leaves`). A frame
 * of the kernel in between holds who knows what, half done: that fault is the kernel's, and stops it.
 * So does an interrupt handler's that came upon a module, which is such a frame. The frame pointer does not name
 * the direct caller of a leaf; there the count of preempt_disable must be what the module's own
 * locks explain.
 *
 * What a module holds is known because its inline functions say so (core/spinlock.h under TERN_MODULE;
 * mutexes, gates of slots and wait queues in core/module/hal_calls.c): at the end spinlocks are opened, last one
 * first, then queues and gates are left, while what is queued is still on the stack; then the counts are set, then
 * mutexes are given back. What the locks guard may be half changed; it is the module's, and that one
 * counts as broken until it has been healed.
 *
 * Hangs. A module never turns interrupts off: hal.cpu.irq_save is an exported function for it, and
 * that only turns preemption off and notes `masked` (nothing of a module runs in interrupts but its timers, which
 * are put off meanwhile). So a timer interrupt always comes, also on machines with one CPU and without an
 * interrupt that cannot be masked. Each CPU that makes guarded calls has a clock of TICK; a call that has
 * used LIMIT of them on a CPU is ended at the end of that interrupt, if the frames allow it then, or at the
 * next. Time that a call sleeps, or is preempted, does not count. A loop that takes and frees a lock may be met between
 * the exchange and saying so: then preemption is off once more than it has said, and it gets another tick, up to
 * LIMIT_UNSURE of them, as a module may also turn preemption off by itself.
 *
 * Not contained: a hang in a module's timer (interrupts are off there), a stack overflow and a machine check (there is
 * no stack to go on with), a module that writes over the kernel's writable memory, a call that sleeps for ever, and
 * what the frames forbid.
 *
 * Costs: a guarded call some sixty instructions. For all others nothing: containment begins where the
 * kernel would stop, and clocks only run where such calls are made.
 *
 * Rejected: a table of places that may fault, as for user copies (a module is any code); running modules in
 * an address space of their own (each call a switch).
 */
#include "core_private.h"

#include <core/cpu.h>
#include <core/guard.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/time.h>
#include <core/wait.h>
#include <lib/export.h>
#include <lib/format.h>
#include <lib/string.h>

#define TICK (50 * NSEC_PER_MSEC)
#define LIMIT 10u
#define LIMIT_UNSURE 40u
#define STEPS_MAX 64u

static bool (*is_guarded)(vaddr_t ip) RO_AFTER_INIT;
static _Atomic uint64_t faults, panics, hangs, escalated;

/* Routines that hold nothing and are as good as part of their caller. */
static const char *const leaves[] = {
	"memcpy",
	"memmove",
	"memset",
	"memcmp",
	"memchr",
	"strlen",
	"strnlen",
	"strcmp",
	"strncmp",
	"strchr",
	"strlcpy",
	"str_to_u64",
	"core_panic",
	"guard_panic",
	"assert_failed",
	"spin_wait",
	"spin_debug_check",
	"spin_debug_acquired",
	"spin_debug_release",
	"module_hal_relax",
	"module_hal_now",
	"module_hal_current",
};

void guard_register(bool (*inside)(vaddr_t ip))
{
	is_guarded = inside;
}

/* ---- What may be ended ----------------------------------------------------------------------- */

static void function_of(vaddr_t ip, char *name, size_t size)
{
	symbol_format(ip, name, size);
	char *end = strchr(name, '+');
	if (end)
		*end = '\0';
}

static bool is_leaf(vaddr_t ip)
{
	char name[96];

	function_of(ip, name, sizeof(name));
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		if (strcmp(name, leaves[i]) == 0)
			return true;
	return false;
}

/* Preemption is off as often as the module's own locks say. */
static bool is_accounted(const struct guard *g, uint32_t preempt_count)
{
	return preempt_count ==
	       g->preempt_count + g->spin_count + g->masked + (g->wanted != nullptr);
}

/* It neither takes nor frees a lock right now, as far as that can be told. */
static bool is_between_locks(const struct guard *g, vaddr_t ip, uint32_t preempt_count)
{
	char name[96];

	function_of(ip, name, sizeof(name));
	return is_accounted(g, preempt_count) && (!g->wanted || strcmp(name, "spin_wait") == 0);
}

/* All frames from ip, fp up to the guard are the module's. `lost`: ip is where it jumped, and says nothing. */
static bool is_own(struct guard *g, vaddr_t ip, vaddr_t fp, bool lost, uint32_t preempt_count)
{
	struct hal_unwind u = {.ip = ip, .fp = fp};

	g->ip = !lost && is_guarded(ip) ? ip : 0;
	if (!lost && !g->ip && !is_leaf(ip))
		return false;
	if ((lost || !is_guarded(ip)) && !is_accounted(g, preempt_count))
		return false;
	for (unsigned i = 0; i < STEPS_MAX && u.fp < g->stack; i++) {
		vaddr_t low = u.fp;
		if (!u.fp || !hal.cpu.unwind(&u, low, g->stack + PAGE_SIZE) || !u.fp)
			return false;
		if (u.fp >= g->stack)
			return true;
		bool guarded = is_guarded(u.ip - 1);
		if (!guarded && !is_leaf(u.ip - 1))
			return false;
		if (guarded && !g->ip)
			g->ip = u.ip - 1;
	}
	return u.fp >= g->stack;
}

/* ---- Calling and ending ---------------------------------------------------------------------- */

static struct clock {
	struct timer timer; /* (own CPU) */
	bool made, ticking; /* (own CPU, interrupts off) */
	uint32_t calls; /* (own CPU) since the last tick */
} ALIGNED(64) clocks[CPU_MAX];

static void clock_start(struct clock *c);

/* Gives back what must be given back on the stack of the call. Interrupts stay off, and preemption. */
static void leave(struct guard *g)
{
	(void)hal.cpu.irq_save();
	preempt_disable();
	while (g->spin_count > 0)
		spin_release(g->spins[--g->spin_count]);
#if defined(TERN_DEBUG)
	current_task()->lock_count = g->lock_count;
	current_task()->lock_base = 0;
#endif
	while (g->note_count > 0) {
		g->note_count--;
		g->notes[g->note_count].undo(g->notes[g->note_count].what,
					     g->notes[g->note_count].how);
	}
}

/* The rest, and the state of the entry. */
static void restore(struct guard *g)
{
	struct task *t = current_task();

	t->preempt_count = g->preempt_count;
	t->guard = g->outer;
	hal.cpu.irq_restore(g->irq_on);
	while (g->mutex_count > 0)
		mutex_unlock(g->mutexes[--g->mutex_count]);
	preempt_disable();
	preempt_enable(); /* somebody may have asked for the CPU meanwhile */
}

enum kerr guard_call(struct guard *g, guard_fn fn, const uintptr_t args[4], long *result)
{
	struct task *t = current_task();

	g->outer = t->guard;
	g->preempt_count = t->preempt_count;
	g->ticks = 0;
	g->irq_on = hal.cpu.irq_enabled();
	g->masked = g->ended = false;
	g->spin_count = g->mutex_count = g->note_count = 0;
	g->lock_count = t->lock_count;
	g->wanted = nullptr;
	atomic_signal_fence(memory_order_seq_cst);
	t->guard = g;
	preempt_disable();
	struct clock *c = &clocks[cpu_id()];
	c->calls++;
	if (unlikely(!c->ticking))
		clock_start(c);
	preempt_enable();
	*result = hal.cpu.guarded_call(&g->stack, fn, args);
	if (unlikely(g->ended)) {
		restore(g);
		return KERR_IO;
	}
	t->guard = g->outer;
	return KERR_OK;
}

[[noreturn]] static void end(struct guard *g, const char *why)
{
	strlcpy(g->why, why, sizeof(g->why));
	g->ended = true;
	leave(g);
	hal.cpu.guarded_end(&g->stack);
}

/* ---- Faults, assertions ---------------------------------------------------------------------- */

void guard_trap(const struct trap *t)
{
	struct guard *g = current_task()->guard;
	char where[96], why[GUARD_WHY];

	if (likely(!g) || !is_guarded || t->kind == TRAP_STACK_OVERFLOW ||
	    t->kind == TRAP_MACHINE_CHECK || t->from_user)
		return;
	bool lost = t->kind == TRAP_PAGE_FAULT && t->access == TRAP_EXECUTE;
	if (!is_own(g, t->ip, hal.user.regs(t->frame).fp, lost, current_task()->preempt_count)) {
		atomic_fetch_add(&escalated, 1);
		return;
	}
	symbol_format(t->ip, where, sizeof(where));
	format(why, sizeof(why), "%s at %s, address %#lx", trap_kind_name(t->kind), where,
	       (unsigned long)t->addr);
	atomic_fetch_add(&faults, 1);
	end(g, why);
}

void guard_panic(const char *reason)
{
	struct guard *g = current_task() ? current_task()->guard : nullptr;

	if (likely(!g) || !is_guarded)
		return;
	vaddr_t here = (vaddr_t)(uintptr_t)assert_failed;
	if (!is_own(g, here, (vaddr_t)__builtin_frame_address(0), true,
		    current_task()->preempt_count)) {
		atomic_fetch_add(&escalated, 1);
		return;
	}
	atomic_fetch_add(&panics, 1);
	end(g, reason);
}

/* ---- Hangs ----------------------------------------------------------------------------------- */

void guard_end_at_exit(struct hal_frame *frame)
{
	struct task *t = current_task();
	struct guard *g = t->guard;
	char where[96], why[GUARD_WHY];

	if (!g || g->ticks < LIMIT || !is_guarded)
		return;
	struct hal_user_regs r = hal.user.regs(frame);
	/* The interrupt itself counts once. */
	if (!is_own(g, r.pc, r.fp, false, t->preempt_count - 1))
		return; /* the next tick asks again */
	if (g->ticks < LIMIT_UNSURE && !is_between_locks(g, r.pc, t->preempt_count - 1))
		return;
	symbol_format(r.pc, where, sizeof(where));
	format(why, sizeof(why), "hang at %s", where);
	atomic_fetch_add(&hangs, 1);
	end(g, why);
}

/* Interrupt context. The clock goes on while there are calls. */
static void tick(struct timer *timer)
{
	struct clock *c = container_of(timer, struct clock, timer);
	struct guard *g = current_task()->guard;

	if (!g && !c->calls) {
		c->ticking = false;
		return;
	}
	c->calls = 0;
	if (g && ++g->ticks >= LIMIT) {
		if (g->ticks == LIMIT)
			log_error("a guarded call of thread \"%s\" does not come back",
				  current_task()->name);
		irq_exit_want();
	}
	timer_set(timer, time_now() + TICK);
}

/* Preemption off. */
static NOINLINE void clock_start(struct clock *c)
{
	bool on = hal.cpu.irq_save();

	if (!c->made)
		timer_init(&c->timer, tick);
	c->made = c->ticking = true;
	timer_set(&c->timer, time_now() + TICK);
	hal.cpu.irq_restore(on);
}

void guard_watch(void)
{
	struct clock *c = &clocks[cpu_id()];

	if (current_task()->guard && !c->ticking)
		clock_start(c);
}

void guard_figures(struct guard_figures *out)
{
	*out = (struct guard_figures){atomic_load(&faults), atomic_load(&panics),
				      atomic_load(&hangs), atomic_load(&escalated)};
}

/* ---- What a module's inline functions say ---------------------------------------------------- */

void guard_note(guard_undo undo, void *what, uintptr_t how)
{
	struct guard *g = current_task()->guard;

	if (!g || g->note_count == GUARD_NOTES)
		return;
	g->notes[g->note_count].undo = undo;
	g->notes[g->note_count].what = what;
	g->notes[g->note_count].how = how;
	g->note_count++;
}

void guard_forget(guard_undo undo, void *what, uintptr_t how)
{
	struct guard *g = current_task()->guard;

	for (unsigned i = g ? g->note_count : 0; i-- > 0;) {
		if (g->notes[i].undo != undo || g->notes[i].what != what || g->notes[i].how != how)
			continue;
		for (g->note_count--; i < g->note_count; i++)
			g->notes[i] = g->notes[i + 1];
		return;
	}
}

#undef guard_spin_wanted
#undef guard_spin_taken
#undef guard_spin_freed
void guard_spin_wanted(struct spinlock *l);
void guard_spin_taken(struct spinlock *l);
void guard_spin_freed(struct spinlock *l);

void guard_spin_wanted(struct spinlock *l)
{
	struct guard *g = current_task()->guard;

	if (g)
		g->wanted = l;
}

void guard_spin_taken(struct spinlock *l)
{
	struct guard *g = current_task()->guard;

	if (!g)
		return;
	BUG_ON(g->spin_count == GUARD_LOCKS);
	g->spins[g->spin_count++] = l;
	atomic_signal_fence(memory_order_seq_cst);
	g->wanted = nullptr;
}

void guard_spin_freed(struct spinlock *l)
{
	struct guard *g = current_task()->guard;

	for (unsigned i = g ? g->spin_count : 0; i-- > 0;) {
		if (g->spins[i] != l)
			continue;
		for (; i + 1 < g->spin_count; i++)
			g->spins[i] = g->spins[i + 1];
		g->spin_count--;
		return;
	}
}

EXPORT_SYMBOL(guard_spin_wanted);
EXPORT_SYMBOL(guard_spin_taken);
EXPORT_SYMBOL(guard_spin_freed);
