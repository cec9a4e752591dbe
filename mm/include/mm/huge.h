/* Huge pages of programs (VM-4): policy and figures. How they work: mm/space/huge.c. */
#pragma once

#include <mm/aspace.h>

#define HUGE_SIZE ((uint64_t)2 << 20)

/* /sys/kernel/mm/transparent_hugepage/enabled; transparent_hugepage= on the command line. */
enum huge_mode { HUGE_ALWAYS, HUGE_MADVISE, HUGE_NEVER };
enum huge_mode huge_mode(void);
void huge_set_mode(enum huge_mode mode);

/* Frames and events, of all programs since boot. */
struct huge_stats {
	uint64_t mapped;                      /* frames in huge leaves of private memory */
	uint64_t faults, fallbacks; /* windows that got a huge page at once; that did not */
	uint64_t splits, collapses;
};
void huge_stats(struct huge_stats *out);

/* Explicit huge pages (MAP_HUGETLB), in huge pages. */
struct hugepool_stats {
	uint64_t total, free, reserved, surplus, overcommit;
};
void hugepool_stats(struct hugepool_stats *out);
/* nr_hugepages: as many as there is memory for in one piece; what is in use stays, as surplus. */
void hugepool_resize(uint64_t count);
void hugepool_set_overcommit(uint64_t count); /* nr_overcommit_hugepages */
/* Frames of them in shared mappings. */
uint64_t hugetlb_shared_frames(void);

/* PR_SET_THP_DISABLE. Inherited by fork. */
void aspace_set_huge_disabled(struct aspace *as, bool disabled);
bool aspace_huge_disabled(struct aspace *as);
/* Bytes of [start, end) that huge leaves map. aspace.lock is not needed; a figure of the moment. */
uint64_t aspace_huge_bytes(struct aspace *as, vaddr_t start, vaddr_t end);
