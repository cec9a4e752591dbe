/*
 * core/lib/string.c and kerr.c. In host builds the functions that libc has too are called kernel_*
 * (hal/host/libc_names.h): each is compared with libc's on random strings that end at a page end.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int kernel_memcmp(const void *a, const void *b, size_t n);
void *kernel_memchr(const void *s, int c, size_t n);
size_t kernel_strlen(const char *s);
size_t kernel_strnlen(const char *s, size_t max);
int kernel_strcmp(const char *a, const char *b);
int kernel_strncmp(const char *a, const char *b, size_t n);
char *kernel_strchr(const char *s, int c);
char *kernel_strrchr(const char *s, int c);
char *kernel_strstr(const char *haystack, const char *needle);

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

/* The end of a page whose successor cannot be touched. */
static char *page_end(void)
{
	char *p = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p + 4096, 4096, PROT_NONE);
	return p + 4096;
}

/* A string of at most `most` characters of a small alphabet, ending right before `end`. */
static char *random_string(struct test_random *random, char *end, size_t most)
{
	size_t n = test_random_below(random, most + 1);
	char *s = end - n - 1;

	for (size_t i = 0; i < n; i++)
		s[i] = "abc\xe9"[test_random_below(random, 4)];
	s[n] = '\0';
	return s;
}

PROPERTY(string_functions, 300)
{
	static char *end_a, *end_b;

	if (!end_a) {
		end_a = page_end();
		end_b = page_end();
	}
	for (int i = 0; i < 30; i++) {
		char *a = random_string(random, end_a, 40), *b = random_string(random, end_b, 6);
		size_t n = test_random_below(random, 12);
		int c = "abc\xe9z"[test_random_below(random, 6)];
		size_t both = MIN(strlen(a), strlen(b)) + 1;

		EXPECT_EQ(kernel_strlen(a), strlen(a));
		EXPECT_EQ(kernel_strnlen(a, n), strnlen(a, n));
		EXPECT_EQ(sign(kernel_strcmp(a, b)), sign(strcmp(a, b)));
		EXPECT_EQ(sign(kernel_strncmp(a, b, n)), sign(strncmp(a, b, n)));
		EXPECT_EQ(sign(kernel_memcmp(a, b, both)), sign(memcmp(a, b, both)));
		EXPECT_EQ(kernel_strchr(a, c), strchr(a, c));
		EXPECT_EQ(kernel_strrchr(a, c), strrchr(a, c));
		EXPECT_EQ(kernel_memchr(a, c, strlen(a)), memchr(a, c, strlen(a)));
		EXPECT_EQ(kernel_strstr(a, b), strstr(a, b));
	}
}

PROPERTY(string_memcmp_long, 200)
{
	unsigned char a[100], b[100];
	size_t n = test_random_below(random, sizeof(a) + 1);

	for (size_t i = 0; i < sizeof(a); i++)
		a[i] = b[i] = (unsigned char)test_random(random);
	b[test_random_below(random, sizeof(b))] ^= 0x80;
	EXPECT_EQ(sign(kernel_memcmp(a, b, n)), sign(memcmp(a, b, n)));
}

TEST(string_strlcpy)
{
	char buf[8];

	for (size_t size = 0; size <= sizeof(buf); size++) {
		memset(buf, '!', sizeof(buf));
		EXPECT_EQ(strlcpy(buf, "hello", size), 5);
		if (size > 0) {
			EXPECT_EQ(strlen(buf), MIN(size - 1, 5));
			EXPECT(strncmp(buf, "hello", MIN(size - 1, 5)) == 0);
		}
		for (size_t i = MIN(size, 6); i < sizeof(buf); i++)
			EXPECT_EQ(buf[i], '!');
	}
}

TEST(string_str_to_u64_cases)
{
	static const struct {
		const char *text;
		unsigned base;
		uint64_t value;
		size_t consumed;
	} cases[] = {
		{"0", 0, 0, 1},
		{"", 0, 0, 0},
		{"x", 10, 0, 0},
		{"42k", 0, 42, 2},
		{"0x2a", 0, 42, 4},
		{"0X2A", 16, 42, 4},
		{"2a", 16, 42, 2},
		{"0x", 0, 0, 1},
		{"0xg", 16, 0, 1},
		{"052", 0, 42, 3},
		{"08", 0, 0, 1},
		{"-1", 0, 0, 0},
		{" 1", 0, 0, 0},
		{"zz", 36, 35 * 36 + 35, 2},
		{"18446744073709551615", 10, UINT64_MAX, 20},
		{"18446744073709551616", 10, UINT64_MAX, 20},
		{"18446744073709551610", 10, UINT64_MAX - 5, 20},
		{"99999999999999999999999", 10, UINT64_MAX, 23},
		{"0xffffffffffffffff", 0, UINT64_MAX, 18},
		{"0x10000000000000000", 0, UINT64_MAX, 19},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *end;
		EXPECT_EQ(str_to_u64(cases[i].text, &end, cases[i].base), cases[i].value);
		if (!EXPECT_EQ(end - cases[i].text, cases[i].consumed))
			ktest_note("with \"%s\"", cases[i].text);
	}
	EXPECT_EQ(str_to_u64("7", nullptr, 0), 7);
}

PROPERTY(string_str_to_u64_against_libc, 500)
{
	char text[32];
	uint64_t v = test_random(random) >> test_random_below(random, 64);
	unsigned base = (unsigned[]){0, 8, 10, 16}[test_random_below(random, 4)];

	snprintf(text, sizeof(text), base == 8 ? "%lo" : base == 16 ? "%lx" : "%lu", v);
	strcat(text, (const char *[]){"", ",", "kB", "\n"}[test_random_below(random, 4)]);
	const char *end;
	char *libc_end;
	EXPECT_EQ(str_to_u64(text, &end, base), strtoull(text, &libc_end, (int)base));
	EXPECT_EQ(end, libc_end);
}

TEST(kerr_has_a_name_for_each_errno_we_use)
{
	EXPECT_EQ(-(int)KERR_NOENT, ENOENT);
	EXPECT_EQ(-(int)KERR_FAULT, EFAULT);
	EXPECT_EQ(-(int)KERR_OVERFLOW, EOVERFLOW);
	EXPECT_EQ(-(int)KERR_NAMETOOLONG, ENAMETOOLONG);
	EXPECT_EQ(-(int)KERR_DEADLOCK, EDEADLK);
	EXPECT_EQ(-(int)KERR_TIMEDOUT, ETIMEDOUT);
	EXPECT_STR(kerr_name(KERR_OK), "no error");
	EXPECT_STR(kerr_name(KERR_NOMEM), "out of memory");
	EXPECT_STR(kerr_name((enum kerr)12345), "unknown error");
}
