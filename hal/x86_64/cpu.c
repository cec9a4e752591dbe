/*
 * One processor: its descriptor tables and control registers, features, thread switch.
 *
 * Each CPU has a struct x86_cpu, which GS points at while the kernel runs (user mode has its own GS
 * base, SWAPGS exchanges them); the current thread is one load away. The areas are static, so that
 * they exist before there is an allocator; one takes 2 KiB.
 *
 * The selectors in DS, ES, FS and GS are null in the kernel and are not saved: 64-bit programs do
 * not use them, and a null FS or GS selector keeps its base over IRET. The bases of a
 * program's FS and GS live in the registers while it runs and in hal_thread.tls and .scratch while
 * it does not. With FSGSBASE a program may change them without asking, so they are read at
 * each switch; without it only set_tls changes FS, and GS stays 0.
 *
 * x86_cpus[i]: written by the boot CPU before CPU i starts, then as cpu.h says.
 */
#include "cpu.h"
#include "frame.h"
#include "patch.h"

#include <lib/string.h>

struct x86_cpu x86_cpus[CPU_MAX];
cpu_t x86_cpu_count = 1;
struct x86_features x86_features RO_AFTER_INIT;

struct hal_thread *x86_switch_stacks(struct hal_thread *prev, struct hal_thread *next);
extern const char x86_switch_thread_start[], x86_trap_syscall_entry[];

/* ---- Features ------------------------------------------------------------------------------ */

uint32_t x86_cpu_apic_id(void)
{
	if (x86_cpuid(0, 0).a >= 0xb && x86_cpuid(0xb, 0).b)
		return x86_cpuid(0xb, 0).d;
	return x86_cpuid(1, 0).b >> 24;
}

/* Intel SDM volume 2, CPUID. The kernel's text is still writable. */
static void smap_patch(struct patch_place *start, struct patch_place *end)
{
	uint32_t nop = PATCH_NOP;
	for (struct patch_place *p = start; p < end; p++)
		memcpy((char *)&p->offset + p->offset, x86_features.smap ? &p->instruction : &nop,
		       3);
}

static void features_probe(void)
{
	struct x86_features *f = &x86_features;
	struct x86_cpuid one = x86_cpuid(1, 0), seven = {}, extended = {}, sizes = {};
	if (x86_cpuid(0, 0).a >= 7)
		seven = x86_cpuid(7, 0);
	uint32_t last = x86_cpuid(0x80000000, 0).a;
	if (last >= 0x80000001)
		extended = x86_cpuid(0x80000001, 0);
	if (last >= 0x80000008)
		sizes = x86_cpuid(0x80000008, 0);
	f->hwcap = one.d;
	f->global_pages = one.d >> 13 & 1;
	f->xsave = one.c >> 26 & 1;
	f->x2apic = one.c >> 21 & 1;
	f->tsc_deadline = one.c >> 24 & 1;
	f->rdrand = one.c >> 30 & 1;
	f->hypervisor = one.c >> 31;
	f->fsgsbase = seven.b & 1;
	f->smep = seven.b >> 7 & 1;
	f->rdseed = seven.b >> 18 & 1;
	f->smap = seven.b >> 20 & 1;
	f->umip = seven.c >> 2 & 1;
	f->keys = f->xsave && seven.c >> 3 & 1;
	f->five_levels = seven.c >> 16 & 1;
	f->nx = extended.d >> 20 & 1;
	f->gigabyte_pages = extended.d >> 26 & 1;
	f->physical_bits = sizes.a & 0xff ? sizes.a & 0xff : 36;
	f->linear_bits = sizes.a >> 8 & 0xff ? sizes.a >> 8 & 0xff : 48;
	x86_fpu_probe();
	smap_patch(x86_patch_trap_start, x86_patch_trap_end);
	smap_patch(x86_patch_user_start, x86_patch_user_end);
}

/* ---- Setting up one CPU -------------------------------------------------------------------- */

/* SELECTOR_USER_BASE stays empty: SYSRET only counts from it, and without a 32-bit code segment no
 * program gets into the mode whose SYSCALL goes to CSTAR. */
static void gdt_fill(struct x86_cpu *cpu)
{
	uint64_t tss = (uint64_t)&cpu->tss, limit = sizeof(cpu->tss) - 1;
	cpu->gdt[SELECTOR_KERNEL_CODE / 8] = 0x00af9b000000ffff;
	cpu->gdt[SELECTOR_KERNEL_DATA / 8] = 0x00cf93000000ffff;
	cpu->gdt[SELECTOR_USER_DATA / 8] = 0x00cff3000000ffff;
	cpu->gdt[SELECTOR_USER_CODE / 8] = 0x00affb000000ffff;
	cpu->gdt[SELECTOR_TSS / 8] =
		limit | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
	cpu->gdt[SELECTOR_TSS / 8 + 1] = tss >> 32;
}

