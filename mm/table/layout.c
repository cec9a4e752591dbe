/*
 * The kernel's half of the address space, made from hal.mmu.geometry and boot_info:
 *
 *	direct_map  +------------------+  boot chose the base
 *	            | direct map       |  all RAM, largest leaves, never executable; the image's
 *	            |                  |  text and constants are read-only here too
 *	            +------------------+  1 GiB aligned
 *	            | frame table      |  32 bytes a frame; mapped where there is RAM
 *	            | kmap area        |  256 GiB (16 GiB where the half has only 256 GiB: Sv39)
 *	            | stacks           |   64 GiB ( 4 GiB)
 *	            | devices          |  128 GiB ( 8 GiB)
 *	            +------------------+
 *	            :                  :
 *	image_base  | image            |  top 2 GiB, sections with their own rights
 *	            | modules          |  the top GiB without the last 16 MiB
 *	            +------------------+
 *
 * In front of each of the four areas behind the direct map is a random gap (VM-14) of whole GiBs: with
 * 48 bits of address up to some 30 TiB (15 bits of randomness each), with Sv39 up to some 50 GiB (5
 * bits). boot/ puts the direct map itself at a random base; the image stays where it is linked.
 * nokaslr on the command line: no gaps.
 *
 * The root's entries for all areas get their next-level table here, once: where processes have a
 * copy of the upper half of the root (no split_root) it never has to be updated afterwards.
 *
 * W^X holds from the moment this table is loaded: mapper_map_range() refuses anything else and
 * layout_audit() looks at every leaf at the end of the boot.
 */
#include "layout.h"

#include "bump.h"
#include "memory_map.h"

#include <core/cmdline.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/random.h>
#include <hal/image.h>
#include <mm/memory.h>

#define GIB ((uint64_t)1 << 30)
#define LARGE_LEAF mapper_span(1)
#define SMALL_HALF (256 * GIB)
#define IMAGE_ROOM (2 * GIB)                    /* at the end of the half: image and modules */
#define RANDOM_AREAS 4
#define TOP_UNUSED ((uint64_t)16 << 20)         /* so that no pointer + size wraps */

struct kernel_area kernel_areas[AREA_COUNT] RO_AFTER_INIT;
struct mapper kernel_mapper;
static bool frames_ready RO_AFTER_INIT;
static paddr_t physical_limit RO_AFTER_INIT;
static uint64_t gap_max RO_AFTER_INIT; /* bytes, before each area with a random base */

bool layout_frames_ready(void)
{
	return frames_ready;
}

void layout_set_frames_ready(void)
{
	frames_ready = true;
}

paddr_t layout_physical_limit(void)
{
	return physical_limit;
}

static INIT_TEXT vaddr_t area_set(enum kernel_area_id id, const char *name, vaddr_t start,
				  uint64_t size)
{
	kernel_areas[id] = (struct kernel_area){start, start + size, name};
	return start + size;
}

/* Whole GiBs, as many as each area's share of what the half has room for. */
static INIT_TEXT uint64_t gap(void)
{
	return gap_max / GIB ? random_u64() % (gap_max / GIB + 1) * GIB : 0;
}

