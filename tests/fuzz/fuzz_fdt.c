/*
 * The device-tree reader (hal/common/fdt.c): what it says of a good tree, and that no bytes
 * whatever make it read outside the blob or walk for ever. Each blob lies in a heap block of its
 * own size.
 */
#include "fdt_tree.h"
#include "fuzz.h"

#include "fdt.h"

#include <stdlib.h>

static void *tree_make(size_t *size)
{
	static struct fdt_writer w;

	*size = fdt_machine(&w);
	return fuzz_copy(w.blob, *size);
}

TEST(fdt_reads_a_machine)
{
	size_t size;
	void *blob = tree_make(&size);
	struct fdt fdt;
	struct fdt_node node;
	paddr_t start, end;
	uint64_t id, bytes;
	uint32_t domain, to, distance;
	const char *name;

	EXPECT_EQ(fdt_claimed_size(blob), size);
	REQUIRE(EXPECT_OK(fdt_open(&fdt, blob, size)));
	EXPECT_OK(fdt_open(&fdt, blob, size));
	EXPECT_STR(fdt_bootargs(&fdt), "quiet ktest");
	REQUIRE(fdt_memory(&fdt, 0, &start, &end, &domain));
	EXPECT_EQ(start, 0x80000000);
	EXPECT_EQ(end, 0x90000000);
	REQUIRE(fdt_memory(&fdt, 1, &start, &end, &domain));
	EXPECT_EQ(domain, 3);
	REQUIRE(fdt_distance(&fdt, 1, &domain, &to, &distance));
	EXPECT(domain == 3 && to == 5 && distance == 30);
	EXPECT(!fdt_distance(&fdt, 2, &domain, &to, &distance)); /* the third is cut short */
	EXPECT_EQ(start, 0x100000000);
	EXPECT_EQ(end, 0x140000000);
	EXPECT(!fdt_memory(&fdt, 2, &start, &end, &domain));
	REQUIRE(fdt_reserved(&fdt, 0, &start, &end, &name));
	EXPECT_EQ(end - start, 0x10000);
	REQUIRE(fdt_reserved(&fdt, 1, &start, &end, &name));
	EXPECT_EQ(end, 0x80080000);
	EXPECT(!fdt_reserved(&fdt, 2, &start, &end, &name));
	REQUIRE(fdt_cpu(&fdt, 0, &node, &id));
	EXPECT_EQ(id, 1);
	REQUIRE(fdt_cpu(&fdt, 1, &node, &id));
	EXPECT_EQ(id, 3);
	EXPECT(!fdt_cpu(&fdt, 2, &node, &id));
	REQUIRE(fdt_initrd(&fdt, &start, &end));
	EXPECT_EQ(end - start, 0x123456);
	EXPECT(fdt_seed(&fdt, &size));
	EXPECT_EQ(size, 16);
	REQUIRE(fdt_stdout(&fdt, &node));
	EXPECT_STR(fdt_name(&fdt, &node), "serial@100");
	REQUIRE(fdt_reg(&fdt, &node, 0, &start, &bytes));
	EXPECT_EQ(start, 0x10000100);
	EXPECT_EQ(bytes, 0x100);
	struct fdt_interrupt irq;
	REQUIRE(fdt_interrupt(&fdt, &node, 0, &irq));
	EXPECT_EQ(irq.controller, 7);
	EXPECT_EQ(irq.count, 1);
	EXPECT_EQ(irq.cells[0], 10);
	EXPECT(fdt_find_compatible(&fdt, "riscv,plic0", 0, &node));
	EXPECT(fdt_find_phandle(&fdt, 7, &node));
	EXPECT_STR(fdt_name(&fdt, &node), "plic@c000");
	EXPECT(fdt_parent(&fdt, &node, &node));
	EXPECT_STR(fdt_name(&fdt, &node), "soc");
	free(blob);
}

