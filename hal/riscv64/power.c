/*
 * Off, reboot, halt. The firmware does the first two (SBI system reset); on an emulator with
 * "exit=emulator" the SiFive test device takes the exit status: a 32-bit store of
 * (status << 16) | 0x3333 ends the machine with that status, 0x5555 with 0.
 */
#include "riscv64.h"

#include <lib/string.h>

#include "fdt.h"
#include "sbi.h"

#define TEST_FAIL 0x3333u
#define TEST_PASS 0x5555u

/* Null: there is none, or it is not to be used. */
static RO_AFTER_INIT volatile uint32_t *test_device;

void riscv_power_init(const struct boot_info *info)
{
	const struct fdt *fdt = riscv_platform_fdt();
	struct fdt_node node;
	paddr_t address;
	uint64_t size;
	if (!strstr(info->command_line, "exit=emulator"))
		return;
	if ((fdt_find_compatible(fdt, "sifive,test0", 0, &node) ||
	     fdt_find_compatible(fdt, "sifive,test1", 0, &node)) &&
	    fdt_reg(fdt, &node, 0, &address, &size) && size >= sizeof(uint32_t))
		test_device = core_device_map(address, size);
}

void riscv_power_halt(void)
{
	riscv_cpu_irq_off();
	csr_write(sie, 0);
	for (;;)
		asm volatile("wfi" ::: "memory");
}

void riscv_power_go(enum hal_power how, int status)
{
	riscv_cpu_irq_off();
	riscv_console_flush();
	if (how == HAL_POWER_OFF && test_device)
		*test_device = status ? (uint32_t)(status & 0xff) << 16 | TEST_FAIL : TEST_PASS;
	if (how == HAL_POWER_OFF)
		sbi_system_off(status != 0);
	if (how == HAL_POWER_REBOOT)
		sbi_system_reboot();
	riscv_power_halt();
}
