/*
 * Traps. Assembly saves a `struct hal_frame` (each HAL's own), C decodes it to a `struct trap`,
 * and core_trap() (hal/upcall.h) dispatches. System calls take a shorter way: core_syscall().
 */
#pragma once

#include <hal/types.h>

struct hal_frame; /* the saved registers; only the HAL looks inside */

enum trap_kind {
	TRAP_PAGE_FAULT,     /* addr, access, present are valid */
	TRAP_ALIGNMENT,      /* addr valid if the CPU tells it */
	TRAP_BUS_ERROR,      /* addr valid if the CPU tells it */
	TRAP_ILLEGAL,        /* illegal or privileged instruction */
	TRAP_BREAKPOINT,     /* int3, brk, ebreak */
	TRAP_SINGLE_STEP,
	TRAP_DIVIDE,
	TRAP_FLOATING_POINT,
	TRAP_FPU,            /* the unit was used while it is off (hal.cpu.fpu_enable) */
	TRAP_OVERFLOW,       /* x86 into, bound */
	TRAP_PROTECTION,     /* any other protection fault (x86 #GP, #SS, #NP) */
	TRAP_STACK_OVERFLOW, /* the kernel stack's guard page was hit; runs on a stack of its own */
	TRAP_CALL_TYPE, /* kCFI: an indirect call of a function of another type; addr: of which */
	TRAP_MACHINE_CHECK,
	TRAP_UNKNOWN,
};

enum trap_access { TRAP_READ, TRAP_WRITE, TRAP_EXECUTE };

struct trap {
	enum trap_kind kind;
	enum trap_access access;
	bool from_user;
	bool present; /* page fault: an entry was there, its rights did not allow the access */
	bool key; /* page fault: the page's protection key did not allow it */
	bool stray; /* page fault of the kernel at a user address, outside the HAL's copies to and from
		       user memory. (False where the CPU cannot tell: no SMAP, no PAN.) */
	vaddr_t addr; /* the address that faulted */
	vaddr_t ip; /* the instruction */
	uint64_t code; /* vector and error code, ESR, scause: for the panic page and siginfo */
	struct hal_frame *frame;
};
