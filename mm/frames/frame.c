/*
 * Frames: the front of the frame allocator.
 *
 *	frame_alloc(0) --> this CPU's cache --(batch)--> allocator (buddy): zone lock
 *	               \-> this CPU's pool of zeroed frames <-- idle CPUs fill it, and page tables
 *	                                                        that are empty come back to it
 *
 * Each CPU has a stack of up to CACHE_HIGH free frames and one of up to ZERO_HIGH zeroed ones.
 * Both are touched with interrupts off by their own CPU only, so the fast path takes no lock and
 * shares no line: about 20 instructions. An empty cache takes CACHE_BATCH frames from the
 * zones at once, a full one gives as many back. When memory is tight (free < low watermark of all
 * zones together) the caches' limit drops to CACHE_TIGHT, and the shrinker here empties them on all
 * CPUs (pressure.c).
 *
 * States of a record: RESERVED (not ours to give) -> FREE (buddy, or a CPU's cache) <-> USED. A
 * single frame has order FRAME_ORDER_NONE from when it leaves the buddy until it is back: another
 * CPU's buddy looks at its record meanwhile, and must not take it for the head of a free block.
 * A free of a frame that is not USED is a double or foreign free: reported, never carried out.
 *
 * Rejected: a list through the records instead of an array of pointers (one more cache line
 * a frame on a path where the record of the next frame is not needed otherwise); one cache per
 * zone (a general request takes from any zone; strict ones go to the zone itself).
 */
#include "frame.h"
#include "allocator.h"
#include "bump.h"
#include "commit_private.h"
#include "counters.h"
#include "hugepool.h"
#include "inject.h"
#include "memory_map.h"
#include "policy_private.h"

#include <core/cmdline.h>
#include <core/cpu.h>
#include <core/log.h>
#include <core/panic.h>
#include <lib/string.h>
#include <mm/change.h>
#include <mm/pressure.h>

#define CACHE_HIGH 64
#define CACHE_BATCH 16
#define CACHE_TIGHT 4
#define ZERO_HIGH 48
#define ZERO_TARGET 16 /* what idle CPUs fill up to */

struct frame_cache { /* its CPU only, interrupts off; counts are read by others for figures */
	uint32_t count, zeroed_count;
	struct frame *frames[CACHE_HIGH];
	struct frame *zeroed[ZERO_HIGH];
} ALIGNED(64);

static struct frame_cache caches[CPU_MAX];
static _Atomic uint32_t cache_limit = CACHE_HIGH;
static uint64_t tight_below, tight_until;          /* set by frame_init, like these: */
static uint64_t reserve_frames;                    /* the kernel's own, of all zones */
static uint64_t file_floor;                        /* as many stay free of pages of files */
static _Atomic uint64_t reserved_frames;

struct frame *frame_table RO_AFTER_INIT;
vaddr_t direct_map RO_AFTER_INIT;

void frame_report(const char *what, const struct frame *f)
{
#if defined(TERN_DEBUG)
	panic("frame %#llx: %s (state %u, order %u)", (unsigned long long)frame_pfn(f), what,
	      f->state, f->order);
#else
	log_error("frame %#llx: %s (state %u, order %u), ignored", (unsigned long long)frame_pfn(f),
		  what, f->state, f->order);
#endif
}

static void tightness_update(void)
{
	uint64_t free = zone_free_frames();
	uint32_t limit = atomic_load_explicit(&cache_limit, memory_order_relaxed);
	if (free < tight_below && limit != CACHE_TIGHT) {
		if (atomic_exchange_explicit(&cache_limit, CACHE_TIGHT, memory_order_relaxed) !=
		    CACHE_TIGHT)
			pressure_event();
	} else if (free > tight_until && limit != CACHE_HIGH)
		atomic_store_explicit(&cache_limit, CACHE_HIGH, memory_order_relaxed);
}

bool frame_scarce(void)
{
	return zone_free_frames() <= reserve_frames;
}

