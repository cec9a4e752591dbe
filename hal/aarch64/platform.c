/* Start of the port on the boot CPU and on the others, in the order that things need each other. */
#include "platform.h"
#include "cpu.h"
#include "psci.h"

#include <hal/upcall.h>
#include <lib/compiler.h>

#define FDT_REACH 0x200000 /* what the Linux boot protocol allows, and the early tables map */
#define PL031_DR 0x000 /* seconds since 1970; Arm DDI 0224, 3.3.1 */

static struct fdt tree RO_AFTER_INIT;

const struct fdt *platform_fdt(void)
{
	return &tree;
}

static const char *machine_name(void)
{
	struct fdt_node root;
	fdt_root(&tree, &root);
	const char *model = fdt_string(&tree, &root, "model", 0);
	return model ? model : "unknown";
}

void platform_early(struct boot_info *info)
{
	cpu_features();
	cpu_configure();
	cpu_identify(0);
	mmu_init(info);
	console_early(info);
	if (fdt_open(&tree, info->fdt, FDT_REACH) != KERR_OK)
		core_panic("boot: there is no sound device tree at %p", info->fdt);
	timer_setup(info);
	user_init();
	smp_init(info);
	psci_init(&tree);
	power_early(info);
	info->machine = machine_name();
}

static uint64_t wall_clock_read(void)
{
	struct fdt_node node;
	paddr_t base;
	uint64_t size;
	if (!fdt_find_compatible(&tree, "arm,pl031", 0, &node) ||
	    !fdt_reg(&tree, &node, 0, &base, &size) || size < PAGE_SIZE)
		return 0;
	volatile uint8_t *rtc = core_device_map(base, PAGE_SIZE);
	return rtc ? *(volatile uint32_t *)(rtc + PL031_DR) : 0;
}

enum kerr platform_init(struct boot_info *info)
{
	enum kerr err = irq_init(info);
	if (err != KERR_OK)
		return err;
	irq_cpu_init(0);
	timer_cpu_init();
	console_init(info);
	cpu_log_protections();
	info->entered = timer_from_ticks(info->entered);
	info->wall_seconds = wall_clock_read();
	return KERR_OK;
}

void platform_cpu_init(cpu_t cpu)
{
	cpu_identify(cpu);
	irq_cpu_init(cpu);
	timer_cpu_init();
}
