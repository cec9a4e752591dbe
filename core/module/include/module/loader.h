/*
 * Loading and unloading modules (RL-1), for the system calls and for /proc and /sys. load.c tells the
 * order of things. All of it sleeps.
 */
#pragma once

#include <hal/types.h>
#include <module/module.h>

#define MODULE_FILE_MAX ((size_t)16 << 20)

/* Loads the file in `file` (any alignment; may be scribbled over) with `parameters` as insmod gives
 * them ("a=1 b=x"), and starts it.
 * NOEXEC: not a module for this kernel and machine, or broken (the log says why); EXIST: one of that
 * name is there; NOENT: an unknown symbol; BUSY: what it needs is being unloaded; INVAL: a parameter; NOMEM; or what
 * its init said. */
enum kerr module_load(void *file, size_t size, const char *parameters);
/* IO: its exit crashed, and it stays in the list for good, as does one whose init crashed.
 * NOENT: no such module; AGAIN: in use; BUSY: it is being loaded or unloaded, or has no exit. */
enum kerr module_unload(const char *name);

/* ---- Looking at them ---- */

enum module_state { MODULE_LIVE, MODULE_COMING, MODULE_LEAVING };

struct module_view {
	unsigned id; /* never used twice */
	char name[MODULE_NAME_SIZE];
	char version[32];
	enum module_state state;
	size_t core_size, init_size;
	vaddr_t base;
	uint32_t references;
	size_t user_count;
	bool failed; /* a fault in it was contained (module/call.h) */
	uint32_t faults;
};

/* The newest module that is older than id `before` (UINT_MAX: of all); false: no more. */
bool module_view_before(unsigned before, struct module_view *out);
bool module_view_find(const char *name, struct module_view *out);
bool module_view_get(unsigned id, struct module_view *out);
/* The name of the index-th module that uses `id`; false: no more. */
bool module_user_name(unsigned id, size_t index, char name[MODULE_NAME_SIZE]);
/* Name and value (as text) of its index-th parameter; false: no more. */
bool module_param_text(unsigned id, size_t index, char *name, size_t name_size, char *value,
		       size_t value_size);
/* The index-th function of module `id`, for /proc/kallsyms. */
bool module_symbol(unsigned id, size_t index, char *name, size_t size, vaddr_t *address,
		   bool *global);
/* Asks its health function. OPNOTSUPP: it has none; NOENT. */
enum kerr module_health(const char *name);
/* Marks it as failed: it is not called any more. False: there is none. */
bool module_isolate(const char *name);
