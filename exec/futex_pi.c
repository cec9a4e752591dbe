/*
 * Futexes with priority inheritance: FUTEX_LOCK_PI and its like.
 *
 * The word holds the owner's tid, a bit that says that somebody waits, and one that an owner died
 * with the lock. Without waiters programs take and free it by themselves; with waiters there is a
 * struct pi_state: the owner, and the waiters, the most urgent first. Freeing hands the lock to the first
 * of them. A thread runs at least as urgently as the first waiter of each lock that it owns
 * (thread.lent_priority), and if it waits for a lock itself, so does the owner of that one: propagate()
 * walks the chain. A chain that leads back to the caller is refused: EDEADLK.
 *
 * The owner of a lock ends: the first waiter gets it and writes its own tid, and the bit "owner died",
 * into the word (the dead one's address space cannot be used for that: another process may wait).
 *
 * Locks: the bucket's (words, which states there are) -> pi_lock (owners, queues, chains; one for all,
 * for contended locks only) -> run queues. A state lives while it has waiters, or while its new owner
 * has not written the word (`fixing`).
 *
 * Rejected: a lock for each state, with which walking a chain needs trylocks and retries.
 */
#include "futex_private.h"
#include <exec/sched.h>
#include <mm/heap.h>

struct pi_state {
	struct list link;       /* (bucket lock) in bucket->pi */
	struct list owned;      /* (pi lock) in owner->pi_owned */
	struct list waiters;    /* (pi lock) struct pi_waiter */
	struct bucket *bucket;  /* (const) */
	struct futex_key key;   /* (const) its object is held by the waiters */
	struct thread *owner;   /* (pi lock) */
	bool fixing;            /* (bucket lock) the owner is about to write the word */
};

static struct spinlock pi_lock = SPINLOCK_INIT(RANK_FUTEX_PI, "pi futex");

/* ---- Chains; pi_lock held ---- */

static struct pi_waiter *first_waiter(const struct pi_state *s)
{
	return list_empty(&s->waiters) ? nullptr : list_first(&s->waiters, struct pi_waiter, link);
}

static void waiter_insert(struct pi_state *s, struct pi_waiter *w)
{
	struct pi_waiter *at;

	list_for_each(at, &s->waiters, link)
		if (at->thread->priority < w->thread->priority)
			break;
	list_add_tail(&at->link, &w->link); /* before `at`, or at the end */
}

static uint8_t lent_to(const struct thread *t)
{
	const struct pi_state *s;
	uint8_t most = 0;

	list_for_each(s, &t->pi_owned, owned) {
		const struct pi_waiter *w = first_waiter(s);
		if (w)
			most = MAX(most, w->thread->priority);
	}
	return most;
}

/* What is lent to `t` may have changed: so may its place in a queue, and what that lends on. Ends:
 * there are no cycles, and a step that changes nothing is the last one. */
static void propagate(struct thread *t)
{
	for (;;) {
		uint8_t lent = lent_to(t);
		struct pi_waiter *w = t->pi_blocked;
		if (lent == t->lent_priority)
			return;
		sched_lend(t, lent);
		if (!w)
			return;
		list_remove(&w->link);
		waiter_insert(w->state, w);
		t = w->state->owner;
	}
}

static bool leads_to(const struct thread *from, const struct thread *to)
{
	while (from != to && from->pi_blocked)
		from = from->pi_blocked->state->owner;
	return from == to;
}

static struct pi_state *state_find(struct bucket *b, const struct futex_key *key)
{
	struct pi_state *s;

	list_for_each(s, &b->pi, link)
		if (futex_same_key(&s->key, key))
			return s;
	return nullptr;
}

static void drop_if_unused(struct pi_state *s)
{
	if (!list_empty(&s->waiters) || s->fixing)
		return;
	list_remove(&s->link);
	list_remove(&s->owned);
	heap_free(s);
}

/* `next`, a waiter, owns the lock from now on. */
static void hand_over(struct pi_state *s, struct pi_waiter *next, uint32_t how)
{
	struct thread *old = s->owner, *t = next->thread;

	list_remove(&next->link);
	next->state = nullptr;
	t->pi_blocked = nullptr;
	list_remove(&s->owned);
	s->owner = t;
	list_add_tail(&t->pi_owned, &s->owned);
	s->fixing = how == PI_OWNER_DIED;
	drop_if_unused(s);
	propagate(old);
	propagate(t);
	atomic_store_explicit(&next->granted, how, memory_order_release);
	sched_unpark(&t->task);
}

