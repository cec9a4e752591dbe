/*
 * The line editor: a state machine that eats one byte at a time.
 *
 *   Ctrl-A Home   start          Ctrl-E End   end            Ctrl-B Left, Ctrl-F Right
 *   Alt-B Ctrl-Left, Alt-F Ctrl-Right  a word                Ctrl-P Up, Ctrl-N Down  history
 *   Ctrl-H Backspace, Ctrl-D Delete    a character           Ctrl-W, Alt-D  a word
 *   Ctrl-U  to the start   Ctrl-K  to the end   Ctrl-Y  back in   Ctrl-L  clear   Tab  complete
 *
 * Escape sequences are those of ECMA-48 as xterm and VT100 send them. A line longer than the screen
 * is shown through a window that follows the cursor, so that one line of the terminal is all that
 * is ever used. A character is a UTF-8 sequence and takes one column (wide ones are shown wrongly,
 * never damaged).
 *
 * Rejected: wrapping long lines (how a terminal does that in its last column differs).
 */
#include "edit.h"

#include <lib/format.h>
#include <lib/string.h>

enum { PLAIN, ESCAPE, SEQUENCE, FUNCTION_KEY };

#define CONTROL(letter) ((letter) & 0x1f)
#define BELL 7
#define RUBOUT 127

static void put(struct editor *e, const char *text)
{
	e->write(e->context, text, strlen(text));
}

static void bell(struct editor *e)
{
	static const char ring = BELL;

	e->write(e->context, &ring, 1);
}

/* ---- Characters ---- */

static bool continues(char c)
{
	return ((uint8_t)c & 0xc0) == 0x80;
}

static size_t before(const struct editor *e, size_t at)
{
	while (at > 0 && continues(e->line[--at]))
		;
	return at;
}

static size_t after(const struct editor *e, size_t at)
{
	if (at < e->length)
		at++;
	while (at < e->length && continues(e->line[at]))
		at++;
	return at;
}

static size_t width(const struct editor *e, size_t from, size_t to)
{
	size_t n = 0;

	for (; from < to; from++)
		n += !continues(e->line[from]);
	return n;
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (uint8_t)c >= 0x80;
}

static size_t word_before(const struct editor *e, size_t at)
{
	while (at > 0 && !is_word(e->line[at - 1]))
		at--;
	while (at > 0 && is_word(e->line[at - 1]))
		at--;
	return at;
}

static size_t word_after(const struct editor *e, size_t at)
{
	while (at < e->length && !is_word(e->line[at]))
		at++;
	while (at < e->length && is_word(e->line[at]))
		at++;
	return at;
}

/* ---- What is shown ---- */

static size_t room(const struct editor *e)
{
	return e->columns > e->prompt_width + 8 ? e->columns - e->prompt_width - 1 : 8;
}

void edit_redraw(struct editor *e)
{
	char move[24];
	size_t space = room(e), end;

	if (e->at < e->first)
		e->first = e->at;
	while (width(e, e->first, e->at) > space)
		e->first = after(e, e->first);
	for (end = e->first; end < e->length && width(e, e->first, end) < space;)
		end = after(e, end);
	put(e, "\r");
	put(e, e->prompt);
	e->write(e->context, e->line + e->first, end - e->first);
	put(e, "\x1b[K\r");
	format(move, sizeof(move), "\x1b[%zuC", e->prompt_width + width(e, e->first, e->at));
	if (e->prompt_width + width(e, e->first, e->at) > 0)
		put(e, move);
}

void edit_begin(struct editor *e, const char *prompt, size_t prompt_width)
{
	e->length = e->at = e->first = 0;
	e->line[0] = e->saved[0] = '\0';
	e->overflowed = false;
	e->escape = PLAIN;
	e->back = 0;
	e->prompt = prompt;
	e->prompt_width = prompt_width;
	put(e, prompt);
}

/* ---- Changes ---- */

void edit_insert(struct editor *e, const char *text, size_t length)
{
	if (length >= EDIT_MAX - e->length) {
		e->overflowed = true;
		bell(e);
		return;
	}
	bool at_end = e->at == e->length;
	memmove(e->line + e->at + length, e->line + e->at, e->length - e->at + 1);
	memcpy(e->line + e->at, text, length);
	e->length += length;
	e->at += length;
	e->line[e->length] = '\0';
	if (at_end && width(e, e->first, e->length) <= room(e))
		e->write(e->context, text, length);
	else
		edit_redraw(e);
}

static void erase(struct editor *e, size_t from, size_t to, bool keep)
{
	if (from == to)
		return;
	if (keep) {
		memcpy(e->cut, e->line + from, to - from);
		e->cut[to - from] = '\0';
	}
	memmove(e->line + from, e->line + to, e->length - to + 1);
	e->length -= to - from;
	e->at = from;
	edit_redraw(e);
}

static void move_to(struct editor *e, size_t at)
{
	if (at == e->at)
		return;
	e->at = at;
	edit_redraw(e);
}

/* ---- History ---- */

const char *edit_history(const struct editor *e, unsigned index)
{
	unsigned kept = MIN(e->remembered, EDIT_HISTORY);

	return index < kept ? e->history[(e->remembered - kept + index) % EDIT_HISTORY] : nullptr;
}

