/* What the files of sysfs share. */
#pragma once

#include "procfs.h"

#define FILE_MODE (S_IFREG | 0444)
#define DIR_MODE (S_IFDIR | 0555)

extern const struct proc_entry sysfs_devices[]; /* devices.c: /sys/devices */
extern const struct proc_entry sysfs_mm[];      /* huge.c: /sys/kernel/mm */
extern const struct proc_entry sysfs_debug[];   /* debug.c: /sys/kernel/debug */

/* heap.c */
enum kerr debug_show_heap(struct text *t, const struct proc_subject *s);
enum kerr debug_write_heap(const char *text, size_t length, const struct proc_subject *s);
