/* What the parts of the loader share; load.c tells how it works. */
#pragma once

#include "image.h"

#include <core/wait.h>
#include <module/loader.h>

#define MODULE_NEEDS_MAX 16u

struct loaded_symbol {
	vaddr_t address; /* first: module_sort */
	uint32_t size;
	uint32_t name; /* in symbol_names */
	bool global;
};

struct loaded {
	struct loaded *_Atomic next; /* (modules_lock; readers without it: chain.c) */
	unsigned id; /* (const) */
	char name[MODULE_NAME_SIZE]; /* (const) */
	_Atomic enum module_state state; /* (modules_lock for writing) */
	/* The rest is constant from the time the module is LIVE, but for what init leaves behind. */
	struct module_record *record; /* in its data */
	struct module_memory memory;
	void *core, *init; /* kmap_module_alloc */
	size_t core_size, init_size;
	size_t part_size[PART_COUNT];
	const struct export *const *exports;
	size_t export_count;
	const struct module_param *params;
	size_t param_count;
	struct loaded *needs[MODULE_NEEDS_MAX]; /* modules whose symbols it uses; each referenced */
	unsigned need_count;
	struct loaded_symbol *symbols; /* functions by address; heap */
	char *symbol_names;
	_Atomic size_t symbol_count; /* 0 until they are there */
	_Atomic bool failed; /* a fault in it was contained; not called any more (call.c) */
	_Atomic uint32_t faults;
	unsigned checks; /* (modules_lock) of its health that run now */
};

/* module_load() of an object for a machine that need not be this one (tests). */
enum kerr module_load_for(uint16_t machine, void *file, size_t size, const char *parameters);

/* ---- chain.c ---- */

extern struct mutex modules_lock;
/* modules_lock held. False: the name is taken. */
bool chain_add(struct loaded *l);
void chain_remove(struct loaded *l); /* modules_lock held; free it after a grace period */
struct loaded *chain_find(const char *name); /* modules_lock held */
/* rcu_read_lock held. Whose code that is, also of one that is just starting; null: no module's. */
struct loaded *chain_at(vaddr_t ip);
/* modules_lock held. The address of an exported symbol; *owner null: the kernel's; else it may be leaving. */
bool chain_resolve(const char *name, vaddr_t *value, struct loaded **owner);
/* Fills in l->symbols; NOMEM. */
enum kerr symbols_take(struct loaded *l, const struct module_image *img);
void symbols_drop(struct loaded *l);

/* ---- check.c: what a module's data says, which may be nonsense ---- */

/* NOEXEC: record, parameters or exports lead out of the module. */
enum kerr record_check(struct loaded *l, const struct module_image *img);
/* INVAL: a value that does not fit. */
enum kerr params_set(const struct loaded *l, const char *text);
