/*
 * What the files of this port share. A CPU is a struct host_cpu; `host_self()` is the one that runs
 * on this host thread. In HOST_SIMULATED mode one host thread changes between CPUs (sim.c).
 */
#pragma once

#include <hal/hal.h>
#include <hal/upcall.h>
#include <host/host.h>
#include <lib/compiler.h>
#include <pthread.h>
#include <stdatomic.h>

/*
 * The kernel half must be addresses of this process. With three levels a table covers 2^39 bytes
 * and looks at no bit above, so the half may lie anywhere that bit 38 is set. ThreadSanitizer
 * allows only the lowest 512 GiB, AddressSanitizer all but those.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOST_THREAD_SANITIZER 1
#endif
#if __has_feature(address_sanitizer)
#define HOST_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(HOST_THREAD_SANITIZER)
#define HOST_VA_BASE 0x0ull
#else
#define HOST_VA_BASE 0x200000000000ull
#endif
#define HOST_KERNEL_START (HOST_VA_BASE + 0x4000000000)
#define HOST_KERNEL_END (HOST_VA_BASE + 0x8000000000)
#define HOST_IMAGE_BASE (HOST_KERNEL_END - 0x80000000) /* also in image.S */
#define HOST_IMAGE_SIZE 0x20000                        /* also in image.S */

/* Physical addresses: RAM in three pieces, so that zones and holes exist. */
#define HOST_RAM_LOW 0x100000ull     /* 1 MiB to 15 MiB */
#define HOST_RAM_LOW_END 0xf00000ull
#define HOST_RAM_MIDDLE 0x1000000ull /* from 16 MiB on */
#define HOST_RAM_HIGH 0x100000000ull /* from 4 GiB on: a quarter */
#define HOST_IMAGE_PA 0x200000ull
#define HOST_PHYSICAL_BITS 34

#define HOST_FPU_WORDS 64
/* In an area behind the unit's registers: two bits a protection key (no access, no write), exclusive-ored
 * with what a new program has, so that zero is that. */
#define HOST_FPU_KEYS HOST_FPU_WORDS
#define HOST_KEYS_INITIAL 0x55555554u
#define HOST_LINES 32

/* Bits of host_cpu.pending. */
#define PENDING_IPI 0x1u
#define PENDING_TIMER 0x2u
#define PENDING_LINE 0x4u
#define PENDING_CONSOLE 0x8u
#define PENDING_STOP 0x10u

#define TLB_SLOTS 4096

enum tlb_kind { TLB_EMPTY, TLB_LEAF, TLB_TABLE, TLB_NOTHING };

struct tlb_entry {
	vaddr_t va; /* first address it covers */
	uint64_t raw;
	paddr_t slot; /* where the entry stands in the tables */
	uint32_t asid;
	uint32_t publish; /* TLB_NOTHING: host_cpu.published when it was cached */
	uint8_t level, kind;
	bool global;
};

struct host_cpu {
	struct hal_thread *current; /* (own CPU) */
	cpu_t index; /* (const) */
	bool irq_on; /* (own CPU) */
	bool started; /* (sim: host thread; threads: before pthread_create) */
	bool waiting; /* (sim) in hal.cpu.wait */
	bool stopped; /* (own CPU) for good */
	_Atomic uint32_t pending; /* PENDING_*: set by anybody */
	_Atomic uint32_t lines; /* a bit per line, with PENDING_LINE */
	_Atomic bool sleeping; /* (threads) in a futex wait */
	nsec_t deadline; /* (own CPU; sim: host thread) */
	uintptr_t sp; /* (sim) where it goes on when it gets its turn */
	struct hal_thread *idle; /* (const) what it starts on */
	uint64_t fpu[HOST_FPU_WORDS]; /* the unit's registers (own CPU) */
	uint64_t keys; /* (own CPU) rights of the current thread, as in an area */
	bool fpu_on; /* (own CPU) programs may use the unit */
	/* MMU (own CPU, TLB also others under tlb_lock) */
	paddr_t root, kernel_root;
	unsigned asid;
	uint32_t published;
	atomic_flag tlb_lock;
	struct tlb_entry tlb[TLB_SLOTS];
	struct host_counters counters; /* (own CPU) */
} ALIGNED(128); /* two lines: processors fetch the neighbour too */

