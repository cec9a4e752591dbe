/* What /proc/meminfo and /proc/vmstat say about huge pages and translation caches (VM-4, VM-7). */
#include "procfs.h"

#include <mm/huge.h>
#include <mm/tlb_stats.h>

static void kib(struct text *t, const char *label, uint64_t frames)
{
	text_print(t, "%-16s%8lu kB\n", label, (unsigned long)(frames * (PAGE_SIZE / 1024)));
}

void proc_print_huge_meminfo(struct text *t)
{
	struct huge_stats h;

	struct hugepool_stats p;

	huge_stats(&h);
	hugepool_stats(&p);
	kib(t, "AnonHugePages:", h.mapped);
	text_print(t,
		   "HugePages_Total: %7lu\nHugePages_Free:  %7lu\nHugePages_Rsvd:  %7lu\n"
		   "HugePages_Surp:  %7lu\n",
		   (unsigned long)p.total, (unsigned long)p.free, (unsigned long)p.reserved,
		   (unsigned long)p.surplus);
	kib(t, "Hugepagesize:", HUGE_SIZE / PAGE_SIZE);
	kib(t, "Hugetlb:", p.total * (HUGE_SIZE / PAGE_SIZE));
}

void proc_print_huge_vmstat(struct text *t)
{
	struct huge_stats h;
	struct tlb_stats f = tlb_stats();

	huge_stats(&h);
	text_print(t,
		   "thp_fault_alloc %lu\nthp_fault_fallback %lu\nthp_collapse_alloc %lu\n"
		   "thp_split_pmd %lu\n",
		   (unsigned long)h.faults, (unsigned long)h.fallbacks, (unsigned long)h.collapses,
		   (unsigned long)h.splits);
	text_print(t,
		   "nr_tlb_remote_flush %lu\nnr_tlb_remote_flush_received %lu\n"
		   "nr_tlb_local_flush_all %lu\nnr_tlb_local_flush_one %lu\n",
		   (unsigned long)f.interrupting, (unsigned long)f.received,
		   (unsigned long)f.local_all, (unsigned long)f.local_one);
}
