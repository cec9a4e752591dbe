/*
 * The conformance suite of the heap's providers (HP-5): the same random steps against slab, list and
 * bump, with and without the debug mode in front, next to a model of which blocks there are and what is
 * in them. Then sizes, caches, the early heap, stacks.
 */
#include "machine.h"

#include "heap_ops.h"
#include "inject.h"
#include "kmap_private.h"

#include <mm/change.h>
#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/heap_debug.h>
#include <mm/kmap.h>
#include <stdio.h>

#define BLOCKS 300u
#define STEPS 1000000
#define BUMP_STEPS 60000 /* which never takes back */

static struct block {
	uint8_t *at;
	size_t size;
	uint8_t stamp;
} blocks[BLOCKS];

static size_t live, live_bytes, refused; /* the model's figures */
static size_t ranges_before;

/* What kmap holds for large blocks are blocks of the heap as well. */
static size_t ranges(void)
{
	return kmap_range_count() - ranges_before;
}

static size_t some_size(struct test_random *random)
{
	static const size_t top[] = {8, 64, 64, 512, 512, 512, 4096, 4096, 20000, 70000};
	return 1 + test_random_below(random, top[test_random_below(random, ARRAY_SIZE(top))]);
}

static void fill(struct block *b)
{
	memset(b->at, b->stamp, b->size);
}

/* Both ends, and a byte of every so many between them. */
static void check(const struct block *b)
{
	bool same = true;
	for (size_t i = 0; i < b->size; i += 1 + (i > 64 && i + 64 < b->size) * 60)
		same &= b->at[i] == b->stamp;
	same &= b->at[b->size - 1] == b->stamp;
	EXPECT(same);
}

/* A block that has just come: where it may be, and nobody else is. */
static void enter(struct block *b)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		if (blocks[i].at && &blocks[i] != b)
			EXPECT(b->at + b->size <= blocks[i].at ||
			       blocks[i].at + blocks[i].size <= b->at);
	live++;
	live_bytes += b->size;
	fill(b);
}

static void leave(struct block *b)
{
	check(b);
	live--;
	live_bytes -= b->size;
}

static void take(struct block *b, struct test_random *random)
{
	size_t align = (size_t)1 << test_random_below(random, 13);
	b->size = some_size(random);
	b->stamp = (uint8_t)test_random(random);
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
		enter(b);
	else
		refused++;
}

static void resize(struct block *b, size_t size)
{
	uint8_t *at = heap_realloc(b->at, size);
	if (!at) {
		refused++;
		return;
	}
	leave(&(struct block){at, MIN(b->size, size), b->stamp});
	live_bytes -= b->size - MIN(b->size, size);
	*b = (struct block){at, size, b->stamp};
	enter(b);
}

static void step(struct test_random *random)
{
	struct block *b = &blocks[test_random_below(random, BLOCKS)];
	if (!b->at) {
		take(b, random);
	} else if (test_random_below(random, 3) == 0) {
		resize(b, some_size(random));
	} else {
		leave(b);
		heap_free(b->at);
		b->at = nullptr;
	}
}

static void free_all(void)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		if (blocks[i].at)
			leave(&blocks[i]);
		heap_free(blocks[i].at);
		blocks[i].at = nullptr;
	}
}

/* The provider's figures since `before`, next to the model's. */
static void compare(const struct heap_stats *before)
{
	struct heap_stats now = heap_stats();
	EXPECT_EQ(now.used + now.free, now.total);
	EXPECT(now.used - before->used >= live_bytes);
	if (!heap_debug_on()) {
		EXPECT_EQ(now.allocations - before->allocations -
				  (now.deallocations - before->deallocations),
			  live + ranges());
		return;
	}
	struct heap_debug_figures f;
	heap_debug_figures(&f);
	EXPECT(f.blocks >= live && f.bytes >= live_bytes && f.reports == 0);
}

static bool exchanging; /* the provider changes while blocks are out */

