/*
 * What the files of procfs and sysfs share: a text that grows, and tables of entries.
 */
#pragma once

#include "vfs_private.h"

#include <exec/process.h>
#include <fs/proc.h>

/* ---- text.c: a file's contents while they are made ---- */

struct text {
	char *bytes;     /* on the heap */
	size_t length, capacity;
	bool no_memory;
};

void text_free(struct text *t);
/* A name in which blanks and backslashes are written \040 (/proc/mounts). */
void text_escaped(struct text *t, const char *name);
/* What was written to a file, without blanks and newlines at its end. False: nothing, or too long. */
bool text_line(const char *text, size_t length, char *line, size_t size);

/* ---- tree.c: the filesystem ---- */

struct proc_subject { /* what a /proc/PID file is about; pid 0: the whole system */
	int pid, tid, fd;
	int number; /* of a node or a parameter, in /sys */
	int module; /* id of a loaded module; 0: none */
};

#define PROC_NAME_SIZE 64 /* of what comes and goes, with end mark */

struct proc_entry {
	const char *name;
	uint32_t mode; /* with S_IF*; 0 ends a table */
	/* A file's text. KERR_SRCH: the process has gone. */
	enum kerr (*show)(struct text *t, const struct proc_subject *s);
	enum kerr (*write)(const char *text, size_t length, const struct proc_subject *s);
	bool write_checks; /* write asks for a capability of its own; else, of the system's files, configure_kernel */
	const struct proc_entry *children; /* of a directory */
	/* Of a directory with entries that come and go, besides `children`: the subject that `name`
	 * means, and the next name (at most PROC_NAME_SIZE) behind *after. */
	bool (*find)(const char *name, const struct proc_subject *s, struct proc_subject *out);
	bool (*next)(const struct proc_subject *s, int *after, char *name);
	const struct proc_entry *each; /* what such an entry is */
	enum kerr (*link)(const struct proc_subject *s, char *buf, size_t size, size_t *length);
	enum kerr (*follow)(const struct proc_subject *s, struct path *out);
	const struct file_ops *file_ops; /* instead of show and write */
};

enum kerr proc_tree_mount(const struct filesystem *type, const struct proc_entry *root,
			  struct superblock **out);

/* ---- the tables ---- */

extern const struct proc_entry proc_root[];
extern const struct proc_entry proc_process[]; /* process.c: /proc/PID */
extern const struct proc_entry proc_tern[]; /* tern.c: /proc/tern */
extern struct proc_entry proc_net[]; /* net.c: /proc/net */
extern const struct proc_entry proc_sys[]; /* sys.c: /proc/sys */
bool proc_pid_find(const char *name, const struct proc_subject *s, struct proc_subject *out);
bool proc_pid_next(const struct proc_subject *s, int *after, char name[16]);
enum kerr proc_show_mounts(struct text *t, const struct proc_subject *s);

/* intent.c */
enum kerr proc_show_intent(struct text *t, const struct proc_subject *s);
enum kerr proc_write_intent(const char *text, size_t length, const struct proc_subject *s);
void proc_print_dis(struct text *t, const struct proc_subject *s);

/* modules.c */
enum kerr proc_show_modules(struct text *t, const struct proc_subject *s);
enum kerr proc_show_kallsyms(struct text *t, const struct proc_subject *s);
extern const struct proc_entry proc_each_module; /* /sys/module/NAME */
bool proc_module_find(const char *name, const struct proc_subject *s, struct proc_subject *out);
bool proc_module_next(const struct proc_subject *s, int *after, char *name);

/* memory.c */
enum kerr proc_show_meminfo(struct text *t, const struct proc_subject *s);
enum kerr proc_show_vmstat(struct text *t, const struct proc_subject *s);
/* Their lines about huge pages and translation caches. (proc/huge.c) */
void proc_print_huge_meminfo(struct text *t);
void proc_print_huge_vmstat(struct text *t);
enum kerr proc_show_iomem(struct text *t, const struct proc_subject *s);
enum kerr proc_show_zoneinfo(struct text *t, const struct proc_subject *s);
enum kerr proc_show_buddyinfo(struct text *t, const struct proc_subject *s);
/* process_memory.c */
/* The address space of `s`, referenced; null: it has none. SRCH; ACCESS: the caller may not look. */
enum kerr proc_subject_aspace(const struct proc_subject *s, struct aspace **out);
enum kerr proc_show_maps(struct text *t, const struct proc_subject *s);
enum kerr proc_show_smaps(struct text *t, const struct proc_subject *s);
enum kerr proc_show_smaps_rollup(struct text *t, const struct proc_subject *s);
enum kerr proc_show_statm(struct text *t, const struct proc_subject *s);
/* What /proc/PID/maps calls a region, perhaps in `buf` (PATH_SIZE bytes); null: it has no name. */
const char *proc_region_name(const struct region_info *r, char *buf);
/* numa.c */
enum kerr proc_show_numa_maps(struct text *t, const struct proc_subject *s);
void proc_print_list(struct text *t, uint64_t set); /* "0-2,4": the numbers of the bits */
void proc_print_allowed(struct text *t, uint64_t cpus); /* lines of /proc/PID/status */

#define TICKS_PER_SECOND 100ull
static inline unsigned long proc_ticks(nsec_t t)
{
	return (unsigned long)(t / (NSEC_PER_SEC / TICKS_PER_SECOND));
}
