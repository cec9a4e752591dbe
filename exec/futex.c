/*
 * Futexes: a hash table of buckets, each a spinlock and the waiters whose keys fall in it.
 *
 * The key is what the word is: (address space, address) for private ones, (memory object, offset)
 * for shared ones. A waiter looks at the word and queues itself under the bucket lock, a waker
 * changed the word before it takes that lock: so no wake-up is lost. The word is read with the
 * lock held and faults off; if its page is not there, the lock is dropped, the page brought in
 * and all is done again.
 *
 * waiter.bucket is the truth about being queued: null once woken. It changes under the bucket's lock
 * (both, when a requeue moves it). A waker still touches the task after that; the spinlock keeps
 * preemption off, which is an RCU read side, which keeps the task.
 */
#include "futex_private.h"

#define BUCKETS 256
#define ROBUST_LIMIT 2048

static struct bucket buckets[BUCKETS] = {
	[0 ... BUCKETS - 1] = {.lock = SPINLOCK_INIT(RANK_FUTEX, "futex")},
};

ALWAYS_INLINE struct bucket *bucket_of(const struct futex_key *k)
{
	uint64_t h = ((uintptr_t)k->owner >> 6) ^ (k->offset >> 2) ^ (k->offset >> 12);

	h *= 0x9e3779b97f4a7c15ull;
	return &buckets[h >> 56];
}

struct bucket *futex_bucket_of(const struct futex_key *k)
{
	return bucket_of(k);
}

ALWAYS_INLINE void bucket_lock(struct bucket *b)
{
	spin_lock(&b->lock);
	if (unlikely(!b->waiters.next)) {
		list_init(&b->waiters);
		list_init(&b->pi);
	}
}

void futex_bucket_lock(struct bucket *b)
{
	bucket_lock(b);
}

enum kerr futex_key_get(vaddr_t addr, bool shared, struct futex_key *out)
{
	struct aspace *as = current_process()->aspace;
	struct region_info region;

	if (!IS_ALIGNED(addr, 4))
		return KERR_INVAL;
	if (!as || !user_range_ok(addr, 4))
		return KERR_FAULT;
	*out = (struct futex_key){.owner = as, .offset = addr};
	if (!shared)
		return KERR_OK;
	if (!aspace_region_at(as, addr, &region) || region.start > addr) {
		return KERR_FAULT;
	}
	if (region.object && region.shared) {
		out->owner = out->object = region.object;
		out->offset = region.offset + (addr - region.start);
	} else if (region.object) {
		vm_object_put(region.object);
	}
	return KERR_OK;
}

void futex_key_put(struct futex_key *k)
{
	if (k->object)
		vm_object_put(k->object);
}

static void wake_waiter_locked(struct futex_waiter *w)
{
	struct task *task = w->task;

	list_remove(&w->link);
	atomic_store_explicit(&w->bucket, nullptr, memory_order_release);
	sched_unpark(task); /* w may be gone by now */
}

/* ---- wait ---- */

ALWAYS_INLINE bool unqueue(struct futex_waiter *w)
{
	struct bucket *b;

	while ((b = atomic_load_explicit(&w->bucket, memory_order_acquire))) {
		bucket_lock(b);
		bool here = atomic_load_explicit(&w->bucket, memory_order_relaxed) == b;
		if (here) {
			list_remove(&w->link);
			atomic_store_explicit(&w->bucket, nullptr, memory_order_relaxed);
		}
		spin_unlock(&b->lock);
		if (here)
			return true;
	}
	return false;
}

bool futex_unqueue(struct futex_waiter *w)
{
	return unqueue(w);
}

ALWAYS_INLINE enum kerr queue_if_equal(struct futex_waiter *w, vaddr_t addr, uint32_t value)
{
	struct bucket *b = bucket_of(&w->key);
	uint32_t now;

	for (;;) {
		bucket_lock(b);
		if (likely(futex_peek(addr, &now)))
			break;
		spin_unlock(&b->lock);
		enum kerr err = user_read(&now, addr, sizeof(now));
		if (err != KERR_OK)
			return err;
	}
	bool equal = now == value;
	if (equal) {
		list_add_tail(&b->waiters, &w->link);
		atomic_store_explicit(&w->bucket, b, memory_order_relaxed);
	}
	spin_unlock(&b->lock);
	return equal ? KERR_OK : KERR_AGAIN;
}

enum kerr futex_queue_if_equal(struct futex_waiter *w, vaddr_t addr, uint32_t value)
{
	return queue_if_equal(w, addr, value);
}

enum kerr futex_wait(vaddr_t addr, bool shared, uint32_t value, uint32_t bits, nsec_t deadline)
{
	struct futex_waiter w = {.bits = bits, .task = current_task()};
	enum kerr err = bits ? futex_key_get(addr, shared, &w.key) : KERR_INVAL;

