/*
 * Slabs (HP-3): objects of one size out of blocks of frames, with a magazine per CPU in front.
 *
 *	cache --> magazines[cpu]: up to 30 free objects; its CPU only, interrupts off, no lock
 *	      \-> partial: slabs that have free objects (cache.lock)
 *
 *	slab = 2^order frames | object 0 | object 1 | ... |      no header inside
 *
 * What a slab needs to know stands in its frame records: every frame's `private` is the cache
 * (so heap_free finds it from the address alone), and the first frame's `link` sits in the
 * partial list, its `references` hold {objects in use, first free object + 1} in 16 bits
 * each. A free object holds the number of the next one in its first two bytes.
 *
 * Allocation and free are a load, a store and a counter in the common case; half a magazine moves
 * at a time under the cache's lock. A slab without objects in use is kept if it is the only
 * one, else its frames go back.
 *
 * 12 classes (8 bytes to 16 KiB) serve heap_alloc(); cache_create() makes more, with their own
 * size. Above 16 KiB a block is a kmap range (HP-4).
 *
 * Caches belong to every heap. Where another provider runs, or the debug mode is in front, those of
 * cache_create() have no slabs (`limit` is 0): their magazines stay empty, so that each call takes the
 * slow way, which asks the provider. The fast way pays nothing for it.
 *
 * Locks: cache.lock (RANK_HEAP, interrupts off); no other lock is taken inside, frames are
 * allocated and freed outside. caches_lock only guards the list of caches.
 *
 * Rejected: two magazines a CPU (saves lock trips in a pattern that swings round the edge, which
 * moving half a magazine at a time makes rare as well); headers in the slabs (a 4 KiB class object
 * would need a second page).
 */
#include "heap_ops.h"

#include "frame.h"
#include "inject.h"
#include "kmap_private.h"

#include <core/cpu.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/spinlock.h>
#include <lib/string.h>
#include <mm/pressure.h>

#define MAGAZINE_MAX 30
#define SLAB_ORDER_MAX 3
#define HEAP_CLASS_MIN_SHIFT 3

struct magazine { /* its CPU, interrupts off; the counters are read by others */
	uint32_t count;
	uint32_t allocations, frees; /* differences matter: they may wrap */
	uint32_t unused;
	void *objects[MAGAZINE_MAX];
} ALIGNED(64);
static_assert(sizeof(struct magazine) == 256);

struct cache {
	struct magazine *magazines; /* constant; per CPU */
	uint32_t size;              /* constant; bytes from object to object */
	uint16_t per_slab;          /* constant */
	uint8_t order;              /* constant; of a slab */
	uint8_t batch;              /* constant; objects that move at once */
	uint8_t limit;              /* constant; of a magazine; 0: the provider has the objects */
	uint16_t align;             /* constant */
	bool zeroed;                /* constant; see cache_create_zeroed */
	const char *name;           /* constant */
	struct spinlock lock;
	struct list partial;        /* (lock) slabs with free objects, by frame.link */
	size_t slabs, taken;        /* (lock) slabs; objects that are not in a slab */
	size_t empty;               /* (lock) slabs on partial with no object taken */
	struct list link;           /* (caches_lock) */
};

static struct cache classes[HEAP_CLASSES];
static struct spinlock caches_lock = SPINLOCK_INIT(RANK_OBJECT, "caches");
static struct list caches = LIST_INIT(caches);    /* (caches_lock) */
static char *magazine_page; /* (caches_lock) where the next ones come from */
static size_t magazine_left; /* (caches_lock) bytes */
static _Atomic uint64_t large_allocations, large_frees, large_bytes;
static bool caches_have_slabs RO_AFTER_INIT;

/* ---- Slabs ---------------------------------------------------------------------------------- */

static uint32_t slab_word(const struct frame *f)
{
	return atomic_load_explicit(&f->references, memory_order_relaxed);
}

