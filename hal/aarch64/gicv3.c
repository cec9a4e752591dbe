/*
 * GICv3 and later (Arm IHI 0069): a distributor for shared lines, a redistributor a CPU for its
 * private ones, the CPU interface in system registers. Affinity routing, one security state or
 * the non-secure half of two. LPIs and the ITS are not used.
 */
#include "gic.h"
#include "regs.h"

#include <hal/upcall.h>
#include <lib/compiler.h>

#define GICD_CTLR_GROUP0 (1u << 0)
#define GICD_CTLR_GROUP1 (1u << 1)
#define GICD_CTLR_ARE (1u << 4)
#define GICD_CTLR_DS (1u << 6) /* one security state: group 0 is ours too */
#define GICD_CTLR_RWP (1u << 31)

#define GICR_TYPER 0x08
#define GICR_TYPER_VLPIS (1u << 1)
#define GICR_TYPER_LAST (1u << 4)
#define GICR_WAKER 0x14
#define GICR_WAKER_SLEEP (1u << 1)
#define GICR_WAKER_ASLEEP (1u << 2)
#define GICR_FRAME 0x10000u /* two frames, or four with virtual LPIs; the second holds SGIs */

#define REGION_MAX 8

struct redistributor_region {
	volatile uint8_t *base;
	size_t size; /* what is mapped of it */
};

static volatile uint8_t *distributor RO_AFTER_INIT;
static unsigned line_count RO_AFTER_INIT;
static bool group0_ours RO_AFTER_INIT;
static struct redistributor_region regions[REGION_MAX] RO_AFTER_INIT;
static unsigned region_count RO_AFTER_INIT;
static volatile uint8_t *redistributor_of[CPU_MAX]; /* each written once by its CPU */

static void distributor_settle(void)
{
	while (mmio_read32(distributor, GICD_CTLR) & GICD_CTLR_RWP)
		cpu_relax();
}

static enum kerr regions_map(const struct fdt *fdt, const struct fdt_node *node)
{
	uint32_t count = 1;
	paddr_t base;
	uint64_t size;
	fdt_u32(fdt, node, "#redistributor-regions", 0, &count);
	for (unsigned i = 0; i < count && i < REGION_MAX; i++) {
		if (!fdt_reg(fdt, node, 1 + i, &base, &size) || size < 2 * GICR_FRAME)
			break;
		/* Not more than all CPUs could need: the window may be far larger. */
		size = MIN(size, (uint64_t)smp_count() * 4 * GICR_FRAME);
		volatile uint8_t *mapped = core_device_map(base, size);
		if (!mapped)
			return KERR_NOMEM;
		regions[region_count++] = (struct redistributor_region){mapped, size};
	}
	return region_count ? KERR_OK : KERR_NODEV;
}

enum kerr gicv3_init(const struct fdt *fdt, const struct fdt_node *node)
{
	paddr_t base;
	uint64_t size;
	if (!fdt_reg(fdt, node, 0, &base, &size) || size < 0x10000)
		return KERR_NODEV;
	distributor = core_device_map(base, 0x10000);
	if (!distributor)
		return KERR_NOMEM;
	enum kerr err = regions_map(fdt, node);
	if (err != KERR_OK)
		return err;
	line_count = gic_lines(distributor);
	group0_ours = mmio_read32(distributor, GICD_CTLR) & GICD_CTLR_DS;
	mmio_write32(distributor, GICD_CTLR, 0);
	distributor_settle();
	for (unsigned line = GIC_PRIVATE; line < line_count; line += 32) {
		mmio_write32(distributor, GICD_ICENABLER + line / 8, ~0u);
		mmio_write32(distributor, GICD_IGROUPR + line / 8, ~0u);
	}
	for (unsigned line = GIC_PRIVATE; line < line_count; line += 4)
		mmio_write32(distributor, GICD_IPRIORITYR + line, GIC_PRIORITY * 0x01010101u);
	distributor_settle();
	mmio_write32(distributor, GICD_CTLR, GICD_CTLR_ARE);
	distributor_settle();
	mmio_write32(distributor, GICD_CTLR,
		     GICD_CTLR_ARE | GICD_CTLR_GROUP1 | (group0_ours ? GICD_CTLR_GROUP0 : 0));
	distributor_settle();
	return KERR_OK;
}

/* Aff3.Aff2.Aff1.Aff0 in 32 bits, as GICR_TYPER has it, from MPIDR_EL1's layout. */
static uint32_t affinity_pack(uint64_t mpidr)
{
	return (uint32_t)(mpidr & 0xffffff) | (uint32_t)(mpidr >> 32 & 0xff) << 24;
}

static volatile uint8_t *redistributor_find(uint32_t affinity)
{
	for (unsigned i = 0; i < region_count; i++) {
		for (size_t at = 0; at + 2 * GICR_FRAME <= regions[i].size;) {
			volatile uint8_t *frame = regions[i].base + at;
			uint32_t type = mmio_read32(frame, GICR_TYPER);
			if (mmio_read32(frame, GICR_TYPER + 4) == affinity)
				return frame;
			if (type & GICR_TYPER_LAST)
				break;
			at += (type & GICR_TYPER_VLPIS ? 4 : 2) * GICR_FRAME;
		}
	}
	return nullptr;
}

