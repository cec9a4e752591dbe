/*
 * Open files: their life, and reading and writing through them.
 *
 * A file is freed after a grace period, because fd_get() looks at it without a lock. Its shared offset
 * is guarded by f->position, a sleeping mutex, so that two readers of one offset get different
 * bytes, as POSIX wants; streams (pipes, terminals, /dev/null) have no offset and take no lock.
 */
#include "vfs_private.h"

#include <exec/process.h>
#include <fs/poll.h>
#include <mm/heap.h>
#include <mm/user_copy.h>

#define COPY_CHUNK 16384u

static struct cache *file_cache RO_AFTER_INIT;

enum kerr file_cache_init(void)
{
	file_cache = cache_create("file", sizeof(struct file), 0);
	return file_cache ? KERR_OK : KERR_NOMEM;
}

size_t io_to_buffer(const struct io_buffer *b, size_t at, const void *src, size_t size)
{
	if (b->user)
		return user_write_partial(b->addr + at, src, size);
	memcpy((void *)(b->addr + at), src, size);
	return size;
}

size_t io_from_buffer(const struct io_buffer *b, size_t at, void *dst, size_t size)
{
	if (b->user)
		return user_read_partial(dst, b->addr + at, size);
	memcpy(dst, (const void *)(b->addr + at), size);
	return size;
}

/* ---- Life -------------------------------------------------------------------------------------- */

static struct file *file_new(int flags)
{
	struct file *f = cache_alloc(file_cache);

	if (!f)
		return nullptr;
	*f = (struct file){};
	atomic_init(&f->references, 1);
	atomic_init(&f->flags, (uint32_t)flags & ~(uint32_t)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC |
							     O_CLOEXEC));
	if (!(flags & O_PATH)) {
		f->readable = (flags & O_ACCMODE) != O_WRONLY;
		f->writable = (flags & O_ACCMODE) != O_RDONLY;
	}
	mutex_init(&f->position, "file.position");
	return f;
}

enum kerr file_create(struct inode *inode, const struct file_ops *ops, int flags, struct file **out)
{
	struct file *f = file_new(flags);

	if (!f)
		return KERR_NOMEM;
	f->inode = inode;
	f->ops = ops;
	f->stream = true;
	*out = f;
	return KERR_OK;
}

static const struct file_ops no_ops = {};

enum kerr file_create_at(const struct path *p, int flags, struct file **out)
{
	struct file *f = file_new(flags);

	if (!f)
		return KERR_NOMEM;
	f->path = *p;
	path_get(p);
	f->inode = path_inode(p);
	f->ops = &no_ops;
	*out = f;
	return KERR_OK;
}

static void file_free(struct rcu_head *head)
{
	cache_free(file_cache, container_of(head, struct file, rcu));
}

void file_free_unopened(struct file *f)
{
	if (f->write_counted)
		atomic_fetch_sub(&f->inode->writers, 1);
	if (f->path.dentry)
		path_put(&f->path);
	else
		inode_put(f->inode);
	rcu_call(&f->rcu, file_free);
}

static void (*end_watches)(struct file *f) RO_AFTER_INIT;

void file_watch_register(void (*end)(struct file *f))
{
	end_watches = end;
}

void file_put_last(struct file *f)
{
	/* Who ends a watch by itself touches the file last when it clears this. */
	if (unlikely(atomic_load_explicit(&f->watchers, memory_order_acquire)))
		end_watches(f);
	locks_release(f, f);
	if (f->ops->close)
		f->ops->close(f);
	if (f->write_counted) {
		/* A program's file counts the other way. */
		atomic_fetch_add(&f->inode->writers, f->writable ? -1 : 1);
		f->write_counted = false;
	}
	file_free_unopened(f);
}

void file_set_flags(struct file *f, unsigned flags)
{
	uint32_t old = atomic_load_explicit(&f->flags, memory_order_relaxed);

	while (!atomic_compare_exchange_weak(
		&f->flags, &old, (old & ~(uint32_t)O_SETFL_MASK) | (flags & O_SETFL_MASK)))
		;
}