static void slab_set(struct frame *f, uint32_t in_use, uint32_t first)
{
	atomic_store_explicit(&f->references, in_use << 16 | first, memory_order_relaxed);
}

static struct frame *slab_new(const struct cache *c)
{
	struct frame *f = frame_alloc(c->order, c->zeroed ? FRAME_ZEROED : 0);
	if (!f)
		return nullptr;
	char *data = frame_data(f);
	for (size_t i = 0; i < (size_t)1 << c->order; i++)
		f[i].private = (uint64_t)(uintptr_t)c;
	for (uint32_t i = 0; i < c->per_slab; i++)
		*(uint16_t *)(data + (size_t)i * c->size) =
			(uint16_t)(i + 1 < c->per_slab ? i + 2 : 0);
	slab_set(f, 0, 1);
	heap_frames_add((int64_t)1 << c->order);
	return f;
}

static void slab_delete(const struct cache *c, struct frame *f)
{
	for (size_t i = 0; i < (size_t)1 << c->order; i++)
		f[i].private = 0;
	heap_frames_add(-((int64_t)1 << c->order));
	frame_free(f, c->order);
}

/* cache.lock held. Up to `count` objects into `out`. */
static uint32_t take_locked(struct cache *c, void **out, uint32_t count)
{
	uint32_t n = 0;
	while (n < count && !list_empty(&c->partial)) {
		struct frame *f = list_first(&c->partial, struct frame, link);
		char *data = frame_data(f);
		uint32_t in_use = slab_word(f) >> 16, first = slab_word(f) & 0xffff;
		if (in_use == 0)
			c->empty--;
		while (n < count && first) {
			char *object = data + (size_t)(first - 1) * c->size;
			first = *(uint16_t *)object;
			out[n++] = object;
			in_use++;
		}
		slab_set(f, in_use, first);
		if (!first)
			list_remove(&f->link);
	}
	c->taken += n;
	return n;
}

static struct frame *slab_of(const struct cache *c, const void *object)
{
	return frame_of((const void *)ALIGN_DOWN((uintptr_t)object, PAGE_SIZE << c->order));
}

/* cache.lock held. Gives the slab that has become superfluous, or null. */
static struct frame *give_locked(struct cache *c, void *object)
{
	struct frame *f = slab_of(c, object);
	uint32_t in_use = slab_word(f) >> 16, first = slab_word(f) & 0xffff;
	size_t offset = (size_t)((char *)object - (char *)frame_data(f));
	uint32_t index = (uint32_t)(offset / c->size);
	if (unlikely(in_use == 0 || offset % c->size))
		panic("heap: %p is no object of cache %s", object, c->name);
	*(uint16_t *)object = (uint16_t)first;
	slab_set(f, in_use - 1, index + 1);
	c->taken--;
	if (!first)
		list_add_head(&c->partial, &f->link);
	if (in_use > 1)
		return nullptr;
	if (c->empty == 0) {
		c->empty++;
		return nullptr;
	}
	list_remove(&f->link);
	c->slabs--;
	return f;
}

static void *provider_alloc(const struct cache *c)
{
	void *object = heap_object_alloc(c->name, c->size, c->align);
	if (object && c->zeroed)
		memset(object, 0, c->size);
	return object;
}

/* Interrupts off. */
static NOINLINE void *refill(struct cache *c, struct magazine *m)
{
	if (unlikely(!c->limit))
		return provider_alloc(c);
	spin_acquire(&c->lock);
	uint32_t n = take_locked(c, m->objects, c->batch);
	spin_release(&c->lock);
	if (n == 0) {
		struct frame *f = slab_new(c);
		if (!f)
			return nullptr;
		spin_acquire(&c->lock);
		c->slabs++;
		c->empty++;
		list_add_head(&c->partial, &f->link);
		n = take_locked(c, m->objects, c->batch);
		spin_release(&c->lock);
	}
	m->count = n - 1;
	return m->objects[n - 1];
}

