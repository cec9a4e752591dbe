/* What the files of sysfs share. */
#pragma once

#include "procfs.h"

#define FILE_MODE (S_IFREG | 0444)
#define DIR_MODE (S_IFDIR | 0555)

extern const struct proc_entry sysfs_devices[]; /* devices.c: /sys/devices */
extern const struct proc_entry sysfs_debug[];   /* debug.c: /sys/kernel/debug */
extern const struct proc_entry sysfs_sched[];   /* sched.c: /sys/kernel/sched */
