/*
 * tmpfs: how a directory keeps its entries, and the slot `tmpfs` (RL-2), which exchanges it under mounted
 * filesystems.
 *
 *	tree   a red-black tree by cookie: a position is found in O(log n)
 *	list   a list in the order of the cookies: making and removing an entry is a few stores, finding a
 *	       position walks
 *
 * Names are found by the dentry cache; this here is for getdents, and for emptiness.
 *
 * A directory knows its index, so there is no closing: a swap takes directory after directory, and a directory some
 * entries at a time, in their order, under the directory's own lock; who waits for it has a turn in between
 * (mutex_pass). Meanwhile the directory's index is `changing`: entries with cookies below `moved` are in the new index,
 * which is kept beside the directory, the others still in the old one. In the end the new one's part becomes the
 * directory's, which is a few stores. Cookies stay, so a getdents that is under way goes on where it was. The links
 * are part of the dentry, so nothing is allocated and going back is the same once more, and cannot fail. What is made
 * meanwhile has the new index from the start. The pause is the longest time for which one directory was
 * locked, which does not depend on how many entries it has; contents of files are not touched, and their reads and
 * writes do not wait. That every entry came over is counted on the way.
 *
 * Locks: an inode's lock, then index_lock (RANK_INODE), which guards the two lists of directories and which
 * index new ones get. The walk takes the first of the old one's list each time, with a reference, so it
 * needs no lock in between; a directory whose last reference has gone is left to who took it.
 *
 * Cost outside of a swap: one predictable branch for `tree`; making and removing a directory takes index_lock.
 * Rejected: a directory at once (the pause grew with its entries, 200 instructions each).
 */
#include "tmpfs.h"

#include <core/time.h>
#include <lib/string.h>
#include <module/slot.h>

#define STATE_VERSION 1u

#define PIECE 32u /* entries that change over while the directory is locked */

struct directory_index {
	const char *name;
	void (*begin)(struct tmpfs_directory *dir); /* empty */
	void (*insert)(struct tmpfs_directory *dir, struct dentry *d);
	void (*remove)(struct tmpfs_directory *dir, struct dentry *d);
	struct dentry *(*at)(struct tmpfs_directory *dir, uint64_t position);
	/* All that `from` has, in a place of its own. */
	void (*take)(struct tmpfs_directory *dir, struct tmpfs_directory *from);
	struct list directories; /* (index_lock) */
};

/* ---- Tree ---- */

static void tree_begin(struct tmpfs_directory *dir)
{
	dir->tree = (struct rb_tree){};
}

static void tree_insert(struct tmpfs_directory *dir, struct dentry *d)
{
	struct rb_node **link = &dir->tree.root, *above = nullptr;

	while (*link) {
		above = *link;
		link = d->cookie < rb_entry(above, struct dentry, order)->cookie ? &above->left
										 : &above->right;
	}
	rb_insert(&dir->tree, &d->order, above, link);
}

static void tree_remove(struct tmpfs_directory *dir, struct dentry *d)
{
	rb_remove(&dir->tree, &d->order);
}

static struct dentry *tree_at(struct tmpfs_directory *dir, uint64_t position)
{
	struct dentry *found = nullptr;

