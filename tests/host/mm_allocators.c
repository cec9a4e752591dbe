/*
 * The conformance suite of the frame allocators: the same random steps against buddy, bitmap, hybrid
 * and bump, each behind its zones and CPU caches, with a model of who owns which frame.
 */
#include "machine.h"

#include "allocator.h"

#include <lib/format.h>
#include <mm/change.h>
#include <mm/memory.h>
#include <stdlib.h>

#define HELD 400
#define STEPS 1000000

struct held {
	struct frame *f;
	unsigned order;
	size_t count; /* single frames in a row; 0: a block of 2^order */
};

static uint8_t *owned; /* by pfn */
static bool frees;     /* the allocator takes frames back */
static unsigned strict_seen; /* zones that gave something to a strict request */

static void own(struct frame *f, size_t count, bool free)
{
	for (size_t i = 0; i < count; i++) {
		pfn_t pfn = frame_pfn(f) + i;
		EXPECT_EQ(owned[pfn], free);
		owned[pfn] = !free;
		EXPECT(host_ram(pfn << PAGE_SHIFT));
	}
}

static void check_block(const struct held *h, unsigned flags)
{
	size_t count = h->count ? h->count : (size_t)1 << h->order;
	paddr_t at = frame_address(h->f), end = at + count * PAGE_SIZE;
	EXPECT(IS_ALIGNED(at, PAGE_SIZE << h->order));
	if (flags & FRAME_DMA)
		EXPECT(end <= 16u << 20);
	if (flags & FRAME_DMA32)
		EXPECT(end <= 4ull << 30);
	for (size_t i = 0; (flags & FRAME_ZEROED) && i < count; i++)
		EXPECT(((uint64_t *)frame_data(h->f + i))[i % 512] == 0);
	for (size_t i = 0; i < count; i++)
		memset(frame_data(h->f + i), 0x5a, 64);
	own(h->f, count, false);
}

static void strict(struct held *h, enum zone_id zone, unsigned order)
{
	static const paddr_t bounds[] = {0, 16u << 20, 4ull << 30, UINT64_MAX};

	h->order = order;
	h->f = frame_alloc_zone(order, zone, 0);
	if (!h->f)
		return;
	EXPECT(zone <= ZONE_NORMAL); /* the others have no frames */
	paddr_t at = frame_address(h->f);
	EXPECT(at >= bounds[zone] && at < bounds[zone + 1]);
	strict_seen |= 1u << zone;
}

static bool take(struct held *h, struct test_random *random)
{
	static const unsigned kinds[] = {
		0, 0, FRAME_ZEROED, FRAME_DMA, FRAME_DMA32, FRAME_USER, FRAME_ZEROED | FRAME_DMA32};
	unsigned flags = kinds[test_random_below(random, ARRAY_SIZE(kinds))];
	*h = (struct held){};
	switch (test_random_below(random, 16)) {
	case 0:
		h->count = 1 + test_random_below(random, 50);
		h->order = (unsigned)test_random_below(random, 4);
		h->f = frame_alloc_contiguous(h->count, h->order, flags);
		break;
	case 1: /* also those that hybrid takes from its other half */
		h->order = (unsigned)test_random_below(random, FRAME_ORDERS);
		h->f = frame_alloc(h->order, flags);
		break;
	case 2 ... 3: /* from one zone and no other */
		strict(h, (enum zone_id)test_random_below(random, ZONE_COUNT),
		       (unsigned)test_random_below(random, 5));
		flags = 0;
		break;
	case 4 ... 7:
		h->order = (unsigned)test_random_below(random, 8);
		h->f = frame_alloc(h->order, flags);
		break;
	default:
		h->f = frame_alloc(0, flags);
	}
	if (h->f)
		check_block(h, flags);
	return h->f;
}

static void give(struct held *h)
{
	own(h->f, h->count ? h->count : (size_t)1 << h->order, true);
	if (h->count) {
		for (size_t i = 0; i < h->count; i++)
			frame_free(h->f + i, 0);
	} else if (h->order == 0) {
		frame_put(h->f);
	} else {
		frame_free(h->f, h->order);
	}
	h->f = nullptr;
}