extern struct host_machine {
	struct host_config config;
	struct hal_mmu_geometry geometry;
	struct boot_info info;
	char *ram; /* all physical addresses, as the machine itself sees them */
	paddr_t span; /* bytes of it, holes included */
	int memfd;
	vaddr_t direct_map;
	nsec_t time; /* (sim) virtual */
	uint64_t random; /* (sim) */
	bool points_off; /* (sim) in a signal handler: no CPU changes, no interrupts */
	_Atomic int drop_flush;
	_Atomic uint32_t line_cpu[HOST_LINES]; /* CPU_NONE: off */
	void (*power_hook)(enum hal_power how, int status);
	struct host_cpu cpus[CPU_MAX];
} host;

struct hal_frame {
	uint64_t r
		[16]; /* r0..r5 arguments, r0 result, r7 number, r12 link, r13 tls, r14 fp, r15 sp */
	uint64_t pc;
	uint64_t first; /* r0 at the system call */
	uint64_t status; /* user-visible flags: HOST_STATUS_USER */
	uint64_t cause;
};
static_assert(sizeof(struct hal_frame) % 16 == 0);
#define FRAME_TLS 13
#define FRAME_FP 14
#define FRAME_SP 15
#define HOST_STATUS_USER 0xffull /* what a program may change of `status` */
#define HOST_STATUS_MODE 0x100ull /* set: user mode */
#define HOST_INSTRUCTION 8ull /* bytes of an instruction (program.c) */

/* The CPU that this host thread plays. Never inlined: a kernel thread may go on elsewhere. */
struct host_cpu *host_self(void);
void host_self_set(struct host_cpu *cpu);

static inline bool host_is_simulated(void)
{
	return host.config.mode == HOST_SIMULATED;
}

static inline uint64_t host_random(void)
{
	uint64_t z = (host.random += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* The machine is broken or the kernel did what no machine allows. */
[[noreturn]] void host_die(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* switch.S: saves the callee-saved registers and the stack pointer in *save, goes on at `load`;
 * returns, there, `pass`. */
void *host_stack_switch(uintptr_t *save, uintptr_t load, void *pass);
void host_thread_start(void);

long host_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]);
__attribute__((noreturn)) void host_guarded_end(const uintptr_t *guard);

/* cpu.c */
/* host_stack_switch that tells the sanitizers; `to` is the thread whose stack comes. */
void *host_switch(uintptr_t *save, uintptr_t load, void *pass, struct hal_thread *to);
void host_cpu_thread_init(struct hal_thread *thread,
			  void (*entry)(struct hal_thread *prev, void *arg), void *arg);
struct hal_thread *host_cpu_switch_to(struct hal_thread *prev, struct hal_thread *next);
long host_cpu_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]);
__attribute__((noreturn)) void host_cpu_guarded_end(const uintptr_t *guard);
void host_cpu_stacks_init(void);
bool host_cpu_unwind(struct hal_unwind *u, vaddr_t low, vaddr_t high);
struct hal_unwind host_cpu_saved(const struct hal_thread *thread);

/* irq.c: points, pending interrupts */
void host_point(void);
void host_user_point(struct hal_frame *frame); /* between two instructions of user mode */
void host_pend(struct host_cpu *cpu, uint32_t bits);
static inline bool host_is_pending(struct host_cpu *cpu)
{
	return atomic_load(&cpu->pending) != 0;
}
bool host_irq_save(void);
void host_irq_restore(bool on);
void host_cpu_relax(void);
void host_cpu_wait(void);
nsec_t host_timer_now(void);
void host_timer_arm(nsec_t deadline);
enum kerr host_irq_route(unsigned line, enum irq_trigger trigger, cpu_t cpu);
enum kerr host_smp_start(cpu_t cpu, struct hal_thread *idle);
void host_smp_ipi(cpuset_t cpus);
bool host_smp_sample(cpu_t cpu, struct hal_unwind *out, bool *kernel);
void host_smp_stop_others(void);
[[noreturn]] void host_cpu_halt(void);
size_t host_console_take(char *buf, size_t size); /* platform.c */

