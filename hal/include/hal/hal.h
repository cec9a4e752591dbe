/*
 * The HAL contract: everything that portable code may ask of the hardware, as one const table.
 * Each port (hal/x86_64, hal/aarch64, hal/riscv64, hal/host) defines `hal` once, in hal.c; a
 * release build is linked with full LTO, which turns each call through it into direct or inlined
 * code. Nothing is optional and nothing is null. What a HAL calls back is in hal/upcall.h.
 * docs/hal-contract.md tells the same as a story; tests/contract holds every port to it.
 *
 * Words used below.  IRQs off: the caller has called irq_save(). Any context: also from
 * interrupts and with spinlocks held. No operation sleeps; none allocates except platform.init.
 */
#pragma once

#include <hal/boot_info.h>
#include <hal/thread.h>
#include <hal/trap.h>
#include <hal/types.h>
#include <lib/kerr.h>

/* ---- Memory management ------------------------------------------------------------------- */

/* Portable mapping flags; a HAL encodes them. (FEATURES VM-2.) */
typedef uint32_t map_flags_t;
#define MAP_PRESENT 0x001u
#define MAP_WRITABLE 0x002u
#define MAP_USER 0x004u
#define MAP_WRITE_THROUGH 0x008u
#define MAP_NO_CACHE 0x010u       /* with WRITE_THROUGH clear: device memory, strongly ordered */
#define MAP_ACCESSED 0x020u
#define MAP_DIRTY 0x040u
#define MAP_HUGE 0x080u           /* decode only: the leaf is above level 0 */
#define MAP_GLOBAL 0x100u
#define MAP_NO_EXECUTE 0x200u
#define MAP_WRITE_COMBINE 0x400u
#define MAP_SPECIAL 0x800u        /* one bit in the entry for mm's own use */

/* Memory types (VM-12). A format that lacks one takes the next stricter: AArch64 and RISC-V have one
 * for the last two, a RISC-V CPU without Svpbmt none at all (the machine's attributes decide). */
#define MAP_TYPE_NORMAL 0u /* write-back */
#define MAP_TYPE_IO MAP_NO_CACHE /* device: each access happens, in order, once */
#define MAP_TYPE_UNCACHED (MAP_NO_CACHE | MAP_WRITE_THROUGH) /* memory, not cached */
#define MAP_TYPE_COMBINE MAP_WRITE_COMBINE /* memory, not cached, writes gathered */
#define MAP_TYPES (MAP_WRITE_THROUGH | MAP_NO_CACHE | MAP_WRITE_COMBINE)

/* The protection key of a user page: geometry.protection_keys of them, 0 for pages without. */
#define MAP_KEY(key) ((map_flags_t)(key) << 28)
#define MAP_KEY_OF(flags) ((unsigned)((flags) >> 28))

#define MAP_KERNEL_READ (MAP_PRESENT | MAP_GLOBAL | MAP_NO_EXECUTE | MAP_ACCESSED)
#define MAP_KERNEL_WRITE (MAP_KERNEL_READ | MAP_WRITABLE | MAP_DIRTY)
#define MAP_KERNEL_CODE (MAP_PRESENT | MAP_GLOBAL | MAP_ACCESSED)
#define MAP_USER_READ (MAP_PRESENT | MAP_USER | MAP_NO_EXECUTE | MAP_ACCESSED)
#define MAP_USER_WRITE (MAP_USER_READ | MAP_WRITABLE | MAP_DIRTY)
#define MAP_USER_CODE (MAP_PRESENT | MAP_USER | MAP_ACCESSED)

/* One entry of a table. All formats: 512 entries of eight bytes, nine bits of address a level;
 * level 0 holds 4 KiB pages, level 1 2 MiB, level 2 1 GiB. Zero is "nothing here" everywhere. */
typedef struct {
	uint64_t raw;
} pte_t;

