/*
 * Translation tables: VMSAv8-64, 4 KiB granule, four levels, 48 bits (DDI 0487, D8).
 *
 * TTBR0 holds a process (user half, from 0), TTBR1 the kernel (from 0xffff000000000000).
 * Attributes of a leaf and how the portable flags map to them:
 *
 *   bit 0 valid, 1 page (level 0) or table   PRESENT; an invalid entry that is not zero keeps the
 *                                            other bits, so that PROT_NONE pages remember them
 *   4:2 AttrIndx       memory type           NO_CACHE, WRITE_COMBINE, WRITE_THROUGH
 *   6 AP[1] user       7 AP[2] read-only     USER; read-only is "not (WRITABLE and DIRTY)"
 *   9:8 shareability   10 AF   11 nG         ACCESSED, not GLOBAL
 *   51 DBM             WRITABLE              with FEAT_HAFDBS the CPU clears AP[2] on a write,
 *                                            without it the write faults and mm sets DIRTY
 *   53 PXN, 54 UXN     each set where the other mode executes, both for NO_EXECUTE
 *   55 software        DIRTY of a page that is not WRITABLE
 *   56 software        SPECIAL
 *   57 software        marks a leaf that is not PRESENT
 *
 * Invalidations are broadcast by the hardware (TLBI ..IS); an ASID is 8 or 16 bits.
 */
#include "cpu.h"
#include "regs.h"

#include <lib/compiler.h>

#define PTE_VALID (1ull << 0)
#define PTE_PAGE (1ull << 1) /* table, or page on level 0; 0: block */
#define PTE_ATTR(index) ((uint64_t)(index) << 2)
#define PTE_USER (1ull << 6)
#define PTE_READ_ONLY (1ull << 7)
#define PTE_INNER (3ull << 8)
#define PTE_AF (1ull << 10)
#define PTE_NOT_GLOBAL (1ull << 11)
#define PTE_DBM (1ull << 51)
#define PTE_PXN (1ull << 53)
#define PTE_UXN (1ull << 54)
#define PTE_SOFT_DIRTY (1ull << 55)
#define PTE_SOFT_SPECIAL (1ull << 56)
#define PTE_SOFT_ABSENT (1ull << 57)
#define PTE_ADDRESS 0x0000fffffffff000ull

/* Indices into MAIR_EL1, which boot/aarch64/entry.S sets on each CPU. Chosen so that the flags'
 * indices can be ORed: NO_CACHE 1, WRITE_THROUGH 2, both or WRITE_COMBINE 3. */
enum { ATTR_NORMAL, ATTR_DEVICE, ATTR_WRITE_THROUGH, ATTR_UNCACHED };

struct hal_mmu_geometry mmu_geometry_data RO_AFTER_INIT = {
	.levels = 4,
	.leaf_levels = 0x7,
	.flush_pages_max = 16,
	.split_root = true,
	.broadcast = true,
	.user_end = 1ull << 48,
	.user_top = 1ull << 48,
	.kernel_start = 0xffff000000000000,
};

/* What TTBR0 holds while no process does; always empty. */
alignas(4096) static uint64_t empty_table[512];
static paddr_t empty_root RO_AFTER_INIT;

const struct hal_mmu_geometry *mmu_geometry(void)
{
	return &mmu_geometry_data;
}

/*
 * Entries are made and read for every page that is mapped, so both directions go through tables:
 * bits 0 to 6 and 8 to 11 of the flags give bits to OR; and back, bits 6 to 11 and 51 to 56 of an
 * entry. With constant flags the compiler folds all of it.
 */
#define TABLE_8(item, n)                                                                           \
	item(n), item(n + 1), item(n + 2), item(n + 3), item(n + 4), item(n + 5), item(n + 6),     \
		item(n + 7)
#define TABLE_64(item, n)                                                                          \
	TABLE_8(item, n), TABLE_8(item, n + 8), TABLE_8(item, n + 16), TABLE_8(item, n + 24),      \
		TABLE_8(item, n + 32), TABLE_8(item, n + 40), TABLE_8(item, n + 48),               \
		TABLE_8(item, n + 56)

#define IF(condition, value) ((condition) ? (value) : 0)

