/*
 * The heap's debug mode (HP-6), in front of any provider:
 *
 *	provider's block = | front zone | header | payload | back zone |
 *
 * The front zone and the back zone are filled with a byte each, the header holds the size and a check
 * of it and of the address. New memory is filled with FRESH, freed memory with DEAD; a freed block
 * stays in quarantine until RING others have followed or they are too many bytes.
 *
 * What is known of a block is not in it, where an overflow would reach it, but in a `record`, found
 * by the payload's address in a table of chains: its provider's block, size, state, and the
 * numbers of the call chains (`site`) that allocated and freed it. So a pointer that was never
 * allocated is recognised without reading what is there.
 *
 *	LIVE --free--> FREEING --poisoned--> QUARANTINED --pushed out--> (gone, provider has it)
 *
 * Found at free: double free, foreign free, an object given to the wrong cache, damage of either
 * zone or the header. Found when a block leaves quarantine: use after free. heap_debug_sweep()
 * looks for all of that in every block at once. Each is one report in the log: what, the block,
 * who allocated it, who freed it, who found it. The kernel goes on, unless panic_on_corruption is
 * on its command line; a block that is not the heap's is left alone.
 *
 * Lock: debug_lock (RANK_HEAP, interrupts off) guards the tables. The provider, the frame layer and
 * the log are called without it. Costs some hundred instructions a call and 128 bytes a block.
 *
 * Rejected: records in front of the payload (an underflow would break the lists that find it);
 * guard pages (a page and a shootdown a block).
 */
#include <mm/heap_debug.h>

#include "heap_ops.h"

#include <core/cmdline.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/spinlock.h>
#include <lib/format.h>
#include <lib/string.h>
#include <mm/frame.h>

#define FRONT_BYTE 0xfb
#define BACK_BYTE 0xfe
#define FRESH 0xa5
#define DEAD 0xde
#define ZONE 16u
#define FRONT (ZONE + sizeof(struct header))
#define TABLE_ORDER 4 /* 8,192 chains */
#define BUCKETS ((PAGE_SIZE << TABLE_ORDER) / sizeof(void *))
#define SITE_ORDER 6
#define SITES ((uint32_t)((PAGE_SIZE << SITE_ORDER) / sizeof(struct site)))
#define RING 1024u
#define RING_BYTES ((size_t)1 << 20)

enum state { LIVE, FREEING, QUARANTINED };

struct header {
	uint64_t size, check;
};

struct record { /* (debug_lock) */
	struct record *next;  /* in its chain, or among the unused ones */
	uintptr_t payload;
	char *base;           /* the provider's block */
	size_t size;
	const char *cache;    /* null: heap_alloc() */
	uint32_t allocated, freed; /* sites */
	uint32_t generation;  /* marks that had been set when it was allocated */
	uint8_t state;
	bool reported;
};

struct site { /* (debug_lock); a chain never changes once it is in */
	vaddr_t chain[HEAP_CHAIN];
	size_t blocks, bytes; /* heap_debug_leaks()'s count */
};

static bool on RO_AFTER_INIT, deadly RO_AFTER_INIT;
static struct record **buckets RO_AFTER_INIT;
static struct site *sites RO_AFTER_INIT; /* hashed by chain; number 0 is "unknown" */
static uintptr_t *ring RO_AFTER_INIT;

static struct spinlock debug_lock = SPINLOCK_INIT(RANK_HEAP, "heap debug");
static struct record *unused;               /* (debug_lock) */
static struct heap_debug_figures figures;   /* (debug_lock) */
static size_t ring_next, ring_bytes;        /* (debug_lock) */
static uint32_t generation;                 /* (debug_lock) */

bool heap_debug_on(void)
{
	return on;
}

void heap_debug_figures(struct heap_debug_figures *out)
{
	bool irqs = spin_lock_irq(&debug_lock);
	*out = figures;
	spin_unlock_irq(&debug_lock, irqs);
}

/* ---- Sites ---------------------------------------------------------------------------------- */

/* debug_lock held. The number of a call chain; 0 if the table is full. */
static uint32_t site_locked(const vaddr_t chain[HEAP_CHAIN])
{
	uint64_t hash = 0;
	for (unsigned i = 0; i < HEAP_CHAIN; i++)
		hash = (hash ^ chain[i]) * 0x9e3779b97f4a7c15u;
	uint32_t first = (uint32_t)((hash >> 32) % (SITES - 1));
	for (uint32_t n = 0; n < SITES - 1; n++) {
		uint32_t at = 1 + (first + n) % (SITES - 1);
		struct site *s = &sites[at];
		if (!s->chain[0])
			memcpy(s->chain, chain, sizeof(s->chain));
		if (memcmp(s->chain, chain, sizeof(s->chain)) == 0)
			return at;
	}
	return 0;
}

