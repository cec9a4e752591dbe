/*
 * Page trees: persistent radix trees from page number to frame.
 *
 *	root -> node (level 2, prefix) -> node (level 1) -> leaf (level 0): 64 slots, 256 KiB
 *
 * Shape. 64 slots a node, six bits of the key a level, and levels that would have one child are
 * left out: each node knows its level and the bits of the key above it (prefix), so a process with a
 * low and a high cluster of pages has a root with two children wherever they lie. `bitmap` tells
 * which slots may be in use, so copying, counting and freeing visit only those. A node is 552
 * bytes.
 *
 * Sharing. A node counts the trees and nodes that point to it; a leaf holds a reference on each
 * of its frames. pagetree_clone() takes a reference on the root, that is all. Whoever wants to write
 * goes down and copies each node with more than one reference (unshare): the copy takes references on
 * the children or frames. A node with one reference, reached through nodes with one
 * reference, is this tree's own and may be changed in place.
 *
 *	PAGE_OWNED in a slot: the frame was this leaf's alone when it was put in or when a write found
 *	it to have one reference. Copying a leaf clears it in both. So "path exclusive and OWNED" means
 *	"write in place" without looking at the frame, and of two threads of which one wants to
 *	copy a page and the other to keep it, the one whose compare-and-swap comes second notices.
 *
 * Concurrency within a tree (faults in different regions, or in one):
 *   - slots and children are put in by compare-and-swap; a new inner node above an old one too;
 *   - copies are made under tree.lock with an extra reference on the original, taken when it was
 *     seen to have more than one (else it is ours, no copy): nobody changes a node in
 *     place while it has more than one reference, so the copy is exact. Then the copy is
 *     swapped in, `version` counts up, the references on the original go;
 *   - readers go down under rcu and compare `version` afterwards: a node that was replaced meanwhile may
 *     be another tree's own by now and hold that tree's pages;
 *   - for the same reason who goes down to change something looks at the slot once more after it has
 *     seen one reference (is_own): that one may be another tree's;
 *   - removal: the caller excludes everybody from the keys removed; nodes are freed through rcu, as a
 *     reader of a neighbouring key may look at their prefix.
 * Between trees: only reference counts and the copies above. Cloning and moving exclude all users of
 * the tree.
 *
 * Frames of a private tree are put at once (its readers are excluded by region locks, and the
 * hardware forgot them). Frames of an object's tree are put after a grace period: a reader may be
 * about to take its own reference (object.c).
 *
 * Costs: lookup 3 to 4 levels of about ten instructions; clone one atomic; first write after a clone
 * copies 3 to 4 nodes, a leaf's copy one atomic per page in it.
 *
 * Rejected: a list of anonymous pages per region (needs reverse links and a lock per
 * process to copy); page tables as the only record (three formats, and fork copies them).
 */
#include <mm/pagetree.h>

#include "counters.h"
#include "region.h"

#include <core/panic.h>
#include <core/rcu.h>
#include <hal/hal.h>
#include <mm/heap.h>

#define BITS 6u
#define RUN_ORDER 6u /* of a leaf's frames */

struct pagetree_node {
	_Atomic uint32_t refs;
	uint8_t level;          /* constant; 0: slots hold frames */
	_Atomic uint8_t
		shared; /* it, or a node above, was ever reached from two parents: readers of
				 * both may linger */
	uint16_t unused;
	uint64_t prefix; /* constant: key >> (BITS * (level + 1)) */
	_Atomic uint64_t bitmap; /* slots that may be in use */
	struct rcu_head rcu;
	_Atomic page_slot_t slots[PAGETREE_FANOUT]; /* frames, or nodes above level 0 */
};

static struct cache *nodes; /* objects come and go with slots, bitmap, shared zero */
static _Atomic uint64_t node_count;

static_assert(sizeof(struct rcu_head) <= sizeof(struct list),
	      "a dead frame's link is its rcu head");

void pagetree_setup(void)
{
	nodes = cache_create_zeroed("pagetree", sizeof(struct pagetree_node), 8);
}

void pagetree_init(struct pagetree *t, enum pagetree_kind kind)
{
	*t = (struct pagetree){.kind = kind};
	spin_init(&t->lock, RANK_OBJECT, "pagetree");
}

uint64_t pagetree_node_bytes(void)
{
	return atomic_load_explicit(&node_count, memory_order_relaxed) *
	       sizeof(struct pagetree_node);
}

