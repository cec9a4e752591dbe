/*
 * Starting and signalling CPUs. PSCI CPU_ON brings a CPU to boot_secondary_entry (boot/aarch64),
 * MMU off, with the idle thread as its argument; that turns on the kernel's tables, which it finds
 * in smp_root, and continues in smp_secondary() on the idle thread's stack.
 *
 * Boards without PSCI have spin tables: each CPU waits for an address at its own place in memory
 * and jumps there with no argument. Those come in at boot_spin_entry, take the idle thread from
 * smp_spin_idle and clear that, so one CPU starts at a time.
 * What the other CPU reads or writes with its caches off is cleaned before and dropped after.
 */
#include "cpu.h"
#include "platform.h"
#include "psci.h"
#include "regs.h"

#include <hal/upcall.h>
#include <lib/compiler.h>
#include <lib/string.h>
#include <stdatomic.h>

#define SPIN_TAKE_TIME (100 * NSEC_PER_MSEC)
#define SAMPLE_TIME (500 * NSEC_PER_MSEC)

/* entry.S */
extern const char boot_secondary_entry[], boot_spin_entry[];
void smp_secondary(struct hal_thread *idle);

/* Physical address of the kernel's tables, read by entry.S with the MMU off. */
uint64_t smp_root;
/* The idle thread of the CPU that starts by spin table; in a line of its own. */
alignas(64) uint64_t smp_spin_idle[8];

static uint64_t hardware_ids[CPU_MAX] RO_AFTER_INIT; /* MPIDR affinity bits */
static cpu_t cpu_count RO_AFTER_INIT;
static int64_t image_offset RO_AFTER_INIT; /* physical minus virtual, of the image */

void smp_init(const struct boot_info *info)
{
	cpu_count = (cpu_t)MIN(info->cpu_count, CPU_MAX);
	for (cpu_t cpu = 0; cpu < cpu_count; cpu++)
		hardware_ids[cpu] = info->cpus[cpu].hardware_id;
	image_offset = (int64_t)(info->image_start - info->image_base);
}

uint64_t smp_hardware_id(cpu_t cpu)
{
	return hardware_ids[cpu];
}

cpu_t smp_count(void)
{
	return cpu_count;
}

/* Writes back and drops the line. */
static void line_sync(volatile void *p)
{
	__asm__ volatile("dc civac, %0\n\tdsb sy" ::"r"(p) : "memory");
}

static paddr_t image_address(const void *symbol)
{
	return (vaddr_t)symbol + (uint64_t)image_offset;
}

/* Where the CPU looks for an address; false: it does not start by spin table. */
static bool spin_table_find(cpu_t cpu, paddr_t *release)
{
	struct fdt_node node;
	uint64_t id;
	for (size_t i = 0; fdt_cpu(platform_fdt(), i, &node, &id); i++) {
		if (id != hardware_ids[cpu])
			continue;
		const char *method = fdt_string(platform_fdt(), &node, "enable-method", 0);
		return method && strcmp(method, "spin-table") == 0 &&
		       fdt_number(platform_fdt(), &node, "cpu-release-addr", release);
	}
	return false;
}

static enum kerr spin_start(struct hal_thread *idle, paddr_t release)
{
	nsec_t deadline = timer_now() + SPIN_TAKE_TIME;
	do {
		line_sync(smp_spin_idle);
		if (timer_now() > deadline)
			return KERR_TIMEDOUT; /* the CPU started before this one never came */
	} while (READ_ONCE(smp_spin_idle[0]) != 0);
	volatile uint8_t *place = core_device_map(ALIGN_DOWN(release, PAGE_SIZE), PAGE_SIZE);
	if (!place || (release & 7))
		return place ? KERR_INVAL : KERR_NOMEM;
	WRITE_ONCE(smp_spin_idle[0], (uint64_t)idle);
	line_sync(smp_spin_idle);
	*(volatile uint64_t *)(place + release % PAGE_SIZE) = image_address(boot_spin_entry);
	__asm__ volatile("dsb sy\n\tsev" ::: "memory");
	return KERR_OK;
}

enum kerr smp_start(cpu_t cpu, struct hal_thread *idle)
{
	paddr_t release;
	if (cpu >= cpu_count)
		return KERR_INVAL;
	/* All starts write the same value. */
	WRITE_ONCE(smp_root, reg_read(ttbr1_el1));
	line_sync(&smp_root);
	if (spin_table_find(cpu, &release))
		return spin_start(idle, release);
	return psci_cpu_on(hardware_ids[cpu], image_address(boot_secondary_entry), (uint64_t)idle);
}

/* On the new CPU, from entry.S: on the idle thread's stack, the identity map still in TTBR0. */
void smp_secondary(struct hal_thread *idle)
{
	cpu_set_current(idle);
	cpu_configure();
	mmu_activate(reg_read(ttbr1_el1), HAL_ASID_NONE);
	__asm__ volatile("tlbi vmalle1\n\tdsb nsh\n\tisb" ::: "memory");
	core_cpu_main();
}

void smp_ipi(cpuset_t cpus)
{
	irq_send(cpus, SGI_IPI);
}

/* One question at a time, until its answer is read: who is asked, + 1; it writes `sampled`, then clears this. */
static _Atomic bool asking;
static _Atomic cpu_t sampling;
static struct hal_unwind sampled;
static bool sampled_kernel;

void smp_sample_take(const struct hal_frame *frame)
{
	cpu_t asked = atomic_load_explicit(&sampling, memory_order_acquire);
	/* An answer that comes late may meet the question to another. */
	if (asked == 0 || (reg_read(mpidr_el1) & MPIDR_AFFINITY) != hardware_ids[asked - 1])
		return;
	sampled = (struct hal_unwind){.ip = frame->pc, .fp = frame->x[29]};
	sampled_kernel = (frame->pstate & PSTATE_MODE) != 0;
	atomic_store_explicit(&sampling, 0, memory_order_release);
}

/* By FIQ. Where firmware keeps the GIC's group 0, it is an interrupt that can be masked, and is not
 * answered. */
bool smp_sample(cpu_t cpu, struct hal_unwind *out, bool *kernel)
{
	cpu_t asked = cpu + 1;
	if (cpu >= cpu_count || atomic_exchange(&asking, true))
		return false;
	atomic_store(&sampling, asked);
	irq_send(1ull << cpu, SGI_SAMPLE);
	nsec_t end = timer_now() + SAMPLE_TIME;
	while (atomic_load_explicit(&sampling, memory_order_acquire) && timer_now() < end)
		cpu_relax();
	bool answered = !atomic_compare_exchange_strong(&sampling, &asked, 0);
	if (answered) {
		*out = sampled;
		*kernel = sampled_kernel;
	}
	atomic_store_explicit(&asking, false, memory_order_release);
	return answered;
}

void smp_stop_others(void)
{
	cpuset_t all = cpu_count >= 64 ? ~0ull : (1ull << cpu_count) - 1;
	if (cpu_count > 1)
		irq_send(all & ~(1ull << cpu_current()->cpu), SGI_STOP);
}
