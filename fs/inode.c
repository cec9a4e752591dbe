/*
 * What all inodes have in common: references, attributes, permission.
 *
 * An inode lives as long as somebody refers to it: entries of the dentry cache, files without a
 * name. When the last one goes, the filesystem's release op frees it, after a grace period,
 * because lookups may still look at mode and owner. A superblock is referenced by each inode.
 *
 * Attributes are read without the lock (each is one word); they are written with it held.
 */
#include "vfs_private.h"

#include <core/time.h>
#include <exec/domain.h>
#include <exec/process.h>

static _Atomic uint64_t next_number = 1;

uint64_t inode_number_next(void)
{
	return atomic_fetch_add_explicit(&next_number, 1, memory_order_relaxed);
}

void inode_init(struct inode *i, struct superblock *sb, const struct inode_ops *ops, uint32_t mode)
{
	*i = (struct inode){.ops = ops, .sb = sb, .mode = mode};
	atomic_init(&i->references, 1);
	mutex_init(&i->lock, "inode.lock");
	i->links = 1;
	i->number = inode_number_next();
	i->atime = i->mtime = i->ctime = time_wall();
	superblock_get(sb);
}

/* The filesystem's release frees the inode, then or later; sb outlives that call. */
void inode_put(struct inode *i)
{
	if (atomic_fetch_sub_explicit(&i->references, 1, memory_order_acq_rel) != 1)
		return;
	struct superblock *sb = i->sb;
	if (inode_is(i, S_IFIFO))
		special_release(i);
	if (unlikely(atomic_load_explicit(&i->locks, memory_order_relaxed)))
		locks_free(i);
	i->ops->release(i);
	superblock_put(sb);
}

static bool in_group(const struct credentials *c, uint32_t gid)
{
	if (c->fsgid == gid)
		return true;
	for (uint32_t n = 0; n < c->group_count; n++)
		if (c->groups[n] == gid)
			return true;
	return false;
}

/* Past the permission bits: the privileged read and write all, and run what anybody may run. */
static bool overridden(const struct inode *i, unsigned want, const struct capability_set *s)
{
	if (want & 1 && !inode_is(i, S_IFDIR) && !(i->mode & 0111))
		return false;
	if (capability_set_has(s, TERN_CAP_FILE_OVERRIDE, LINUX_CAP_DAC_OVERRIDE))
		return true;
	return !(want & 2) && (inode_is(i, S_IFDIR) || !(want & 1)) &&
	       capability_set_has(s, TERN_CAP_FILE_OVERRIDE, LINUX_CAP_DAC_READ_SEARCH);
}

/* `s`: the set that counts for user `uid`. */
static enum kerr permission_for(const struct inode *i, unsigned want, const struct credentials *c,
				uint32_t uid, const struct capability_set *s)
{
	uint32_t bits = i->mode;

	if (uid == i->uid)
		bits >>= 6;
	else if ((bits >> 3 & 7) != (bits & 7) && in_group(c, i->gid))
		bits >>= 3;
	if ((bits & want) == want)
		return KERR_OK;
	if (overridden(i, want, s))
		return KERR_OK;
	process_denied(TERN_CAP_FILE_OVERRIDE);
	return KERR_ACCESS;
}

enum kerr inode_permission(const struct inode *i, unsigned want)
{
	/* What everybody may needs no look at who asks. */
	if ((i->mode & i->mode >> 3 & i->mode >> 6 & want) == want)
		return KERR_OK;
	const struct credentials *c = &current_process()->credentials;
	return permission_for(i, want, c, c->fsuid, &c->capabilities.effective);
}

enum kerr vfs_access(const struct path *p, unsigned mode, bool real_ids)
{
	const struct inode *i = path_inode(p);
	struct credentials c = current_process()->credentials;

	if ((mode & 2) && (inode_is(i, S_IFREG) || inode_is(i, S_IFDIR) || inode_is(i, S_IFLNK))) {
		enum kerr err = mount_writable(p->mount);
		if (err != KERR_OK)
			return err;
	}
	if (!real_ids)
		return permission_for(i, mode, &c, c.fsuid, &c.capabilities.effective);
	const struct capability_set s = capabilities_of_real(&c.capabilities, c.uid);
	c.fsgid = c.gid;
	return permission_for(i, mode, &c, c.uid, &s);
}

void inode_set_owner(struct inode *i, const struct inode *dir, uint32_t mode)
{
	const struct credentials *c = &current_process()->credentials;

	i->mode = mode;
	i->uid = c->fsuid;
	i->gid = c->fsgid;
	if (dir && (dir->mode & S_ISGID)) {
		i->gid = dir->gid;
		if ((mode & S_IFMT) == S_IFDIR)
			i->mode |= S_ISGID;
	}
}

void inode_touch(struct inode *i)
{
	i->mtime = i->ctime = time_wall();
}

