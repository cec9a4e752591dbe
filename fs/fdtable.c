/*
 * Descriptor tables: number -> file (US-3).
 *
 * A table is three arrays of one capacity: files, and two bitmaps, "in use" and "close on exec". They
 * are one block (struct fd_array), replaced whole when the table grows (by doubling) and freed
 * after a grace period; the first 64 numbers live in the table itself. Changes take the table's
 * lock; fd_get() takes none: under rcu it reads the slot, takes a reference unless the count is
 * zero, and looks whether the slot still holds that file.
 *
 * A number may be in use without a file: reserved by a call that has not finished. Lookups see
 * null there. "Lowest free" starts at a hint below which all are taken.
 *
 * Threads share the table through their process; fork copies it, clone(CLONE_FILES) shares it.
 */
#include "vfs_private.h"

#include <exec/process.h>
#include <mm/heap.h>

#define FIRST_CAPACITY 64u
#define CAPACITY_MAX (1u << 20)

struct fd_array {
	struct rcu_head rcu;
	uint32_t capacity;            /* (const) a multiple of 64 */
	uint64_t *used, *on_exec;     /* (table lock) */
	struct file *_Atomic *files;  /* (table lock; readers under rcu) */
};

struct fd_table {
	_Atomic uint32_t references;
	struct spinlock lock;
	struct fd_array *_Atomic array; /* (lock; readers under rcu) */
	uint32_t first_free;            /* (lock) none below it is free */
	struct rcu_head rcu;
	struct fd_array small;
	uint64_t small_used, small_on_exec;
	struct file *_Atomic small_files[FIRST_CAPACITY];
};

static struct cache *table_cache RO_AFTER_INIT;

static struct fd_array *array_of(struct fd_table *t)
{
	return atomic_load_explicit(&t->array, memory_order_acquire);
}

static inline bool bit_get(const uint64_t *bits, unsigned n)
{
	return bits[n / 64] >> (n % 64) & 1;
}

static inline void bit_set(uint64_t *bits, unsigned n, bool on)
{
	uint64_t mask = (uint64_t)1 << (n % 64);

	bits[n / 64] = on ? bits[n / 64] | mask : bits[n / 64] & ~mask;
}

/* ---- Tables ------------------------------------------------------------------------------------ */

static struct fd_table *table_create(void)
{
	struct fd_table *t = cache_alloc_zeroed(table_cache);

	if (!t)
		return nullptr;
	atomic_init(&t->references, 1);
	spin_init(&t->lock, RANK_FILES, "descriptors");
	t->small.capacity = FIRST_CAPACITY;
	t->small.used = &t->small_used;
	t->small.on_exec = &t->small_on_exec;
	t->small.files = t->small_files;
	atomic_init(&t->array, &t->small);
	return t;
}

static void array_free(struct rcu_head *head)
{
	heap_free(container_of(head, struct fd_array, rcu));
}

static void table_free(struct rcu_head *head)
{
	cache_free(table_cache, container_of(head, struct fd_table, rcu));
}

static struct fd_array *array_create(uint32_t capacity)
{
	size_t words = capacity / 64;
	struct fd_array *a = heap_alloc_zeroed(sizeof(*a) + 2 * words * sizeof(uint64_t) +
					       capacity * sizeof(struct file *));

	if (!a)
		return nullptr;
	a->capacity = capacity;
	a->files = (struct file * _Atomic *)(a + 1);
	a->used = (uint64_t *)(a->files + capacity);
	a->on_exec = a->used + words;
	return a;
}

/* Makes room for number `fd`. The lock is not held. */
static enum kerr table_grow(struct fd_table *t, unsigned fd)
{
	uint32_t capacity = array_of(t)->capacity;

