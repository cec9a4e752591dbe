/*
 * /dev/counter: each number once. A read of 8 * n bytes gives the next n 64-bit numbers; every
 * reader on every CPU gets numbers that nobody else gets, and none is left out. A write of a decimal number
 * says which comes next.
 *
 * It is the example of a driver: a device, state that readers share, a parameter, a symbol for other
 * modules (stamp.c), a health check.
 */
#include "counter.h"

#include <core/log.h>
#include <fs/device.h>
#include <lib/export.h>
#include <lib/string.h>
#include <module/module.h>

#define CHUNK 64u /* numbers copied at a time */

static _Atomic uint64_t next_number;
static _Atomic uint64_t given;
static uint32_t first;
MODULE_PARAM_UINT(first, "the number that comes first");

uint64_t counter_take(uint64_t count)
{
	atomic_fetch_add_explicit(&given, count, memory_order_relaxed);
	return atomic_fetch_add_explicit(&next_number, count, memory_order_relaxed);
}
EXPORT_SYMBOL(counter_take);

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
	atomic_store(&next_number, value);
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
	atomic_store(&next_number, first);
	return device_add(&counter_device);
}

static void counter_exit(void)
{
	device_remove(&counter_device);
	log_info("counter: gave %lu numbers", (unsigned long)atomic_load(&given));
}

static enum kerr counter_health(void)
{
	return atomic_load(&given) <= atomic_load(&next_number) || first ? KERR_OK : KERR_IO;
}

MODULE_DESCRIPTION("Gives each number once");
MODULE(counter, .version = "1.0", .init = counter_init, .exit = counter_exit,
       .health = counter_health);
