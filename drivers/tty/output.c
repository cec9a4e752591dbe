/*
 * Output: newline, carriage-return and tab translation, and where the cursor is. Bytes are gathered
 * on the stack and given to the driver in pieces, one driver call a piece.
 */
#include "tty.h"

#define PIECE 256

struct piece {
	struct tty *t;
	size_t used;
	char bytes[PIECE];
};

static void flush(struct piece *p)
{
	if (p->used > 0)
		p->t->driver->write(p->t, p->bytes, p->used);
	p->used = 0;
}

static void add(struct piece *p, char c)
{
	if (p->used == PIECE)
		flush(p);
	p->bytes[p->used++] = c;
}

static void put_processed(struct piece *p, char c)
{
	struct tty *t = p->t;
	uint32_t oflag = t->termios.oflag;

	switch (c) {
	case '\n':
		if (oflag & ONLCR)
			add(p, '\r');
		if (oflag & (ONLCR | ONLRET))
			t->column = 0;
		break;
	case '\r':
		if ((oflag & ONOCR) && t->column == 0)
			return;
		if (oflag & OCRNL)
			c = '\n';
		t->column = 0;
		break;
	case '\t': {
		uint32_t spaces = 8 - t->column % 8;
		t->column += spaces;
		if ((oflag & TABDLY) == XTABS) {
			while (spaces--)
				add(p, ' ');
			return;
		}
		break;
	}
	case '\b':
		if (t->column > 0)
			t->column--;
		break;
	default:
		if (oflag & OLCUC && c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		/* Control characters and UTF-8 continuation bytes do not move the cursor. */
		if ((unsigned char)c >= ' ' && ((unsigned char)c & 0xc0) != 0x80)
			t->column++;
	}
	add(p, c);
}

void tty_put_locked(struct tty *t, const char *bytes, size_t count)
{
	if (!(t->termios.oflag & OPOST)) {
		t->driver->write(t, bytes, count);
		return;
	}
	struct piece p = {.t = t};
	for (size_t i = 0; i < count; i++)
		put_processed(&p, bytes[i]);
	flush(&p);
}