uint64_t frame_shortfall(void)
{
	uint64_t free = zone_free_frames();
	return free <= tight_until ? tight_until + 1 - free : 0;
}

bool frame_scarce_here(void)
{
	uint16_t nodes = policy_short_nodes();
	return nodes ? zone_scarce(nodes) : frame_scarce();
}

bool frame_file_room(void)
{
	return zone_free_frames() > file_floor;
}

/* The zones that `flags` allow, from this CPU's node on. */
static struct zone_request request(unsigned flags)
{
	uint8_t node = (uint8_t)numa_node_of_cpu(cpu_id());
	return (struct zone_request){
		.highest = flags & FRAME_DMA     ? ZONE_DMA
			   : flags & FRAME_DMA32 ? ZONE_DMA32
						 : ZONE_NORMAL,
		.reserve = !(flags & FRAME_USER),
		.node = node,
		.wanted = node,
		.cpu_node = node,
		.nodes = NODES_ALL,
	};
}

static inline bool is_policed(unsigned flags)
{
	return (flags & FRAME_USER) && unlikely(current_task()->memory.policed);
}

/* Interrupts off. A frame for this CPU when its cache is empty. */
static NOINLINE struct frame *cache_refill(struct frame_cache *c, bool reserve)
{
	struct frame *batch[CACHE_BATCH];
	bool tight = atomic_load_explicit(&cache_limit, memory_order_relaxed) != CACHE_HIGH;
	struct zone_request r = request(reserve ? 0 : FRAME_USER);
	size_t n = zone_allocate_batch(&r, batch, tight ? 1 : CACHE_BATCH);
	tightness_update();
	if (n == 0) {
		/* What is zeroed is better than nothing. */
		return c->zeroed_count ? c->zeroed[--c->zeroed_count] : nullptr;
	}
	for (size_t i = 1; i < n; i++) {
		batch[i]->state = FRAME_FREE;
		c->frames[c->count++] = batch[i];
	}
	return batch[0];
}

/* Interrupts off. Gives the oldest frames beyond `keep` back. */
static NOINLINE void cache_drain(struct frame_cache *c, uint32_t keep)
{
	if (c->count <= keep)
		return;
	uint32_t n = c->count - keep;
	for (uint32_t i = 0; i < n; i++)
		c->frames[i]->state = FRAME_USED;
	zone_free_batch(c->frames, n);
	for (uint32_t i = 0; i < keep; i++)
		c->frames[i] = c->frames[n + i];
	c->count = keep;
	tightness_update();
}

static void zero_block(struct frame *f, size_t count, unsigned flags)
{
	if (!f || !(flags & FRAME_ZEROED))
		return;
	for (size_t i = 0; i < count; i++)
		hal.mmu.page_zero(frame_data(f + i));
}

/* A frame of this CPU's stock that lies on `node`; *zeroed: it was among the zeroed ones. */
static struct frame *cached_on(unsigned node, bool *zeroed)
{
	bool on = hal.cpu.irq_save();
	struct frame_cache *c = &caches[cpu_id()];
	struct frame *f = nullptr;
	if (*zeroed && c->zeroed_count && c->zeroed[c->zeroed_count - 1]->node == node) {
		f = c->zeroed[--c->zeroed_count];
	} else if (c->count && c->frames[c->count - 1]->node == node) {
		f = c->frames[--c->count];
		*zeroed = false;
	}
	if (f) {
		f->state = FRAME_USED;
		f->private = 0;
		atomic_store_explicit(&f->references, 1, memory_order_relaxed);
	}
	hal.cpu.irq_restore(on);
	return f;
}