/* A batch: taken and given back at once. */
static void batch(struct test_random *random)
{
	struct frame *frames[100];
	size_t want = 1 + test_random_below(random, ARRAY_SIZE(frames));
	size_t n = frame_alloc_batch(frames, want, FRAME_USER);
	EXPECT(n <= want);
	for (size_t i = 0; i < n; i++)
		own(frames[i], 1, false);
	for (size_t i = 0; i < n; i++)
		own(frames[i], 1, true);
	frame_free_batch(frames, n);
}

/* The free blocks by order of all zones, with nothing in the CPU caches. */
static void blocks_of(uint64_t blocks[ZONE_COUNT][FRAME_ORDERS])
{
	struct zone_info z;
	frame_reclaim();
	for (size_t i = 0; zone_info(i, &z); i++)
		memcpy(blocks[i], z.blocks, sizeof(z.blocks));
}

/* What the allocator thinks is free is what the model thinks: no frame lost, none in two hands. */
static void audit(const uint8_t *never)
{
	struct zone *z;
	frame_reclaim();
	for (size_t i = 0; (z = zone_get(i)); i++) {
		uint64_t free = 0, in_blocks = 0;
		struct zone_info info;
		zone_figures(z, &info);
		for (unsigned o = 0; o < FRAME_ORDERS; o++)
			in_blocks += info.blocks[o] << o;
		for (pfn_t pfn = z->start; pfn < z->end; pfn++) {
			bool is = frame_allocator->is_free(z, pfn);
			free += is;
			if (frees)
				EXPECT_EQ(is, !owned[pfn] && !never[pfn]);
			else if (is)
				EXPECT(!owned[pfn]);
		}
		EXPECT_EQ(info.free, free);
		EXPECT_EQ(in_blocks, free);
	}
}

/* Another policy, any that loses nothing; the frames are those of before. */
static void change(struct test_random *random)
{
	const struct frame_allocator_ops *next = frame_policy_get(test_random_below(random, 3));
	const struct frame_allocator_ops *before = frame_policy_current();

	frame_policy_change(next);
	EXPECT(frame_policy_current() == next);
	EXPECT(frame_policy_audit());
	if (test_random_below(random, 4) == 0) /* taken back */
		frame_policy_change(before);
}

/* Memory for all changes, so that none is taken later: two bitmaps a zone. */
static void prepare(void)
{
	const struct frame_allocator_ops *first = frame_policy_current();

	EXPECT_OK(frame_policy_prepare(&frame_allocator_hybrid));
	frame_policy_change(&frame_allocator_hybrid);
	EXPECT_OK(frame_policy_prepare(&frame_allocator_bitmap));
	frame_policy_change(first);
}

/* `changing`: the policy does not stay the one of that name, but in the end. */
static void conforms(const char *name, struct test_random *random, bool changing)
{
	static struct held held[HELD];
	static uint64_t before[ZONE_COUNT][FRAME_ORDERS], after[ZONE_COUNT][FRAME_ORDERS];
	char command_line[32];
	struct zone *z;
	format(command_line, sizeof(command_line), "pmm=%s", name);
	test_kernel(&(struct host_config){.ram_dirty = true,
					  .ram_size = 96u << 20,
					  .seed = test_seed(),
					  .command_line = command_line});
	REQUIRE(strcmp(frame_allocator_name(), name) == 0);
	frees = strcmp(name, "bump") != 0;
	owned = calloc(1u << 21, 1);
	uint8_t *never = calloc(1u << 21, 1); /* the kernel's own and what is no RAM */
	const struct frame_allocator_ops *first = frame_policy_current();
	if (changing)
		prepare();
	uint64_t free = frame_totals().free;
	blocks_of(before);
	for (size_t i = 0; (z = zone_get(i)); i++)
		for (pfn_t pfn = z->start; pfn < z->end; pfn++)
			never[pfn] = !frame_allocator->is_free(z, pfn);
	for (int n = 0; n < STEPS && test_failures() == 0; n++) {
		struct held *h = &held[test_random_below(random, HELD)];
		if (n % 64 == 0)
			batch(random);
		else if (h->f)
			give(h);
		else
			take(h, random);
		if (changing && n % (STEPS / 64) == 7)
			change(random);
		if (n % (STEPS / 8) == 0)
			audit(never);
	}
	for (size_t i = 0; i < HELD; i++) {
		if (held[i].f)
			give(&held[i]);
	}
	if (changing)
		frame_policy_change(first);
	EXPECT_EQ(strict_seen, 1u << ZONE_DMA | 1u << ZONE_DMA32 | 1u << ZONE_NORMAL);
	audit(never);
	if (!frees)
		return;
	EXPECT_EQ(frame_totals().free, free);
	blocks_of(after); /* as large as on an untouched machine */
	EXPECT_MEM(before, after, sizeof(before));
}

