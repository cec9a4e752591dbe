/*
 * External interrupts: the PLIC of the device tree. Which of its contexts is this hart's supervisor
 * mode stands in interrupts-extended: the n-th pair belongs to context n and names the interrupt
 * controller node inside a cpu node, and the interrupt there (9: supervisor external).
 */
#include "riscv64.h"

#include "fdt.h"
#include "plic.h"

#define SUPERVISOR_EXTERNAL 9

static RO_AFTER_INIT bool present;

/* The CPU index of the cpu node that holds the controller with this phandle. */
static cpu_t cpu_of_controller(const struct fdt *fdt, uint32_t phandle)
{
	struct fdt_node node;
	uint64_t hart, size;
	if (!fdt_find_phandle(fdt, phandle, &node) || !fdt_parent(fdt, &node, &node) ||
	    !fdt_reg_raw(fdt, &node, 0, &hart, &size))
		return CPU_NONE;
	for (cpu_t cpu = 0; cpu < riscv_smp_cpu_count(); cpu++)
		if (riscv_smp_hart(cpu) == hart)
			return cpu;
	return CPU_NONE;
}

static bool plic_find(const struct fdt *fdt, struct fdt_node *node)
{
	return fdt_find_compatible(fdt, "riscv,plic0", 0, node) ||
	       fdt_find_compatible(fdt, "sifive,plic-1.0.0", 0, node);
}

enum kerr riscv_irq_init(const struct boot_info *info)
{
	const struct fdt *fdt = riscv_platform_fdt();
	struct fdt_node node;
	struct fdt_interrupt interrupt;
	uint32_t context[CPU_MAX], sources = 0;
	paddr_t address;
	uint64_t size;
	if (!plic_find(fdt, &node) || !fdt_reg(fdt, &node, 0, &address, &size) ||
	    !fdt_u32(fdt, &node, "riscv,ndev", 0, &sources)) {
		core_log("riscv64: the device tree shows no PLIC: no device interrupts\n");
		return KERR_OK;
	}
	for (cpu_t cpu = 0; cpu < CPU_MAX; cpu++)
		context[cpu] = PLIC_NO_CONTEXT;
	for (uint32_t i = 0; fdt_interrupt(fdt, &node, i, &interrupt); i++) {
		if (interrupt.count == 0 || interrupt.cells[0] != SUPERVISOR_EXTERNAL)
			continue;
		cpu_t cpu = cpu_of_controller(fdt, interrupt.controller);
		if (cpu != CPU_NONE)
			context[cpu] = i;
	}
	volatile void *registers = core_device_map(address, size);
	if (!registers)
		return KERR_NOMEM;
	plic_init(registers, size, sources, context);
	present = true;
	return KERR_OK;
}

void riscv_irq_start(cpu_t cpu)
{
	if (!present)
		return;
	plic_cpu_init(cpu);
	csr_set(sie, SIE_EXTERNAL);
}

void riscv_irq_external(void)
{
	cpu_t cpu = riscv_cpu_current()->cpu;
	for (unsigned line; (line = plic_claim(cpu)) != 0;) {
		if (line == riscv_console_line())
			riscv_console_interrupt();
		else
			core_irq(line);
		plic_complete(cpu, line);
	}
}

/* The PLIC's gateways are wired for their trigger: it cannot be chosen. */
enum kerr riscv_irq_route(unsigned line, enum irq_trigger trigger, cpu_t cpu)
{
	return present ? plic_route(line, cpu) : KERR_INVAL;
}