static unsigned index_of(uint64_t key, unsigned level)
{
	return (unsigned)(key >> (BITS * level)) & (PAGETREE_FANOUT - 1);
}

static uint64_t prefix_of(uint64_t key, unsigned level)
{
	return key >> (BITS * (level + 1));
}

static uint64_t node_first(const struct pagetree_node *n)
{
	return n->prefix << (BITS * (n->level + 1u));
}

static uint64_t node_last(const struct pagetree_node *n)
{
	return node_first(n) | (((uint64_t)1 << (BITS * (n->level + 1u))) - 1);
}

static struct pagetree_node *node_at(const _Atomic page_slot_t *slot)
{
	return (struct pagetree_node *)atomic_load_explicit(slot, memory_order_acquire);
}

/* ---- Nodes ---------------------------------------------------------------------------------- */

static struct pagetree_node *node_new(uint64_t key, unsigned level)
{
	struct pagetree_node *n = cache_alloc(nodes);
	if (!n)
		return nullptr;
	atomic_store_explicit(&n->refs, 1, memory_order_relaxed);
	n->level = (uint8_t)level;
	n->prefix = prefix_of(key, level);
	atomic_fetch_add_explicit(&node_count, 1, memory_order_relaxed);
	return n;
}

/* Memory only; slots are cleared here. */
static void node_recycle(struct pagetree_node *n)
{
	uint64_t bitmap = atomic_load_explicit(&n->bitmap, memory_order_relaxed);
	for (; bitmap; bitmap &= bitmap - 1)
		atomic_store_explicit(&n->slots[__builtin_ctzll(bitmap)], 0, memory_order_relaxed);
	atomic_store_explicit(&n->bitmap, 0, memory_order_relaxed);
	atomic_store_explicit(&n->shared, 0, memory_order_relaxed);
	atomic_fetch_sub_explicit(&node_count, 1, memory_order_relaxed);
	cache_free(nodes, n);
}

/* A private tree's frame loses a holder. */
void anonymous_put(struct frame *f)
{
	if (atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) != 1)
		return;
	mm_count(COUNT_ANONYMOUS, -1);
	frame_free(f, 0);
}

/* The first of the 64 frames in a row that fill the leaf, aligned to their size; null: not so. */
static struct frame *whole_run(const struct pagetree_node *leaf)
{
	struct frame *first =
		page_slot_frame(atomic_load_explicit(&leaf->slots[0], memory_order_relaxed));
	if (!first || frame_pfn(first) % PAGETREE_FANOUT)
		return nullptr;
	for (unsigned i = PAGETREE_FANOUT - 1; i > 0; i--) {
		page_slot_t v = atomic_load_explicit(&leaf->slots[i], memory_order_relaxed);
		if (page_slot_frame(v) != first + i)
			return nullptr;
	}
	return first;
}

/* As anonymous_put for 64 frames in a row: if nobody else holds any, they go back as one block. */
static NOINLINE void anonymous_put_run(struct frame *first)
{
	uint64_t dead = 0;
	for (unsigned i = 0; i < PAGETREE_FANOUT; i++) {
		if (atomic_fetch_sub_explicit(&first[i].references, 1, memory_order_acq_rel) == 1)
			dead |= (uint64_t)1 << i;
	}
	mm_count(COUNT_ANONYMOUS, -__builtin_popcountll(dead));
	if (dead == ~(uint64_t)0) {
		frame_free_run(first, RUN_ORDER);
		return;
	}
	for (; dead; dead &= dead - 1)
		frame_free(first + __builtin_ctzll(dead), 0);
}

static void put_frames(struct pagetree_node *n, void (*put)(struct frame *f))
{
	uint64_t bitmap = atomic_load_explicit(&n->bitmap, memory_order_relaxed);
	struct frame *run;
	if (bitmap == ~(uint64_t)0 && put == anonymous_put && (run = whole_run(n))) {
		anonymous_put_run(run);
		return;
	}
	for (; bitmap; bitmap &= bitmap - 1) {
		page_slot_t v = atomic_load_explicit(&n->slots[__builtin_ctzll(bitmap)],
						     memory_order_relaxed);
		if (v)
			put(page_slot_frame(v));
	}
}

static void node_recycle_rcu(struct rcu_head *head)
{
	node_recycle(container_of(head, struct pagetree_node, rcu));
}

static void leaf_recycle_rcu(struct rcu_head *head)
{
	struct pagetree_node *n = container_of(head, struct pagetree_node, rcu);
	put_frames(n, frame_put);
	node_recycle(n);
}

