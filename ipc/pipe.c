/*
 * Pipes and FIFOs.
 *
 * A pipe is a ring of page slots (fs/ring.h).
 *
 * The mutex guards the ring and is held while bytes are copied, because user memory may fault. Sleepers
 * are exclusive waiters on two queues, so that one write wakes one reader; whoever slept and leaves
 * something for another one of its kind passes the wake-up on. A read wakes writers only if there was no
 * room for PIPE_BUF: nobody waits for room otherwise, and an edge-triggered watch sees no false edge.
 *
 * `events` is what poll answers, kept up to date by whoever changes the pipe, so that poll is one load.
 *
 * Anonymous pipes have an inode too, on a superblock of their own that is never mounted, for fstat and
 * /proc/PID/fd. A FIFO's pipe hangs on its inode while anybody has it open.
 *
 * Costs: a write and a read of a byte are a lock pair, a copy and, if the other side sleeps, one wake-up each.
 */
#include <core/init.h>
#include <core/panic.h>
#include <exec/signal.h>
#include <fs/device.h>
#include <fs/poll.h>
#include <fs/ring.h>
#include <ipc/pipe.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <mm/user_copy.h>

#define FIONREAD 0x541b

static_assert(PIPE_SIZE_DEFAULT == RING_SLOTS * PAGE_SIZE);

struct pipe {
	struct mutex lock;
	struct ring ring;        /* (lock) */
	uint32_t readers, writers; /* (lock) open ends */
	uint64_t readers_ever,
		writers_ever; /* (lock) opens so far, for FIFOs that wait for the other side */
	_Atomic uint32_t events; /* (lock for writing) POLL_* of both ends */
	struct waitq read_queue, write_queue;
};

static struct cache *pipe_cache, *inode_cache;
static struct superblock pipe_superblock;

static struct pipe *pipe_new(void)
{
	struct pipe *p = cache_alloc_zeroed(pipe_cache);

	if (!p)
		return nullptr;
	mutex_init(&p->lock, "pipe.lock");
	waitq_init(&p->read_queue);
	waitq_init(&p->write_queue);
	ring_init(&p->ring);
	return p;
}

static void pipe_free(struct pipe *p)
{
	ring_destroy(&p->ring);
	cache_free(pipe_cache, p);
}

#define READER_EVENTS (POLL_IN | POLL_RDNORM | POLL_HUP)
#define WRITER_EVENTS (POLL_OUT | POLL_WRNORM | POLL_ERR)

/* Before the lock is released or somebody is woken. */
static void events_update(struct pipe *p)
{
	uint32_t events = 0;

	if (ring_used(&p->ring) > 0)
		events |= POLL_IN | POLL_RDNORM;
	if (p->writers == 0 && p->writers_ever > 0)
		events |= POLL_HUP;
	if (ring_room(&p->ring) >= PIPE_BUF)
		events |= POLL_OUT | POLL_WRNORM;
	if (p->readers == 0)
		events |= POLL_ERR;
	atomic_store_explicit(&p->events, events, memory_order_relaxed);
}

static enum kerr get_bytes(struct pipe *p, const struct io_buffer *b, size_t *done)
{
	size_t size = MIN(b->size, ring_used(&p->ring));

	*done = ring_peek(&p->ring, p->ring.tail, b, 0, size);
	ring_consume(&p->ring, *done);
	return *done || size == 0 ? KERR_OK : KERR_FAULT;
}

/* Sleeps, with the lock dropped, until `ready`. KERR_RESTART: a signal. */
static enum kerr wait_for(struct pipe *p, struct waitq *q, bool (*ready)(struct pipe *p, size_t),
			  size_t size)
{
	struct waiter w;
	enum kerr err = KERR_OK;

	wait_begin_exclusive(q, &w);
	while (!ready(p, size) && err == KERR_OK) {
		mutex_unlock(&p->lock);
		err = wait_park(&w, WAIT_IPC, true, NSEC_NEVER);
		mutex_lock(&p->lock);
	}
	wait_end(q, &w);
	if (err == KERR_OK || ready(p, size))
		return KERR_OK;
	return KERR_RESTART;
}

static bool can_read(struct pipe *p, size_t size)
{
	return ring_used(&p->ring) > 0 || p->writers == 0;
}

static bool can_write(struct pipe *p, size_t size)
{
	return ring_room(&p->ring) >= size || p->readers == 0;
}

static enum kerr pipe_read(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	struct pipe *p = f->private;
	enum kerr err = KERR_OK;
	bool slept = false;

	*done = 0;
	if (b->size == 0)
		return KERR_OK;
	mutex_lock(&p->lock);
	if (!can_read(p, 0)) {
		slept = !file_nonblocking(f);
		err = slept ? wait_for(p, &p->read_queue, can_read, 0) : KERR_AGAIN;
	}
	bool full = ring_room(&p->ring) < PIPE_BUF;
	if (err == KERR_OK)
		err = get_bytes(p, b, done);
	bool more = slept && ring_used(&p->ring) > 0;
	if (*done > 0)
		events_update(p);
	mutex_unlock(&p->lock);
	if (*done > 0 && full)
		wake_one(&p->write_queue);
	if (more)
		wake_one(&p->read_queue);
	return err;
}

