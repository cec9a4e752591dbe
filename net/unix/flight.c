/*
 * Sockets in flight: UNIX sockets that messages carry, and what becomes of those that only messages hold.
 *
 * A socket whose descriptor lies in its own queue, or in a ring of queues, is held by nobody who could
 * ever close it. So for every UNIX socket the references that messages hold to its file are
 * counted (in_flight). A socket is a candidate if the file has no other references. A candidate is alive if a
 * queue of a socket that is no candidate holds it, or one of a live candidate. The rest is garbage:
 * its queues are emptied, which closes it.
 *
 *   1. candidate: file references == in_flight; gc_count = in_flight
 *   2. for each reference in a candidate's queue: gc_count of what it refers to - 1
 *   3. candidates with gc_count > 0 are alive, and so is all that their queues hold
 *   4. the others: purge their queues
 *
 * An embryo has no file; its queue counts as its listener's. Linear in sockets and references in flight. Runs
 * when a UNIX socket closes and any is in flight, in the thread that closes it; so a ring whose last
 * descriptor goes without closing a socket (it was sent to itself) waits for the next close of any.
 *
 * One mutex, the flight lock, guards all counts and lists here; only messages with UNIX sockets in them take it.
 * It makes step 1 sound: a candidate could get a new holder only by a receive (or a peek), which takes the
 * lock before the descriptor gets out. Reading the counts one after the other is harmless, as a
 * reference that moves meanwhile makes its socket look held from outside.
 *
 * What is bounded: a user other than the superuser has at most RLIMIT_NOFILE files in messages at a
 * time (users whose ids fall on one counter share it): KERR_TOOMANYREFS.
 *
 * Rejected: a bound on how deep sockets in sockets may lie (rights_release() needs none).
 */
#include "unix/unix.h"

#include <core/rcu.h>
#include <exec/domain.h>
#include <exec/process.h>

#define USER_COUNTERS 64u

static struct mutex flight_lock = MUTEX_INIT(flight_lock);
static struct list in_flight = LIST_INIT(in_flight); /* (flight) by flight_link */
static struct list holders = LIST_INIT(holders);     /* (flight) by holder_link */
static bool collecting, again; /* (flight) one at a time; something closed meanwhile */
static _Atomic uint32_t user_counts[USER_COUNTERS]; /* files in messages */

/* ---- Counting ---------------------------------------------------------------------------------- */

static uint32_t current_counter(void)
{
	uint32_t uid = current_process()->credentials.uid;

	return (uid ^ uid >> 6 ^ uid >> 12) % USER_COUNTERS;
}

enum kerr flight_allowed(uint32_t count)
{
	if (process_has_privilege(TERN_CAP_RESOURCE_ADMIN, LINUX_CAP_SYS_RESOURCE))
		return KERR_OK;
	return user_counts[current_counter()] + count > process_limit(RLIMIT_NOFILE)
		       ? KERR_TOOMANYREFS
		       : KERR_OK;
}

static bool has_sockets(const struct socket_rights *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (unix_of_file(r->files[i]))
			return true;
	return false;
}

void flight_add(struct unix_socket *holder, struct socket_rights *r)
{
	r->counter = current_counter();
	atomic_fetch_add(&user_counts[r->counter], r->count);
	if (likely(!has_sockets(r)))
		return;
	mutex_lock(&flight_lock);
	for (uint32_t i = 0; i < r->count; i++) {
		struct unix_socket *u = unix_of_file(r->files[i]);
		if (u && u->in_flight++ == 0) {
			u->file = r->files[i];
			list_add_tail(&in_flight, &u->flight_link);
		}
	}
	if (list_empty(&holder->held))
		list_add_tail(&holders, &holder->holder_link);
	list_add_tail(&holder->held, &r->link);
	r->holder = holder;
	mutex_unlock(&flight_lock);
}

void flight_remove(struct socket_rights *r)
{
	struct unix_socket *holder = r->holder;

	atomic_fetch_sub(&user_counts[r->counter], r->count);
	if (likely(!holder))
		return;
	mutex_lock(&flight_lock);
	list_remove(&r->link);
	if (list_empty(&holder->held))
		list_remove(&holder->holder_link);
	for (uint32_t i = 0; i < r->count; i++) {
		struct unix_socket *u = unix_of_file(r->files[i]);
		if (u && --u->in_flight == 0)
			list_remove(&u->flight_link);
	}
	r->holder = nullptr;
	mutex_unlock(&flight_lock);
}