enum pte_kind { PTE_NONE, PTE_TABLE, PTE_LEAF };

struct pte_parts {
	enum pte_kind kind;
	map_flags_t flags; /* of a leaf; 0 otherwise */
	paddr_t address; /* of the frame or the next table */
};

#define HAL_FLUSH_ALL SIZE_MAX

#define HAL_ASID_NONE 0u /* the kernel's own; never given to a process */

/* Chosen once in platform.early, constant afterwards. */
struct hal_mmu_geometry {
	uint8_t levels; /* 3, 4 or 5 */
	uint8_t leaf_levels; /* bit n: leaves are allowed on level n */
	uint8_t physical_bits;
	uint8_t asid_bits; /* 0: no address-space tags, activate() flushes */
	uint16_t flush_pages_max; /* to forget more pages than that, HAL_FLUSH_ALL is cheaper */
	bool split_root; /* the kernel half has a root register of its own (AArch64): process
			         roots hold user entries only. Otherwise the upper 256 entries of
			         each root are the kernel's, copied by mm. */
	bool broadcast; /* flush reaches every CPU by hardware */
	uint8_t protection_keys; /* 16, or 0: the CPU has none */
	vaddr_t user_end; /* first address above what user mode can have */
	vaddr_t user_top; /* programs are placed below; what lies above (five levels) they get
				 only where they ask: some keep tags in the higher bits */
	vaddr_t kernel_start; /* lowest address of the kernel half */
};

struct hal_mmu_ops {
	const struct hal_mmu_geometry *(*geometry)(void);
	/* Encode and decode entries. Pure. Flags a format lacks are dropped by leaf() and absent
	 * from decode(); MAP_ACCESSED and MAP_DIRTY are emulated where hardware does not set them
	 * (an entry without MAP_ACCESSED faults; one that is WRITABLE without DIRTY faults on a
	 * write), and set in hardware-managed formats by the CPU. */
	pte_t (*leaf)(paddr_t frame, map_flags_t flags, unsigned level);
	pte_t (*table)(paddr_t table);
	struct pte_parts (*decode)(pte_t entry, unsigned level);
	/* Makes `root` the table of this CPU: a process's with its asid, or the kernel's own with
	 * HAL_ASID_NONE; then no user address translates (with split_root: the kernel's register
	 * is loaded and the user's gets an empty table). IRQs off. */
	void (*activate)(paddr_t root, unsigned asid);
	/* Forgets translations of [va, va + pages * 4 KiB) of `asid` (HAL_ASID_NONE: kernel, global
	 * entries too) on this CPU, or on all with geometry.broadcast; also cached table entries
	 * on the way if `tables`. HAL_FLUSH_ALL pages: everything of asid (HAL_ASID_NONE:
	 * everything at all). Complete on return. Any context. */
	void (*flush)(unsigned asid, vaddr_t va, size_t pages, bool tables);
	/* Entries that were written from "nothing here" to valid are seen by this CPU's walker
	 * after it. (Other CPUs may take a spurious fault, which mm answers with a retry.) */
	void (*publish)(void);
	/* Instructions written to [va, va + size) will be fetched as written by every CPU that
	 * passes a context switch or return to user mode afterwards. */
	void (*code_sync)(vaddr_t va, size_t size);
	/* One frame through the direct map; both page aligned. The fastest way the CPU has. */
	void (*page_zero)(void *page);
	void (*page_copy)(void *restrict dst, const void *restrict src);
};

/* ---- CPU --------------------------------------------------------------------------------- */

struct hal_unwind {
	vaddr_t ip, fp;
};

