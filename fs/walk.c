/*
 * Path lookup.
 *
 * One loop, two ways of walking. The quick way runs under rcu from end to end: it takes no lock,
 * no reference and no memory, and gives up (`slow`) where it would have to sleep: a name that is not in
 * the cache, a symlink without text. Then the whole walk is done again the slow way, which
 * holds a reference to where it stands and asks the filesystem. What the quick way finds is as
 * true as what the slow way finds: each step was true at some moment of the call.
 *
 * Symlinks are a stack of texts that are yet to be walked, not recursion. A text is only pushed if
 * something of it is left, so links in the last place cost nothing. 40 links a lookup is the end.
 *
 * The start (root, current directory) comes from the directory context, which the quick way
 * reads without references too.
 */
#include "vfs_private.h"

#include <exec/process.h>

#define WALK_PARENT 0x100u /* stop before the last name */

struct walk {
	struct path at;   /* (slow) referenced */
	struct path root; /* the context's; (slow) referenced */
	bool slow;
	bool give_up;     /* the quick way has come to its end */
	bool must_directory;
	unsigned links;
	unsigned depth;
	const char *last; /* WALK_PARENT: the last name */
	uint32_t last_length, last_hash;
	int last_kind;
	struct {
		const char *text;
		struct inode *link; /* (slow) referenced: owns the text */
	} stack[SYMLINK_LIMIT];
};

void path_get(const struct path *p)
{
	mount_get(p->mount);
	dentry_get(p->dentry);
}

void path_put(const struct path *p)
{
	dentry_put(p->dentry);
	mount_put(p->mount);
}

static bool path_equal(const struct path *a, const struct path *b)
{
	return a->dentry == b->dentry && a->mount == b->mount;
}

static void walk_lock(const struct walk *w)
{
	if (w->slow)
		rcu_read_lock();
}

/* Steps to `to`. Under rcu, which the slow way leaves; false (slow way only): `to` has just gone. */
static bool walk_to(struct walk *w, const struct path *to)
{
	struct path old = w->at;

	if (!w->slow) {
		w->at = *to;
		return true;
	}
	bool mount = reference_get_not_zero(&to->mount->references);
	bool dentry = mount && reference_get_not_zero(&to->dentry->references);
	rcu_read_unlock();
	if (dentry) {
		w->at = *to;
		path_put(&old);
	} else if (mount) {
		mount_put(to->mount);
	}
	return dentry;
}

/* Down through what is mounted on p. Under rcu; the results are unreferenced. */
static void mount_cross(struct path *p)
{
	while (unlikely(atomic_load_explicit(&p->dentry->flags, memory_order_relaxed) &
			DENTRY_MOUNTED)) {
		struct mount *m = mount_find(p->mount, p->dentry);
		if (!m)
			return;
		*p = (struct path){m, m->root};
	}
}

static void walk_up(struct walk *w)
{
	struct path p;

	do {
		walk_lock(w);
		p = w->at;
		while (!path_equal(&p, &w->root)) {
			if (p.dentry != p.mount->root) {
				p.dentry = dentry_parent(p.dentry);
				break;
			}
			struct mount *above = READ_ONCE(p.mount->parent);
			if (!above)
				break;
			p = (struct path){above, p.mount->where};
		}
		mount_cross(&p);
	} while (!walk_to(w, &p));
}

enum kerr vfs_lookup_one(struct dentry *parent, const char *name, uint32_t length, uint32_t hash,
			 struct dentry **out)
{
	struct inode *dir = dentry_inode(parent);
	struct dentry *d = dcache_find_exact(parent, name, length, hash);

	if (d) {
		*out = d;
		return KERR_OK;
	}
	if (!dir->links) /* rmdir came first */
		return KERR_NOENT;
	d = dentry_create(parent->sb, parent, name, length);
	if (!d)
		return KERR_NOMEM;
	if (dir->ops->lookup) {
		enum kerr err = dir->ops->lookup(dir, d);
		if (err != KERR_OK) {
			dentry_put(d);
			return err;
		}
	}
	if (!(d->flags & DENTRY_VOLATILE))
		dentry_hash(d);
	*out = d;
	return KERR_OK;
}

/* The slow way's step: a referenced entry. */
static enum kerr find_slow(struct walk *w, const char *name, uint32_t length, uint32_t hash,
			   struct dentry **out)
{
	struct dentry *parent = w->at.dentry;
	struct inode *dir = dentry_inode(parent);

	rcu_read_lock();
	struct dentry *d = dcache_find(parent, name, length, hash);
	if (d && !reference_get_not_zero(&d->references))
		d = nullptr;
	rcu_read_unlock();
	if (d) {
		*out = d;
		return KERR_OK;
	}
	mutex_lock(&dir->lock);
	enum kerr err = vfs_lookup_one(parent, name, length, hash, out);
	mutex_unlock(&dir->lock);
	return err;
}

