/*
 * A filesystem made of tables: /proc and /sys.
 *
 * A directory is an array of entries, plus, where processes or descriptors are listed, a pair of
 * functions that find and enumerate them. Inodes are made by lookup and belong to nobody but the dentry that asked;
 * what depends on a process is never cached by name (DENTRY_VOLATILE), so a pid that ends is gone at once.
 *
 * A file's text is made as a whole when it is read from offset 0, and kept with the open file: a program that
 * reads in small pieces sees one consistent text. Writes go to the entry in one piece.
 */
#include "procfs.h"

#include <exec/domain.h>
#include <lib/format.h>
#include <mm/heap.h>

#define WRITE_MAX 4096

struct proc_inode {
	struct inode inode;
	const struct proc_entry *entry;
	struct proc_subject subject;
	char link[48]; /* text of a plain symlink, made when it was looked up */
};

static struct proc_inode *proc_inode(const struct inode *i)
{
	return container_of(i, struct proc_inode, inode);
}

/* ---- Files ------------------------------------------------------------------------------------- */

static enum kerr make_text(struct file *f, struct text **out)
{
	const struct proc_inode *p = proc_inode(f->inode);
	struct text *t = f->private;

	if (!t) {
		t = heap_alloc_zeroed(sizeof(*t));
		if (!t)
			return KERR_NOMEM;
		f->private = t;
	}
	t->length = 0;
	t->no_memory = false;
	enum kerr err = p->entry->show(t, &p->subject);
	if (err == KERR_OK && t->no_memory)
		err = KERR_NOMEM;
	if (err != KERR_OK)
		t->length = 0;
	*out = t;
	return err;
}

static enum kerr text_read(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	struct text *t = f->private;
	enum kerr err = KERR_OK;

	*done = 0;
	if (!proc_inode(f->inode)->entry->show)
		return KERR_INVAL;
	/* pread comes without the position lock, so the text needs the inode's. */
	mutex_lock(&f->inode->lock);
	if (!t || offset == 0)
		err = make_text(f, &t);
	if (err == KERR_OK && offset < t->length) {
		size_t n = MIN(b->size, t->length - offset);
		*done = io_to_buffer(b, 0, t->bytes + offset, n);
		if (*done < n && *done == 0)
			err = KERR_FAULT;
	}
	mutex_unlock(&f->inode->lock);
	return err;
}

static enum kerr text_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			    size_t *done)
{
	const struct proc_inode *p = proc_inode(f->inode);

	*done = 0;
	if (!p->entry->write)
		return KERR_INVAL;
	if (b->size >= WRITE_MAX)
		return KERR_INVAL;
	/* When it is written, not opened: a descriptor that came from elsewhere gives no right. */
	if (!p->subject.pid && !p->entry->write_checks && !process_has(TERN_CAP_CONFIGURE_KERNEL))
		return KERR_PERM;
	char *text = heap_alloc(b->size + 1);
	if (!text)
		return KERR_NOMEM;
	enum kerr err = KERR_FAULT;
	if (io_from_buffer(b, 0, text, b->size) == b->size) {
		text[b->size] = '\0';
		err = p->entry->write(text, b->size, &p->subject);
	}
	heap_free(text);
	if (err == KERR_OK)
		*done = b->size;
	return err;
}

static void text_close(struct file *f)
{
	if (f->private) {
		text_free(f->private);
		heap_free(f->private);
	}
}

static const struct file_ops text_file_ops = {
	.read = text_read,
	.write = text_write,
	.close = text_close,
};

/* ---- Directories ------------------------------------------------------------------------------- */

static size_t table_size(const struct proc_entry *e)
{
	size_t n = 0;

	while (e && e[n].mode)
		n++;
	return n;
}

/* Positions: 1, 2 are . and .., then the table's entries, then 1000 + the number of what is listed. */
#define LISTED 1000

static enum kerr list_one(struct proc_inode *p, uint64_t *position, struct directory_entry *out)
{
	size_t entries = table_size(p->entry->children);

	if (*position < 2) {
		strlcpy(out->name, *position == 0 ? "." : "..", sizeof(out->name));
		out->type = S_IFDIR >> 12;
		++*position;
		return KERR_OK;
	}
	if (*position - 2 < entries) {
		const struct proc_entry *e = &p->entry->children[*position - 2];
		strlcpy(out->name, e->name, sizeof(out->name));
		out->type = (uint8_t)((e->mode & S_IFMT) >> 12);
		++*position;
		return KERR_OK;
	}
	char name[PROC_NAME_SIZE];
	int after = *position >= LISTED ? (int)(*position - LISTED) : -1;
	if (!p->entry->next || !p->entry->next(&p->subject, &after, name))
		return KERR_NOENT;
	strlcpy(out->name, name, sizeof(out->name));
	out->type = (uint8_t)((p->entry->each->mode & S_IFMT) >> 12);
	*position = (uint64_t)after + LISTED;
	return KERR_OK;
}

