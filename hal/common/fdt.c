/*
 * The device-tree reader. The structure block is a list of 32-bit big-endian tokens:
 *
 *   BEGIN_NODE name\0 pad | PROP length nameoff value pad | ... | END_NODE ... END
 *
 * token_read() is the only place that understands it; it decodes one token with all its bounds
 * checks, and every walk is a loop over it. fdt_open() runs such a loop over the whole block, so
 * that later walks end: each one moves forward in a block that has been seen to be well formed.
 * Costs: linear walks, no index (rejected: it would need memory before there is any).
 */
#include "fdt.h"

#include <lib/compiler.h>
#include <lib/string.h>

#define FDT_MAGIC 0xd00dfeedu
#define FDT_HEADER_SIZE 40
#define FDT_VERSION_OLDEST 16 /* first with the padding rules used here */

enum { TOKEN_BEGIN_NODE = 1, TOKEN_END_NODE = 2, TOKEN_PROP = 3, TOKEN_NOP = 4, TOKEN_END = 9 };

struct token {
	uint32_t kind;
	uint32_t next;  /* offset of the token after it */
	uint32_t value; /* PROP: offset of its value; BEGIN_NODE: of its name */
	uint32_t size;
	const char *name;
};

static uint32_t be32(const void *p)
{
	return __builtin_bswap32(*(const uint32_t *)p);
}

static uint64_t be64(const void *p)
{
	return (uint64_t)be32(p) << 32 | be32((const uint8_t *)p + 4);
}

/* Length of the name at `offset`, 4-byte aligned, if it ends before `end` (aligned too): a word at
 * a time, as a walk passes by the name of every node. */
static bool name_length(const struct fdt *fdt, uint32_t offset, uint32_t end, uint32_t *length)
{
	for (uint32_t at = offset; at + 4 <= end; at += 4) {
		uint32_t word = *(const uint32_t *)(fdt->blob + at);
		uint32_t zeroes = (word - 0x01010101u) & ~word & 0x80808080u;
		if (zeroes) {
			*length = at - offset + (uint32_t)__builtin_ctz(zeroes) / 8;
			return true;
		}
	}
	return false;
}

/* Decodes the token at `at`; false: it does not lie in the block as a whole. */
static bool token_read(const struct fdt *fdt, uint32_t at, struct token *t)
{
	uint32_t end = fdt->structure_end, length;
	if (at < fdt->structure || at > end || end - at < 4)
		return false;
	t->kind = be32(fdt->blob + at);
	t->next = at + 4;
	switch (t->kind) {
	case TOKEN_BEGIN_NODE:
		if (!name_length(fdt, at + 4, end, &length))
			return false;
		t->name = (const char *)fdt->blob + at + 4;
		t->value = at + 4;
		t->size = length;
		t->next = ALIGN_UP(at + 4 + length + 1, 4u);
		return t->next <= end;
	case TOKEN_PROP:
		if (end - at < 12)
			return false;
		t->size = be32(fdt->blob + at + 4);
		t->value = at + 12;
		if (t->size > end - t->value)
			return false;
		length = be32(fdt->blob + at + 8);
		if (length >= fdt->strings_end - fdt->strings)
			return false;
		t->name = (const char *)fdt->blob + fdt->strings + length;
		t->next = ALIGN_UP(t->value + t->size, 4u);
		return t->next <= end;
	case TOKEN_END_NODE:
	case TOKEN_NOP:
	case TOKEN_END:
		return true;
	default:
		return false;
	}
}

size_t fdt_claimed_size(const void *blob)
{
	return be32(blob) == FDT_MAGIC ? be32((const uint8_t *)blob + 4) : 0;
}

static bool range_inside(uint32_t offset, uint32_t size, uint32_t total)
{
	return offset >= FDT_HEADER_SIZE && offset <= total && size <= total - offset;
}

/* Reads the header into `fdt` and checks that its blocks lie in the blob. */
static bool header_read(struct fdt *fdt, const uint8_t *blob, size_t limit)
{
	if (((uintptr_t)blob & 3) || limit < FDT_HEADER_SIZE || be32(blob) != FDT_MAGIC)
		return false;
	uint32_t total = be32(blob + 4), version = be32(blob + 20);
	if (total < FDT_HEADER_SIZE || total > limit || total > FDT_SIZE_MAX)
		return false;
	if (version < FDT_VERSION_OLDEST || be32(blob + 24) > 17)
		return false;
	uint32_t structure = be32(blob + 8), strings = be32(blob + 12), reserve = be32(blob + 16);
	uint32_t strings_size = be32(blob + 32);
	uint32_t structure_size = version >= 17 ? be32(blob + 36) : total - MIN(structure, total);
	if (!range_inside(structure, structure_size, total) || (structure & 3) ||
	    !range_inside(strings, strings_size, total) || !range_inside(reserve, 16, total) ||
	    (reserve & 3))
		return false;
	*fdt = (struct fdt){
		.blob = blob,
		.size = total,
		.structure = structure,
		.structure_end = structure + structure_size,
		.strings = strings,
		.strings_end = strings + strings_size,
		.reserve = reserve,
	};
	/* One end mark at the end makes every name in the block end inside it. */
	return strings_size == 0 || blob[strings + strings_size - 1] == 0;
}