/* ---- Locking ---- */

/* Queues `w` behind the owner of the word; both locks' work. Bucket lock held. */
static enum kerr queue_behind(struct bucket *b, const struct futex_key *key, uint32_t value,
			      struct pi_waiter *w, struct pi_state **spare)
{
	struct pi_state *s = state_find(b, key);
	struct thread *owner = nullptr;
	enum kerr err = KERR_OK;

	if (!s) {
		owner = thread_find((int)(value & FUTEX_TID_MASK));
		if (!owner)
			return KERR_SRCH;
		if (!owner->task.hal.fpu)
			return KERR_PERM; /* a kernel thread */
	}
	spin_lock(&pi_lock);
	if (!s) {
		if (owner->pi_exited) {
			err = KERR_SRCH;
			goto unlock;
		}
		s = *spare;
		*spare = nullptr;
		*s = (struct pi_state){.bucket = b, .key = *key, .owner = owner};
		list_init(&s->waiters);
		list_add_tail(&b->pi, &s->link);
		list_add_tail(&owner->pi_owned, &s->owned);
	}
	if (leads_to(s->owner, w->thread)) {
		err = KERR_DEADLOCK;
		drop_if_unused(s);
		goto unlock;
	}
	w->state = s;
	w->thread->pi_blocked = w;
	waiter_insert(s, w);
	propagate(s->owner);
unlock:
	spin_unlock(&pi_lock);
	return err;
}

/* Takes the lock for w->thread or queues it. Bucket lock held. FAULT: the word's page is not there;
 * AGAIN: `try`, and it is taken. *spare: memory for a state, used up if one was needed. */
static enum kerr take_or_queue(vaddr_t addr, struct bucket *b, const struct futex_key *key,
			       struct pi_waiter *w, struct pi_state **spare, bool try, bool *queued)
{
	const struct pi_state *s = state_find(b, key);
	uint32_t value, tid = (uint32_t)w->thread->tid;

	*queued = false;
	if (!futex_peek(addr, &value))
		return KERR_FAULT;
	for (;;) {
		bool available = !s && !(value & FUTEX_TID_MASK);
		uint32_t want =
			available ? tid | (value & FUTEX_OWNER_DIED) : value | FUTEX_WAITERS;
		uint32_t expected = value;
		if ((value & FUTEX_TID_MASK) == tid)
			return KERR_DEADLOCK;
		if (!available && try)
			return KERR_AGAIN;
		enum kerr err = hal.user.cmpxchg32((uint32_t *)addr, &expected, want);
		if (err != KERR_OK)
			return err;
		if (expected == value && available)
			return KERR_OK;
		if (expected == value)
			break;
		value = expected;
	}
	*queued = true;
	return queue_behind(b, key, value, w, spare);
}

/* The word of a lock whose owner died says who has it now. Bucket lock held, and dropped for a while
 * if its page must be brought in. */
static void word_fix(vaddr_t addr, struct bucket *b, const struct futex_key *key, uint32_t tid)
{
	struct pi_state *s = state_find(b, key);
	uint32_t value;

	for (;;) {
		uint32_t want = tid | FUTEX_OWNER_DIED;
		if (!list_empty(&s->waiters))
			want |= FUTEX_WAITERS;
		if (futex_peek(addr, &value)) {
			uint32_t expected = value;
			enum kerr err = hal.user.cmpxchg32((uint32_t *)addr, &expected, want);
			if (err == KERR_OK && expected == value)
				break;
			if (err == KERR_OK)
				continue;
		}
		spin_unlock(&b->lock);
		enum kerr err = futex_bring_in(addr);
		futex_bucket_lock(b);
		if (err != KERR_OK)
			break; /* the program took the page away: its word is its affair */
	}
	spin_lock(&pi_lock);
	s->fixing = false;
	drop_if_unused(s);
	spin_unlock(&pi_lock);
}