	if (fd >= CAPACITY_MAX)
		return KERR_MFILE;
	while (capacity <= fd)
		capacity *= 2;
	struct fd_array *n = array_create(capacity);
	if (!n)
		return KERR_NOMEM;
	spin_lock(&t->lock);
	struct fd_array *old = array_of(t);
	if (old->capacity < capacity) {
		for (uint32_t i = 0; i < old->capacity; i++)
			atomic_store_explicit(&n->files[i], old->files[i], memory_order_relaxed);
		memcpy(n->used, old->used, old->capacity / 8);
		memcpy(n->on_exec, old->on_exec, old->capacity / 8);
		atomic_store_explicit(&t->array, n, memory_order_release);
		n = old == &t->small ? nullptr : old;
	}
	spin_unlock(&t->lock);
	if (n)
		rcu_call(&n->rcu, array_free);
	return KERR_OK;
}

/* A number of `t` that stood for f is free again: its reference. May sleep. */
static void file_drop(struct fd_table *t, struct file *f)
{
	locks_release(f, t);
	file_put(f);
}

static void table_put(struct fd_table *t)
{
	if (atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
		return;
	struct fd_array *a = array_of(t);
	for (uint32_t word = 0; word < a->capacity / 64; word++)
		for (uint64_t bits = a->used[word]; bits; bits &= bits - 1) {
			struct file *f = a->files[word * 64 + (unsigned)__builtin_ctzll(bits)];
			if (f)
				file_drop(t, f);
		}
	if (a != &t->small)
		rcu_call(&a->rcu, array_free);
	rcu_call(&t->rcu, table_free);
}

/* A copy of `from` with references of its own; reserved numbers are free in it. */
static enum kerr table_copy(struct fd_table *from, struct fd_table **out)
{
	struct fd_table *t = table_create();
	enum kerr err;

	if (!t)
		return KERR_NOMEM;
	for (;;) {
		uint32_t capacity = array_of(from)->capacity;
		if (capacity > array_of(t)->capacity) {
			err = table_grow(t, capacity - 1);
			if (err != KERR_OK) {
				table_put(t);
				return err;
			}
		}
		spin_lock(&from->lock);
		if (array_of(from)->capacity <= array_of(t)->capacity)
			break;
		spin_unlock(&from->lock); /* it grew meanwhile */
	}
	struct fd_array *a = array_of(from), *n = array_of(t);
	for (uint32_t word = 0; word < a->capacity / 64; word++) {
		n->on_exec[word] = a->on_exec[word];
		for (uint64_t bits = a->used[word]; bits; bits &= bits - 1) {
			unsigned fd = word * 64 + (unsigned)__builtin_ctzll(bits);
			struct file *f = a->files[fd];
			if (!f)
				continue;
			file_get(f);
			n->used[word] |= bits & -bits;
			atomic_store_explicit(&n->files[fd], f, memory_order_relaxed);
		}
	}
	spin_unlock(&from->lock);
	*out = t;
	return KERR_OK;
}

static struct fd_table *table(void)
{
	return current_process()->resources[RESOURCE_FILES];
}

/* The current table, made if there is none yet (program 1). */
static enum kerr table_own(struct fd_table **out)
{
	struct process *p = current_process();

	*out = p->resources[RESOURCE_FILES];
	if (likely(*out))
		return KERR_OK;
	struct fd_table *n = table_create();
	if (!n)
		return KERR_NOMEM;
	bool on = spin_lock_irq(&p->lock);
	if (!p->resources[RESOURCE_FILES]) {
		p->resources[RESOURCE_FILES] = n;
		n = nullptr;
	}
	spin_unlock_irq(&p->lock, on);
	if (n)
		table_put(n);
	*out = p->resources[RESOURCE_FILES];
	return KERR_OK;
}

static enum kerr files_clone(void *resource, bool share, void **out)
{
	struct fd_table *t = resource, *n;

	if (share) {
		atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
		*out = t;
		return KERR_OK;
	}
	enum kerr err = table_copy(t, &n);
	*out = n;
	return err;
}

static void files_release(void *resource)
{
	if (resource)
		table_put(resource);
}

/* ---- Numbers ----------------------------------------------------------------------------------- */

static unsigned lowest_free_locked(struct fd_table *t, unsigned lowest)
{
	struct fd_array *a = array_of(t);
	unsigned fd = MAX(lowest, t->first_free);

	for (uint32_t word = fd / 64; word < a->capacity / 64; word++) {
		uint64_t free = ~a->used[word];
		if (word == fd / 64)
			free &= ~(uint64_t)0 << (fd % 64);
		if (free)
			return word * 64 + (unsigned)__builtin_ctzll(free);
	}
	return a->capacity;
}

/* Takes a number; `f` may be null (reserved). */
static enum kerr take(struct fd_table *t, struct file *f, unsigned lowest, bool close_on_exec,
		      int *out)
{
	uint64_t limit = MIN(process_limit(RLIMIT_NOFILE), CAPACITY_MAX);
	unsigned fd;

	for (;;) {
		spin_lock(&t->lock);
		struct fd_array *a = array_of(t);
		fd = lowest_free_locked(t, lowest);
		if (fd >= limit) {
			spin_unlock(&t->lock);
			return KERR_MFILE;
		}
		if (likely(fd < a->capacity)) {
			bit_set(a->used, fd, true);
			bit_set(a->on_exec, fd, close_on_exec);
			if (lowest <= t->first_free)
				t->first_free = fd + 1;
			atomic_store_explicit(&a->files[fd], f, memory_order_release);
			break;
		}
		spin_unlock(&t->lock);
		enum kerr err = table_grow(t, fd);
		if (err != KERR_OK)
			return err;
	}
	spin_unlock(&t->lock);
	*out = (int)fd;
	return KERR_OK;
}

static struct file *release_locked(struct fd_table *t, unsigned fd)
{
	struct fd_array *a = array_of(t);
	struct file *f = atomic_load_explicit(&a->files[fd], memory_order_relaxed);

	atomic_store_explicit(&a->files[fd], nullptr, memory_order_relaxed);
	bit_set(a->used, fd, false);
	if (fd < t->first_free)
		t->first_free = fd;
	return f;
}

enum kerr fd_install(struct file *f, unsigned lowest, bool close_on_exec, int *out)
{
	struct fd_table *t;
	enum kerr err = table_own(&t);

	return err == KERR_OK ? take(t, f, lowest, close_on_exec, out) : err;
}

enum kerr fd_reserve(unsigned lowest, bool close_on_exec, int *out)
{
	return fd_install(nullptr, lowest, close_on_exec, out);
}

void fd_fill(int fd, struct file *f)
{
	struct fd_table *t = table();

	spin_lock(&t->lock);
	atomic_store_explicit(&array_of(t)->files[fd], f, memory_order_release);
	spin_unlock(&t->lock);
}

void fd_release(int fd)
{
	struct fd_table *t = table();

	spin_lock(&t->lock);
	release_locked(t, (unsigned)fd);
	spin_unlock(&t->lock);
}

struct file *fd_get_any(int fd)
{
	struct fd_table *t = table();
	struct file *f = nullptr;

	if (unlikely(!t))
		return nullptr;
	rcu_read_lock();
	struct fd_array *a = array_of(t);
	if (likely((unsigned)fd < a->capacity)) {
		while ((f = atomic_load_explicit(&a->files[fd], memory_order_acquire))) {
			if (unlikely(!reference_get_not_zero(&f->references)))
				continue; /* just closed: the slot has changed */
			if (likely(atomic_load_explicit(&a->files[fd], memory_order_acquire) == f))
				break;
			rcu_read_unlock(); /* the put may be the last and sleep */
			file_put(f);
			rcu_read_lock();
			a = array_of(t);
		}
	}
	rcu_read_unlock();
	return f;
}

struct file *fd_get(int fd)
{
	struct file *f = fd_get_any(fd);

	if (f && unlikely(atomic_load_explicit(&f->flags, memory_order_relaxed) & O_PATH)) {
		file_put(f);
		return nullptr;
	}
	return f;
}

struct fd_view fd_view_private(void)
{
	const struct process *p = current_process();
	struct fd_table *t = table();

	/* Both counts are raised only by clone in this process. /proc/PID/fd takes a reference for
	 * a moment, which is harmless. */
	if (!t || READ_ONCE(p->thread_count) != 1 ||
	    atomic_load_explicit(&t->references, memory_order_acquire) != 1)
		return (struct fd_view){};
	return (struct fd_view){array_of(t)->files, array_of(t)->capacity};
}

enum kerr fd_close(int fd)
{
	struct fd_table *t = table();
	struct file *f = nullptr;

	if (!t)
		return KERR_BADF;
	spin_lock(&t->lock);
	struct fd_array *a = array_of(t);
	if ((unsigned)fd < a->capacity && a->files[fd])
		f = release_locked(t, (unsigned)fd);
	spin_unlock(&t->lock);
	if (!f)
		return KERR_BADF;
	file_drop(t, f);
	return KERR_OK;
}

enum kerr fd_duplicate_from(int from, unsigned lowest, bool close_on_exec, int *out)
{
	struct file *f;
	enum kerr err;

	if (lowest >= process_limit(RLIMIT_NOFILE))
		return KERR_INVAL;
	f = fd_get_any(from);
	if (!f)
		return KERR_BADF;
	err = fd_install(f, lowest, close_on_exec, out);
	if (err != KERR_OK)
		file_put(f);
	return err;
}

enum kerr fd_duplicate(int from, int to, bool close_on_exec, int *out)
{
	struct fd_table *t = table();
	struct file *f, *old = nullptr;
	enum kerr err = KERR_OK;

	if (to < 0)
		return fd_duplicate_from(from, 0, close_on_exec, out);
	if (from == to)
		return KERR_INVAL;
	if ((uint64_t)to >= process_limit(RLIMIT_NOFILE))
		return KERR_BADF;
	f = fd_get_any(from);
	if (!f)
		return KERR_BADF;
	if ((unsigned)to >= array_of(t)->capacity) {
		err = table_grow(t, (unsigned)to);
		if (err != KERR_OK)
			goto fail;
	}
	spin_lock(&t->lock);
	struct fd_array *a = array_of(t);
	old = a->files[to];
	if (!old && bit_get(a->used, (unsigned)to)) {
		spin_unlock(&t->lock); /* another thread is just opening it */
		err = KERR_BUSY;
		goto fail;
	}
	bit_set(a->used, (unsigned)to, true);
	bit_set(a->on_exec, (unsigned)to, close_on_exec);
	atomic_store_explicit(&a->files[to], f, memory_order_release);
	spin_unlock(&t->lock);
	if (old)
		file_drop(t, old);
	*out = to;
	return KERR_OK;
fail:
	file_put(f);
	return err;
}

enum kerr fd_set_close_on_exec(int fd, bool on)
{
	struct fd_table *t = table();
	enum kerr err = KERR_BADF;

	if (!t)
		return err;
	spin_lock(&t->lock);
	struct fd_array *a = array_of(t);
	if ((unsigned)fd < a->capacity && a->files[fd]) {
		bit_set(a->on_exec, (unsigned)fd, on);
		err = KERR_OK;
	}
	spin_unlock(&t->lock);
	return err;
}

enum kerr fd_close_on_exec(int fd, bool *on)
{
	struct fd_table *t = table();
	enum kerr err = KERR_BADF;

	if (!t)
		return err;
	spin_lock(&t->lock);
	struct fd_array *a = array_of(t);
	if ((unsigned)fd < a->capacity && a->files[fd]) {
		*on = bit_get(a->on_exec, (unsigned)fd);
		err = KERR_OK;
	}
	spin_unlock(&t->lock);
	return err;
}

/* ---- execve, close_range ------------------------------------------------------------------------ */

enum kerr fd_unshare(void)
{
	struct process *p = current_process();
	struct fd_table *t = table(), *n;

	if (!t || atomic_load_explicit(&t->references, memory_order_acquire) == 1)
		return KERR_OK;
	enum kerr err = table_copy(t, &n);
	if (err != KERR_OK)
		return err;
	bool on = spin_lock_irq(&p->lock);
	p->resources[RESOURCE_FILES] = n;
	spin_unlock_irq(&p->lock, on);
	table_put(t);
	return KERR_OK;
}

/* Closes the numbers of one word of the bitmaps that are in `which`. */
static void close_word(struct fd_table *t, uint32_t word, uint64_t which)
{
	for (;;) {
		struct file *f = nullptr;
		spin_lock(&t->lock);
		struct fd_array *a = array_of(t);
		uint64_t bits = a->used[word] & which;
		while (bits && !f) {
			unsigned fd = word * 64 + (unsigned)__builtin_ctzll(bits);
			if (a->files[fd])
				f = release_locked(t, fd);
			bits &= bits - 1; /* a reserved one stays */
		}
		spin_unlock(&t->lock);
		if (!f)
			return;
		file_drop(t, f);
	}
}

void fd_close_on_execve(void)
{
	struct fd_table *t = table();

	if (!t)
		return;
	for (uint32_t word = 0; word < array_of(t)->capacity / 64; word++) {
		uint64_t marked = array_of(t)->on_exec[word] & array_of(t)->used[word];
		if (marked)
			close_word(t, word, marked);
	}
}

enum kerr fd_close_range(unsigned first, unsigned last, unsigned flags)
{
	struct fd_table *t;
	enum kerr err = KERR_OK;

	if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) || first > last)
		return KERR_INVAL;
	if (flags & CLOSE_RANGE_UNSHARE)
		err = fd_unshare();
	t = table();
	if (err != KERR_OK || !t)
		return err;
	for (uint32_t word = first / 64; word <= last / 64 && word < array_of(t)->capacity / 64;
	     word++) {
		uint64_t which = ~(uint64_t)0;
		if (word == first / 64)
			which <<= first % 64;
		if (word == last / 64)
			which &= ~(uint64_t)0 >> (63 - last % 64);
		if (!(flags & CLOSE_RANGE_CLOEXEC)) {
			close_word(t, word, which);
			continue;
		}
		spin_lock(&t->lock);
		array_of(t)->on_exec[word] |= array_of(t)->used[word] & which;
		spin_unlock(&t->lock);
	}
	return KERR_OK;
}

