/*
 * The kernel command line: words by blanks, quotes keep blanks together. In front of it count the
 * words of the profile that it names, or that the build chose (TERN_PROFILE). Read-only after boot.
 */
#include "core_private.h"
#include <core/cmdline.h>
#include <core/profile.h>
#include <lib/string.h>

#if !defined(TERN_PROFILE)
#define TERN_PROFILE ""
#endif

static const char *line RO_AFTER_INIT = "";
static const char *defaults RO_AFTER_INIT = ""; /* the profile's words */
static const char *profile RO_AFTER_INIT = "";

void cmdline_set(const char *text)
{
	char wanted[16] = TERN_PROFILE;
	const char *name, *words;

	line = text;
	defaults = profile = "";
	(void)cmdline_get("profile", wanted, sizeof(wanted));
	for (unsigned i = 0; (name = profile_get(i, &words)); i++)
		if (strcmp(name, wanted) == 0) {
			profile = name;
			defaults = words;
		}
}

const char *profile_name(void)
{
	return profile;
}

const char *cmdline(void)
{
	return line;
}

/* The end of the word that starts at `s`. */
static const char *word_end(const char *s)
{
	bool quoted = false;

	for (; *s && (quoted || *s != ' '); s++)
		if (*s == '"')
			quoted = !quoted;
	return s;
}

/* Copies [s, end) without quotes. */
static void copy_value(char *buf, size_t size, const char *s, const char *end)
{
	size_t n = 0;

	for (; s < end; s++)
		if (*s != '"' && n + 1 < size)
			buf[n++] = *s;
	if (size > 0)
		buf[n] = '\0';
}

/* The last one of that name in `text`. */
static bool search(const char *text, const char *name, char *buf, size_t size)
{
	size_t length = strlen(name);
	bool found = false;

	for (const char *s = text; *s;) {
		if (*s == ' ') {
			s++;
			continue;
		}
		const char *end = word_end(s);
		if (strncmp(s, name, length) == 0 && (s[length] == '=' || s + length == end)) {
			copy_value(buf, size, s[length] == '=' ? s + length + 1 : end, end);
			found = true;
		}
		s = end;
	}
	return found;
}

bool cmdline_get(const char *name, char *buf, size_t size)
{
	return search(line, name, buf, size) || search(defaults, name, buf, size);
}

bool cmdline_has(const char *name)
{
	char unused[1];

	return cmdline_get(name, unused, sizeof(unused));
}

uint64_t cmdline_u64(const char *name, uint64_t otherwise)
{
	char text[32];
	const char *end;

	if (!cmdline_get(name, text, sizeof(text)) || !text[0])
		return otherwise;
	uint64_t value = str_to_u64(text, &end, 0);
	return *end ? otherwise : value;
}
