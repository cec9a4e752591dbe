/* /proc files about memory as a whole, with Linux's field names, so that free, top and vmstat are right. */
#include "procfs.h"

#include <lib/format.h>
#include <mm/commit.h>
#include <mm/memory.h>
#include <mm/numa.h>
#include <mm/pressure.h>

static void print_kib(struct text *t, const char *name, uint64_t frames)
{
	char label[24];

	format(label, sizeof(label), "%s:", name);
	text_print(t, "%-16s%8lu kB\n", label, (unsigned long)(frames * (PAGE_SIZE / 1024)));
}

enum kerr proc_show_meminfo(struct text *t, const struct proc_subject *s)
{
	struct memory_stats m;
	struct commit_totals c;

	memory_stats(&m);
	commit_totals(&c);
	print_kib(t, "MemTotal", m.total);
	print_kib(t, "MemFree", m.free);
	print_kib(t, "MemAvailable", m.free + m.cached - m.shared);
	print_kib(t, "Buffers", 0);
	print_kib(t, "Cached", m.cached);
	print_kib(t, "SwapCached", 0);
	print_kib(t, "Active", m.anonymous);
	print_kib(t, "Inactive", m.cached);
	print_kib(t, "SwapTotal", 0);
	print_kib(t, "SwapFree", 0);
	print_kib(t, "Dirty", 0);
	print_kib(t, "Writeback", 0);
	print_kib(t, "AnonPages", m.anonymous);
	print_kib(t, "Mapped", m.cached);
	print_kib(t, "Shmem", m.shared);
	print_kib(t, "KReclaimable", 0);
	print_kib(t, "Slab", m.slab);
	print_kib(t, "SReclaimable", 0);
	print_kib(t, "SUnreclaim", m.slab);
	print_kib(t, "KernelStack", m.kernel_stacks);
	print_kib(t, "PageTables", m.page_tables);
	print_kib(t, "CommitLimit", c.limit);
	print_kib(t, "Committed_AS", m.committed);
	print_kib(t, "VmallocTotal", m.kmap_total / PAGE_SIZE);
	print_kib(t, "VmallocUsed", m.kmap);
	proc_print_huge_meminfo(t);
	return KERR_OK;
}

static void print_reclaim(struct text *t)
{
	struct reclaim_stats r;

	reclaim_stats(&r);
	text_print(t,
		   "pgscan_kswapd %lu\npgscan_direct %lu\npgsteal_kswapd %lu\npgsteal_direct %lu\n"
		   "allocstall_normal %lu\npageoutrun %lu\n",
		   (unsigned long)r.asked, (unsigned long)r.asked_direct, (unsigned long)r.given,
		   (unsigned long)r.given_direct, (unsigned long)r.stalls, (unsigned long)r.wakes);
}

static void print_nodes(struct text *t)
{
	struct numa_figures sum = {};

	for (unsigned n = 0; n < numa_nodes(); n++) {
		struct numa_figures f = numa_figures(n);
		sum.hit += f.hit;
		sum.miss += f.miss;
		sum.foreign += f.foreign;
		sum.interleaved += f.interleaved;
		sum.local += f.local;
		sum.other += f.other;
	}
	text_print(t,
		   "numa_hit %lu\nnuma_miss %lu\nnuma_foreign %lu\nnuma_interleave %lu\n"
		   "numa_local %lu\nnuma_other %lu\n",
		   (unsigned long)sum.hit, (unsigned long)sum.miss, (unsigned long)sum.foreign,
		   (unsigned long)sum.interleaved, (unsigned long)sum.local,
		   (unsigned long)sum.other);
}

enum kerr proc_show_vmstat(struct text *t, const struct proc_subject *s)
{
	struct memory_stats m;

	memory_stats(&m);
	text_print(t,
		   "nr_free_pages %lu\nnr_anon_pages %lu\nnr_file_pages %lu\nnr_shmem %lu\n"
		   "nr_page_table_pages %lu\nnr_kernel_stack %lu\npgpgin 0\npgpgout 0\npswpin "
		   "0\npswpout 0\n",
		   (unsigned long)m.free, (unsigned long)m.anonymous, (unsigned long)m.cached,
		   (unsigned long)m.shared, (unsigned long)m.page_tables,
		   (unsigned long)(m.kernel_stacks * PAGE_SIZE / 1024));
	print_reclaim(t);
	print_nodes(t);
	proc_print_huge_vmstat(t);
	return KERR_OK;
}

/* The map in address order, what was reserved inside a range indented below it. */
enum kerr proc_show_iomem(struct text *t, const struct proc_subject *s)
{
	struct memory_range r, inner;

	for (size_t i = 0; iomem_get(i, &r); i++) {
		text_print(t, "%08lx-%08lx : %s\n", (unsigned long)r.start,
			   (unsigned long)r.end - 1, r.name);
		for (size_t k = 0; iomem_reserved_get(k, &inner); k++)
			if (inner.start >= r.start && inner.end <= r.end)
				text_print(t, "  %08lx-%08lx : %s\n", (unsigned long)inner.start,
					   (unsigned long)inner.end - 1, inner.name);
	}
	return KERR_OK;
}

enum kerr proc_show_zoneinfo(struct text *t, const struct proc_subject *s)
{
	struct zone_info z;

	for (size_t i = 0; zone_info(i, &z); i++) {
		text_print(t, "Node %u, zone %8s\n", z.node, z.name);
		text_print(t, "  pages free     %lu\n", (unsigned long)z.free);
		text_print(t, "        min      %lu\n        low      %lu\n        high     %lu\n",
			   (unsigned long)z.watermark_min, (unsigned long)z.watermark_low,
			   (unsigned long)z.watermark_high);
		text_print(t, "        spanned  %lu\n        present  %lu\n        managed  %lu\n",
			   (unsigned long)z.spanned, (unsigned long)z.present,
			   (unsigned long)z.managed);
		text_print(t, "  start_pfn:           %lu\n", (unsigned long)z.start_pfn);
	}
	return KERR_OK;
}

enum kerr proc_show_buddyinfo(struct text *t, const struct proc_subject *s)
{
	struct zone_info z;

	for (size_t i = 0; zone_info(i, &z); i++) {
		text_print(t, "Node %u, zone %8s ", z.node, z.name);
		for (unsigned order = 0; order < FRAME_ORDERS; order++)
			text_print(t, "%6lu ", (unsigned long)z.blocks[order]);
		text_print(t, "\n");
	}
	return KERR_OK;
}
