/*
 * Kernel address areas (VM-13): kmap_alloc (single frames made contiguous), the same near the kernel
 * image for modules, and device registers.
 *
 * A range of an area is a struct kmap_range in a list sorted by address, placed in the lowest hole
 * that fits (tables of these areas stay, so addresses must be reused); one unmapped page follows each
 * range, so that an overrun faults. The list holds large things only (large heap blocks, modules,
 * tables), so its length is tens.
 *
 * Freed ranges are unmapped, flushed on all CPUs, and only then their addresses and frames are
 * reused. That needs interrupts on and no spinlock; a free from elsewhere waits in a list for the
 * next call from a thread.
 *
 * Lock: kmap_lock (RANK_HEAP, interrupts off) guards lists and searches; the table itself
 * changes by compare-and-swap under exclusive ownership of the range.
 *
 * Rejected: a tree of free ranges with a quantum cache (vmem); nothing here is hot.
 */
#include <mm/kmap.h>

#include "kmap_private.h"
#include "layout.h"

#include <core/cpu.h>
#include <core/panic.h>
#include <core/spinlock.h>
#include <hal/upcall.h>
#include <lib/list.h>
#include <mm/heap.h>
#include <mm/memory.h>

struct kmap_range {
	struct list link;    /* (kmap_lock) in its area, by address */
	struct list defer;   /* (kmap_lock) in the list of late frees */
	vaddr_t start;       /* constant */
	size_t size;         /* constant; without the guard page */
};

static_assert(sizeof(struct kmap_range) == KMAP_RANGE_BYTES);

struct kmap_space {
	enum kernel_area_id area;
	struct list ranges;        /* (kmap_lock) sorted */
	struct kmap_range
		*first; /* (kmap_lock) no hole before the end of this one; null: unknown */
};

static struct spinlock kmap_lock = SPINLOCK_INIT(RANK_HEAP, "kmap");
static struct kmap_space spaces[3] = {
	{.area = AREA_KMAP, .ranges = LIST_INIT(spaces[0].ranges)},
	{.area = AREA_DEVICE, .ranges = LIST_INIT(spaces[1].ranges)},
	{.area = AREA_MODULES, .ranges = LIST_INIT(spaces[2].ranges)},
};
#define SPACE_KMAP (&spaces[0])
#define SPACE_DEVICE (&spaces[1])
#define SPACE_MODULES (&spaces[2])
static struct list deferred = LIST_INIT(deferred); /* (kmap_lock) */
static _Atomic uint64_t kmap_frames;
static size_t range_count; /* (kmap_lock) */

size_t kmap_range_count(void)
{
	return READ_ONCE(range_count);
}

uint64_t kmap_frame_count(void)
{
	return atomic_load_explicit(&kmap_frames, memory_order_relaxed);
}

/* The hole behind `at`, which is a range or the list's head: its start and size with the guard. */
static size_t hole_behind(const struct kmap_space *s, struct list *at, vaddr_t *start)
{
	const struct kernel_area *area = &kernel_areas[s->area];
	vaddr_t end = area->end;
	*start = area->start;
	if (at != &s->ranges) {
		struct kmap_range *before = list_entry(at, struct kmap_range, link);
		*start = before->start + before->size + PAGE_SIZE;
	}
	if (at->next != &s->ranges)
		end = list_entry(at->next, struct kmap_range, link)->start;
	return end > *start ? end - *start : 0;
}

/* kmap_lock held. Places `r` into the lowest hole that is large enough; false: there is none. */
static bool place_locked(struct kmap_space *s, struct kmap_range *r)
{
	size_t need = r->size + PAGE_SIZE;
	bool skipped = false;
	struct list *at = s->first ? &s->first->link : &s->ranges;
	for (;; at = at->next) {
		size_t hole = hole_behind(s, at, &r->start);
		if (hole >= need) {
			list_insert(&r->link, at, at->next);
			if (!skipped)
				s->first = r;
			return true;
		}
		if (hole && !skipped) {
			skipped = true;
			s->first = at == &s->ranges ? nullptr
						    : list_entry(at, struct kmap_range, link);
		}
		if (at->next == &s->ranges)
			return false;
	}
}

