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
 * A directory knows its index, so there is no closing: a swap takes directory after directory, under the
 * directory's own lock. The old index gives all entries up into a chain in their order (struct carry, version
 * 1), and the new one takes them in; cookies stay, so a getdents that is under way goes on where it was. The links
 * are part of the dentry, so nothing is allocated and going back is the same once more, and cannot fail. What
 * is made meanwhile has the new index from the start. The pause is the longest time for which one
 * directory was locked; contents of files are not touched, and their reads and writes do not wait.
 *
 * Locks: an inode's lock, then index_lock (RANK_INODE), which guards the two lists of directories and which
 * index new ones get. The walk takes the first of the old one's list each time, with a reference, so it
 * needs no lock in between; a directory whose last reference has gone is left to who took it.
 *
 * Cost outside of a swap: one predictable branch for `tree`; making and removing a directory takes index_lock.
 */
#include "tmpfs.h"

#include <core/time.h>
#include <lib/string.h>
#include <module/slot.h>

#define STATE_VERSION 1u

struct carry {
	uint32_t version;
	uint64_t count;
	struct list chain; /* dentry.siblings, in order */
};

struct directory_index {
	const char *name;
	void (*begin)(struct tmpfs_directory *dir); /* empty */
	void (*insert)(struct tmpfs_directory *dir, struct dentry *d);
	void (*remove)(struct tmpfs_directory *dir, struct dentry *d);
	struct dentry *(*at)(struct tmpfs_directory *dir, uint64_t position);
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

/* ---- What tmpfs calls ---- */

static struct directory_index tree = {.name = "tree",
				      .begin = tree_begin,
				      .insert = tree_insert,
				      .remove = tree_remove,
				      .at = tree_at,
				      .directories = LIST_INIT(tree.directories)};
static struct directory_index chain = {.name = "list",
				       .begin = list_begin,
				       .insert = list_enter,
				       .remove = list_leave,
				       .at = list_at,
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

/* The directory's lock is held. False: it had not as many entries as it counts. */
static bool change_directory(struct tmpfs_directory *dir, struct directory_index *next)
{
	struct carry carry = {.version = STATE_VERSION};
	struct dentry *d;

	list_init(&carry.chain);
	while ((d = dir->index->at(dir, 0))) {
		dir->index->remove(dir, d);
		list_add_tail(&carry.chain, &d->siblings);
		carry.count++;
	}
	next->begin(dir);
	while (!list_empty(&carry.chain)) {
		d = list_first(&carry.chain, struct dentry, siblings);
		list_remove(&d->siblings);
		next->insert(dir, d);
	}
	dir->index = next;
	return carry.count == dir->entries;
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
		struct tmpfs_directory *dir = tmpfs_directory(i);
		mutex_lock(&i->lock);
		nsec_t began = time_now();
		miscounted |= !change_directory(dir, next);
		spin_lock(&index_lock);
		list_remove(&dir->link);
		list_add_tail(&next->directories, &dir->link);
		spin_unlock(&index_lock);
		nsec_t held = time_now() - began;
		pause = MAX(pause, held);
		mutex_unlock(&i->lock);
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
