/*
 * What the files of this port share: the per-CPU area behind GS, the features of the processor
 * (the same on all CPUs of a machine), and the instructions that C cannot write.
 */
#pragma once

#include "cpu_offsets.h"
#include "regs.h"

#include <hal/boot_info.h>
#include <hal/hal.h>
#include <lib/compiler.h>

/* Intel SDM volume 3, 8.7. `rsp0` falls on an 8-byte boundary in struct x86_cpu. */
struct PACKED x86_tss {
	uint32_t reserved0;
	uint64_t rsp0, rsp1, rsp2;
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t io_map;
};

/* The operand of LGDT and LIDT is `limit` and what follows; the words before it align `base`. */
struct x86_table_register {
	uint16_t unused[3], limit;
	uint64_t base;
};

/* Top of an emergency stack: entry finds its CPU here, for GS cannot be trusted (trap.S). */
struct x86_emergency_stack {
	uint8_t bytes[IST_STACK_SIZE - 16];
	struct x86_cpu *cpu;
	uint64_t reserved;
};

struct ALIGNED(CPU_SIZE) x86_cpu {
	struct x86_cpu *self; /* (const) */
	struct hal_thread *current; /* (own CPU) */
	uint64_t user_sp; /* (own CPU) system-call entry's scratch */
	struct hal_thread *idle; /* (const once started) first thread of a secondary CPU */
	uint32_t apic_id; /* (const) */
	cpu_t index; /* (const) */
	_Atomic uint32_t started; /* the CPU has come through its trampoline */
	uint32_t fpu_off; /* (own CPU) CR0.TS is set */
	uint32_t reserved2;
	struct x86_tss tss; /* (own CPU; const but for rsp0) */
	uint32_t reserved3;
	uint64_t gdt[10]; /* (const) */
	nsec_t deadline; /* (own CPU) of the armed timer, NSEC_NEVER: none */
	struct x86_emergency_stack ist[3] ALIGNED(16);
};

static_assert(offsetof(struct x86_cpu, current) == CPU_CURRENT);
static_assert(offsetof(struct x86_cpu, self) == CPU_SELF);
static_assert(offsetof(struct x86_cpu, user_sp) == CPU_USER_SP);
static_assert(offsetof(struct x86_cpu, idle) == CPU_IDLE);
static_assert(offsetof(struct x86_cpu, apic_id) == CPU_APIC_ID);
static_assert(offsetof(struct x86_cpu, fpu_off) == CPU_FPU_OFF);
static_assert(offsetof(struct x86_cpu, tss) == CPU_TSS);
static_assert(offsetof(struct x86_cpu, tss.rsp0) == CPU_RSP0);
static_assert(sizeof(struct x86_tss) == 104);
static_assert(sizeof(struct x86_cpu) == CPU_SIZE);

extern struct x86_cpu x86_cpus[CPU_MAX];
extern cpu_t x86_cpu_count; /* (const after platform.early) known ones */

/* Filled in by x86_cpu_features_probe() on the boot CPU, constant afterwards. */
struct x86_features {
	bool nx, smep, smap, umip, fsgsbase, global_pages, xsave, xsaveopt, rdrand, rdseed;
	bool tsc_deadline, x2apic, gigabyte_pages, five_levels, hypervisor, keys;
	uint8_t physical_bits, linear_bits;
	uint64_t xfeatures; /* what is saved; 3 without XSAVE. XCR0 has XFEATURE_KEYS besides */
	uint32_t fpu_size; /* bytes of the save area, a multiple of 64 */
	uint32_t fpu_used; /* bytes of it that the CPU writes; then 4 for PKRU */
	uint32_t fpu_frame; /* bytes in a signal frame */
	uint32_t fpu_keys; /* where PKRU lies in a signal frame */
	uint32_t mxcsr_mask;
	uint32_t hwcap; /* CPUID.1:EDX */
};

extern struct x86_features x86_features;

/* ---- Instructions -------------------------------------------------------------------------- */

struct x86_cpuid {
	uint32_t a, b, c, d;
};

static inline struct x86_cpuid x86_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct x86_cpuid r;
	asm volatile("cpuid"
		     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
		     : "a"(leaf), "c"(subleaf));
	return r;
}

static inline uint64_t x86_rdmsr(uint32_t msr)
{
	uint32_t low, high;
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (uint64_t)high << 32;
}

static inline void x86_wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory");
}

