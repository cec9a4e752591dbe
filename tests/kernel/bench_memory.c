/*
 * What frames, heap and mapper cost (bench.c). The pairs leave things as they were. "map" rows stop
 * short of the flush: that is what `shootdown` rows are. Those named `_all_cpus` are done by every CPU
 * at once; their figure is the time in which each CPU did one.
 */
#include "bench.h"

#include <hal/hal.h>
#include <ktest/cpus.h>
#include <mapper.h>
#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/kmap.h>

#define BATCH 16
#define MIB2 (2ul << 20)
#define MIB2_ORDER 9

static struct cache *cache;
static struct mapper mapper = {.user = true};
static paddr_t huge; /* 2 MiB */

/* ---- Frames ----------------------------------------------------------------------------------- */

static void frame_pair(unsigned n)
{
	while (n--)
		frame_free(frame_alloc(0, 0), 0);
}

static void frame_zeroed_pair(unsigned n)
{
	while (n--)
		frame_free(frame_alloc(0, FRAME_ZEROED), 0);
}

/* No CPU keeps a stock of these: what the policy (pmm=) costs, with its lock. */
static void frame_order1_pair(unsigned n)
{
	while (n--)
		frame_free(frame_alloc(1, 0), 1);
}

static void frame_order4_pair(unsigned n)
{
	while (n--)
		frame_free(frame_alloc(4, 0), 4);
}

static void frame_order9_pair(unsigned n)
{
	while (n--)
		frame_free(frame_alloc(MIB2_ORDER, 0), MIB2_ORDER);
}

/* Sixteen at once, past the CPU's own cache now and then. */
static void frame_batch(unsigned n)
{
	struct frame *frames[BATCH];

	while (n--)
		frame_free_batch(frames, frame_alloc_batch(frames, BATCH, 0));
}

/* ---- Heap ------------------------------------------------------------------------------------- */

static void slab_pair(unsigned n)
{
	while (n--)
		cache_free(cache, cache_alloc(cache));
}

static void heap_pair(size_t size, unsigned n)
{
	while (n--)
		heap_free(heap_alloc(size));
}

#define HEAP_PAIR(size)                                                                            \
	static void heap_pair_##size(unsigned n)                                                   \
	{                                                                                          \
		heap_pair(size, n);                                                                \
	}
HEAP_PAIR(8)
HEAP_PAIR(16)
HEAP_PAIR(32)
HEAP_PAIR(64)
HEAP_PAIR(128)
HEAP_PAIR(256)
HEAP_PAIR(512)
HEAP_PAIR(1000)
HEAP_PAIR(2048)
HEAP_PAIR(4096)
HEAP_PAIR(8192)
HEAP_PAIR(16384)
HEAP_PAIR(65536)

static void kmap_pair(unsigned n)
{
	while (n--)
		kmap_free(kmap_alloc(PAGE_SIZE));
}

static void kstack_pair(unsigned n)
{
	while (n--)
		kstack_free(kstack_alloc());
}

/* ---- Mapper ----------------------------------------------------------------------------------- */

static void map_pair(paddr_t pa, size_t size, unsigned n)
{
	while (n--) {
		struct tlb_batch batch;
		tlb_batch_init(&batch, nullptr);
		if (mapper_map_range(&mapper, MIB2, pa, size, MAP_USER_WRITE) != KERR_OK ||
		    mapper_unmap_range(&mapper, MIB2, size, false, 0, 0, &batch) != KERR_OK)
			return;
	}
}

static void map_page(unsigned n)
{
	map_pair(huge, PAGE_SIZE, n);
}

/* Not aligned with the address: 4 KiB leaves. */
static void map_512_pages(unsigned n)
{
	map_pair(huge + PAGE_SIZE, MIB2, n);
}

/* Last, so that the table that the others made is in the way of nothing. */
static void map_2m(unsigned n)
{
	struct tlb_batch batch;

	tlb_batch_init(&batch, nullptr);
	if (mapper_unmap_range(&mapper, MIB2, MIB2, true, MIB2, 2 * MIB2, &batch) != KERR_OK)
		return;
	for (struct frame *f; (f = tlb_batch_next(&batch.dead_tables));)
		mapper_table_free(f);
	map_pair(huge, MIB2, n);
}

/* ---- All CPUs --------------------------------------------------------------------------------- */

struct parallel {
	void (*run)(unsigned n);
	unsigned n;
};

static void run_share(cpu_t cpu, void *arg)
{
	const struct parallel *p = arg;

	p->run(p->n);
}

static void everywhere(void (*run)(unsigned n), unsigned n)
{
	struct parallel p = {run, n};

	ktest_on_all_cpus(run_share, &p);
}

static void frame_pair_all(unsigned n)
{
	everywhere(frame_pair, n);
}

static void frame_order1_all(unsigned n)
{
	everywhere(frame_order1_pair, n);
}

static void slab_pair_all(unsigned n)
{
	everywhere(slab_pair, n);
}

/* ---- The tables ------------------------------------------------------------------------------- */

bool memory_benchmarks_setup(void)
{
	struct frame *f = frame_alloc(MIB2_ORDER + 1, 0); /* 2 MiB, and a page behind */

	cache = cache_create("kbench", 128, 0);
	mapper.root = mapper_table_new(true);
	if (!f || !cache || !mapper.root)
		return false;
	huge = frame_address(f);
	return true;
}

const struct kernel_benchmark memory_benchmarks[] = {
	{"frame_alloc_free", frame_pair},
	{"frame_alloc_free_zeroed", frame_zeroed_pair},
	{"frame_alloc_free_8k", frame_order1_pair},
	{"frame_alloc_free_64k", frame_order4_pair},
	{"frame_alloc_free_2m", frame_order9_pair},
	{"frame_batch_of_16", frame_batch},
	{"slab_alloc_free", slab_pair},
	{"heap_alloc_free_8", heap_pair_8},
	{"heap_alloc_free_16", heap_pair_16},
	{"heap_alloc_free_32", heap_pair_32},
	{"heap_alloc_free_64", heap_pair_64},
	{"heap_alloc_free_128", heap_pair_128},
	{"heap_alloc_free_256", heap_pair_256},
	{"heap_alloc_free_512", heap_pair_512},
	{"heap_alloc_free_1000", heap_pair_1000},
	{"heap_alloc_free_2048", heap_pair_2048},
	{"heap_alloc_free_4096", heap_pair_4096},
	{"heap_alloc_free_8192", heap_pair_8192},
	{"heap_alloc_free_16384", heap_pair_16384},
	{"heap_alloc_free_65536", heap_pair_65536},
	{"kmap_alloc_free_page", kmap_pair},
	{"kstack_alloc_free", kstack_pair},
	{"map_unmap_page", map_page},
	{"map_unmap_512_pages", map_512_pages},
	{"map_unmap_2m", map_2m},
};
const size_t memory_benchmark_count = ARRAY_SIZE(memory_benchmarks);

const struct kernel_benchmark parallel_benchmarks[] = {
	{"frame_alloc_free_all_cpus", frame_pair_all},
	{"frame_alloc_free_8k_all_cpus", frame_order1_all},
	{"slab_alloc_free_all_cpus", slab_pair_all},
};
const size_t parallel_benchmark_count = ARRAY_SIZE(parallel_benchmarks);
