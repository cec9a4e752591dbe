/*
 * The other CPUs: starting, interrupting, stopping them.
 *
 * A start is the INIT and start-up sequence (Intel SDM volume 3, 9.4.4). The 10 ms that the manual
 * wants between INIT and start-up is a rule for the discrete APICs of the Pentium; later CPUs take
 * them at once, so it is waited for only with family 5. A second start-up message goes out only if
 * the first has not been heard. Whether a CPU then reports itself is core's to watch.
 *
 * x86_smp_root, the low pages: written once by the boot CPU before the first start.
 */
#include "smp.h"

#include "cpu.h"
#include "frame.h"

#include <hal/upcall.h>
#include <lib/string.h>
#include <stdatomic.h>

#define STARTUP_WAIT (200 * NSEC_PER_USEC)
#define INIT_WAIT (10 * NSEC_PER_MSEC)
#define PTE_TABLE_BITS 3u  /* present, writable */
#define PTE_LARGE_BITS 0x83u

extern const char x86_smp_trampoline[], x86_smp_trampoline_end[], x86_smp_trampoline_data[];
extern const char x86_smp_protected[], x86_smp_long_mode[], x86_smp_gdt[], x86_smp_entry[];

uint64_t x86_smp_root;
_Atomic uint32_t x86_stopping;
static paddr_t low_pages RO_AFTER_INIT; /* 0: there are none */
static vaddr_t direct_map RO_AFTER_INIT;

[[noreturn]] void x86_smp_cpu_main(struct x86_cpu *cpu);

void x86_smp_early(const struct boot_info *info)
{
	direct_map = info->direct_map;
	for (size_t i = 0; i < info->region_count; i++)
		if (!strcmp(info->regions[i].name, SMP_REGION))
			low_pages = info->regions[i].start;
}

static uint32_t low_address(const char *label)
{
	return (uint32_t)(low_pages + (paddr_t)(label - x86_smp_trampoline));
}

/* The code and its data, and tables with the kernel half of the current root, which is the same in
 * all roots. */
static enum kerr low_pages_fill(uint64_t root)
{
	struct smp_trampoline_data data = {
		.entry = (uint64_t)x86_smp_entry,
		.efer = (uint32_t)x86_rdmsr(MSR_EFER),
		.root = (uint32_t)(low_pages + PAGE_SIZE),
		.gdt_limit = 4 * 8 - 1,
		.gdt_base = low_address(x86_smp_gdt),
		.protected_ip = low_address(x86_smp_protected),
		.protected_cs = 8,
		.long_ip = low_address(x86_smp_long_mode),
		.long_cs = 24,
		.cr4 = CR4_PAE | (uint32_t)(x86_read_cr4() & CR4_LA57),
	};
	char *low =
		low_pages ? (char *)core_device_map(low_pages, SMP_LOW_PAGES * PAGE_SIZE) : nullptr;
	if (!low)
		return KERR_NOMEM;
	memcpy(low, x86_smp_trampoline, (size_t)(x86_smp_trampoline_end - x86_smp_trampoline));
	memcpy(low + (x86_smp_trampoline_data - x86_smp_trampoline), &data, sizeof(data));
	uint64_t *tables = (uint64_t *)(low + PAGE_SIZE);
	const uint64_t *kernel = (const uint64_t *)(direct_map + root);
	memset(tables, 0, (SMP_LOW_PAGES - 1) * PAGE_SIZE);
	memcpy(tables + 256, kernel + 256, PAGE_SIZE / 2);
	unsigned last = x86_mmu_geometry()->levels - 2u;
	for (unsigned i = 0; i < last; i++)
		tables[512 * i] = (low_pages + (i + 2) * PAGE_SIZE) | PTE_TABLE_BITS;
	tables[512 * last] = PTE_LARGE_BITS;
	x86_smp_root = root;
	return KERR_OK;
}

