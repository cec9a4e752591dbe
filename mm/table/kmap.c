/*
 * Kernel address areas (VM-13): regions of the kernel's own address space, with frames of their own or
 * the caller's, or device registers, each with a memory type.
 *
 * A range of an area is a struct kmap_range in a list sorted by address, placed in the lowest hole
 * that fits (tables of these areas stay, so addresses must be reused); one unmapped page follows each
 * range, so that an overrun faults. The list holds large things only (large heap blocks, modules,
 * tables), so its length is tens.
 *
 * What can fail is done before anything is mapped but the tables themselves; a region that could not be
 * mapped as a whole is not there.
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
	uint64_t size : 61;    /* constant; without the guard page */
	uint64_t tag : 2;      /* (kmap_lock) whose it is: kmap_alloc_tagged */
	uint64_t borrowed : 1; /* constant: the frames behind it are not ours */
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

/* kmap_lock held. Puts `r` at r->start; KERR_EXIST: it or its guard page meets another range. */
static enum kerr place_at_locked(struct kmap_space *s, struct kmap_range *r)
{
	struct list *before = &s->ranges;
	struct kmap_range *other;

	list_for_each(other, &s->ranges, link) {
		if (r->start < other->start + other->size + PAGE_SIZE &&
		    other->start < r->start + r->size + PAGE_SIZE)
			return KERR_EXIST;
		if (other->start < r->start)
			before = &other->link;
	}
	list_insert(&r->link, before, before->next);
	s->first = nullptr;
	return KERR_OK;
}

/* Address space for `size` bytes, at `at` if that is not 0. KERR_NOMEM, KERR_EXIST. */
static enum kerr range_new(struct kmap_space *s, vaddr_t at, size_t size, bool borrowed,
			   struct kmap_range **out)
{
	const struct kernel_area *area = &kernel_areas[s->area];
	enum kerr err = KERR_NOMEM;
	struct kmap_range *r = heap_alloc(sizeof(*r));

	if (!r)
		return KERR_NOMEM;
	*r = (struct kmap_range){.start = at, .size = size, .borrowed = borrowed};
	list_init(&r->defer);
	bool on = spin_lock_irq(&kmap_lock);
	if (at)
		err = place_at_locked(s, r);
	else if (size <= area->end - area->start && place_locked(s, r))
		err = KERR_OK;
	range_count += err == KERR_OK;
	spin_unlock_irq(&kmap_lock, on);
	if (err == KERR_OK)
		*out = r;
	else
		heap_free(r);
	return err;
}

vaddr_t kmap_reserve(size_t size)
{
	static struct kmap_range r;
	r = (struct kmap_range){.size = size, .borrowed = true};
	list_init(&r.defer);
	bool on = spin_lock_irq(&kmap_lock);
	bool good = place_locked(SPACE_KMAP, &r);
	spin_unlock_irq(&kmap_lock, on);
	return good ? r.start : 0;
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

/* Unmaps [start, start + size) wherever it is mapped and frees the frames, if they are ours. */
static void unmap_frames(vaddr_t start, size_t size, bool ours)
{
	struct tlb_batch batch;
	tlb_batch_init(&batch, nullptr);
	batch.take_frames = ours;
	if (mapper_unmap_range(&kernel_mapper, start, size, true, 0, 0, &batch) != KERR_OK)
		panic("kmap: cannot unmap %#lx", (unsigned long)start);
	tlb_batch_finish(&batch);
}

static enum kerr kmap_populate_typed(vaddr_t start, size_t size, unsigned frame_flags,
				     map_flags_t flags)
{
	for (size_t done = 0; done < size; done += PAGE_SIZE) {
		struct frame *f = frame_alloc(0, frame_flags);
		if (!f || mapper_map_range(&kernel_mapper, start + done, frame_address(f),
					   PAGE_SIZE, flags) != KERR_OK) {
			if (f)
				frame_free(f, 0);
			if (done)
				unmap_frames(start, done, true);
			return KERR_NOMEM;
		}
	}
	return KERR_OK;
}

bool kmap_populate(vaddr_t start, size_t size, unsigned frame_flags)
{
	bool good = kmap_populate_typed(start, size, frame_flags, MAP_KERNEL_WRITE) == KERR_OK;
	hal.mmu.publish();
	return good;
}

void kmap_depopulate(vaddr_t start, size_t size)
{
	unmap_frames(start, size, true);
}

static struct kmap_space *space_of(vaddr_t addr)
{
	return kernel_area_has(AREA_DEVICE, addr)    ? SPACE_DEVICE
	       : kernel_area_has(AREA_MODULES, addr) ? SPACE_MODULES
						     : SPACE_KMAP;
}

static void range_free(struct kmap_range *r)
{
	unmap_frames(r->start, r->size, !r->borrowed);
	if (!r->borrowed)
		atomic_fetch_sub_explicit(&kmap_frames, r->size >> PAGE_SHIFT,
					  memory_order_relaxed);
	range_delete(space_of(r->start), r);
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
			range_free(r);
	}
}

