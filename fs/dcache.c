/*
 * The dentry cache: (directory, name) -> inode, also for names that do not exist (negative
 * entries).
 *
 * A hash table of singly linked chains. Lookups run under rcu and take no lock and no reference;
 * changes take dcache_lock (a short spinlock: hash, names, negative list, aliases). Being in the
 * table is one reference of the entry. Entries, their names and inodes are freed after a grace
 * period, so a lookup may look at what has just gone.
 *
 * A lookup beside a rename may jump from one chain to another and miss; it is then repeated with the
 * directory's lock and dcache_lock held (dcache_find_exact), which is exact. It never finds a wrong
 * entry: parent and name are compared again after the match.
 *
 * Filesystems that live in memory keep their directories here: children of a directory are a
 * tree ordered by cookie, the position that getdents tells. Their positive entries stay as long
 * as they exist. Negative entries are kept in a queue of bounded length.
 *
 * Lock order: inode lock (mutex) -> dcache_lock.
 */
#include "vfs_private.h"

#include <core/log.h>
#include <mm/heap.h>
#include <mm/kmap.h>
#include <mm/memory.h>
#include <mm/pressure.h>

#define NEGATIVE_MAX 8192u

static struct spinlock dcache_lock = SPINLOCK_INIT(RANK_DCACHE, "dcache");
static struct dentry *_Atomic *table RO_AFTER_INIT;
static uint32_t table_shift RO_AFTER_INIT; /* 64 - log2(chains) */
static struct cache *dentry_cache RO_AFTER_INIT;
static struct list negatives = LIST_INIT(negatives); /* (dcache_lock) oldest first */
static uint32_t negative_count;                       /* (dcache_lock) */

static const struct shrinker dentry_shrinker;

enum kerr dcache_init(void)
{
	struct frame_totals totals = frame_totals();
	uint32_t bits = 9;

	while (bits < 17 && ((uint64_t)1 << bits) < totals.total / 32)
		bits++;
	table = kmap_alloc(sizeof(*table) << bits);
	if (!table)
		return KERR_NOMEM;
	table_shift = 64 - bits;
	dentry_cache = cache_create("dentry", sizeof(struct dentry), 0);
	shrinker_register(&dentry_shrinker);
	return KERR_OK;
}

static inline struct dentry *_Atomic *chain_of(const struct dentry *parent, uint32_t hash)
{
	uint64_t key = (uint64_t)(uintptr_t)parent / 64 + hash;

	return &table[key * 0x9e3779b97f4a7c15ull >> table_shift];
}

static inline bool name_is(const struct dentry_name *n, const char *name, uint32_t length,
			   uint32_t hash)
{
	return n->hash == hash && n->length == length && name_equal(n->text, name, length);
}

struct dentry *dcache_find(struct dentry *parent, const char *name, uint32_t length, uint32_t hash)
{
	struct dentry *d = atomic_load_explicit(chain_of(parent, hash), memory_order_acquire);

	for (; d; d = atomic_load_explicit(&d->hash_next, memory_order_acquire)) {
		if (dentry_parent(d) != parent)
			continue;
		const struct dentry_name *n = dentry_name(d);
		if (name_is(n, name, length, hash) && dentry_parent(d) == parent &&
		    dentry_name(d) == n && dentry_hashed(d))
			return d;
	}
	return nullptr;
}

struct dentry *dcache_find_exact(struct dentry *parent, const char *name, uint32_t length,
				 uint32_t hash)
{
	spin_lock(&dcache_lock);
	struct dentry *d = dcache_find(parent, name, length, hash);
	if (d)
		dentry_get(d); /* the table has one */
	spin_unlock(&dcache_lock);
	return d;
}

struct dentry *dentry_create(struct superblock *sb, struct dentry *parent, const char *name,
			     size_t length)
{
	struct dentry *d = cache_alloc_zeroed(dentry_cache);

	if (!d)
		return nullptr;
	if (length < DENTRY_INLINE) {
		memcpy(d->inline_name.text, name, length);
		d->inline_name.length = (uint32_t)length;
		d->inline_name.hash = length ? name_hash(name, length) : 0; /* a root has no name */
		atomic_init(&d->name, &d->inline_name);
	} else {
		struct dentry_name *n = dentry_name_create(name, length);
		if (!n) {
			cache_free(dentry_cache, d);
			return nullptr;
		}
		atomic_init(&d->name, n);
	}
	atomic_init(&d->references, 1);
	d->sb = sb;
	list_init(&d->negative);
	if (parent)
		dentry_get(parent);
	atomic_init(&d->parent, parent ? parent : d);
	return d;
}

