/*
 * /sys/kernel/sched: the scheduler.
 *
 *	policy    the name of the policy in use; writing another one (see policies) swaps the slot `scheduler`
 *	policies  all there are, a line each: name, version
 *	stats     for each CPU: switches by reason, threads that wait, what the policy counts
 *	change    what changes of the policy cost
 *	dis/      of the scheduler `dis`: a switch for each strategy (0 or 1), stats; trace: a number written records
 *	          so many runs, which are then read
 */
#include "sysfs.h"

#include <core/cpu.h>
#include <exec/domain.h>
#include <exec/intent.h>
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

/* ---- dis ---- */

static enum kerr show_strategy(struct text *t, unsigned which)
{
	text_print(t, "%u\n", dis_strategy_on(which));
	return KERR_OK;
}

static enum kerr write_strategy(const char *text, size_t length, unsigned which)
{
	char line[4];

	if (!process_capable(TERN_CAP_BYPASS_SCHEDULER, LINUX_CAP_SYS_NICE))
		return KERR_PERM;
	if (!text_line(text, length, line, sizeof(line)) || line[1] ||
	    (line[0] != '0' && line[0] != '1'))
		return KERR_INVAL;
	dis_strategy_set(which, line[0] == '1');
	return KERR_OK;
}

#define STRATEGY(name, which)                                                                      \
	static enum kerr show_##name(struct text *t, const struct proc_subject *s)                 \
	{                                                                                          \
		return show_strategy(t, which);                                                    \
	}                                                                                          \
	static enum kerr write_##name(const char *text, size_t length,                             \
				      const struct proc_subject *s)                                \
	{                                                                                          \
		return write_strategy(text, length, which);                                        \
	}
STRATEGY(slice, DIS_SLICE)
STRATEGY(priority, DIS_PRIORITY)
STRATEGY(affinity, DIS_AFFINITY)
STRATEGY(energy, DIS_ENERGY)

static enum kerr show_dis_stats(struct text *t, const struct proc_subject *s)
{
	struct dis_stats d;

	text_print(t, "%-4s %10s %10s %10s %10s %10s %10s %10s %10s %8s %8s %8s %9s %8s %8s\n",
		   "cpu", "critical", "realtime", "soft", "interact", "server", "batch", "backgr",
		   "idle", "rescues", "overruns", "throttle", "deadlines", "misses", "kept");
	for (cpu_t c = 0; c < cpu_count; c++) {
		if (dis_stats(c, &d) != KERR_OK)
			continue;
		text_print(t, "%-4u", c);
		for (unsigned r = DIS_RANKS - 1; r > 0; r--)
			text_print(t, " %10lu", (unsigned long)d.picked[r]);
		text_print(t, " %8lu %8lu %8lu %9lu %8lu %8lu\n", (unsigned long)d.rescues,
			   (unsigned long)d.overruns, (unsigned long)d.throttles,
			   (unsigned long)d.deadlines, (unsigned long)d.misses,
			   (unsigned long)d.kept);
	}
	return KERR_OK;
}

static enum kerr show_trace(struct text *t, const struct proc_subject *s)
{
	static const char *const why[MODEL_SLEEPS] = {"io", "timer", "event"};
	struct dis_sample d;

	text_print(t, "tid ran waited slept why pages name\n");
	for (uint32_t i = 0; dis_trace_get(i, &d); i++)
		text_print(t, "%d %lu %lu %lu %s %lu %s\n", d.tid, (unsigned long)d.ran,
			   (unsigned long)d.waited, (unsigned long)d.slept, why[d.why],
			   (unsigned long)d.pages, d.name);
	return KERR_OK;
}

static enum kerr write_trace(const char *text, size_t length, const struct proc_subject *s)
{
	char line[8];
	const char *end;

	if (!process_capable(TERN_CAP_BYPASS_SCHEDULER, LINUX_CAP_SYS_NICE))
		return KERR_PERM;
	if (!text_line(text, length, line, sizeof(line)))
		return KERR_INVAL;
	uint64_t samples = str_to_u64(line, &end, 10);
	if (end == line || *end)
		return KERR_INVAL;
	return dis_trace_start((uint32_t)samples);
}

#define SWITCH_MODE (S_IFREG | 0644)
static const struct proc_entry sysfs_dis[] = {
	{.name = "affinity",
	 .mode = SWITCH_MODE,
	 .show = show_affinity,
	 .write = write_affinity,
	 .write_checks = true},
	{.name = "energy",
	 .mode = SWITCH_MODE,
	 .show = show_energy,
	 .write = write_energy,
	 .write_checks = true},
	{.name = "priority",
	 .mode = SWITCH_MODE,
	 .show = show_priority,
	 .write = write_priority,
	 .write_checks = true},
	{.name = "slice",
	 .mode = SWITCH_MODE,
	 .show = show_slice,
	 .write = write_slice,
	 .write_checks = true},
	{.name = "stats", .mode = FILE_MODE, .show = show_dis_stats},
	{.name = "trace",
	 .mode = S_IFREG | 0600,
	 .show = show_trace,
	 .write = write_trace,
	 .write_checks = true},
	{},
};

const struct proc_entry sysfs_sched[] = {
	{.name = "change", .mode = FILE_MODE, .show = show_change},
	{.name = "dis", .mode = DIR_MODE, .children = sysfs_dis},
	{.name = "policies", .mode = FILE_MODE, .show = show_policies},
	{.name = "policy",
	 .mode = S_IFREG | 0644,
	 .show = show_policy,
	 .write = write_policy,
	 .write_checks = true},
	{.name = "stats", .mode = FILE_MODE, .show = show_stats},
	{},
};