INIT_TEXT void layout_init(const struct boot_info *info)
{
	const struct hal_mmu_geometry *g = hal.mmu.geometry();
	bool small = (uint64_t)1 << (11 + 9 * g->levels) <= SMALL_HALF;
	vaddr_t top = ALIGN_DOWN(info->image_base, IMAGE_ROOM);
	uint64_t kmap = small ? 16 * GIB : 256 * GIB;
	uint64_t stacks = small ? 4 * GIB : 64 * GIB;
	uint64_t device = small ? 8 * GIB : 128 * GIB;

	/* What the direct map and its frame records may take of the half. */
	uint64_t room = top - info->direct_map - (kmap + stacks + device + 4 * GIB);
	physical_limit = ALIGN_DOWN(room / 129 * 128, GIB);
	if (g->physical_bits < 64)
		physical_limit = MIN(physical_limit, (paddr_t)1 << g->physical_bits);

	paddr_t end = MIN(memory_map_end(), physical_limit);
	if (info->console_mmio_size)
		end = MAX(end, info->console_mmio + info->console_mmio_size);
	end = ALIGN_UP(end, GIB);
	uint64_t records = ALIGN_UP((end >> PAGE_SHIFT) * sizeof(struct frame), GIB);
	vaddr_t at = area_set(AREA_DIRECT, "direct map", info->direct_map, end);
	gap_max = cmdline_has("nokaslr")
			  ? 0
			  : (top - at - (records + kmap + stacks + device)) / RANDOM_AREAS;
	at = area_set(AREA_FRAMES, "frame table", at + gap(), records);
	at = area_set(AREA_KMAP, "kmap", at + gap(), kmap);
	at = area_set(AREA_STACKS, "stacks", at + gap(), stacks);
	area_set(AREA_DEVICE, "devices", at + gap(), device);
	area_set(AREA_IMAGE, "image", info->image_base, info->image_end - info->image_start);
	vaddr_t modules = MAX(top + GIB, ALIGN_UP(kernel_areas[AREA_IMAGE].end, LARGE_LEAF));
	area_set(AREA_MODULES, "modules", modules, top + IMAGE_ROOM - TOP_UNUSED - modules);

	direct_map = info->direct_map;
	frame_table = (struct frame *)kernel_areas[AREA_FRAMES].start;
}

static INIT_TEXT void map(vaddr_t va, paddr_t pa, uint64_t size, map_flags_t flags,
			  const char *what)
{
	if (!size)
		return;
	enum kerr err = mapper_map_range(&kernel_mapper, va, pa, size, flags);
	if (err != KERR_OK)
		panic("memory: cannot map %s: %s", what, kerr_name(err));
}

static INIT_TEXT void map_direct(paddr_t start, paddr_t end, map_flags_t flags)
{
	end = MIN(end, physical_limit);
	if (start < end)
		map(direct_map + start, start, end - start, flags, "RAM");
}

static paddr_t image_address(const struct boot_info *info, const char *symbol)
{
	return info->image_start + (paddr_t)(symbol - __image_start);
}

/* A stretch of the image in the direct map. Each is mapped on its own, so that no leaf straddles
 * the bounds at which rights change at the end of the boot: nothing is ever split there. */
struct image_part {
	paddr_t start, end;
	map_flags_t flags;
};
#define IMAGE_PARTS 4

static INIT_TEXT void image_parts(const struct boot_info *info,
				  struct image_part parts[IMAGE_PARTS])
{
	parts[0] = (struct image_part){image_address(info, __text_start),
				       image_address(info, __text_end), MAP_KERNEL_READ};
	parts[1] = (struct image_part){image_address(info, __init_text_start),
				       image_address(info, __init_text_end), MAP_KERNEL_READ};
	parts[2] = (struct image_part){image_address(info, __rodata_start),
				       image_address(info, __rodata_end), MAP_KERNEL_READ};
	parts[3] = (struct image_part){image_address(info, __ro_after_init_start),
				       image_address(info, __ro_after_init_end), MAP_KERNEL_WRITE};
}

static INIT_TEXT void map_ram(paddr_t start, paddr_t end, const struct image_part *parts,
			      size_t count)
{
	for (size_t i = 0; i < count && start < end; i++) {
		if (parts[i].start >= end || parts[i].end <= start ||
		    parts[i].start == parts[i].end)
			continue;
		if (parts[i].start > start)
			map_direct(start, parts[i].start, MAP_KERNEL_WRITE);
		map_direct(MAX(start, parts[i].start), MIN(end, parts[i].end), parts[i].flags);
		start = MIN(end, parts[i].end);
	}
	map_direct(start, end, MAP_KERNEL_WRITE);
}

static INIT_TEXT void map_image(const struct boot_info *info)
{
	const struct {
		const char *start, *end;
		map_flags_t flags;
	} sections[] = {
		{__text_start, __text_end, MAP_KERNEL_CODE},
		{__init_text_start, __init_text_end, MAP_KERNEL_CODE},
		{__rodata_start, __rodata_end, MAP_KERNEL_READ},
		{__data_start, __data_end, MAP_KERNEL_WRITE},
	};
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		paddr_t start = image_address(info, sections[i].start);
		paddr_t end = image_address(info, sections[i].end);
		map(info->image_base + (start - info->image_start), start, end - start,
		    sections[i].flags, "the image");
	}
}