/* Notes a child of the root that is known by name. */
static void known_note(struct fdt *fdt, const char *name, uint32_t at)
{
	static const char memory[] = "memory";
	if (strcmp(name, "chosen") == 0)
		fdt->chosen = at;
	else if (strcmp(name, "cpus") == 0)
		fdt->cpus = at;
	else if (strcmp(name, "aliases") == 0)
		fdt->aliases = at;
	else if (strcmp(name, "reserved-memory") == 0)
		fdt->reserved_memory = at;
	if (strncmp(name, memory, sizeof(memory) - 1) == 0) {
		fdt->memory_first = fdt->memory_first ? fdt->memory_first : at;
		fdt->memory_last = at;
	}
}

static bool structure_check(struct fdt *fdt)
{
	uint32_t at = fdt->structure, depth = 0;
	bool root_seen = false;
	struct token t;
	for (; token_read(fdt, at, &t); at = t.next) {
		switch (t.kind) {
		case TOKEN_BEGIN_NODE:
			if (depth == FDT_DEPTH_MAX || (depth == 0 && root_seen))
				return false;
			root_seen = true;
			if (depth++ == 1)
				known_note(fdt, t.name, at);
			break;
		case TOKEN_END_NODE:
			if (depth-- == 0)
				return false;
			break;
		case TOKEN_PROP:
			if (depth == 0)
				return false;
			break;
		case TOKEN_END:
			return depth == 0 && root_seen;
		default:
			break;
		}
	}
	return false;
}

static bool reserve_check(const struct fdt *fdt)
{
	for (uint32_t at = fdt->reserve; fdt->size - at >= 16; at += 16)
		if (be64(fdt->blob + at) == 0 && be64(fdt->blob + at + 8) == 0)
			return true;
	return false;
}

enum kerr fdt_open(struct fdt *fdt, const void *blob, size_t limit)
{
	if (!header_read(fdt, blob, limit) || !structure_check(fdt) || !reserve_check(fdt))
		return KERR_INVAL;
	return KERR_OK;
}

/* ---- Nodes ------------------------------------------------------------------------------- */

void fdt_root(const struct fdt *fdt, struct fdt_node *out)
{
	struct token t;
	uint32_t at = fdt->structure;
	while (token_read(fdt, at, &t) && t.kind == TOKEN_NOP)
		at = t.next;
	out->depth = 0;
	out->path[0] = at;
}

/*
 * From the node's own BEGIN_NODE on to the next one. `lowest` is the depth the walk may climb to
 * (a node found there is a sibling or later); the walk ends where it would climb above.
 */
static bool node_step(const struct fdt *fdt, struct fdt_node *node, uint32_t lowest, bool descend)
{
	struct token t;
	uint32_t at = node->path[node->depth], depth = node->depth; /* depth of what is open */
	if (!token_read(fdt, at, &t) || t.kind != TOKEN_BEGIN_NODE)
		return false;
	for (at = t.next; token_read(fdt, at, &t); at = t.next) {
		switch (t.kind) {
		case TOKEN_BEGIN_NODE:
			if (++depth >= FDT_DEPTH_MAX)
				return false;
			if (descend || depth == lowest) {
				node->depth = depth;
				node->path[depth] = at;
				return true;
			}
			break;
		case TOKEN_END_NODE:
			if (depth == 0 || depth < lowest)
				return false;
			depth--;
			break;
		case TOKEN_END:
			return false;
		default:
			break;
		}
	}
	return false;
}

bool fdt_next(const struct fdt *fdt, struct fdt_node *node)
{
	return node_step(fdt, node, 1, true);
}

bool fdt_child(const struct fdt *fdt, const struct fdt_node *node, struct fdt_node *out)
{
	struct fdt_node child = *node;
	if (!node_step(fdt, &child, node->depth + 1, true) || child.depth != node->depth + 1)
		return false;
	*out = child;
	return true;
}

