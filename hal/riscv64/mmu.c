/*
 * Translation: Sv39, Sv48 or Sv57, whichever boot/ left in satp.
 *
 * An entry: V R W X U G A D, one software bit for MAP_SPECIAL, the frame from bit 10, and the
 * memory type in bits 62:61 where the CPU has Svpbmt (else the machine's physical attributes
 * decide, which are right for RAM and devices). A and D are as the flags say: a CPU that does not
 * set them faults, and mm answers; one that does (QEMU) sets them. A leaf that is not present keeps
 * its bits but V, so that it is not "nothing here".
 *
 * publish() does nothing. A CPU may have cached that an entry was invalid (Privileged
 * Architecture, 4.2.1) and fault once more; sfence.vma after each new page would cost more than
 * these rare faults. A fault on a user address mm finds resolved; trap.c forgets what is
 * cached if the same one comes twice in a row. For kernel addresses, which mm does not resolve,
 * riscv_mmu_fault_is_stale() looks into the tables; that covers kernel stacks too (trap.S).
 */
#include "riscv64.h"

#define ENTRY_BITS 9
struct mode {
	const char *name;
	unsigned levels;
	vaddr_t user_end, user_top, kernel_start;
};

/* By satp.MODE - 8. */
static const struct mode modes[] = {
	{"sv39", 3, 0x4000000000, 0x4000000000, 0xffffffc000000000},
	{"sv48", 4, 0x800000000000, 0x800000000000, 0xffff800000000000},
	{"sv57", 5, 0x100000000000000, 0x800000000000, 0xff00000000000000},
};

static RO_AFTER_INIT struct hal_mmu_geometry geometry;
static RO_AFTER_INIT uint64_t satp_mode; /* in place */
static RO_AFTER_INIT vaddr_t direct_map;
static RO_AFTER_INIT bool has_memory_types;
/* The last kernel root activated; written when it changes, which is during the boot. */
static uint64_t kernel_satp;

/* ---- Geometry ---------------------------------------------------------------------------- */

/* satp.ASID keeps as many bits as the hart implements (4.1.11). */
static uint8_t asid_bits_probe(void)
{
	uint64_t satp = csr_read(satp);
	csr_write(satp, satp | (uint64_t)SATP_ASID_MASK << SATP_ASID_SHIFT);
	uint64_t kept = csr_read(satp) >> SATP_ASID_SHIFT & SATP_ASID_MASK;
	csr_write(satp, satp);
	asm volatile("sfence.vma" ::: "memory");
	return (uint8_t)__builtin_popcountll(kept);
}

void riscv_mmu_init(const struct boot_info *info)
{
	uint64_t satp = csr_read(satp), number = satp >> SATP_MODE_SHIFT;
	const struct mode *mode = &modes[number - SATP_SV39];
	satp_mode = number << SATP_MODE_SHIFT;
	direct_map = info->direct_map;
	kernel_satp = satp;
	has_memory_types = riscv_cpu_features.svpbmt;
	geometry = (struct hal_mmu_geometry){
		.levels = (uint8_t)mode->levels,
		.leaf_levels = 7,
		.physical_bits = 56,
		.asid_bits = asid_bits_probe(),
		.flush_pages_max = 8,
		.split_root = false,
		.broadcast = false,
		.user_end = mode->user_end,
		.user_top = mode->user_top,
		.kernel_start = mode->kernel_start,
	};
}

const struct hal_mmu_geometry *riscv_mmu_geometry(void)
{
	return &geometry;
}

const char *riscv_mmu_mode_name(void)
{
	return modes[(satp_mode >> SATP_MODE_SHIFT) - SATP_SV39].name;
}

uint64_t riscv_mmu_kernel_satp(void)
{
	return __atomic_load_n(&kernel_satp, __ATOMIC_RELAXED);
}

/* ---- Entries ----------------------------------------------------------------------------- */

static uint64_t memory_type(map_flags_t flags)
{
	if (likely(!(flags & (MAP_NO_CACHE | MAP_WRITE_COMBINE))) || !has_memory_types)
		return 0;
	return flags & (MAP_WRITE_COMBINE | MAP_WRITE_THROUGH) ? PTE_PBMT_NC : PTE_PBMT_IO;
}

/*
 * The flags are bits at other places than the entry's; those that move by the same distance move
 * together: present 0, writable, accessed and dirty up 1, user up 2, global and special down 3,
 * no-execute (inverted) down 6.
 */
#define FLAGS_UP_1 (MAP_WRITABLE | MAP_ACCESSED | MAP_DIRTY)
#define FLAGS_UP_2 MAP_USER
#define FLAGS_DOWN_3 (MAP_GLOBAL | MAP_SPECIAL)
static_assert(MAP_PRESENT == PTE_V && FLAGS_UP_1 << 1 == (PTE_W | PTE_A | PTE_D) &&
	      FLAGS_UP_2 << 2 == PTE_U && FLAGS_DOWN_3 >> 3 == (PTE_G | PTE_SOFT) &&
	      MAP_NO_EXECUTE >> 6 == PTE_X);

