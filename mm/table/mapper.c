/*
 * One portable walker for all page tables: nine bits a level, eight-byte entries, encoded and
 * decoded by hal.mmu. The hardware table is a cache of what mm decided (regions, page trees,
 * objects), so nothing here counts references of what it maps.
 *
 *	va:  | index level n-1 | ... | index 1 | index 0 | offset |      level 0: 4 KiB leaves
 *	                                                                level 1: 2 MiB, level 2: 1 GiB
 *
 * Concurrency. Entries change by compare-and-swap only, so faults of one process install leaves
 * and tables side by side without a lock: the loser of a race frees its table, or finds the
 * leaf there. What takes away (unmap, protect) excludes faults on its range by the regions' locks.
 * A table is freed only when no region overlaps its span (the caller knows: free_low, free_high),
 * and only after a flush that reaches cached table entries, so nobody walks a dying table: neither a
 * CPU nor another fault. Kernel tables are never freed, and the entries of the kernel's root
 * never change after boot (layout.c makes the tables below them).
 *
 * Masks. frame.private of a user table has a bit per group of eight entries (one cache line) that
 * was ever used. Walks over sparse tables skip the rest, and a table that dies is cleared by its
 * mask and so comes back to the pool of zeroed frames: a process's tables cost neither 512
 * stores when they are made nor a scan when they go.
 *
 * Replacing a valid leaf by one for another frame goes through zero and a flush ("break before
 * make", DDI 0487 D8.16.1 demands it; the others are fine with it); that is the fault path's
 * business. Splitting a huge leaf does the same here, by compare-and-swap, as faults do it while
 * others fault: the parts are the same frames with the same rights.
 */
#include "mapper.h"
#include "layout.h"

#include "bump.h"
#include "counters.h"
#include "frame.h"

#include <core/panic.h>

static bool wx(map_flags_t flags)
{
	return (flags & (MAP_WRITABLE | MAP_NO_EXECUTE)) == MAP_WRITABLE;
}

paddr_t mapper_table_new(bool user)
{
	if (unlikely(!layout_frames_ready())) {
		paddr_t pa = bump_take(PAGE_SIZE, PAGE_SIZE);
		if (pa)
			hal.mmu.page_zero(mapper_table_at(pa));
		return pa;
	}
	struct frame *f = frame_alloc(0, user ? FRAME_ZEROED | FRAME_USER : FRAME_ZEROED);
	return f ? frame_address(f) : 0;
}

static struct frame *record(paddr_t table)
{
	return frame_table + (table >> PAGE_SHIFT);
}

/* Other regions' faults set bits in it. */
static uint64_t mask_of(paddr_t table)
{
	return __atomic_load_n(&record(table)->private, __ATOMIC_RELAXED);
}

void mapper_table_free(struct frame *f)
{
	pte_t *table = frame_data(f);
	for (uint64_t mask = f->private; mask; mask &= mask - 1) {
		pte_t *group = table + (unsigned)__builtin_ctzll(mask) * MAPPER_GROUP;
		for (unsigned i = 0; i < MAPPER_GROUP; i++)
			group[i].raw = 0;
	}
	f->private = 0;
	frame_free_zeroed(f);
}

/* For figures: a leaf came (or, -1, went). */
static inline void count_huge(const struct mapper *m, unsigned level, map_flags_t flags, int64_t n)
{
	if (unlikely(level == MAPPER_HUGE) && m->user)
		mm_count(flags & MAP_SPECIAL ? COUNT_HUGETLB : COUNT_HUGE, n);
}

/* One that nobody has seen. */
static void table_drop(struct mapper *m, paddr_t table)
{
	if (m->user)
		mapper_table_free(record(table));
	else
		frame_free(record(table), 0);
}

/* The table below entry `e` at `level` (> 0); made if there is none. 0: no memory, or a leaf is in
 * the way (*leaf). */
