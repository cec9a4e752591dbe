/*
 * The block layer: requests, who has them, how long, and who gets them when a driver has been replaced.
 *
 *   block_transfer -> FREE -> QUEUED -> issue (through the slot's gate, guarded) -> ISSUED -> block_complete -> DONE
 *                               ^                                                      |
 *                               +---- the slot has another instance than it was given to
 *
 * A request stays in the device's own table until it is DONE, whatever becomes of the driver. Each remembers
 * the epoch of the slot that it was given to; once the slot's is another one (a swap, a healing), nobody is inside the
 * old instance and none of its work will ever be done, so the device's thread gives the request to the new one. Within
 * an epoch nothing is given twice: a duplicate that is done late could overwrite what was written since.
 *
 * The driver is accused (heal_report) if its call was ended by a fault, if it refuses a request, if one takes
 * longer than d->limit, and if what it read is not what was written (the sums). All that waits goes on when it has
 * been replaced; only if it is isolated do requests end with IO.
 *
 * The thread of a device calls the driver's `work` after block_kick, gives out again what is stale, and looks at
 * the limits while something is in flight. It sleeps otherwise.
 *
 * Locks: stripes (rwlock, by 16 blocks; a transfer lies in one), then the slot's gate, then d->lock (spinlock,
 * interrupt-safe). The driver is called with the gate only.
 *
 * Rejected: giving a timed-out request to the same driver again (see above); a queue between layer and driver (each
 * driver has its own, in the form that its device wants).
 */
#include "block.h"

#include <core/log.h>
#include <core/panic.h>
#include <core/time.h>
#include <lib/export.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <module/call.h>

#define DEVICES_MAX 8u

static struct block_device *devices[DEVICES_MAX]; /* (boot) */

struct block_device *block_find(const char *name)
{
	for (unsigned i = 0; i < DEVICES_MAX && devices[i]; i++)
		if (strcmp(devices[i]->name, name) == 0)
			return devices[i];
	return nullptr;
}

void block_stripe_lock(struct block_device *d, uint64_t block, bool write)
{
	struct rwlock *l = &d->stripes[block / BLOCK_REQUEST_MAX % ARRAY_SIZE(d->stripes)];

	if (write)
		rwlock_write_lock(l);
	else
		rwlock_read_lock(l);
}

void block_stripe_unlock(struct block_device *d, uint64_t block, bool write)
{
	struct rwlock *l = &d->stripes[block / BLOCK_REQUEST_MAX % ARRAY_SIZE(d->stripes)];

	if (write)
		rwlock_write_unlock(l);
	else
		rwlock_read_unlock(l);
}

/* The thread is to look. Any context. */
static void kick(struct block_device *d)
{
	atomic_store(&d->kicked, true);
	wake_all(&d->queue);
}

void block_accuse(struct block_device *d, uint64_t epoch, const char *why)
{
	if (epoch == __atomic_load_n(&d->slot->epoch, __ATOMIC_ACQUIRE))
		heal_report(&d->heal, epoch, why);
	kick(d);
}

/* ---- The driver ---- */

static enum kerr call_submit(struct slot *s, struct block_request *r)
{
	const struct block_ops *ops = s->current->ops;

	return s->current->owner ? module_call(s->current->owner, MODULE_FN(ops->submit),
					       MODULE_ARG(s->instance), MODULE_ARG(r), 0, 0)
				 : ops->submit(s->instance, r);
}

static enum kerr call_work(struct slot *s)
{
	const struct block_ops *ops = s->current->ops;

	if (!ops->work)
		return KERR_OK;
	return s->current->owner ? module_call(s->current->owner, MODULE_FN(ops->work),
					       MODULE_ARG(s->instance), 0, 0, 0)
				 : ops->work(s->instance);
}

enum kerr block_inject(struct block_device *d, enum block_injection what, uint32_t times)
{
	unsigned in = slot_enter(d->slot);
	const struct slot_provider *p = d->slot->current;
	const struct block_ops *ops = p->ops;
	enum kerr err = KERR_OPNOTSUPP;

	if (ops->inject)
		err = p->owner ? module_call(p->owner, MODULE_FN(ops->inject),
					     MODULE_ARG(d->slot->instance), what, times, 0)
			       : ops->inject(d->slot->instance, what, times);
	slot_leave(d->slot, in);
	return err;
}

/* ---- Requests ---- */

/* Takes it for handing out; false: another one does that, or there is nothing to do. */
static bool claim(struct block_device *d, struct block_request *r, uint64_t epoch)
{
	bool on = spin_lock_irq(&d->lock);
	bool mine = !r->busy && (r->state == BLOCK_QUEUED || r->state == BLOCK_ISSUED) &&
		    (r->epoch != epoch || r->since == 0);
	if (mine) {
		r->busy = true;
		r->late = false;
		r->state = BLOCK_ISSUED;
		r->epoch = epoch;
		r->since = time_now();
	}
	spin_unlock_irq(&d->lock, on);
	return mine;
}

/* The driver did not take it: it waits for another one. Or it did, and is gone: the thread has passed over what was
 * busy. */
