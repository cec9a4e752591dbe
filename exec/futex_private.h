/* What futex.c and futex_pi.c share: keys, buckets, the words in user memory. */
#pragma once

#include "process_private.h"
#include "sched_private.h"
#include "thread_private.h"
#include <exec/futex.h>
#include <mm/object.h>
#include <mm/user_copy.h>

#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu

struct futex_key {
	const void *owner; /* struct aspace or struct vm_object */
	uint64_t offset;
	struct vm_object *object; /* to put; null: private */
};

struct bucket {
	struct spinlock lock;
	struct list waiters; /* null links: not used yet */
	struct list pi;      /* struct pi_state */
} ALIGNED(64);

struct pi_state;

/* A thread's place in the queue of a priority-inheriting lock. */
struct pi_waiter {
	struct list link;         /* (pi lock) in state->waiters, the most urgent first */
	struct thread *thread;
	struct pi_state *state;   /* (pi lock) null: not queued */
	_Atomic uint32_t granted; /* PI_* */
};
enum { PI_WAITS, PI_GRANTED, PI_OWNER_DIED };

struct futex_waiter {
	struct list link;               /* (bucket lock) */
	struct futex_key key;
	uint32_t bits;
	struct task *task;
	struct bucket *_Atomic bucket;
	/* FUTEX_WAIT_REQUEUE_PI: the lock it goes on to; null: an ordinary wait. */
	const struct futex_key *pi_key;
	struct pi_waiter *pi;
};

struct bucket *futex_bucket_of(const struct futex_key *k);
void futex_bucket_lock(struct bucket *b);
void futex_lock_pair(struct bucket *a, struct bucket *b);
void futex_unlock_pair(struct bucket *a, struct bucket *b);
enum kerr futex_key_get(vaddr_t addr, bool shared, struct futex_key *out);
void futex_key_put(struct futex_key *k);
/* Takes `w` out of wherever it is queued; false: it was woken. */
bool futex_unqueue(struct futex_waiter *w);
/* Queues `w` if *addr is `value`: AGAIN, FAULT. */
enum kerr futex_queue_if_equal(struct futex_waiter *w, vaddr_t addr, uint32_t value);
/* Makes the page of *addr there and writable. */
enum kerr futex_bring_in(vaddr_t addr);

static inline bool futex_same_key(const struct futex_key *a, const struct futex_key *b)
{
	return a->owner == b->owner && a->offset == b->offset;
}

/* Reads the word with the bucket lock held; false: its page is not there now. */
static inline bool futex_peek(vaddr_t addr, uint32_t *value)
{
	return hal.user.copy(value, (const void *)addr, sizeof(*value)) == 0;
}

/* Hands on the locks that an ending thread holds; no lock held. */
void futex_pi_exit(struct thread *t);
