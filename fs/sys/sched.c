/*
 * /sys/kernel/sched: the scheduler.
 *
 *	policy    the name of the policy in use; writing another one (see policies) swaps the slot `scheduler`
 *	policies  all there are, a line each: name, version
 *	stats     for each CPU: switches by reason, threads that wait, what the policy counts
 *	change    what changes of the policy cost
 */
#include "sysfs.h"

#include <core/cpu.h>
#include <exec/domain.h>
#include <exec/sched.h>
#include <lib/string.h>
#include <module/slot.h>

static enum kerr show_policy(struct text *t, const struct proc_subject *s)
{
	text_print(t, "%s\n", sched_name());
	return KERR_OK;
}

static enum kerr write_policy(const char *text, size_t length, const struct proc_subject *s)
{
	char name[16];

	if (!process_capable(TERN_CAP_HOT_SWAP, LINUX_CAP_SYS_MODULE))
		return KERR_PERM;
	if (!text_line(text, length, name, sizeof(name)))
		return KERR_INVAL;
	return sched_policy_find(name) ? slot_swap("scheduler", name, SLOT_STEP_NONE) : KERR_INVAL;
}

static enum kerr show_policies(struct text *t, const struct proc_subject *s)
{
	const struct scheduler_ops *ops;

	for (size_t i = 0; (ops = sched_policy_get(i)); i++)
		text_print(t, "%s %u\n", ops->name, ops->version);
	return KERR_OK;
}

static enum kerr show_stats(struct text *t, const struct proc_subject *s)
{
	struct sched_stats st;

	text_print(t, "%-4s %10s %10s %10s %10s %10s %10s %8s %8s %6s %6s %8s %8s\n", "cpu",
		   "preempted", "interrupt", "yielded", "blocked", "exit", "new", "pushed",
		   "pulled", "ready", "held", "boosts", "sunk");
	for (cpu_t c = 0; c < cpu_count; c++) {
		sched_stats(c, &st);
		text_print(t,
			   "%-4u %10lu %10lu %10lu %10lu %10lu %10lu %8lu %8lu %6u %6u %8lu "
			   "%8lu\n",
			   c, (unsigned long)st.switches[SWITCH_PREEMPTED],
			   (unsigned long)st.switches[SWITCH_INTERRUPT],
			   (unsigned long)st.switches[SWITCH_YIELDED],
			   (unsigned long)st.switches[SWITCH_BLOCKED],
			   (unsigned long)st.switches[SWITCH_EXIT], (unsigned long)st.starts,
			   (unsigned long)st.migrations, (unsigned long)st.pulls, st.ready, st.held,
			   (unsigned long)st.boosts, (unsigned long)st.sunk);
	}
	return KERR_OK;
}

static enum kerr show_change(struct text *t, const struct proc_subject *s)
{
	struct sched_change_stats c;

	sched_change_figures(&c);
	text_print(t, "changes %lu\nthreads %lu\npause_last_ns %lu\npause_max_ns %lu\n",
		   (unsigned long)c.changes, (unsigned long)c.threads, (unsigned long)c.pause_last,
		   (unsigned long)c.pause_max);
	return KERR_OK;
}

const struct proc_entry sysfs_sched[] = {
	{.name = "change", .mode = FILE_MODE, .show = show_change},
	{.name = "policies", .mode = FILE_MODE, .show = show_policies},
	{.name = "policy",
	 .mode = S_IFREG | 0644,
	 .show = show_policy,
	 .write = write_policy,
	 .write_checks = true},
	{.name = "stats", .mode = FILE_MODE, .show = show_stats},
	{},
};
