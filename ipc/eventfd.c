/*
 * eventfd(2): a 64-bit counter that is read, written and polled.
 *
 * The counter is changed by compare-and-swap, without a lock. Readers sleep on one queue, writers
 * on the other, so that a read does not look like an edge to who waits for input. All sleepers are
 * woken (they are not exclusive): who sleeps competes for the count anew. Cost: a swap and a look
 * at the other side's queue.
 */
#include "ipc_private.h"

#include <core/wait.h>
#include <exec/process.h>
#include <fs/poll.h>
#include <ipc/event.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/heap.h>

#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
	_Atomic uint64_t count; /* 0 to COUNT_MAX */
	bool semaphore;         /* (const) a read takes one */
	struct waitq readers, writers;
};

static struct cache *cache RO_AFTER_INIT;
static struct inode inode;

/* Takes what a read gives; false: there is nothing. */
static bool take(struct eventfd *e, uint64_t *out)
{
	uint64_t count = atomic_load_explicit(&e->count, memory_order_relaxed);

	do {
		if (count == 0)
			return false;
		*out = e->semaphore ? 1 : count;
	} while (!atomic_compare_exchange_weak(&e->count, &count, count - *out));
	return true;
}

static bool add(struct eventfd *e, uint64_t value)
{
	uint64_t count = atomic_load_explicit(&e->count, memory_order_relaxed);

	do {
		if (value > COUNT_MAX - count)
			return false;
	} while (!atomic_compare_exchange_weak(&e->count, &count, count + value));
	return true;
}

static enum kerr eventfd_read(struct file *f, const struct io_buffer *b, uint64_t offset,
			      size_t *done)
{
	struct eventfd *e = f->private;
	uint64_t value;

	if (b->size < sizeof(value))
		return KERR_INVAL;
	while (!take(e, &value)) {
		if (file_nonblocking(f))
			return KERR_AGAIN;
		if (wait_until(&e->readers, atomic_load(&e->count) > 0, WAIT_IPC, true,
			       NSEC_NEVER) != KERR_OK)
			return KERR_RESTART;
	}
	wake_one(&e->writers);
	if (io_to_buffer(b, 0, &value, sizeof(value)) != sizeof(value))
		return KERR_FAULT;
	*done = sizeof(value);
	return KERR_OK;
}

static enum kerr eventfd_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			       size_t *done)
{
	struct eventfd *e = f->private;
	uint64_t value;

	if (b->size < sizeof(value))
		return KERR_INVAL;
	if (io_from_buffer(b, 0, &value, sizeof(value)) != sizeof(value))
		return KERR_FAULT;
	if (value > COUNT_MAX)
		return KERR_INVAL;
	while (!add(e, value)) {
		if (file_nonblocking(f))
			return KERR_AGAIN;
		if (wait_until(&e->writers, value <= COUNT_MAX - atomic_load(&e->count), WAIT_IPC,
			       true, NSEC_NEVER) != KERR_OK)
			return KERR_RESTART;
	}
	wake_one(&e->readers);
	*done = sizeof(value);
	return KERR_OK;
}

static unsigned eventfd_poll(struct file *f, struct poll_table *table)
{
	struct eventfd *e = f->private;
	unsigned events = 0;

	poll_wait_for(table, &e->readers, POLL_IN);
	poll_wait_for(table, &e->writers, POLL_OUT);
	uint64_t count = atomic_load_explicit(&e->count, memory_order_acquire);
	if (count > 0)
		events |= POLL_IN;
	if (count < COUNT_MAX)
		events |= POLL_OUT;
	return events;
}

static void eventfd_close(struct file *f)
{
	cache_free(cache, f->private);
}

static const struct file_ops ops = {
	.read = eventfd_read,
	.write = eventfd_write,
	.poll = eventfd_poll,
	.seek = anonymous_seek,
	.close = eventfd_close,
};

enum kerr eventfd_create(uint32_t count, bool semaphore, int flags, struct file **out)
{
	struct eventfd *e = cache_alloc(cache);

	if (!e)
		return KERR_NOMEM;
	*e = (struct eventfd){.count = count, .semaphore = semaphore};
	waitq_init(&e->readers);
	waitq_init(&e->writers);
	enum kerr err = anonymous_file_create(&inode, &ops, flags, e, out);
	if (err != KERR_OK)
		cache_free(cache, e);
	return err;
}

static size_t describe(struct inode *i, char *buf, size_t size)
{
	return strlcpy(buf, "anon_inode:[eventfd]", size);
}

void eventfd_init(void)
{
	static const struct inode_ops inode_ops = {.describe = describe};

	cache = cache_create("eventfd", sizeof(struct eventfd), 0);
	anonymous_inode_init(&inode, &inode_ops);
}
