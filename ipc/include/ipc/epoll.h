/* epoll(7): watches many files, and tells which have something to tell without looking at the others. */
#pragma once

#include <fs/file.h>

#define EPOLL_EXCLUSIVE (1u << 28)
#define EPOLL_WAKEUP (1u << 29)
#define EPOLL_ONESHOT (1u << 30)
#define EPOLL_EDGE (1u << 31)

struct epoll_event {
	uint32_t events; /* POLL_*, EPOLL_* */
	uint64_t data; /* the caller's own */
};

enum kerr epoll_file_create(struct file **out);

/* KERR_INVAL: `ep` is no epoll, or `f` is `ep` itself. The item is the pair of `fd` and `f`. */
enum epoll_operation { EPOLL_ADD = 1, EPOLL_DELETE = 2, EPOLL_MODIFY = 3 };
/* `event` is not used by DELETE. KERR_PERM: `f` cannot be polled; KERR_EXIST, KERR_NOENT; KERR_LOOP: a
 * cycle, or epolls nested too deep; KERR_INVAL: also wrong use of EXCLUSIVE, too many paths; KERR_NOMEM. */
enum kerr epoll_control(struct file *ep, enum epoll_operation operation, int fd, struct file *f,
			const struct epoll_event *event);

/* Hands out one event: KERR_FAULT puts it back. May sleep. */
typedef enum kerr epoll_emit(void *arg, const struct epoll_event *event);
/* Up to `max` events, at least one unless the deadline (time_now(); 0: only looks) comes first.
 * *count: how many were handed out. KERR_INVAL: `ep` is no epoll; KERR_INTR; what `emit` gave. */
enum kerr epoll_collect(struct file *ep, size_t max, nsec_t deadline, epoll_emit *emit, void *arg,
			size_t *count);
