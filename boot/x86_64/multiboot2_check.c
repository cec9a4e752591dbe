/*
 * Goes through the whole information once and refuses a length that does not fit, a missing end, a
 * string without an end, a memory map with impossible entries.
 */
#include "multiboot2.h"

static bool string_ends(const uint8_t *tag, uint32_t offset)
{
	return multiboot2_size(tag) > offset &&
	       memchr(tag + offset, 0, multiboot2_size(tag) - offset);
}

static const char *tag_check(const uint8_t *tag)
{
	uint32_t size = multiboot2_size(tag);
	switch (multiboot2_type(tag)) {
	case MULTIBOOT2_COMMAND_LINE:
		return string_ends(tag, MULTIBOOT2_HEADER) ? nullptr
							   : "command line without an end";
	case MULTIBOOT2_MODULE:
		if (!string_ends(tag, MULTIBOOT2_MODULE_STRING))
			return "module without a name";
		return multiboot2_word(tag + 8) <= multiboot2_word(tag + 12)
			       ? nullptr
			       : "module that ends before it starts";
	case MULTIBOOT2_MEMORY_MAP:
		if (size < MULTIBOOT2_MAP_ENTRIES ||
		    multiboot2_word(tag + 8) < MULTIBOOT2_MAP_ENTRY_MIN ||
		    multiboot2_word(tag + 8) & 7)
			return "memory map with short entries";
		return nullptr;
	case MULTIBOOT2_RSDP_1:
		return size >= MULTIBOOT2_HEADER + 20 ? nullptr : "short RSDP";
	case MULTIBOOT2_RSDP_2:
		return size >= MULTIBOOT2_HEADER + 36 ? nullptr : "short RSDP";
	default:
		return nullptr;
	}
}

const char *multiboot2_check(const uint8_t *bytes, size_t size)
{
	bool map = false;
	if (size < MULTIBOOT2_HEADER || multiboot2_word(bytes) < 2 * MULTIBOOT2_HEADER ||
	    multiboot2_word(bytes) > size)
		return "impossible total size";
	size = multiboot2_word(bytes);
	for (size_t at = MULTIBOOT2_HEADER; at + MULTIBOOT2_HEADER <= size;) {
		const uint8_t *tag = bytes + at;
		if (multiboot2_size(tag) < MULTIBOOT2_HEADER || multiboot2_size(tag) > size - at)
			return "tag longer than what is left";
		if (multiboot2_type(tag) == MULTIBOOT2_END)
			return map ? nullptr : "no memory map";
		const char *wrong = tag_check(tag);
		if (wrong)
			return wrong;
		map |= multiboot2_type(tag) == MULTIBOOT2_MEMORY_MAP;
		at += ALIGN_UP(multiboot2_size(tag), 8u);
	}
	return "no end tag";
}