/* Everything the reader offers, on whatever it has accepted. */
static void walk_all(const struct fdt *fdt)
{
	static const char *const words[] = {
		"reg",     "compatible", "interrupts", "ranges", "phandle", "/soc/serial@100",
		"/chosen", "serial0",    "//",         "/a:b"};
	struct fdt_node node, other;
	struct fdt_interrupt irq;
	const char *name;
	const void *value;
	uint32_t domain;
	paddr_t start, end;
	uint64_t number, steps = 0;
	size_t size;
	uint32_t cell;

	fdt_root(fdt, &node);
	do {
		(void)strlen(fdt_name(fdt, &node));
		for (size_t i = 0; i < 8 && fdt_property_at(fdt, &node, i, &name, &value, &size);
		     i++)
			(void)(size && ((const uint8_t *)value)[size - 1] == strlen(name));
		for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
			(void)fdt_property(fdt, &node, words[i], &size);
			(void)fdt_u32(fdt, &node, words[i], i % 3, &cell);
			(void)fdt_number(fdt, &node, words[i], &number);
			(void)fdt_string(fdt, &node, words[i], i % 3);
		}
		for (size_t i = 0; i < 3; i++) {
			(void)fdt_reg_raw(fdt, &node, i, &number, &number);
			(void)fdt_reg(fdt, &node, i, &start, &number);
			(void)fdt_interrupt(fdt, &node, i, &irq);
		}
		(void)fdt_child(fdt, &node, &other);
		(void)fdt_sibling(fdt, &node, &other);
		(void)fdt_parent(fdt, &node, &other);
		(void)fdt_available(fdt, &node);
		(void)fdt_is_compatible(fdt, &node, "riscv,plic0");
		REQUIRE(++steps < 100000);
	} while (fdt_next(fdt, &node));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		(void)fdt_find_path(fdt, words[i], &node);
	(void)fdt_find_phandle(fdt, 7, &node);
	(void)fdt_find_compatible(fdt, "ns16550a", 0, &node);
	for (size_t i = 0; i < 40; i++) {
		(void)fdt_memory(fdt, i, &start, &end, &domain);
		(void)fdt_distance(fdt, i, &domain, &domain, &domain);
		(void)fdt_reserved(fdt, i, &start, &end, &name);
		(void)fdt_cpu(fdt, i, &node, &number);
	}
	(void)strlen(fdt_bootargs(fdt));
	(void)fdt_initrd(fdt, &start, &end);
	value = fdt_seed(fdt, &size);
	(void)(value && size && ((const uint8_t *)value)[size - 1]);
	(void)fdt_stdout(fdt, &node);
}

static bool try_blob(const void *data, size_t size)
{
	void *blob = fuzz_copy(data, size);
	struct fdt fdt;
	bool accepted = fdt_open(&fdt, blob, size) == KERR_OK;

	if (accepted)
		walk_all(&fdt);
	free(blob);
	return accepted;
}

TEST(fdt_refuses_every_shorter_blob)
{
	size_t size;
	uint8_t *blob = tree_make(&size);

	for (size_t n = 0; n < size; n++)
		EXPECT(!try_blob(blob, n));
	EXPECT(try_blob(blob, size));
	free(blob);
}

PROPERTY(fdt_survives_mutation, 40)
{
	static struct fdt_writer w;
	static uint8_t changed[sizeof(w.blob)];
	size_t size = fdt_machine(&w);
	unsigned accepted = 0;

	for (int i = 0; i < 300; i++) {
		memcpy(changed, w.blob, size);
		size_t n = fuzz_mutate(random, changed, size, sizeof(changed));
		accepted += try_blob(changed, n);
	}
	EXPECT(accepted > 0); /* or the walks were not tested at all */
}

/* Only structure tokens and lengths change: deep in what the checks are about. */
PROPERTY(fdt_survives_wrong_structure, 20)
{
	static struct fdt_writer w;
	size_t size = fdt_machine(&w);
	uint8_t *changed = malloc(size);

	for (int i = 0; i < 300; i++) {
		memcpy(changed, w.blob, size);
		for (uint64_t n = 1 + test_random_below(random, 3); n; n--) {
			size_t at = 72 + 4 * test_random_below(random, (size - 72) / 4);
			uint32_t words[] = {1, 2, 3, 4, 9, 0, 8, 0xffffffff, 0x7ffffffc, 64};
			uint32_t v = __builtin_bswap32(words[test_random_below(random, 10)]);
			memcpy(changed + at, &v, 4);
		}
		try_blob(changed, size);
	}
	free(changed);
}
