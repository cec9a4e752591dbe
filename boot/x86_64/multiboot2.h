/*
 * Multiboot2 information: one block of tags, and the check that makes it safe to walk. No hardware,
 * so that a host test can fuzz it. Source: Multiboot2 specification 2.0, section 3.6.
 */
#pragma once

#include <lib/string.h>
#include <stdint.h>

#define MULTIBOOT2_END 0
#define MULTIBOOT2_COMMAND_LINE 1
#define MULTIBOOT2_MODULE 3
#define MULTIBOOT2_MEMORY_MAP 6
#define MULTIBOOT2_FRAMEBUFFER 8
#define MULTIBOOT2_RSDP_1 14
#define MULTIBOOT2_RSDP_2 15

#define MULTIBOOT2_HEADER 8 /* of the information and of each tag */
#define MULTIBOOT2_MODULE_STRING 16
#define MULTIBOOT2_MAP_ENTRIES 16
#define MULTIBOOT2_MAP_ENTRY_MIN 24
#define MULTIBOOT2_FRAMEBUFFER_MIN 32
#define MULTIBOOT2_FRAMEBUFFER_RGB 1

static inline uint32_t multiboot2_word(const uint8_t *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint64_t multiboot2_wide(const uint8_t *at)
{
	uint64_t value;
	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint32_t multiboot2_type(const uint8_t *tag)
{
	return multiboot2_word(tag);
}

static inline uint32_t multiboot2_size(const uint8_t *tag)
{
	return multiboot2_word(tag + 4);
}

/* Why the information is not usable, null: it is. `size` bytes can be read. */
const char *multiboot2_check(const uint8_t *info, size_t size);
