/*
 * A user address space made by hand, for tests of hal.mmu and hal.user: tables out of frames, entries
 * by hal.mmu.leaf and table, nothing of mm/ between. While one is active, preemption and
 * interrupts are off, and no fault is answered: a user copy ends where there is no page.
 */
#pragma once

#include <hal/hal.h>
#include <ktest/ktest.h>
#include <mm/frame.h>

#define SPACE_FRAMES 64
#define SPACE_VA ((vaddr_t)0x10000000)

struct space {
	paddr_t root;
	unsigned asid;
	struct frame *frames[SPACE_FRAMES]; /* tables and pages, freed by space_end */
	size_t count;
	bool interrupts; /* were on */
};

/* Makes a space and activates it. `which` 0 or 1 chooses the address-space tag. */
void space_begin(struct space *s, unsigned which);
void space_activate(struct space *s);
/* Back to the kernel's own tables; everything of the space is forgotten and freed. */
void space_end(struct space *s);

/* A zeroed frame that space_end frees. */
paddr_t space_frame(struct space *s);
void *space_data(paddr_t frame);
/* The entry of `va` on `level`; tables above are made. */
pte_t *space_entry(struct space *s, vaddr_t va, unsigned level);
/* Writes a level 0 leaf and publishes it. */
void space_map(struct space *s, vaddr_t va, paddr_t frame, map_flags_t flags);
/* Clears the leaf and flushes it. */
void space_unmap(struct space *s, vaddr_t va);

/* Access through hal.user.copy; false: it faulted. */
bool space_read(vaddr_t va, uint64_t *out);
bool space_write(vaddr_t va, uint64_t value);
/* Reads `value` from va. */
#define SPACE_HOLDS(va, value)                                                                     \
	({                                                                                         \
		uint64_t space_seen_ = 0;                                                          \
		EXPECT(space_read((va), &space_seen_)) && EXPECT_EQ(space_seen_, (value));         \
	})

/* The entry of a kernel address in the kernel's own tables. */
pte_t *space_kernel_entry(vaddr_t va, unsigned *level);