enum kerr x86_smp_start(cpu_t index, struct hal_thread *idle)
{
	if (!index || index >= x86_cpu_count)
		return KERR_INVAL;
	struct x86_cpu *cpu = &x86_cpus[index];
	if (!x86_smp_root) {
		enum kerr err = low_pages_fill(x86_read_cr3() & PAGE_MASK);
		if (err != KERR_OK)
			return err;
	}
	cpu->idle = idle;
	x86_irq_ipi_send(cpu->apic_id, ICR_INIT | ICR_ASSERT);
	if ((x86_cpuid(1, 0).a >> 8 & 15) == 5)
		x86_timer_delay(INIT_WAIT);
	for (int tries = 0; tries < 2 && !atomic_load(&cpu->started); tries++) {
		x86_irq_ipi_send(cpu->apic_id,
				 ICR_STARTUP | ICR_ASSERT | (uint32_t)(low_pages >> PAGE_SHIFT));
		nsec_t end = x86_timer_now() + STARTUP_WAIT;
		while (!atomic_load(&cpu->started) && x86_timer_now() < end)
			x86_relax();
	}
	return KERR_OK;
}

/* On the new CPU: its idle thread's stack, the kernel's tables, GS at its area. */
void x86_smp_cpu_main(struct x86_cpu *cpu)
{
	x86_cpu_setup(cpu);
	x86_cpu_set_current(cpu->idle);
	atomic_store(&cpu->started, 1);
	core_cpu_main();
}

void x86_smp_ipi(cpuset_t cpus)
{
	for (; cpus; cpus &= cpus - 1)
		x86_irq_ipi_send(x86_cpus[__builtin_ctzll(cpus)].apic_id,
				 ICR_FIXED | ICR_ASSERT | VECTOR_IPI);
}

/* One question at a time, until its answer is read: x86_sampling is the APIC number + 1 of who is asked; trap.S
 * looks at it. */
static _Atomic bool asking;
_Atomic uint32_t x86_sampling;
static struct hal_frame sampled; /* the asked one writes it, then clears x86_sampling */

void x86_smp_sample_take(const struct hal_frame *frame);

/* In an NMI, with whatever GS and locks: touches nothing else. */
void x86_smp_sample_take(const struct hal_frame *frame)
{
	sampled.rip = frame->rip;
	sampled.rbp = frame->rbp;
	sampled.cs = frame->cs;
	atomic_store_explicit(&x86_sampling, 0, memory_order_release);
}

bool x86_smp_sample(cpu_t cpu, struct hal_unwind *out, bool *kernel)
{
	if (cpu >= x86_cpu_count || !atomic_load(&x86_cpus[cpu].started) ||
	    atomic_exchange(&asking, true))
		return false;
	uint32_t asked = x86_cpus[cpu].apic_id + 1;
	atomic_store(&x86_sampling, asked);
	x86_irq_ipi_send(x86_cpus[cpu].apic_id, ICR_NMI | ICR_ASSERT);
	for (unsigned i = 0; i < 100000000 && atomic_load(&x86_sampling); i++)
		x86_relax();
	/* An NMI that comes later than this is taken for the hardware's. */
	bool answered = !atomic_compare_exchange_strong(&x86_sampling, &asked, 0);
	if (answered) {
		*out = (struct hal_unwind){.ip = sampled.rip, .fp = sampled.rbp};
		*kernel = !(sampled.cs & 3);
	}
	atomic_store_explicit(&asking, false, memory_order_release);
	return answered;
}

/* trap.S looks at x86_stopping. */
void x86_smp_stop_others(void)
{
	atomic_store(&x86_stopping, 1);
	for (cpu_t i = 0; i < x86_cpu_count; i++)
		if (atomic_load(&x86_cpus[i].started) && &x86_cpus[i] != x86_cpu_area())
			x86_irq_ipi_send(x86_cpus[i].apic_id, ICR_NMI | ICR_ASSERT);
}
