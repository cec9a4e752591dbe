/*
 * Devices and their filesystem, devtmpfs: one tmpfs superblock that all mounts of it share and
 * that the kernel fills.
 *
 * A node in devtmpfs knows its device (inode->private), so opening it is one indirect call; a node
 * made by mknod finds it by number. Devices are a list under device_lock, a mutex.
 *
 * A device of a loaded module goes away while programs open it. Opening refers to its module first, under
 * rcu: whoever still finds the device either gets the module or is told that it is not there, and the
 * module's memory stays for a grace period after device_remove(). An open file keeps its module.
 */
#include "guarded.h"
#include "tmpfs.h"

#include <core/log.h>
#include <fs/device.h>
#include <mm/heap.h>
#include <module/module.h>

struct device_entry {
	struct list link;
	const struct device *device;
	struct inode *node; /* referenced: it may be renamed, linked and unlinked like others */
};

static struct mutex device_lock = MUTEX_INIT(device_lock);
static struct list devices = LIST_INIT(devices); /* (device_lock) in order of number */
static struct tmpfs *devtmpfs;                   /* (const after boot) */
static enum kerr (*fifo_open)(struct inode *i, struct file *f); /* (boot) */
static void (*fifo_release)(struct inode *i);                   /* (boot) */

static enum kerr devtmpfs_mount(const struct filesystem *type, const char *source,
				const char *options, struct superblock **out)
{
	superblock_get(&devtmpfs->sb);
	*out = &devtmpfs->sb;
	return KERR_OK;
}

const struct filesystem devtmpfs_type = {
	.name = "devtmpfs", .magic = 0x01021994, .mount = devtmpfs_mount};

enum kerr devtmpfs_init(void)
{
	enum kerr err = tmpfs_create(&devtmpfs_type, "mode=755", &devtmpfs);

	if (err == KERR_OK)
		devtmpfs->sb.singleton = true;
	return err;
}

static void node_set(struct device_entry *e, struct inode *i)
{
	inode_get(i);
	e->node = i;
	__atomic_store_n(&i->private, (void *)e->device, __ATOMIC_RELEASE);
}

/* Makes `name` below the root, and the directories on the way. Null `e`: no device's. */
static enum kerr make_node(const char *name, uint32_t mode, uint64_t number, const char *target,
			   struct device_entry *e)
{
	struct dentry *parent = devtmpfs->sb.root, *d = nullptr;
	enum kerr err;

	dentry_get(parent);
	for (;; d = nullptr) {
		const char *slash = strchr(name, '/');
		size_t length = slash ? (size_t)(slash - name) : strlen(name);
		struct inode *dir = dentry_inode(parent);
		mutex_lock(&dir->lock);
		err = vfs_lookup_one(parent, name, (uint32_t)length, name_hash(name, length), &d);
		if (err == KERR_OK && !dentry_inode(d))
			err = dir->ops->make(dir, d, slash ? S_IFDIR | 0755u : mode, number,
					     target);
		else if (err == KERR_OK && !slash)
			err = KERR_EXIST;
		else if (err == KERR_OK && !inode_is(dentry_inode(d), S_IFDIR))
			err = KERR_NOTDIR;
		if (err == KERR_OK && !slash && e)
			node_set(e, dentry_inode(d));
		mutex_unlock(&dir->lock);
		dentry_put(parent);
		if (err != KERR_OK || !slash) {
			if (d)
				dentry_put(d);
			return err;
		}
		parent = d;
		name = slash + 1;
	}
}

enum kerr device_link(const char *name, const char *target)
{
	return make_node(name, S_IFLNK | 0777, 0, target, nullptr);
}

enum kerr device_add(const struct device *d)
{
	struct device_entry *e = heap_alloc(sizeof(*e)), *at;
	enum kerr err;