static enum kerr read_directory(struct file *f, uint64_t *position, struct directory_entry *out)
{
	enum kerr err = list_one(proc_inode(f->inode), position, out);

	out->length = (uint8_t)strlen(out->name);
	out->position = *position;
	out->inode = f->inode->number ^ (*position << 20);
	return err;
}

static const struct file_ops directory_file_ops = {.read_directory = read_directory};

/* ---- Inodes ------------------------------------------------------------------------------------ */

static const struct inode_ops tree_inode_ops, magic_inode_ops;

static struct inode *make_inode(struct superblock *sb, const struct proc_entry *e,
				const struct proc_subject *s)
{
	struct proc_inode *p = heap_alloc_zeroed(sizeof(*p));

	if (!p)
		return nullptr;
	inode_init(&p->inode, sb, e->follow ? &magic_inode_ops : &tree_inode_ops, e->mode);
	p->inode.file_ops = e->file_ops                     ? e->file_ops
			    : (e->mode & S_IFMT) == S_IFDIR ? &directory_file_ops
							    : &text_file_ops;
	p->entry = e;
	p->subject = *s;
	if (e->link && !e->follow) {
		size_t length;
		if (e->link(s, p->link, sizeof(p->link), &length) == KERR_OK)
			p->inode.link = p->link;
	}
	struct process *owner = s->pid ? process_find(s->pid) : nullptr;
	if (owner) {
		p->inode.uid = owner->credentials.euid;
		p->inode.gid = owner->credentials.egid;
		process_put(owner);
	}
	return &p->inode;
}

static const struct proc_entry *find_entry(const struct proc_inode *dir, const char *name,
					   struct proc_subject *s)
{
	*s = dir->subject;
	for (const struct proc_entry *e = dir->entry->children; e && e->mode; e++)
		if (strcmp(e->name, name) == 0)
			return e;
	if (dir->entry->find && dir->entry->find(name, &dir->subject, s))
		return dir->entry->each;
	return nullptr;
}

static enum kerr lookup(struct inode *dir, struct dentry *d)
{
	struct proc_subject s;
	const struct proc_entry *e = find_entry(proc_inode(dir), dentry_name(d)->text, &s);

	/* Names that may mean something else tomorrow are asked for each time. */
	if (s.pid || s.module || (e && e->link) || (!e && proc_inode(dir)->entry->find))
		atomic_fetch_or(&d->flags, DENTRY_VOLATILE);
	if (!e)
		return KERR_OK;
	struct inode *i = make_inode(dir->sb, e, &s);
	if (!i)
		return KERR_NOMEM;
	dentry_set_inode(d, i);
	return KERR_OK;
}

static enum kerr read_link(struct inode *i, char *buf, size_t size, size_t *length)
{
	const struct proc_inode *p = proc_inode(i);

	return p->entry->link(&p->subject, buf, size, length);
}

static enum kerr follow(struct inode *i, struct path *out)
{
	const struct proc_inode *p = proc_inode(i);

	return p->entry->follow(&p->subject, out);
}

static void freed(struct rcu_head *head)
{
	heap_free(proc_inode(container_of(head, struct inode, rcu)));
}

static void release(struct inode *i)
{
	rcu_call(&i->rcu, freed);
}

static const struct inode_ops tree_inode_ops = {.lookup = lookup, .release = release};
/* Symlinks that lead to an open file or a directory, not to a name. */
static const struct inode_ops magic_inode_ops = {
	.read_link = read_link,
	.follow = follow,
	.release = release,
};

/* ---- Superblocks ------------------------------------------------------------------------------- */

static void release_superblock(struct superblock *sb)
{
	heap_free(sb);
}

static const struct superblock_ops superblock_ops = {.release = release_superblock};

enum kerr proc_tree_mount(const struct filesystem *type, const struct proc_entry *root,
			  struct superblock **out)
{
	struct superblock *sb = heap_alloc_zeroed(sizeof(*sb));
	const struct proc_subject nobody = {};

	if (!sb)
		return KERR_NOMEM;
	superblock_init(sb, type, &superblock_ops);
	struct inode *i = make_inode(sb, root, &nobody);
	struct dentry *d = i ? dentry_create(sb, nullptr, "", 0) : nullptr;
	if (!d) {
		if (i)
			inode_put(i);
		superblock_put(sb);
		return KERR_NOMEM;
	}
	i->links = 2;
	dentry_set_inode(d, i);
	sb->root = d;
	*out = sb;
	return KERR_OK;
}
