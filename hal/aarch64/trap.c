/*
 * From a saved frame and ESR_EL1 to a portable struct trap (DDI 0487, D19.2.40 for the exception
 * classes and the fault status codes). trap.S calls in; nothing here is reached by system calls.
 */
#include "cpu.h"
#include "regs.h"

#include <hal/upcall.h>
#include <lib/compiler.h>

/* What a failed check of an indirect call runs into: 5 bits for the register that holds the type, 5
 * for the one that holds the callee. */
#define KCFI_BRK 0x8000u

/* Entry points of trap.S. */
void trap_user(struct hal_frame *frame, uint64_t esr, uint64_t far);
void trap_kernel(struct hal_frame *frame, uint64_t esr, uint64_t far);
void trap_serror(struct hal_frame *frame, uint64_t esr, bool from_user);
[[noreturn]] void trap_stack_overflow(struct hal_frame *frame, uint64_t esr, uint64_t far);

/* A place in string.S that may fault, and where it goes on: distances from the fields. */
struct fixup {
	int64_t ip, landing;
};

extern const struct fixup __fixups_start[], __fixups_end[];

/* The fault status code of an abort. */
static void abort_decode(struct trap *t, uint64_t esr)
{
	unsigned status = esr & 0x3f;
	switch (status >> 2) {
	case 1: /* translation fault, levels 0 to 3 */
		t->kind = TRAP_PAGE_FAULT;
		t->present = false;
		return;
	case 2: /* access flag */
	case 3: /* permission */
		t->kind = TRAP_PAGE_FAULT;
		t->present = true;
		return;
	default:
		t->kind = status == 0x21 ? TRAP_ALIGNMENT : TRAP_BUS_ERROR;
		return;
	}
}

static enum trap_kind kind_decode(unsigned class)
{
	switch (class) {
	case EC_PC_ALIGNMENT:
	case EC_SP_ALIGNMENT:
		return TRAP_ALIGNMENT;
	case EC_FPU_OFF: /* CPACR_EL1.FPEN: nothing else has this class */
		return TRAP_FPU;
	case EC_FLOATING_POINT:
		return TRAP_FLOATING_POINT;
	case EC_BREAKPOINT_USER:
	case EC_BREAKPOINT:
	case EC_WATCHPOINT_USER:
	case EC_WATCHPOINT:
	case EC_BRK64:
		return TRAP_BREAKPOINT;
	case EC_STEP_USER:
	case EC_STEP:
		return TRAP_SINGLE_STEP;
	case EC_SERROR:
		return TRAP_MACHINE_CHECK;
	default:
		/* Unknown instruction, a trapped register, SVE, SME, BTI, PAC, illegal state: what
		 * a program sees of all of them is an instruction it may not use. */
		return TRAP_ILLEGAL;
	}
}

static void trap_decode(struct trap *t, struct hal_frame *frame, uint64_t esr, uint64_t far,
			bool from_user)
{
	unsigned class = (esr >> ESR_EC_SHIFT) & 0x3f;
	*t = (struct trap){
		.from_user = from_user,
		.ip = frame->pc,
		.code = esr,
		.frame = frame,
	};
	switch (class) {
	case EC_DATA_ABORT_USER:
	case EC_DATA_ABORT:
		t->access = (esr & (ESR_WNR | ESR_CM)) == ESR_WNR ? TRAP_WRITE : TRAP_READ;
		break;
	case EC_INSTRUCTION_ABORT_USER:
	case EC_INSTRUCTION_ABORT:
		t->access = TRAP_EXECUTE;
		break;
	default:
		t->kind = kind_decode(class);
		t->addr = t->kind == TRAP_ALIGNMENT ? far : t->ip;
		return;
	}
	abort_decode(t, esr);
	/* The top byte of a user address is a tag and no part of it (TCR_EL1.TBI0). */
	t->addr = (far & (1ull << 55)) ? far : far & 0x00ffffffffffffffull;
}

void trap_user(struct hal_frame *frame, uint64_t esr, uint64_t far)
{
	struct trap t;
	trap_decode(&t, frame, esr, far, true);
	core_trap(&t);
	core_return_to_user(frame);
}

static bool fixup_apply(struct hal_frame *frame)
{
	for (const struct fixup *f = __fixups_start; f < __fixups_end; f++) {
		if ((vaddr_t)&f->ip + (uint64_t)f->ip != frame->pc)
			continue;
		frame->pc = (vaddr_t)&f->landing + (uint64_t)f->landing;
		return true;
	}
	return false;
}

void trap_kernel(struct hal_frame *frame, uint64_t esr, uint64_t far)
{
	struct trap t;
	trap_decode(&t, frame, esr, far, false);
	t.stray =
		cpu_has_pan && (frame->pstate & PSTATE_PAN); /* which is off in those copies only */
	unsigned comment = esr & 0xffff; /* of BRK */
	if (unlikely(t.kind == TRAP_BREAKPOINT && comment >> 10 == KCFI_BRK >> 10)) {
		t.kind = TRAP_CALL_TYPE;
		t.addr = frame->x[(comment & 31) % 31];
	}
	if (!core_trap(&t) && !fixup_apply(frame))
		core_trap_fatal(&t);
}

/* Asynchronous: the frame shows where the CPU happened to be, not what caused it. */
void trap_serror(struct hal_frame *frame, uint64_t esr, bool from_user)
{
	struct trap t;
	trap_decode(&t, frame, esr, 0, from_user);
	t.kind = TRAP_MACHINE_CHECK;
	core_trap_fatal(&t);
}

void trap_stack_overflow(struct hal_frame *frame, uint64_t esr, uint64_t far)
{
	struct trap t;
	trap_decode(&t, frame, esr, far, false);
	t.kind = TRAP_STACK_OVERFLOW;
	t.addr = frame->sp;
	core_trap_fatal(&t);
}