struct hal_cpu_ops {
	/* The thread this CPU runs, as set by set_current or the last switch_to. One load; safe
	 * under preemption. */
	struct hal_thread *(*current)(void);
	void (*set_current)(struct hal_thread *thread); /* boot only, before the first switch */
	/* Interrupts of this CPU. irq_save turns them off and tells whether they were on;
	 * irq_restore(true) turns them on, irq_restore(false) changes nothing. */
	bool (*irq_save)(void);
	void (*irq_restore)(bool on);
	bool (*irq_enabled)(void);
	void (*relax)(void); /* in a spin loop */
	/* IRQs off: sleeps until an interrupt is pending, takes it, returns with IRQs off. An
	 * interrupt that came before the call is not missed. */
	void (*wait)(void);
	/* Saves the callee-saved state on prev's stack and goes on where `next` left off; also
	 * moves TLS register, keys' rights and stack for traps. Address space and FPU are not
	 * touched. IRQs off.
	 * Returns prev of the thread that ran just before on this CPU (needed to finish the
	 * switch after migration). */
	struct hal_thread *(*switch_to)(struct hal_thread *prev, struct hal_thread *next);
	/* Prepares a new thread: the first switch to it calls entry(prev, arg) on its own stack,
	 * IRQs off, `prev` being what switch_to would have returned. stack_top is set already;
	 * the place of the user frame, which ends there, is left alone. */
	void (*thread_init)(struct hal_thread *thread,
			    void (*entry)(struct hal_thread *prev, void *arg), void *arg);
	/* FPU and vector state, in this CPU's unit and in thread->fpu (not null; user_info.fpu_size
	 * bytes). An area of all zeroes is the state of a new program. For the kernel's own purposes
	 * the unit is never used, so any thread's state may stay in it. IRQs off.
	 * enable: whether user mode may use the unit; if not, that is a TRAP_FPU. Off at first. The
	 * registers keep what they are. save: the area is what the registers are. load: the
	 * registers are what the area says. Both only while it is on; `thread` need not run. A save
	 * after a load for the same thread may leave out what was not changed. Both count what
	 * they really move in thread->fpu_saves, fpu_loads.
	 * copy: to's area becomes from's, which is the current thread's and is what its registers
	 * are; `to` has not run. */
	void (*fpu_enable)(bool on);
	void (*fpu_save)(struct hal_thread *thread);
	void (*fpu_load)(struct hal_thread *thread);
	void (*fpu_copy)(struct hal_thread *to, const struct hal_thread *from);
	/* Calls fn(args[0], ... args[3]) and returns what it returned. *guard is where the way back is kept,
	 * on this stack. guarded_end: in the same thread, anywhere inside of fn, also in the handler of a
	 * trap or interrupt that came upon it: the call returns at once, with 0; interrupts stay off or
	 * on as they are. */
	long (*guarded_call)(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]);
	__attribute__((noreturn)) void (*guarded_end)(const uintptr_t *guard);
	bool (*entropy)(uint64_t *out); /* from hardware; false: there is none, or not now */
	/* One step of a frame-pointer walk; false at the end. `u` must lie in [low, high). */
	bool (*unwind)(struct hal_unwind *u, vaddr_t low, vaddr_t high);
	/* Where a thread that does not run left off: the start of such a walk. If it does run
	 * meanwhile, something on its stack (unwind survives that). */
	struct hal_unwind (*saved)(const struct hal_thread *thread);
	/* The lines of /proc/cpuinfo for `cpu` after "processor : N"; returns like format(). */
	size_t (*describe)(cpu_t cpu, char *buf, size_t size);
};

/* ---- Platform, interrupts, time, CPUs, power ----------------------------------------------- */

enum hal_power { HAL_POWER_OFF, HAL_POWER_REBOOT, HAL_POWER_HALT };

