/*
 * Memory policies of regions, and where pages are: mbind, move_pages, migrate_pages and what asks.
 *
 * A policy is a value in the region; setting one on a part splits, as mprotect does. It decides about
 * frames that faults take from then on (policy_enter in fault.c); pages that are there stay unless
 * the caller wants them moved (migrate.c).
 *
 * All under aspace.lock; regions are write-locked while they change.
 */
#include "layout.h"
#include "migrate.h"
#include "policy_private.h"

#include <mm/user_copy.h>

static bool range(vaddr_t addr, size_t size, vaddr_t *end)
{
	*end = addr + ALIGN_UP(size, PAGE_SIZE);
	return user_range_ok(addr, ALIGN_UP(size, PAGE_SIZE));
}

/* aspace.lock. The frame of a page: private, or the object's, or the page of zeroes if that is mapped. */
static struct frame *frame_in(struct region *r, vaddr_t va)
{
	map_flags_t flags;
	struct frame *f;
	paddr_t pa;

	rcu_read_lock();
	f = r->shared ? nullptr : page_slot_frame(pagetree_get(&r->as->pages, va >> PAGE_SHIFT));
	if (!f && r->object)
		f = page_slot_frame(pagetree_get(&r->object->pages,
						 (r->offset + (va - r->start)) >> PAGE_SHIFT));
	rcu_read_unlock();
	if (!f && !r->object &&
	    mapper_translate(&r->as->mapper, va, &pa, &flags, nullptr) == KERR_OK)
		f = frame_table + (pa >> PAGE_SHIFT);
	return f;
}

/* ---- mbind ---------------------------------------------------------------------------------- */

/* Some page in [start, end) lies elsewhere than p allows. What is mapped of an object counts. */
static bool misplaced(struct region *r, vaddr_t start, vaddr_t end, const struct memory_policy *p)
{
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		struct frame *f = frame_in(r, va);
		if (f && f != zero_frame && !(p->nodes >> f->node & 1))
			return true;
	}
	return false;
}

static bool any_misplaced(struct aspace *as, vaddr_t start, vaddr_t end,
			  const struct memory_policy *p)
{
	struct region *r = region_find(as, start);
	for (; r && r->start < end; r = region_next(r))
		if (misplaced(r, MAX(start, r->start), MIN(end, r->end), p))
			return true;
	return false;
}

static uint64_t bind_region(struct region *r, const struct memory_policy *p, unsigned flags)
{
	struct migration m = {.policy = p,
			      .allowed = p->mode == POLICY_BIND ? p->nodes : 0xffff,
			      .all = flags & BIND_MOVE_ALL};
	rwlock_write_lock(&r->lock);
	r->policy = *p;
	if (flags & (BIND_MOVE | BIND_MOVE_ALL) && !r->shared && numa_many)
		region_migrate(r, r->start, r->end, &m);
	if (flags & BIND_STRICT && p->nodes && (r->object || r->shared))
		m.failed += misplaced(r, r->start, r->end, p);
	rwlock_write_unlock(&r->lock);
	return m.failed;
}

static enum kerr bind_locked(struct aspace *as, vaddr_t start, vaddr_t end,
			     const struct memory_policy *p, unsigned flags)
{
	const unsigned move = BIND_MOVE | BIND_MOVE_ALL;
	uint64_t failed = 0;

	if (!covered(as, start, end))
		return KERR_FAULT;
	if ((flags & BIND_STRICT) && !(flags & move) && any_misplaced(as, start, end, p))
		return KERR_IO;
	enum kerr err = split_at(as, start);
	if (err == KERR_OK)
		err = split_at(as, end);
	struct region *r = region_find(as, start);
	for (; err == KERR_OK && r && r->start < end; r = region_next(r))
		failed += bind_region(r, p, flags);
	merge_range(as, start, end);
	return err == KERR_OK && failed && (flags & BIND_STRICT) ? KERR_IO : err;
}

enum kerr aspace_bind(struct aspace *as, vaddr_t addr, size_t size, const struct memory_policy *p,
		      unsigned flags)
{
	vaddr_t end;

	if (!IS_ALIGNED(addr, PAGE_SIZE) || addr + ALIGN_UP(size, PAGE_SIZE) < addr)
		return KERR_INVAL;
	if (!ALIGN_UP(size, PAGE_SIZE))
		return KERR_OK;
	if (!range(addr, size, &end))
		return KERR_FAULT;
	if (p->mode == POLICY_DEFAULT)
		flags &= ~BIND_STRICT;
	mutex_lock(&as->lock);
	enum kerr err = bind_locked(as, addr, end, p, flags);
	mutex_unlock(&as->lock);
	return err;
}

static enum kerr set_home_locked(struct aspace *as, vaddr_t start, vaddr_t end, unsigned node)
{
	enum kerr result = KERR_NOENT, err = split_at(as, start);

	if (err == KERR_OK)
		err = split_at(as, end);
	struct region *r = region_above(as, start);
	for (; err == KERR_OK && r && r->start < end; r = region_next(r)) {
		if (r->policy.mode == POLICY_DEFAULT)
			continue;
		if (r->policy.mode != POLICY_BIND && r->policy.mode != POLICY_PREFERRED_MANY) {
			result = KERR_OPNOTSUPP;
			break;
		}
		rwlock_write_lock(&r->lock);
		r->policy.home = (uint8_t)(node + 1);
		rwlock_write_unlock(&r->lock);
		result = KERR_OK;
	}
	merge_range(as, start, end);
	return err == KERR_OK ? result : err;
}

enum kerr aspace_set_home(struct aspace *as, vaddr_t addr, size_t size, unsigned node)
{
	vaddr_t end;