/* Where the policy of the task, or of the region that it has a fault in, says. */
static NOINLINE struct frame *alloc_policed(unsigned order, unsigned flags)
{
	struct zone_request r = request(flags);
	bool zeroed = flags & FRAME_ZEROED;
	struct frame *f = nullptr;
	policy_apply(&r);
	if (order == 0 && !r.interleaved && !(flags & (FRAME_DMA | FRAME_DMA32)))
		f = cached_on(r.wanted, &zeroed);
	if (!f) {
		zeroed = false;
		f = zone_allocate(&r, order);
		if (!f && r.spill) {
			r.nodes = NODES_ALL;
			f = zone_allocate(&r, order);
		}
		tightness_update();
	}
	current_task()->memory.short_nodes = f || r.nodes == NODES_ALL ? 0 : r.nodes;
	if (!zeroed)
		zero_block(f, (size_t)1 << order, flags);
	return f;
}

struct frame *frame_alloc_on(unsigned node, uint16_t nodes)
{
	struct zone_request r = request(FRAME_USER);
	r.node = (uint8_t)node;
	r.nodes = nodes;
	r.wanted = (uint8_t)zone_nearest(node, nodes);
	return memory_should_fail() ? nullptr : zone_allocate(&r, 0);
}

static struct frame *alloc_one(unsigned flags)
{
	bool dirty = true;
	if (memory_should_fail())
		return nullptr;
	if (is_policed(flags))
		return alloc_policed(0, flags);
	bool on = hal.cpu.irq_save();
	struct frame_cache *c = &caches[cpu_id()];
	struct frame *f;
	if ((flags & FRAME_ZEROED) && c->zeroed_count) {
		f = c->zeroed[--c->zeroed_count];
		dirty = false;
	} else if (likely(c->count)) {
		f = c->frames[--c->count];
	} else {
		f = cache_refill(c, !(flags & FRAME_USER));
		if (unlikely(!f)) {
			hal.cpu.irq_restore(on);
			return nullptr;
		}
	}
	f->state = FRAME_USED;
	f->private = 0;
	atomic_store_explicit(&f->references, 1, memory_order_relaxed);
	hal.cpu.irq_restore(on);
	if (dirty && (flags & FRAME_ZEROED))
		hal.mmu.page_zero(frame_data(f));
	return f;
}

struct frame *frame_alloc_zone(unsigned order, enum zone_id zone, unsigned flags)
{
	struct zone_request r = request(flags);
	r.highest = zone;
	r.exact = true;
	struct frame *f = zone_allocate(&r, order);
	zero_block(f, (size_t)1 << order, flags);
	return f;
}

struct frame *frame_alloc(unsigned order, unsigned flags)
{
	if (likely(order == 0 && !(flags & (FRAME_DMA | FRAME_DMA32))))
		return alloc_one(flags);
	if (memory_should_fail())
		return nullptr;
	if (is_policed(flags))
		return alloc_policed(order, flags);
	struct zone_request r = request(flags);
	struct frame *f = zone_allocate(&r, order);
	zero_block(f, (size_t)1 << order, flags);
	return f;
}

struct frame *frame_alloc_contiguous(size_t count, unsigned align_order, unsigned flags)
{
	if (memory_should_fail())
		return nullptr;
	struct zone_request r = request(flags);
	if (is_policed(flags))
		policy_apply(&r);
	/* A program's run in another node than it asked for would not be worth it. */
	if (numa_many && (flags & FRAME_USER))
		r.nodes &= (uint16_t)(1u << r.node);
	struct frame *f = zone_allocate_contiguous(&r, count, align_order);
	zero_block(f, count, flags);
	return f;
}

size_t frame_alloc_batch(struct frame **out, size_t count, unsigned flags)
{
	size_t n = 0;
	if (count > CACHE_BATCH && !is_policed(flags)) {
		struct zone_request r = request(flags);
		n = zone_allocate_batch(&r, out, count);
	}
	for (size_t i = 0; i < n; i++)
		zero_block(out[i], 1, flags);
	while (n < count && (out[n] = alloc_one(flags)))
		n++;
	return n;
}

