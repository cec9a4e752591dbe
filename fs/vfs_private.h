/* What the files of fs/ share among themselves. */
#pragma once

#include <core/panic.h>
#include <fs/file.h>
#include <lib/string.h>

/* A count that may have reached zero: takes a reference only if somebody else has one. */
static inline bool reference_get_not_zero(_Atomic uint32_t *references)
{
	uint32_t n = atomic_load_explicit(references, memory_order_relaxed);

	while (n)
		if (atomic_compare_exchange_weak_explicit(
			    references, &n, n + 1, memory_order_relaxed, memory_order_relaxed))
			return true;
	return false;
}

/* ---- fdtable.c ---- */

/* The current descriptor table, if nobody but the current thread can change it until it returns to user
 * mode: then its files need no references. */
struct fd_view {
	struct file *_Atomic *files; /* null: others can */
	uint32_t capacity;
};
struct fd_view fd_view_private(void);
/* As fd_get_any, without a reference. */
ALWAYS_INLINE struct file *fd_view_get(const struct fd_view *v, int fd)
{
	return likely((unsigned)fd < v->capacity)
		       ? atomic_load_explicit(&v->files[(unsigned)fd], memory_order_relaxed)
		       : nullptr;
}

/* ---- locks.c ---- */

/* The locks of `owner` (a descriptor table, or f itself) on f's inode go. May sleep. */
void locks_release(struct file *f, const void *owner);
void locks_free(struct inode *i); /* nobody has a file on it */

/* ---- dcache.c ---- */

enum kerr dcache_init(void);
/* Names are hashed and compared by whole words that overlap at the end: a name of 9 to 16 bytes is two
 * loads. The bytes outside [name, name + length) are never touched. */
static inline uint64_t name_word(const char *name, size_t length)
{
	union {
		uint64_t whole;
		uint32_t half[2];
	} w;

	if (length >= 8) {
		memcpy(&w.whole, name, 8);
	} else if (length >= 4) {
		memcpy(&w.half[0], name, 4);
		memcpy(&w.half[1], name + length - 4, 4);
	} else {
		w.whole = (uint64_t)(unsigned char)name[0] |
			  (uint64_t)(unsigned char)name[length / 2] << 8 |
			  (uint64_t)(unsigned char)name[length - 1] << 16;
	}
	return w.whole;
}

/* length > 0 */
static inline uint32_t name_hash(const char *name, size_t length)
{
	uint64_t hash = length;

	while (length > 8) {
		hash = (hash ^ name_word(name, 8)) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 32;
		name += length >= 16 ? 8 : length - 8;
		length = length >= 16 ? length - 8 : 8;
	}
	hash = (hash ^ name_word(name, length)) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(hash >> 32);
}

static inline bool name_equal(const char *a, const char *b, size_t length)
{
	while (length > 8) {
		if (name_word(a, 8) != name_word(b, 8))
			return false;
		size_t step = length >= 16 ? 8 : length - 8;
		a += step;
		b += step;
		length -= step;
	}
	return name_word(a, length) == name_word(b, length);
}

/* Under rcu_read_lock; may miss an entry that is just being renamed. */
struct dentry *dcache_find(struct dentry *parent, const char *name, uint32_t length, uint32_t hash);
/* Exact, referenced. */
struct dentry *dcache_find_exact(struct dentry *parent, const char *name, uint32_t length,
				 uint32_t hash);
void dentry_unhash(struct dentry *d); /* drops the hash's reference */
/* What a move needs, taken beforehand so that the move cannot fail. */
struct dentry_name *dentry_name_create(const char *text, size_t length);
/* Moves `from` to where `to` is (its parent and name); `to` is unhashed, or with `exchange` moves
 * to where `from` was (then old_name is its new one). Consumes the names. Inode locks of both directories. */
void dcache_move(struct dentry *from, struct dentry *to, struct dentry_name *new_name,
		 struct dentry_name *old_name, bool exchange);
/* Forgets every entry of a superblock that nobody can reach any more. */
void dcache_forget(struct superblock *sb);
void dentry_set_mounted(struct dentry *d, bool on);

static inline struct inode *dentry_inode(const struct dentry *d)
{
	return atomic_load_explicit(&d->inode, memory_order_acquire);
}
static inline struct dentry *dentry_parent(const struct dentry *d)
{
	return atomic_load_explicit(&d->parent, memory_order_acquire);
}
static inline const struct dentry_name *dentry_name(const struct dentry *d)
{
	return atomic_load_explicit(&d->name, memory_order_acquire);
}
static inline bool dentry_hashed(const struct dentry *d)
{
	return atomic_load_explicit(&d->flags, memory_order_relaxed) & DENTRY_HASHED;
}

/* ---- walk.c ---- */

/* The directory in which the last name of a path is, and that name. */
struct parent_path {
	struct path path; /* referenced */
	const char *name; /* inside the string that was looked up, not ended */
	uint32_t length, hash;
	bool must_directory; /* slashes follow */
	enum { LAST_NAME, LAST_DOT, LAST_DOTDOT, LAST_ROOT } kind;
};
enum kerr vfs_lookup_parent(const struct path *dir, const char *name, struct parent_path *out);
/* The entry of one name, referenced, possibly negative; the directory's lock is held. */
enum kerr vfs_lookup_one(struct dentry *parent, const char *name, uint32_t length, uint32_t hash,
			 struct dentry **out);

/* ---- mount.c ---- */

extern struct mutex mount_lock;
/* Under rcu_read_lock. */
struct mount *mount_find(struct mount *parent, struct dentry *where);
/* KERR_ROFS if the mount is read-only. */
enum kerr mount_writable(const struct mount *m);
enum kerr mount_root(const struct filesystem *type, const char *options);

/* ---- context.c ---- */

struct fs_context {
	_Atomic uint32_t references;
	struct spinlock lock; /* for writing */
	_Atomic uint32_t sequence; /* odd: being written */
	struct path root, directory; /* (sequence) referenced */
	_Atomic uint32_t umask;
};
void context_init(const struct path *root);
/* Unreferenced copies, valid under rcu_read_lock. */
void context_root(struct path *out);
void context_directory(struct path *out);
struct process;
enum kerr context_of(struct process *p, struct path *root, struct path *directory,
		     uint32_t *umask); /* referenced; KERR_NOENT */

/* ---- file.c ---- */

enum kerr file_cache_init(void);
/* A file on a path; takes references of its own. The inode's open op is the caller's. */
enum kerr file_create_at(const struct path *p, int flags, struct file **out);
void file_free_unopened(struct file *f); /* of file_create_at, when open failed */

/* ---- fdtable.c ---- */

void fd_init(void);

/* ---- special files ---- */

enum kerr special_open(struct inode *i, struct file *f); /* devices, FIFOs; KERR_NXIO */
void special_release(struct inode *i);

/* ---- filesystem types ---- */

extern const struct filesystem rootfs_type, tmpfs_type, devtmpfs_type, proc_type, sysfs_type;
enum kerr devtmpfs_init(void);
enum kerr memory_devices_init(void);
enum kerr physical_device_init(void);
extern const struct file_ops cache_directory_ops; /* directories that live in the dentry cache */