static void frame_put_rcu(struct rcu_head *head)
{
	frame_put(container_of((struct list *)head, struct frame, link));
}

void frame_put_deferred(struct frame *f)
{
	rcu_call((struct rcu_head *)&f->link, frame_put_rcu);
}

/* How a node may go when its last reference goes. */
enum node_end {
	END_QUIET, /* the tree has no users left: at once, unless another tree's may linger */
	END_QUIET_OBJECT, /* the same of an object's tree */
	END_LIVE, /* memory through rcu */
	END_FRAMES, /* frames too (object trees) */
};

static void node_put(struct pagetree_node *n, enum node_end end)
{
	if (atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (n->level > 0) {
		uint64_t bitmap = atomic_load_explicit(&n->bitmap, memory_order_relaxed);
		for (; bitmap; bitmap &= bitmap - 1) {
			struct pagetree_node *child = node_at(&n->slots[__builtin_ctzll(bitmap)]);
			if (child)
				node_put(child, end);
		}
	} else if (end != END_FRAMES) {
		put_frames(n, end == END_QUIET_OBJECT ? frame_put : anonymous_put);
	}
	if (end <= END_QUIET_OBJECT && !atomic_load_explicit(&n->shared, memory_order_relaxed))
		node_recycle(n);
	else
		rcu_call(&n->rcu,
			 n->level == 0 && end == END_FRAMES ? leaf_recycle_rcu : node_recycle_rcu);
}

/* Marks slot `i` as perhaps in use, before it is. */
static void mark(struct pagetree_node *n, unsigned i)
{
	uint64_t bit = (uint64_t)1 << i;
	if (!(atomic_load_explicit(&n->bitmap, memory_order_relaxed) & bit))
		atomic_fetch_or_explicit(&n->bitmap, bit, memory_order_relaxed);
}

static void unmark(struct pagetree_node *n, unsigned i)
{
	atomic_fetch_and_explicit(&n->bitmap, ~((uint64_t)1 << i), memory_order_relaxed);
}

/* ---- Copying -------------------------------------------------------------------------------- */

/* `n` has more references than ours and keeps them while we are here: it does not change. */
static struct pagetree_node *node_copy(struct pagetree_node *n)
{
	struct pagetree_node *copy = node_new(node_first(n), n->level);
	if (!copy)
		return nullptr;
	uint64_t bitmap = atomic_load_explicit(&n->bitmap, memory_order_relaxed);
	atomic_store_explicit(&copy->bitmap, bitmap, memory_order_relaxed);
	for (; bitmap; bitmap &= bitmap - 1) {
		unsigned i = (unsigned)__builtin_ctzll(bitmap);
		page_slot_t v = atomic_load_explicit(&n->slots[i], memory_order_relaxed);
		if (!v)
			continue;
		if (n->level > 0) {
			struct pagetree_node *child = (struct pagetree_node *)v;
			atomic_fetch_add_explicit(&child->refs, 1, memory_order_relaxed);
			atomic_store_explicit(&child->shared, 1, memory_order_relaxed);
		} else {
			frame_get(page_slot_frame(v));
			if (v & PAGE_OWNED) {
				v &= ~PAGE_OWNED;
				atomic_store_explicit(&n->slots[i], v, memory_order_relaxed);
			}
		}
		atomic_store_explicit(&copy->slots[i], v, memory_order_relaxed);
	}
	return copy;
}

/* Below a node that other trees' readers may still be in, a new one is in their reach, too. */
static void inherit_shared(struct pagetree_node *n, const struct pagetree_node *parent)
{
	if (parent && atomic_load_explicit(&parent->shared, memory_order_relaxed))
		atomic_store_explicit(&n->shared, 1, memory_order_relaxed);
}

/* Replaces `n`, found in *slot (of `parent`, null: the root) with more than one reference, by a copy of
 * our own; or does nothing if that has changed. The caller looks again. */
static NOINLINE enum kerr unshare(struct pagetree *t, _Atomic page_slot_t *slot,
				  const struct pagetree_node *parent, struct pagetree_node *n)
{
	enum kerr err = KERR_OK;
	spin_lock(&t->lock);
	if (node_at(slot) != n)
		goto out;
	if (atomic_fetch_add_explicit(&n->refs, 1, memory_order_acq_rel) == 1) {
		atomic_fetch_sub_explicit(&n->refs, 1, memory_order_release);
		goto out; /* the others have gone: it is ours */
	}
	struct pagetree_node *copy = node_copy(n);
	if (copy) {
		page_slot_t old = (page_slot_t)n;
		inherit_shared(copy, parent);
		if (atomic_compare_exchange_strong_explicit(slot, &old, (page_slot_t)copy,
							    memory_order_acq_rel,
							    memory_order_relaxed)) {
			atomic_fetch_add_explicit(&t->version, 1, memory_order_release);
			node_put(n, END_LIVE);
		} else {
			node_put(copy, END_LIVE); /* a node was put in above n */
		}
	} else {
		err = KERR_NOMEM;
	}
	node_put(n, END_LIVE);
out:
	spin_unlock(&t->lock);
	return err;
}

/* ---- Going down ----------------------------------------------------------------------------- */

/* `n`, found in *slot, is the tree's own. The slot is looked at again after the references: another
 * thread of ours may have replaced n by a copy meanwhile, and the one reference that is left be another
 * tree's. If n is still there, the one reference is the slot's. */
static inline bool is_own(const struct pagetree_node *n, const _Atomic page_slot_t *slot)
{
	return atomic_load_explicit(&n->refs, memory_order_acquire) == 1 && node_at(slot) == n;
}

/* Puts a leaf for `key` into *slot, which holds `n`: null, or a node that is elsewhere in the key
 * space and goes below a new node with the leaf. A lost race is no error. */
static NOINLINE enum kerr insert(_Atomic page_slot_t *slot, struct pagetree_node *parent,
				 unsigned index, struct pagetree_node *n, uint64_t key)
{
	struct pagetree_node *leaf = node_new(key, 0), *new = leaf;
	if (!leaf)
		return KERR_NOMEM;
	inherit_shared(leaf, parent);
	if (n) {
		uint64_t differ = key ^ node_first(n);
		unsigned level = (63u - (unsigned)__builtin_clzll(differ)) / BITS;
		new = node_new(key, level);
		if (!new) {
			node_recycle(leaf);
			return KERR_NOMEM;
		}
		inherit_shared(new, parent);
		unsigned mine = index_of(key, level), theirs = index_of(node_first(n), level);
		atomic_store_explicit(&new->slots[mine], (page_slot_t)leaf, memory_order_relaxed);
		atomic_store_explicit(&new->slots[theirs], (page_slot_t)n, memory_order_relaxed);
		atomic_store_explicit(&new->bitmap, (uint64_t)1 << mine | (uint64_t)1 << theirs,
				      memory_order_relaxed);
	}
	if (parent)
		mark(parent, index);
	page_slot_t old = (page_slot_t)n;
	if (atomic_compare_exchange_strong_explicit(slot, &old, (page_slot_t) new,
						    memory_order_acq_rel, memory_order_relaxed))
		return KERR_OK;
	node_recycle(leaf);
	if (new != leaf)
		node_recycle(new);
	return KERR_OK;
}

enum kerr pagetree_ref(struct pagetree *t, uint64_t key, bool create, struct page_ref *out)
{
	_Atomic page_slot_t *slot = (_Atomic page_slot_t *)&t->root;
	struct pagetree_node *parent = nullptr;
	unsigned index = 0;
	for (;;) {
		struct pagetree_node *n = node_at(slot);
		enum kerr err = KERR_OK;
		if (unlikely(!n || prefix_of(key, n->level) != n->prefix)) {
			if (!create)
				return KERR_NOENT;
			err = insert(slot, parent, index, n, key);
		} else if (unlikely(!is_own(n, slot))) {
			err = unshare(t, slot, parent, n);
		} else {
			index = index_of(key, n->level);
			slot = &n->slots[index];
			parent = n;
			if (n->level == 0) {
				*out = (struct page_ref){slot, n};
				return KERR_OK;
			}
		}
		if (unlikely(err != KERR_OK))
			return err;
	}
}

bool pagetree_swap(struct pagetree *t, struct page_ref *ref, uint64_t key, page_slot_t *old,
		   page_slot_t new)
{
	if (!*old)
		mark(ref->leaf, index_of(key, 0));
	if (!atomic_compare_exchange_strong_explicit(ref->slot, old, new, memory_order_acq_rel,
						     memory_order_acquire))
		return false;
	if (!*old)
		atomic_fetch_add_explicit(&t->pages, 1, memory_order_relaxed);
	return true;
}

/* Round what only reads: afterwards, whether no node was replaced meanwhile. */
static inline uint32_t version_begin(const struct pagetree *t)
{
	return atomic_load_explicit(&t->version, memory_order_acquire);
}

static inline bool version_same(const struct pagetree *t, uint32_t version)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&t->version, memory_order_relaxed) == version;
}