static void exchange(struct test_random *random)
{
	const struct heap_ops *next = heap_provider_get(test_random_below(random, 2));

	EXPECT_OK(heap_provider_check(next));
	heap_provider_use(next);
	EXPECT(heap_provider() == next);
}

static size_t damaged(void)
{
	const struct heap_ops *p;
	size_t bad = 0;

	for (size_t i = 0; (p = heap_provider_get(i)); i++)
		bad += p->audit();
	return bad;
}

static void conforms(const char *words, struct test_random *random, int steps)
{
	test_kernel(&(struct host_config){.ram_dirty = true,
					  .ram_size = 256u << 20,
					  .seed = test_seed(),
					  .command_line = words});
	bool frees = strcmp(heap_name(), "bump") != 0;
	frame_reclaim();
	struct heap_stats before = heap_stats();
	ranges_before = kmap_range_count();
	uint64_t frames = heap_frame_count(), free = frame_totals().free;
	for (int n = 0; n < steps; n++) {
		step(random);
		if (exchanging && n % 700 == 350)
			exchange(random);
		if (n % 5000 == 0)
			compare(&before);
		if (n % 50000 == 0)
			EXPECT_EQ(damaged(), 0);
	}
	if (frees)
		EXPECT_EQ(refused, 0);
	free_all();
	if (exchanging) {
		heap_provider_trim(&heap_slab);
		heap_provider_trim(&heap_list);
	}
	frame_reclaim();
	compare(&before);
	EXPECT_EQ(live + live_bytes, 0);
	EXPECT_EQ(damaged(), 0);
	if (heap_debug_on()) {
		EXPECT_EQ(heap_debug_sweep(), 0);
		return; /* some are in quarantine */
	}
	if (exchanging) { /* the records of ranges may be either provider's, who round differently */
		EXPECT(heap_stats().used <= before.used + (ranges() + 2) * 2 * KMAP_RANGE_BYTES);
	} else {
		EXPECT_EQ(heap_stats().used, before.used + ranges() * KMAP_RANGE_BYTES);
	}
	if (frees) {
		EXPECT(heap_frame_count() <= frames + 32); /* an empty arena of the list */
		EXPECT(frame_totals().free + 64 + 64 >= free); /* tables of kernel areas stay */
	}
}

PROPERTY(heap_slab_conforms, 1)
{
	conforms("", random, STEPS);
	EXPECT(!strcmp(heap_name(), "slab"));
}

PROPERTY(heap_list_conforms, 1)
{
	conforms("heap=list", random, STEPS);
	EXPECT(!strcmp(heap_name(), "list"));
}

PROPERTY(heap_bump_conforms, 1)
{
	conforms("heap=bump", random, BUMP_STEPS);
	EXPECT(!strcmp(heap_name(), "bump"));
}

PROPERTY(heap_exchange_conforms, 1)
{
	exchanging = true;
	conforms("", random, STEPS);
}

PROPERTY(heap_exchange_list_conforms, 1)
{
	exchanging = true;
	conforms("heap=list", random, STEPS);
}

PROPERTY(heap_exchange_debug_conforms, 1)
{
	exchanging = true;
	conforms("heap_debug", random, STEPS / 10);
}

PROPERTY(heap_exchange_away_from_bump, 1)
{
	exchanging = true;
	conforms("heap=bump", random, BUMP_STEPS);
	EXPECT_EQ(heap_provider_check(&heap_bump), KERR_OPNOTSUPP);
}

PROPERTY(heap_slab_debug_conforms, 1)
{
	conforms("heap_debug", random, STEPS / 10);
}

PROPERTY(heap_list_debug_conforms, 1)
{
	conforms("heap=list heap_debug", random, STEPS / 10);
}

PROPERTY(heap_bump_debug_conforms, 1)
{
	conforms("heap=bump heap_debug", random, BUMP_STEPS / 10);
}

TEST(heap_unknown_name)
{
	test_kernel(&(struct host_config){.command_line = "heap=magic"});
	EXPECT(!strcmp(heap_name(), "slab"));
}

