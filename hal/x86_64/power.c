/*
 * Off, reboot, halt. Off tries, in order: the emulator's exit device (with "exit=emulator" on the
 * command line; the device keeps `status` * 2 + 1), ACPI's S5 (ACPI 6.5, 4.8.3.2 and 7.4.2), the
 * port QEMU's machines have it at. Reboot: ACPI's reset register, the keyboard controller, a
 * triple fault. What has no effect falls through to the next; the last resort is to halt.
 */
#include "cpu.h"
#include "platform.h"

#include <lib/string.h>

#define EXIT_PORT 0xf4
#define QEMU_OFF_PORT 0x604
#define PM1_SCI_ENABLED 1u
#define PM1_SLEEP_ENABLE (1u << 13)
#define PM1_SLEEP_TYPE(type) ((unsigned)(type) << 10)
#define PM1_SLEEP_MASK 0x3c00u
#define KEYBOARD_PORT 0x64
#define KEYBOARD_RESET 0xfe
#define RESET_SPACE_PORT 1
#define ACPI_ENABLE_LOOKS 100000

static bool exit_to_emulator RO_AFTER_INIT;

/* True if the words of `line` include `word`. */
static bool line_has(const char *line, const char *word)
{
	size_t length = strlen(word);
	for (const char *p = line; (p = strstr(p, word)); p += length)
		if ((p == line || p[-1] == ' ') && (p[length] == ' ' || !p[length]))
			return true;
	return false;
}

void x86_power_early(const struct boot_info *info)
{
	exit_to_emulator = line_has(info->command_line, "exit=emulator");
}

static void acpi_mode_on(const struct acpi_fadt *fadt)
{
	if (!fadt->smi_command || x86_inw(fadt->pm1a_control) & PM1_SCI_ENABLED)
		return;
	x86_outb(fadt->smi_command, fadt->acpi_enable);
	for (int i = 0; i < ACPI_ENABLE_LOOKS; i++)
		if (x86_inw(fadt->pm1a_control) & PM1_SCI_ENABLED)
			return;
}

static void sleep_enter(uint16_t port, uint8_t type)
{
	unsigned value = x86_inw(port) & ~PM1_SLEEP_MASK;
	x86_outw(port, (uint16_t)(value | PM1_SLEEP_TYPE(type) | PM1_SLEEP_ENABLE));
}

static void off(int status)
{
	const struct acpi_fadt *fadt = &x86_platform.fadt;
	if (exit_to_emulator)
		x86_outl(EXIT_PORT, (uint32_t)status & 0x7f);
	if (x86_platform.has_s5 && fadt->pm1a_control) {
		acpi_mode_on(fadt);
		sleep_enter(fadt->pm1a_control, x86_platform.s5_a);
		if (fadt->pm1b_control)
			sleep_enter(fadt->pm1b_control, x86_platform.s5_b);
	}
	if (x86_features.hypervisor)
		x86_outw(QEMU_OFF_PORT, PM1_SLEEP_ENABLE);
}

static void reboot(void)
{
	const struct acpi_fadt *fadt = &x86_platform.fadt;
	if (x86_platform.has_fadt && fadt->reset_space == RESET_SPACE_PORT)
		x86_outb((uint16_t)fadt->reset_address, fadt->reset_value);
	x86_outb(KEYBOARD_PORT, KEYBOARD_RESET);
	struct x86_table_register none = {};
	asm volatile("lidt %0\n\tint3" ::"m"(none.limit), "m"(none.base));
}

void x86_power(enum hal_power how, int status)
{
	x86_cpu_irq_off();
	x86_console_flush();
	if (how == HAL_POWER_OFF)
		off(status);
	if (how == HAL_POWER_REBOOT)
		reboot();
	x86_cpu_halt();
}