static void unclaim(struct block_device *d, struct block_request *r, enum kerr err)
{
	bool on = spin_lock_irq(&d->lock);
	r->busy = false;
	if (err != KERR_OK && r->state == BLOCK_ISSUED)
		r->state = BLOCK_QUEUED;
	if ((r->state == BLOCK_QUEUED || r->state == BLOCK_ISSUED) &&
	    r->epoch != __atomic_load_n(&d->slot->epoch, __ATOMIC_ACQUIRE))
		kick(d);
	wake_all(&r->wait);
	spin_unlock_irq(&d->lock, on);
}

/* Gives it to the driver that is there, once. */
static void issue(struct block_device *d, struct block_request *r, bool again)
{
	unsigned in = slot_enter(d->slot);
	uint64_t epoch = d->slot->epoch;
	bool mine = !atomic_load(&d->isolated) && claim(d, r, epoch);
	enum kerr err = mine ? call_submit(d->slot, r) : KERR_OK;
	slot_leave(d->slot, in);

	if (!mine)
		return;
	if (again)
		atomic_fetch_add_explicit(&d->reissued, 1, memory_order_relaxed);
	unclaim(d, r, err);
	if (err != KERR_OK)
		block_accuse(d, epoch,
			     err == KERR_NOMEM ? "the driver has no memory"
			     : err == KERR_IO  ? "the driver crashed at a request"
					       : "the driver takes no requests");
}

bool block_complete(struct block_request *r, enum kerr result)
{
	struct block_device *d = nullptr;

	for (unsigned i = 0; i < DEVICES_MAX && devices[i] && !d; i++) {
		uintptr_t offset = (uintptr_t)r - (uintptr_t)devices[i]->requests;
		if (offset < sizeof(devices[i]->requests) && offset % sizeof(*r) == 0)
			d = devices[i];
	}
	if (!d)
		return false;
	bool on = spin_lock_irq(&d->lock);
	bool ours = r->state == BLOCK_ISSUED;
	if (ours) {
		r->result = result;
		r->state = BLOCK_DONE;
		wake_all(&r->wait);
	} else {
		atomic_fetch_add_explicit(&d->stale, 1, memory_order_relaxed);
	}
	spin_unlock_irq(&d->lock, on);
	return ours;
}

static struct block_request *take_free(struct block_device *d)
{
	struct block_request *found = nullptr;
	bool on = spin_lock_irq(&d->lock);

	for (unsigned i = 0; i < BLOCK_REQUESTS && !found; i++)
		if (d->requests[i].state == BLOCK_FREE) {
			found = &d->requests[i];
			found->state = BLOCK_QUEUED;
			found->since = 0;
			found->busy = found->late = false;
		}
	spin_unlock_irq(&d->lock, on);
	return found;
}

static bool is_done(struct block_device *d, struct block_request *r)
{
	bool on = spin_lock_irq(&d->lock);
	bool done = r->state == BLOCK_DONE && !r->busy;
	spin_unlock_irq(&d->lock, on);
	return done;
}

/* No driver has it any more, or will. */
static void fail(struct block_device *d, struct block_request *r)
{
	bool on = spin_lock_irq(&d->lock);
	if (r->state == BLOCK_QUEUED || r->state == BLOCK_ISSUED) {
		r->state = BLOCK_DONE;
		r->result = KERR_IO;
		wake_all(&r->wait);
	}
	spin_unlock_irq(&d->lock, on);
}

void block_fail_all(struct block_device *d)
{
	for (unsigned i = 0; i < BLOCK_REQUESTS; i++)
		fail(d, &d->requests[i]);
}

static enum kerr one_request(struct block_device *d, enum block_op op, uint64_t block,
			     uint32_t count, uint8_t *data, uint64_t *epoch)
{
	struct block_request *r;

	enum kerr err = wait_until(&d->room, (r = take_free(d)), WAIT_IO, false, NSEC_NEVER);
	if (err != KERR_OK)
		return err;
	r->op = op;
	r->block = block;
	r->count = count;
	r->data = data;
	if (atomic_fetch_add(&d->in_flight, 1) == 0)
		kick(d); /* somebody has to look at the limits */
	issue(d, r, false);
	if (!r->since)
		fail(d, r); /* isolated: no driver has had it */
	err = wait_until(&r->wait, is_done(d, r), WAIT_IO, false, NSEC_NEVER);
	if (err == KERR_OK)
		err = r->result;
	*epoch = r->epoch;
	bool on = spin_lock_irq(&d->lock);
	r->state = BLOCK_FREE;
	spin_unlock_irq(&d->lock, on);
	atomic_fetch_sub(&d->in_flight, 1);
	wake_all(&d->room);
	return err;
}

/* ---- Sums: what was written is what is read ---- */

/* FNV-1a, 32 bits, by words; 0 means that it is not known what was written. */
static uint32_t sum_of(const uint8_t *data)
{
	const uint64_t *words = (const uint64_t *)data;
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < BLOCK_SIZE / sizeof(*words); i++)
		h = (h ^ words[i]) * 0x100000001b3ull;
	uint32_t sum = (uint32_t)(h ^ h >> 32);
	return sum ? sum : 1;
}

