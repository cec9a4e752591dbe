/*
 * Signal frames, exactly as Linux lays them on arm64 (facts of its user ABI): at sp struct
 * rt_sigframe, above it the frame record {x29, x30} of the interrupted code, to which x29 points,
 * so that debuggers and unwinders walk through. In __reserved: FPSIMD, ESR if there was a fault,
 * and an end mark. On return only FPSIMD is looked for; of PSTATE only what user mode may set is
 * taken.
 *
 * Both directions go through one buffer on the kernel stack (the whole frame is 4.7 KiB, but what
 * is used of it lies together at its start) and one copy. Rejected: writing field by field, which
 * pays for each access.
 */
#include "cpu.h"
#include "regs.h"

#include <lib/compiler.h>
#include <lib/string.h>

#define FPSIMD_MAGIC 0x46508001u
#define ESR_MAGIC 0x45535201u
#define RESERVED_SIZE 4096
#define SIGNAL_REGISTERS 31

struct user_stack {
	uint64_t sp;
	int32_t flags, pad;
	uint64_t size;
};

struct record {
	uint32_t magic, size;
};

struct fpsimd_record {
	struct record head;
	uint32_t fpsr, fpcr;
	uint8_t registers[512];
};

struct esr_record {
	struct record head;
	uint64_t esr;
};

/* rt_sigframe without the rest of __reserved; the second half of it varies. */
struct signal_frame {
	uint8_t info[128];
	/* ucontext */
	uint64_t uc_flags, uc_link;
	struct user_stack uc_stack;
	uint64_t uc_sigmask;
	uint8_t sigmask_room[128 - 8];
	uint64_t pad;
	/* sigcontext */
	uint64_t fault_address;
	uint64_t x[SIGNAL_REGISTERS];
	uint64_t sp, pc, pstate;
	uint64_t pad2;
	/* __reserved */
	struct fpsimd_record fpsimd;
	struct esr_record esr;
	struct record end;
};

#define RESERVED_OFFSET offsetof(struct signal_frame, fpsimd)
#define USER_FRAME_SIZE (RESERVED_OFFSET + RESERVED_SIZE)

static_assert(offsetof(struct signal_frame, uc_flags) == 128);
static_assert(offsetof(struct signal_frame, fault_address) == 128 + 176);
static_assert(RESERVED_OFFSET == 128 + 176 + 288);
static_assert(sizeof(struct fpsimd_record) == 528);
static_assert(sizeof(struct signal_frame) == RESERVED_OFFSET + 528 + 16 + 8);

/*
 * The registers come from and go to thread->fpu. FPSR and FPCR lie behind the registers there, where the record
 * has something else: `esr` is written after that, or never.
 */
#define AREA_USED (512 + 8)

static_assert(offsetof(struct signal_frame, esr) ==
	      offsetof(struct signal_frame, fpsimd) + offsetof(struct fpsimd_record, registers) +
		      512);

static void records_fill(struct signal_frame *s, const struct hal_signal *signal)
{
	memcpy(s->fpsimd.registers, cpu_current()->fpu, AREA_USED);
	s->fpsimd.head = (struct record){FPSIMD_MAGIC, sizeof(s->fpsimd)};
	s->fpsimd.fpsr = s->esr.head.magic;
	s->fpsimd.fpcr = s->esr.head.size;
	if (signal->fault_code) {
		s->esr = (struct esr_record){{ESR_MAGIC, sizeof(s->esr)}, signal->fault_code};
		s->end = (struct record){0, 0};
	} else {
		memset(&s->esr, 0, sizeof(s->esr) + sizeof(s->end));
	}
}

static void fpsimd_load(struct signal_frame *s)
{
	s->esr.head = (struct record){s->fpsimd.fpsr, s->fpsimd.fpcr};
	memcpy(cpu_current()->fpu, s->fpsimd.registers, AREA_USED);
}

