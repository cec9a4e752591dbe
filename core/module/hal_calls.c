/*
 * What a module calls where the kernel uses its HAL table (hal/module_table.h). Each is a few
 * instructions and a call away, which a module pays and the kernel does not.
 */
#include <hal/hal.h>
#include <hal/module_table.h>
#include <lib/export.h>

struct hal_thread *module_hal_current(void)
{
	return hal.cpu.current();
}

bool module_hal_irq_save(void)
{
	return hal.cpu.irq_save();
}

void module_hal_irq_restore(bool on)
{
	hal.cpu.irq_restore(on);
}

bool module_hal_irq_enabled(void)
{
	return hal.cpu.irq_enabled();
}

void module_hal_relax(void)
{
	hal.cpu.relax();
}

nsec_t module_hal_now(void)
{
	return hal.timer.now();
}

EXPORT_SYMBOL(module_hal_current);
EXPORT_SYMBOL(module_hal_irq_save);
EXPORT_SYMBOL(module_hal_irq_restore);
EXPORT_SYMBOL(module_hal_irq_enabled);
EXPORT_SYMBOL(module_hal_relax);
EXPORT_SYMBOL(module_hal_now);
