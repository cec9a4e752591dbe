/* /sys/kernel/mm/mempolicy/weighted_interleave/nodeN: frames that a node gives in a row under
 * MPOL_WEIGHTED_INTERLEAVE, 1 to 255. An empty line or 0 is the default, 1. */
#include "sysfs.h"

#include <lib/format.h>
#include <mm/policy.h>

static enum kerr show_weight(struct text *t, const struct proc_subject *s)
{
	text_print(t, "%u\n", policy_weight((unsigned)s->number));
	return KERR_OK;
}

static enum kerr write_weight(const char *text, size_t length, const struct proc_subject *s)
{
	char line[8];
	const char *end = line;
	uint64_t weight = 0;

	if (text_line(text, length, line, sizeof(line)))
		weight = str_to_u64(line, &end, 10);
	else if (length > 1)
		return KERR_INVAL;
	if (length > 1 && (end == line || *end || weight > UINT8_MAX))
		return KERR_INVAL;
	policy_set_weight((unsigned)s->number, (uint8_t)weight);
	return KERR_OK;
}

static const struct proc_entry weight_file = {
	.mode = S_IFREG | 0644, .show = show_weight, .write = write_weight};

static const struct proc_entry no_entries[] = {{}};

const struct proc_entry sysfs_mempolicy[] = {
	{.name = "weighted_interleave",
	 .mode = DIR_MODE,
	 .children = no_entries,
	 .find = sysfs_node_find,
	 .next = sysfs_node_next,
	 .each = &weight_file},
	{},
};
