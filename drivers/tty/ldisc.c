/*
 * The line discipline: what happens to a byte that comes in.
 *
 *   translate (ISTRIP, CR and NL) -> flow control -> signals -> editing (canonical) or straight
 *   into the buffer (raw), with echo.
 *
 * A full buffer loses the newest bytes and rings the bell, but always keeps room for the line's
 * end, so that a reader gets on.
 */
#include "tty.h"

#include <exec/signal.h>
#include <lib/string.h>

#define CONTROL(c) ((c) & 0x1f)
#define DISABLED 0 /* _POSIX_VDISABLE */

static bool is_cc(const struct tty *t, unsigned index, uint8_t c)
{
	return c != DISABLED && t->termios.cc[index] == c;
}

static void set_mark(struct tty *t, uint32_t at, bool on)
{
	uint64_t bit = (uint64_t)1 << at % 64;
	uint64_t *word = &t->mark[at % TTY_BUFFER / 64];

	*word = on ? *word | bit : *word & ~bit;
}

static uint8_t byte_at(const struct tty *t, uint32_t at)
{
	return t->buffer[at % TTY_BUFFER];
}

/* ---- Echo -------------------------------------------------------------------------------------- */

static bool shown_with_caret(const struct tty *t, uint8_t c)
{
	return tty_flag(t, ECHOCTL) && (c < ' ' || c == 0x7f) && c != '\t' && c != '\n';
}

static void echo(struct tty *t, uint8_t c)
{
	char text[2] = {'^', (char)(c ^ 0x40)};

	if (!tty_flag(t, ECHO) && !(c == '\n' && tty_flag(t, ECHONL) && tty_flag(t, ICANON)))
		return;
	if (shown_with_caret(t, c))
		tty_put_locked(t, text, 2);
	else
		tty_put_locked(t, (const char *)&c, 1);
}

static uint32_t width(const struct tty *t, uint8_t c, uint32_t column)
{
	if (c == '\t')
		return 8 - column % 8;
	if (shown_with_caret(t, c))
		return 2;
	if (c < ' ' || c == 0x7f || ((t->termios.iflag & IUTF8) && (c & 0xc0) == 0x80))
		return 0;
	return 1;
}

/* The column behind the line being edited, from its start. */
static uint32_t end_column(const struct tty *t)
{
	uint32_t column = t->line_column;

	for (uint32_t at = t->lines; at != t->head; at++)
		column += width(t, byte_at(t, at), column);
	return column;
}

static void rub_out(struct tty *t, uint32_t columns)
{
	while (columns--)
		tty_put_locked(t, "\b \b", 3);
}

/* ---- Editing ----------------------------------------------------------------------------------- */

/* Takes the last character of the line away; a whole one with IUTF8. */
static void erase_one(struct tty *t)
{
	uint32_t before = end_column(t);

	if (t->head == t->lines)
		return;
	t->head--;
	while ((t->termios.iflag & IUTF8) && t->head != t->lines &&
	       (byte_at(t, t->head) & 0xc0) == 0x80)
		t->head--;
	if (tty_flag(t, ECHO) && tty_flag(t, ECHOE))
		rub_out(t, before - end_column(t));
	else
		echo(t, t->termios.cc[VERASE]);
}

static bool word_byte(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_' || c >= 0x80;
}

static void erase_word(struct tty *t)
{
	while (t->head != t->lines && !word_byte(byte_at(t, t->head - 1)))
		erase_one(t);
	while (t->head != t->lines && word_byte(byte_at(t, t->head - 1)))
		erase_one(t);
}

static void erase_line(struct tty *t)
{
	if (tty_flag(t, ECHO) && tty_flag(t, ECHOKE) && tty_flag(t, ECHOE)) {
		while (t->head != t->lines)
			erase_one(t);
		return;
	}
	t->head = t->lines;
	echo(t, t->termios.cc[VKILL]);
	if (tty_flag(t, ECHOK))
		echo(t, '\n');
}

static void reprint(struct tty *t)
{
	echo(t, t->termios.cc[VREPRINT]);
	echo(t, '\n');
	t->line_column = t->column;
	for (uint32_t at = t->lines; at != t->head; at++)
		echo(t, byte_at(t, at));
}

/* ---- Into the buffer --------------------------------------------------------------------------- */

static bool store(struct tty *t, uint8_t c, bool ends_line)
{
	uint32_t limit = TTY_BUFFER - (ends_line || !tty_flag(t, ICANON) ? 0 : 1);

	if (t->head - t->tail >= limit) {
		if (t->termios.iflag & IMAXBEL)
			tty_put_locked(t, "\a", 1);
		return false;
	}
	t->buffer[t->head % TTY_BUFFER] = c;
	set_mark(t, t->head, ends_line);
	t->head++;
	return true;
}

