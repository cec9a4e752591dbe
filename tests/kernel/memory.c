/* Self-tests of memory from the outside: frames, heap and kernel areas on all CPUs at once. */
#include <core/task.h>
#include <ktest/cpus.h>
#include <ktest/ktest.h>
#include <layout.h>
#include <lib/string.h>
#include <mm/dma.h>
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

/* ---- Regions, types, views ------------------------------------------------------------------ */

static const enum memory_type types[] = {MEMORY_NORMAL, MEMORY_IO, MEMORY_UNCACHED, MEMORY_COMBINE};

/* What the table says of `addr`; 0: nothing is mapped. */
static map_flags_t flags_at(const void *addr, paddr_t *pa)
{
	map_flags_t flags;

	return kmap_translate((vaddr_t)addr, pa, &flags) == KERR_OK ? flags : 0;
}

/* The type as this machine's tables can tell it. */
static map_flags_t told(enum memory_type type)
{
	pte_t e = hal.mmu.leaf(0, MAP_KERNEL_WRITE | memory_type_flags(type), 0);

	return hal.mmu.decode(e, 0).flags & MAP_TYPES;
}

/* Writes a pattern, finds it, and an unmapped page behind. */
static void use_region(char *p, size_t size, enum memory_type type)
{
	paddr_t pa;

	for (size_t i = 0; i < size; i += 512) {
		EXPECT_EQ(p[i], 0);
		*(volatile uint64_t *)(p + i) = i + 1;
	}
	for (size_t i = 0; i < size; i += PAGE_SIZE) {
		map_flags_t flags = flags_at(p + i, &pa);
		EXPECT_EQ(flags & MAP_TYPES, told(type));
		EXPECT(flags & MAP_WRITABLE && flags & MAP_NO_EXECUTE);
		EXPECT_EQ(*(uint64_t *)(direct_map + pa), i + 1);
	}
	EXPECT_EQ(flags_at(p + ALIGN_UP(size, PAGE_SIZE), &pa), 0);
}

KERNEL_TEST(kernel_regions_plain_and_contiguous)
{
	for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
		for (size_t pages = 1; pages <= 33; pages += 16) {
			struct kmap_request q = {.kind = KMAP_PLAIN,
						 .type = types[t],
						 .size = pages * PAGE_SIZE - 8};
			void *p;
			if (EXPECT_OK(kmap_region(&q, &p))) {
				use_region(p, q.size, types[t]);
				kmap_free(p);
			}
			q.kind = KMAP_CONTIGUOUS;
			if (!EXPECT_OK(kmap_region(&q, &p)))
				continue;
			use_region(p, q.size, types[t]);
			paddr_t first, pa;
			flags_at(p, &first);
			for (size_t i = 0; i < pages; i++) {
				flags_at((char *)p + i * PAGE_SIZE, &pa);
				EXPECT_EQ(pa, first + i * PAGE_SIZE);
			}
			kmap_free(p);
		}
	}
}

KERNEL_TEST(kernel_regions_of_given_frames)
{
	struct frame *frames[4], *again[4];
	void *p, *q;

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		frames[i] = frame_alloc(0, FRAME_ZEROED);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		again[i] = frames[3 - i];
	struct kmap_request one = {
		.kind = KMAP_FRAMES, .size = sizeof(frames) / 8 * PAGE_SIZE, .frames = frames};
	struct kmap_request two = {
		.kind = KMAP_FRAMES, .size = one.size, .frames = again, .read_only = true};
	if (EXPECT_OK(kmap_region(&one, &p)) && EXPECT_OK(kmap_region(&two, &q))) {
		use_region(p, one.size, MEMORY_NORMAL);
		paddr_t pa;
		EXPECT_EQ(flags_at(q, &pa) & MAP_WRITABLE, 0);
		for (size_t i = 0; i < 4; i++)
			EXPECT_EQ(*(uint64_t *)((char *)q + i * PAGE_SIZE),
				  (3 - i) * PAGE_SIZE + 1);
		kmap_free(p);
		kmap_free(q);
	}
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		EXPECT_EQ(frames[i]->state, FRAME_USED); /* still ours */
		frame_free(frames[i], 0);
	}
}

KERNEL_TEST(kernel_regions_refuse)
{
	struct frame *f = frame_alloc(0, FRAME_ZEROED);
	struct kmap_request q = {.kind = KMAP_PLAIN};
	void *p, *other;
	paddr_t pa;

	EXPECT_EQ(kmap_region(&q, &p), KERR_INVAL); /* empty */
	q.size = SIZE_MAX - 5;
	EXPECT_EQ(kmap_region(&q, &p), KERR_INVAL); /* wraps */
	q.size = (size_t)1 << 46;
	EXPECT_EQ(kmap_region(&q, &p), KERR_NOMEM); /* no such room */
	q = (struct kmap_request){.kind = KMAP_PLAIN, .size = 2 * PAGE_SIZE};
	if (!EXPECT_OK(kmap_region(&q, &p)))
		return;
	q.at = (vaddr_t)p + 8;
	EXPECT_EQ(kmap_region(&q, &other), KERR_INVAL); /* misaligned */
	q.at = direct_map + frame_address(f);
	EXPECT_EQ(kmap_region(&q, &other), KERR_INVAL); /* another area */
	for (int page = -2; page <= 2; page++) { /* with the guard pages */
		q.at = (vaddr_t)p + (vaddr_t)((long)page * (long)PAGE_SIZE);
		EXPECT_EQ(kmap_region(&q, &other), KERR_EXIST);
	}
	q.at = (vaddr_t)p;
	kmap_free(p);
	EXPECT_EQ(flags_at(p, &pa), 0);
	if (EXPECT_OK(kmap_region(&q, &other))) {
		EXPECT_EQ(other, p);
		kmap_free(other);
	}
	q = (struct kmap_request){.kind = KMAP_FRAMES, .size = PAGE_SIZE};
	EXPECT_EQ(kmap_region(&q, &p), KERR_INVAL); /* no frames */
	q = (struct kmap_request){.kind = KMAP_MMIO, .size = 8, .address = frame_address(f)};
	EXPECT_EQ(kmap_region(&q, &p), KERR_INVAL); /* RAM is no device */
	q.address = UINT64_MAX - 3;
	EXPECT_EQ(kmap_region(&q, &p), KERR_INVAL);
	q = (struct kmap_request){.kind = KMAP_CONTIGUOUS, .size = (8u << 20) + 1};
	EXPECT_EQ(kmap_region(&q, &p), KERR_NOMEM);
	frame_free(f, 0);
}