bool fdt_sibling(const struct fdt *fdt, const struct fdt_node *node, struct fdt_node *out)
{
	struct fdt_node next = *node;
	if (node->depth == 0 || !node_step(fdt, &next, node->depth, false))
		return false;
	*out = next;
	return true;
}

bool fdt_known(const struct fdt *fdt, uint32_t offset, struct fdt_node *out)
{
	fdt_root(fdt, out);
	out->depth = 1;
	out->path[1] = offset;
	return offset != 0;
}

bool fdt_parent(const struct fdt *fdt, const struct fdt_node *node, struct fdt_node *out)
{
	if (node->depth == 0)
		return false;
	*out = *node;
	out->depth--;
	return true;
}

const char *fdt_name(const struct fdt *fdt, const struct fdt_node *node)
{
	struct token t;
	if (!token_read(fdt, node->path[node->depth], &t) || t.kind != TOKEN_BEGIN_NODE)
		return "";
	return t.name;
}

/* ---- Properties -------------------------------------------------------------------------- */

/* The first property at or after `at`; false at the end of the node's own properties. */
static bool property_next(const struct fdt *fdt, uint32_t at, struct token *t)
{
	for (; token_read(fdt, at, t); at = t->next) {
		if (t->kind == TOKEN_PROP)
			return true;
		if (t->kind != TOKEN_NOP)
			return false;
	}
	return false;
}

static bool property_first(const struct fdt *fdt, const struct fdt_node *node, struct token *t)
{
	return token_read(fdt, node->path[node->depth], t) && t->kind == TOKEN_BEGIN_NODE &&
	       property_next(fdt, t->next, t);
}

const void *fdt_property(const struct fdt *fdt, const struct fdt_node *node, const char *name,
			 size_t *size)
{
	struct token t;
	bool more = property_first(fdt, node, &t);
	for (; more; more = property_next(fdt, t.next, &t)) {
		if (t.name[0] != name[0] || strcmp(t.name, name) != 0)
			continue;
		if (size)
			*size = t.size;
		return fdt->blob + t.value;
	}
	return nullptr;
}

bool fdt_property_at(const struct fdt *fdt, const struct fdt_node *node, size_t index,
		     const char **name, const void **value, size_t *size)
{
	struct token t;
	bool more = property_first(fdt, node, &t);
	for (; more && index > 0; index--)
		more = property_next(fdt, t.next, &t);
	if (!more)
		return false;
	*name = t.name;
	*value = fdt->blob + t.value;
	*size = t.size;
	return true;
}

bool fdt_u32(const struct fdt *fdt, const struct fdt_node *node, const char *name, size_t cell,
	     uint32_t *out)
{
	size_t size;
	const uint8_t *value = fdt_property(fdt, node, name, &size);
	if (!value || cell >= size / 4)
		return false;
	*out = be32(value + 4 * cell);
	return true;
}

bool fdt_number(const struct fdt *fdt, const struct fdt_node *node, const char *name, uint64_t *out)
{
	size_t size;
	const uint8_t *value = fdt_property(fdt, node, name, &size);
	if (!value || (size != 4 && size != 8))
		return false;
	*out = size == 4 ? be32(value) : be64(value);
	return true;
}

const char *fdt_string(const struct fdt *fdt, const struct fdt_node *node, const char *name,
		       size_t index)
{
	size_t size;
	const char *s = fdt_property(fdt, node, name, &size);
	while (s && size > 0) {
		size_t length = strnlen(s, size);
		if (length == size)
			return nullptr;
		if (index-- == 0)
			return s;
		s += length + 1;
		size -= length + 1;
	}
	return nullptr;
}

bool fdt_available(const struct fdt *fdt, const struct fdt_node *node)
{
	if (!fdt_property(fdt, node, "status", nullptr))
		return true;
	const char *status = fdt_string(fdt, node, "status", 0);
	return status && (strcmp(status, "okay") == 0 || strcmp(status, "ok") == 0);
}

/* Whether a string list holds one of `names`. */
static bool list_holds(const char *list, size_t size, const char *const names[], size_t count)
{
	while (size > 0) {
		size_t length = strnlen(list, size);
		if (length == size)
			return false;
		for (size_t i = 0; i < count; i++)
			if (strcmp(list, names[i]) == 0)
				return true;
		list += length + 1;
		size -= length + 1;
	}
	return false;
}

bool fdt_is_compatible(const struct fdt *fdt, const struct fdt_node *node, const char *compatible)
{
	size_t size;
	const char *list = fdt_property(fdt, node, "compatible", &size);
	return list && list_holds(list, size, &compatible, 1);
}

/* ---- Lookups ----------------------------------------------------------------------------- */

