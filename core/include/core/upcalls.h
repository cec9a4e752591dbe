/*
 * The one table through which core calls upward (DESIGN, section 1): declared here, defined once,
 * in exec/upcalls.c (host tests define their own). It is const and strong, so a release build
 * calls straight through it.
 */
#pragma once

#include <core/task.h>

/* Why a thread does not run; exec shows it, nothing decides by it. (TH-2) */
enum wait_reason {
	WAIT_IO,
	WAIT_LOCK,
	WAIT_SIGNAL,
	WAIT_FUTEX,
	WAIT_IPC,
	WAIT_MEMORY,
	WAIT_CHILD,
	WAIT_TIMER,
	WAIT_OTHER,
};

struct core_upcalls {
	/* A page fault on a user address, or a kernel one (false: nobody wanted it). From user
	 * mode it is always handled: by a mapping or by a signal. May sleep if !atomic context. */
	bool (*page_fault)(struct trap *trap);
	/* Any other exception from user mode: becomes a signal. */
	void (*exception)(struct trap *trap);
	/* A program used the unit (FPU) while it was off, or a user copy did (false: it may not). From
	 * user mode interrupts are on. May wait for another CPU. */
	bool (*fpu_trap)(struct trap *trap);
	/* A system call; interrupts on. */
	void (*syscall)(struct hal_frame *frame);
	/* Work bits other than RESCHEDULE, before a return to user mode; interrupts on. */
	void (*user_work)(struct hal_frame *frame, uint32_t work);
	/* Gives the CPU to the next thread, which may be the same; somebody asked for it. `interrupt`:
	 * at the end of one that came upon kernel code. Preemption count is 0; interrupts as they
	 * are. */
	void (*reschedule)(bool interrupt);
	/* Sleeps until unpark (KERR_OK), the deadline (KERR_TIMEDOUT), or, if interruptible, a signal (KERR_INTR).
	 * An unpark since the last park makes it return at once. Spurious KERR_OK is allowed:
	 * callers loop on their condition. No spinlock held. */
	enum kerr (*park)(enum wait_reason reason, bool interruptible, nsec_t deadline);
	void (*unpark)(struct task *task); /* any context */
	/* How urgent a task is now, with what is lent to it: PRIORITY_*. */
	unsigned (*priority_of)(const struct task *task);
	/* A mutex's owner runs at least at `priority` until priority_restore. If it waits for a lock itself, it wakes
	 * to lend that on. Both: any context; the task is current, or rcu keeps it. */
	void (*priority_lend)(struct task *owner, unsigned priority);
	void (*priority_restore)(struct task *task);
	/* No frame is left for the current thread, and nothing that could be given up. Sees to it that
	 * some come back, and waits; attempt counts from 0. True: try again; false: give up. May
	 * sleep; no spinlock held. */
	bool (*memory_short)(unsigned attempt);
	/* How many bytes the current process may lock in memory: RLIMIT_MEMLOCK, or UINT64_MAX if
	 * it is privileged. Thread context. */
	uint64_t (*lock_limit)(void);
	/* Runs fn(arg) in a new kernel thread. */
	enum kerr (*spawn)(const char *name, void (*fn)(void *arg), void *arg);
	/* This CPU's idle loop, on its idle task, with interrupts off; called once all is set up. */
	void (*run_idle)(void) __attribute__((noreturn));
};

extern const struct core_upcalls upcalls;