/* The leaf of `key`, or null. *exclusive: no node on the way is shared. */
static struct pagetree_node *find_leaf(struct pagetree *t, uint64_t key, bool *exclusive)
{
	struct pagetree_node *n = atomic_load_explicit(&t->root, memory_order_acquire);
	uint32_t refs = 1;
	while (n && prefix_of(key, n->level) == n->prefix) {
		refs |= atomic_load_explicit(&n->refs, memory_order_acquire);
		if (n->level == 0) {
			*exclusive = refs == 1;
			return n;
		}
		n = node_at(&n->slots[index_of(key, n->level)]);
	}
	return nullptr;
}

bool pagetree_window(struct pagetree *t, uint64_t first, unsigned count, page_slot_t *out,
		     bool *exclusive)
{
	for (;;) {
		uint32_t version = version_begin(t);
		struct pagetree_node *leaf = find_leaf(t, first, exclusive);
		page_slot_t any = 0;
		for (unsigned i = 0; leaf && i < count; i++) {
			out[i] = atomic_load_explicit(&leaf->slots[index_of(first, 0) + i],
						      memory_order_acquire);
			any |= out[i];
		}
		if (likely(version_same(t, version)))
			return any;
	}
}

page_slot_t pagetree_get(struct pagetree *t, uint64_t key)
{
	page_slot_t v = 0;
	bool exclusive;
	return pagetree_window(t, key, 1, &v, &exclusive) ? v : 0;
}