/* A next-level table under each root entry of the area, so that the root never changes again. */
static INIT_TEXT void fill_root(const struct kernel_area *area)
{
	unsigned level = hal.mmu.geometry()->levels - 1u;
	uint64_t span = mapper_span(level);
	for (vaddr_t va = ALIGN_DOWN(area->start, span);; va += span) {
		pte_t *e = &mapper_table_at(kernel_mapper.root)[mapper_index(va, level)];
		if (!e->raw) {
			paddr_t table = mapper_table_new(false);
			if (!table)
				panic("memory: no room for the kernel's tables");
			*e = hal.mmu.table(table);
			atomic_fetch_add(&kernel_mapper.tables, 1);
		}
		if (va + (span - 1) >= area->end - 1)
			return;
	}
}

INIT_TEXT void layout_build_table(const struct boot_info *info)
{
	kernel_mapper.root = mapper_table_new(false);
	if (!kernel_mapper.root)
		panic("memory: no room for the kernel's first table");
	atomic_store(&kernel_mapper.tables, 1);

	struct image_part parts[IMAGE_PARTS];
	size_t part_count = 0;
	if (info->image_end > info->image_start) {
		map_image(info);
		image_parts(info, parts);
		part_count = IMAGE_PARTS;
	}
	size_t cursor = 0;
	paddr_t start, end;
	while (memory_map_ram(&cursor, &start, &end))
		map_ram(start, end, parts, part_count);
	cursor = 0;
	while (memory_map_firmware(&cursor, &start, &end))
		map_direct(start, end, MAP_KERNEL_READ);
	if (info->console_mmio_size) {
		start = ALIGN_DOWN(info->console_mmio, PAGE_SIZE);
		end = ALIGN_UP(info->console_mmio + info->console_mmio_size, PAGE_SIZE);
		map(direct_map + start, start, end - start, MAP_KERNEL_WRITE | MAP_NO_CACHE,
		    "the console");
	}
	for (unsigned i = AREA_FRAMES; i < AREA_IMAGE; i++)
		fill_root(&kernel_areas[i]);

	bool on = hal.cpu.irq_save();
	hal.mmu.activate(kernel_mapper.root, HAL_ASID_NONE);
	hal.mmu.flush(HAL_ASID_NONE, 0, HAL_FLUSH_ALL, true);
	hal.cpu.irq_restore(on);
}

/* Backs [start, end) of the frame table with zeroed memory where it has none yet. */
static INIT_TEXT void back_records(vaddr_t start, vaddr_t end)
{
	while (start < end) {
		paddr_t pa;
		map_flags_t flags;
		if (mapper_translate(&kernel_mapper, start, &pa, &flags, nullptr) == KERR_OK) {
			start += PAGE_SIZE;
			continue;
		}
		size_t size = PAGE_SIZE;
		paddr_t got = 0;
		if (IS_ALIGNED(start, LARGE_LEAF) && end - start >= LARGE_LEAF) {
			got = bump_take(LARGE_LEAF, LARGE_LEAF);
			size = got ? LARGE_LEAF : PAGE_SIZE;
		}
		if (!got)
			got = bump_take(PAGE_SIZE, PAGE_SIZE);
		if (!got)
			panic("memory: no room for the frame records");
		for (size_t i = 0; i < size; i += PAGE_SIZE)
			hal.mmu.page_zero(mapper_table_at(got + i));
		map(start, got, size, MAP_KERNEL_WRITE, "frame records");
		start += size;
	}
}

INIT_TEXT void layout_build_frame_table(void)
{
	/* Whole buddy blocks of the largest order, so that every buddy has a record. */
	const paddr_t block = (paddr_t)PAGE_SIZE << (FRAME_ORDERS - 1);
	size_t cursor = 0;
	paddr_t start, end;
	while (memory_map_ram(&cursor, &start, &end)) {
		end = MIN(end, physical_limit);
		if (start >= end)
			continue;
		pfn_t first = ALIGN_DOWN(start, block) >> PAGE_SHIFT;
		pfn_t after = ALIGN_UP(end, block) >> PAGE_SHIFT;
		back_records(ALIGN_DOWN((vaddr_t)(frame_table + first), PAGE_SIZE),
			     ALIGN_UP((vaddr_t)(frame_table + after), PAGE_SIZE));
	}
	hal.mmu.publish();
}

