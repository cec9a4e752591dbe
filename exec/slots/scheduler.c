/*
 * The slot `scheduler` (RL-2): its providers are the policies that were there at boot. exec/sched_change.c is the
 * whole mechanism; here is only how its parts are the steps of a swap.
 *
 *	quiesce   nothing: a run queue knows its policy, so each CPU is changed for itself
 *	export    which policy it was, under which number of changes
 *	import    sched_policy_try(): CPU by CPU the queue is drained into the new policy's, each thread with
 *	          its struct sched_carry
 *	switch    sched_policy_keep(); or, after a failure, sched_policy_back()
 *
 * The pause is the longest time for which one run queue was locked.
 */
#include <core/init.h>
#include <exec/sched.h>
#include <lib/string.h>
#include <module/slot.h>

#define STATE_VERSION 1u

struct state {
	char policy[16];
	uint64_t changes;
};

static struct slot_provider providers[SCHED_POLICIES_MAX]; /* (const after init) */
static bool tried; /* (slot.swapping) a change waits for its decision */

static enum kerr scheduler_export(void *instance, struct slot_state *out)
{
	const struct scheduler_ops *ops = instance;
	struct sched_change_stats figures;
	struct state state = {};

	sched_change_figures(&figures);
	strlcpy(state.policy, ops->name, sizeof(state.policy));
	state.changes = figures.changes;
	return slot_state_put(out, &state, sizeof(state));
}

/* EXIST, which a change past the slot brings about, is an answer of the swap. */
static enum kerr scheduler_import(void *instance, const struct slot_state *in)
{
	struct state state;
	size_t at = 0;
	enum kerr err = slot_state_take(in, &at, &state, sizeof(state));

	if (err == KERR_OK)
		err = sched_policy_try(instance);
	tried = err == KERR_OK;
	return err;
}

static enum kerr scheduler_check(void *instance)
{
	const struct scheduler_ops *ops = instance;

	return !tried || strcmp(sched_name(), ops->name) == 0 ? KERR_OK : KERR_IO;
}

static void scheduler_turn(struct slot *s, const struct slot_provider *to, void *instance)
{
	sched_policy_keep();
	tried = false;
}

static void scheduler_undo(struct slot *s, const struct slot_state *state)
{
	if (tried)
		sched_policy_back();
	tried = false;
}

static nsec_t scheduler_pause(struct slot *s)
{
	struct sched_change_stats figures;

	sched_change_figures(&figures);
	return figures.pause_last;
}

static const struct slot_quiet quiet = {
	.undo = scheduler_undo, .turn = scheduler_turn, .pause = scheduler_pause};
static struct slot slot = {.name = "scheduler", .kind = SLOT_SCHEDULER, .quiet = &quiet};

static enum kerr scheduler_slot_init(const struct boot_info *info)
{
	const struct scheduler_ops *ops, *current = sched_policy_find(sched_name());
	struct slot_provider *first = nullptr;
	enum kerr err;

	for (size_t i = 0; (ops = sched_policy_get(i)); i++) {
		providers[i] = (struct slot_provider){
			.name = ops->name,
			.version = STATE_VERSION,
			.oldest = STATE_VERSION,
			.ops = ops,
			.export = scheduler_export,
			.import = scheduler_import,
			.check = scheduler_check,
		};
		if (ops == current)
			first = &providers[i];
	}
	err = slot_add(&slot, first);
	for (size_t i = 0; err == KERR_OK && sched_policy_get(i); i++)
		if (&providers[i] != first)
			err = slot_provider_add(slot.name, &providers[i]);
	return err;
}

static const struct init_ops ops = {.init = scheduler_slot_init};
INIT_SUBSYSTEM(scheduler_slot, .optional = true, .phase = INIT_LATE, .priority = 85,
	       .requires = INIT_SCHEDULER, INIT_DEPENDS("scheduler"), .ops = &ops);
