/*
 * Loading and unloading modules.
 *
 *   file -> module_image_read   checked, parts laid out                      image.c
 *        -> chain_add           the name is taken; COMING                    chain.c
 *        -> allocate            core (text, constants, data) and init, writable, not executable
 *        -> module_image_write  copied, relocated; needed modules referenced place.c, reloc_*.c
 *        -> record_check        pointers in its data lead into it            check.c
 *        -> params_set
 *        -> protect             text r-x, constants r--, data rw-; every CPU sees the code
 *        -> record->init()
 *        -> LIVE                references are given; the init parts are freed
 *
 * Each step that fails undoes those before it, in unload's own order. What a failing init has done
 * itself it must undo itself.
 *
 * Unloading: users goes from 0 to GOING in one step, so that nobody can get a reference afterwards;
 * exit() unregisters everything; a grace period, because a lookup may still be between finding the
 * module and failing to get a reference; off the chain; another grace period for readers of the chain; then
 * unmapped, flushed everywhere, frames and addresses given back.
 *
 * States: COMING -> LIVE -> LEAVING. A module is never found by name twice, and its id is never used again.
 *
 * Locks: modules_lock (a mutex) for the chain and the states; not held while the module's own
 * functions run, so a module may be slow, and may load another one. A health check that runs is no use of the
 * module, which would refuse to unload, but is waited for (loaded.checks).
 *
 * Memory: two ranges near the image, each part on pages of its own. The direct map shows the same
 * frames writable, as it does for all memory but the image's.
 *
 * Rejected: one range with the init parts at its end, cut off later (ranges would need trimming);
 * loading with the rights of a file's signature (no keys here); forcing what does not fit.
 */
#include "private.h"

#include <core/cpu.h>
#include <core/init.h>
#include <core/log.h>
#include <core/rcu.h>
#include <core/time.h>
#include <core/wait.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <mm/kmap.h>
#include <module/abi.h>
#include <module/call.h>

/* ---- Memory -------------------------------------------------------------------------------- */

static enum kerr memory_get(struct loaded *l, const struct module_image *img)
{
	for (unsigned p = 0; p < PART_COUNT; p++) {
		l->part_size[p] = img->part_size[p];
		*(p < PART_FIRST_INIT ? &l->core_size : &l->init_size) += img->part_size[p];
	}
	l->core = kmap_module_alloc(l->core_size);
	if (!l->core)
		return KERR_NOMEM;
	l->init = l->init_size ? kmap_module_alloc(l->init_size) : nullptr;
	if (l->init_size && !l->init)
		return KERR_NOMEM;
	uint8_t *at = l->core;
	for (unsigned p = 0; p < PART_COUNT; p++) {
		if (p == PART_FIRST_INIT)
			at = l->init;
		l->memory.write[p] = at;
		l->memory.run[p] = (vaddr_t)at;
		at = at ? at + img->part_size[p] : nullptr;
	}
	return KERR_OK;
}

static void see_new_code(void *arg)
{
	/* Taking the interrupt was it: what the CPU fetches from here on is new. */
}

static enum kerr memory_protect(const struct loaded *l)
{
	static const map_flags_t rights[PART_COUNT] = {
		[PART_TEXT] = MAP_KERNEL_CODE,        [PART_RODATA] = MAP_KERNEL_READ,
		[PART_DATA] = MAP_KERNEL_WRITE,       [PART_INIT_TEXT] = MAP_KERNEL_CODE,
		[PART_INIT_RODATA] = MAP_KERNEL_READ, [PART_INIT_DATA] = MAP_KERNEL_WRITE,
	};
	for (unsigned p = 0; p < PART_COUNT; p++) {
		if (!l->part_size[p] || rights[p] == MAP_KERNEL_WRITE)
			continue;
		if (rights[p] == MAP_KERNEL_CODE)
			hal.mmu.code_sync(l->memory.run[p], l->part_size[p]);
		enum kerr err = kmap_module_protect(l->memory.write[p], l->part_size[p], rights[p]);
		if (err != KERR_OK)
			return err;
	}
	cpu_call(cpu_online(), see_new_code, nullptr);
	return KERR_OK;
}

/* ---- Symbols of others ----------------------------------------------------------------------- */

