/* The heap's debug mode (HP-6): each kind of corruption is found, once, and told from what is sound. */
#include "machine.h"

#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/heap_debug.h>

static uint64_t reports(void)
{
	struct heap_debug_figures f;
	heap_debug_figures(&f);
	return f.reports;
}

static void start(const char *words)
{
	test_kernel(&(struct host_config){.command_line = words});
	EXPECT(heap_debug_on());
	EXPECT_EQ(heap_debug_sweep(), 0);
	EXPECT_EQ(reports(), 0);
}

static void finds_all(const char *words)
{
	start(words);
	for (size_t size = 1; size < 40000; size = size * 3 + 1) {
		uint64_t n = reports();
		uint8_t *p = heap_alloc(size);
		REQUIRE(p);
		p[size] ^= 1; /* found by the sweep, once, and not again at the free */
		EXPECT_EQ(heap_debug_sweep(), 1);
		EXPECT_EQ(heap_debug_sweep(), 0);
		heap_free(p);
		EXPECT_EQ(reports(), n + 1);
		p = heap_alloc(size);
		p[size + 15] = 0; /* found by the free */
		heap_free(p);
		EXPECT_EQ(reports(), n + 2);
		p = heap_alloc(size);
		p[-1] ^= 1;
		heap_free(p);
		EXPECT_EQ(reports(), n + 3);
		p = heap_alloc(size);
		p[-32] = 0;
		heap_free(p);
		EXPECT_EQ(reports(), n + 4);
		heap_free(p); /* twice */
		EXPECT_EQ(reports(), n + 5);
		p[size - 1] = 1; /* use after free, also what it reads */
		EXPECT_EQ(heap_debug_sweep(), 1);
		EXPECT_EQ(reports(), n + 6);
		heap_free(p + 16); /* the middle of a block, a global, a wild pointer */
		heap_free(&n);
		heap_free((void *)0xdead0000);
		EXPECT_EQ(reports(), n + 9);
	}
	EXPECT_EQ(heap_debug_sweep(), 0);
}

TEST(heap_debug_finds_slab)
{
	finds_all("heap_debug");
}

TEST(heap_debug_finds_list)
{
	finds_all("heap=list heap_debug");
}

TEST(heap_debug_finds_bump)
{
	finds_all("heap=bump heap_debug");
}

/* A write to a freed block is found when it leaves quarantine, without a sweep. */
TEST(heap_debug_quarantine)
{
	start("heap_debug");
	char *p = heap_alloc(100);
	heap_free(p);
	EXPECT_EQ((uint8_t)p[50], 0xde);
	p[50] = 'x';
	for (int i = 0; i < 3000; i++) {
		char *q = heap_alloc(100);
		REQUIRE(q);
		EXPECT_EQ((uint8_t)q[7], 0xa5);
		heap_free(q);
	}
	EXPECT_EQ(reports(), 1);
	for (int i = 0; i < 100; i++)
		heap_free(heap_alloc(200000)); /* more than it may keep */
	struct heap_debug_figures f;
	heap_debug_figures(&f);
	EXPECT(f.quarantined <= 1024);
	EXPECT(frame_totals().free > frame_totals().total / 2);
}

TEST(heap_debug_wrong_cache)
{
	start("heap_debug");
	struct cache *a = cache_create("apples", 100, 0), *b = cache_create("pears", 100, 0);
	void *apple = cache_alloc(a);
	cache_free(b, apple);
	EXPECT_EQ(reports(), 1);
	heap_free(apple);
	EXPECT_EQ(reports(), 2);
	cache_free(a, apple);
	EXPECT_EQ(reports(), 2);
}

static NOINLINE void *leak_here(size_t size)
{
	void *p = heap_alloc(size);
	*(volatile char *)p = 1;
	return p;
}

TEST(heap_debug_leaks_since_mark)
{
	struct heap_site s;
	start("heap=list heap_debug");
	void *old = heap_alloc(5000);
	heap_debug_mark();
	heap_debug_leaks();
	EXPECT(!heap_debug_site(0, &s));
	void *kept[5];
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		kept[i] = leak_here(300);
	void *other = heap_alloc(70);
	heap_free(heap_alloc(900));
	heap_debug_leaks();
	REQUIRE(heap_debug_site(0, &s));
	EXPECT_EQ(s.blocks, 5);
	EXPECT_EQ(s.bytes, 1500);
	EXPECT(s.chain[0]);
	REQUIRE(heap_debug_site(1, &s));
	EXPECT_EQ(s.blocks, 1);
	EXPECT_EQ(s.bytes, 70);
	EXPECT(!heap_debug_site(2, &s));
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		heap_free(kept[i]);
	heap_free(other);
	heap_free(old);
	heap_debug_leaks();
	EXPECT(!heap_debug_site(0, &s));
}

TEST_DIES(heap_debug_panics_if_told, "overflow: block")
{
	test_kernel(&(struct host_config){.command_line = "heap_debug panic_on_corruption"});
	char *p = heap_alloc(10);
	p[10] = 0;
	heap_free(p);
}