/* Everything of the frame; `s` may hold anything before. */
static void context_fill(struct signal_frame *s, const struct hal_frame *frame,
			 const struct hal_signal *signal)
{
	memcpy(s->info, signal->info, sizeof(s->info));
	s->uc_flags = 0;
	s->uc_link = 0;
	s->uc_stack = (struct user_stack){signal->alt_base, signal->alt_flags, 0, signal->alt_size};
	s->uc_sigmask = signal->mask;
	memset(s->sigmask_room, 0, sizeof(s->sigmask_room));
	s->pad = 0;
	s->fault_address = signal->fault_addr;
	memcpy(s->x, frame->x, sizeof(s->x));
	s->sp = frame->sp;
	s->pc = frame->pc;
	s->pstate = frame->pstate;
	s->pad2 = 0;
	records_fill(s, signal);
}

/* Whether [start, start + size) lies in user space. */
static bool user_range(vaddr_t start, size_t size)
{
	return start < mmu_geometry_data.user_end && size <= mmu_geometry_data.user_end - start;
}

enum kerr signal_push(struct hal_frame *frame, const struct hal_signal *signal)
{
	struct signal_frame s;
	vaddr_t top = signal->stack_top ? signal->stack_top : frame->sp;
	vaddr_t record = ALIGN_DOWN(top, 16) - 16, base = record - USER_FRAME_SIZE;
	const uint64_t link[2] = {frame->x[29], frame->x[30]};
	if (top < USER_FRAME_SIZE + 64 || !user_range(base, USER_FRAME_SIZE + 16))
		return KERR_FAULT;
	context_fill(&s, frame, signal);
	if (user_copy((void *)base, &s, sizeof(s)) || user_copy((void *)record, link, 16))
		return KERR_FAULT;
	frame->x[0] = (uint64_t)signal->signo;
	if (signal->siginfo) {
		frame->x[1] = base;
		frame->x[2] = base + offsetof(struct signal_frame, uc_flags);
	}
	frame->x[29] = record;
	frame->x[30] = signal->restorer;
	frame->sp = base;
	frame->pc = signal->handler;
	frame->pstate &= PSTATE_NZCV | PSTATE_DIT | PSTATE_SSBS;
	return KERR_OK;
}

/* Finds the FPSIMD record among those of __reserved and reads it. */
static enum kerr fpsimd_read(vaddr_t reserved, struct fpsimd_record *out)
{
	struct record head;
	for (size_t at = 0; at <= RESERVED_SIZE - sizeof(head); at += head.size) {
		if (user_copy(&head, (const void *)(reserved + at), sizeof(head)))
			return KERR_FAULT;
		if (head.magic == FPSIMD_MAGIC && head.size == sizeof(*out) &&
		    at <= RESERVED_SIZE - sizeof(*out))
			return user_copy(out, (const void *)(reserved + at), sizeof(*out))
				       ? KERR_FAULT
				       : KERR_OK;
		if (head.magic == 0 || head.size < sizeof(head) || head.size > RESERVED_SIZE ||
		    (head.size & 15))
			break;
	}
	return KERR_FAULT;
}

enum kerr signal_pop(struct hal_frame *frame, struct hal_signal *out)
{
	struct signal_frame s;
	vaddr_t base = frame->sp;
	if ((base & 15) || !user_range(base, USER_FRAME_SIZE))
		return KERR_FAULT;
	if (user_copy(&s, (const void *)base, RESERVED_OFFSET) ||
	    fpsimd_read(base + RESERVED_OFFSET, &s.fpsimd) != KERR_OK)
		return KERR_FAULT;
	fpsimd_load(&s);
	memcpy(frame->x, s.x, sizeof(s.x));
	frame->sp = s.sp;
	frame->pc = s.pc;
	frame->pstate = s.pstate & (PSTATE_NZCV | PSTATE_DIT | PSTATE_SSBS);
	frame->orig_x0 = s.x[0];
	*out = (struct hal_signal){
		.mask = s.uc_sigmask,
		.alt_base = s.uc_stack.sp,
		.alt_size = s.uc_stack.size,
		.alt_flags = s.uc_stack.flags,
	};
	memcpy(out->info, s.info, sizeof(out->info));
	return KERR_OK;
}
