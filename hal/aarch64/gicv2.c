/*
 * GICv2 (Arm IHI 0048B): one distributor, a CPU interface banked by CPU. Targets are bits of CPU
 * interface numbers, eight at most, which each CPU reads from its own banked ITARGETSR0.
 */
#include "gic.h"
#include "regs.h"

#include <hal/upcall.h>
#include <lib/compiler.h>

#define GICC_CTLR 0x00
#define GICC_PMR 0x04
#define GICC_BPR 0x08
#define GICC_IAR 0x0c
#define GICC_EOIR 0x10

/* In the view of a non-secure kernel below secure firmware bit 0 enables group 1 and the others
 * are reserved; without secure state these are group 0, group 1, IAR gives both, group 0 is FIQ. */
#define GICC_ENABLE 0xfu
#define GICD_ENABLE 0x3u
#define SGIR_NSATT (1u << 15)

static volatile uint8_t *distributor RO_AFTER_INIT;
static volatile uint8_t *interface RO_AFTER_INIT;
static unsigned line_count RO_AFTER_INIT;
static uint8_t target_of[CPU_MAX]; /* interface bit; each written once by its CPU */

enum kerr gicv2_init(const struct fdt *fdt, const struct fdt_node *node)
{
	paddr_t base;
	uint64_t size;
	if (!fdt_reg(fdt, node, 0, &base, &size) || size < 0x1000)
		return KERR_NODEV;
	distributor = core_device_map(base, 0x1000);
	if (!fdt_reg(fdt, node, 1, &base, &size) || size < 0x1000)
		return KERR_NODEV;
	interface = core_device_map(base, 0x1000);
	if (!distributor || !interface)
		return KERR_NOMEM;
	line_count = gic_lines(distributor);
	mmio_write32(distributor, GICD_CTLR, 0);
	for (unsigned line = GIC_PRIVATE; line < line_count; line += 32) {
		mmio_write32(distributor, GICD_ICENABLER + line / 8, ~0u);
		mmio_write32(distributor, GICD_IGROUPR + line / 8, ~0u);
	}
	for (unsigned line = GIC_PRIVATE; line < line_count; line += 4)
		mmio_write32(distributor, GICD_IPRIORITYR + line, GIC_PRIORITY * 0x01010101u);
	mmio_write32(distributor, GICD_CTLR, GICD_ENABLE);
	return KERR_OK;
}

void gicv2_cpu_init(cpu_t cpu)
{
	target_of[cpu] = mmio_read32(distributor, GICD_ITARGETSR) & 0xff;
	if (target_of[cpu] == 0)
		target_of[cpu] = 1; /* one CPU: the register reads as zero */
	mmio_write32(distributor, GICD_ICENABLER, 0xffff0000u);
	mmio_write32(distributor, GICD_IGROUPR, ~GIC_FIQ_SGIS);
	for (unsigned line = 0; line < GIC_PRIVATE; line += 4)
		mmio_write32(distributor, GICD_IPRIORITYR + line, GIC_PRIORITY * 0x01010101u);
	*(distributor + GICD_IPRIORITYR + SGI_STOP) = 0;
	*(distributor + GICD_IPRIORITYR + SGI_SAMPLE) = 0;
	mmio_write32(distributor, GICD_ISENABLER, 0x0000ffffu);
	mmio_write32(interface, GICC_PMR, 0xff);
	mmio_write32(interface, GICC_BPR,
		     0); /* any higher priority comes before one that is being handled */
	mmio_write32(interface, GICC_CTLR, GICC_ENABLE);
}

uint32_t gicv2_acknowledge(void)
{
	return mmio_read32(interface, GICC_IAR);
}

void gicv2_end(uint32_t token)
{
	mmio_write32(interface, GICC_EOIR, token);
}

void gicv2_send(cpuset_t cpus, unsigned sgi)
{
	uint32_t targets = 0;
	for (; cpus; cpus &= cpus - 1)
		targets |= target_of[__builtin_ctzll(cpus)];
	/* NSATT says which group the SGI is in; non-secure writers may only send group 1. */
	mmio_write32(distributor, GICD_SGIR,
		     targets << 16 | sgi | (gic_sgi_is_fiq(sgi) ? 0 : SGIR_NSATT));
}

void gicv2_private_enable(unsigned intid)
{
	mmio_write32(distributor, GICD_ISENABLER, 1u << intid);
}

enum kerr gicv2_route(unsigned line, enum irq_trigger trigger, cpu_t cpu)
{
	if (line >= line_count)
		return KERR_INVAL;
	mmio_write32(distributor, GICD_ICENABLER + line / 32 * 4, 1u << (line % 32));
	if (cpu == CPU_NONE)
		return KERR_OK;
	gic_trigger_set(distributor, line, trigger);
	*(distributor + GICD_ITARGETSR + line) = target_of[cpu];
	mmio_write32(distributor, GICD_ISENABLER + line / 32 * 4, 1u << (line % 32));
	return KERR_OK;
}
