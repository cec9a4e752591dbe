/*
 * tmpfs: a filesystem in memory.
 *
 * Directories live in the dentry cache: a positive entry is the link, and stays hashed until it is
 * unlinked. The children of a directory are ordered by cookie, a number that never comes twice in one
 * directory, so that getdents goes on at the right place whatever is made and removed meanwhile;
 * index.c keeps them.
 *
 * Limits: size= (bytes, with k m g, or % of RAM), nr_blocks= (pages), nr_inodes=; half of RAM each if
 * nothing is said. Names, inodes and symlink texts are counted as inodes, not as pages.
 */
#include "tmpfs.h"

#include <core/time.h>
#include <lib/format.h>
#include <mm/heap.h>

#define DIRECTORY_BASE 40u /* what ls shows as the size of a directory: base + entries * 20 */
#define ENTRY_SIZE 20u

static struct cache *file_nodes RO_AFTER_INIT, *directory_nodes RO_AFTER_INIT,
	*other_nodes RO_AFTER_INIT;
static const struct inode_ops tmpfs_ops;

void tmpfs_init(void)
{
	file_nodes = cache_create("tmpfs file", sizeof(struct tmpfs_node), 0);
	directory_nodes = cache_create(
		"tmpfs directory",
		offsetof(struct tmpfs_node, directory) + sizeof(struct tmpfs_directory), 0);
	other_nodes = cache_create("tmpfs inode", offsetof(struct tmpfs_node, object), 0);
}

static struct cache *nodes_of(uint32_t mode)
{
	return (mode & S_IFMT) == S_IFREG   ? file_nodes
	       : (mode & S_IFMT) == S_IFDIR ? directory_nodes
					    : other_nodes;
}

/* ---- Inodes ------------------------------------------------------------------------------------- */

static void node_free(struct rcu_head *head)
{
	struct tmpfs_node *n = container_of(head, struct tmpfs_node, inode.rcu);

	heap_free((void *)n->inode.link);
	cache_free(nodes_of(n->inode.mode), n);
}

void tmpfs_node_free(struct tmpfs_node *n)
{
	rcu_call(&n->inode.rcu, node_free);
}

static void node_release(struct inode *i)
{
	atomic_fetch_sub_explicit(&tmpfs_of(i->sb)->inodes, 1, memory_order_relaxed);
	if (inode_is(i, S_IFREG)) {
		vm_object_put(i->object); /* the last one frees the node */
		return;
	}
	if (inode_is(i, S_IFDIR))
		directory_end(tmpfs_directory(i));
	tmpfs_node_free(tmpfs_node(i));
}

static enum kerr inode_charge(struct tmpfs *t)
{
	uint64_t limit = atomic_load_explicit(&t->inode_limit, memory_order_relaxed);

	if (atomic_fetch_add_explicit(&t->inodes, 1, memory_order_relaxed) < limit || !limit)
		return KERR_OK;
	atomic_fetch_sub_explicit(&t->inodes, 1, memory_order_relaxed);
	return KERR_NOSPC;
}

enum kerr tmpfs_inode_create(struct superblock *sb, const struct inode *dir, uint32_t mode,
			     uint64_t device, const char *target, struct inode **out)
{
	struct tmpfs *t = tmpfs_of(sb);
	bool regular = (mode & S_IFMT) == S_IFREG;
	struct tmpfs_node *n;
	char *text = nullptr;
	enum kerr err = inode_charge(t);

	if (err != KERR_OK)
		return err;
	if (target) {
		size_t length = strlen(target);
		text = heap_alloc(length + 1);
		if (!text)
			goto fail;
		memcpy(text, target, length + 1);
	}
	n = cache_alloc(nodes_of(mode));
	if (!n)
		goto fail;
	struct inode *i = &n->inode;
	inode_init(i, sb, &tmpfs_ops, mode);
	inode_set_owner(i, dir, mode);
	i->rdev = device;
	i->link = text;
	if (regular) {
		vm_object_init(&n->object, &tmpfs_object_ops, 0, i);
		superblock_get(sb); /* the object's */
		i->object = &n->object;
		i->file_ops = &tmpfs_file_ops;
	} else if (inode_is(i, S_IFDIR)) {
		i->file_ops = &cache_directory_ops;
		i->links = 2;
		directory_begin(&n->directory);
	}
	*out = i;
	return KERR_OK;
fail:
	heap_free(text);
	atomic_fetch_sub_explicit(&t->inodes, 1, memory_order_relaxed);
	return KERR_NOMEM;
}

