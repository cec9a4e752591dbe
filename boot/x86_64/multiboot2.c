/*
 * Multiboot2: what GRUB leaves. The information is one block of tags; multiboot2_check() goes
 * through all of it once and refuses a length that does not fit, a missing end, a string without an
 * end, a memory map with impossible entries: after that the iterators need no checks. Source:
 * Multiboot2 specification 2.0, section 3.6. `info` is written once, before the iterators run.
 */
#include "multiboot2.h"

#include "firmware.h"

#include <hal/upcall.h>
#include <lib/compiler.h>
#include <lib/string.h>

#define INFO_SIZE_MAX (64u << 20)

static const uint8_t *info;
static paddr_t info_address;

/* Tag number `index` of this type. */
static const uint8_t *tag_find(uint32_t type, size_t index)
{
	for (const uint8_t *tag = info + MULTIBOOT2_HEADER; multiboot2_type(tag) != MULTIBOOT2_END;
	     tag += ALIGN_UP(multiboot2_size(tag), 8u))
		if (multiboot2_type(tag) == type && !index--)
			return tag;
	return nullptr;
}

static bool multiboot2_region(const struct boot_source *s, size_t index, struct boot_region *out)
{
	if (firmware_fixed_region(index, out))
		return true;
	index -= FIRMWARE_REGIONS;
	if (!index) {
		*out = (struct boot_region){info_address, info_address + multiboot2_word(info),
					    BOOT_MEM_BOOTLOADER, "Multiboot2 information"};
		return true;
	}
	const uint8_t *tag = tag_find(MULTIBOOT2_MEMORY_MAP, 0);
	size_t stride = multiboot2_word(tag + 8),
	       count = (multiboot2_size(tag) - MULTIBOOT2_MAP_ENTRIES) / stride;
	if (--index >= count)
		return false;
	const uint8_t *entry = tag + MULTIBOOT2_MAP_ENTRIES + index * stride;
	*out = firmware_region(multiboot2_wide(entry), multiboot2_wide(entry + 8),
			       multiboot2_word(entry + 16));
	return true;
}

static bool multiboot2_module(const struct boot_source *s, size_t index, struct boot_module *out)
{
	const uint8_t *tag = tag_find(MULTIBOOT2_MODULE, index);
	if (!tag)
		return false;
	const char *name = (const char *)tag + MULTIBOOT2_MODULE_STRING;
	*out = (struct boot_module){multiboot2_word(tag + 8), multiboot2_word(tag + 12),
				    *name ? name : "initrd"};
	return true;
}

/* The tag holds a copy of the root pointer. */
static paddr_t multiboot2_rsdp(void)
{
	const uint8_t *tag = tag_find(MULTIBOOT2_RSDP_2, 0);
	if (!tag)
		tag = tag_find(MULTIBOOT2_RSDP_1, 0);
	return tag ? info_address + (paddr_t)(tag - info) + MULTIBOOT2_HEADER : 0;
}

static struct boot_framebuffer multiboot2_framebuffer(void)
{
	const uint8_t *tag = tag_find(MULTIBOOT2_FRAMEBUFFER, 0);
	if (!tag || multiboot2_size(tag) < MULTIBOOT2_FRAMEBUFFER_MIN + 6 ||
	    tag[29] != MULTIBOOT2_FRAMEBUFFER_RGB)
		return (struct boot_framebuffer){};
	return (struct boot_framebuffer){
		.address = multiboot2_wide(tag + 8),
		.stride = multiboot2_word(tag + 16),
		.width = multiboot2_word(tag + 20),
		.height = multiboot2_word(tag + 24),
		.bits_per_pixel = tag[28],
		.red_shift = tag[32],
		.green_shift = tag[34],
		.blue_shift = tag[36],
	};
}

void multiboot2_source(paddr_t address, struct boot_source *out)
{
	info = firmware_map(address, MULTIBOOT2_HEADER);
	info_address = address;
	size_t size = info ? multiboot2_word(info) : 0;
	const char *wrong = "information outside the first 4 GiB";
	if (info && !(address & 7) && size <= INFO_SIZE_MAX && firmware_map(address, size))
		wrong = multiboot2_check(info, size);
	if (wrong)
		core_panic("multiboot2: %s (%zu bytes at %#llx)", wrong, size,
			   (unsigned long long)address);
	const uint8_t *line = tag_find(MULTIBOOT2_COMMAND_LINE, 0);
	*out = (struct boot_source){
		.protocol = "multiboot2",
		.command_line = line ? (const char *)line + MULTIBOOT2_HEADER : "",
		.region = multiboot2_region,
		.module = multiboot2_module,
		.cpu = firmware_cpu,
		.node_range = firmware_node_range,
		.distance = firmware_distance,
		.rsdp = firmware_acpi(multiboot2_rsdp()),
		.framebuffer = multiboot2_framebuffer(),
	};
}
