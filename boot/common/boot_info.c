/*
 * Builds the one struct boot_info from a boot_source, in two walks over it.
 *
 * The first walk counts, and so knows the size of one block: struct boot_info, the arrays,
 * then copies of the command line and of the modules' names. The block is put at the lowest place
 * of usable RAM that the early tables map and that touches nothing in use: the image, the device
 * tree, the modules, the strings to copy, and each region that the source does not call usable.
 * The second walk fills it in. A source's answers must not change between the walks (they are read
 * from memory that this excludes); should one grow all the same, what exceeds the room is left out.
 *
 * Costs: (obstacles) squared in the worst case, with some tens of them. Rejected: arrays of fixed
 * size in .bss, which real firmware maps overflow.
 */
#include "boot.h"

#include <hal/upcall.h>
#include <lib/compiler.h>
#include <lib/string.h>

struct builder {
	const struct boot_source *source;
	const struct boot_early *early;
	uint64_t boot_cpu;
	size_t regions, modules, cpus, node_ranges, distances; /* counted */
	bool boot_cpu_listed;
	size_t strings, size; /* bytes: of the copied strings, of the whole block */
	char *string_next, *string_end;
};

#define EXTRA_REGIONS 3 /* image, block, device tree; and one for each module */

static size_t block_layout(const struct builder *b)
{
	return sizeof(struct boot_info) +
	       (b->regions + b->modules + EXTRA_REGIONS) * sizeof(struct boot_region) +
	       b->modules * sizeof(struct boot_module) + b->cpus * sizeof(struct boot_cpu) +
	       b->node_ranges * sizeof(struct boot_node_range) +
	       b->distances * sizeof(struct boot_distance) + b->strings;
}

static void source_count(struct builder *b)
{
	const struct boot_source *s = b->source;
	struct boot_region region;
	struct boot_module module;
	struct boot_cpu cpu;
	struct boot_node_range range;
	struct boot_distance distance;
	while (s->region(s, b->regions, &region))
		b->regions++;
	while (s->node_range(s, b->node_ranges, &range))
		b->node_ranges++;
	while (s->distance(s, b->distances, &distance))
		b->distances++;
	for (; s->module(s, b->modules, &module); b->modules++)
		b->strings += strlen(module.name) + 1;
	for (; s->cpu(s, b->cpus, &cpu); b->cpus++)
		b->boot_cpu_listed |= cpu.hardware_id == b->boot_cpu;
	b->cpus += !b->boot_cpu_listed;
	b->strings += strlen(s->command_line) + 1;
	b->size = ALIGN_UP(block_layout(b), PAGE_SIZE);
}

/* ---- Finding room ------------------------------------------------------------------------ */

/* If [start, end) touches [*at, *at + size), moves *at behind it. */
static bool step_over(paddr_t start, paddr_t end, size_t size, paddr_t *at)
{
	if (start >= end || end <= *at || start >= *at + size)
		return false;
	*at = ALIGN_UP(end, PAGE_SIZE);
	return true;
}

/* The same for something that is known by its place in the direct map. */
static bool step_over_mapped(const struct builder *b, const void *p, size_t length, size_t size,
			     paddr_t *at)
{
	if (!p || (vaddr_t)p < b->early->direct_map)
		return false;
	paddr_t start = (vaddr_t)p - b->early->direct_map;
	return step_over(start, start + length, size, at);
}

/* Moves *at behind something that is in the way; false: nothing is. */
static bool step_over_any(const struct builder *b, size_t size, paddr_t *at)
{
	const struct boot_source *s = b->source;
	struct boot_region region;
	struct boot_module module;
	if (step_over(b->early->image_start, b->early->image_end, size, at) ||
	    step_over_mapped(b, s->fdt, s->fdt_size, size, at) ||
	    step_over_mapped(b, s->seed, s->seed_size, size, at) ||
	    step_over_mapped(b, s->command_line, strlen(s->command_line) + 1, size, at))
		return true;
	for (size_t i = 0; s->module(s, i, &module); i++)
		if (step_over(module.start, module.end, size, at) ||
		    step_over_mapped(b, module.name, strlen(module.name) + 1, size, at))
			return true;
	for (size_t i = 0; s->region(s, i, &region); i++)
		if (region.kind != BOOT_MEM_USABLE && step_over(region.start, region.end, size, at))
			return true;
	return false;
}

/* The lowest free place for `size` bytes in usable memory that is mapped; page 0 is left alone. */
static bool room_find(const struct builder *b, paddr_t *out)
{
	const struct boot_source *s = b->source;
	struct boot_region region;
	paddr_t best = UINT64_MAX;
	for (size_t i = 0; s->region(s, i, &region); i++) {
		if (region.kind != BOOT_MEM_USABLE)
			continue;
		paddr_t end = MIN(region.end, b->early->early_end);
		paddr_t at = MAX(MAX(region.start, b->early->early_start), PAGE_SIZE);
		at = ALIGN_UP(at, PAGE_SIZE);
		while (at < end && end - at >= b->size && step_over_any(b, b->size, &at))
			;
		if (at < end && end - at >= b->size)
			best = MIN(best, at);
	}
	*out = best;
	return best != UINT64_MAX;
}

