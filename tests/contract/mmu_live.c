/*
 * Contract: what the CPU's MMU does with entries: publish, flush, rights, accessed and dirty, tables
 * taken out, large leaves, address-space tags, the kernel's half. With tables made by hand (space.h).
 */
#include "space.h"

#include <mm/kmap.h>

KERNEL_TEST(mmu_maps_after_publish)
{
	struct space s;
	uint64_t word;

	space_begin(&s, 0);
	paddr_t page = space_frame(&s);
	*(uint64_t *)space_data(page) = 0x1234567890abcdef;
	EXPECT(!space_read(SPACE_VA, &word));
	space_map(&s, SPACE_VA, page, MAP_USER_WRITE);
	SPACE_HOLDS(SPACE_VA, 0x1234567890abcdef);
	EXPECT(space_write(SPACE_VA + 8, 42));
	EXPECT_EQ(((uint64_t *)space_data(page))[1], 42);
	EXPECT(!space_read(SPACE_VA + PAGE_SIZE, &word));
	space_end(&s);
}

KERNEL_TEST(mmu_unmaps_after_flush)
{
	struct space s;
	uint64_t word;

	space_begin(&s, 0);
	for (size_t i = 0; i < 8; i++) {
		paddr_t page = space_frame(&s);
		*(uint64_t *)space_data(page) = i;
		space_map(&s, SPACE_VA + i * PAGE_SIZE, page, MAP_USER_WRITE);
		SPACE_HOLDS(SPACE_VA + i * PAGE_SIZE, i);
	}
	/* One; a range; everything of the tag. */
	space_unmap(&s, SPACE_VA);
	EXPECT(!space_read(SPACE_VA, &word));
	SPACE_HOLDS(SPACE_VA + PAGE_SIZE, 1);
	for (size_t i = 1; i < 5; i++)
		*space_entry(&s, SPACE_VA + i * PAGE_SIZE, 0) = (pte_t){};
	hal.mmu.flush(s.asid, SPACE_VA + PAGE_SIZE, 4, false);
	for (size_t i = 1; i < 5; i++)
		EXPECT(!space_read(SPACE_VA + i * PAGE_SIZE, &word));
	SPACE_HOLDS(SPACE_VA + 5 * PAGE_SIZE, 5);
	for (size_t i = 5; i < 8; i++)
		*space_entry(&s, SPACE_VA + i * PAGE_SIZE, 0) = (pte_t){};
	hal.mmu.flush(s.asid, 0, HAL_FLUSH_ALL, true);
	for (size_t i = 5; i < 8; i++)
		EXPECT(!space_read(SPACE_VA + i * PAGE_SIZE, &word));
	/* Everything at all. */
	space_map(&s, SPACE_VA, space_frame(&s), MAP_USER_WRITE);
	EXPECT(space_read(SPACE_VA, &word));
	*space_entry(&s, SPACE_VA, 0) = (pte_t){};
	hal.mmu.flush(HAL_ASID_NONE, 0, HAL_FLUSH_ALL, true);
	EXPECT(!space_read(SPACE_VA, &word));
	space_end(&s);
}

/* Long ranges may be flushed in another way than short ones. */
KERNEL_TEST(mmu_flushes_long_ranges)
{
	static const size_t lengths[] = {1, 2, 31, 32, 33, 64, 100, 500, 513, 5000, 300000};
	struct space s;
	uint64_t word;

	space_begin(&s, 0);
	paddr_t page = space_frame(&s);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		vaddr_t last = SPACE_VA + (MIN(lengths[i], (size_t)500) - 1) * PAGE_SIZE;
		space_map(&s, SPACE_VA, page, MAP_USER_WRITE);
		space_map(&s, last, page, MAP_USER_WRITE);
		EXPECT(space_read(SPACE_VA, &word) && space_read(last, &word));
		*space_entry(&s, SPACE_VA, 0) = *space_entry(&s, last, 0) = (pte_t){};
		hal.mmu.flush(s.asid, SPACE_VA, lengths[i], false);
		if (!EXPECT(!space_read(SPACE_VA, &word)) || !EXPECT(!space_read(last, &word)))
			ktest_note("%zu pages", lengths[i]);
	}
	space_end(&s);
}