/* ---- After the boot ------------------------------------------------------------------------- */

static void seal_range(vaddr_t start, vaddr_t end, map_flags_t flags)
{
	struct tlb_batch batch;
	tlb_batch_init(&batch, nullptr);
	if (start >= end)
		return;
	enum kerr err =
		flags ? mapper_protect_range(&kernel_mapper, start, end - start, flags, true, false,
					     &batch)
		      : mapper_unmap_range(&kernel_mapper, start, end - start, false, 0, 0, &batch);
	if (err != KERR_OK)
		log_warn("memory: cannot seal %#lx: %s", (unsigned long)start, kerr_name(err));
	tlb_batch_finish(&batch);
}

void layout_seal(const struct boot_info *info)
{
	if (info->image_end == info->image_start)
		return;
	seal_range((vaddr_t)__init_text_start, (vaddr_t)__init_text_end, 0);
	seal_range((vaddr_t)__ro_after_init_start, (vaddr_t)__ro_after_init_end, MAP_KERNEL_READ);
	/* The same frames through the direct map; the init text's become ordinary memory. */
	vaddr_t ro = direct_map + image_address(info, __ro_after_init_start);
	seal_range(ro, ro + (vaddr_t)(__ro_after_init_end - __ro_after_init_start),
		   MAP_KERNEL_READ);
	vaddr_t init = direct_map + image_address(info, __init_text_start);
	seal_range(init, init + (vaddr_t)(__init_text_end - __init_text_start), MAP_KERNEL_WRITE);
}

struct audit {
	size_t bad;
	size_t leaves[5]; /* by level */
	uint64_t executable, writable; /* bytes */
};

static void audit_leaf(vaddr_t va, unsigned level, struct pte_parts leaf, void *arg)
{
	struct audit *a = arg;
	a->leaves[level]++;
	if (leaf.flags & MAP_WRITABLE)
		a->writable += mapper_span(level);
	if (!(leaf.flags & MAP_NO_EXECUTE))
		a->executable += mapper_span(level);
	if ((leaf.flags & (MAP_PRESENT | MAP_WRITABLE | MAP_NO_EXECUTE)) !=
	    (MAP_PRESENT | MAP_WRITABLE))
		return;
	if (a->bad++ < 8)
		log_error("memory: %#lx is writable and executable", (unsigned long)va);
}

static void audit_user_leaf(vaddr_t va, unsigned level, struct pte_parts leaf, void *arg)
{
	struct audit *a = arg;
	if (a->bad++ < 8)
		log_error("memory: user address %#lx is mapped in the kernel's table",
			  (unsigned long)va);
}

size_t memory_audit(void)
{
	const struct hal_mmu_geometry *g = hal.mmu.geometry();
	struct audit a = {};
	vaddr_t last = ALIGN_DOWN(kernel_areas[AREA_IMAGE].start, IMAGE_ROOM) + (IMAGE_ROOM - 1);
	mapper_visit(&kernel_mapper, g->kernel_start, last, audit_leaf, &a);
	if (!g->split_root)
		mapper_visit(&kernel_mapper, 0, g->user_end - 1, audit_user_leaf, &a);
	log_info("memory: audit of %zu + %zu + %zu mappings (1 GiB, 2 MiB, 4 KiB): %llu KiB "
		 "executable, %llu KiB writable, %zu both",
		 a.leaves[2], a.leaves[1], a.leaves[0], (unsigned long long)(a.executable >> 10),
		 (unsigned long long)(a.writable >> 10), a.bad);
	return a.bad;
}

bool kernel_area_get(size_t index, const char **name, vaddr_t *start, vaddr_t *end)
{
	if (index >= AREA_COUNT)
		return false;
	*name = kernel_areas[index].name;
	*start = kernel_areas[index].start;
	*end = kernel_areas[index].end;
	return true;
}