static bool is_right(const struct block_device *d, uint64_t block, uint32_t count,
		     const uint8_t *data)
{
	for (uint32_t i = 0; i < count; i++)
		if (d->sums[block + i] && d->sums[block + i] != sum_of(data + i * BLOCK_SIZE))
			return false;
	return true;
}

/* After an error nobody knows how much of it was written: `data` null. */
static void sums_set(struct block_device *d, uint64_t block, uint32_t count, const uint8_t *data)
{
	for (uint32_t i = 0; i < count; i++)
		d->sums[block + i] = data ? sum_of(data + i * BLOCK_SIZE) : 0;
}

#define WRONG_MAX 8u /* times that one transfer is read again from another driver */

enum kerr block_transfer(struct block_device *d, enum block_op op, uint64_t block, uint32_t count,
			 uint8_t *data)
{
	uint64_t epoch;

	atomic_fetch_add_explicit(op == BLOCK_READ ? &d->reads : &d->writes, 1,
				  memory_order_relaxed);
	for (unsigned tries = 0; !atomic_load(&d->isolated) && tries < WRONG_MAX; tries++) {
		enum kerr err = one_request(d, op, block, count, data, &epoch);
		if (op == BLOCK_WRITE && d->sums)
			sums_set(d, block, count, err == KERR_OK ? data : nullptr);
		if (err != KERR_OK || op != BLOCK_READ || !d->sums)
			return err;
		if (is_right(d, block, count, data))
			return KERR_OK;
		atomic_fetch_add_explicit(&d->mismatches, 1, memory_order_relaxed);
		block_accuse(d, epoch, "the driver read other bytes than were written");
	}
	return KERR_IO;
}

/* ---- The thread of a device ---- */

static void look_at_requests(struct block_device *d)
{
	nsec_t now = time_now();
	unsigned in = slot_enter(d->slot); /* block_adopt comes before the epoch is another one */
	uint64_t epoch = d->slot->epoch;
	slot_leave(d->slot, in);

	for (unsigned i = 0; i < BLOCK_REQUESTS; i++) {
		struct block_request *r = &d->requests[i];
		bool on = spin_lock_irq(&d->lock);
		bool waits = r->state == BLOCK_QUEUED || r->state == BLOCK_ISSUED;
		bool stale = waits && r->since && !r->busy && r->epoch != epoch;
		bool late = waits && r->since && r->epoch == epoch && !r->late &&
			    now > r->since + d->limit;
		r->late |= late;
		spin_unlock_irq(&d->lock, on);
		if (stale)
			issue(d, r, true);
		if (late) {
			atomic_fetch_add_explicit(&d->timeouts, 1, memory_order_relaxed);
			block_accuse(d, epoch, "a request takes too long");
		}
	}
}

static void device_thread(void *arg)
{
	struct block_device *d = arg;

	for (;;) {
		nsec_t limit = atomic_load(&d->in_flight) ? time_now() + d->limit / 2 : NSEC_NEVER;
		enum kerr err =
			wait_until(&d->queue, atomic_load(&d->kicked), WAIT_OTHER, true, limit);
		(void)err; /* either way there is something to look at */
		atomic_store(&d->kicked, false);
		if (atomic_exchange(&d->wanted, false)) {
			unsigned in = slot_enter(d->slot);
			uint64_t epoch = d->slot->epoch;
			err = atomic_load(&d->isolated) ? KERR_OK : call_work(d->slot);
			slot_leave(d->slot, in);
			if (err != KERR_OK)
				block_accuse(d, epoch, "the driver crashed at its work");
		}
		look_at_requests(d);
	}
}

void block_kick(const char *device)
{
	struct block_device *d = block_find(device);

	if (!d)
		return;
	atomic_store(&d->wanted, true);
	block_adopt(device);
}

void block_adopt(const char *device)
{
	struct block_device *d = block_find(device);

	if (d)
		kick(d);
}

enum kerr block_device_add(struct block_device *d)
{
	unsigned place = 0;

	while (place < DEVICES_MAX && devices[place])
		place++;
	if (place == DEVICES_MAX)
		return KERR_NOSPC;
	spin_init(&d->lock, RANK_OBJECT, "block");
	waitq_init(&d->room);
	waitq_init(&d->queue);
	for (unsigned i = 0; i < BLOCK_REQUESTS; i++)
		waitq_init(&d->requests[i].wait);
	for (unsigned i = 0; i < ARRAY_SIZE(d->stripes); i++)
		rwlock_init(&d->stripes[i], "block.stripe");
	enum kerr err = block_node_add(d);
	if (err != KERR_OK)
		return err;
	devices[place] = d;
	block_heal_add(d);
	return upcalls.spawn(d->name, device_thread, d);
}

EXPORT_SYMBOL(block_complete);
EXPORT_SYMBOL(block_kick);
EXPORT_SYMBOL(block_adopt);
