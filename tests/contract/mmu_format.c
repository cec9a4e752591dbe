/* Contract: geometry, and encoding and decoding of entries, for every combination of flags. */
#include <hal/hal.h>
#include <ktest/ktest.h>

#define RIGHTS (MAP_PRESENT | MAP_WRITABLE | MAP_USER | MAP_NO_EXECUTE | MAP_ACCESSED | MAP_SPECIAL)
#define CACHING (MAP_WRITE_THROUGH | MAP_NO_CACHE | MAP_WRITE_COMBINE)

static const map_flags_t free_flags[] = {
	MAP_WRITABLE, MAP_USER,       MAP_WRITE_THROUGH, MAP_NO_CACHE,      MAP_ACCESSED,
	MAP_DIRTY,    MAP_NO_EXECUTE, MAP_GLOBAL,        MAP_WRITE_COMBINE, MAP_SPECIAL,
};

static map_flags_t combination(unsigned n)
{
	map_flags_t flags = MAP_PRESENT;

	for (unsigned i = 0; i < ARRAY_SIZE(free_flags); i++)
		if (n & 1u << i)
			flags |= free_flags[i];
	return flags;
}

KERNEL_TEST(mmu_geometry_is_sound)
{
	const struct hal_mmu_geometry *g = hal.mmu.geometry();

	EXPECT(g->levels >= 3 && g->levels <= 5);
	EXPECT(g->leaf_levels & 1);
	EXPECT(g->leaf_levels >> 3 == 0);
	EXPECT(g->physical_bits >= 32 && g->physical_bits <= 56);
	EXPECT(g->asid_bits <= 16);
	/* A root shared by both halves gives each 256 entries, an own one all 512. */
	unsigned user_bits = 11 + 9 * g->levels + g->split_root;
	EXPECT(g->user_end > 0 && g->user_end <= (vaddr_t)1 << user_bits);
	EXPECT(g->kernel_start >= g->user_end);
	if (!g->split_root)
		EXPECT_EQ(g->kernel_start >> user_bits & 1, 1);
	EXPECT_EQ(g->kernel_start % PAGE_SIZE, 0);
	EXPECT_EQ(g->user_end % PAGE_SIZE, 0);
	EXPECT_EQ(hal.mmu.geometry(), g);
}

static void leaf_check(paddr_t frame, map_flags_t flags, unsigned level)
{
	pte_t entry = hal.mmu.leaf(frame, flags, level);
	struct pte_parts parts = hal.mmu.decode(entry, level);
	map_flags_t got = parts.flags;
	bool good = EXPECT_EQ(parts.kind, PTE_LEAF);

	good &= EXPECT(entry.raw != 0);
	good &= EXPECT_EQ(parts.address, frame);
	good &= EXPECT_EQ(got & RIGHTS, flags & RIGHTS);
	if (flags & MAP_WRITABLE)
		good &= EXPECT_EQ(got & MAP_DIRTY, flags & MAP_DIRTY);
	if (!(flags & MAP_USER))
		good &= EXPECT_EQ(got & MAP_GLOBAL, flags & MAP_GLOBAL);
	good &= EXPECT_EQ(!!(got & MAP_HUGE), level > 0);
	/* What a format lacks is dropped; nothing comes from nothing. Where several kinds of caching
	 * are asked for at once, the format chooses one. */
	map_flags_t asked = (flags & CACHING) & ((flags & CACHING) - 1) ? flags | CACHING : flags;
	good &= EXPECT_EQ(got & ~(asked | MAP_HUGE), 0);
	/* A second trip changes nothing. */
	good &= EXPECT_EQ(hal.mmu.leaf(frame, got & ~MAP_HUGE, level).raw, entry.raw);
	if (!good)
		ktest_note("with flags %#x on level %u: %#lx decodes to %#x", flags, level,
			   (unsigned long)entry.raw, got);
}

KERNEL_TEST(mmu_leaf_round_trip_of_every_flag_combination)
{
	const struct hal_mmu_geometry *g = hal.mmu.geometry();
	paddr_t top = (paddr_t)1 << g->physical_bits;

	for (unsigned level = 0; level < 3; level++) {
		if (!(g->leaf_levels & 1u << level))
			continue;
		paddr_t size = PAGE_SIZE << 9 * level;
		for (unsigned n = 0; n < 1u << ARRAY_SIZE(free_flags); n++)
			leaf_check(size * (n % 7), combination(n), level);
		leaf_check(top - size, MAP_KERNEL_WRITE, level);
		leaf_check(ALIGN_DOWN(top / 3, size), MAP_USER_CODE, level);
	}
}

