/*
 * PLIC. Registers (chapter 3 of its specification): a priority word for each source, an enable bit
 * for each source and context, a threshold and a claim/complete word for each context. All sources
 * in use have priority 1 and all thresholds are 0: the kernel takes what comes. route_lock guards
 * the enable words (read, changed and written); the rest is constant.
 */
#include "plic.h"

#include <hal/hal.h>
#include <lib/compiler.h>

#define PRIORITY(source) (4ul * (source))
#define ENABLE(context, source) (0x2000ul + 0x80ul * (context) + 4ul * ((source) / 32))
#define THRESHOLD(context) (0x200000ul + 0x1000ul * (context))
#define CLAIM(context) (0x200004ul + 0x1000ul * (context))

struct plic {
	volatile uint8_t *registers;
	unsigned sources;
	uint32_t context[CPU_MAX];
};

static RO_AFTER_INIT struct plic plic;
static bool route_lock;

static volatile uint32_t *reg(unsigned long offset)
{
	return (volatile uint32_t *)(plic.registers + offset);
}

static bool context_reachable(uint32_t context, size_t size)
{
	return context != PLIC_NO_CONTEXT && CLAIM(context) + 4 <= size;
}

void plic_init(volatile void *registers, size_t size, unsigned sources,
	       const uint32_t context[CPU_MAX])
{
	plic.registers = registers;
	plic.sources = MIN(sources, 1023u);
	for (cpu_t cpu = 0; cpu < CPU_MAX; cpu++) {
		plic.context[cpu] =
			context_reachable(context[cpu], size) ? context[cpu] : PLIC_NO_CONTEXT;
		if (plic.context[cpu] == PLIC_NO_CONTEXT)
			continue;
		for (unsigned source = 0; source <= plic.sources; source += 32)
			*reg(ENABLE(context[cpu], source)) = 0;
	}
	for (unsigned source = 1; source <= plic.sources; source++)
		*reg(PRIORITY(source)) = 0;
}

void plic_cpu_init(cpu_t cpu)
{
	if (plic.registers && plic.context[cpu] != PLIC_NO_CONTEXT)
		*reg(THRESHOLD(plic.context[cpu])) = 0;
}

static void enable_set(unsigned source, cpu_t target)
{
	uint32_t bit = 1u << (source % 32);
	for (cpu_t cpu = 0; cpu < CPU_MAX; cpu++) {
		if (plic.context[cpu] == PLIC_NO_CONTEXT)
			continue;
		volatile uint32_t *enable = reg(ENABLE(plic.context[cpu], source));
		uint32_t old = *enable, new = cpu == target ? old | bit : old & ~bit;
		if (new != old)
			*enable = new;
	}
}

enum kerr plic_route(unsigned source, cpu_t cpu)
{
	if (source == 0 || source > plic.sources)
		return KERR_INVAL;
	if (cpu != CPU_NONE && (cpu >= CPU_MAX || plic.context[cpu] == PLIC_NO_CONTEXT))
		return KERR_INVAL;
	bool on = hal.cpu.irq_save();
	while (__atomic_exchange_n(&route_lock, true, __ATOMIC_ACQUIRE))
		hal.cpu.relax();
	enable_set(source, cpu);
	*reg(PRIORITY(source)) = cpu != CPU_NONE;
	__atomic_store_n(&route_lock, false, __ATOMIC_RELEASE);
	hal.cpu.irq_restore(on);
	return KERR_OK;
}

unsigned plic_claim(cpu_t cpu)
{
	return *reg(CLAIM(plic.context[cpu]));
}

void plic_complete(cpu_t cpu, unsigned source)
{
	*reg(CLAIM(plic.context[cpu])) = source;
}
