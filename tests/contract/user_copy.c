/*
 * Contract: hal.user.copy and cmpxchg32: every length and alignment, and faults at each byte round
 * the end of what is mapped: exactly the bytes before it are copied.
 */
#include "space.h"

#include <lib/string.h>

#define EDGE (SPACE_VA + PAGE_SIZE) /* the first address that is not mapped */

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 13 + 1);
}

/* One page that is mapped, none behind it. */
static uint8_t *edge_begin(struct space *s, map_flags_t flags)
{
	space_begin(s, 0);
	paddr_t page = space_frame(s);
	space_map(s, SPACE_VA, page, flags);
	uint8_t *data = space_data(page);
	for (size_t i = 0; i < PAGE_SIZE; i++)
		data[i] = pattern(i);
	return data;
}

KERNEL_TEST(user_copy_reads_every_length_and_alignment)
{
	struct space s;
	uint8_t buf[160];

	edge_begin(&s, MAP_USER_WRITE);
	for (size_t offset = 0; offset < 16; offset++) {
		for (size_t n = 0; n <= 130; n++) {
			memset(buf, 0xaa, sizeof(buf));
			size_t to = (offset * 7 + n) % 16;
			size_t left = hal.user.copy(buf + to, (void *)(SPACE_VA + offset), n);
			bool good = EXPECT_EQ(left, 0);
			for (size_t i = 0; i < n; i++)
				good &= buf[to + i] == pattern(offset + i);
			good &= buf[to + n] == 0xaa && (to == 0 || buf[to - 1] == 0xaa);
			if (!EXPECT(good)) {
				ktest_note("%zu bytes from offset %zu", n, offset);
				break;
			}
		}
	}
	space_end(&s);
}

KERNEL_TEST(user_copy_writes_every_length_and_alignment)
{
	struct space s;
	uint8_t buf[160], *data = edge_begin(&s, MAP_USER_WRITE);

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)~pattern(i);
	for (size_t offset = 16; offset < 32; offset++) {
		for (size_t n = 0; n <= 130; n++) {
			memset(data, 0xaa, 256);
			size_t from = (offset * 5 + n) % 16;
			size_t left = hal.user.copy((void *)(SPACE_VA + offset), buf + from, n);
			bool good = EXPECT_EQ(left, 0);
			good &= memcmp(data + offset, buf + from, n) == 0;
			good &= data[offset - 1] == 0xaa && data[offset + n] == 0xaa;
			if (!EXPECT(good)) {
				ktest_note("%zu bytes to offset %zu", n, offset);
				break;
			}
		}
	}
	space_end(&s);
}

/* From each of the last bytes of the page, each length over its end. */
KERNEL_TEST(user_copy_read_ends_at_the_fault)
{
	struct space s;
	uint8_t buf[160];

	edge_begin(&s, MAP_USER_READ);
	for (size_t before = 0; before <= 70; before++) {
		for (size_t n = before + 1; n <= before + 40; n++) {
			memset(buf, 0xaa, sizeof(buf));
			size_t left = hal.user.copy(buf, (void *)(EDGE - before), n);
			bool good = EXPECT_EQ(left, n - before);
			for (size_t i = 0; i < before; i++)
				good &= buf[i] == pattern(PAGE_SIZE - before + i);
			if (!EXPECT(good)) {
				ktest_note("%zu bytes, %zu before the end", n, before);
				break;
			}
		}
	}
	space_end(&s);
}

KERNEL_TEST(user_copy_write_ends_at_the_fault)
{
	struct space s;
	uint8_t buf[160], *data = edge_begin(&s, MAP_USER_WRITE);

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)~pattern(i);
	for (size_t before = 0; before <= 70; before++) {
		for (size_t n = before + 1; n <= before + 40; n++) {
			memset(data + PAGE_SIZE - 128, 0xaa, 128);
			size_t left = hal.user.copy((void *)(EDGE - before), buf, n);
			bool good = EXPECT_EQ(left, n - before);
			good &= memcmp(data + PAGE_SIZE - before, buf, before) == 0;
			good &= data[PAGE_SIZE - before - 1] == 0xaa;
			if (!EXPECT(good)) {
				ktest_note("%zu bytes, %zu before the end", n, before);
				break;
			}
		}
	}
	space_end(&s);
}