	if (!IS_ALIGNED(addr, PAGE_SIZE) || addr + ALIGN_UP(size, PAGE_SIZE) < addr ||
	    node >= numa_nodes())
		return KERR_INVAL;
	if (!ALIGN_UP(size, PAGE_SIZE))
		return KERR_OK;
	if (!range(addr, size, &end))
		return KERR_NOENT;
	mutex_lock(&as->lock);
	enum kerr err = set_home_locked(as, addr, end, node);
	mutex_unlock(&as->lock);
	return err;
}

/* ---- Questions ------------------------------------------------------------------------------ */

enum kerr aspace_policy(struct aspace *as, vaddr_t addr, struct memory_policy *out)
{
	mutex_lock(&as->lock);
	struct region *r = region_find(as, addr);
	if (r)
		*out = r->policy;
	mutex_unlock(&as->lock);
	return r ? KERR_OK : KERR_FAULT;
}

enum kerr aspace_node(struct aspace *as, vaddr_t addr, bool touch, unsigned *node)
{
	if (touch && aspace_fault(as, addr, TRAP_READ) != FAULT_CONTINUE)
		return KERR_FAULT;
	mutex_lock(&as->lock);
	struct region *r = region_find(as, addr);
	struct frame *f = r ? frame_in(r, addr) : nullptr;
	if (f)
		*node = f == zero_frame ? numa_node_of(frame_pfn(f)) : f->node;
	mutex_unlock(&as->lock);
	if (!r || (f == zero_frame && !touch))
		return KERR_FAULT;
	return f ? KERR_OK : KERR_NOENT;
}

static void count_nodes(struct region *r, struct region_nodes *out)
{
	map_flags_t flags;
	paddr_t pa;

	for (vaddr_t va = r->start; va < r->end; va += PAGE_SIZE) {
		uint64_t key = va >> PAGE_SHIFT;
		if (!r->object &&
		    !pagetree_next(&r->as->pages, key, (r->end - 1) >> PAGE_SHIFT, &key))
			return;
		va = key << PAGE_SHIFT;
		struct frame *f = frame_in(r, va);
		rcu_read_lock();
		bool own = !r->shared && pagetree_get(&r->as->pages, key);
		rcu_read_unlock();
		if (!f || f == zero_frame)
			continue;
		if (!own && mapper_translate(&r->as->mapper, va, &pa, &flags, nullptr) != KERR_OK)
			continue;
		out->node[f->node]++;
		++*(own ? &out->anonymous : &out->objects);
	}
}

bool aspace_region_nodes(struct aspace *as, vaddr_t start, struct region_nodes *out)
{
	mutex_lock(&as->lock);
	struct region *r = region_find(as, start);
	if (r) {
		*out = (struct region_nodes){.policy = r->policy};
		count_nodes(r, out);
	}
	mutex_unlock(&as->lock);
	return r;
}

/* ---- Pages on request ----------------------------------------------------------------------- */

/* What is known of a page that is not private; `node` is where it should be. */
static int stays(struct region *r, vaddr_t va, unsigned node)
{
	struct frame *f = frame_in(r, va);

	if (!f || f == zero_frame)
		return f ? KERR_FAULT : KERR_NOENT;
	return f->node == node ? (int)node : KERR_BUSY;
}

static bool is_private(struct region *r, vaddr_t va)
{
	rcu_read_lock();
	bool own = !r->shared && !r->hugetlb && pagetree_get(&r->as->pages, va >> PAGE_SHIFT);
	rcu_read_unlock();
	return own;
}

/* aspace.lock. Pages in a row from the first of `addrs` on, as far as one flush goes. */
static size_t move_some(struct aspace *as, const vaddr_t *addrs, const uint8_t *nodes, int *status,
			size_t count, bool all)
{
	struct region *r = region_find(as, addrs[0]);
	struct page_run run = {.key = addrs[0] >> PAGE_SHIFT, .all = all};

	if (!r) {
		*status = KERR_FAULT;
		return 1;
	}
	rwlock_write_lock(&r->lock);
	while (run.count < MIN(count, (size_t)RUN)) {
		unsigned i = run.count;
		if (addrs[i] >> PAGE_SHIFT != run.key + i || addrs[i] >= r->end)
			break;
		bool own = is_private(r, addrs[i]);
		run.node[i] = own ? nodes[i] : NODE_NONE;
		run.status[i] = own ? 0 : stays(r, addrs[i], nodes[i]);
		run.count++;
	}
	region_move_run(r, &run);
	rwlock_write_unlock(&r->lock);
	for (unsigned i = 0; i < run.count; i++)
		status[i] = run.status[i];
	return run.count;
}

size_t aspace_move_pages(struct aspace *as, const vaddr_t *addrs, const uint8_t *nodes, int *status,
			 size_t count, bool all)
{
	size_t failed = 0;

	mutex_lock(&as->lock);
	for (size_t done = 0; done < count;)
		done += move_some(as, addrs + done, nodes + done, status + done, count - done, all);
	mutex_unlock(&as->lock);
	for (size_t i = 0; i < count; i++)
		failed += status[i] == KERR_BUSY || status[i] == KERR_NOMEM;
	return failed;
}

uint64_t aspace_migrate(struct aspace *as, const uint8_t map[NODE_MAX], bool all)
{
	struct migration m = {.map = map, .all = all};

	mutex_lock(&as->lock);
	for (struct rb_node *n = rb_first(&as->regions); n; n = rb_next(n)) {
		struct region *r = rb_entry(n, struct region, node);
		if (r->shared)
			continue;
		rwlock_write_lock(&r->lock);
		region_migrate(r, r->start, r->end, &m);
		rwlock_write_unlock(&r->lock);
	}
	mutex_unlock(&as->lock);
	return m.failed;
}
