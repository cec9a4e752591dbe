/*
 * The loaded modules: one chain, newest first, and what is looked up in it: names, exported symbols,
 * functions by address.
 *
 * Changes and most lookups hold modules_lock. The panic page and backtraces walk the chain without any lock,
 * in any context: a module is complete before `symbol_count` is set, is put in by one store, and once taken
 * out still leads on to the others until a grace period has passed.
 */
#include "private.h"

#include <core/guard.h>
#include <core/init.h>
#include <core/panic.h>
#include <core/rcu.h>
#include <lib/export.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/heap.h>

extern const struct export *const __exports_start[], *const __exports_end[];

struct mutex modules_lock = MUTEX_INIT(modules_lock);
static struct loaded *_Atomic chain;

static struct loaded *next_of(const struct loaded *l)
{
	return atomic_load_explicit(l ? &l->next : &chain, memory_order_acquire);
}

struct loaded *chain_find(const char *name)
{
	struct loaded *l = next_of(nullptr);
	while (l && strcmp(l->name, name) != 0)
		l = next_of(l);
	return l;
}

bool chain_add(struct loaded *l)
{
	if (chain_find(l->name))
		return false;
	atomic_init(&l->next, next_of(nullptr));
	atomic_store_explicit(&chain, l, memory_order_release);
	return true;
}

void chain_remove(struct loaded *l)
{
	struct loaded *_Atomic *at = &chain;
	while (atomic_load(at) != l)
		at = &atomic_load(at)->next;
	atomic_store_explicit(at, next_of(l), memory_order_release);
}

/* ---- Exported symbols ------------------------------------------------------------------------ */

static const struct export *export_in(const struct export *const *from, size_t count,
				      const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(from[i]->name, name) == 0)
			return from[i];
	return nullptr;
}

bool chain_resolve(const char *name, vaddr_t *value, struct loaded **owner)
{
	const struct export *e =
		export_in(__exports_start, (size_t)(__exports_end - __exports_start), name);
	*owner = nullptr;
	for (struct loaded *l = next_of(nullptr); !e && l; l = next_of(l)) {
		if (atomic_load(&l->state) == MODULE_COMING)
			continue; /* what it says is not checked yet */
		e = export_in(l->exports, l->export_count, name);
		*owner = e ? l : nullptr;
	}
	if (e)
		*value = (vaddr_t)e->address;
	return e;
}

/* ---- Functions by address -------------------------------------------------------------------- */

static bool is_function(const struct loaded *l, const struct module_image *img, size_t i,
			struct loaded_symbol *out)
{
	const struct elf_symbol *s = &img->symbols[i];
	vaddr_t at;
	if ((s->info & 15) != STT_FUNC || !module_symbol_run(img, &l->memory, i, &at) ||
	    img->places[s->section].part != PART_TEXT)
		return false;
	*out = (struct loaded_symbol){at, (uint32_t)s->size, s->name, s->info >> 4 != STB_LOCAL};
	return true;
}

enum kerr symbols_take(struct loaded *l, const struct module_image *img)
{
	struct loaded_symbol one;
	size_t count = 0, done = 0, text = 0;

	for (size_t i = 1; i < img->symbol_count; i++)
		if (is_function(l, img, i, &one)) {
			count++;
			text += strlen(img->strings + one.name) + 1;
		}
	if (count == 0)
		return KERR_OK;
	l->symbols = heap_alloc(count * sizeof(*l->symbols));
	l->symbol_names = heap_alloc(text);
	if (!l->symbols || !l->symbol_names)
		return KERR_NOMEM;
	text = 0;
	for (size_t i = 1; i < img->symbol_count; i++) {
		if (!is_function(l, img, i, &one))
			continue;
		size_t size = strlen(img->strings + one.name) + 1;
		memcpy(l->symbol_names + text, img->strings + one.name, size);
		one.name = (uint32_t)text;
		text += size;
		l->symbols[done++] = one;
	}
	module_sort(l->symbols, count, sizeof(*l->symbols)); /* by address */
	atomic_store_explicit(&l->symbol_count, count, memory_order_release);
	return KERR_OK;
}

void symbols_drop(struct loaded *l)
{
	heap_free(l->symbols);
	heap_free(l->symbol_names);
}

static size_t format_address(vaddr_t address, char *buf, size_t size)
{
	size_t length = 0;

	rcu_read_lock();
	for (struct loaded *l = next_of(nullptr); l && !length; l = next_of(l)) {
		size_t count = atomic_load_explicit(&l->symbol_count, memory_order_acquire);
		if (count == 0 || address - l->memory.run[PART_TEXT] >= l->part_size[PART_TEXT])
			continue;
		while (count > 0 && l->symbols[count - 1].address > address)
			count--;
		if (count == 0)
			continue;
		const struct loaded_symbol *s = &l->symbols[count - 1];
		length = (size_t)format(buf, size, "%s+%#lx/%#x [%s]", l->symbol_names + s->name,
					(unsigned long)(address - s->address), s->size, l->name);
	}
	rcu_read_unlock();
	return length;
}

