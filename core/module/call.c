/*
 * Guarded calls into modules: which module a fault belongs to, and that it counts as failed afterwards.
 *
 * A failed module is not called again until who heals it has mended it; it stays loaded, and its open files
 * answer with NODEV. Unloading it is possible: its exit is called, guarded.
 */
#include "private.h"

#include <core/log.h>
#include <core/rcu.h>
#include <lib/string.h>
#include <module/call.h>

static void (*told)(struct module *m, const char *name, const char *why) RO_AFTER_INIT;

void module_fault_register(void (*fn)(struct module *m, const char *name, const char *why))
{
	told = fn;
}

static struct loaded *loaded_of(const struct module *m)
{
	return m->loader;
}

bool module_failed(const struct module *m)
{
	return m && atomic_load_explicit(&loaded_of(m)->failed, memory_order_acquire);
}

bool module_mend(struct module *m)
{
	return m && atomic_exchange(&loaded_of(m)->failed, false);
}

void module_fail(struct module *m)
{
	atomic_store_explicit(&loaded_of(m)->failed, true, memory_order_release);
}

/* Marks the module whose code it was: `m` may have called another one, which may be gone as soon as we are not
 * looking. */
static NOINLINE void accuse(struct module *m, const struct guard *g)
{
	char name[MODULE_NAME_SIZE];

	rcu_read_lock();
	struct loaded *l = g->ip ? chain_at(g->ip) : nullptr;
	if (!l)
		l = loaded_of(m);
	atomic_store_explicit(&l->failed, true, memory_order_release);
	atomic_fetch_add_explicit(&l->faults, 1, memory_order_relaxed);
	strlcpy(name, l->name, sizeof(name));
	rcu_read_unlock();
	log_error("module %s: contained, kernel goes on: %s", name, g->why);
	if (told)
		told(m, name, g->why);
}

static enum kerr call(struct module *m, guard_fn fn, const uintptr_t args[4], long *result)
{
	struct guard g;
	enum kerr err = guard_call(&g, fn, args, result);

	if (unlikely(err != KERR_OK))
		accuse(m, &g);
	return err;
}

enum kerr module_call_long(struct module *m, guard_fn fn, const uintptr_t args[4], long *result)
{
	return module_failed(m) ? KERR_NODEV : call(m, fn, args, result);
}

enum kerr module_call(struct module *m, guard_fn fn, uintptr_t a, uintptr_t b, uintptr_t c,
		      uintptr_t d)
{
	long result;
	enum kerr err = module_call_long(m, fn, (const uintptr_t[]){a, b, c, d}, &result);

	return err == KERR_OK ? (enum kerr)(int)result : err;
}

enum kerr module_call_last(struct module *m, guard_fn fn, uintptr_t a)
{
	long result;

	return call(m, fn, (const uintptr_t[]){a, 0, 0, 0}, &result);
}