/* Interrupts off. The `count` objects that lie longest go back. */
static NOINLINE void spill(struct cache *c, struct magazine *m, uint32_t count)
{
	struct frame *dead = nullptr;
	spin_acquire(&c->lock);
	for (uint32_t i = 0; i < count; i++) {
		struct frame *f = give_locked(c, m->objects[i]);
		if (f) {
			f->link.next = (struct list *)dead;
			dead = f;
		}
	}
	spin_release(&c->lock);
	m->count -= count;
	memmove(m->objects, m->objects + count, m->count * sizeof(void *));
	while (dead) {
		struct frame *f = dead;
		dead = (struct frame *)f->link.next;
		slab_delete(c, f);
	}
}

/* ---- Caches --------------------------------------------------------------------------------- */

void *cache_alloc(struct cache *c)
{
	if (memory_should_fail()) /* where a provider has them it looks once more: no matter */
		return nullptr;
	bool on = hal.cpu.irq_save();
	struct magazine *m = &c->magazines[cpu_id()];
	void *object;
	if (likely(m->count))
		object = m->objects[--m->count];
	else
		object = refill(c, m);
	m->allocations += object != nullptr;
	hal.cpu.irq_restore(on);
	return object;
}

void *cache_alloc_zeroed(struct cache *c)
{
	void *object = cache_alloc(c);
	if (object)
		memset(object, 0, c->size);
	return object;
}

/* Interrupts off. The magazine is full; or the provider has the object. */
static NOINLINE bool free_slow(struct cache *c, struct magazine *m, void *object)
{
	if (likely(c->limit)) {
		spill(c, m, c->batch);
		return false;
	}
	m->frees++;
	heap_object_free(c->name, object);
	return true;
}

void cache_free(struct cache *c, void *object)
{
	bool on = hal.cpu.irq_save();
	struct magazine *m = &c->magazines[cpu_id()];
	if (likely(m->count < c->limit) || !free_slow(c, m, object)) {
		m->objects[m->count++] = object;
		m->frees++;
	}
	hal.cpu.irq_restore(on);
}

/* caches_lock held. */
static struct magazine *magazines_new_locked(void)
{
	size_t need = cpu_count * sizeof(struct magazine);
	if (need > magazine_left) {
		unsigned order = 0;
		while ((PAGE_SIZE << order) < need)
			order++;
		struct frame *f = frame_alloc(order, FRAME_ZEROED);
		if (!f)
			return nullptr;
		heap_frames_add((int64_t)1 << order);
		magazine_page = frame_data(f);
		magazine_left = PAGE_SIZE << order;
	}
	struct magazine *m = (struct magazine *)magazine_page;
	magazine_page += need;
	magazine_left -= need;
	return m;
}

/* The smallest slab that wastes at most an eighth. */
static unsigned choose_order(size_t size)
{
	for (unsigned order = 0; order < SLAB_ORDER_MAX; order++) {
		size_t bytes = PAGE_SIZE << order;
		if (bytes >= size && bytes % size <= bytes / 8)
			return order;
	}
	return SLAB_ORDER_MAX;
}

static bool cache_setup(struct cache *c, const char *name, size_t size, size_t align, bool slabs)
{
	*c = (struct cache){.name = name, .size = (uint32_t)size, .align = (uint16_t)align};
	c->order = (uint8_t)choose_order(size);
	c->per_slab = (uint16_t)((PAGE_SIZE << c->order) / size);
	c->limit = size <= 512 ? MAGAZINE_MAX : size <= 2048 ? 12 : size <= 4096 ? 8 : 4;
	c->batch = c->limit / 2;
	if (!slabs)
		c->limit = 0;
	spin_init(&c->lock, RANK_HEAP, name);
	list_init(&c->partial);
	bool on = spin_lock_irq(&caches_lock);
	c->magazines = magazines_new_locked();
	if (c->magazines)
		list_add_tail(&caches, &c->link);
	spin_unlock_irq(&caches_lock, on);
	return c->magazines;
}