/* ---- Blocks --------------------------------------------------------------------------------- */

enum pagetree_block pagetree_block_state(struct pagetree *t, uint64_t first, struct frame **base,
					 bool *owned)
{
	page_slot_t slots[PAGETREE_FANOUT];
	struct frame *expected = nullptr;
	bool exclusive, some = false, gaps = false;
	*owned = true;
	for (unsigned done = 0; done < PAGETREE_BLOCK; done += PAGETREE_FANOUT) {
		rcu_read_lock();
		bool any = pagetree_window(t, first + done, PAGETREE_FANOUT, slots, &exclusive);
		rcu_read_unlock();
		some |= any;
		gaps |= !any;
		if (some && gaps)
			return BLOCK_MIXED;
		if (!any)
			continue;
		if (done == 0) {
			*base = expected = page_slot_frame(slots[0]);
			if (!expected || frame_pfn(expected) % PAGETREE_BLOCK)
				return BLOCK_MIXED;
		}
		*owned &= exclusive;
		for (unsigned i = 0; i < PAGETREE_FANOUT; i++) {
			if (page_slot_frame(slots[i]) != expected++)
				return BLOCK_MIXED;
			*owned &= slots[i] & PAGE_OWNED;
		}
	}
	return some ? BLOCK_WHOLE : BLOCK_EMPTY;
}

bool pagetree_block_own(struct pagetree *t, uint64_t first, struct frame *base)
{
	struct page_ref ref;
	for (unsigned i = 0; i < PAGETREE_BLOCK; i++) {
		rcu_read_lock();
		bool own = pagetree_ref(t, first + i, false, &ref) == KERR_OK;
		page_slot_t v = own ? atomic_load_explicit(ref.slot, memory_order_acquire) : 0;
		own = own && page_slot_frame(v) == base + i;
		if (own && !(v & PAGE_OWNED))
			own = atomic_load_explicit(&base[i].references, memory_order_acquire) ==
				      1 &&
			      pagetree_swap(t, &ref, first + i, &v, (v & ~PAGE_LAZY) | PAGE_OWNED);
		rcu_read_unlock();
		if (!own)
			return false;
	}
	return true;
}

unsigned pagetree_block_fill(struct pagetree *t, uint64_t first, struct frame *base)
{
	struct page_ref ref = {};
	unsigned i = 0;
	bool placed = true;
	while (placed && i < PAGETREE_BLOCK) {
		rcu_read_lock();
		placed = pagetree_ref(t, first + i, true, &ref) == KERR_OK;
		for (unsigned end = i + PAGETREE_FANOUT; placed && i < end; i += placed) {
			page_slot_t none = 0;
			ref.slot = &ref.leaf->slots[i % PAGETREE_FANOUT];
			placed = pagetree_swap(t, &ref, first + i, &none,
					       page_slot_make(base + i, true));
		}
		rcu_read_unlock();
	}
	return i;
}