/* The mapped page lies behind the hole: nothing is copied, wherever in the hole it starts. */
/* The kernel's copies are bound by what the thread allows itself. */
KERNEL_TEST(user_copy_obeys_protection_keys)
{
	struct space s;
	uint64_t word = 1;

	if (!hal.mmu.geometry()->protection_keys) {
		hal.user.key_rights(1, HAL_KEY_NO_ACCESS); /* does nothing */
		edge_begin(&s, MAP_USER_WRITE | MAP_KEY(1));
		EXPECT_EQ(hal.user.copy(&word, (void *)SPACE_VA, 8), 0);
		space_end(&s);
		return;
	}
	edge_begin(&s, MAP_USER_WRITE | MAP_KEY(3));
	hal.user.key_rights(3, 0);
	EXPECT_EQ(hal.user.copy(&word, (void *)SPACE_VA, 8), 0);
	EXPECT_EQ(hal.user.copy((void *)SPACE_VA, &word, 8), 0);
	hal.user.key_rights(3, HAL_KEY_NO_WRITE);
	EXPECT_EQ(hal.user.copy(&word, (void *)SPACE_VA, 8), 0);
	EXPECT_EQ(hal.user.copy((void *)SPACE_VA, &word, 8), 8);
	hal.user.key_rights(4, 0); /* another's */
	EXPECT_EQ(hal.user.copy((void *)SPACE_VA, &word, 8), 8);
	hal.user.key_rights(3, HAL_KEY_NO_ACCESS);
	EXPECT_EQ(hal.user.copy(&word, (void *)SPACE_VA, 8), 8);
	EXPECT_EQ(hal.user.copy((void *)SPACE_VA, &word, 8), 8);
	hal.user.key_rights(3, 0);
	EXPECT_EQ(hal.user.copy((void *)SPACE_VA, &word, 8), 0);
	hal.user.key_rights(3, HAL_KEY_NO_ACCESS); /* as a new program has it */
	hal.user.key_rights(4, HAL_KEY_NO_ACCESS);
	space_end(&s);
}

KERNEL_TEST(user_copy_starts_with_a_fault)
{
	struct space s;
	uint8_t buf[64];

	edge_begin(&s, MAP_USER_WRITE);
	for (size_t before = 1; before <= 20; before++) {
		EXPECT_EQ(hal.user.copy(buf, (void *)(SPACE_VA - before), 40), 40);
		EXPECT_EQ(hal.user.copy((void *)(SPACE_VA - before), buf, 40), 40);
	}
	EXPECT_EQ(hal.user.copy(buf, nullptr, 8), 8);
	EXPECT_EQ(hal.user.copy(nullptr, buf, 8), 8);
	space_end(&s);
}

KERNEL_TEST(user_copy_over_pages)
{
	static uint8_t buf[3 * 4096];
	struct space s;
	paddr_t pages[3];

	space_begin(&s, 0);
	for (size_t i = 0; i < 3; i++) {
		pages[2 - i] = space_frame(&s); /* not in rising order */
		space_map(&s, SPACE_VA + (2 - i) * PAGE_SIZE, pages[2 - i], MAP_USER_WRITE);
	}
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 31 + i / 4096);
	EXPECT_EQ(hal.user.copy((void *)(SPACE_VA + 5), buf + 3, sizeof(buf) - 100), 0);
	EXPECT_EQ(((uint8_t *)space_data(pages[1]))[0], buf[4096 - 5 + 3]);
	static uint8_t back[3 * 4096];
	EXPECT_EQ(hal.user.copy(back, (void *)(SPACE_VA + 5), sizeof(buf) - 100), 0);
	EXPECT_MEM(back, buf + 3, sizeof(buf) - 100);
	/* A read-only page in the middle ends a write at its start. */
	*space_entry(&s, SPACE_VA + PAGE_SIZE, 0) = hal.mmu.leaf(pages[1], MAP_USER_READ, 0);
	hal.mmu.flush(s.asid, SPACE_VA + PAGE_SIZE, 1, false);
	EXPECT_EQ(hal.user.copy((void *)(SPACE_VA + 4000), buf, 200), 104);
	space_end(&s);
}

KERNEL_TEST(user_cmpxchg)
{
	struct space s;
	uint32_t *data = (uint32_t *)edge_begin(&s, MAP_USER_WRITE);
	uint32_t *user = (uint32_t *)SPACE_VA, expected;

	data[0] = 5;
	data[1] = 77;
	expected = 5;
	EXPECT_OK(hal.user.cmpxchg32(user, &expected, 6));
	EXPECT_EQ(expected, 5);
	EXPECT_EQ(data[0], 6);
	expected = 5;
	EXPECT_OK(hal.user.cmpxchg32(user, &expected, 9));
	EXPECT_EQ(expected, 6);
	EXPECT_EQ(data[0], 6);
	EXPECT_EQ(data[1], 77);
	expected = 0;
	EXPECT_EQ(hal.user.cmpxchg32((uint32_t *)EDGE, &expected, 9), KERR_FAULT);
	EXPECT_EQ(hal.user.cmpxchg32(nullptr, &expected, 9), KERR_FAULT);
	space_unmap(&s, SPACE_VA);
	EXPECT_EQ(hal.user.cmpxchg32(user, &expected, 9), KERR_FAULT);
	space_end(&s);
}

KERNEL_TEST(user_cmpxchg_needs_a_writable_page)
{
	struct space s;
	uint32_t *data = (uint32_t *)edge_begin(&s, MAP_USER_READ), expected = 5;

	data[0] = 5;
	EXPECT_EQ(hal.user.cmpxchg32((uint32_t *)SPACE_VA, &expected, 6), KERR_FAULT);
	EXPECT_EQ(data[0], 5);
	space_end(&s);
}
