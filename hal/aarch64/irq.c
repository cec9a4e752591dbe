/*
 * Interrupts: picks GICv2 or GICv3 from the device tree once, then every interrupt goes
 * acknowledge, handler, end of interrupt, core_irq_exit. The timer, the console and the SGIs are
 * the port's own; what is left goes to core_irq by its number.
 * Lock: trigger_lock, a leaf, only around one register.
 */
#include "gic.h"
#include "platform.h"
#include "regs.h"

#include <hal/upcall.h>
#include <lib/compiler.h>

/* Entry points of trap.S. */
void irq_handle(struct hal_frame *frame, bool from_user);
void irq_handle_fiq(struct hal_frame *frame);

static bool gic_is_v3 RO_AFTER_INIT;
static bool gic_ready RO_AFTER_INIT;
static bool trigger_lock;

enum kerr irq_init(const struct boot_info *info)
{
	static const char *const v2_names[] = {"arm,gic-400", "arm,cortex-a15-gic",
					       "arm,cortex-a9-gic"};
	const struct fdt *fdt = platform_fdt();
	struct fdt_node node;
	enum kerr err = KERR_NODEV;
	if (fdt_find_compatible_any(fdt, v2_names, ARRAY_SIZE(v2_names), 0, &node)) {
		err = gicv2_init(fdt, &node);
	} else if (fdt_find_compatible(fdt, "arm,gic-v3", 0, &node)) {
		gic_is_v3 = true;
		err = gicv3_init(fdt, &node);
	}
	gic_ready = err == KERR_OK;
	return err;
}

void irq_cpu_init(cpu_t cpu)
{
	if (gic_is_v3)
		gicv3_cpu_init(cpu);
	else
		gicv2_cpu_init(cpu);
}

void irq_send(cpuset_t cpus, unsigned sgi)
{
	if (!gic_ready) /* a panic before there is a controller: nobody else runs yet */
		return;
	dsb(ishst); /* what was written before is there when the interrupt is */
	if (gic_is_v3)
		gicv3_send(cpus, sgi);
	else
		gicv2_send(cpus, sgi);
}

void irq_enable_private(unsigned intid)
{
	if (gic_is_v3)
		gicv3_private_enable(intid);
	else
		gicv2_private_enable(intid);
}

enum kerr irq_route(unsigned line, enum irq_trigger trigger, cpu_t cpu)
{
	if (line < GIC_PRIVATE || (cpu != CPU_NONE && cpu >= smp_count()))
		return KERR_INVAL;
	return gic_is_v3 ? gicv3_route(line, trigger, cpu) : gicv2_route(line, trigger, cpu);
}

void gic_trigger_set(volatile uint8_t *distributor, unsigned line, enum irq_trigger trigger)
{
	size_t offset = GICD_ICFGR + line / 16 * 4;
	uint32_t bit = 2u << (line % 16 * 2);
	bool on = cpu_irq_save();
	while (__atomic_test_and_set(&trigger_lock, __ATOMIC_ACQUIRE))
		cpu_relax();
	uint32_t value = mmio_read32(distributor, offset) & ~bit;
	mmio_write32(distributor, offset, trigger == IRQ_EDGE ? value | bit : value);
	__atomic_clear(&trigger_lock, __ATOMIC_RELEASE);
	cpu_irq_restore(on);
}

[[noreturn]] static void stop_this_cpu(void)
{
	__asm__ volatile("msr daifset, #15");
	for (;;)
		__asm__ volatile("wfi");
}

void irq_handle(struct hal_frame *frame, bool from_user)
{
	uint32_t token = gic_is_v3 ? gicv3_acknowledge() : gicv2_acknowledge();
	unsigned intid = token & 0x3ff;
	if (intid >= GIC_SPURIOUS)
		return;
	core_irq_enter();
	if (timer_is(intid))
		timer_interrupt();
	else if (intid == SGI_IPI)
		core_ipi();
	else if (console_is(intid))
		console_interrupt();
	else if (intid >= GIC_PRIVATE)
		core_irq(intid);
	else if (intid == SGI_STOP)
		stop_this_cpu();
	else if (intid == SGI_SAMPLE)
		smp_sample_take(frame);
	if (gic_is_v3)
		gicv3_end(token);
	else
		gicv2_end(token);
	core_irq_exit(frame, from_user);
}

/* FIQ: with whatever locks held, so it touches nothing that others own. */
void irq_handle_fiq(struct hal_frame *frame)
{
	uint32_t token = gic_is_v3 ? gicv3_fiq_acknowledge() : gicv2_acknowledge();
	unsigned intid = token & 0x3ff;
	if (intid >= GIC_SPURIOUS)
		return;
	if (intid == SGI_STOP)
		stop_this_cpu();
	if (intid == SGI_SAMPLE)
		smp_sample_take(frame);
	if (gic_is_v3)
		gicv3_fiq_end(token);
	else
		gicv2_end(token);
}