struct hal_platform_ops {
	/* Boot CPU, first of all: trap vectors, CPU features, geometry, early console; fills in
	 * info->machine. (boot/ listed info->cpus, from ACPI or the device tree.) */
	void (*early)(struct boot_info *info);
	/* Boot CPU, mm is up: interrupt controllers, clock sources, power; sets info->wall_seconds
	 * and the user_info; then as cpu_init for this CPU. Fails only if the machine cannot
	 * work. */
	enum kerr (*init)(struct boot_info *info);
	/* Each secondary CPU, on itself: vectors, features, its interrupt controller and timer. */
	void (*cpu_init)(cpu_t cpu);
	/* Bytes to the console, polled, any context, also during a panic. */
	void (*console_write)(const char *bytes, size_t count);
	/* HALT stops this CPU for good, interrupts off. OFF: `status` reaches the emulator where
	 * "exit=emulator" is on the command line and it has a way (isa-debug-exit keeps 7 bits). */
	__attribute__((noreturn)) void (*power)(enum hal_power how, int status);
};

enum irq_trigger { IRQ_LEVEL, IRQ_EDGE };

struct hal_irq_ops {
	/* Lines are the controller's numbers: GSI, SPI + 32, PLIC source. Delivered to `cpu`, or
	 * to none with CPU_NONE. KERR_INVAL: there is no such line. */
	enum kerr (*route)(unsigned line, enum irq_trigger trigger, cpu_t cpu);
};

struct hal_timer_ops {
	nsec_t (*now)(void); /* monotonic since about power-on; the same on all CPUs */
	void (*arm)(nsec_t deadline); /* this CPU: core_timer() at or soon after; NSEC_NEVER: off;
					    a past deadline: at once. IRQs off. */
};

struct hal_smp_ops {
	/* Starts CPU `cpu` (index in boot_info.cpus) in core_cpu_main on idle->stack_top with
	 * current = idle, on the kernel's tables. Returns before it runs. */
	enum kerr (*start)(cpu_t cpu, struct hal_thread *idle);
	/* core_ipi() on each of `cpus` (never the caller's own), once or more after the call.
	 * Memory written before is visible there. Any context. */
	void (*ipi)(cpuset_t cpus);
	/* Where another CPU is, even if it has interrupts off: *kernel tells in which mode. False: this
	 * machine has no interrupt that cannot be masked, or it did not answer. One caller at a
	 * time; any context. */
	bool (*sample)(cpu_t cpu, struct hal_unwind *out, bool *kernel);
	/* Panic: the others stop for good, whatever they do (NMI, FIQ where there is one). */
	void (*stop_others)(void);
};

/* ---- User mode ----------------------------------------------------------------------------- */

enum hal_abi { HAL_ABI_X86_64, HAL_ABI_GENERIC };

struct hal_user_info {
	const char *machine; /* uname -m */
	enum hal_abi abi; /* system-call numbers and structure layouts */
	uint16_t elf_machine;
	uint64_t hwcap, hwcap2; /* AT_HWCAP, AT_HWCAP2 */
	size_t frame_size; /* sizeof(struct hal_frame), a multiple of 16. The user frame of a
				   thread ends at its stack_top. */
	size_t fpu_size; /* of hal_thread.fpu */
	bool handler_fpu_new; /* a signal handler begins with a new program's FPU state, not with what
				 was interrupted */
	const void *trampoline; /* page-independent code that calls rt_sigreturn */
	size_t trampoline_size;
	size_t min_signal_stack;
};

/* hal_user_ops.key_rights */
#define HAL_KEY_NO_ACCESS 1u
#define HAL_KEY_NO_WRITE 2u

struct hal_user_regs {
	vaddr_t pc, sp, fp;
};

struct hal_syscall {
	unsigned long number, args[6];
};

/* What signal_push lays on the user stack and signal_pop takes back. */
struct hal_signal {
	int signo;
	bool siginfo; /* SA_SIGINFO: third argument is a ucontext */
	vaddr_t handler;
	vaddr_t restorer; /* return address of the handler: SA_RESTORER's or the trampoline's */
	vaddr_t stack_top; /* 0: below the interrupted stack pointer (minus its red zone) */
	uint8_t info[128]; /* siginfo_t, the same layout on all Linux architectures */
	uint64_t mask; /* saved, restored by signal_pop */
	vaddr_t alt_base; /* uc_stack */
	uint64_t alt_size;
	int alt_flags;
	vaddr_t fault_addr; /* for sigcontext fields that show it (cr2, fault_address) */
	uint64_t fault_code;
};

