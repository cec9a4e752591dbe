/*
 * What trap.S calls: tells interrupts, faults and the rest apart and makes the portable
 * struct trap. System calls do not come here.
 */
#include "riscv64.h"

#include "kcfi.h"

#define INTERRUPT_BIT (1ull << 63)
#define STALE_FAULTS_MAX 100

struct fixup {
	uint64_t fault_ip, landing_ip;
};

struct decoded {
	uint8_t kind, access;
};

extern const struct fixup __fixups_start[], __fixups_end[];
void riscv_trap_entry(void);
void riscv_trap_user(struct hal_frame *frame, uint64_t cause);
void riscv_trap_kernel(struct hal_frame *frame, uint64_t cause);
void riscv_trap_stack_fault(struct hal_frame *frame);

/* By scause (Privileged Architecture, table 4.2); what is missing is TRAP_UNKNOWN. */
static const struct decoded causes[] = {
	[0] = {TRAP_ALIGNMENT, TRAP_EXECUTE},
	[1] = {TRAP_BUS_ERROR, TRAP_EXECUTE},
	[2] = {TRAP_ILLEGAL, TRAP_EXECUTE},
	[3] = {TRAP_BREAKPOINT, TRAP_EXECUTE},
	[4] = {TRAP_ALIGNMENT, TRAP_READ},
	[5] = {TRAP_BUS_ERROR, TRAP_READ},
	[6] = {TRAP_ALIGNMENT, TRAP_WRITE},
	[7] = {TRAP_BUS_ERROR, TRAP_WRITE},
	[8 ... 11] = {TRAP_UNKNOWN, TRAP_READ},
	[CAUSE_FETCH_FAULT] = {TRAP_PAGE_FAULT, TRAP_EXECUTE},
	[CAUSE_LOAD_FAULT] = {TRAP_PAGE_FAULT, TRAP_READ},
	[14] = {TRAP_UNKNOWN, TRAP_READ},
	[CAUSE_STORE_FAULT] = {TRAP_PAGE_FAULT, TRAP_WRITE},
};

void riscv_trap_start(void)
{
	csr_write(sscratch, 0); /* in the kernel */
	csr_write(stvec, (uint64_t)riscv_trap_entry);
}

/* `present` is left false: the hardware does not tell, and only the panic page wants to know. */
static struct trap trap_decode(struct hal_frame *frame, uint64_t cause, bool from_user)
{
	struct decoded d = {TRAP_UNKNOWN, TRAP_READ};
	if (cause < ARRAY_SIZE(causes))
		d = causes[cause];
	frame->cause = cause;
	frame->tval = csr_read(stval);
	return (struct trap){
		.kind = (enum trap_kind)d.kind,
		.access = (enum trap_access)d.access,
		.from_user = from_user,
		.addr = frame->tval,
		.ip = frame->pc,
		.code = cause,
		.frame = frame,
	};
}

static void interrupt(struct hal_frame *frame, uint64_t cause, bool from_user)
{
	core_irq_enter();
	switch (cause & ~INTERRUPT_BIT) {
	case CAUSE_INTERRUPT_TIMER:
		riscv_timer_interrupt();
		break;
	case CAUSE_INTERRUPT_SOFT:
		riscv_smp_interrupt();
		break;
	case CAUSE_INTERRUPT_EXTERNAL:
		riscv_irq_external();
		break;
	default:
		break;
	}
	core_irq_exit(frame, from_user);
}

/* The same fault twice in a row: perhaps this CPU remembers that nothing was there (mmu.c).
 * thread->scratch is the last fault, thread->flags how often it has come again. */
static void repetition_check(const struct trap *trap)
{
	struct hal_thread *thread = riscv_cpu_current();
	uintptr_t fault = trap->addr << 2 | trap->access;
	if (unlikely(thread->scratch == fault)) {
		thread->flags++;
		riscv_mmu_forget_all();
		return;
	}
	thread->scratch = fault;
	thread->flags = 0;
}

/* A kernel address that is mapped and all the same faults again and again is not stale. */
static bool kernel_fault_is_stale(const struct trap *trap)
{
	repetition_check(trap);
	return riscv_cpu_current()->flags < STALE_FAULTS_MAX &&
	       riscv_mmu_fault_is_stale(trap->addr, trap->access);
}

void riscv_trap_user(struct hal_frame *frame, uint64_t cause)
{
	if (cause & INTERRUPT_BIT) {
		interrupt(frame, cause, true);
		return;
	}
	struct trap trap = trap_decode(frame, cause, true);
	if (trap.kind == TRAP_PAGE_FAULT)
		repetition_check(&trap);
	/* Whatever it was: with the unit on, what is really illegal comes again. */
	else if (trap.kind == TRAP_ILLEGAL && riscv_cpu_features.fpu &&
		 !(csr_read(sstatus) & SSTATUS_FS))
		trap.kind = TRAP_FPU;
	riscv_cpu_irq_on();
	core_trap(&trap);
	core_return_to_user(frame);
}

/* The landing of a user copy that faulted at `ip`; 0: there is none. */
static uint64_t fixup_find(uint64_t ip)
{
	for (const struct fixup *f = __fixups_start; f < __fixups_end; f++)
		if (f->fault_ip == ip)
			return f->landing_ip;
	return 0;
}

/* The callee of a failed check of an indirect call: some instructions before EBREAK stands
 * `lw t1, -4(register)`. */
static uint64_t kcfi_callee(const struct hal_frame *frame)
{
	const uint16_t *code = (const uint16_t *)frame->pc;
	for (unsigned i = 2; i <= 12; i++) {
		uint32_t word = code[-(int)i] | (uint32_t)code[1 - (int)i] << 16;
		if ((word & 0xfff07fff) == 0xffc02303)
			return frame->x[word >> 15 & 31];
	}
	return 0;
}

void riscv_trap_kernel(struct hal_frame *frame, uint64_t cause)
{
	if (cause & INTERRUPT_BIT) {
		interrupt(frame, cause, false);
		return;
	}
	struct trap trap = trap_decode(frame, cause, false);
	trap.stray = !(frame->status & SSTATUS_SUM); /* which is on in those copies only */
	if (trap.kind == TRAP_PAGE_FAULT && kernel_fault_is_stale(&trap))
		return;
	if (unlikely(trap.kind == TRAP_BREAKPOINT && kcfi_traps_at(trap.ip))) {
		trap.kind = TRAP_CALL_TYPE;
		trap.addr = kcfi_callee(frame);
	}
	bool handled = core_trap(&trap);
	riscv_cpu_irq_off();
	if (handled)
		return;
	uint64_t landing = fixup_find(frame->pc);
	if (landing == 0) {
		trap.present = riscv_mmu_is_mapped(trap.addr);
		core_trap_fatal(&trap);
	}
	frame->pc = landing;
}

/* On the overflow stack, for a page fault close to the kernel stack pointer. Returns if the stack
 * is mapped after all. */
void riscv_trap_stack_fault(struct hal_frame *frame)
{
	struct trap trap = trap_decode(frame, csr_read(scause), false);
	if (kernel_fault_is_stale(&trap))
		return;
	trap.kind = TRAP_STACK_OVERFLOW;
	core_trap_fatal(&trap);
}
