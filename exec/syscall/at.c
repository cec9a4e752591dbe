/* The *at() calls' starting points. */
#include "at.h"

enum kerr at_begin(int dirfd, const char *name, struct at_directory *out)
{
	*out = (struct at_directory){};
	if (dirfd == AT_FDCWD || name[0] == '/')
		return KERR_OK;
	out->file = fd_get_any(dirfd);
	if (!out->file)
		return KERR_BADF;
	if (out->file->inode && inode_is(out->file->inode, S_IFDIR) && out->file->path.dentry) {
		out->path = &out->file->path;
		return KERR_OK;
	}
	file_put(out->file);
	return KERR_NOTDIR;
}

void at_end(struct at_directory *d)
{
	if (d->file)
		file_put(d->file);
}

/* What a descriptor itself stands for (AT_EMPTY_PATH); a file without a name has no path. */
static enum kerr path_of(int fd, struct path *out)
{
	if (fd == AT_FDCWD) {
		vfs_get_directory(out);
		return KERR_OK;
	}
	struct file *f = fd_get_any(fd);
	if (!f)
		return KERR_BADF;
	enum kerr err = f->path.dentry ? KERR_OK : KERR_BADF;
	if (err == KERR_OK) {
		*out = f->path;
		path_get(out);
	}
	file_put(f);
	return err;
}

enum kerr at_lookup(int dirfd, vaddr_t user_path, int flags, struct path *out)
{
	struct user_path name;
	struct at_directory dir;
	enum kerr err = path_copy(&name, user_path);

	if (err != KERR_OK)
		return err;
	if (name.length == 0 && flags & AT_EMPTY_PATH) {
		err = path_of(dirfd, out);
	} else {
		err = at_begin(dirfd, name.text, &dir);
		if (err == KERR_OK) {
			err = vfs_lookup(dir.path, name.text,
					 flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW, out);
			at_end(&dir);
		}
	}
	path_end(&name);
	return err;
}

enum kerr at_open_program(int dirfd, const char *name, int flags, struct file **out)
{
	struct at_directory dir;
	enum kerr err;

	if (!name[0] && flags & AT_EMPTY_PATH) {
		struct file *f = fd_get_any(dirfd);
		if (!f)
			return KERR_BADF;
		/* Through the file's own name, so that its rights are checked as for any other. */
		char buf[256];
		const char *start;
		err = file_name(f, buf, sizeof(buf), &start);
		if (err == KERR_OK)
			err = vfs_open_program(nullptr, start, LOOKUP_FOLLOW, out);
		file_put(f);
		return err;
	}
	err = at_begin(dirfd, name, &dir);
	if (err != KERR_OK)
		return err;
	err = vfs_open_program(dir.path, name, flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW,
			       out);
	at_end(&dir);
	return err;
}
