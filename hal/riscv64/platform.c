/*
 * The machine, in the order in which it becomes usable. Everything comes from the device tree.
 * It is opened once in platform.early; its memory is given back after the boot, so what is needed
 * later is copied.
 */
#include "riscv64.h"

#include <lib/string.h>

#include "fdt.h"
#include "sbi.h"

#define RTC_TIME_LOW 0 /* reading it latches the high word; nanoseconds since 1970 */
#define RTC_TIME_HIGH 4

static struct fdt fdt;
static RO_AFTER_INIT char model[64];

const struct fdt *riscv_platform_fdt(void)
{
	return &fdt;
}

void riscv_platform_early(struct boot_info *info)
{
	struct fdt_node root;
	riscv_trap_start();
	sbi_init();
	/* boot/ has opened it before: only size and shape are read again. */
	if (fdt_open(&fdt, info->fdt, fdt_claimed_size(info->fdt)) != KERR_OK)
		core_panic("riscv64: the device tree is broken");
	riscv_console_early(info);
	riscv_cpu_features_read(info);
	riscv_cpu_start();
	riscv_smp_init(info);
	riscv_mmu_init(info);
	riscv_timer_init(info);
	fdt_root(&fdt, &root);
	const char *name = fdt_string(&fdt, &root, "model", 0);
	strlcpy(model, name ? name : "RISC-V machine", sizeof(model));
	info->machine = model;
	if (!sbi_features.time && !riscv_cpu_features.sstc)
		core_panic("riscv64: the firmware has no SBI 0.2 timer");
}

/* The goldfish RTC of the virt machine. */
static uint64_t wall_clock_read(void)
{
	struct fdt_node node;
	paddr_t address;
	uint64_t size;
	if (!fdt_find_compatible(&fdt, "google,goldfish-rtc", 0, &node) ||
	    !fdt_reg(&fdt, &node, 0, &address, &size) || size < 8)
		return 0;
	volatile uint8_t *rtc = core_device_map(address, size);
	if (!rtc)
		return 0;
	uint64_t low = *(volatile uint32_t *)(rtc + RTC_TIME_LOW);
	uint64_t high = *(volatile uint32_t *)(rtc + RTC_TIME_HIGH);
	return (high << 32 | low) / NSEC_PER_SEC;
}

enum kerr riscv_platform_init(struct boot_info *info)
{
	enum kerr err = riscv_irq_init(info);
	if (err != KERR_OK)
		return err;
	riscv_power_init(info);
	info->entered = riscv_timer_from_ticks(info->entered);
	info->wall_seconds = wall_clock_read();
	riscv_user_init();
	riscv_platform_cpu_init(0);
	riscv_console_init();
	core_log("cpu: the kernel runs without SUM and MXR");
	return KERR_OK;
}

void riscv_platform_cpu_init(cpu_t cpu)
{
	riscv_irq_start(cpu);
	riscv_smp_start_self(cpu);
}
