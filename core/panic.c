/*
 * The panic page: reason, where, registers, call chain; then the machine stops. The first CPU that
 * panics stops the others; a panic within a panic prints one line more and stops.
 */
#include "core_private.h"
#include <core/cpu.h>
#include <core/guard.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/spinlock.h>
#include <lib/format.h>
#include <lib/string.h>

#define STACK_SPAN 65536u /* no kernel stack is larger */
#define FRAMES_MAX 24

static _Atomic uint32_t panicking; /* 1 + the CPU that panics */

static void panic_line(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void panic_line(const char *fmt, ...)
{
	char text[340];
	va_list args;

	va_start(args, fmt);
	vformat(text, sizeof(text), fmt, args);
	va_end(args);
	console_panic_line(text);
}

/* Calls `line` for each frame of the chain. */
static void walk(vaddr_t ip, vaddr_t fp, void (*line)(const char *text))
{
	struct hal_unwind u = {ip, fp};
	vaddr_t low = fp, high = fp + STACK_SPAN;
	char text[200];
	const struct task *t = current_task();

	if (t && t->hal.stack_top > low && t->hal.stack_top < high)
		high = t->hal.stack_top;
	for (unsigned n = 0; n < FRAMES_MAX; n++) {
		int used = format(text, sizeof(text), "  #%-2u ", n);
		/* A return address may be the next function's: the call lies before it. */
		symbol_format(n ? u.ip - 1 : u.ip, text + used, sizeof(text) - (size_t)used);
		line(text);
		if (!u.fp || !hal.cpu.unwind(&u, low, high))
			return;
		low = u.fp;
	}
}

static void log_line(const char *text)
{
	log_error("%s", text);
}

void backtrace_log(vaddr_t ip, vaddr_t fp)
{
	walk(ip, fp, log_line);
}

_Atomic cpuset_t irq_exit_wanted;
static _Atomic cpuset_t backtrace_wanted; /* CPUs whose interrupt was asked for it */

void irq_exit_want(void)
{
	atomic_fetch_or(&irq_exit_wanted, cpu_bit(cpu_id()));
}

void backtrace_log_interrupted(void)
{
	atomic_fetch_or(&backtrace_wanted, cpu_bit(cpu_id()));
	irq_exit_want();
}

void irq_exit_work(struct hal_frame *frame)
{
	cpuset_t self = cpu_bit(cpu_id());

	if (!(atomic_fetch_and(&irq_exit_wanted, ~self) & self) || !frame)
		return;
	if (atomic_fetch_and(&backtrace_wanted, ~self) & self) {
		struct hal_user_regs r = hal.user.regs(frame);
		backtrace_log(r.pc, r.fp);
	}
	guard_end_at_exit(frame);
}

NOINLINE size_t backtrace_take(vaddr_t *chain, size_t max)
{
	struct hal_unwind u = {.fp = (vaddr_t)__builtin_frame_address(0)};
	vaddr_t low = u.fp, high = low + STACK_SPAN;
	const struct task *t = current_task();
	size_t n = 0;

	if (t && t->hal.stack_top > low && t->hal.stack_top < high)
		high = t->hal.stack_top;
	/* The first one is in the caller. */
	for (bool caller = true; n < max && u.fp && hal.cpu.unwind(&u, low, high); caller = false) {
		low = u.fp;
		if (!caller)
			chain[n++] = u.ip;
	}
	return n;
}

/* True on the one CPU, once; the others and later panics never return. */
static void panic_begin(void)
{
	uint32_t nobody = 0;

	(void)hal.cpu.irq_save();
	if (!atomic_compare_exchange_strong(&panicking, &nobody, cpu_id() + 1)) {
		if (nobody == cpu_id() + 1)
			console_panic_line("panic: another fault while panicking");
		else
			hal.platform.power(HAL_POWER_HALT, 0);
		hal.platform.power(HAL_POWER_OFF, 125);
	}
	console_seize();
	hal.smp.stop_others();
}

static void panic_header(const char *reason)
{
	const struct task *t = current_task();

	panic_line("---- kernel panic ----");
	panic_line("%s", reason);
	panic_line("cpu %u of %u, thread \"%s\", %s", cpu_id(), cpu_count, t->name, hal.name);
#if defined(TERN_DEBUG)
	for (unsigned i = 0; i < t->lock_count; i++)
		panic_line("holds lock %s", t->locks[i]->name);
#endif
}

[[noreturn]] static void panic_end(void)
{
	panic_line("---- the machine has stopped ----");
	console_record("exit", "125");
	hal.platform.power(HAL_POWER_OFF, 125);
}

void core_panic(const char *fmt, ...)
{
	char reason[256];
	va_list args;

	va_start(args, fmt);
	vformat(reason, sizeof(reason), fmt, args);
	va_end(args);
	guard_panic(reason);
	panic_begin();
	panic_header(reason);
	walk((vaddr_t)(uintptr_t)core_panic, (vaddr_t)__builtin_frame_address(0),
	     console_panic_line);
	panic_end();
}

void assert_failed(const char *what, const char *file, int line)
{
	core_panic("%s:%d: this must not be: %s", file, line, what);
}

static const char *const trap_names[] = {
	[TRAP_PAGE_FAULT] = "page fault",
	[TRAP_ALIGNMENT] = "misaligned access",
	[TRAP_BUS_ERROR] = "bus error",
	[TRAP_ILLEGAL] = "illegal instruction",
	[TRAP_BREAKPOINT] = "breakpoint",
	[TRAP_SINGLE_STEP] = "single step",
	[TRAP_DIVIDE] = "division error",
	[TRAP_FLOATING_POINT] = "floating-point error",
	[TRAP_FPU] = "use of the floating-point unit",
	[TRAP_OVERFLOW] = "overflow or bound exception",
	[TRAP_PROTECTION] = "protection fault",
	[TRAP_STACK_OVERFLOW] = "kernel stack overflow",
	[TRAP_CALL_TYPE] = "call of another type of function",
	[TRAP_MACHINE_CHECK] = "machine check",
	[TRAP_UNKNOWN] = "unknown trap",
};

const char *trap_kind_name(enum trap_kind kind)
{
	return trap_names[kind];
}

static const char *const access_names[] = {"read", "write", "execute"};

static void dump_registers(const struct hal_frame *frame)
{
	char text[1600];
	size_t n = hal.user.dump(frame, text, sizeof(text));

	text[MIN(n, sizeof(text) - 1)] = '\0';
	for (char *line = text, *end; *line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		else
			end = line + strlen(line);
		console_panic_line(line);
	}
}

static void describe_call(const struct trap *t, char *buf, size_t size)
{
	char caller[120], callee[120];

	symbol_format(t->ip, caller, sizeof(caller));
	symbol_format(t->addr, callee, sizeof(callee));
	format(buf, size, "indirect call of the wrong type of function: %s calls %s", caller,
	       callee);
}

/* Not one behind a null pointer: no program has memory below 64 KiB. */
static bool is_user_address(vaddr_t addr)
{
	return addr >= 65536 && addr < hal.mmu.geometry()->user_end;
}

void core_trap_fatal(struct trap *t)
{
	char reason[320];

	guard_trap(t);
	panic_begin();
	if (t->kind == TRAP_PAGE_FAULT && is_user_address(t->addr))
		format(reason, sizeof(reason),
		       "page fault in the kernel: %s of user memory at %#lx, outside user copies",
		       access_names[t->access], (unsigned long)t->addr);
	else if (t->kind == TRAP_PAGE_FAULT)
		format(reason, sizeof(reason), "page fault in the kernel: %s of %#lx, %s",
		       access_names[t->access], (unsigned long)t->addr,
		       t->present ? "not allowed" : "nothing is mapped there");
	else if (t->kind == TRAP_STACK_OVERFLOW)
		format(reason, sizeof(reason), "kernel stack overflow of thread \"%s\" at %#lx",
		       current_task()->name, (unsigned long)t->addr);
	else if (t->kind == TRAP_CALL_TYPE)
		describe_call(t, reason, sizeof(reason));
	else
		format(reason, sizeof(reason), "%s in the kernel (code %#lx, address %#lx)",
		       trap_names[t->kind], (unsigned long)t->code, (unsigned long)t->addr);
	panic_header(reason);
	dump_registers(t->frame);
	walk(t->ip, hal.user.regs(t->frame).fp, console_panic_line);
	panic_end();
}
