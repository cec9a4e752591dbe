/*
 * The table format of the host port, and walks through it. An entry:
 *
 *   bits 12..51 address; 0 valid; 1 a table; the others are the portable flags' values (hal/hal.h),
 *   moved where they collide: 2 write, 3 user, 4 write-through, 5 no-cache, 6 accessed, 7 dirty,
 *   8 global, 9 no-execute, 10 write-combine, 11 special; 52 to 55 the protection key.
 *
 * Every flag has its bit, so decode(leaf(x)) is x. Leaves may stand on levels 0, 1 and 2.
 */
#include "machine.h"

#define BIT_WRITE_THROUGH 0x10ull
#define BIT_NO_CACHE 0x20ull
#define BIT_WRITE_COMBINE 0x400ull
#define BIT_SPECIAL 0x800ull

static const struct {
	map_flags_t flag;
	uint64_t bit;
} flag_bits[] = {
	{MAP_PRESENT, PTE_VALID},
	{MAP_WRITABLE, PTE_WRITE},
	{MAP_USER, PTE_USER},
	{MAP_WRITE_THROUGH, BIT_WRITE_THROUGH},
	{MAP_NO_CACHE, BIT_NO_CACHE},
	{MAP_ACCESSED, PTE_ACCESSED},
	{MAP_DIRTY, PTE_DIRTY},
	{MAP_GLOBAL, PTE_GLOBAL},
	{MAP_NO_EXECUTE, PTE_NO_EXECUTE},
	{MAP_WRITE_COMBINE, BIT_WRITE_COMBINE},
	{MAP_SPECIAL, BIT_SPECIAL},
};

pte_t host_mmu_leaf(paddr_t frame, map_flags_t flags, unsigned level)
{
	uint64_t raw = frame & PTE_ADDRESS;

	if (level > 2 || (frame & ((PAGE_SIZE << 9 * level) - 1)))
		host_die("leaf: frame %#lx does not fit level %u", frame, level);
	for (size_t i = 0; i < ARRAY_SIZE(flag_bits); i++)
		if (flags & flag_bits[i].flag)
			raw |= flag_bits[i].bit;
	return (pte_t){raw | (uint64_t)MAP_KEY_OF(flags) << PTE_KEY_SHIFT};
}

struct pte_parts host_mmu_decode(pte_t entry, unsigned level)
{
	struct pte_parts parts = {.address = entry.raw & PTE_ADDRESS};

	if (entry.raw == 0)
		return (struct pte_parts){.kind = PTE_NONE};
	if (entry.raw & PTE_NEXT) {
		parts.kind = PTE_TABLE;
		return parts;
	}
	parts.kind = PTE_LEAF;
	for (size_t i = 0; i < ARRAY_SIZE(flag_bits); i++)
		if (entry.raw & flag_bits[i].bit)
			parts.flags |= flag_bits[i].flag;
	parts.flags |= MAP_KEY(PTE_KEY(entry.raw));
	if (level > 0)
		parts.flags |= MAP_HUGE;
	return parts;
}

void host_mmu_init(void)
{
	const struct host_config *c = &host.config;
	unsigned bits = 12 + 9 * c->levels;

	host.geometry = (struct hal_mmu_geometry){
		.levels = (uint8_t)c->levels,
		.leaf_levels = 7,
		.physical_bits = HOST_PHYSICAL_BITS,
		.asid_bits = (uint8_t)c->asid_bits,
		.flush_pages_max = 64,
		.split_root = c->split_root,
		.broadcast = c->broadcast,
		.protection_keys = 16,
		.user_end = (vaddr_t)1 << (bits - 1),
		.user_top = (vaddr_t)1 << (bits - 1),
		.kernel_start =
			c->levels == 3 ? HOST_KERNEL_START : ~(((vaddr_t)1 << (bits - 1)) - 1),
	};
}

bool host_mmu_is_kernel(vaddr_t va)
{
	return va >= host.geometry.kernel_start &&
	       (host.geometry.levels > 3 || va < HOST_KERNEL_END);
}

paddr_t host_mmu_root(const struct host_cpu *cpu, vaddr_t va)
{
	return host_mmu_is_kernel(va) && host.geometry.split_root ? cpu->kernel_root : cpu->root;
}

_Atomic uint64_t *host_mmu_slot(paddr_t table, unsigned level, vaddr_t va)
{
	uint64_t *entries = host_ram(table);

	if (!entries || (table & (PAGE_SIZE - 1)))
		host_die("walk of %#lx: the level %u table at %#lx is no RAM", va, level, table);
	return (_Atomic uint64_t *)&entries[va >> (12 + 9 * level) & 511];
}

uint64_t host_mmu_walk(paddr_t root, vaddr_t va, unsigned *level, paddr_t *slot)
{
	paddr_t table = root;

	for (unsigned l = host.geometry.levels - 1u;; l--) {
		_Atomic uint64_t *entry = host_mmu_slot(table, l, va);
		uint64_t raw = atomic_load(entry);
		*level = l;
		*slot = table + (va >> (12 + 9 * l) & 511) * 8;
		if (!(raw & PTE_VALID) || !(raw & PTE_NEXT))
			return raw;
		if (l == 0)
			host_die("walk of %#lx: a table entry on level 0", va);
		table = raw & PTE_ADDRESS;
	}
}
