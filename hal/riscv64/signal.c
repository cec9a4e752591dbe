/*
 * Signal frames, in Linux's RISC-V layout:
 *
 *   sp -> siginfo                     128 bytes
 *         uc_flags, uc_link           16
 *         uc_stack                    24
 *         uc_sigmask                  8, then 120 unused
 *         (8 bytes: sigcontext is 16-byte aligned)
 *         pc, x1 to x31               256: the first words of struct hal_frame
 *         f0 to f31, fcsr, padding    516 of the floating-point union
 *         reserved, END header        12: no more extensions (the vector unit's would follow)
 *
 * The handler gets a0 = signal, a1 = siginfo, a2 = ucontext, ra = the restorer. Only user registers
 * are in the frame, so nothing that comes back needs a check but the addresses of the frame.
 * The frame is written in pieces from where the data is: no kilobyte on the kernel stack.
 */
#include "riscv64.h"

#include <lib/string.h>

struct ucontext_head {
	uint64_t flags, link;
	uint64_t stack_base;
	int32_t stack_flags, stack_padding;
	uint64_t stack_size;
	uint64_t mask;
};

struct sigcontext_end {
	uint32_t reserved;
	uint32_t magic, size; /* of the first extension header; 0, 0: the end */
};

/* Only its offsets are used. */
struct signal_frame {
	uint8_t info[128];
	struct ucontext_head head;
	uint8_t unused[120];
	alignas(16) uint64_t regs[32];
	union {
		struct {
			uint64_t f[32];
			uint32_t fcsr;
		};
		struct {
			uint8_t padding[516];
			struct sigcontext_end end;
		};
	} fp;
};

static_assert(offsetof(struct signal_frame, head.mask) == 128 + 40);
static_assert(offsetof(struct signal_frame, regs) == 128 + 176);
static_assert(offsetof(struct signal_frame, fp.end) == 128 + 176 + 256 + 516);
static_assert(sizeof(struct signal_frame) == 1088);

#define FP_SIZE (offsetof(struct fpu_area, fcsr) + sizeof(uint32_t))
#define REGS_SIZE (32 * sizeof(uint64_t))

size_t riscv_signal_frame_size(void)
{
	return sizeof(struct signal_frame);
}

static bool frame_inside_user(vaddr_t at)
{
	vaddr_t end = riscv_mmu_geometry()->user_end;
	return at < end && end - at >= sizeof(struct signal_frame);
}

/* Where the frame goes; false: there is no room for it. */
static bool frame_place(const struct hal_frame *frame, const struct hal_signal *signal,
			vaddr_t *out)
{
	vaddr_t sp = signal->stack_top ? signal->stack_top : frame->x[REG_SP];
	vaddr_t at = (sp - sizeof(struct signal_frame)) & ~(vaddr_t)15;
	bool on_alternate = sp > signal->alt_base && sp - signal->alt_base <= signal->alt_size;
	if (sp < sizeof(struct signal_frame) || (on_alternate && at < signal->alt_base))
		return false;
	*out = at;
	return frame_inside_user(at);
}

static bool copied(void *dst, const void *src, size_t size)
{
	return riscv_user_copy(dst, src, size) == 0;
}

enum kerr riscv_user_signal_push(struct hal_frame *frame, const struct hal_signal *signal)
{
	static const struct sigcontext_end end;
	static const struct fpu_area no_fpu;
	vaddr_t at;
	if (!frame_place(frame, signal, &at))
		return KERR_FAULT;
	struct signal_frame *user = (struct signal_frame *)at;
	const struct ucontext_head head = {
		.stack_base = signal->alt_base,
		.stack_flags = signal->alt_flags,
		.stack_size = signal->alt_size,
		.mask = signal->mask,
	};
	const struct hal_thread *thread = riscv_cpu_current();
	const struct fpu_area *fpu = thread->fpu ? thread->fpu : &no_fpu;
	if (!copied(user->info, signal->info, sizeof(user->info)) ||
	    !copied(&user->head, &head, sizeof(head)) || !copied(user->regs, frame->x, REGS_SIZE) ||
	    !copied(&user->fp, fpu, FP_SIZE) || !copied(&user->fp.end, &end, sizeof(end)))
		return KERR_FAULT;
	frame->pc = signal->handler;
	frame->x[REG_RA] = signal->restorer;
	frame->x[REG_SP] = at;
	frame->x[REG_A0] = (uint64_t)signal->signo;
	frame->x[REG_A0 + 1] = (uint64_t)user->info;
	frame->x[REG_A0 + 2] = (uint64_t)&user->head;
	return KERR_OK;
}

enum kerr riscv_user_signal_pop(struct hal_frame *frame, struct hal_signal *out)
{
	vaddr_t at = frame->x[REG_SP];
	struct ucontext_head head;
	struct sigcontext_end end;
	if (!frame_inside_user(at))
		return KERR_FAULT;
	const struct signal_frame *user = (const struct signal_frame *)at;
	struct hal_thread *thread = riscv_cpu_current();
	struct fpu_area fpu;
	if (!copied(&head, &user->head, sizeof(head)) ||
	    !copied(&end, &user->fp.end, sizeof(end)) || !copied(&fpu, &user->fp, FP_SIZE) ||
	    end.reserved != 0 || end.magic != 0 || end.size != 0 ||
	    !copied(frame->x, user->regs, REGS_SIZE))
		return KERR_FAULT;
	frame->restore = 1;
	if (thread->fpu)
		memcpy(thread->fpu, &fpu, FP_SIZE);
	out->mask = head.mask;
	out->alt_base = head.stack_base;
	out->alt_flags = head.stack_flags;
	out->alt_size = head.stack_size;
	return KERR_OK;
}
