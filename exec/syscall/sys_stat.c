/*
 * What files are: stat and its relatives, and changing it (mode, owner, times). Layouts: struct
 * stat of x86_64 and of the generic ABI (asm/stat.h), struct statx, struct statfs.
 */
#include "at.h"
#include "gate.h"
#include <core/time.h>
#include <fs/vfs.h>

/* ---- out to user memory ---- */

struct stat_time {
	int64_t seconds;
	uint64_t nanoseconds;
};

struct stat_x86_64 {
	uint64_t dev, ino, nlink;
	uint32_t mode, uid, gid, pad;
	uint64_t rdev, size, blksize, blocks;
	struct stat_time atime, mtime, ctime;
	uint64_t unused[3];
};

struct stat_generic {
	uint64_t dev, ino;
	uint32_t mode, nlink, uid, gid;
	uint64_t rdev, pad1, size;
	uint32_t blksize, pad2;
	uint64_t blocks;
	struct stat_time atime, mtime, ctime;
	uint32_t unused[2];
};
static_assert(sizeof(struct stat_x86_64) == 144 && sizeof(struct stat_generic) == 128);

static struct stat_time stat_time(nsec_t t)
{
	return (struct stat_time){(int64_t)(t / NSEC_PER_SEC), t % NSEC_PER_SEC};
}

static enum kerr stat_write(vaddr_t to, const struct inode_attributes *a)
{
	if (abi->x86_layouts) {
		const struct stat_x86_64 s = {a->device,
					      a->inode,
					      a->links,
					      a->mode,
					      a->uid,
					      a->gid,
					      0,
					      a->rdev,
					      a->size,
					      a->block_size,
					      a->blocks,
					      stat_time(a->atime),
					      stat_time(a->mtime),
					      stat_time(a->ctime),
					      {}};
		return user_write(to, &s, sizeof(s));
	}
	const struct stat_generic s = {a->device,
				       a->inode,
				       a->mode,
				       a->links,
				       a->uid,
				       a->gid,
				       a->rdev,
				       0,
				       a->size,
				       a->block_size,
				       0,
				       a->blocks,
				       stat_time(a->atime),
				       stat_time(a->mtime),
				       stat_time(a->ctime),
				       {}};
	return user_write(to, &s, sizeof(s));
}

/* ---- stat ---- */

static enum kerr attributes_of_descriptor(int fd, struct inode_attributes *out)
{
	struct file *f = fd_get_any(fd);

	if (!f)
		return KERR_BADF;
	enum kerr err = file_stat(f, out);
	file_put(f);
	return err;
}

static enum kerr attributes_at(int dirfd, vaddr_t user_path, int flags,
			       struct inode_attributes *out)
{
	struct user_path name;
	struct at_directory dir;
	enum kerr err = path_copy(&name, user_path);

	if (err != KERR_OK)
		return err;
	if (name.length == 0 && flags & AT_EMPTY_PATH) {
		struct path here;
		if (dirfd == AT_FDCWD) {
			vfs_get_directory(&here);
			err = vfs_stat(&here, out);
			path_put(&here);
		} else {
			err = attributes_of_descriptor(dirfd, out);
		}
	} else {
		err = at_begin(dirfd, name.text, &dir);
		if (err == KERR_OK) {
			err = vfs_stat_name(dir.path, name.text,
					    flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW, out);
			at_end(&dir);
		}
	}
	path_end(&name);
	return err;
}

static long stat_at(int dirfd, vaddr_t user_path, vaddr_t to, int flags)
{
	struct inode_attributes a;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return KERR_INVAL;
	enum kerr err = attributes_at(dirfd, user_path, flags, &a);
	return err == KERR_OK ? stat_write(to, &a) : err;
}

SYSCALL(stat)
{
	return stat_at(AT_FDCWD, a0, a1, 0);
}

SYSCALL(lstat)
{
	return stat_at(AT_FDCWD, a0, a1, AT_SYMLINK_NOFOLLOW);
}

SYSCALL(newfstatat)
{
	return stat_at((int)a0, a1, a2, (int)a3);
}

SYSCALL(fstat)
{
	struct inode_attributes a;
	enum kerr err = attributes_of_descriptor((int)a0, &a);

	return err == KERR_OK ? stat_write(a1, &a) : err;
}

struct statx_time {
	int64_t seconds;
	uint32_t nanoseconds, pad;
};

struct user_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad;
	uint64_t ino, size, blocks, attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t mnt_id, spare[13];
};
static_assert(sizeof(struct user_statx) == 256);
#define STATX_BASIC 0x7ffu
#define STATX_RESERVED 0x80000000u