/* One pass over the tokens: a node's properties come before its children (2.2 and 5.4.2). */
bool fdt_find_compatible_any(const struct fdt *fdt, const char *const compatible[], size_t count,
			     size_t index, struct fdt_node *out)
{
	struct fdt_node node = {.depth = 0};
	struct token t;
	uint32_t open = 0; /* nodes that are open */
	for (uint32_t at = fdt->structure; token_read(fdt, at, &t); at = t.next) {
		if (t.kind == TOKEN_BEGIN_NODE && open < FDT_DEPTH_MAX) {
			node.depth = open;
			node.path[open++] = at;
		} else if (t.kind == TOKEN_END_NODE && open > 0) {
			open--;
		} else if (t.kind == TOKEN_PROP && open > 0 && node.depth == open - 1) {
			if (t.name[0] != 'c' || strcmp(t.name, "compatible") != 0 ||
			    !list_holds((const char *)fdt->blob + t.value, t.size, compatible,
					count) ||
			    !fdt_available(fdt, &node) || index-- != 0)
				continue;
			*out = node;
			return true;
		} else if (t.kind == TOKEN_END) {
			return false;
		}
	}
	return false;
}

bool fdt_find_compatible(const struct fdt *fdt, const char *compatible, size_t index,
			 struct fdt_node *out)
{
	return fdt_find_compatible_any(fdt, &compatible, 1, index, out);
}

bool fdt_find_phandle(const struct fdt *fdt, uint32_t phandle, struct fdt_node *out)
{
	struct fdt_node node;
	uint32_t own;
	fdt_root(fdt, &node);
	do {
		if (fdt_u32(fdt, &node, "phandle", 0, &own) && own == phandle) {
			*out = node;
			return true;
		}
	} while (fdt_next(fdt, &node));
	return false;
}

/* Length of the first component of `path`: up to '/', ':' or the end. */
static size_t component_length(const char *path)
{
	size_t n = 0;
	while (path[n] && path[n] != '/' && path[n] != ':')
		n++;
	return n;
}

/* "uart@1000" and "uart" both name the node uart@1000. */
static bool component_matches(const char *name, const char *component, size_t length)
{
	return strncmp(name, component, length) == 0 &&
	       (name[length] == 0 || (name[length] == '@' && !memchr(component, '@', length)));
}

/* Follows an absolute path. */
static bool path_walk(const struct fdt *fdt, const char *path, struct fdt_node *node)
{
	fdt_root(fdt, node);
	for (;;) {
		while (*path == '/')
			path++;
		size_t length = component_length(path);
		if (length == 0)
			return true;
		bool found = fdt_child(fdt, node, node);
		while (found && !component_matches(fdt_name(fdt, node), path, length))
			found = fdt_sibling(fdt, node, node);
		if (!found)
			return false;
		path += length;
	}
}

/* The value of the property of /aliases whose name is the first `length` bytes of `alias`. */
static const char *alias_target(const struct fdt *fdt, const char *alias, size_t length)
{
	struct fdt_node node;
	const char *name;
	const void *value;
	size_t size;
	if (!fdt_known(fdt, fdt->aliases, &node))
		return nullptr;
	for (size_t i = 0; fdt_property_at(fdt, &node, i, &name, &value, &size); i++)
		if (strncmp(name, alias, length) == 0 && name[length] == 0)
			return strnlen(value, size) < size ? value : nullptr;
	return nullptr;
}

bool fdt_find_path(const struct fdt *fdt, const char *path, struct fdt_node *out)
{
	struct fdt_node node;
	if (*path != '/') {
		size_t length = component_length(path);
		const char *target = alias_target(fdt, path, length);
		if (length == 0 || !target || *target != '/' || path[length] == '/')
			return false;
		path = target;
	}
	if (!path_walk(fdt, path, &node))
		return false;
	*out = node;
	return true;
}

/* ---- Addresses --------------------------------------------------------------------------- */

struct cells {
	uint32_t address, size; /* of what the children of a bus have in reg */
};

static struct cells bus_cells(const struct fdt *fdt, const struct fdt_node *bus)
{
	struct cells c = {2, 1}; /* the defaults of the specification, 2.3.5 */
	fdt_u32(fdt, bus, "#address-cells", 0, &c.address);
	fdt_u32(fdt, bus, "#size-cells", 0, &c.size);
	return c;
}

/* Only what fits 64 bits. */
static bool cells_usable(struct cells c)
{
	return c.address >= 1 && c.address <= 2 && c.size <= 2;
}

static uint64_t cells_read(const uint8_t *p, uint32_t count)
{
	return count == 0 ? 0 : count == 1 ? be32(p) : be64(p);
}