/* Sleeps until the lock is ours, or gives up: then the state is as if we had not come. */
static enum kerr wait_granted(vaddr_t addr, const struct futex_key *key, struct pi_waiter *w,
			      nsec_t deadline, enum kerr err)
{
	struct bucket *b = futex_bucket_of(key);
	struct thread *self = current_thread();

	while (err == KERR_OK &&
	       atomic_load_explicit(&w->granted, memory_order_acquire) == PI_WAITS)
		err = sched_park(WAIT_FUTEX, true, deadline);
	futex_bucket_lock(b);
	uint32_t granted = atomic_load_explicit(&w->granted, memory_order_acquire);
	if (granted == PI_WAITS) {
		spin_lock(&pi_lock);
		struct pi_state *s = w->state;
		list_remove(&w->link);
		self->pi_blocked = nullptr;
		struct thread *owner = s->owner;
		drop_if_unused(s);
		propagate(owner);
		spin_unlock(&pi_lock);
	} else {
		if (granted == PI_OWNER_DIED)
			word_fix(addr, b, key, (uint32_t)self->tid);
		err = KERR_OK;
	}
	spin_unlock(&b->lock);
	return err;
}

enum kerr futex_lock_pi(vaddr_t addr, bool shared, nsec_t deadline, bool try)
{
	struct pi_waiter w = {.thread = current_thread()};
	struct pi_state *spare = nullptr;
	struct futex_key key;
	bool queued;
	enum kerr err = futex_key_get(addr, shared, &key);

	if (err != KERR_OK)
		return err;
	if (!try && !(spare = heap_alloc(sizeof(*spare)))) {
		err = KERR_NOMEM;
		goto put;
	}
	struct bucket *b = futex_bucket_of(&key);
	do {
		futex_bucket_lock(b);
		err = take_or_queue(addr, b, &key, &w, &spare, try, &queued);
		spin_unlock(&b->lock);
	} while (err == KERR_FAULT && (err = futex_bring_in(addr)) == KERR_OK);
	if (err == KERR_OK && queued)
		err = wait_granted(addr, &key, &w, deadline, KERR_OK);
	heap_free(spare);
put:
	futex_key_put(&key);
	return err;
}

/* Frees the lock, or hands it to the first waiter. Bucket lock held; FAULT: the page is not there. */
static enum kerr release(vaddr_t addr, struct bucket *b, const struct futex_key *key)
{
	uint32_t value, tid = (uint32_t)current_thread()->tid;
	struct pi_state *s = state_find(b, key);
	enum kerr err = KERR_OK;

	if (!futex_peek(addr, &value))
		return KERR_FAULT;
	if ((value & FUTEX_TID_MASK) != tid)
		return KERR_PERM;
	if (s && s->owner != current_thread())
		return KERR_INVAL;
	spin_lock(&pi_lock);
	struct pi_waiter *next = s ? first_waiter(s) : nullptr;
	for (;;) {
		uint32_t want = 0, expected = value;
		if (next) {
			want = (uint32_t)next->thread->tid;
			if (next->link.next != &s->waiters)
				want |= FUTEX_WAITERS;
		}
		err = hal.user.cmpxchg32((uint32_t *)addr, &expected, want);
		if (err != KERR_OK || expected == value)
			break;
		value = expected;
		if ((value & FUTEX_TID_MASK) != tid) {
			err = KERR_PERM;
			break;
		}
	}
	if (err == KERR_OK && next)
		hand_over(s, next, PI_GRANTED);
	spin_unlock(&pi_lock);
	return err;
}

enum kerr futex_unlock_pi(vaddr_t addr, bool shared)
{
	struct futex_key key;
	enum kerr err = futex_key_get(addr, shared, &key);

	if (err != KERR_OK)
		return err;
	struct bucket *b = futex_bucket_of(&key);
	do {
		futex_bucket_lock(b);
		err = release(addr, b, &key);
		spin_unlock(&b->lock);
	} while (err == KERR_FAULT && (err = futex_bring_in(addr)) == KERR_OK);
	futex_key_put(&key);
	return err;
}

/* ---- Condition variables: from a plain futex to a lock ---- */

enum kerr futex_wait_requeue_pi(vaddr_t addr, vaddr_t to, bool shared, uint32_t value,
				uint32_t bits, nsec_t deadline)
{
	struct pi_waiter pi = {.thread = current_thread()};
	struct futex_key to_key;
	struct futex_waiter w = {
		.bits = bits, .task = current_task(), .pi_key = &to_key, .pi = &pi};
	enum kerr err = bits ? futex_key_get(addr, shared, &w.key) : KERR_INVAL;

	if (err != KERR_OK)
		return err;
	err = futex_key_get(to, shared, &to_key);
	if (err != KERR_OK)
		goto put_first;
	err = futex_same_key(&w.key, &to_key) ? KERR_INVAL : futex_queue_if_equal(&w, addr, value);
	if (err != KERR_OK)
		goto put_both;
	while (err == KERR_OK &&
	       (atomic_load_explicit(&w.bucket, memory_order_acquire) ||
		atomic_load_explicit(&pi.granted, memory_order_acquire) == PI_WAITS))
		err = sched_park(WAIT_FUTEX, true, deadline);
	if (!futex_unqueue(&w)) {
		err = wait_granted(to, &to_key, &pi, deadline, err);
		if (err == KERR_INTR)
			err = KERR_AGAIN;
	}
put_both:
	futex_key_put(&to_key);
put_first:
	futex_key_put(&w.key);
	return err;
}