/* ---- No memory -------------------------------------------------------------------------------- */

static void nth_fails(const char *words, struct test_random *random)
{
	test_kernel(&(struct host_config){
		.seed = test_seed(), .command_line = words, .ram_size = 256u << 20});
	struct heap_stats before = heap_stats();
	ranges_before = kmap_range_count();
	for (int n = 0; n < 20000; n++) {
		memory_fail_in = test_random_below(random, 3) == 0
					 ? 1 + (int64_t)test_random_below(random, 4)
					 : 0;
		step(random);
		memory_fail_in = 0;
	}
	EXPECT(refused > 0);
	free_all();
	frame_reclaim();
	compare(&before);
	if (!heap_debug_on())
		EXPECT_EQ(heap_stats().used, before.used + ranges() * KMAP_RANGE_BYTES);
}

PROPERTY(heap_slab_nth_fails, 1)
{
	nth_fails("", random);
}

PROPERTY(heap_list_nth_fails, 1)
{
	nth_fails("heap=list", random);
}

PROPERTY(heap_debug_nth_fails, 1)
{
	nth_fails("heap_debug", random);
}

/* All there is in blocks of `size`: how many; every one is freed again. */
static size_t exhaust(size_t size)
{
	struct chained {
		struct chained *next;
	} *all = nullptr, *c;
	size_t count = 0;
	while ((c = heap_alloc(size))) {
		*c = (struct chained){all};
		all = c;
		count++;
	}
	while (all) {
		c = all;
		all = c->next;
		heap_free(c);
	}
	frame_reclaim();
	return count;
}

/* It gives all but a little of what is free, says no, takes all back, and can do it again. */
static void runs_out(const char *words)
{
	test_kernel(&(struct host_config){.command_line = words});
	static const size_t sizes[] = {48, 1000, 4096, 60000, 1 << 20};
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		frame_reclaim();
		uint64_t free = frame_totals().free, used = heap_stats().used;
		ranges_before = kmap_range_count();
		size_t first = exhaust(sizes[i]), second = exhaust(sizes[i]);
		EXPECT(first * sizes[i] > free * PAGE_SIZE / 100 * 60);
		EXPECT(second + 64 >= first);
		EXPECT_EQ(heap_stats().used, used + ranges() * KMAP_RANGE_BYTES);
		EXPECT(frame_totals().free + 200 >= free);
	}
}

TEST(heap_slab_runs_out)
{
	runs_out("");
}

TEST(heap_list_runs_out)
{
	runs_out("heap=list");
}

/* ---- Sizes, caches ------------------------------------------------------------------------------ */

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

static void caches_work(const char *words)
{
	test_kernel(&(struct host_config){.command_line = words});
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

TEST(heap_slab_caches)
{
	caches_work("");
}

TEST(heap_list_caches)
{
	caches_work("heap=list");
}

TEST(heap_bump_caches)
{
	caches_work("heap=bump");
}

TEST(heap_debug_caches)
{
	caches_work("heap=list heap_debug");
}

TEST_DIES(heap_list_double_free, "is free already")
{
	test_kernel(&(struct host_config){.command_line = "heap=list"});
	char *a = heap_alloc(100), *b = heap_alloc(100);
	heap_free(a);
	heap_free(a);
	heap_free(b);
}

TEST_DIES(heap_list_overflow, "is damaged")
{
	test_kernel(&(struct host_config){.command_line = "heap=list"});
	char *a = heap_alloc(96), *b = heap_alloc(96);
	memset(a, 0, 120);
	heap_free(b);
	heap_free(a);
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
	EXPECT_EQ(bump_heap_size(a), 10);
	while (bump_heap_alloc(16, 16))
		;
	bump_heap_reset();
	EXPECT_EQ(bump_heap_alloc(10, 0), a);
	bump_heap_retire();
	EXPECT(!bump_heap_alloc(8, 0));
	EXPECT_MEM(a, "xxxxxxxxxx", 10);
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