enum kerr file_stat(struct file *f, struct inode_attributes *out)
{
	inode_attributes_get(f->inode, out);
	return KERR_OK;
}

enum kerr file_set_attributes(struct file *f, const struct inode_attributes *a, unsigned which)
{
	return f->path.dentry ? vfs_set_attributes(&f->path, a, which)
			      : inode_set_attributes(f->inode, a, which);
}

unsigned file_poll(struct file *f, struct poll_table *table)
{
	return f->ops->poll ? f->ops->poll(f, table)
			    : POLL_IN | POLL_OUT | POLL_RDNORM | POLL_WRNORM;
}

enum kerr file_ioctl(struct file *f, unsigned command, vaddr_t argument, long *result)
{
	*result = 0;
	return f->ops->ioctl ? f->ops->ioctl(f, command, argument, result) : KERR_NOTTY;
}

enum kerr file_map(struct file *f, struct vm_object **out)
{
	return f->ops->map ? f->ops->map(f, out) : KERR_NODEV;
}

/* ---- Reading and writing ----------------------------------------------------------------------- */

static enum kerr read_allowed(const struct file *f)
{
	if (!f->readable)
		return KERR_BADF;
	if (unlikely(!f->ops->read))
		return inode_is(f->inode, S_IFDIR) ? KERR_ISDIR : KERR_INVAL;
	return KERR_OK;
}

static enum kerr write_allowed(const struct file *f)
{
	if (!f->writable)
		return KERR_BADF;
	return likely(f->ops->write) ? KERR_OK : KERR_INVAL;
}

enum kerr file_read(struct file *f, const struct io_buffer *b, size_t *done)
{
	enum kerr err = read_allowed(f);

	*done = 0;
	if (unlikely(err != KERR_OK))
		return err;
	if (f->stream)
		return f->ops->read(f, b, 0, done);
	mutex_lock(&f->position);
	err = f->ops->read(f, b, f->offset, done);
	f->offset += *done;
	mutex_unlock(&f->position);
	return err;
}

enum kerr file_write(struct file *f, const struct io_buffer *b, size_t *done)
{
	enum kerr err = write_allowed(f);

	*done = 0;
	if (unlikely(err != KERR_OK))
		return err;
	if (f->stream)
		return f->ops->write(f, b, 0, done);
	mutex_lock(&f->position);
	if (atomic_load_explicit(&f->flags, memory_order_relaxed) & O_APPEND) {
		err = f->ops->write(f, b, UINT64_MAX, done);
		if (*done && f->inode->object)
			f->offset = f->inode->object->size;
	} else {
		err = f->ops->write(f, b, f->offset, done);
		f->offset += *done;
	}
	mutex_unlock(&f->position);
	return err;
}

enum kerr file_read_at(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	enum kerr err = read_allowed(f);

	*done = 0;
	if (err != KERR_OK)
		return err;
	if (f->stream && !inode_is(f->inode, S_IFCHR))
		return KERR_SPIPE;
	return f->ops->read(f, b, offset, done);
}

enum kerr file_write_at(struct file *f, const struct io_buffer *b, uint64_t offset, size_t *done)
{
	enum kerr err = write_allowed(f);

	*done = 0;
	if (err != KERR_OK)
		return err;
	if (f->stream && !inode_is(f->inode, S_IFCHR))
		return KERR_SPIPE;
	/* As on Linux, O_APPEND wins over the offset. */
	bool append = atomic_load_explicit(&f->flags, memory_order_relaxed) & O_APPEND;
	return f->ops->write(f, b, append ? UINT64_MAX : offset, done);
}

/* At the end of every file is a hole. */
static enum kerr seek_data(struct vm_object *o, int64_t offset, bool data, int64_t *out)
{
	uint64_t at, size = o ? atomic_load_explicit(&o->size, memory_order_relaxed) : 0;

