/*
 * Process groups and sessions (setpgid(2), setsid(2), credentials(7)). A group exists while it has
 * members and belongs to one session for ever; a session exists while it has groups. Both
 * keep their number in use (ids.c). All under process_tree_lock.
 */
#include "process_private.h"
#include <exec/group.h>
#include <mm/heap.h>

#define BUCKETS 256

static struct process_group *groups[BUCKETS]; /* (tree lock) */

struct process_group *group_find_locked(int id)
{
	struct process_group *g = groups[(unsigned)id % BUCKETS];

	while (g && g->id != id)
		g = g->hash_next;
	return g;
}

void session_put(struct session *s)
{
	if (atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) == 1) {
		id_release(s->sid);
		heap_free(s);
	}
}

void group_join_locked(struct process *p, struct process_group *g)
{
	p->group = g;
	p->pgid = g->id;
	p->session = g->session;
	list_add_tail(&g->members, &p->group_link);
}

void group_leave_locked(struct process *p)
{
	struct process_group *g = p->group;

	list_remove(&p->group_link);
	p->group = nullptr;
	if (!list_empty(&g->members))
		return;
	struct process_group **link = &groups[(unsigned)g->id % BUCKETS];
	while (*link != g)
		link = &(*link)->hash_next;
	*link = g->hash_next;
	id_release(g->id);
	session_put(g->session);
	heap_free(g);
}

/* A new group of its own, in a new session or the one it is in. */
enum kerr group_create_locked(struct process *p, bool new_session)
{
	struct process_group *g = heap_alloc_zeroed(sizeof(*g));
	struct session *s = p->session;

	if (!g)
		return KERR_NOMEM;
	if (new_session) {
		s = heap_alloc_zeroed(sizeof(*s));
		if (!s) {
			heap_free(g);
			return KERR_NOMEM;
		}
		s->sid = p->pid;
		id_hold(s->sid);
	}
	atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
	g->id = p->pid;
	id_hold(g->id);
	g->session = s;
	list_init(&g->members);
	g->hash_next = groups[(unsigned)g->id % BUCKETS];
	groups[(unsigned)g->id % BUCKETS] = g;
	if (p->group)
		group_leave_locked(p);
	group_join_locked(p, g);
	return KERR_OK;
}

/* Whether `p` keeps its group from being orphaned: its parent is in the same session but outside the group. */
bool group_anchored_by_locked(const struct process *p)
{
	const struct process *parent = p->parent;

	return p->state != PROCESS_ZOMBIE && parent && parent != process_init &&
	       parent->group != p->group && parent->session == p->group->session;
}

/* No member has a parent in the same session but outside the group (POSIX 3.264). */
bool group_orphaned_locked(const struct process_group *g, const struct process *except)
{
	struct process *p;

	list_for_each(p, &g->members, group_link)
		if (p != except && group_anchored_by_locked(p))
			return false;
	return true;
}

static bool has_stopped(const struct process_group *g)
{
	struct process *p;

	list_for_each(p, &g->members, group_link)
		if (p->group_stop)
			return true;
	return false;
}

void group_check_orphan_locked(struct process_group *g, const struct process *except)
{
	struct process *p;

	if (!group_orphaned_locked(g, except) || !has_stopped(g))
		return;
	list_for_each(p, &g->members, group_link) {
		process_signal(p, SIGHUP);
		process_signal(p, SIGCONT);
	}
}

bool process_group_orphaned(int pgid)
{
	bool on = spin_lock_irq(&process_tree_lock);
	struct process_group *g = group_find_locked(pgid);
	bool orphaned = !g || group_orphaned_locked(g, nullptr);

	spin_unlock_irq(&process_tree_lock, on);
	return orphaned;
}

bool process_group_in_session(int pgid, const struct session *session)
{
	bool on = spin_lock_irq(&process_tree_lock);
	struct process_group *g = group_find_locked(pgid);
	bool in = g && g->session == session;

	spin_unlock_irq(&process_tree_lock, on);
	return in;
}

void process_group_signal(int pgid, int signo)
{
	struct process *p;
	bool on = spin_lock_irq(&process_tree_lock);
	struct process_group *g = group_find_locked(pgid);

	if (g)
		list_for_each(p, &g->members, group_link)
			process_signal(p, signo);
	spin_unlock_irq(&process_tree_lock, on);
}

enum kerr process_new_session(int *sid)
{
	struct process *p = current_process();
	bool on = spin_lock_irq(&process_tree_lock);
	enum kerr err = KERR_PERM;

	if (!group_find_locked(p->pid))
		err = group_create_locked(p, true);
	if (err == KERR_OK)
		*sid = p->pid;
	spin_unlock_irq(&process_tree_lock, on);
	return err;
}

static enum kerr set_group_locked(struct process *self, struct process *p, int pgid)
{
	if (p != self && p->parent != self)
		return KERR_SRCH;
	if (p != self && p->session != self->session)
		return KERR_PERM;
	if (p != self && p->did_exec)
		return KERR_ACCESS;
	if (p->session->sid == p->pid)
		return KERR_PERM;
	if (p->pgid == pgid)
		return KERR_OK;
	if (pgid == p->pid && !group_find_locked(pgid))
		return group_create_locked(p, false);
	struct process_group *g = group_find_locked(pgid);
	if (!g || g->session != self->session)
		return KERR_PERM;
	group_leave_locked(p);
	group_join_locked(p, g);
	return KERR_OK;
}

enum kerr process_set_group(int pid, int pgid)
{
	struct process *self = current_process();

	if (pgid < 0)
		return KERR_INVAL;
	struct process *p = process_find(pid ? pid : self->pid);
	if (!p)
		return KERR_SRCH;
	bool on = spin_lock_irq(&process_tree_lock);
	enum kerr err = p->state == PROCESS_ZOMBIE || !p->group
				? KERR_SRCH
				: set_group_locked(self, p, pgid ? pgid : p->pid);
	spin_unlock_irq(&process_tree_lock, on);
	process_put(p);
	return err;
}

enum kerr process_get_group(int pid, int *pgid, int *sid)
{
	struct process *p = process_find(pid ? pid : current_process()->pid);

	if (!p)
		return KERR_SRCH;
	bool on = spin_lock_irq(&process_tree_lock);
	enum kerr err = p->group ? KERR_OK : KERR_SRCH;
	if (p->group) {
		*pgid = p->pgid;
		*sid = p->session->sid;
	}
	spin_unlock_irq(&process_tree_lock, on);
	process_put(p);
	return err;
}
