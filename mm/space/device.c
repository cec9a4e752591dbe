/*
 * Device objects (VM-10): ranges of physical memory that are not the allocator's to give: registers
 * (MAP_NO_CACHE), a framebuffer (MAP_WRITE_COMBINE). A region of one (REGION_DEVICE) is always shared.
 * Its pages are where ops->place says; they are never allocated, freed, copied, purged, locked or
 * counted as memory of the program, and nobody gets a reference to them: ptrace and the like read
 * nothing there. They are not executed either, and mapped writable at once where that is allowed.
 *
 * A child of a fork maps the same range. Entries that go (mprotect, munmap, mremap) come back by the
 * next fault.
 */
#include "fault.h"

#include <core/panic.h>
#include <mm/heap.h>

struct device_range {
	struct vm_object object;
	paddr_t start;    /* (const) */
	map_flags_t type; /* (const) */
};

static enum kerr range_place(struct vm_object *o, uint64_t index, paddr_t *pa, map_flags_t *type)
{
	const struct device_range *d = container_of(o, struct device_range, object);
	*pa = d->start + (index << PAGE_SHIFT);
	*type = d->type;
	return KERR_OK;
}

static void range_destroy(struct vm_object *o)
{
	heap_free(container_of(o, struct device_range, object));
}

static const struct vm_object_ops range_ops = {
	.name = "device",
	.place = range_place,
	.destroy = range_destroy,
};

enum kerr vm_object_create_device(paddr_t start, uint64_t size, map_flags_t type,
				  struct vm_object **out)
{
	if (!IS_ALIGNED(start | size, PAGE_SIZE) || size == 0 || start + size < start)
		return KERR_INVAL;
	struct device_range *d = heap_alloc(sizeof(*d));
	if (!d)
		return KERR_NOMEM;
	d->start = start;
	d->type = type;
	vm_object_init(&d->object, &range_ops, size, nullptr);
	*out = &d->object;
	return KERR_OK;
}

enum fault_result device_fault(struct fault *x)
{
	struct vm_object *o = x->r->object;
	uint64_t offset = x->r->offset + (x->va - x->r->start);
	paddr_t pa;
	map_flags_t type;
	if (x->access == TRAP_EXECUTE)
		return FAULT_ACCERR;
	if (offset >= atomic_load_explicit(&o->size, memory_order_acquire) ||
	    o->ops->place(o, offset >> PAGE_SHIFT, &pa, &type) != KERR_OK)
		return FAULT_BUS;
	if (mapper_entry_make(&x->as->mapper, x->va, 0, &x->entry, &x->table) != KERR_OK)
		return FAULT_NO_MEMORY;
	map_flags_t flags = MAP_USER_READ | type;
	if (x->r->prot & PROT_WRITE)
		flags |= MAP_WRITABLE | MAP_DIRTY;
	fault_set_entry(x, hal.mmu.leaf(pa, flags, 0));
	return FAULT_CONTINUE;
}
