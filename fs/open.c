/*
 * open(2).
 *
 * The common case is a lookup that finds the file; only O_CREAT on a name that is not there goes
 * through the directory's lock. A symlink in the last place of an O_CREAT that leads to nothing is
 * followed by hand, so that its target is what is created.
 *
 * inode->writers counts files open for writing; running programs count it down below zero: either
 * keeps the other away with KERR_TXTBSY.
 */
#include "vfs_private.h"

#include <exec/domain.h>
#include <mm/heap.h>

static enum kerr writers_get(struct inode *i)
{
	int32_t n = atomic_load_explicit(&i->writers, memory_order_relaxed);

	do {
		if (n < 0)
			return KERR_TXTBSY;
	} while (!atomic_compare_exchange_weak_explicit(
		&i->writers, &n, n + 1, memory_order_relaxed, memory_order_relaxed));
	return KERR_OK;
}

static enum kerr writers_deny(struct inode *i)
{
	int32_t n = atomic_load_explicit(&i->writers, memory_order_relaxed);

	do {
		if (n > 0)
			return KERR_TXTBSY;
	} while (!atomic_compare_exchange_weak_explicit(
		&i->writers, &n, n - 1, memory_order_relaxed, memory_order_relaxed));
	return KERR_OK;
}

static unsigned wanted(int flags)
{
	static const unsigned by_mode[4] = {4, 2, 6, 6};

	return by_mode[flags & O_ACCMODE] | (flags & O_TRUNC ? 2 : 0);
}

/* null, zero, full, random, urandom; the own terminal. */
static bool device_harmless(const struct inode *i)
{
	static const uint8_t minors[] = {3, 5, 7, 8, 9};

	if (!inode_is(i, S_IFCHR))
		return false;
	for (size_t n = 0; n < ARRAY_SIZE(minors); n++)
		if (i->rdev == device_number(1, minors[n]))
			return true;
	return i->rdev == device_number(5, 0);
}

static enum kerr device_allowed(const struct path *p, const struct inode *i)
{
	if (p->mount->flags & MS_NODEV)
		return KERR_ACCESS;
	if (!device_harmless(i) &&
	    (!process_has(TERN_CAP_IO) || process_isolated(DOMAIN_NO_DEVICES)))
		return KERR_PERM;
	return KERR_OK;
}

/* May this inode be opened with these flags? */
static enum kerr open_allowed(const struct path *p, const struct inode *i, int flags, bool created)
{
	if (inode_is(i, S_IFLNK))
		return KERR_LOOP;
	if ((flags & O_DIRECTORY) && !inode_is(i, S_IFDIR))
		return KERR_NOTDIR;
	unsigned want = wanted(flags);
	if (inode_is(i, S_IFDIR) && ((want & 2) || (flags & O_CREAT)))
		return KERR_ISDIR;
	if ((want & 2) && (inode_is(i, S_IFREG) || inode_is(i, S_IFDIR)) &&
	    mount_writable(p->mount) != KERR_OK)
		return KERR_ROFS;
	if (inode_is(i, S_IFCHR) || inode_is(i, S_IFBLK)) {
		enum kerr err = device_allowed(p, i);
		if (err != KERR_OK)
			return err;
	}
	/* Who creates a file may use it as asked, whatever its mode. */
	return created ? KERR_OK : inode_permission(i, want);
}

/* Makes the file of a path that may be opened. */
static enum kerr open_path(const struct path *p, int flags, struct file **out)
{
	struct inode *i = path_inode(p);
	struct file *f;
	enum kerr err = file_create_at(p, flags, &f);

	if (err != KERR_OK)
		return err;
	if (f->writable && inode_is(i, S_IFREG)) {
		err = writers_get(i);
		if (err != KERR_OK)
			goto fail;
		f->write_counted = true;
	}
	if (i->ops->open)
		err = i->ops->open(i, f);
	else if (i->file_ops)
		f->ops = i->file_ops;
	else
		err = special_open(i, f);
	if (err != KERR_OK)
		goto fail;
	if ((flags & O_TRUNC) && inode_is(i, S_IFREG) && i->object && i->object->size) {
		struct inode_attributes a = {.size = 0};
		err = vfs_set_attributes(p, &a, ATTR_SIZE | ATTR_OPEN | ATTR_MTIME_NOW);
		if (err != KERR_OK) {
			file_put(f);
			return err;
		}
	}
	*out = f;
	return KERR_OK;
fail:
	file_free_unopened(f);
	return err;
}

/* `created`: this call has just made the file. */
static enum kerr open_found(const struct path *p, int flags, bool created, struct file **out)
{
	struct inode *i = path_inode(p);

	if (flags & O_PATH) {
		if ((flags & O_DIRECTORY) && !inode_is(i, S_IFDIR))
			return KERR_NOTDIR;
		return file_create_at(p, flags, out);
	}
	enum kerr err = open_allowed(p, i, flags, created);
	return err == KERR_OK ? open_path(p, flags, out) : err;
}

