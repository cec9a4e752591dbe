/*
 * What /proc tells about an address space. Nothing is counted on the way of faults: private pages are
 * the page tree's own count, pages of objects are entries in the hardware table, counted when
 * somebody asks. Under aspace.lock, so regions stay; faults go on, figures are of a moment.
 *
 * How many share a page (Pss, Shared_*, Private_*): of an object, the regions on its list that have an
 * entry for it. Of private pages, the address spaces whose page trees have the same frame at the same
 * address, which a fork makes; where mremap moved one of them, at least the leaves that hold the
 * frame. A page that its tree does not share, the common case, is seen as such without asking anybody.
 *
 * Locks: aspace.lock -> all_lock, or object.maps_lock with (tried) region locks: only reading, and
 * never waiting for a region of somebody else.
 */
#include "layout.h"
#include "region.h"

struct usage_walk {
	struct region *r;
	struct region_usage *u;
};

static void add_page(struct usage_walk *w, uint64_t owners, bool dirty, bool anonymous)
{
	struct region_usage *u = w->u;
	uint64_t part = (PAGE_SIZE << USAGE_SHIFT) / owners;
	u->resident += PAGE_SIZE;
	if (owners > 1)
		*(dirty ? &u->shared_dirty : &u->shared_clean) += PAGE_SIZE;
	else
		*(dirty ? &u->private_dirty : &u->private_clean) += PAGE_SIZE;
	u->pss += part;
	u->pss_dirty += dirty ? part : 0;
	u->pss_anonymous += anonymous ? part : 0;
	u->pss_locked += w->r->marks & MARK_LOCKED ? part : 0;
}

/* rcu read lock held. How many address spaces have frame `f` at page `key`. */
static uint64_t private_owners(uint64_t key, const struct frame *f)
{
	uint64_t n = 0, leaves = atomic_load_explicit(&f->references, memory_order_relaxed);
	struct aspace *as;
	spin_lock(&all_lock);
	list_for_each(as, &all_spaces, all_link)
		n += page_slot_frame(pagetree_get(&as->pages, key)) == f;
	spin_unlock(&all_lock);
	return MAX(MAX(n, leaves), 1u);
}

static void count_private(struct usage_walk *w)
{
	struct region *r = w->r;
	struct region_usage *u = w->u;
	uint64_t key, at = r->start >> PAGE_SHIFT, last = (r->end - 1) >> PAGE_SHIFT;
	for (; at <= last && pagetree_next(&r->as->pages, at, last, &key); at = key + 1) {
		page_slot_t v = 0;
		bool alone;
		rcu_read_lock();
		if (pagetree_window(&r->as->pages, key, 1, &v, &alone) && v) {
			struct frame *f = page_slot_frame(v);
			alone &= atomic_load_explicit(&f->references, memory_order_relaxed) == 1;
			add_page(w, alone ? 1 : private_owners(key, f), !(v & PAGE_LAZY), true);
			u->anonymous += PAGE_SIZE;
			u->lazy += v & PAGE_LAZY ? PAGE_SIZE : 0;
			u->is_volatile += r->marks & MARK_VOLATILE ? PAGE_SIZE : 0;
		}
		rcu_read_unlock();
	}
}

/* Whether `r` has an entry for page `index` of its object, which is in `f`. */
static bool maps_page(struct region *r, uint64_t index, const struct frame *f)
{
	uint64_t from = r->offset >> PAGE_SHIFT, pages = (r->end - r->start) >> PAGE_SHIFT;
	paddr_t pa;
	map_flags_t flags;
	return !r->dead && index >= from && index - from < pages &&
	       mapper_translate(&r->as->mapper, r->start + ((index - from) << PAGE_SHIFT), &pa,
				&flags, nullptr) == KERR_OK &&
	       pa >> PAGE_SHIFT == frame_pfn(f);
}

static uint64_t object_owners(struct vm_object *o, uint64_t index, const struct frame *f)
{
	uint64_t n = 0;
	struct region *r;
	spin_lock(&o->maps_lock);
	list_for_each(r, &o->maps, object_link) {
		if (!rwlock_try_read_lock(&r->lock))
			continue; /* is just being changed */
		n += maps_page(r, index, f);
		rwlock_read_unlock(&r->lock);
	}
	spin_unlock(&o->maps_lock);
	return MAX(n, 1u);
}

static bool is_private(const struct region *r, vaddr_t va, const struct frame *f)
{
	rcu_read_lock();
	bool own =
		!r->shared && page_slot_frame(pagetree_get(&r->as->pages, va >> PAGE_SHIFT)) == f;
	rcu_read_unlock();
	return own;
}

