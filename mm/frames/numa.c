/*
 * Nodes: which memory and which CPUs are near each other.
 *
 * The firmware (ACPI's SRAT and SLIT, or numa-node-id and /distance-map in the device tree)
 * numbers its domains as it likes; here they are 0, 1, ... in the order of those numbers. Memory and
 * CPUs that it does not name are on node 0, distances that it does not give (or that make no
 * sense: below 10, or 10 to another node) are 20.
 *
 * Data: the ranges are copied once (boot_info goes away), looked through when frames are added;
 * a frame that is in use tells its node by its record. Nothing changes after the boot.
 */
#include "bump.h"

#include <core/log.h>
#include <core/panic.h>
#include <lib/compiler.h>
#include <lib/string.h>
#include <mm/frame.h>
#include <mm/numa.h>

#define DISTANCE_LOCAL 10
#define DISTANCE_REMOTE 20

struct range {
	pfn_t start, end;
	unsigned node;
};

static unsigned nodes RO_AFTER_INIT = 1;
bool numa_many RO_AFTER_INIT;
static uint32_t domains[NODE_MAX] RO_AFTER_INIT; /* ascending */
static struct range *ranges RO_AFTER_INIT;
static size_t range_count RO_AFTER_INIT;
static uint8_t cpu_node[CPU_MAX] RO_AFTER_INIT;
static uint8_t distances[NODE_MAX][NODE_MAX] RO_AFTER_INIT;

/* Enters a domain in its place. */
static void domain_add(uint32_t domain, unsigned *count)
{
	unsigned at = 0;

	while (at < *count && domains[at] < domain)
		at++;
	if (at < *count && domains[at] == domain)
		return;
	if (*count == NODE_MAX) {
		log_warn("numa: more than %d nodes, domain %u counts as node 0", NODE_MAX, domain);
		return;
	}
	memmove(&domains[at + 1], &domains[at], (*count - at) * sizeof(domains[0]));
	domains[at] = domain;
	++*count;
}

/* False: a domain without memory and CPUs, or one too many. */
static bool node_of_domain(uint32_t domain, unsigned *node)
{
	for (*node = 0; *node < nodes; ++*node)
		if (domains[*node] == domain)
			return true;
	*node = 0;
	return false;
}

static void ranges_copy(const struct boot_info *info)
{
	size_t bytes = ALIGN_UP(info->node_range_count * sizeof(ranges[0]), PAGE_SIZE);
	paddr_t at = bump_take(bytes, PAGE_SIZE);

	if (!at)
		panic("no memory for the list of node ranges");
	ranges = (struct range *)(direct_map + at);
	for (size_t i = 0; i < info->node_range_count; i++) {
		const struct boot_node_range *r = &info->node_ranges[i];
		struct range *out = &ranges[range_count++];
		*out = (struct range){.start = r->start >> PAGE_SHIFT,
				      .end = ALIGN_UP(r->end, PAGE_SIZE) >> PAGE_SHIFT};
		(void)node_of_domain(r->domain, &out->node);
	}
}

static void distances_fill(const struct boot_info *info)
{
	for (unsigned from = 0; from < NODE_MAX; from++)
		for (unsigned to = 0; to < NODE_MAX; to++)
			distances[from][to] = from == to ? DISTANCE_LOCAL : DISTANCE_REMOTE;
	for (size_t i = 0; i < info->distance_count; i++) {
		const struct boot_distance *d = &info->distances[i];
		unsigned from, to;
		if (node_of_domain(d->from, &from) && node_of_domain(d->to, &to) && from != to &&
		    d->distance > DISTANCE_LOCAL)
			distances[from][to] = d->distance;
	}
}

void numa_init(const struct boot_info *info)
{
	unsigned count = 0;

	for (size_t i = 0; i < info->node_range_count; i++)
		domain_add(info->node_ranges[i].domain, &count);
	for (size_t i = 0; i < info->cpu_count && info->node_range_count; i++)
		domain_add(info->cpus[i].domain, &count);
	nodes = MAX(count, 1u);
	numa_many = nodes > 1;
	distances_fill(info);
	if (nodes == 1)
		return;
	ranges_copy(info);
	for (size_t i = 0; i < MIN(info->cpu_count, (size_t)CPU_MAX); i++) {
		unsigned node;
		(void)node_of_domain(info->cpus[i].domain, &node);
		cpu_node[i] = (uint8_t)node;
	}
}

unsigned numa_nodes(void)
{
	return nodes;
}

unsigned numa_node_of(pfn_t pfn)
{
	for (size_t i = 0; i < range_count; i++)
		if (pfn >= ranges[i].start && pfn < ranges[i].end)
			return ranges[i].node;
	return 0;
}

pfn_t numa_node_end(pfn_t pfn)
{
	pfn_t end = UINT64_MAX;

	for (size_t i = 0; i < range_count; i++) {
		if (ranges[i].start > pfn)
			end = MIN(end, ranges[i].start);
		else if (ranges[i].end > pfn)
			end = MIN(end, ranges[i].end);
	}
	return end;
}

unsigned numa_node_of_cpu(cpu_t cpu)
{
	return cpu_node[cpu];
}

unsigned numa_distance(unsigned from, unsigned to)
{
	return distances[from][to];
}
