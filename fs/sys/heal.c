/*
 * /sys/kernel/heal: what is watched, what was done about what broke, the limits of that, and the last events.
 * Writing "COMPONENT LIMIT=N..." sets limits: restarts, swaps, window, backoff, backoff-max (ms), required (0, 1).
 */
#include "sysfs.h"

#include <core/guard.h>
#include <exec/domain.h>
#include <heal/heal.h>
#include <lib/string.h>

enum kerr sysfs_show_heal(struct text *t, const struct proc_subject *s)
{
	struct heal_view v;
	struct heal_event e = {};
	struct guard_figures g;

	text_print(t, "%-16s %-10s %8s %8s %8s %6s %8s %9s %11s %10s\n", "component", "state",
		   "checks", "failures", "restarts", "swaps", "isolated", "escalated",
		   "repair (us)", "max (us)");
	for (size_t i = 0; heal_view_get(i, &v); i++)
		text_print(t, "%-16s %-10s %8lu %8lu %8lu %6lu %8lu %9lu %11lu %10lu\n", v.name,
			   heal_state_name(v.state), (unsigned long)v.counters.checks,
			   (unsigned long)v.counters.failures,
			   (unsigned long)v.counters.done[HEAL_RESTART],
			   (unsigned long)v.counters.done[HEAL_SWAP],
			   (unsigned long)v.counters.done[HEAL_ISOLATE],
			   (unsigned long)v.counters.done[HEAL_ESCALATE],
			   (unsigned long)(v.counters.repaired_last / NSEC_PER_USEC),
			   (unsigned long)(v.counters.repaired_max / NSEC_PER_USEC));
	text_print(t, "\n%-16s %8s %6s %11s %12s %16s %9s\n", "limits", "restarts", "swaps",
		   "window (ms)", "backoff (ms)", "backoff-max (ms)", "required");
	for (size_t i = 0; heal_view_get(i, &v); i++)
		text_print(t, "%-16s %8u %6u %11lu %12lu %16lu %9u\n", v.name, v.limits.restarts,
			   v.limits.swaps, (unsigned long)(v.limits.window / NSEC_PER_MSEC),
			   (unsigned long)(v.limits.backoff / NSEC_PER_MSEC),
			   (unsigned long)(v.limits.backoff_max / NSEC_PER_MSEC),
			   (unsigned)v.limits.required);
	guard_figures(&g);
	text_print(t, "\ncontained: faults %lu, assertions %lu, hangs %lu; not contained %lu\n\n",
		   (unsigned long)g.faults, (unsigned long)g.panics, (unsigned long)g.hangs,
		   (unsigned long)g.escalated);
	while (heal_event_get(e.number, &e))
		text_print(t, "%4lu %6lu.%06lu %-16s %-10s %s\n", (unsigned long)e.number,
			   (unsigned long)(e.time / NSEC_PER_SEC),
			   (unsigned long)(e.time % NSEC_PER_SEC / NSEC_PER_USEC), e.name, e.what,
			   e.why);
	return KERR_OK;
}

#define MS_MAX 86400000u /* a day */

/* "name=N" */
static bool set_limit(struct heal_limits *l, const char *word)
{
	static const char *const names[] = {"restarts", "swaps",       "window",
					    "backoff",  "backoff-max", "required"};
	const char *value = strchr(word, '='), *end;
	size_t which = 0;

	while (value && which < ARRAY_SIZE(names) &&
	       (strlen(names[which]) != (size_t)(value - word) ||
		memcmp(names[which], word, (size_t)(value - word)) != 0))
		which++;
	if (!value || !value[1])
		return false;
	uint64_t n = str_to_u64(value + 1, &end, 10);
	if (*end || n > MS_MAX)
		return false;
	switch (which) {
	case 0:
		l->restarts = (uint32_t)n;
		return true;
	case 1:
		l->swaps = (uint32_t)n;
		return true;
	case 2:
		l->window = n * NSEC_PER_MSEC;
		return true;
	case 3:
		l->backoff = n * NSEC_PER_MSEC;
		return true;
	case 4:
		l->backoff_max = n * NSEC_PER_MSEC;
		return true;
	case 5:
		l->required = n;
		return n <= 1;
	default:
		return false;
	}
}

enum kerr sysfs_write_heal(const char *text, size_t length, const struct proc_subject *s)
{
	char line[160], name[32], limit[40];
	const char *at = line;
	struct heal_view v;

	if (!process_capable(TERN_CAP_HOT_SWAP, LINUX_CAP_SYS_MODULE))
		return KERR_PERM;
	if (!text_line(text, length, line, sizeof(line)) || !sysfs_word(&at, name, sizeof(name)))
		return KERR_INVAL;
	enum kerr err = heal_view_find(name, &v);
	if (err != KERR_OK)
		return err;
	while (*at)
		if (!sysfs_word(&at, limit, sizeof(limit)) || !set_limit(&v.limits, limit))
			return KERR_INVAL;
	return heal_limits_set(name, &v.limits);
}