static void free_one(struct frame *f)
{
	bool on = hal.cpu.irq_save();
	if (unlikely(f->state != FRAME_USED)) {
		hal.cpu.irq_restore(on);
		if (f->state == FRAME_POOLED) {
			hugepool_frame_back(f);
			return;
		}
		frame_report(f->state == FRAME_FREE ? "double free" : "foreign free", f);
		return;
	}
	struct frame_cache *c = &caches[cpu_id()];
	if (unlikely(f->node != numa_node_of_cpu(cpu_id()))) {
		hal.cpu.irq_restore(on);
		zone_free(f, 0);
		return;
	}
	f->state = FRAME_FREE;
	atomic_store_explicit(&f->references, 0, memory_order_relaxed);
	uint32_t limit = atomic_load_explicit(&cache_limit, memory_order_relaxed);
	if (unlikely(c->count >= limit))
		cache_drain(c, limit > CACHE_BATCH ? limit - CACHE_BATCH : 0);
	c->frames[c->count++] = f;
	hal.cpu.irq_restore(on);
}

void frame_free(struct frame *f, unsigned order)
{
	if (likely(order == 0))
		free_one(f);
	else
		zone_free(f, order);
}

void frame_free_batch(struct frame **frames, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free_one(frames[i]);
}

void frame_free_run(struct frame *first, unsigned order)
{
	if (first->state == FRAME_POOLED) {
		for (size_t i = 0; i < (size_t)1 << order; i++)
			hugepool_frame_back(first + i);
		return;
	}
	zone_free_run(first, order);
	tightness_update();
}

bool frame_room(uint64_t frames, bool plenty)
{
	uint64_t keep = tight_until + (plenty ? zone_managed_frames() / 4 : 0);
	return zone_free_frames() > keep + frames;
}

void frame_free_zeroed(struct frame *f)
{
	bool on = hal.cpu.irq_save();
	struct frame_cache *c = &caches[cpu_id()];
	if (f->state == FRAME_USED && f->node == numa_node_of_cpu(cpu_id()) &&
	    c->zeroed_count < ZERO_HIGH &&
	    atomic_load_explicit(&cache_limit, memory_order_relaxed) == CACHE_HIGH) {
		f->state = FRAME_FREE;
		atomic_store_explicit(&f->references, 0, memory_order_relaxed);
		c->zeroed[c->zeroed_count++] = f;
		hal.cpu.irq_restore(on);
		return;
	}
	hal.cpu.irq_restore(on);
	free_one(f);
}

void frame_put(struct frame *f)
{
	if (atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) == 1)
		free_one(f);
}

/* ---- Idle and pressure ---------------------------------------------------------------------- */

bool frame_idle_work(void)
{
	bool on = hal.cpu.irq_save();
	struct frame_cache *c = &caches[cpu_id()];
	if (atomic_load_explicit(&cache_limit, memory_order_relaxed) != CACHE_HIGH) {
		cache_drain(c, 0);
		hal.cpu.irq_restore(on);
		return false;
	}
	struct frame *f = nullptr;
	if (c->zeroed_count < ZERO_TARGET) {
		f = c->count ? c->frames[--c->count] : cache_refill(c, false);
		if (f)
			f->state = FRAME_USED;
	}
	hal.cpu.irq_restore(on);
	if (!f)
		return false;
	hal.mmu.page_zero(frame_data(f));
	frame_free_zeroed(f);
	return true;
}

static void drain_this_cpu(void *arg)
{
	bool on = hal.cpu.irq_save();
	struct frame_cache *c = &caches[cpu_id()];
	cache_drain(c, 0);
	while (c->zeroed_count) {
		struct frame *f = c->zeroed[--c->zeroed_count];
		f->state = FRAME_USED;
		zone_free(f, 0);
	}
	hal.cpu.irq_restore(on);
}

