/*
 * /sys/kernel/security:
 *
 *	domains       a line each: what it is, limits, its processes, refusals
 *	capabilities  number, name, what Linux calls it (a mask; 0: everybody has it), refusals since the boot
 *	audit         1: refusals are logged. Writing 0 or 1 takes the capability audit
 */
#include "sysfs.h"

#include <exec/domain.h>
#include <lib/string.h>
#include <security/audit.h>

static void print_limit(struct text *t, uint64_t limit, bool none)
{
	if (none)
		text_print(t, " %11s", "-");
	else
		text_print(t, " %11lu", (unsigned long)limit);
}

static enum kerr show_domains(struct text *t, const struct proc_subject *s)
{
	const struct domain *d;

	text_print(t, "%-16s %-9s %-9s %-8s %-16s %-11s %11s %11s %11s %9s %9s %9s\n", "domain",
		   "kind", "execution", "level", "above", "capabilities", "processes", "files",
		   "memory", "now", "calls", "access");
	for (size_t i = 0; (d = domain_get(i)); i++) {
		text_print(t, "%-16s %-9s %-9s %-8s %-16s %011lx", d->name,
			   domain_kind_name(d->kind), domain_execution_name(d->execution),
			   domain_isolation_name(d->isolation), d->parent ? d->parent->name : "-",
			   (unsigned long)d->capabilities);
		print_limit(t, d->process_limit, d->process_limit == TERN_UNLIMITED);
		print_limit(t, d->file_limit, d->file_limit == TERN_UNLIMITED);
		print_limit(t, d->memory_limit, d->memory_limit == 0);
		text_print(t, " %9u %9lu %9lu\n", d->processes, (unsigned long)d->denied_calls,
			   (unsigned long)d->denied_access);
	}
	return KERR_OK;
}

static enum kerr show_capabilities(struct text *t, const struct proc_subject *s)
{
	for (unsigned c = 0; c < TERN_CAP_COUNT; c++)
		text_print(t, "%2u %-17s %011lx %lu\n", c, capability_name(c),
			   (unsigned long)capability_linux_of(c), (unsigned long)audit_denied(c));
	return KERR_OK;
}

static enum kerr show_audit(struct text *t, const struct proc_subject *s)
{
	struct audit_figures f;

	audit_figures(&f);
	text_print(t, "%u\ncalls %lu\nisolation %lu\n", f.logging, (unsigned long)f.calls,
		   (unsigned long)f.isolation);
	return KERR_OK;
}

static enum kerr write_audit(const char *text, size_t length, const struct proc_subject *s)
{
	char line[4];

	if (!process_capable(TERN_CAP_AUDIT, LINUX_CAP_AUDIT_CONTROL))
		return KERR_PERM;
	if (!text_line(text, length, line, sizeof(line)) || (line[0] != '0' && line[0] != '1') ||
	    line[1])
		return KERR_INVAL;
	audit_set_logging(line[0] == '1');
	return KERR_OK;
}

const struct proc_entry sysfs_security[] = {
	{.name = "audit",
	 .mode = S_IFREG | 0644,
	 .show = show_audit,
	 .write = write_audit,
	 .write_checks = true},
	{.name = "capabilities", .mode = FILE_MODE, .show = show_capabilities},
	{.name = "domains", .mode = FILE_MODE, .show = show_domains},
	{},
};
