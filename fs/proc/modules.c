/*
 * What the kernel says of loaded modules, in Linux's forms: /proc/modules, which lsmod and modprobe read,
 * /proc/kallsyms, and /sys/module/NAME. A module is named by its id here, which is never used again,
 * so a file of one that has gone says so.
 */
#include "procfs.h"

#include <core/panic.h>
#include <exec/domain.h>
#include <lib/format.h>
#include <module/loader.h>

static const char *const state_names[] = {"Live", "Loading", "Unloading"};
static const char *const init_states[] = {"live", "coming", "going"};

enum kerr proc_show_modules(struct text *t, const struct proc_subject *s)
{
	struct module_view m = {.id = UINT32_MAX};
	char user[MODULE_NAME_SIZE];

	while (module_view_before(m.id, &m)) {
		text_print(t, "%s %zu %u ", m.name, m.core_size + m.init_size, m.references);
		size_t users = 0;
		while (module_user_name(m.id, users, user)) {
			text_print(t, "%s,", user);
			users++;
		}
		text_print(t, "%s %s 0x%016lx\n", users ? "" : "-", state_names[m.state],
			   process_has_privilege(TERN_CAP_TRACE, LINUX_CAP_SYSLOG)
				   ? (unsigned long)m.base
				   : 0ul);
	}
	return KERR_OK;
}

/* Addresses are for the privileged only. */
static void show_symbol(struct text *t, vaddr_t address, char kind, const char *name)
{
	text_print(t, "%016lx %c %s",
		   process_has_privilege(TERN_CAP_TRACE, LINUX_CAP_SYSLOG) ? (unsigned long)address
									   : 0ul,
		   kind, name);
}

enum kerr proc_show_kallsyms(struct text *t, const struct proc_subject *s)
{
	const char *name;
	vaddr_t address;

	for (size_t i = 0; symbol_get(i, &name, &address); i++) {
		show_symbol(t, address, 'T', name);
		text_print(t, "\n");
	}
	struct module_view m = {.id = UINT32_MAX};
	while (module_view_before(m.id, &m)) {
		char text[128];
		bool global;
		for (size_t i = 0; module_symbol(m.id, i, text, sizeof(text), &address, &global);
		     i++) {
			show_symbol(t, address, global ? 'T' : 't', text);
			text_print(t, "\t[%s]\n", m.name);
		}
	}
	return KERR_OK;
}

/* ---- /sys/module ------------------------------------------------------------------------------- */

static enum kerr seen(const struct proc_subject *s, struct module_view *m)
{
	return module_view_get((unsigned)s->module, m) ? KERR_OK : KERR_NODEV;
}

static enum kerr show_core_size(struct text *t, const struct proc_subject *s)
{
	struct module_view m;
	enum kerr err = seen(s, &m);
	if (err == KERR_OK)
		text_print(t, "%zu\n", m.core_size);
	return err;
}

static enum kerr show_init_size(struct text *t, const struct proc_subject *s)
{
	struct module_view m;
	enum kerr err = seen(s, &m);
	if (err == KERR_OK)
		text_print(t, "%zu\n", m.init_size);
	return err;
}

static enum kerr show_state(struct text *t, const struct proc_subject *s)
{
	struct module_view m;
	enum kerr err = seen(s, &m);
	if (err == KERR_OK)
		text_print(t, "%s\n", init_states[m.state]);
	return err;
}

static enum kerr show_references(struct text *t, const struct proc_subject *s)
{
	struct module_view m;
	enum kerr err = seen(s, &m);
	if (err == KERR_OK)
		text_print(t, "%u\n", m.references);
	return err;
}

static enum kerr show_taint(struct text *t, const struct proc_subject *s)
{
	struct module_view m;
	enum kerr err = seen(s, &m);
	if (err == KERR_OK)
		text_print(t, "\n");
	return err;
}

static enum kerr show_version(struct text *t, const struct proc_subject *s)
{
	struct module_view m;
	enum kerr err = seen(s, &m);
	if (err == KERR_OK)
		text_print(t, "%s\n", m.version);
	return err;
}

/* What its health function says: "ok", an error, or "unwatched". */
static enum kerr show_health(struct text *t, const struct proc_subject *s)
{
	struct module_view m;
	enum kerr err = seen(s, &m);
	if (err != KERR_OK)
		return err;
	enum kerr health = module_health(m.name);
	text_print(t, "%s\n",
		   health == KERR_OK          ? "ok"
		   : health == KERR_OPNOTSUPP ? "unwatched"
					      : kerr_name(health));
	return KERR_OK;
}

#define PARAM_NAME 64
#define PARAM_VALUE 1024

static bool parameter(const struct proc_subject *s, int index, char name[PARAM_NAME],
		      char value[PARAM_VALUE])
{
	return module_param_text((unsigned)s->module, (size_t)index, name, PARAM_NAME, value,
				 PARAM_VALUE);
}

static enum kerr show_parameter(struct text *t, const struct proc_subject *s)
{
	char name[PARAM_NAME], value[PARAM_VALUE];
	if (!parameter(s, s->number, name, value))
		return KERR_NODEV;
	text_print(t, "%s\n", value);
	return KERR_OK;
}

static bool find_parameter(const char *wanted, const struct proc_subject *s,
			   struct proc_subject *out)
{
	char name[PARAM_NAME], value[PARAM_VALUE];
	for (int i = 0; parameter(s, i, name, value); i++) {
		if (strcmp(name, wanted) != 0)
			continue;
		out->number = i;
		return true;
	}
	return false;
}

static bool next_parameter(const struct proc_subject *s, int *after, char *name)
{
	char value[PARAM_VALUE];
	return parameter(s, ++*after, name, value);
}

static const struct proc_entry each_parameter = {
	.name = "PARAMETER", .mode = S_IFREG | 0444, .show = show_parameter};

#define MODULE_FILE(file, how) {.name = file, .mode = S_IFREG | 0444, .show = how}
static const struct proc_entry one_module[] = {
	MODULE_FILE("coresize", show_core_size),
	MODULE_FILE("health", show_health),
	MODULE_FILE("initsize", show_init_size),
	MODULE_FILE("initstate", show_state),
	{.name = "parameters",
	 .mode = S_IFDIR | 0555,
	 .find = find_parameter,
	 .next = next_parameter,
	 .each = &each_parameter},
	MODULE_FILE("refcnt", show_references),
	MODULE_FILE("taint", show_taint),
	MODULE_FILE("version", show_version),
	{},
};

const struct proc_entry proc_each_module = {
	.name = "MODULE", .mode = S_IFDIR | 0555, .children = one_module};

bool proc_module_find(const char *name, const struct proc_subject *s, struct proc_subject *out)
{
	struct module_view m;
	if (!module_view_find(name, &m))
		return false;
	out->module = (int)m.id;
	return true;
}

/* Newest first: ids fall. */
bool proc_module_next(const struct proc_subject *s, int *after, char *name)
{
	struct module_view m;
	if (!module_view_before(*after < 0 ? UINT32_MAX : (unsigned)*after, &m))
		return false;
	*after = (int)m.id;
	strlcpy(name, m.name, PROC_NAME_SIZE);
	return true;
}
