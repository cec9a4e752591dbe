/*
 * The RISC-V Supervisor Binary Interface (version 1.0, and the debug console of 2.0): calls into
 * the machine-mode firmware. Any context; a call costs some hundreds of instructions.
 */
#pragma once

#include <hal/types.h>

struct sbi_result {
	long error; /* 0: success, else negative (section 3, table 1) */
	unsigned long value;
};

/* Extensions this firmware has; filled in by sbi_init(), constant afterwards. */
struct sbi_features {
	bool time, ipi, hsm, reset, console;
};
extern struct sbi_features sbi_features;

/* Boot CPU, first of all; works without translation of its arguments. */
void sbi_init(void);
/* Bytes to the firmware's console: the debug console, or byte by byte by the legacy call.
 * `physical` is where `bytes` lies in memory. */
void sbi_console_write(const char *bytes, paddr_t physical, size_t count);
/* Timer interrupt when `time` reaches `value`. */
void sbi_timer_set(uint64_t value);
/* Each set bit of `mask` is hart `base` + its number. */
void sbi_ipi_send(uint64_t mask, uint64_t base);
/* Starts a stopped hart at a physical address with a0 = hart, a1 = 0. False: refused. */
bool sbi_hart_start(uint64_t hart, paddr_t entry);
/* Returns only if the firmware cannot. */
void sbi_system_off(bool failure);
void sbi_system_reboot(void);