#define LOW_BITS(f)                                                                                \
	(PTE_INNER | (((f) & MAP_PRESENT) ? PTE_VALID : PTE_SOFT_ABSENT) |                         \
	 IF((f) & MAP_WRITABLE, PTE_DBM) |                                                         \
	 IF(((f) & (MAP_WRITABLE | MAP_DIRTY)) != (MAP_WRITABLE | MAP_DIRTY), PTE_READ_ONLY) |     \
	 IF(((f) & (MAP_WRITABLE | MAP_DIRTY)) == MAP_DIRTY, PTE_SOFT_DIRTY) |                     \
	 (((f) & MAP_USER) ? PTE_USER | PTE_PXN : PTE_UXN) | IF((f) & MAP_ACCESSED, PTE_AF) |      \
	 IF((f) & MAP_NO_CACHE, PTE_ATTR(ATTR_DEVICE)) |                                           \
	 IF((f) & MAP_WRITE_THROUGH, PTE_ATTR(ATTR_WRITE_THROUGH)))
#define HIGH_BITS(f)                                                                               \
	(IF(!((f) & MAP_GLOBAL >> 8), PTE_NOT_GLOBAL) |                                            \
	 IF((f) & MAP_NO_EXECUTE >> 8, PTE_PXN | PTE_UXN) |                                        \
	 IF((f) & MAP_WRITE_COMBINE >> 8, PTE_ATTR(ATTR_UNCACHED)) |                               \
	 IF((f) & MAP_SPECIAL >> 8, PTE_SOFT_SPECIAL))

static const uint64_t low_bits[128] = {TABLE_64(LOW_BITS, 0u), TABLE_64(LOW_BITS, 64u)};
static const uint64_t high_bits[16] = {TABLE_8(HIGH_BITS, 0u), TABLE_8(HIGH_BITS, 8u)};

pte_t mmu_leaf(paddr_t frame, map_flags_t flags, unsigned level)
{
	return (pte_t){frame | low_bits[flags & 0x7f] | high_bits[flags >> 8 & 0xf] |
		       (level == 0 ? PTE_PAGE : 0)};
}

pte_t mmu_table(paddr_t table)
{
	return (pte_t){table | PTE_VALID | PTE_PAGE};
}

/* What bits 6 to 11 and 51 to 56 of an entry say; DIRTY may come from either. */
#define LOW_FLAGS(n)                                                                               \
	(IF((n) << 6 & PTE_USER, MAP_USER) | IF(!((n) << 6 & PTE_READ_ONLY), MAP_DIRTY) |          \
	 IF((n) << 6 & PTE_AF, MAP_ACCESSED) | IF(!((n) << 6 & PTE_NOT_GLOBAL), MAP_GLOBAL))
#define NO_EXECUTE_BOTH (PTE_PXN | PTE_UXN)
#define HIGH_FLAGS(n)                                                                              \
	(IF((n) << 51 & PTE_DBM, MAP_WRITABLE) |                                                   \
	 IF(((n) << 51 & NO_EXECUTE_BOTH) == NO_EXECUTE_BOTH, MAP_NO_EXECUTE) |                    \
	 IF((n) << 51 & PTE_SOFT_DIRTY, MAP_DIRTY) |                                               \
	 IF((n) << 51 & PTE_SOFT_SPECIAL, MAP_SPECIAL))

static const uint16_t low_flags[64] = {TABLE_64(LOW_FLAGS, 0ull)};
static const uint16_t high_flags[64] = {TABLE_64(HIGH_FLAGS, 0ull)};
static const uint16_t attribute_flags[8] = {
	[ATTR_DEVICE] = MAP_NO_CACHE,
	[ATTR_WRITE_THROUGH] = MAP_WRITE_THROUGH,
	[ATTR_UNCACHED] = MAP_WRITE_COMBINE,
};

struct pte_parts mmu_decode(pte_t entry, unsigned level)
{
	uint64_t raw = entry.raw;
	if (raw == 0)
		return (struct pte_parts){PTE_NONE, 0, 0};
	if (level > 0 && (raw & (PTE_VALID | PTE_PAGE)) == (PTE_VALID | PTE_PAGE))
		return (struct pte_parts){PTE_TABLE, 0, raw & PTE_ADDRESS};
	map_flags_t flags = (map_flags_t)low_flags[raw >> 6 & 0x3f] | high_flags[raw >> 51 & 0x3f] |
			    attribute_flags[raw >> 2 & 7] | (raw & PTE_VALID);
	return (struct pte_parts){PTE_LEAF, flags | (level > 0 ? MAP_HUGE : 0), raw & PTE_ADDRESS};
}