static void log_chain(const char *what, const vaddr_t chain[HEAP_CHAIN])
{
	char text[160];

	log_error("heap:   %s", chain[0] ? what : "by whom is not known");
	for (unsigned i = 0; i < HEAP_CHAIN && chain[i]; i++) {
		symbol_format(chain[i] - 1, text, sizeof(text));
		log_error("heap:     %s", text);
	}
}

/* ---- Reports -------------------------------------------------------------------------------- */

/* `r` may be null (nothing is known of `block`); `at` is the first damaged byte, or null. */
static NOINLINE void report(const char *what, const void *block, const struct record *r,
			    const uint8_t *at)
{
	vaddr_t here[HEAP_CHAIN] = {};
	char text[160];

	backtrace_take(here, HEAP_CHAIN);
	bool irqs = spin_lock_irq(&debug_lock);
	figures.reports++;
	spin_unlock_irq(&debug_lock, irqs);
	int n = format(text, sizeof(text), "%s: block %p", what, block);
	if (r)
		n += format(text + n, sizeof(text) - (size_t)n, " of %zu bytes%s%s", r->size,
			    r->cache ? ", cache " : "", r->cache ? r->cache : "");
	if (at)
		format(text + n, sizeof(text) - (size_t)n, ", byte %ld is %#x",
		       (long)(at - (const uint8_t *)block), *at);
	log_error("heap: ---- %s", text);
	if (r)
		log_chain("allocated by", sites[r->allocated].chain);
	if (r && r->state != LIVE)
		log_chain("freed by", sites[r->freed].chain);
	log_chain("found by", here);
	log_error("heap: ---- end of the report");
	if (deadly)
		panic("heap: %s", text);
}

static uint64_t header_check(uintptr_t payload, uint64_t size)
{
	return (payload ^ size << 40 ^ size) * 0x9e3779b97f4a7c15u;
}

static const uint8_t *other_than(const void *from, const void *to, uint8_t byte)
{
	for (const uint8_t *p = from; p < (const uint8_t *)to; p++)
		if (*p != byte)
			return p;
	return nullptr;
}

/* What is wrong with a block, and where; null: nothing. */
static const char *damage(const struct record *r, const uint8_t **at)
{
	const uint8_t *payload = (const uint8_t *)r->payload;
	const struct header *h = (const struct header *)payload - 1;
	const uint8_t *zone = (const uint8_t *)h - ZONE;

	*at = other_than(zone, h, FRONT_BYTE);
	if (*at)
		return "underflow";
	if (h->size != r->size || h->check != header_check(r->payload, r->size)) {
		*at = (const uint8_t *)h;
		return "damaged header";
	}
	*at = other_than(payload + r->size, payload + r->size + ZONE, BACK_BYTE);
	if (*at)
		return "overflow";
	if (r->state == QUARANTINED) {
		*at = other_than(payload, payload + r->size, DEAD);
		if (*at)
			return "use after free";
	}
	return nullptr;
}

/* ---- Records -------------------------------------------------------------------------------- */

static struct record **bucket(uintptr_t payload)
{
	return &buckets[(payload >> 4) * 0x9e3779b97f4a7c15u >> 40 & (BUCKETS - 1)];
}

static struct record *find_locked(uintptr_t payload)
{
	struct record *r = *bucket(payload);
	while (r && r->payload != payload)
		r = r->next;
	return r;
}

static void unlink_locked(struct record *r)
{
	struct record **at = bucket(r->payload);
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	r->next = unused;
	unused = r;
}

static bool records_more(void)
{
	struct frame *f = frame_alloc(0, 0);
	if (!f)
		return false;
	heap_frames_add(1);
	struct record *r = frame_data(f);
	bool irqs = spin_lock_irq(&debug_lock);
	for (size_t i = 0; i < PAGE_SIZE / sizeof(*r); i++) {
		r[i].next = unused;
		unused = &r[i];
	}
	spin_unlock_irq(&debug_lock, irqs);
	return true;
}

