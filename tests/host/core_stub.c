/*
 * What core/ offers to a HAL, for tests that link no core: weak, so that core's own wins. Traps and
 * system calls go to test_upcalls; interrupts are counted.
 */
#include "machine.h"

#include <core/cpu.h>
#include <core/panic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STUB __attribute__((weak))

/* core_private.h's, if core is there. */
#pragma weak cmdline_set
#pragma weak cpu_boot
#pragma weak log_time_ready
void cmdline_set(const char *text);
void cpu_boot(const struct boot_info *info);
void log_time_ready(void);

void test_machine_core(struct boot_info *info)
{
	if (!cpu_boot)
		return;
	cmdline_set(info->command_line);
	cpu_boot(info);
	log_time_ready();
}

STUB bool core_trap(struct trap *trap)
{
	if (trap->kind != TRAP_PAGE_FAULT) {
		upcalls.exception(trap);
		return true;
	}
	return upcalls.page_fault(trap);
}

STUB void core_trap_fatal(struct trap *trap)
{
	core_panic("fatal trap %d at %#lx, ip %#lx", trap->kind, trap->addr, trap->ip);
}

STUB void core_syscall(struct hal_frame *frame)
{
	upcalls.syscall(frame);
	core_return_to_user(frame);
}

STUB void core_return_to_user(struct hal_frame *frame)
{
	hal.cpu.irq_save();
}

STUB void core_irq_enter(void)
{
	current_task()->preempt_count++;
}

STUB void core_irq(unsigned line)
{
}

STUB void core_timer(void)
{
}

STUB void core_ipi(void)
{
}

STUB void core_irq_exit(struct hal_frame *frame, bool from_user)
{
	current_task()->preempt_count--;
}

STUB void core_console_input(const char *bytes, size_t count)
{
}

STUB void core_cpu_main(void)
{
	upcalls.run_idle();
}

STUB void preempt_check(void)
{
	upcalls.reschedule(true);
}

STUB void core_log(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

STUB void core_panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("panic: ");
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(nullptr);
	abort();
}

STUB void assert_failed(const char *what, const char *file, int line)
{
	core_panic("%s:%d: %s", file, line, what);
}
