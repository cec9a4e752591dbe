/*
 * Regions: what each range of an address space is. A red-black tree by address.
 *
 *	find:    under rcu, without a lock, by faults: may miss while the tree is being
 *	         rebalanced and may return a region that is changing; the caller takes region.lock
 *	         and checks `dead` and the bounds again
 *	change:  under aspace.lock and region.lock for writing: bounds, rights, removal
 *
 * Regions that touch and are alike in everything merge, a change of a part splits first, so there is
 * always the smallest number of them. A region dies by being marked and leaving the tree; its memory
 * goes after a grace period, or later if a truncation still holds a reference.
 *
 * A private region that was ever writable counts as data with its size, and unless it is MAP_NORESERVE
 * its pages are promised (frames/commit.c): whoever makes it larger asks first, and unmapping
 * gives the promise back.
 */
#include "region.h"

#include <core/panic.h>
#include <lib/string.h>
#include <mm/heap.h>

static struct cache *regions;

void region_setup(void)
{
	regions = cache_create("region", sizeof(struct region), 0);
}

static void region_free_rcu(struct rcu_head *head)
{
	cache_free(regions, container_of(head, struct region, rcu));
}

void region_put(struct region *r)
{
	if (atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) == 1)
		rcu_call(&r->rcu, region_free_rcu);
}

void region_free_unused(struct region *r)
{
	if (r)
		cache_free(regions, r);
}

void region_free_now(struct region *r)
{
	if (unlikely(r->hugetlb) && !r->dead)
		hugetlb_release(r, r->start, r->end);
	if (r->object) {
		object_remove_region(r->object, r);
		if (atomic_load_explicit(&r->references, memory_order_acquire) > 1) {
			/* A truncation is at it: it must see that there is nothing left to do. */
			rwlock_write_lock(&r->lock);
			r->dead = true;
			rwlock_write_unlock(&r->lock);
			vm_object_put(r->object);
			region_put(r);
			return;
		}
		vm_object_put(r->object);
	}
	cache_free(regions, r);
}

struct region *region_copy(const struct region *like, struct aspace *as)
{
	struct region *r = cache_alloc(regions);
	if (!r)
		return nullptr;
	r->start = like->start;
	r->end = like->end;
	r->as = as;
	r->object = like->object;
	r->offset = like->offset;
	r->prot = like->prot;
	r->key = like->key;
	r->kind = like->kind;
	r->shared = like->shared;
	r->grows = like->grows;
	r->no_write = like->no_write;
	r->accounted = like->accounted;
	r->noreserve = like->noreserve;
	r->marks = like->marks;
	r->huge = like->huge;
	r->hugetlb = like->hugetlb;
	r->dead = false;
	r->read_flags = like->read_flags;
	r->name = like->name;
	r->policy = like->policy;
	rwlock_init(&r->lock, "region.lock");
	atomic_store_explicit(&r->references, 1, memory_order_relaxed);
	list_init(&r->object_link);
	return r;
}

void region_set_prot(struct region *r, unsigned prot)
{
	prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
	if (prot)
		prot |= PROT_READ;
	r->prot = (uint8_t)prot;
	r->read_flags = !prot ? 0 : prot & PROT_EXEC ? MAP_USER_CODE : MAP_USER_READ;
	r->read_flags |= prot ? MAP_KEY(r->key) : 0;
}

struct region *region_find(const struct aspace *as, vaddr_t addr)
{
	struct rb_node *n = READ_ONCE(as->regions.root);
	while (n) {
		struct region *r = rb_entry(n, struct region, node);
		if (addr < READ_ONCE(r->start))
			n = READ_ONCE(n->left);
		else if (addr >= READ_ONCE(r->end))
			n = READ_ONCE(n->right);
		else
			return r;
	}
	return nullptr;
}

struct region *region_above(const struct aspace *as, vaddr_t addr)
{
	struct rb_node *n = as->regions.root;
	struct region *best = nullptr;
	while (n) {
		struct region *r = rb_entry(n, struct region, node);
		if (addr < r->end) {
			best = r;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}

void region_account(struct region *r, int64_t pages)
{
	if (unlikely(r->marks & MARK_LOCKED))
		r->as->locked_pages += (uint64_t)pages;
	if (!r->accounted)
		return;
	if (likely(!r->noreserve))
		r->as->committed += (uint64_t)pages;
	else
		r->as->uncommitted += (uint64_t)pages;
}

void region_insert(struct aspace *as, struct region *r, const struct region *like)
{
	struct rb_node **link = &as->regions.root, *parent = nullptr;
	while (*link) {
		parent = *link;
		link = r->start < rb_entry(parent, struct region, node)->start ? &parent->left
									       : &parent->right;
	}
	atomic_thread_fence(memory_order_release); /* lookups without the lock see a whole region */
	rb_insert(&as->regions, &r->node, parent, link);
	as->region_count++;
	if (r->object) {
		vm_object_get(r->object);
		object_add_region(r->object, r, like);
	}
}

void region_remove(struct aspace *as, struct region *r)
{
	rb_remove(&as->regions, &r->node);
	as->region_count--;
	r->dead = true;
	if (r->object) {
		object_remove_region(r->object, r);
		vm_object_put(r->object);
	}
}

void region_split(struct aspace *as, struct region *r, vaddr_t at, struct region *upper)
{
	assert(at > r->start && at < r->end);
	upper->start = at;
	upper->end = r->end;
	if (r->object)
		upper->offset = r->offset + (at - r->start);
	WRITE_ONCE(r->end, at);
	region_insert(as, upper, r);
}

bool region_alike(const struct region *r, const struct region *next)
{
	return r->end == next->start && r->object == next->object && r->prot == next->prot &&
	       r->key == next->key && r->kind == next->kind && r->shared == next->shared &&
	       !r->grows && !next->grows && r->no_write == next->no_write &&
	       r->accounted == next->accounted && r->noreserve == next->noreserve &&
	       r->marks == next->marks && r->huge == next->huge && r->hugetlb == next->hugetlb &&
	       r->name == next->name &&
	       __builtin_memcmp(&r->policy, &next->policy, sizeof(r->policy)) == 0 &&
	       (!r->object || r->offset + (r->end - r->start) == next->offset);
}

bool region_merge(struct aspace *as, struct region *r, struct region *next)
{
	if (!region_alike(r, next))
		return false;
	rwlock_write_lock(&r->lock);
	rwlock_write_lock(&next->lock);
	vaddr_t end = next->end;
	if (r->object)
		object_merge_region(r->object, r, next);
	region_remove(as, next);
	WRITE_ONCE(r->end, end);
	rwlock_write_unlock(&next->lock);
	rwlock_write_unlock(&r->lock);
	region_put(next);
	return true;
}

void region_unmap_pages(struct region *r, uint64_t first, uint64_t last)
{
	if (r->dead)
		return;
	uint64_t from = r->offset >> PAGE_SHIFT;
	uint64_t pages = (r->end - r->start) >> PAGE_SHIFT;
	if (last < from || first >= from + pages)
		return;
	first = MAX(first, from) - from;
	last = MIN(last - from, pages - 1);
	struct tlb_batch batch;
	tlb_batch_init(&batch, &r->as->tlb);
	enum kerr err = mapper_unmap_range(&r->as->mapper, r->start + (first << PAGE_SHIFT),
					   (last - first + 1) << PAGE_SHIFT, true, 0, 0, &batch);
	BUG_ON(err != KERR_OK);
	tlb_batch_finish(&batch);
}