static bool record_add(const struct record *what, const vaddr_t chain[HEAP_CHAIN])
{
	for (;;) {
		bool irqs = spin_lock_irq(&debug_lock);
		struct record *r = unused, **head = bucket(what->payload);
		if (r) {
			unused = r->next;
			*r = *what;
			r->allocated = site_locked(chain);
			r->generation = generation;
			r->next = *head;
			*head = r;
			figures.blocks++;
			figures.bytes += r->size;
		}
		spin_unlock_irq(&debug_lock, irqs);
		if (r || !records_more())
			return r;
	}
}

/* ---- Allocation ----------------------------------------------------------------------------- */

void *heap_debug_alloc(const char *cache, size_t size, size_t align)
{
	vaddr_t chain[HEAP_CHAIN] = {};
	size_t front = MAX(FRONT, align), whole;

	if (__builtin_add_overflow(size, front + ZONE, &whole))
		return nullptr;
	char *base = heap_provider()->allocate(whole, align);
	if (!base)
		return nullptr;
	struct record r = {.payload = (uintptr_t)base + front,
			   .base = base,
			   .size = size,
			   .cache = cache,
			   .state = LIVE};
	uint8_t *payload = (uint8_t *)r.payload;
	struct header *h = (struct header *)payload - 1;
	*h = (struct header){size, header_check(r.payload, size)};
	memset((uint8_t *)h - ZONE, FRONT_BYTE, ZONE);
	memset(payload, FRESH, size);
	memset(payload + size, BACK_BYTE, ZONE);
	backtrace_take(chain, HEAP_CHAIN);
	if (record_add(&r, chain))
		return payload;
	heap_owner(base)->deallocate(base);
	return nullptr;
}

/* ---- Free ----------------------------------------------------------------------------------- */

/* Ends the quarantine of the block in slot `at` of the ring, if one is there. */
static void release(size_t at)
{
	const uint8_t *where;
	struct record copy = {};
	bool irqs = spin_lock_irq(&debug_lock);
	struct record *r = ring[at] ? find_locked(ring[at]) : nullptr;
	ring[at] = 0;
	if (r) {
		copy = *r;
		figures.quarantined--;
		ring_bytes -= r->size;
		unlink_locked(r);
	}
	spin_unlock_irq(&debug_lock, irqs);
	if (!r)
		return;
	const char *what = copy.reported ? nullptr : damage(&copy, &where);
	if (what)
		report(what, (void *)copy.payload, &copy, where);
	heap_owner(copy.base)->deallocate(copy.base);
}

/* The poisoned block goes to the end of the ring, who is in the way leaves. */
static void quarantine(uintptr_t payload)
{
	for (;;) {
		bool irqs = spin_lock_irq(&debug_lock);
		size_t at = ring_next % RING;
		struct record *r = find_locked(payload);
		bool free = !ring[at];
		if (free) {
			r->state = QUARANTINED;
			ring[at] = payload;
			ring_next++;
			ring_bytes += r->size;
			figures.quarantined++;
		}
		spin_unlock_irq(&debug_lock, irqs);
		if (free)
			break;
		release(at);
	}
	for (size_t i = 0; i < RING && READ_ONCE(ring_bytes) > RING_BYTES; i++)
		release((READ_ONCE(ring_next) + i) % RING);
}

/* LIVE -> FREEING, with a copy of the record; or what forbids it. */
static const char *begin_free(const char *cache, const void *block, const vaddr_t *chain,
			      struct record *copy, bool *known)
{
	const char *wrong = nullptr;
	bool irqs = spin_lock_irq(&debug_lock);
	struct record *r = find_locked((uintptr_t)block);
	*known = r;
	if (!r) {
		wrong = "foreign free";
	} else if (r->state != LIVE) {
		wrong = "double free";
	} else if (r->cache != cache) {
		wrong = "free into the wrong cache";
	} else {
		r->state = FREEING;
		r->freed = site_locked(chain);
		figures.blocks--;
		figures.bytes -= r->size;
	}
	if (r)
		*copy = *r;
	spin_unlock_irq(&debug_lock, irqs);
	return wrong;
}