static void get_attributes(struct inode *i, struct inode_attributes *a)
{
	if (i->object)
		a->blocks = vm_object_resident(i->object) * (PAGE_SIZE / 512);
	else if (inode_is(i, S_IFDIR))
		a->size = DIRECTORY_BASE + tmpfs_directory(i)->entries * ENTRY_SIZE;
	else if (i->link)
		a->size = strlen(i->link);
}

static enum kerr set_attributes(struct inode *i, const struct inode_attributes *a, unsigned which)
{
	return which & ATTR_SIZE ? tmpfs_set_size(i, a->size) : KERR_OK;
}

/* ---- Directories -------------------------------------------------------------------------------- */

static uint64_t cookie_next(struct dentry *parent)
{
	return 2 + parent->next_cookie++; /* 0 and 1 are . and .. */
}

static void enter(struct inode *dir, struct dentry *d, struct inode *i)
{
	struct dentry *parent = dentry_parent(d);

	directory_insert(tmpfs_directory(dir), d, cookie_next(parent));
	dentry_set_inode(d, i);
	if (!dentry_hashed(d)) /* it fell out of the negative queue */
		dentry_hash(d);
	inode_touch(dir);
}

static enum kerr make(struct inode *dir, struct dentry *d, uint32_t mode, uint64_t device,
		      const char *target)
{
	struct inode *i;
	enum kerr err = tmpfs_inode_create(dir->sb, dir, mode, device, target, &i);

	if (err != KERR_OK)
		return err;
	if (inode_is(i, S_IFDIR))
		dir->links++;
	enter(dir, d, i);
	return KERR_OK;
}

static enum kerr link(struct inode *old, struct inode *dir, struct dentry *d)
{
	inode_get(old);
	old->links++;
	old->ctime = time_wall();
	enter(dir, d, old);
	return KERR_OK;
}

/* Takes a name out of its directory. */
static void leave(struct inode *dir, struct dentry *d)
{
	directory_remove(tmpfs_directory(dir), d);
	inode_touch(dir);
}

static void unlinked(struct inode *dir, struct inode *i)
{
	if (inode_is(i, S_IFDIR)) {
		i->links = 0;
		dir->links--;
	} else {
		i->links--;
	}
	i->ctime = time_wall();
}

static bool is_empty(struct inode *i)
{
	return !inode_is(i, S_IFDIR) || tmpfs_directory(i)->entries == 0;
}

static enum kerr unlink(struct inode *dir, struct dentry *d)
{
	if (!is_empty(dentry_inode(d)))
		return KERR_NOTEMPTY;
	leave(dir, d);
	unlinked(dir, dentry_inode(d));
	return KERR_OK;
}

static enum kerr rename(struct inode *from_dir, struct dentry *from, struct inode *to_dir,
			struct dentry *to, bool exchange)
{
	struct inode *i = dentry_inode(from), *victim = dentry_inode(to);
	struct dentry *to_parent = dentry_parent(to);
	uint64_t from_cookie = from->cookie;
	uint64_t to_cookie = victim ? to->cookie : 0;

	if (victim && !exchange && !is_empty(victim))
		return KERR_NOTEMPTY;
	leave(from_dir, from);
	if (inode_is(i, S_IFDIR)) {
		from_dir->links--;
		to_dir->links++;
	}
	if (victim) {
		leave(to_dir, to);
		if (!exchange) {
			unlinked(to_dir, victim);
		} else {
			if (inode_is(victim, S_IFDIR)) {
				to_dir->links--;
				from_dir->links++;
			}
			directory_insert(tmpfs_directory(from_dir), to, from_cookie);
			victim->ctime = time_wall();
		}
	} else {
		to_cookie = cookie_next(to_parent);
	}
	directory_insert(tmpfs_directory(to_dir), from, to_cookie);
	i->ctime = time_wall();
	return KERR_OK;
}