static NOINLINE paddr_t descend(struct mapper *m, paddr_t table, unsigned index, unsigned level,
				bool *leaf)
{
	pte_t *e = &mapper_table_at(table)[index];
	pte_t old = mapper_load(e);
	if (unlikely(!old.raw)) {
		paddr_t new = mapper_table_new(m->user);
		if (!new)
			return 0;
		if (m->user)
			mapper_mark(record(table), index);
		if (mapper_swap(e, &old, hal.mmu.table(new))) {
			atomic_fetch_add_explicit(&m->tables, 1, memory_order_relaxed);
			if (m->user)
				mm_count(COUNT_TABLES, 1);
			return new;
		}
		if (m->user)
			mapper_table_free(record(new)); /* somebody was faster */
		else
			frame_free_zeroed(record(new));
	}
	struct pte_parts parts = hal.mmu.decode(old, level);
	if (parts.kind == PTE_TABLE)
		return parts.address;
	*leaf = true;
	return 0;
}

pte_t *mapper_entry_ready(struct mapper *m, vaddr_t va, struct frame **table_record)
{
	paddr_t table = m->root;
	for (unsigned level = hal.mmu.geometry()->levels - 1u; level > 0; level--) {
		pte_t e = mapper_load(&mapper_table_at(table)[mapper_index(va, level)]);
		struct pte_parts parts = hal.mmu.decode(e, level);
		if (unlikely(parts.kind != PTE_TABLE))
			return nullptr;
		table = parts.address;
	}
	*table_record = record(table);
	return &mapper_table_at(table)[mapper_index(va, 0)];
}

enum kerr mapper_entry_make(struct mapper *m, vaddr_t va, unsigned level, pte_t **entry,
			    struct frame **table_record)
{
	paddr_t table = m->root;
	bool leaf = false;
	for (unsigned l = hal.mmu.geometry()->levels - 1u; l > level; l--) {
		pte_t e = mapper_load(&mapper_table_at(table)[mapper_index(va, l)]);
		struct pte_parts parts = hal.mmu.decode(e, l);
		if (likely(parts.kind == PTE_TABLE)) {
			table = parts.address;
			continue;
		}
		table = descend(m, table, mapper_index(va, l), l, &leaf);
		if (unlikely(!table))
			return leaf ? KERR_EXIST : KERR_NOMEM;
	}
	*table_record = record(table);
	*entry = &mapper_table_at(table)[mapper_index(va, level)];
	return KERR_OK;
}

bool mapper_leaf_install(struct mapper *m, pte_t *entry, struct frame *table, vaddr_t va,
			 paddr_t pa, map_flags_t flags)
{
	pte_t old = {0};
	mapper_mark(table, mapper_index(va, MAPPER_HUGE));
	if (!mapper_swap(entry, &old, hal.mmu.leaf(pa, flags, MAPPER_HUGE)))
		return false;
	hal.mmu.publish();
	count_huge(m, MAPPER_HUGE, flags, 1);
	return true;
}

void mapper_unmap_huge(struct mapper *m, pte_t *entry, vaddr_t va, struct tlb_context *context)
{
	pte_t old = mapper_load(entry);
	struct pte_parts parts;
	do {
		parts = hal.mmu.decode(old, MAPPER_HUGE);
		if (parts.kind != PTE_LEAF)
			return;
	} while (!mapper_swap(entry, &old, (pte_t){0}));
	count_huge(m, MAPPER_HUGE, parts.flags, -1);
	tlb_flush(context, va, 1, true);
}

/* The entry of `va` on the lowest level there is one; *level says which. */
static pte_t *find(const struct mapper *m, vaddr_t va, unsigned *level)
{
	paddr_t table = m->root;
	for (unsigned l = hal.mmu.geometry()->levels - 1u;; l--) {
		pte_t *e = &mapper_table_at(table)[mapper_index(va, l)];
		*level = l;
		if (l == 0)
			return e;
		struct pte_parts parts = hal.mmu.decode(mapper_load(e), l);
		if (parts.kind != PTE_TABLE)
			return e;
		table = parts.address;
	}
}

void mapper_walk(const struct mapper *m, vaddr_t va, struct page_walk *out)
{
	paddr_t table = m->root;

	*out = (struct page_walk){};
	for (unsigned l = hal.mmu.geometry()->levels;;) {
		struct page_walk_step *step = &out->steps[out->count++];
		unsigned index = mapper_index(va, --l);
		*step = (struct page_walk_step){
			.level = l,
			.index = index,
			.table = table,
			.entry = hal.mmu.decode(mapper_load(&mapper_table_at(table)[index]), l),
		};
		if (l == 0 || step->entry.kind != PTE_TABLE)
			return;
		table = step->entry.address;
	}
}

