/* flock(2), and fcntl(2)'s record locks. */
#include "gate.h"
#include <fs/locks.h>

/* ---- flock ---- */

#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8

SYSCALL(flock)
{
	struct file_lock_range range = {.last = INT64_MAX};
	int how = (int)a1;

	switch (how & ~LOCK_NB) {
	case LOCK_SH:
		range.type = FILE_LOCK_READ;
		break;
	case LOCK_EX:
		range.type = FILE_LOCK_WRITE;
		break;
	case LOCK_UN:
		range.type = FILE_LOCK_NONE;
		break;
	default:
		return KERR_INVAL;
	}
	struct file *f = fd_get((int)a0);
	if (!f)
		return KERR_BADF;
	enum kerr err = file_lock(f, FILE_LOCK_WHOLE, &range, !(how & LOCK_NB));
	file_put(f);
	return err;
}

/* ---- record locks ---- */

struct user_flock {
	int16_t type, whence;
	int64_t start, length;
	int32_t pid;
};
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2

static enum kerr range_start(struct file *f, int whence, int64_t *out)
{
	switch (whence) {
	case SEEK_SET:
		*out = 0;
		return KERR_OK;
	case SEEK_CUR:
		*out = (int64_t)f->offset;
		return KERR_OK;
	case SEEK_END:
		*out = f->inode->object ? (int64_t)f->inode->object->size : 0;
		return KERR_OK;
	default:
		return KERR_INVAL;
	}
}

static enum kerr range_decode(struct file *f, const struct user_flock *u,
			      struct file_lock_range *out)
{
	int64_t start, last = INT64_MAX;
	enum kerr err = range_start(f, u->whence, &start);

	if (err != KERR_OK)
		return err;
	if (u->type < F_RDLCK || u->type > F_UNLCK)
		return KERR_INVAL;
	if (__builtin_add_overflow(start, u->start, &start))
		return KERR_OVERFLOW;
	if (start < 0)
		return KERR_INVAL;
	if (u->length > 0) {
		if (__builtin_add_overflow(start, u->length - 1, &last))
			return KERR_OVERFLOW;
	} else if (u->length < 0) {
		last = start - 1;
		start += u->length;
		if (start < 0)
			return KERR_INVAL;
	}
	*out = (struct file_lock_range){.type = (enum file_lock_type)u->type,
					.first = (uint64_t)start,
					.last = (uint64_t)last};
	return KERR_OK;
}

static long query(struct file *f, enum file_lock_kind kind, struct user_flock *u, vaddr_t to)
{
	struct file_lock_range range;
	enum kerr err = range_decode(f, u, &range);

	if (err != KERR_OK)
		return err;
	if (range.type == FILE_LOCK_NONE)
		return KERR_INVAL;
	file_lock_query(f, kind, &range);
	u->type = (int16_t)range.type;
	if (range.type != FILE_LOCK_NONE) {
		u->whence = SEEK_SET;
		u->start = (int64_t)range.first;
		u->length = range.last == INT64_MAX ? 0 : (int64_t)(range.last - range.first + 1);
		u->pid = range.pid;
	}
	return user_write(to, u, sizeof(*u));
}

static long change(int fd, struct file *f, enum file_lock_kind kind, const struct user_flock *u,
		   bool wait)
{
	struct file_lock_range range;
	enum kerr err = range_decode(f, u, &range);

	if (err != KERR_OK)
		return err;
	if ((range.type == FILE_LOCK_READ && !f->readable) ||
	    (range.type == FILE_LOCK_WRITE && !f->writable))
		return KERR_BADF;
	err = file_lock(f, kind, &range, wait);
	if (err != KERR_OK || kind != FILE_LOCK_PROCESS || range.type == FILE_LOCK_NONE)
		return err;
	/* Another thread may have closed the descriptor meanwhile, before there was a lock to release. */
	struct file *now = fd_get(fd);
	if (now != f) {
		range.type = FILE_LOCK_NONE;
		err = file_lock(f, kind, &range, false);
		if (err == KERR_OK)
			err = KERR_BADF;
	}
	if (now)
		file_put(now);
	return err;
}

long record_lock(int fd, struct file *f, int command, vaddr_t argument)
{
	enum file_lock_kind kind = command >= F_OFD_GETLK ? FILE_LOCK_OPEN : FILE_LOCK_PROCESS;
	struct user_flock u = {};
	enum kerr err = user_read(&u, argument, sizeof(u));

	if (err != KERR_OK)
		return err;
	if (kind == FILE_LOCK_OPEN && u.pid != 0)
		return KERR_INVAL;
	if (command == F_GETLK || command == F_OFD_GETLK)
		return query(f, kind, &u, argument);
	return change(fd, f, kind, &u, command == F_SETLKW || command == F_OFD_SETLKW);
}
