/* /proc/PID/maps, smaps, smaps_rollup and statm: mm's figures, with Linux's names. */
#include "procfs.h"

#include <exec/domain.h>
#include <lib/format.h>
#include <mm/heap.h>

enum kerr proc_subject_aspace(const struct proc_subject *s, struct aspace **out)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	enum kerr err = process_may_look(p) ? KERR_OK : KERR_ACCESS;
	*out = err == KERR_OK ? process_aspace(p) : nullptr;
	process_put(p);
	return err;
}

/* A name of `i` from the root of its filesystem, at the end of buf; null: it has none. */
static const char *inode_name(struct inode *i, char *buf, size_t size)
{
	char *start = buf + size - 1;

	*start = '\0';
	/* Entries and their names are freed after a grace period. */
	rcu_read_lock();
	const struct dentry *d = READ_ONCE(i->alias);
	bool named = d != nullptr;
	while (d && dentry_parent(d) != d) {
		const struct dentry_name *name = dentry_name(d);
		if ((size_t)(start - buf) < name->length + 1) {
			named = false;
			break;
		}
		start -= name->length;
		memcpy(start, name->text, name->length);
		*--start = '/';
		d = dentry_parent(d);
	}
	rcu_read_unlock();
	return named && *start ? start : nullptr;
}

const char *proc_region_name(const struct region_info *r, char *buf)
{
	if (r->kind != REGION_FILE || !r->object || !r->object->owner)
		return r->name;
	return inode_name(r->object->owner, buf, PATH_SIZE);
}

static void print_region(struct text *t, const struct region_info *r, char *name)
{
	struct inode_attributes a = {};
	const char *label = proc_region_name(r, name);

	if (r->kind == REGION_FILE && r->object && r->object->owner)
		inode_attributes_get(r->object->owner, &a);
	size_t before = t->length;
	text_print(t, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)r->start,
		   (unsigned long)r->end, r->prot & PROT_READ ? 'r' : '-',
		   r->prot & PROT_WRITE ? 'w' : '-', r->prot & PROT_EXEC ? 'x' : '-',
		   r->shared ? 's' : 'p', (unsigned long)r->offset, device_major(a.device),
		   device_minor(a.device), (unsigned long)a.inode);
	if (label) {
		while (t->length - before < 73 && !t->no_memory)
			text_add(t, " ", 1);
		text_add(t, label, strlen(label));
	}
	text_add(t, "\n", 1);
}

/* Calls `each` for every region of the subject's, with room for a name. */
static enum kerr each_region(struct text *t, const struct proc_subject *s,
			     void (*each)(struct text *t, struct aspace *as,
					  const struct region_info *r, char *name, void *arg),
			     void *arg)
{
	struct aspace *as;
	struct region_info r;
	enum kerr err = proc_subject_aspace(s, &as);

	if (err != KERR_OK || !as)
		return err;
	char *name = heap_alloc(PATH_SIZE);
	if (!name) {
		aspace_put(as);
		return KERR_NOMEM;
	}
	for (vaddr_t at = 0; aspace_region_at(as, at, &r); at = r.end) {
		each(t, as, &r, name, arg);
		if (r.object)
			vm_object_put(r.object);
	}
	heap_free(name);
	aspace_put(as);
	return KERR_OK;
}

static void map_line(struct text *t, struct aspace *as, const struct region_info *r, char *name,
		     void *arg)
{
	print_region(t, r, name);
}

enum kerr proc_show_maps(struct text *t, const struct proc_subject *s)
{
	return each_region(t, s, map_line, nullptr);
}

/* ---- smaps ---- */

static void kib(struct text *t, const char *name, uint64_t bytes)
{
	text_print(t, "%-16s%8lu kB\n", name, (unsigned long)(bytes / 1024));
}

static void print_flags(struct text *t, const struct region_info *r)
{
	const struct {
		bool has;
		const char *name;
	} flags[] = {
		{r->prot & PROT_READ, "rd"},
		{r->prot & PROT_WRITE, "wr"},
		{r->prot & PROT_EXEC, "ex"},
		{r->shared && r->may_write, "sh"},
		{true, "mr"},
		{r->may_write, "mw"},
		{true, "me"},
		{r->shared, "ms"},
		{r->grows, "gd"},
		{r->kind == REGION_DEVICE, "pf"},
		{r->marks & MARK_LOCKED, "lo"},
		{r->kind == REGION_DEVICE, "io"},
		{r->marks & MARK_SEQUENTIAL, "sr"},
		{r->marks & MARK_RANDOM, "rr"},
		{r->marks & MARK_NO_FORK, "dc"},
		{r->accounted, "ac"},
		{r->noreserve, "nr"},
		{r->marks & MARK_WIPE, "wf"},
		{r->marks & MARK_NO_DUMP, "dd"},
		{r->huge == 1, "hg"},
		{r->huge == 2, "nh"},
		{r->marks & MARK_SEALED, "sl"},
	};

	if (hal.mmu.geometry()->protection_keys)
		text_print(t, "ProtectionKey:  %8u\n", r->key);
	text_print(t, "VmFlags: ");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].has)
			text_print(t, "%s ", flags[i].name);
	text_print(t, "\n");
}

