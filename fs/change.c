/*
 * Changing the tree: mkdir, mknod, link, symlink, unlink, rmdir, rename, readlink.
 *
 * Each holds the lock of the directory it changes. rename holds rename_lock if it moves between
 * directories (which makes "is it an ancestor" stable), then the directories, ancestor first or in
 * address order. Entries that change hands are held by a reference. Mount points cannot go.
 *
 * Lock order: rename_lock -> directory (parent before child) -> file.
 */
#include "vfs_private.h"

#include <exec/domain.h>
#include <exec/process.h>
#include <mm/heap.h>

static struct mutex rename_lock = MUTEX_INIT(rename_lock);

/* ---- Making ------------------------------------------------------------------------------------ */

/* *out (may be null) gets a reference to what was made. */
static enum kerr make_locked(struct parent_path *pp, uint32_t mode, uint64_t device,
			     const char *target, struct path *out)
{
	struct inode *dir = path_inode(&pp->path);
	struct dentry *d;
	enum kerr err = vfs_lookup_one(pp->path.dentry, pp->name, pp->length, pp->hash, &d);

	if (err != KERR_OK)
		return err;
	if (dentry_inode(d))
		err = KERR_EXIST;
	else if (pp->must_directory && (mode & S_IFMT) != S_IFDIR)
		err = KERR_NOENT;
	if (err == KERR_OK)
		err = mount_writable(pp->path.mount);
	if (err == KERR_OK)
		err = inode_permission(dir, 3);
	if (err == KERR_OK)
		err = dir->ops->make ? dir->ops->make(dir, d, mode, device, target) : KERR_PERM;
	if (err == KERR_OK && out) {
		*out = (struct path){pp->path.mount, d};
		path_get(out);
	}
	dentry_put(d);
	return err;
}

static enum kerr make(const struct path *start, const char *name, uint32_t mode, uint64_t device,
		      const char *target, struct path *out)
{
	struct parent_path pp;
	enum kerr err = vfs_lookup_parent(start, name, &pp);

	if (err != KERR_OK)
		return err;
	struct inode *dir = path_inode(&pp.path);
	if (pp.kind == LAST_NAME) {
		mutex_lock(&dir->lock);
		err = make_locked(&pp, mode, device, target, out);
		mutex_unlock(&dir->lock);
	} else {
		err = KERR_EXIST;
	}
	path_put(&pp.path);
	return err;
}

enum kerr vfs_make_directory(const struct path *dir, const char *name, uint32_t mode)
{
	return make(dir, name, S_IFDIR | (mode & 01777 & ~vfs_umask()), 0, nullptr, nullptr);
}

enum kerr vfs_make_node(const struct path *dir, const char *name, uint32_t mode, uint64_t device)
{
	uint32_t type = mode & S_IFMT;

	if (type == 0)
		type = S_IFREG;
	if (type == S_IFDIR)
		return KERR_PERM;
	if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO &&
	    type != S_IFSOCK)
		return KERR_INVAL;
	if ((type == S_IFCHR || type == S_IFBLK) &&
	    !process_capable(TERN_CAP_DEVICES, LINUX_CAP_MKNOD))
		return KERR_PERM;
	return make(dir, name, type | (mode & 07777 & ~vfs_umask()), device, nullptr, nullptr);
}

enum kerr vfs_make_socket(const char *name, uint32_t mode, struct path *out)
{
	return make(nullptr, name, S_IFSOCK | (mode & 07777 & ~vfs_umask()), 0, nullptr, out);
}

enum kerr vfs_symlink(const char *target, const struct path *dir, const char *name)
{
	if (!*target)
		return KERR_NOENT;
	return make(dir, name, S_IFLNK | 0777, 0, target, nullptr);
}

static enum kerr link_locked(const struct path *old, struct parent_path *pp)
{
	struct inode *dir = path_inode(&pp->path), *i = path_inode(old);
	struct dentry *d;
	enum kerr err = vfs_lookup_one(pp->path.dentry, pp->name, pp->length, pp->hash, &d);

	if (err != KERR_OK)
		return err;
	if (dentry_inode(d))
		err = KERR_EXIST;
	else if (pp->must_directory || !i->links)
		err = KERR_NOENT;
	else if (inode_is(i, S_IFDIR) || !dir->ops->link)
		err = KERR_PERM;
	else if (old->mount != pp->path.mount)
		err = KERR_XDEV;
	if (err == KERR_OK)
		err = mount_writable(pp->path.mount);
	if (err == KERR_OK)
		err = inode_permission(dir, 3);
	if (err == KERR_OK)
		err = dir->ops->link(i, dir, d);
	dentry_put(d);
	return err;
}

enum kerr vfs_link(const struct path *old, const struct path *start, const char *name)
{
	struct parent_path pp;
	enum kerr err = vfs_lookup_parent(start, name, &pp);