/* ---- Filling in -------------------------------------------------------------------------- */

static const char *string_copy(struct builder *b, const char *s)
{
	char *copy = b->string_next;
	size_t room = (size_t)(b->string_end - copy), length = strlen(s) + 1;
	if (length > room)
		return "";
	memcpy(copy, s, length);
	b->string_next += length;
	return copy;
}

static void region_add(struct boot_info *info, paddr_t start, paddr_t end,
		       enum boot_memory_kind kind, const char *name)
{
	if (start < end)
		info->regions[info->region_count++] = (struct boot_region){start, end, kind, name};
}

static void regions_fill(const struct builder *b, struct boot_info *info, paddr_t block)
{
	const struct boot_source *s = b->source;
	struct boot_region region;
	for (size_t i = 0; i < b->regions && s->region(s, i, &region); i++)
		region_add(info, region.start, region.end, region.kind, region.name);
	region_add(info, info->image_start, info->image_end, BOOT_MEM_KERNEL, "Kernel image");
	region_add(info, block, block + b->size, BOOT_MEM_BOOTLOADER, "Boot information");
	if (s->fdt) {
		paddr_t fdt = (vaddr_t)s->fdt - b->early->direct_map;
		region_add(info, fdt, fdt + s->fdt_size, BOOT_MEM_BOOTLOADER, "Device tree");
	}
	for (size_t i = 0; i < info->module_count; i++)
		region_add(info, info->modules[i].start, info->modules[i].end, BOOT_MEM_BOOTLOADER,
			   info->modules[i].name);
}

static void modules_fill(struct builder *b, struct boot_info *info)
{
	const struct boot_source *s = b->source;
	struct boot_module module;
	for (size_t i = 0; i < b->modules && s->module(s, i, &module); i++) {
		module.name = string_copy(b, module.name);
		info->modules[info->module_count++] = module;
	}
}

/* The CPU that runs comes first, the others keep their order. */
static void cpus_fill(const struct builder *b, struct boot_info *info)
{
	const struct boot_source *s = b->source;
	struct boot_cpu cpu;
	info->cpus[info->cpu_count++] = (struct boot_cpu){.hardware_id = b->boot_cpu};
	for (size_t i = 0; s->cpu(s, i, &cpu); i++) {
		if (cpu.hardware_id == b->boot_cpu)
			info->cpus[0] = cpu;
		else if (info->cpu_count < b->cpus)
			info->cpus[info->cpu_count++] = cpu;
	}
}

static void nodes_fill(const struct builder *b, struct boot_info *info)
{
	const struct boot_source *s = b->source;
	size_t *n = &info->node_range_count, *d = &info->distance_count;
	while (*n < b->node_ranges && s->node_range(s, *n, &info->node_ranges[*n]))
		++*n;
	while (*d < b->distances && s->distance(s, *d, &info->distances[*d]))
		++*d;
}

static struct boot_info *block_carve(struct builder *b, char *block)
{
	struct boot_info *info = (struct boot_info *)block;
	memset(block, 0, b->size);
	info->regions = (struct boot_region *)(info + 1);
	info->modules =
		(struct boot_module *)(info->regions + b->regions + b->modules + EXTRA_REGIONS);
	info->cpus = (struct boot_cpu *)(info->modules + b->modules);
	info->node_ranges = (struct boot_node_range *)(info->cpus + b->cpus);
	info->distances = (struct boot_distance *)(info->node_ranges + b->node_ranges);
	b->string_next = (char *)(info->distances + b->distances);
	b->string_end = block + b->size;
	return info;
}

uint64_t boot_entered __attribute__((section(".data"))); /* not in bss, which is cleared later */

struct boot_info *boot_info_build(const struct boot_source *source, const struct boot_early *early,
				  uint64_t boot_cpu)
{
	struct builder b = {.source = source, .early = early, .boot_cpu = boot_cpu};
	paddr_t block;
	source_count(&b);
	if (!room_find(&b, &block))
		core_panic("boot: no room for %zu bytes of boot information in %#llx to %#llx",
			   b.size, (unsigned long long)early->early_start,
			   (unsigned long long)early->early_end);
	struct boot_info *info = block_carve(&b, (char *)(early->direct_map + block));
	info->protocol = source->protocol;
	info->command_line = string_copy(&b, source->command_line);
	info->rsdp = source->rsdp;
	info->fdt = source->fdt;
	info->image_start = early->image_start;
	info->image_end = early->image_end;
	info->image_base = early->image_base;
	info->direct_map = early->direct_map;
	info->early_start = early->early_start;
	info->early_end = early->early_end;
	info->console_mmio = early->console_mmio;
	info->console_mmio_size = early->console_mmio_size;
	info->framebuffer = source->framebuffer;
	info->seed = source->seed;
	info->seed_size = source->seed_size;
	info->machine = "";
	info->entered = boot_entered;
	modules_fill(&b, info);
	cpus_fill(&b, info);
	nodes_fill(&b, info);
	regions_fill(&b, info, block);
	return info;
}