struct dentry_name *dentry_name_create(const char *text, size_t length)
{
	struct dentry_name *n = heap_alloc(sizeof(*n) + length + 1);

	if (!n)
		return nullptr;
	n->length = (uint32_t)length;
	n->hash = name_hash(text, length);
	memcpy(n->text, text, length);
	n->text[length] = 0;
	return n;
}

static void name_free(struct rcu_head *head)
{
	heap_free(container_of(head, struct dentry_name, rcu));
}

static void name_drop(struct dentry *d, struct dentry_name *n)
{
	if (n != &d->inline_name)
		rcu_call(&n->rcu, name_free);
}

static void dentry_free(struct rcu_head *head)
{
	struct dentry *d = container_of(head, struct dentry, rcu);
	struct dentry_name *n = atomic_load_explicit(&d->name, memory_order_relaxed);

	if (n != &d->inline_name)
		heap_free(n);
	cache_free(dentry_cache, d);
}

/* The last reference is gone, so it is not in the table. Goes up while parents end with it. */
void dentry_put_last(struct dentry *d)
{
	for (;;) {
		struct dentry *parent = dentry_parent(d);
		struct inode *i = dentry_inode(d);

		assert(!dentry_hashed(d));
		if (i) {
			spin_lock(&dcache_lock);
			if (i->alias == d)
				i->alias = nullptr;
			spin_unlock(&dcache_lock);
			inode_put(i);
		}
		rcu_call(&d->rcu, dentry_free);
		if (parent == d ||
		    atomic_fetch_sub_explicit(&parent->references, 1, memory_order_acq_rel) != 1)
			return;
		d = parent;
	}
}

