/*
 * The model of one CPU's MMU: what it has cached it uses, until a flush says otherwise, whatever the
 * tables say by then. So a kernel that forgets an invalidation works with stale memory here, and
 * host_tlb_check() names the entry. Cached are leaves, table entries on the way (a walk starts at
 * the lowest cached one), and, until publish, that there was nothing.
 *
 * 4096 slots, direct mapped by address, level and kind: entries also vanish by chance, as on
 * hardware, but not within some megabytes. A slot is read and written under the CPU's tlb_lock,
 * which only matters with host threads.
 * Rights that were cached too narrow fault until they are flushed (RISC-V Privileged, 4.3.2
 * allows that; x86 would look again).
 */
#include "machine.h"

static vaddr_t span_of(unsigned level)
{
	return (vaddr_t)PAGE_SIZE << 9 * level;
}

static void tlb_lock(struct host_cpu *cpu)
{
	while (atomic_flag_test_and_set_explicit(&cpu->tlb_lock, memory_order_acquire))
		;
}

static void tlb_unlock(struct host_cpu *cpu)
{
	atomic_flag_clear_explicit(&cpu->tlb_lock, memory_order_release);
}

static struct tlb_entry *slot_of(struct host_cpu *cpu, vaddr_t va, unsigned level, bool table)
{
	uint64_t hash = (va >> (12 + 9 * level)) + level * 1031u + table * 2053u;

	return &cpu->tlb[hash % TLB_SLOTS];
}

/* The entry that covers `va` on `level` for the address space that is active now. */
static struct tlb_entry *lookup(struct host_cpu *cpu, vaddr_t va, unsigned level, bool table)
{
	struct tlb_entry *e = slot_of(cpu, va, level, table);

	if (e->kind == TLB_EMPTY || e->level != level || (e->kind == TLB_TABLE) != table ||
	    e->va != ALIGN_DOWN(va, span_of(level)) || (!e->global && e->asid != cpu->asid))
		return nullptr;
	if (e->kind == TLB_NOTHING && e->publish != cpu->published)
		return nullptr;
	return e;
}

static struct tlb_entry *insert(struct host_cpu *cpu, vaddr_t va, unsigned level,
				enum tlb_kind kind, uint64_t raw, paddr_t slot)
{
	struct tlb_entry *e = slot_of(cpu, va, level, kind == TLB_TABLE);

	*e = (struct tlb_entry){
		.va = ALIGN_DOWN(va, span_of(level)),
		.raw = raw,
		.slot = slot,
		.asid = cpu->asid,
		.publish = cpu->published,
		.level = (uint8_t)level,
		.kind = (uint8_t)kind,
		.global = kind == TLB_LEAF ? raw & PTE_GLOBAL : host_mmu_is_kernel(va),
	};
	return e;
}

/* Walks from the lowest cached table entry, caching what it meets. */
static struct tlb_entry *walk(struct host_cpu *cpu, vaddr_t va)
{
	unsigned level = host.geometry.levels - 1u;
	paddr_t table = host_mmu_root(cpu, va);

	for (unsigned l = 1; l < host.geometry.levels; l++) {
		struct tlb_entry *e = lookup(cpu, va, l, true);
		if (!e)
			continue;
		level = l - 1;
		table = e->raw & PTE_ADDRESS;
		break;
	}
	for (;; level--) {
		_Atomic uint64_t *entry = host_mmu_slot(table, level, va);
		uint64_t raw = atomic_load(entry);
		paddr_t slot = table + (va >> (12 + 9 * level) & 511) * 8;
		if (!(raw & PTE_VALID))
			return insert(cpu, va, level, TLB_NOTHING, raw, slot);
		if (!(raw & PTE_NEXT))
			return insert(cpu, va, level, TLB_LEAF, raw, slot);
		if (level == 0)
			host_die("walk of %#lx: a table entry on level 0", va);
		insert(cpu, va, level, TLB_TABLE, raw, slot);
		table = raw & PTE_ADDRESS;
	}
}

