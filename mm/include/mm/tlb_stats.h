/* Translation caches in figures (VM-7). What they count: mm/table/tlb.c. */
#pragma once

#include <stdint.h>

/* How much is forgotten at once. */
enum tlb_mode {
	TLB_PAGE,   /* one page, small or huge */
	TLB_RANGE,  /* each page of a range, at most geometry.flush_pages_max */
	TLB_SPACE,  /* all of an address space, that is all but global entries */
	TLB_FULL,   /* everything, the kernel's entries too */
	TLB_MODES,
};

/* VM-7's counters, of all CPUs since boot. */
struct tlb_stats {
	uint64_t modes[TLB_MODES];  /* flushes, by the one who asked */
	uint64_t pages;             /* they were for */
	uint64_t interrupts;        /* sent for them .. */
	uint64_t received;          /* .. and served */
	uint64_t interrupting;      /* flushes that took any */
	uint64_t saved_stale;       /* CPUs that a mark on their tag told instead */
	uint64_t lazy_drops;        /* CPUs that let go of a space no thread of theirs used */
	uint64_t local_all, local_one; /* on the CPU itself: everything of a tag; single pages */
	uint64_t rollovers;         /* generations of tags */
};
struct tlb_stats tlb_stats(void);
