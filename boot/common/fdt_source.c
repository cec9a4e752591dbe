/*
 * The device tree as a boot_source: memory nodes are usable, the reservation block and
 * /reserved-memory are not, linux,initrd-* is the module "initrd", /cpus gives the CPUs.
 * Nothing is stored: each item is looked up again in the tree.
 */
#include "fdt_source.h"

#include <hal/upcall.h>
#include <lib/compiler.h>
#include <lib/string.h>

static const struct fdt *fdt_of(const struct boot_source *s)
{
	return &container_of(s, struct fdt_source, source)->fdt;
}

static bool region_at(const struct boot_source *s, size_t index, struct boot_region *out)
{
	const struct fdt *fdt = fdt_of(s);
	paddr_t start, end;
	size_t memory = 0;
	uint32_t domain;
	while (fdt_memory(fdt, memory, &start, &end, &domain)) {
		if (memory++ < index)
			continue;
		*out = (struct boot_region){start, end, BOOT_MEM_USABLE, "System RAM"};
		return true;
	}
	const char *name;
	if (!fdt_reserved(fdt, index - memory, &start, &end, &name))
		return false;
	*out = (struct boot_region){start, end, BOOT_MEM_RESERVED, name};
	return true;
}

static bool module_at(const struct boot_source *s, size_t index, struct boot_module *out)
{
	out->name = "initrd";
	return index == 0 && fdt_initrd(fdt_of(s), &out->start, &out->end);
}

static bool cpu_at(const struct boot_source *s, size_t index, struct boot_cpu *out)
{
	struct fdt_node node;
	uint32_t phandle = 0;
	if (!fdt_cpu(fdt_of(s), index, &node, &out->hardware_id))
		return false;
	fdt_u32(fdt_of(s), &node, "phandle", 0, &phandle);
	out->firmware_id = phandle;
	out->domain = 0;
	fdt_u32(fdt_of(s), &node, "numa-node-id", 0, &out->domain);
	return true;
}

static bool node_range_at(const struct boot_source *s, size_t index, struct boot_node_range *out)
{
	return fdt_memory(fdt_of(s), index, &out->start, &out->end, &out->domain);
}

static bool distance_at(const struct boot_source *s, size_t index, struct boot_distance *out)
{
	uint32_t distance;
	if (!fdt_distance(fdt_of(s), index, &out->from, &out->to, &distance))
		return false;
	out->distance = (uint8_t)MIN(distance, 255);
	return true;
}

bool fdt_source_try(struct fdt_source *out, const char *protocol, const void *blob, size_t limit)
{
	if (fdt_open(&out->fdt, blob, limit) != KERR_OK)
		return false;
	out->source = (struct boot_source){
		.protocol = protocol,
		.command_line = fdt_bootargs(&out->fdt),
		.context = out,
		.region = region_at,
		.module = module_at,
		.cpu = cpu_at,
		.node_range = node_range_at,
		.distance = distance_at,
		.fdt = blob,
		.fdt_size = out->fdt.size,
	};
	out->source.seed = fdt_seed(&out->fdt, &out->source.seed_size);
	return true;
}

void fdt_source_open(struct fdt_source *out, const char *protocol, const void *blob, size_t limit)
{
	if (!fdt_source_try(out, protocol, blob, limit))
		core_panic("boot: there is no sound device tree at %p", blob);
}
