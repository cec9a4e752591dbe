/*
 * Quickmap (VM-16): a view of any physical page for a moment, on one CPU.
 *
 *	RAM as MEMORY_NORMAL     the direct map has it: nothing is done but to keep preemption off
 *	else                     the CPU's next slot: one store, and an invalidation of this CPU's own
 *	                         at the end (about 40 instructions for both)
 *
 * Each CPU has QUICKMAP_DEPTH pages of the kmap area, whose tables are made at boot and stay, so a view
 * takes no lock and no memory and cannot fail. Views end in reverse order; an interrupt takes slots
 * above those of what it interrupted and gives them back before it returns, so the depth needs
 * no protection but preemption being off. Other CPUs never walk a slot's address, and a slot's entry is
 * gone from this CPU's cache before it is used again.
 *
 * A ninth view of one CPU is a bug and panics.
 *
 * Data: slots[cpu], its CPU only.
 */
#include "kmap_private.h"
#include "layout.h"

#include <core/panic.h>
#include <lib/string.h>

struct slots { /* (own CPU, preemption off) */
	vaddr_t start;  /* constant */
	pte_t *entries[QUICKMAP_DEPTH]; /* constant */
	uint32_t depth; /* slots in use */
} ALIGNED(64);

static struct slots slots[CPU_MAX];

/* Boot CPU alone: maps each page once, so that its table is there. */
void quickmap_init(cpu_t cpus)
{
	struct frame *any = frame_alloc(0, 0);
	vaddr_t va = kmap_reserve((size_t)cpus * QUICKMAP_DEPTH * PAGE_SIZE);

	if (!any || !va)
		panic("memory: no room for temporary views");
	for (cpu_t cpu = 0; cpu < cpus; cpu++) {
		struct slots *s = &slots[cpu];
		s->start = va;
		for (unsigned i = 0; i < QUICKMAP_DEPTH; i++, va += PAGE_SIZE) {
			if (mapper_map_range(&kernel_mapper, va, frame_address(any), PAGE_SIZE,
					     MAP_KERNEL_READ) != KERR_OK)
				panic("memory: no table for temporary views");
			s->entries[i] = mapper_entry_find(&kernel_mapper, va);
			__atomic_store_n(&s->entries[i]->raw, 0, __ATOMIC_RELAXED);
		}
		hal.mmu.flush(HAL_ASID_NONE, s->start, QUICKMAP_DEPTH, false);
	}
	frame_free(any, 0);
}

void *quickmap_begin(paddr_t pa, enum memory_type type)
{
	paddr_t page = ALIGN_DOWN(pa, PAGE_SIZE);

	preempt_disable();
	if (type == MEMORY_NORMAL && frame_at(page))
		return (void *)(direct_map + pa);
	struct slots *s = &slots[cpu_id()];
	unsigned i = s->depth++;
	if (unlikely(i >= QUICKMAP_DEPTH))
		panic("quickmap: more than %u views", QUICKMAP_DEPTH);
	pte_t e = hal.mmu.leaf(page, MAP_KERNEL_WRITE | memory_type_flags(type), 0);
	__atomic_store_n(&s->entries[i]->raw, e.raw, __ATOMIC_RELEASE);
	hal.mmu.publish();
	return (void *)(s->start + i * PAGE_SIZE + (pa - page));
}

void quickmap_end(void *view)
{
	vaddr_t va = ALIGN_DOWN((vaddr_t)view, PAGE_SIZE);

	if (kernel_area_has(AREA_KMAP, va)) {
		struct slots *s = &slots[cpu_id()];
		unsigned i = s->depth - 1;
		if (unlikely(va != s->start + i * PAGE_SIZE))
			panic("quickmap: view %p is not the last one", view);
		__atomic_store_n(&s->entries[i]->raw, 0, __ATOMIC_RELEASE);
		hal.mmu.flush(HAL_ASID_NONE, va, 1, false);
		s->depth = i;
	}
	preempt_enable();
}

void quickmap_read(void *dst, paddr_t pa, size_t size, enum memory_type type)
{
	char *out = dst;

	while (size) {
		size_t n = MIN(size, PAGE_SIZE - (pa & (PAGE_SIZE - 1)));
		const void *view = quickmap_begin(pa, type);
		memcpy(out, view, n);
		quickmap_end((void *)view);
		out += n;
		pa += n;
		size -= n;
	}
}
