/*
 * boot_info_build() over made-up memory maps: whatever they look like, its block lies in usable mapped
 * memory and touches nothing that is in use, and everything the source told is in it.
 */
#include "boot.h"
#include "harness.h"

#include <hal/upcall.h>
#include <setjmp.h>
#include <stdlib.h>

#define MEMORY ((size_t)4 << 20)
#define IMAGE_START 0x100000u
#define IMAGE_END 0x180000u

static char *memory;
static jmp_buf no_room;
static struct made_up {
	struct boot_region regions[24];
	struct boot_module modules[4];
	struct boot_cpu cpus[70];
	size_t region_count, module_count, cpu_count, node_count;
} m;

void core_panic(const char *fmt, ...)
{
	longjmp(no_room, 1);
}

static bool region_at(const struct boot_source *s, size_t i, struct boot_region *out)
{
	if (i < m.region_count)
		*out = m.regions[i];
	return i < m.region_count;
}

static bool module_at(const struct boot_source *s, size_t i, struct boot_module *out)
{
	if (i < m.module_count)
		*out = m.modules[i];
	return i < m.module_count;
}

static bool node_range_at(const struct boot_source *s, size_t i, struct boot_node_range *out)
{
	*out = (struct boot_node_range){i << 20, (i + 1) << 20, (uint32_t)i};
	return i < m.node_count;
}

static bool distance_at(const struct boot_source *s, size_t i, struct boot_distance *out)
{
	*out = (struct boot_distance){(uint32_t)i, 0, (uint8_t)(i + 20)};
	return i < m.node_count;
}

static bool cpu_at(const struct boot_source *s, size_t i, struct boot_cpu *out)
{
	if (i < m.cpu_count)
		*out = m.cpus[i];
	return i < m.cpu_count;
}

/* The first region is usable and often large; many others overlap it. */
static void make_up(struct test_random *random)
{
	m.region_count = 1 + test_random_below(random, 20);
	m.module_count = test_random_below(random, 4);
	m.cpu_count = test_random_below(random, 70);
	m.node_count = test_random_below(random, 5);
	for (size_t i = 0; i < m.region_count; i++) {
		paddr_t start = test_random_below(random, MEMORY),
			end = start + test_random_below(random, i ? 20000 : MEMORY);
		bool usable = i == 0 || test_random_below(random, 3) == 0;
		m.regions[i] = (struct boot_region){
			start, MIN(end, MEMORY), usable ? BOOT_MEM_USABLE : BOOT_MEM_RESERVED, "r"};
	}
	for (size_t i = 0; i < m.module_count; i++) {
		paddr_t start = test_random_below(random, MEMORY);
		m.modules[i] = (struct boot_module){
			start, start + test_random_below(random, 300000), "module"};
	}
	for (size_t i = 0; i < m.cpu_count; i++)
		m.cpus[i] = (struct boot_cpu){2 * i, (uint32_t)i, (uint32_t)i % 3};
}

static bool overlap(paddr_t a, paddr_t a_end, paddr_t b, paddr_t b_end)
{
	return a < a_end && b < b_end && a < b_end && b < a_end;
}

static void check_place(const struct boot_info *info, const struct boot_early *early,
			const struct boot_source *s)
{
	paddr_t start = 0, end = 0, fdt = (paddr_t)((const char *)s->fdt - memory);
	bool inside = false;
	for (size_t i = 0; i < info->region_count; i++)
		if (strcmp(info->regions[i].name, "Boot information") == 0) {
			start = info->regions[i].start;
			end = info->regions[i].end;
		}
	EXPECT((const char *)info == memory + start && start > 0 && start < end);
	EXPECT(start >= early->early_start && end <= early->early_end);
	EXPECT(!overlap(start, end, IMAGE_START, IMAGE_END));
	EXPECT(!overlap(start, end, fdt, fdt + s->fdt_size));
	for (size_t i = 0; i < m.module_count; i++)
		EXPECT(!overlap(start, end, m.modules[i].start, m.modules[i].end));
	for (size_t i = 0; i < m.region_count; i++) {
		const struct boot_region *r = &m.regions[i];
		if (r->kind != BOOT_MEM_USABLE)
			EXPECT(!overlap(start, end, r->start, r->end));
		else
			inside |= r->start <= start && end <= r->end;
	}
	EXPECT(inside);
}

PROPERTY(boot_info_takes_free_memory, 300)
{
	memory = aligned_alloc(PAGE_SIZE, MEMORY);
	make_up(random);
	char text[200] = "";
	memset(text, 'c', test_random_below(random, sizeof(text) - 1));
	char *command_line = memory + test_random_below(random, MEMORY - 300);
	memcpy(command_line, text, sizeof(text));
	uint64_t boot_cpu = test_random_below(random, 3) && m.cpu_count
				    ? 2 * test_random_below(random, m.cpu_count)
				    : 12345;
	struct boot_source s = {
		.protocol = "test",
		.command_line = command_line,
		.region = region_at,
		.module = module_at,
		.cpu = cpu_at,
		.node_range = node_range_at,
		.distance = distance_at,
		.fdt = memory + (test_random_below(random, MEMORY - 70000) & ~7ull),
		.fdt_size = test_random_below(random, 65536),
	};
	struct boot_early early = {
		.image_start = IMAGE_START,
		.image_end = IMAGE_END,
		.direct_map = (vaddr_t)memory,
		.early_start = test_random_below(random, 2) * 0x40000,
		.early_end = MEMORY - test_random_below(random, 3) * PAGE_SIZE,
	};
	if (setjmp(no_room) == 0) {
		struct boot_info *info = boot_info_build(&s, &early, boot_cpu);
		size_t found = 0;
		for (size_t i = 0; i < info->cpu_count; i++)
			found += info->cpus[i].hardware_id == boot_cpu;
		EXPECT(found == 1 && info->cpus[0].hardware_id == boot_cpu);
		EXPECT_EQ(info->module_count, m.module_count);
		EXPECT_EQ(info->node_range_count, m.node_count);
		EXPECT_EQ(info->distance_count, m.node_count);
		for (size_t i = 0; i < m.node_count; i++) {
			EXPECT_EQ(info->node_ranges[i].domain, i);
			EXPECT_EQ(info->distances[i].distance, i + 20);
		}
		EXPECT(strcmp(info->command_line, text) == 0);
		check_place(info, &early, &s);
	}
	free(memory);
}
