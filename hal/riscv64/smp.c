/*
 * The other harts: started by SBI HSM at the image's entry (boot/riscv64/entry.S tells why), from where they come
 * to switch.S; called by SBI IPI. `harts` maps the CPU index to the hart id; cpus[0] is the one the
 * firmware's lottery chose.
 */
#include "riscv64.h"

#include "sbi.h"
#include "smp_start.h"

#define HARTS_IN_MASK 64

static RO_AFTER_INIT uint64_t harts[CPU_MAX];
static RO_AFTER_INIT unsigned count;
static RO_AFTER_INIT paddr_t entry; /* of the image */

static cpuset_t online; /* atomic: CPUs that have passed cpu_init */
static uint32_t stopping; /* atomic; once set, IPIs end in riscv_power_halt() */
static cpuset_t code_stale; /* atomic: CPUs that have to fence.i, an IPI is on its way */
/* Written by riscv_smp_start before the hart runs, read by switch.S. */
struct smp_start riscv_smp_starts[SMP_START_COUNT];
static_assert(SMP_START_COUNT == CPU_MAX);

void riscv_smp_entry_high(void);
[[noreturn]] void riscv_smp_main(void);

void riscv_smp_init(const struct boot_info *info)
{
	count = (unsigned)MIN(info->cpu_count, (size_t)CPU_MAX);
	for (unsigned i = 0; i < count; i++)
		harts[i] = info->cpus[i].hardware_id;
	entry = info->image_start;
}

uint64_t riscv_smp_hart(cpu_t cpu)
{
	return cpu < count ? harts[cpu] : 0;
}

unsigned riscv_smp_cpu_count(void)
{
	return count;
}

enum kerr riscv_smp_start(cpu_t cpu, struct hal_thread *idle)
{
	if (cpu >= count || !sbi_features.hsm)
		return KERR_NODEV;
	struct smp_start *start = &riscv_smp_starts[cpu];
	*start = (struct smp_start){
		.thread = (uint64_t)idle,
		.stack_top = idle->stack_top,
		.high = (uint64_t)riscv_smp_entry_high,
		.hart = harts[cpu],
	};
	__atomic_store_n(&start->satp, riscv_mmu_kernel_satp(), __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return sbi_hart_start(harts[cpu], entry) ? KERR_OK : KERR_IO;
}

/* Where switch.S arrives: on the idle thread's stack, kernel tables on. */
void riscv_smp_main(void)
{
	riscv_trap_start();
	riscv_cpu_start();
	core_cpu_main();
}

void riscv_smp_start_self(cpu_t cpu)
{
	csr_set(sie, SIE_SOFT);
	__atomic_fetch_or(&online, (cpuset_t)1 << cpu, __ATOMIC_SEQ_CST);
}

/* Calls `send` for these CPUs: one call for all hart ids below 64, one each for others. */
ALWAYS_INLINE void for_harts(cpuset_t cpus, void (*send)(uint64_t mask, uint64_t base))
{
	uint64_t mask = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (; cpus; cpus &= cpus - 1) {
		uint64_t hart = harts[__builtin_ctzll(cpus)];
		if (likely(hart < HARTS_IN_MASK))
			mask |= 1ull << hart;
		else
			send(1, hart);
	}
	if (mask)
		send(mask, 0);
}

/* Empty until this CPU is online itself: an early panic has no current thread yet. */
static cpuset_t others(void)
{
	cpuset_t cpus = __atomic_load_n(&online, __ATOMIC_RELAXED);
	return cpus ? cpus & ~((cpuset_t)1 << riscv_cpu_current()->cpu) : 0;
}

void riscv_smp_ipi(cpuset_t cpus)
{
	for_harts(cpus, sbi_ipi_send);
}

/*
 * Not the firmware's remote fence.i, which waits for the others and so holds this CPU in the
 * firmware until each has run: the others take the interrupt before they execute anything more in
 * user mode. The fence after the call puts it in front of what this CPU writes next, which is what
 * lets them find the new code (an entry in their tables).
 */
void riscv_smp_fence_i_others(void)
{
	cpuset_t cpus = others();
	if (!cpus)
		return;
	cpus &= ~__atomic_fetch_or(&code_stale, cpus, __ATOMIC_SEQ_CST);
	for_harts(cpus, sbi_ipi_send);
	asm volatile("fence iorw, iorw" ::: "memory");
}

/* The SBI has no interrupt that cannot be masked. */
bool riscv_smp_sample(cpu_t cpu, struct hal_unwind *out, bool *kernel)
{
	return false;
}

void riscv_smp_stop_others(void)
{
	__atomic_store_n(&stopping, 1, __ATOMIC_RELAXED);
	for_harts(others(), sbi_ipi_send);
}

void riscv_smp_interrupt(void)
{
	cpuset_t self = (cpuset_t)1 << riscv_cpu_current()->cpu;
	csr_clear(sip, SIE_SOFT);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&code_stale, __ATOMIC_RELAXED) & self) {
		__atomic_fetch_and(&code_stale, ~self, __ATOMIC_SEQ_CST);
		asm volatile("fence.i" ::: "memory");
	}
	if (unlikely(__atomic_load_n(&stopping, __ATOMIC_RELAXED)))
		riscv_power_halt();
	core_ipi();
}
