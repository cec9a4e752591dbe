/*
 * Address spaces: birth, fork, death, and their figures.
 *
 * Fork. Under the parent's lock, with every region locked for writing (no fault is under way): the
 * tree of regions is copied shape and all, the page tree is cloned by taking its root, and the
 * parent's writable entries of private pages become read-only, with one flush. The child's
 * hardware table starts empty: it is a cache, and most children replace it by exec at once.
 *
 * Death. The last reference means that no thread runs here; CPUs that still have the table loaded
 * (lazily) are sent away. Tables, page tree and regions then go without locks or flushes: nobody
 * looks at them, and the tag is not used again before everything was forgotten.
 *
 * Roots. Where the kernel half is part of each root (no split_root), dead roots are kept in a
 * list with that half in place: it never changes, so making a process does not copy it again.
 */
#include "region.h"
#include "space.h"

#include "commit_private.h"
#include "layout.h"

#include <core/panic.h>
#include <mm/heap.h>

#define ROOTS_KEPT 32

struct frame *zero_frame RO_AFTER_INIT;
struct spinlock all_lock = SPINLOCK_INIT(RANK_ASPACE, "address spaces");
struct list all_spaces = LIST_INIT(all_spaces); /* (all_lock) */
static struct cache *aspaces;

static struct spinlock roots_lock = SPINLOCK_INIT(RANK_HEAP, "roots");
static struct frame *roots;   /* (roots_lock) chained through link.next */
static unsigned roots_count;  /* (roots_lock) */

void space_init(void)
{
	pagetree_setup();
	object_setup();
	region_setup();
	purge_setup();
	huge_setup();
	aspaces = cache_create("aspace", sizeof(struct aspace), 64);
	zero_frame = frame_alloc(0, FRAME_ZEROED);
	if (!zero_frame)
		panic("memory: no frame for the page of zeroes");
	zero_frame->state = FRAME_ZERO_SHARED;
}

void space_stats(struct memory_stats *out)
{
	out->cached = mm_counted(COUNT_OBJECT);
	out->shared = mm_counted(COUNT_SHARED);
	out->anonymous = mm_counted(COUNT_ANONYMOUS);
	out->page_tables = mm_counted(COUNT_TABLES);
	out->committed = mm_counted(COUNT_COMMITTED);
}

vaddr_t aspace_user_end(void)
{
	return hal.mmu.geometry()->user_end;
}

vaddr_t aspace_user_top(void)
{
	return hal.mmu.geometry()->user_top;
}

/* ---- Roots ---------------------------------------------------------------------------------- */

static paddr_t root_new(void)
{
	if (hal.mmu.geometry()->split_root) {
		struct frame *f = frame_alloc(0, FRAME_ZEROED);
		return f ? frame_address(f) : 0;
	}
	bool on = spin_lock_irq(&roots_lock);
	struct frame *f = tlb_batch_next(&roots);
	roots_count -= f != nullptr;
	spin_unlock_irq(&roots_lock, on);
	if (f) {
		f->private = 0;
		return frame_address(f);
	}
	f = frame_alloc(0, FRAME_ZEROED);
	if (!f)
		return 0;
	pte_t *root = frame_data(f), *kernel = mapper_table_at(kernel_mapper.root);
	for (unsigned i = MAPPER_ENTRIES / 2; i < MAPPER_ENTRIES; i++)
		root[i] = kernel[i];
	return frame_address(f);
}

/* Its user half is clear. */
static void root_free(paddr_t root)
{
	struct frame *f = frame_table + (root >> PAGE_SHIFT);
	if (hal.mmu.geometry()->split_root) {
		frame_free_zeroed(f);
		return;
	}
	bool on = spin_lock_irq(&roots_lock);
	bool keep = roots_count < ROOTS_KEPT;
	if (keep) {
		tlb_batch_chain(&roots, f);
		roots_count++;
	}
	spin_unlock_irq(&roots_lock, on);
	if (!keep)
		frame_free(f, 0);
}

/* ---- Birth and death ------------------------------------------------------------------------ */

