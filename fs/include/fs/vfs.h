/*
 * The virtual file system: inodes, directory entries, mounts, path lookup. A filesystem is a
 * const ops table; tmpfs, devtmpfs, proc, sysfs are four.
 *
 * Calls below sleep and take no spinlock unless said otherwise; paths are kernel strings (the gate
 * copied them). Errors are Linux's for the call of the same purpose.
 */
#pragma once

#include <core/rcu.h>
#include <core/wait.h>
#include <hal/types.h>
#include <lib/kerr.h>
#include <lib/list.h>
#include <lib/rbtree.h>
#include <mm/object.h>

#define PATH_SIZE 4096
#define NAME_SIZE 255
#define SYMLINK_LIMIT 40

/* File types and permission bits: Linux st_mode. */
#define S_IFMT 0170000u
#define S_IFSOCK 0140000u
#define S_IFLNK 0120000u
#define S_IFREG 0100000u
#define S_IFBLK 0060000u
#define S_IFDIR 0040000u
#define S_IFCHR 0020000u
#define S_IFIFO 0010000u
#define S_ISUID 04000u
#define S_ISGID 02000u
#define S_ISVTX 01000u

/* Device numbers in the 64-bit encoding of st_rdev and mknod. */
static inline uint64_t device_number(uint32_t major, uint32_t minor)
{
	return (uint64_t)(minor & 0xff) | (uint64_t)(major & 0xfff) << 8 |
	       (uint64_t)(minor & ~0xffu) << 12 | (uint64_t)(major & ~0xfffu) << 32;
}
static inline uint32_t device_major(uint64_t device)
{
	return (uint32_t)(device >> 8 & 0xfff) | (uint32_t)(device >> 32 & ~0xfffull);
}
static inline uint32_t device_minor(uint64_t device)
{
	return (uint32_t)(device & 0xff) | (uint32_t)(device >> 12 & ~0xffull);
}

struct file;
struct file_ops;
struct inode;
struct dentry;
struct mount;
struct superblock;
struct filesystem;

struct path {
	struct mount *mount;
	struct dentry *dentry;
};

struct inode_attributes { /* stat, setattr */
	uint64_t inode, size, blocks, device, rdev; /* blocks of 512 bytes */
	uint32_t mode, uid, gid, links, block_size;
	nsec_t atime, mtime, ctime; /* since 1970 */
};
#define ATTR_MODE 1u
#define ATTR_UID 2u
#define ATTR_GID 4u
#define ATTR_SIZE 8u
#define ATTR_ATIME 16u     /* to the given time */
#define ATTR_MTIME 32u
#define ATTR_ATIME_NOW 64u /* to now: needs only write permission */
#define ATTR_MTIME_NOW 128u
#define ATTR_OPEN                                                                                  \
	256u     /* with SIZE: by ftruncate or O_TRUNC: the right to write was checked at open */

struct filesystem_statistics {
	uint64_t type, block_size, blocks, free_blocks, inodes, free_inodes, id;
	unsigned long flags; /* MS_* of the mount */
};

/* ---- Inodes ---------------------------------------------------------------------------------- */

