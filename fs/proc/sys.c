/*
 * /proc/sys, the few settings that programs ask for; /proc/tern, the kernel's own. And the host name,
 * which uname(2) and /proc/sys share.
 */
#include "procfs.h"

#include <core/init.h>
#include <core/log.h>
#include <core/random.h>
#include <core/spinlock.h>
#include <core/version.h>
#include <exec/exec.h>
#include <exec/watchdog.h>
#include <fs/proc.h>
#include <lib/format.h>
#include <mm/commit.h>
#include <mm/huge.h>

#define NODE_NAME_SIZE 65

static struct spinlock names_lock = SPINLOCK_INIT(RANK_FILES, "host name");
static char host_name[NODE_NAME_SIZE] = "tern";        /* (names_lock) */
static char domain_name[NODE_NAME_SIZE] = "(none)";    /* (names_lock) */
static _Atomic int exit_status;

static void name_get(const char *name, char buf[NODE_NAME_SIZE])
{
	spin_lock(&names_lock);
	memcpy(buf, name, NODE_NAME_SIZE);
	spin_unlock(&names_lock);
}

static void name_set(char *name, const char *text, size_t length)
{
	length = MIN(length, (size_t)NODE_NAME_SIZE - 1);
	spin_lock(&names_lock);
	memset(name, 0, NODE_NAME_SIZE);
	memcpy(name, text, length);
	spin_unlock(&names_lock);
}

void host_name_get(char buf[NODE_NAME_SIZE])
{
	name_get(host_name, buf);
}

void host_name_set(const char *name, size_t length)
{
	name_set(host_name, name, length);
}

void domain_name_get(char buf[NODE_NAME_SIZE])
{
	name_get(domain_name, buf);
}

void domain_name_set(const char *name, size_t length)
{
	name_set(domain_name, name, length);
}

int proc_exit_status(void)
{
	return atomic_load(&exit_status);
}

/* ---- /proc/sys/kernel --------------------------------------------------------------------------- */

static size_t line_length(const char *text, size_t length)
{
	const char *end = memchr(text, '\n', length);

	return end ? (size_t)(end - text) : length;
}

static enum kerr show_host_name(struct text *t, const struct proc_subject *s)
{
	char name[NODE_NAME_SIZE];

	host_name_get(name);
	text_print(t, "%s\n", name);
	return KERR_OK;
}

static enum kerr write_host_name(const char *text, size_t length, const struct proc_subject *s)
{
	host_name_set(text, line_length(text, length));
	return KERR_OK;
}

static enum kerr show_domain_name(struct text *t, const struct proc_subject *s)
{
	char name[NODE_NAME_SIZE];

	domain_name_get(name);
	text_print(t, "%s\n", name);
	return KERR_OK;
}

static enum kerr write_domain_name(const char *text, size_t length, const struct proc_subject *s)
{
	domain_name_set(text, line_length(text, length));
	return KERR_OK;
}

static enum kerr show_ostype(struct text *t, const struct proc_subject *s)
{
	text_print(t, "Linux\n");
	return KERR_OK;
}

static enum kerr show_osrelease(struct text *t, const struct proc_subject *s)
{
	text_print(t, TERN_RELEASE "\n");
	return KERR_OK;
}

static enum kerr show_version(struct text *t, const struct proc_subject *s)
{
	text_print(t, TERN_VERSION "\n");
	return KERR_OK;
}

static enum kerr show_pid_max(struct text *t, const struct proc_subject *s)
{
	text_print(t, "%d\n", PID_MAX);
	return KERR_OK;
}

static enum kerr show_uuid(struct text *t, const struct proc_subject *s)
{
	uint8_t b[16];

	random_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 9562: version 4, variant 10 */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	for (unsigned i = 0; i < sizeof(b); i++)
		text_print(t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
	text_print(t, "\n");
	return KERR_OK;
}

/* ---- /proc/sys/vm ------------------------------------------------------------------------------- */

/* A number and nothing else but blanks around it. */
static enum kerr parse_setting(const char *text, size_t length, uint64_t *out)
{
	char line[24];
	const char *end;

	if (!text_line(text, length, line, sizeof(line)))
		return KERR_INVAL;
	*out = str_to_u64(line, &end, 10);
	return *end || end == line ? KERR_INVAL : KERR_OK;
}

/* A second value beside it stays: which of the two is `hung`. */
static enum kerr write_watchdog(const char *text, size_t length, bool hung)
{
	struct watchdog_settings w;
	uint64_t value;
	enum kerr err = parse_setting(text, length, &value);

