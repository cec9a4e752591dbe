/*
 * Moving bytes: read, write and their relatives. A transfer that moved something reports that and
 * keeps its error for the next call; sizes are cut at 2 GiB less a page, as on Linux.
 */
#include "at.h"
#include "gate.h"
#include <fs/poll.h>
#include <mm/heap.h>

enum direction { READ, WRITE };

static inline long outcome(enum kerr err, size_t done)
{
	return likely(err == KERR_OK) || done ? (long)done : restartable(err);
}

SYSCALL(read)
{
	const struct io_buffer b = {.addr = a1, .size = MIN(a2, TRANSFER_MAX), .user = true};
	size_t done = 0;

	struct file *f = fd_get((int)a0);
	if (unlikely(!f))
		return KERR_BADF;
	enum kerr err =
		likely(user_range_ok(b.addr, b.size)) ? file_read(f, &b, &done) : KERR_FAULT;
	file_put(f);
	return outcome(err, done);
}

SYSCALL(write)
{
	const struct io_buffer b = {.addr = a1, .size = MIN(a2, TRANSFER_MAX), .user = true};
	size_t done = 0;

	struct file *f = fd_get((int)a0);
	if (unlikely(!f))
		return KERR_BADF;
	enum kerr err =
		likely(user_range_ok(b.addr, b.size)) ? file_write(f, &b, &done) : KERR_FAULT;
	file_put(f);
	return outcome(err, done);
}

static long transfer_at(enum direction way, int fd, vaddr_t addr, size_t size, int64_t offset)
{
	const struct io_buffer b = {.addr = addr, .size = MIN(size, TRANSFER_MAX), .user = true};
	size_t done = 0;
	enum kerr err;

	if (offset < 0)
		return KERR_INVAL;
	struct file *f = fd_get(fd);
	if (!f)
		return KERR_BADF;
	if (!user_range_ok(b.addr, b.size))
		err = KERR_FAULT;
	else if (way == READ)
		err = file_read_at(f, &b, (uint64_t)offset, &done);
	else
		err = file_write_at(f, &b, (uint64_t)offset, &done);
	file_put(f);
	return outcome(err, done);
}

SYSCALL(pread64)
{
	return transfer_at(READ, (int)a0, a1, a2, (int64_t)a3);
}

SYSCALL(pwrite64)
{
	return transfer_at(WRITE, (int)a0, a1, a2, (int64_t)a3);
}

/* ---- vectors ---- */

/* A negative offset: the file's own. */
static enum kerr one_transfer(enum direction way, struct file *f, const struct io_buffer *b,
			      int64_t offset, size_t *done)
{
	if (offset >= 0)
		return way == READ ? file_read_at(f, b, (uint64_t)offset, done)
				   : file_write_at(f, b, (uint64_t)offset, done);
	return way == READ ? file_read(f, b, done) : file_write(f, b, done);
}

/* One part after the other, as long as each is moved whole. */
static enum kerr transfer_parts(enum direction way, struct file *f, const struct io_buffer *v,
				unsigned long count, int64_t offset, size_t *total)
{
	enum kerr err = KERR_OK;

	for (unsigned long i = 0; i < count; i++) {
		size_t done = 0;
		if (v[i].size == 0 && i + 1 < count)
			continue;
		/* What is there already must not wait for more. */
		if (*total && way == READ && f->stream && !(file_poll(f, nullptr) & POLL_IN))
			break;
		err = one_transfer(way, f, &v[i], offset < 0 ? offset : offset + (int64_t)*total,
				   &done);
		*total += done;
		if (err != KERR_OK || done < v[i].size)
			break;
	}
	return err;
}

static long transfer_vector(enum direction way, int fd, vaddr_t vector, unsigned long count,
			    int64_t offset)
{
	struct io_buffer small[VECTOR_SMALL], *v;
	size_t total = 0;
	struct file *f = fd_get(fd);

	if (!f)
		return KERR_BADF;
	enum kerr err = vector_read(vector, count, small, &v);
	if (err != KERR_OK)
		goto out;
	if (offset >= 0 || !f->ops->read_vector || !(way == READ ? f->readable : f->writable))
		err = transfer_parts(way, f, v, count, offset, &total);
	else if (way == READ)
		err = f->ops->read_vector(f, v, count, &total);
	else
		err = f->ops->write_vector(f, v, count, &total);
	vector_end(v, small);
out:
	file_put(f);
	return outcome(err, total);
}

SYSCALL(readv)
{
	return transfer_vector(READ, (int)a0, a1, a2, -1);
}

SYSCALL(writev)
{
	return transfer_vector(WRITE, (int)a0, a1, a2, -1);
}

SYSCALL(preadv)
{
	return (int64_t)a3 < 0 ? KERR_INVAL : transfer_vector(READ, (int)a0, a1, a2, (int64_t)a3);
}

SYSCALL(pwritev)
{
	return (int64_t)a3 < 0 ? KERR_INVAL : transfer_vector(WRITE, (int)a0, a1, a2, (int64_t)a3);
}