/* Creates the last name, or finds what is there; *found is referenced. */
static enum kerr create_locked(struct parent_path *pp, int flags, uint32_t mode, struct path *found,
			       bool *created)
{
	struct inode *dir = path_inode(&pp->path);
	struct dentry *d;
	enum kerr err = vfs_lookup_one(pp->path.dentry, pp->name, pp->length, pp->hash, &d);

	if (err != KERR_OK)
		return err;
	*found = (struct path){pp->path.mount, d};
	*created = false;
	if (dentry_inode(d)) {
		if (flags & O_EXCL)
			err = KERR_EXIST;
	} else {
		if (pp->must_directory)
			err = KERR_ISDIR;
		else
			err = mount_writable(pp->path.mount);
		if (err == KERR_OK)
			err = inode_permission(dir, 3);
		if (err == KERR_OK)
			err = dir->ops->make
				      ? dir->ops->make(dir, d,
						       S_IFREG | (mode & 07777 & ~vfs_umask()), 0,
						       nullptr)
				      : KERR_ACCESS;
		*created = true;
	}
	if (err != KERR_OK) {
		dentry_put(d);
		return err;
	}
	mount_get(found->mount);
	return KERR_OK;
}

static enum kerr open_create(const struct path *dir, const char *name, int flags, uint32_t mode,
			     struct file **out)
{
	struct parent_path pp;
	struct path found;
	bool created;
	enum kerr err = vfs_lookup_parent(dir, name, &pp);

	if (err != KERR_OK)
		return err;
	if (pp.kind != LAST_NAME) {
		path_put(&pp.path);
		return flags & O_EXCL ? KERR_EXIST : KERR_ISDIR;
	}
	struct inode *parent = path_inode(&pp.path);
	mutex_lock(&parent->lock);
	err = create_locked(&pp, flags, mode, &found, &created);
	mutex_unlock(&parent->lock);
	if (err == KERR_OK) {
		err = open_found(&found, created ? flags & ~O_TRUNC : flags, created, out);
		path_put(&found);
	}
	path_put(&pp.path);
	return err;
}

/* `name` is a symlink that leads to nothing, which O_CREAT is to make: its text, and the directory
 * it is relative to, referenced. Fails if it is no symlink. */
static enum kerr dangling_link(const struct path *dir, const char *name, struct path *parent,
			       char *text)
{
	struct parent_path pp;
	struct path link;
	size_t length;
	enum kerr err = vfs_lookup(dir, name, 0, &link);

	if (err != KERR_OK)
		return err;
	err = inode_is(path_inode(&link), S_IFLNK)
		      ? vfs_read_link(&link, text, PATH_SIZE - 1, &length)
		      : KERR_EXIST; /* it came to be meanwhile */
	path_put(&link);
	if (err != KERR_OK)
		return err;
	text[length] = 0;
	err = vfs_lookup_parent(dir, name, &pp);
	if (err == KERR_OK)
		*parent = pp.path;
	return err;
}

enum kerr vfs_open(const struct path *dir, const char *name, int flags, uint32_t mode,
		   struct file **out)
{
	bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
	unsigned lookup =
		(follow ? LOOKUP_FOLLOW : 0) | (flags & O_DIRECTORY ? LOOKUP_DIRECTORY : 0);
	struct path p, parent;
	char *text;
	enum kerr err;

	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if (!(flags & O_CREAT) || follow) {
		err = vfs_lookup(dir, name, lookup, &p);
		if (err == KERR_OK) {
			err = open_found(&p, flags, false, out);
			path_put(&p);
			return err;
		}
		if (err != KERR_NOENT || !(flags & O_CREAT))
			return err;
	}
	/* Not there. Either the last name is free, or it is a symlink to a name that is. */
	text = follow ? heap_alloc(PATH_SIZE) : nullptr;
	if (follow && !text)
		return KERR_NOMEM;
	struct path from = {};
	const char *at = name;
	for (unsigned links = 0;; links++) {
		if (follow)
			err = dangling_link(from.dentry ? &from : dir, at, &parent, text);
		if (!follow || err != KERR_OK) {
			err = open_create(from.dentry ? &from : dir, at, flags, mode, out);
			break;
		}
		if (from.dentry)
			path_put(&from);
		from = parent;
		at = text;
		if (links == SYMLINK_LIMIT) {
			err = KERR_LOOP;
			break;
		}
	}
	if (from.dentry)
		path_put(&from);
	heap_free(text);
	return err;
}

enum kerr vfs_open_program(const struct path *dir, const char *name, unsigned lookup_flags,
			   struct file **out)
{
	struct path p;
	enum kerr err = vfs_lookup(dir, name, lookup_flags, &p);

	if (err != KERR_OK)
		return err;
	struct inode *i = path_inode(&p);
	if (inode_is(i, S_IFLNK))
		err = KERR_LOOP;
	else if (!inode_is(i, S_IFREG) || (p.mount->flags & MS_NOEXEC))
		err = KERR_ACCESS;
	else
		err = inode_permission(i, 1);
	if (err == KERR_OK)
		err = writers_deny(i);
	if (err == KERR_OK) {
		err = open_path(&p, O_RDONLY, out);
		if (err == KERR_OK)
			(*out)->write_counted = true;
		else
			atomic_fetch_add(&i->writers, 1);
	}
	path_put(&p);
	return err;
}