pte_t *mapper_entry_find(const struct mapper *m, vaddr_t va)
{
	unsigned level;
	pte_t *e = find(m, va, &level);
	return level == 0 ? e : nullptr;
}

enum kerr mapper_translate(const struct mapper *m, vaddr_t va, paddr_t *pa, map_flags_t *flags,
			   unsigned *level)
{
	unsigned l;
	pte_t *e = find(m, va, &l);
	struct pte_parts parts = hal.mmu.decode(mapper_load(e), l);
	if (parts.kind != PTE_LEAF || !(parts.flags & MAP_PRESENT))
		return KERR_NOENT;
	*pa = parts.address | (va & (mapper_span(l) - 1));
	*flags = parts.flags;
	if (level)
		*level = l;
	return KERR_OK;
}

/* ---- Map ------------------------------------------------------------------------------------ */

/* The largest leaf, up to level `limit`, that fits. */
static unsigned best_level(vaddr_t va, paddr_t pa, size_t size, unsigned limit)
{
	unsigned allowed = hal.mmu.geometry()->leaf_levels, level = 0;
	while (level < limit && (allowed >> (level + 1) & 1) &&
	       IS_ALIGNED(va | pa, mapper_span(level + 1)) && size >= mapper_span(level + 1))
		level++;
	return level;
}

/* Maps as many leaves of one size as fit into one table. Advances *done. An (empty) table where a leaf
 * should go: *limit becomes the level below, for the next try. */
static enum kerr map_run(struct mapper *m, vaddr_t va, paddr_t pa, size_t size, map_flags_t flags,
			 unsigned *limit, size_t *done)
{
	unsigned level = best_level(va, pa, size, *limit);
	uint64_t span = mapper_span(level);
	paddr_t table = m->root;
	bool leaf = false;
	for (unsigned l = hal.mmu.geometry()->levels - 1u; l > level; l--) {
		table = descend(m, table, mapper_index(va, l), l, &leaf);
		if (!table)
			return leaf ? KERR_EXIST : KERR_NOMEM;
	}
	pte_t *entries = mapper_table_at(table);
	for (unsigned i = mapper_index(va, level); i < MAPPER_ENTRIES && size >= span; i++) {
		if (best_level(va, pa, size, *limit) != level)
			break;
		if (m->user)
			mapper_mark(record(table), i);
		pte_t old = {0};
		if (!mapper_swap(&entries[i], &old, hal.mmu.leaf(pa, flags, level))) {
			if (hal.mmu.decode(old, level).kind != PTE_TABLE || level == 0)
				return KERR_EXIST;
			*limit = level - 1;
			return KERR_OK;
		}
		count_huge(m, level, flags, 1);
		va += span;
		pa += span;
		size -= span;
		*done += span;
	}
	*limit = hal.mmu.geometry()->levels - 1u;
	return KERR_OK;
}

enum kerr mapper_map_range(struct mapper *m, vaddr_t va, paddr_t pa, size_t size, map_flags_t flags)
{
	if (!IS_ALIGNED(va | pa | size, PAGE_SIZE) || va + size - 1 < va || wx(flags))
		return KERR_INVAL;
	unsigned limit = hal.mmu.geometry()->levels - 1u;
	size_t done = 0;
	while (done < size) {
		enum kerr err = map_run(m, va + done, pa + done, size - done, flags, &limit, &done);
		if (err == KERR_OK)
			continue;
		struct tlb_batch batch;
		tlb_batch_init(&batch, nullptr);
		if (done && mapper_unmap_range(m, va, done, false, 0, 0, &batch) != KERR_OK)
			panic("mapper: cannot undo");
		if (!m->user) /* a CPU may have looked ahead; users' tables are filled by faults */
			tlb_batch_finish(&batch);
		return err;
	}
	return KERR_OK;
}

/* ---- Split ---------------------------------------------------------------------------------- */

/*
 * Replaces the leaf of `va` at `level` by a table of leaves one level down. Faults may be at it at the
 * same time: whoever takes the leaf out is the one who puts the table in, unless a fault has made
 * one meanwhile, to which the pages come back one by one. KERR_NOMEM: no table; a user's leaf is gone
 * then all the same, for faults bring everything back.
 */