SYSCALL(preadv2)
{
	if (a5)
		return KERR_OPNOTSUPP;
	return (int64_t)a3 < -1 ? KERR_INVAL : transfer_vector(READ, (int)a0, a1, a2, (int64_t)a3);
}

SYSCALL(pwritev2)
{
	if (a5)
		return KERR_OPNOTSUPP;
	return (int64_t)a3 < -1 ? KERR_INVAL : transfer_vector(WRITE, (int)a0, a1, a2, (int64_t)a3);
}

/* ---- position and size ---- */

SYSCALL(lseek)
{
	uint64_t out;
	struct file *f = fd_get((int)a0);

	if (!f)
		return KERR_BADF;
	enum kerr err = file_seek(f, (int64_t)a1, (int)a2, &out);
	file_put(f);
	return err == KERR_OK ? (long)out : err;
}

SYSCALL(ftruncate)
{
	struct file *f = fd_get((int)a0);

	if (!f)
		return KERR_BADF;
	enum kerr err = (int64_t)a1 < 0 || !f->writable ? KERR_INVAL : file_truncate(f, a1);
	file_put(f);
	return err;
}

SYSCALL(truncate)
{
	const struct inode_attributes a = {.size = a1};
	struct path p;

	if ((int64_t)a1 < 0)
		return KERR_INVAL;
	enum kerr err = at_lookup(AT_FDCWD, a0, 0, &p);
	if (err != KERR_OK)
		return err;
	const struct inode *i = path_inode(&p);
	err = inode_is(i, S_IFDIR)    ? KERR_ISDIR
	      : !inode_is(i, S_IFREG) ? KERR_INVAL
				      : vfs_set_attributes(&p, &a, ATTR_SIZE);
	path_put(&p);
	return err;
}

SYSCALL(fallocate)
{
	struct file *f = fd_get((int)a0);

	if (!f)
		return KERR_BADF;
	enum kerr err;
	if ((int64_t)a2 < 0 || (int64_t)a3 <= 0)
		err = KERR_INVAL;
	else if (!f->writable)
		err = KERR_BADF;
	else if (f->stream)
		err = KERR_SPIPE;
	else
		err = f->ops->allocate ? f->ops->allocate(f, (int)a1, a2, a3) : KERR_OPNOTSUPP;
	file_put(f);
	return err;
}

/* ---- between files ---- */

/* An offset argument in user memory, or null for the file's own. */
static enum kerr offset_read(vaddr_t from, uint64_t *storage, uint64_t **out)
{
	*out = from ? storage : nullptr;
	enum kerr err = from ? user_read(storage, from, sizeof(*storage)) : KERR_OK;
	return err == KERR_OK && from && (int64_t)*storage < 0 ? KERR_INVAL : err;
}

static long copy_between(int in_fd, vaddr_t in_at, int out_fd, vaddr_t out_at, size_t size)
{
	uint64_t in_storage, out_storage, *in_offset, *out_offset;
	size_t done = 0;
	enum kerr err = offset_read(in_at, &in_storage, &in_offset);

	if (err == KERR_OK)
		err = offset_read(out_at, &out_storage, &out_offset);
	if (err != KERR_OK)
		return err;
	struct file *in = fd_get(in_fd), *out = fd_get(out_fd);
	err = in && out ? file_copy(in, in_offset, out, out_offset, MIN(size, TRANSFER_MAX), &done)
			: KERR_BADF;
	if (in)
		file_put(in);
	if (out)
		file_put(out);
	long result = outcome(err, done);
	if (result >= 0 && in_at)
		err = user_write(in_at, in_offset, sizeof(*in_offset));
	if (result >= 0 && err == KERR_OK && out_at)
		err = user_write(out_at, out_offset, sizeof(*out_offset));
	return result >= 0 && err == KERR_FAULT ? KERR_FAULT : result;
}

SYSCALL(sendfile)
{
	return copy_between((int)a1, a2, (int)a0, 0, a3);
}

SYSCALL(copy_file_range)
{
	return a5 ? KERR_INVAL : copy_between((int)a0, a1, (int)a2, a3, a4);
}

/* ---- to stable storage: everything that there is lives in memory ---- */

static long on_file(int fd)
{
	struct file *f = fd_get(fd);

	if (!f)
		return KERR_BADF;
	enum kerr err = f->stream ? KERR_INVAL : KERR_OK;
	file_put(f);
	return err;
}

SYSCALL(fsync)
{
	return on_file((int)a0);
}

SYSCALL(fdatasync)
{
	return on_file((int)a0);
}

SYSCALL(syncfs)
{
	return on_file((int)a0);
}

SYSCALL(sync_file_range)
{
	return on_file((int)a0);
}

SYSCALL(sync)
{
	return KERR_OK;
}

/* Advice about what will be read: there is nothing slower than memory to read from. */
SYSCALL(fadvise64)
{
	return a3 > 5 ? KERR_INVAL : on_file((int)a0) == KERR_INVAL ? KERR_SPIPE : on_file((int)a0);
}

SYSCALL(readahead)
{
	return on_file((int)a0);
}
