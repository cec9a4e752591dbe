/*
 * How the driver of a block device is healed (core/heal): restarted as a fresh instance, exchanged for
 * another provider of its slot, and at last isolated: then requests end with EIO.
 *
 * The state of a disk is its contents, which the driver does not own, and its requests, which the layer keeps:
 * a new instance needs nothing of the old one.
 */
#include "block.h"

#include <lib/string.h>
#include <module/call.h>

/* Of a second each: a call that hangs is ended when it has used its time, which takes as long as it gets little of the
 * CPU. */
#define TRIES 8u

static enum kerr check(struct heal_component *c)
{
	struct block_device *d = c->arg;
	unsigned in = slot_enter(d->slot);
	const struct slot_provider *p = d->slot->current;
	enum kerr err = KERR_OK;

	if (p->check)
		err = p->owner ? module_call(p->owner, MODULE_FN(p->check),
					     MODULE_ARG(d->slot->instance), 0, 0, 0)
			       : p->check(d->slot->instance);
	slot_leave(d->slot, in);
	return err;
}

static void current_name(struct block_device *d, char name[32])
{
	unsigned in = slot_enter(d->slot);
	strlcpy(name, d->slot->current->name, 32);
	slot_leave(d->slot, in);
}

/* Between the tries others may swap, and theirs stays. */
static enum kerr renew(struct block_device *d, const char *provider)
{
	enum kerr err = KERR_TIMEDOUT;

	for (unsigned i = 0; i < TRIES && err == KERR_TIMEDOUT; i++)
		err = slot_renew(d->slot->name, provider, d->heal.broken);
	if (err == KERR_OK) {
		atomic_store(&d->isolated, false);
		current_name(d, d->heal.with);
	}
	return err;
}

static enum kerr restart(struct heal_component *c)
{
	struct block_device *d = c->arg;
	char name[32];

	current_name(d, name);
	return renew(d, name);
}

/* The provider that is left stays failed. */
static enum kerr swap(struct heal_component *c)
{
	struct block_device *d = c->arg;
	char name[32];

	return slot_other(d->slot->name, name, sizeof(name)) ? renew(d, name) : KERR_NOENT;
}

static enum kerr isolate(struct heal_component *c)
{
	struct block_device *d = c->arg;
	enum kerr err = KERR_TIMEDOUT;

	atomic_store(&d->isolated, true); /* who comes later does not call the driver */
	for (unsigned i = 0; i < TRIES && err == KERR_TIMEDOUT; i++)
		err = slot_drain(d->slot);
	if (err == KERR_OK)
		block_fail_all(d);
	return err;
}

static uint64_t instance(const struct heal_component *c)
{
	const struct block_device *d = c->arg;
	return __atomic_load_n(&d->slot->epoch, __ATOMIC_ACQUIRE);
}

static const struct heal_ops heal_ops = {
	.check = check, .restart = restart, .swap = swap, .isolate = isolate, .instance = instance};

void block_heal_add(struct block_device *d)
{
	d->heal = (struct heal_component){
		.name = d->name,
		.ops = &heal_ops,
		.limits = {.restarts = 3,
			   .swaps = 2,
			   .window = 10 * NSEC_PER_SEC,
			   .backoff = 10 * NSEC_PER_MSEC,
			   .backoff_max = 500 * NSEC_PER_MSEC},
		.arg = d,
	};
	heal_add(&d->heal);
}
