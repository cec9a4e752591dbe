/*
 * The RISC-V 64 port: the table. cpu.c, switch.S: threads and the FPU; mmu.c: tables; trap.S,
 * trap.c: exceptions and interrupts; irq.c: PLIC; timer.c: Sstc or SBI; smp.c: SBI HSM and IPI;
 * user.c, signal.c, string.S: user mode; console.c, power.c, platform.c: the machine.
 *
 * Supervisor mode under an SBI firmware, described by a device tree.
 */
#include "riscv64.h"

const struct hal_ops hal = {
	.name = "riscv64",
	.platform =
		{
			.early = riscv_platform_early,
			.init = riscv_platform_init,
			.cpu_init = riscv_platform_cpu_init,
			.console_write = riscv_console_write,
			.power = riscv_power_go,
		},
	.cpu =
		{
			.current = riscv_cpu_current,
			.set_current = riscv_cpu_set_current,
			.irq_save = riscv_cpu_irq_save,
			.irq_restore = riscv_cpu_irq_restore,
			.irq_enabled = riscv_cpu_irq_enabled,
			.relax = riscv_cpu_relax,
			.wait = riscv_cpu_wait,
			.switch_to = riscv_cpu_switch_to,
			.thread_init = riscv_cpu_thread_init,
			.guarded_call = riscv_cpu_guarded_call,
			.guarded_end = riscv_cpu_guarded_end,
			.fpu_enable = riscv_cpu_fpu_enable,
			.fpu_save = riscv_cpu_fpu_save,
			.fpu_load = riscv_cpu_fpu_load,
			.fpu_copy = riscv_cpu_fpu_copy,
			.entropy = riscv_cpu_entropy,
			.unwind = riscv_cpu_unwind,
			.saved = riscv_cpu_saved,
			.describe = riscv_cpu_describe,
		},
	.mmu =
		{
			.geometry = riscv_mmu_geometry,
			.leaf = riscv_mmu_leaf,
			.table = riscv_mmu_table,
			.decode = riscv_mmu_decode,
			.activate = riscv_mmu_activate,
			.flush = riscv_mmu_flush,
			.publish = riscv_mmu_publish,
			.code_sync = riscv_mmu_code_sync,
			.page_zero = riscv_page_zero,
			.page_copy = riscv_page_copy,
		},
	.irq =
		{
			.route = riscv_irq_route,
		},
	.timer =
		{
			.now = riscv_timer_now,
			.arm = riscv_timer_arm,
		},
	.smp =
		{
			.start = riscv_smp_start,
			.ipi = riscv_smp_ipi,
			.sample = riscv_smp_sample,
			.stop_others = riscv_smp_stop_others,
		},
	.user =
		{
			.info = riscv_user_info,
			.frame_init = riscv_user_frame_init,
			.frame_fork = riscv_user_frame_fork,
			.regs = riscv_user_regs,
			.syscall = riscv_user_syscall,
			.syscall_result = riscv_user_syscall_result,
			.syscall_restart = riscv_user_syscall_restart,
			.set_tls = riscv_user_set_tls,
			.key_rights = riscv_user_key_rights,
			.signal_push = riscv_user_signal_push,
			.signal_pop = riscv_user_signal_pop,
			.enter = riscv_trap_user_enter,
			.copy = riscv_user_copy,
			.cmpxchg32 = riscv_user_cmpxchg32,
			.dump = riscv_user_dump,
		},
};
