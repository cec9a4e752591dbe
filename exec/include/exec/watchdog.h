/*
 * Watchdogs (DB-3): a CPU that does not pass the scheduler, one that takes no interrupts, a thread
 * that sleeps for long where no signal wakes it. Each is reported in the log, once, and goes on.
 */
#pragma once

#include <hal/types.h>
#include <lib/kerr.h>

struct watchdog_settings {
	uint32_t thresh;       /* s that a CPU may do without the scheduler; 0: not watched */
	uint32_t hung_timeout; /* s that a thread may sleep uninterruptibly; 0: not watched */
};
#define WATCHDOG_SECONDS_MAX 3600u

void watchdog_settings(struct watchdog_settings *out);
enum kerr watchdog_configure(const struct watchdog_settings *s); /* KERR_INVAL: out of range */

struct watchdog_figures { /* reports since the boot */
	uint64_t soft_lockups, hard_lockups, hung_tasks;
};
void watchdog_figures(struct watchdog_figures *out);
