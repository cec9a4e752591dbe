/* Names: directories, links, the current directory, mounts. */
#include "at.h"
#include "gate.h"
#include <exec/domain.h>
#include <lib/string.h>
#include <mm/heap.h>

/* ---- calls that make or remove one name ---- */

/* A path argument with its starting directory. */
struct place {
	struct user_path name;
	struct at_directory dir;
};

static enum kerr place_begin(struct place *p, int dirfd, vaddr_t user_path)
{
	enum kerr err = path_copy(&p->name, user_path);

	if (err != KERR_OK)
		return err;
	err = at_begin(dirfd, p->name.text, &p->dir);
	if (err != KERR_OK)
		path_end(&p->name);
	return err;
}

static void place_end(struct place *p)
{
	at_end(&p->dir);
	path_end(&p->name);
}

static long make_directory(int dirfd, vaddr_t path, unsigned long mode)
{
	struct place p;
	enum kerr err = place_begin(&p, dirfd, path);

	if (err != KERR_OK)
		return err;
	err = vfs_make_directory(p.dir.path, p.name.text, (uint32_t)mode);
	place_end(&p);
	return err;
}

SYSCALL(mkdir)
{
	return make_directory(AT_FDCWD, a0, a1);
}

SYSCALL(mkdirat)
{
	return make_directory((int)a0, a1, a2);
}

static long make_node(int dirfd, vaddr_t path, unsigned long mode, uint32_t device)
{
	struct place p;
	enum kerr err = place_begin(&p, dirfd, path);

	if (err != KERR_OK)
		return err;
	err = vfs_make_node(p.dir.path, p.name.text, (uint32_t)mode, device);
	place_end(&p);
	return err;
}

SYSCALL(mknod)
{
	return make_node(AT_FDCWD, a0, a1, (uint32_t)a2);
}

SYSCALL(mknodat)
{
	return make_node((int)a0, a1, a2, (uint32_t)a3);
}

static long remove_name(int dirfd, vaddr_t path, bool directory)
{
	struct place p;
	enum kerr err = place_begin(&p, dirfd, path);

	if (err != KERR_OK)
		return err;
	err = vfs_unlink(p.dir.path, p.name.text, directory);
	place_end(&p);
	return err;
}

SYSCALL(unlink)
{
	return remove_name(AT_FDCWD, a0, false);
}

SYSCALL(rmdir)
{
	return remove_name(AT_FDCWD, a0, true);
}

SYSCALL(unlinkat)
{
	return a2 & ~(unsigned long)AT_REMOVEDIR ? KERR_INVAL
						 : remove_name((int)a0, a1, a2 & AT_REMOVEDIR);
}

/* ---- links ---- */

static long make_symlink(vaddr_t target, int dirfd, vaddr_t path)
{
	struct user_path text;
	struct place p;
	enum kerr err = path_copy(&text, target);

	if (err != KERR_OK)
		return err;
	err = text.length ? place_begin(&p, dirfd, path) : KERR_NOENT;
	if (err == KERR_OK) {
		err = vfs_symlink(text.text, p.dir.path, p.name.text);
		place_end(&p);
	}
	path_end(&text);
	return err;
}

SYSCALL(symlink)
{
	return make_symlink(a0, AT_FDCWD, a1);
}

SYSCALL(symlinkat)
{
	return make_symlink(a0, (int)a1, a2);
}

static long make_link(int old_dirfd, vaddr_t old_path, int dirfd, vaddr_t path, int flags)
{
	struct path old;
	struct place p;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return KERR_INVAL;
	enum kerr err = at_lookup(old_dirfd, old_path,
				  (flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW) |
					  (flags & AT_EMPTY_PATH),
				  &old);
	if (err != KERR_OK)
		return err;
	err = place_begin(&p, dirfd, path);
	if (err == KERR_OK) {
		err = vfs_link(&old, p.dir.path, p.name.text);
		place_end(&p);
	}
	path_put(&old);
	return err;
}

SYSCALL(link)
{
	return make_link(AT_FDCWD, a0, AT_FDCWD, a1, 0);
}

SYSCALL(linkat)
{
	return make_link((int)a0, a1, (int)a2, a3, (int)a4);
}

