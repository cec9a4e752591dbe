/*
 * timerfd_create(2): a timer that is read and polled.
 *
 *   off -> armed -> expired -> (read) -> armed again if it has an interval, else off
 *
 * The timer fires once and stays expired; whoever reads works out from the clock how many
 * intervals have passed and arms it for the next one, so an unread timer costs nothing, however
 * short its interval. The mutex guards all but `expired`, which the timer's function sets in
 * interrupt context and nothing else; it is cancelled (which waits for the function) before it is
 * set again.
 *
 * Times of CLOCK_REALTIME become those of the monotonic clock when they are set: a later change of
 * the wall clock does not move them, and TFD_TIMER_CANCEL_ON_SET never cancels.
 */
#include "ipc_private.h"

#include <core/wait.h>
#include <fs/poll.h>
#include <ipc/event.h>
#include <lib/string.h>
#include <mm/heap.h>

struct timerfd {
	struct mutex lock;
	struct timer timer;
	nsec_t deadline;      /* (lock) monotonic; 0: off */
	nsec_t interval;      /* (lock) */
	uint64_t missed;      /* (lock) intervals that had passed already when it was set */
	/* Set by the timer's function, cleared by the lock's holder with the timer cancelled. */
	_Atomic bool expired;
	bool wall; /* (const) */
	struct waitq readers;
};

static struct cache *cache RO_AFTER_INIT;
static struct inode inode;

static void fire(struct timer *timer)
{
	struct timerfd *t = container_of(timer, struct timerfd, timer);

	atomic_store(&t->expired, true);
	wake_one(&t->readers);
}

static void arm_locked(struct timerfd *t)
{
	timer_cancel(&t->timer); /* it may have just fired and still be waking */
	atomic_store(&t->expired, false);
	if (t->deadline)
		timer_set(&t->timer, t->deadline);
}

/* The number of expirations since the last read; 0: none. Moves the deadline behind now. */
static uint64_t collect_locked(struct timerfd *t)
{
	if (!atomic_load(&t->expired))
		return 0;
	uint64_t count = t->missed + 1;
	t->missed = 0;
	if (t->interval) {
		nsec_t now = time_now(), late = now > t->deadline ? now - t->deadline : 0;
		count += late / t->interval;
		if (__builtin_add_overflow(now - late % t->interval, t->interval, &t->deadline))
			t->deadline = NSEC_NEVER - 1;
	} else {
		t->deadline = 0;
	}
	arm_locked(t);
	return count;
}

static enum kerr timerfd_read(struct file *f, const struct io_buffer *b, uint64_t offset,
			      size_t *done)
{
	struct timerfd *t = f->private;
	uint64_t count;

	if (b->size < sizeof(count))
		return KERR_INVAL;
	for (;;) {
		mutex_lock(&t->lock);
		count = collect_locked(t);
		mutex_unlock(&t->lock);
		if (count)
			break;
		if (file_nonblocking(f))
			return KERR_AGAIN;
		if (wait_until(&t->readers, atomic_load(&t->expired), WAIT_TIMER, true,
			       NSEC_NEVER) != KERR_OK)
			return KERR_RESTART;
	}
	if (io_to_buffer(b, 0, &count, sizeof(count)) != sizeof(count))
		return KERR_FAULT;
	*done = sizeof(count);
	return KERR_OK;
}

static unsigned timerfd_poll(struct file *f, struct poll_table *table)
{
	struct timerfd *t = f->private;

	poll_wait_for(table, &t->readers, POLL_IN);
	return atomic_load(&t->expired) ? POLL_IN : 0;
}

static void timerfd_close(struct file *f)
{
	struct timerfd *t = f->private;

	timer_cancel(&t->timer);
	cache_free(cache, t);
}

static const struct file_ops ops = {
	.read = timerfd_read,
	.poll = timerfd_poll,
	.seek = anonymous_seek,
	.close = timerfd_close,
};

enum kerr timerfd_create(bool wall, int flags, struct file **out)
{
	struct timerfd *t = cache_alloc_zeroed(cache);

	if (!t)
		return KERR_NOMEM;
	mutex_init(&t->lock, "timerfd.lock");
	waitq_init(&t->readers);
	timer_init(&t->timer, fire);
	t->wall = wall;
	enum kerr err = anonymous_file_create(&inode, &ops, flags, t, out);
	if (err != KERR_OK)
		cache_free(cache, t);
	return err;
}

static void remaining_locked(const struct timerfd *t, struct timerfd_setting *out)
{
	nsec_t now = time_now(), next = t->deadline;

	*out = (struct timerfd_setting){.interval = t->interval};
	if (!next)
		return;
	/* What has expired and was not read counts as the interval after it, or as over. */
	if (next <= now && t->interval)
		next += ((now - next) / t->interval + 1) * t->interval;
	if (next > now)
		out->first = next - now;
	else if (!atomic_load(&t->expired))
		out->first = 1; /* due, but the interrupt has not come yet: 0 would mean off */
}

enum kerr timerfd_get(struct file *f, struct timerfd_setting *out)
{
	struct timerfd *t = f->private;

	if (f->ops != &ops)
		return KERR_INVAL;
	mutex_lock(&t->lock);
	remaining_locked(t, out);
	mutex_unlock(&t->lock);
	return KERR_OK;
}

/* Sets deadline, interval and missed. A deadline is never 0, which means off. */
static void schedule_locked(struct timerfd *t, bool absolute, const struct timerfd_setting *set)
{
	nsec_t now = time_now(), clock = absolute ? (t->wall ? time_wall() : now) : 0;

	t->interval = set->interval;
	t->missed = 0;
	if (set->first == 0) {
		t->deadline = 0;
	} else if (set->first > clock) {
		nsec_t ahead = set->first - clock;
		t->deadline = ahead < NSEC_NEVER - 1 - now ? now + ahead : NSEC_NEVER - 1;
	} else {
		nsec_t late = clock - set->first;
		if (t->interval) {
			t->missed = late / t->interval;
			late %= t->interval;
		}
		t->deadline = late < now ? now - late : 1;
	}
}

enum kerr timerfd_set(struct file *f, bool absolute, const struct timerfd_setting *set,
		      struct timerfd_setting *old)
{
	struct timerfd *t = f->private;

	if (f->ops != &ops)
		return KERR_INVAL;
	mutex_lock(&t->lock);
	remaining_locked(t, old);
	schedule_locked(t, absolute, set);
	arm_locked(t);
	mutex_unlock(&t->lock);
	return KERR_OK;
}

static size_t describe(struct inode *i, char *buf, size_t size)
{
	return strlcpy(buf, "anon_inode:[timerfd]", size);
}

void timerfd_init(void)
{
	static const struct inode_ops inode_ops = {.describe = describe};

	cache = cache_create("timerfd", sizeof(struct timerfd), 0);
	anonymous_inode_init(&inode, &inode_ops);
}