void heap_debug_free(const char *cache, void *block)
{
	vaddr_t chain[HEAP_CHAIN] = {};
	const uint8_t *at = nullptr;
	struct record r;
	bool known;

	backtrace_take(chain, HEAP_CHAIN);
	const char *wrong = begin_free(cache, block, chain, &r, &known);
	if (wrong) {
		report(wrong, block, known ? &r : nullptr, nullptr);
		return;
	}
	wrong = r.reported ? nullptr : damage(&r, &at);
	if (wrong) {
		report(wrong, block, &r, at);
		struct header *h = (struct header *)block - 1; /* mended: one report is enough */
		*h = (struct header){r.size, header_check(r.payload, r.size)};
		memset((uint8_t *)h - ZONE, FRONT_BYTE, ZONE);
		memset((uint8_t *)block + r.size, BACK_BYTE, ZONE);
	}
	memset(block, DEAD, r.size);
	quarantine(r.payload);
}

void *heap_debug_realloc(void *block, size_t size)
{
	bool irqs = spin_lock_irq(&debug_lock);
	const struct record *r = find_locked((uintptr_t)block);
	size_t have = r ? r->size : 0;
	spin_unlock_irq(&debug_lock, irqs);
	void *new = heap_debug_alloc(nullptr, size, 0);
	if (!new)
		return nullptr;
	memcpy(new, block, MIN(have, size));
	heap_debug_free(nullptr, block);
	return new;
}

/* ---- On request ----------------------------------------------------------------------------- */

/* The first damaged block of a chain that has not been reported; false: none. */
static bool next_damaged(struct record *first, struct record *copy, const char **what,
			 const uint8_t **at)
{
	for (struct record *r = first; r; r = r->next) {
		*what = r->reported || r->state == FREEING ? nullptr : damage(r, at);
		if (!*what)
			continue;
		r->reported = true;
		*copy = *r;
		return true;
	}
	return false;
}

size_t heap_debug_sweep(void)
{
	size_t found = on ? heap_provider()->audit() : 0;

	for (size_t i = 0; on && i < BUCKETS;) {
		struct record copy;
		const char *what;
		const uint8_t *at;
		bool irqs = spin_lock_irq(&debug_lock);
		bool bad = next_damaged(buckets[i], &copy, &what, &at);
		spin_unlock_irq(&debug_lock, irqs);
		if (bad) {
			report(what, (void *)copy.payload, &copy, at);
			found++;
		} else {
			i++;
		}
	}
	return found;
}

void heap_debug_mark(void)
{
	bool irqs = spin_lock_irq(&debug_lock);
	generation++;
	spin_unlock_irq(&debug_lock, irqs);
}

void heap_debug_leaks(void)
{
	if (!on)
		return;
	bool irqs = spin_lock_irq(&debug_lock);
	for (uint32_t i = 0; i < SITES; i++)
		sites[i].blocks = sites[i].bytes = 0;
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct record *r = buckets[i]; r; r = r->next)
			if (r->state == LIVE && r->generation == generation) {
				sites[r->allocated].blocks++;
				sites[r->allocated].bytes += r->size;
			}
	spin_unlock_irq(&debug_lock, irqs);
}

/* Whether site `a` comes before `b` in the report. */
static bool before(uint32_t a, uint32_t b)
{
	return sites[a].bytes != sites[b].bytes ? sites[a].bytes > sites[b].bytes : a < b;
}

bool heap_debug_site(size_t index, struct heap_site *out)
{
	uint32_t last = UINT32_MAX;

	for (size_t n = 0; on && n <= index; n++) {
		uint32_t best = UINT32_MAX;
		for (uint32_t i = 0; i < SITES; i++)
			if (sites[i].blocks && (last == UINT32_MAX || before(last, i)) &&
			    (best == UINT32_MAX || before(i, best)))
				best = i;
		if (best == UINT32_MAX)
			return false;
		last = best;
	}
	if (last == UINT32_MAX)
		return false;
	*out = (struct heap_site){.blocks = sites[last].blocks, .bytes = sites[last].bytes};
	memcpy(out->chain, sites[last].chain, sizeof(out->chain));
	return true;
}

/* ---- Start ---------------------------------------------------------------------------------- */

static void *table_new(unsigned order)
{
	struct frame *f = frame_alloc(order, FRAME_ZEROED);
	if (!f)
		panic("heap: no memory for the tables of the debug mode");
	heap_frames_add((int64_t)1 << order);
	return frame_data(f);
}

void heap_debug_init(void)
{
	buckets = table_new(TABLE_ORDER);
	sites = table_new(SITE_ORDER);
	ring = table_new(1);
	static_assert(RING * sizeof(*ring) <= PAGE_SIZE << 1);
	deadly = cmdline_has("panic_on_corruption");
	on = true;
}
