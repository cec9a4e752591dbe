/* What the files of this port share. */
#pragma once

#include <hal/hal.h>

#include "frame.h"

/* Features of the CPUs, found by cpu_features() on the boot CPU; constant afterwards. */
extern bool cpu_has_pan;
extern struct hal_mmu_geometry mmu_geometry_data;

static inline struct hal_thread *cpu_current(void)
{
	struct hal_thread *thread;
	__asm__("mrs %0, tpidr_el1" : "=r"(thread));
	return thread;
}

static inline bool cpu_irq_enabled(void)
{
	uint64_t daif;
	__asm__ volatile("mrs %0, daif" : "=r"(daif)::"memory");
	return !(daif & (1 << 7));
}

static inline bool cpu_irq_save(void)
{
	bool on = cpu_irq_enabled();
	__asm__ volatile("msr daifset, #2" ::: "memory");
	return on;
}

static inline void cpu_irq_restore(bool on)
{
	if (on)
		__asm__ volatile("msr daifclr, #2" ::: "memory");
}

/* switch.S, trap.S, string.S */
struct hal_thread *cpu_switch_to(struct hal_thread *prev, struct hal_thread *next);
long cpu_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]);
__attribute__((noreturn)) void cpu_guarded_end(const uintptr_t *guard);
void cpu_thread_start(void);
void cpu_fpu_save_area(void *area);
void cpu_fpu_load_area(const void *area);
__attribute__((noreturn)) void trap_leave(struct hal_frame *frame);
extern const char trap_vectors[];
void mmu_page_zero(void *page);
void mmu_page_copy(void *restrict dst, const void *restrict src);
size_t user_copy(void *dst, const void *src, size_t size);
enum kerr user_cmpxchg32(uint32_t *addr, uint32_t *expected, uint32_t desired);

#define FPU_SIZE 528 /* q0 to q31, FPSR, FPCR, padding */

/* cpu.c */
void cpu_set_current(struct hal_thread *thread);
void cpu_relax(void);
void cpu_wait(void);
void cpu_thread_init(struct hal_thread *thread, void (*entry)(struct hal_thread *prev, void *arg),
		     void *arg);
void cpu_fpu_enable(bool on);
void cpu_fpu_save(struct hal_thread *thread);
void cpu_fpu_load(struct hal_thread *thread);
void cpu_fpu_copy(struct hal_thread *to, const struct hal_thread *from);
bool cpu_entropy(uint64_t *out);
bool cpu_unwind(struct hal_unwind *u, vaddr_t low, vaddr_t high);
struct hal_unwind cpu_saved(const struct hal_thread *thread);
size_t cpu_describe(cpu_t cpu, char *buf, size_t size);
void cpu_features(void);   /* boot CPU: the features all CPUs are used with */
void cpu_log_protections(void);
void cpu_configure(void);   /* each CPU: control registers of EL1 */
void cpu_identify(cpu_t cpu);     /* each CPU: notes its ID for cpu_describe */
uint64_t cpu_hwcap(void);
uint64_t cpu_hwcap2(void);

/* mmu.c */
const struct hal_mmu_geometry *mmu_geometry(void);
pte_t mmu_leaf(paddr_t frame, map_flags_t flags, unsigned level);
pte_t mmu_table(paddr_t table);
struct pte_parts mmu_decode(pte_t entry, unsigned level);
void mmu_activate(paddr_t root, unsigned asid);
void mmu_flush(unsigned asid, vaddr_t va, size_t pages, bool tables);
void mmu_publish(void);
void mmu_code_sync(vaddr_t va, size_t size);
void mmu_init(const struct boot_info *info);

/* irq.c */
enum kerr irq_route(unsigned line, enum irq_trigger trigger, cpu_t cpu);
enum kerr irq_init(const struct boot_info *info);
void irq_cpu_init(cpu_t cpu);
void irq_send(cpuset_t cpus, unsigned sgi);
void irq_enable_private(unsigned intid); /* a PPI of this CPU */

#define SGI_IPI 0
#define SGI_STOP 1
#define SGI_SAMPLE 2

/* timer.c */
nsec_t timer_now(void);
nsec_t timer_from_ticks(uint64_t ticks);
void timer_arm(nsec_t deadline);
void timer_setup(const struct boot_info *info);
void timer_cpu_init(void);
bool timer_is(unsigned intid);
void timer_interrupt(void);

/* smp.c */
enum kerr smp_start(cpu_t cpu, struct hal_thread *idle);
void smp_ipi(cpuset_t cpus);
void smp_sample_take(const struct hal_frame *frame); /* on the CPU that was asked */
bool smp_sample(cpu_t cpu, struct hal_unwind *out, bool *kernel);
void smp_stop_others(void);
void smp_init(const struct boot_info *info);
uint64_t smp_hardware_id(cpu_t cpu);
cpu_t smp_count(void);

/* console.c */
void console_early(const struct boot_info *info);
void console_init(const struct boot_info *info);
void console_put(const char *bytes, size_t count);
void console_flush(void); /* what was put has left; before power goes */
bool console_is(unsigned intid);
void console_interrupt(void);

/* power.c */
void power_early(const struct boot_info *info);
__attribute__((noreturn)) void power_down(enum hal_power how, int status);

/* platform.c */
void platform_early(struct boot_info *info);
enum kerr platform_init(struct boot_info *info);
void platform_cpu_init(cpu_t cpu);

/* user.c, signal.c */
extern struct hal_user_info user_info_data;
void user_init(void);
const struct hal_user_info *user_info(void);
void user_frame_init(struct hal_frame *frame, vaddr_t pc, vaddr_t sp);
void user_frame_fork(struct hal_frame *child, const struct hal_frame *parent, vaddr_t sp);
struct hal_user_regs user_regs(const struct hal_frame *frame);
struct hal_syscall user_syscall(const struct hal_frame *frame);
void user_syscall_result(struct hal_frame *frame, long result);
void user_syscall_restart(struct hal_frame *frame, unsigned long number);
void user_key_rights(unsigned key, unsigned denied);
void user_set_tls(struct hal_thread *thread, struct hal_frame *frame, vaddr_t tls);
size_t user_dump(const struct hal_frame *frame, char *buf, size_t size);
enum kerr signal_push(struct hal_frame *frame, const struct hal_signal *signal);
enum kerr signal_pop(struct hal_frame *frame, struct hal_signal *out);
