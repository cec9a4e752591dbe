/* kshell/edit.c and kshell/words.c: keys to a line, a line to words; whatever bytes come. */
#include "harness.h"

#include "edit.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

static struct editor e;
static size_t written;

static void show(void *context, const char *bytes, size_t count)
{
	written += count;
}

static void start(void)
{
	e.write = show;
	e.columns = 40;
	edit_begin(&e, "tern# ", 6);
}

/* Types keys on a new line; gives the event of the last one. */
static enum edit_event type(const char *keys)
{
	enum edit_event event = EDIT_MORE;

	start();
	for (; *keys; keys++)
		event = edit_key(&e, *keys);
	return event;
}

static void line_is(const char *keys, const char *expected)
{
	EXPECT_EQ(type(keys), EDIT_LINE);
	EXPECT_STR(e.line, expected);
}

#define LEFT "\x1b[D"
#define HOME "\x1b[H"

TEST(edit_keys)
{
	line_is("abc\r", "abc");
	line_is("abc\x7f\x08z\n", "az");
	line_is("ac" LEFT "b\r", "abc");
	line_is("bc" HOME "a\x1b[Fd\r", "abcd");
	line_is("bc\x1b[1~a\x1b[4~d\r", "abcd");
	line_is("one two" HOME "\x1b[1;5C-\x1b[1;5C+\r", "one- two+");
	line_is("one two\x1b"
		"bX\r",
		"one Xtwo");
	line_is("one two\x17three\r", "one three");
	line_is("one two" HOME "\x0b"
		"x\x19\x19\r",
		"xone twoone two");
	line_is("abc" HOME "\x1b[3~\r", "bc");
	line_is("\xc3\xa4\xc3\xb6\x7f" LEFT "x\r", "x\xc3\xa4");
	line_is("a\x1b[99;99;99~\x1bZ\x1b[?b\r", "ab");
	EXPECT_EQ(type("abc\x03"), EDIT_CANCEL);
	EXPECT_EQ(type("\x04"), EDIT_END);
	EXPECT_EQ(type("a\x04"), EDIT_MORE);
}

TEST(edit_history_of_lines)
{
	char number[8] = "n00";

	edit_forget(&e);
	EXPECT(!edit_history(&e, 0));
	edit_remember(&e, "first");
	edit_remember(&e, "second");
	edit_remember(&e, "second");
	edit_remember(&e, "");
	EXPECT_STR(edit_history(&e, 1), "second");
	EXPECT(!edit_history(&e, 2));
	line_is("new\x1b[A\x1b[A\x1b[A!\r", "first!");
	line_is("new\x1b[A\x1b[A\x1b[B\x1b[Ber\r", "newer");
	for (unsigned i = 0; i < 50; i++) {
		number[1] = (char)('0' + i / 10);
		number[2] = (char)('0' + i % 10);
		edit_remember(&e, number);
	}
	EXPECT_STR(edit_history(&e, 0), "n18");
	EXPECT_STR(edit_history(&e, EDIT_HISTORY - 1), "n49");
	EXPECT(!edit_history(&e, EDIT_HISTORY));
}

TEST(edit_huge_line)
{
	start();
	for (unsigned i = 0; i < EDIT_MAX - 1; i++)
		EXPECT_EQ(edit_key(&e, 'x'), EDIT_MORE);
	EXPECT_EQ(e.length, EDIT_MAX - 1);
	EXPECT_EQ(edit_key(&e, 'x'), EDIT_MORE);
	EXPECT_EQ(e.length, EDIT_MAX - 1);
	EXPECT_EQ(edit_key(&e, '\r'), EDIT_HUGE);
}

/* Any bytes, any width of the terminal: the line stays what it says it is. */
TEST(edit_any_bytes)
{
	unsigned seed = 1;

	for (unsigned round = 0; round < 300; round++) {
		start();
		e.columns = round % 50;
		for (unsigned i = 0; i < 3000; i++) {
			seed = seed * 1103515245 + 12345;
			unsigned r = seed >> 16;
			char key = r % 4 == 0   ? (char)(r >> 2 & 31)
				   : r % 5 == 0 ? '\x1b'
						: (char)(r >> 3);
			edit_key(&e, key);
			if (e.length >= EDIT_MAX || e.at > e.length || e.first > e.at ||
			    strlen(e.line) > e.length)
				abort();
		}
		edit_remember(&e, e.line);
	}
	EXPECT(written > 0);
}

static const char *variable(void *context, const char *name)
{
	return strcmp(name, "bird") == 0 ? "a tern" : strcmp(name, "?") == 0 ? "7" : NULL;
}

static struct words w;

static enum kerr split(const char *line)
{
	const char *why = "";
	enum kerr err = words_split(&w, line, variable, NULL, &why);

	if ((err != KERR_OK) != (*why != '\0'))
		abort();
	return err;
}

TEST(words_of_a_line)
{
	EXPECT_EQ(split("  a  'b  c' \"d e\"f \\' # no"), KERR_OK);
	EXPECT_EQ(w.count, 4);
	EXPECT_STR(w.word[1], "b  c");
	EXPECT_STR(w.word[2], "d ef");
	EXPECT_STR(w.word[3], "'");
	EXPECT(!w.word[4]);
	EXPECT_EQ(split("$bird ${bird}s '$bird' $? $ ${ $none. \\$bird"), KERR_OK);
	EXPECT_EQ(w.count, 8);
	EXPECT_STR(w.word[0], "a tern");
	EXPECT_STR(w.word[1], "a terns");
	EXPECT_STR(w.word[2], "$bird");
	EXPECT_STR(w.word[3], "7");
	EXPECT_STR(w.word[4], "$");
	EXPECT_STR(w.word[5], "${");
	EXPECT_STR(w.word[6], ".");
	EXPECT_STR(w.word[7], "$bird");
	EXPECT_EQ(split("''"), KERR_OK);
	EXPECT_EQ(w.count, 1);
	EXPECT_EQ(split(""), KERR_OK);
	EXPECT_EQ(w.count, 0);
	EXPECT_EQ(split("'open"), KERR_INVAL);
	EXPECT_EQ(split("a \"b"), KERR_INVAL);
}

TEST(words_too_many_or_long)
{
	static char line[8192];

	for (unsigned i = 0; i < 2 * (WORDS_MAX + 1); i += 2)
		memcpy(line + i, "x ", 3);
	EXPECT_EQ(split(line), KERR_TOOBIG);
	line[2 * WORDS_MAX] = '\0';
	EXPECT_EQ(split(line), KERR_OK);
	EXPECT_EQ(w.count, WORDS_MAX);
	memset(line, 'y', WORDS_TEXT);
	line[WORDS_TEXT] = '\0';
	EXPECT_EQ(split(line), KERR_TOOBIG);
	for (unsigned i = 0; i < 1000; i++)
		memcpy(line + i * 5, "$bird", 6);
	EXPECT_EQ(split(line), KERR_TOOBIG);
}