struct socket_rights *flight_duplicate(const struct socket_rights *r)
{
	/* Not while the collector may take what is copied for garbage. */
	mutex_lock(&flight_lock);
	struct socket_rights *n = rights_duplicate(r);
	mutex_unlock(&flight_lock);
	return n;
}

/* ---- Collecting -------------------------------------------------------------------------------- */

/* Whose queue it is for the collector: an embryo's belongs to its listener. */
static struct unix_socket *owner_of(struct unix_socket *holder)
{
	struct unix_socket *l = atomic_load_explicit(&holder->listener, memory_order_acquire);

	return l ? l : holder;
}

/* Calls fn for each candidate that the holder's queue refers to. */
static void each_held(struct unix_socket *holder,
		      void (*fn)(struct unix_socket *u, struct list *list), struct list *list)
{
	struct socket_rights *r;

	list_for_each(r, &holder->held, link)
		for (uint32_t i = 0; i < r->count; i++) {
			struct unix_socket *u = unix_of_file(r->files[i]);
			if (u && u->gc_candidate)
				fn(u, list);
		}
}

static void count_down(struct unix_socket *u, struct list *list)
{
	u->gc_count--;
}

/* Not alive so far: it is now, and what it holds will be. */
static void revive(struct unix_socket *u, struct list *live)
{
	if (u->gc_count++ == 0)
		list_add_tail(live, &u->gc_link);
}

/* Steps 1 and 2. */
static void mark_candidates(void)
{
	struct unix_socket *u, *owner;

	list_for_each(u, &in_flight, flight_link) {
		u->gc_candidate = atomic_load(&u->file->references) == u->in_flight;
		u->gc_count = u->in_flight;
	}
	list_for_each(u, &holders, holder_link) {
		/* An embryo's listener may be just closing, and is freed after a grace period; not
		 * if it is a candidate, since what is in flight has references. */
		rcu_read_lock();
		owner = owner_of(u);
		bool candidate = owner->gc_candidate;
		rcu_read_unlock();
		if (!candidate)
			continue;
		list_add_tail(&owner->gc_holders, &u->gc_owned);
		each_held(u, count_down, nullptr);
	}
}

/* Step 3. */
static void mark_live(void)
{
	struct list live = LIST_INIT(live);
	struct unix_socket *u, *h;

	list_for_each(u, &in_flight, flight_link)
		if (u->gc_candidate && u->gc_count > 0)
			list_add_tail(&live, &u->gc_link);
	while (!list_empty(&live)) {
		u = list_first(&live, struct unix_socket, gc_link);
		list_remove(&u->gc_link);
		list_for_each(h, &u->gc_holders, gc_owned)
			each_held(h, revive, &live);
	}
}

/* Puts the holders that are garbage, referenced, on a list, and forgets who was a candidate. */
static void take_garbage(struct list *garbage)
{
	struct unix_socket *u, *h;

	list_for_each(u, &in_flight, flight_link) {
		while (!list_empty(&u->gc_holders)) {
			h = list_first(&u->gc_holders, struct unix_socket, gc_owned);
			list_remove(&h->gc_owned);
			if (u->gc_count == 0) {
				unix_get(h);
				list_add_tail(garbage, &h->gc_link);
			}
		}
		u->gc_candidate = false;
	}
}

/* Step 4. */
static void purge(struct list *garbage, struct list *rights)
{
	while (!list_empty(garbage)) {
		struct unix_socket *u = list_first(garbage, struct unix_socket, gc_link);
		list_remove(&u->gc_link);
		mutex_lock(&u->lock);
		queue_purge(u, rights);
		mutex_unlock(&u->lock);
		unix_put(u);
	}
}

void flight_collect(void)
{
	struct list garbage = LIST_INIT(garbage), rights = LIST_INIT(rights);

	if (list_empty(&in_flight)) /* a hint: what is sent now has a holder */
		return;
	mutex_lock(&flight_lock);
	again = true;
	if (collecting) {
		mutex_unlock(&flight_lock);
		return;
	}
	collecting = true;
	while (again) {
		again = false;
		mark_candidates();
		mark_live();
		take_garbage(&garbage);
		mutex_unlock(&flight_lock);
		purge(&garbage, &rights);
		mutex_lock(&flight_lock);
	}
	collecting = false;
	mutex_unlock(&flight_lock);
	rights_release_all(&rights);
}
