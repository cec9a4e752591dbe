/* What the files of ipc/ share among themselves. */
#pragma once

#include <fs/file.h>

/* ---- anonymous.c ---- */

struct inode;
/* One inode for all files of a kind; ops->describe gives "anon_inode:[eventfd]". At init. */
void anonymous_inode_init(struct inode *i, const struct inode_ops *ops);
/* A file on it with its private pointer; `flags`: O_NONBLOCK. */
enum kerr anonymous_file_create(struct inode *i, const struct file_ops *ops, int flags,
				void *private, struct file **out);
/* lseek on them does nothing. */
enum kerr anonymous_seek(struct file *f, int64_t offset, int whence, uint64_t *out);

void eventfd_init(void);
void timerfd_init(void);
void signalfd_init(void);
void epoll_init(void);
