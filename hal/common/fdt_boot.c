/*
 * What a boot asks a device tree: memory, reservations, CPUs, /chosen (Devicetree Specification
 * 0.4, sections 3.4 to 3.8 and 5.3; the linux,* names are the Linux boot protocol's).
 * All iterators walk from the start for each index; the lists are short.
 */
#include "fdt.h"

#include <lib/compiler.h>
#include <lib/string.h>

static uint64_t be64_at(const uint8_t *p)
{
	uint32_t high = __builtin_bswap32(*(const uint32_t *)p);
	uint32_t low = __builtin_bswap32(*(const uint32_t *)(p + 4));
	return (uint64_t)high << 32 | low;
}

static bool has_type(const struct fdt *fdt, const struct fdt_node *node, const char *type)
{
	const char *own = fdt_string(fdt, node, "device_type", 0);
	return own && strcmp(own, type) == 0;
}

/* The (*index)-th range of the node's reg that is not empty; counts *index down. */
static bool reg_pick(const struct fdt *fdt, const struct fdt_node *node, size_t *index,
		     paddr_t *start, paddr_t *end)
{
	uint64_t size;
	for (size_t i = 0; fdt_reg(fdt, node, i, start, &size); i++) {
		if (size == 0)
			continue;
		if ((*index)-- == 0) {
			*end = *start + size;
			return true;
		}
	}
	return false;
}

bool fdt_memory(const struct fdt *fdt, size_t index, paddr_t *start, paddr_t *end, uint32_t *domain)
{
	struct fdt_node node;
	bool more = fdt_known(fdt, fdt->memory_first, &node);
	while (more) {
		if (has_type(fdt, &node, "memory") && fdt_available(fdt, &node) &&
		    reg_pick(fdt, &node, &index, start, end)) {
			*domain = 0;
			fdt_u32(fdt, &node, "numa-node-id", 0, domain);
			return true;
		}
		more = node.path[1] < fdt->memory_last && fdt_sibling(fdt, &node, &node);
	}
	return false;
}

/* The reservation block; counts *index down. */
static bool reserve_pick(const struct fdt *fdt, size_t *index, paddr_t *start, paddr_t *end)
{
	for (uint32_t at = fdt->reserve; fdt->size - at >= 16; at += 16) {
		uint64_t address = be64_at(fdt->blob + at), size = be64_at(fdt->blob + at + 8);
		if (address == 0 && size == 0)
			return false;
		if (size == 0 || __builtin_add_overflow(address, size, end))
			continue;
		if ((*index)-- == 0) {
			*start = address;
			return true;
		}
	}
	return false;
}

bool fdt_reserved(const struct fdt *fdt, size_t index, paddr_t *start, paddr_t *end,
		  const char **name)
{
	struct fdt_node node;
	*name = "reserved";
	if (reserve_pick(fdt, &index, start, end))
		return true;
	if (!fdt_known(fdt, fdt->reserved_memory, &node))
		return false;
	for (bool more = fdt_child(fdt, &node, &node); more; more = fdt_sibling(fdt, &node, &node))
		if (fdt_available(fdt, &node) && reg_pick(fdt, &node, &index, start, end)) {
			*name = fdt_name(fdt, &node);
			return true;
		}
	return false;
}

bool fdt_cpu(const struct fdt *fdt, size_t index, struct fdt_node *out, uint64_t *hardware_id)
{
	struct fdt_node node;
	uint64_t size;
	if (!fdt_known(fdt, fdt->cpus, &node))
		return false;
	for (bool more = fdt_child(fdt, &node, &node); more;
	     more = fdt_sibling(fdt, &node, &node)) {
		if (!has_type(fdt, &node, "cpu") || !fdt_available(fdt, &node) ||
		    !fdt_reg_raw(fdt, &node, 0, hardware_id, &size))
			continue;
		if (fdt_is_compatible(fdt, &node, "riscv") &&
		    !fdt_property(fdt, &node, "mmu-type", nullptr))
			continue;
		if (index-- == 0) {
			*out = node;
			return true;
		}
	}
	return false;
}

bool fdt_distance(const struct fdt *fdt, size_t index, uint32_t *from, uint32_t *to,
		  uint32_t *distance)
{
	struct fdt_node map;
	return fdt_find_path(fdt, "/distance-map", &map) &&
	       fdt_u32(fdt, &map, "distance-matrix", 3 * index, from) &&
	       fdt_u32(fdt, &map, "distance-matrix", 3 * index + 1, to) &&
	       fdt_u32(fdt, &map, "distance-matrix", 3 * index + 2, distance);
}

/* ---- /chosen ----------------------------------------------------------------------------- */

const char *fdt_bootargs(const struct fdt *fdt)
{
	struct fdt_node chosen;
	const char *args = nullptr;
	if (fdt_known(fdt, fdt->chosen, &chosen))
		args = fdt_string(fdt, &chosen, "bootargs", 0);
	return args ? args : "";
}

bool fdt_initrd(const struct fdt *fdt, paddr_t *start, paddr_t *end)
{
	struct fdt_node chosen;
	return fdt_known(fdt, fdt->chosen, &chosen) &&
	       fdt_number(fdt, &chosen, "linux,initrd-start", start) &&
	       fdt_number(fdt, &chosen, "linux,initrd-end", end) && *start < *end;
}

const void *fdt_seed(const struct fdt *fdt, size_t *size)
{
	struct fdt_node chosen;
	*size = 0;
	if (!fdt_known(fdt, fdt->chosen, &chosen))
		return nullptr;
	return fdt_property(fdt, &chosen, "rng-seed", size);
}

bool fdt_stdout(const struct fdt *fdt, struct fdt_node *out)
{
	struct fdt_node chosen;
	if (!fdt_known(fdt, fdt->chosen, &chosen))
		return false;
	const char *path = fdt_string(fdt, &chosen, "stdout-path", 0);
	if (!path)
		path = fdt_string(fdt, &chosen, "linux,stdout-path", 0);
	return path && fdt_find_path(fdt, path, out);
}