	for (struct rb_node *n = dir->tree.root; n;) {
		struct dentry *d = rb_entry(n, struct dentry, order);
		if (d->cookie >= position) {
			found = d;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return found;
}

static void tree_take(struct tmpfs_directory *dir, struct tmpfs_directory *from)
{
	dir->tree = from->tree;
}

/* ---- List ---- */

static void list_begin(struct tmpfs_directory *dir)
{
	list_init(&dir->list);
}

/* Nearly always at the end: only an exchange of names brings an old cookie back. */
static void list_enter(struct tmpfs_directory *dir, struct dentry *d)
{
	struct list *before = dir->list.prev;

	while (before != &dir->list &&
	       list_entry(before, struct dentry, siblings)->cookie > d->cookie)
		before = before->prev;
	list_insert(&d->siblings, before, before->next);
}

static void list_leave(struct tmpfs_directory *dir, struct dentry *d)
{
	list_remove(&d->siblings);
}

static struct dentry *list_at(struct tmpfs_directory *dir, uint64_t position)
{
	struct dentry *d;

	list_for_each(d, &dir->list, siblings)
		if (d->cookie >= position)
			return d;
	return nullptr;
}

static void list_take(struct tmpfs_directory *dir, struct tmpfs_directory *from)
{
	list_init(&dir->list);
	list_splice_tail(&dir->list, &from->list);
}

/* ---- What tmpfs calls ---- */

static struct directory_index tree = {.name = "tree",
				      .begin = tree_begin,
				      .insert = tree_insert,
				      .remove = tree_remove,
				      .at = tree_at,
				      .take = tree_take,
				      .directories = LIST_INIT(tree.directories)};
static struct directory_index chain = {.name = "list",
				       .begin = list_begin,
				       .insert = list_enter,
				       .remove = list_leave,
				       .at = list_at,
				       .take = list_take,
				       .directories = LIST_INIT(chain.directories)};
static struct spinlock index_lock = SPINLOCK_INIT(RANK_INODE, "tmpfs index");
static struct directory_index *current = &tree; /* (index_lock) that of new directories */

void directory_begin(struct tmpfs_directory *dir)
{
	dir->entries = 0;
	spin_lock(&index_lock);
	dir->index = current;
	dir->index->begin(dir);
	list_add_tail(&dir->index->directories, &dir->link);
	spin_unlock(&index_lock);
}

void directory_end(struct tmpfs_directory *dir)
{
	spin_lock(&index_lock);
	list_remove(&dir->link);
	spin_unlock(&index_lock);
}

void directory_insert(struct tmpfs_directory *dir, struct dentry *d, uint64_t cookie)
{
	d->cookie = cookie;
	dir->entries++;
	if (likely(dir->index == &tree))
		tree_insert(dir, d);
	else
		dir->index->insert(dir, d);
}

void directory_remove(struct tmpfs_directory *dir, struct dentry *d)
{
	dir->entries--;
	if (likely(dir->index == &tree))
		tree_remove(dir, d);
	else
		dir->index->remove(dir, d);
}

struct dentry *directory_at(struct tmpfs_directory *dir, uint64_t position)
{
	return likely(dir->index == &tree) ? tree_at(dir, position) : dir->index->at(dir, position);
}

/* ---- The slot ---- */

static nsec_t pause;            /* (slot.swapping) */
static bool miscounted;         /* (slot.swapping) */
static struct directory_index *replaced; /* (slot.swapping) while import has been begun */

/* The directory that is being changed: of one at a time. (its inode's lock) */
static struct {
	struct directory_index *from, *to;
	struct tmpfs_directory side; /* what `to` has */
	uint64_t moved; /* entries below are with `to` */
	uint64_t count; /* of these */
} change;

static void changing_insert(struct tmpfs_directory *dir, struct dentry *d)
{
	if (d->cookie >= change.moved) {
		change.from->insert(dir, d);
		return;
	}
	change.to->insert(&change.side, d);
	change.count++;
}

static void changing_remove(struct tmpfs_directory *dir, struct dentry *d)
{
	if (d->cookie >= change.moved) {
		change.from->remove(dir, d);
		return;
	}
	change.to->remove(&change.side, d);
	change.count--;
}

static struct dentry *changing_at(struct tmpfs_directory *dir, uint64_t position)
{
	struct dentry *d =
		position < change.moved ? change.to->at(&change.side, position) : nullptr;

	return d ? d : change.from->at(dir, position);
}

static struct directory_index changing = {
	.insert = changing_insert, .remove = changing_remove, .at = changing_at};

/* The directory's lock is held, now and in between. False: all of them are moved. */
static bool move_some(struct tmpfs_directory *dir)
{
	struct dentry *d = nullptr;

	for (unsigned i = 0; i < PIECE && (d = change.from->at(dir, 0)); i++) {
		change.from->remove(dir, d);
		change.to->insert(&change.side, d);
		change.moved = d->cookie + 1;
		change.count++;
	}
	return d;
}

static void note_pause(nsec_t began)
{
	nsec_t held = time_now() - began;
	pause = MAX(pause, held);
}

static void change_directory(struct inode *i, struct directory_index *next)
{
	struct tmpfs_directory *dir = tmpfs_directory(i);

	mutex_lock(&i->lock);
	nsec_t began = time_now();
	change.from = dir->index;
	change.to = next;
	change.moved = change.count = 0;
	next->begin(&change.side);
	dir->index = &changing;
	while (move_some(dir)) {
		note_pause(began);
		mutex_pass(&i->lock);
		began = time_now();
	}
	next->take(dir, &change.side);
	dir->index = next;
	miscounted |= change.count != dir->entries;
	spin_lock(&index_lock);
	list_remove(&dir->link);
	list_add_tail(&next->directories, &dir->link);
	spin_unlock(&index_lock);
	note_pause(began);
	mutex_unlock(&i->lock);
}

/* A directory that is not with `next` yet, with a reference; null: no more. */
static struct inode *next_directory(struct directory_index *from)
{
	struct inode *i = nullptr;

	spin_lock(&index_lock);
	while (!i && !list_empty(&from->directories)) {
		struct tmpfs_directory *dir =
			list_first(&from->directories, struct tmpfs_directory, link);
		i = &container_of(dir, struct tmpfs_node, directory)->inode;
		if (!inode_get_live(i)) {
			list_remove(&dir->link); /* it ends, and will take itself out again */
			list_init(&dir->link);
			i = nullptr;
		}
	}
	spin_unlock(&index_lock);
	return i;
}

static void change_all(struct directory_index *from, struct directory_index *next)
{
	struct inode *i;

	spin_lock(&index_lock);
	current = next;
	spin_unlock(&index_lock);
	while ((i = next_directory(from))) {
		change_directory(i, next);
		inode_put(i);
	}
}

static enum kerr index_export(void *instance, struct slot_state *out)
{
	struct directory_index *index = instance;
	char name[16] = {};

	strlcpy(name, index->name, sizeof(name));
	return slot_state_put(out, name, sizeof(name));
}

static enum kerr index_import(void *instance, const struct slot_state *in)
{
	char name[16];
	size_t at = 0;
	enum kerr err = slot_state_take(in, &at, name, sizeof(name));

	if (err != KERR_OK)
		return err;
	pause = 0;
	miscounted = false;
	replaced = current;
	change_all(replaced, instance);
	return KERR_OK;
}

/* That every entry came over. */
static enum kerr index_check(void *instance)
{
	return miscounted ? KERR_IO : KERR_OK;
}

static void index_turn(struct slot *s, const struct slot_provider *to, void *instance)
{
	replaced = nullptr;
}

static void index_undo(struct slot *s, const struct slot_state *state)
{
	if (replaced)
		change_all(current, replaced);
	replaced = nullptr;
}

static nsec_t index_pause(struct slot *s)
{
	return pause;
}

static const struct slot_quiet quiet = {
	.undo = index_undo, .turn = index_turn, .pause = index_pause};
static struct slot slot = {.name = "tmpfs", .kind = SLOT_FILESYSTEM, .quiet = &quiet};
static struct slot_provider providers[] = {
	{
		.name = "tree",
		.version = STATE_VERSION,
		.oldest = STATE_VERSION,
		.ops = &tree,
		.export = index_export,
		.import = index_import,
		.check = index_check,
	},
	{
		.name = "list",
		.version = STATE_VERSION,
		.oldest = STATE_VERSION,
		.ops = &chain,
		.export = index_export,
		.import = index_import,
		.check = index_check,
	},
};

enum kerr tmpfs_slot_init(void)
{
	enum kerr err = slot_add(&slot, &providers[0]);

	return err == KERR_OK ? slot_provider_add(slot.name, &providers[1]) : err;
}