KERNEL_TEST(mmu_caching_kinds)
{
	/* Ordinary memory has no caching flags, and none appear. */
	EXPECT_EQ(hal.mmu.decode(hal.mmu.leaf(0x1000, MAP_KERNEL_WRITE, 0), 0).flags & CACHING, 0);
	/* Device memory is told apart from it wherever the format has memory types at all. */
	pte_t device = hal.mmu.leaf(0x1000, MAP_KERNEL_WRITE | MAP_NO_CACHE, 0);
	map_flags_t got = hal.mmu.decode(device, 0).flags & CACHING;
	EXPECT(got == MAP_NO_CACHE || got == 0);
	if (got == 0)
		EXPECT_EQ(device.raw, hal.mmu.leaf(0x1000, MAP_KERNEL_WRITE, 0).raw);
}

/* The four types: what a format cannot tell apart becomes the next stricter, never the laxer. */
KERNEL_TEST(mmu_memory_types)
{
	static const struct {
		map_flags_t asked, may[3];
	} types[] = {
		{MAP_TYPE_IO, {MAP_TYPE_IO}},
		{MAP_TYPE_UNCACHED, {MAP_TYPE_UNCACHED, MAP_TYPE_COMBINE, MAP_TYPE_IO}},
		{MAP_TYPE_COMBINE, {MAP_TYPE_COMBINE, MAP_TYPE_UNCACHED, MAP_TYPE_IO}},
	};
	const paddr_t at = (paddr_t)3 << 30;
	pte_t normal = hal.mmu.leaf(at, MAP_KERNEL_WRITE, 0);
	bool any = hal.mmu.leaf(at, MAP_KERNEL_WRITE | MAP_TYPE_IO, 0).raw != normal.raw;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		for (unsigned level = 0; level < 2; level++) {
			pte_t e = hal.mmu.leaf(at, MAP_KERNEL_WRITE | types[i].asked, level);
			struct pte_parts parts = hal.mmu.decode(e, level);
			map_flags_t got = parts.flags & MAP_TYPES;
			EXPECT_EQ(parts.address, at);
			if (!any) /* the machine's own attributes decide */
				EXPECT_EQ(got, 0);
			else
				EXPECT(got == types[i].may[0] || got == types[i].may[1] ||
				       got == types[i].may[2]);
			EXPECT(!any || got);
		}
	}
	/* Device memory is none of the others. */
	if (any)
		EXPECT(hal.mmu.leaf(at, MAP_KERNEL_WRITE | MAP_TYPE_COMBINE, 0).raw !=
		       hal.mmu.leaf(at, MAP_KERNEL_WRITE | MAP_TYPE_IO, 0).raw);
}

/* Keys go through an entry where there are any, and are no matter of its rights. */
KERNEL_TEST(mmu_protection_keys)
{
	unsigned count = hal.mmu.geometry()->protection_keys;

	EXPECT(count == 0 || count == 16);
	for (unsigned level = 0; level < 2; level++) {
		for (unsigned key = 0; key < 16; key++) {
			pte_t e = hal.mmu.leaf(0x200000, MAP_USER_WRITE | MAP_KEY(key), level);
			struct pte_parts parts = hal.mmu.decode(e, level);
			EXPECT_EQ(MAP_KEY_OF(parts.flags), count ? key : 0);
			EXPECT_EQ(parts.flags & RIGHTS, MAP_USER_WRITE & RIGHTS);
			EXPECT_EQ(parts.address, 0x200000);
		}
	}
}

KERNEL_TEST(mmu_table_round_trip)
{
	const struct hal_mmu_geometry *g = hal.mmu.geometry();
	paddr_t top = (paddr_t)1 << g->physical_bits;
	const paddr_t places[] = {0x1000, 0x12345000, ALIGN_DOWN(top / 3, PAGE_SIZE),
				  top - PAGE_SIZE};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		for (unsigned level = 1; level < g->levels; level++) {
			struct pte_parts parts = hal.mmu.decode(hal.mmu.table(places[i]), level);
			EXPECT_EQ(parts.kind, PTE_TABLE);
			EXPECT_EQ(parts.address, places[i]);
			EXPECT_EQ(parts.flags, 0);
		}
	}
}

KERNEL_TEST(mmu_zero_is_nothing_here)
{
	for (unsigned level = 0; level < hal.mmu.geometry()->levels; level++) {
		struct pte_parts parts = hal.mmu.decode((pte_t){}, level);
		EXPECT_EQ(parts.kind, PTE_NONE);
		EXPECT_EQ(parts.flags, 0);
	}
}

/* Without MAP_PRESENT an entry keeps a place but gives no access. */
KERNEL_TEST(mmu_leaf_that_is_not_present)
{
	struct pte_parts parts =
		hal.mmu.decode(hal.mmu.leaf(0x5000, MAP_USER | MAP_WRITABLE, 0), 0);

	EXPECT(parts.kind != PTE_TABLE);
	EXPECT(!(parts.flags & MAP_PRESENT));
}
