/*
 * Epolls that watch epolls. An event goes up every path of watching epolls with interrupts off, so
 * the graph must have no cycle, and few paths: at most NESTS_MAX steps up, and at most about 2 *
 * PATHS_MAX paths from any epoll. Both are checked when an edge is added, under one mutex for the
 * machine, which also guards the edges: nesting is rare, and none of this is reached without it.
 *
 *   item of A that watches B:  A.inner - item.inner,  B.outer - item.outer
 *
 * All walks are bounded: depth by NESTS_MAX, visits by PATHS_MAX.
 */
#include "epoll_private.h"

#define NESTS_MAX 4
#define PATHS_MAX 500u

struct mutex epoll_nesting = MUTEX_INIT(epoll_nesting);

/* Paths from `ep` up, itself included; counts no further than PATHS_MAX + 1. */
static unsigned paths_up(const struct epoll *ep, unsigned *depth)
{
	const struct epoll_item *item;
	unsigned paths = 1, deepest = 0;

	list_for_each(item, &ep->outer, outer) {
		unsigned above;
		paths += paths_up(item->epoll, &above);
		deepest = MAX(deepest, above + 1);
		if (paths > PATHS_MAX)
			break;
	}
	*depth = deepest;
	return paths;
}

struct descent {
	const struct epoll *top; /* must not be found below */
	unsigned visits, depth;
	enum kerr err;
};

/* Each path down from `ep`: looks for `top`, for the depth, and for epolls that have too many paths up. */
static void walk_down(struct descent *d, const struct epoll *ep, unsigned depth)
{
	const struct epoll_item *item;
	unsigned ignored;

	d->depth = MAX(d->depth, depth);
	if (ep == d->top || depth > NESTS_MAX)
		d->err = KERR_LOOP;
	else if (++d->visits > PATHS_MAX || paths_up(ep, &ignored) > PATHS_MAX)
		d->err = KERR_INVAL;
	if (d->err != KERR_OK)
		return;
	list_for_each(item, &ep->inner, inner) {
		walk_down(d, item->file->private, depth + 1);
		if (d->err != KERR_OK)
			return;
	}
}

enum kerr epoll_nest_check_locked(struct epoll *outer, struct epoll *inner)
{
	struct descent d = {.top = outer};
	unsigned above, paths = paths_up(outer, &above);

	walk_down(&d, inner, 0);
	if (d.err != KERR_OK)
		return d.err;
	if (d.depth + 1 + above > NESTS_MAX)
		return KERR_LOOP;
	return d.visits * paths > PATHS_MAX ? KERR_INVAL : KERR_OK;
}

void epoll_nest_add_locked(struct epoll_item *item, struct epoll *inner)
{
	list_add_tail(&item->epoll->inner, &item->inner);
	list_add_tail(&inner->outer, &item->outer);
}

void epoll_nest_remove_locked(struct epoll_item *item)
{
	list_remove(&item->inner);
	list_remove(&item->outer);
}