static NOINLINE enum kerr split(struct mapper *m, paddr_t table, unsigned index, unsigned level,
				vaddr_t va, struct tlb_context *context)
{
	pte_t *e = &mapper_table_at(table)[index];
	paddr_t new = mapper_table_new(m->user);
	if (!new && !m->user)
		return KERR_NOMEM;
	pte_t old = mapper_load(e);
	struct pte_parts parts;
	do {
		parts = hal.mmu.decode(old, level);
		if (parts.kind != PTE_LEAF)
			break;
	} while (!mapper_swap(e, &old, (pte_t){0}));
	if (parts.kind != PTE_LEAF) { /* somebody was faster */
		if (new)
			table_drop(m, new);
		return KERR_OK;
	}
	count_huge(m, level, parts.flags, -1);
	if (m->user)
		mm_count(COUNT_HUGE_SPLIT, 1);
	va = ALIGN_DOWN(va, mapper_span(level));
	struct tlb_batch batch;
	tlb_batch_init(&batch, context);
	tlb_batch_add(&batch, va, va + mapper_span(level), level);
	batch.tables = true;
	tlb_batch_finish(&batch);
	if (!new)
		return KERR_NOMEM;
	map_flags_t flags = parts.flags & ~MAP_HUGE;
	uint64_t span = mapper_span(level - 1);
	for (unsigned i = 0; i < MAPPER_ENTRIES; i++)
		mapper_table_at(new)[i] = hal.mmu.leaf(parts.address + i * span, flags, level - 1);
	if (m->user)
		record(new)->private = ~(uint64_t)0;
	old = (pte_t){0};
	if (!mapper_swap(e, &old, hal.mmu.table(new))) {
		table_drop(m, new);
		return KERR_OK;
	}
	atomic_fetch_add_explicit(&m->tables, 1, memory_order_relaxed);
	if (m->user)
		mm_count(COUNT_TABLES, 1);
	hal.mmu.publish();
	return KERR_OK;
}

void mapper_split(struct mapper *m, vaddr_t va, struct tlb_context *context)
{
	pte_t *e;
	struct frame *table;
	if (mapper_entry_make(m, va, MAPPER_HUGE, &e, &table) == KERR_OK)
		(void)!split(m, frame_address(table), mapper_index(va, MAPPER_HUGE), MAPPER_HUGE,
			     va, context); /* no memory for a table: faults make one */
}

/* ---- Ranges --------------------------------------------------------------------------------- */

enum range_op { RANGE_CHECK, RANGE_UNMAP, RANGE_PROTECT };

struct range_walk {
	struct mapper *m;
	enum range_op op;
	bool holes, grant;
	map_flags_t flags;
	vaddr_t free_low, free_high;
	struct tlb_batch *batch;
};

/* All tables below `table` (at `level`, entries of that level) into the batch. */
static void take_subtree(struct range_walk *w, paddr_t table, unsigned level)
{
	struct frame *f = record(table);
	if (level > 0) {
		for (uint64_t mask = f->private; mask; mask &= mask - 1) {
			unsigned first = (unsigned)__builtin_ctzll(mask) * MAPPER_GROUP;
			for (unsigned i = first; i < first + MAPPER_GROUP; i++) {
				struct pte_parts parts =
					hal.mmu.decode(mapper_table_at(table)[i], level);
				if (parts.kind == PTE_TABLE)
					take_subtree(w, parts.address, level - 1);
				else if (parts.kind == PTE_LEAF)
					count_huge(w->m, level, parts.flags, -1);
			}
		}
	}
	atomic_fetch_sub_explicit(&w->m->tables, 1, memory_order_relaxed);
	mm_count(COUNT_TABLES, -1);
	tlb_batch_chain(&w->batch->dead_tables, f);
}

