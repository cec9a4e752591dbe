/*
 * What /proc tells about an address space. Nothing is counted on the way of faults: private pages are
 * the page tree's own count, pages of objects are entries in the hardware table, counted when
 * somebody asks. Under aspace.lock, so regions stay; faults go on, figures are of a moment.
 */
#include "layout.h"
#include "region.h"

struct leaf_count {
	struct aspace *as;
	vaddr_t last;
	uint64_t zero, of_tree, others;
};

static void count_leaf(vaddr_t va, unsigned level, struct pte_parts leaf, void *arg)
{
	struct leaf_count *c = arg;
	if (level > 0) { /* huge leaves are always the tree's */
		vaddr_t end = va | (mapper_span(level) - 1);
		c->of_tree += ((MIN(end, c->last) - va) >> PAGE_SHIFT) + 1;
		return;
	}
	struct frame *f = frame_table + (leaf.address >> PAGE_SHIFT);
	rcu_read_lock();
	struct frame *own = page_slot_frame(pagetree_get(&c->as->pages, va >> PAGE_SHIFT));
	rcu_read_unlock();
	if (f == zero_frame)
		c->zero++;
	else if (f == own)
		c->of_tree++;
	else
		c->others++;
}

/* aspace.lock held. */
static struct region_usage usage_locked(struct region *r)
{
	struct leaf_count c = {.as = r->as, .last = r->end - 1};
	struct region_usage u = {.virtual = (r->end - r->start) >> PAGE_SHIFT};
	if (!r->shared)
		u.private_dirty = pagetree_count(&r->as->pages, r->start >> PAGE_SHIFT,
						 (r->end - 1) >> PAGE_SHIFT);
	mapper_visit(&r->as->mapper, r->start, r->end - 1, count_leaf, &c);
	u.zero = c.zero;
	u.shared_clean = c.others;
	u.resident = u.private_dirty + c.others;
	return u;
}

bool aspace_region_usage(struct aspace *as, vaddr_t start, struct region_usage *out)
{
	mutex_lock(&as->lock);
	struct region *r = region_find(as, start);
	if (r)
		*out = usage_locked(r);
	mutex_unlock(&as->lock);
	return r;
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
		if (r->object) {
			struct leaf_count c = {.as = as, .last = r->end - 1};
			mapper_visit(&as->mapper, r->start, r->end - 1, count_leaf, &c);
			s.shared_pages += c.others;
		}
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
