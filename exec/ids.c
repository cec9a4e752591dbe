/*
 * Numbers of processes, threads, groups and sessions: one space, 1 .. ID_MAX - 1. A number is free
 * when nothing uses it: the group of a dead leader keeps it. The next one is searched upward
 * from the last one given, so that a number comes back as late as possible.
 *
 * There are no more of them at a time than memory can hold: a sixteenth of it in kernel stacks, since
 * tables and copied pages take several times as much, so that a fork bomb ends in KERR_AGAIN and not
 * in the last free frame.
 *
 * How many may be in use depends on the memory, as on Linux: threads with their stacks and tables
 * must not eat all of it, or a fork bomb leaves nothing to kill it with.
 *
 * Data: a count of uses for each number (32 KiB), under `lock`. Cost: O(1) while few are in use.
 */
#include "process_private.h"
#include <core/panic.h>
#include <mm/frame.h>
#include <mm/kmap.h>

#define ID_MAX PID_MAX

static struct spinlock lock = SPINLOCK_INIT(RANK_SIGNAL, "ids");
static uint8_t uses[ID_MAX];
static int last = 1;
static int in_use;
static int limit RO_AFTER_INIT = ID_MAX - 2;
static int limit; /* (lock) 0: not known yet */

#define FRAMES_PER_THREAD (16 * KSTACK_SIZE / PAGE_SIZE)

enum kerr id_alloc(int *out)
{
	enum kerr err = KERR_AGAIN;
	bool on = spin_lock_irq(&lock);

	if (limit == 0)
		limit = (int)MIN(MAX(frame_totals().total / FRAMES_PER_THREAD, 64u), ID_MAX - 2u);
	/* Numbers below 300 are given once only, so that a full table has room for the roots'. */
	for (int tried = 0, id = last; tried < ID_MAX && in_use < limit; tried++) {
		if (++id >= ID_MAX)
			id = 300;
		if (uses[id])
			continue;
		uses[id] = 1;
		in_use++;
		last = id;
		*out = id;
		err = KERR_OK;
		break;
	}
	spin_unlock_irq(&lock, on);
	return err;
}

void id_hold(int id)
{
	bool on = spin_lock_irq(&lock);

	uses[id]++;
	spin_unlock_irq(&lock, on);
}

void id_release(int id)
{
	bool on = spin_lock_irq(&lock);

	BUG_ON(uses[id] == 0);
	if (--uses[id] == 0)
		in_use--;
	spin_unlock_irq(&lock, on);
}

int id_last(void)
{
	return READ_ONCE(last);
}

int id_limit(void)
{
	return limit;
}

void ids_boot(void)
{
	uint64_t fit = frame_totals().total * PAGE_SIZE / (8 * KSTACK_SIZE);

	limit = (int)MIN(MAX(fit, 64), (uint64_t)limit);
	uses[1] = 1;
	in_use++;
}