static struct cache *create(const char *name, size_t size, size_t align, bool zeroed)
{
	if (align < sizeof(void *))
		align = sizeof(void *);
	size = ALIGN_UP(MAX(size, sizeof(void *)), align);
	struct cache *c = heap_alloc_aligned(sizeof(*c), 64);
	if (!c || size > HEAP_SMALL_MAX || !cache_setup(c, name, size, align, caches_have_slabs))
		panic("heap: no memory for cache %s", name);
	c->zeroed = zeroed;
	return c;
}

struct cache *cache_create(const char *name, size_t size, size_t align)
{
	return create(name, size, align, false);
}

struct cache *cache_create_zeroed(const char *name, size_t size, size_t align)
{
	return create(name, size, align, true);
}

static const char *const class_names[HEAP_CLASSES] = {
	"heap-8",   "heap-16",   "heap-32",   "heap-64",   "heap-128",  "heap-256",
	"heap-512", "heap-1024", "heap-2048", "heap-4096", "heap-8192", "heap-16384",
};

void slab_init(bool direct)
{
	caches_have_slabs = direct;
	for (unsigned i = 0; i < HEAP_CLASSES; i++) {
		if (!cache_setup(&classes[i], class_names[i], (size_t)8 << i, 0, true))
			panic("heap: no memory for the size classes");
	}
}

/* ---- The heap over them --------------------------------------------------------------------- */

static unsigned class_of(size_t size)
{
	return size <= 8 ? 0 : 64u - (unsigned)__builtin_clzll(size - 1) - HEAP_CLASS_MIN_SHIFT;
}

void *slab_alloc(size_t size)
{
	return cache_alloc(&classes[class_of(size)]);
}

static bool in_direct_map(const void *block)
{
	return !kmap_contains(block);
}

/* Not in a slab of ours. */
static NOINLINE void free_other(void *block)
{
	if (frame_of(block)->private || !heap_free_foreign(block))
		panic("heap_free: %p was not allocated", block);
}

static NOINLINE void free_large(void *block)
{
	size_t size = kmap_free_untagged(block);
	if (size) {
		atomic_fetch_add_explicit(&large_frees, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&large_bytes, size, memory_order_relaxed);
	} else if (!heap_free_foreign(block)) {
		panic("heap_free: %p was not allocated", block);
	}
}

void slab_free(void *block)
{
	if (unlikely(!in_direct_map(block))) {
		free_large(block);
		return;
	}
	struct cache *c = (struct cache *)(uintptr_t)frame_of(block)->private;
	if (unlikely(!c || frame_of(block)->state != FRAME_USED)) {
		free_other(block);
		return;
	}
	cache_free(c, block);
}

static size_t slab_size(const void *block)
{
	if (!in_direct_map(block))
		return kmap_size(block);
	return ((struct cache *)(uintptr_t)frame_of(block)->private)->size;
}

static void *ops_alloc(size_t size, size_t align)
{
	size = MAX(size, align);
	if (size <= HEAP_SMALL_MAX)
		return slab_alloc(size);
	void *block = kmap_alloc(size);
	if (block) {
		atomic_fetch_add_explicit(&large_allocations, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&large_bytes, ALIGN_UP(size, PAGE_SIZE),
					  memory_order_relaxed);
	}
	return block;
}

static void *ops_realloc(void *block, size_t size)
{
	size_t have = slab_size(block);
	if (size <= have && size > have / 4)
		return block;
	void *new = ops_alloc(size ? size : 1, 0);
	if (!new)
		return size <= have ? block : nullptr;
	memcpy(new, block, MIN(have, size));
	slab_free(block);
	return new;
}

