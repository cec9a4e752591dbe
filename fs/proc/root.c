/*
 * /proc: the files about the whole system. Formats are Linux's (proc(5)), figures are true; a field that has no
 * meaning here is 0.
 */
#include "procfs.h"

#include <core/cmdline.h>
#include <core/cpu.h>
#include <core/log.h>
#include <core/time.h>
#include <core/version.h>
#include <fs/device.h>
#include <fs/poll.h>
#include <fs/proc.h>
#include <lib/format.h>

static enum kerr show_version(struct text *t, const struct proc_subject *s)
{
	text_print(t, "Linux version " TERN_RELEASE " (tern) (clang) " TERN_VERSION "\n");
	return KERR_OK;
}

static enum kerr show_uptime(struct text *t, const struct proc_subject *s)
{
	nsec_t idle = 0, now = time_now();

	for (cpu_t c = 0; c < cpu_count; c++) {
		struct cpu_times times;
		exec_cpu_times(c, &times);
		idle += times.idle;
	}
	text_print(t, "%lu.%02lu %lu.%02lu\n", proc_ticks(now) / 100, proc_ticks(now) % 100,
		   proc_ticks(idle) / 100, proc_ticks(idle) % 100);
	return KERR_OK;
}

static enum kerr show_loadavg(struct text *t, const struct proc_subject *s)
{
	struct exec_figures f;

	exec_figures(&f);
	for (int i = 0; i < 3; i++) {
		unsigned long hundredths = (unsigned long)((f.load[i] * 100 + 1024) / 2048);
		text_print(t, "%lu.%02lu ", hundredths / 100, hundredths % 100);
	}
	text_print(t, "%u/%u %d\n", f.running, f.threads, f.last_pid);
	return KERR_OK;
}

static enum kerr show_cpuinfo(struct text *t, const struct proc_subject *s)
{
	char buf[2048];

	for (cpu_t c = 0; c < cpu_count; c++) {
		if (!(cpu_online() & cpu_bit(c)))
			continue;
		size_t n = hal.cpu.describe(c, buf, sizeof(buf));
		text_print(t, "processor\t: %u\n", c);
		text_add(t, buf, MIN(n, sizeof(buf) - 1));
		text_print(t, "\n");
	}
	return KERR_OK;
}

static void print_cpu_times(struct text *t, const char *name, const struct cpu_times *c)
{
	text_print(t, "%s %lu 0 %lu %lu 0 0 0 0 0 0\n", name, proc_ticks(c->user),
		   proc_ticks(c->system), proc_ticks(c->idle));
}

static enum kerr show_stat(struct text *t, const struct proc_subject *s)
{
	struct exec_figures f;
	struct cpu_times each[CPU_MAX], all = {};
	char name[16];

	exec_figures(&f);
	for (cpu_t c = 0; c < cpu_count; c++) {
		exec_cpu_times(c, &each[c]);
		all.user += each[c].user;
		all.system += each[c].system;
		all.idle += each[c].idle;
	}
	print_cpu_times(t, "cpu ", &all);
	for (cpu_t c = 0; c < cpu_count; c++) {
		format(name, sizeof(name), "cpu%u", c);
		print_cpu_times(t, name, &each[c]);
	}
	text_print(
		t,
		"intr 0\nctxt %lu\nbtime %lu\nprocesses %lu\nprocs_running %u\nprocs_blocked 0\n",
		(unsigned long)f.context_switches,
		(unsigned long)((time_wall() - time_now()) / NSEC_PER_SEC), (unsigned long)f.forks,
		f.running);
	return KERR_OK;
}

static enum kerr show_filesystems(struct text *t, const struct proc_subject *s)
{
	const struct filesystem *type;

	for (size_t i = 0; i < FILESYSTEMS_MAX; i++)
		if ((type = filesystem_get(i)))
			text_print(t, "nodev\t%s\n", type->name);
	return KERR_OK;
}

static enum kerr show_cmdline(struct text *t, const struct proc_subject *s)
{
	text_print(t, "%s\n", cmdline());
	return KERR_OK;
}

static void show_majors(struct text *t, bool block)
{
	uint64_t number = 0;
	uint32_t last = UINT32_MAX;
	char driver[32];

	while (device_next(block, number, &number, driver)) {
		if (device_major(number) != last)
			text_print(t, "%3u %s\n", device_major(number), driver);
		last = device_major(number);
	}
}

static enum kerr show_devices(struct text *t, const struct proc_subject *s)
{
	text_print(t, "Character devices:\n");
	show_majors(t, false);
	text_print(t, "\nBlock devices:\n");
	show_majors(t, true);
	return KERR_OK;
}