enum kerr aspace_create(struct aspace **out)
{
	struct aspace *as = cache_alloc(aspaces);
	if (!as)
		return KERR_NOMEM;
	paddr_t root = root_new();
	if (!root) {
		cache_free(aspaces, as);
		return KERR_NOMEM;
	}
	*as = (struct aspace){
		.mapper = {.root = root, .user = true},
		.tlb = {.root = root},
		.map_top = aspace_user_top(),
		.keys = 1,
		.stack_limit = 8ull << 20,
		.data_limit = ~0ull,
		.total_limit = ~0ull,
	};
	atomic_store_explicit(&as->references, 1, memory_order_relaxed);
	atomic_store_explicit(&as->mapper.tables, 1, memory_order_relaxed);
	mm_count(COUNT_TABLES, 1);
	mutex_init(&as->lock, "aspace.lock");
	pagetree_init(&as->pages, PAGETREE_PRIVATE);
	spin_lock(&all_lock);
	list_add_tail(&all_spaces, &as->all_link);
	spin_unlock(&all_lock);
	*out = as;
	return KERR_OK;
}

void aspace_get(struct aspace *as)
{
	atomic_fetch_add_explicit(&as->references, 1, memory_order_relaxed);
}

static void free_regions(struct rb_node *n)
{
	while (n) {
		struct rb_node *right = n->right;
		free_regions(n->left);
		region_free_now(rb_entry(n, struct region, node));
		n = right;
	}
}

void aspace_put(struct aspace *as)
{
	if (!as || atomic_fetch_sub_explicit(&as->references, 1, memory_order_acq_rel) != 1)
		return;
	spin_lock(&all_lock);
	list_remove(&as->all_link);
	spin_unlock(&all_lock);
	if (unlikely(as->purgeable))
		purge_leave(as);
	tlb_leave(&as->tlb);
	free_regions(as->regions.root);
	mapper_clear(&as->mapper);
	root_free(as->mapper.root);
	mm_count(COUNT_TABLES, -1);
	pagetree_destroy(&as->pages);
	commit_release(as->committed);
	cache_free(aspaces, as);
}

void aspace_activate(struct aspace *as)
{
	tlb_activate(as ? &as->tlb : nullptr);
}

/* ---- Fork ----------------------------------------------------------------------------------- */

/* A copy of the subtree with the same shape and colours. False: no memory; *copy holds what
 * there is, well formed. Regions marked NO_FORK are copied too and taken out afterwards. Locks are
 * the parent's own. */
static bool copy_regions(struct aspace *as, struct rb_node *from, struct rb_node *parent,
			 struct rb_node **copy)
{
	*copy = nullptr;
	if (!from)
		return true;
	struct region *old = rb_entry(from, struct region, node);
	struct region *r = region_copy(old, as);
	if (!r)
		return false;
	r->node.parent_color = (uintptr_t)parent | (from->parent_color & 1);
	r->node.left = r->node.right = nullptr;
	*copy = &r->node;
	if (r->hugetlb)
		r->hugetlb = HUGETLB_PLAIN; /* the promise stays with the parent */
	r->marks &= ~(MARK_LOCKED | MARK_ON_FAULT);
	if (r->object) {
		vm_object_get(r->object);
		object_add_region(r->object, r, nullptr);
	}
	return copy_regions(as, from->left, &r->node, &r->node.left) &&
	       copy_regions(as, from->right, &r->node, &r->node.right);
}

static void lock_all(struct rb_node *n)
{
	for (; n; n = n->right) {
		lock_all(n->left);
		rwlock_write_lock(&rb_entry(n, struct region, node)->lock);
	}
}

static void unlock_all(struct rb_node *n)
{
	while (n) {
		struct rb_node *right = n->right;
		unlock_all(n->left);
		rwlock_write_unlock(&rb_entry(n, struct region, node)->lock);
		n = right;
	}
}

/* The parent's private pages become read-only in its table. */
static void write_protect(struct aspace *as, struct rb_node *n, struct tlb_batch *batch)
{
	for (; n; n = n->right) {
		struct region *r = rb_entry(n, struct region, node);
		write_protect(as, n->left, batch);
		if (r->shared || !(r->prot & PROT_WRITE))
			continue;
		enum kerr err = mapper_protect_range(&as->mapper, r->start, r->end - r->start,
						     MAP_USER | MAP_NO_EXECUTE, false, true, batch);
		BUG_ON(err != KERR_OK);
	}
}