/* All paths, which can fail; and whether somebody holds a page for a moment (ptrace). */
static enum kerr block_prepare(struct pagetree *t, uint64_t first)
{
	struct page_ref ref;
	enum kerr err = KERR_OK;
	bool any = false;
	for (unsigned i = 0; i < PAGETREE_BLOCK && err == KERR_OK; i++) {
		rcu_read_lock();
		err = pagetree_ref(t, first + i, true, &ref);
		page_slot_t v =
			err == KERR_OK ? atomic_load_explicit(ref.slot, memory_order_acquire) : 0;
		struct frame *f = page_slot_frame(v);
		if ((v & PAGE_OWNED) &&
		    atomic_load_explicit(&f->references, memory_order_acquire) != 1)
			err = KERR_AGAIN;
		any |= f != nullptr;
		rcu_read_unlock();
	}
	return err == KERR_OK && !any ? KERR_NOENT : err;
}

enum kerr pagetree_block_replace(struct pagetree *t, uint64_t first, struct frame *base)
{
	struct page_ref ref;
	enum kerr err = block_prepare(t, first);
	if (err != KERR_OK)
		return err;
	for (unsigned i = 0; i < PAGETREE_BLOCK; i++) {
		rcu_read_lock();
		BUG_ON(pagetree_ref(t, first + i, true, &ref) != KERR_OK);
		page_slot_t old = atomic_load_explicit(ref.slot, memory_order_acquire);
		struct frame *from = page_slot_frame(old);
		if (from)
			hal.mmu.page_copy(frame_data(base + i), frame_data(from));
		else
			hal.mmu.page_zero(frame_data(base + i));
		BUG_ON(!pagetree_swap(t, &ref, first + i, &old, page_slot_make(base + i, true)));
		rcu_read_unlock();
		mm_count(COUNT_ANONYMOUS, 1);
		if (from)
			anonymous_put(from);
	}
	return KERR_OK;
}

void pagetree_clone(struct pagetree *from, struct pagetree *to)
{
	struct pagetree_node *root = atomic_load_explicit(&from->root, memory_order_acquire);
	if (root) {
		atomic_fetch_add_explicit(&root->refs, 1, memory_order_relaxed);
		atomic_store_explicit(&root->shared, 1, memory_order_relaxed);
	}
	from->cloned = to->cloned = true;
	atomic_store_explicit(&to->root, root, memory_order_release);
	atomic_store_explicit(&to->pages, atomic_load_explicit(&from->pages, memory_order_relaxed),
			      memory_order_relaxed);
}

/* ---- Removal -------------------------------------------------------------------------------- */

static enum kerr unshare_path(struct pagetree *t, uint64_t key, uint64_t gap_first,
			      uint64_t gap_last)
{
	_Atomic page_slot_t *slot = (_Atomic page_slot_t *)&t->root;
	struct pagetree_node *parent = nullptr;
	for (;;) {
		struct pagetree_node *n = node_at(slot);
		if (!n || prefix_of(key, n->level) != n->prefix ||
		    (node_first(n) >= gap_first && node_last(n) <= gap_last))
			return KERR_OK;
		if (!is_own(n, slot)) {
			enum kerr err = unshare(t, slot, parent, n);
			if (err != KERR_OK)
				return err;
			continue;
		}
		if (n->level == 0)
			return KERR_OK;
		slot = &n->slots[index_of(key, n->level)];
		parent = n;
	}
}

enum kerr pagetree_prepare(struct pagetree *t, uint64_t first, uint64_t last, uint64_t gap_first,
			   uint64_t gap_last)
{
	if (!t->cloned || !atomic_load_explicit(&t->root, memory_order_relaxed))
		return KERR_OK;
	rcu_read_lock();
	enum kerr err = unshare_path(t, first, gap_first, gap_last);
	if (err == KERR_OK)
		err = unshare_path(t, last, gap_first, gap_last);
	rcu_read_unlock();
	return err;
}

