/*
 * Guarded calls (RL-4): a fault in what was called ends the call and not the kernel. guard.c tells what
 * can be contained and what can not. Kernel code that is no module never pays for it.
 */
#pragma once

#include <core/spinlock.h>
#include <hal/upcall.h>
#include <lib/kerr.h>

#define GUARD_LOCKS 8u
#define GUARD_NOTES 8u
#define GUARD_WHY 160u

struct mutex;

/* Any function of at most four integers or pointers: cast it. */
typedef void (*guard_fn)(void);

typedef void (*guard_undo)(void *what, uintptr_t how);

struct guard { /* (own) on the stack of who calls; interrupts of its CPU look at it too */
	struct guard *outer;
	uintptr_t stack; /* what the HAL saved */
	uint32_t preempt_count; /* as at the entry */
	uint32_t ticks; /* of this CPU's time that it has had */
	bool irq_on; /* as at the entry */
	bool masked; /* the callee turned interrupts off: preemption is off, and its timers wait */
	bool ended; /* a fault ended the call */
	uint8_t spin_count, mutex_count, note_count;
	uint16_t lock_count; /* debug: as at the entry */
	struct spinlock *wanted; /* being waited for, preemption off */
	struct spinlock *spins[GUARD_LOCKS];
	struct mutex *mutexes[GUARD_LOCKS];
	struct {
		guard_undo undo;
		void *what;
		uintptr_t how;
	} notes[GUARD_NOTES];
	vaddr_t ip; /* after the end: the innermost address of code that may fail; 0: none is known */
	char why[GUARD_WHY]; /* after the end */
};

/* Calls fn(args[0] ... args[3]); *result gets what it returned (an enum kerr: cast to int). IO: it was ended,
 * g->why says why; interrupts, preemption and locks are as at the entry. Any context. */
enum kerr guard_call(struct guard *g, guard_fn fn, const uintptr_t args[4], long *result);

/* Who knows whether an address is code that may fail: the loader of modules. Set once. */
void guard_register(bool (*is_guarded)(vaddr_t ip));

/* The running guarded call is in something that has to be left: if it is ended, undo(what, how) is called, interrupts
 * off, while its stack is still there. Nothing happens outside of guarded calls, nor if there is no room. */
void guard_note(guard_undo undo, void *what, uintptr_t how);
/* It has left it, or is about to. */
void guard_forget(guard_undo undo, void *what, uintptr_t how);

/* Ends the guarded call that the running thread is in, and does not return; returns if the trap, or the
 * panic that its caller is about to begin, can not be contained. */
void guard_trap(const struct trap *t);
void guard_panic(const char *reason);
/* At the end of an interrupt upon kernel code: ends a call that has had its time. */
void guard_end_at_exit(struct hal_frame *frame);
/* From a timer interrupt, now and then, on each CPU: a call that runs there gets a clock. */
void guard_watch(void);

struct guard_figures {
	uint64_t faults, panics, hangs; /* contained */
	uint64_t escalated; /* not: the kernel stopped, or the call goes on */
};
void guard_figures(struct guard_figures *out);
