/*
 * Another frame allocator for the running machine (RL-2, the slot `frames`).
 *
 * A zone knows its policy, so zone after zone is changed, under its own lock: the old policy writes down
 * what is free as one bit a frame, and is empty afterwards; each run of bits is given to the new one. The
 * pause is the time one zone is locked. Meanwhile some zones have the old policy and some the new one,
 * which nobody notices: a frame is freed to the zone it is of.
 *
 * CPU caches need not be emptied: what is in them is out, as if somebody used it, and comes back to
 * whatever policy there is by then. The same with blocks in use: a free gives the policy the block and
 * its size, and no policy remembers what it gave away.
 *
 * The bits are of a fixed size, so the lock is held without a need for memory, and going back is the same
 * change once more, which cannot fail. The bitmaps that a policy works on are made before (`prepare`) and
 * given back when no policy uses them any more, but those of the boot, which stay for the next time.
 *
 * `bump` can be left, but not changed to: it loses what is freed.
 *
 * Cost under the lock: a word per 64 frames of the zone, and each free block once; figures in
 * docs/hot-swap.md. Rejected: a list of runs (unbounded under fragmentation, and memory is not to be had here);
 * moving block by block with the lock dropped in between (two policies would merge across each other).
 */
#include "allocator.h"

#include <core/panic.h>
#include <lib/compiler.h>
#include <lib/string.h>
#include <mm/change.h>
#include <mm/kmap.h>

static const struct frame_allocator_ops *const all[] = {
	&frame_allocator_buddy, &frame_allocator_bitmap, &frame_allocator_hybrid,
	&frame_allocator_bump};

/* (slot.swapping) */
static void *transfer;
static nsec_t pause;

const struct frame_allocator_ops *frame_policy_get(size_t index)
{
	return index < ARRAY_SIZE(all) ? all[index] : nullptr;
}

const char *frame_policy_name(const struct frame_allocator_ops *policy)
{
	return policy->name;
}

const struct frame_allocator_ops *frame_policy_current(void)
{
	return READ_ONCE(frame_allocator);
}

void frame_policy_release(void)
{
	struct zone *z;

	kmap_free(transfer);
	transfer = nullptr;
	for (size_t i = 0; !frame_allocator->keeps_bitmap && (z = zone_get(i)); i++) {
		if (!z->bitmap.mapped)
			continue;
		kmap_free(z->bitmap.mapped);
		z->bitmap = (struct frame_bitmap){};
	}
}

/* The zone's bitmap is nobody's: no lock is needed to make it. */
static enum kerr bitmaps_make(void)
{
	struct zone *z;

	for (size_t i = 0; (z = zone_get(i)); i++) {
		if (z->bitmap.words)
			continue;
		void *memory = kmap_alloc(bitmap_bytes(z));
		if (!memory)
			return KERR_NOMEM;
		bitmap_place(&z->bitmap, z, memory);
		z->bitmap.mapped = memory;
	}
	return KERR_OK;
}

enum kerr frame_policy_prepare(const struct frame_allocator_ops *next)
{
	size_t most = 0;
	enum kerr err = KERR_NOMEM;
	struct zone *z;

	if (next->loses)
		return KERR_OPNOTSUPP;
	for (size_t i = 0; (z = zone_get(i)); i++)
		most = MAX(most, bitmap_bytes(z));
	transfer = kmap_alloc(most);
	if (transfer)
		err = next->keeps_bitmap ? bitmaps_make() : KERR_OK;
	if (err != KERR_OK)
		frame_policy_release();
	return err;
}

void frame_policy_change(const struct frame_allocator_ops *next)
{
	struct zone *z;

	BUG_ON(!transfer);
	pause = 0;
	for (size_t i = 0; (z = zone_get(i)); i++) {
		struct frame_bitmap free = {};
		if (z->policy == next)
			continue;
		memset(transfer, 0, bitmap_bytes(z));
		bitmap_place(&free, z, transfer);
		nsec_t held = zone_change_policy(z, next, &free);
		pause = MAX(pause, held);
	}
	WRITE_ONCE(frame_allocator, next);
}

bool frame_policy_audit(void)
{
	struct zone *z;
	bool good = true;

	for (size_t i = 0; (z = zone_get(i)); i++) {
		nsec_t held;
		good &= zone_audit(z, &held);
		pause = MAX(pause, held);
	}
	return good;
}

nsec_t frame_policy_pause(void)
{
	return pause;
}
