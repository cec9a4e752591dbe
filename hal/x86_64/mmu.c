/*
 * Page-table entries and translation caches of x86_64 with four or five levels, as boot/ left them.
 *
 * Bits: Intel SDM volume 3, 4.5 (table 4-15 to 4-20); memory types through the PAT as
 * x86_cpu_setup() programs it: index 0 write-back, 1 write-through, 2 weakly uncached, 3 uncached,
 * 5 combining. There are no address-space tags yet (asid_bits 0): loading CR3 drops all but global
 * translations; tags would make x86_mmu_activate() build CR3 from root and tag, and x86_mmu_flush()
 * look at its asid. Remote CPUs are mm's to interrupt.
 */
#include "cpu.h"

#define PTE_P 0x001ull
#define PTE_W 0x002ull
#define PTE_U 0x004ull
#define PTE_PWT 0x008ull
#define PTE_PCD 0x010ull
#define PTE_A 0x020ull
#define PTE_D 0x040ull
#define PTE_PS 0x080ull
#define PTE_PAT 0x080ull /* level 0 */
#define PTE_G 0x100ull
#define PTE_SPECIAL 0x200ull /* ignored by the CPU */
#define PTE_PAT_LARGE 0x1000ull
#define PTE_KEY_SHIFT 59 /* 62:59; map_flags_t has it at 31:28 */
#define FLAGS_KEY 0xf0000000u
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

/* The portable flags that have the same place in the entry. */
#define SAME_BITS (MAP_PRESENT | MAP_WRITABLE | MAP_USER | MAP_ACCESSED | MAP_DIRTY | MAP_GLOBAL)
static_assert(MAP_PRESENT == PTE_P && MAP_WRITABLE == PTE_W && MAP_USER == PTE_U &&
	      MAP_ACCESSED == PTE_A && MAP_DIRTY == PTE_D && MAP_GLOBAL == PTE_G);

static struct hal_mmu_geometry geometry RO_AFTER_INIT = {
	.levels = 4,
	.leaf_levels = 3,
	.flush_pages_max = 32,
	.user_end = 0x00007ffffffff000, /* not the page before the hole: trap.S, SYSRET */
	.user_top = 0x00007ffffffff000,
	.kernel_start = 0xffff800000000000,
};
static uint64_t nx_bit RO_AFTER_INIT;

void x86_mmu_probe(const struct boot_info *info)
{
	if (x86_read_cr4() & CR4_LA57) {
		geometry.levels = 5;
		geometry.user_end = 0x00fffffffffff000;
		geometry.kernel_start = 0xff00000000000000;
	}
	geometry.physical_bits = x86_features.physical_bits;
	geometry.protection_keys = x86_features.keys ? 16 : 0;
	geometry.leaf_levels = x86_features.gigabyte_pages ? 7 : 3;
	nx_bit = x86_features.nx ? PTE_NX : 0;
}

const struct hal_mmu_geometry *x86_mmu_geometry(void)
{
	return &geometry;
}

static inline uint64_t memory_type_encode(map_flags_t flags, uint64_t pat)
{
	if (likely(!(flags & (MAP_WRITE_THROUGH | MAP_NO_CACHE | MAP_WRITE_COMBINE))))
		return 0;
	if (flags & MAP_WRITE_COMBINE)
		return pat | PTE_PWT;
	if (flags & MAP_NO_CACHE)
		return flags & MAP_WRITE_THROUGH ? PTE_PCD : PTE_PCD | PTE_PWT;
	return PTE_PWT;
}

static inline map_flags_t memory_type_decode(uint64_t raw, uint64_t pat)
{
	if (likely(!(raw & (PTE_PWT | PTE_PCD))))
		return 0;
	if (raw & pat)
		return MAP_WRITE_COMBINE;
	if (raw & PTE_PCD)
		return raw & PTE_PWT ? MAP_NO_CACHE : MAP_NO_CACHE | MAP_WRITE_THROUGH;
	return MAP_WRITE_THROUGH;
}

pte_t x86_mmu_leaf(paddr_t frame, map_flags_t flags, unsigned level)
{
	uint64_t raw = frame | (flags & SAME_BITS);
	raw |= flags & MAP_NO_EXECUTE ? nx_bit : 0;
	raw |= flags & MAP_SPECIAL ? PTE_SPECIAL : 0;
	raw |= (uint64_t)(flags & FLAGS_KEY) << (PTE_KEY_SHIFT - 28);
	raw |= memory_type_encode(flags, level ? PTE_PAT_LARGE : PTE_PAT);
	return (pte_t){raw | (level ? PTE_PS : 0)};
}

pte_t x86_mmu_table(paddr_t table)
{
	return (pte_t){table | PTE_P | PTE_W | PTE_U | PTE_A};
}

struct pte_parts x86_mmu_decode(pte_t entry, unsigned level)
{
	uint64_t raw = entry.raw, pat = level ? PTE_PAT_LARGE : PTE_PAT;
	if (!raw)
		return (struct pte_parts){.kind = PTE_NONE};
	if (level && !(raw & PTE_PS))
		return (struct pte_parts){.kind = PTE_TABLE, .address = raw & PTE_ADDRESS};
	map_flags_t flags = raw & SAME_BITS;
	flags |= raw & PTE_NX ? MAP_NO_EXECUTE : 0;
	flags |= raw & PTE_SPECIAL ? MAP_SPECIAL : 0;
	flags |= (map_flags_t)(raw >> (PTE_KEY_SHIFT - 28)) & FLAGS_KEY;
	flags |= level ? MAP_HUGE : 0;
	flags |= memory_type_decode(raw, pat);
	return (struct pte_parts){
		.kind = PTE_LEAF,
		.flags = flags,
		.address = raw & PTE_ADDRESS & ~(level ? PTE_PAT_LARGE : 0),
	};
}

void x86_mmu_activate(paddr_t root, unsigned asid)
{
	x86_write_cr3(root);
}

/* Intel SDM volume 3, 4.10.4: changing CR4.PGE drops everything, INVLPG and MOV to CR3 also drop
 * what is cached of the tables on the way. */
void x86_mmu_flush(unsigned asid, vaddr_t va, size_t pages, bool tables)
{
	if (pages != HAL_FLUSH_ALL) {
		for (; pages; pages--, va += PAGE_SIZE)
			asm volatile("invlpg (%0)" ::"r"(va) : "memory");
		return;
	}
	bool on = x86_cpu_irq_save(); /* the root must not change between reading and writing it */
	if (asid == HAL_ASID_NONE && x86_features.global_pages) {
		uint64_t cr4 = x86_read_cr4();
		x86_write_cr4(cr4 & ~(uint64_t)CR4_PGE);
		x86_write_cr4(cr4);
	} else {
		x86_write_cr3(x86_read_cr3());
	}
	x86_cpu_irq_restore(on);
}

/* The walker caches nothing of entries that are not present (SDM volume 3, 4.10.2.3), and sees
 * stores in program order. */
void x86_mmu_publish(void)
{
	asm volatile("" ::: "memory");
}

/* Caches are coherent, and IRET serialises what was prefetched: SDM volume 3, 8.1.3. */
void x86_mmu_code_sync(vaddr_t va, size_t size)
{
	asm volatile("" ::: "memory");
}
