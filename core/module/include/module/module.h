/*
 * What a loadable module says about itself, and references to it. docs/modules.md shows how to
 * write one; MODULE(...) stands once in one of its sources:
 *
 *	MODULE(hello, .version = "1.0", .init = hello_init, .exit = hello_exit);
 *	MODULE_PARAM_UINT(times, "how often it says hello");
 */
#pragma once

#include <lib/compiler.h>
#include <lib/kerr.h>
#include <stdatomic.h>
#if defined(TERN_MODULE)
#include <module/abi.h>
#endif

#define MODULE_NAME_SIZE 56 /* with its end mark, as in Linux */

/* A loaded module, as whoever keeps an owner sees it. It lies in the module's own data. */
struct module {
	_Atomic uint32_t users; /* references; MODULE_GOING */
	void *loader;           /* (const) the loader's own record */
};

#define MODULE_GOING 0x80000000u /* it is being loaded or unloaded: no new references */

/* What the loader finds in the section .tern_module. All functions may sleep. */
struct module_record {
	struct module module; /* the loader's; first */
	const char *version;
	/* Starts it; on an error nothing of it may be left, and the module is thrown away. */
	enum kerr (*init)(void);
	/* Ends it: nobody uses it any more (module_get). Null: it cannot be unloaded. */
	void (*exit)(void);
	/* Whether it works, for self-healing. Null: not watched. */
	enum kerr (*health)(void);
};

enum module_param_kind { MODULE_PARAM_KIND_BOOL, MODULE_PARAM_KIND_UINT, MODULE_PARAM_KIND_TEXT };

/* A value that `insmod FILE name=value` sets before init runs; section .tern_params. */
struct module_param {
	const char *name;
	void *value; /* bool, uint32_t, char[size] */
	uint32_t kind, size;
};

/* A line of the section .modinfo, which modinfo(8) shows. */
#define MODULE_INFO_NAME_(line) module_info_##line
#define MODULE_INFO_NAME(line) MODULE_INFO_NAME_(line)
#define MODULE_INFO(text)                                                                          \
	KEEP static const char MODULE_INFO_NAME(__COUNTER__)[]                                     \
		__attribute__((section(".modinfo"), aligned(1))) = text

#define MODULE(id, ...)                                                                            \
	MODULE_INFO("name=" #id);                                                                  \
	MODULE_INFO("vermagic=" MODULE_VERMAGIC);                                                  \
	KEEP struct module_record this_record __attribute__((section(".tern_module"))) = {         \
		.module = {MODULE_GOING, nullptr}, __VA_ARGS__}
/* Modules that must be there before this one: "a,b". */
#define MODULE_DEPENDS(names) MODULE_INFO("depends=" names)
#define MODULE_DESCRIPTION(text) MODULE_INFO("description=" text)

#define MODULE_PARAM_ANY(id, kind_, size_, type, text)                                             \
	MODULE_INFO("parm=" #id ":" text " (" type ")");                                           \
	KEEP static const struct module_param module_param_##id                                    \
		__attribute__((section(".tern_params"))) = {#id, (void *)&(id), kind_, size_}
#define MODULE_PARAM_UINT(id, text)                                                                \
	MODULE_PARAM_ANY(id, MODULE_PARAM_KIND_UINT, sizeof(uint32_t), "uint", text)
#define MODULE_PARAM_BOOL(id, text)                                                                \
	MODULE_PARAM_ANY(id, MODULE_PARAM_KIND_BOOL, sizeof(bool), "bool", text)
#define MODULE_PARAM_TEXT(id, text)                                                                \
	MODULE_PARAM_ANY(id, MODULE_PARAM_KIND_TEXT, sizeof(id), "charp", text)

/*
 * References. Who calls into a module from outside (an open file, another module) holds one, and the
 * module cannot be unloaded. A null owner is the kernel itself.
 */

/* False: it is going away (or not there yet). Any context; the caller sees to it that `m` still
 * exists: by a lock under which it would be unregistered, or under rcu. */
static inline bool module_get(struct module *m)
{
	if (likely(!m))
		return true;
	uint32_t n = atomic_load_explicit(&m->users, memory_order_relaxed);
	do {
		if (n & MODULE_GOING)
			return false;
	} while (!atomic_compare_exchange_weak(&m->users, &n, n + 1));
	return true;
}

/* Not from the module's own code, unless the caller holds another reference. */
static inline void module_put(struct module *m)
{
	if (unlikely(m))
		atomic_fetch_sub_explicit(&m->users, 1, memory_order_release);
}

/* The module that a source belongs to, for the `owner` of what it registers; in the kernel itself it
 * is null. */
#if defined(TERN_MODULE)
extern struct module_record this_record;
#define THIS_MODULE (&this_record.module)
#else
#define THIS_MODULE ((struct module *)nullptr)
#endif