/* Goes on with the text of the symlink `link`; *rest is what stands behind its name. */
static enum kerr walk_link(struct walk *w, struct inode *link, const char **rest)
{
	if (++w->links > SYMLINK_LIMIT)
		return KERR_LOOP;
	if (link->ops->follow) {
		struct path to;
		if (!w->slow) {
			w->give_up = true;
			return KERR_AGAIN;
		}
		enum kerr err = link->ops->follow(link, &to);
		if (err == KERR_OK) {
			path_put(&w->at);
			w->at = to;
		}
		return err;
	}
	assert(link->link); /* texts that are made on demand come with a follow op */
	if (!link->link[0])
		return KERR_NOENT;
	/* The text is walked now, the rest later. */
	w->stack[w->depth].text = *rest;
	w->stack[w->depth].link = w->slow ? link : nullptr;
	w->depth++;
	if (w->slow)
		inode_get(link);
	*rest = link->link;
	if (link->link[0] == '/') {
		walk_lock(w);
		walk_to(w, &w->root); /* which is held */
	}
	return KERR_OK;
}

static void walk_pop(struct walk *w, const char **s)
{
	w->depth--;
	*s = w->stack[w->depth].text;
	if (w->stack[w->depth].link)
		inode_put(w->stack[w->depth].link);
}

/* Nothing but slashes is left, also of the texts that wait. */
static bool nothing_left(struct walk *w, const char *s, bool *slashes)
{
	for (unsigned n = w->depth;; s = w->stack[--n].text) {
		if (*s == '/')
			*slashes = true;
		while (*s == '/')
			s++;
		if (*s)
			return false;
		if (n == 0)
			return true;
	}
}

/* One name. *s is behind it; it changes if the name is a symlink that is followed. */
static enum kerr walk_name(struct walk *w, const char *name, uint32_t length, uint32_t hash,
			   const char **s, bool last, unsigned flags)
{
	struct dentry *found;
	struct path next;
	enum kerr err = KERR_OK;

	if (w->slow) {
		err = find_slow(w, name, length, hash, &found);
		if (err != KERR_OK)
			return err;
	} else {
		found = dcache_find(w->at.dentry, name, length, hash);
		if (!found) {
			w->give_up = true;
			return KERR_AGAIN;
		}
	}
	struct inode *i = dentry_inode(found);
	if (!i) {
		err = KERR_NOENT;
	} else if (inode_is(i, S_IFLNK) &&
		   (!last || (flags & LOOKUP_FOLLOW) || w->must_directory)) {
		err = walk_link(w, i, s);
	} else {
		do {
			walk_lock(w);
			next.mount = w->at.mount;
			next.dentry = found;
			mount_cross(&next);
		} while (!walk_to(w, &next));
	}
	if (w->slow)
		dentry_put(found);
	return err;
}

/* The end of the name at s: a slash or the end mark. */
static inline const char *name_end(const char *s)
{
	for (;; s++) {
		unsigned char c = (unsigned char)*s;
		if (likely(c > '/')) /* most characters of most names: one comparison */
			continue;
		if (c == '/' || c == 0)
			return s;
	}
}

/*
 * The quick way's quickest part, for what most paths are made of: cached names that are not . or ..,
 * directories that everybody may search, no symlinks. Goes as far as that holds and returns where
 * it stopped: at a name that walk_run() has to look at, or at the end.
 */
static const char *walk_plain(struct walk *w, const char *s, unsigned flags)
{
	struct path at = w->at;

	for (;;) {
		while (*s == '/')
			s++;
		if (*s == '.' || !*s)
			break;
		const struct inode *dir = dentry_inode(at.dentry);
		if ((dir->mode & (S_IFMT | 0111)) != (S_IFDIR | 0111))
			break;
		const char *end = name_end(s);
		size_t length = (size_t)(end - s);
		if (!*end ? flags & WALK_PARENT : end[1] == '/' || !end[1])
			break;
		if (length > NAME_SIZE)
			break;
		struct path next = {at.mount, dcache_find(at.dentry, s, (uint32_t)length,
							  name_hash(s, length))};
		if (!next.dentry)
			break;
		const struct inode *i = dentry_inode(next.dentry);
		if (!i || inode_is(i, S_IFLNK))
			break;
		mount_cross(&next);
		at = next;
		s = end;
	}
	w->at = at;
	return s;
}

