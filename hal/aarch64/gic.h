/* The two interrupt controllers, as irq.c uses them; it picks one at boot. */
#pragma once

#include "cpu.h"
#include "fdt.h"

#define GIC_SPURIOUS 1020 /* interrupt numbers from here on mean "none" */
#define GIC_PRIVATE 32    /* numbers below are SGIs (0 to 15) and PPIs of one CPU */
#define GIC_PRIORITY 0xa0

/* These are the interrupts of group 0, which arrive as FIQ where the firmware leaves that group to us:
 * nothing in the kernel masks FIQ for long. They also come before one that is being handled. Elsewhere
 * they are interrupts like others. */
#define GIC_FIQ_SGIS (1u << SGI_STOP | 1u << SGI_SAMPLE)

static inline bool gic_sgi_is_fiq(unsigned sgi)
{
	return GIC_FIQ_SGIS >> sgi & 1;
}

enum kerr gicv2_init(const struct fdt *fdt, const struct fdt_node *node);
void gicv2_cpu_init(cpu_t cpu);
uint32_t gicv2_acknowledge(void); /* the number, with what gicv2_end wants back above bit 10 */
void gicv2_end(uint32_t token);
void gicv2_send(cpuset_t cpus, unsigned sgi);
void gicv2_private_enable(unsigned intid);
enum kerr gicv2_route(unsigned line, enum irq_trigger trigger, cpu_t cpu);

enum kerr gicv3_init(const struct fdt *fdt, const struct fdt_node *node);
void gicv3_cpu_init(cpu_t cpu);
uint32_t gicv3_acknowledge(void);
void gicv3_end(uint32_t token);
/* The same for group 0; GICv2 has one pair of registers for both. */
uint32_t gicv3_fiq_acknowledge(void);
void gicv3_fiq_end(uint32_t token);
void gicv3_send(cpuset_t cpus, unsigned sgi);
void gicv3_private_enable(unsigned intid);
enum kerr gicv3_route(unsigned line, enum irq_trigger trigger, cpu_t cpu);

static inline uint32_t mmio_read32(volatile uint8_t *base, size_t offset)
{
	return *(volatile uint32_t *)(base + offset);
}

static inline void mmio_write32(volatile uint8_t *base, size_t offset, uint32_t value)
{
	*(volatile uint32_t *)(base + offset) = value;
}

/* The registers that the distributors of both versions and the SGI frame of a GICv3 share
 * (IHI 0048 4.3, IHI 0069 12.9). */
#define GICD_CTLR 0x000
#define GICD_TYPER 0x004
#define GICD_IGROUPR 0x080
#define GICD_ISENABLER 0x100
#define GICD_ICENABLER 0x180
#define GICD_IPRIORITYR 0x400
#define GICD_ITARGETSR 0x800
#define GICD_ICFGR 0xc00
#define GICD_SGIR 0xf00
#define GICD_IROUTER 0x6000

static inline unsigned gic_lines(volatile uint8_t *distributor)
{
	unsigned lines = 32 * ((mmio_read32(distributor, GICD_TYPER) & 0x1f) + 1);
	return lines < GIC_SPURIOUS ? lines : GIC_SPURIOUS;
}

/* irq.c: the trigger of an SPI; the only register two CPUs may want to change at a time. */
void gic_trigger_set(volatile uint8_t *distributor, unsigned line, enum irq_trigger trigger);
