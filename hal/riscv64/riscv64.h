/* What the files of this port share. The operations are described in hal/hal.h. */
#pragma once

#include <hal/hal.h>
#include <hal/upcall.h>
#include <lib/compiler.h>

#include "frame.h"
#include "regs.h"

/* ---- cpu.c, switch.S ---- */

/* What all harts can do (the ISA strings of the device tree, combined). */
struct cpu_features {
	uint32_t letters; /* bit n: extension 'a' + n; the format of AT_HWCAP */
	bool fpu;   /* F and D */
	bool sstc, svpbmt, zicboz;
};
extern struct cpu_features riscv_cpu_features;

/* Floating-point save area; all zeroes is the initial state. The assembly knows the layout. */
struct fpu_area {
	uint64_t f[32];
	uint32_t fcsr;
	uint32_t reserved;
};

void riscv_cpu_features_read(const struct boot_info *info);
/* On each hart, before its first thread switch. */
void riscv_cpu_start(void);

ALWAYS_INLINE struct hal_thread *riscv_cpu_current(void)
{
	return __builtin_thread_pointer();
}

ALWAYS_INLINE void riscv_cpu_irq_off(void)
{
	asm volatile("csrci sstatus, 2" ::: "memory");
}

ALWAYS_INLINE void riscv_cpu_irq_on(void)
{
	asm volatile("csrsi sstatus, 2" ::: "memory");
}

ALWAYS_INLINE bool riscv_cpu_irq_save(void)
{
	uint64_t old;
	asm volatile("csrrci %0, sstatus, 2" : "=r"(old)::"memory");
	return old & SSTATUS_SIE;
}

ALWAYS_INLINE void riscv_cpu_irq_restore(bool on)
{
	if (on)
		riscv_cpu_irq_on();
}

bool riscv_cpu_irq_enabled(void);
void riscv_cpu_set_current(struct hal_thread *thread);
void riscv_cpu_relax(void);
void riscv_cpu_wait(void);
struct hal_thread *riscv_cpu_switch_to(struct hal_thread *prev, struct hal_thread *next);
void riscv_cpu_thread_init(struct hal_thread *thread,
			   void (*entry)(struct hal_thread *prev, void *arg), void *arg);
void riscv_cpu_fpu_enable(bool on);
void riscv_cpu_fpu_save(struct hal_thread *thread);
void riscv_cpu_fpu_load(struct hal_thread *thread);
void riscv_cpu_fpu_copy(struct hal_thread *to, const struct hal_thread *from);
long riscv_cpu_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]);
__attribute__((noreturn)) void riscv_cpu_guarded_end(const uintptr_t *guard);
bool riscv_cpu_entropy(uint64_t *out);
bool riscv_cpu_unwind(struct hal_unwind *u, vaddr_t low, vaddr_t high);
struct hal_unwind riscv_cpu_saved(const struct hal_thread *thread);
size_t riscv_cpu_describe(cpu_t cpu, char *buf, size_t size);

/* ---- mmu.c, string.S ---- */

void riscv_mmu_init(const struct boot_info *info);
uint64_t riscv_mmu_kernel_satp(void);
const char *riscv_mmu_mode_name(void);
/* True: this access to this kernel address is allowed by the tables, so only an old entry in the
 * translation cache made it fault; that entry is gone now. */
bool riscv_mmu_fault_is_stale(vaddr_t addr, enum trap_access access);
/* Forgets all translations this CPU remembers. */
void riscv_mmu_forget_all(void);
/* Whether any entry translates the address now. */
bool riscv_mmu_is_mapped(vaddr_t addr);

const struct hal_mmu_geometry *riscv_mmu_geometry(void);
pte_t riscv_mmu_leaf(paddr_t frame, map_flags_t flags, unsigned level);
pte_t riscv_mmu_table(paddr_t table);
struct pte_parts riscv_mmu_decode(pte_t entry, unsigned level);
void riscv_mmu_activate(paddr_t root, unsigned asid);
void riscv_mmu_flush(unsigned asid, vaddr_t va, size_t pages, bool tables);
void riscv_mmu_publish(void);
void riscv_mmu_code_sync(vaddr_t va, size_t size);
extern bool riscv_page_zero_by_block;
void riscv_page_zero(void *page);
void riscv_page_copy(void *restrict dst, const void *restrict src);