static const struct inode_ops tmpfs_ops = {
	.make = make,
	.link = link,
	.unlink = unlink,
	.rename = rename,
	.get_attributes = get_attributes,
	.set_attributes = set_attributes,
	.release = node_release,
};

static void fill_entry(struct directory_entry *out, const struct inode *i, const char *name,
		       uint32_t length)
{
	out->inode = i->number;
	out->type = (uint8_t)((i->mode & S_IFMT) >> 12);
	out->length = (uint8_t)length;
	memcpy(out->name, name, length);
	out->name[length] = 0;
}

static enum kerr read_directory(struct file *f, uint64_t *position, struct directory_entry *out)
{
	struct dentry *dir = f->path.dentry, *d;
	struct inode *i = dentry_inode(dir);

	if (*position == 0) {
		fill_entry(out, i, ".", 1);
		*position = 1;
		return KERR_OK;
	}
	if (*position == 1) {
		rcu_read_lock();
		fill_entry(out, dentry_inode(dentry_parent(dir)), "..", 2);
		rcu_read_unlock();
		*position = 2;
		return KERR_OK;
	}
	mutex_lock(&i->lock);
	d = directory_at(tmpfs_directory(i), *position);
	if (d) {
		const struct dentry_name *n = dentry_name(d);
		fill_entry(out, dentry_inode(d), n->text, n->length);
		*position = d->cookie + 1;
	}
	mutex_unlock(&i->lock);
	return d ? KERR_OK : KERR_NOENT;
}

const struct file_ops cache_directory_ops = {.read_directory = read_directory};

/* ---- Superblocks --------------------------------------------------------------------------------- */

struct options {
	uint64_t pages, inodes;
	uint32_t mode, uid, gid;
};

static uint64_t parse_size(const char *text, const char **end, uint64_t ram)
{
	uint64_t n = str_to_u64(text, end, 10);

	switch (**end) {
	case 'g':
	case 'G':
		n <<= 10;
		[[fallthrough]];
	case 'm':
	case 'M':
		n <<= 10;
		[[fallthrough]];
	case 'k':
	case 'K':
		n <<= 10;
		(*end)++;
		break;
	case '%':
		n = ram / 100 * n;
		(*end)++;
		break;
	}
	return n;
}

static enum kerr parse_option(const char *word, struct options *o, uint64_t ram)
{
	const char *value = strchr(word, '='), *end = "";

	if (!value)
		return KERR_OK; /* a flag that another tmpfs knows */
	size_t length = (size_t)(value++ - word);
	if (length == 4 && memcmp(word, "size", 4) == 0)
		o->pages = (parse_size(value, &end, ram) + PAGE_SIZE - 1) >> PAGE_SHIFT;
	else if (length == 9 && memcmp(word, "nr_blocks", 9) == 0)
		o->pages = parse_size(value, &end, ram);
	else if (length == 9 && memcmp(word, "nr_inodes", 9) == 0)
		o->inodes = parse_size(value, &end, ram);
	else if (length == 4 && memcmp(word, "mode", 4) == 0)
		o->mode = (uint32_t)str_to_u64(value, &end, 8) & 07777;
	else if (length == 3 && memcmp(word, "uid", 3) == 0)
		o->uid = (uint32_t)str_to_u64(value, &end, 10);
	else if (length == 3 && memcmp(word, "gid", 3) == 0)
		o->gid = (uint32_t)str_to_u64(value, &end, 10);
	else
		return KERR_INVAL;
	return end == value || *end ? KERR_INVAL : KERR_OK;
}

static enum kerr parse_options(const char *text, struct options *o)
{
	uint64_t ram = frame_totals().total << PAGE_SHIFT;
	char word[64];