pte_t riscv_mmu_leaf(paddr_t frame, map_flags_t flags, unsigned level)
{
	uint64_t bits = flags;
	uint64_t raw = frame >> PAGE_SHIFT << PTE_PPN_SHIFT | PTE_R | (bits & MAP_PRESENT) |
		       (bits & FLAGS_UP_1) << 1 | (bits & FLAGS_UP_2) << 2 |
		       (bits & FLAGS_DOWN_3) >> 3 | (~bits & MAP_NO_EXECUTE) >> 6;
	return (pte_t){raw | memory_type(flags)};
}

pte_t riscv_mmu_table(paddr_t table)
{
	return (pte_t){table >> PAGE_SHIFT << PTE_PPN_SHIFT | PTE_V};
}

struct pte_parts riscv_mmu_decode(pte_t entry, unsigned level)
{
	uint64_t raw = entry.raw;
	struct pte_parts parts = {
		.kind = PTE_NONE,
		.address = (raw & PTE_PPN_MASK) >> PTE_PPN_SHIFT << PAGE_SHIFT,
	};
	if (raw == 0)
		return parts;
	if (!(raw & (PTE_R | PTE_W | PTE_X))) {
		parts.kind = PTE_TABLE;
		return parts;
	}
	uint64_t flags = (raw & PTE_V) | (raw >> 1 & FLAGS_UP_1) | (raw >> 2 & FLAGS_UP_2) |
			 (raw << 3 & FLAGS_DOWN_3) | (~raw << 6 & MAP_NO_EXECUTE);
	if (level > 0)
		flags |= MAP_HUGE;
	if (unlikely(raw & PTE_PBMT))
		flags |= (raw & PTE_PBMT) == PTE_PBMT_NC ? MAP_WRITE_COMBINE : MAP_NO_CACHE;
	parts.kind = PTE_LEAF;
	parts.flags = (map_flags_t)flags;
	return parts;
}

/* ---- The translation cache --------------------------------------------------------------- */

static void fence_all(void)
{
	asm volatile("sfence.vma" ::: "memory");
}

static void fence_page(vaddr_t va)
{
	asm volatile("sfence.vma %0" ::"r"(va) : "memory");
}

static void fence_asid(unsigned asid)
{
	asm volatile("sfence.vma zero, %0" ::"r"((uint64_t)asid) : "memory");
}

static void fence_asid_page(vaddr_t va, unsigned asid)
{
	asm volatile("sfence.vma %0, %1" ::"r"(va), "r"((uint64_t)asid) : "memory");
}

void riscv_mmu_activate(paddr_t root, unsigned asid)
{
	uint64_t satp = satp_mode | (uint64_t)asid << SATP_ASID_SHIFT | root >> PAGE_SHIFT;
	csr_write(satp, satp);
	if (geometry.asid_bits == 0)
		fence_all();
	if (asid == HAL_ASID_NONE && kernel_satp != satp)
		__atomic_store_n(&kernel_satp, satp, __ATOMIC_RELAXED);
}

/* sfence.vma with an address reaches only leaf entries (4.2.1), hence `tables`. */
void riscv_mmu_flush(unsigned asid, vaddr_t va, size_t pages, bool tables)
{
	bool tagged = asid != HAL_ASID_NONE && geometry.asid_bits != 0;
	if (tables || pages == HAL_FLUSH_ALL) {
		if (tagged)
			fence_asid(asid);
		else
			fence_all();
		return;
	}
	for (; pages > 0; pages--, va += PAGE_SIZE) {
		if (tagged)
			fence_asid_page(va, asid);
		else
			fence_page(va);
	}
}

void riscv_mmu_publish(void)
{
	asm volatile("" ::: "memory");
}

void riscv_mmu_forget_all(void)
{
	fence_all();
}

/* The entry that translates `va` here and now; 0: none. The tables are the kernel's, or the
 * current process's, which exist as long as it runs. */
static uint64_t entry_find(vaddr_t va)
{
	paddr_t table = (csr_read(satp) & SATP_PPN_MASK) << PAGE_SHIFT;
	for (unsigned level = geometry.levels; level-- > 0;) {
		unsigned index = va >> (PAGE_SHIFT + ENTRY_BITS * level) & 511;
		uint64_t raw = READ_ONCE(((const uint64_t *)(direct_map + table))[index]);
		if (!(raw & PTE_V) || (raw & (PTE_R | PTE_X)))
			return raw & PTE_V ? raw : 0;
		table = (raw & PTE_PPN_MASK) >> PTE_PPN_SHIFT << PAGE_SHIFT;
	}
	return 0;
}

bool riscv_mmu_fault_is_stale(vaddr_t addr, enum trap_access access)
{
	static const uint64_t needed[] = {
		[TRAP_READ] = PTE_R | PTE_A,
		[TRAP_WRITE] = PTE_W | PTE_A | PTE_D,
		[TRAP_EXECUTE] = PTE_X | PTE_A,
	};
	if (addr < geometry.kernel_start)
		return false;
	uint64_t entry = entry_find(addr);
	if ((entry & PTE_U) || (entry & needed[access]) != needed[access])
		return false;
	fence_all();
	return true;
}

bool riscv_mmu_is_mapped(vaddr_t addr)
{
	return (addr < geometry.user_end || addr >= geometry.kernel_start) && entry_find(addr) != 0;
}

void riscv_mmu_code_sync(vaddr_t va, size_t size)
{
	asm volatile("fence.i" ::: "memory");
	riscv_smp_fence_i_others();
}