/* The child of r begins empty. */
static enum kerr wipe(struct aspace *as, struct region *r)
{
	uint64_t first = r->start >> PAGE_SHIFT, last = (r->end - 1) >> PAGE_SHIFT;
	enum kerr err = pagetree_prepare(&as->pages, first, last, first, last);
	if (err == KERR_OK)
		pagetree_remove(&as->pages, first, last, first, last);
	return err;
}

/* What MADV_DONTFORK excluded leaves the child again, what MADV_WIPEONFORK means is emptied. Nobody
 * runs in the child yet; its table is empty. */
static enum kerr apply_fork_marks(struct aspace *as)
{
	struct rb_node *n = rb_first(&as->regions);
	enum kerr err = KERR_OK;
	as->sealed = false; /* for this one */
	while (n && err == KERR_OK) {
		struct region *r = rb_entry(n, struct region, node);
		n = rb_next(n);
		if (r->marks & MARK_NO_FORK)
			err = unmap_locked(as, r->start, r->end);
		else if (r->marks & MARK_WIPE)
			err = wipe(as, r);
	}
	return err;
}

/* A promise for all that the parent was promised: one request, or if that is too large for one, as
 * it may well be in mode 0, as many as there are regions. */
static enum kerr promise_copy(struct aspace *parent)
{
	uint64_t done = 0;
	if (likely(commit_charge(parent->committed) == KERR_OK))
		return KERR_OK;
	for (struct rb_node *n = rb_first(&parent->regions); n; n = rb_next(n)) {
		struct region *r = rb_entry(n, struct region, node);
		uint64_t pages = region_promised(r, (r->end - r->start) >> PAGE_SHIFT);
		if (commit_charge(pages) != KERR_OK) {
			commit_release(done);
			return KERR_NOMEM;
		}
		done += pages;
	}
	return KERR_OK;
}

enum kerr aspace_fork(struct aspace *parent, struct aspace **out)
{
	struct aspace *as;
	enum kerr err = aspace_create(&as);
	if (err != KERR_OK)
		return err;
	mutex_lock(&parent->lock);
	err = promise_copy(parent);
	if (err != KERR_OK) {
		mutex_unlock(&parent->lock);
		aspace_put(as);
		return err;
	}
	as->committed = parent->committed;
	lock_all(parent->regions.root);
	if (copy_regions(as, parent->regions.root, nullptr, &as->regions.root)) {
		struct tlb_batch batch;
		tlb_batch_init(&batch, &parent->tlb);
		pagetree_clone(&parent->pages, &as->pages);
		write_protect(parent, parent->regions.root, &batch);
		tlb_batch_finish(&batch);
	} else {
		err = KERR_NOMEM;
	}
	unlock_all(parent->regions.root);
	as->region_count = parent->region_count;
	as->brk_start = parent->brk_start;
	as->brk = parent->brk;
	as->map_top = parent->map_top;
	as->hint = parent->hint;
	as->hole = parent->hole;
	as->stack_random = parent->stack_random;
	as->map_random = parent->map_random;
	as->keys = parent->keys;
	as->stack_limit = parent->stack_limit;
	as->data_limit = parent->data_limit;
	as->total_limit = parent->total_limit;
	as->virtual_pages = parent->virtual_pages;
	as->uncommitted = parent->uncommitted;
	as->deny_exec = parent->deny_exec & MDWE_NO_INHERIT ? 0 : parent->deny_exec;
	as->special_fork = parent->special_fork;
	as->has_hugetlb = parent->has_hugetlb;
	bool sealed = parent->sealed, purgeable = parent->purgeable;
	as->huge_disabled = parent->huge_disabled;
	mutex_unlock(&parent->lock);
	if (err == KERR_OK && as->special_fork)
		err = apply_fork_marks(as);
	as->sealed = sealed;
	if (err != KERR_OK) {
		aspace_put(as);
		return err;
	}
	if (unlikely(purgeable))
		purge_enter(as);
	*out = as;
	return KERR_OK;
}
