/*
 * User mode: runs the instructions of host/program.h from user memory. One instruction at a time:
 * fetch, decode, execute; an access that faults leaves all registers as they were and becomes a
 * trap, after which the instruction is done again. Interrupts are looked at before each
 * instruction, so an endless loop can be preempted. Every path back here goes through
 * core_return_to_user() or core_syscall(), as on a real CPU.
 */
#include "machine.h"

#include <host/program.h>
#include <lib/string.h>

static_assert(sizeof(struct host_instruction) == HOST_INSTRUCTION);

#define INSTRUCTION_COST 2 /* ns */

struct user_trap {
	enum trap_kind kind;
	enum trap_access access;
	bool present, key;
	vaddr_t addr;
};

/* `size` bytes at `va`, inside one page; false: *t tells why not. */
static bool access(vaddr_t va, void *data, size_t size, enum trap_access how, struct user_trap *t)
{
	struct host_translation where;

	if (va & (size - 1)) {
		*t = (struct user_trap){TRAP_ALIGNMENT, how, false, false, va};
		return false;
	}
	where = host_tlb_translate(host_self(), va, how, true);
	if (!where.ok) {
		*t = (struct user_trap){TRAP_PAGE_FAULT, how, where.present, where.key, va};
		return false;
	}
	char *p = host_ram(where.pa);
	if (!p)
		host_die("user address %#lx leads to %#lx: no RAM", va, where.pa);
	memcpy(how == TRAP_WRITE ? p : data, how == TRAP_WRITE ? data : p, size);
	return true;
}

static bool load(struct hal_frame *f, const struct host_instruction *i, size_t size,
		 struct user_trap *t)
{
	uint64_t value = 0;

	if (!access(f->r[i->b & 15] + (uint64_t)(int64_t)i->imm, &value, size, TRAP_READ, t))
		return false;
	f->r[i->a & 15] = value;
	return true;
}

static bool store(struct hal_frame *f, const struct host_instruction *i, size_t size,
		  struct user_trap *t)
{
	uint64_t value = f->r[i->a & 15];

	return access(f->r[i->b & 15] + (uint64_t)(int64_t)i->imm, &value, size, TRAP_WRITE, t);
}

static bool compare_and_swap(struct hal_frame *f, const struct host_instruction *i,
			     struct user_trap *t)
{
	vaddr_t va = f->r[i->b & 15];
	struct host_translation where = host_tlb_translate(host_self(), va, TRAP_WRITE, true);

