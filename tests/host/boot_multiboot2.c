/*
 * Multiboot2 information that is cut short, mutilated or made up: multiboot2_check() must say no
 * without reading past the end (each block is allocated to size, so the sanitizers would see it), and
 * what it accepts must be safe to walk.
 */
#include "harness.h"
#include "multiboot2.h"

#include <stdlib.h>

struct block {
	uint8_t bytes[1024];
	uint32_t size;
};

static uint8_t *tag_add(struct block *b, uint32_t type, uint32_t size)
{
	uint8_t *tag = b->bytes + b->size;
	memcpy(tag, &type, 4);
	memcpy(tag + 4, &size, 4);
	b->size += ALIGN_UP(size, 8u);
	memcpy(b->bytes, &b->size, 4);
	return tag;
}

/* What GRUB writes: command line, module, memory map of two entries, RSDP, end. */
static struct block good_block(void)
{
	struct block b = {.size = MULTIBOOT2_HEADER};
	memcpy(tag_add(&b, MULTIBOOT2_COMMAND_LINE, 14) + 8, "quiet", 5);
	uint32_t module[2] = {0x100000, 0x200000}, stride = MULTIBOOT2_MAP_ENTRY_MIN;
	memcpy(tag_add(&b, MULTIBOOT2_MODULE, 23) + 8, module, sizeof(module));
	memcpy(tag_add(&b, MULTIBOOT2_MEMORY_MAP, 16 + 2 * stride) + 8, &stride, 4);
	tag_add(&b, MULTIBOOT2_RSDP_2, 44);
	tag_add(&b, MULTIBOOT2_END, 8);
	return b;
}

/* Checks a copy of exactly `size` bytes; walks what is accepted. */
static const char *check_copy(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	memcpy(copy, bytes, size);
	const char *wrong = multiboot2_check(copy, size);
	if (!wrong) {
		const uint8_t *tag = copy + MULTIBOOT2_HEADER;
		for (; multiboot2_type(tag) != MULTIBOOT2_END;
		     tag += ALIGN_UP(multiboot2_size(tag), 8u)) {
			if (multiboot2_type(tag) == MULTIBOOT2_COMMAND_LINE)
				EXPECT(strlen((const char *)tag + MULTIBOOT2_HEADER) < size);
			if (multiboot2_type(tag) == MULTIBOOT2_MODULE)
				EXPECT(strlen((const char *)tag + MULTIBOOT2_MODULE_STRING) < size);
		}
	}
	free(copy);
	return wrong;
}

TEST(multiboot2_accepts_what_grub_writes)
{
	struct block b = good_block();
	EXPECT(!check_copy(b.bytes, b.size));
}

TEST(multiboot2_refuses_every_shorter_block)
{
	struct block b = good_block();
	for (uint32_t size = 0; size < b.size; size++) {
		EXPECT(check_copy(b.bytes, size));
		if (size < 4)
			continue;
		memcpy(b.bytes, &size, 4); /* and one that says so itself */
		EXPECT(check_copy(b.bytes, size));
		memcpy(b.bytes, &b.size, 4);
	}
}

TEST(multiboot2_names_what_is_wrong)
{
	struct block b = good_block();
	memset(b.bytes + MULTIBOOT2_HEADER + 8, 'x', 6);
	EXPECT_STR(check_copy(b.bytes, b.size), "command line without an end");
	b = good_block();
	b.bytes[MULTIBOOT2_HEADER + 16 + 8 + 3] = 0xff;
	EXPECT_STR(check_copy(b.bytes, b.size), "module that ends before it starts");
	b = good_block();
	b.bytes[MULTIBOOT2_HEADER + 16 + 24 + 8] = 8;
	EXPECT_STR(check_copy(b.bytes, b.size), "memory map with short entries");
	b = good_block();
	b.bytes[MULTIBOOT2_HEADER + 16 + 24] = 77;
	EXPECT_STR(check_copy(b.bytes, b.size), "no memory map");
}

PROPERTY(multiboot2_survives_mutilation, 200)
{
	for (int i = 0; i < 500; i++) {
		struct block b = good_block();
		for (uint64_t n = 1 + test_random_below(random, 4); n; n--)
			b.bytes[test_random_below(random, b.size)] = (uint8_t)test_random(random);
		(void)check_copy(b.bytes, b.size);
	}
}
