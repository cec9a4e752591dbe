/*
 * /dev/stamp: each read gives a line with a number that nobody else gets. The numbers come from
 * the module counter, so that one has to be there first and stays as long as this one does: the
 * example of a module that needs another.
 */
#include "counter.h"

#include <fs/device.h>
#include <lib/format.h>
#include <module/module.h>

static enum kerr stamp_read(struct file *f, const struct io_buffer *b, uint64_t offset,
			    size_t *done)
{
	char line[24];
	int length = format(line, sizeof(line), "%lu\n", (unsigned long)counter_take(1));

	*done = io_to_buffer(b, 0, line, MIN(b->size, (size_t)length));
	return *done || b->size == 0 ? KERR_OK : KERR_FAULT;
}

static const struct file_ops stamp_ops = {.read = stamp_read};
static const struct device stamp_device = {
	.name = "stamp",
	.number = (uint64_t)240 << 8 | 1,
	.mode = 0444,
	.ops = &stamp_ops,
	.driver = "counter",
	.owner = THIS_MODULE,
};

static enum kerr stamp_init(void)
{
	return device_add(&stamp_device);
}

static void stamp_exit(void)
{
	device_remove(&stamp_device);
}

MODULE_DESCRIPTION("Lines with numbers of the module counter");
MODULE_DEPENDS("counter");
MODULE(stamp, .version = "1.0", .init = stamp_init, .exit = stamp_exit);
