/*
 * The profiles: what each kind of machine starts with. A profile is words of the command line that
 * count as if they stood in front of it, so that any single word there overrides its own, and a
 * subsystem needs to know nothing of profiles.
 *
 *   pmm, heap, sched               which frame allocator, heap and scheduler
 *   transparent_hugepage           huge pages for programs: always, madvise, never
 *   limit.files, limit.processes   what program 1 may have, and so all others at first
 *   watchdog_thresh, hung_task_timeout_secs, heap_debug
 */
#include <core/profile.h>
#include <lib/compiler.h>

static const struct {
	const char *name, *words;
} profiles[] = {
	{"minimal", "pmm=bitmap heap=list sched=fifo transparent_hugepage=never limit.files=64 "
		    "limit.processes=64 hung_task_timeout_secs=0"},
	{"desktop", "pmm=buddy heap=slab sched=mlfq transparent_hugepage=madvise"},
	{"server", "pmm=hybrid heap=slab sched=prio transparent_hugepage=always limit.files=65536"},
	{"realtime", "pmm=buddy heap=slab sched=prio transparent_hugepage=never watchdog_thresh=2"},
	{"debug", "heap=slab heap_debug watchdog_thresh=5 hung_task_timeout_secs=30"},
};

const char *profile_get(unsigned index, const char **words)
{
	if (index >= ARRAY_SIZE(profiles))
		return nullptr;
	*words = profiles[index].words;
	return profiles[index].name;
}