struct inode_ops {
	/* The entry `d` (its name, no inode yet) of directory `dir`: sets d->inode by
	 * dentry_set_inode, or leaves it (KERR_OK: there is no such name). May set
	 * DENTRY_VOLATILE. dir->lock held. Null: what is not in the cache is not there. */
	enum kerr (*lookup)(struct inode *dir, struct dentry *d);
	/* These five: dir->lock held, rights checked, d is (make: not) positive. make: mode has the
	 * file type; `target` of a symlink, null otherwise. */
	enum kerr (*make)(struct inode *dir, struct dentry *d, uint32_t mode, uint64_t device,
			  const char *target);
	enum kerr (*link)(struct inode *old, struct inode *dir, struct dentry *d);
	enum kerr (*unlink)(struct inode *dir,
			    struct dentry *d); /* directories too: KERR_NOTEMPTY */
	/* `to` may be negative; with `exchange` both change places. KERR_NOTEMPTY for a directory
	 * in the way. Both dir locks held, also of a directory in the way. The caller moves the
	 * dentries afterwards, which cannot fail. */
	enum kerr (*rename)(struct inode *from_dir, struct dentry *from, struct inode *to_dir,
			    struct dentry *to, bool exchange);
	/* Text of a symlink; null: inode->link is it. */
	enum kerr (*read_link)(struct inode *i, char *buf, size_t size, size_t *length);
	/* A symlink that leads somewhere without a name (/proc/PID/fd/N); null: by its text. */
	enum kerr (*follow)(struct inode *i, struct path *out);
	/* Changes what `a` was filled with from the inode; null: nothing to change. Any context. */
	void (*get_attributes)(struct inode *i, struct inode_attributes *a);
	/* i->lock held, rights checked. Null: generic. For ATTR_SIZE it does all. */
	enum kerr (*set_attributes)(struct inode *i, const struct inode_attributes *a,
				    unsigned which);
	/* Sets f->ops and what they need; null: f->ops = i->file_ops. */
	enum kerr (*open)(struct inode *i, struct file *f);
	/* Links are 0 and the last reference is gone, or it cannot be found by name: frees it
	 * (after a grace period: lookups may still look at it). */
	void (*release)(struct inode *i);
	/* For inodes without a name: "pipe:[7]"; may be null. */
	size_t (*describe)(struct inode *i, char *buf, size_t size);
};

struct inode {
	const struct inode_ops *ops;
	const struct file_ops *file_ops;
	struct superblock *sb;
	_Atomic uint32_t references;
	uint32_t mode, uid, gid; /* (lock for writing) */
	uint32_t links; /* (lock of the directory that changes it) */
	_Atomic int32_t writers; /* files open for writing; < 0: programs being run deny it */
	uint64_t number, rdev;
	nsec_t atime, mtime, ctime; /* (lock for writing; atime: last one wins) */
	struct mutex lock; /* directory contents, size, attributes */
	struct vm_object *object; /* data of a regular file; null: none */
	const char *link; /* (const) text of a symlink, or null */
	struct dentry *alias; /* (dcache lock) one of its names, not referenced */
	void *private; /* the filesystem's; of a FIFO: ipc's; of a socket's node: (lock) net's */
	struct inode_locks *_Atomic locks; /* made by the first lock on it (fs/locks.c) */
	struct rcu_head rcu;
};

void inode_init(struct inode *i, struct superblock *sb, const struct inode_ops *ops, uint32_t mode);
static inline void inode_get(struct inode *i)
{
	atomic_fetch_add_explicit(&i->references, 1, memory_order_relaxed);
}
/* The same of one that may be about to end: false, if it is. Something else keeps its memory. */
static inline bool inode_get_live(struct inode *i)
{
	uint32_t n = atomic_load_explicit(&i->references, memory_order_relaxed);

	while (n && !atomic_compare_exchange_weak(&i->references, &n, n + 1))
		;
	return n;
}
void inode_put(struct inode *i);
static inline bool inode_is(const struct inode *i, uint32_t type)
{
	return (i->mode & S_IFMT) == type;
}
/* The current process may R 4, W 2, X 1 it. Any context. */
enum kerr inode_permission(const struct inode *i, unsigned want);
/* Sets mode, owner (with the set-group-id rule of directories) and times of a new inode. */
void inode_set_owner(struct inode *i, const struct inode *dir, uint32_t mode);
void inode_touch(struct inode *i); /* mtime and ctime are now */
void inode_attributes_get(struct inode *i, struct inode_attributes *out);
/* As vfs_set_attributes, for a file without a path. */
enum kerr inode_set_attributes(struct inode *i, const struct inode_attributes *a, unsigned which);
uint64_t inode_number_next(void); /* for filesystems without numbers of their own */

/* ---- Directory entries ------------------------------------------------------------------------ */

struct dentry_name {
	struct rcu_head rcu;
	uint32_t hash, length;
	char text[]; /* with end mark */
};

#define DENTRY_INLINE 40

#define DENTRY_HASHED 1u /* findable; holds a reference */
#define DENTRY_MOUNTED 2u /* something is mounted on it (in some place) */
#define DENTRY_VOLATILE 4u /* never hashed: made anew at each lookup (/proc/PID) */
#define DENTRY_NEGATIVE_LISTED 8u

