/* The page-table walker (VM-1 to VM-5). Shape and rules: mapper.c. */
#pragma once

#include "tlb.h"

#include <hal/hal.h>
#include <mm/frame.h>
#include <mm/memory.h>

struct mapper {
	paddr_t root;            /* constant */
	bool user;               /* constant: table frames keep a mask of the groups in use */
	_Atomic uint32_t tables; /* table frames below the root, and the root */
};

#define MAPPER_ENTRIES 512u
#define MAPPER_GROUP 8u /* entries a bit of a table's mask stands for */
#define MAPPER_HUGE 1u  /* the level of huge leaves of programs: 2 MiB */

static inline unsigned mapper_index(vaddr_t va, unsigned level)
{
	return (unsigned)(va >> (PAGE_SHIFT + 9 * level)) & (MAPPER_ENTRIES - 1);
}

static inline uint64_t mapper_span(unsigned level)
{
	return PAGE_SIZE << (9 * level);
}

static inline pte_t *mapper_table_at(paddr_t pa)
{
	return (pte_t *)(direct_map + pa);
}

static inline pte_t mapper_load(const pte_t *e)
{
	return (pte_t){__atomic_load_n(&e->raw, __ATOMIC_ACQUIRE)};
}

static inline bool mapper_swap(pte_t *e, pte_t *old, pte_t new)
{
	return __atomic_compare_exchange_n(&e->raw, &old->raw, new.raw, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* Marks entry `index` of the user table in `table` as used, before it is. */
static inline void mapper_mark(struct frame *table, unsigned index)
{
	uint64_t bit = (uint64_t)1 << (index / MAPPER_GROUP);
	if (!(__atomic_load_n(&table->private, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(&table->private, bit, __ATOMIC_RELAXED);
}

/* A new, empty table (order 0, zeroed); from the bump allocator during early boot. `user`: leaves the
 * kernel's reserve alone. 0: no memory. */
paddr_t mapper_table_new(bool user);

/*
 * Maps [va, va + size) to `pa` on with the largest leaves that fit. Undoes what it did on error.
 * KERR_INVAL: not page aligned, wraps, or flags say writable and executable; KERR_EXIST: something
 * is mapped there; KERR_NOMEM. The caller publishes (hal.mmu.publish).
 */
enum kerr mapper_map_range(struct mapper *m, vaddr_t va, paddr_t pa, size_t size,
			   map_flags_t flags);

/*
 * Unmaps [va, va + size): entries go to zero, the range to `batch`, which the caller flushes.
 * Holes are skipped if `holes`, else KERR_NOENT and nothing is changed. Tables whose whole span lies in
 * [free_low, free_high) are taken out and given to the batch (equal: none are). Leaves that
 * straddle an end are split (KERR_NOMEM). If batch->frames is set, the frames mapped go there.
 */
enum kerr mapper_unmap_range(struct mapper *m, vaddr_t va, size_t size, bool holes,
			     vaddr_t free_low, vaddr_t free_high, struct tlb_batch *batch);

/*
 * New rights for what is mapped in [va, va + size): WRITABLE, NO_EXECUTE and USER as in `flags`,
 * restricted: an entry that is read-only stays so unless `grant`. Holes are skipped if
 * `holes`, else KERR_NOENT and nothing is changed. Leaves that straddle an end are split.
 */
enum kerr mapper_protect_range(struct mapper *m, vaddr_t va, size_t size, map_flags_t flags,
			       bool grant, bool holes, struct tlb_batch *batch);

/* The leaf that translates `va`. KERR_NOENT: none. */
enum kerr mapper_translate(const struct mapper *m, vaddr_t va, paddr_t *pa, map_flags_t *flags,
			   unsigned *level);

/* What the hardware goes through to translate `va`. */
void mapper_walk(const struct mapper *m, vaddr_t va, struct page_walk *out);

/* The level 0 entry of `va` in a user table, with the record of the table it lies in. Null: a table
 * is missing, or a huge leaf is in the way. The table stays as long as a region overlaps its span. */
pte_t *mapper_entry_ready(struct mapper *m, vaddr_t va, struct frame **table);
/* The entry of `va` on `level`, tables above it made. KERR_NOMEM; KERR_EXIST: a larger leaf. */
enum kerr mapper_entry_make(struct mapper *m, vaddr_t va, unsigned level, pte_t **entry,
			    struct frame **table);
/* Puts a huge leaf into the empty `entry` of `va` (of mapper_entry_make at MAPPER_HUGE); false:
 * something is there by now. */
bool mapper_leaf_install(struct mapper *m, pte_t *entry, struct frame *table, vaddr_t va,
			 paddr_t pa, map_flags_t flags);
/* The leaf in `entry`, if there is one, goes. Flushed. */
void mapper_unmap_huge(struct mapper *m, pte_t *entry, vaddr_t va, struct tlb_context *context);
/* The huge leaf of `va`, if there is one, becomes a table of its pages, or (no memory) nothing. Flushed.
 * Faults may be under way. */
void mapper_split(struct mapper *m, vaddr_t va, struct tlb_context *context);
/* The same without making anything; null: there is no table. */
pte_t *mapper_entry_find(const struct mapper *m, vaddr_t va);

/* Leaves mapped in [va, va + size), in pages. */
uint64_t mapper_count(const struct mapper *m, vaddr_t va, size_t size);
/* Of these: in huge leaves, but for those of MAP_HUGETLB (MAP_SPECIAL). */
uint64_t mapper_count_huge(const struct mapper *m, vaddr_t va, size_t size);

/* Calls visit for each leaf from `va` on up to `last` (inclusive), in order. */
void mapper_visit(const struct mapper *m, vaddr_t va, vaddr_t last,
		  void (*visit)(vaddr_t va, unsigned level, struct pte_parts leaf, void *arg),
		  void *arg);

/* Frees all tables of a user mapper and clears its root's user half; nobody walks them any more. */
void mapper_clear(struct mapper *m);

/* Clears a user table by its mask and frees it. */
void mapper_table_free(struct frame *table);