	if (err != KERR_OK)
		return err;
	struct inode *dir = path_inode(&pp.path);
	if (pp.kind == LAST_NAME) {
		mutex_lock(&dir->lock);
		err = link_locked(old, &pp);
		mutex_unlock(&dir->lock);
	} else {
		err = KERR_EXIST;
	}
	path_put(&pp.path);
	return err;
}

/* ---- Removing ---------------------------------------------------------------------------------- */

/* May the current process take `victim` out of `dir`? */
static enum kerr may_remove(const struct inode *dir, const struct inode *victim)
{
	uint32_t uid = current_process()->credentials.fsuid;
	enum kerr err = inode_permission(dir, 3);

	if (err != KERR_OK)
		return err;
	if ((dir->mode & S_ISVTX) && uid != victim->uid && uid != dir->uid &&
	    !process_capable(TERN_CAP_FILE_OWNER, LINUX_CAP_FOWNER))
		return KERR_PERM;
	return KERR_OK;
}

static bool is_mount_point(const struct dentry *d)
{
	return atomic_load_explicit(&d->flags, memory_order_relaxed) & DENTRY_MOUNTED;
}

static enum kerr unlink_locked(struct parent_path *pp, bool directory)
{
	struct inode *dir = path_inode(&pp->path), *i;
	struct dentry *d;
	enum kerr err = vfs_lookup_one(pp->path.dentry, pp->name, pp->length, pp->hash, &d);

	if (err != KERR_OK)
		return err;
	i = dentry_inode(d);
	if (!i)
		err = KERR_NOENT;
	else if (directory && !inode_is(i, S_IFDIR))
		err = KERR_NOTDIR;
	else if (!directory && inode_is(i, S_IFDIR))
		err = KERR_ISDIR;
	else if (!directory && pp->must_directory)
		err = KERR_NOTDIR;
	else if (is_mount_point(d))
		err = KERR_BUSY;
	if (err == KERR_OK)
		err = mount_writable(pp->path.mount);
	if (err == KERR_OK)
		err = may_remove(dir, i);
	if (err == KERR_OK && !dir->ops->unlink)
		err = KERR_PERM;
	if (err == KERR_OK) {
		if (directory)
			mutex_lock(&i->lock);
		err = dir->ops->unlink(dir, d);
		if (directory)
			mutex_unlock(&i->lock);
	}
	if (err == KERR_OK)
		dentry_unhash(d);
	dentry_put(d);
	return err;
}

enum kerr vfs_unlink(const struct path *start, const char *name, bool directory)
{
	struct parent_path pp;
	enum kerr err = vfs_lookup_parent(start, name, &pp);

	if (err != KERR_OK)
		return err;
	struct inode *dir = path_inode(&pp.path);
	switch (pp.kind) {
	case LAST_NAME:
		mutex_lock(&dir->lock);
		err = unlink_locked(&pp, directory);
		mutex_unlock(&dir->lock);
		break;
	case LAST_DOT:
		err = directory ? KERR_INVAL : KERR_ISDIR;
		break;
	case LAST_DOTDOT:
		err = directory ? KERR_NOTEMPTY : KERR_ISDIR;
		break;
	case LAST_ROOT:
		err = directory ? KERR_BUSY : KERR_ISDIR;
		break;
	}
	path_put(&pp.path);
	return err;
}

/* ---- Renaming ---------------------------------------------------------------------------------- */

/* `a` is `d` or above it. Stable if rename_lock is held, or if both are in one directory. */
static bool is_above(const struct dentry *a, const struct dentry *d)
{
	rcu_read_lock();
	while (d != a && dentry_parent(d) != d)
		d = dentry_parent(d);
	rcu_read_unlock();
	return d == a;
}

static void lock_directories(struct dentry *a, struct dentry *b)
{
	if (a == b) {
		mutex_lock(&dentry_inode(a)->lock);
		return;
	}
	if (is_above(b, a) || (!is_above(a, b) && b < a)) {
		struct dentry *c = a;
		a = b;
		b = c;
	}
	mutex_lock(&dentry_inode(a)->lock);
	mutex_lock(&dentry_inode(b)->lock);
}

static void unlock_directories(struct dentry *a, struct dentry *b)
{
	mutex_unlock(&dentry_inode(a)->lock);
	if (a != b)
		mutex_unlock(&dentry_inode(b)->lock);
}

/* The rules of rename(2) about what may take whose place. */
static enum kerr rename_allowed(struct parent_path *fp, struct dentry *from, struct parent_path *tp,
				struct dentry *to, unsigned flags)
{
	struct inode *fd = path_inode(&fp->path), *td = path_inode(&tp->path);
	struct inode *i = dentry_inode(from), *victim = dentry_inode(to);
	bool exchange = flags & RENAME_EXCHANGE;
	enum kerr err;