static void count_leaf(vaddr_t va, unsigned level, struct pte_parts leaf, void *arg)
{
	struct usage_walk *w = arg;
	struct region *r = w->r;
	if (level > 0) { /* huge leaves are always of private pages */
		vaddr_t end = MIN(va | (mapper_span(level) - 1), r->end - 1);
		va = MAX(ALIGN_DOWN(va, mapper_span(level)), r->start);
		w->u->referenced += end - va + 1;
		w->u->huge += end - va + 1;
		return;
	}
	struct frame *f = frame_table + (leaf.address >> PAGE_SHIFT);
	if (f == zero_frame)
		return;
	w->u->referenced += PAGE_SIZE;
	if (!r->object || is_private(r, va, f))
		return;
	uint64_t index = (r->offset + (va - r->start)) >> PAGE_SHIFT;
	add_page(w, object_owners(r->object, index, f), leaf.flags & MAP_WRITABLE, false);
}

/* aspace.lock held. */
static void usage_locked(struct region *r, struct region_usage *u)
{
	struct usage_walk w = {r, u};
	*u = (struct region_usage){};
	if (r->kind == REGION_DEVICE)
		return; /* no frames of ours */
	if (!r->shared)
		count_private(&w);
	mapper_visit(&r->as->mapper, r->start, r->end - 1, count_leaf, &w);
	u->locked = u->pss_locked >> USAGE_SHIFT;
}

bool aspace_region_usage(struct aspace *as, vaddr_t start, struct region_usage *out)
{
	mutex_lock(&as->lock);
	struct region *r = region_find(as, start);
	if (r)
		usage_locked(r, out);
	mutex_unlock(&as->lock);
	return r;
}

/* Pages of r's object in the hardware table. */
struct object_count {
	struct region *r;
	uint64_t pages;
};

static void count_object_leaf(vaddr_t va, unsigned level, struct pte_parts leaf, void *arg)
{
	struct object_count *c = arg;
	struct frame *f = frame_table + (leaf.address >> PAGE_SHIFT);
	c->pages += level == 0 && f != zero_frame && !is_private(c->r, va, f);
}

static uint64_t object_pages_in(struct region *r)
{
	struct object_count c = {.r = r};
	if (r->object && r->kind != REGION_DEVICE)
		mapper_visit(&r->as->mapper, r->start, r->end - 1, count_object_leaf, &c);
	return c.pages;
}

bool aspace_region_at(struct aspace *as, vaddr_t from, struct region_info *out)
{
	mutex_lock(&as->lock);
	struct region *r = region_above(as, from);
	if (r) {
		*out = (struct region_info){
			.start = r->start,
			.end = r->end,
			.prot = r->prot,
			.key = r->key,
			.kind = (enum region_kind)r->kind,
			.shared = r->shared,
			.may_write = !r->no_write || !r->shared,
			.grows = r->grows,
			.accounted = r->accounted && !r->noreserve,
			.noreserve = r->noreserve,
			.huge = r->huge,
			.marks = r->marks,
			.offset = r->offset,
			.object = r->object,
			.name = r->name,
		};
		if (!out->name && as->brk > as->brk_start && r->start < as->brk &&
		    r->end > as->brk_start && !r->object)
			out->name = "[heap]";
		if (r->object)
			vm_object_get(r->object);
	}
	mutex_unlock(&as->lock);
	return r;
}

struct aspace_stats aspace_stats(struct aspace *as)
{
	struct aspace_stats s = {};
	mutex_lock(&as->lock);
	s.virtual_pages = as->virtual_pages;
	s.peak_pages = MAX(as->peak_pages, as->virtual_pages);
	s.locked_pages = as->locked_pages;
	s.resident_pages = atomic_load_explicit(&as->pages.pages, memory_order_relaxed);
	for (struct rb_node *n = rb_first(&as->regions); n; n = rb_next(n)) {
		struct region *r = rb_entry(n, struct region, node);
		uint64_t pages = (r->end - r->start) >> PAGE_SHIFT;
		if (r->grows)
			s.stack_pages += pages;
		else if (!r->shared && (r->prot & PROT_WRITE))
			s.data_pages += pages;
		else if ((r->prot & PROT_EXEC) && r->object)
			s.text_pages += pages;
		s.shared_pages += object_pages_in(r);
	}
	mutex_unlock(&as->lock);
	s.resident_pages += s.shared_pages;
	return s;
}

uint64_t aspace_table_bytes(struct aspace *as)
{
	return (uint64_t)atomic_load_explicit(&as->mapper.tables, memory_order_relaxed)
	       << PAGE_SHIFT;
}

uint64_t aspace_committed(struct aspace *as)
{
	return READ_ONCE(as->committed);
}

void memory_walk(struct aspace *as, vaddr_t va, struct page_walk *out)
{
	if (va >= aspace_user_end()) {
		mapper_walk(&kernel_mapper, va, out);
		return;
	}
	mutex_lock(&as->lock); /* tables go only under it */
	mapper_walk(&as->mapper, va, out);
	mutex_unlock(&as->lock);
}
