/*
 * Frames: what the CPU caches do, the bump allocator of the boot, the sanitised memory map, and errors
 * that must be noticed. (The allocators: mm_allocators.c.)
 */
#include "machine.h"

#include "allocator.h"
#include "bump.h"
#include "memory_map.h"

#include <mm/memory.h>
#include <stdio.h>

TEST(frames_run_out)
{
	test_kernel(&(struct host_config){.ram_size = 32u << 20});
	uint64_t free = frame_totals().free, n = 0;
	struct frame *f, *chain = nullptr;
	/* A program leaves the reserve, the kernel gets it. */
	while ((f = frame_alloc(0, FRAME_USER))) {
		f->private = (uint64_t)chain;
		chain = f;
		n++;
	}
	EXPECT(n < free && n > free * 8 / 10);
	EXPECT((f = frame_alloc(0, 0)));
	frame_free(f, 0);
	while ((f = frame_alloc(0, 0))) {
		f->private = (uint64_t)chain;
		chain = f;
		n++;
	}
	EXPECT_EQ(n, free);
	EXPECT(!frame_alloc(3, 0));
	EXPECT(!frame_alloc_contiguous(5, 0, 0));
	while (chain) {
		f = chain;
		chain = (struct frame *)f->private;
		frame_free(f, 0);
	}
	EXPECT_EQ(frame_totals().free, free);
	EXPECT((f = frame_alloc(FRAME_ORDERS - 2, 0)));
	frame_free(f, FRAME_ORDERS - 2);
	EXPECT(!frame_alloc(FRAME_ORDERS, 0));
	EXPECT(!frame_alloc_contiguous(FRAME_BLOCK + 1, 0, 0));
	EXPECT(!frame_alloc_contiguous(0, 0, 0));
}

TEST(frames_idle_zeroes_ahead)
{
	test_kernel(&(struct host_config){.ram_dirty = true});
	int work = 0;
	while (frame_idle_work())
		work++;
	EXPECT(work > 4 && work < 100);
	for (int i = 0; i < work; i++) {
		struct frame *f = frame_alloc(0, FRAME_ZEROED);
		for (size_t k = 0; k < 512; k++)
			EXPECT(((uint64_t *)frame_data(f))[k] == 0);
	}
}

TEST_DIES(frames_double_free, "double free")
{
	test_kernel(nullptr);
	struct frame *f = frame_alloc(0, 0);
	frame_free(f, 0);
	frame_free(f, 0);
}

TEST_DIES(frames_double_free_of_block, "free")
{
	test_kernel(nullptr);
	struct frame *f = frame_alloc(3, 0);
	frame_free(f, 3);
	frame_free(f, 3);
}

TEST_DIES(frames_foreign_free, "foreign free")
{
	struct boot_info *info = test_kernel(nullptr);
	frame_free(frame_at(info->image_start), 0);
}

TEST_DIES(frames_misaligned_free, "misaligned")
{
	test_kernel(nullptr);
	struct frame *f = frame_alloc(3, 0);
	frame_free(f + 1, 3);
}

/* ---- The bump allocator ------------------------------------------------------------------------ */

#define MAP_FRAMES 4096u
static uint8_t bump_state[MAP_FRAMES]; /* 1: taken, 2: given back */

static void bump_give(paddr_t start, paddr_t end)
{
	for (paddr_t at = start; at < end; at += PAGE_SIZE) {
		EXPECT_EQ(bump_state[at >> PAGE_SHIFT], 0);
		bump_state[at >> PAGE_SHIFT] = 2;
	}
}

PROPERTY(bump_takes_and_gives, 1)
{
	struct memory_range map[] = {
		{0x1000, 0x9fc00, BOOT_MEM_USABLE, "a"},
		{0x100000, 0x400800, BOOT_MEM_USABLE, "b"},
		{0x400800, 0x500000, BOOT_MEM_RESERVED, "c"},
		{0x500000, 0x1000000, BOOT_MEM_USABLE, "d"},
	};
	test_machine(nullptr);
	bump_start(map, ARRAY_SIZE(map), 0x100000, 0x800000);
	uint64_t taken = 0;
	for (int n = 0; n < 900; n++) {
		size_t size = test_random_below(random, 4) ? PAGE_SIZE : 0x10000;
		if (n == 300)
			bump_widen(0, ~0ull);
		paddr_t at = bump_take(size, size);
		if (!at)
			continue;
		EXPECT(IS_ALIGNED(at, size));
		EXPECT(n >= 300 || (at >= 0x100000 && at + size <= 0x800000));
		EXPECT((at >= 0x1000 && at + size <= 0x9f000) ||
		       (at >= 0x100000 && at + size <= 0x400000) ||
		       (at >= 0x500000 && at + size <= 0x1000000));
		for (size_t i = 0; i < size; i += PAGE_SIZE) {
			EXPECT_EQ(bump_state[(at + i) >> PAGE_SHIFT], 0);
			bump_state[(at + i) >> PAGE_SHIFT] = 1;
			taken++;
		}
	}
	EXPECT_EQ(bump_used(), taken);
	bump_retire(bump_give);
	for (paddr_t at = 0; at < 0x1000000; at += PAGE_SIZE) {
		bool usable = (at >= 0x1000 && at < 0x9f000) || (at >= 0x100000 && at < 0x400000) ||
			      at >= 0x500000;
		EXPECT_EQ(bump_state[at >> PAGE_SHIFT] != 0, usable);
	}
}

