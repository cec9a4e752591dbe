/*
 * The memory map: firmware's list of regions, which may be unsorted, overlap and have any length,
 * becomes a sorted list without overlaps, which stays for /proc/iomem.
 *
 * All region bounds are sorted; between two neighbouring bounds nothing changes, so each such
 * interval takes the most restrictive kind of the regions that cover it (the narrowest region
 * among equals gives the name), and equal neighbours are joined. That is O(n^2) in the number of
 * regions, once, and needs no structure but two arrays: 1,000 overlapping entries take about
 * ten million instructions, a normal map of twenty a few thousand. A sweep with an ordered set of
 * open regions would be O(n log n), and was not worth its code.
 *
 * memmap=SIZE$START on the command line adds a reserved range, SIZE@START one of RAM, as if the firmware had
 * told them; several stand with commas between. For tests, and for machines whose firmware forgets one.
 *
 * The arrays cannot come from an allocator, as every allocator needs the map: bump_find_raw()
 * looks for a hole in the raw regions, and the list then contains itself as "memory map".
 *
 * States: empty -> built by memory_map_init() on the boot CPU -> constant, except that kinds
 * change to usable when boot memory is given back (one store each, readers see old or new).
 */
#include "memory_map.h"
#include "bump.h"

#include <core/cmdline.h>
#include <core/log.h>
#include <core/panic.h>
#include <lib/compiler.h>
#include <lib/string.h>

#define MEMMAP_LENGTH 2048
#define RESERVE_MAX 32 /* memory_reserve() calls before the map is built: our own code's, few */

static struct memory_range *map_ranges; /* set once */
static size_t map_count;                /* set once */
/* Explicit reservations; boot CPU only, until the map is built. */
static struct boot_region reserved[RESERVE_MAX];
static size_t reserved_count;
static bool map_built;

/* The more restrictive, the higher. */
static unsigned kind_rank(enum boot_memory_kind kind)
{
	switch (kind) {
	case BOOT_MEM_USABLE:
		return 0;
	case BOOT_MEM_BOOTLOADER:
		return 1;
	case BOOT_MEM_ACPI_RECLAIM:
		return 2;
	case BOOT_MEM_KERNEL:
		return 3;
	case BOOT_MEM_ACPI_NVS:
		return 4;
	case BOOT_MEM_RESERVED:
		return 5;
	case BOOT_MEM_DEVICE:
		return 6;
	case BOOT_MEM_BAD:
		return 7;
	}
	return 7; /* a kind nobody knows is not touched */
}

bool memory_kind_is_ram(enum boot_memory_kind kind)
{
	return kind_rank(kind) <= kind_rank(BOOT_MEM_ACPI_NVS);
}

static void heap_sift(paddr_t *a, size_t i, size_t n)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= n)
			return;
		if (child + 1 < n && a[child + 1] > a[child])
			child++;
		if (a[i] >= a[child])
			return;
		paddr_t t = a[i];
		a[i] = a[child];
		a[child] = t;
		i = child;
	}
}

static void sort_bounds(paddr_t *a, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		heap_sift(a, i, n);
	for (size_t end = n; end-- > 1;) {
		paddr_t t = a[0];
		a[0] = a[end];
		a[end] = t;
		heap_sift(a, 0, end);
	}
}

/* The region that decides about [start, end), between two bounds. Null: none covers it. */
static const struct boot_region *decide(const struct boot_region *in, size_t count, paddr_t start,
					paddr_t end)
{
	const struct boot_region *best = nullptr;
	for (size_t i = 0; i < count; i++) {
		const struct boot_region *r = &in[i];
		if (r->start > start || r->end < end)
			continue;
		if (!best || kind_rank(r->kind) > kind_rank(best->kind) ||
		    (kind_rank(r->kind) == kind_rank(best->kind) &&
		     r->end - r->start < best->end - best->start))
			best = r;
	}
	return best;
}

