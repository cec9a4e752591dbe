/* Self-tests of memory from the outside: frames, heap and kernel areas on all CPUs at once. */
#include <ktest/cpus.h>
#include <ktest/ktest.h>
#include <layout.h>
#include <lib/string.h>
#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/heap_debug.h>
#include <mm/kmap.h>
#include <mm/memory.h>

static void use_heap(cpu_t cpu, void *arg)
{
	struct test_random random = {cpu};
	struct {
		uint8_t *p;
		size_t size;
	} blocks[48] = {};

	for (int step = 0; step < 2000; step++) {
		size_t i = test_random_below(&random, ARRAY_SIZE(blocks));
		if (blocks[i].p) {
			EXPECT_EQ(blocks[i].p[0], (uint8_t)(cpu + i));
			EXPECT_EQ(blocks[i].p[blocks[i].size - 1], (uint8_t)(cpu + i));
			heap_free(blocks[i].p);
			blocks[i].p = nullptr;
			continue;
		}
		blocks[i].size = 1 + test_random_below(&random, 3000);
		blocks[i].p = heap_alloc(blocks[i].size);
		if (EXPECT(blocks[i].p))
			memset(blocks[i].p, (int)(cpu + i), blocks[i].size);
	}
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		heap_free(blocks[i].p);
}

KERNEL_TEST(heap_on_all_cpus)
{
	ktest_on_all_cpus(use_heap, nullptr);
}

/* Objects of one CPU's cache go back on another: what each provider must allow. */
static void use_cache(cpu_t cpu, void *arg)
{
	uint64_t *mine[64];

	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(mine); i++) {
			mine[i] = cache_alloc(arg);
			if (!EXPECT(mine[i]))
				return;
			mine[i][0] = cpu;
			mine[i][7] = i;
		}
		for (size_t i = 0; i < ARRAY_SIZE(mine); i++) {
			EXPECT(mine[i][0] == cpu && mine[i][7] == i);
			cache_free(arg, mine[i]);
		}
	}
}

KERNEL_TEST(caches_on_all_cpus)
{
	struct cache *c = cache_create("ktest", 64, 64);
	ktest_on_all_cpus(use_cache, c);
	struct heap_stats s = heap_stats();
	EXPECT(s.used <= s.total && s.used + s.free == s.total);
	EXPECT(s.deallocations <= s.allocations);
}

/* Grown and shrunk through all kinds of block, the contents go along. */
KERNEL_TEST(heap_realloc_keeps_contents)
{
	static const size_t sizes[] = {1, 9, 100, 24, 3000, 20000, 150000, 17000, 500, 40000, 8};
	uint8_t *p = nullptr;
	size_t kept = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint8_t *q = heap_realloc(p, sizes[i]);
		if (!EXPECT(q))
			break;
		p = q;
		for (size_t k = 0; k < MIN(kept, sizes[i]); k++)
			if (!EXPECT_EQ(p[k], (uint8_t)(k * 7)))
				break;
		for (size_t k = 0; k < sizes[i]; k++)
			p[k] = (uint8_t)(k * 7);
		kept = sizes[i];
	}
	heap_free(p);
}

/* With heap_debug: an overflow and a double free are reported, and the kernel goes on. */
KERNEL_TEST(heap_debug_reports)
{
	struct heap_debug_figures before, after;

	if (!heap_debug_on()) {
		ktest_skip("heap_debug is not on the command line");
		return;
	}
	heap_debug_figures(&before);
	char *p = heap_alloc(24);
	p[24] ^= 1;
	EXPECT_EQ(heap_debug_sweep(), 1);
	heap_free(p);
	heap_free(p);
	heap_debug_figures(&after);
	EXPECT_EQ(after.reports, before.reports + 2);
	EXPECT_EQ(heap_debug_sweep(), 0);
}

/* ---- The kernel's own table ----------------------------------------------------------------- */

static pte_t *entry_of(vaddr_t va)
{
	struct page_walk walk;
	mapper_walk(&kernel_mapper, va, &walk);
	const struct page_walk_step *last = &walk.steps[walk.count - 1];
	EXPECT_EQ(last->level, 0);
	return &mapper_table_at(last->table)[last->index];
}