	if (err != KERR_OK)
		return err;
	err = queue_if_equal(&w, addr, value);
	if (err == KERR_OK) {
		while (err == KERR_OK && atomic_load_explicit(&w.bucket, memory_order_acquire))
			err = sched_park(WAIT_FUTEX, true, deadline);
		if (!unqueue(&w))
			err = KERR_OK;
	}
	futex_key_put(&w.key);
	return err;
}

/* ---- wake ---- */

static uint32_t wake_locked(struct bucket *b, const struct futex_key *key, uint32_t count,
			    uint32_t bits)
{
	struct futex_waiter *w, *next;
	uint32_t woken = 0;

	list_for_each_safe(w, next, &b->waiters, link) {
		if (woken == count)
			break;
		if (!futex_same_key(&w->key, key) || !(w->bits & bits) || w->pi)
			continue;
		wake_waiter_locked(w);
		woken++;
	}
	return woken;
}

enum kerr futex_wake(vaddr_t addr, bool shared, uint32_t count, uint32_t bits, uint32_t *woken)
{
	struct futex_key key;
	enum kerr err = bits ? futex_key_get(addr, shared, &key) : KERR_INVAL;

	*woken = 0;
	if (err != KERR_OK)
		return err;
	struct bucket *b = bucket_of(&key);
	bucket_lock(b);
	*woken = wake_locked(b, &key, count, bits);
	spin_unlock(&b->lock);
	futex_key_put(&key);
	return KERR_OK;
}

/* ---- two futexes ---- */

void futex_lock_pair(struct bucket *a, struct bucket *b)
{
	if (a > b) {
		struct bucket *t = a;
		a = b;
		b = t;
	}
	bucket_lock(a);
	if (a != b)
		bucket_lock(b);
}

void futex_unlock_pair(struct bucket *a, struct bucket *b)
{
	spin_unlock(&a->lock);
	if (a != b)
		spin_unlock(&b->lock);
}

static uint32_t move_locked(struct bucket *from, const struct futex_key *key, struct bucket *to,
			    const struct futex_key *to_key, uint32_t count)
{
	struct futex_waiter *w, *next;
	uint32_t moved = 0;

	if (futex_same_key(key, to_key))
		return 0;
	list_for_each_safe(w, next, &from->waiters, link) {
		if (moved == count)
			break;
		if (!futex_same_key(&w->key, key) || w->pi)
			continue;
		list_remove(&w->link);
		/* It goes on holding the object that it slept on first: the new owner is only
		 * compared, and a waiter may be woken without cause. */
		w->key.owner = to_key->owner;
		w->key.offset = to_key->offset;
		list_add_tail(&to->waiters, &w->link);
		atomic_store_explicit(&w->bucket, to, memory_order_release);
		moved++;
	}
	return moved;
}

enum kerr futex_requeue(vaddr_t addr, vaddr_t to, bool shared, uint32_t wake, uint32_t requeue,
			bool compare, uint32_t value, uint32_t *moved)
{
	struct futex_key key, to_key;
	uint32_t now;
	enum kerr err = futex_key_get(addr, shared, &key);

	*moved = 0;
	if (err != KERR_OK)
		return err;
	err = futex_key_get(to, shared, &to_key);
	if (err != KERR_OK)
		goto put_first;
	struct bucket *a = bucket_of(&key), *b = bucket_of(&to_key);
	futex_lock_pair(a, b);
	while (compare && !futex_peek(addr, &now)) {
		futex_unlock_pair(a, b);
		err = user_read(&now, addr, sizeof(now));
		if (err != KERR_OK)
			goto put_both;
		futex_lock_pair(a, b);
	}
	if (compare && now != value) {
		err = KERR_AGAIN;
	} else {
		*moved = wake_locked(a, &key, wake, FUTEX_ANY_BIT);
		*moved += move_locked(a, &key, b, &to_key, requeue);
	}
	futex_unlock_pair(a, b);
put_both:
	futex_key_put(&to_key);
put_first:
	futex_key_put(&key);
	return err;
}

static uint32_t apply(uint32_t op, uint32_t old, uint32_t arg)
{
	switch (op & 7) {
	case 0:
		return arg;
	case 1:
		return old + arg;
	case 2:
		return old | arg;
	case 3:
		return old & ~arg;
	default:
		return old ^ arg;
	}
}

static bool passes(uint32_t comparison, int32_t old, int32_t arg)
{
	switch (comparison) {
	case 0:
		return old == arg;
	case 1:
		return old != arg;
	case 2:
		return old < arg;
	case 3:
		return old <= arg;
	case 4:
		return old > arg;
	default:
		return old >= arg;
	}
}

static int32_t sign_extend_12(uint32_t v)
{
	return (int32_t)(v << 20) >> 20;
}

