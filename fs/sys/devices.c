/*
 * /sys/devices/system: the CPUs, and the memory nodes with their figures (PMM-9), in Linux's form.
 */
#include "sysfs.h"

#include <core/cpu.h>
#include <lib/format.h>
#include <mm/numa.h>

static void print_list(struct text *t, uint64_t set)
{
	proc_print_list(t, set);
	text_print(t, "\n");
}

static uint64_t cpus_of(unsigned node)
{
	uint64_t set = 0;

	for (cpu_t c = 0; c < cpu_count; c++)
		if (cpu_online() & cpu_bit(c) && numa_node_of_cpu(c) == node)
			set |= cpu_bit(c);
	return set;
}

/* The nodes that `has` is true of. */
static uint64_t nodes_with(bool (*has)(unsigned node))
{
	uint64_t set = 0;

	for (unsigned n = 0; n < numa_nodes(); n++)
		if (has(n))
			set |= 1ull << n;
	return set;
}

static bool has_cpu(unsigned node)
{
	return cpus_of(node);
}

static bool has_memory(unsigned node)
{
	return numa_figures(node).total;
}

/* ---- /sys/devices/system/cpu ---- */

static enum kerr show_cpus_online(struct text *t, const struct proc_subject *s)
{
	print_list(t, cpu_online());
	return KERR_OK;
}

static enum kerr show_cpus_present(struct text *t, const struct proc_subject *s)
{
	print_list(t, cpu_count == 64 ? UINT64_MAX : (1ull << cpu_count) - 1);
	return KERR_OK;
}

static const struct proc_entry cpu_entries[] = {
	{.name = "online", .mode = FILE_MODE, .show = show_cpus_online},
	{.name = "possible", .mode = FILE_MODE, .show = show_cpus_present},
	{.name = "present", .mode = FILE_MODE, .show = show_cpus_present},
	{},
};

/* ---- /sys/devices/system/node ---- */

static enum kerr show_nodes(struct text *t, const struct proc_subject *s)
{
	print_list(t, (1ull << numa_nodes()) - 1);
	return KERR_OK;
}

static enum kerr show_nodes_with_cpu(struct text *t, const struct proc_subject *s)
{
	print_list(t, nodes_with(has_cpu));
	return KERR_OK;
}

static enum kerr show_nodes_with_memory(struct text *t, const struct proc_subject *s)
{
	print_list(t, nodes_with(has_memory));
	return KERR_OK;
}

static enum kerr show_node_meminfo(struct text *t, const struct proc_subject *s)
{
	struct numa_figures f = numa_figures((unsigned)s->number);
	unsigned long total = f.total * (PAGE_SIZE / 1024), free = f.free * (PAGE_SIZE / 1024);

	text_print(t, "Node %d MemTotal:       %8lu kB\n", s->number, total);
	text_print(t, "Node %d MemFree:        %8lu kB\n", s->number, free);
	text_print(t, "Node %d MemUsed:        %8lu kB\n", s->number, total - free);
	return KERR_OK;
}

static enum kerr show_numastat(struct text *t, const struct proc_subject *s)
{
	struct numa_figures f = numa_figures((unsigned)s->number);

	text_print(t,
		   "numa_hit %lu\nnuma_miss %lu\nnuma_foreign %lu\ninterleave_hit %lu\n"
		   "local_node %lu\nother_node %lu\n",
		   (unsigned long)f.hit, (unsigned long)f.miss, (unsigned long)f.foreign,
		   (unsigned long)f.interleaved, (unsigned long)f.local, (unsigned long)f.other);
	return KERR_OK;
}

static enum kerr show_distance(struct text *t, const struct proc_subject *s)
{
	for (unsigned n = 0; n < numa_nodes(); n++)
		text_print(t, "%s%u", n ? " " : "", numa_distance((unsigned)s->number, n));
	text_print(t, "\n");
	return KERR_OK;
}

static enum kerr show_node_cpus(struct text *t, const struct proc_subject *s)
{
	print_list(t, cpus_of((unsigned)s->number));
	return KERR_OK;
}

static const struct proc_entry one_node[] = {
	{.name = "cpulist", .mode = FILE_MODE, .show = show_node_cpus},
	{.name = "distance", .mode = FILE_MODE, .show = show_distance},
	{.name = "meminfo", .mode = FILE_MODE, .show = show_node_meminfo},
	{.name = "numastat", .mode = FILE_MODE, .show = show_numastat},
	{},
};
static const struct proc_entry node_directory = {.mode = DIR_MODE, .children = one_node};

static const struct proc_entry node_entries[] = {
	{.name = "has_cpu", .mode = FILE_MODE, .show = show_nodes_with_cpu},
	{.name = "has_memory", .mode = FILE_MODE, .show = show_nodes_with_memory},
	{.name = "online", .mode = FILE_MODE, .show = show_nodes},
	{.name = "possible", .mode = FILE_MODE, .show = show_nodes},
	{},
};

bool sysfs_node_find(const char *name, const struct proc_subject *s, struct proc_subject *out)
{
	const char *digits = name + 4, *end;

	if (strncmp(name, "node", 4) != 0 || digits[0] < '0' || digits[0] > '9' ||
	    (digits[0] == '0' && digits[1]))
		return false;
	uint64_t n = str_to_u64(digits, &end, 10);
	if (*end || n >= numa_nodes())
		return false;
	*out = (struct proc_subject){.number = (int)n};
	return true;
}

bool sysfs_node_next(const struct proc_subject *s, int *after, char name[16])
{
	if (++*after >= (int)numa_nodes())
		return false;
	format(name, 16, "node%d", *after);
	return true;
}

static const struct proc_entry system_entries[] = {
	{.name = "cpu", .mode = DIR_MODE, .children = cpu_entries},
	{.name = "node",
	 .mode = DIR_MODE,
	 .children = node_entries,
	 .find = sysfs_node_find,
	 .next = sysfs_node_next,
	 .each = &node_directory},
	{},
};

const struct proc_entry sysfs_devices[] = {
	{.name = "system", .mode = DIR_MODE, .children = system_entries},
	{},
};