	if (offset < 0 || (uint64_t)offset >= size)
		return KERR_NXIO;
	if (o->ops->fill) /* what is not in memory may be data */
		at = data ? (uint64_t)offset : size;
	else if (!vm_object_seek(o, (uint64_t)offset, data, &at))
		return KERR_NXIO;
	*out = (int64_t)at;
	return KERR_OK;
}

static enum kerr seek_target(const struct file *f, int64_t offset, int whence, int64_t *out)
{
	int64_t size = f->inode->object ? (int64_t)f->inode->object->size : 0, base;

	switch (whence) {
	case SEEK_SET:
		base = 0;
		break;
	case SEEK_CUR:
		base = (int64_t)f->offset;
		break;
	case SEEK_END:
		base = size;
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		return seek_data(f->inode->object, offset, whence == SEEK_DATA, out);
	default:
		return KERR_INVAL;
	}
	if (__builtin_add_overflow(base, offset, out))
		return KERR_OVERFLOW;
	return *out < 0 ? KERR_INVAL : KERR_OK;
}

enum kerr file_seek(struct file *f, int64_t offset, int whence, uint64_t *out)
{
	int64_t target;
	enum kerr err;

	if (f->ops->seek)
		return f->ops->seek(f, offset, whence, out);
	if (f->stream)
		return KERR_SPIPE;
	mutex_lock(&f->position);
	err = seek_target(f, offset, whence, &target);
	if (err == KERR_OK)
		*out = f->offset = (uint64_t)target;
	mutex_unlock(&f->position);
	return err;
}

enum kerr file_truncate(struct file *f, uint64_t size)
{
	struct inode_attributes a = {.size = size};

	if (!f->writable || !inode_is(f->inode, S_IFREG))
		return KERR_INVAL;
	return file_set_attributes(f, &a, ATTR_SIZE | ATTR_OPEN | ATTR_MTIME_NOW);
}

enum kerr file_read_directory(struct file *f, struct directory_entry *out)
{
	if (!f->ops->read_directory)
		return KERR_NOTDIR;
	enum kerr err = f->ops->read_directory(f, &f->offset, out);
	out->position = f->offset;
	return err;
}

static enum kerr copy_read(struct file *in, uint64_t *offset, const struct io_buffer *b,
			   size_t *done)
{
	enum kerr err = offset ? file_read_at(in, b, *offset, done) : file_read(in, b, done);

	if (offset)
		*offset += *done;
	return err;
}

static enum kerr copy_write(struct file *out, uint64_t *offset, vaddr_t at, size_t size)
{
	size_t moved;

	while (size) {
		struct io_buffer b = {at, size, false};
		enum kerr err = offset ? file_write_at(out, &b, *offset, &moved)
				       : file_write(out, &b, &moved);
		if (offset)
			*offset += moved;
		at += moved;
		size -= moved;
		if (err != KERR_OK)
			return err;
		if (moved == 0)
			return KERR_IO;
	}
	return KERR_OK;
}

enum kerr file_copy(struct file *in, uint64_t *in_offset, struct file *out, uint64_t *out_offset,
		    size_t size, size_t *done)
{
	uint8_t *chunk;
	enum kerr err = KERR_OK;

	*done = 0;
	if (in->stream) /* a second read here would swallow what ends a terminal's input */
		return KERR_INVAL;
	chunk = heap_alloc(COPY_CHUNK);
	if (!chunk)
		return KERR_NOMEM;
	while (*done < size) {
		struct io_buffer b = {(vaddr_t)chunk, MIN(size - *done, COPY_CHUNK), false};
		size_t moved;
		err = copy_read(in, in_offset, &b, &moved);
		if (err != KERR_OK || moved == 0)
			break;
		err = copy_write(out, out_offset, (vaddr_t)chunk, moved);
		if (err != KERR_OK)
			break;
		*done += moved;
	}
	heap_free(chunk);
	return *done ? KERR_OK : err;
}