KERNEL_TEST(mmu_read_only_until_changed)
{
	struct space s;
	uint64_t word;

	space_begin(&s, 0);
	paddr_t page = space_frame(&s);
	space_map(&s, SPACE_VA, page, MAP_USER_READ);
	EXPECT(space_read(SPACE_VA, &word));
	EXPECT(!space_write(SPACE_VA, 1));
	*space_entry(&s, SPACE_VA, 0) = hal.mmu.leaf(page, MAP_USER_WRITE, 0);
	hal.mmu.flush(s.asid, SPACE_VA, 1, false);
	EXPECT(space_write(SPACE_VA, 1));
	*space_entry(&s, SPACE_VA, 0) = hal.mmu.leaf(page, MAP_USER_READ, 0);
	hal.mmu.flush(s.asid, SPACE_VA, 1, false);
	EXPECT(!space_write(SPACE_VA, 2));
	SPACE_HOLDS(SPACE_VA, 1);
	space_end(&s);
}

/* Either the CPU sets the bit or the access faults. */
KERNEL_TEST(mmu_accessed_and_dirty)
{
	struct space s;
	uint64_t word;
	const map_flags_t bare = MAP_PRESENT | MAP_USER | MAP_WRITABLE | MAP_NO_EXECUTE;

	space_begin(&s, 0);
	paddr_t page = space_frame(&s);
	space_map(&s, SPACE_VA, page, bare);
	bool read = space_read(SPACE_VA, &word);
	map_flags_t now = hal.mmu.decode(*space_entry(&s, SPACE_VA, 0), 0).flags;
	EXPECT_EQ(!!(now & MAP_ACCESSED), read);
	EXPECT(!(now & MAP_DIRTY));
	space_unmap(&s, SPACE_VA);
	space_map(&s, SPACE_VA, page, bare | MAP_ACCESSED);
	EXPECT(space_read(SPACE_VA, &word));
	bool written = space_write(SPACE_VA, 1);
	now = hal.mmu.decode(*space_entry(&s, SPACE_VA, 0), 0).flags;
	EXPECT_EQ(!!(now & MAP_DIRTY), written);
	EXPECT(now & MAP_WRITABLE);
	space_unmap(&s, SPACE_VA);
	space_map(&s, SPACE_VA, page, bare | MAP_ACCESSED | MAP_DIRTY);
	EXPECT(space_write(SPACE_VA, 2));
	space_end(&s);
}

KERNEL_TEST(mmu_table_taken_out)
{
	struct space s;
	uint64_t word;

	space_begin(&s, 0);
	paddr_t first = space_frame(&s), second = space_frame(&s);
	*(uint64_t *)space_data(first) = 1;
	*(uint64_t *)space_data(second) = 2;
	for (int i = 0; i < 10; i++) {
		space_map(&s, SPACE_VA, i % 2 ? second : first, MAP_USER_WRITE);
		SPACE_HOLDS(SPACE_VA, i % 2 ? 2 : 1);
		*space_entry(&s, SPACE_VA, 1) = (pte_t){};
		hal.mmu.flush(s.asid, SPACE_VA, 1, true);
		EXPECT(!space_read(SPACE_VA, &word));
	}
	space_end(&s);
}

KERNEL_TEST(mmu_large_leaf)
{
	struct space s;
	uint64_t word;
	struct frame *f = frame_alloc(9, 0);

	if (!(hal.mmu.geometry()->leaf_levels & 2) || !f) {
		if (f)
			frame_free(f, 9);
		ktest_skip("no 2 MiB leaves, or no memory");
		return;
	}
	paddr_t pa = frame_address(f);
	for (size_t i = 0; i < 512; i++)
		*(uint64_t *)space_data(pa + i * PAGE_SIZE) = i;
	space_begin(&s, 0);
	*space_entry(&s, SPACE_VA, 1) = hal.mmu.leaf(pa, MAP_USER_WRITE, 1);
	hal.mmu.publish();
	for (size_t i = 0; i < 512; i += 73)
		SPACE_HOLDS(SPACE_VA + i * PAGE_SIZE, i);
	EXPECT(space_write(SPACE_VA + 511 * PAGE_SIZE, 1000));
	EXPECT_EQ(*(uint64_t *)space_data(pa + 511 * PAGE_SIZE), 1000);
	/* A flush of one page inside it forgets the whole leaf. */
	*space_entry(&s, SPACE_VA, 1) = (pte_t){};
	hal.mmu.flush(s.asid, SPACE_VA + 100 * PAGE_SIZE, 1, false);
	EXPECT(!space_read(SPACE_VA + 100 * PAGE_SIZE, &word));
	space_end(&s);
	frame_free(f, 9);
}

