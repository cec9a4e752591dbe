/* The line discipline: what is typed, what a program reads, what appears. */
#include "fs_fixture.h"
#include "tty.h"

#include <exec/signal.h>

#include <stdio.h>

static char shown[4096];
static size_t shown_size;
static int group_signal;

/* ---- What drivers/ asks of exec beside fs ---- */

void process_group_signal(int pgid, int signo)
{
	group_signal = signo;
}

bool process_group_orphaned(int pgid)
{
	return false;
}

bool process_group_in_session(int pgid, const struct session *s)
{
	return true;
}

void process_session_end_register(void (*fn)(struct session *session))
{
}

static void show(struct tty *t, const char *bytes, size_t count)
{
	memcpy(shown + shown_size, bytes, MIN(count, sizeof(shown) - 1 - shown_size));
	shown_size += MIN(count, sizeof(shown) - 1 - shown_size);
	shown[shown_size] = 0;
}

static void taken(struct tty *t, uint32_t unread)
{
}

static const struct tty_driver driver = {.name = "test", .write = show, .taken = taken};
static struct tty tty;
static struct session session = {.sid = 1};
static struct file file = {.ops = &tty_file_ops,
			   .private = &tty,
			   .stream = true,
			   .readable = true,
			   .writable = true,
			   .flags = O_RDWR | O_NONBLOCK};

static void start(void)
{
	static bool up;

	if (!up) {
		fixture_boot(nullptr);
		fixture_process.session = &session;
	}
	up = true;
	memset(&tty, 0, sizeof(tty));
	tty_init(&tty, &driver, 0x501);
	tty.session = &session;
	tty.foreground = fixture_process.pgid = 1;
	shown_size = 0;
	shown[0] = 0;
	group_signal = 0;
}

static void type(const char *text)
{
	tty_receive(&tty, text, strlen(text));
}

/* All reads until nothing is left, a '|' after each. */
static const char *read_all(void)
{
	static char text[5000];
	size_t at = 0, done;

	while (at < sizeof(text) - 300) {
		enum kerr err = file_read(
			&file, &(struct io_buffer){(vaddr_t)text + at, 256, false}, &done);
		if (err != KERR_OK)
			break;
		at += done;
		text[at++] = '|';
	}
	text[at] = 0;
	return text;
}

#define NO_ECHO_CTL (ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOKE | IEXTEN)