static inline void x86_outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void x86_outw(uint16_t port, uint16_t value)
{
	asm volatile("outw %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void x86_outl(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline uint8_t x86_inb(uint16_t port)
{
	uint8_t value;
	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint16_t x86_inw(uint16_t port)
{
	uint16_t value;
	asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint32_t x86_inl(uint16_t port)
{
	uint32_t value;
	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

#define X86_CR_ACCESS(n)                                                                           \
	static inline uint64_t x86_read_cr##n(void)                                                \
	{                                                                                          \
		uint64_t value;                                                                    \
		asm volatile("mov %%cr" #n ", %0" : "=r"(value));                                  \
		return value;                                                                      \
	}                                                                                          \
	static inline void x86_write_cr##n(uint64_t value)                                         \
	{                                                                                          \
		asm volatile("mov %0, %%cr" #n ::"r"(value) : "memory");                           \
	}
X86_CR_ACCESS(0)
X86_CR_ACCESS(2)
X86_CR_ACCESS(3)
X86_CR_ACCESS(4)

static inline uint64_t x86_rdtsc(void)
{
	uint32_t low, high;
	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (uint64_t)high << 32;
}

static inline uint64_t x86_rdfsbase(void)
{
	uint64_t value;
	asm volatile("rdfsbase %0" : "=r"(value));
	return value;
}

static inline void x86_wrfsbase(uint64_t value)
{
	asm volatile("wrfsbase %0" ::"r"(value) : "memory");
}

static inline uint32_t x86_rdpkru(void)
{
	uint32_t value, high;
	asm volatile("rdpkru" : "=a"(value), "=d"(high) : "c"(0));
	return value;
}

static inline void x86_wrpkru(uint32_t value)
{
	asm volatile("wrpkru" ::"a"(value), "c"(0), "d"(0) : "memory");
}

static inline void x86_relax(void)
{
	asm volatile("pause" ::: "memory");
}

/* ---- Hot parts of hal.cpu ------------------------------------------------------------------ */

/* A plain load through GS, valid wherever it runs; the compiler may reuse it up to a call. */
static inline struct hal_thread *x86_cpu_current(void)
{
	return *(struct hal_thread * __seg_gs *)CPU_CURRENT;
}

/* This CPU's area. Interrupts off, or the answer may be of yesterday. */
static inline struct x86_cpu *x86_cpu_area(void)
{
	return *(struct x86_cpu *volatile __seg_gs *)CPU_SELF;
}

static inline bool x86_cpu_irq_enabled(void)
{
	uint64_t flags;
	asm volatile("pushfq\n\tpopq %0" : "=r"(flags)::"memory");
	return flags & RFLAGS_IF;
}

static inline bool x86_cpu_irq_save(void)
{
	uint64_t flags;
	asm volatile("pushfq\n\tpopq %0\n\tcli" : "=r"(flags)::"memory");
	return flags & RFLAGS_IF;
}

static inline void x86_cpu_irq_restore(bool on)
{
	if (on)
		asm volatile("sti" ::: "memory");
}

static inline void x86_cpu_irq_on(void)
{
	asm volatile("sti" ::: "memory");
}

static inline void x86_cpu_irq_off(void)
{
	asm volatile("cli" ::: "memory");
}

[[noreturn]] static inline void x86_cpu_halt(void)
{
	for (;;)
		asm volatile("cli\n\thlt" ::: "memory");
}

/* ---- Between the files --------------------------------------------------------------------- */

/* switch.S */
long x86_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]);
__attribute__((noreturn)) void x86_guarded_end(const uintptr_t *guard);

/* cpu.c */
void x86_cpu_boot(void); /* called by boot/ as soon as C can run: vectors, features, CPU 0 */
void x86_cpu_setup(struct x86_cpu *cpu); /* this CPU: GDT, TSS, IDT, MSRs, control registers */
uint32_t x86_cpu_apic_id(void); /* of this CPU, by CPUID */
void x86_cpu_set_current(struct hal_thread *thread);
void x86_cpu_wait(void);
struct hal_thread *x86_cpu_switch_to(struct hal_thread *prev, struct hal_thread *next);
void x86_cpu_thread_init(struct hal_thread *thread,
			 void (*entry)(struct hal_thread *prev, void *arg), void *arg);
long x86_cpu_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]);
__attribute__((noreturn)) void x86_cpu_guarded_end(const uintptr_t *guard);
bool x86_cpu_entropy(uint64_t *out);
bool x86_cpu_unwind(struct hal_unwind *u, vaddr_t low, vaddr_t high);
struct hal_unwind x86_cpu_saved(const struct hal_thread *thread);
size_t x86_cpu_describe(cpu_t cpu, char *buf, size_t size);
/* The user's FS and GS base in the registers now (current thread). */
uint64_t x86_cpu_fs_base(void);
uint64_t x86_cpu_gs_base(void);
void x86_cpu_bases_set(uint64_t fs, uint64_t gs);

/* fpu.c */
void x86_fpu_probe(void);
void x86_fpu_setup(void);
void x86_fpu_enable(bool on);
void x86_fpu_save(struct hal_thread *thread);
void x86_fpu_load(struct hal_thread *thread);
void x86_fpu_copy(struct hal_thread *to, const struct hal_thread *from);
void x86_fpu_complete(struct hal_thread *thread); /* an area that may be zeroes still */
void x86_fpu_reset(struct hal_thread *thread); /* the area: as a new program has it */

/* Where a thread that does not run keeps PKRU. */
static inline uint32_t *x86_fpu_keys(struct hal_thread *thread)
{
	return (uint32_t *)((char *)thread->fpu + x86_features.fpu_used);
}
#define XFEATURE_KEYS 0x200ull
#define PKRU_INITIAL 0x55555554u /* key 0 and no other */

/* trap.c */
void x86_trap_vectors_init(void);
void x86_trap_vectors_load(void);

/* mmu.c */
void x86_mmu_probe(const struct boot_info *info);
const struct hal_mmu_geometry *x86_mmu_geometry(void);
pte_t x86_mmu_leaf(paddr_t frame, map_flags_t flags, unsigned level);
pte_t x86_mmu_table(paddr_t table);
struct pte_parts x86_mmu_decode(pte_t entry, unsigned level);
void x86_mmu_activate(paddr_t root, unsigned asid);
void x86_mmu_flush(unsigned asid, vaddr_t va, size_t pages, bool tables);
void x86_mmu_publish(void);
void x86_mmu_code_sync(vaddr_t va, size_t size);
void x86_page_zero(void *page); /* string.S */
void x86_page_copy(void *restrict dst, const void *restrict src); /* string.S */

/* platform.c */
void x86_platform_early(struct boot_info *info);
enum kerr x86_platform_init(struct boot_info *info);
void x86_platform_cpu_init(cpu_t cpu);
uint64_t x86_platform_wall_seconds(void);

/* irq.c: local APIC and I/O APICs */
enum kerr x86_irq_init(void);
void x86_irq_cpu_init(void);
enum kerr x86_irq_route(unsigned line, enum irq_trigger trigger, cpu_t cpu);
void x86_irq_eoi(void);
void x86_irq_ipi_send(uint32_t apic_id, uint32_t command); /* command: ICR bits 0 to 19 */
void x86_irq_timer_mode(uint32_t lvt);
void x86_irq_timer_count(uint32_t count); /* one shot */
uint32_t x86_irq_timer_left(void);
#define ICR_FIXED 0x00000u
#define ICR_NMI 0x00400u
#define ICR_INIT 0x00500u
#define ICR_STARTUP 0x00600u
#define ICR_ASSERT 0x04000u
#define ICR_LEVEL 0x08000u
#define ICR_OTHERS 0xc0000u

/* timer.c */
enum kerr x86_timer_init(void);
void x86_timer_cpu_init(void);
nsec_t x86_timer_now(void);
nsec_t x86_timer_from_ticks(uint64_t tsc);
void x86_timer_arm(nsec_t deadline);
bool x86_timer_expired(void); /* in the timer's interrupt: false: too early, armed again */
void x86_timer_delay(nsec_t time); /* busy; x86_timer_init() has run */
uint32_t x86_timer_tsc_khz(void);

/* smp.c */
void x86_smp_early(const struct boot_info *info);
enum kerr x86_smp_start(cpu_t cpu, struct hal_thread *idle);
void x86_smp_ipi(cpuset_t cpus);
bool x86_smp_sample(cpu_t cpu, struct hal_unwind *out, bool *kernel);
void x86_smp_stop_others(void);
extern _Atomic uint32_t x86_stopping;
extern _Atomic uint32_t x86_sampling;

/* console.c */
void x86_console_write(const char *bytes, size_t count);
void x86_console_flush(void); /* what was written has left; before power goes */
void x86_console_init(void); /* receive interrupt; interrupts are up */
bool x86_console_line(unsigned line); /* that line's interrupt is the console's */
void x86_console_interrupt(void);

/* power.c */
void x86_power_early(const struct boot_info *info);
__attribute__((noreturn)) void x86_power(enum hal_power how, int status);
