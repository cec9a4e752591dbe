/*
 * What a module's own data says about it, after relocation: its record, parameters, exports. All of it is
 * pointers, and a broken file may make them lead anywhere; what the loader itself follows must lie
 * in the module. Then the parameters that insmod gave.
 *
 * Parameters: "name=value name=value", blanks between, "double quotes" around a value with blanks. A bare name
 * is a bool that is set. A name that the module does not have is reported and left out, as in Linux.
 */
#include "private.h"

#include <core/log.h>
#include <lib/export.h>
#include <lib/string.h>

static bool in_part(const struct loaded *l, enum module_part part, const void *at, size_t size)
{
	vaddr_t offset = (vaddr_t)at - l->memory.run[part];
	return offset <= l->part_size[part] && size <= l->part_size[part] - offset;
}

static bool is_code(const struct loaded *l, const void *at)
{
	return in_part(l, PART_TEXT, at, 1);
}

static bool is_data(const struct loaded *l, const void *at, size_t size)
{
	return in_part(l, PART_RODATA, at, size) || in_part(l, PART_DATA, at, size);
}

/* A name that ends inside the module. */
static bool is_text(const struct loaded *l, const char *text)
{
	for (unsigned part = PART_RODATA; part <= PART_DATA; part++) {
		if (!in_part(l, part, text, 1))
			continue;
		size_t room = l->part_size[part] - ((vaddr_t)text - l->memory.run[part]);
		size_t limit = MIN(room, (size_t)MODULE_SYMBOL_MAX + 1);
		return strnlen(text, limit) < limit;
	}
	return false;
}

static bool params_ok(const struct loaded *l)
{
	static const uint32_t sizes[] = {[MODULE_PARAM_KIND_BOOL] = sizeof(bool),
					 [MODULE_PARAM_KIND_UINT] = sizeof(uint32_t)};
	for (size_t i = 0; i < l->param_count; i++) {
		const struct module_param *p = &l->params[i];
		if (!is_text(l, p->name) || p->kind > MODULE_PARAM_KIND_TEXT || p->size == 0 ||
		    !in_part(l, PART_DATA, p->value, p->size))
			return false;
		if (p->kind != MODULE_PARAM_KIND_TEXT &&
		    (p->size != sizes[p->kind] || !IS_ALIGNED((vaddr_t)p->value, p->size)))
			return false;
	}
	return true;
}

static bool exports_ok(const struct loaded *l)
{
	for (size_t i = 0; i < l->export_count; i++) {
		const struct export *e = l->exports[i];
		if (!IS_ALIGNED((vaddr_t)e, alignof(struct export)) || !is_data(l, e, sizeof(*e)) ||
		    !is_text(l, e->name) || !(is_code(l, e->address) || is_data(l, e->address, 1)))
			return false;
	}
	return true;
}

enum kerr record_check(struct loaded *l, const struct module_image *img)
{
	struct module_record *r = module_section_write(img, &l->memory, img->record);
	bool init_ok = !r->init || is_code(l, (const void *)r->init) ||
		       in_part(l, PART_INIT_TEXT, (const void *)r->init, 1);
	bool ok = init_ok && (!r->exit || is_code(l, (const void *)r->exit)) &&
		  (!r->health || is_code(l, (const void *)r->health)) &&
		  (!r->version || is_text(l, r->version));
	if (img->params) {
		l->params = module_section_write(img, &l->memory, img->params);
		l->param_count = img->sections[img->params].size / sizeof(*l->params);
	}
	if (img->exports) {
		l->exports = module_section_write(img, &l->memory, img->exports);
		l->export_count = img->sections[img->exports].size / sizeof(*l->exports);
	}
	if (!ok || !params_ok(l) || !exports_ok(l)) {
		log_error("module %s: its record leads out of it", l->name);
		l->export_count = l->param_count = 0;
		return KERR_NOEXEC;
	}
	r->module = (struct module){.users = MODULE_GOING, .loader = l};
	l->record = r;
	return KERR_OK;
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static bool number(const char *text, size_t length, uint32_t *out)
{
	char digits[24];
	const char *end;
	if (length == 0 || length >= sizeof(digits))
		return false;
	memcpy(digits, text, length);
	digits[length] = '\0';
	uint64_t value = str_to_u64(digits, &end, 0);
	*out = (uint32_t)value;
	return *end == '\0' && value <= UINT32_MAX;
}

/* True and false as Linux's modules write them; a bare name is true. */
static bool truth(const char *text, size_t length, bool bare, bool *out)
{
	char c = length == 1 ? text[0] : '\0';
	*out = bare || c == '1' || c == 'y' || c == 'Y';
	return *out || c == '0' || c == 'n' || c == 'N';
}

static bool set(const struct module_param *p, const char *text, size_t length, bool bare)
{
	if (p->kind == MODULE_PARAM_KIND_BOOL)
		return truth(text, length, bare, p->value);
	if (p->kind == MODULE_PARAM_KIND_UINT)
		return number(text, length, p->value);
	if (bare || length >= p->size)
		return false;
	memcpy(p->value, text, length);
	((char *)p->value)[length] = '\0';
	return true;
}

/* One word at `text`: the lengths of its name and value. Returns what follows it. */
static const char *split(const char *text, size_t *name, const char **value, size_t *length)
{
	*name = 0;
	while (text[*name] && text[*name] != '=' && text[*name] != ' ' && text[*name] != '\n')
		++*name;
	const char *at = text + *name;
	*value = nullptr;
	*length = 0;
	if (*at != '=')
		return at;
	bool quoted = at[1] == '"';
	*value = at + 1 + quoted;
	for (at = *value; *at && (quoted ? *at != '"' : *at != ' ' && *at != '\n'); at++)
		++*length;
	return quoted && *at ? at + 1 : at;
}

enum kerr params_set(const struct loaded *l, const char *text)
{
	size_t name, length;
	const char *value, *word;

	while (text += *text == ' ' || *text == '\n', *text) {
		if (*text == ' ' || *text == '\n')
			continue;
		word = text;
		text = split(word, &name, &value, &length);
		const struct module_param *found = nullptr;
		for (size_t i = 0; i < l->param_count; i++)
			if (strlen(l->params[i].name) == name &&
			    strncmp(l->params[i].name, word, name) == 0)
				found = &l->params[i];
		if (!found)
			log_warn("module %s: no parameter %.*s; left out", l->name,
				 (int)MIN(name, 60), word);
		else if (!set(found, value, length, !value)) {
			log_error("module %s: a wrong value of %s", l->name, found->name);
			return KERR_INVAL;
		}
	}
	return KERR_OK;
}
