/* /proc/PID/maps and statm. */
#include "procfs.h"

#include <lib/format.h>
#include <mm/heap.h>

static enum kerr subject_aspace(const struct proc_subject *s, struct aspace **out)
{
	struct process *p = process_find(s->pid);

	if (!p)
		return KERR_SRCH;
	*out = process_aspace(p);
	process_put(p);
	return KERR_OK;
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

enum kerr proc_show_maps(struct text *t, const struct proc_subject *s)
{
	struct aspace *as;
	struct region_info r;
	enum kerr err = subject_aspace(s, &as);

	if (err != KERR_OK || !as)
		return err;
	char *name = heap_alloc(PATH_SIZE);
	if (!name) {
		aspace_put(as);
		return KERR_NOMEM;
	}
	for (vaddr_t at = 0; aspace_region_at(as, at, &r); at = r.end) {
		print_region(t, &r, name);
		if (r.object)
			vm_object_put(r.object);
	}
	heap_free(name);
	aspace_put(as);
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
		   (unsigned long)m.text_pages, (unsigned long)m.data_pages);
	return KERR_OK;
}
