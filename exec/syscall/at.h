/* The *at() calls: where a path starts, and what AT_* flags mean. */
#pragma once

#include "gate.h"
#include <fs/file.h>

#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_EACCESS 0x200
#define AT_REMOVEDIR 0x200
#define AT_SYMLINK_FOLLOW 0x400
#define AT_NO_AUTOMOUNT 0x800
#define AT_EMPTY_PATH 0x1000
#define AT_STATX_SYNC_TYPE 0x6000

/* The directory of a descriptor. */
struct at_directory {
	const struct path *path; /* null: the current directory, or not needed (absolute name) */
	struct file *file;       /* referenced, or null */
};
/* KERR_BADF, KERR_NOTDIR (name relative, descriptor no directory). at_end() after success. */
enum kerr at_begin(int dirfd, const char *name, struct at_directory *out);
void at_end(struct at_directory *d);

/* A path argument, copied and looked up: path_put() the result. `flags`: AT_SYMLINK_NOFOLLOW
 * (others are the caller's business), AT_EMPTY_PATH. */
enum kerr at_lookup(int dirfd, vaddr_t user_path, int flags, struct path *out);
enum kerr at_open_program(int dirfd, const char *name, int flags, struct file **out);
