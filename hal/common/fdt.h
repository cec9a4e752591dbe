/*
 * Reads flattened device trees (Devicetree Specification 0.4, chapter 5) in place: no allocation,
 * no state, any context. The tree comes from firmware and is not trusted: fdt_open() checks its
 * shape once, and every later access is bounds-checked again against what fdt_open() stored.
 *
 * A node is a path of offsets from the root, so parents cost nothing and a walk needs no recursion.
 * The boot questions at the end (memory, CPUs, /chosen) are in fdt_boot.c.
 * Lookups walk the tree from the start: some thousand instructions each, boot only.
 */
#pragma once

#include <hal/types.h>
#include <lib/kerr.h>

#define FDT_DEPTH_MAX 16
#define FDT_SIZE_MAX 0x1000000u
#define FDT_INTERRUPT_CELLS 4

struct fdt {
	const uint8_t *blob;
	uint32_t size; /* bytes of the whole blob */
	uint32_t structure, structure_end;
	uint32_t strings, strings_end;
	uint32_t reserve; /* the memory reservation block */
	/* Offsets of children of the root that are asked for often; 0: there is none. */
	uint32_t aliases, chosen, cpus, reserved_memory, memory_first, memory_last;
};

struct fdt_node {
	uint32_t depth;  /* 0: the root */
	uint32_t path[FDT_DEPTH_MAX]; /* offsets of FDT_BEGIN_NODE in the blob; [depth]: its own */
};

struct fdt_interrupt {
	uint32_t controller; /* phandle; 0: none named */
	uint32_t count;
	uint32_t cells[FDT_INTERRUPT_CELLS];
};

/* `blob` is 4-byte aligned and `limit` bytes of it can be read; limit may be more than the blob
 * (the header says how long it is). KERR_INVAL: not a device tree, or a broken one. */
enum kerr fdt_open(struct fdt *fdt, const void *blob, size_t limit);
/* The size a header claims, 0 if it is no header; reads 8 bytes. */
size_t fdt_claimed_size(const void *blob);

/* ---- Nodes ---- */

void fdt_root(const struct fdt *fdt, struct fdt_node *out);
/* Moves on to the next node in document order; false (and `node` unusable) at the end. */
bool fdt_next(const struct fdt *fdt, struct fdt_node *node);
/* First child, next sibling; false: there is none. `out` may be `node` itself. */
bool fdt_child(const struct fdt *fdt, const struct fdt_node *node, struct fdt_node *out);
bool fdt_sibling(const struct fdt *fdt, const struct fdt_node *node, struct fdt_node *out);
/* The child of the root at a non-zero `offset` taken from struct fdt; false if it is 0. */
bool fdt_known(const struct fdt *fdt, uint32_t offset, struct fdt_node *out);
bool fdt_parent(const struct fdt *fdt, const struct fdt_node *node, struct fdt_node *out);
const char *fdt_name(const struct fdt *fdt, const struct fdt_node *node); /* with @unit */
/* "/soc/uart@1000", or an alias first ("serial0"); a ':' ends the path. A component without
 * @unit matches the first node of that name. */
bool fdt_find_path(const struct fdt *fdt, const char *path, struct fdt_node *out);
/* The index-th available node that lists `compatible`; or any of `count` of them. */
bool fdt_find_compatible(const struct fdt *fdt, const char *compatible, size_t index,
			 struct fdt_node *out);
bool fdt_find_compatible_any(const struct fdt *fdt, const char *const compatible[], size_t count,
			     size_t index, struct fdt_node *out);
bool fdt_find_phandle(const struct fdt *fdt, uint32_t phandle, struct fdt_node *out);
bool fdt_is_compatible(const struct fdt *fdt, const struct fdt_node *node, const char *compatible);
/* No status, "okay" or "ok". */
bool fdt_available(const struct fdt *fdt, const struct fdt_node *node);

/* ---- Properties ---- */

/* Null: no such property. `size` may be null. The value is 4-byte aligned. */
const void *fdt_property(const struct fdt *fdt, const struct fdt_node *node, const char *name,
			 size_t *size);
/* The index-th property of the node in document order. */
bool fdt_property_at(const struct fdt *fdt, const struct fdt_node *node, size_t index,
		     const char **name, const void **value, size_t *size);
/* The cell-th 32-bit cell. */
bool fdt_u32(const struct fdt *fdt, const struct fdt_node *node, const char *name, size_t cell,
	     uint32_t *out);
/* A whole property of one or two cells. */
bool fdt_number(const struct fdt *fdt, const struct fdt_node *node, const char *name,
		uint64_t *out);
/* The index-th string of a string list; null: there is none, or it has no end mark. */
const char *fdt_string(const struct fdt *fdt, const struct fdt_node *node, const char *name,
		       size_t index);

/* ---- Addresses and interrupts ---- */

/* The index-th pair of `reg`, as it stands (a cpu's number) or as the CPU sees it, through the
 * `ranges` of all buses above. False: not there, does not fit 64 bits, or not reachable. */
bool fdt_reg_raw(const struct fdt *fdt, const struct fdt_node *node, size_t index,
		 uint64_t *address, uint64_t *size);
bool fdt_reg(const struct fdt *fdt, const struct fdt_node *node, size_t index, paddr_t *address,
	     uint64_t *size);
/* From interrupts-extended, or interrupts with the inherited interrupt-parent. */
bool fdt_interrupt(const struct fdt *fdt, const struct fdt_node *node, size_t index,
		   struct fdt_interrupt *out);

/* ---- What a boot wants to know. Iterators: item `index`, false past the end ---- */

bool fdt_memory(const struct fdt *fdt, size_t index, paddr_t *start, paddr_t *end,
		uint32_t *domain);
/* The `index`th entry of /distance-map (Linux's NUMA binding, numa-distance-map-v1). */
bool fdt_distance(const struct fdt *fdt, size_t index, uint32_t *from, uint32_t *to,
		  uint32_t *distance);
/* The reservation block, then the children of /reserved-memory that have a place. */
bool fdt_reserved(const struct fdt *fdt, size_t index, paddr_t *start, paddr_t *end,
		  const char **name);
/* Available CPUs that can run a kernel (a RISC-V hart without mmu-type cannot). */
bool fdt_cpu(const struct fdt *fdt, size_t index, struct fdt_node *out, uint64_t *hardware_id);
const char *fdt_bootargs(const struct fdt *fdt); /* never null */
bool fdt_initrd(const struct fdt *fdt, paddr_t *start, paddr_t *end);
const void *fdt_seed(const struct fdt *fdt, size_t *size); /* rng-seed; null: none */
bool fdt_stdout(const struct fdt *fdt, struct fdt_node *out);