KERNEL_TEST(mmu_address_spaces_are_apart)
{
	struct space a, b;
	uint64_t word;

	space_begin(&a, 0);
	paddr_t page_a = space_frame(&a);
	*(uint64_t *)space_data(page_a) = 0xa;
	space_map(&a, SPACE_VA, page_a, MAP_USER_WRITE);
	space_begin(&b, 1);
	paddr_t page_b = space_frame(&b);
	*(uint64_t *)space_data(page_b) = 0xb;
	space_map(&b, SPACE_VA, page_b, MAP_USER_WRITE);
	space_map(&b, SPACE_VA + PAGE_SIZE, page_b, MAP_USER_WRITE);
	for (int i = 0; i < 5; i++) {
		space_activate(&a);
		SPACE_HOLDS(SPACE_VA, 0xa);
		EXPECT(!space_read(SPACE_VA + PAGE_SIZE, &word));
		space_activate(&b);
		SPACE_HOLDS(SPACE_VA, 0xb);
		SPACE_HOLDS(SPACE_VA + PAGE_SIZE, 0xb);
	}
	/* A flush of one tag does not depend on which is active. */
	space_activate(&a);
	*space_entry(&b, SPACE_VA, 0) = (pte_t){};
	hal.mmu.flush(b.asid, SPACE_VA, 1, false);
	space_activate(&b);
	EXPECT(!space_read(SPACE_VA, &word));
	space_end(&b);
	EXPECT(!space_read(SPACE_VA, &word)); /* the kernel's own: no user address translates */
	space_activate(&a);
	SPACE_HOLDS(SPACE_VA, 0xa);
	space_end(&a);
}

/* An entry of the kernel's half, changed by hand under a kernel area's page. */
KERNEL_TEST(mmu_kernel_entry_changes_after_flush)
{
	volatile uint64_t *p = kmap_alloc(PAGE_SIZE);
	struct frame *other = frame_alloc(0, FRAME_ZEROED);
	unsigned level;

	REQUIRE(p && other);
	*p = 1;
	*(volatile uint64_t *)frame_data(other) = 2;
	pte_t *entry = space_kernel_entry((vaddr_t)p, &level), before = *entry;
	REQUIRE(level == 0);
	bool on = hal.cpu.irq_save();
	*entry = (pte_t){};
	hal.mmu.flush(HAL_ASID_NONE, (vaddr_t)p, 1, false);
	*entry = hal.mmu.leaf(frame_address(other), MAP_KERNEL_WRITE, 0);
	hal.mmu.publish();
	EXPECT_EQ(*p, 2);
	*p = 3;
	EXPECT_EQ(*(volatile uint64_t *)frame_data(other), 3);
	*entry = (pte_t){};
	hal.mmu.flush(HAL_ASID_NONE, (vaddr_t)p, 1, false);
	*entry = before;
	hal.mmu.publish();
	EXPECT_EQ(*p, 1);
	hal.cpu.irq_restore(on);
	kmap_free((void *)p);
	frame_free(other, 0);
}

KERNEL_TEST(mmu_kernel_half_under_every_root)
{
	volatile uint64_t *p = kmap_alloc(PAGE_SIZE);
	struct space s;

	REQUIRE(p);
	*p = 7;
	space_begin(&s, 0);
	EXPECT_EQ(*p, 7);
	*p = 8;
	hal.mmu.flush(HAL_ASID_NONE, 0, HAL_FLUSH_ALL, true);
	EXPECT_EQ(*p, 8);
	space_end(&s);
	EXPECT_EQ(*p, 8);
	kmap_free((void *)p);
}

KERNEL_TEST(mmu_page_zero_and_copy)
{
	struct frame *frames[3];
	uint8_t *p[3];

	for (int i = 0; i < 3; i++) {
		frames[i] = frame_alloc(0, 0);
		REQUIRE(frames[i]);
		p[i] = frame_data(frames[i]);
	}
	for (size_t i = 0; i < PAGE_SIZE; i++) {
		p[0][i] = (uint8_t)(i * 7 + i / 256);
		p[1][i] = p[2][i] = 0x55;
	}
	hal.mmu.page_copy(p[1], p[0]);
	EXPECT_MEM(p[1], p[0], PAGE_SIZE);
	EXPECT_EQ(p[0][4095], (uint8_t)(4095 * 7 + 15));
	hal.mmu.page_zero(p[1]);
	for (size_t i = 0; i < PAGE_SIZE; i++)
		REQUIRE(p[1][i] == 0);
	hal.mmu.page_zero(p[0]);
	for (size_t i = 0; i < PAGE_SIZE; i++)
		REQUIRE(p[2][i] == 0x55);
	for (int i = 0; i < 3; i++)
		frame_free(frames[i], 0);
}