static void ops_stats(struct heap_stats *out)
{
	size_t large = atomic_load_explicit(&large_bytes, memory_order_relaxed);
	*out = (struct heap_stats){
		.total = large,
		.used = large,
		.allocations = atomic_load_explicit(&large_allocations, memory_order_relaxed),
		.deallocations = atomic_load_explicit(&large_frees, memory_order_relaxed),
	};
	struct cache *c;
	bool on = spin_lock_irq(&caches_lock);
	list_for_each(c, &caches, link) {
		size_t cached = 0;
		for (cpu_t i = 0; i < cpu_count; i++) {
			const struct magazine *m = &c->magazines[i];
			cached += READ_ONCE(m->count);
			out->allocations += READ_ONCE(m->allocations);
			out->deallocations += READ_ONCE(m->frees);
		}
		spin_acquire(&c->lock);
		size_t used = c->taken > cached ? c->taken - cached : 0;
		out->total += c->slabs << (PAGE_SHIFT + c->order);
		out->used += used * c->size;
		spin_release(&c->lock);
	}
	spin_unlock_irq(&caches_lock, on);
	out->free = out->total - out->used;
}

/* The chain of free objects of each slab that has some. */
static size_t audit_cache(struct cache *c)
{
	size_t bad = 0;
	struct frame *f;
	bool on = spin_lock_irq(&c->lock);
	list_for_each(f, &c->partial, link) {
		uint32_t free = 0, next = slab_word(f) & 0xffff;
		while (next && next <= c->per_slab && free < c->per_slab) {
			next = *(uint16_t *)((char *)frame_data(f) + (size_t)(next - 1) * c->size);
			free++;
		}
		if (!next && free + (slab_word(f) >> 16) == c->per_slab)
			continue;
		log_error("heap: a free object in slab %p of cache %s was written to",
			  frame_data(f), c->name);
		bad++;
	}
	spin_unlock_irq(&c->lock, on);
	return bad;
}

static size_t slab_audit(void)
{
	size_t bad = 0;
	struct cache *c;
	list_for_each(c, &caches, link) /* caches are only ever added at the end */
		bad += audit_cache(c);
	return bad;
}

/* ---- Pressure ------------------------------------------------------------------------------- */

/* Every CPU: what its magazines hold goes back. */
static void empty_magazines(void *arg)
{
	bool on = hal.cpu.irq_save();
	struct cache *c;
	/* Caches are only ever added at the end, and never go: the walk needs no lock. */
	list_for_each(c, &caches, link) {
		struct magazine *m = &c->magazines[cpu_id()];
		if (m->count)
			spill(c, m, m->count);
	}
	hal.cpu.irq_restore(on);
}

static uint64_t slab_trim(uint64_t want)
{
	uint64_t before = heap_frame_count();
	cpu_call(cpu_online(), empty_magazines, nullptr);
	struct cache *c;
	list_for_each(c, &caches, link) {
		struct frame *dead = nullptr;
		bool on = spin_lock_irq(&c->lock);
		struct list *at, *next;
		for (at = c->partial.next; at != &c->partial && c->empty; at = next) {
			struct frame *f = list_entry(at, struct frame, link);
			next = at->next;
			if (slab_word(f) >> 16)
				continue;
			list_remove(&f->link);
			c->empty--;
			c->slabs--;
			f->link.next = (struct list *)dead;
			dead = f;
		}
		spin_unlock_irq(&c->lock, on);
		while (dead) {
			struct frame *f = dead;
			dead = (struct frame *)f->link.next;
			slab_delete(c, f);
		}
	}
	uint64_t after = heap_frame_count();
	return after < before ? before - after : 0;
}

/* What it could give is known only when the magazines are empty: the figure is all there is. */
static const struct shrinker slab_shrinker = {
	.name = "slabs", .count = heap_frame_count, .scan = slab_trim};

const struct heap_ops heap_slab = {
	.name = "slab",
	.allocate = ops_alloc,
	.deallocate = slab_free,
	.reallocate = ops_realloc,
	.size = slab_size,
	.stats = ops_stats,
	.audit = slab_audit,
	.shrinker = &slab_shrinker,
};
