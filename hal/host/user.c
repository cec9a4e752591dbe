/*
 * User mode as the kernel sees it: frames, system-call registers, access to user memory. A copy
 * translates page by page as the CPU would (tlb.c); a fault becomes a trap for core_trap(), which
 * answers it or ends the copy. Calling convention of programs: number in r7, arguments in r0 to r5,
 * result in r0; sp is r15, frame pointer r14, thread pointer r13, link r12.
 */
#include "machine.h"

#include <lib/format.h>
#include <lib/string.h>

#define FAULTS_MAX 1000 /* of one access: more is a kernel that says "handled" and does nothing */

/* rt_sigreturn for program.c: r7 = 139; syscall. */
static const uint64_t trampoline[] = {
	0x0000008b00000701ull, /* li r7, 139 */
	0x0000000000000018ull, /* syscall */
};

static const struct hal_user_info info = {
	.machine = "host",
	.abi = HAL_ABI_GENERIC,
	.elf_machine = 0x7e72,
	.frame_size = sizeof(struct hal_frame),
	.fpu_size = (HOST_FPU_WORDS + 1) * 8,
	.trampoline = trampoline,
	.trampoline_size = sizeof(trampoline),
	.min_signal_stack = 2048,
};

const struct hal_user_info *host_user_info(void)
{
	return &info;
}

/* ---- Frames --------------------------------------------------------------------------------- */

/* The current thread's, which may be switched out meanwhile. */
static uint64_t keys_get(void)
{
	bool on = host_irq_save();
	uint64_t keys = host_self()->keys;

	host_irq_restore(on);
	return keys;
}

static void keys_set(uint64_t keys)
{
	bool on = host_irq_save();

	host_self()->keys = keys;
	host_irq_restore(on);
}

void host_user_frame_init(struct hal_frame *frame, vaddr_t pc, vaddr_t sp)
{
	*frame = (struct hal_frame){.pc = pc, .status = HOST_STATUS_MODE};
	frame->r[FRAME_SP] = sp;
	if ((uintptr_t)(frame + 1) == host_self()->current->stack_top)
		keys_set(0); /* a new program */
}

void host_user_frame_fork(struct hal_frame *child, const struct hal_frame *parent, vaddr_t sp)
{
	*child = *parent;
	child->r[0] = 0;
	if (sp)
		child->r[FRAME_SP] = sp;
}

struct hal_user_regs host_user_regs(const struct hal_frame *frame)
{
	return (struct hal_user_regs){frame->pc, frame->r[FRAME_SP], frame->r[FRAME_FP]};
}

struct hal_syscall host_user_syscall(const struct hal_frame *frame)
{
	struct hal_syscall call = {.number = frame->r[7]};

	memcpy(call.args, frame->r, sizeof(call.args));
	call.args[0] = frame->first;
	return call;
}

void host_user_syscall_result(struct hal_frame *frame, long result)
{
	frame->r[0] = (uint64_t)result;
}

void host_user_syscall_restart(struct hal_frame *frame, unsigned long number)
{
	frame->pc -= HOST_INSTRUCTION;
	frame->r[0] = frame->first;
	if (number != ~0ul)
		frame->r[7] = number;
}

void host_user_key_rights(unsigned key, unsigned denied)
{
	uint64_t now = keys_get() ^ HOST_KEYS_INITIAL;

	keys_set(((now & ~(3ull << 2 * key)) | (uint64_t)(denied & 3) << 2 * key) ^
		 HOST_KEYS_INITIAL);
}

void host_user_set_tls(struct hal_thread *thread, struct hal_frame *frame, vaddr_t tls)
{
	frame->r[FRAME_TLS] = tls;
}

size_t host_user_dump(const struct hal_frame *f, char *buf, size_t size)
{
	size_t used = (size_t)format(buf, size, "pc %#018lx  status %#lx  cause %#lx\n", f->pc,
				     f->status, f->cause);

	for (int i = 0; i < 16; i++)
		used += (size_t)format(buf + MIN(used, size), size - MIN(used, size),
				       "r%-2d %#018lx%s", i, f->r[i], i % 4 == 3 ? "\n" : "  ");
	return used;
}

/* ---- Access to user memory -------------------------------------------------------------------- */

/* A fault in kernel code at a user address. True: try again. */
static bool fault(vaddr_t va, enum trap_access access, bool present, bool key)
{
	struct hal_frame frame = {.pc = (uint64_t)host_user_copy};
	struct trap trap = {
		.kind = TRAP_PAGE_FAULT,
		.access = access,
		.present = present,
		.key = key,
		.addr = va,
		.ip = frame.pc,
		.frame = &frame,
	};
	bool on = host_irq_save();
	bool again = core_trap(&trap);

	host_irq_save();
	host_irq_restore(on);
	return again;
}

/* The RAM behind a user address, faults answered; null: no access. */
static void *reach(vaddr_t va, enum trap_access access)
{
	for (int i = 0; i < FAULTS_MAX; i++) {
		struct host_translation t = host_tlb_translate(host_self(), va, access, true);
		if (t.ok) {
			void *p = host_ram(t.pa);
			if (!p)
				host_die("user address %#lx leads to %#lx: no RAM", va, t.pa);
			return p;
		}
		if (!fault(va, access, t.present, t.key))
			return nullptr;
	}
	host_die("%d faults at %#lx were \"handled\", and it still faults", FAULTS_MAX, va);
}

