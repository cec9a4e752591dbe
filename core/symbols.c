/*
 * Names for addresses. The section .ksyms is reserved here and filled in after the link by
 * tools/ksyms.py: a header, an array of entries sorted by offset from the image start, then the strings they refer
 * to. Lookup is a binary search; an unfilled table gives bare addresses.
 */
#include <core/panic.h>
#include <hal/image.h>
#include <lib/format.h>

#if defined(TERN_DEBUG)
#define CAPACITY (192 * 1024)
#else
#define CAPACITY (96 * 1024)
#endif

struct ksyms_header {
	char magic[8];
	uint32_t capacity; /* bytes of the whole section */
	uint32_t count;    /* entries; 0 until tools/ksyms.py has run */
};

struct ksyms_entry {
	uint32_t offset; /* from __image_start */
	uint32_t name, file; /* strings, from the section start */
	uint32_t line;
};

KEEP static const union {
	struct ksyms_header header;
	char bytes[CAPACITY];
} reserved __attribute__((section(".ksyms"))) = {
	.header = {{'T', 'E', 'R', 'N', 'S', 'Y', 'M', '1'}, CAPACITY, 0},
};

extern const char __ksyms_start[]; /* the same bytes, but the compiler does not know them */

static const struct ksyms_entry *find(vaddr_t address)
{
	const struct ksyms_header *header = (const struct ksyms_header *)__ksyms_start;
	const struct ksyms_entry *entries = (const struct ksyms_entry *)(header + 1);
	vaddr_t base = (vaddr_t)__image_start;
	uint32_t low = 0, high = header->count;

	if (address < base || address >= (vaddr_t)__image_end || high == 0)
		return nullptr;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (entries[middle].offset <= address - base)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &entries[low - 1] : nullptr;
}

static size_t (*symbol_outside)(vaddr_t address, char *buf, size_t size) RO_AFTER_INIT;

void symbols_register(size_t (*outside)(vaddr_t address, char *buf, size_t size))
{
	symbol_outside = outside;
}

bool symbol_get(size_t index, const char **name, vaddr_t *address)
{
	const struct ksyms_header *header = (const struct ksyms_header *)__ksyms_start;
	const struct ksyms_entry *entries = (const struct ksyms_entry *)(header + 1);

	if (index >= header->count)
		return false;
	*name = __ksyms_start + entries[index].name;
	*address = (vaddr_t)__image_start + entries[index].offset;
	return true;
}

size_t symbol_format(vaddr_t address, char *buf, size_t size)
{
	const struct ksyms_entry *e = find(address);

	size_t known = !e && symbol_outside ? symbol_outside(address, buf, size) : 0;

	if (known)
		return known;
	if (!e)
		return (size_t)format(buf, size, "%#lx", (unsigned long)address);
	return (size_t)format(buf, size, "%s+%#lx (%s:%u)", __ksyms_start + e->name,
			      (unsigned long)(address - (vaddr_t)__image_start - e->offset),
			      __ksyms_start + e->file, e->line);
}
