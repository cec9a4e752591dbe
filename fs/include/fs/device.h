/* Character devices: numbers to ops, and their nodes in /dev. */
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
};

/* Makes the device known and its node; `d` stays. KERR_EXIST, KERR_NOMEM. */
enum kerr device_add(const struct device *d);
void device_remove(const struct device *d);
const struct device *device_find(uint64_t number);
/* Lists them in order of number, after `number`; null at the end. */
const struct device *device_next(uint64_t number);
/* A symlink below /dev. */
enum kerr device_link(const char *name, const char *target);

/* What opens FIFOs (set by ipc). */
void vfs_fifo_register(enum kerr (*open)(struct inode *i, struct file *f),
		       void (*release)(struct inode *i));
