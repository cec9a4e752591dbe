/*
 * What programs see of the CPU: their first registers, system-call arguments, the thread pointer.
 *
 * A frame comes from SYSCALL (vector VECTOR_SYSCALL; left by SYSRET, which restores only what the
 * C code clobbered and what the ABI promises) or from a vector (left by IRET, everything restored).
 * Whoever changes more of a frame than the result first calls frame_own(), which makes it the
 * second sort. IRET must never fault: each writer keeps user selectors, a canonical rip and
 * harmless flags in the frame.
 */
#include "user.h"

#include <lib/format.h>
#include <lib/string.h>

static struct hal_user_info info RO_AFTER_INIT = {
	.machine = "x86_64",
	.abi = HAL_ABI_X86_64,
	.elf_machine = 62,
	.frame_size = FRAME_SIZE,
	.handler_fpu_new = true,
	.trampoline = x86_user_trampoline,
};

/* platform.early, after x86_cpu_setup: the sizes are known. */
void x86_user_init(void)
{
	info.hwcap = x86_features.hwcap;
	info.hwcap2 = x86_features.fsgsbase ? 2 : 0;
	info.fpu_size = x86_features.fpu_size;
	info.trampoline_size = (size_t)(x86_user_trampoline_end - x86_user_trampoline);
	info.min_signal_stack = x86_signal_frame_max();
}

const struct hal_user_info *x86_user_info(void)
{
	return &info;
}

/* An rip that IRET may load: the hole of non-canonical addresses becomes an address that faults. */
uint64_t x86_user_ip_clean(uint64_t ip)
{
	uint64_t end = x86_mmu_geometry()->user_end;
	return ip < end ? ip : end;
}

void x86_user_key_rights(unsigned key, unsigned denied)
{
	if (!x86_features.keys)
		return;
	bool on = x86_cpu_irq_save();
	x86_wrpkru((x86_rdpkru() & ~(3u << 2 * key)) | (denied & 3) << 2 * key);
	x86_cpu_irq_restore(on);
}

void x86_user_frame_init(struct hal_frame *frame, vaddr_t pc, vaddr_t sp)
{
	memset(frame, 0, sizeof(*frame));
	frame->rip = x86_user_ip_clean(pc);
	frame->cs = SELECTOR_USER_CODE;
	frame->rflags = RFLAGS_IF | RFLAGS_FIXED;
	frame->rsp = sp;
	frame->ss = SELECTOR_USER_DATA;
	/* A running thread that executes a new program loses its old bases and keys. */
	if ((uintptr_t)frame == x86_cpu_current()->stack_top - FRAME_SIZE) {
		bool on = x86_cpu_irq_save();
		x86_cpu_bases_set(0, 0);
		if (x86_features.keys)
			x86_wrpkru(PKRU_INITIAL);
		x86_cpu_irq_restore(on);
	}
}

void x86_user_frame_fork(struct hal_frame *child, const struct hal_frame *parent, vaddr_t sp)
{
	*child = *parent;
	frame_own(child);
	child->rax = 0;
	if (sp)
		child->rsp = sp;
	child->fs_base = x86_cpu_fs_base();
	child->gs_base = x86_cpu_gs_base();
}

void x86_user_set_tls(struct hal_thread *thread, struct hal_frame *frame, vaddr_t tls)
{
	/* A non-canonical base cannot be loaded. */
	if (tls >= x86_mmu_geometry()->user_end)
		tls = 0;
	frame->fs_base = tls;
	bool on = x86_cpu_irq_save();
	if (thread == x86_cpu_current())
		x86_cpu_bases_set(tls, x86_cpu_gs_base());
	else
		thread->tls = tls;
	x86_cpu_irq_restore(on);
}

/* The first entry to user mode of the current thread: its bases come from the frame. */
void x86_user_enter(struct hal_frame *frame)
{
	x86_cpu_bases_set(frame->fs_base, frame->gs_base);
	x86_trap_enter_user(frame);
}

size_t x86_user_dump(const struct hal_frame *f, char *buf, size_t size)
{
	bool call = f->vector == VECTOR_SYSCALL;
	return (size_t)format(
		buf, size,
		"rip %04llx:%016llx  rsp %04llx:%016llx  flags %08llx\n"
		"rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n"
		"rsi %016llx  rdi %016llx  rbp %016llx  r8  %016llx\n"
		"r9  %016llx  r10 %016llx  r11 %016llx  r12 %016llx\n"
		"r13 %016llx  r14 %016llx  r15 %016llx  vector %llu error %#llx\n",
		(unsigned long long)f->cs, (unsigned long long)f->rip, (unsigned long long)f->ss,
		(unsigned long long)f->rsp, (unsigned long long)f->rflags,
		(unsigned long long)(call ? f->error : f->rax), (unsigned long long)f->rbx,
		(unsigned long long)(call ? f->rip : f->rcx), (unsigned long long)f->rdx,
		(unsigned long long)f->rsi, (unsigned long long)f->rdi, (unsigned long long)f->rbp,
		(unsigned long long)f->r8, (unsigned long long)f->r9, (unsigned long long)f->r10,
		(unsigned long long)(call ? f->rflags : f->r11), (unsigned long long)f->r12,
		(unsigned long long)f->r13, (unsigned long long)f->r14, (unsigned long long)f->r15,
		(unsigned long long)f->vector, (unsigned long long)f->error);
}