/* Both buckets locked. FAULT: the page of `to` is not there; *moved tells how far it came. */
static enum kerr requeue_locked(struct bucket *a, const struct futex_key *key, vaddr_t to,
				struct bucket *b, const struct futex_key *to_key, uint32_t count,
				struct pi_state **spare, uint32_t *moved)
{
	struct futex_waiter *w, *next;

	list_for_each_safe(w, next, &a->waiters, link) {
		bool queued;
		if (*moved == count)
			break;
		if (!futex_same_key(&w->key, key))
			continue;
		if (!w->pi || !futex_same_key(w->pi_key, to_key))
			return KERR_INVAL;
		enum kerr err = take_or_queue(to, b, to_key, w->pi, spare, false, &queued);
		if (err != KERR_OK)
			return err;
		struct task *task = w->task;
		struct pi_waiter *pi = w->pi;
		list_remove(&w->link);
		if (!queued)
			atomic_store_explicit(&pi->granted, PI_GRANTED, memory_order_release);
		atomic_store_explicit(&w->bucket, nullptr, memory_order_release);
		if (!queued)
			sched_unpark(task);
		++*moved;
	}
	return KERR_OK;
}

enum kerr futex_cmp_requeue_pi(vaddr_t addr, vaddr_t to, bool shared, uint32_t wake,
			       uint32_t requeue, uint32_t value, uint32_t *moved)
{
	struct futex_key key, to_key;
	struct pi_state *spare = nullptr;
	uint32_t now;
	enum kerr err = wake == 1 ? futex_key_get(addr, shared, &key) : KERR_INVAL;

	*moved = 0;
	if (err != KERR_OK)
		return err;
	err = futex_key_get(to, shared, &to_key);
	if (err != KERR_OK)
		goto put_first;
	err = KERR_INVAL;
	if (futex_same_key(&key, &to_key))
		goto put_both;
	err = KERR_NOMEM;
	if (!(spare = heap_alloc(sizeof(*spare))))
		goto put_both;
	struct bucket *a = futex_bucket_of(&key), *b = futex_bucket_of(&to_key);
	for (;;) {
		futex_lock_pair(a, b);
		bool there = futex_peek(addr, &now);
		if (there && now != value)
			err = KERR_AGAIN;
		else if (there)
			err = requeue_locked(a, &key, to, b, &to_key,
					     requeue == UINT32_MAX ? requeue : wake + requeue,
					     &spare, moved);
		futex_unlock_pair(a, b);
		if (!there)
			err = user_read(&now, addr, sizeof(now));
		else if (err == KERR_FAULT)
			err = futex_bring_in(to);
		else
			break;
		if (err != KERR_OK)
			break;
	}
	if (*moved)
		err = KERR_OK;
	heap_free(spare);
put_both:
	futex_key_put(&to_key);
put_first:
	futex_key_put(&key);
	return err;
}

/* ---- Threads that end or change ---- */

void futex_pi_exit(struct thread *t)
{
	spin_lock(&pi_lock);
	t->pi_exited = true;
	while (!list_empty(&t->pi_owned)) {
		struct bucket *b = list_first(&t->pi_owned, struct pi_state, owned)->bucket;
		spin_unlock(&pi_lock);
		futex_bucket_lock(b);
		spin_lock(&pi_lock);
		struct pi_state *s, *next;
		list_for_each_safe(s, next, &t->pi_owned, owned) {
			if (s->bucket == b)
				hand_over(s, first_waiter(s), PI_OWNER_DIED);
		}
		spin_unlock(&pi_lock);
		spin_unlock(&b->lock);
		spin_lock(&pi_lock);
	}
	spin_unlock(&pi_lock);
}

void futex_pi_priority_changed(struct thread *t)
{
	spin_lock(&pi_lock);
	struct pi_waiter *w = t->pi_blocked;
	if (w) {
		list_remove(&w->link);
		waiter_insert(w->state, w);
		propagate(w->state->owner);
	}
	spin_unlock(&pi_lock);
}