static void leaf_unmap(struct range_walk *w, pte_t *e, pte_t old, vaddr_t va, unsigned level)
{
	__atomic_store_n(&e->raw, 0, __ATOMIC_RELAXED);
	if (unlikely(level > 0))
		count_huge(w->m, level, hal.mmu.decode(old, level).flags, -1);
	tlb_batch_add(w->batch, va, va + mapper_span(level), level);
	if (!w->batch->take_frames)
		return;
	struct frame *f = record(hal.mmu.decode(old, level).address);
	for (uint64_t i = 0; i < mapper_span(level) >> PAGE_SHIFT; i++)
		tlb_batch_chain(&w->batch->frames, f + i);
}

static void leaf_protect(struct range_walk *w, pte_t *e, pte_t old, vaddr_t va, unsigned level)
{
	const map_flags_t rights = MAP_WRITABLE | MAP_NO_EXECUTE | MAP_USER;
	struct pte_parts parts = hal.mmu.decode(old, level);
	map_flags_t want = w->flags & rights;
	if (!w->grant && !(parts.flags & MAP_WRITABLE))
		want &= ~MAP_WRITABLE;
	if ((parts.flags & rights) == want)
		return;
	map_flags_t flags = (parts.flags & ~(rights | MAP_HUGE)) | want;
	if (want & MAP_WRITABLE)
		flags |= MAP_DIRTY;
	pte_t new = hal.mmu.leaf(parts.address, flags, level);
	/* Only the CPU's accessed and dirty bits can have changed meanwhile. */
	if (!mapper_swap(e, &old, new))
		__atomic_store_n(&e->raw, new.raw, __ATOMIC_RELAXED);
	tlb_batch_add(w->batch, va, va + mapper_span(level), level);
}

static void leaf_apply(struct range_walk *w, pte_t *e, pte_t old, vaddr_t va, unsigned level)
{
	if (w->op == RANGE_UNMAP)
		leaf_unmap(w, e, old, va, level);
	else if (w->op == RANGE_PROTECT)
		leaf_protect(w, e, old, va, level);
}

/* The entries of [va, last] in a table of level 0. */
static enum kerr walk_leaves(struct range_walk *w, paddr_t table, vaddr_t va, vaddr_t last)
{
	pte_t *entries = mapper_table_at(table);
	uint64_t mask = w->holes && w->m->user ? mask_of(table) : ~(uint64_t)0;
	unsigned i = mapper_index(va, 0), end = mapper_index(last, 0);
	va -= (vaddr_t)i << PAGE_SHIFT; /* of entry 0 */
	while (i <= end) {
		unsigned stop = MIN(end, i | (MAPPER_GROUP - 1));
		if (!(mask >> (i / MAPPER_GROUP) & 1)) {
			i = stop + 1;
			continue;
		}
		unsigned group = i / MAPPER_GROUP;
		for (; i <= stop; i++) {
			pte_t old = mapper_load(&entries[i]);
			if (old.raw)
				leaf_apply(w, &entries[i], old, va + ((vaddr_t)i << PAGE_SHIFT), 0);
			else if (!w->holes)
				return KERR_NOENT;
		}
		/* Nobody else uses the group, so its bit can go. */
		vaddr_t first = va + ((vaddr_t)group * MAPPER_GROUP << PAGE_SHIFT);
		if (w->op == RANGE_UNMAP && first >= w->free_low &&
		    first + (MAPPER_GROUP << PAGE_SHIFT) <= w->free_high)
			__atomic_fetch_and(&record(table)->private, ~((uint64_t)1 << group),
					   __ATOMIC_RELAXED);
	}
	return KERR_OK;
}

static enum kerr walk_table(struct range_walk *w, paddr_t table, unsigned level, vaddr_t start,
			    vaddr_t last);

/* One entry; [va, last] is the part of its span that is asked for. */
static enum kerr walk_entry(struct range_walk *w, paddr_t table, unsigned level, vaddr_t va,
			    vaddr_t last)
{
	unsigned index = mapper_index(va, level);
	pte_t *e = &mapper_table_at(table)[index];
	pte_t old = mapper_load(e);
	if (!old.raw)
		return w->holes ? KERR_OK : KERR_NOENT;
	struct pte_parts parts = hal.mmu.decode(old, level);
	vaddr_t base = ALIGN_DOWN(va, mapper_span(level));
	if (parts.kind == PTE_TABLE) {
		if (w->op == RANGE_UNMAP && base >= w->free_low &&
		    base + (mapper_span(level) - 1) < w->free_high) {
			__atomic_store_n(&e->raw, 0, __ATOMIC_RELAXED);
			take_subtree(w, parts.address, level - 1);
			tlb_batch_add(w->batch, va, last + 1, 0);
			w->batch->tables = true;
			return KERR_OK;
		}
		return walk_table(w, parts.address, level - 1, va, last);
	}
	if (w->op == RANGE_CHECK)
		return KERR_OK;
	if (level > 0 && (va != base || last != base + (mapper_span(level) - 1))) {
		enum kerr err = split(w->m, table, index, level, va, w->batch->context);
		if (err != KERR_OK && !(w->m->user && w->holes))
			return err;
		return walk_entry(w, table, level, va, last);
	}
	leaf_apply(w, e, old, va, level);
	return KERR_OK;
}

