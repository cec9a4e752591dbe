/*
 * The calls a HAL or boot/ may make into the kernel: all of them. Everything else that a HAL
 * needs it asks for through hal/hal.h's arguments. Each is defined in core/,
 * but core_device_map, which is mm's (mm/kmap.c).
 */
#pragma once

#include <hal/boot_info.h>
#include <hal/hal.h>
#include <hal/trap.h>

/* boot/, on the boot CPU: interrupts off, early tables on, relocations applied, bss clear. */
[[noreturn]] void core_boot_main(struct boot_info *info);

/* hal.smp.start's CPU, on its idle thread's stack: interrupts off, kernel tables on. */
[[noreturn]] void core_cpu_main(void);

/*
 * A synchronous exception. Interrupts are as they were in the interrupted code if it was user
 * code (on), off otherwise. True: handled, return to the frame (which may have changed).
 * False (only if !from_user): the HAL looks for a fixup of its user copies at ip, and calls
 * core_trap_fatal() if there is none.
 */
bool core_trap(struct trap *trap);
[[noreturn]] void core_trap_fatal(struct trap *trap);

/* A system call from user mode, interrupts on. On return they are off and no work is left. */
void core_syscall(struct hal_frame *frame);

/*
 * Interrupts, called with them off, after acknowledge. core_irq_exit comes once at the end of each interrupt, after the
 * end-of-interrupt was sent: it may switch threads (from kernel code too: the kernel is
 * preemptible) and, if from_user, does the work that waits for a return to user mode.
 */
void core_irq_enter(void);
void core_irq(unsigned line);
void core_timer(void);
void core_ipi(void);
void core_irq_exit(struct hal_frame *frame, bool from_user);

/* After core_trap() from user mode and before the first entry to user mode: interrupts are off
 * on return and nothing (signals, rescheduling) waits. */
void core_return_to_user(struct hal_frame *frame);

/* Bytes that came in from the console; interrupt context. */
void core_console_input(const char *bytes, size_t count);

/* Maps `size` bytes of device registers at `addr` for the kernel's life; null: no memory.
 * Callable from hal.platform.init on (mm is up), not before. */
volatile void *core_device_map(paddr_t addr, size_t size);

/* printf into the kernel's log, for HAL and boot code. */
[[gnu::format(printf, 1, 2)]] void core_log(const char *fmt, ...);

/* Something that cannot go on: log, backtrace, stop. */
[[noreturn, gnu::format(printf, 1, 2)]] void core_panic(const char *fmt, ...);
