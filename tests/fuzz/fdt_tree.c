/* See fdt_tree.h. The format: Devicetree Specification 0.4, chapter 5. */
#include "fdt_tree.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 40
#define RESERVE 32 /* one entry and the end */
#define STRUCTURE (HEADER + RESERVE)

static void put32(uint8_t *at, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(at, &v, 4);
}

static void token(struct fdt_writer *w, uint32_t v)
{
	put32(w->blob + w->size, v);
	w->size += 4;
}

static void bytes(struct fdt_writer *w, const void *data, size_t size)
{
	if (w->size + size + 64 > sizeof(w->blob))
		abort();
	memcpy(w->blob + w->size, data, size);
	w->size += size;
	while (w->size % 4)
		w->blob[w->size++] = 0;
}

void fdt_begin(struct fdt_writer *w)
{
	memset(w, 0, sizeof(*w));
	w->size = STRUCTURE;
}

void fdt_node_begin(struct fdt_writer *w, const char *name)
{
	token(w, 1);
	bytes(w, name, strlen(name) + 1);
}

void fdt_node_end(struct fdt_writer *w)
{
	token(w, 2);
}

static size_t string_offset(struct fdt_writer *w, const char *name)
{
	size_t at = 0;

	for (; at < w->strings_size; at += strlen((char *)w->strings + at) + 1)
		if (strcmp((char *)w->strings + at, name) == 0)
			return at;
	if (at + strlen(name) + 1 > sizeof(w->strings))
		abort();
	strcpy((char *)w->strings + at, name);
	w->strings_size += strlen(name) + 1;
	return at;
}

void fdt_put(struct fdt_writer *w, const char *name, const void *value, size_t size)
{
	token(w, 3);
	token(w, (uint32_t)size);
	token(w, (uint32_t)string_offset(w, name));
	bytes(w, value, size);
}

void fdt_put_string(struct fdt_writer *w, const char *name, const char *value)
{
	fdt_put(w, name, value, strlen(value) + 1);
}

void fdt_put_cells(struct fdt_writer *w, const char *name, size_t count, const uint32_t *cells)
{
	uint8_t big[256];

	for (size_t i = 0; i < count; i++)
		put32(big + 4 * i, cells[i]);
	fdt_put(w, name, big, 4 * count);
}

size_t fdt_finish(struct fdt_writer *w)
{
	token(w, 9);
	size_t structure_size = w->size - STRUCTURE, strings = w->size;
	memcpy(w->blob + strings, w->strings, w->strings_size);
	size_t total = strings + w->strings_size;
	const uint32_t header[10] = {0xd00dfeed,
				     (uint32_t)total,
				     STRUCTURE,
				     (uint32_t)strings,
				     HEADER,
				     17,
				     16,
				     0,
				     (uint32_t)w->strings_size,
				     (uint32_t)structure_size};

	for (size_t i = 0; i < 10; i++)
		put32(w->blob + 4 * i, header[i]);
	put32(w->blob + HEADER + 4, 0x80000000); /* reserved: 64 KiB at 2 GiB */
	put32(w->blob + HEADER + 12, 0x10000);
	return total;
}

static void cpu(struct fdt_writer *w, const char *name, uint32_t number, const char *status,
		const char *mmu)
{
	fdt_node_begin(w, name);
	fdt_put_string(w, "device_type", "cpu");
	FDT_CELLS(w, "reg", number);
	if (status)
		fdt_put_string(w, "status", status);
	if (mmu)
		fdt_put_string(w, "mmu-type", mmu);
	fdt_put(w, "compatible", "riscv", 6);
	fdt_node_end(w);
}

static void memory_nodes(struct fdt_writer *w)
{
	fdt_node_begin(w, "memory@80000000");
	fdt_put_string(w, "device_type", "memory");
	FDT_CELLS(w, "reg", 0, 0x80000000, 0, 0x10000000, 1, 0, 0, 0x40000000);
	FDT_CELLS(w, "numa-node-id", 3);
	fdt_node_end(w);
	fdt_node_begin(w, "reserved-memory");
	FDT_CELLS(w, "#address-cells", 2);
	FDT_CELLS(w, "#size-cells", 2);
	fdt_put(w, "ranges", "", 0);
	fdt_node_begin(w, "firmware@80000000");
	FDT_CELLS(w, "reg", 0, 0x80000000, 0, 0x80000);
	fdt_node_end(w);
	fdt_node_end(w);
}

static void soc_nodes(struct fdt_writer *w)
{
	fdt_node_begin(w, "soc");
	FDT_CELLS(w, "#address-cells", 1);
	FDT_CELLS(w, "#size-cells", 1);
	FDT_CELLS(w, "ranges", 0, 0, 0x10000000, 0x100000);
	FDT_CELLS(w, "interrupt-parent", 7);
	fdt_node_begin(w, "plic@c000");
	fdt_put(w, "compatible", "sifive,plic-1.0.0\0riscv,plic0", 30);
	FDT_CELLS(w, "reg", 0xc000, 0x4000);
	FDT_CELLS(w, "#interrupt-cells", 1);
	fdt_put(w, "interrupt-controller", "", 0);
	FDT_CELLS(w, "phandle", 7);
	fdt_node_end(w);
	fdt_node_begin(w, "serial@100");
	fdt_put(w, "compatible", "ns16550a", 9);
	FDT_CELLS(w, "reg", 0x100, 0x100);
	FDT_CELLS(w, "interrupts", 10);
	fdt_node_end(w);
	fdt_node_end(w);
}

size_t fdt_machine(struct fdt_writer *w)
{
	fdt_begin(w);
	fdt_node_begin(w, "");
	FDT_CELLS(w, "#address-cells", 2);
	FDT_CELLS(w, "#size-cells", 2);
	fdt_put_string(w, "model", "test,machine");
	fdt_node_begin(w, "aliases");
	fdt_put_string(w, "serial0", "/soc/serial@100");
	fdt_node_end(w);
	fdt_node_begin(w, "chosen");
	fdt_put_string(w, "bootargs", "quiet ktest");
	fdt_put_string(w, "stdout-path", "serial0:115200n8");
	FDT_CELLS(w, "linux,initrd-start", 0, 0x84000000);
	FDT_CELLS(w, "linux,initrd-end", 0, 0x84123456);
	fdt_put(w, "rng-seed", "0123456789abcdef", 16);
	fdt_node_end(w);
	memory_nodes(w);
	fdt_node_begin(w, "cpus");
	FDT_CELLS(w, "#address-cells", 1);
	FDT_CELLS(w, "#size-cells", 0);
	cpu(w, "cpu@0", 0, nullptr, nullptr); /* no mmu-type: cannot run a kernel */
	cpu(w, "cpu@1", 1, "okay", "riscv,sv48");
	cpu(w, "cpu@2", 2, "disabled", "riscv,sv48");
	cpu(w, "cpu@3", 3, nullptr, "riscv,sv48");
	fdt_node_end(w);
	soc_nodes(w);
	fdt_node_begin(w, "distance-map");
	fdt_put_string(w, "compatible", "numa-distance-map-v1");
	FDT_CELLS(w, "distance-matrix", 3, 3, 10, 3, 5, 30, 5);
	fdt_node_end(w);
	fdt_node_end(w);
	return fdt_finish(w);
}