static struct tlb_entry *find(struct host_cpu *cpu, vaddr_t va)
{
	for (unsigned l = 0; l < host.geometry.levels; l++) {
		struct tlb_entry *e = lookup(cpu, va, l, false);
		if (!e)
			continue;
		cpu->counters.tlb_hits++;
		return e;
	}
	cpu->counters.tlb_misses++;
	return walk(cpu, va);
}

static bool rights_allow(uint64_t raw, enum trap_access access, bool user)
{
	if (user && !(raw & PTE_USER))
		return false;
	if (access == TRAP_WRITE && !(raw & PTE_WRITE))
		return false;
	return access != TRAP_EXECUTE || !(raw & PTE_NO_EXECUTE);
}

/* A user page's protection key. */
static bool key_allows(const struct host_cpu *cpu, uint64_t raw, enum trap_access access)
{
	uint64_t denied = (cpu->keys ^ HOST_KEYS_INITIAL) >> 2 * PTE_KEY(raw) & 3;

	if (!(raw & PTE_USER) || access == TRAP_EXECUTE)
		return true;
	return !(denied & HAL_KEY_NO_ACCESS) &&
	       !(access == TRAP_WRITE && denied & HAL_KEY_NO_WRITE);
}

/* Sets the bits in entry and table; false: they are software's and missing. */
static bool access_bits(struct tlb_entry *e, enum trap_access access)
{
	uint64_t want = PTE_ACCESSED | (access == TRAP_WRITE ? PTE_DIRTY : 0);

	if ((e->raw & want) == want)
		return true;
	if (host.config.software_access)
		return false;
	_Atomic uint64_t *entry = host_ram(e->slot);
	uint64_t now = atomic_load(entry);
	/* The CPU looks at the entry again; if it changed, the access is done anew. */
	do {
		if ((now ^ e->raw) & ~(PTE_ACCESSED | PTE_DIRTY))
			return false;
	} while (!atomic_compare_exchange_weak(entry, &now, now | want));
	e->raw |= want;
	return true;
}

struct host_translation host_tlb_translate(struct host_cpu *cpu, vaddr_t va,
					   enum trap_access access, bool user)
{
	struct host_translation t = {};

	if (!host_mmu_is_kernel(va) && (va >= host.geometry.user_end || cpu->asid == HAL_ASID_NONE))
		return t;
	tlb_lock(cpu);
	struct tlb_entry *e = find(cpu, va);
	if (e->kind == TLB_LEAF) {
		t.present = true;
		bool rights = rights_allow(e->raw, access, user);
		t.key = !key_allows(cpu, e->raw, access);
		t.ok = rights && !t.key && access_bits(e, access);
		t.pa = (e->raw & PTE_ADDRESS) + (va - e->va);
		t.flags = host_mmu_decode((pte_t){e->raw}, e->level).flags;
	}
	if (!t.ok)
		cpu->counters.faults++;
	tlb_unlock(cpu);
	return t;
}

struct host_translation host_translate(cpu_t cpu, vaddr_t va, enum trap_access access, bool user)
{
	return host_tlb_translate(&host.cpus[cpu], va, access, user);
}

/* ---- Forgetting ----------------------------------------------------------------------------- */

struct flush {
	unsigned asid; /* HAL_ASID_NONE: kernel; UINT32_MAX: all but global ones */
	vaddr_t start, end;
	bool all, tables;
};

static bool flush_covers(const struct flush *f, const struct tlb_entry *e)
{
	if (e->kind == TLB_EMPTY || (e->kind == TLB_TABLE && !f->tables))
		return false;
	if (f->asid == UINT32_MAX)
		return !e->global;
	if (f->asid == HAL_ASID_NONE) {
		if (f->all)
			return true;
	} else if (e->global || e->asid != f->asid) {
		return false;
	}
	return f->all || (e->va < f->end && f->start - e->va < span_of(e->level)) ||
	       (e->va >= f->start && e->va < f->end);
}

