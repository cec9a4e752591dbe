/*
 * Pipes and FIFOs.
 *
 * A pipe is a ring of page slots; pages appear as bytes are written and go when they have been
 * read, but for the first, which an emptied pipe keeps and starts again at: small messages use one page forever.
 *
 *      tail                head          both count bytes; slot = position / 4096 % slots
 *       v                   v
 *   [ ..xxxx | xxxx | xxxx | xx.. | null | null ]
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
#include <ipc/pipe.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/user_copy.h>

#define FIONREAD 0x541b
#define SLOTS_DEFAULT (PIPE_SIZE_DEFAULT / (uint32_t)PAGE_SIZE)

struct pipe {
	struct mutex lock;
	uint32_t slots;          /* (lock) a power of two */
	uint64_t head, tail;     /* (lock) bytes written, read */
	uint8_t **pages;         /* (lock) slots of them; null: not there */
	uint32_t readers, writers; /* (lock) open ends */
	uint64_t readers_ever, writers_ever; /* (lock) opens so far, for FIFOs that wait for the other side */
	_Atomic uint32_t events; /* (lock for writing) POLL_* of both ends */
	struct waitq read_queue, write_queue;
	uint8_t *inline_pages[SLOTS_DEFAULT];
};

static struct cache *pipe_cache, *inode_cache;
static struct superblock pipe_superblock;

static struct pipe *pipe_new(void)
{
	struct pipe *p = cache_alloc_zeroed(pipe_cache);

	if (!p)
		return nullptr;
	mutex_init(&p->lock);
	waitq_init(&p->read_queue);
	waitq_init(&p->write_queue);
	p->slots = SLOTS_DEFAULT;
	p->pages = p->inline_pages;
	return p;
}

static void page_free(uint8_t *page)
{
	if (page)
		frame_free(frame_of(page), 0);
}

static void pipe_free(struct pipe *p)
{
	for (uint32_t i = 0; i < p->slots; i++)
		page_free(p->pages[i]);
	if (p->pages != p->inline_pages)
		heap_free(p->pages);
	cache_free(pipe_cache, p);
}

static uint8_t **slot_of(const struct pipe *p, uint64_t position)
{
	return &p->pages[position / PAGE_SIZE & (p->slots - 1)];
}

/* A slot is not written again before all of its page has been read: head never laps tail's page. */
static uint64_t room(const struct pipe *p)
{
	return (p->tail / PAGE_SIZE + p->slots) * PAGE_SIZE - p->head;
}

#define READER_EVENTS (POLL_IN | POLL_RDNORM | POLL_HUP)
#define WRITER_EVENTS (POLL_OUT | POLL_WRNORM | POLL_ERR)

/* Before the lock is released or somebody is woken. */
static void events_update(struct pipe *p)
{
	uint32_t events = 0;

	if (p->head != p->tail)
		events |= POLL_IN | POLL_RDNORM;
	if (p->writers == 0 && p->writers_ever > 0)
		events |= POLL_HUP;
	if (room(p) >= PIPE_BUF)
		events |= POLL_OUT | POLL_WRNORM;
	if (p->readers == 0)
		events |= POLL_ERR;
	atomic_store_explicit(&p->events, events, memory_order_relaxed);
}

/* Copies up to `size` bytes in at head. KERR_FAULT, KERR_NOMEM: nothing more than *done went in. */
static enum kerr put_bytes(struct pipe *p, const struct io_buffer *b, size_t at, size_t size,
			   size_t *done)
{
	*done = 0;
	while (*done < size) {
		uint8_t **slot = slot_of(p, p->head);
		size_t offset = p->head % PAGE_SIZE;
		size_t n = MIN(size - *done, PAGE_SIZE - offset);
		if (!*slot) {
			struct frame *f = frame_alloc(0, FRAME_USER);
			if (!f)
				return KERR_NOMEM;
			*slot = frame_data(f);
		}
		size_t moved = io_from_buffer(b, at + *done, *slot + offset, n);
		p->head += moved;
		*done += moved;
		if (moved < n)
			return KERR_FAULT;
	}
	return KERR_OK;
}

