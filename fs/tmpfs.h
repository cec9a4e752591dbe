/* Filesystems that live in memory: tmpfs, and devtmpfs, which is one with a fixed superblock. */
#pragma once

#include "vfs_private.h"

#include <mm/object.h>

struct tmpfs {
	struct superblock sb;
	_Atomic uint64_t pages, inodes;         /* used */
	_Atomic uint64_t page_limit, inode_limit; /* 0: none */
};

struct tmpfs_node {
	struct inode inode;
	uint64_t entries;         /* (inode lock) of a directory */
	struct vm_object object;  /* regular files only: the rest of the struct is not there */
};

static inline struct tmpfs *tmpfs_of(struct superblock *sb)
{
	return container_of(sb, struct tmpfs, sb);
}
static inline struct tmpfs_node *tmpfs_node(struct inode *i)
{
	return container_of(i, struct tmpfs_node, inode);
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