bool fdt_reg_raw(const struct fdt *fdt, const struct fdt_node *node, size_t index,
		 uint64_t *address, uint64_t *size)
{
	struct fdt_node bus;
	size_t length;
	const uint8_t *reg = fdt_property(fdt, node, "reg", &length);
	if (!reg || !fdt_parent(fdt, node, &bus))
		return false;
	struct cells c = bus_cells(fdt, &bus);
	if (!cells_usable(c))
		return false;
	size_t entry = 4 * (c.address + c.size);
	if (index >= length / entry)
		return false;
	*address = cells_read(reg + index * entry, c.address);
	*size = cells_read(reg + index * entry + 4 * c.address, c.size);
	return true;
}

/* [*address, *address + size) from what the children of `bus` use to what `bus` itself uses. */
static bool bus_translate(const struct fdt *fdt, const struct fdt_node *bus,
			  const struct fdt_node *above, uint64_t *address, uint64_t size)
{
	size_t length;
	const uint8_t *ranges = fdt_property(fdt, bus, "ranges", &length);
	if (!ranges)
		return false;
	if (length == 0)
		return true;
	struct cells child = bus_cells(fdt, bus), parent = bus_cells(fdt, above);
	if (!cells_usable(child) || !cells_usable(parent))
		return false;
	size_t entry = 4 * (child.address + parent.address + child.size);
	for (size_t at = 0; length - at >= entry; at += entry) {
		uint64_t from = cells_read(ranges + at, child.address);
		uint64_t to = cells_read(ranges + at + 4 * child.address, parent.address);
		uint64_t span =
			cells_read(ranges + at + 4 * (child.address + parent.address), child.size);
		uint64_t offset = *address - from;
		if (*address < from || offset >= span || size > span - offset)
			continue;
		return !__builtin_add_overflow(to, offset, address);
	}
	return false;
}

bool fdt_reg(const struct fdt *fdt, const struct fdt_node *node, size_t index, paddr_t *address,
	     uint64_t *size)
{
	struct fdt_node bus, above;
	uint64_t start, length, end;
	if (!fdt_reg_raw(fdt, node, index, &start, &length) || !fdt_parent(fdt, node, &bus))
		return false;
	for (; fdt_parent(fdt, &bus, &above); bus = above)
		if (!bus_translate(fdt, &bus, &above, &start, length))
			return false;
	if (__builtin_add_overflow(start, length, &end))
		return false;
	*address = start;
	*size = length;
	return true;
}

/* ---- Interrupts -------------------------------------------------------------------------- */

static bool interrupt_cells(const struct fdt *fdt, uint32_t phandle, uint32_t *cells)
{
	struct fdt_node controller;
	return fdt_find_phandle(fdt, phandle, &controller) &&
	       fdt_u32(fdt, &controller, "#interrupt-cells", 0, cells) && *cells >= 1 &&
	       *cells <= FDT_INTERRUPT_CELLS;
}

static void interrupt_read(const uint8_t *p, uint32_t controller, uint32_t count,
			   struct fdt_interrupt *out)
{
	*out = (struct fdt_interrupt){.controller = controller, .count = count};
	for (uint32_t i = 0; i < count; i++)
		out->cells[i] = be32(p + 4 * i);
}

static bool interrupt_extended(const struct fdt *fdt, const uint8_t *list, size_t length,
			       size_t index, struct fdt_interrupt *out)
{
	while (length >= 4) {
		uint32_t phandle = be32(list), cells;
		if (!interrupt_cells(fdt, phandle, &cells) || length - 4 < 4 * cells)
			return false;
		if (index-- == 0) {
			interrupt_read(list + 4, phandle, cells, out);
			return true;
		}
		list += 4 + 4 * cells;
		length -= 4 + 4 * cells;
	}
	return false;
}

bool fdt_interrupt(const struct fdt *fdt, const struct fdt_node *node, size_t index,
		   struct fdt_interrupt *out)
{
	size_t length;
	uint32_t phandle = 0, cells;
	const uint8_t *list = fdt_property(fdt, node, "interrupts-extended", &length);
	if (list)
		return interrupt_extended(fdt, list, length, index, out);
	list = fdt_property(fdt, node, "interrupts", &length);
	struct fdt_node at = *node;
	while (!fdt_u32(fdt, &at, "interrupt-parent", 0, &phandle))
		if (!fdt_parent(fdt, &at, &at))
			return false;
	if (!list || !interrupt_cells(fdt, phandle, &cells) || index >= length / (4 * cells))
		return false;
	interrupt_read(list + 4 * cells * index, phandle, cells, out);
	return true;
}
