/*
 * Page trees: a radix tree from page number to frame that can be cloned in O(1). Clones share
 * nodes; whoever writes first copies the node (not the pages). A frame is exclusively the tree's if
 * every node on the way and the frame itself have one reference: that is the copy-on-write test.
 *
 * Used for the private pages of an address space (key: virtual page number) and for the pages
 * of a memory object (key: page index). Concurrency, shapes and costs: mm/space/pagetree.c.
 */
#pragma once

#include <core/spinlock.h>
#include <hal/types.h>
#include <lib/kerr.h>
#include <mm/frame.h>

struct pagetree_node;

enum pagetree_kind {
	PAGETREE_PRIVATE, /* an address space's: readers are excluded by region locks */
	PAGETREE_OBJECT,  /* an object's: frames stay for readers under rcu */
};

struct pagetree {
	struct pagetree_node *_Atomic root;
	_Atomic uint64_t pages;   /* frames in it */
	_Atomic uint32_t version; /* counts nodes that were replaced by copies */
	uint16_t kind;            /* constant: enum pagetree_kind */
	bool cloned;              /* may share nodes; changes where nobody touches the tree */
	struct spinlock lock;     /* while a node is replaced by its copy */
};

/* What a slot holds: 0, or a frame with a flag. */
typedef uintptr_t page_slot_t;
#define PAGE_OWNED ((page_slot_t)1) /* nobody else had the frame when this was set */
#define PAGE_LAZY ((page_slot_t)2) /* MADV_FREE: may go, until it is written again; never OWNED */

static inline struct frame *page_slot_frame(page_slot_t slot)
{
	return (struct frame *)(slot & ~(PAGE_OWNED | PAGE_LAZY));
}

static inline page_slot_t page_slot_make(struct frame *f, bool owned)
{
	return (page_slot_t)f | (owned ? PAGE_OWNED : 0);
}

#define PAGETREE_FANOUT 64u
#define PAGETREE_KEY_MAX (((uint64_t)1 << 52) - 1)

/* A place in a leaf whose whole path is the tree's own. Valid under the rcu read lock it was found
 * in. */
struct page_ref {
	_Atomic page_slot_t *slot;
	struct pagetree_node *leaf;
};

void pagetree_init(struct pagetree *t, enum pagetree_kind kind);
/* Boot: the cache of nodes. */
void pagetree_setup(void);

/* The slot of `key`, 0 if there is none. rcu read lock held. */
page_slot_t pagetree_get(struct pagetree *t, uint64_t key);
/* `count` slots from `first` on, which do not cross a multiple of PAGETREE_FANOUT, as they
 * were at one moment. *exclusive: the path is not shared. False: all are empty. rcu read lock held. */
bool pagetree_window(struct pagetree *t, uint64_t first, unsigned count, page_slot_t *out,
		     bool *exclusive);
/* The place of `key`, its path made (if `create`) and made the tree's own. KERR_NOENT: not there and
 * !create; KERR_NOMEM. rcu read lock held. */
enum kerr pagetree_ref(struct pagetree *t, uint64_t key, bool create, struct page_ref *out);
/* Replaces *old by `new` (not 0) at `ref`; false: *old gets what is there. */
bool pagetree_swap(struct pagetree *t, struct page_ref *ref, uint64_t key, page_slot_t *old,
		   page_slot_t new);

/* ---- Blocks: 512 slots from `first` on, a multiple of 512. What no table maps, in a region that is
 * locked (for reading: then faults may be in each other's way, and the calls notice). --------- */

#define PAGETREE_BLOCK 512u
enum pagetree_block {
	BLOCK_EMPTY,
	BLOCK_MIXED,
	BLOCK_WHOLE, /* frames in a row, the first aligned to 512 */
};
/* *base: the first frame; *owned: all are the tree's own, to be written in place. */
enum pagetree_block pagetree_block_state(struct pagetree *t, uint64_t first, struct frame **base,
					 bool *owned);
/* A whole block becomes the tree's own if nobody else holds any of its frames. */
bool pagetree_block_own(struct pagetree *t, uint64_t first, struct frame *base);
/* Puts frames `base` and following into empty slots, in order, up to the first that is taken; returns how
 * many. */
unsigned pagetree_block_fill(struct pagetree *t, uint64_t first, struct frame *base);
/* Region locked for writing, nothing mapped: the frames that are there are copied to `base` and
 * following, which replace them; what was not there is zeroed. KERR_NOMEM, KERR_AGAIN (somebody is just
 * using one of the frames), KERR_NOENT (there are none): nothing was changed. */
enum kerr pagetree_block_replace(struct pagetree *t, uint64_t first, struct frame *base);

/* *to, which is empty, becomes a copy of *from. Nobody touches either meanwhile. O(1). */
void pagetree_clone(struct pagetree *from, struct pagetree *to);

/*
 * Removal of [first, last]. `gap_first`, `gap_last`: the keys round it where nothing else is and
 * nobody works; whole nodes in it go. pagetree_prepare does what can fail (KERR_NOMEM: copying
 * shared nodes at the edges), pagetree_remove cannot fail after it. Frames are put; it tells how many.
 */
enum kerr pagetree_prepare(struct pagetree *t, uint64_t first, uint64_t last, uint64_t gap_first,
			   uint64_t gap_last);
uint64_t pagetree_remove(struct pagetree *t, uint64_t first, uint64_t last, uint64_t gap_first,
			 uint64_t gap_last);
/* The first key >= `from` and <= last that has a frame; false: none. The caller excludes changes. */
bool pagetree_next(struct pagetree *t, uint64_t from, uint64_t last, uint64_t *key);
/* Moves the pages of [from, from + count) to `to` on; the ranges are apart, the target empty, both
 * the caller's. KERR_NOMEM: nothing was moved. */
enum kerr pagetree_move(struct pagetree *t, uint64_t from, uint64_t to, uint64_t count);
uint64_t pagetree_count(struct pagetree *t, uint64_t first, uint64_t last);
/* Empties a tree that nobody uses any more. */
void pagetree_destroy(struct pagetree *t);
/* Bytes in nodes, of all trees. */
uint64_t pagetree_node_bytes(void);

/* frame_put after an rcu grace period: for frames that readers may be about to reference. */
void frame_put_deferred(struct frame *f);
