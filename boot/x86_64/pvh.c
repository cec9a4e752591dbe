/*
 * PVH: what qemu -kernel leaves for an ELF with the note. One module, the initrd.
 * Source: Xen, public/arch-x86/hvm/start_info.h, version 1 (with a memory map).
 * `start` is written once, before the iterators run.
 */
#include "firmware.h"

#include <hal/upcall.h>
#include <lib/compiler.h>

#define MAGIC 0x336ec578u
#define MODULES_MAX 4096
#define REGIONS_MAX 65536

struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, command_line, rsdp;
	uint64_t regions; /* from version 1 on */
	uint32_t region_count, reserved;
};

struct module {
	uint64_t address, size, command_line, reserved;
};

struct region {
	uint64_t address, size;
	uint32_t type, reserved;
};

static const struct start_info *start;
static paddr_t start_address;

/* The loader's own data may lie in RAM: keep it until it has been read. */
static bool own_region(size_t index, struct boot_region *out)
{
	paddr_t at[] = {start_address, start->regions, start->modules};
	size_t size[] = {sizeof(*start), start->region_count * sizeof(struct region),
			 start->module_count * sizeof(struct module)};
	if (index >= ARRAY_SIZE(at))
		return false;
	*out = (struct boot_region){at[index], at[index] + size[index], BOOT_MEM_BOOTLOADER,
				    "PVH start info"};
	return true;
}

#define OWN_REGIONS 3

static bool pvh_region(const struct boot_source *s, size_t index, struct boot_region *out)
{
	if (firmware_fixed_region(index, out))
		return true;
	index -= FIRMWARE_REGIONS;
	if (own_region(index, out))
		return true;
	index -= OWN_REGIONS;
	if (index >= start->region_count)
		return false;
	const struct region *map =
		firmware_map(start->regions, start->region_count * sizeof(struct region));
	*out = firmware_region(map[index].address, map[index].size, map[index].type);
	return true;
}

static bool pvh_module(const struct boot_source *s, size_t index, struct boot_module *out)
{
	if (index >= start->module_count)
		return false;
	const struct module *m =
		firmware_map(start->modules, start->module_count * sizeof(struct module));
	const char *name = firmware_string(m[index].command_line);
	*out = (struct boot_module){m[index].address, m[index].address + m[index].size,
				    *name ? name : "initrd"};
	return true;
}

void pvh_source(paddr_t address, struct boot_source *out)
{
	start = firmware_map(address, sizeof(*start));
	start_address = address;
	if (!start || start->magic != MAGIC)
		core_panic("pvh: no start info at %#llx", (unsigned long long)address);
	if (start->version < 1 || !start->region_count || start->region_count > REGIONS_MAX ||
	    !firmware_map(start->regions, start->region_count * sizeof(struct region)))
		core_panic("pvh: version %u with %u regions at %#llx: no usable memory map",
			   start->version, start->region_count, (unsigned long long)start->regions);
	if (start->module_count > MODULES_MAX ||
	    !firmware_map(start->modules, start->module_count * sizeof(struct module)))
		core_panic("pvh: %u modules at %#llx", start->module_count,
			   (unsigned long long)start->modules);
	*out = (struct boot_source){
		.protocol = "pvh",
		.command_line = firmware_string(start->command_line),
		.region = pvh_region,
		.module = pvh_module,
		.cpu = firmware_cpu,
		.node_range = firmware_node_range,
		.distance = firmware_distance,
		.rsdp = firmware_acpi(start->rsdp),
	};
}