/* One step of a write: as much as fits, all or nothing up to PIPE_BUF. */
static enum kerr write_step(struct file *f, struct pipe *p, const struct io_buffer *b, size_t *done,
			    bool *slept)
{
	size_t left = b->size - *done, moved;
	size_t need = left <= PIPE_BUF ? left : 1;

	if (!can_write(p, need)) {
		if (file_nonblocking(f))
			return KERR_AGAIN;
		*slept = true;
		enum kerr err = wait_for(p, &p->write_queue, can_write, need);
		if (err != KERR_OK)
			return err;
	}
	if (p->readers == 0)
		return KERR_PIPE;
	enum kerr err = ring_put(&p->ring, b, *done, MIN(left, ring_room(&p->ring)), &moved);
	*done += moved;
	if (moved > 0) {
		events_update(p);
		wake_one(&p->read_queue);
	}
	return err;
}

static enum kerr pipe_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			    size_t *done)
{
	struct pipe *p = f->private;
	enum kerr err = KERR_OK;
	bool slept = false;

	*done = 0;
	mutex_lock(&p->lock);
	if (b->size == 0 && p->readers == 0)
		err = KERR_PIPE;
	while (*done < b->size && err == KERR_OK)
		err = write_step(f, p, b, done, &slept);
	bool more = slept && ring_room(&p->ring) > 0;
	mutex_unlock(&p->lock);
	if (more)
		wake_one(&p->write_queue);
	if (err == KERR_PIPE)
		process_signal(current_process(), SIGPIPE);
	return *done ? KERR_OK : err;
}

static unsigned pipe_events(struct file *f)
{
	struct pipe *p = f->private;
	uint32_t mine = (f->readable ? READER_EVENTS : 0) | (f->writable ? WRITER_EVENTS : 0);

	return atomic_load_explicit(&p->events, memory_order_acquire) & mine;
}

static NOINLINE unsigned pipe_register(struct file *f, struct poll_table *table)
{
	struct pipe *p = f->private;

	if (f->readable)
		poll_wait_for(table, &p->read_queue, READER_EVENTS);
	if (f->writable)
		poll_wait_for(table, &p->write_queue, WRITER_EVENTS);
	return pipe_events(f);
}

static unsigned pipe_poll(struct file *f, struct poll_table *table)
{
	return unlikely(table) ? pipe_register(f, table) : pipe_events(f);
}

static enum kerr pipe_ioctl(struct file *f, unsigned command, vaddr_t argument, long *result)
{
	struct pipe *p = f->private;

	if (command != FIONREAD)
		return KERR_NOTTY;
	mutex_lock(&p->lock);
	int count = (int)ring_used(&p->ring);
	mutex_unlock(&p->lock);
	*result = 0;
	return user_write(argument, &count, sizeof(count));
}

static enum kerr pipe_control(struct file *f, int command, unsigned long argument, long *result)
{
	struct pipe *p = f->private;
	enum kerr err = KERR_OK;

	if (command != F_GETPIPE_SZ && command != F_SETPIPE_SZ)
		return KERR_INVAL;
	if (command == F_SETPIPE_SZ && (argument > PIPE_SIZE_MAX || argument == 0))
		return argument ? KERR_PERM : KERR_INVAL;
	mutex_lock(&p->lock);
	if (command == F_SETPIPE_SZ) {
		uint32_t slots = 1;
		while (slots * PAGE_SIZE < argument)
			slots *= 2;
		err = ring_resize(&p->ring, slots);
		events_update(p);
	}
	*result = (long)(p->ring.slots * PAGE_SIZE);
	mutex_unlock(&p->lock);
	if (err == KERR_OK)
		wake_all(&p->write_queue);
	return err;
}

static void pipe_close(struct file *f)
{
	struct pipe *p = f->private;

	mutex_lock(&p->lock);
	p->readers -= f->readable;
	p->writers -= f->writable;
	if (p->readers == 0 && p->writers == 0) /* what a FIFO held goes with its last user */
		ring_clear(&p->ring);
	events_update(p);
	mutex_unlock(&p->lock);
	/* The other side sees the end; the inode's release frees the pipe. */
	wake_all(&p->read_queue);
	wake_all(&p->write_queue);
}

static const struct file_ops pipe_ops = {
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.control = pipe_control,
	.close = pipe_close,
};

/* ---- Anonymous pipes --------------------------------------------------------------------------- */

static size_t describe(struct inode *i, char *buf, size_t size)
{
	return (size_t)format(buf, size, "pipe:[%lu]", (unsigned long)i->number);
}

static void inode_freed(struct rcu_head *head)
{
	cache_free(inode_cache, container_of(head, struct inode, rcu));
}

static void inode_release(struct inode *i)
{
	rcu_call(&i->rcu, inode_freed);
}

static const struct inode_ops pipe_inode_ops = {.release = inode_release, .describe = describe};