/* ---- Regions -------------------------------------------------------------------------------- */

map_flags_t memory_type_flags(enum memory_type type)
{
	static const uint16_t flags[MEMORY_TYPES] = {MAP_TYPE_NORMAL, MAP_TYPE_IO,
						     MAP_TYPE_UNCACHED, MAP_TYPE_COMBINE};
	return flags[type];
}

const char *memory_type_name(map_flags_t flags)
{
	switch (flags & MAP_TYPES) {
	case MAP_TYPE_NORMAL:
		return "normal";
	case MAP_TYPE_IO:
		return "io";
	case MAP_TYPE_UNCACHED:
		return "uncached";
	case MAP_WRITE_THROUGH:
		return "write-through";
	default:
		return "write-combining";
	}
}

/* `count` frames in a row that end below `limit`: of the zones that may reach above it what lies right,
 * else of one that cannot. Null: there are none. */
static struct frame *frames_below(size_t count, paddr_t limit)
{
	static const unsigned zones[] = {0, FRAME_DMA32, FRAME_DMA};
	for (unsigned i = 0; i < ARRAY_SIZE(zones); i++) {
		struct frame *f = frame_alloc_contiguous(count, 0, zones[i] | FRAME_ZEROED);
		if (!f || frame_address(f) + (count << PAGE_SHIFT) <= limit)
			return f;
		for (size_t k = 0; k < count; k++)
			frame_free(f + k, 0);
	}
	return nullptr;
}

static enum kerr map_contiguous(const struct kmap_range *r, paddr_t limit, map_flags_t flags)
{
	size_t count = r->size >> PAGE_SHIFT;
	struct frame *f = frames_below(count, limit);
	if (!f)
		return KERR_NOMEM;
	enum kerr err =
		mapper_map_range(&kernel_mapper, r->start, frame_address(f), r->size, flags);
	for (size_t i = 0; err != KERR_OK && i < count; i++)
		frame_free(f + i, 0);
	return err;
}

static enum kerr map_frames(const struct kmap_range *r, struct frame *const *frames,
			    map_flags_t flags)
{
	for (size_t done = 0; done < r->size; done += PAGE_SIZE) {
		enum kerr err = mapper_map_range(&kernel_mapper, r->start + done,
						 frame_address(frames[done >> PAGE_SHIFT]),
						 PAGE_SIZE, flags);
		if (err != KERR_OK) {
			if (done)
				unmap_frames(r->start, done, false);
			return err;
		}
	}
	return KERR_OK;
}

static enum kerr map_range(const struct kmap_range *r, const struct kmap_request *q)
{
	map_flags_t flags = q->read_only ? MAP_KERNEL_READ : MAP_KERNEL_WRITE;
	flags |= memory_type_flags(q->type);
	switch (q->kind) {
	case KMAP_PLAIN:
		return kmap_populate_typed(r->start, r->size, FRAME_ZEROED, flags);
	case KMAP_CONTIGUOUS:
		return map_contiguous(r, UINT64_MAX, flags);
	case KMAP_DMA:
		return map_contiguous(r, q->limit, flags);
	case KMAP_MMIO:
		return mapper_map_range(&kernel_mapper, r->start, ALIGN_DOWN(q->address, PAGE_SIZE),
					r->size, flags);
	case KMAP_FRAMES:
		return map_frames(r, q->frames, flags);
	}
	return KERR_INVAL;
}

/* The bytes to map, a multiple of a page; 0: the request makes no sense. */
static size_t request_size(const struct kmap_request *q)
{
	const struct kernel_area *area = &kernel_areas[AREA_KMAP];
	paddr_t first = q->kind == KMAP_MMIO ? ALIGN_DOWN(q->address, PAGE_SIZE) : 0;
	paddr_t end = q->kind == KMAP_MMIO ? q->address + q->size : q->size;
	if (!q->size || end < q->size || end > UINT64_MAX - 2 * PAGE_SIZE ||
	    q->type >= MEMORY_TYPES || !IS_ALIGNED(q->at, PAGE_SIZE) ||
	    (q->kind == KMAP_FRAMES && !q->frames) || (q->kind == KMAP_MMIO && q->at))
		return 0;
	size_t size = ALIGN_UP(end, PAGE_SIZE) - first;
	if (q->at && (q->at < area->start || q->at > area->end || size > area->end - q->at))
		return 0;
	return size;
}

static bool is_ram(paddr_t start, paddr_t end)
{
	for (paddr_t at = ALIGN_DOWN(start, PAGE_SIZE); at < end; at += PAGE_SIZE)
		if (frame_at(at))
			return true;
	return false;
}

