/* eventfd(2), timerfd_create(2), signalfd(2). */
#include "gate.h"
#include <core/time.h>
#include <exec/domain.h>
#include <exec/signal.h>
#include <ipc/event.h>

#define FD_FLAGS (O_CLOEXEC | O_NONBLOCK) /* EFD_*, TFD_* and SFD_* have these values, too */

/* Gives a new file a number; consumes it. */
static long install(enum kerr err, struct file *f, int flags)
{
	int fd;

	if (err != KERR_OK)
		return err;
	err = fd_install(f, 0, flags & O_CLOEXEC, &fd);
	if (err != KERR_OK) {
		file_put(f);
		return err;
	}
	return fd;
}

/* ---- eventfd ---- */

#define EFD_SEMAPHORE 1

static long eventfd(uint32_t count, int flags)
{
	struct file *f;

	if (flags & ~(FD_FLAGS | EFD_SEMAPHORE))
		return KERR_INVAL;
	enum kerr err = eventfd_create(count, flags & EFD_SEMAPHORE, flags, &f);
	return install(err, f, flags);
}

SYSCALL(eventfd)
{
	return eventfd((uint32_t)a0, 0);
}

SYSCALL(eventfd2)
{
	return eventfd((uint32_t)a0, (int)a1);
}

/* ---- timerfd ---- */

#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_BOOTTIME 7
#define CLOCK_REALTIME_ALARM 8
#define CLOCK_BOOTTIME_ALARM 9
#define TFD_TIMER_ABSTIME 1
#define TFD_TIMER_CANCEL_ON_SET 2

SYSCALL(timerfd_create)
{
	int clock = (int)a0, flags = (int)a1;
	struct file *f;

	if (flags & ~FD_FLAGS)
		return KERR_INVAL;
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
		break;
	case CLOCK_REALTIME_ALARM: /* there is nothing to wake the machine from */
	case CLOCK_BOOTTIME_ALARM:
		if (!process_capable(TERN_CAP_TIME_ADMIN, LINUX_CAP_WAKE_ALARM))
			return KERR_PERM;
		break;
	default:
		return KERR_INVAL;
	}
	bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
	enum kerr err = timerfd_create(wall, flags, &f);
	return install(err, f, flags);
}

/* struct itimerspec: the interval comes first. */
static enum kerr setting_read(vaddr_t from, struct timerfd_setting *out)
{
	struct user_timespec both[2];
	enum kerr err = user_read(both, from, sizeof(both)); /* all of it, before it is judged */

	if (err == KERR_OK)
		err = timespec_read(from, &out->interval);
	if (err == KERR_OK)
		err = timespec_read(from + sizeof(both[0]), &out->first);
	return err;
}

static enum kerr setting_write(vaddr_t to, const struct timerfd_setting *s)
{
	enum kerr err = timespec_write(to, s->interval);

	return err == KERR_OK ? timespec_write(to + sizeof(struct user_timespec), s->first) : err;
}

SYSCALL(timerfd_settime)
{
	struct timerfd_setting set, old;
	int flags = (int)a1;
	enum kerr err = setting_read(a2, &set);

	if (err != KERR_OK)
		return err;
	if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		return KERR_INVAL;
	struct file *f = fd_get((int)a0);
	if (!f)
		return KERR_BADF;
	err = timerfd_set(f, flags & TFD_TIMER_ABSTIME, &set, &old);
	file_put(f);
	return err == KERR_OK && a3 ? setting_write(a3, &old) : err;
}

SYSCALL(timerfd_gettime)
{
	struct timerfd_setting now;
	struct file *f = fd_get((int)a0);

	if (!f)
		return KERR_BADF;
	enum kerr err = timerfd_get(f, &now);
	file_put(f);
	return err == KERR_OK ? setting_write(a1, &now) : err;
}

/* ---- signalfd ---- */

static long signalfd(int fd, vaddr_t user_set, unsigned long size, int flags)
{
	struct file *f;
	uint64_t set;

	if (size != sizeof(set))
		return KERR_INVAL;
	enum kerr err = user_read(&set, user_set, sizeof(set));
	if (err != KERR_OK)
		return err;
	if (flags & ~FD_FLAGS)
		return KERR_INVAL;
	if (fd == -1) {
		err = signalfd_create(set, flags, &f);
		return install(err, f, flags);
	}
	f = fd_get(fd);
	if (!f)
		return KERR_BADF;
	err = signalfd_set(f, set);
	file_put(f);
	return err == KERR_OK ? fd : err;
}

SYSCALL(signalfd)
{
	return signalfd((int)a0, a1, a2, 0);
}

SYSCALL(signalfd4)
{
	return signalfd((int)a0, a1, a2, (int)a3);
}