static void interface_init(void)
{
	reg_write(icc_sre_el1, reg_read(icc_sre_el1) | 1);
	isb();
	reg_write(icc_pmr_el1, 0xff);
	reg_write(icc_bpr1_el1, 0); /* any higher priority comes before one that is being handled */
	reg_write(icc_ctlr_el1, 0);
	if (group0_ours) {
		reg_write(icc_bpr0_el1, 0);
		reg_write(icc_igrpen0_el1, 1);
	}
	reg_write(icc_igrpen1_el1, 1);
	isb();
}

void gicv3_cpu_init(cpu_t cpu)
{
	volatile uint8_t *frame = redistributor_find(affinity_pack(smp_hardware_id(cpu)));
	if (!frame)
		core_panic("gicv3: no redistributor for cpu %u (%#llx)", cpu,
			   (unsigned long long)smp_hardware_id(cpu));
	redistributor_of[cpu] = frame;
	mmio_write32(frame, GICR_WAKER, mmio_read32(frame, GICR_WAKER) & ~GICR_WAKER_SLEEP);
	while (mmio_read32(frame, GICR_WAKER) & GICR_WAKER_ASLEEP)
		cpu_relax();
	volatile uint8_t *sgi = frame + GICR_FRAME;
	mmio_write32(sgi, GICD_ICENABLER, 0xffff0000u);
	mmio_write32(sgi, GICD_IGROUPR, group0_ours ? ~GIC_FIQ_SGIS : ~0u);
	for (unsigned line = 0; line < GIC_PRIVATE; line += 4)
		mmio_write32(sgi, GICD_IPRIORITYR + line, GIC_PRIORITY * 0x01010101u);
	*(sgi + GICD_IPRIORITYR + SGI_STOP) = 0;
	*(sgi + GICD_IPRIORITYR + SGI_SAMPLE) = 0;
	mmio_write32(sgi, GICD_ISENABLER, 0x0000ffffu);
	interface_init();
}

uint32_t gicv3_acknowledge(void)
{
	uint32_t token = (uint32_t)reg_read(icc_iar1_el1);
	dsb(sy); /* the acknowledge takes effect before what follows (IHI 0069, 4.1.2) */
	return token;
}

void gicv3_end(uint32_t token)
{
	reg_write(icc_eoir1_el1, token);
	isb();
}

uint32_t gicv3_fiq_acknowledge(void)
{
	uint32_t token = (uint32_t)reg_read(icc_iar0_el1);
	dsb(sy);
	return token;
}

void gicv3_fiq_end(uint32_t token)
{
	reg_write(icc_eoir0_el1, token);
	isb();
}

/* Where ICC_SGI1R_EL1 sends: Aff3, 2, 1, and a bit for Aff0 in the low 16. */
static uint64_t sgi_target(cpu_t cpu)
{
	uint64_t id = smp_hardware_id(cpu), aff0 = id & 0xff;
	return (id >> 32 & 0xff) << 48 | (id >> 16 & 0xff) << 32 | (id >> 8 & 0xff) << 16 |
	       (aff0 >> 4) << 44 | 1ull << (aff0 & 15);
}

static void sgi_write(uint64_t value, unsigned sgi)
{
	value |= (uint64_t)sgi << 24;
	if (gic_sgi_is_fiq(sgi) && group0_ours)
		reg_write(icc_sgi0r_el1, value);
	else
		reg_write(icc_sgi1r_el1, value);
}

void gicv3_send(cpuset_t cpus, unsigned sgi)
{
	/* CPUs of one cluster are usually neighbours: one write for each run of them. */
	uint64_t pending = 0;
	for (; cpus; cpus &= cpus - 1) {
		uint64_t target = sgi_target((cpu_t)__builtin_ctzll(cpus));
		if (pending && (pending ^ target) >> 16) {
			sgi_write(pending, sgi);
			pending = 0;
		}
		pending |= target;
	}
	if (pending)
		sgi_write(pending, sgi);
	isb();
}

void gicv3_private_enable(unsigned intid)
{
	mmio_write32(redistributor_of[cpu_current()->cpu] + GICR_FRAME, GICD_ISENABLER,
		     1u << intid);
}

enum kerr gicv3_route(unsigned line, enum irq_trigger trigger, cpu_t cpu)
{
	if (line >= line_count)
		return KERR_INVAL;
	mmio_write32(distributor, GICD_ICENABLER + line / 32 * 4, 1u << (line % 32));
	distributor_settle();
	if (cpu == CPU_NONE)
		return KERR_OK;
	gic_trigger_set(distributor, line, trigger);
	uint64_t id = smp_hardware_id(cpu);
	*(volatile uint64_t *)(distributor + GICD_IROUTER + 8 * line) = id & 0xff00ffffffull;
	mmio_write32(distributor, GICD_ISENABLER + line / 32 * 4, 1u << (line % 32));
	return KERR_OK;
}
