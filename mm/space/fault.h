/* A page fault under way: what fault.c and huge.c share. */
#pragma once

#include "region.h"

#include <mm/huge.h>

struct fault {
	struct aspace *as;
	struct region *r;
	vaddr_t va;              /* page aligned */
	enum trap_access access;
	pte_t *entry;            /* of va */
	struct frame *table;     /* it lies in */
	struct frame *frame;     /* result */
	bool private;            /* result: it is from the page tree */
	bool flushed;            /* result: what was in the entry before, nobody has any more */
	bool promote;            /* result: the end of a window was written, see huge_promote */
};

/* Makes the entry of the faulting page `new`, whatever is there; complete on return. (fault.c) */
void fault_set_entry(struct fault *x, pte_t new);
/* A fault in a REGION_DEVICE, whose rights allow it. (device.c) */
enum fault_result device_fault(struct fault *x);

/* Whether an entry allows what the fault wants. */
static inline bool fault_allows(struct pte_parts parts, enum trap_access access)
{
	if (parts.kind != PTE_LEAF || !(parts.flags & MAP_PRESENT))
		return false;
	if (access == TRAP_WRITE)
		return (parts.flags & (MAP_WRITABLE | MAP_DIRTY)) == (MAP_WRITABLE | MAP_DIRTY);
	return access != TRAP_EXECUTE || !(parts.flags & MAP_NO_EXECUTE);
}

/* Whether r may have a huge leaf at `window`. */
static inline bool huge_possible(const struct region *r, vaddr_t window)
{
	return window >= r->start && r->end > window && r->end - window >= HUGE_SIZE &&
	       !r->object && !r->hugetlb && !r->grows && r->prot && !(r->prot & PROT_EXEC) &&
	       r->huge != REGION_HUGE_NO && (hal.mmu.geometry()->leaf_levels >> MAPPER_HUGE & 1);
}

/* There is no table for va, or a huge leaf: gives it a huge leaf, or uses or splits the one there is.
 * HUGE_NO: to be done page by page; HUGE_BUS: explicit huge pages have run out. Region locked for
 * reading. */
enum huge_result { HUGE_DONE, HUGE_NO, HUGE_BUS, HUGE_MEMORY };
enum huge_result huge_fault(struct fault *x);
/* The same in a region of explicit ones; `entry` is that of the window. Its fill lock held. (hugetlb.c) */
enum huge_result hugetlb_fault(struct fault *x, pte_t *entry, struct frame *table);
/* After a fault, no lock held: if the window that ends with this page has become one run of frames,
 * it gets a huge leaf. */
void huge_promote(struct aspace *as, vaddr_t va);