struct dentry {
	_Atomic uint32_t references;
	_Atomic uint32_t flags; /* (dcache lock for writing) */
	struct inode *_Atomic inode; /* null: there is no such file; referenced */
	struct dentry *_Atomic parent; /* referenced; its own for a root */
	struct dentry_name *_Atomic name; /* replaced whole by rename, freed after a grace period */
	struct dentry *_Atomic hash_next; /* (dcache lock for writing) */
	struct superblock *sb;
	union { /* (parent inode's lock) for filesystems whose directories live in this cache */
		struct rb_node order;
		struct list siblings;
	};
	uint64_t cookie; /* position in the directory */
	uint64_t next_cookie; /* (own inode's lock) */
	struct list negative; /* (dcache lock) */
	uint32_t negative_children; /* (dcache lock) */
	struct rcu_head rcu;
	union {
		struct dentry_name inline_name;
		char inline_space[sizeof(struct dentry_name) + DENTRY_INLINE];
	};
};

static inline void dentry_get(struct dentry *d)
{
	atomic_fetch_add_explicit(&d->references, 1, memory_order_relaxed);
}
void dentry_put_last(struct dentry *d);
static inline void dentry_put(struct dentry *d)
{
	if (atomic_fetch_sub_explicit(&d->references, 1, memory_order_acq_rel) == 1)
		dentry_put_last(d);
}
/* An unhashed entry without an inode, one reference; null: no memory. */
struct dentry *dentry_create(struct superblock *sb, struct dentry *parent, const char *name,
			     size_t length);
/* Makes it positive; consumes a reference to the inode. */
void dentry_set_inode(struct dentry *d, struct inode *i);
/* Makes it findable (once); for filesystems that fill the cache from below (devtmpfs). */
void dentry_hash(struct dentry *d);

/* ---- Superblocks, mounts, filesystem types ------------------------------------------------------ */

struct superblock_ops {
	void (*statistics)(struct superblock *sb, struct filesystem_statistics *out);
	/* "size=1024k,mode=755" for /proc/mounts; like format(). Null: nothing. */
	size_t (*options)(struct superblock *sb, char *buf, size_t size);
	enum kerr (*remount)(struct superblock *sb,
			     const char *options); /* null: options are ignored */
	void (*release)(struct superblock *sb); /* last reference: frees sb */
};

struct superblock {
	const struct filesystem *type;
	const struct superblock_ops *ops;
	_Atomic uint32_t references; /* mounts, inodes */
	uint64_t device; /* st_dev */
	struct dentry *root; /* referenced until the last mount goes */
	_Atomic uint32_t mounts;
	bool singleton; /* stays when nobody has mounted it */
	void *private;
};

void superblock_init(struct superblock *sb, const struct filesystem *type,
		     const struct superblock_ops *ops);
static inline void superblock_get(struct superblock *sb)
{
	atomic_fetch_add_explicit(&sb->references, 1, memory_order_relaxed);
}
void superblock_put(struct superblock *sb);

struct filesystem {
	const char *name;
	uint32_t magic;
	/* A superblock with its root, one reference. `options` is comma-separated text, never null. */
	enum kerr (*mount)(const struct filesystem *type, const char *source, const char *options,
			   struct superblock **out);
};
#define FILESYSTEMS_MAX 16
void filesystem_register(const struct filesystem *type); /* at init */
const struct filesystem *filesystem_get(size_t index); /* null past the end */

#define MS_RDONLY 1ul
#define MS_NOSUID 2ul
#define MS_NODEV 4ul
#define MS_NOEXEC 8ul
#define MS_REMOUNT 32ul
#define MS_NOATIME 1024ul
#define MS_NODIRATIME 2048ul
#define MS_BIND 4096ul
#define MS_MOVE 8192ul
#define MS_REC 16384ul
#define MS_SILENT 32768ul
#define MS_PRIVATE (1ul << 18)
#define MS_RELATIME (1ul << 21)

struct mount {
	_Atomic uint32_t references; /* paths, and one for being mounted */
	struct superblock *sb; /* (const) referenced */
	struct dentry *root; /* (const) referenced */
	struct mount *parent; /* (mount lock; readers under rcu) null: the first, or detached */
	struct dentry *where; /* (mount lock; readers under rcu) referenced */
	_Atomic unsigned long flags; /* MS_* */
	struct mount *_Atomic hash_next; /* (mount lock; readers under rcu) */
	struct list all; /* (mount lock) */
	int id;
	char source[64];
	struct rcu_head rcu;
};

