/*
 * The slot `frames` (RL-2): the frame allocators. mm/frames/change.c is the mechanism; its parts are the
 * steps of a swap as follows.
 *
 *	init      memory for the new one's bitmaps
 *	quiesce   nothing: each 8 MiB of a zone are changed for themselves, under its lock
 *	export    which policy it was, and how many frames there are
 *	import    the change, zone by zone
 *	switch    the audit that was made on the way: every zone's new policy has as many free frames as the zone
 *	          counted, and the machine as many frames as before
 *
 * After a failure the frames go back in the same way. The pause is the longest time for which one zone was
 * locked.
 */
#include <core/init.h>
#include <lib/string.h>
#include <mm/change.h>
#include <mm/memory.h>
#include <module/slot.h>

#define POLICIES_MAX 8u

struct state {
	char policy[16];
	uint64_t total; /* frames that the allocators were ever given */
};

static struct slot_provider providers[POLICIES_MAX]; /* (const after init) */
static const struct frame_allocator_ops *replaced; /* (slot.swapping) while import has been done */
static uint64_t total; /* (slot.swapping) what was exported */

static enum kerr frames_export(void *instance, struct slot_state *out)
{
	struct state state = {.total = frame_totals().total};

	strlcpy(state.policy, frame_policy_name(instance), sizeof(state.policy));
	return slot_state_put(out, &state, sizeof(state));
}

static enum kerr frames_import(void *instance, const struct slot_state *in)
{
	struct state state;
	size_t at = 0;
	enum kerr err = slot_state_take(in, &at, &state, sizeof(state));

	if (err != KERR_OK)
		return err;
	total = state.total;
	replaced = frame_policy_current();
	frame_policy_change(instance);
	return KERR_OK;
}

static enum kerr frames_check(void *instance)
{
	return frame_policy_audit() && frame_totals().total == total ? KERR_OK : KERR_IO;
}

static enum kerr frames_prepare(struct slot *s, const struct slot_provider *to,
				struct slot_state *room)
{
	enum kerr err = slot_state_reserve(room, sizeof(struct state));

	return err == KERR_OK ? frame_policy_prepare(to->ops) : err;
}

static void frames_undo(struct slot *s, const struct slot_state *state)
{
	if (replaced)
		frame_policy_change(replaced);
}

static void frames_end(void *instance)
{
	replaced = nullptr;
	frame_policy_release();
}

static nsec_t frames_pause(struct slot *s)
{
	return frame_policy_pause();
}

static const struct slot_quiet quiet = {
	.prepare = frames_prepare, .undo = frames_undo, .pause = frames_pause};
static struct slot slot = {.name = "frames", .kind = SLOT_FRAME_ALLOCATOR, .quiet = &quiet};

static enum kerr frames_slot_init(const struct boot_info *info)
{
	const struct frame_allocator_ops *ops;
	struct slot_provider *first = nullptr;
	enum kerr err;

	for (size_t i = 0; i < POLICIES_MAX && (ops = frame_policy_get(i)); i++) {
		providers[i] = (struct slot_provider){
			.name = frame_policy_name(ops),
			.version = FRAME_POLICY_VERSION,
			.oldest = FRAME_POLICY_VERSION,
			.ops = ops,
			.fini = frames_end,
			.export = frames_export,
			.import = frames_import,
			.check = frames_check,
		};
		if (ops == frame_policy_current())
			first = &providers[i];
	}
	err = slot_add(&slot, first);
	for (size_t i = 0; err == KERR_OK && i < POLICIES_MAX && providers[i].name; i++)
		if (&providers[i] != first)
			err = slot_provider_add(slot.name, &providers[i]);
	return err;
}

static const struct init_ops ops = {.init = frames_slot_init};
INIT_SUBSYSTEM(frames_slot, .optional = true, .phase = INIT_LATE, .priority = 86,
	       .requires = INIT_SCHEDULER | INIT_MEMORY, .ops = &ops);
