/*
 * Another frame allocator for the running machine (RL-2, the slot `frames`).
 *
 * A zone knows its policy, so zone after zone is changed, and a zone FRAME_BLOCK frames (8 MiB) at a time, under its own
 * lock: the old policy writes down what is free there as one bit a frame, and has it no more; the new one takes it
 * over and counts what it then has. In between the lock is free and the zone has two policies, each with its own lists
 * and bitmap: all below `moved` is the new one's. Blocks neither lie across that line nor join across it,
 * as none is larger than FRAME_BLOCK. A free goes to who has the frame; an allocation asks the old one, and then the
 * new one. At the end the new one's part becomes the zone's, which is some thirty stores.
 *
 * So the pause, the longest time for which a zone is locked, depends neither on the size of the memory nor on how
 * much of it is free; the worst is a block of which every second frame is free, for buddy.
 *
 * The audit is made on the way: each block has as many frames with the new policy as the old one gave, and in the
 * end the new policy, which was counted along with every allocation and free since, has as many as the zone.
 *
 * CPU caches need not be emptied: what is in them is out, as if somebody used it, and comes back to
 * whatever policy there is by then. The same with blocks in use: a free gives the policy the block and
 * its size, and no policy remembers what it gave away.
 *
 * Nothing under the lock needs memory, and going back is the same change once more, which cannot fail. The
 * bitmaps that a policy works on are made before (`prepare`: zone.spare) and given back when no policy uses them any
 * more, but those of the boot, which stay for the next time.
 *
 * `bump` can be left, but not changed to: it loses what is freed.
 *
 * Cost outside of a change: a predictable branch where a zone gives and takes, behind the CPU caches. Rejected: a zone
 * at once (the pause grew with the memory: 0.2 million instructions for 512 MiB); a list of runs (unbounded under
 * fragmentation).
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
static nsec_t pause;
static bool good;

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

static void bitmap_free(struct frame_bitmap *b)
{
	if (!b->mapped)
		return;
	kmap_free(b->mapped);
	*b = (struct frame_bitmap){};
}

void frame_policy_release(void)
{
	struct zone *z;

	for (size_t i = 0; (z = zone_get(i)); i++) {
		bitmap_free(&z->spare);
		if (!frame_allocator->keeps_bitmap)
			bitmap_free(&z->bitmap);
	}
}

/* Those that are nobody's: no lock is needed to make them. */
static enum kerr bitmaps_make(void)
{
	struct zone *z;

	for (size_t i = 0; (z = zone_get(i)); i++) {
		if (z->spare.words || (z->bitmap.words && !frame_allocator->keeps_bitmap))
			continue;
		void *memory = kmap_alloc(bitmap_bytes(z));
		if (!memory)
			return KERR_NOMEM;
		bitmap_place(&z->spare, z, memory);
		z->spare.mapped = memory;
	}
	return KERR_OK;
}

enum kerr frame_policy_prepare(const struct frame_allocator_ops *next)
{
	if (next->loses)
		return KERR_OPNOTSUPP;
	enum kerr err = next->keeps_bitmap ? bitmaps_make() : KERR_OK;
	if (err != KERR_OK)
		frame_policy_release();
	return err;
}

void frame_policy_change(const struct frame_allocator_ops *next)
{
	struct zone *z;

	pause = 0;
	good = true;
	for (size_t i = 0; (z = zone_get(i)); i++) {
		nsec_t held;
		if (z->policy == next)
			continue;
		good &= zone_change_policy(z, next, &held);
		pause = MAX(pause, held);
	}
	WRITE_ONCE(frame_allocator, next);
}

bool frame_policy_audit(void)
{
	return good;
}

nsec_t frame_policy_pause(void)
{
	return pause;
}
