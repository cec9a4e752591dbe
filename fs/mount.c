/*
 * Superblocks, filesystem types, and the mount tree.
 *
 * A mount joins a superblock's root to an entry of another mount (`where`). Lookups ask for
 * (mount, entry) in a small hash table under rcu; the mount tree changes under mount_lock, a mutex.
 * Each path holds a reference to its mount; being in the tree is one more, so "busy" is "more than
 * one". A detached mount leaves the tree at once and ends with its last path.
 *
 * A superblock lives as long as mounts and inodes refer to it; its cached entries are forgotten when
 * the last mount goes, which lets the inodes go.
 *
 * The first mount's root is where every path walk can end; it is never unmounted.
 */
#include "vfs_private.h"

#include <core/log.h>
#include <exec/domain.h>
#include <exec/process.h>
#include <lib/format.h>
#include <mm/heap.h>

#define MOUNT_CHAINS 32u
#define FLAGS_KEPT                                                                                 \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME)

struct mutex mount_lock = MUTEX_INIT(mount_lock);
static struct mount *_Atomic chains[MOUNT_CHAINS];   /* (mount_lock; readers under rcu) */
static struct list mounts = LIST_INIT(mounts);       /* (mount_lock) in order of mounting */
static const struct filesystem *types[FILESYSTEMS_MAX]; /* (boot) */
static _Atomic uint32_t next_device = 1;
static int next_id = 1;         /* (mount_lock) */

void filesystem_register(const struct filesystem *type)
{
	for (size_t n = 0; n < FILESYSTEMS_MAX; n++)
		if (!types[n]) {
			types[n] = type;
			return;
		}
	panic("fs: no room for filesystem type %s", type->name);
}

const struct filesystem *filesystem_get(size_t index)
{
	return index < FILESYSTEMS_MAX ? types[index] : nullptr;
}

void superblock_init(struct superblock *sb, const struct filesystem *type,
		     const struct superblock_ops *ops)
{
	*sb = (struct superblock){.type = type, .ops = ops};
	atomic_init(&sb->references, 1);
	/* Major 0: no device behind it. */
	sb->device = device_number(0, atomic_fetch_add(&next_device, 1));
}

void superblock_put(struct superblock *sb)
{
	if (atomic_fetch_sub_explicit(&sb->references, 1, memory_order_acq_rel) == 1)
		sb->ops->release(sb);
}

static uint32_t chain_of(const struct mount *parent, const struct dentry *where)
{
	uint64_t key = (uintptr_t)parent / 64 + (uintptr_t)where / 64;

	return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 59) % MOUNT_CHAINS;
}

struct mount *mount_find(struct mount *parent, struct dentry *where)
{
	struct mount *m =
		atomic_load_explicit(&chains[chain_of(parent, where)], memory_order_acquire);

	while (m && (m->parent != parent || m->where != where))
		m = atomic_load_explicit(&m->hash_next, memory_order_acquire);
	return m;
}

enum kerr mount_writable(const struct mount *m)
{
	/* To the most isolated everything is mounted read-only. */
	return atomic_load_explicit(&m->flags, memory_order_relaxed) & MS_RDONLY ||
			       process_isolated(DOMAIN_NO_WRITES)
		       ? KERR_ROFS
		       : KERR_OK;
}

static void mount_free(struct rcu_head *head)
{
	heap_free(container_of(head, struct mount, rcu));
}

/* The last mount of a superblock is gone: nobody can name what is in it. */
static void superblock_unmounted(struct superblock *sb)
{
	if (atomic_fetch_sub(&sb->mounts, 1) != 1 || sb->singleton)
		return;
	dcache_forget(sb);
	dentry_put(sb->root);
}

void mount_put(struct mount *m)
{
	if (atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) != 1)
		return;
	struct superblock *sb = m->sb;
	dentry_put(m->root);
	superblock_unmounted(sb);
	superblock_put(sb);
	rcu_call(&m->rcu, mount_free);
}

static enum kerr mount_create(struct superblock *sb, struct dentry *root, const char *source,
			      unsigned long flags, struct mount **out)
{
	struct mount *m = heap_alloc_zeroed(sizeof(*m));

	if (!m) {
		if (!sb->mounts && !sb->singleton) {
			dcache_forget(sb);
			dentry_put(sb->root);
		}
		return KERR_NOMEM;
	}
	atomic_init(&m->references, 1);
	superblock_get(sb);
	atomic_fetch_add(&sb->mounts, 1);
	dentry_get(root);
	m->sb = sb;
	m->root = root;
	m->flags = flags & FLAGS_KEPT;
	list_init(&m->all);
	strlcpy(m->source, source && *source ? source : "none", sizeof(m->source));
	*out = m;
	return KERR_OK;
}