static void hash_insert_locked(struct dentry *d)
{
	struct dentry *_Atomic *chain = chain_of(dentry_parent(d), dentry_name(d)->hash);

	atomic_store_explicit(&d->hash_next, atomic_load_explicit(chain, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&d->flags, d->flags | DENTRY_HASHED, memory_order_relaxed);
	atomic_store_explicit(chain, d, memory_order_release);
}

static void hash_remove_locked(struct dentry *d)
{
	struct dentry *_Atomic *link = chain_of(dentry_parent(d), dentry_name(d)->hash);
	struct dentry *at;

	while ((at = atomic_load_explicit(link, memory_order_relaxed)) != d)
		link = &at->hash_next;
	/* d->hash_next stays: a lookup may stand on d. */
	atomic_store_explicit(link, atomic_load_explicit(&d->hash_next, memory_order_relaxed),
			      memory_order_release);
	atomic_store_explicit(&d->flags, d->flags & ~DENTRY_HASHED, memory_order_relaxed);
}

static void negative_remove_locked(struct dentry *d)
{
	if (!(d->flags & DENTRY_NEGATIVE_LISTED))
		return;
	list_remove(&d->negative);
	dentry_parent(d)->negative_children--;
	atomic_store_explicit(&d->flags, d->flags & ~DENTRY_NEGATIVE_LISTED, memory_order_relaxed);
	negative_count--;
}

void dentry_set_inode(struct dentry *d, struct inode *i)
{
	spin_lock(&dcache_lock);
	negative_remove_locked(d);
	i->alias = d;
	atomic_store_explicit(&d->inode, i, memory_order_release);
	spin_unlock(&dcache_lock);
}

/* Takes the oldest negative entry out, to be put by the caller; there is one. */
static struct dentry *negative_take_locked(void)
{
	struct dentry *old = list_first(&negatives, struct dentry, negative);
	negative_remove_locked(old);
	hash_remove_locked(old);
	return old;
}

void dentry_hash(struct dentry *d)
{
	struct dentry *old = nullptr;

	dentry_get(d);
	spin_lock(&dcache_lock);
	hash_insert_locked(d);
	if (!dentry_inode(d)) {
		list_add_tail(&negatives, &d->negative);
		atomic_store_explicit(&d->flags, d->flags | DENTRY_NEGATIVE_LISTED,
				      memory_order_relaxed);
		negative_count++;
		dentry_parent(d)->negative_children++;
		if (negative_count > NEGATIVE_MAX)
			old = negative_take_locked();
	}
	spin_unlock(&dcache_lock);
	if (old)
		dentry_put(old);
}

/* Of a directory that has gone: they would keep it. */
static void negative_children_drop(struct dentry *parent)
{
	struct dentry *d, *next;
	struct list gone = LIST_INIT(gone);

	spin_lock(&dcache_lock);
	list_for_each_safe(d, next, &negatives, negative) {
		if (dentry_parent(d) != parent)
			continue;
		negative_remove_locked(d);
		hash_remove_locked(d);
		list_add_tail(&gone, &d->negative);
	}
	spin_unlock(&dcache_lock);
	list_for_each_safe(d, next, &gone, negative) {
		list_remove(&d->negative);
		dentry_put(d);
	}
}

void dentry_unhash(struct dentry *d)
{
	bool was;

	spin_lock(&dcache_lock);
	was = dentry_hashed(d);
	if (was) {
		negative_remove_locked(d);
		hash_remove_locked(d);
	}
	bool children = d->negative_children;
	spin_unlock(&dcache_lock);
	if (children)
		negative_children_drop(d);
	if (was)
		dentry_put(d);
}

/* ---- Pressure ------------------------------------------------------------------------------- */

static uint64_t negative_figure(void)
{
	return READ_ONCE(negative_count) / (PAGE_SIZE / sizeof(struct dentry));
}

/* The names that do not exist, all of them: the next look-up finds that out again. */
static uint64_t negatives_drop(uint64_t want)
{
	uint64_t dropped = 0;

	for (;; dropped++) {
		spin_lock(&dcache_lock);
		struct dentry *old = negative_count ? negative_take_locked() : nullptr;
		spin_unlock(&dcache_lock);
		if (!old)
			break;
		dentry_put(old);
	}
	if (dropped)
		rcu_synchronize(); /* until then they are not free */
	return dropped / (PAGE_SIZE / sizeof(struct dentry));
}

static const struct shrinker dentry_shrinker = {
	.name = "dentries", .count = negative_figure, .scan = negatives_drop};

void dentry_set_mounted(struct dentry *d, bool on)
{
	spin_lock(&dcache_lock);
	atomic_store_explicit(&d->flags,
			      on ? d->flags | DENTRY_MOUNTED : d->flags & ~DENTRY_MOUNTED,
			      memory_order_relaxed);
	spin_unlock(&dcache_lock);
}

static struct dentry_name *name_set_locked(struct dentry *d, struct dentry_name *n)
{
	return atomic_exchange_explicit(&d->name, n, memory_order_acq_rel);
}

void dcache_move(struct dentry *from, struct dentry *to, struct dentry_name *new_name,
		 struct dentry_name *old_name, bool exchange)
{
	struct dentry *from_parent = dentry_parent(from), *to_parent = dentry_parent(to);
	struct dentry_name *dropped_from, *dropped_to = nullptr;
	bool to_was_hashed;

	spin_lock(&dcache_lock);
	to_was_hashed = dentry_hashed(to);
	hash_remove_locked(from);
	if (to_was_hashed) {
		negative_remove_locked(to);
		hash_remove_locked(to);
	}
	dropped_from = name_set_locked(from, new_name);
	atomic_store_explicit(&from->parent, to_parent, memory_order_release);
	if (exchange) {
		dropped_to = name_set_locked(to, old_name);
		atomic_store_explicit(&to->parent, from_parent, memory_order_release);
		hash_insert_locked(to);
	} else {
		dentry_get(to_parent); /* `to` keeps its own */
	}
	hash_insert_locked(from);
	spin_unlock(&dcache_lock);

	name_drop(from, dropped_from);
	if (dropped_to)
		name_drop(to, dropped_to);
	if (!exchange) {
		dentry_put(from_parent);
		if (to_was_hashed)
			dentry_put(to);
	}
}

void dcache_forget(struct superblock *sb)
{
	size_t chains = (size_t)1 << (64 - table_shift);

	for (size_t n = 0; n < chains; n++) {
		struct dentry *gone;
		do {
			spin_lock(&dcache_lock);
			gone = atomic_load_explicit(&table[n], memory_order_relaxed);
			while (gone && gone->sb != sb)
				gone = atomic_load_explicit(&gone->hash_next, memory_order_relaxed);
			if (gone) {
				negative_remove_locked(gone);
				hash_remove_locked(gone);
			}
			spin_unlock(&dcache_lock);
			if (gone)
				dentry_put(gone);
		} while (gone);
	}
}
