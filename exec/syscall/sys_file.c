/* Opening and closing files, and everything about descriptors. */
#include "at.h"
#include "gate.h"
#include <core/wait.h>
#include <ipc/pipe.h>

/* ---- open ---- */

static long open_at(int dirfd, vaddr_t user_path, int flags, uint32_t mode)
{
	struct user_path name;
	struct at_directory dir;
	struct file *f;
	int fd;
	enum kerr err = path_copy(&name, user_path);

	if (err != KERR_OK)
		return err;
	err = at_begin(dirfd, name.text, &dir);
	if (err != KERR_OK)
		goto out_path;
	err = fd_reserve(0, flags & O_CLOEXEC, &fd);
	if (err != KERR_OK)
		goto out_dir;
	err = vfs_open(dir.path, name.text, flags, mode & 07777, &f);
	if (err == KERR_OK)
		fd_fill(fd, f);
	else
		fd_release(fd);
out_dir:
	at_end(&dir);
out_path:
	path_end(&name);
	return err == KERR_OK ? fd : restartable(err);
}

SYSCALL(open)
{
	return open_at(AT_FDCWD, a0, open_flags_in((int)a1), (uint32_t)a2);
}

SYSCALL(openat)
{
	return open_at((int)a0, a1, open_flags_in((int)a2), (uint32_t)a3);
}

SYSCALL(creat)
{
	return open_at(AT_FDCWD, a0, O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)a1);
}

SYSCALL(openat2)
{
	struct {
		uint64_t flags, mode, resolve;
	} how;

	if (a3 < sizeof(how))
		return KERR_INVAL;
	if (a3 > sizeof(how))
		return KERR_TOOBIG;
	enum kerr err = user_read(&how, a2, sizeof(how));
	if (err != KERR_OK)
		return err;
	if (how.flags >> 32 || how.mode & ~07777ull || how.resolve ||
	    (how.mode && !(how.flags & (O_CREAT | O_TMPFILE_BIT))))
		return KERR_INVAL;
	return open_at((int)a0, a1, open_flags_in((int)how.flags), (uint32_t)how.mode);
}

SYSCALL(close)
{
	return fd_close((int)a0);
}

SYSCALL(close_range)
{
	if (a2 & ~(unsigned long)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) ||
	    (unsigned)a0 > (unsigned)a1)
		return KERR_INVAL;
	return fd_close_range((unsigned)a0, (unsigned)a1, (unsigned)a2);
}

/* ---- dup, pipe ---- */

static long duplicate(int from, int to, bool close_on_exec)
{
	int fd;
	enum kerr err = fd_duplicate(from, to, close_on_exec, &fd);

	return err == KERR_OK ? fd : err;
}

SYSCALL(dup)
{
	return duplicate((int)a0, -1, false);
}

SYSCALL(dup2)
{
	int from = (int)a0, to = (int)a1;

	if (to < 0)
		return KERR_BADF;
	if (from == to) {
		struct file *f = fd_get_any(from);
		if (!f)
			return KERR_BADF;
		file_put(f);
		return to;
	}
	return duplicate(from, to, false);
}

SYSCALL(dup3)
{
	if (a2 & ~(unsigned long)O_CLOEXEC || (int)a0 == (int)a1)
		return KERR_INVAL;
	return (int)a1 < 0 ? KERR_BADF : duplicate((int)a0, (int)a1, a2 & O_CLOEXEC);
}

static long make_pipe(vaddr_t to, int flags)
{
	struct file *ends[2];
	int fds[2];

	if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return KERR_INVAL;
	if (flags & O_DIRECT)
		return KERR_INVAL; /* packet pipes */
	enum kerr err = fd_reserve(0, flags & O_CLOEXEC, &fds[0]);
	if (err != KERR_OK)
		return err;
	err = fd_reserve(0, flags & O_CLOEXEC, &fds[1]);
	if (err != KERR_OK)
		goto fail_second;
	err = user_write(to, fds, sizeof(fds));
	if (err == KERR_OK)
		err = ipc_pipe_create(&ends[0], &ends[1], flags & O_NONBLOCK);
	if (err != KERR_OK)
		goto fail_create;
	fd_fill(fds[0], ends[0]);
	fd_fill(fds[1], ends[1]);
	return KERR_OK;

fail_create:
	fd_release(fds[1]);
fail_second:
	fd_release(fds[0]);
	return err;
}