/* The audit sees a page that is writable and executable, which no call of mm would have made. */
KERNEL_TEST(audit_finds_writable_code)
{
	EXPECT_EQ(memory_audit(), 0);
	char *page = kmap_alloc(PAGE_SIZE);
	if (!EXPECT(page))
		return;
	pte_t *entry = entry_of((vaddr_t)page), good = *entry;
	paddr_t frame = hal.mmu.decode(good, 0).address;
	*entry = hal.mmu.leaf(frame, MAP_KERNEL_WRITE & ~MAP_NO_EXECUTE, 0);
	EXPECT_EQ(memory_audit(), 1);
	*entry = good;
	hal.mmu.flush(HAL_ASID_NONE, (vaddr_t)page, 1, false);
	EXPECT_EQ(memory_audit(), 0);
	EXPECT_EQ(mapper_map_range(&kernel_mapper, (vaddr_t)page, frame, PAGE_SIZE,
				   MAP_KERNEL_WRITE & ~MAP_NO_EXECUTE),
		  KERR_INVAL);
	kmap_free(page);
}

/* Areas lie in the kernel's half and apart from each other. */
KERNEL_TEST(kernel_areas_are_apart)
{
	const char *name;
	vaddr_t start[AREA_COUNT], end[AREA_COUNT];

	for (size_t i = 0; i < AREA_COUNT; i++) {
		EXPECT(kernel_area_get(i, &name, &start[i], &end[i]));
		EXPECT(start[i] >= hal.mmu.geometry()->kernel_start && end[i] >= start[i]);
		for (size_t k = 0; k < i; k++)
			EXPECT(end[k] <= start[i] || end[i] <= start[k]);
	}
	EXPECT(!kernel_area_get(AREA_COUNT, &name, start, end));
}

static void use_frames(cpu_t cpu, void *arg)
{
	struct test_random random = {cpu};
	struct frame *frames[32] = {};

	for (int step = 0; step < 1000; step++) {
		size_t i = test_random_below(&random, ARRAY_SIZE(frames));
		if (frames[i]) {
			EXPECT_EQ(*(uint64_t *)frame_data(frames[i]), cpu * 1000 + i);
			frame_free(frames[i], 0);
			frames[i] = nullptr;
			continue;
		}
		frames[i] = frame_alloc(0, FRAME_ZEROED);
		if (!EXPECT(frames[i]))
			continue;
		EXPECT_EQ(*(uint64_t *)frame_data(frames[i]), 0);
		EXPECT_EQ(frame_at(frame_address(frames[i])), frames[i]);
		*(uint64_t *)frame_data(frames[i]) = cpu * 1000 + i;
	}
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		if (frames[i])
			frame_free(frames[i], 0);
}

KERNEL_TEST(frames_on_all_cpus)
{
	ktest_on_all_cpus(use_frames, nullptr);
}

static void use_kmap(cpu_t cpu, void *arg)
{
	for (size_t round = 1; round <= 20; round++) {
		size_t size = round * PAGE_SIZE;
		uint64_t *p = kmap_alloc(size);
		if (!EXPECT(p))
			return;
		for (size_t i = 0; i < size / 8; i += 64) {
			EXPECT_EQ(p[i], 0);
			p[i] = cpu;
		}
		for (size_t i = 0; i < size / 8; i += 64)
			EXPECT_EQ(p[i], cpu);
		kmap_free(p);
		char *stack = kstack_alloc();
		if (!EXPECT(stack))
			return;
		memset(stack, (int)cpu, KSTACK_SIZE);
		EXPECT(kstack_is_guard((vaddr_t)stack - 1));
		EXPECT(!kstack_is_guard((vaddr_t)stack));
		EXPECT_EQ(stack[KSTACK_SIZE - 1], (char)cpu);
		kstack_free(stack);
	}
}

KERNEL_TEST(kernel_areas_on_all_cpus)
{
	ktest_on_all_cpus(use_kmap, nullptr);
}