	if (err != KERR_OK || value > WATCHDOG_SECONDS_MAX)
		return KERR_INVAL;
	watchdog_settings(&w);
	*(hung ? &w.hung_timeout : &w.thresh) = (uint32_t)value;
	return watchdog_configure(&w);
}

static enum kerr show_watchdog_thresh(struct text *t, const struct proc_subject *s)
{
	struct watchdog_settings w;

	watchdog_settings(&w);
	text_print(t, "%u\n", w.thresh);
	return KERR_OK;
}

static enum kerr write_watchdog_thresh(const char *text, size_t length,
				       const struct proc_subject *s)
{
	return write_watchdog(text, length, false);
}

static enum kerr show_hung_timeout(struct text *t, const struct proc_subject *s)
{
	struct watchdog_settings w;

	watchdog_settings(&w);
	text_print(t, "%u\n", w.hung_timeout);
	return KERR_OK;
}

static enum kerr write_hung_timeout(const char *text, size_t length, const struct proc_subject *s)
{
	return write_watchdog(text, length, true);
}

static enum kerr show_hugepages(struct text *t, const struct proc_subject *s)
{
	struct hugepool_stats p;

	hugepool_stats(&p);
	text_print(t, "%lu\n", (unsigned long)(p.total - p.surplus));
	return KERR_OK;
}

static enum kerr write_hugepages(const char *text, size_t length, const struct proc_subject *s)
{
	uint64_t value;
	enum kerr err = parse_setting(text, length, &value);

	if (err == KERR_OK)
		hugepool_resize(value);
	return err;
}

static enum kerr show_overcommit_hugepages(struct text *t, const struct proc_subject *s)
{
	struct hugepool_stats p;

	hugepool_stats(&p);
	text_print(t, "%lu\n", (unsigned long)p.overcommit);
	return KERR_OK;
}

static enum kerr write_overcommit_hugepages(const char *text, size_t length,
					    const struct proc_subject *s)
{
	uint64_t value;
	enum kerr err = parse_setting(text, length, &value);

	if (err == KERR_OK)
		hugepool_set_overcommit(value);
	return err;
}

static enum kerr show_overcommit_memory(struct text *t, const struct proc_subject *s)
{
	struct commit_settings c;

	commit_settings(&c);
	text_print(t, "%u\n", (unsigned)c.mode);
	return KERR_OK;
}

static enum kerr write_overcommit_memory(const char *text, size_t length,
					 const struct proc_subject *s)
{
	struct commit_settings c;
	uint64_t value;
	enum kerr err = parse_setting(text, length, &value);

	if (err != KERR_OK || value > OVERCOMMIT_NEVER)
		return KERR_INVAL;
	commit_settings(&c);
	c.mode = (enum overcommit_mode)value;
	return commit_configure(&c);
}

static enum kerr show_overcommit_ratio(struct text *t, const struct proc_subject *s)
{
	struct commit_settings c;

	commit_settings(&c);
	text_print(t, "%lu\n", (unsigned long)c.ratio);
	return KERR_OK;
}

static enum kerr write_overcommit_ratio(const char *text, size_t length,
					const struct proc_subject *s)
{
	struct commit_settings c;
	uint64_t value;
	enum kerr err = parse_setting(text, length, &value);

	if (err != KERR_OK || value > INT32_MAX)
		return KERR_INVAL;
	commit_settings(&c);
	c.ratio = value;
	c.kib = 0; /* the one written last counts */
	return commit_configure(&c);
}

static enum kerr show_overcommit_kbytes(struct text *t, const struct proc_subject *s)
{
	struct commit_settings c;

	commit_settings(&c);
	text_print(t, "%lu\n", (unsigned long)c.kib);
	return KERR_OK;
}

static enum kerr write_overcommit_kbytes(const char *text, size_t length,
					 const struct proc_subject *s)
{
	struct commit_settings c;
	uint64_t value;
	enum kerr err = parse_setting(text, length, &value);

	if (err != KERR_OK)
		return err;
	commit_settings(&c);
	c.kib = value;
	if (value)
		c.ratio = 0;
	return commit_configure(&c);
}

static enum kerr show_randomize(struct text *t, const struct proc_subject *s)
{
	text_print(t, "%u\n", atomic_load_explicit(&exec_randomize, memory_order_relaxed));
	return KERR_OK;
}

static enum kerr write_randomize(const char *text, size_t length, const struct proc_subject *s)
{
	uint64_t value;
	enum kerr err = parse_setting(text, length, &value);

