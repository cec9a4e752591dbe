/*
 * The fourth port: an ordinary Linux process. RAM is a memfd (machine.c), page tables lie in it
 * and are walked by a model of an MMU with a TLB (tlb.c); the kernel half is mirrored as real
 * mappings (mirror.c), so that kernel pointers work. CPUs take turns in one host thread (sim.c) or
 * are host threads (threads.c). User programs are words of a small machine of our own (program.c).
 *
 * Not simulated: caches, memory ordering weaker than the host's, devices but the console.
 */
#include "machine.h"

#include <lib/string.h>

static struct hal_thread *cpu_current(void)
{
	struct host_cpu *cpu = host_self();

	if (host.config.interleave | host.config.spurious) {
		struct hal_thread *thread = cpu->current;
		host_point();
		return thread; /* the same one, perhaps on another CPU */
	}
	return cpu->current;
}

static void cpu_set_current(struct hal_thread *thread)
{
	struct host_cpu *cpu = host_self();

	cpu->current = thread;
	thread->cpu = cpu->index;
}

static bool cpu_irq_enabled(void)
{
	return host_self()->irq_on;
}

static struct host_cpu *unit(const char *what, bool moves)
{
	struct host_cpu *cpu = host_self();

	if (cpu->irq_on || (moves && !cpu->fpu_on))
		host_die("hal.cpu.fpu_%s with %s", what,
			 cpu->irq_on ? "interrupts on" : "the unit off");
	return cpu;
}

static void cpu_fpu_enable(bool on)
{
	unit("enable", false)->fpu_on = on;
}

static void cpu_fpu_save(struct hal_thread *thread)
{
	memcpy(thread->fpu, unit("save", true)->fpu, HOST_FPU_WORDS * sizeof(uint64_t));
	thread->fpu_saves++;
}

static void cpu_fpu_load(struct hal_thread *thread)
{
	memcpy(unit("load", true)->fpu, thread->fpu, HOST_FPU_WORDS * sizeof(uint64_t));
	thread->fpu_loads++;
}

static void cpu_fpu_copy(struct hal_thread *to, const struct hal_thread *from)
{
	uint64_t keys = unit("copy", false)->keys;

	memcpy(to->fpu, from->fpu, HOST_FPU_WORDS * sizeof(uint64_t));
	((uint64_t *)to->fpu)[HOST_FPU_KEYS] = keys;
}

static const struct hal_mmu_geometry *mmu_geometry(void)
{
	return &host.geometry;
}

static pte_t mmu_table(paddr_t table)
{
	return (pte_t){table | PTE_VALID | PTE_NEXT};
}

static void mmu_activate(paddr_t root, unsigned asid)
{
	struct host_cpu *cpu = host_self();

	cpu->counters.activations++;
	if (asid == HAL_ASID_NONE || !host.geometry.split_root)
		cpu->kernel_root = root;
	cpu->root = root;
	cpu->asid = asid;
	if (host.geometry.asid_bits == 0)
		host_tlb_flush(cpu, UINT32_MAX, 0, HAL_FLUSH_ALL, true);
}

static bool flush_dropped(void)
{
	return atomic_load(&host.drop_flush) > 0 && atomic_fetch_sub(&host.drop_flush, 1) == 1;
}

static void mmu_flush(unsigned asid, vaddr_t va, size_t pages, bool tables)
{
	struct host_cpu *self = host_self();

	self->counters.flushes++;
	self->counters.flushed_pages += pages == HAL_FLUSH_ALL ? 0 : pages;
	if (flush_dropped())
		return;
	for (cpu_t i = 0; i < host.config.cpus; i++)
		if (&host.cpus[i] == self || host.geometry.broadcast)
			host_tlb_flush(&host.cpus[i], asid, va, pages, tables);
	if (asid == HAL_ASID_NONE)
		host_mirror_forget(va, pages);
}

static void mmu_publish(void)
{
	host_self()->counters.publishes++;
	host_self()->published++;
}

/* Programs are read as data: nothing to do. */
static void mmu_code_sync(vaddr_t va, size_t size)
{
	host_self()->counters.code_syncs++;
}

static void page_zero(void *page)
{
	memset(page, 0, PAGE_SIZE);
}

static void page_copy(void *restrict dst, const void *restrict src)
{
	memcpy(dst, src, PAGE_SIZE);
}

const struct hal_ops hal = {
	.name = "host",
	.platform =
		{
			.early = host_platform_early,
			.init = host_platform_init,
			.cpu_init = host_platform_cpu_init,
			.console_write = host_platform_console_write,
			.power = host_platform_power,
		},
	.cpu =
		{
			.current = cpu_current,
			.set_current = cpu_set_current,
			.irq_save = host_irq_save,
			.irq_restore = host_irq_restore,
			.irq_enabled = cpu_irq_enabled,
			.relax = host_cpu_relax,
			.wait = host_cpu_wait,
			.switch_to = host_cpu_switch_to,
			.thread_init = host_cpu_thread_init,
			.guarded_call = host_cpu_guarded_call,
			.guarded_end = host_cpu_guarded_end,
			.fpu_enable = cpu_fpu_enable,
			.fpu_save = cpu_fpu_save,
			.fpu_load = cpu_fpu_load,
			.fpu_copy = cpu_fpu_copy,
			.entropy = host_platform_entropy,
			.unwind = host_cpu_unwind,
			.saved = host_cpu_saved,
			.describe = host_platform_describe,
		},
	.mmu =
		{
			.geometry = mmu_geometry,
			.leaf = host_mmu_leaf,
			.table = mmu_table,
			.decode = host_mmu_decode,
			.activate = mmu_activate,
			.flush = mmu_flush,
			.publish = mmu_publish,
			.code_sync = mmu_code_sync,
			.page_zero = page_zero,
			.page_copy = page_copy,
		},
	.irq = {.route = host_irq_route},
	.timer = {.now = host_timer_now, .arm = host_timer_arm},
	.smp = {.start = host_smp_start,
		.ipi = host_smp_ipi,
		.sample = host_smp_sample,
		.stop_others = host_smp_stop_others},
	.user =
		{
			.info = host_user_info,
			.frame_init = host_user_frame_init,
			.frame_fork = host_user_frame_fork,
			.regs = host_user_regs,
			.syscall = host_user_syscall,
			.syscall_result = host_user_syscall_result,
			.syscall_restart = host_user_syscall_restart,
			.set_tls = host_user_set_tls,
			.key_rights = host_user_key_rights,
			.signal_push = host_user_signal_push,
			.signal_pop = host_user_signal_pop,
			.enter = host_program_run,
			.copy = host_user_copy,
			.cmpxchg32 = host_user_cmpxchg32,
			.dump = host_user_dump,
		},
};