static bool has_code(const struct loaded *l, vaddr_t ip)
{
	return (l->memory.run[PART_TEXT] &&
		ip - l->memory.run[PART_TEXT] < l->part_size[PART_TEXT]) ||
	       (l->init && ip - l->memory.run[PART_INIT_TEXT] < l->part_size[PART_INIT_TEXT]);
}

struct loaded *chain_at(vaddr_t ip)
{
	struct loaded *l = next_of(nullptr);

	while (l && !has_code(l, ip))
		l = next_of(l);
	return l;
}

/* Any context. */
static bool is_module_code(vaddr_t ip)
{
	rcu_read_lock();
	bool found = chain_at(ip);
	rcu_read_unlock();
	return found;
}

static enum kerr modules_init(const struct boot_info *info)
{
	symbols_register(format_address);
	guard_register(is_module_code);
	return KERR_OK;
}

static const struct init_ops modules_ops = {.init = modules_init};
INIT_SUBSYSTEM(modules, .phase = INIT_CORE, .priority = 90, .requires = INIT_MEMORY,
	       .provides = INIT_MODULES, .ops = &modules_ops);

/* ---- Views ----------------------------------------------------------------------------------- */

static void view(const struct loaded *l, struct module_view *out)
{
	*out = (struct module_view){
		.id = l->id,
		.state = atomic_load(&l->state),
		.core_size = l->core_size,
		.init_size = l->init_size,
		.base = (vaddr_t)l->core,
		.failed = atomic_load(&l->failed),
		.faults = atomic_load(&l->faults),
	};
	strlcpy(out->name, l->name, sizeof(out->name));
	if (out->state == MODULE_COMING)
		return;
	strlcpy(out->version, l->record->version ? l->record->version : "", sizeof(out->version));
	out->references = atomic_load(&l->record->module.users) & ~MODULE_GOING;
}

static bool uses(const struct loaded *l, unsigned id)
{
	for (unsigned i = 0; i < l->need_count; i++)
		if (l->needs[i]->id == id)
			return true;
	return false;
}

static const struct loaded *by_id(unsigned id)
{
	const struct loaded *l = next_of(nullptr);
	while (l && l->id != id)
		l = next_of(l);
	return l;
}

bool module_view_before(unsigned before, struct module_view *out)
{
	mutex_lock(&modules_lock);
	const struct loaded *l = next_of(nullptr);
	while (l && l->id >= before)
		l = next_of(l);
	if (l)
		view(l, out);
	mutex_unlock(&modules_lock);
	return l;
}

bool module_view_find(const char *name, struct module_view *out)
{
	mutex_lock(&modules_lock);
	const struct loaded *l = chain_find(name);
	if (l)
		view(l, out);
	mutex_unlock(&modules_lock);
	return l;
}

bool module_view_get(unsigned id, struct module_view *out)
{
	mutex_lock(&modules_lock);
	const struct loaded *l = by_id(id);
	if (l)
		view(l, out);
	mutex_unlock(&modules_lock);
	return l;
}

bool module_user_name(unsigned id, size_t index, char name[MODULE_NAME_SIZE])
{
	bool found = false;
	mutex_lock(&modules_lock);
	for (const struct loaded *l = next_of(nullptr); l && !found; l = next_of(l)) {
		if (!uses(l, id) || index-- > 0)
			continue;
		strlcpy(name, l->name, MODULE_NAME_SIZE);
		found = true;
	}
	mutex_unlock(&modules_lock);
	return found;
}

static void param_format(const struct module_param *p, char *value, size_t size)
{
	if (p->kind == MODULE_PARAM_KIND_BOOL)
		strlcpy(value, *(const uint8_t *)p->value ? "Y" : "N", size);
	else if (p->kind == MODULE_PARAM_KIND_UINT)
		format(value, size, "%u", READ_ONCE(*(const uint32_t *)p->value));
	else
		format(value, size, "%.*s", (int)p->size, (const char *)p->value);
}

bool module_param_text(unsigned id, size_t index, char *name, size_t name_size, char *value,
		       size_t value_size)
{
	bool found = false;
	mutex_lock(&modules_lock);
	const struct loaded *l = by_id(id);
	if (l && atomic_load(&l->state) == MODULE_LIVE && index < l->param_count) {
		strlcpy(name, l->params[index].name, name_size);
		param_format(&l->params[index], value, value_size);
		found = true;
	}
	mutex_unlock(&modules_lock);
	return found;
}

bool module_symbol(unsigned id, size_t index, char *name, size_t size, vaddr_t *address,
		   bool *global)
{
	bool found = false;
	mutex_lock(&modules_lock);
	const struct loaded *l = by_id(id);
	if (l && index < atomic_load(&l->symbol_count)) {
		strlcpy(name, l->symbol_names + l->symbols[index].name, size);
		*address = l->symbols[index].address;
		*global = l->symbols[index].global;
		found = true;
	}
	mutex_unlock(&modules_lock);
	return found;
}