static void copy_piece(void *dst, const void *src, size_t size)
{
	uintptr_t both = (uintptr_t)dst | (uintptr_t)src;

	if (size == 8 && (both & 7) == 0)
		__atomic_store_n((uint64_t *)dst,
				 __atomic_load_n((uint64_t *)src, __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
	else if (size == 4 && (both & 3) == 0)
		__atomic_store_n((uint32_t *)dst,
				 __atomic_load_n((uint32_t *)src, __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
	else
		memcpy(dst, src, size);
}

size_t host_user_copy(void *dst, const void *src, size_t size)
{
	bool writes = (vaddr_t)dst < host.geometry.user_end;
	vaddr_t user = writes ? (vaddr_t)dst : (vaddr_t)src;
	char *kernel = writes ? (char *)src : dst;

	while (size > 0) {
		size_t piece = MIN(size, PAGE_SIZE - (user & (PAGE_SIZE - 1)));
		if (host.config.interleave)
			host_point();
		void *p = reach(user, writes ? TRAP_WRITE : TRAP_READ);
		if (!p)
			return size;
		copy_piece(writes ? p : kernel, writes ? kernel : p, piece);
		user += piece;
		kernel += piece;
		size -= piece;
	}
	return 0;
}

enum kerr host_user_cmpxchg32(uint32_t *addr, uint32_t *expected, uint32_t desired)
{
	uint32_t *p = reach((vaddr_t)addr, TRAP_WRITE);

	if (!p)
		return KERR_FAULT;
	__atomic_compare_exchange_n(p, expected, desired, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	return KERR_OK;
}

/* ---- Signals ---------------------------------------------------------------------------------- */

/* What lies on the user stack; the parts that Linux has, in its order. */
struct signal_frame {
	uint8_t info[128];
	uint64_t flags, link;
	struct {
		uint64_t base;
		int32_t flags;
		uint32_t pad;
		uint64_t size;
	} stack;
	uint64_t mask;
	uint64_t fault_addr, fault_code;
	uint64_t r[16], pc, status;
	uint64_t fpu[HOST_FPU_WORDS + 1];
};
/* Frames are laid and taken whatever the keys say. */
static bool frame_copy(void *dst, const void *src, size_t size)
{
	uint64_t before = keys_get();

	keys_set(HOST_KEYS_INITIAL); /* nothing is denied */
	bool good = host_user_copy(dst, src, size) == 0;
	keys_set(before);
	return good;
}

#define OFFSET_CONTEXT offsetof(struct signal_frame, flags)

enum kerr host_user_signal_push(struct hal_frame *frame, const struct hal_signal *signal)
{
	vaddr_t top = signal->stack_top ? signal->stack_top : frame->r[FRAME_SP];
	struct signal_frame s = {
		.stack = {.base = signal->alt_base,
			  .flags = signal->alt_flags,
			  .size = signal->alt_size},
		.mask = signal->mask,
		.fault_addr = signal->fault_addr,
		.fault_code = signal->fault_code,
		.pc = frame->pc,
		.status = frame->status & HOST_STATUS_USER,
	};

	if (top > host.geometry.user_end || top < sizeof(s) + 16)
		return KERR_FAULT;
	vaddr_t at = ALIGN_DOWN(top - sizeof(s), (vaddr_t)16);
	memcpy(s.info, signal->info, sizeof(s.info));
	memcpy(s.r, frame->r, sizeof(s.r));
	memcpy(s.fpu, host_self()->current->fpu, sizeof(s.fpu));
	s.fpu[HOST_FPU_KEYS] = keys_get();
	if (!frame_copy((void *)at, &s, sizeof(s)))
		return KERR_FAULT;
	keys_set(0);
	frame->r[0] = (uint64_t)signal->signo;
	frame->r[1] = signal->siginfo ? at : 0;
	frame->r[2] = signal->siginfo ? at + OFFSET_CONTEXT : 0;
	frame->r[12] = signal->restorer;
	frame->r[FRAME_SP] = at;
	frame->pc = signal->handler;
	return KERR_OK;
}

enum kerr host_user_signal_pop(struct hal_frame *frame, struct hal_signal *out)
{
	vaddr_t at = frame->r[FRAME_SP];
	struct signal_frame s;

	if (at > host.geometry.user_end - sizeof(s) || !frame_copy(&s, (void *)at, sizeof(s)))
		return KERR_FAULT;
	memcpy(frame->r, s.r, sizeof(s.r));
	frame->first = s.r[0];
	frame->pc = s.pc;
	frame->status = HOST_STATUS_MODE | (s.status & HOST_STATUS_USER);
	memcpy(host_self()->current->fpu, s.fpu, sizeof(s.fpu));
	keys_set(s.fpu[HOST_FPU_KEYS]);
	*out = (struct hal_signal){
		.mask = s.mask,
		.alt_base = s.stack.base,
		.alt_size = s.stack.size,
		.alt_flags = s.stack.flags,
	};
	return KERR_OK;
}
