/* See space.h. */
#include "space.h"

#include "layout.h"
#include "mapper.h"

#include <core/task.h>

/* The highest tags: mm gives them out last. Without tags any number will do. */
static unsigned asid_of(unsigned which)
{
	unsigned bits = hal.mmu.geometry()->asid_bits;

	return (bits ? (1u << bits) - 1 : 2) - which;
}

paddr_t space_frame(struct space *s)
{
	if (!EXPECT(s->count < SPACE_FRAMES))
		return frame_address(s->frames[0]);
	struct frame *f = frame_alloc(0, FRAME_ZEROED);
	if (!EXPECT(f))
		return frame_address(s->frames[0]);
	s->frames[s->count++] = f;
	return frame_address(f);
}

void *space_data(paddr_t frame)
{
	return (void *)(direct_map + frame);
}

void space_activate(struct space *s)
{
	hal.mmu.activate(s->root, s->asid);
}

void space_begin(struct space *s, unsigned which)
{
	*s = (struct space){.asid = asid_of(which)};
	s->root = space_frame(s);
	if (!hal.mmu.geometry()->split_root)
		for (unsigned i = 256; i < 512; i++)
			((pte_t *)space_data(s->root))[i] =
				mapper_load(&mapper_table_at(kernel_mapper.root)[i]);
	preempt_disable();
	s->interrupts = hal.cpu.irq_save();
	hal.mmu.flush(s->asid, 0, HAL_FLUSH_ALL, true);
	space_activate(s);
}

void space_end(struct space *s)
{
	hal.mmu.activate(kernel_mapper.root, HAL_ASID_NONE);
	hal.mmu.flush(s->asid, 0, HAL_FLUSH_ALL, true);
	for (size_t i = 0; i < s->count; i++)
		frame_free(s->frames[i], 0);
	hal.cpu.irq_restore(s->interrupts);
	preempt_enable();
}

pte_t *space_entry(struct space *s, vaddr_t va, unsigned level)
{
	paddr_t table = s->root;

	for (unsigned l = hal.mmu.geometry()->levels - 1u; l > level; l--) {
		pte_t *entry = (pte_t *)space_data(table) + mapper_index(va, l);
		struct pte_parts parts = hal.mmu.decode(*entry, l);
		if (parts.kind == PTE_NONE) {
			*entry = hal.mmu.table(space_frame(s));
			hal.mmu.publish();
			parts = hal.mmu.decode(*entry, l);
		}
		table = parts.address;
	}
	return (pte_t *)space_data(table) + mapper_index(va, level);
}

void space_map(struct space *s, vaddr_t va, paddr_t frame, map_flags_t flags)
{
	*space_entry(s, va, 0) = hal.mmu.leaf(frame, flags, 0);
	hal.mmu.publish();
}

void space_unmap(struct space *s, vaddr_t va)
{
	*space_entry(s, va, 0) = (pte_t){};
	hal.mmu.flush(s->asid, va, 1, false);
}

bool space_read(vaddr_t va, uint64_t *out)
{
	return hal.user.copy(out, (const void *)va, sizeof(*out)) == 0;
}

bool space_write(vaddr_t va, uint64_t value)
{
	return hal.user.copy((void *)va, &value, sizeof(value)) == 0;
}

pte_t *space_kernel_entry(vaddr_t va, unsigned *level)
{
	paddr_t table = kernel_mapper.root;

	for (*level = hal.mmu.geometry()->levels - 1u;; --*level) {
		pte_t *entry = &mapper_table_at(table)[mapper_index(va, *level)];
		struct pte_parts parts = hal.mmu.decode(mapper_load(entry), *level);
		if (parts.kind != PTE_TABLE)
			return entry;
		table = parts.address;
	}
}