KERNEL_TEST(kernel_regions_of_registers)
{
	/* Nothing is read: only the table is looked at. */
	paddr_t nowhere = ((paddr_t)1 << (hal.mmu.geometry()->physical_bits - 1)) + 0x1234;
	struct kmap_request q = {
		.kind = KMAP_MMIO, .type = MEMORY_IO, .size = PAGE_SIZE, .address = nowhere};
	paddr_t pa;
	void *p;

	for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
		q.type = types[t];
		if (!EXPECT_OK(kmap_region(&q, &p)))
			return;
		EXPECT_EQ((vaddr_t)p & 0xfff, 0x234);
		EXPECT_EQ(flags_at(p, &pa) & MAP_TYPES, told(types[t]));
		EXPECT_EQ(pa, nowhere);
		EXPECT(flags_at((char *)p + PAGE_SIZE, &pa)); /* it crosses a page */
		kmap_free(p);
		EXPECT_EQ(flags_at(p, &pa), 0);
	}
}

KERNEL_TEST(dma_buffers_below_limits)
{
	static const paddr_t limits[] = {DMA_ANYWHERE, (paddr_t)4 << 30, (paddr_t)16 << 20,
					 1 << 20,      PAGE_SIZE,        0};
	struct dma_buffer b;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
			enum kerr err = dma_alloc(3 * PAGE_SIZE, limits[i], types[t], &b);
			if (err != KERR_OK) {
				/* There may be no RAM so low; there is below 4 GiB. */
				EXPECT_EQ(err, KERR_NOMEM);
				EXPECT(limits[i] <= 16 << 20);
				EXPECT(!b.addr);
				continue;
			}
			EXPECT(b.address + b.size <= limits[i]);
			EXPECT_EQ(b.address % PAGE_SIZE, 0);
			use_region(b.addr, b.size, types[t]);
			dma_free(&b);
			EXPECT(!b.addr);
		}
	}
	EXPECT_EQ(dma_alloc(PAGE_SIZE, PAGE_SIZE - 1, MEMORY_NORMAL, &b), KERR_NOMEM);
	EXPECT_EQ(dma_alloc(0, DMA_ANYWHERE, MEMORY_NORMAL, &b), KERR_INVAL);
	/* Where there is RAM below 16 MiB, there is some for devices. */
	if (frame_at(8 << 20)) {
		EXPECT_OK(dma_alloc(64 << 10, 16 << 20, MEMORY_NORMAL, &b));
		EXPECT(b.address + b.size <= 16 << 20);
		dma_free(&b);
	}
}

static void use_views(cpu_t cpu, void *arg)
{
	struct frame *frames[QUICKMAP_DEPTH - 2];
	uint64_t *views[QUICKMAP_DEPTH - 2];
	paddr_t pa;

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		if (!EXPECT(frames[i] = frame_alloc(0, FRAME_ZEROED)))
			return;
	for (unsigned round = 0; round < 200; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
			enum memory_type type = types[1 + (i + round) % 3];
			views[i] = quickmap_begin(frame_address(frames[i]) + 8 * i, type);
			*views[i] = cpu * 1000 + round;
			EXPECT_EQ(flags_at(views[i], &pa) & MAP_TYPES, told(type));
			EXPECT_EQ(pa, frame_address(frames[i]) + 8 * i);
		}
		EXPECT(current_task()->preempt_count >= ARRAY_SIZE(frames));
		for (size_t i = ARRAY_SIZE(frames); i-- > 0;) {
			EXPECT_EQ(((uint64_t *)frame_data(frames[i]))[i], cpu * 1000 + round);
			quickmap_end(views[i]);
		}
		EXPECT_EQ(flags_at(views[0], &pa), 0);
	}
	uint64_t *direct = quickmap_begin(frame_address(frames[0]), MEMORY_NORMAL);
	EXPECT_EQ(direct, frame_data(frames[0]));
	quickmap_end(direct);
	uint64_t word;
	quickmap_read(&word, frame_address(frames[1]) + 8, sizeof(word), MEMORY_UNCACHED);
	EXPECT_EQ(word, cpu * 1000 + 199);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		frame_free(frames[i], 0);
}

KERNEL_TEST(quickmap_on_all_cpus)
{
	ktest_on_all_cpus(use_views, nullptr);
}