SYSCALL(pipe)
{
	return make_pipe(a0, 0);
}

SYSCALL(pipe2)
{
	return make_pipe(a0, open_flags_in((int)a1));
}

/* ---- fcntl ---- */

enum {
	F_DUPFD = 0,
	F_GETFD = 1,
	F_SETFD = 2,
	F_GETFL = 3,
	F_SETFL = 4,
	F_DUPFD_CLOEXEC = 1030,
};
#define FD_CLOEXEC 1ul
#define STATUS_FLAGS                                                                               \
	(O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECT | O_PATH | O_DIRECTORY | O_NOFOLLOW)

static long descriptor_flags(int fd)
{
	bool on;
	enum kerr err = fd_close_on_exec(fd, &on);

	return err == KERR_OK ? on : err;
}

static long duplicate_from(int fd, unsigned long lowest, bool close_on_exec)
{
	int out;

	if (lowest > INT32_MAX)
		return KERR_INVAL;
	enum kerr err = fd_duplicate_from(fd, (unsigned)lowest, close_on_exec, &out);
	return err == KERR_OK ? out : err;
}

static long file_control(int fd, struct file *f, int command, unsigned long argument)
{
	long result = 0;
	enum kerr err;

	switch (command) {
	case F_GETFL:
		return open_flags_out((int)(atomic_load_explicit(&f->flags, memory_order_relaxed) &
					    STATUS_FLAGS) |
				      O_LARGEFILE);
	case F_SETFL:
		file_set_flags(f, (unsigned)open_flags_in((int)argument));
		return KERR_OK;
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return record_lock(fd, f, command, argument);
	default:
		if (!f->ops->control)
			return KERR_INVAL;
		err = f->ops->control(f, command, argument, &result);
		return err == KERR_OK ? result : err;
	}
}

SYSCALL(fcntl)
{
	int fd = (int)a0, command = (int)a1;

	switch (command) {
	case F_DUPFD:
		return duplicate_from(fd, a2, false);
	case F_DUPFD_CLOEXEC:
		return duplicate_from(fd, a2, true);
	case F_GETFD:
		return descriptor_flags(fd);
	case F_SETFD:
		return fd_set_close_on_exec(fd, a2 & FD_CLOEXEC);
	default:
		break;
	}
	struct file *f = command == F_GETFL ? fd_get_any(fd) : fd_get(fd);
	if (!f)
		return KERR_BADF;
	long result = file_control(fd, f, command, a2);
	file_put(f);
	return result;
}

/* ---- ioctl ---- */

#define FIONBIO 0x5421
#define FIONCLEX 0x5450
#define FIOCLEX 0x5451

static long set_nonblocking(struct file *f, vaddr_t from)
{
	int on;
	enum kerr err = user_read(&on, from, sizeof(on));

	if (err != KERR_OK)
		return err;
	unsigned flags = atomic_load_explicit(&f->flags, memory_order_relaxed);
	file_set_flags(f, on ? flags | O_NONBLOCK : flags & ~(unsigned)O_NONBLOCK);
	return KERR_OK;
}

SYSCALL(ioctl)
{
	int fd = (int)a0;
	unsigned command = (unsigned)a1;
	long result = 0;
	struct file *f = fd_get(fd);

	if (!f)
		return KERR_BADF;
	switch (command) {
	case FIOCLEX:
	case FIONCLEX:
		result = fd_set_close_on_exec(fd, command == FIOCLEX);
		break;
	case FIONBIO:
		result = set_nonblocking(f, a2);
		break;
	default: {
		enum kerr err = file_ioctl(f, command, a2, &result);
		if (err != KERR_OK)
			result = restartable(err);
	}
	}
	file_put(f);
	return result;
}
