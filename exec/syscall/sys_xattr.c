/* Extended attributes: no filesystem here has any. The calls exist, with the errors of such
 * filesystems, because file tools ask with every copy and listing. */
#include "at.h"
#include "gate.h"

/* The file is there: then `answer`. */
static long on_path(vaddr_t user_path, int flags, enum kerr answer)
{
	struct path p;
	enum kerr err = at_lookup(AT_FDCWD, user_path, flags, &p);

	if (err != KERR_OK)
		return err;
	path_put(&p);
	return answer;
}

static long on_descriptor(int fd, enum kerr answer)
{
	struct file *f = fd_get(fd);

	if (!f)
		return KERR_BADF;
	file_put(f);
	return answer;
}

SYSCALL(getxattr)
{
	return on_path(a0, 0, KERR_OPNOTSUPP);
}

SYSCALL(lgetxattr)
{
	return on_path(a0, AT_SYMLINK_NOFOLLOW, KERR_OPNOTSUPP);
}

SYSCALL(fgetxattr)
{
	return on_descriptor((int)a0, KERR_OPNOTSUPP);
}

SYSCALL(listxattr)
{
	return on_path(a0, 0, KERR_OK);
}

SYSCALL(llistxattr)
{
	return on_path(a0, AT_SYMLINK_NOFOLLOW, KERR_OK);
}

SYSCALL(flistxattr)
{
	return on_descriptor((int)a0, KERR_OK);
}

SYSCALL(setxattr)
{
	return on_path(a0, 0, KERR_OPNOTSUPP);
}

SYSCALL(lsetxattr)
{
	return on_path(a0, AT_SYMLINK_NOFOLLOW, KERR_OPNOTSUPP);
}

SYSCALL(fsetxattr)
{
	return on_descriptor((int)a0, KERR_OPNOTSUPP);
}

SYSCALL(removexattr)
{
	return on_path(a0, 0, KERR_OPNOTSUPP);
}

SYSCALL(lremovexattr)
{
	return on_path(a0, AT_SYMLINK_NOFOLLOW, KERR_OPNOTSUPP);
}

SYSCALL(fremovexattr)
{
	return on_descriptor((int)a0, KERR_OPNOTSUPP);
}
