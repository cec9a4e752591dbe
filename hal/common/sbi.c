/*
 * SBI calls (RISC-V Supervisor Binary Interface Specification 2.0). a7 = extension, a6 = function,
 * a0 to a2 = arguments; the firmware returns in a0, a1 and keeps all other registers (chapter 3).
 * Everything but the console needs an SBI of 0.2 or later; platform.early says so if it is older.
 */
#include "sbi.h"

#include <lib/compiler.h>

#define EXT_LEGACY_PUTCHAR 0x01
#define EXT_LEGACY_SHUTDOWN 0x08
#define EXT_BASE 0x10
#define EXT_TIME 0x54494d45
#define EXT_IPI 0x735049
#define EXT_HSM 0x48534d
#define EXT_RESET 0x53525354
#define EXT_CONSOLE 0x4442434e

#define BASE_PROBE 3
#define RESET_SHUTDOWN 0
#define RESET_COLD_REBOOT 1
#define REASON_NONE 0
#define REASON_SYSTEM_FAILURE 1

RO_AFTER_INIT struct sbi_features sbi_features;

ALWAYS_INLINE struct sbi_result sbi_call(unsigned long extension, unsigned long function,
					 unsigned long arg0, unsigned long arg1, unsigned long arg2)
{
	register unsigned long a0 asm("a0") = arg0;
	register unsigned long a1 asm("a1") = arg1;
	register unsigned long a2 asm("a2") = arg2;
	register unsigned long a6 asm("a6") = function;
	register unsigned long a7 asm("a7") = extension;
	asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
	return (struct sbi_result){.error = (long)a0, .value = a1};
}

static bool extension_probe(unsigned long extension)
{
	struct sbi_result r = sbi_call(EXT_BASE, BASE_PROBE, extension, 0, 0);
	return r.error == 0 && r.value != 0;
}

void sbi_init(void)
{
	sbi_features = (struct sbi_features){
		.time = extension_probe(EXT_TIME),
		.ipi = extension_probe(EXT_IPI),
		.hsm = extension_probe(EXT_HSM),
		.reset = extension_probe(EXT_RESET),
		.console = extension_probe(EXT_CONSOLE),
	};
}

void sbi_console_write(const char *bytes, paddr_t physical, size_t count)
{
	while (sbi_features.console && count > 0) {
		struct sbi_result r = sbi_call(EXT_CONSOLE, 0, count, physical, 0);
		if (r.error != 0 || r.value > count)
			return;
		count -= r.value;
		physical += r.value;
		bytes += r.value;
	}
	for (; count > 0; count--)
		sbi_call(EXT_LEGACY_PUTCHAR, 0, (unsigned char)*bytes++, 0, 0);
}

void sbi_timer_set(uint64_t value)
{
	sbi_call(EXT_TIME, 0, value, 0, 0);
}

void sbi_ipi_send(uint64_t mask, uint64_t base)
{
	sbi_call(EXT_IPI, 0, mask, base, 0);
}

bool sbi_hart_start(uint64_t hart, paddr_t entry)
{
	return sbi_call(EXT_HSM, 0, hart, entry, 0).error == 0;
}

void sbi_system_off(bool failure)
{
	if (sbi_features.reset)
		sbi_call(EXT_RESET, 0, RESET_SHUTDOWN,
			 failure ? REASON_SYSTEM_FAILURE : REASON_NONE, 0);
	sbi_call(EXT_LEGACY_SHUTDOWN, 0, 0, 0, 0);
}

void sbi_system_reboot(void)
{
	if (sbi_features.reset)
		sbi_call(EXT_RESET, 0, RESET_COLD_REBOOT, REASON_NONE, 0);
}
