/* core/cmdline.c: words, values, quotes, the last one wins; and whatever bytes a loader gives. */
#include "machine.h"

#include <core/cmdline.h>
#include <core/profile.h>
#include <lib/format.h>

void cmdline_set(const char *text); /* core_private.h's */

static bool value_is(const char *name, const char *expected)
{
	char value[64];

	return EXPECT(cmdline_get(name, value, sizeof(value))) && EXPECT_STR(value, expected);
}

TEST(cmdline_words_and_values)
{
	cmdline_set("quiet init=/bin/sh  console=ttyS0 empty= console=framed  n=0x10 m=12k");
	EXPECT(cmdline_has("quiet"));
	EXPECT(!cmdline_has("quie"));
	EXPECT(!cmdline_has("quiet2"));
	EXPECT(!cmdline_has("sh"));
	EXPECT(!cmdline_has("/bin/sh"));
	EXPECT(!cmdline_has("framed"));
	value_is("quiet", "");
	value_is("empty", "");
	value_is("init", "/bin/sh");
	value_is("console", "framed");
	EXPECT_EQ(cmdline_u64("n", 1), 16);
	EXPECT_EQ(cmdline_u64("m", 1), 1);
	EXPECT_EQ(cmdline_u64("empty", 5), 5);
	EXPECT_EQ(cmdline_u64("none", 6), 6);
	EXPECT_STR(cmdline() + strlen(cmdline()) - 5, "m=12k");
}

TEST(cmdline_quotes)
{
	cmdline_set("a=\"two words\" \"b c=1\" d=x\"y z\"w e=\"open end");
	value_is("a", "two words");
	value_is("d", "xy zw");
	value_is("e", "open end");
	EXPECT(!cmdline_has("words"));
	EXPECT(!cmdline_has("c"));
}

TEST(cmdline_edges)
{
	char value[4];

	cmdline_set("");
	EXPECT(!cmdline_has("a"));
	cmdline_set("   ");
	EXPECT(!cmdline_has("a"));
	cmdline_set("  a=123456  ");
	EXPECT(cmdline_get("a", value, sizeof(value)));
	EXPECT_STR(value, "123");
	EXPECT(cmdline_get("a", value, 1));
	EXPECT_STR(value, "");
	EXPECT(cmdline_get("a", value, 0));
	cmdline_set("a");
	EXPECT(cmdline_has("a"));
	cmdline_set("a=b=c");
	value_is("a", "b=c");
}

PROPERTY(cmdline_any_bytes, 200)
{
	static const char letters[] = "ab=\" \"= ";
	char text[40], value[8];
	size_t n = test_random_below(random, sizeof(text));

	for (size_t i = 0; i < n; i++)
		text[i] = test_random_below(random, 8) ? letters[test_random_below(random, 8)]
						       : (char)test_random(random);
	text[n] = '\0';
	cmdline_set(text);
	for (const char *name = "a\0b\0ab\0\0"; *name; name += strlen(name) + 1) {
		if (cmdline_get(name, value, sizeof(value)))
			EXPECT(strlen(value) < sizeof(value));
		(void)cmdline_u64(name, 0);
	}
}

/* core/profile.c: the words of a profile count, and what the line says counts more. */
TEST(cmdline_profile)
{
	const char *name, *words;
	char line[64];

	cmdline_set("quiet");
	EXPECT_STR(profile_name(), "");
	EXPECT(!cmdline_has("pmm"));
	cmdline_set("profile=nonsense");
	EXPECT_STR(profile_name(), "");
	cmdline_set("profile=minimal sched=prio");
	EXPECT_STR(profile_name(), "minimal");
	value_is("pmm", "bitmap");
	value_is("sched", "prio");
	EXPECT_EQ(cmdline_u64("limit.files", 0), 64);
	EXPECT_STR(cmdline(), "profile=minimal sched=prio");
	cmdline_set("pmm=hybrid profile=minimal");
	value_is("pmm", "hybrid");
	for (unsigned i = 0; (name = profile_get(i, &words)); i++) {
		format(line, sizeof(line), "profile=%s", name);
		cmdline_set(line);
		EXPECT_STR(profile_name(), name);
		EXPECT(!strstr(words, "  ") && *words);
	}
	cmdline_set("");
	EXPECT_STR(profile_name(), "");
}