static void tss_fill(struct x86_cpu *cpu)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cpu->ist); i++) {
		cpu->ist[i].cpu = cpu;
		cpu->tss.ist[i] = (uint64_t)&cpu->ist[i].cpu;
	}
	cpu->tss.io_map = sizeof(cpu->tss); /* no ports for programs */
}

static void gdt_load(struct x86_cpu *cpu)
{
	struct x86_table_register gdtr = {.limit = sizeof(cpu->gdt) - 1,
					  .base = (uint64_t)cpu->gdt};
	uint64_t scratch;
	asm volatile("lgdt %1\n\t"
		     "pushq %2\n\t"
		     "leaq 1f(%%rip), %0\n\t"
		     "pushq %0\n\t"
		     "lretq\n"
		     "1:\tmovl %3, %%ss\n\t"
		     "movl %4, %%ds\n\t"
		     "movl %4, %%es\n\t"
		     "movl %4, %%fs\n\t"
		     "movl %4, %%gs\n\t"
		     : "=&r"(scratch)
		     : "m"(gdtr.limit), "i"(SELECTOR_KERNEL_CODE), "r"(SELECTOR_KERNEL_DATA),
		       "r"(0), "m"(gdtr.base)
		     : "memory");
	x86_wrmsr(MSR_GS_BASE, (uint64_t)cpu);
	x86_wrmsr(MSR_KERNEL_GS_BASE, 0);
	x86_wrmsr(MSR_FS_BASE, 0);
	asm volatile("ltr %w0" ::"r"(SELECTOR_TSS));
}

static uint64_t cr4_wanted(void)
{
	const struct x86_features *f = &x86_features;
	uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	cr4 |= x86_read_cr4() & CR4_LA57; /* cannot change with paging on */
	cr4 |= f->global_pages ? CR4_PGE : 0;
	cr4 |= f->umip ? CR4_UMIP : 0;
	cr4 |= f->fsgsbase ? CR4_FSGSBASE : 0;
	cr4 |= f->xsave ? CR4_OSXSAVE : 0;
	cr4 |= f->smep ? CR4_SMEP : 0;
	cr4 |= f->smap ? CR4_SMAP : 0;
	cr4 |= f->keys ? CR4_PKE : 0;
	return cr4;
}

void x86_cpu_setup(struct x86_cpu *cpu)
{
	cpu->self = cpu;
	cpu->index = (cpu_t)(cpu - x86_cpus);
	cpu->deadline = NSEC_NEVER;
	gdt_fill(cpu);
	tss_fill(cpu);
	gdt_load(cpu);
	x86_trap_vectors_load();
	x86_write_cr0(CR0_KERNEL);
	x86_write_cr4(cr4_wanted());
	x86_wrmsr(MSR_EFER, x86_rdmsr(MSR_EFER) | EFER_SCE | (x86_features.nx ? EFER_NXE : 0));
	/* Entry 5 (PAT, PWT) combines writes; the others as after reset: mmu.c. */
	x86_wrmsr(MSR_PAT, 0x0007010600070406);
	x86_wrmsr(MSR_STAR,
		  (uint64_t)SELECTOR_USER_BASE << 48 | (uint64_t)SELECTOR_KERNEL_CODE << 32);
	x86_wrmsr(MSR_LSTAR, (uint64_t)x86_trap_syscall_entry);
	x86_wrmsr(MSR_SFMASK, RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT |
				      RFLAGS_RF | RFLAGS_AC);
	x86_fpu_setup();
}

void x86_cpu_boot(void)
{
	x86_trap_vectors_init();
	features_probe();
	x86_cpu_setup(&x86_cpus[0]);
}

/* ---- Threads ------------------------------------------------------------------------------- */

void x86_cpu_set_current(struct hal_thread *thread)
{
	struct x86_cpu *cpu = x86_cpu_area();
	cpu->current = thread;
	cpu->tss.rsp0 = thread->stack_top - FRAME_TAIL;
}

uint64_t x86_cpu_fs_base(void)
{
	return x86_features.fsgsbase ? x86_rdfsbase() : x86_cpu_current()->tls;
}

uint64_t x86_cpu_gs_base(void)
{
	return x86_rdmsr(MSR_KERNEL_GS_BASE);
}

static inline void fs_base_write(uint64_t fs)
{
	if (x86_features.fsgsbase)
		x86_wrfsbase(fs);
	else
		x86_wrmsr(MSR_FS_BASE, fs);
}