/* ---- Roots ------------------------------------------------------------------------------- */

void mmu_activate(paddr_t root, unsigned asid)
{
	if (asid != HAL_ASID_NONE) {
		reg_write(ttbr0_el1, root | (uint64_t)asid << TTBR_ASID_SHIFT);
		isb();
		return;
	}
	reg_write(ttbr0_el1, empty_root);
	if (unlikely(reg_read(ttbr1_el1) != root)) {
		/* The new tables may differ from the early ones anywhere: nothing old is kept. */
		dsb(ishst);
		reg_write(ttbr1_el1, root);
		isb();
		__asm__ volatile("tlbi vmalle1" ::: "memory");
		dsb(nsh);
	}
	isb();
}

/* ---- Invalidation ------------------------------------------------------------------------ */

static void flush_all(unsigned asid)
{
	if (asid == HAL_ASID_NONE)
		__asm__ volatile("tlbi vmalle1is" ::: "memory");
	else
		__asm__ volatile("tlbi aside1is, %0" ::"r"((uint64_t)asid << TTBR_ASID_SHIFT)
				 : "memory");
}

#define FLUSH_LOOP(operation)                                                                      \
	for (; at < end; at++)                                                                     \
	__asm__ volatile("tlbi " operation ", %0" ::"r"(at) : "memory")

void mmu_flush(unsigned asid, vaddr_t va, size_t pages, bool tables)
{
	dsb(ishst); /* the tables as they are now, before the translations go */
	if (pages == HAL_FLUSH_ALL) {
		flush_all(asid);
	} else {
		uint64_t at = (va >> PAGE_SHIFT) & ((1ull << 44) - 1);
		at |= (uint64_t)asid << TTBR_ASID_SHIFT;
		uint64_t end = at + pages;
		if (asid == HAL_ASID_NONE && tables)
			FLUSH_LOOP("vaae1is");
		else if (asid == HAL_ASID_NONE)
			FLUSH_LOOP("vaale1is");
		else if (tables)
			FLUSH_LOOP("vae1is");
		else
			FLUSH_LOOP("vale1is");
	}
	dsb(ish);
	isb();
}

void mmu_publish(void)
{
	dsb(ishst);
	isb();
}

/* ---- Instruction cache ------------------------------------------------------------------- */

/* To the point of unification, four lines a round: what that cleans too much lies in the same
 * pages. A step below the line size does no harm. */
static void data_clean(vaddr_t va, size_t size, uint64_t line)
{
	line = MIN(line, PAGE_SIZE / 4);
	vaddr_t at = ALIGN_DOWN(va, 4 * line), end = va + size;
	while (at < end)
		__asm__ volatile(
			"dc cvau, %0\n\tadd %0, %0, %1\n\tdc cvau, %0\n\tadd %0, %0, %1\n\t"
			"dc cvau, %0\n\tadd %0, %0, %1\n\tdc cvau, %0\n\tadd %0, %0, %1"
			: "+r"(at)
			: "r"(line)
			: "memory");
}

/*
 * Cleans the data cache to the point of unification and drops all instruction caches (they may
 * be indexed by virtual address, and `va` may be an alias of where the code runs). CTR_EL0.IDC
 * and DIC tell which of the two this machine does not need.
 */
void mmu_code_sync(vaddr_t va, size_t size)
{
	uint64_t ctr = reg_read(ctr_el0);
	if (!(ctr & (1ull << 28)))
		data_clean(va, size, 4ull << (ctr >> 16 & 0xf));
	dsb(ish);
	if (!(ctr & (1ull << 29))) {
		__asm__ volatile("ic ialluis" ::: "memory");
		dsb(ish);
	}
	isb();
}

void mmu_init(const struct boot_info *info)
{
	static const uint8_t bits[8] = {32, 36, 40, 42, 44, 48, 52, 56};
	uint64_t mmfr0 = reg_read(id_aa64mmfr0_el1);
	mmu_geometry_data.physical_bits = (uint8_t)MIN(bits[id_field(mmfr0, 0) & 7], 48);
	mmu_geometry_data.asid_bits = id_field(mmfr0, 4) == 2 ? 16 : 8;
	empty_root = (vaddr_t)empty_table - info->image_base + info->image_start;
}
