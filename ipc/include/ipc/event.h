/* Files that stand for events: eventfd(2), timerfd_create(2), signalfd(2). */
#pragma once

#include <core/time.h>
#include <fs/file.h>

/* `flags`: O_NONBLOCK (O_CLOEXEC is the caller's). KERR_NOMEM. */
enum kerr eventfd_create(uint32_t count, bool semaphore, int flags, struct file **out);

/* `wall`: CLOCK_REALTIME, otherwise the monotonic clock. */
enum kerr timerfd_create(bool wall, int flags, struct file **out);
struct timerfd_setting {
	nsec_t first;    /* ns from now, or the clock's time (absolute); 0: off */
	nsec_t interval; /* 0: once */
};
/* KERR_INVAL: `f` is no timerfd. */
enum kerr timerfd_set(struct file *f, bool absolute, const struct timerfd_setting *set,
		      struct timerfd_setting *old);
enum kerr timerfd_get(struct file *f, struct timerfd_setting *out); /* what is left */

/* Signals of `set` that pend for whoever reads. */
enum kerr signalfd_create(uint64_t set, int flags, struct file **out);
enum kerr signalfd_set(struct file *f, uint64_t set); /* KERR_INVAL: `f` is no signalfd */