enum kerr proc_show_mounts(struct text *t, const struct proc_subject *s)
{
	struct mount_info m;

	for (size_t i = 0; mount_info_get(i, &m); i++) {
		text_escaped(t, m.source);
		text_print(t, " ");
		text_escaped(t, m.where);
		text_print(t, " %s %s 0 0\n", m.type, m.options);
	}
	return KERR_OK;
}

/* ---- /proc/kmsg: the log, a record a read --------------------------------------------- */

static enum kerr kmsg_read(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	uint64_t *sequence = (uint64_t *)&f->private;
	char record[512];

	*done = 0;
	size_t n = log_read(sequence, record, sizeof(record), true);
	if (n == 0)
		return file_nonblocking(f) ? KERR_AGAIN : KERR_OK;
	*done = io_to_buffer(b, 0, record, MIN(n, b->size));
	return *done ? KERR_OK : KERR_FAULT;
}

static const struct file_ops kmsg_file_ops = {.read = kmsg_read};

/* ---- The table --------------------------------------------------------------------------------- */

static enum kerr link_self(const struct proc_subject *s, char *buf, size_t size, size_t *length)
{
	*length = (size_t)format(buf, size, "%d", current_process()->pid);
	return KERR_OK;
}

static enum kerr link_thread_self(const struct proc_subject *s, char *buf, size_t size,
				  size_t *length)
{
	*length = (size_t)format(buf, size, "%d/task/%d", current_process()->pid,
				 current_thread()->tid);
	return KERR_OK;
}

static enum kerr link_mounts(const struct proc_subject *s, char *buf, size_t size, size_t *length)
{
	*length = strlcpy(buf, "self/mounts", size);
	return KERR_OK;
}

static enum kerr link_net(const struct proc_subject *s, char *buf, size_t size, size_t *length)
{
	*length = strlcpy(buf, "self/net", size);
	return KERR_OK;
}

#define FILE_MODE (S_IFREG | 0444)
#define LINK_MODE (S_IFLNK | 0777)

static const struct proc_entry entries[] = {
	{.name = "buddyinfo", .mode = FILE_MODE, .show = proc_show_buddyinfo},
	{.name = "cmdline", .mode = FILE_MODE, .show = show_cmdline},
	{.name = "cpuinfo", .mode = FILE_MODE, .show = show_cpuinfo},
	{.name = "devices", .mode = FILE_MODE, .show = show_devices},
	{.name = "filesystems", .mode = FILE_MODE, .show = show_filesystems},
	{.name = "iomem", .mode = FILE_MODE, .show = proc_show_iomem},
	{.name = "kallsyms", .mode = FILE_MODE, .show = proc_show_kallsyms},
	{.name = "kmsg", .mode = S_IFREG | 0400, .file_ops = &kmsg_file_ops},
	{.name = "loadavg", .mode = FILE_MODE, .show = show_loadavg},
	{.name = "meminfo", .mode = FILE_MODE, .show = proc_show_meminfo},
	{.name = "modules", .mode = FILE_MODE, .show = proc_show_modules},
	{.name = "mounts", .mode = LINK_MODE, .link = link_mounts},
	{.name = "net", .mode = LINK_MODE, .link = link_net},
	{.name = "self", .mode = LINK_MODE, .link = link_self},
	{.name = "stat", .mode = FILE_MODE, .show = show_stat},
	{.name = "sys", .mode = S_IFDIR | 0555, .children = proc_sys},
	{.name = "tern", .mode = S_IFDIR | 0555, .children = proc_tern},
	{.name = "thread-self", .mode = LINK_MODE, .link = link_thread_self},
	{.name = "uptime", .mode = FILE_MODE, .show = show_uptime},
	{.name = "version", .mode = FILE_MODE, .show = show_version},
	{.name = "vmstat", .mode = FILE_MODE, .show = proc_show_vmstat},
	{.name = "zoneinfo", .mode = FILE_MODE, .show = proc_show_zoneinfo},
	{},
};

static const struct proc_entry each_process = {
	.name = "PID",
	.mode = S_IFDIR | 0555,
	.children = proc_process,
};

const struct proc_entry proc_root[] = {{
	.name = "",
	.mode = S_IFDIR | 0555,
	.children = entries,
	.find = proc_pid_find,
	.next = proc_pid_next,
	.each = &each_process,
}};

static enum kerr proc_mount(const struct filesystem *type, const char *source, const char *options,
			    struct superblock **out)
{
	return proc_tree_mount(type, proc_root, out);
}

const struct filesystem proc_type = {.name = "proc", .magic = 0x9fa0, .mount = proc_mount};
