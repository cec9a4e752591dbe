/* Devices: numbers to ops, and their nodes in /dev. */
#pragma once

#include <fs/file.h>

struct device {
	const char *name;  /* below /dev: "null", "pts/0" */
	uint64_t number;
	uint32_t mode;     /* permission bits of the node */
	/* Sets f->ops, f->stream, f->private; null: f->ops = ops, a stream. */
	enum kerr (*open)(const struct device *d, struct file *f);
	const struct file_ops *ops;
	const char *driver; /* for /proc/devices */
	struct module *
		owner; /* the module that all this lies in; an open file keeps it. Null: the kernel */
	bool block; /* a block device; numbers are apart from those of the others */
};

/* Makes the device known and its node; `d` stays. KERR_EXIST, KERR_NOMEM. */
enum kerr device_add(const struct device *d);
/* No open of it begins afterwards but those that its owner knows of; files that are open stay. */
void device_remove(const struct device *d);
/* The next number behind `after`, and its driver's name; false: no more. */
bool device_next(bool block, uint64_t after, uint64_t *number, char driver[32]);
/* A symlink below /dev. */
enum kerr device_link(const char *name, const char *target);

/* What opens FIFOs (set by ipc). */
void vfs_fifo_register(enum kerr (*open)(struct inode *i, struct file *f),
		       void (*release)(struct inode *i));