static void attach_locked(struct mount *m, const struct path *where)
{
	m->id = next_id++;
	list_add_tail(&mounts, &m->all);
	if (!where)
		return;
	path_get(where);
	m->parent = where->mount;
	m->where = where->dentry;
	dentry_set_mounted(m->where, true);
	struct mount *_Atomic *chain = &chains[chain_of(m->parent, m->where)];
	atomic_store_explicit(&m->hash_next, *chain, memory_order_relaxed);
	atomic_store_explicit(chain, m, memory_order_release);
}

/* Out of the tree. The caller puts *was, and the tree's reference. */
static void detach_locked(struct mount *m, struct path *was)
{
	struct mount *_Atomic *link = &chains[chain_of(m->parent, m->where)];
	struct mount *other;
	bool still = false;

	while (*link != m)
		link = &(*link)->hash_next;
	atomic_store_explicit(link, m->hash_next, memory_order_release);
	list_remove(&m->all);
	list_for_each(other, &mounts, all)
		still |= other->where == m->where;
	if (!still)
		dentry_set_mounted(m->where, false);
	*was = (struct path){m->parent, m->where};
	/* m->where stays readable for lookups that stand in it. */
	WRITE_ONCE(m->parent, nullptr);
}

static enum kerr superblock_make(const char *type, const char *source, const char *options,
				 struct superblock **out)
{
	for (size_t n = 0; n < FILESYSTEMS_MAX && types[n]; n++)
		if (strcmp(types[n]->name, type) == 0)
			return types[n]->mount(types[n], source, options, out);
	return KERR_NODEV;
}

/* The very first mount. */
enum kerr mount_root(const struct filesystem *type, const char *options)
{
	struct superblock *sb;
	struct mount *m;
	enum kerr err = type->mount(type, "", options, &sb);

	if (err != KERR_OK)
		return err;
	err = mount_create(sb, sb->root, "tmpfs", 0, &m);
	superblock_put(sb);
	if (err != KERR_OK)
		return err;
	mutex_lock(&mount_lock);
	attach_locked(m, nullptr);
	mutex_unlock(&mount_lock);
	context_init(&(struct path){m, m->root});
	return KERR_OK;
}

static enum kerr remount(const struct path *where, unsigned long flags, const char *options)
{
	struct mount *m = where->mount;
	enum kerr err = KERR_OK;

	if (where->dentry != m->root)
		return KERR_INVAL;
	if (m->sb->ops->remount && *options)
		err = m->sb->ops->remount(m->sb, options);
	if (err == KERR_OK)
		atomic_store(&m->flags, flags & FLAGS_KEPT);
	return err;
}

/* The place for a new mount: the top of what is mounted at *where. */
static enum kerr mount_at(struct mount *m, const struct path *where)
{
	struct path top = *where;
	struct mount *above;

	if (inode_is(dentry_inode(m->root), S_IFDIR) != inode_is(path_inode(where), S_IFDIR))
		return KERR_NOTDIR;
	mutex_lock(&mount_lock);
	while ((above = mount_find(top.mount, top.dentry)))
		top = (struct path){above, above->root};
	attach_locked(m, &top);
	mutex_unlock(&mount_lock);
	return KERR_OK;
}

enum kerr vfs_mount(const char *source, const struct path *where, const char *type,
		    unsigned long flags, const char *options)
{
	struct superblock *sb = nullptr;
	struct path from;
	struct mount *m;
	enum kerr err;

	if (!process_capable(TERN_CAP_MOUNT, LINUX_CAP_SYS_ADMIN))
		return KERR_PERM;
	if (!options)
		options = "";
	if (flags & MS_REMOUNT)
		return remount(where, flags, options);
	if (flags & (MS_MOVE | MS_PRIVATE | MS_PRIVATE << 1 | MS_PRIVATE << 2 | MS_PRIVATE >> 1))
		return flags & MS_MOVE ? KERR_INVAL : KERR_OK; /* propagation: there is none */
	if (flags & MS_BIND) {
		err = vfs_lookup(nullptr, source, LOOKUP_FOLLOW, &from);
		if (err != KERR_OK)
			return err;
		err = mount_create(from.mount->sb, from.dentry, from.mount->source,
				   from.mount->flags, &m);
		path_put(&from);
	} else {
		err = superblock_make(type, source, options, &sb);
		if (err != KERR_OK)
			return err;
		err = mount_create(sb, sb->root, source, flags, &m);
		superblock_put(sb);
	}
	if (err != KERR_OK)
		return err;
	err = mount_at(m, where);
	if (err != KERR_OK)
		mount_put(m);
	return err;
}