struct loader {
	struct module_resolver resolver;
	struct loaded *l;
};

static enum kerr need(struct loader *loader, struct loaded *owner)
{
	struct loaded *l = loader->l;

	for (unsigned i = 0; i < l->need_count; i++)
		if (l->needs[i] == owner)
			return KERR_OK;
	if (l->need_count == MODULE_NEEDS_MAX) {
		loader->resolver.complaint = "it needs more than 16 modules";
		return KERR_NOEXEC;
	}
	if (!module_get(&owner->record->module)) {
		loader->resolver.complaint = "a module that it needs is being unloaded";
		return KERR_BUSY;
	}
	l->needs[l->need_count++] = owner;
	return KERR_OK;
}

static enum kerr find_symbol(struct module_resolver *r, const char *name, vaddr_t *value)
{
	struct loader *loader = container_of(r, struct loader, resolver);
	struct loaded *owner;

	if (!chain_resolve(name, value, &owner))
		return KERR_NOENT;
	return owner ? need(loader, owner) : KERR_OK;
}

static enum kerr link_in(struct loaded *l, const struct module_image *img)
{
	struct loader loader = {.resolver.find = find_symbol, .l = l};
	mutex_lock(&modules_lock);
	enum kerr err = module_image_write(img, &l->memory, &loader.resolver);
	mutex_unlock(&modules_lock);
	if (err == KERR_NOENT)
		log_error("module %s: unknown symbol %s", l->name, loader.resolver.missing);
	else if (loader.resolver.complaint)
		log_error("module %s: %s", l->name, loader.resolver.complaint);
	return err;
}

/* ---- Loading --------------------------------------------------------------------------------- */

/* Takes everything back that loading gave it; nobody refers to it any more. */
static void discard(struct loaded *l)
{
	mutex_lock(&modules_lock);
	chain_remove(l);
	mutex_unlock(&modules_lock);
	/* Only now: who looks at the chain follows `needs`. */
	for (unsigned i = 0; i < l->need_count; i++)
		module_put(&l->needs[i]->record->module);
	rcu_synchronize();
	kmap_module_free(l->init);
	kmap_module_free(l->core);
	symbols_drop(l);
	heap_free(l);
}

static enum kerr prepare(struct loaded *l, const struct module_image *img, const char *parameters)
{
	enum kerr err = memory_get(l, img);
	if (err == KERR_OK)
		err = link_in(l, img);
	if (err == KERR_OK)
		err = record_check(l, img);
	if (err == KERR_OK)
		err = params_set(l, parameters);
	if (err == KERR_OK)
		err = symbols_take(l, img);
	return err == KERR_OK ? memory_protect(l) : err;
}

static enum kerr start(struct loaded *l)
{
	struct module_record *record = l->record;
	long result = KERR_OK;
	enum kerr err = record->init ? module_call_long(&record->module, MODULE_FN(record->init),
							(const uintptr_t[4]){}, &result)
				     : KERR_OK;
	if (err != KERR_OK)
		atomic_store(&l->failed, true); /* ended: also if it was in another one's code */
	else
		err = (enum kerr)(int)result;
	if (err != KERR_OK) {
		log_error("module %s: init failed: %s", l->name, kerr_name(err));
		return err;
	}
	mutex_lock(&modules_lock);
	void *init = l->init;
	l->init = nullptr;
	l->init_size = 0;
	atomic_store(&l->state, MODULE_LIVE);
	atomic_store_explicit(&record->module.users, 0, memory_order_release);
	mutex_unlock(&modules_lock);
	kmap_module_free(init);
	return KERR_OK;
}

static enum kerr claim_name(struct loaded *l)
{
	static unsigned ids; /* (modules_lock) */
	mutex_lock(&modules_lock);
	l->id = ids + 1;
	bool ok = chain_add(l);
	ids += ok;
	mutex_unlock(&modules_lock);
	if (!ok)
		log_error("module %s: there is one of that name", l->name);
	return ok ? KERR_OK : KERR_EXIST;
}

