/*
 * Calling into a module so that a fault in it ends the call and not the kernel (RL-4; core/guard.h). A null
 * module is the kernel itself, which its callers call without this.
 */
#pragma once

#include <core/guard.h>
#include <core/time.h>
#include <module/module.h>

#define MODULE_ARG(x) ((uintptr_t)(x))
#define MODULE_FN(fn) ((guard_fn)(fn))

/* An operation of `m` that gives an enum kerr, with at most four integers or pointers. IO: a fault ended it, and the
 * module whose code it was is failed, which is `m` or one that `m` called; NODEV: `m` had failed before, and was not
 * called. `m` is referenced or just being loaded. */
enum kerr module_call(struct module *m, guard_fn fn, uintptr_t a, uintptr_t b, uintptr_t c,
		      uintptr_t d);
/* The same for one that gives any number, in *result. */
enum kerr module_call_long(struct module *m, guard_fn fn, const uintptr_t args[4], long *result);
/* The same for clearing up: also called if the module has failed. */
enum kerr module_call_last(struct module *m, guard_fn fn, uintptr_t a);

/* A timer of a module: `fn` in interrupt context, guarded but for hangs. timer_set and timer_cancel take &t->timer. */
struct module_timer {
	struct timer timer;
	struct module *owner; /* (const) */
	void (*fn)(struct module_timer *t); /* (const) */
};
void module_timer_init(struct module_timer *t, struct module *owner,
		       void (*fn)(struct module_timer *t));

bool module_failed(const struct module *m);
/* It may be called again: nobody comes to what it had when it failed any more. True: it had failed. */
bool module_mend(struct module *m);
/* It is not called any more. */
void module_fail(struct module *m);
/* Told of each fault, in the thread that had it: who called `m`, and the name of the module that failed. Set once. */
void module_fault_register(void (*told)(struct module *m, const char *name, const char *why));