static enum kerr walk_table(struct range_walk *w, paddr_t table, unsigned level, vaddr_t start,
			    vaddr_t last)
{
	uint64_t span = mapper_span(level), group = span * MAPPER_GROUP;
	uint64_t mask = w->m->user ? mask_of(table) : ~(uint64_t)0;
	vaddr_t va = start;
	if (level == 0)
		return walk_leaves(w, table, start, last);
	for (;;) {
		vaddr_t next;
		if (w->holes && !(mask >> (mapper_index(va, level) / MAPPER_GROUP) & 1)) {
			next = ALIGN_DOWN(va, group) + group;
		} else {
			next = ALIGN_DOWN(va, span) + span;
			vaddr_t end = next - 1 < last ? next - 1 : last;
			enum kerr err = walk_entry(w, table, level, va, end);
			if (err != KERR_OK)
				return err;
		}
		if (next - 1 >= last)
			return KERR_OK;
		va = next;
	}
}

/* Most ranges lie in one table of leaves, which stays: straight down to it. False: go the long way. */
static bool walk_short(struct range_walk *w, vaddr_t va, vaddr_t last)
{
	const uint64_t span = mapper_span(1);
	vaddr_t base = ALIGN_DOWN(va, span);
	if (!w->holes || last - base >= span ||
	    (base >= w->free_low && base + span <= w->free_high))
		return false;
	paddr_t table = w->m->root;
	for (unsigned level = hal.mmu.geometry()->levels - 1u; level > 0; level--) {
		pte_t e = mapper_load(&mapper_table_at(table)[mapper_index(va, level)]);
		if (!e.raw)
			return true; /* nothing there */
		struct pte_parts parts = hal.mmu.decode(e, level);
		if (parts.kind != PTE_TABLE)
			return false;
		table = parts.address;
	}
	return walk_leaves(w, table, va, last) == KERR_OK;
}

static enum kerr walk(struct range_walk *w, vaddr_t va, size_t size)
{
	if (!IS_ALIGNED(va | size, PAGE_SIZE) || va + size - 1 < va)
		return KERR_INVAL;
	if (size == 0)
		return KERR_OK;
	if (walk_short(w, va, va + size - 1))
		return KERR_OK;
	unsigned top = hal.mmu.geometry()->levels - 1u;
	if (!w->holes) {
		struct range_walk check = *w;
		check.op = RANGE_CHECK;
		enum kerr err = walk_table(&check, w->m->root, top, va, va + size - 1);
		if (err != KERR_OK)
			return err;
	}
	return walk_table(w, w->m->root, top, va, va + size - 1);
}

enum kerr mapper_unmap_range(struct mapper *m, vaddr_t va, size_t size, bool holes,
			     vaddr_t free_low, vaddr_t free_high, struct tlb_batch *batch)
{
	struct range_walk w = {
		.m = m,
		.op = RANGE_UNMAP,
		.holes = holes,
		.free_low = free_low,
		.free_high = free_high,
		.batch = batch,
	};
	return walk(&w, va, size);
}

enum kerr mapper_protect_range(struct mapper *m, vaddr_t va, size_t size, map_flags_t flags,
			       bool grant, bool holes, struct tlb_batch *batch)
{
	struct range_walk w = {
		.m = m,
		.op = RANGE_PROTECT,
		.holes = holes,
		.grant = grant,
		.flags = flags,
		.batch = batch,
	};
	return wx(flags) ? KERR_INVAL : walk(&w, va, size);
}

