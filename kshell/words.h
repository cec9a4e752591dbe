/* From a line to words: blanks separate, quotes keep together, variables are filled in. */
#pragma once

#include <lib/kerr.h>
#include <stddef.h>

#define WORDS_MAX 64u
#define WORDS_TEXT 4096u

struct words {
	unsigned count;
	char *word[WORDS_MAX + 1]; /* in text; a null pointer behind the last */
	char text[WORDS_TEXT];
};

/* `variable` gives the value of a name, or null. *why gets a sentence if it fails. KERR_INVAL: a quote that is
 * not closed; KERR_TOOBIG: too many words or too long. # starts a comment. */
enum kerr words_split(struct words *w, const char *line,
		      const char *(*variable)(void *context, const char *name), void *context,
		      const char **why);