PROPERTY(allocators_buddy_conforms, 1)
{
	conforms("buddy", random, false);
}

PROPERTY(allocators_bitmap_conforms, 1)
{
	conforms("bitmap", random, false);
}

PROPERTY(allocators_hybrid_conforms, 1)
{
	conforms("hybrid", random, false);
	struct zone_info z;
	REQUIRE(zone_info(1, &z));
	EXPECT(z.small > z.large && z.large > 0);
}

PROPERTY(allocators_bump_conforms, 1)
{
	conforms("bump", random, false);
}

PROPERTY(allocators_change, 1)
{
	conforms("buddy", random, true);
}

PROPERTY(allocators_change_bitmap, 1)
{
	conforms("bitmap", random, true);
}

PROPERTY(allocators_change_hybrid, 1)
{
	conforms("hybrid", random, true);
}

/* What could not be changed to is gone back to, if the change away from it fails later. */
TEST(allocators_change_back_to_bump)
{
	static uint64_t blocks[ZONE_COUNT][FRAME_ORDERS];
	uint64_t sum = 0;

	test_kernel(&(struct host_config){.ram_size = 96u << 20, .command_line = "pmm=bump"});
	frame_reclaim();
	EXPECT_OK(frame_policy_prepare(&frame_allocator_hybrid));
	uint64_t free = frame_totals().free;
	frame_policy_change(&frame_allocator_hybrid);
	EXPECT(frame_policy_audit());
	frame_policy_change(&frame_allocator_bump);
	EXPECT(frame_policy_audit());
	EXPECT_EQ(frame_totals().free, free);
	blocks_of(blocks);
	for (size_t i = 0; i < ZONE_COUNT; i++)
		for (unsigned o = 0; o < FRAME_ORDERS; o++)
			sum += blocks[i][o] << o;
	EXPECT_EQ(sum, frame_totals().free); /* what CPUs had in their caches is lost */
	EXPECT(frame_alloc_contiguous(256, 8, 0) != nullptr);
	frame_policy_release();
}

TEST(allocators_change_refused)
{
	test_kernel(nullptr);
	EXPECT_EQ(frame_policy_prepare(&frame_allocator_bump), KERR_OPNOTSUPP);
	uint64_t free = frame_totals().free;
	EXPECT_OK(frame_policy_prepare(&frame_allocator_hybrid));
	frame_policy_release();
	frame_reclaim();
	EXPECT_EQ(frame_totals().free, free);
}

TEST(allocators_unknown_name)
{
	test_kernel(&(struct host_config){.command_line = "pmm=magic"});
	EXPECT(strcmp(frame_allocator_name(), "buddy") == 0);
}

/* Two neighbours are freed, then the second again, which heads no block by then. */
static void free_twice(const char *command_line)
{
	test_kernel(&(struct host_config){.command_line = command_line});
	struct frame *f = frame_alloc_contiguous(2, 1, 0);
	frame_free(f, 0);
	frame_free(f + 1, 0);
	frame_reclaim();
	frame_free(f + 1, 0);
}

TEST_DIES(allocators_buddy_double_free, "double free")
{
	free_twice("pmm=buddy");
}

TEST_DIES(allocators_bitmap_double_free, "double free")
{
	free_twice("pmm=bitmap");
}

TEST_DIES(allocators_hybrid_double_free, "double free")
{
	free_twice("pmm=hybrid");
}

TEST_DIES(allocators_wrong_size, "wrong size")
{
	test_kernel(nullptr);
	frame_free(frame_alloc(3, 0), 2);
}