static uint64_t node_pages(struct pagetree_node *n)
{
	uint64_t bitmap = atomic_load_explicit(&n->bitmap, memory_order_relaxed);
	if (n->level == 0)
		return (uint64_t)__builtin_popcountll(bitmap);
	uint64_t pages = 0;
	for (; bitmap; bitmap &= bitmap - 1) {
		struct pagetree_node *child = node_at(&n->slots[__builtin_ctzll(bitmap)]);
		pages += child ? node_pages(child) : 0;
	}
	return pages;
}

struct removal {
	struct pagetree *t;
	uint64_t first, last, gap_first, gap_last;
	uint64_t removed; /* pages */
};

static void remove_slot(struct removal *r, struct pagetree_node *leaf, unsigned i)
{
	page_slot_t v = atomic_exchange_explicit(&leaf->slots[i], 0, memory_order_acq_rel);
	if (!v)
		return;
	unmark(leaf, i);
	r->removed++;
	if (r->t->kind == PAGETREE_OBJECT)
		frame_put_deferred(page_slot_frame(v));
	else
		anonymous_put(page_slot_frame(v));
}

static bool in_gap(const struct removal *r, const struct pagetree_node *n)
{
	return node_first(n) >= r->gap_first && node_last(n) <= r->gap_last;
}

static void remove_leaf(struct removal *r, struct pagetree_node *leaf, uint64_t first,
			uint64_t last)
{
	uint64_t bitmap = atomic_load_explicit(&leaf->bitmap, memory_order_relaxed);
	bitmap &= ~(uint64_t)0 << index_of(first, 0);
	bitmap &= ~(uint64_t)0 >> (63 - index_of(last, 0));
	struct frame *run;
	if (bitmap == ~(uint64_t)0 && r->t->kind == PAGETREE_PRIVATE && (run = whole_run(leaf))) {
		for (unsigned i = 0; i < PAGETREE_FANOUT; i++)
			atomic_store_explicit(&leaf->slots[i], 0, memory_order_relaxed);
		atomic_store_explicit(&leaf->bitmap, 0, memory_order_relaxed);
		r->removed += PAGETREE_FANOUT;
		anonymous_put_run(run);
		return;
	}
	for (; bitmap; bitmap &= bitmap - 1)
		remove_slot(r, leaf, (unsigned)__builtin_ctzll(bitmap));
}

static void remove_at(struct removal *r, _Atomic page_slot_t *slot)
{
	struct pagetree_node *n = node_at(slot);
	if (!n || node_last(n) < r->first || node_first(n) > r->last)
		return;
	if (in_gap(r, n)) {
		page_slot_t old = (page_slot_t)n;
		if (!atomic_compare_exchange_strong_explicit(slot, &old, 0, memory_order_acq_rel,
							     memory_order_relaxed)) {
			remove_at(r, slot); /* a node was put in above n */
			return;
		}
		r->removed += node_pages(n);
		node_put(n, r->t->kind == PAGETREE_OBJECT ? END_FRAMES : END_LIVE);
		return;
	}
	uint64_t first = MAX(r->first, node_first(n)), last = MIN(r->last, node_last(n));
	if (n->level == 0) {
		remove_leaf(r, n, first, last);
		return;
	}
	uint64_t bitmap = atomic_load_explicit(&n->bitmap, memory_order_relaxed);
	bitmap &= ~(uint64_t)0 << index_of(first, n->level);
	bitmap &= ~(uint64_t)0 >> (63 - index_of(last, n->level));
	for (; bitmap; bitmap &= bitmap - 1)
		remove_at(r, &n->slots[__builtin_ctzll(bitmap)]);
}

/* Down while the whole range lies below one child. */
static _Atomic page_slot_t *remove_start(struct removal *r)
{
	_Atomic page_slot_t *slot = (_Atomic page_slot_t *)&r->t->root;
	for (;;) {
		struct pagetree_node *n = node_at(slot);
		if (!n || n->level == 0 || prefix_of(r->first, n->level) != n->prefix ||
		    in_gap(r, n) || index_of(r->first, n->level) != index_of(r->last, n->level) ||
		    prefix_of(r->last, n->level) != n->prefix)
			return slot;
		slot = &n->slots[index_of(r->first, n->level)];
	}
}

uint64_t pagetree_remove(struct pagetree *t, uint64_t first, uint64_t last, uint64_t gap_first,
			 uint64_t gap_last)
{
	struct removal r = {t, first, last, gap_first, gap_last, 0};
	if (!atomic_load_explicit(&t->root, memory_order_relaxed))
		return 0;
	rcu_read_lock();
	remove_at(&r, remove_start(&r));
	rcu_read_unlock();
	if (r.removed)
		atomic_fetch_sub_explicit(&t->pages, r.removed, memory_order_relaxed);
	return r.removed;
}

