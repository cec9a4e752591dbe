/*
 * How often locks are taken, by name and kind, and how often somebody had to wait: debug builds
 * only. /sys/kernel/debug/locks shows it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum lock_kind { LOCK_SPIN, LOCK_MUTEX, LOCK_READ, LOCK_WRITE };

struct lock_stat {
	const char *name;
	enum lock_kind kind;
	uint64_t taken, contended; /* of all CPUs since the boot */
};

#if defined(TERN_DEBUG)
/* Any context. */
void lock_count(const char *name, enum lock_kind kind, bool contended);
/* The index-th name and kind, in no order; false: no more. */
bool lock_stat(size_t index, struct lock_stat *out);
#else
#define lock_count(name, kind, contended) ((void)0)
static inline bool lock_stat(size_t index, struct lock_stat *out)
{
	return false;
}
#endif