TEST_DIES(bump_is_retired, "bump allocator")
{
	test_kernel(nullptr);
	EXPECT(!bump_take(PAGE_SIZE, PAGE_SIZE));
}

/* ---- The memory map ---------------------------------------------------------------------------- */

static unsigned rank(enum boot_memory_kind kind)
{
	static const unsigned ranks[] = {
		[BOOT_MEM_USABLE] = 0, [BOOT_MEM_BOOTLOADER] = 1, [BOOT_MEM_ACPI_RECLAIM] = 2,
		[BOOT_MEM_KERNEL] = 3, [BOOT_MEM_ACPI_NVS] = 4,   [BOOT_MEM_RESERVED] = 5,
		[BOOT_MEM_DEVICE] = 6, [BOOT_MEM_BAD] = 7};
	return ranks[kind];
}

/* The kind at `at` by the rule; -1: nothing there. */
static int kind_at(const struct boot_region *in, size_t n, paddr_t at)
{
	int best = -1;
	bool ours = false;
	for (size_t i = 0; i < n; i++) {
		if (in[i].start > at || at >= in[i].end)
			continue;
		ours |= in[i].kind == BOOT_MEM_KERNEL || in[i].kind == BOOT_MEM_BOOTLOADER;
		if (best < 0 || rank(in[i].kind) > rank((enum boot_memory_kind)best))
			best = (int)in[i].kind;
	}
	if (ours && best > BOOT_MEM_USABLE && best != BOOT_MEM_BOOTLOADER &&
	    best != BOOT_MEM_ACPI_RECLAIM)
		return BOOT_MEM_KERNEL; /* what the kernel reads stays mapped */
	return best;
}

static int kind_in(const struct memory_range *out, size_t n, paddr_t at)
{
	for (size_t i = 0; i < n; i++) {
		if (out[i].start <= at && at < out[i].end)
			return (int)out[i].kind;
	}
	return -1;
}

#define ENTRIES 1000u

PROPERTY(memory_map_of_1000_overlapping_entries, 5)
{
	static struct boot_region in[ENTRIES];
	static struct memory_range out[2 * ENTRIES];
	static paddr_t bounds[2 * ENTRIES];
	for (size_t i = 0; i < ENTRIES; i++) {
		paddr_t start = test_random_below(random, 1u << 24);
		in[i] = (struct boot_region){start, start + test_random_below(random, 1u << 18),
					     (enum boot_memory_kind)test_random_below(random, 8),
					     "x"};
		if (test_random_below(random, 50) == 0)
			in[i].end = start - 1; /* nonsense */
	}
	size_t n = memory_map_sanitise(in, ENTRIES, out, bounds);
	EXPECT(n <= 2 * ENTRIES);
	for (size_t i = 0; i < n; i++) {
		EXPECT(out[i].start < out[i].end);
		EXPECT(i == 0 || out[i - 1].end <= out[i].start);
	}
	for (int k = 0; k < 20000; k++) {
		paddr_t at = test_random_below(random, (1u << 24) + (1u << 18));
		EXPECT_EQ(kind_in(out, n, at), kind_at(in, ENTRIES, at));
	}
	for (size_t i = 0; i < ENTRIES; i++) {
		for (int d = -1; d <= 0; d++)
			EXPECT_EQ(kind_in(out, n, in[i].end + (paddr_t)(int64_t)d),
				  kind_at(in, ENTRIES, in[i].end + (paddr_t)(int64_t)d));
	}
}

TEST(memory_map_finds_a_raw_hole)
{
	struct boot_region in[] = {
		{0x100000, 0x200000, BOOT_MEM_USABLE, "a"},
		{0x180000, 0x190000, BOOT_MEM_KERNEL, "b"},
		{0x1f0000, 0x300000, BOOT_MEM_RESERVED, "c"},
		{0x800000, 0x804000, BOOT_MEM_USABLE, "d"},
	};
	EXPECT_EQ(bump_find_raw(in, 4, 0, ~0ull, 0x4000), 0x800000);
	EXPECT_EQ(bump_find_raw(in, 4, 0, ~0ull, 0x5000), 0x1eb000);
	EXPECT_EQ(bump_find_raw(in, 4, 0, ~0ull, 0x60000), 0x190000);
	EXPECT_EQ(bump_find_raw(in, 4, 0, ~0ull, 0x70000), 0x110000);
	EXPECT_EQ(bump_find_raw(in, 4, 0, ~0ull, 0x90000), 0);
	EXPECT_EQ(bump_find_raw(in, 4, 0, 0x180000, 0x1000), 0x17f000);
}

TEST(memory_reservations_do_not_overlap)
{
	EXPECT_OK(memory_reserve(0x1000, 0x3000, "one"));
	EXPECT_EQ(memory_reserve(0x2000, 0x4000, "two"), KERR_EXIST);
	EXPECT_EQ(memory_reserve(0x3000, 0x3000, "empty"), KERR_INVAL);
	EXPECT_OK(memory_reserve(0x3000, 0x4000, "next"));
}
