/*
 * Exceptions: the vector table, and from a saved frame to a portable `struct trap`.
 *
 * trap.S calls x86_trap_user() or x86_trap_kernel() for vectors below 32, x86_irq_dispatch() for
 * the others and x86_trap_emergency() on the panic stack. Kernel faults that core does not want are
 * looked up in the table .fixups: pairs of addresses (faulting instruction, where to go on), a few
 * tens, searched in order: only a system call with a bad pointer gets here.
 */
#include "cpu.h"
#include "frame.h"
#include "kcfi.h"

#include <hal/upcall.h>

#define STUB_SIZE 16
#define GATE_INTERRUPT 0x8e
#define GATE_DPL3 0x60

/* Intel SDM volume 3, 6.14.1. */
struct idt_gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

struct fixup {
	vaddr_t fault, landing;
};

static struct idt_gate idt[256] ALIGNED(16) RO_AFTER_INIT;

extern const char x86_trap_stubs[];
extern const struct fixup __fixups_start[], __fixups_end[];

void x86_trap_user(struct hal_frame *frame);
void x86_trap_kernel(struct hal_frame *frame);
[[noreturn]] void x86_trap_emergency(struct hal_frame *frame);
void x86_irq_dispatch(struct hal_frame *frame, bool from_user);

/* ---- The table ----------------------------------------------------------------------------- */

void x86_trap_vectors_init(void)
{
	for (unsigned v = 0; v < ARRAY_SIZE(idt); v++) {
		uint64_t stub = (uint64_t)x86_trap_stubs + v * STUB_SIZE;
		idt[v] = (struct idt_gate){
			.offset_low = (uint16_t)stub,
			.selector = SELECTOR_KERNEL_CODE,
			.type = GATE_INTERRUPT | (v == 3 || v == 4 ? GATE_DPL3 : 0),
			.offset_middle = (uint16_t)(stub >> 16),
			.offset_high = (uint32_t)(stub >> 32),
		};
	}
	idt[VECTOR_DOUBLE_FAULT].ist = IST_DOUBLE_FAULT;
	idt[VECTOR_NMI].ist = IST_NMI;
	idt[VECTOR_MACHINE_CHECK].ist = IST_MACHINE_CHECK;
}

void x86_trap_vectors_load(void)
{
	struct x86_table_register idtr = {.limit = sizeof(idt) - 1, .base = (uint64_t)idt};
	asm volatile("lidt %0" ::"m"(idtr.limit), "m"(idtr.base));
}

/* ---- Decoding ------------------------------------------------------------------------------ */

#define FAULT_PRESENT 1u
#define FAULT_WRITE 2u
#define FAULT_USER 4u
#define FAULT_FETCH 16u
#define FAULT_KEY 32u

static const uint8_t kinds[32] = {
	[0] = TRAP_DIVIDE,          [1] = TRAP_SINGLE_STEP,
	[2] = TRAP_UNKNOWN,         [3] = TRAP_BREAKPOINT,
	[4] = TRAP_OVERFLOW,        [5] = TRAP_OVERFLOW,
	[6] = TRAP_ILLEGAL,         [7] = TRAP_FPU,
	[8] = TRAP_UNKNOWN,         [9] = TRAP_UNKNOWN,
	[10] = TRAP_PROTECTION,     [11] = TRAP_PROTECTION,
	[12] = TRAP_PROTECTION,     [13] = TRAP_PROTECTION,
	[14] = TRAP_PAGE_FAULT,     [15] = TRAP_UNKNOWN,
	[16] = TRAP_FLOATING_POINT, [17] = TRAP_ALIGNMENT,
	[18] = TRAP_MACHINE_CHECK,  [19] = TRAP_FLOATING_POINT,
	[20] = TRAP_UNKNOWN,        [21] = TRAP_PROTECTION,
	[22 ... 31] = TRAP_UNKNOWN,
};

static inline void trap_decode(const struct hal_frame *frame, bool from_user, struct trap *t)
{
	t->frame = (struct hal_frame *)frame;
	t->ip = frame->rip;
	t->from_user = from_user;
	t->code = frame->vector << 32 | (frame->error & 0xffffffff);
	t->present = t->key = t->stray = false;
	t->access = TRAP_READ;
	t->addr = 0;
	if (likely(frame->vector == VECTOR_PAGE_FAULT)) {
		t->kind = TRAP_PAGE_FAULT;
		t->addr = x86_read_cr2();
		t->present = frame->error & FAULT_PRESENT;
		t->key = frame->error & FAULT_KEY;
		t->access = frame->error & FAULT_WRITE   ? TRAP_WRITE
			    : frame->error & FAULT_FETCH ? TRAP_EXECUTE
							 : TRAP_READ;
		/* A program's instruction that reached for system memory (a descriptor; QEMU's
		 * IRET also for the stack): giving it the page would not help. */
		if (unlikely(from_user && !(frame->error & FAULT_USER)))
			t->kind = TRAP_PROTECTION;
		return;
	}
	t->kind = (enum trap_kind)kinds[frame->vector & 31];
}

/* Returns with interrupts off and nothing left to do before the return to user mode. */
void x86_trap_user(struct hal_frame *frame)
{
	struct trap t;
	trap_decode(frame, true, &t);
	x86_cpu_irq_on();
	core_trap(&t);
	core_return_to_user(frame);
}

/* The callee of a failed check. What stands before UD2 is `add -4(%register), %r10d` and a `je` of
 * two bytes; r12 needs a byte more. */
static vaddr_t kcfi_callee(const struct hal_frame *f)
{
	const uint64_t registers[16] = {f->rax, f->rcx, f->rdx, f->rbx, f->rsp, f->rbp,
					f->rsi, f->rdi, f->r8,  f->r9,  f->r10, f->r11,
					f->r12, f->r13, f->r14, f->r15};
	const uint8_t *code = (const uint8_t *)f->rip - 6;
	code -= code[1] != 0x03;
	return registers[(code[2] & 7) | (code[0] & 1) << 3];
}

void x86_trap_kernel(struct hal_frame *frame)
{
	struct trap t;
	trap_decode(frame, false, &t);
	/* Only those copies run with AC set. */
	t.stray = x86_features.smap && !(frame->rflags & RFLAGS_AC);
	if (unlikely(t.kind == TRAP_ILLEGAL && kcfi_traps_at(t.ip))) {
		t.kind = TRAP_CALL_TYPE;
		t.addr = kcfi_callee(frame);
	}
	if (likely(core_trap(&t)))
		return;
	for (const struct fixup *f = __fixups_start; f < __fixups_end; f++)
		if (f->fault == frame->rip) {
			frame->rip = f->landing;
			return;
		}
	core_trap_fatal(&t);
}

/*
 * Double fault, NMI, machine check. A fault while the CPU delivered a page fault is a stack that
 * ran into its guard page: CR2 still tells where (SDM volume 3, 6.15, interrupt 8).
 */
void x86_trap_emergency(struct hal_frame *frame)
{
	struct trap t;
	bool from_user = frame->cs & 3;
	trap_decode(frame, from_user, &t);
	if (frame->vector == VECTOR_DOUBLE_FAULT) {
		vaddr_t addr = x86_read_cr2();
		if (!from_user && addr - frame->rsp + PAGE_SIZE < 2 * PAGE_SIZE) {
			t.kind = TRAP_STACK_OVERFLOW;
			t.access = TRAP_WRITE;
			t.addr = addr;
		}
	}
	core_trap_fatal(&t);
}
