/* core/lib/format.c against libc's snprintf: a table of corner cases, then random conversions. */
#include "harness.h"

#include <lib/format.h>
#include <stdio.h>

#pragma clang diagnostic ignored "-Wformat-security"
#pragma clang diagnostic ignored "-Wformat-nonliteral"

/* Both write the same with `fmt` and the arguments, at every buffer size. */
#define EXPECT_SAME(fmt, ...)                                                                      \
	do {                                                                                       \
		char ours_[256], libc_[256];                                                       \
		int n_ = snprintf(libc_, sizeof(libc_), (fmt), ##__VA_ARGS__);                     \
		EXPECT_EQ(format(ours_, sizeof(ours_), (fmt), ##__VA_ARGS__), n_);                 \
		if (!EXPECT_STR(ours_, libc_))                                                     \
			ktest_note("with \"%s\"", (fmt));                                          \
	} while (0)

TEST(format_cases)
{
	EXPECT_SAME("plain");
	EXPECT_SAME("100%%");
	EXPECT_SAME("%d %i %u", -1, 42, 7u);
	EXPECT_SAME("%d %ld", INT32_MIN, INT64_MIN);
	EXPECT_SAME("%lu %lx %lX %lo", UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX);
	EXPECT_SAME("%hhd %hhu %hd %hu", 300, 300, 70000, 70000);
	EXPECT_SAME("%hhd %hd", 128, 32768);
	EXPECT_SAME("[%5s] [%-5s] [%.2s] [%5.1s]", "ab", "ab", "abcdef", "xyz");
	EXPECT_SAME("[%c] [%3c] [%-3c]", 'a', 'b', 'c');
	EXPECT_SAME("%#x %#X %#o %#x %#o", 255, 255, 8, 0, 0);
	EXPECT_SAME("[%.0d] [%.0x] [%5.0d] [%#.0o]", 0, 0, 0, 0);
	EXPECT_SAME("%+d % d %+d % d", 5, 5, -5, -5);
	EXPECT_SAME("%05d %-5d| %05d %+05d", 42, 42, -42, 42);
	EXPECT_SAME("%8.3d %-8.3d| %08.3d", 7, 7, 7);
	EXPECT_SAME("%*d %-*d| %.*d %*.*d", 6, 1, 6, 2, 4, 3, 8, 5, 4);
	EXPECT_SAME("%*d", -6, 1);
	EXPECT_SAME("%zu %zd %jd %td %llu", (size_t)1, (ssize_t)-1, (intmax_t)-2, (ptrdiff_t)-3,
		    4ull);
	EXPECT_SAME("%p", (void *)0x1234abcd);
	EXPECT_SAME("%20p|%-20p|", (void *)0x1234abcd, (void *)0x1);
	EXPECT_SAME("%#010x %#-10x|", 0xbeef, 0xbeef);
}

TEST(format_cuts_at_the_size)
{
	char buf[16];

	for (size_t size = 0; size <= 10; size++) {
		memset(buf, '!', sizeof(buf));
		EXPECT_EQ(format(buf, size, "%s-%d", "abcd", 123), 8);
		if (size > 0)
			EXPECT_EQ(strlen(buf), MIN(size - 1, 8));
		for (size_t i = MAX(MIN(size, 9), 0); i < sizeof(buf); i++)
			EXPECT_EQ(buf[i], '!');
	}
}

TEST(format_null_string_and_unknown_conversion)
{
	char buf[32];

	format(buf, sizeof(buf), "%s", (const char *)nullptr);
	EXPECT_STR(buf, "(null)");
	format(buf, sizeof(buf), "%p", (void *)nullptr);
	EXPECT_STR(buf, "0");
	/* A format that ends in the middle of a conversion. */
	EXPECT_EQ(format(buf, sizeof(buf), "ab%"), 2);
	EXPECT_EQ(format(buf, sizeof(buf), "ab%-08"), 2);
}

static char *append(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
	return at;
}

static uint64_t random_value(struct test_random *random)
{
	uint64_t v = test_random(random);

	switch (test_random_below(random, 4)) {
	case 0:
		return 0;
	case 1:
		return v & 0xff;
	case 2:
		return v >> test_random_below(random, 64);
	default:
		return ~(v >> test_random_below(random, 64));
	}
}

PROPERTY(format_random, 2000)
{
	static const char *const lengths[] = {"hh", "h", "", "l", "ll", "z", "j", "t"};
	const char conversions[] = "diuxXo";
	char fmt[64], *at = fmt, number[8];

	*at++ = '<';
	*at++ = '%';
	for (const char *flag = "-0#+ "; *flag; flag++)
		if (test_random_below(random, 3) == 0)
			*at++ = *flag;
	if (test_random_below(random, 2)) {
		snprintf(number, sizeof(number), "%u", (unsigned)test_random_below(random, 30));
		at = append(at, number);
	}
	if (test_random_below(random, 3) == 0) {
		snprintf(number, sizeof(number), ".%u", (unsigned)test_random_below(random, 25));
		at = append(at, number);
	}
	size_t length = test_random_below(random, ARRAY_SIZE(lengths));
	at = append(at, lengths[length]);
	*at++ = conversions[test_random_below(random, sizeof(conversions) - 1)];
	append(at, ">")[0] = '\0';
	for (int i = 0; i < 20; i++) {
		uint64_t v = random_value(random);
		if (length < 3)
			EXPECT_SAME(fmt, (int)v);
		else
			EXPECT_SAME(fmt, (long)v);
	}
}
