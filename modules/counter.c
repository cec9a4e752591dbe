/*
 * /dev/counter: each number once. A read of 8 * n bytes gives the next n 64-bit numbers; every
 * reader on every CPU gets numbers that nobody else gets, and none is left out. A write of a decimal number
 * says which comes next.
 *
 * It is the example of a driver: a device, state that readers share, a parameter, a symbol for other
 * modules (stamp.c), a health check; and of a slot: who gives the numbers can be exchanged while
 * it is read (countlock.c has another way), and no number is lost or given twice.
 */
#include "counter.h"

#include <core/log.h>
#include <core/time.h>
#include <core/wait.h>
#include <fs/device.h>
#include <lib/export.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <module/slot.h>

#define CHUNK 64u /* numbers copied at a time */

static uint32_t first;
MODULE_PARAM_UINT(first, "the number that comes first");
static uint32_t linger;
MODULE_PARAM_UINT(linger,
		  "milliseconds that a taker stays inside: a provider that does not become quiet");

static struct slot counter_slot = {.name = "counter", .kind = SLOT_DRIVER, .owner = THIS_MODULE};

/* ---- The provider "atomic": one word that all add to ---- */

struct atomic_counter {
	_Atomic uint64_t next;
};

static uint64_t atomic_take(void *instance, uint64_t count)
{
	struct atomic_counter *c = instance;
	return atomic_fetch_add_explicit(&c->next, count, memory_order_relaxed);
}

static void atomic_set(void *instance, uint64_t next)
{
	struct atomic_counter *c = instance;
	atomic_store(&c->next, next);
}

static enum kerr atomic_begin(void **instance)
{
	struct atomic_counter *c = heap_alloc_zeroed(sizeof(*c));
	*instance = c;
	return c ? KERR_OK : KERR_NOMEM;
}

static enum kerr atomic_export(void *instance, struct slot_state *out)
{
	struct atomic_counter *c = instance;
	uint64_t next = atomic_load(&c->next);
	return slot_state_put(out, &next, sizeof(next));
}

static enum kerr atomic_import(void *instance, const struct slot_state *in)
{
	struct atomic_counter *c = instance;
	uint64_t next;
	size_t at = 0;
	enum kerr err = slot_state_take(in, &at, &next, sizeof(next));
	if (err == KERR_OK)
		atomic_store(&c->next, next);
	return err;
}

static const struct counter_ops atomic_ops = {.take = atomic_take, .set = atomic_set};
static struct slot_provider atomic_provider = {
	.name = "atomic",
	.version = 1,
	.oldest = 1,
	.owner = THIS_MODULE,
	.ops = &atomic_ops,
	.init = atomic_begin,
	.fini = heap_free,
	.export = atomic_export,
	.import = atomic_import,
};

/* ---- The device ---- */

uint64_t counter_take(uint64_t count)
{
	unsigned in = slot_enter(&counter_slot);
	const struct counter_ops *ops = counter_slot.current->ops;
	uint64_t number = ops->take(counter_slot.instance, count);
	if (unlikely(linger)) {
		struct waitq nobody = WAITQ_INIT(nobody);
		(void)wait_until(&nobody, false, WAIT_OTHER, false,
				 time_now() + linger * NSEC_PER_MSEC);
	}
	slot_leave(&counter_slot, in);
	return number;
}
EXPORT_SYMBOL(counter_take);

static void counter_set(uint64_t next)
{
	unsigned in = slot_enter(&counter_slot);
	const struct counter_ops *ops = counter_slot.current->ops;
	ops->set(counter_slot.instance, next);
	slot_leave(&counter_slot, in);
}

static enum kerr counter_read(struct file *f, const struct io_buffer *b, uint64_t offset,
			      size_t *done)
{
	uint64_t numbers[CHUNK];

	*done = 0;
	if (b->size < sizeof(uint64_t))
		return KERR_INVAL;
	uint64_t count = MIN(b->size / sizeof(uint64_t), CHUNK), start = counter_take(count);
	for (uint64_t i = 0; i < count; i++)
		numbers[i] = start + i;
	*done = io_to_buffer(b, 0, numbers, count * sizeof(uint64_t));
	return *done ? KERR_OK : KERR_FAULT;
}

static enum kerr counter_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			       size_t *done)
{
	char text[24];
	const char *end;

	*done = 0;
	if (b->size == 0 || b->size >= sizeof(text))
		return KERR_INVAL;
	if (io_from_buffer(b, 0, text, b->size) != b->size)
		return KERR_FAULT;
	text[b->size] = '\0';
	uint64_t value = str_to_u64(text, &end, 10);
	if (end == text || (*end && *end != '\n'))
		return KERR_INVAL;
	counter_set(value);
	*done = b->size;
	return KERR_OK;
}

static const struct file_ops counter_ops = {.read = counter_read, .write = counter_write};
static const struct device counter_device = {
	.name = "counter",
	.number = (uint64_t)240 << 8,
	.mode = 0666,
	.ops = &counter_ops,
	.driver = "counter",
	.owner = THIS_MODULE,
};

static enum kerr counter_init(void)
{
	enum kerr err = slot_add(&counter_slot, &atomic_provider);
	if (err != KERR_OK)
		return err;
	counter_set(first);
	err = device_add(&counter_device);
	if (err != KERR_OK)
		slot_remove(&counter_slot);
	return err;
}

static void counter_exit(void)
{
	device_remove(&counter_device);
	slot_remove(&counter_slot);
}

static enum kerr counter_health(void)
{
	return counter_slot.instance ? KERR_OK : KERR_IO;
}

MODULE_DESCRIPTION("Gives each number once");
MODULE(counter, .version = "1.0", .init = counter_init, .exit = counter_exit,
       .health = counter_health);
