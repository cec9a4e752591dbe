/* The heap: contents kept, alignments, no overlap, nothing lost; the bump heap; failures. */
#include "machine.h"

#include "heap_ops.h"
#include "inject.h"

#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/kmap.h>
#include <stdio.h>

#define BLOCKS 600u

static struct block {
	uint8_t *at;
	size_t size;
	uint8_t stamp;
} blocks[BLOCKS];

static size_t some_size(struct test_random *random)
{
	static const size_t top[] = {8, 64, 512, 4096, 20000, 70000};
	return 1 + test_random_below(random, top[test_random_below(random, ARRAY_SIZE(top))]);
}

static void fill(struct block *b)
{
	memset(b->at, b->stamp, b->size);
}

static void check(const struct block *b)
{
	bool same = true;
	for (size_t i = 0; i < b->size; i++)
		same &= b->at[i] == b->stamp;
	EXPECT(same);
}

static void step(struct test_random *random)
{
	struct block *b = &blocks[test_random_below(random, BLOCKS)];
	if (!b->at) {
		b->size = some_size(random);
		b->stamp = (uint8_t)test_random(random);
		size_t align = (size_t)1 << test_random_below(random, 13);
		switch (test_random_below(random, 4)) {
		case 0:
			b->at = heap_alloc_zeroed(b->size);
			for (size_t i = 0; b->at && i < b->size; i++)
				EXPECT(b->at[i] == 0);
			break;
		case 1:
			b->at = heap_alloc_aligned(b->size, align);
			EXPECT(!b->at || IS_ALIGNED((uintptr_t)b->at, align));
			break;
		default:
			b->at = heap_alloc(b->size);
			EXPECT(!b->at || IS_ALIGNED((uintptr_t)b->at, b->size > 8 ? 16 : 8));
		}
		if (b->at)
			fill(b);
		return;
	}
	check(b);
	if (test_random_below(random, 3) == 0) {
		size_t size = some_size(random);
		uint8_t *at = heap_realloc(b->at, size);
		if (!at)
			return;
		b->at = at;
		b->size = MIN(b->size, size);
		check(b);
		b->size = size;
		fill(b);
	} else {
		heap_free(b->at);
		b->at = nullptr;
	}
}

static void free_all(void)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		if (blocks[i].at)
			check(&blocks[i]);
		heap_free(blocks[i].at);
		blocks[i].at = nullptr;
	}
}

PROPERTY(heap_random, 1)
{
	test_kernel(&(struct host_config){
		.ram_dirty = true, .ram_size = 128u << 20, .seed = test_seed()});
	frame_reclaim();
	uint64_t frames = slab_frame_count(), used = heap_stats().used, free = frame_totals().free;
	for (int n = 0; n < 60000; n++)
		step(random);
	free_all();
	frame_reclaim();
	EXPECT_EQ(heap_stats().used, used);
	EXPECT_EQ(slab_frame_count(), frames);
	EXPECT(frame_totals().free + 64 >= free); /* tables of kernel areas stay */
}

PROPERTY(heap_nth_allocation_fails, 1)
{
	test_kernel(&(struct host_config){.seed = test_seed()});
	uint64_t used = heap_stats().used;
	for (int n = 0; n < 20000; n++) {
		memory_fail_in = test_random_below(random, 3) == 0
					 ? 1 + (int64_t)test_random_below(random, 4)
					 : 0;
		step(random);
		memory_fail_in = 0;
	}
	free_all();
	frame_reclaim();
	EXPECT_EQ(heap_stats().used, used);
}

TEST(heap_sizes)
{
	test_kernel(nullptr);
	EXPECT(heap_alloc(0)); /* a block, like any other */
	EXPECT(!heap_alloc(SIZE_MAX));
	EXPECT(!heap_alloc(SIZE_MAX - 5000));
	EXPECT(!heap_alloc((size_t)1 << 60));
	EXPECT(!heap_alloc_aligned(8, 8192));
	EXPECT(!heap_alloc_aligned(8, 24));
	heap_free(nullptr);
	for (size_t size = 1; size <= 40000; size += 1 + size / 5) {
		uint8_t *a = heap_alloc(size), *b = heap_alloc(size);
		REQUIRE(a && b);
		EXPECT(a + size <= b || b + size <= a);
		heap_free(a);
		heap_free(b);
	}
}

