/*
 * /dev/ramN and the like: block devices as files of their size. Reads and writes of any place and length go through a
 * buffer of whole blocks; where a write covers a part of a block, that one is read first, under the same
 * lock as the write. What lies in one stripe (64 KiB) is moved as a whole.
 */
#include "block.h"

#include <fs/device.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <mm/user_copy.h>

#define BLKGETSIZE 0x1260u
#define BLKFLSBUF 0x1261u
#define BLKSSZGET 0x1268u
#define BLKGETSIZE64 0x80081272u

/* A part of a read or write that lies in one stripe. */
struct part {
	uint64_t block; /* first one */
	uint32_t count; /* blocks */
	size_t from, size; /* bytes in the buffer of these blocks */
};

static struct part part_at(uint64_t offset, size_t size)
{
	const uint64_t stripe = (uint64_t)BLOCK_SIZE * BLOCK_REQUEST_MAX;
	struct part p = {.block = offset / BLOCK_SIZE, .from = offset % BLOCK_SIZE};

	p.size = (size_t)MIN((uint64_t)size, stripe - offset % stripe);
	p.count = (uint32_t)((p.from + p.size + BLOCK_SIZE - 1) / BLOCK_SIZE);
	return p;
}

static enum kerr read_part(struct block_device *d, const struct part *p, uint8_t *buffer)
{
	block_stripe_lock(d, p->block, false);
	enum kerr err = block_transfer(d, BLOCK_READ, p->block, p->count, buffer);
	block_stripe_unlock(d, p->block, false);
	return err;
}

/* The bytes are in place; what stands around them in the first and last block is read. */
static enum kerr write_part(struct block_device *d, const struct part *p, uint8_t *buffer,
			    uint8_t *around)
{
	size_t end = p->from + p->size, whole = (size_t)p->count * BLOCK_SIZE;
	uint64_t last = p->block + p->count - 1;
	enum kerr err = KERR_OK;

	block_stripe_lock(d, p->block, true);
	if (p->from) {
		err = block_transfer(d, BLOCK_READ, p->block, 1, around);
		memcpy(buffer, around, p->from);
	}
	if (err == KERR_OK && end < whole) {
		err = block_transfer(d, BLOCK_READ, last, 1, around);
		memcpy(buffer + end, around + end % BLOCK_SIZE, whole - end);
	}
	if (err == KERR_OK && d->prepare)
		err = d->prepare(p->block, p->count);
	if (err == KERR_OK)
		err = block_transfer(d, BLOCK_WRITE, p->block, p->count, buffer);
	block_stripe_unlock(d, p->block, true);
	return err;
}

static enum kerr device_read(struct file *f, const struct io_buffer *b, uint64_t offset,
			     size_t *done)
{
	struct block_device *d = f->private;
	uint64_t size = d->blocks * BLOCK_SIZE;
	size_t left = offset < size ? (size_t)MIN((uint64_t)b->size, size - offset) : 0;
	enum kerr err = KERR_OK;

	*done = 0;
	uint8_t *buffer = left ? heap_alloc((size_t)BLOCK_SIZE * BLOCK_REQUEST_MAX) : nullptr;
	if (left && !buffer)
		return KERR_NOMEM;
	while (left && err == KERR_OK) {
		struct part p = part_at(offset, left);
		err = read_part(d, &p, buffer);
		if (err != KERR_OK)
			break;
		size_t moved = io_to_buffer(b, *done, buffer + p.from, p.size);
		*done += moved;
		offset += moved;
		left -= moved;
		err = moved < p.size ? KERR_FAULT : KERR_OK;
	}
	heap_free(buffer);
	return *done ? KERR_OK : err;
}

static enum kerr device_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			      size_t *done)
{
	struct block_device *d = f->private;
	uint64_t size = d->blocks * BLOCK_SIZE;
	enum kerr err = KERR_OK;

	*done = 0;
	if (offset == UINT64_MAX) /* O_APPEND: there is nothing behind the end */
		offset = size;
	if (b->size && offset >= size)
		return KERR_NOSPC;
	size_t left = (size_t)MIN((uint64_t)b->size, size - offset);
	uint8_t *buffer = left ? heap_alloc((size_t)BLOCK_SIZE * (BLOCK_REQUEST_MAX + 1)) : nullptr;
	if (left && !buffer)
		return KERR_NOMEM;
	while (left && err == KERR_OK) {
		struct part p = part_at(offset, left);
		if (io_from_buffer(b, *done, buffer + p.from, p.size) != p.size) {
			err = KERR_FAULT;
			break;
		}
		err = write_part(d, &p, buffer, buffer + (size_t)BLOCK_SIZE * BLOCK_REQUEST_MAX);
		if (err != KERR_OK)
			break;
		*done += p.size;
		offset += p.size;
		left -= p.size;
	}
	heap_free(buffer);
	return *done ? KERR_OK : err;
}

static enum kerr device_seek(struct file *f, int64_t offset, int whence, uint64_t *out)
{
	const struct block_device *d = f->private;
	int64_t size = (int64_t)(d->blocks * BLOCK_SIZE), target;
	int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_END ? size : (int64_t)f->offset;

	if (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END)
		return KERR_INVAL;
	if (__builtin_add_overflow(base, offset, &target) || target < 0 || target > size)
		return KERR_INVAL;
	f->offset = *out = (uint64_t)target;
	return KERR_OK;
}

static enum kerr device_ioctl(struct file *f, unsigned command, vaddr_t argument, long *result)
{
	struct block_device *d = f->private;
	uint64_t size = d->blocks * BLOCK_SIZE, sectors = size / 512;
	int block_size = BLOCK_SIZE;

	*result = 0;
	switch (command) {
	case BLKGETSIZE:
		return user_write(argument, &sectors, sizeof(sectors));
	case BLKGETSIZE64:
		return user_write(argument, &size, sizeof(size));
	case BLKSSZGET:
		return user_write(argument, &block_size, sizeof(block_size));
	case BLKFLSBUF:
		return block_transfer(d, BLOCK_FLUSH, 0, 0, nullptr);
	default:
		return KERR_NOTTY;
	}
}

static const struct file_ops file_ops = {
	.read = device_read, .write = device_write, .seek = device_seek, .ioctl = device_ioctl};

static enum kerr device_open(const struct device *node, struct file *f)
{
	f->private = block_find(node->name);
	f->ops = &file_ops;
	return f->private ? KERR_OK : KERR_NXIO;
}

enum kerr block_node_add(struct block_device *d)
{
	struct device *node = heap_alloc_zeroed(sizeof(*node));

	if (!node)
		return KERR_NOMEM;
	*node = (struct device){
		.name = d->name,
		.number = d->number,
		.mode = 0660,
		.block = true,
		.open = device_open,
		.driver = d->driver,
	};
	enum kerr err = device_add(node);
	if (err != KERR_OK)
		heap_free(node);
	return err;
}
