/* Advisory locks on files: flock(2), and fcntl(2) record locks of processes and of open files. */
#pragma once

#include <fs/file.h>

enum file_lock_kind {
	FILE_LOCK_WHOLE,   /* flock: belongs to the open file; knows no ranges */
	FILE_LOCK_PROCESS, /* belongs to the descriptor table; gone when it closes any descriptor of the file */
	FILE_LOCK_OPEN, /* belongs to the open file */
};

enum file_lock_type { FILE_LOCK_READ, FILE_LOCK_WRITE, FILE_LOCK_NONE };

struct file_lock_range {
	enum file_lock_type type; /* NONE: unlock; from a query: nobody is in the way */
	uint64_t first, last; /* both included; last INT64_MAX: to the end, wherever it is */
	int pid; /* from a query: whose; -1: an open file's */
};

/* Locks, changes or unlocks. KERR_AGAIN: somebody is in the way and `wait` is not set; KERR_DEADLOCK;
 * KERR_RESTART: a signal; KERR_NOMEM. May sleep. */
enum kerr file_lock(struct file *f, enum file_lock_kind kind, const struct file_lock_range *range,
		    bool wait);
/* Turns *range into the first lock that would be in its way. */
void file_lock_query(struct file *f, enum file_lock_kind kind, struct file_lock_range *range);