	if (err != KERR_OK || value > 2)
		return KERR_INVAL;
	atomic_store_explicit(&exec_randomize, (unsigned)value, memory_order_relaxed);
	return KERR_OK;
}

#define FILE_MODE (S_IFREG | 0444)
#define SETTING_MODE (S_IFREG | 0644)
#define DIR_MODE (S_IFDIR | 0555)

static const struct proc_entry sys_random[] = {
	{.name = "uuid", .mode = FILE_MODE, .show = show_uuid},
	{},
};

static const struct proc_entry sys_kernel[] = {
	{.name = "domainname",
	 .mode = SETTING_MODE,
	 .show = show_domain_name,
	 .write = write_domain_name},
	{.name = "hostname",
	 .mode = SETTING_MODE,
	 .show = show_host_name,
	 .write = write_host_name},
	{.name = "hung_task_timeout_secs",
	 .mode = SETTING_MODE,
	 .show = show_hung_timeout,
	 .write = write_hung_timeout},
	{.name = "osrelease", .mode = FILE_MODE, .show = show_osrelease},
	{.name = "ostype", .mode = FILE_MODE, .show = show_ostype},
	{.name = "pid_max", .mode = FILE_MODE, .show = show_pid_max},
	{.name = "random", .mode = DIR_MODE, .children = sys_random},
	{.name = "randomize_va_space",
	 .mode = SETTING_MODE,
	 .show = show_randomize,
	 .write = write_randomize},
	{.name = "version", .mode = FILE_MODE, .show = show_version},
	{.name = "watchdog_thresh",
	 .mode = SETTING_MODE,
	 .show = show_watchdog_thresh,
	 .write = write_watchdog_thresh},
	{},
};

static const struct proc_entry sys_vm[] = {
	{.name = "nr_hugepages",
	 .mode = SETTING_MODE,
	 .show = show_hugepages,
	 .write = write_hugepages},
	{.name = "nr_overcommit_hugepages",
	 .mode = SETTING_MODE,
	 .show = show_overcommit_hugepages,
	 .write = write_overcommit_hugepages},
	{.name = "overcommit_kbytes",
	 .mode = SETTING_MODE,
	 .show = show_overcommit_kbytes,
	 .write = write_overcommit_kbytes},
	{.name = "overcommit_memory",
	 .mode = SETTING_MODE,
	 .show = show_overcommit_memory,
	 .write = write_overcommit_memory},
	{.name = "overcommit_ratio",
	 .mode = SETTING_MODE,
	 .show = show_overcommit_ratio,
	 .write = write_overcommit_ratio},
	{},
};

const struct proc_entry proc_sys[] = {
	{.name = "kernel", .mode = DIR_MODE, .children = sys_kernel},
	{.name = "vm", .mode = DIR_MODE, .children = sys_vm},
	{},
};

/* ---- /proc/tern ---------------------------------------------------------------------------------- */

static enum kerr show_unimplemented(struct text *t, const struct proc_subject *s)
{
	struct missing_call m;

	for (size_t i = 0; missing_call_get(i, &m); i++)
		text_print(t, "%lu %s %lu %d\n", m.number, m.name ? m.name : "?",
			   (unsigned long)m.count, m.last_pid);
	return KERR_OK;
}

/* In the benchmarks' own form, so that ./tern bench reads it like theirs. */
static enum kerr show_boot(struct text *t, const struct proc_subject *s)
{
	text_print(t, "bench boot %lu ns\n",
		   (unsigned long)(boot_time_user() - boot_time_entered()));
	return KERR_OK;
}

static enum kerr show_exit_status(struct text *t, const struct proc_subject *s)
{
	text_print(t, "%d\n", proc_exit_status());
	return KERR_OK;
}

static enum kerr write_exit_status(const char *text, size_t length, const struct proc_subject *s)
{
	const char *end;
	uint64_t status = str_to_u64(text, &end, 10);

	if (end == text || status > 255)
		return KERR_INVAL;
	atomic_store(&exit_status, (int)status);
	return KERR_OK;
}

/* What the watchdogs have reported so far. */
static enum kerr show_watchdog(struct text *t, const struct proc_subject *s)
{
	struct watchdog_figures f;

	watchdog_figures(&f);
	text_print(t, "soft_lockups %lu\nhard_lockups %lu\nhung_tasks %lu\n",
		   (unsigned long)f.soft_lockups, (unsigned long)f.hard_lockups,
		   (unsigned long)f.hung_tasks);
	return KERR_OK;
}

const struct proc_entry proc_tern[] = {
	{.name = "boot", .mode = FILE_MODE, .show = show_boot},
	{.name = "exit-status",
	 .mode = S_IFREG | 0600,
	 .show = show_exit_status,
	 .write = write_exit_status},
	{.name = "unimplemented", .mode = FILE_MODE, .show = show_unimplemented},
	{.name = "watchdog", .mode = FILE_MODE, .show = show_watchdog},
	{},
};