/* ---- Reading -------------------------------------------------------------------------------- */

struct visitor {
	const struct mapper *m;
	void (*visit)(vaddr_t va, unsigned level, struct pte_parts leaf, void *arg);
	void *arg;
};

static void visit_table(const struct visitor *v, paddr_t table, unsigned level, vaddr_t va,
			vaddr_t last)
{
	uint64_t span = mapper_span(level), group = span * MAPPER_GROUP;
	uint64_t mask = v->m->user ? mask_of(table) : ~(uint64_t)0;
	for (;;) {
		unsigned i = mapper_index(va, level);
		vaddr_t next = ALIGN_DOWN(va, group) + group;
		if (mask >> (i / MAPPER_GROUP) & 1) {
			next = ALIGN_DOWN(va, span) + span;
			struct pte_parts parts =
				hal.mmu.decode(mapper_load(&mapper_table_at(table)[i]), level);
			vaddr_t end = next - 1 < last ? next - 1 : last;
			if (parts.kind == PTE_TABLE)
				visit_table(v, parts.address, level - 1, va, end);
			else if (parts.kind == PTE_LEAF)
				v->visit(va, level, parts, v->arg);
		}
		if (next - 1 >= last)
			return;
		va = next;
	}
}

void mapper_visit(const struct mapper *m, vaddr_t va, vaddr_t last,
		  void (*visit)(vaddr_t va, unsigned level, struct pte_parts leaf, void *arg),
		  void *arg)
{
	struct visitor v = {m, visit, arg};
	visit_table(&v, m->root, hal.mmu.geometry()->levels - 1u, va, last);
}

struct leaf_sum {
	vaddr_t last;
	uint64_t all, huge; /* pages */
};

static void count_leaf(vaddr_t va, unsigned level, struct pte_parts leaf, void *arg)
{
	struct leaf_sum *sum = arg;
	vaddr_t end = ALIGN_DOWN(va, mapper_span(level)) + (mapper_span(level) - 1);
	uint64_t pages = ((MIN(end, sum->last) - va) >> PAGE_SHIFT) + 1;
	sum->all += pages;
	sum->huge += level > 0 && !(leaf.flags & MAP_SPECIAL) ? pages : 0;
}

static struct leaf_sum count(const struct mapper *m, vaddr_t va, size_t size)
{
	struct leaf_sum sum = {.last = va + size - 1};
	if (size)
		mapper_visit(m, va, sum.last, count_leaf, &sum);
	return sum;
}

uint64_t mapper_count(const struct mapper *m, vaddr_t va, size_t size)
{
	return count(m, va, size).all;
}

uint64_t mapper_count_huge(const struct mapper *m, vaddr_t va, size_t size)
{
	return count(m, va, size).huge;
}

/* ---- The end -------------------------------------------------------------------------------- */

static void clear_table(struct mapper *m, paddr_t table, unsigned level)
{
	struct frame *f = record(table);
	if (level > 0) {
		for (uint64_t mask = f->private; mask; mask &= mask - 1) {
			unsigned first = (unsigned)__builtin_ctzll(mask) * MAPPER_GROUP;
			for (unsigned i = first; i < first + MAPPER_GROUP; i++) {
				struct pte_parts parts =
					hal.mmu.decode(mapper_table_at(table)[i], level);
				if (parts.kind == PTE_TABLE)
					clear_table(m, parts.address, level - 1);
				else if (parts.kind == PTE_LEAF)
					count_huge(m, level, parts.flags, -1);
			}
		}
	}
	if (table != m->root) {
		atomic_fetch_sub_explicit(&m->tables, 1, memory_order_relaxed);
		mm_count(COUNT_TABLES, -1);
		mapper_table_free(f);
	}
}

void mapper_clear(struct mapper *m)
{
	struct frame *root = record(m->root);
	clear_table(m, m->root, hal.mmu.geometry()->levels - 1u);
	for (uint64_t mask = root->private; mask; mask &= mask - 1) {
		pte_t *group =
			mapper_table_at(m->root) + (unsigned)__builtin_ctzll(mask) * MAPPER_GROUP;
		for (unsigned i = 0; i < MAPPER_GROUP; i++)
			group[i].raw = 0;
	}
	root->private = 0;
}
