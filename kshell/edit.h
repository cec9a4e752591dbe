/*
 * A line editor: keys in, a line and what the terminal shows out. It knows no terminal: who uses it
 * gives the keys and a function that writes.
 */
#pragma once

#include <lib/compiler.h>

#define EDIT_MAX 1024u     /* bytes of a line, with its end mark */
#define EDIT_HISTORY 32u   /* lines that are remembered */

enum edit_event {
	EDIT_MORE,   /* go on */
	EDIT_LINE,   /* the line is complete: e->line */
	EDIT_CANCEL, /* Ctrl-C */
	EDIT_END,    /* Ctrl-D on an empty line */
	EDIT_HUGE,   /* a line was typed that has no room */
};

struct editor {
	char line[EDIT_MAX];
	size_t length, at;      /* bytes; where the cursor is */
	bool overflowed;        /* a key had no room since the line began */
	const char *prompt;
	size_t prompt_width;    /* characters that it shows */
	size_t columns;         /* of the terminal */
	size_t first;           /* the first byte of the line that is shown */
	uint8_t escape;         /* the state of an escape sequence */
	unsigned parameters[2]; /* of it */
	unsigned parameter;     /* which one is being read */
	char cut[EDIT_MAX];     /* what was deleted last, for Ctrl-Y */
	char history[EDIT_HISTORY][EDIT_MAX];
	unsigned remembered;    /* lines ever put into it */
	unsigned back;          /* how far Up has gone; 0: the new line */
	char saved[EDIT_MAX];   /* the new line while an old one is shown */
	void (*write)(void *context, const char *bytes, size_t count);
	void (*complete)(void *context, struct editor *e); /* Tab; may be null */
	void *context;
};

/* A new line; shows the prompt. `width`: characters of the prompt that take room. */
void edit_begin(struct editor *e, const char *prompt, size_t width);
enum edit_event edit_key(struct editor *e, char key);
/* Puts text in at the cursor; what has no room rings the bell. */
void edit_insert(struct editor *e, const char *text, size_t length);
/* Shows prompt and line anew, on the line where the cursor is. */
void edit_redraw(struct editor *e);
/* Remembers a line, if it is not the last one again. */
void edit_remember(struct editor *e, const char *line);
/* Line `index` of the history, the oldest first; null: no more. */
const char *edit_history(const struct editor *e, unsigned index);
void edit_forget(struct editor *e); /* all of it */
