/* Figures that change on hot paths: a word per CPU, summed when somebody asks. */
#pragma once

#include <core/task.h>

enum mm_counter {
	COUNT_ANONYMOUS, /* frames in private page trees */
	COUNT_OBJECT,    /* frames in objects */
	COUNT_SHARED,    /* of these: in objects without a backing (tmpfs, shared anonymous) */
	COUNT_TABLES,    /* user page tables */
	COUNT_COMMITTED, /* pages promised */
	COUNT_HUGE,      /* 2 MiB leaves in user tables, not of MAP_HUGETLB */
	COUNT_HUGETLB,   /* those of MAP_HUGETLB */
	COUNT_HUGE_FAULT,
	COUNT_HUGE_FALLBACK,
	COUNT_HUGE_SPLIT,
	COUNT_HUGE_COLLAPSE, /* events */
	COUNT_MAX,
};

struct mm_counters {
	_Atomic int64_t value[COUNT_MAX];
} ALIGNED(64);

extern struct mm_counters mm_counters[CPU_MAX];

/* Atomic, so that a thread that moves to another CPU in between loses nothing; the line is nearly
 * always this CPU's own. */
static inline void mm_count(enum mm_counter c, int64_t n)
{
	atomic_fetch_add_explicit(&mm_counters[cpu_id()].value[c], n, memory_order_relaxed);
}

uint64_t mm_counted(enum mm_counter c);
