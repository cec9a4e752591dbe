/*
 * /sys: what the kernel is made of and runs on. Tables like those of /proc, on the same tree
 * (proc/tree.c); here is the filesystem and /sys/kernel.
 */
#include "sysfs.h"

#include <core/init.h>

static enum kerr show_init(struct text *t, const struct proc_subject *s)
{
	static const char *const phases[] = {"boot", "early", "core", "late", "runtime"};
	const struct init_record *r;

	text_print(t, "%-5s %-8s %-14s %-12s %12s %10s\n", "order", "phase", "subsystem", "state",
		   "started (us)", "took (us)");
	for (size_t i = 0; (r = init_get(i)); i++)
		text_print(t, "%-5u %-8s %-14s %-12s %12lu %10lu\n", r->status->order,
			   phases[r->phase], r->name, init_state_name(r->status->state),
			   (unsigned long)(r->status->started / NSEC_PER_USEC),
			   (unsigned long)(r->status->took / NSEC_PER_USEC));
	return KERR_OK;
}

/* The graph in the DOT language: who waits for whom. */
static enum kerr show_init_graph(struct text *t, const struct proc_subject *s)
{
	const struct init_record *r;

	text_print(t, "digraph init {\n");
	for (size_t i = 0; (r = init_get(i)); i++) {
		text_print(t, "\t\"%s\";\n", r->name);
		for (const char *const *d = r->depends; d && *d; d++)
			text_print(t, "\t\"%s\" -> \"%s\";\n", *d, r->name);
	}
	text_print(t, "}\n");
	return KERR_OK;
}

static const struct proc_entry sysfs_kernel[] = {
	{.name = "debug", .mode = DIR_MODE, .children = sysfs_debug},
	{.name = "heal",
	 .mode = S_IFREG | 0644,
	 .show = sysfs_show_heal,
	 .write = sysfs_write_heal,
	 .write_checks = true},
	{.name = "init", .mode = FILE_MODE, .show = show_init},
	{.name = "init.dot", .mode = FILE_MODE, .show = show_init_graph},
	{.name = "sched", .mode = DIR_MODE, .children = sysfs_sched},
	{.name = "security", .mode = DIR_MODE, .children = sysfs_security},
	{.name = "slots",
	 .mode = S_IFREG | 0644,
	 .show = sysfs_show_slots,
	 .write = sysfs_write_slots,
	 .write_checks = true},
	{.name = "mm", .mode = DIR_MODE, .children = sysfs_mm},
	{},
};

static const struct proc_entry sysfs_entries[] = {
	{.name = "devices", .mode = DIR_MODE, .children = sysfs_devices},
	{.name = "kernel", .mode = DIR_MODE, .children = sysfs_kernel},
	{.name = "module",
	 .mode = DIR_MODE,
	 .find = proc_module_find,
	 .next = proc_module_next,
	 .each = &proc_each_module},
	{},
};

static const struct proc_entry sysfs_root[] = {
	{.name = "", .mode = DIR_MODE, .children = sysfs_entries}};

static enum kerr sysfs_mount(const struct filesystem *type, const char *source, const char *options,
			     struct superblock **out)
{
	return proc_tree_mount(type, sysfs_root, out);
}

const struct filesystem sysfs_type = {.name = "sysfs", .magic = 0x62656572, .mount = sysfs_mount};