	if (!e)
		return KERR_NOMEM;
	e->device = d;
	err = make_node(d->name, (d->block ? S_IFBLK : S_IFCHR) | d->mode, d->number, nullptr, e);
	if (err != KERR_OK) {
		heap_free(e);
		return err;
	}
	mutex_lock(&device_lock);
	list_for_each(at, &devices, link)
		if (at->device->number > d->number)
			break;
	list_add_tail(&at->link, &e->link); /* before `at`, or at the end */
	mutex_unlock(&device_lock);
	return KERR_OK;
}

/* Whoever opens the node, by whichever name it has now, looks for another device of its number. The name that it
 * was made with goes, if it still leads there. */
static void remove_node(const char *name, struct inode *node)
{
	struct dentry *parent = devtmpfs->sb.root, *d;
	const char *slash;

	__atomic_store_n(&node->private, nullptr, __ATOMIC_RELEASE);
	dentry_get(parent);
	while ((slash = strchr(name, '/'))) {
		size_t length = (size_t)(slash - name);
		d = dcache_find_exact(parent, name, (uint32_t)length, name_hash(name, length));
		dentry_put(parent);
		if (!d)
			return;
		parent = d;
		name = slash + 1;
	}
	struct inode *dir = dentry_inode(parent);
	if (!dir) { /* renamed */
		dentry_put(parent);
		return;
	}
	size_t length = strlen(name);
	mutex_lock(&dir->lock);
	d = dcache_find_exact(parent, name, (uint32_t)length, name_hash(name, length));
	if (d && dentry_inode(d) == node && dir->ops->unlink(dir, d) == KERR_OK)
		dentry_unhash(d);
	mutex_unlock(&dir->lock);
	if (d)
		dentry_put(d);
	dentry_put(parent);
}

void device_remove(const struct device *d)
{
	struct device_entry *e, *found = nullptr;

	mutex_lock(&device_lock);
	list_for_each(e, &devices, link)
		if (e->device == d)
			found = e;
	if (found)
		list_remove(&found->link);
	mutex_unlock(&device_lock);
	if (!found)
		return;
	remove_node(d->name, found->node);
	inode_put(found->node);
	heap_free(found);
}

bool device_next(bool block, uint64_t after, uint64_t *number, char driver[32])
{
	struct device_entry *e;
	bool found = false;

	mutex_lock(&device_lock);
	list_for_each(e, &devices, link)
		if (e->device->block == block && e->device->number > after) {
			*number = e->device->number;
			strlcpy(driver, e->device->driver ? e->device->driver : e->device->name,
				32);
			found = true;
			break;
		}
	mutex_unlock(&device_lock);
	return found;
}

void vfs_fifo_register(enum kerr (*open)(struct inode *i, struct file *f),
		       void (*release)(struct inode *i))
{
	fifo_open = open;
	fifo_release = release;
}

/* The device of a node, its owner referenced; null: there is none. */
static const struct device *device_of(const struct inode *i)
{
	rcu_read_lock();
	const struct device *d = __atomic_load_n(&i->private, __ATOMIC_ACQUIRE);
	bool got = d && module_get(d->owner);
	rcu_read_unlock();
	if (got)
		return d;
	struct device_entry *e;
	mutex_lock(&device_lock);
	d = nullptr;
	list_for_each(e, &devices, link)
		if (e->device->number == i->rdev && e->device->block == inode_is(i, S_IFBLK) &&
		    module_get(e->device->owner)) {
			d = e->device;
			break;
		}
	mutex_unlock(&device_lock);
	return d;
}

enum kerr special_open(struct inode *i, struct file *f)
{
	if (inode_is(i, S_IFIFO))
		return fifo_open ? fifo_open(i, f) : KERR_NXIO;
	if (!inode_is(i, S_IFCHR) && !inode_is(i, S_IFBLK))
		return KERR_NXIO;
	const struct device *d = device_of(i);
	if (!d)
		return KERR_NXIO;
	f->owner = d->owner;
	if (d->owner)
		return guarded_open(d, f);
	if (d->open)
		return d->open(d, f);
	f->ops = d->ops;
	f->stream = true;
	return KERR_OK;
}

void special_release(struct inode *i)
{
	if (i->private && fifo_release)
		fifo_release(i);
}
