/*
 * From entries back to names: getcwd, /proc/PID/cwd, /proc/mounts.
 *
 * The name is written from its end to its start while going up, under rcu. A rename at the same time
 * may give a name of which each part was true at some moment of the call.
 */
#include "vfs_private.h"

static enum kerr prepend(char *buf, char **at, const char *text, size_t length)
{
	if ((size_t)(*at - buf) < length)
		return KERR_RANGE;
	*at -= length;
	memcpy(*at, text, length);
	return KERR_OK;
}

static enum kerr prepend_parents(struct path p, const struct path *root, char *buf, char **at)
{
	char *end = *at;
	enum kerr err = KERR_OK;

	while (p.dentry != root->dentry || p.mount != root->mount) {
		if (p.dentry == p.mount->root) {
			struct mount *above = READ_ONCE(p.mount->parent);
			if (above) {
				p = (struct path){above, p.mount->where};
				continue;
			}
			/* Not below the root: the first mount's own root is still "/". */
			if (p.mount->id == 1)
				break;
			return prepend(buf, at, "(unreachable)", 13);
		}
		const struct dentry_name *n = dentry_name(p.dentry);
		err = prepend(buf, at, n->text, n->length);
		if (err == KERR_OK)
			err = prepend(buf, at, "/", 1);
		if (err != KERR_OK)
			return err;
		struct dentry *parent = dentry_parent(p.dentry);
		if (parent == p.dentry)
			break;
		p.dentry = parent;
	}
	return *at == end ? prepend(buf, at, "/", 1) : err;
}

enum kerr vfs_path_name(const struct path *p, char *buf, size_t size, const char **start,
			bool *deleted)
{
	char *at = buf + size;
	struct path root;
	enum kerr err = prepend(buf, &at, "", 1);

	if (err != KERR_OK)
		return err;
	rcu_read_lock();
	bool gone = p->dentry != p->mount->root &&
		    !(p->dentry->flags & (DENTRY_HASHED | DENTRY_VOLATILE));
	if (deleted)
		*deleted = gone;
	context_root(&root);
	err = prepend_parents(*p, &root, buf, &at);
	rcu_read_unlock();
	*start = at;
	return err;
}

enum kerr file_name(struct file *f, char *buf, size_t size, const char **start)
{
	static const char mark[] = " (deleted)";
	bool deleted = false;
	enum kerr err;

	if (!f->path.dentry) {
		size_t n =
			f->inode->ops->describe ? f->inode->ops->describe(f->inode, buf, size) : 0;
		if (n == 0)
			strlcpy(buf, "anon_inode:", size);
		*start = buf;
		return KERR_OK;
	}
	if (size < sizeof(mark))
		return KERR_RANGE;
	err = vfs_path_name(&f->path, buf, size - sizeof(mark) + 1, start, &deleted);
	if (err != KERR_OK || !deleted)
		return err;
	/* The end mark moves behind the addition. */
	memcpy(buf + size - sizeof(mark), mark, sizeof(mark));
	return KERR_OK;
}