void pagetree_destroy(struct pagetree *t)
{
	struct pagetree_node *root = atomic_load_explicit(&t->root, memory_order_acquire);
	atomic_store_explicit(&t->root, nullptr, memory_order_relaxed);
	atomic_store_explicit(&t->pages, 0, memory_order_relaxed);
	if (root)
		node_put(root, t->kind == PAGETREE_OBJECT ? END_QUIET_OBJECT : END_QUIET);
}

/* ---- Walking and moving --------------------------------------------------------------------- */

static bool next_in(struct pagetree_node *n, uint64_t from, uint64_t last, uint64_t *key)
{
	if (!n || node_last(n) < from || node_first(n) > last)
		return false;
	from = MAX(from, node_first(n));
	uint64_t bitmap = atomic_load_explicit(&n->bitmap, memory_order_relaxed);
	bitmap &= ~(uint64_t)0 << index_of(from, n->level);
	for (; bitmap; bitmap &= bitmap - 1) {
		unsigned i = (unsigned)__builtin_ctzll(bitmap);
		page_slot_t v = atomic_load_explicit(&n->slots[i], memory_order_acquire);
		if (!v)
			continue;
		if (n->level == 0) {
			*key = node_first(n) + i;
			return *key <= last;
		}
		if (next_in((struct pagetree_node *)v, from, last, key))
			return true;
	}
	return false;
}

/* rcu read lock held. */
static bool find_next(struct pagetree *t, uint64_t from, uint64_t last, uint64_t *key)
{
	for (;;) {
		uint32_t version = version_begin(t);
		bool found = next_in(atomic_load_explicit(&t->root, memory_order_acquire), from,
				     last, key);
		if (likely(version_same(t, version)))
			return found;
	}
}

bool pagetree_next(struct pagetree *t, uint64_t from, uint64_t last, uint64_t *key)
{
	rcu_read_lock();
	bool found = find_next(t, from, last, key);
	rcu_read_unlock();
	return found;
}

static uint64_t count_in(struct pagetree_node *n, uint64_t first, uint64_t last)
{
	if (!n || node_last(n) < first || node_first(n) > last)
		return 0;
	if (node_first(n) >= first && node_last(n) <= last)
		return node_pages(n);
	uint64_t pages = 0, bitmap = atomic_load_explicit(&n->bitmap, memory_order_relaxed);
	for (; bitmap; bitmap &= bitmap - 1) {
		unsigned i = (unsigned)__builtin_ctzll(bitmap);
		if (n->level == 0)
			pages += node_first(n) + i >= first && node_first(n) + i <= last;
		else
			pages += count_in(node_at(&n->slots[i]), first, last);
	}
	return pages;
}

uint64_t pagetree_count(struct pagetree *t, uint64_t first, uint64_t last)
{
	uint64_t pages;
	uint32_t version;
	rcu_read_lock();
	do {
		version = version_begin(t);
		pages = count_in(atomic_load_explicit(&t->root, memory_order_acquire), first, last);
	} while (!version_same(t, version));
	rcu_read_unlock();
	return pages;
}

enum kerr pagetree_move(struct pagetree *t, uint64_t from, uint64_t to, uint64_t count)
{
	struct page_ref a, b;
	uint64_t key, last = from + count - 1;
	enum kerr err = KERR_OK;
	rcu_read_lock();
	/* First all paths, which can fail; then the pages. */
	for (uint64_t at = from; find_next(t, at, last, &key); at = key + 1) {
		err = pagetree_ref(t, key, false, &a);
		if (err == KERR_OK)
			err = pagetree_ref(t, to + (key - from), true, &b);
		if (err != KERR_OK)
			goto out;
	}
	for (uint64_t at = from; find_next(t, at, last, &key); at = key + 1) {
		uint64_t target = to + (key - from);
		BUG_ON(pagetree_ref(t, key, false, &a) != KERR_OK);
		BUG_ON(pagetree_ref(t, target, true, &b) != KERR_OK);
		page_slot_t v = atomic_exchange_explicit(a.slot, 0, memory_order_acq_rel);
		unmark(a.leaf, index_of(key, 0));
		mark(b.leaf, index_of(target, 0));
		atomic_store_explicit(b.slot, v, memory_order_release);
	}
out:
	rcu_read_unlock();
	return err;
}