static struct kmap_range *range_new(struct kmap_space *s, size_t size)
{
	struct kmap_range *r = heap_alloc(sizeof(*r));
	if (!r)
		return nullptr;
	r->size = size;
	list_init(&r->defer);
	bool on = spin_lock_irq(&kmap_lock);
	bool ok = size <= kernel_areas[s->area].end - kernel_areas[s->area].start &&
		  place_locked(s, r);
	range_count += ok;
	spin_unlock_irq(&kmap_lock, on);
	if (ok)
		return r;
	heap_free(r);
	return nullptr;
}

static void range_delete(struct kmap_space *s, struct kmap_range *r)
{
	bool on = spin_lock_irq(&kmap_lock);
	if (!s->first || r->start <= s->first->start)
		s->first = r->link.prev == &s->ranges
				   ? nullptr
				   : list_entry(r->link.prev, struct kmap_range, link);
	list_remove(&r->link);
	range_count--;
	spin_unlock_irq(&kmap_lock, on);
	heap_free(r);
}

static struct kmap_range *range_find(struct kmap_space *s, vaddr_t start)
{
	struct kmap_range *r, *found = nullptr;
	bool on = spin_lock_irq(&kmap_lock);
	list_for_each(r, &s->ranges, link) {
		if (r->start == start) {
			found = r;
			break;
		}
	}
	spin_unlock_irq(&kmap_lock, on);
	return found;
}

/* Unmaps [start, start + size) wherever it is mapped and frees the frames. */
static void unmap_frames(vaddr_t start, size_t size)
{
	struct tlb_batch batch;
	tlb_batch_init(&batch, nullptr);
	batch.take_frames = true;
	if (mapper_unmap_range(&kernel_mapper, start, size, true, 0, 0, &batch) != KERR_OK)
		panic("kmap: cannot unmap %#lx", (unsigned long)start);
	tlb_batch_finish(&batch);
}

bool kmap_populate(vaddr_t start, size_t size, unsigned flags)
{
	for (size_t done = 0; done < size; done += PAGE_SIZE) {
		struct frame *f = frame_alloc(0, flags);
		if (!f || mapper_map_range(&kernel_mapper, start + done, frame_address(f),
					   PAGE_SIZE, MAP_KERNEL_WRITE) != KERR_OK) {
			if (f)
				frame_free(f, 0);
			if (done)
				unmap_frames(start, done);
			return false;
		}
	}
	hal.mmu.publish();
	return true;
}

void kmap_depopulate(vaddr_t start, size_t size)
{
	unmap_frames(start, size);
}

static void range_free(struct kmap_space *s, struct kmap_range *r)
{
	unmap_frames(r->start, r->size);
	atomic_fetch_sub_explicit(&kmap_frames, r->size >> PAGE_SHIFT, memory_order_relaxed);
	range_delete(s, r);
}

static void free_deferred(void)
{
	while (unlikely(!list_empty(&deferred))) {
		bool on = spin_lock_irq(&kmap_lock);
		struct kmap_range *r = nullptr;
		if (!list_empty(&deferred)) {
			r = list_first(&deferred, struct kmap_range, defer);
			list_remove(&r->defer);
		}
		spin_unlock_irq(&kmap_lock, on);
		if (r)
			range_free(SPACE_KMAP, r);
	}
}

/* Waiting for other CPUs is allowed here. */
static bool may_wait(void)
{
	return hal.cpu.irq_enabled() && current_task()->preempt_count == 0;
}

static void *range_alloc(struct kmap_space *s, size_t size)
{
	if (size == 0 || size > SIZE_MAX - 2 * PAGE_SIZE)
		return nullptr;
	size = ALIGN_UP(size, PAGE_SIZE);
	struct kmap_range *r = range_new(s, size);
	if (!r)
		return nullptr;
	if (!kmap_populate(r->start, size, FRAME_ZEROED)) {
		range_delete(s, r);
		return nullptr;
	}
	atomic_fetch_add_explicit(&kmap_frames, size >> PAGE_SHIFT, memory_order_relaxed);
	return (void *)r->start;
}