struct thing {
	uint64_t first, rest[40];
};

TEST(heap_caches)
{
	test_kernel(nullptr);
	struct cache *c = cache_create("thing", sizeof(struct thing), 64);
	struct cache *z = cache_create_zeroed("clean thing", sizeof(struct thing), 0);
	static struct thing *all[500];
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		all[i] = cache_alloc(c);
		REQUIRE(all[i]);
		EXPECT(IS_ALIGNED((uintptr_t)all[i], 64));
		all[i]->rest[0] = i;
	}
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		EXPECT_EQ(all[i]->rest[0], i);
		cache_free(c, all[i]);
	}
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
			all[i] = cache_alloc(z);
			for (size_t k = 0; k < ARRAY_SIZE(all[i]->rest); k++)
				EXPECT(all[i]->rest[k] == 0);
		}
		for (size_t i = 0; i < ARRAY_SIZE(all); i++)
			cache_free(z, all[i]);
	}
}

TEST_DIES(heap_foreign_free, "was not allocated")
{
	test_kernel(nullptr);
	struct frame *f = frame_alloc(0, 0);
	heap_free(frame_data(f));
}

TEST(bump_heap)
{
	static char arena[1000] ALIGNED(64), other[100];
	EXPECT(!bump_heap_alloc(8, 0)); /* not yet */
	EXPECT(bump_heap_init(arena, sizeof(arena)));
	EXPECT(!bump_heap_init(other, sizeof(other)));
	char *a = bump_heap_alloc(10, 0), *b = bump_heap_alloc(1, 256);
	REQUIRE(a && b);
	EXPECT(IS_ALIGNED((uintptr_t)a, 16) && IS_ALIGNED((uintptr_t)b, 256) && b >= a + 10);
	EXPECT(!bump_heap_alloc(SIZE_MAX, 8) && !bump_heap_alloc(SIZE_MAX - 100, 8));
	EXPECT(!bump_heap_alloc(0, 8) && !bump_heap_alloc(1000, 8));
	memset(a, 'x', 10);
	char *c = heap_bump.reallocate(a, 30);
	REQUIRE(c);
	EXPECT_MEM(c, "xxxxxxxxxx", 10);
	while (bump_heap_alloc(16, 16))
		;
	bump_heap_reset();
	EXPECT_EQ(bump_heap_alloc(10, 0), a);
	bump_heap_retire();
	EXPECT(!bump_heap_alloc(8, 0));
	EXPECT(bump_heap_owns(a) && !bump_heap_owns(other));
}

/* Large blocks freed where nobody may wait go later, not never. */
TEST(heap_large_from_anywhere)
{
	test_kernel(nullptr);
	uint64_t used = heap_stats().used;
	char *a = heap_alloc(100000), *b = heap_alloc(100000);
	REQUIRE(a && b);
	bool on = hal.cpu.irq_save();
	heap_free(a);
	hal.cpu.irq_restore(on);
	preempt_disable();
	heap_free(b);
	preempt_enable();
	heap_free(heap_alloc(20000));
	EXPECT_EQ(heap_stats().used, used);
}

TEST(kernel_stacks)
{
	test_kernel(nullptr);
	static void *stacks[200];
	for (size_t i = 0; i < ARRAY_SIZE(stacks); i++) {
		stacks[i] = kstack_alloc();
		REQUIRE(stacks[i]);
		memset(stacks[i], 1, KSTACK_SIZE);
		EXPECT(kstack_is_guard((vaddr_t)stacks[i] - 1));
		EXPECT(kstack_is_guard((vaddr_t)stacks[i] + KSTACK_SIZE));
		EXPECT(!kstack_is_guard((vaddr_t)stacks[i]));
		paddr_t pa;
		map_flags_t flags;
		EXPECT_EQ(kmap_translate((vaddr_t)stacks[i] - 1, &pa, &flags), KERR_NOENT);
	}
	uint64_t free = frame_totals().free;
	for (size_t i = 0; i < ARRAY_SIZE(stacks); i++)
		kstack_free(stacks[i]);
	EXPECT(frame_reclaim());
	EXPECT(frame_totals().free >= free + 4 * 150);
	for (size_t i = 0; i < ARRAY_SIZE(stacks); i++)
		memset(stacks[i] = kstack_alloc(), 2, KSTACK_SIZE);
}