/* ---- trap.c, trap.S ---- */

void riscv_trap_start(void); /* each hart: the vector */
[[gnu::noreturn]] void riscv_trap_user_enter(struct hal_frame *frame);

/* ---- irq.c, timer.c, smp.c ---- */

enum kerr riscv_irq_init(const struct boot_info *info);
void riscv_irq_start(cpu_t cpu);
void riscv_irq_external(void); /* takes what the PLIC has for this CPU */
enum kerr riscv_irq_route(unsigned line, enum irq_trigger trigger, cpu_t cpu);

void riscv_timer_init(const struct boot_info *info);
void riscv_timer_interrupt(void);
nsec_t riscv_timer_now(void);
nsec_t riscv_timer_from_ticks(uint64_t ticks);
void riscv_timer_arm(nsec_t deadline);

void riscv_smp_init(const struct boot_info *info);
void riscv_smp_start_self(cpu_t cpu);
uint64_t riscv_smp_hart(cpu_t cpu);
unsigned riscv_smp_cpu_count(void);
void riscv_smp_interrupt(void);
void riscv_smp_fence_i_others(void);
enum kerr riscv_smp_start(cpu_t cpu, struct hal_thread *idle);
void riscv_smp_ipi(cpuset_t cpus);
bool riscv_smp_sample(cpu_t cpu, struct hal_unwind *out, bool *kernel);
void riscv_smp_stop_others(void);

/* ---- user.c, signal.c, string.S ---- */

const struct hal_user_info *riscv_user_info(void);
void riscv_user_init(void);
void riscv_user_frame_init(struct hal_frame *frame, vaddr_t pc, vaddr_t sp);
void riscv_user_frame_fork(struct hal_frame *child, const struct hal_frame *parent, vaddr_t sp);
struct hal_user_regs riscv_user_regs(const struct hal_frame *frame);
struct hal_syscall riscv_user_syscall(const struct hal_frame *frame);
void riscv_user_syscall_result(struct hal_frame *frame, long result);
void riscv_user_syscall_restart(struct hal_frame *frame, unsigned long number);
void riscv_user_key_rights(unsigned key, unsigned denied);
void riscv_user_set_tls(struct hal_thread *thread, struct hal_frame *frame, vaddr_t tls);
enum kerr riscv_user_signal_push(struct hal_frame *frame, const struct hal_signal *signal);
enum kerr riscv_user_signal_pop(struct hal_frame *frame, struct hal_signal *out);
size_t riscv_signal_frame_size(void);
size_t riscv_user_copy(void *dst, const void *src, size_t size);
enum kerr riscv_user_cmpxchg32(uint32_t *addr, uint32_t *expected, uint32_t desired);
size_t riscv_user_dump(const struct hal_frame *frame, char *buf, size_t size);

/* ---- console.c, power.c, platform.c ---- */

void riscv_console_early(const struct boot_info *info);
void riscv_console_init(void);
void riscv_console_flush(void); /* what was written has left; before power goes */
unsigned riscv_console_line(void); /* its interrupt line; 0: none */
void riscv_console_interrupt(void);
void riscv_console_write(const char *bytes, size_t count);

void riscv_power_init(const struct boot_info *info);
[[gnu::noreturn]] void riscv_power_go(enum hal_power how, int status);
[[noreturn]] void riscv_power_halt(void);

void riscv_platform_early(struct boot_info *info);
enum kerr riscv_platform_init(struct boot_info *info);
void riscv_platform_cpu_init(cpu_t cpu);
/* The device tree that platform.early checked; valid until platform.init has returned. */
struct fdt;
const struct fdt *riscv_platform_fdt(void);