static inline void mount_get(struct mount *m)
{
	atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
}
void mount_put(struct mount *m);

/* Mount number `index` in the order of /proc/mounts, as a referenced copy of what it shows; false
 * past the end. */
struct mount_info {
	int id, parent_id;
	char source[64], where[256], type[32], options[128];
	uint64_t device;
};
bool mount_info_get(size_t index, struct mount_info *out);

/* ---- Paths ------------------------------------------------------------------------------------- */

/* Lookup flags. */
#define LOOKUP_FOLLOW 1u /* follow a symlink in the last place */
#define LOOKUP_DIRECTORY 2u /* the result must be a directory */

/* `dir` null is the current directory; absolute names start at the root. The result is
 * referenced: path_put it. An empty name is KERR_NOENT. */
enum kerr vfs_lookup(const struct path *dir, const char *name, unsigned flags, struct path *out);
void path_get(const struct path *p);
void path_put(const struct path *p);
static inline struct inode *path_inode(const struct path *p)
{
	return atomic_load_explicit(&p->dentry->inode, memory_order_acquire);
}

/* at-style operations. */
enum kerr vfs_open(const struct path *dir, const char *name, int flags, uint32_t mode,
		   struct file **out);
/* Opens a regular file to run it: execute permission, no noexec mount, nobody may write it
 * while the file is open (KERR_TXTBSY). Readable through the file whatever its mode. */
enum kerr vfs_open_program(const struct path *dir, const char *name, unsigned lookup_flags,
			   struct file **out);
/* The same as lookup, stat and put, in one step that takes no references. */
enum kerr vfs_stat_name(const struct path *dir, const char *name, unsigned lookup_flags,
			struct inode_attributes *out);
enum kerr vfs_stat(const struct path *p, struct inode_attributes *out);
enum kerr vfs_set_attributes(const struct path *p, const struct inode_attributes *a,
			     unsigned which);
enum kerr vfs_make_directory(const struct path *dir, const char *name, uint32_t mode);
enum kerr vfs_make_node(const struct path *dir, const char *name, uint32_t mode, uint64_t device);
/* A node of the type S_IFSOCK that `out` (referenced) leads to; the umask is applied. */
enum kerr vfs_make_socket(const char *name, uint32_t mode, struct path *out);
enum kerr vfs_link(const struct path *old, const struct path *dir, const char *name);
enum kerr vfs_symlink(const char *target, const struct path *dir, const char *name);
enum kerr vfs_unlink(const struct path *dir, const char *name, bool directory);
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE 2u
enum kerr vfs_rename(const struct path *from_dir, const char *from, const struct path *to_dir,
		     const char *to, unsigned flags);
enum kerr vfs_read_link(const struct path *p, char *buf, size_t size, size_t *length);
/* R 4, W 2, X 1, with the effective ids (access(2) wants the real ones: real_ids). */
enum kerr vfs_access(const struct path *p, unsigned mode, bool real_ids);
enum kerr vfs_mount(const char *source, const struct path *where, const char *type,
		    unsigned long flags, const char *options);
#define UNMOUNT_FORCE 1u
#define UNMOUNT_DETACH 2u
enum kerr vfs_unmount(const struct path *where, unsigned flags);
enum kerr vfs_statistics(const struct path *p, struct filesystem_statistics *out);
/* "/a/b" as seen from the current root; into the end of buf, *start gets where.
 * KERR_RANGE: does not fit. *deleted (may be null): it has no name any more. A path outside the
 * root gives "(unreachable)/a/b". */
enum kerr vfs_path_name(const struct path *p, char *buf, size_t size, const char **start,
			bool *deleted);

/* ---- Directory context of the current process -------------------------------------------------- */

void vfs_get_root(struct path *out); /* referenced */
void vfs_get_directory(struct path *out); /* referenced */
enum kerr vfs_change_directory(const struct path *p); /* KERR_NOTDIR, KERR_ACCESS */
enum kerr vfs_change_root(const struct path *p);
uint32_t vfs_set_umask(uint32_t mask); /* gives the old one */
uint32_t vfs_umask(void);