	if (!i || (exchange && !victim))
		return KERR_NOENT;
	if (victim && (flags & RENAME_NOREPLACE))
		return KERR_EXIST;
	if (!inode_is(i, S_IFDIR) && (fp->must_directory || (!exchange && tp->must_directory)))
		return KERR_NOTDIR;
	if (is_mount_point(from) || is_mount_point(to))
		return KERR_BUSY;
	if (is_above(from, tp->path.dentry))
		return KERR_INVAL;
	if (is_above(to, fp->path.dentry))
		return exchange ? KERR_INVAL : KERR_NOTEMPTY;
	err = mount_writable(fp->path.mount);
	if (err == KERR_OK)
		err = may_remove(fd, i);
	if (err == KERR_OK)
		err = victim ? may_remove(td, victim) : inode_permission(td, 3);
	if (err != KERR_OK)
		return err;
	if (victim && !exchange && inode_is(i, S_IFDIR) != inode_is(victim, S_IFDIR))
		return inode_is(i, S_IFDIR) ? KERR_NOTDIR : KERR_ISDIR;
	return fd->ops->rename ? KERR_OK : KERR_PERM;
}

static enum kerr rename_entries(struct parent_path *fp, struct dentry *from, struct parent_path *tp,
				struct dentry *to, bool exchange)
{
	struct inode *fd = path_inode(&fp->path), *td = path_inode(&tp->path);
	struct inode *victim = dentry_inode(to);
	struct dentry_name *new_name = dentry_name_create(tp->name, tp->length),
			   *old_name = nullptr;
	enum kerr err = KERR_NOMEM;

	if (!new_name)
		return err;
	if (exchange) {
		old_name = dentry_name_create(fp->name, fp->length);
		if (!old_name)
			goto fail;
	}
	bool empty_it = victim && !exchange && inode_is(victim, S_IFDIR);
	if (empty_it)
		mutex_lock(&victim->lock);
	err = fd->ops->rename(fd, from, td, to, exchange);
	if (empty_it)
		mutex_unlock(&victim->lock);
	if (err != KERR_OK)
		goto fail;
	dcache_move(from, to, new_name, old_name, exchange);
	return KERR_OK;
fail:
	heap_free(old_name);
	heap_free(new_name);
	return err;
}

static enum kerr rename_locked(struct parent_path *fp, struct parent_path *tp, unsigned flags)
{
	struct dentry *from, *to;
	enum kerr err = vfs_lookup_one(fp->path.dentry, fp->name, fp->length, fp->hash, &from);

	if (err != KERR_OK)
		return err;
	err = vfs_lookup_one(tp->path.dentry, tp->name, tp->length, tp->hash, &to);
	if (err != KERR_OK)
		goto out_from;
	err = rename_allowed(fp, from, tp, to, flags);
	/* Two names of one file: nothing to do. */
	if (err == KERR_OK && dentry_inode(from) != dentry_inode(to))
		err = rename_entries(fp, from, tp, to, flags & RENAME_EXCHANGE);
	dentry_put(to);
out_from:
	dentry_put(from);
	return err;
}

enum kerr vfs_rename(const struct path *from_dir, const char *from, const struct path *to_dir,
		     const char *to, unsigned flags)
{
	struct parent_path fp, tp;
	enum kerr err;

	if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return KERR_INVAL;
	err = vfs_lookup_parent(from_dir, from, &fp);
	if (err != KERR_OK)
		return err;
	err = vfs_lookup_parent(to_dir, to, &tp);
	if (err != KERR_OK)
		goto out_from;
	if (fp.path.mount != tp.path.mount) {
		err = KERR_XDEV;
	} else if (fp.kind != LAST_NAME || tp.kind != LAST_NAME) {
		err = flags & RENAME_NOREPLACE ? KERR_EXIST : KERR_BUSY;
	} else {
		bool between = fp.path.dentry != tp.path.dentry;
		if (between)
			mutex_lock(&rename_lock);
		lock_directories(fp.path.dentry, tp.path.dentry);
		err = rename_locked(&fp, &tp, flags);
		unlock_directories(fp.path.dentry, tp.path.dentry);
		if (between)
			mutex_unlock(&rename_lock);
	}
	path_put(&tp.path);
out_from:
	path_put(&fp.path);
	return err;
}

/* ---- Symlinks ---------------------------------------------------------------------------------- */

enum kerr vfs_read_link(const struct path *p, char *buf, size_t size, size_t *length)
{
	struct inode *i = path_inode(p);

	if (!inode_is(i, S_IFLNK))
		return KERR_INVAL;
	if (i->ops->read_link)
		return i->ops->read_link(i, buf, size, length);
	*length = MIN(strlen(i->link), size);
	memcpy(buf, i->link, *length);
	return KERR_OK;
}