/* IRQs off. */
void x86_cpu_bases_set(uint64_t fs, uint64_t gs)
{
	struct hal_thread *thread = x86_cpu_current();
	thread->tls = fs;
	thread->scratch = gs;
	fs_base_write(fs);
	x86_wrmsr(MSR_KERNEL_GS_BASE, gs);
}

/* Interrupts are off and the swap is undone at once: nothing sees the user's base in GS. */
static inline uint64_t user_gs_read(void)
{
	uint64_t base;
	asm volatile("swapgs\n\trdgsbase %0\n\tswapgs" : "=r"(base)::"memory");
	return base;
}

static inline void user_gs_write(uint64_t base)
{
	asm volatile("swapgs\n\twrgsbase %0\n\tswapgs" ::"r"(base) : "memory");
}

static inline void keys_switch(struct hal_thread *prev, struct hal_thread *next)
{
	if (prev->fpu)
		*x86_fpu_keys(prev) = x86_rdpkru() ^ PKRU_INITIAL;
	if (next->fpu)
		x86_wrpkru(*x86_fpu_keys(next) ^ PKRU_INITIAL);
}

static inline void bases_switch(struct hal_thread *prev, struct hal_thread *next)
{
	if (!x86_features.fsgsbase) {
		if (next->fpu)
			x86_wrmsr(MSR_FS_BASE, next->tls);
		return;
	}
	if (prev->fpu) {
		prev->tls = x86_rdfsbase();
		prev->scratch = user_gs_read();
	}
	if (next->fpu) {
		x86_wrfsbase(next->tls);
		user_gs_write(next->scratch);
	}
}

struct hal_thread *x86_cpu_switch_to(struct hal_thread *prev, struct hal_thread *next)
{
	bases_switch(prev, next);
	if (x86_features.keys)
		keys_switch(prev, next);
	return x86_switch_stacks(prev, next);
}

/* What x86_switch_stacks() pops, then where it returns to; above it the room of the user frame. */
struct first_frame {
	uint64_t r15, r14, r13, r12, rbx, rbp, ip, end;
};

void x86_cpu_thread_init(struct hal_thread *thread,
			 void (*entry)(struct hal_thread *prev, void *arg), void *arg)
{
	uintptr_t top = thread->stack_top - FRAME_SIZE;
	struct first_frame *f = (struct first_frame *)(top - sizeof(struct first_frame));
	*f = (struct first_frame){.r12 = (uint64_t)entry,
				  .r13 = (uint64_t)arg,
				  .ip = (uint64_t)x86_switch_thread_start};
	thread->kernel_sp = (uintptr_t)f;
	thread->flags = 0;
}

/* STI takes effect after the next instruction, so no interrupt comes between it and HLT. */
void x86_cpu_wait(void)
{
	asm volatile("sti\n\thlt\n\tcli" ::: "memory");
}

/* Intel SDM volume 1, 7.3.17: ten tries tell a busy generator from a broken one. */
bool x86_cpu_entropy(uint64_t *out)
{
	if (!x86_features.rdrand)
		return false;
	for (int i = 0; i < 10; i++) {
		bool good;
		if (x86_features.rdseed) {
			asm volatile("rdseed %0" : "=r"(*out), "=@ccc"(good));
			if (good)
				return true;
		}
		asm volatile("rdrand %0" : "=r"(*out), "=@ccc"(good));
		if (good)
			return true;
	}
	return false;
}

/* In C, so that they can be called through the table (kCFI). */
long x86_cpu_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4])
{
	return x86_guarded_call(guard, fn, args);
}

void x86_cpu_guarded_end(const uintptr_t *guard)
{
	x86_guarded_end(guard);
}

bool x86_cpu_unwind(struct hal_unwind *u, vaddr_t low, vaddr_t high)
{
	if (!u->fp || u->fp < low || high < 16 || u->fp > high - 16 || u->fp & 7)
		return false;
	const vaddr_t *frame = (const vaddr_t *)u->fp;
	vaddr_t fp = frame[0], ip = frame[1];
	if (!ip)
		return false;
	bool last = fp <= u->fp;
	u->fp = last ? 0 : fp;
	u->ip = ip;
	return true;
}

/* As x86_switch_stacks leaves it: r15, r14, r13, r12, rbx, rbp, return address. */
struct hal_unwind x86_cpu_saved(const struct hal_thread *thread)
{
	const volatile uint64_t *sp = (const volatile uint64_t *)READ_ONCE(thread->kernel_sp);
	return (struct hal_unwind){.ip = sp[6], .fp = sp[5]};
}