static uint64_t cached_frames(void)
{
	uint64_t n = 0;
	for (cpu_t i = 0; i < CPU_MAX; i++)
		n += READ_ONCE(caches[i].count) + READ_ONCE(caches[i].zeroed_count);
	return n;
}

static uint64_t drain_all(uint64_t want)
{
	uint64_t before = cached_frames();
	cpu_call(cpu_online(), drain_this_cpu, nullptr);
	tightness_update();
	uint64_t after = cached_frames();
	return after < before ? before - after : 0;
}

const struct shrinker frame_shrinker = {
	.name = "frame caches", .count = cached_frames, .scan = drain_all};

/* ---- Records and figures -------------------------------------------------------------------- */

struct frame *frame_at(paddr_t addr)
{
	size_t cursor = 0;
	paddr_t start, end;
	while (memory_map_ram(&cursor, &start, &end)) {
		if (addr >= start && addr < end)
			return frame_table + (addr >> PAGE_SHIFT);
	}
	return nullptr;
}

#if defined(TERN_DEBUG)
_Atomic int64_t memory_fail_in;
#endif

struct mm_counters mm_counters[CPU_MAX];

uint64_t mm_counted(enum mm_counter c)
{
	int64_t sum = 0;
	for (cpu_t i = 0; i < cpu_count; i++)
		sum += atomic_load_explicit(&mm_counters[i].value[c], memory_order_relaxed);
	return sum > 0 ? (uint64_t)sum : 0;
}

struct frame_totals frame_totals(void)
{
	uint64_t reserved = atomic_load_explicit(&reserved_frames, memory_order_relaxed);
	return (struct frame_totals){
		.total = zone_managed_frames() + reserved,
		.free = zone_free_frames() + cached_frames(),
		.reserved = reserved,
	};
}

bool zone_info(size_t index, struct zone_info *out)
{
	struct zone *z = zone_get(index);

	if (!z)
		return false;
	zone_figures(z, out);
	out->cached = zone_get(index + 1) ? 0 : cached_frames();
	return true;
}

const char *frame_allocator_name(void)
{
	return READ_ONCE(frame_allocator)->name;
}

void frame_release(pfn_t start, pfn_t end)
{
	for (pfn_t pfn = start; pfn < end; pfn++) {
		struct frame *f = frame_table + pfn;
		if (f->state != FRAME_RESERVED) {
			frame_report("release of a frame that is in use", f);
			continue;
		}
		atomic_fetch_sub_explicit(&reserved_frames, 1, memory_order_relaxed);
		zone_add_frames(pfn, pfn + 1);
	}
}

static void give_to_allocator(paddr_t start, paddr_t end)
{
	zone_add_frames(start >> PAGE_SHIFT, end >> PAGE_SHIFT);
}

/* The one that pmm= names; the buddy if there is no such name. */
static const struct frame_allocator_ops *choose_allocator(void)
{
	const struct frame_allocator_ops *named;
	char name[16];

	if (!cmdline_get("pmm", name, sizeof(name)))
		return &frame_allocator_buddy;
	for (size_t i = 0; (named = frame_policy_get(i)); i++)
		if (strcmp(name, frame_policy_name(named)) == 0)
			return named;
	log_warn("pmm=%s: unknown, using buddy (there are buddy, bitmap, hybrid, bump)", name);
	return &frame_allocator_buddy;
}

void frame_init(void)
{
	uint64_t present = 0;
	struct zone *z;

	if (zone_init_all(choose_allocator()) != KERR_OK)
		panic("no memory for the frame allocator's own data");
	bump_retire(give_to_allocator);
	zone_set_watermarks();
	for (size_t i = 0; (z = zone_get(i)); i++) {
		present += z->present;
		tight_below += z->low;
		tight_until += z->high;
		reserve_frames += z->min;
	}
	file_floor = reserve_frames + zone_managed_frames() / 16;
	atomic_store_explicit(&reserved_frames, present - zone_managed_frames(),
			      memory_order_relaxed);
	commit_init();
}
