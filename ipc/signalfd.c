/*
 * signalfd(2): reads the signals that pend for the reader, whoever made the file.
 *
 * A signal wakes the queue of its process (struct signal_watch). What polls this file hangs a
 * waiter on the queue of the polling process, which may stay there longer than that process lives
 * (epoll): so the file holds each queue that it ever named, in a list that is as long as the
 * number of processes that polled it.
 *
 * Locks: the file's mutex guards list and is never held while sleeping for a signal.
 */
#include "ipc_private.h"

#include <core/wait.h>
#include <exec/signal.h>
#include <fs/poll.h>
#include <ipc/event.h>
#include <lib/string.h>
#include <mm/heap.h>

/* struct signalfd_siginfo */
struct user_info {
	uint32_t signo;
	int32_t error, code;
	uint32_t pid, uid;
	int32_t fd;
	uint32_t tid, band, overrun, trapno;
	int32_t status, value;
	uint64_t pointer, user_time, system_time, addr;
	uint16_t addr_lsb, pad;
	int32_t call;
	uint64_t call_addr;
	uint32_t arch;
	uint8_t rest[28];
};
static_assert(sizeof(struct user_info) == 128 && offsetof(struct user_info, addr) == 72);

struct held_watch {
	struct held_watch *next;
	struct signal_watch *watch;
};

struct signalfd {
	_Atomic uint64_t set;
	struct mutex lock;
	struct held_watch *held; /* (lock) */
};

static struct cache *cache RO_AFTER_INIT;
static struct inode inode;

static void info_convert(const struct signal_info *info, struct user_info *out)
{
	const uint64_t faults = SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) |
				SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGFPE);

	*out = (struct user_info){
		.signo = (uint32_t)info->signo, .error = info->error, .code = info->code};
	if (SIGNAL_BIT(info->signo) & faults && info->code > 0) {
		out->addr = info->addr;
		return;
	}
	out->pid = (uint32_t)info->pid;
	out->uid = info->uid;
	if (info->signo == SIGCHLD && info->code > 0) {
		out->status = info->status;
		out->user_time = info->user_time;
		out->system_time = info->system_time;
	} else if (info->code < 0) {
		out->pointer = info->value;
		out->value = (int32_t)info->value;
	}
}

/* The current process's queue, held by the file from now on; null: no memory. */
static struct waitq *queue_hold(struct signalfd *s)
{
	struct signal_watch *w = signal_watch_current();
	struct held_watch *h;

	if (!w)
		return nullptr;
	mutex_lock(&s->lock);
	for (h = s->held; h && h->watch != w; h = h->next)
		;
	if (!h) {
		h = heap_alloc(sizeof(*h));
		if (h) {
			signal_watch_get(w);
			*h = (struct held_watch){s->held, w};
			s->held = h;
		}
	}
	mutex_unlock(&s->lock);
	return h ? &w->queue : nullptr;
}

/* The first signal, waiting for it if need be. */
static enum kerr first_signal(struct file *f, struct signal_info *info)
{
	struct signalfd *s = f->private;
	struct waiter waiter;
	enum kerr err = KERR_OK;

	if (signal_take(atomic_load(&s->set), info))
		return KERR_OK;
	if (file_nonblocking(f))
		return KERR_AGAIN;
	struct signal_watch *w = signal_watch_current(); /* stays as long as this process */
	if (!w)
		return KERR_NOMEM;
	wait_begin(&w->queue, &waiter);
	bool found = signal_take(atomic_load(&s->set), info);
	while (!found && err == KERR_OK) {
		err = wait_park(&waiter, WAIT_SIGNAL, true, NSEC_NEVER);
		found = signal_take(atomic_load(&s->set), info);
	}
	wait_end(&w->queue, &waiter);
	return found ? KERR_OK : KERR_RESTART;
}

static enum kerr signalfd_read(struct file *f, const struct io_buffer *b, uint64_t offset,
			       size_t *done)
{
	struct signalfd *s = f->private;
	struct signal_info info;
	struct user_info out;

	if (b->size < sizeof(out))
		return KERR_INVAL;
	enum kerr err = first_signal(f, &info);
	while (err == KERR_OK) {
		info_convert(&info, &out);
		if (io_to_buffer(b, *done, &out, sizeof(out)) != sizeof(out))
			return *done ? KERR_OK : KERR_FAULT;
		*done += sizeof(out);
		if (b->size - *done < sizeof(out) || !signal_take(atomic_load(&s->set), &info))
			break;
	}
	return err;
}

static unsigned signalfd_poll(struct file *f, struct poll_table *table)
{
	struct signalfd *s = f->private;

	if (table) {
		struct waitq *q = queue_hold(s);
		poll_wait_for(table, q, POLL_IN);
	}
	return signal_pending_all() & atomic_load(&s->set) ? POLL_IN : 0;
}

static void signalfd_close(struct file *f)
{
	struct signalfd *s = f->private;

	while (s->held) {
		struct held_watch *h = s->held;
		s->held = h->next;
		signal_watch_put(h->watch);
		heap_free(h);
	}
	cache_free(cache, s);
}

static const struct file_ops ops = {
	.read = signalfd_read,
	.poll = signalfd_poll,
	.seek = anonymous_seek,
	.close = signalfd_close,
};

static void set_store(struct signalfd *s, uint64_t set)
{
	atomic_store(&s->set, set & ~SIGNAL_UNBLOCKABLE);
}

enum kerr signalfd_create(uint64_t set, int flags, struct file **out)
{
	struct signalfd *s = cache_alloc_zeroed(cache);

	if (!s)
		return KERR_NOMEM;
	mutex_init(&s->lock, "signalfd.lock");
	set_store(s, set);
	enum kerr err = anonymous_file_create(&inode, &ops, flags, s, out);
	if (err != KERR_OK)
		cache_free(cache, s);
	return err;
}

enum kerr signalfd_set(struct file *f, uint64_t set)
{
	if (f->ops != &ops)
		return KERR_INVAL;
	set_store(f->private, set);
	struct signal_watch *w = signal_watch_current();
	if (w)
		wake_all(&w->queue); /* something may pend that the set has now */
	return KERR_OK;
}

static size_t describe(struct inode *i, char *buf, size_t size)
{
	return strlcpy(buf, "anon_inode:[signalfd]", size);
}

void signalfd_init(void)
{
	static const struct inode_ops inode_ops = {.describe = describe};

	cache = cache_create("signalfd", sizeof(struct signalfd), 0);
	anonymous_inode_init(&inode, &inode_ops);
}