/* Changes *addr as `op` says; locks held: KERR_FAULT if the page is not there (writable) now. */
static enum kerr change_word(vaddr_t addr, uint32_t op, uint32_t *old)
{
	uint32_t arg = (uint32_t)sign_extend_12(op >> 12 & 0xfff);

	if (op >> 28 & 8)
		arg = 1u << (arg & 31);
	if (!futex_peek(addr, old))
		return KERR_FAULT;
	for (;;) {
		uint32_t expected = *old;
		enum kerr err =
			hal.user.cmpxchg32((uint32_t *)addr, &expected, apply(op >> 28, *old, arg));
		if (err != KERR_OK)
			return err;
		if (expected == *old)
			return KERR_OK;
		*old = expected;
	}
}

enum kerr futex_bring_in(vaddr_t addr)
{
	uint32_t value;
	enum kerr err = user_read(&value, addr, sizeof(value));

	if (err != KERR_OK)
		return err;
	uint32_t expected = value;
	return hal.user.cmpxchg32((uint32_t *)addr, &expected, value);
}

enum kerr futex_wake_op(vaddr_t addr, vaddr_t second, bool shared, uint32_t wake, uint32_t wake2,
			uint32_t op, uint32_t *woken)
{
	struct futex_key key, key2;
	uint32_t old;
	enum kerr err = futex_key_get(addr, shared, &key);

	*woken = 0;
	if (err != KERR_OK)
		return err;
	err = futex_key_get(second, shared, &key2);
	if (err != KERR_OK)
		goto put_first;
	if ((op >> 28 & 7) > 4 || (op >> 24 & 15) > 5) {
		err = KERR_NOSYS;
		goto put_both;
	}
	struct bucket *a = bucket_of(&key), *b = bucket_of(&key2);
	futex_lock_pair(a, b);
	while ((err = change_word(second, op, &old)) != KERR_OK) {
		futex_unlock_pair(a, b);
		err = futex_bring_in(second);
		if (err != KERR_OK)
			goto put_both;
		futex_lock_pair(a, b);
	}
	*woken = wake_locked(a, &key, wake, FUTEX_ANY_BIT);
	if (passes(op >> 24 & 15, (int32_t)old, sign_extend_12(op & 0xfff)))
		*woken += wake_locked(b, &key2, wake2, FUTEX_ANY_BIT);
	futex_unlock_pair(a, b);
put_both:
	futex_key_put(&key2);
put_first:
	futex_key_put(&key);
	return err;
}

/* ---- the end of a thread ---- */

/* The owner of this robust mutex ends: mark it, wake one who waits. */
static bool owner_died(vaddr_t addr, int tid)
{
	uint32_t value, woken;

	if (!IS_ALIGNED(addr, 4) || user_read(&value, addr, sizeof(value)) != KERR_OK)
		return false;
	for (;;) {
		if ((value & FUTEX_TID_MASK) != (uint32_t)tid)
			return true;
		uint32_t expected = value;
		if (hal.user.cmpxchg32((uint32_t *)addr, &expected,
				       (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED) != KERR_OK)
			return false;
		if (expected == value)
			break;
		value = expected;
	}
	if (!(value & FUTEX_WAITERS))
		return true;
	return futex_wake(addr, true, 1, FUTEX_ANY_BIT, &woken) == KERR_OK;
}

static void robust_list_exit(struct thread *t)
{
	struct {
		uint64_t next, offset, pending;
	} head;
	vaddr_t entry;

	if (user_read(&head, t->robust_list, sizeof(head)) != KERR_OK)
		return;
	entry = head.next & ~(vaddr_t)1;
	for (unsigned n = 0; entry != t->robust_list && n < ROBUST_LIMIT; n++) {
		uint64_t next;
		if (user_read(&next, entry, sizeof(next)) != KERR_OK)
			return;
		if (entry != head.pending && !owner_died(entry + head.offset, t->tid))
			return;
		entry = next & ~(vaddr_t)1;
	}
	if (head.pending && !owner_died((head.pending & ~(vaddr_t)1) + head.offset, t->tid))
		return;
}

void futex_thread_exit(struct thread *t)
{
	struct process *p = t->process;
	const uint32_t zero = 0;
	uint32_t woken;

	if (!p->aspace)
		return;
	if (t->robust_list)
		robust_list_exit(t);
	t->robust_list = 0;
	futex_pi_exit(t);
	if (t->clear_child_tid && (p->thread_count > 1 || p->shares_aspace) &&
	    user_write(t->clear_child_tid, &zero, sizeof(zero)) == KERR_OK &&
	    futex_wake(t->clear_child_tid, true, 1, FUTEX_ANY_BIT, &woken) != KERR_OK)
		woken = 0; /* nobody can wait there */
	t->clear_child_tid = 0;
}