size_t memory_map_sanitise(const struct boot_region *in, size_t count, struct memory_range *out,
			   paddr_t *bounds)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		if (in[i].start >= in[i].end)
			continue;
		bounds[n++] = in[i].start;
		bounds[n++] = in[i].end;
	}
	sort_bounds(bounds, n);

	size_t used = 0;
	for (size_t i = 0; i + 1 < n; i++) {
		if (bounds[i] == bounds[i + 1])
			continue;
		const struct boot_region *r = decide(in, count, bounds[i], bounds[i + 1]);
		if (!r)
			continue;
		struct memory_range *last = used ? &out[used - 1] : nullptr;
		if (last && last->end == bounds[i] && last->kind == r->kind &&
		    (last->name == r->name || r->kind == BOOT_MEM_USABLE)) {
			last->end = bounds[i + 1];
			continue;
		}
		out[used++] = (struct memory_range){bounds[i], bounds[i + 1], r->kind, r->name};
	}
	return used;
}

enum kerr memory_reserve(paddr_t start, paddr_t end, const char *name)
{
	if (start >= end || map_built || reserved_count == RESERVE_MAX)
		return KERR_INVAL;
	for (size_t i = 0; i < reserved_count; i++) {
		if (start < reserved[i].end && reserved[i].start < end)
			return KERR_EXIST;
	}
	reserved[reserved_count++] = (struct boot_region){start, end, BOOT_MEM_RESERVED, name};
	return KERR_OK;
}

/* "SIZE$START" or "SIZE@START" at *text, which moves behind it. False: that is no range. */
static bool range_parse(const char **text, struct boot_region *out)
{
	const char *at, *end;
	uint64_t size = str_to_u64(*text, &at, 0);
	if (at == *text)
		return false;
	unsigned shift = *at == 'K' ? 10 : *at == 'M' ? 20 : *at == 'G' ? 30 : 0;
	at += shift != 0;
	if (*at != '$' && *at != '@')
		return false;
	paddr_t start = str_to_u64(at + 1, &end, 0);
	if (end == at + 1 || (*end && *end != ','))
		return false;
	*out = (struct boot_region){.start = start, .end = start + (size << shift)};
	out->kind = *at == '@' ? BOOT_MEM_USABLE : BOOT_MEM_RESERVED;
	out->name = *at == '@' ? "System RAM" : "Reserved";
	*text = *end ? end + 1 : end;
	return true;
}

/* What memmap= says, into `out` (null: only counted); how many there are. */
static size_t ranges_asked(struct boot_region *out)
{
	static char words[MEMMAP_LENGTH] INIT_DATA;
	struct boot_region r;
	size_t n = 0;
	if (!cmdline_get("memmap", words, sizeof(words)))
		return 0;
	for (const char *at = words; *at; n++) {
		if (!range_parse(&at, out ? &out[n] : &r)) {
			if (out)
				log_warn("memmap=: what is %s?", at);
			return n;
		}
	}
	return n;
}

void memory_map_init(const struct boot_info *info)
{
	size_t total = info->region_count + reserved_count + ranges_asked(nullptr) + 1;
	size_t bytes = total * sizeof(struct boot_region) +
		       2 * total * (sizeof(struct memory_range) + sizeof(paddr_t));
	bytes = ALIGN_UP(bytes, PAGE_SIZE);
	paddr_t place = bump_find_raw(info->regions, info->region_count, info->early_start,
				      info->early_end, bytes);
	if (!place)
		panic("memory: no room for a map of %zu regions", info->region_count);

	struct boot_region *all = (struct boot_region *)(info->direct_map + place);
	struct memory_range *ranges = (struct memory_range *)(all + total);
	paddr_t *bounds = (paddr_t *)(ranges + 2 * total);
	size_t n = 0;
	for (size_t i = 0; i < info->region_count; i++)
		all[n++] = info->regions[i];
	for (size_t i = 0; i < reserved_count; i++)
		all[n++] = reserved[i];
	n += ranges_asked(all + n);
	all[n++] = (struct boot_region){place, place + bytes, BOOT_MEM_KERNEL, "memory map"};

	map_count = memory_map_sanitise(all, n, ranges, bounds);
	map_ranges = ranges;
	map_built = true;
}