static void count_ends(struct pipe *p, const struct file *f)
{
	p->readers += f->readable;
	p->writers += f->writable;
	p->readers_ever += f->readable;
	p->writers_ever += f->writable;
	events_update(p);
}

static enum kerr open_end(struct inode *i, int flags, struct file **out)
{
	struct pipe *p = i->private;

	inode_get(i);
	enum kerr err = file_create(i, &pipe_ops, flags, out);
	if (err != KERR_OK) {
		inode_put(i);
		return err;
	}
	(*out)->private = p;
	(*out)->stream = true;
	count_ends(p, *out);
	return KERR_OK;
}

enum kerr ipc_pipe_create(struct file **read_end, struct file **write_end, int flags)
{
	struct inode *i = cache_alloc(inode_cache);
	struct pipe *p = pipe_new();
	enum kerr err = KERR_NOMEM;

	if (!i || !p)
		goto fail;
	inode_init(i, &pipe_superblock, &pipe_inode_ops, S_IFIFO | 0600);
	inode_set_owner(i, nullptr, S_IFIFO | 0600);
	i->private = p;
	err = open_end(i, O_RDONLY | (flags & O_NONBLOCK), read_end);
	if (err == KERR_OK) {
		err = open_end(i, O_WRONLY | (flags & O_NONBLOCK), write_end);
		if (err != KERR_OK)
			file_put(*read_end);
	}
	inode_put(i); /* the ends hold it; without any, this frees both */
	return err;
fail:
	if (i)
		cache_free(inode_cache, i);
	if (p)
		pipe_free(p);
	return err;
}

/* ---- FIFOs ------------------------------------------------------------------------------------- */

struct other_side {
	struct pipe *pipe;
	uint64_t readers_ever, writers_ever;
	bool reader;
};

/* Opening one end waits until the other end is open, or has been meanwhile. */
static bool other_side_came(const struct other_side *o)
{
	const struct pipe *p = o->pipe;

	return o->reader ? p->writers > 0 || p->writers_ever != o->writers_ever
			 : p->readers > 0 || p->readers_ever != o->readers_ever;
}

static enum kerr wait_for_other_side(struct pipe *p, bool reader)
{
	struct other_side o = {p, p->readers_ever, p->writers_ever, reader};
	struct waitq *q = reader ? &p->read_queue : &p->write_queue;
	struct waiter w;
	enum kerr err = KERR_OK;

	wait_begin(q, &w);
	while (!other_side_came(&o) && err == KERR_OK) {
		mutex_unlock(&p->lock);
		err = wait_park(&w, WAIT_IPC, true, NSEC_NEVER);
		mutex_lock(&p->lock);
	}
	wait_end(q, &w);
	return err == KERR_OK || other_side_came(&o) ? KERR_OK : KERR_RESTART;
}

/* The inode's pipe, made if this is the first open. */
static struct pipe *fifo_pipe(struct inode *i)
{
	mutex_lock(&i->lock);
	if (!i->private)
		i->private = pipe_new();
	struct pipe *p = i->private;
	mutex_unlock(&i->lock);
	return p;
}

static enum kerr fifo_open(struct inode *i, struct file *f)
{
	struct pipe *p = fifo_pipe(i);
	enum kerr err = KERR_OK;

	if (!p)
		return KERR_NOMEM;
	mutex_lock(&p->lock);
	if (f->writable && !f->readable && file_nonblocking(f) && p->readers == 0)
		err = KERR_NXIO;
	if (err == KERR_OK) {
		count_ends(p, f);
		wake_all(&p->read_queue);
		wake_all(&p->write_queue);
		if (f->readable != f->writable && !file_nonblocking(f))
			err = wait_for_other_side(p, f->readable);
		if (err != KERR_OK) {
			p->readers -= f->readable;
			p->writers -= f->writable;
			events_update(p);
		}
	}
	mutex_unlock(&p->lock);
	if (err == KERR_OK) {
		f->ops = &pipe_ops;
		f->private = p;
		f->stream = true;
	}
	return err;
}

static void fifo_release(struct inode *i)
{
	if (i->private)
		pipe_free(i->private);
	i->private = nullptr;
}

/* ---- Init -------------------------------------------------------------------------------------- */

static const struct filesystem pipe_filesystem = {.name = "pipefs", .magic = 0x50495045};
static void never_released(struct superblock *sb)
{
	panic("ipc: the superblock of pipes was released");
}
static const struct superblock_ops superblock_operations = {.release = never_released};

static enum kerr ipc_init(const struct boot_info *info)
{
	pipe_cache = cache_create("pipe", sizeof(struct pipe), 0);
	inode_cache = cache_create("pipe_inode", sizeof(struct inode), 0);
	superblock_init(&pipe_superblock, &pipe_filesystem, &superblock_operations);
	vfs_fifo_register(fifo_open, fifo_release);
	return KERR_OK;
}

static const struct init_ops ops = {.init = ipc_init};
INIT_SUBSYSTEM(ipc, .phase = INIT_LATE, .priority = 5, .requires = INIT_HEAP | INIT_SCHEDULER,
	       INIT_DEPENDS("memory", "scheduler"), .provides = INIT_IPC, .ops = &ops);
