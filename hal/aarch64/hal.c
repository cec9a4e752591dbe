/* The table of the AArch64 port. What each operation promises is in hal/hal.h. */
#include "cpu.h"

const struct hal_ops hal = {
	.name = "aarch64",
	.platform =
		{
			.early = platform_early,
			.init = platform_init,
			.cpu_init = platform_cpu_init,
			.console_write = console_put,
			.power = power_down,
		},
	.cpu =
		{
			.current = cpu_current,
			.set_current = cpu_set_current,
			.irq_save = cpu_irq_save,
			.irq_restore = cpu_irq_restore,
			.irq_enabled = cpu_irq_enabled,
			.relax = cpu_relax,
			.wait = cpu_wait,
			.switch_to = cpu_switch_to,
			.thread_init = cpu_thread_init,
			.fpu_save = cpu_fpu_save,
			.fpu_load = cpu_fpu_load,
			.entropy = cpu_entropy,
			.unwind = cpu_unwind,
			.saved = cpu_saved,
			.describe = cpu_describe,
		},
	.mmu =
		{
			.geometry = mmu_geometry,
			.leaf = mmu_leaf,
			.table = mmu_table,
			.decode = mmu_decode,
			.activate = mmu_activate,
			.flush = mmu_flush,
			.publish = mmu_publish,
			.code_sync = mmu_code_sync,
			.page_zero = mmu_page_zero,
			.page_copy = mmu_page_copy,
		},
	.irq = {.route = irq_route},
	.timer = {.now = timer_now, .arm = timer_arm},
	.smp = {.start = smp_start,
		.ipi = smp_ipi,
		.sample = smp_sample,
		.stop_others = smp_stop_others},
	.user =
		{
			.info = user_info,
			.frame_init = user_frame_init,
			.frame_fork = user_frame_fork,
			.regs = user_regs,
			.syscall = user_syscall,
			.syscall_result = user_syscall_result,
			.syscall_restart = user_syscall_restart,
			.set_tls = user_set_tls,
			.key_rights = user_key_rights,
			.signal_push = signal_push,
			.signal_pop = signal_pop,
			.enter = trap_leave,
			.copy = user_copy,
			.cmpxchg32 = user_cmpxchg32,
			.dump = user_dump,
		},
};