void edit_forget(struct editor *e)
{
	e->remembered = e->back = 0;
}

void edit_remember(struct editor *e, const char *line)
{
	if (!*line ||
	    (e->remembered && strcmp(e->history[(e->remembered - 1) % EDIT_HISTORY], line) == 0))
		return;
	strlcpy(e->history[e->remembered++ % EDIT_HISTORY], line, EDIT_MAX);
}

static void show_history(struct editor *e, unsigned back)
{
	if (back > MIN(e->remembered, EDIT_HISTORY)) {
		bell(e);
		return;
	}
	if (e->back == 0)
		strlcpy(e->saved, e->line, EDIT_MAX);
	e->back = back;
	strlcpy(e->line, back ? e->history[(e->remembered - back) % EDIT_HISTORY] : e->saved,
		EDIT_MAX);
	e->length = e->at = strlen(e->line);
	e->first = 0;
	edit_redraw(e);
}

static void history_up(struct editor *e)
{
	show_history(e, e->back + 1);
}

static void history_down(struct editor *e)
{
	if (e->back)
		show_history(e, e->back - 1);
	else
		bell(e);
}

/* ---- Keys ---- */

static void control_key(struct editor *e, char key)
{
	switch (key) {
	case CONTROL('A'):
		return move_to(e, 0);
	case CONTROL('E'):
		return move_to(e, e->length);
	case CONTROL('B'):
		return move_to(e, before(e, e->at));
	case CONTROL('F'):
		return move_to(e, after(e, e->at));
	case CONTROL('P'):
		return history_up(e);
	case CONTROL('N'):
		return history_down(e);
	case CONTROL('H'):
	case RUBOUT:
		return erase(e, before(e, e->at), e->at, false);
	case CONTROL('D'):
		return erase(e, e->at, after(e, e->at), false);
	case CONTROL('W'):
		return erase(e, word_before(e, e->at), e->at, true);
	case CONTROL('U'):
		return erase(e, 0, e->at, true);
	case CONTROL('K'):
		return erase(e, e->at, e->length, true);
	case CONTROL('Y'):
		return edit_insert(e, e->cut, strlen(e->cut));
	case CONTROL('L'):
		put(e, "\x1b[H\x1b[2J");
		return edit_redraw(e);
	case '\t':
		if (e->complete)
			e->complete(e->context, e);
		return;
	}
}

/* The last byte of ESC [ ... or ESC O; a modifier (second parameter) makes arrows go by words. */
static void sequence_end(struct editor *e, char last)
{
	unsigned first = e->parameters[0];
	bool by_word = e->parameters[1] > 1;

	if (last == '~')
		last = first == 1 || first == 7   ? 'H'
		       : first == 4 || first == 8 ? 'F'
		       : first == 3               ? CONTROL('D')
						  : '\0';
	switch (last) {
	case 'A':
		return history_up(e);
	case 'B':
		return history_down(e);
	case 'C':
		return move_to(e, by_word ? word_after(e, e->at) : after(e, e->at));
	case 'D':
		return move_to(e, by_word ? word_before(e, e->at) : before(e, e->at));
	case 'H':
		return move_to(e, 0);
	case 'F':
		return move_to(e, e->length);
	case CONTROL('D'):
		return erase(e, e->at, after(e, e->at), false);
	}
}

static void escape_key(struct editor *e, char key)
{
	uint8_t state = e->escape;

	if (state == SEQUENCE && key >= '0' && key <= '9') {
		if (e->parameters[e->parameter] < 1000)
			e->parameters[e->parameter] =
				e->parameters[e->parameter] * 10 + (unsigned)(key - '0');
		return;
	}
	if (state == SEQUENCE && key == ';') {
		e->parameter = 1;
		return;
	}
	e->escape = PLAIN;
	if (state != ESCAPE)
		return sequence_end(e, key);
	switch (key) {
	case '[':
	case 'O':
		e->escape = key == '[' ? SEQUENCE : FUNCTION_KEY;
		e->parameters[0] = e->parameters[1] = e->parameter = 0;
		return;
	case 'b':
		return move_to(e, word_before(e, e->at));
	case 'f':
		return move_to(e, word_after(e, e->at));
	case 'd':
		return erase(e, e->at, word_after(e, e->at), true);
	case RUBOUT:
	case CONTROL('H'):
		return erase(e, word_before(e, e->at), e->at, true);
	}
}

enum edit_event edit_key(struct editor *e, char key)
{
	if (e->escape != PLAIN) {
		escape_key(e, key);
		return EDIT_MORE;
	}
	if (key == '\x1b') {
		e->escape = ESCAPE;
	} else if (key == '\r' || key == '\n') {
		put(e, "\n");
		return e->overflowed ? EDIT_HUGE : EDIT_LINE;
	} else if (key == CONTROL('C')) {
		put(e, "^C\n");
		return EDIT_CANCEL;
	} else if (key == CONTROL('D') && e->length == 0) {
		put(e, "\n");
		return EDIT_END;
	} else if ((uint8_t)key < ' ' || key == RUBOUT) {
		control_key(e, key);
	} else {
		edit_insert(e, &key, 1);
	}
	return EDIT_MORE;
}