	if (!where.ok || (va & 3)) {
		*t = (struct user_trap){va & 3 ? TRAP_ALIGNMENT : TRAP_PAGE_FAULT, TRAP_WRITE,
					where.present, where.key, va};
		return false;
	}
	uint32_t old = (uint32_t)f->r[i->a & 15];
	__atomic_compare_exchange_n((uint32_t *)host_ram(where.pa), &old, (uint32_t)f->r[i->c & 15],
				    false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	f->r[i->a & 15] = old;
	return true;
}

static bool calculate(struct hal_frame *f, const struct host_instruction *i, struct user_trap *t)
{
	uint64_t *a = &f->r[i->a & 15], b = f->r[i->b & 15], c = f->r[i->c & 15];
	uint64_t imm = (uint64_t)(int64_t)i->imm;

	switch (i->op) {
	case OP_LI:
		*a = imm;
		break;
	case OP_LIH:
		*a = (uint32_t)*a | imm << 32;
		break;
	case OP_MOV:
		*a = b;
		break;
	case OP_ADD:
		*a = b + c;
		break;
	case OP_ADDI:
		*a = b + imm;
		break;
	case OP_SUB:
		*a = b - c;
		break;
	case OP_MUL:
		*a = b * c;
		break;
	case OP_AND:
		*a = b & c;
		break;
	case OP_OR:
		*a = b | c;
		break;
	case OP_XOR:
		*a = b ^ c;
		break;
	case OP_FSET:
	case OP_FGET:
		if (!host_self()->fpu_on) {
			*t = (struct user_trap){.kind = TRAP_FPU};
			return false;
		}
		uint64_t *unit = &host_self()->fpu[imm % HOST_FPU_WORDS];
		*(i->op == OP_FSET ? unit : a) = i->op == OP_FSET ? *a : *unit;
		break;
	case OP_DIV:
		if (c == 0) {
			*t = (struct user_trap){.kind = TRAP_DIVIDE};
			return false;
		}
		*a = b / c;
		break;
	default:
		*t = (struct user_trap){.kind = i->op == OP_BREAK ? TRAP_BREAKPOINT : TRAP_ILLEGAL};
		return false;
	}
	return true;
}

/* Where to go on after a jump; false: it is none. */
static bool jump(struct hal_frame *f, const struct host_instruction *i, vaddr_t *next)
{
	uint64_t a = f->r[i->a & 15], b = f->r[i->b & 15];
	vaddr_t to = f->pc + (uint64_t)(int64_t)i->imm * HOST_INSTRUCTION;

	switch (i->op) {
	case OP_JAL:
		f->r[LINK] = f->pc + HOST_INSTRUCTION;
		*next = to;
		return true;
	case OP_JMP:
		*next = to;
		return true;
	case OP_JR:
		*next = a;
		return true;
	case OP_BEQ:
		*next = a == b ? to : *next;
		return true;
	case OP_BNE:
		*next = a != b ? to : *next;
		return true;
	case OP_BLT:
		*next = a < b ? to : *next;
		return true;
	default:
		return false;
	}
}

/* False: a trap, and nothing has changed. */
static bool execute(struct hal_frame *f, const struct host_instruction *i, struct user_trap *t)
{
	vaddr_t next = f->pc + HOST_INSTRUCTION;
	bool done;

	switch (i->op) {
	case OP_LD:
		done = load(f, i, 8, t);
		break;
	case OP_LW:
		done = load(f, i, 4, t);
		break;
	case OP_LB:
		done = load(f, i, 1, t);
		break;
	case OP_ST:
		done = store(f, i, 8, t);
		break;
	case OP_SW:
		done = store(f, i, 4, t);
		break;
	case OP_SB:
		done = store(f, i, 1, t);
		break;
	case OP_CAS:
		done = compare_and_swap(f, i, t);
		break;
	default:
		done = jump(f, i, &next) || calculate(f, i, t);
	}
	if (done)
		f->pc = next;
	return done;
}

static void trap(struct hal_frame *f, const struct user_trap *t)
{
	struct trap trap = {
		.kind = t->kind,
		.access = t->access,
		.from_user = true,
		.present = t->present,
		.key = t->key,
		.addr = t->addr,
		.ip = f->pc,
		.frame = f,
	};

	f->cause = t->kind;
	core_trap(&trap);
	core_return_to_user(f);
}

static void system_call(struct hal_frame *f)
{
	f->pc += HOST_INSTRUCTION;
	f->first = f->r[0];
	core_syscall(f);
	if (host_self()->irq_on)
		host_die("core_syscall returned with interrupts on");
}

static void step(struct hal_frame *f)
{
	struct host_instruction i;
	struct user_trap t;

	if (host_is_simulated())
		host.time += INSTRUCTION_COST;
	if (!access(f->pc, &i, sizeof(i), TRAP_EXECUTE, &t)) {
		trap(f, &t);
	} else if (i.op == OP_SYSCALL) {
		system_call(f);
	} else if (!execute(f, &i, &t)) {
		trap(f, &t);
	}
}

void host_program_run(struct hal_frame *frame)
{
	struct hal_frame *f = (struct hal_frame *)host_self()->current->stack_top - 1;

	if (f != frame)
		memcpy(f, frame, sizeof(*f));
	for (;;) {
		if (!(f->status & HOST_STATUS_MODE))
			host_die("user mode is entered with a frame of kernel mode");
		host_user_point(f);
		host_self()->irq_on = true;
		step(f);
		host_self()->irq_on = false;
	}
}
