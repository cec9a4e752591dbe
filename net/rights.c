/*
 * Files on their way through messages.
 *
 * Putting a file may close a socket whose queue holds more files, among them sockets whose queues ...:
 * a chain as long as a program likes. So a release inside a release only appends to the outer
 * one's list; each thread that releases has one such list, on its stack, and all of them are on a list
 * under a lock. Few threads release at a time, and none does it often.
 */
#include <net/socket.h>

#include <core/task.h>
#include <mm/heap.h>

struct releaser {
	struct list link;      /* (releasers_lock) */
	struct task *task;     /* (const) */
	struct list rights;    /* (own thread) */
};

static struct spinlock releasers_lock = SPINLOCK_INIT(RANK_PIPE, "releasers");
static struct list releasers = LIST_INIT(releasers); /* (releasers_lock) */

struct socket_rights *rights_create(uint32_t capacity)
{
	struct socket_rights *r = heap_alloc(sizeof(*r) + capacity * sizeof(r->files[0]));

	if (!r)
		return nullptr;
	list_init(&r->link);
	r->holder = nullptr;
	r->count = 0;
	return r;
}

struct socket_rights *rights_duplicate(const struct socket_rights *r)
{
	struct socket_rights *n = rights_create(r->count);

	if (!n)
		return nullptr;
	for (; n->count < r->count; n->count++) {
		n->files[n->count] = r->files[n->count];
		file_get(n->files[n->count]);
	}
	return n;
}

/* The list of the release that the current thread is in; null: it is in none. */
static struct releaser *current_releaser(void)
{
	struct releaser *at, *found = nullptr;

	spin_lock(&releasers_lock);
	list_for_each(at, &releasers, link)
		if (at->task == current_task())
			found = at;
	spin_unlock(&releasers_lock);
	return found;
}

static void put_files(struct socket_rights *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		file_put(r->files[i]);
	heap_free(r);
}

void rights_release(struct socket_rights *r)
{
	struct releaser own = {.task = current_task()}, *outer = current_releaser();

	if (outer) {
		list_add_tail(&outer->rights, &r->link);
		return;
	}
	list_init(&own.rights);
	spin_lock(&releasers_lock);
	list_add_tail(&releasers, &own.link);
	spin_unlock(&releasers_lock);
	put_files(r);
	while (!list_empty(&own.rights)) {
		r = list_first(&own.rights, struct socket_rights, link);
		list_remove(&r->link);
		put_files(r);
	}
	spin_lock(&releasers_lock);
	list_remove(&own.link);
	spin_unlock(&releasers_lock);
}
