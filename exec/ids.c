/*
 * Numbers of processes, threads, groups and sessions: one space, 1 .. ID_MAX - 1. A number is free
 * when nothing uses it: the group of a dead leader keeps it. The next one is searched upward
 * from the last one given, so that a number comes back as late as possible.
 *
 * Data: a count of uses for each number (32 KiB), under `lock`. Cost: O(1) while few are in use.
 */
#include "process_private.h"
#include <core/panic.h>

#define ID_MAX PID_MAX

static struct spinlock lock = SPINLOCK_INIT(RANK_SIGNAL, "ids");
static uint8_t uses[ID_MAX];
static int last = 1;
static int in_use;

enum kerr id_alloc(int *out)
{
	enum kerr err = KERR_AGAIN;
	bool on = spin_lock_irq(&lock);

	/* Numbers below 300 are given once only, so that a full table has room for the roots'. */
	for (int tried = 0, id = last; tried < ID_MAX && in_use < ID_MAX - 2; tried++) {
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

void ids_reserve_first(void)
{
	uses[1] = 1;
	in_use++;
}