void host_tlb_flush(struct host_cpu *cpu, unsigned asid, vaddr_t va, size_t pages, bool tables)
{
	struct flush f = {asid, ALIGN_DOWN(va, PAGE_SIZE), va + pages * PAGE_SIZE,
			  pages == HAL_FLUSH_ALL, tables || pages == HAL_FLUSH_ALL};

	tlb_lock(cpu);
	if (f.all || pages > 64) {
		for (size_t i = 0; i < TLB_SLOTS; i++)
			if (flush_covers(&f, &cpu->tlb[i]))
				cpu->tlb[i].kind = TLB_EMPTY;
	} else {
		for (vaddr_t at = f.start; at < f.end; at += PAGE_SIZE) {
			for (unsigned l = 0; l < host.geometry.levels; l++) {
				struct tlb_entry *leaf = slot_of(cpu, at, l, false);
				struct tlb_entry *table = slot_of(cpu, at, l, true);
				if (flush_covers(&f, leaf))
					leaf->kind = TLB_EMPTY;
				if (flush_covers(&f, table))
					table->kind = TLB_EMPTY;
			}
		}
	}
	tlb_unlock(cpu);
}

/* ---- The check ------------------------------------------------------------------------------ */

/* Does the cached entry allow anything that a walk of the tables would not? */
static bool is_stale(struct host_cpu *cpu, const struct tlb_entry *e, uint64_t *actual)
{
	unsigned level;
	paddr_t slot;

	*actual = host_mmu_walk(host_mmu_root(cpu, e->va), e->va, &level, &slot);
	if (e->kind == TLB_TABLE) {
		/* The same path must lead through the same slot. */
		paddr_t table = host_mmu_root(cpu, e->va);
		for (unsigned l = host.geometry.levels - 1u;; l--) {
			*actual = atomic_load(host_mmu_slot(table, l, e->va));
			if (l == e->level)
				break;
			if (!(*actual & PTE_VALID) || !(*actual & PTE_NEXT))
				return true;
			table = *actual & PTE_ADDRESS;
		}
		return (*actual ^ e->raw) & (PTE_ADDRESS | PTE_VALID | PTE_NEXT);
	}
	if (!(*actual & PTE_VALID))
		return true;
	uint64_t frame = (*actual & PTE_ADDRESS) + (e->va & (span_of(level) - 1));
	if (frame != (e->raw & PTE_ADDRESS))
		return true;
	uint64_t grants = e->raw & (PTE_WRITE | PTE_USER), now = *actual & (PTE_WRITE | PTE_USER);
	return (grants & ~now) || (!(e->raw & PTE_NO_EXECUTE) && (*actual & PTE_NO_EXECUTE));
}

size_t host_tlb_check(struct host_stale *first)
{
	size_t count = 0;

	for (cpu_t c = 0; c < host.config.cpus; c++) {
		struct host_cpu *cpu = &host.cpus[c];
		if (!cpu->root)
			continue;
		tlb_lock(cpu);
		for (size_t i = 0; i < TLB_SLOTS; i++) {
			const struct tlb_entry *e = &cpu->tlb[i];
			uint64_t actual;
			if ((e->kind != TLB_LEAF && e->kind != TLB_TABLE) ||
			    (!e->global && e->asid != cpu->asid) || !is_stale(cpu, e, &actual))
				continue;
			if (count++ == 0 && first)
				*first = (struct host_stale){
					.cpu = c,
					.va = e->va,
					.level = e->level,
					.asid = e->asid,
					.table = e->kind == TLB_TABLE,
					.cached = host_mmu_decode((pte_t){e->raw}, e->level),
					.actual = host_mmu_decode((pte_t){actual}, e->level),
				};
		}
		tlb_unlock(cpu);
	}
	return count;
}

void host_drop_flush(unsigned n)
{
	atomic_store(&host.drop_flush, (int)n);
}