/* Waiting for other CPUs is allowed here. */
static bool may_wait(void)
{
	return hal.cpu.irq_enabled() && current_task()->preempt_count == 0;
}

static enum kerr region_new(const struct kmap_request *q, size_t size, void **addr)
{
	bool device = q->kind == KMAP_MMIO, borrowed = device || q->kind == KMAP_FRAMES;
	struct kmap_space *s = device ? SPACE_DEVICE : SPACE_KMAP;
	struct kmap_range *r;
	if (may_wait())
		free_deferred();
	enum kerr err = range_new(s, q->at, size, borrowed, &r);
	if (err != KERR_OK)
		return err;
	err = map_range(r, q);
	if (err != KERR_OK) {
		range_delete(s, r);
		return err;
	}
	hal.mmu.publish();
	if (!borrowed)
		atomic_fetch_add_explicit(&kmap_frames, size >> PAGE_SHIFT, memory_order_relaxed);
	*addr = (void *)(r->start + (device ? q->address & (PAGE_SIZE - 1) : 0));
	return KERR_OK;
}

enum kerr kmap_region(const struct kmap_request *q, void **addr)
{
	size_t size = request_size(q);
	if (!size || (q->kind == KMAP_MMIO && is_ram(q->address, q->address + q->size)))
		return KERR_INVAL;
	return region_new(q, size, addr);
}

void *kmap_alloc(size_t size)
{
	struct kmap_request q = {.kind = KMAP_PLAIN, .size = size};
	void *addr;
	return kmap_region(&q, &addr) == KERR_OK ? addr : nullptr;
}

void *kmap_alloc_tagged(size_t size, unsigned tag)
{
	void *addr = kmap_alloc(size);
	struct kmap_range *r;
	if (!addr)
		return nullptr;
	bool on = spin_lock_irq(&kmap_lock);
	list_for_each(r, &SPACE_KMAP->ranges, link)
		if (r->start == (vaddr_t)addr)
			r->tag = tag & 3;
	spin_unlock_irq(&kmap_lock, on);
	return addr;
}

unsigned kmap_tag(const void *addr)
{
	struct kmap_range *r;
	unsigned tag = 0;
	bool on = spin_lock_irq(&kmap_lock);
	list_for_each(r, &SPACE_KMAP->ranges, link) {
		if ((vaddr_t)addr - r->start < r->size) {
			tag = r->tag;
			break;
		}
	}
	spin_unlock_irq(&kmap_lock, on);
	return tag;
}

void *kmap_module_alloc(size_t size)
{
	struct kmap_range *r;
	if (size == 0 || size > kernel_areas[AREA_MODULES].end - kernel_areas[AREA_MODULES].start)
		return nullptr;
	size = ALIGN_UP(size, PAGE_SIZE);
	if (range_new(SPACE_MODULES, 0, size, false, &r) != KERR_OK)
		return nullptr;
	if (!kmap_populate(r->start, size, FRAME_ZEROED)) {
		range_delete(SPACE_MODULES, r);
		return nullptr;
	}
	atomic_fetch_add_explicit(&kmap_frames, size >> PAGE_SHIFT, memory_order_relaxed);
	return (void *)r->start;
}

void kmap_module_free(void *addr)
{
	if (!addr)
		return;
	struct kmap_range *r = range_find(SPACE_MODULES, (vaddr_t)addr);
	if (!r)
		panic("kmap_module_free: %p was not allocated", addr);
	range_free(r);
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

static void range_free_soon(struct kmap_range *r)
{
	if (may_wait()) {
		free_deferred();
		range_free(r);
		return;
	}
	bool on = spin_lock_irq(&kmap_lock);
	list_add_tail(&deferred, &r->defer);
	spin_unlock_irq(&kmap_lock, on);
}

void kmap_free(void *addr)
{
	if (!addr)
		return;
	vaddr_t start = ALIGN_DOWN((vaddr_t)addr, PAGE_SIZE);
	struct kmap_range *r = range_find(space_of(start), start);
	if (!r || (!kernel_area_has(AREA_DEVICE, start) && start != (vaddr_t)addr))
		panic("kmap_free: %p was not allocated", addr);
	range_free_soon(r);
}

size_t kmap_free_untagged(void *addr)
{
	struct kmap_range *r = range_find(SPACE_KMAP, (vaddr_t)addr);
	if (!r || r->tag)
		return 0;
	size_t size = r->size;
	range_free_soon(r);
	return size;
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

/* Also of tables in RAM that firmware keeps: so RAM is no error. */
volatile void *kmap_device(paddr_t addr, size_t size)
{
	struct kmap_request q = {
		.kind = KMAP_MMIO, .type = MEMORY_IO, .size = size, .address = addr};
	size_t bytes = request_size(&q);
	void *at;
	return bytes && region_new(&q, bytes, &at) == KERR_OK ? at : nullptr;
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