static void store_and_echo(struct tty *t, uint8_t c)
{
	if (t->head == t->lines)
		t->line_column = t->column;
	if (store(t, c, false))
		echo(t, c);
}

static void end_line(struct tty *t, uint8_t c)
{
	if (store(t, c, true))
		t->lines = t->head;
}

/* True: the byte was an editing command or ended the line. */
static bool edit(struct tty *t, uint8_t c)
{
	bool extended = tty_flag(t, IEXTEN);

	if (is_cc(t, VERASE, c))
		erase_one(t);
	else if (is_cc(t, VKILL, c))
		erase_line(t);
	else if (extended && is_cc(t, VWERASE, c))
		erase_word(t);
	else if (extended && is_cc(t, VREPRINT, c))
		reprint(t);
	else if (extended && is_cc(t, VLNEXT, c))
		t->literal = true;
	else if (is_cc(t, VEOF, c))
		end_line(t, END_OF_FILE);
	else if (c == '\n' || is_cc(t, VEOL, c) || (extended && is_cc(t, VEOL2, c))) {
		echo(t, c);
		end_line(t, c);
	} else
		return false;
	return true;
}

void tty_flush_input_locked(struct tty *t)
{
	t->tail = t->lines = t->head = 0;
	memset(t->mark, 0, sizeof(t->mark));
	t->literal = false;
}

void tty_canon_changed_locked(struct tty *t, bool was_canonical)
{
	/* What was typed so far becomes readable, or is a line without an end. */
	t->lines = t->head;
	if (!was_canonical && t->head != t->tail)
		set_mark(t, t->head - 1, true);
	wake_all(&t->readers);
}

/* The signal that `c` means, or 0. */
static int signal_of(const struct tty *t, uint8_t c)
{
	if (!tty_flag(t, ISIG))
		return 0;
	return is_cc(t, VINTR, c)   ? SIGINT
	       : is_cc(t, VQUIT, c) ? SIGQUIT
	       : is_cc(t, VSUSP, c) ? SIGTSTP
				    : 0;
}

/* Flow control: true if the byte was for it. */
static bool flow(struct tty *t, uint8_t c)
{
	if (!(t->termios.iflag & IXON))
		return false;
	if (is_cc(t, VSTOP, c)) {
		t->stopped = true;
		return true;
	}
	bool start = is_cc(t, VSTART, c);
	if (t->stopped && (start || (t->termios.iflag & IXANY))) {
		t->stopped = false;
		wake_all(&t->writers);
	}
	return start;
}

/* -1: the byte is dropped. */
static int translate(const struct tty *t, uint8_t c)
{
	uint32_t iflag = t->termios.iflag;

	if (iflag & ISTRIP)
		c &= 0x7f;
	if (c == '\r') {
		if (iflag & IGNCR)
			return -1;
		if (iflag & ICRNL)
			return '\n';
	} else if (c == '\n' && (iflag & INLCR)) {
		return '\r';
	}
	if ((iflag & IUCLC) && tty_flag(t, IEXTEN) && c >= 'A' && c <= 'Z')
		return c - 'A' + 'a';
	return c;
}

/* Gives the signal to send to the foreground group once the lock is dropped, or 0. */
static int receive_byte(struct tty *t, uint8_t raw)
{
	int c = translate(t, raw);

	if (c < 0)
		return 0;
	if (t->literal) {
		t->literal = false;
		store_and_echo(t, (uint8_t)c);
		return 0;
	}
	if (flow(t, (uint8_t)c))
		return 0;
	int signo = signal_of(t, (uint8_t)c);
	if (signo) {
		if (!tty_flag(t, NOFLSH))
			tty_flush_input_locked(t);
		echo(t, (uint8_t)c);
		t->stopped = false;
		return signo;
	}
	if (tty_flag(t, ICANON) && edit(t, (uint8_t)c))
		return 0;
	store_and_echo(t, (uint8_t)c);
	if (!tty_flag(t, ICANON))
		t->lines = t->head;
	return 0;
}

void tty_end_input(struct tty *t)
{
	mutex_lock(&t->lock);
	t->input_ended = true;
	mutex_unlock(&t->lock);
	wake_all(&t->readers);
}

void tty_receive(struct tty *t, const char *bytes, size_t count)
{
	mutex_lock(&t->lock);
	for (size_t i = 0; i < count; i++) {
		int signo = receive_byte(t, (uint8_t)bytes[i]);
		if (signo) {
			mutex_unlock(&t->lock);
			tty_signal_foreground(t, signo);
			mutex_lock(&t->lock);
		}
	}
	bool readable = t->lines != t->tail;
	mutex_unlock(&t->lock);
	if (readable)
		wake_all(&t->readers);
}