	while (*text) {
		const char *comma = strchr(text, ',');
		size_t length = comma ? (size_t)(comma - text) : strlen(text);
		if (length >= sizeof(word))
			return KERR_INVAL;
		memcpy(word, text, length);
		word[length] = 0;
		if (length) {
			enum kerr err = parse_option(word, o, ram);
			if (err != KERR_OK)
				return err;
		}
		text += length + (comma != nullptr);
	}
	return KERR_OK;
}

static void statistics(struct superblock *sb, struct filesystem_statistics *out)
{
	struct tmpfs *t = tmpfs_of(sb);
	uint64_t pages = t->pages, inodes = t->inodes;

	out->blocks = t->page_limit;
	out->free_blocks = t->page_limit > pages ? t->page_limit - pages : 0;
	out->inodes = t->inode_limit;
	out->free_inodes = t->inode_limit > inodes ? t->inode_limit - inodes : 0;
}

static size_t show_options(struct superblock *sb, char *buf, size_t size)
{
	struct tmpfs *t = tmpfs_of(sb);
	uint32_t mode = dentry_inode(sb->root)->mode & 07777;
	int n = format(buf, size, "size=%luk,nr_inodes=%lu", (unsigned long)(t->page_limit * 4),
		       (unsigned long)t->inode_limit);

	if (mode != 01777)
		n += format(buf + n, size - (size_t)n, ",mode=%o", mode);
	return (size_t)n;
}

static enum kerr remount(struct superblock *sb, const char *text)
{
	struct tmpfs *t = tmpfs_of(sb);
	struct options o = {.pages = t->page_limit, .inodes = t->inode_limit};
	enum kerr err = parse_options(text, &o);

	if (err != KERR_OK)
		return err;
	if ((o.pages && o.pages < t->pages) || (o.inodes && o.inodes < t->inodes))
		return KERR_INVAL; /* nothing that is there is lost */
	t->page_limit = o.pages;
	t->inode_limit = o.inodes;
	return KERR_OK;
}

static void superblock_release(struct superblock *sb)
{
	heap_free(tmpfs_of(sb));
}

static const struct superblock_ops superblock_ops = {
	.statistics = statistics,
	.options = show_options,
	.remount = remount,
	.release = superblock_release,
};

enum kerr tmpfs_create(const struct filesystem *type, const char *text, struct tmpfs **out)
{
	uint64_t half = frame_totals().total / 2;
	struct options o = {.pages = half, .inodes = half, .mode = 01777};
	struct tmpfs *t;
	struct inode *root;
	enum kerr err = parse_options(text, &o);

	if (err != KERR_OK)
		return err;
	t = heap_alloc_zeroed(sizeof(*t));
	if (!t)
		return KERR_NOMEM;
	superblock_init(&t->sb, type, &superblock_ops);
	t->page_limit = o.pages;
	t->inode_limit = o.inodes;
	err = tmpfs_inode_create(&t->sb, nullptr, S_IFDIR | o.mode, 0, nullptr, &root);
	if (err != KERR_OK)
		goto fail;
	root->uid = o.uid;
	root->gid = o.gid;
	t->sb.root = dentry_create(&t->sb, nullptr, "", 0);
	if (!t->sb.root) {
		err = KERR_NOMEM;
		inode_put(root);
		goto fail;
	}
	dentry_set_inode(t->sb.root, root);
	*out = t;
	return KERR_OK;
fail:
	superblock_put(&t->sb);
	return err;
}

enum kerr tmpfs_mount(const struct filesystem *type, const char *source, const char *options,
		      struct superblock **out)
{
	struct tmpfs *t;
	enum kerr err = tmpfs_create(type, options, &t);

	if (err == KERR_OK)
		*out = &t->sb;
	return err;
}

const struct filesystem tmpfs_type = {.name = "tmpfs", .magic = 0x01021994, .mount = tmpfs_mount};
/* The first mount, under the name that programs know it by; nobody can mount it again. */
const struct filesystem rootfs_type = {.name = "rootfs", .magic = 0x01021994, .mount = tmpfs_mount};