struct hal_user_ops {
	const struct hal_user_info *(*info)(void);
	/* A program's first registers: all zero but these. */
	void (*frame_init)(struct hal_frame *frame, vaddr_t pc, vaddr_t sp);
	/* A copy of `parent` whose system call returned 0, on stack `sp` unless sp is 0. */
	void (*frame_fork)(struct hal_frame *child, const struct hal_frame *parent, vaddr_t sp);
	struct hal_user_regs (*regs)(const struct hal_frame *frame);
	struct hal_syscall (*syscall)(const struct hal_frame *frame);
	void (*syscall_result)(struct hal_frame *frame, long result);
	/* Sets the frame back to just before its system-call instruction, with the first argument
	 * and, on x86_64, the number as they were; or with `number` if it is not ~0. */
	void (*syscall_restart)(struct hal_frame *frame, unsigned long number);
	/* User thread pointer, of a thread that is `current` or has not run yet. */
	void (*set_tls)(struct hal_thread *thread, struct hal_frame *frame, vaddr_t tls);
	/* Takes rights to user pages of `key` (below geometry.protection_keys) from the current thread:
	 * HAL_KEY_*, 0 gives all. They go with the thread at each switch_to, are in signal
	 * frames and in what fpu_copy copies, and bind the kernel's copies too; instructions are
	 * always fetched. A new program (frame_init of the current thread's frame), and a signal
	 * handler when it begins, have key 0 and no other. Nothing happens where there are none. */
	void (*key_rights)(unsigned key, unsigned denied);
	/* Lays the Linux rt_sigframe of this architecture, with the FPU state in the current thread's
	 * area, on the user stack and turns `frame` to the handler; with handler_fpu_new also the area, and
	 * then the unit is off. KERR_FAULT: the stack is not there. */
	enum kerr (*signal_push)(struct hal_frame *frame, const struct hal_signal *signal);
	/* rt_sigreturn: takes registers, FPU state (into the area; the unit is off), mask and alternate
	 * stack back from the stack; hostile contents never reach privileged bits. KERR_FAULT: not
	 * there. */
	enum kerr (*signal_pop)(struct hal_frame *frame, struct hal_signal *out);
	/* Leaves the kernel for `frame` of the current thread (for its first time). IRQs off. */
	__attribute__((noreturn)) void (*enter)(struct hal_frame *frame);
	/* Copies between kernel and user memory, either way; faults are answered or end the copy.
	 * Returns the number of bytes NOT copied. Ranges were checked by the caller
	 * (mm/user_copy.h does; use that). A naturally aligned 4- or 8-byte copy is one access. */
	size_t (*copy)(void *dst, const void *src, size_t size);
	/* *addr: if it is *expected, stores `desired`; *expected gets what was there. Aligned.
	 * KERR_FAULT, nothing else. */
	enum kerr (*cmpxchg32)(uint32_t *addr, uint32_t *expected, uint32_t desired);
	/* Registers as text, several lines, for the panic page and core reports; like format(). */
	size_t (*dump)(const struct hal_frame *frame, char *buf, size_t size);
};

struct hal_ops {
	const char *name; /* "x86_64", "aarch64", "riscv64", "host" */
	struct hal_platform_ops platform;
	struct hal_cpu_ops cpu;
	struct hal_mmu_ops mmu;
	struct hal_irq_ops irq;
	struct hal_timer_ops timer;
	struct hal_smp_ops smp;
	struct hal_user_ops user;
};

#if defined(TERN_MODULE)
#include <hal/module_table.h> /* a loaded module calls exported functions instead */
#else
extern const struct hal_ops hal;
#endif
