/*
 * /sys/kernel/slots: the places whose implementation can be exchanged, with what is there and how long the
 * exchanges took. Writing "SLOT PROVIDER" exchanges it; "fail=STEP" behind it makes that step fail, to see
 * the slot go back.
 */
#include "sysfs.h"

#include <exec/domain.h>
#include <lib/format.h>
#include <module/slot.h>

enum kerr sysfs_show_slots(struct text *t, const struct proc_subject *s)
{
	struct slot_view v;

	text_print(t, "%-14s %-10s %-12s %8s %9s %10s %12s %9s  %s\n", "slot", "kind", "provider",
		   "swaps", "rollbacks", "last (us)", "median (us)", "max (us)", "providers");
	for (size_t i = 0; slot_view_get(i, &v); i++)
		text_print(t, "%-14s %-10s %-12s %8lu %9lu %10lu %12lu %9lu  %s\n", v.name, v.kind,
			   v.provider, (unsigned long)v.swaps, (unsigned long)v.rollbacks,
			   (unsigned long)(v.pause_last / NSEC_PER_USEC),
			   (unsigned long)(v.pause_median / NSEC_PER_USEC),
			   (unsigned long)(v.pause_max / NSEC_PER_USEC), v.others);
	return KERR_OK;
}

bool sysfs_word(const char **at, char *out, size_t size)
{
	size_t n = 0;
	while (**at == ' ')
		++*at;
	for (; **at && **at != ' '; ++*at)
		if (n < size)
			out[n++] = **at;
	if (n == 0 || n >= size)
		return false;
	out[n] = '\0';
	return true;
}

static bool parse_step(const char *text, enum slot_step *out)
{
	if (strncmp(text, "fail=", 5) != 0)
		return false;
	for (*out = SLOT_STEP_INIT; *out < SLOT_STEP_NONE; ++*out)
		if (strcmp(text + 5, slot_step_name(*out)) == 0)
			return true;
	return false;
}

enum kerr sysfs_write_slots(const char *text, size_t length, const struct proc_subject *s)
{
	char line[128], slot[32], provider[32], fail[32];
	const char *at = line;
	enum slot_step step = SLOT_STEP_NONE;

	if (!process_capable(TERN_CAP_HOT_SWAP, LINUX_CAP_SYS_MODULE))
		return KERR_PERM;
	if (!text_line(text, length, line, sizeof(line)) || !sysfs_word(&at, slot, sizeof(slot)) ||
	    !sysfs_word(&at, provider, sizeof(provider)))
		return KERR_INVAL;
	if (*at && (!sysfs_word(&at, fail, sizeof(fail)) || !parse_step(fail, &step)))
		return KERR_INVAL;
	return slot_swap(slot, provider, step);
}
