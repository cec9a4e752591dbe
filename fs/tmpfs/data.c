/*
 * tmpfs: the contents of regular files.
 *
 * A file's data is a vm_object: read, write and mmap see the same pages, holes cost nothing.
 * The object is part of the node; it keeps the node's memory and the superblock (for the limits)
 * until its last mapping goes, also when the file has long been deleted.
 *
 * Pages are charged one by one as they come to be (also by page faults). A write that meets the
 * limit keeps what it has written; what was there is untouched.
 *
 * Writes and truncations hold the inode's lock; reads hold none: they look at the size once.
 */
#include "tmpfs.h"

#include <core/time.h>
#include <exec/domain.h>
#include <exec/process.h>
#include <exec/signal.h>

#define SIZE_MAX_FILE (((uint64_t)1 << 47) - PAGE_SIZE)
#define FALLOC_KEEP_SIZE 0x1
#define FALLOC_PUNCH_HOLE 0x2
#define FALLOC_ZERO_RANGE 0x10

static struct tmpfs *object_tmpfs(struct vm_object *o)
{
	struct inode *i = o->owner;

	return tmpfs_of(i->sb);
}

static enum kerr charge(struct vm_object *o, uint64_t pages)
{
	struct tmpfs *t = object_tmpfs(o);
	uint64_t limit = atomic_load_explicit(&t->page_limit, memory_order_relaxed);
	uint64_t used = atomic_fetch_add_explicit(&t->pages, pages, memory_order_relaxed);

	if (likely(!limit || used + pages <= limit))
		return KERR_OK;
	atomic_fetch_sub_explicit(&t->pages, pages, memory_order_relaxed);
	return KERR_NOSPC;
}

static void uncharge(struct vm_object *o, uint64_t pages)
{
	atomic_fetch_sub_explicit(&object_tmpfs(o)->pages, pages, memory_order_relaxed);
}

static void destroy(struct vm_object *o)
{
	struct superblock *sb = ((struct inode *)o->owner)->sb;

	tmpfs_node_free(container_of(o, struct tmpfs_node, object));
	superblock_put(sb);
}

const struct vm_object_ops tmpfs_object_ops = {
	.name = "tmpfs",
	.charge = charge,
	.uncharge = uncharge,
	.destroy = destroy,
};

static void accessed(struct file *f)
{
	struct inode *i = f->inode;

	/* Once after each change, as relatime. */
	if (i->atime <= i->mtime && !(f->path.mount->flags & MS_NOATIME))
		i->atime = time_wall();
}

static enum kerr data_read(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	struct vm_object *o = f->inode->object;
	uint64_t size = atomic_load_explicit(&o->size, memory_order_acquire);

	*done = 0;
	accessed(f);
	if (offset >= size)
		return KERR_OK;
	enum kerr err =
		vm_object_read(o, offset, b->addr, MIN(b->size, size - offset), b->user, done);
	return *done ? KERR_OK : err;
}

/* How many of `size` bytes may be written at `offset`. */
static enum kerr write_allowed(uint64_t offset, size_t *size)
{
	uint64_t limit = process_limit(RLIMIT_FSIZE);

	if (offset >= limit) {
		process_signal(current_process(), SIGXFSZ);
		return KERR_FBIG;
	}
	if (offset >= SIZE_MAX_FILE)
		return KERR_FBIG;
	*size = MIN(*size, MIN(limit, SIZE_MAX_FILE) - offset);
	return KERR_OK;
}

static enum kerr data_write(struct file *f, const struct io_buffer *b, uint64_t offset,
			    size_t *done)
{
	struct inode *i = f->inode;
	struct vm_object *o = i->object;
	size_t size = b->size;
	enum kerr err;

	*done = 0;
	if (size == 0)
		return KERR_OK;
	mutex_lock(&i->lock);
	uint64_t old = o->size;
	if (offset == UINT64_MAX)
		offset = old;
	err = write_allowed(offset, &size);
	if (err == KERR_OK) {
		err = vm_object_write(o, offset, b->addr, size, b->user, done);
		if (offset + *done > old && *done)
			atomic_store_explicit(&o->size, offset + *done, memory_order_release);
		if (i->mode & (S_ISUID | S_ISGID) &&
		    !process_has_privilege(TERN_CAP_FILE_OWNER, LINUX_CAP_FSETID))
			i->mode &= ~(S_ISUID | (i->mode & 010 ? S_ISGID : 0));
		inode_touch(i);
	}
	mutex_unlock(&i->lock);
	return *done ? KERR_OK : err;
}

static enum kerr data_map(struct file *f, struct vm_object **out)
{
	vm_object_get(f->inode->object);
	*out = f->inode->object;
	return KERR_OK;
}

/* The inode's lock is held. Pages of [offset, end) that are missing are made. */
static enum kerr allocate_pages(struct vm_object *o, uint64_t offset, uint64_t end)
{
	enum kerr err = KERR_OK;

	for (uint64_t page = offset >> PAGE_SHIFT; page << PAGE_SHIFT < end && err == KERR_OK;
	     page++) {
		struct frame *frame;
		err = vm_object_page(o, page, true, &frame);
		if (err == KERR_OK)
			frame_put(frame);
	}
	return err;
}

/* Linux's tmpfs knows no ZERO_RANGE; it means here what it means on its disks. */
static enum kerr data_allocate(struct file *f, int mode, uint64_t offset, uint64_t size)
{
	struct inode *i = f->inode;
	struct vm_object *o = i->object;
	uint64_t end;
	enum kerr err = KERR_OK;
	int kind = mode & ~FALLOC_KEEP_SIZE;

	if (kind && kind != FALLOC_ZERO_RANGE && mode != (FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE))
		return KERR_OPNOTSUPP;
	if (__builtin_add_overflow(offset, size, &end) || end > SIZE_MAX_FILE)
		return KERR_FBIG;
	if (kind != FALLOC_PUNCH_HOLE && end > process_limit(RLIMIT_FSIZE))
		return KERR_FBIG;
	mutex_lock(&i->lock);
	if (kind)
		vm_object_punch(o, offset, end);
	if (kind != FALLOC_PUNCH_HOLE)
		err = allocate_pages(o, offset, end);
	if (err == KERR_OK && !(mode & FALLOC_KEEP_SIZE) && end > o->size)
		atomic_store_explicit(&o->size, end, memory_order_release);
	if (kind)
		inode_touch(i);
	mutex_unlock(&i->lock);
	return err;
}

const struct file_ops tmpfs_file_ops = {
	.read = data_read,
	.write = data_write,
	.map = data_map,
	.allocate = data_allocate,
};

/* The inode's lock is held. */
enum kerr tmpfs_set_size(struct inode *i, uint64_t size)
{
	if (size > SIZE_MAX_FILE)
		return KERR_FBIG;
	vm_object_truncate(i->object, size);
	i->mtime = time_wall();
	return KERR_OK;
}
