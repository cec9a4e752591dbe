/* What core's own files share. */
#pragma once

#include <hal/boot_info.h>
#include <hal/trap.h>
#include <lib/compiler.h>

void cmdline_set(const char *text);

/* log.c: from now on hal.timer.now() works, and records carry its time. */
void log_time_ready(void);
void log_configure(void);
/* Panic: take the console whatever its lock says, and write lines as "panic" records. */
void console_seize(void);
void console_panic_line(const char *text);
/* panic.c */
const char *trap_kind_name(enum trap_kind kind);

/* cpu.c */
void cpu_boot(const struct boot_info *info);
bool cpu_service_calls(void);

/* time.c, random.c, symbols.c */
void time_set_wall_at_boot(uint64_t seconds);
void random_seed_at_boot(const struct boot_info *info); /* hal.platform.early is done */

/* hardening.c: from the boot's frame, which never returns. */
void stack_guard_set(uint64_t value);
