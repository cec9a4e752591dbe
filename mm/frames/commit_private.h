/* Promises to programs, inside mm. */
#pragma once

#include "counters.h"

#include <lib/kerr.h>

/* A request of at most so many pages is granted without looking at what there is: all memory in
 * mode 0, everything in mode 1, nothing in mode 2. */
extern _Atomic uint64_t commit_unchecked;

enum kerr commit_charge_checked(uint64_t pages);
void commit_init(void);
/* Whether MAP_NORESERVE means anything. */
bool commit_honours_noreserve(void);

/* Promises `pages`. KERR_NOMEM: the policy is against it. Any context. */
static inline enum kerr commit_charge(uint64_t pages)
{
	if (unlikely(pages > atomic_load_explicit(&commit_unchecked, memory_order_relaxed)))
		return commit_charge_checked(pages);
	mm_count(COUNT_COMMITTED, (int64_t)pages);
	return KERR_OK;
}

/* Promises what is about to be given back elsewhere: a range that moves. */
static inline void commit_transfer(uint64_t pages)
{
	mm_count(COUNT_COMMITTED, (int64_t)pages);
}

static inline void commit_release(uint64_t pages)
{
	mm_count(COUNT_COMMITTED, -(int64_t)pages);
}
