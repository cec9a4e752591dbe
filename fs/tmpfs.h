/* Filesystems that live in memory: tmpfs, and devtmpfs, which is one with a fixed superblock. */
#pragma once

#include "vfs_private.h"

#include <mm/object.h>

struct tmpfs {
	struct superblock sb;
	_Atomic uint64_t pages, inodes;         /* used */
	_Atomic uint64_t page_limit, inode_limit; /* 0: none */
};

struct directory_index;

struct tmpfs_directory { /* (inode lock), but link */
	uint64_t entries;
	struct directory_index *index; /* how the entries are kept */
	union {
		struct rb_tree tree;
		struct list list;
	};
	struct list link; /* (index_lock) among the directories of its index */
};

struct tmpfs_node {
	struct inode inode;
	union { /* of other nodes nothing of it is there */
		struct tmpfs_directory directory;
		struct vm_object object; /* of a regular file */
	};
};

static inline struct tmpfs *tmpfs_of(struct superblock *sb)
{
	return container_of(sb, struct tmpfs, sb);
}
static inline struct tmpfs_node *tmpfs_node(struct inode *i)
{
	return container_of(i, struct tmpfs_node, inode);
}

static inline struct tmpfs_directory *tmpfs_directory(struct inode *i)
{
	return &tmpfs_node(i)->directory;
}

void tmpfs_init(void);
enum kerr tmpfs_create(const struct filesystem *type, const char *options, struct tmpfs **out);
enum kerr tmpfs_mount(const struct filesystem *type, const char *source, const char *options,
		      struct superblock **out);
/* An inode of its own, charged; KERR_NOSPC. */
enum kerr tmpfs_inode_create(struct superblock *sb, const struct inode *dir, uint32_t mode,
			     uint64_t device, const char *target, struct inode **out);

/* data.c */
extern const struct vm_object_ops tmpfs_object_ops;
extern const struct file_ops tmpfs_file_ops;
enum kerr tmpfs_set_size(struct inode *i, uint64_t size);
void tmpfs_node_free(struct tmpfs_node *n);

/* index.c: the slot `tmpfs`. */
enum kerr tmpfs_slot_init(void);
/* The entries of a directory, by cookie. The directory's lock is held, but for begin and end. */
void directory_begin(struct tmpfs_directory *dir);
void directory_end(struct tmpfs_directory *dir); /* it is empty */
void directory_insert(struct tmpfs_directory *dir, struct dentry *d, uint64_t cookie);
void directory_remove(struct tmpfs_directory *dir, struct dentry *d);
/* The first entry with a cookie >= position; null: none. */
struct dentry *directory_at(struct tmpfs_directory *dir, uint64_t position);