static enum kerr load_image(const struct module_image *img, const char *parameters)
{
	const char *magic = module_image_info(img, "vermagic");
	if (!magic || strcmp(magic, MODULE_VERMAGIC) != 0) {
		log_error("module %s: it is for \"%.60s\", this kernel is \"%s\"", img->name,
			  magic ? magic : "?", MODULE_VERMAGIC);
		return KERR_NOEXEC;
	}
	struct loaded *l = heap_alloc_zeroed(sizeof(*l));
	if (!l)
		return KERR_NOMEM;
	strlcpy(l->name, img->name, sizeof(l->name));
	atomic_init(&l->state, MODULE_COMING);
	enum kerr err = claim_name(l);
	if (err != KERR_OK) {
		heap_free(l);
		return err;
	}
	err = prepare(l, img, parameters);
	if (err == KERR_OK)
		err = start(l);
	if (err != KERR_OK && !atomic_load(&l->failed))
		discard(l); /* a crashed init may have registered what leads into it: then it stays */
	return err;
}

enum kerr module_load(void *file, size_t size, const char *parameters)
{
	return module_load_for(hal.user.info()->elf_machine, file, size, parameters);
}

enum kerr module_load_for(uint16_t machine, void *file, size_t size, const char *parameters)
{
	struct module_image img;
	enum kerr err = module_image_read(&img, file, size, machine);
	if (err == KERR_NOEXEC)
		log_error("module: %s", img.complaint);
	if (err != KERR_OK)
		return err;
	err = load_image(&img, parameters);
	module_image_end(&img);
	return err;
}

/* ---- Unloading, and who looks at a module's health ------------------------------------------ */

#define CHECK_LIMIT (5 * NSEC_PER_SEC)

static struct waitq checks = WAITQ_INIT(checks);
static _Atomic uint64_t checks_done;

/* *out null: its health is being looked at. */
static enum kerr begin_leaving(const char *name, struct loaded **out)
{
	enum kerr err = KERR_OK;
	uint32_t nobody = 0;

	mutex_lock(&modules_lock);
	struct loaded *l = chain_find(name);
	*out = l;
	if (!l)
		err = KERR_NOENT;
	else if (atomic_load(&l->state) != MODULE_LIVE || (l->record->init && !l->record->exit))
		err = KERR_BUSY;
	else if (l->checks)
		*out = nullptr;
	else if (!atomic_compare_exchange_strong(&l->record->module.users, &nobody, MODULE_GOING))
		err = KERR_AGAIN;
	else
		atomic_store(&l->state, MODULE_LEAVING);
	mutex_unlock(&modules_lock);
	return err;
}

enum kerr module_unload(const char *name)
{
	nsec_t limit = time_now() + CHECK_LIMIT;
	struct loaded *l;
	enum kerr err;

	do {
		uint64_t seen = atomic_load(&checks_done);
		err = begin_leaving(name, &l);
		if (err == KERR_OK && !l)
			err = wait_until(&checks, atomic_load(&checks_done) != seen, WAIT_OTHER,
					 true, limit);
	} while (err == KERR_OK && !l);
	if (err != KERR_OK)
		return err == KERR_TIMEDOUT ? KERR_AGAIN : err;
	if (l->record->exit &&
	    module_call_last(&l->record->module, MODULE_FN(l->record->exit), 0) != KERR_OK)
		return KERR_IO; /* what it had registered may still lead into it: it stays */
	rcu_synchronize();
	discard(l);
	return KERR_OK;
}

bool module_isolate(const char *name)
{
	mutex_lock(&modules_lock);
	struct loaded *l = chain_find(name);
	if (l)
		atomic_store_explicit(&l->failed, true, memory_order_release);
	mutex_unlock(&modules_lock);
	return l;
}

enum kerr module_health(const char *name)
{
	mutex_lock(&modules_lock);
	struct loaded *l = chain_find(name);
	bool live = l && atomic_load(&l->state) == MODULE_LIVE;
	if (live)
		l->checks++;
	mutex_unlock(&modules_lock);
	if (!live)
		return KERR_NOENT;
	enum kerr err = l->record->health ? module_call(&l->record->module,
							MODULE_FN(l->record->health), 0, 0, 0, 0)
					  : KERR_OPNOTSUPP;
	mutex_lock(&modules_lock);
	l->checks--;
	mutex_unlock(&modules_lock);
	atomic_fetch_add(&checks_done, 1);
	wake_all(&checks);
	return err;
}
