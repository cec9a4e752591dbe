/*
 * /sys/kernel/heal: what is watched, what was done about what broke, and the last events.
 */
#include "sysfs.h"

#include <core/guard.h>
#include <heal/heal.h>

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
