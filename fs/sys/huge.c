/* /sys/kernel/mm: the policy of transparent huge pages, with Linux's names. */
#include "sysfs.h"

#include <lib/string.h>
#include <mm/huge.h>

#define SETTING_MODE (S_IFREG | 0644)

static const char *const mode_names[] = {
	[HUGE_ALWAYS] = "always", [HUGE_MADVISE] = "madvise", [HUGE_NEVER] = "never"};

static enum kerr show_enabled(struct text *t, const struct proc_subject *s)
{
	enum huge_mode now = huge_mode();

	for (unsigned i = 0; i < ARRAY_SIZE(mode_names); i++)
		text_print(t, i == now ? "%s[%s]" : "%s%s", i ? " " : "", mode_names[i]);
	text_print(t, "\n");
	return KERR_OK;
}

static enum kerr write_enabled(const char *text, size_t length, const struct proc_subject *s)
{
	char word[16];

	if (!text_line(text, length, word, sizeof(word)))
		return KERR_INVAL;
	for (unsigned i = 0; i < ARRAY_SIZE(mode_names); i++) {
		if (strcmp(word, mode_names[i]) == 0) {
			huge_set_mode((enum huge_mode)i);
			return KERR_OK;
		}
	}
	return KERR_INVAL;
}

static enum kerr show_size(struct text *t, const struct proc_subject *s)
{
	text_print(t, "%lu\n", (unsigned long)HUGE_SIZE);
	return KERR_OK;
}

static const struct proc_entry sysfs_transparent[] = {
	{.name = "enabled", .mode = SETTING_MODE, .show = show_enabled, .write = write_enabled},
	{.name = "hpage_pmd_size", .mode = FILE_MODE, .show = show_size},
	{},
};

const struct proc_entry sysfs_mm[] = {
	{.name = "mempolicy", .mode = DIR_MODE, .children = sysfs_mempolicy},
	{.name = "transparent_hugepage", .mode = DIR_MODE, .children = sysfs_transparent},
	{},
};