void memory_map_limit(paddr_t limit)
{
	uint64_t lost = 0;
	for (size_t i = 0; i < map_count; i++) {
		struct memory_range *r = &map_ranges[i];
		if (!memory_kind_is_ram(r->kind) || r->end <= limit)
			continue;
		lost += r->end - MAX(r->start, limit);
		if (r->start < limit) {
			r->end = limit;
			continue;
		}
		r->kind = BOOT_MEM_BAD;
		r->name = "Out of reach";
	}
	if (lost)
		log_warn("memory: %llu MiB beyond %#llx are out of reach",
			 (unsigned long long)(lost >> 20), (unsigned long long)limit);
}

const struct memory_range *memory_map(size_t *count)
{
	*count = map_count;
	return map_ranges;
}

/* Neighbours that became alike after the boot show as one. */
static bool joins(const struct memory_range *a, const struct memory_range *b)
{
	return a->end == b->start && a->kind == b->kind &&
	       (a->kind == BOOT_MEM_USABLE || a->name == b->name);
}

bool iomem_get(size_t index, struct memory_range *out)
{
	for (size_t i = 0; i < map_count; i++) {
		size_t last = i;
		while (last + 1 < map_count && joins(&map_ranges[last], &map_ranges[last + 1]))
			last++;
		if (index-- == 0) {
			*out = map_ranges[i];
			out->end = map_ranges[last].end;
			return true;
		}
		i = last;
	}
	return false;
}

bool iomem_reserved_get(size_t index, struct memory_range *out)
{
	for (size_t i = 0; i < map_count; i++) {
		if (map_ranges[i].kind == BOOT_MEM_USABLE || index--)
			continue;
		*out = map_ranges[i];
		return true;
	}
	return false;
}

paddr_t memory_map_end(void)
{
	paddr_t end = 0;
	for (size_t i = 0; i < map_count; i++) {
		if (memory_kind_is_ram(map_ranges[i].kind))
			end = map_ranges[i].end;
	}
	return ALIGN_UP(end, PAGE_SIZE);
}

bool memory_map_ram(size_t *cursor, paddr_t *start, paddr_t *end)
{
	size_t i = *cursor;
	while (i < map_count && !memory_kind_is_ram(map_ranges[i].kind))
		i++;
	if (i == map_count)
		return false;
	*start = ALIGN_DOWN(map_ranges[i].start, PAGE_SIZE);
	*end = ALIGN_UP(map_ranges[i].end, PAGE_SIZE);
	for (i++; i < map_count && memory_kind_is_ram(map_ranges[i].kind) &&
		  ALIGN_DOWN(map_ranges[i].start, PAGE_SIZE) <= *end;
	     i++)
		*end = ALIGN_UP(map_ranges[i].end, PAGE_SIZE);
	*cursor = i;
	return true;
}

bool memory_map_firmware(size_t *cursor, paddr_t *start, paddr_t *end)
{
	for (size_t i = *cursor; i < map_count; i++) {
		const struct memory_range *r = &map_ranges[i];
		if (r->kind != BOOT_MEM_RESERVED || r->end - r->start > (2u << 20))
			continue;
		bool below = i > 0 && memory_kind_is_ram(map_ranges[i - 1].kind) &&
			     ALIGN_UP(map_ranges[i - 1].end, PAGE_SIZE) >= r->start;
		bool above = i + 1 < map_count && memory_kind_is_ram(map_ranges[i + 1].kind) &&
			     map_ranges[i + 1].start <= ALIGN_UP(r->end, PAGE_SIZE);
		if (!below && !above)
			continue;
		*start = ALIGN_DOWN(r->start, PAGE_SIZE);
		*end = ALIGN_UP(r->end, PAGE_SIZE);
		/* Pages that are also RAM are mapped as such. */
		if (below && ALIGN_UP(map_ranges[i - 1].end, PAGE_SIZE) > *start)
			*start = ALIGN_UP(map_ranges[i - 1].end, PAGE_SIZE);
		if (above && ALIGN_DOWN(map_ranges[i + 1].start, PAGE_SIZE) < *end)
			*end = ALIGN_DOWN(map_ranges[i + 1].start, PAGE_SIZE);
		if (*start >= *end)
			continue;
		*cursor = i + 1;
		return true;
	}
	return false;
}

void memory_map_set_usable(size_t index)
{
	WRITE_ONCE(map_ranges[index].kind, BOOT_MEM_USABLE);
	WRITE_ONCE(map_ranges[index].name, "System RAM");
}