static bool has_children_locked(const struct mount *m)
{
	struct mount *other;

	list_for_each(other, &mounts, all)
		if (other->parent == m)
			return true;
	return false;
}

/* Takes m and all below it out; their tree references go to the list `gone`. */
static void detach_all_locked(struct mount *m, struct list *gone)
{
	struct mount *other, *next;
	struct path was;

	list_for_each_safe(other, next, &mounts, all)
		if (other->parent == m) {
			detach_all_locked(other, gone);
			next = list_first(&mounts, struct mount, all); /* the list has changed */
		}
	detach_locked(m, &was);
	list_add_tail(gone, &m->all);
	/* Not the last reference: `was` is in the tree or in `gone`. */
	dentry_put(was.dentry);
	atomic_fetch_sub(&was.mount->references, 1);
}

enum kerr vfs_unmount(const struct path *where, unsigned flags)
{
	struct mount *m = where->mount, *next;
	struct list gone = LIST_INIT(gone);
	enum kerr err = KERR_OK;

	if (!process_capable(TERN_CAP_MOUNT, LINUX_CAP_SYS_ADMIN))
		return KERR_PERM;
	mutex_lock(&mount_lock);
	if (where->dentry != m->root || !m->parent)
		err = KERR_INVAL;
	/* One for the tree, one for the caller's path. */
	else if (!(flags & UNMOUNT_DETACH) && (has_children_locked(m) || m->references > 2))
		err = KERR_BUSY;
	else
		detach_all_locked(m, &gone);
	mutex_unlock(&mount_lock);
	list_for_each_safe(m, next, &gone, all) {
		list_remove(&m->all);
		mount_put(m);
	}
	return err;
}

enum kerr vfs_statistics(const struct path *p, struct filesystem_statistics *out)
{
	struct superblock *sb = p->mount->sb;

	*out = (struct filesystem_statistics){
		.type = sb->type->magic,
		.block_size = PAGE_SIZE,
		.id = sb->device,
		.flags = p->mount->flags,
	};
	if (sb->ops->statistics)
		sb->ops->statistics(sb, out);
	return KERR_OK;
}

static void describe_options(struct mount *m, char *buf, size_t size)
{
	static const struct {
		unsigned long flag;
		const char *text;
	} names[] = {{MS_NOSUID, ",nosuid"},
		     {MS_NODEV, ",nodev"},
		     {MS_NOEXEC, ",noexec"},
		     {MS_NOATIME, ",noatime"},
		     {MS_RELATIME, ",relatime"}};
	size_t n = strlcpy(buf, m->flags & MS_RDONLY ? "ro" : "rw", size);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (m->flags & names[i].flag)
			n += strlcpy(buf + n, names[i].text, size - n);
	if (!m->sb->ops->options)
		return;
	buf[n] = ',';
	size_t more = m->sb->ops->options(m->sb, buf + n + 1, size - n - 1);
	if (more == 0)
		buf[n] = 0;
}

bool mount_info_get(size_t index, struct mount_info *out)
{
	struct mount *m;
	bool found = false;

	mutex_lock(&mount_lock);
	list_for_each(m, &mounts, all) {
		if (index-- != 0)
			continue;
		*out = (struct mount_info){.id = m->id, .device = m->sb->device};
		out->parent_id = m->parent ? m->parent->id : m->id;
		strlcpy(out->source, m->source, sizeof(out->source));
		strlcpy(out->type, m->sb->type->name, sizeof(out->type));
		describe_options(m, out->options, sizeof(out->options));
		char buf[sizeof(out->where)];
		const char *start;
		struct path root = {m, m->root};
		enum kerr err = vfs_path_name(&root, buf, sizeof(buf), &start, nullptr);
		strlcpy(out->where, err == KERR_OK ? start : "?", sizeof(out->where));
		found = true;
		break;
	}
	mutex_unlock(&mount_lock);
	return found;
}
