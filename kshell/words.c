/*
 * Splits a line: 'literal', "with $VARIABLES", \ for one character, $NAME and ${NAME}, # to the end.
 * A value that is filled in is not split again, so that a word stays one word.
 */
#include "words.h"

#include <lib/compiler.h>
#include <lib/string.h>

struct splitter {
	struct words *w;
	size_t used;
	const char *(*variable)(void *context, const char *name);
	void *context;
	bool full;
};

static void add(struct splitter *s, char c)
{
	if (s->used + 1 < WORDS_TEXT)
		s->w->text[s->used++] = c;
	else
		s->full = true;
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '?';
}

/* Behind a '$'; gives where the text goes on. */
static const char *fill_in(struct splitter *s, const char *at)
{
	char name[32];
	size_t n = 0;
	bool braces = *at == '{';
	const char *start = at, *value;

	at += braces;
	while (is_name(*at) && n + 1 < sizeof(name))
		name[n++] = *at++;
	name[n] = '\0';
	if (n == 0 || (braces && *at != '}')) {
		add(s, '$'); /* an ordinary character */
		return start;
	}
	value = s->variable(s->context, name);
	for (; value && *value; value++)
		add(s, *value);
	return at + braces;
}

/* One word; gives where it ends, or null: a quote is open. */
static const char *one_word(struct splitter *s, const char *at)
{
	char quote = 0;

	for (; *at && (quote || (*at != ' ' && *at != '\t')); at++) {
		if (*at == quote) {
			quote = 0;
		} else if (!quote && (*at == '\'' || *at == '"')) {
			quote = *at;
		} else if (*at == '\\' && quote != '\'' && at[1]) {
			add(s, *++at);
		} else if (*at == '$' && quote != '\'') {
			at = fill_in(s, at + 1) - 1;
		} else {
			add(s, *at);
		}
	}
	add(s, '\0');
	return quote ? nullptr : at;
}

enum kerr words_split(struct words *w, const char *line,
		      const char *(*variable)(void *context, const char *name), void *context,
		      const char **why)
{
	struct splitter s = {.w = w, .variable = variable, .context = context};

	w->count = 0;
	for (;;) {
		while (*line == ' ' || *line == '\t')
			line++;
		if (!*line || *line == '#')
			break;
		if (w->count == WORDS_MAX) {
			*why = "too many words";
			return KERR_TOOBIG;
		}
		w->word[w->count++] = w->text + s.used;
		line = one_word(&s, line);
		if (!line) {
			*why = "a quote is not closed";
			return KERR_INVAL;
		}
		if (s.full) {
			*why = "too long with its variables filled in";
			return KERR_TOOBIG;
		}
	}
	w->word[w->count] = nullptr;
	return KERR_OK;
}
