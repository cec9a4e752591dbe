/* What the files of sysfs share. */
#pragma once

#include "procfs.h"

#define FILE_MODE (S_IFREG | 0444)
#define DIR_MODE (S_IFDIR | 0555)

/* heal.c */
enum kerr sysfs_show_heal(struct text *t, const struct proc_subject *s);
enum kerr sysfs_write_heal(const char *text, size_t length, const struct proc_subject *s);

/* slots.c */
enum kerr sysfs_show_slots(struct text *t, const struct proc_subject *s);
enum kerr sysfs_write_slots(const char *text, size_t length, const struct proc_subject *s);

/* slots.c: the next word of *at, which moves on; false: none, or too long */
bool sysfs_word(const char **at, char *out, size_t size);

extern const struct proc_entry sysfs_devices[]; /* devices.c: /sys/devices */
extern const struct proc_entry sysfs_mm[];      /* huge.c: /sys/kernel/mm */
extern const struct proc_entry sysfs_debug[];   /* debug.c: /sys/kernel/debug */

extern const struct proc_entry sysfs_mempolicy[]; /* mempolicy.c: /sys/kernel/mm/mempolicy */

/* devices.c: directories with an entry "nodeN" for each node */
bool sysfs_node_find(const char *name, const struct proc_subject *s, struct proc_subject *out);
bool sysfs_node_next(const struct proc_subject *s, int *after, char name[16]);

/* heap.c */
enum kerr debug_show_heap(struct text *t, const struct proc_subject *s);
enum kerr debug_write_heap(const char *text, size_t length, const struct proc_subject *s);

extern const struct proc_entry sysfs_security[]; /* security.c: /sys/kernel/security */
extern const struct proc_entry sysfs_sched[];   /* sched.c: /sys/kernel/sched */