void *kmap_alloc(size_t size)
{
	if (may_wait())
		free_deferred();
	return range_alloc(SPACE_KMAP, size);
}

void *kmap_module_alloc(size_t size)
{
	return range_alloc(SPACE_MODULES, size);
}

void kmap_module_free(void *addr)
{
	if (!addr)
		return;
	struct kmap_range *r = range_find(SPACE_MODULES, (vaddr_t)addr);
	if (!r)
		panic("kmap_module_free: %p was not allocated", addr);
	range_free(SPACE_MODULES, r);
}

enum kerr kmap_module_protect(void *addr, size_t size, map_flags_t flags)
{
	struct tlb_batch batch;
	tlb_batch_init(&batch, nullptr);
	enum kerr err = mapper_protect_range(&kernel_mapper, (vaddr_t)addr, size, flags, true,
					     false, &batch);
	tlb_batch_finish(&batch);
	return err;
}

bool kmap_is_module(vaddr_t addr)
{
	return kernel_area_has(AREA_MODULES, addr);
}

void kmap_free(void *addr)
{
	if (!addr)
		return;
	struct kmap_range *r = range_find(SPACE_KMAP, (vaddr_t)addr);
	if (!r)
		panic("kmap_free: %p was not allocated", addr);
	if (may_wait()) {
		free_deferred();
		range_free(SPACE_KMAP, r);
		return;
	}
	bool on = spin_lock_irq(&kmap_lock);
	list_add_tail(&deferred, &r->defer);
	spin_unlock_irq(&kmap_lock, on);
}

bool kmap_contains(const void *addr)
{
	return kernel_area_has(AREA_KMAP, (vaddr_t)addr);
}

size_t kmap_size(const void *addr)
{
	struct kmap_range *r = range_find(SPACE_KMAP, (vaddr_t)addr);
	return r ? r->size : 0;
}

volatile void *kmap_device(paddr_t addr, size_t size)
{
	paddr_t first = ALIGN_DOWN(addr, PAGE_SIZE);
	if (size == 0 || addr + size < addr)
		return nullptr;
	size_t bytes = ALIGN_UP(addr + size, PAGE_SIZE) - first;
	struct kmap_range *r = range_new(SPACE_DEVICE, bytes);
	if (!r)
		return nullptr;
	if (mapper_map_range(&kernel_mapper, r->start, first, bytes,
			     MAP_KERNEL_WRITE | MAP_NO_CACHE) != KERR_OK) {
		range_delete(SPACE_DEVICE, r);
		return nullptr;
	}
	hal.mmu.publish();
	return (volatile void *)(r->start + (addr - first));
}

volatile void *core_device_map(paddr_t addr, size_t size)
{
	return kmap_device(addr, size);
}

enum kerr kmap_translate(vaddr_t va, paddr_t *pa, map_flags_t *flags)
{
	return va < hal.mmu.geometry()->kernel_start
		       ? KERR_NOENT
		       : mapper_translate(&kernel_mapper, va, pa, flags, nullptr);
}

bool mm_kernel_fault(const struct trap *trap)
{
	paddr_t pa;
	map_flags_t flags;
	if (trap->kind != TRAP_PAGE_FAULT || kmap_translate(trap->addr, &pa, &flags) != KERR_OK)
		return false;
	if ((flags & MAP_USER) || (trap->access == TRAP_WRITE && !(flags & MAP_WRITABLE)) ||
	    (trap->access == TRAP_EXECUTE && (flags & MAP_NO_EXECUTE)))
		return false;
	hal.mmu.flush(HAL_ASID_NONE, ALIGN_DOWN(trap->addr, PAGE_SIZE), 1, false);
	return true;
}