/* ---- /proc/PID/fd -------------------------------------------------------------------------------- */

static struct fd_table *table_of(struct process *p)
{
	/* exit takes the slot away under the process's lock before it releases what was in it. */
	bool on = spin_lock_irq(&p->lock);
	struct fd_table *t = p->resources[RESOURCE_FILES];
	if (t)
		atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
	spin_unlock_irq(&p->lock, on);
	return t;
}

int fd_next_of(struct process *p, int fd, struct file **out)
{
	struct fd_table *t = table_of(p);
	int found = -1;

	if (!t)
		return -1;
	spin_lock(&t->lock);
	struct fd_array *a = array_of(t);
	for (; (unsigned)fd < a->capacity && found < 0; fd++)
		if (a->files[fd]) {
			found = fd;
			if (out) {
				*out = a->files[fd];
				file_get(*out); /* the slot has one */
			}
		}
	spin_unlock(&t->lock);
	table_put(t);
	return found;
}

size_t fd_capacity_of(struct process *p)
{
	struct fd_table *t = table_of(p);
	size_t capacity = 0;

	if (t) {
		spin_lock(&t->lock);
		capacity = array_of(t)->capacity;
		spin_unlock(&t->lock);
		table_put(t);
	}
	return capacity;
}

void fd_init(void)
{
	static const struct resource_ops ops = {.clone = files_clone, .release = files_release};

	table_cache = cache_create("descriptors", sizeof(struct fd_table), 0);
	process_resource_register(RESOURCE_FILES, &ops);
}