static long rename_at(int old_dirfd, vaddr_t old_path, int dirfd, vaddr_t path, unsigned long flags)
{
	struct place from, to;

	if (flags & ~(unsigned long)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return KERR_INVAL;
	enum kerr err = place_begin(&from, old_dirfd, old_path);
	if (err != KERR_OK)
		return err;
	err = place_begin(&to, dirfd, path);
	if (err == KERR_OK) {
		err = vfs_rename(from.dir.path, from.name.text, to.dir.path, to.name.text,
				 (unsigned)flags);
		place_end(&to);
	}
	place_end(&from);
	return err;
}

SYSCALL(rename)
{
	return rename_at(AT_FDCWD, a0, AT_FDCWD, a1, 0);
}

SYSCALL(renameat)
{
	return rename_at((int)a0, a1, (int)a2, a3, 0);
}

SYSCALL(renameat2)
{
	return rename_at((int)a0, a1, (int)a2, a3, a4);
}

static long read_link(int dirfd, vaddr_t path, vaddr_t to, int size)
{
	struct path p;
	size_t length = 0;

	if (size <= 0)
		return KERR_INVAL;
	enum kerr err = at_lookup(dirfd, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &p);
	if (err != KERR_OK)
		return err;
	char *text = heap_alloc(PATH_SIZE);
	err = text ? vfs_read_link(&p, text, PATH_SIZE, &length) : KERR_NOMEM;
	path_put(&p);
	length = MIN(length, (size_t)size);
	if (err == KERR_OK)
		err = user_write(to, text, length);
	heap_free(text);
	return err == KERR_OK ? (long)length : err;
}

SYSCALL(readlink)
{
	return read_link(AT_FDCWD, a0, a1, (int)a2);
}

SYSCALL(readlinkat)
{
	return read_link((int)a0, a1, a2, (int)a3);
}

/* ---- the current directory, the root ---- */

SYSCALL(getcwd)
{
	struct path here;
	const char *start;
	char *text = heap_alloc(PATH_SIZE);
	bool deleted = false;

	if (!text)
		return KERR_NOMEM;
	vfs_get_directory(&here);
	enum kerr err = vfs_path_name(&here, text, PATH_SIZE, &start, &deleted);
	path_put(&here);
	long result = err;
	if (err == KERR_OK) {
		size_t size = strlen(start) + 1;
		if (deleted)
			result = KERR_NOENT;
		else if (size > a1)
			result = KERR_RANGE;
		else if (user_write(a0, start, size) != KERR_OK)
			result = KERR_FAULT;
		else
			result = (long)size;
	}
	heap_free(text);
	return result;
}

SYSCALL(chdir)
{
	struct path p;
	enum kerr err = at_lookup(AT_FDCWD, a0, 0, &p);

	if (err != KERR_OK)
		return err;
	err = vfs_change_directory(&p);
	path_put(&p);
	return err;
}

SYSCALL(fchdir)
{
	struct file *f = fd_get_any((int)a0);

	if (!f)
		return KERR_BADF;
	enum kerr err = f->path.dentry ? vfs_change_directory(&f->path) : KERR_NOTDIR;
	file_put(f);
	return err;
}

SYSCALL(chroot)
{
	struct path p;
	enum kerr err = at_lookup(AT_FDCWD, a0, 0, &p);

	if (err != KERR_OK)
		return err;
	err = !inode_is(path_inode(&p), S_IFDIR)                       ? KERR_NOTDIR
	      : !process_capable(TERN_CAP_MOUNT, LINUX_CAP_SYS_CHROOT) ? KERR_PERM
								       : vfs_change_root(&p);
	path_put(&p);
	return err;
}

SYSCALL(umask)
{
	return vfs_set_umask((uint32_t)a0 & 0777);
}

/* ---- mounts ---- */

#define MS_MAGIC 0xc0ed0000ul
#define MS_MAGIC_MASK 0xffff0000ul
#define OPTIONS_MAX PAGE_SIZE

/* A text argument that may be null. */
static enum kerr text_copy(struct user_path *t, vaddr_t from)
{
	if (from)
		return path_copy(t, from);
	t->text = "";
	t->heap = nullptr;
	t->length = 0;
	return KERR_OK;
}

SYSCALL(mount)
{
	struct user_path source, type, options;
	struct path where;
	unsigned long flags = a3;

	if ((flags & MS_MAGIC_MASK) == MS_MAGIC)
		flags &= ~MS_MAGIC_MASK;
	if (!process_capable(TERN_CAP_MOUNT, LINUX_CAP_SYS_ADMIN))
		return KERR_PERM;
	enum kerr err = text_copy(&source, a0);
	if (err != KERR_OK)
		return err;
	err = text_copy(&type, a2);
	if (err != KERR_OK)
		goto out_source;
	err = text_copy(&options, a4);
	if (err != KERR_OK)
		goto out_type;
	err = at_lookup(AT_FDCWD, a1, 0, &where);
	if (err != KERR_OK)
		goto out_options;
	err = vfs_mount(source.text, &where, type.text, flags, options.text);
	path_put(&where);
out_options:
	path_end(&options);
out_type:
	path_end(&type);
out_source:
	path_end(&source);
	return err;
}

#define MNT_FORCE 1ul
#define MNT_DETACH 2ul
#define UMOUNT_NOFOLLOW 8ul

SYSCALL(umount2)
{
	struct path where;

	if (a1 & ~(MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW))
		return KERR_INVAL;
	if (!process_capable(TERN_CAP_MOUNT, LINUX_CAP_SYS_ADMIN))
		return KERR_PERM;
	enum kerr err =
		at_lookup(AT_FDCWD, a0, a1 & UMOUNT_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0, &where);
	if (err != KERR_OK)
		return err;
	/* vfs_unmount looks at who else uses the mount: our own reference it knows about. */
	err = vfs_unmount(&where, (a1 & MNT_FORCE ? UNMOUNT_FORCE : 0) |
					  (a1 & MNT_DETACH ? UNMOUNT_DETACH : 0));
	path_put(&where);
	return err;
}

/* ---- reading directories ---- */

#define DIRENT_HEADER 18 /* of getdents; getdents64 has the type byte before the name: 19 */

/* One record in either format; 0: it does not fit. */
static size_t record_make(const struct directory_entry *e, bool old, uint8_t *out, size_t room)
{
	size_t name = (size_t)e->length + 1;
	size_t size = ALIGN_UP(DIRENT_HEADER + name + 1, (size_t)8);
	uint16_t length = (uint16_t)size;

	if (size > room)
		return 0;
	memset(out, 0, size);
	memcpy(out, &e->inode, 8);
	memcpy(out + 8, &e->position, 8);
	memcpy(out + 16, &length, 2);
	memcpy(out + (old ? 18 : 19), e->name, name - 1);
	out[old ? size - 1 : 18] = e->type;
	return size;
}

static enum kerr read_entries(struct file *f, bool old, vaddr_t to, size_t room, size_t *done)
{
	struct directory_entry *e = heap_alloc(sizeof(*e) + 320);
	enum kerr err = KERR_OK;

	if (!e)
		return KERR_NOMEM;
	uint8_t *record = (uint8_t *)(e + 1);
	mutex_lock(&f->position);
	for (;;) {
		uint64_t before = f->offset;
		err = file_read_directory(f, e);
		if (err != KERR_OK)
			break;
		size_t size = record_make(e, old, record, MIN(room - *done, (size_t)320));
		if (size == 0)
			err = KERR_INVAL; /* not even one */
		else
			err = user_write(to + *done, record, size);
		if (err != KERR_OK) {
			f->offset = before;
			break;
		}
		*done += size;
	}
	mutex_unlock(&f->position);
	heap_free(e);
	return err == KERR_NOENT && f->inode->links ? KERR_OK : err;
}

static long get_entries(int fd, vaddr_t to, unsigned size, bool old)
{
	size_t done = 0;
	struct file *f = fd_get(fd);

	if (!f)
		return KERR_BADF;
	enum kerr err =
		f->ops->read_directory ? read_entries(f, old, to, size, &done) : KERR_NOTDIR;
	file_put(f);
	return done ? (long)done : err;
}

SYSCALL(getdents64)
{
	return get_entries((int)a0, a1, (unsigned)a2, false);
}

SYSCALL(getdents)
{
	return get_entries((int)a0, a1, (unsigned)a2, true);
}