void inode_attributes_get(struct inode *i, struct inode_attributes *out)
{
	*out = (struct inode_attributes){
		.inode = i->number,
		.device = i->sb->device,
		.rdev = i->rdev,
		.mode = i->mode,
		.uid = i->uid,
		.gid = i->gid,
		.links = i->links,
		.block_size = PAGE_SIZE,
		.atime = i->atime,
		.mtime = i->mtime,
		.ctime = i->ctime,
	};
	if (i->object)
		out->size = atomic_load_explicit(&i->object->size, memory_order_relaxed);
	if (i->ops->get_attributes)
		i->ops->get_attributes(i, out);
}

enum kerr vfs_stat(const struct path *p, struct inode_attributes *out)
{
	struct inode *i = path_inode(p);

	if (!i)
		return KERR_NOENT;
	inode_attributes_get(i, out);
	return KERR_OK;
}

/* chmod, chown, utimensat: who may; the set-id bits that go with a new owner. */
static enum kerr attributes_allowed(const struct inode *i, const struct inode_attributes *a,
				    unsigned which)
{
	const struct credentials *c = &current_process()->credentials;
	bool owner = c->fsuid == i->uid;

	if ((which & ATTR_UID) && (a->uid != i->uid || !owner) &&
	    !process_capable(TERN_CAP_FILE_OWNER, LINUX_CAP_CHOWN))
		return KERR_PERM;
	if ((which & ATTR_GID) && (!owner || (a->gid != i->gid && !in_group(c, a->gid))) &&
	    !process_capable(TERN_CAP_FILE_OWNER, LINUX_CAP_CHOWN))
		return KERR_PERM;
	if ((which & (ATTR_MODE | ATTR_ATIME | ATTR_MTIME)) && !owner &&
	    !process_capable(TERN_CAP_FILE_OWNER, LINUX_CAP_FOWNER))
		return KERR_PERM;
	if ((which & (ATTR_ATIME_NOW | ATTR_MTIME_NOW)) && !owner &&
	    !process_has_privilege(TERN_CAP_FILE_OWNER, LINUX_CAP_FOWNER))
		return inode_permission(i, 2);
	return KERR_OK;
}

static void attributes_apply(struct inode *i, const struct inode_attributes *a, unsigned which)
{
	const struct credentials *c = &current_process()->credentials;
	nsec_t now = time_wall();

	if (which & ATTR_UID)
		i->uid = a->uid;
	if (which & ATTR_GID)
		i->gid = a->gid;
	if ((which & (ATTR_UID | ATTR_GID)) && !inode_is(i, S_IFDIR)) {
		i->mode &= ~S_ISUID;
		if (i->mode & 010)
			i->mode &= ~S_ISGID;
	}
	if (which & ATTR_MODE) {
		uint32_t mode = a->mode & 07777;
		if (!in_group(c, i->gid) &&
		    !process_has_privilege(TERN_CAP_FILE_OWNER, LINUX_CAP_FSETID))
			mode &= ~S_ISGID;
		i->mode = (i->mode & S_IFMT) | mode;
	}
	if (which & (ATTR_ATIME | ATTR_ATIME_NOW))
		i->atime = which & ATTR_ATIME ? a->atime : now;
	if (which & (ATTR_MTIME | ATTR_MTIME_NOW))
		i->mtime = which & ATTR_MTIME ? a->mtime : now;
	i->ctime = now;
}

static enum kerr size_allowed(const struct inode *i, const struct inode_attributes *a,
			      unsigned which)
{
	if (inode_is(i, S_IFDIR))
		return KERR_ISDIR;
	if (!inode_is(i, S_IFREG))
		return KERR_INVAL;
	if (atomic_load_explicit(&i->writers, memory_order_relaxed) < 0)
		return KERR_TXTBSY;
	if (a->size > process_limit(RLIMIT_FSIZE))
		return KERR_FBIG;
	return which & ATTR_OPEN ? KERR_OK : inode_permission(i, 2);
}

enum kerr vfs_set_attributes(const struct path *p, const struct inode_attributes *a, unsigned which)
{
	enum kerr err = mount_writable(p->mount);

	return err == KERR_OK ? inode_set_attributes(path_inode(p), a, which) : err;
}

enum kerr inode_set_attributes(struct inode *i, const struct inode_attributes *a, unsigned which)
{
	enum kerr err = which & ATTR_SIZE ? size_allowed(i, a, which) : KERR_OK;

	if (err != KERR_OK)
		return err;
	mutex_lock(&i->lock);
	err = attributes_allowed(i, a, which);
	if (err == KERR_OK && i->ops->set_attributes)
		err = i->ops->set_attributes(i, a, which);
	else if (err == KERR_OK && (which & ATTR_SIZE))
		err = KERR_INVAL;
	if (err == KERR_OK)
		attributes_apply(i, a, which);
	mutex_unlock(&i->lock);
	return err;
}