static enum kerr get_bytes(struct pipe *p, const struct io_buffer *b, size_t *done)
{
	size_t size = MIN(b->size, p->head - p->tail);

	while (*done < size) {
		uint8_t **slot = slot_of(p, p->tail);
		size_t offset = p->tail % PAGE_SIZE;
		size_t n = MIN(size - *done, PAGE_SIZE - offset);
		size_t moved = io_to_buffer(b, *done, *slot + offset, n);
		p->tail += moved;
		*done += moved;
		if (moved < n)
			return *done ? KERR_OK : KERR_FAULT;
		/* The page behind tail goes, unless head has come round into it. */
		if (p->tail % PAGE_SIZE == 0 && p->tail != p->head && room(p) >= PAGE_SIZE) {
			page_free(*slot);
			*slot = nullptr;
		}
	}
	if (p->head == p->tail) {
		/* The last page becomes the first one again. */
		uint8_t **last = slot_of(p, p->tail - (p->tail > 0));
		uint8_t *keep = *last;
		*last = nullptr;
		page_free(p->pages[0]);
		p->pages[0] = keep;
		p->head = p->tail = 0;
	}
	return KERR_OK;
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
	return p->head != p->tail || p->writers == 0;
}

static bool can_write(struct pipe *p, size_t size)
{
	return room(p) >= size || p->readers == 0;
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
	bool full = room(p) < PIPE_BUF;
	if (err == KERR_OK)
		err = get_bytes(p, b, done);
	bool more = slept && p->head != p->tail;
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
	enum kerr err = put_bytes(p, b, *done, MIN(left, room(p)), &moved);
	*done += moved;
	if (moved > 0) {
		events_update(p);
		wake_one(&p->read_queue);
	}
	return err;
}

static enum kerr pipe_write(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
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
	bool more = slept && room(p) > 0;
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
	int count = (int)(p->head - p->tail);
	mutex_unlock(&p->lock);
	*result = 0;
	return user_write(argument, &count, sizeof(count));
}

/* Gives the ring `slots` slots; the bytes in it move to its start. */
static enum kerr resize_locked(struct pipe *p, uint32_t slots)
{
	uint64_t first = p->tail / PAGE_SIZE, last = (p->head + PAGE_SIZE - 1) / PAGE_SIZE;

	if (last - first > slots)
		return KERR_BUSY;
	uint8_t **pages = heap_alloc_zeroed(slots * sizeof(*pages));
	if (!pages)
		return KERR_NOMEM;
	for (uint64_t i = first; i < last; i++) {
		uint8_t **from = slot_of(p, i * PAGE_SIZE);
		pages[i - first] = *from;
		*from = nullptr;
	}
	for (uint32_t i = 0; i < p->slots; i++)
		page_free(p->pages[i]);
	if (p->pages != p->inline_pages)
		heap_free(p->pages);
	p->pages = pages;
	p->slots = slots;
	p->head -= first * PAGE_SIZE;
	p->tail -= first * PAGE_SIZE;
	events_update(p);
	return KERR_OK;
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
		err = resize_locked(p, slots);
	}
	*result = (long)(p->slots * PAGE_SIZE);
	mutex_unlock(&p->lock);
	if (err == KERR_OK)
		wake_all(&p->write_queue);
	return err;
}

static void discard_locked(struct pipe *p)
{
	for (uint32_t i = 0; i < p->slots; i++) {
		page_free(p->pages[i]);
		p->pages[i] = nullptr;
	}
	p->head = p->tail = 0;
}

static void pipe_close(struct file *f)
{
	struct pipe *p = f->private;

	mutex_lock(&p->lock);
	p->readers -= f->readable;
	p->writers -= f->writable;
	if (p->readers == 0 && p->writers == 0) /* what a FIFO held goes with its last user */
		discard_locked(p);
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
