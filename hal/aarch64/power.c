/* Off, reboot, halt. */
#include "cpu.h"
#include "psci.h"
#include "semihost.h"

#include <lib/compiler.h>
#include <lib/string.h>

static bool exit_to_emulator RO_AFTER_INIT;

void power_early(const struct boot_info *info)
{
	static const char word[] = "exit=emulator";
	const char *at = info->command_line;
	while ((at = strstr(at, word))) {
		char before = at == info->command_line ? ' ' : at[-1], after = at[sizeof(word) - 1];
		exit_to_emulator |= before == ' ' && (after == 0 || after == ' ');
		at += sizeof(word) - 1;
	}
}

__attribute__((noreturn)) void power_down(enum hal_power how, int status)
{
	__asm__ volatile("msr daifset, #15");
	console_flush();
	if (how == HAL_POWER_OFF && exit_to_emulator)
		semihost_exit(status);
	if (how == HAL_POWER_OFF)
		psci_system_off();
	if (how == HAL_POWER_REBOOT)
		psci_system_reset();
	for (;;)
		__asm__ volatile("wfi");
}