/* sim.c: HOST_SIMULATED */
void host_sim_point(void);
void host_sim_relax(void);
void host_sim_wait(struct host_cpu *cpu);
void host_sim_start(struct host_cpu *cpu);
[[noreturn]] void host_sim_halt(struct host_cpu *cpu);

/* threads.c: HOST_THREADS */
nsec_t host_threads_now(void);
bool host_threads_point(struct host_cpu *cpu); /* true: an interrupt is pending */
void host_threads_relax(void);
void host_threads_wait(struct host_cpu *cpu);
void host_threads_wake(struct host_cpu *cpu);
enum kerr host_threads_start(struct host_cpu *cpu);

/* mmu.c: the format */
#define PTE_VALID 0x1ull
#define PTE_NEXT 0x2ull /* a table */
#define PTE_WRITE 0x4ull
#define PTE_USER 0x8ull
#define PTE_ACCESSED 0x40ull
#define PTE_DIRTY 0x80ull
#define PTE_GLOBAL 0x100ull
#define PTE_NO_EXECUTE 0x200ull
#define PTE_KEY_SHIFT 52
#define PTE_KEY(raw) ((unsigned)((raw) >> PTE_KEY_SHIFT & 15))
#define PTE_ADDRESS 0x000ffffffffff000ull
void host_mmu_init(void);
pte_t host_mmu_leaf(paddr_t frame, map_flags_t flags, unsigned level);
struct pte_parts host_mmu_decode(pte_t entry, unsigned level);
_Atomic uint64_t *host_mmu_slot(paddr_t table, unsigned level, vaddr_t va);
bool host_mmu_is_kernel(vaddr_t va);
paddr_t host_mmu_root(const struct host_cpu *cpu, vaddr_t va);
/* The tables alone; its level in *level. */
uint64_t host_mmu_walk(paddr_t root, vaddr_t va, unsigned *level, paddr_t *slot);

/* tlb.c */
void host_tlb_flush(struct host_cpu *cpu, unsigned asid, vaddr_t va, size_t pages, bool tables);
struct host_translation host_tlb_translate(struct host_cpu *cpu, vaddr_t va,
					   enum trap_access access, bool user);

/* mirror.c: the kernel half as real mappings */
void host_mirror_init(void);
void host_mirror_thread_init(void); /* signal stack of this host thread */
void host_mirror_forget(vaddr_t va, size_t pages);

/* user.c, signal.c */
const struct hal_user_info *host_user_info(void);
void host_user_frame_init(struct hal_frame *frame, vaddr_t pc, vaddr_t sp);
void host_user_frame_fork(struct hal_frame *child, const struct hal_frame *parent, vaddr_t sp);
struct hal_user_regs host_user_regs(const struct hal_frame *frame);
struct hal_syscall host_user_syscall(const struct hal_frame *frame);
void host_user_syscall_result(struct hal_frame *frame, long result);
void host_user_syscall_restart(struct hal_frame *frame, unsigned long number);
void host_user_key_rights(unsigned key, unsigned denied);
void host_user_set_tls(struct hal_thread *thread, struct hal_frame *frame, vaddr_t tls);
enum kerr host_user_signal_push(struct hal_frame *frame, const struct hal_signal *signal);
enum kerr host_user_signal_pop(struct hal_frame *frame, struct hal_signal *out);
size_t host_user_copy(void *dst, const void *src, size_t size);
enum kerr host_user_cmpxchg32(uint32_t *addr, uint32_t *expected, uint32_t desired);
size_t host_user_dump(const struct hal_frame *frame, char *buf, size_t size);
/* program.c */
__attribute__((noreturn)) void host_program_run(struct hal_frame *frame);

/* platform.c */
void host_platform_early(struct boot_info *info);
enum kerr host_platform_init(struct boot_info *info);
void host_platform_cpu_init(cpu_t cpu);
void host_platform_console_write(const char *bytes, size_t count);
__attribute__((noreturn)) void host_platform_power(enum hal_power how, int status);
bool host_platform_entropy(uint64_t *out);
size_t host_platform_describe(cpu_t cpu, char *buf, size_t size);