/* What smaps and smaps_rollup share, between the lines that only one has. */
static void print_pages(struct text *t, const struct region_usage *u)
{
	kib(t, "Shared_Clean:", u->shared_clean);
	kib(t, "Shared_Dirty:", u->shared_dirty);
	kib(t, "Private_Clean:", u->private_clean);
	kib(t, "Private_Dirty:", u->private_dirty);
	kib(t, "Referenced:", u->referenced);
	kib(t, "Anonymous:", u->anonymous);
	kib(t, "KSM:", 0);
	kib(t, "LazyFree:", u->lazy);
	kib(t, "AnonHugePages:", u->huge);
	kib(t, "ShmemPmdMapped:", 0);
	kib(t, "FilePmdMapped:", 0);
	kib(t, "Shared_Hugetlb:", 0);
	kib(t, "Private_Hugetlb:", 0);
	kib(t, "Swap:", 0);
	kib(t, "SwapPss:", 0);
	kib(t, "Locked:", u->locked);
	/* Tern's own (VM-19) */
	kib(t, "Volatile:", u->is_volatile);
	kib(t, "Nonvolatile:", u->anonymous - u->is_volatile);
}

static void smaps_entry(struct text *t, struct aspace *as, const struct region_info *r, char *name,
			void *arg)
{
	struct region_usage u;

	if (!aspace_region_usage(as, r->start, &u))
		return;
	print_region(t, r, name);
	kib(t, "Size:", r->end - r->start);
	kib(t, "KernelPageSize:", PAGE_SIZE);
	kib(t, "MMUPageSize:", PAGE_SIZE);
	kib(t, "Rss:", u.resident);
	kib(t, "Pss:", u.pss >> USAGE_SHIFT);
	kib(t, "Pss_Dirty:", u.pss_dirty >> USAGE_SHIFT);
	print_pages(t, &u);
	text_print(t, "THPeligible:    %8u\n", u.huge != 0);
	print_flags(t, r);
}

enum kerr proc_show_smaps(struct text *t, const struct proc_subject *s)
{
	return each_region(t, s, smaps_entry, nullptr);
}

struct rollup {
	vaddr_t start, end;
	struct region_usage sum;
};

static void add_usage(struct text *t, struct aspace *as, const struct region_info *r, char *name,
		      void *arg)
{
	struct rollup *all = arg;
	struct region_usage u, *sum = &all->sum;

	if (!aspace_region_usage(as, r->start, &u))
		return;
	all->start = all->end ? all->start : r->start;
	all->end = r->end;
	/* All fields are figures of one type. */
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)&u;
	for (size_t i = 0; i < sizeof(u) / sizeof(*to); i++)
		to[i] += from[i];
}

enum kerr proc_show_smaps_rollup(struct text *t, const struct proc_subject *s)
{
	struct rollup all = {};
	struct region_usage *u = &all.sum;
	enum kerr err = each_region(t, s, add_usage, &all);

	if (err != KERR_OK || !all.end)
		return err;
	text_print(t, "%08lx-%08lx ---p 00000000 00:00 0                          [rollup]\n",
		   (unsigned long)all.start, (unsigned long)all.end);
	u->locked = u->pss_locked >> USAGE_SHIFT;
	kib(t, "Rss:", u->resident);
	kib(t, "Pss:", u->pss >> USAGE_SHIFT);
	kib(t, "Pss_Dirty:", u->pss_dirty >> USAGE_SHIFT);
	kib(t, "Pss_Anon:", u->pss_anonymous >> USAGE_SHIFT);
	kib(t, "Pss_File:", 0);
	kib(t, "Pss_Shmem:", (u->pss - u->pss_anonymous) >> USAGE_SHIFT);
	print_pages(t, u);
	return KERR_OK;
}

enum kerr proc_show_statm(struct text *t, const struct proc_subject *s)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	struct aspace_stats m = proc_aspace_stats(p);
	process_put(p);
	text_print(t, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)m.virtual_pages,
		   (unsigned long)m.resident_pages, (unsigned long)m.shared_pages,
		   (unsigned long)m.text_pages, (unsigned long)(m.data_pages + m.stack_pages));
	return KERR_OK;
}