static struct statx_time statx_time(nsec_t t)
{
	return (struct statx_time){(int64_t)(t / NSEC_PER_SEC), (uint32_t)(t % NSEC_PER_SEC), 0};
}

SYSCALL(statx)
{
	struct inode_attributes a;
	int flags = (int)a2;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) ||
	    a3 & STATX_RESERVED)
		return KERR_INVAL;
	enum kerr err = attributes_at((int)a0, a1, flags, &a);
	if (err != KERR_OK)
		return err;
	const struct user_statx s = {
		.mask = STATX_BASIC,
		.blksize = a.block_size,
		.nlink = a.links,
		.uid = a.uid,
		.gid = a.gid,
		.mode = (uint16_t)a.mode,
		.ino = a.inode,
		.size = a.size,
		.blocks = a.blocks,
		.atime = statx_time(a.atime),
		.ctime = statx_time(a.ctime),
		.mtime = statx_time(a.mtime),
		.rdev_major = device_major(a.rdev),
		.rdev_minor = device_minor(a.rdev),
		.dev_major = device_major(a.device),
		.dev_minor = device_minor(a.device),
	};
	return user_write(a4, &s, sizeof(s));
}

/* ---- access ---- */

static long access_at(int dirfd, vaddr_t user_path, unsigned long mode, int flags)
{
	struct path p;

	if (mode & ~7ul || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return KERR_INVAL;
	enum kerr err = at_lookup(dirfd, user_path, flags, &p);
	if (err != KERR_OK)
		return err;
	err = mode ? vfs_access(&p, (unsigned)mode, !(flags & AT_EACCESS)) : KERR_OK;
	path_put(&p);
	return err;
}

SYSCALL(access)
{
	return access_at(AT_FDCWD, a0, a1, 0);
}

SYSCALL(faccessat)
{
	return access_at((int)a0, a1, a2, 0);
}

SYSCALL(faccessat2)
{
	return access_at((int)a0, a1, a2, (int)a3);
}

/* ---- changes ---- */

static long change_at(int dirfd, vaddr_t user_path, int flags, const struct inode_attributes *a,
		      unsigned which)
{
	struct path p;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return KERR_INVAL;
	enum kerr err = at_lookup(dirfd, user_path, flags, &p);
	if (err != KERR_OK)
		return err;
	err = vfs_set_attributes(&p, a, which);
	path_put(&p);
	return err;
}

static long change_descriptor(int fd, const struct inode_attributes *a, unsigned which)
{
	struct file *f = fd_get(fd);

	if (!f)
		return KERR_BADF;
	enum kerr err = file_set_attributes(f, a, which);
	file_put(f);
	return err;
}

static struct inode_attributes mode_of(unsigned long mode)
{
	return (struct inode_attributes){.mode = (uint32_t)mode & 07777};
}

SYSCALL(chmod)
{
	const struct inode_attributes a = mode_of(a1);

	return change_at(AT_FDCWD, a0, 0, &a, ATTR_MODE);
}

SYSCALL(fchmod)
{
	const struct inode_attributes a = mode_of(a1);

	return change_descriptor((int)a0, &a, ATTR_MODE);
}

SYSCALL(fchmodat)
{
	const struct inode_attributes a = mode_of(a2);

	return change_at((int)a0, a1, 0, &a, ATTR_MODE);
}

SYSCALL(fchmodat2)
{
	const struct inode_attributes a = mode_of(a2);

	return change_at((int)a0, a1, (int)a3, &a, ATTR_MODE);
}

static unsigned owner_of(unsigned long uid, unsigned long gid, struct inode_attributes *out)
{
	*out = (struct inode_attributes){.uid = (uint32_t)uid, .gid = (uint32_t)gid};
	return ((uint32_t)uid == UINT32_MAX ? 0 : ATTR_UID) |
	       ((uint32_t)gid == UINT32_MAX ? 0 : ATTR_GID);
}

SYSCALL(chown)
{
	struct inode_attributes a;
	unsigned which = owner_of(a1, a2, &a);

	return change_at(AT_FDCWD, a0, 0, &a, which);
}

SYSCALL(lchown)
{
	struct inode_attributes a;
	unsigned which = owner_of(a1, a2, &a);

	return change_at(AT_FDCWD, a0, AT_SYMLINK_NOFOLLOW, &a, which);
}

SYSCALL(fchown)
{
	struct inode_attributes a;
	unsigned which = owner_of(a1, a2, &a);

	return change_descriptor((int)a0, &a, which);
}

SYSCALL(fchownat)
{
	struct inode_attributes a;
	unsigned which = owner_of(a2, a3, &a);

	return change_at((int)a0, a1, (int)a4, &a, which);
}

/* ---- times ---- */

#define UTIME_NOW 0x3fffffff
#define UTIME_OMIT 0x3ffffffe

static long set_times(int dirfd, vaddr_t user_path, int flags, struct inode_attributes *a,
		      unsigned which)
{
	if (!user_path)
		return dirfd == AT_FDCWD ? KERR_FAULT : change_descriptor(dirfd, a, which);
	return change_at(dirfd, user_path, flags, a, which);
}

/* Times as two timevals, or null for now. */
static long set_timevals(int dirfd, vaddr_t user_path, vaddr_t times)
{
	struct inode_attributes a = {};
	unsigned which = ATTR_ATIME_NOW | ATTR_MTIME_NOW;

	if (times) {
		which = ATTR_ATIME | ATTR_MTIME;
		enum kerr err = timeval_read(times, &a.atime);
		if (err == KERR_OK)
			err = timeval_read(times + sizeof(struct user_timeval), &a.mtime);
		if (err != KERR_OK)
			return err;
	}
	return set_times(dirfd, user_path, 0, &a, which);
}

SYSCALL(utimes)
{
	return set_timevals(AT_FDCWD, a0, a1);
}

SYSCALL(futimesat)
{
	return set_timevals((int)a0, a1, a2);
}

SYSCALL(utime)
{
	int64_t times[2];
	struct inode_attributes a = {};

	if (!a1)
		return set_timevals(AT_FDCWD, a0, 0);
	enum kerr err = user_read(times, a1, sizeof(times));
	if (err != KERR_OK)
		return err;
	a.atime = (nsec_t)MAX(times[0], 0) * NSEC_PER_SEC;
	a.mtime = (nsec_t)MAX(times[1], 0) * NSEC_PER_SEC;
	return set_times(AT_FDCWD, a0, 0, &a, ATTR_ATIME | ATTR_MTIME);
}

/* One of utimensat's times: what it says to do, as two ATTR_ bits to choose from. */
static enum kerr timespec_or_mark(const struct user_timespec *t, unsigned set, unsigned now,
				  nsec_t *out, unsigned *which)
{
	if (t->nanoseconds == UTIME_OMIT)
		return KERR_OK;
	if (t->nanoseconds == UTIME_NOW) {
		*which |= now;
		return KERR_OK;
	}
	if (t->nanoseconds < 0 || t->nanoseconds >= (int64_t)NSEC_PER_SEC)
		return KERR_INVAL;
	*out = (nsec_t)MAX(t->seconds, 0) * NSEC_PER_SEC + (nsec_t)t->nanoseconds;
	*which |= set;
	return KERR_OK;
}

SYSCALL(utimensat)
{
	struct user_timespec t[2];
	struct inode_attributes a = {};
	unsigned which = 0;

	if (a2) {
		enum kerr err = user_read(t, a2, sizeof(t));
		if (err == KERR_OK)
			err = timespec_or_mark(&t[0], ATTR_ATIME, ATTR_ATIME_NOW, &a.atime, &which);
		if (err == KERR_OK)
			err = timespec_or_mark(&t[1], ATTR_MTIME, ATTR_MTIME_NOW, &a.mtime, &which);
		if (err != KERR_OK)
			return err;
		if (!which)
			return KERR_OK;
	} else {
		which = ATTR_ATIME_NOW | ATTR_MTIME_NOW;
	}
	return set_times((int)a0, a1, (int)a3, &a, which);
}

/* ---- statfs ---- */

static enum kerr statfs_write(vaddr_t to, const struct path *p)
{
	struct filesystem_statistics f = {};
	enum kerr err = vfs_statistics(p, &f);

	if (err != KERR_OK)
		return err;
	const uint64_t s[15] = {f.type,        f.block_size, f.blocks,      f.free_blocks,
				f.free_blocks, f.inodes,     f.free_inodes, f.id,
				NAME_SIZE,     f.block_size, f.flags};
	return user_write(to, s, sizeof(s));
}

SYSCALL(statfs)
{
	struct path p;
	enum kerr err = at_lookup(AT_FDCWD, a0, 0, &p);

	if (err != KERR_OK)
		return err;
	err = statfs_write(a1, &p);
	path_put(&p);
	return err;
}

SYSCALL(fstatfs)
{
	struct file *f = fd_get_any((int)a0);

	if (!f)
		return KERR_BADF;
	enum kerr err = f->path.dentry ? statfs_write(a1, &f->path) : KERR_NOSYS;
	file_put(f);
	return err;
}
