/*
 * The directory context of a process: root, current directory, umask. It hangs in the process's
 * RESOURCE_FS slot; threads share it, clone with CLONE_FS too, fork copies it.
 *
 * Lookups read it without a lock: a sequence number is odd while it is written and different
 * afterwards; what they read stays valid under rcu. Kernel threads use process 0's.
 */
#include "vfs_private.h"

#include <exec/domain.h>
#include <exec/process.h>
#include <mm/heap.h>

static struct fs_context first = {
	.references = 1, .lock = SPINLOCK_INIT(RANK_FILES, "fs context"), .umask = 022};

static struct fs_context *context(void)
{
	struct fs_context *c = current_process()->resources[RESOURCE_FS];

	return likely(c) ? c : &first;
}

static enum kerr context_clone(void *resource, bool share, void **out);
static void context_release(void *resource);

/* The same to change it: a program that has none yet (program 1) gets its own. */
static enum kerr context_own(struct fs_context **out)
{
	struct process *p = current_process();
	void *n;

	*out = context();
	if (*out != &first || p->pid == 0)
		return KERR_OK;
	enum kerr err = context_clone(&first, false, &n);
	if (err != KERR_OK)
		return err;
	bool on = spin_lock_irq(&p->lock);
	if (!p->resources[RESOURCE_FS]) {
		p->resources[RESOURCE_FS] = n;
		n = nullptr;
	}
	spin_unlock_irq(&p->lock, on);
	context_release(n);
	*out = context();
	return KERR_OK;
}

static void read_path(const struct fs_context *c, const struct path *from, struct path *out)
{
	uint32_t before;

	do {
		while ((before = atomic_load_explicit(&c->sequence, memory_order_acquire)) & 1)
			hal.cpu.relax();
		out->mount = READ_ONCE(from->mount);
		out->dentry = READ_ONCE(from->dentry);
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load_explicit(&c->sequence, memory_order_relaxed) != before);
}

void context_root(struct path *out)
{
	struct fs_context *c = context();

	read_path(c, &c->root, out);
}

void context_directory(struct path *out)
{
	struct fs_context *c = context();

	read_path(c, &c->directory, out);
}

static void get_locked(struct fs_context *c, const struct path *from, struct path *out)
{
	spin_lock(&c->lock);
	*out = *from;
	path_get(out);
	spin_unlock(&c->lock);
}

void vfs_get_root(struct path *out)
{
	struct fs_context *c = context();

	get_locked(c, &c->root, out);
}

void vfs_get_directory(struct path *out)
{
	struct fs_context *c = context();

	get_locked(c, &c->directory, out);
}

static void set(struct fs_context *c, struct path *which, const struct path *p)
{
	struct path old;

	path_get(p);
	spin_lock(&c->lock);
	old = *which;
	uint32_t sequence = atomic_load_explicit(&c->sequence, memory_order_relaxed);
	atomic_store_explicit(&c->sequence, sequence + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	WRITE_ONCE(which->mount, p->mount);
	WRITE_ONCE(which->dentry, p->dentry);
	atomic_store_explicit(&c->sequence, sequence + 2, memory_order_release);
	spin_unlock(&c->lock);
	if (old.dentry)
		path_put(&old);
}

static enum kerr may_enter(const struct path *p)
{
	const struct inode *i = path_inode(p);

	return inode_is(i, S_IFDIR) ? inode_permission(i, 1) : KERR_NOTDIR;
}

enum kerr vfs_change_directory(const struct path *p)
{
	struct fs_context *c;
	enum kerr err = may_enter(p);

	if (err == KERR_OK)
		err = context_own(&c);
	if (err == KERR_OK)
		set(c, &c->directory, p);
	return err;
}

enum kerr vfs_change_root(const struct path *p)
{
	struct fs_context *c;
	enum kerr err = may_enter(p);

	if (err == KERR_OK && !process_capable(TERN_CAP_MOUNT, LINUX_CAP_SYS_CHROOT))
		err = KERR_PERM;
	if (err == KERR_OK)
		err = context_own(&c);
	if (err == KERR_OK)
		set(c, &c->root, p);
	return err;
}

uint32_t vfs_set_umask(uint32_t mask)
{
	struct fs_context *c;

	if (context_own(&c) != KERR_OK)
		return vfs_umask(); /* no memory this early: stays as it is */
	return atomic_exchange_explicit(&c->umask, mask & 0777, memory_order_relaxed);
}

uint32_t vfs_umask(void)
{
	return atomic_load_explicit(&context()->umask, memory_order_relaxed);
}

static enum kerr context_clone(void *resource, bool share, void **out)
{
	struct fs_context *c = resource ? resource : &first, *n;

	if (share) {
		atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
		*out = c;
		return KERR_OK;
	}
	n = heap_alloc(sizeof(*n));
	if (!n)
		return KERR_NOMEM;
	*n = (struct fs_context){.references = 1};
	spin_init(&n->lock, RANK_FILES, "fs context");
	spin_lock(&c->lock);
	n->root = c->root;
	n->directory = c->directory;
	path_get(&n->root);
	path_get(&n->directory);
	spin_unlock(&c->lock);
	n->umask = atomic_load_explicit(&c->umask, memory_order_relaxed);
	*out = n;
	return KERR_OK;
}

static void context_release(void *resource)
{
	struct fs_context *c = resource;

	if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
		return;
	path_put(&c->root);
	path_put(&c->directory);
	heap_free(c);
}

enum kerr context_of(struct process *p, struct path *root, struct path *directory, uint32_t *umask)
{
	enum kerr err = KERR_NOENT;

	/* exit takes the slot away under the process's lock before it releases what was in it. */
	bool on = spin_lock_irq(&p->lock);
	struct fs_context *c = p->resources[RESOURCE_FS];
	if (c)
		atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
	spin_unlock_irq(&p->lock, on);
	if (!c)
		return err;
	get_locked(c, &c->root, root);
	get_locked(c, &c->directory, directory);
	*umask = atomic_load_explicit(&c->umask, memory_order_relaxed);
	context_release(c);
	return KERR_OK;
}

void context_init(const struct path *root)
{
	static const struct resource_ops ops = {.clone = context_clone, .release = context_release};

	process_resource_register(RESOURCE_FS, &ops);
	set(&first, &first.root, root);
	set(&first, &first.directory, root);
}
