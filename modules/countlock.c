/*
 * Another provider of the slot "counter": the numbers under a spinlock. It is slower, and it is here to be
 * exchanged with the other one while programs read /dev/counter.
 *
 *	modprobe countlock; echo "counter locked" >/sys/kernel/slots
 */
#include "counter.h"

#include <core/spinlock.h>
#include <mm/heap.h>
#include <module/slot.h>

static uint32_t crash;
MODULE_PARAM_UINT(crash, "the number whose taker reads through a null pointer, with the lock held");

struct locked_counter {
	struct spinlock lock;
	uint64_t next; /* (lock) */
};

static uint64_t locked_take(void *instance, uint64_t count)
{
	struct locked_counter *c = instance;
	spin_lock(&c->lock);
	uint64_t number = c->next;
	c->next += count;
	if (unlikely(crash && crash - number < count)) {
		volatile int *volatile nowhere = nullptr;
		(void)*nowhere;
	}
	spin_unlock(&c->lock);
	return number;
}

static void locked_set(void *instance, uint64_t next)
{
	struct locked_counter *c = instance;
	spin_lock(&c->lock);
	c->next = next;
	spin_unlock(&c->lock);
}

static enum kerr locked_begin(void **instance)
{
	struct locked_counter *c = heap_alloc_zeroed(sizeof(*c));
	*instance = c;
	if (!c)
		return KERR_NOMEM;
	spin_init(&c->lock, RANK_OBJECT, "countlock");
	return KERR_OK;
}

static enum kerr locked_export(void *instance, struct slot_state *out)
{
	struct locked_counter *c = instance;
	return slot_state_put(out, &c->next, sizeof(c->next));
}

static enum kerr locked_import(void *instance, const struct slot_state *in)
{
	struct locked_counter *c = instance;
	size_t at = 0;
	return slot_state_take(in, &at, &c->next, sizeof(c->next));
}

static const struct counter_ops locked_ops = {.take = locked_take, .set = locked_set};
static struct slot_provider locked_provider = {
	.name = "locked",
	.version = 1,
	.oldest = 1,
	.owner = THIS_MODULE,
	.ops = &locked_ops,
	.init = locked_begin,
	.fini = heap_free,
	.export = locked_export,
	.import = locked_import,
};

static enum kerr countlock_init(void)
{
	return slot_provider_add("counter", &locked_provider);
}

static void countlock_exit(void)
{
	/* It is not current: then this module would be in use. */
	(void)slot_provider_remove("counter", &locked_provider);
}

MODULE_DESCRIPTION("Another way to count");
MODULE_DEPENDS("counter");
MODULE(countlock, .version = "1.0", .init = countlock_init, .exit = countlock_exit);
