/*
 * fs/ on the host without exec/: the kernel as far as core and mm go, one process made by hand, the root
 * tmpfs, and helpers that make a test a table.
 */
#pragma once

#include "machine.h"

#include <exec/process.h>
#include <fs/file.h>

extern struct process fixture_process;

/* Boots, makes the current task of CPU 0 a thread of fixture_process, and starts the filesystem
 * record. Once in a process: the later runs of a property find the machine as the one before left
 * it. */
struct boot_info *fixture_boot(const struct host_config *config);
/* On another CPU: makes its task a thread of the process. */
void fixture_enter(cpu_t cpu);
void fixture_set_user(uint32_t uid, uint32_t gid);

/* Results as plain kerr, names relative to the current directory or absolute. */
enum kerr fx_mkdir(const char *name);
enum kerr fx_write(const char *name, const char *text);      /* creates, truncates */
enum kerr fx_write_at(const char *name, uint64_t offset, const void *data, size_t size);
enum kerr fx_read(const char *name, char *buf, size_t size); /* with an end mark */
enum kerr fx_read_at(const char *name, uint64_t offset, void *buf, size_t size, size_t *done);
enum kerr fx_stat(const char *name, struct inode_attributes *out); /* follows */
enum kerr fx_lstat(const char *name, struct inode_attributes *out);
enum kerr fx_unlink(const char *name);
enum kerr fx_rmdir(const char *name);
enum kerr fx_rename(const char *from, const char *to, unsigned flags);
enum kerr fx_link(const char *old, const char *name);
enum kerr fx_symlink(const char *target, const char *name);
enum kerr fx_chdir(const char *name);
enum kerr fx_chroot(const char *name);
enum kerr fx_chmod(const char *name, uint32_t mode);
enum kerr fx_truncate(const char *name, uint64_t size);
enum kerr fx_mount(const char *type, const char *where, const char *options);
enum kerr fx_unmount(const char *where);
/* Names of a directory in its order, one blank between them, without . and .. */
enum kerr fx_list(const char *name, char *buf, size_t size);
/* Kernel memory through an open file. */
enum kerr fx_put(struct file *f, const void *data, size_t size, size_t *done);
enum kerr fx_get(struct file *f, void *data, size_t size, size_t *done);
uint8_t fx_pattern(uint64_t position);
/* One side of a stream: CPU 0 writes `total` bytes of the pattern to w in pieces of any size, CPU 1
 * reads them from r and looks at each. */
void fx_stream(cpu_t cpu, struct file *w, struct file *r, uint64_t total);
/* Lets everything that waits for a grace period be freed. */
void fx_settle(void);
