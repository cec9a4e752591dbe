/*
 * Exceptions of user code: page faults go to mm, and what it cannot answer, like every other
 * exception, becomes a signal with Linux's si_code.
 *
 * A page fault of the kernel itself on a user address is a user copy: answered if it may sleep, else
 * (a spinlock is held, or there is no such page) the HAL's fixup ends the copy. Elsewhere in the
 * kernel it is an error of the kernel's, and ends it. On a kernel address
 * it is right only if this CPU had not seen a new mapping yet.
 */
#include "process_private.h"
#include "sched_private.h"
#include <core/log.h>
#include <exec/fault.h>
#include <mm/memory.h>

#define ILL_ILLOPC 1
#define FPE_INTDIV 1
#define FPE_FLTINV 7
#define SEGV_MAPERR 1
#define SEGV_ACCERR 2
#define BUS_ADRALN 1
#define BUS_ADRERR 2
#define TRAP_BRKPT 1
#define TRAP_TRACE 2

static void signal_fault(const struct trap *trap, int signo, int code, vaddr_t addr)
{
	struct thread *t = current_thread();

	t->fault_addr = trap->addr;
	t->fault_code = trap->code;
	signal_force(signo, code, addr);
}

static NOINLINE void unanswered(const struct trap *trap, enum fault_result result)
{
	switch (result) {
	case FAULT_CONTINUE:
		return;
	case FAULT_MAPERR:
		signal_fault(trap, SIGSEGV, SEGV_MAPERR, trap->addr);
		return;
	case FAULT_ACCERR:
		signal_fault(trap, SIGSEGV, SEGV_ACCERR, trap->addr);
		return;
	case FAULT_BUS:
		signal_fault(trap, SIGBUS, BUS_ADRERR, trap->addr);
		return;
	case FAULT_NO_MEMORY:
		/* Program 1 faults again: it must not end, and others give memory back. */
		if (current_process() == process_init || READ_ONCE(current_process()->exiting))
			return;
		log_warn("out of memory: killed process %d (%s), which found none",
			 current_process()->pid, current_process()->name);
		process_signal(current_process(), SIGKILL);
		return;
	}
}

/* The page is there, its key says no: the program's own affair, and the end of a user copy. */
static NOINLINE bool key_fault(const struct trap *trap, struct aspace *as)
{
	struct thread *t = current_thread();

	if (!trap->from_user)
		return false;
	t->fault_addr = trap->addr;
	t->fault_code = trap->code;
	signal_force_key(trap->addr, aspace_key_at(as, trap->addr));
	return true;
}

bool fault_page(struct trap *trap)
{
	/* The boot's bare tasks have no process, and no business with user memory. */
	if (unlikely(!trap->from_user &&
		     !atomic_load_explicit(&sched_online, memory_order_relaxed)))
		return false;
	struct aspace *as = current_process()->aspace;
	if (unlikely(trap->key))
		return key_fault(trap, as);
	if (likely(trap->from_user)) {
		enum fault_result result = trap->addr < aspace_user_end()
						   ? aspace_fault(as, trap->addr, trap->access)
						   : FAULT_MAPERR;
		if (unlikely(result != FAULT_CONTINUE))
			unanswered(trap, result);
		return true;
	}
	if (trap->addr >= aspace_user_end())
		return mm_kernel_fault(trap);
	if (!as || current_task()->preempt_count || trap->stray || trap->access == TRAP_EXECUTE)
		return false;
	hal.cpu.irq_restore(true);
	enum fault_result result = aspace_fault(as, trap->addr, trap->access);
	(void)hal.cpu.irq_save();
	return result == FAULT_CONTINUE;
}

void fault_exception(struct trap *trap)
{
	switch (trap->kind) {
	case TRAP_ALIGNMENT:
		signal_fault(trap, SIGBUS, BUS_ADRALN, trap->addr);
		return;
	case TRAP_BUS_ERROR:
		signal_fault(trap, SIGBUS, BUS_ADRERR, trap->addr);
		return;
	case TRAP_ILLEGAL:
	case TRAP_UNKNOWN:
		signal_fault(trap, SIGILL, ILL_ILLOPC, trap->ip);
		return;
	case TRAP_BREAKPOINT:
		signal_fault(trap, SIGTRAP, TRAP_BRKPT, trap->ip);
		return;
	case TRAP_SINGLE_STEP:
		signal_fault(trap, SIGTRAP, TRAP_TRACE, trap->ip);
		return;
	case TRAP_DIVIDE:
		signal_fault(trap, SIGFPE, FPE_INTDIV, trap->ip);
		return;
	case TRAP_FLOATING_POINT:
		signal_fault(trap, SIGFPE, FPE_FLTINV, trap->ip);
		return;
	case TRAP_PAGE_FAULT:
	case TRAP_FPU:
	case TRAP_OVERFLOW:
	case TRAP_PROTECTION:
	case TRAP_STACK_OVERFLOW:
	case TRAP_CALL_TYPE:
		signal_fault(trap, SIGSEGV, SI_KERNEL, 0);
		return;
	case TRAP_MACHINE_CHECK:
		log_error("machine check in process %d (%s)", current_process()->pid,
			  current_process()->name);
		signal_fault(trap, SIGBUS, BUS_ADRERR, trap->addr);
		return;
	}
}
