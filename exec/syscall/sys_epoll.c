/* epoll(7). An event in user memory is 12 bytes without a gap on x86_64 and 16 elsewhere. */
#include "gate.h"
#include <core/time.h>
#include <exec/signal.h>
#include <ipc/epoll.h>
#include <lib/string.h>

struct packed_event {
	uint32_t events;
	uint64_t data;
} PACKED;
static_assert(sizeof(struct packed_event) == 12 && sizeof(struct epoll_event) == 16);

#define EVENTS_MAX (INT32_MAX / (long)event_size())

static size_t event_size(void)
{
	return abi->x86_layouts ? sizeof(struct packed_event) : sizeof(struct epoll_event);
}

static enum kerr event_read(vaddr_t from, struct epoll_event *out)
{
	struct packed_event packed;

	if (!abi->x86_layouts)
		return user_read(out, from, sizeof(*out));
	enum kerr err = user_read(&packed, from, sizeof(packed));
	if (err == KERR_OK)
		*out = (struct epoll_event){packed.events, packed.data};
	return err;
}

/* epoll_emit: arg points to where the next event goes. */
static enum kerr event_write(void *arg, const struct epoll_event *event)
{
	vaddr_t *to = arg;
	const struct packed_event packed = {event->events, event->data};
	const struct {
		uint64_t events, data; /* the gap is zero */
	} wide = {event->events, event->data};
	enum kerr err = abi->x86_layouts ? user_write(*to, &packed, sizeof(packed))
					 : user_write(*to, &wide, sizeof(wide));

	*to += event_size();
	return err;
}

/* ---- making, changing ---- */

static long create(bool close_on_exec)
{
	struct file *f;
	int fd;
	enum kerr err = epoll_file_create(&f);

	if (err != KERR_OK)
		return err;
	err = fd_install(f, 0, close_on_exec, &fd);
	if (err != KERR_OK) {
		file_put(f);
		return err;
	}
	return fd;
}

SYSCALL(epoll_create)
{
	return (int)a0 > 0 ? create(false) : KERR_INVAL;
}

SYSCALL(epoll_create1)
{
	return (int)a0 & ~O_CLOEXEC ? KERR_INVAL : create((int)a0 & O_CLOEXEC);
}

SYSCALL(epoll_ctl)
{
	struct epoll_event event = {};
	struct file *ep, *f;
	int operation = (int)a1;
	enum kerr err = operation == EPOLL_DELETE ? KERR_OK : event_read(a3, &event);

	if (err != KERR_OK)
		return err;
	ep = fd_get((int)a0);
	if (!ep)
		return KERR_BADF;
	f = fd_get((int)a2);
	err = KERR_BADF;
	if (f) {
		err = epoll_control(ep, (enum epoll_operation)operation, (int)a2, f, &event);
		file_put(f);
	}
	file_put(ep);
	return err;
}

/* ---- waiting ---- */

static long wait_events(int fd, vaddr_t events, int max, nsec_t deadline)
{
	size_t count;

	if (max <= 0 || max > EVENTS_MAX)
		return KERR_INVAL;
	if (!user_range_ok(events, (size_t)max * event_size()))
		return KERR_FAULT;
	struct file *ep = fd_get(fd);
	if (!ep)
		return KERR_BADF;
	enum kerr err = epoll_collect(ep, (size_t)max, deadline, event_write, &events, &count);
	file_put(ep);
	return err == KERR_OK ? (long)count : err;
}

/* With the mask for as long as it waits; a handler of a signal that ended it sees it, too. */
static long wait_masked(int fd, vaddr_t events, int max, nsec_t deadline, vaddr_t mask,
			unsigned long mask_size)
{
	uint64_t set;

	if (mask) {
		if (mask_size != sizeof(set))
			return KERR_INVAL;
		enum kerr err = user_read(&set, mask, sizeof(set));
		if (err != KERR_OK)
			return err;
		signal_set_temporary_mask(set);
	}
	long result = wait_events(fd, events, max, deadline);
	if (mask && result != KERR_INTR)
		signal_restore_mask();
	return result;
}

static nsec_t milliseconds(int timeout)
{
	if (timeout <= 0)
		return timeout < 0 ? NSEC_NEVER : 0;
	return deadline_after((nsec_t)timeout * NSEC_PER_MSEC);
}

SYSCALL(epoll_wait)
{
	return wait_events((int)a0, a1, (int)a2, milliseconds((int)a3));
}

SYSCALL(epoll_pwait)
{
	return wait_masked((int)a0, a1, (int)a2, milliseconds((int)a3), a4, a5);
}

SYSCALL(epoll_pwait2)
{
	nsec_t span, deadline = NSEC_NEVER;

	if (a3) {
		enum kerr err = timespec_read(a3, &span);
		if (err != KERR_OK)
			return err;
		deadline = span ? deadline_after(span) : 0;
	}
	return wait_masked((int)a0, a1, (int)a2, deadline, a4, a5);
}
