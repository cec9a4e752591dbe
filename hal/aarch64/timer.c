/*
 * The generic timer, virtual view (DDI 0487, D11): CNTVCT_EL0 counts the same on all CPUs from
 * about power-on; each CPU compares it with its own CNTV_CVAL_EL0.
 * Conversions are multiplications by 32.32 fixed-point factors, found once; 128-bit products, so
 * nothing wraps. Error: below 2^-32 ns a tick.
 */
#include "cpu.h"
#include "fdt.h"
#include "platform.h"
#include "regs.h"

#include <hal/upcall.h>
#include <lib/compiler.h>

#define CTL_ENABLE 1

#define TIMER_INTID_DEFAULT 27 /* PPI 11, by the Base System Architecture */
#define TIMER_FREQUENCY_DEFAULT 62500000

static uint64_t ns_per_tick RO_AFTER_INIT; /* 32.32 */
static uint64_t ticks_per_ns RO_AFTER_INIT;
static unsigned timer_intid RO_AFTER_INIT = TIMER_INTID_DEFAULT;

static uint64_t scale(uint64_t value, uint64_t factor)
{
	return (uint64_t)(((unsigned __int128)value * factor) >> 32);
}

nsec_t timer_from_ticks(uint64_t ticks)
{
	return scale(ticks, ns_per_tick);
}

nsec_t timer_now(void)
{
	isb(); /* the counter is not read ahead of what came before */
	return timer_from_ticks(reg_read(cntvct_el0));
}

void timer_arm(nsec_t deadline)
{
	if (deadline == NSEC_NEVER) {
		reg_write(cntv_ctl_el0, 0);
		isb();
		return;
	}
	/* From now on, so that the error of the quotient does not grow with the time since the boot. One tick
	 * more: never early. */
	uint64_t ticks = reg_read(cntvct_el0);
	nsec_t now = timer_from_ticks(ticks), left = deadline > now ? deadline - now : 0;
	reg_write(cntv_cval_el0, ticks + scale(left, ticks_per_ns) + 1);
	reg_write(cntv_ctl_el0, CTL_ENABLE);
	isb();
}

bool timer_is(unsigned intid)
{
	return intid == timer_intid;
}

/* The line is level: it stays up until the timer is armed anew or switched off. */
void timer_interrupt(void)
{
	reg_write(cntv_ctl_el0, 0);
	isb();
	core_timer();
}

void timer_setup(const struct boot_info *info)
{
	static const char *const names[] = {"arm,armv8-timer", "arm,armv7-timer"};
	const struct fdt *fdt = platform_fdt();
	struct fdt_node node;
	struct fdt_interrupt irq;
	uint64_t frequency = reg_read(cntfrq_el0);
	uint32_t from_tree;
	if (fdt_find_compatible_any(fdt, names, ARRAY_SIZE(names), 0, &node)) {
		/* Secure, physical, virtual, hypervisor; cells: 1 = PPI, number, flags. */
		if (fdt_interrupt(fdt, &node, 2, &irq) && irq.count >= 2 && irq.cells[0] == 1 &&
		    irq.cells[1] < 16)
			timer_intid = 16 + irq.cells[1];
		if (frequency == 0 && fdt_u32(fdt, &node, "clock-frequency", 0, &from_tree))
			frequency = from_tree;
	}
	if (frequency == 0)
		frequency = TIMER_FREQUENCY_DEFAULT;
	ns_per_tick = (NSEC_PER_SEC << 32) / frequency;
	ticks_per_ns = (frequency << 32) / NSEC_PER_SEC;
}

void timer_cpu_init(void)
{
	reg_write(cntv_ctl_el0, 0);
	irq_enable_private(timer_intid);
}