TEST(tty_canonical)
{
	static const struct {
		const char *typed, *reads, *shows;
	} cases[] = {
		{"", "", ""},
		{"abc", "", "abc"},
		{"abc\r", "abc\n|", "abc\r\n"},
		{"abc\n", "abc\n|", "abc\r\n"},
		{"one\rtwo\r", "one\n|two\n|", "one\r\ntwo\r\n"},
		{"ab\x7f\rx", "a\n|", "ab\b \b\r\nx"},
		{"\x7f\x7f"
		 "a\r",
		 "a\n|", "a\r\n"},
		{"a\tb\x7f\x7f"
		 "c\r",
		 "ac\n|", "a\tb\b \b\b \b\b \b\b \b\b \b\b \b\b \b\b \bc\r\n"},
		{"\x01\x7f"
		 "z\r",
		 "z\n|", "^A\b \b\b \bz\r\n"},
		{"\xc3\xa4\x7fo\r", "o\n|", "\xc3\xa4\b \bo\r\n"},
		{"some words here\x17\x17x\r", "some x\n|",
		 "some words here\b \b\b \b\b \b\b \b\b \b\b \b\b \b\b \b\b \b\b \bx\r\n"},
		{"junk\x15ok\r", "ok\n|", "junk\b \b\b \b\b \b\b \bok\r\n"},
		{"ab\x12"
		 "c\r",
		 "abc\n|", "ab^R\r\nabc\r\n"},
		{"\x16\x03\x16\x7fx\r", "\x03\x7fx\n|", "^C^?x\r\n"},
		{"\x04", "|", ""},
		{"abc\x04", "abc|", "abc"},
		{"abc\x04\x04", "abc||", "abc"},
		{"abc\x04"
		 "def\r",
		 "abc|def\n|", "abcdef\r\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start();
		type(cases[i].typed);
		bool read = EXPECT_STR(read_all(), cases[i].reads);
		if (!EXPECT_STR(shown, cases[i].shows) || !read)
			ktest_note("case %zu", i);
	}
}

TEST(tty_signals)
{
	static const struct {
		const char *typed;
		int signo;
		const char *reads, *shows;
	} cases[] = {
		{"abc\x03", SIGINT, "", "abc^C"},
		{"abc\x1c"
		 "d\r",
		 SIGQUIT, "d\n|", "abc^\\d\r\n"},
		{"\x1a", SIGTSTP, "", "^Z"},
		{"line\rrest\x03", SIGINT, "", "line\r\nrest^C"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start();
		type(cases[i].typed);
		EXPECT_EQ(group_signal, cases[i].signo);
		EXPECT_STR(read_all(), cases[i].reads);
		EXPECT_STR(shown, cases[i].shows);
	}
	start();
	tty.termios.lflag |= NOFLSH;
	type("line\r\x03");
	EXPECT_STR(read_all(), "line\n|");
	start();
	tty.termios.lflag &= ~ISIG;
	type("a\x03\r");
	EXPECT_EQ(group_signal, 0);
	EXPECT_STR(read_all(), "a\x03\n|");
}

TEST(tty_raw)
{
	start();
	tty.termios.lflag = 0;
	tty.termios.iflag = 0;
	type("a\r\n\x03\x7f\x04");
	EXPECT_STR(read_all(), "a\r\n\x03\x7f\x04|");
	EXPECT_STR(shown, "");
	/* VMIN: not before so many are there. */
	tty.termios.cc[VMIN] = 4;
	type("abc");
	EXPECT_EQ(file_poll(&file, nullptr) & POLL_IN, 0);
	type("d");
	EXPECT_EQ(file_poll(&file, nullptr) & POLL_IN, POLL_IN);
	EXPECT_STR(read_all(), "abcd|");
	/* VMIN 0, VTIME 0: never waits. */
	tty.termios.cc[VMIN] = 0;
	file.flags &= ~(uint32_t)O_NONBLOCK;
	size_t done = 9;
	char c;
	EXPECT_OK(file_read(&file, &(struct io_buffer){(vaddr_t)&c, 1, false}, &done));
	EXPECT_EQ(done, 0);
	file.flags |= O_NONBLOCK;
}

TEST(tty_translations)
{
	static const struct {
		uint32_t iflag, oflag;
		const char *typed, *reads, *shows;
	} cases[] = {
		{0, 0, "a\n", "a\n|", "a\n"},
		{ICRNL, 0, "a\r", "a\n|", "a\n"},
		{IGNCR, 0, "a\r\n", "a\n|", "a\n"},
		{INLCR, 0, "a\n\x04", "a\r|", "a\r"},
		{ISTRIP, 0, "\xe1\n", "a\n|", "a\n"},
		{0, OPOST | ONLCR, "a\n", "a\n|", "a\r\n"},
		{0, OPOST | OCRNL, "\x16\r\n", "\r\n|", "\n\n"},
		{0, OPOST | OLCUC, "a\n", "a\n|", "A\n"},
		{0, OPOST | XTABS, "a\tb\n", "a\tb\n|", "a       b\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start();
		tty.termios.iflag = cases[i].iflag;
		tty.termios.oflag = cases[i].oflag;
		tty.termios.lflag = NO_ECHO_CTL;
		type(cases[i].typed);
		bool read = EXPECT_STR(read_all(), cases[i].reads);
		if (!EXPECT_STR(shown, cases[i].shows) || !read)
			ktest_note("case %zu", i);
	}
}

TEST(tty_flow_control)
{
	size_t done;
	struct io_buffer b = {(vaddr_t) "out", 3, false};

	start();
	type("\x13");
	EXPECT_EQ(file_write(&file, &b, &done), KERR_AGAIN);
	EXPECT_EQ(file_poll(&file, nullptr) & POLL_OUT, 0);
	type("\x11");
	EXPECT_OK(file_write(&file, &b, &done));
	EXPECT_STR(shown, "out");
	EXPECT_STR(read_all(), "");
}

TEST(tty_small_reads_and_a_full_buffer)
{
	char buf[4] = "";
	size_t done;

	start();
	type("abcdef\r");
	EXPECT_OK(file_read(&file, &(struct io_buffer){(vaddr_t)buf, 3, false}, &done));
	EXPECT_STR(buf, "abc");
	EXPECT_STR(read_all(), "def\n|");
	for (int i = 0; i < 5000; i++)
		tty_receive(&tty, "x", 1);
	type("\r"); /* there is always room for the line's end */
	size_t total = strlen(read_all());
	EXPECT(total >= 4095 && total < 4200);
	type("next\r");
	EXPECT_STR(read_all(), "next\n|");
}

/* Whatever is typed in whatever mode: no byte is read that was not typed, and it goes on. */
PROPERTY(tty_random, 40)
{
	start();
	for (int i = 0; i < 400; i++) {
		char bytes[64];
		size_t n = test_random_below(random, sizeof(bytes));
		for (size_t k = 0; k < n; k++)
			bytes[k] = (char)(test_random_below(random, 3)
						  ? test_random(random)
						  : test_random_below(random, 32));
		tty_receive(&tty, bytes, n);
		EXPECT(tty.head - tty.tail <= TTY_BUFFER);
		EXPECT(tty.lines - tty.tail <= tty.head - tty.tail);
		shown_size = 0;
		if (test_random_below(random, 4) == 0)
			read_all();
		if (test_random_below(random, 10) == 0) {
			mutex_lock(&tty.lock);
			bool was = tty_flag(&tty, ICANON);
			tty.termios.lflag ^= (uint32_t)test_random(random) & 0x81ff;
			tty.termios.iflag ^= (uint32_t)test_random(random) & 07777;
			if (was != tty_flag(&tty, ICANON))
				tty_canon_changed_locked(&tty, was);
			mutex_unlock(&tty.lock);
		}
	}
}
