/*
 * What is told of nodes about a process: /proc/PID/numa_maps, and the lines of /proc/PID/status from which
 * libnuma learns how many nodes and CPUs there may be.
 */
#include "procfs.h"

#include <lib/format.h>
#include <mm/heap.h>
#include <mm/policy.h>

/* "0-2,4" */
void proc_print_list(struct text *t, uint64_t set)
{
	const char *comma = "";

	while (set) {
		unsigned first = (unsigned)__builtin_ctzll(set);
		uint64_t rest = ~(set >> first); /* bit n: first + n is not in the set */
		unsigned last = rest ? first + (unsigned)__builtin_ctzll(rest) - 1 : 63;
		text_print(t, "%s%u", comma, first);
		if (last > first)
			text_print(t, "-%u", last);
		comma = ",";
		set = last >= 63 ? 0 : set & ~((2ull << last) - 1);
	}
}

/* As Linux writes masks: 32 bits a group, the highest first. */
static void print_mask(struct text *t, const char *name, uint64_t set)
{
	text_print(t, "%s:\t%08lx,%08lx\n%s_list:\t", name, (unsigned long)(set >> 32),
		   (unsigned long)(set & 0xffffffff), name);
	proc_print_list(t, set);
	text_print(t, "\n");
}

void proc_print_allowed(struct text *t, uint64_t cpus)
{
	print_mask(t, "Cpus_allowed", cpus);
	print_mask(t, "Mems_allowed", numa_memory_nodes());
}

/* ---- numa_maps ------------------------------------------------------------------------------ */

static void print_policy(struct text *t, const struct memory_policy *p)
{
	static const char *const names[] = {
		[POLICY_DEFAULT] = "default",
		[POLICY_PREFERRED] = "prefer",
		[POLICY_BIND] = "bind",
		[POLICY_INTERLEAVE] = "interleave",
		[POLICY_LOCAL] = "local",
		[POLICY_PREFERRED_MANY] = "prefer (many)",
		[POLICY_WEIGHTED_INTERLEAVE] = "weighted interleave",
	};

	text_print(t, "%s", names[p->mode]);
	if (p->flags & POLICY_STATIC)
		text_print(t, "=static");
	else if (p->flags & POLICY_RELATIVE)
		text_print(t, "=relative");
	if (!p->nodes)
		return;
	text_print(t, ":");
	proc_print_list(t, p->nodes);
}

static void print_region(struct text *t, const struct region_info *r, const struct region_nodes *n,
			 char *name)
{
	text_print(t, "%08lx ", (unsigned long)r->start);
	print_policy(t, &n->policy);
	const char *label = proc_region_name(r, name);
	if (label && label[0] == '/')
		text_print(t, " file=%s", label);
	else if (label && r->kind != REGION_FILE)
		text_print(t, " %.*s", (int)strlen(label) - 2, label + 1);
	if (n->anonymous)
		text_print(t, " anon=%lu dirty=%lu", (unsigned long)n->anonymous,
			   (unsigned long)n->anonymous);
	if (n->objects)
		text_print(t, " mapped=%lu", (unsigned long)n->objects);
	for (unsigned i = 0; i < numa_nodes(); i++)
		if (n->node[i])
			text_print(t, " N%u=%lu", i, (unsigned long)n->node[i]);
	text_print(t, n->anonymous + n->objects ? " kernelpagesize_kB=4\n" : "\n");
}

enum kerr proc_show_numa_maps(struct text *t, const struct proc_subject *s)
{
	struct region_nodes n;
	struct region_info r;
	struct aspace *as;
	enum kerr err = proc_subject_aspace(s, &as);

	if (err != KERR_OK || !as)
		return err;
	char *name = heap_alloc(PATH_SIZE);
	for (vaddr_t at = 0; name && aspace_region_at(as, at, &r); at = r.end) {
		if (aspace_region_nodes(as, r.start, &n))
			print_region(t, &r, &n, name);
		if (r.object)
			vm_object_put(r.object);
	}
	heap_free(name);
	aspace_put(as);
	return name ? KERR_OK : KERR_NOMEM;
}
