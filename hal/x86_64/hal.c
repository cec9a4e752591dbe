/*
 * The x86_64 port: read this first. Each group of the table is the file of that name; what is
 * short and hot stands in cpu.h and user.h, so that the compiler can inline it through the table.
 */
#include "cpu.h"
#include "user.h"

const struct hal_ops hal = {
	.name = "x86_64",
	.platform =
		{
			.early = x86_platform_early,
			.init = x86_platform_init,
			.cpu_init = x86_platform_cpu_init,
			.console_write = x86_console_write,
			.power = x86_power,
		},
	.cpu =
		{
			.current = x86_cpu_current,
			.set_current = x86_cpu_set_current,
			.irq_save = x86_cpu_irq_save,
			.irq_restore = x86_cpu_irq_restore,
			.irq_enabled = x86_cpu_irq_enabled,
			.relax = x86_relax,
			.wait = x86_cpu_wait,
			.switch_to = x86_cpu_switch_to,
			.thread_init = x86_cpu_thread_init,
			.guarded_call = x86_cpu_guarded_call,
			.guarded_end = x86_cpu_guarded_end,
			.fpu_enable = x86_fpu_enable,
			.fpu_save = x86_fpu_save,
			.fpu_load = x86_fpu_load,
			.fpu_copy = x86_fpu_copy,
			.entropy = x86_cpu_entropy,
			.unwind = x86_cpu_unwind,
			.saved = x86_cpu_saved,
			.describe = x86_cpu_describe,
		},
	.mmu =
		{
			.geometry = x86_mmu_geometry,
			.leaf = x86_mmu_leaf,
			.table = x86_mmu_table,
			.decode = x86_mmu_decode,
			.activate = x86_mmu_activate,
			.flush = x86_mmu_flush,
			.publish = x86_mmu_publish,
			.code_sync = x86_mmu_code_sync,
			.page_zero = x86_page_zero,
			.page_copy = x86_page_copy,
		},
	.irq =
		{
			.route = x86_irq_route,
		},
	.timer =
		{
			.now = x86_timer_now,
			.arm = x86_timer_arm,
		},
	.smp =
		{
			.start = x86_smp_start,
			.ipi = x86_smp_ipi,
			.sample = x86_smp_sample,
			.stop_others = x86_smp_stop_others,
		},
	.user =
		{
			.info = x86_user_info,
			.frame_init = x86_user_frame_init,
			.frame_fork = x86_user_frame_fork,
			.regs = x86_user_regs,
			.syscall = x86_user_syscall,
			.syscall_result = x86_user_syscall_result,
			.syscall_restart = x86_user_syscall_restart,
			.set_tls = x86_user_set_tls,
			.key_rights = x86_user_key_rights,
			.signal_push = x86_signal_push,
			.signal_pop = x86_signal_pop,
			.enter = x86_user_enter,
			.copy = x86_user_copy,
			.cmpxchg32 = x86_user_cmpxchg32,
			.dump = x86_user_dump,
		},
};