static enum kerr walk_run(struct walk *w, const char *s, unsigned flags)
{
	if (!w->slow)
		s = walk_plain(w, s, flags);
	for (;;) {
		while (*s == '/')
			s++;
		if (!*s) {
			if (w->depth == 0)
				break;
			walk_pop(w, &s);
			continue;
		}
		struct inode *dir = dentry_inode(w->at.dentry);
		if (!inode_is(dir, S_IFDIR))
			return KERR_NOTDIR;
		enum kerr err = inode_permission(dir, 1);
		if (err != KERR_OK)
			return err;
		const char *name = s;
		s = name_end(s);
		uint32_t length = (uint32_t)(s - name);
		bool slashes = false, last = nothing_left(w, s, &slashes);
		bool dot = name[0] == '.' && length == 1;
		bool dotdot = name[0] == '.' && length == 2 && name[1] == '.';
		if (last)
			w->must_directory = slashes || (flags & LOOKUP_DIRECTORY);
		if (last && (flags & WALK_PARENT)) {
			w->last = name;
			w->last_length = length;
			w->last_hash = name_hash(name, length);
			w->last_kind = dot ? LAST_DOT : dotdot ? LAST_DOTDOT : LAST_NAME;
			return length > NAME_SIZE ? KERR_NAMETOOLONG : KERR_OK;
		}
		if (dot)
			continue;
		if (dotdot) {
			walk_up(w);
			continue;
		}
		if (length > NAME_SIZE)
			return KERR_NAMETOOLONG;
		err = walk_name(w, name, length, name_hash(name, length), &s, last, flags);
		if (err != KERR_OK)
			return err;
	}
	w->last_kind = LAST_ROOT;
	if ((w->must_directory || (flags & LOOKUP_DIRECTORY)) &&
	    !inode_is(dentry_inode(w->at.dentry), S_IFDIR))
		return KERR_NOTDIR;
	return KERR_OK;
}

/* Sets the start; the quick way under rcu, the slow one with references. */
static enum kerr walk_start(struct walk *w, const struct path *dir, const char *name, bool slow)
{
	w->slow = slow;
	w->give_up = w->must_directory = false;
	w->links = w->depth = 0;
	if (!*name)
		return KERR_NOENT;
	if (slow) {
		vfs_get_root(&w->root);
		if (*name == '/') {
			w->at = w->root;
			path_get(&w->at);
		} else if (dir) {
			w->at = *dir;
			path_get(&w->at);
		} else {
			vfs_get_directory(&w->at);
		}
		return KERR_OK;
	}
	context_root(&w->root);
	if (*name == '/')
		w->at = w->root;
	else if (dir)
		w->at = *dir;
	else
		context_directory(&w->at);
	return KERR_OK;
}

/* The quick way's result becomes a referenced one; false: it has just gone. */
static bool walk_hold(struct walk *w)
{
	if (!reference_get_not_zero(&w->at.dentry->references))
		return false;
	if (reference_get_not_zero(&w->at.mount->references))
		return true;
	/* Its inode may be freed by this: not under rcu. */
	struct dentry *d = w->at.dentry;
	rcu_read_unlock();
	dentry_put(d);
	rcu_read_lock();
	return false;
}

/* Walks; on success w->at is referenced. */
static enum kerr walk(struct walk *w, const struct path *dir, const char *name, unsigned flags)
{
	enum kerr err;

	rcu_read_lock();
	err = walk_start(w, dir, name, false);
	if (err == KERR_OK)
		err = walk_run(w, name, flags);
	bool again = w->give_up || (err == KERR_OK && !walk_hold(w));
	rcu_read_unlock();
	if (!again)
		return err;

	err = walk_start(w, dir, name, true);
	if (err != KERR_OK)
		return err;
	err = walk_run(w, name, flags);
	if (err != KERR_OK)
		path_put(&w->at);
	while (w->depth) {
		const char *unused;
		walk_pop(w, &unused);
	}
	path_put(&w->root);
	return err;
}

enum kerr vfs_lookup(const struct path *dir, const char *name, unsigned flags, struct path *out)
{
	struct walk w;
	enum kerr err = walk(&w, dir, name, flags);

	if (err == KERR_OK)
		*out = w.at;
	return err;
}

enum kerr vfs_stat_name(const struct path *dir, const char *name, unsigned flags,
			struct inode_attributes *out)
{
	struct walk w;

	rcu_read_lock();
	enum kerr err = walk_start(&w, dir, name, false);
	if (err == KERR_OK)
		err = walk_run(&w, name, flags);
	if (err == KERR_OK)
		inode_attributes_get(dentry_inode(w.at.dentry), out);
	rcu_read_unlock();
	if (!w.give_up)
		return err;

	struct path p;
	err = vfs_lookup(dir, name, flags, &p);
	if (err != KERR_OK)
		return err;
	err = vfs_stat(&p, out);
	path_put(&p);
	return err;
}

/* The last name lies in `name`, never in a symlink's text: a link in the last place is not followed. */
enum kerr vfs_lookup_parent(const struct path *dir, const char *name, struct parent_path *out)
{
	struct walk w;
	enum kerr err = walk(&w, dir, name, WALK_PARENT);

	if (err != KERR_OK)
		return err;
	*out = (struct parent_path){
		.path = w.at,
		.name = w.last,
		.length = w.last_length,
		.hash = w.last_hash,
		.must_directory = w.must_directory,
		.kind = w.last_kind,
	};
	return KERR_OK;
}
