/*
 * Memory objects: a page tree (index -> frame) with a size and the list of regions that map it.
 *
 * Reading and writing take no lock: under rcu the slot is looked up and a reference taken on the
 * frame, then bytes are copied (which may fault and sleep), then the reference goes. A frame that
 * leaves the tree is put after a grace period, so the reference can always be taken.
 * A missing page is prepared apart (filled, or zeroed, or with the bytes to be written already in
 * it) and put in by compare-and-swap; who loses the race copies into the winner's page.
 *
 * Mappings. A hardware entry holds no reference on the object's frame; it is removed before the
 * frame is. Truncation: set the size; visit each region that maps the object, take its lock for
 * writing (which waits for faults that still saw the old size), take the entries away and flush; then
 * free the pages. Regions that come meanwhile see the new size. The list keeps regions not yet
 * visited in front: a region is to be visited if its `epoch` is not the truncation's. It gets that
 * at the end of the visit, still locked: one that was split off before inherits the old epoch and
 * is visited, too, and one that swallows another which is to be visited becomes such a one.
 *
 * Lock order: object.grow (truncation) -> region.lock -> object.maps_lock. A fault holds region.lock
 * and never takes grow.
 *
 * frame.private of an object's frame: FRAME_SYNCED once instruction caches know its contents.
 */
#include "commit_private.h"
#include "region.h"

#include <core/panic.h>
#include <core/rcu.h>
#include <lib/string.h>
#include <mm/heap.h>
#include <mm/pressure.h>
#include <mm/user_copy.h>

#define PUNCH_RUN 32u

static struct cache *anonymous_objects;

void vm_object_init(struct vm_object *o, const struct vm_object_ops *ops, uint64_t size,
		    void *owner)
{
	*o = (struct vm_object){.ops = ops, .owner = owner};
	atomic_store_explicit(&o->references, 1, memory_order_relaxed);
	atomic_store_explicit(&o->size, size, memory_order_relaxed);
	pagetree_init(&o->pages, PAGETREE_OBJECT);
	mutex_init(&o->grow, "object.grow");
	spin_init(&o->maps_lock, RANK_OBJECT, "object maps");
	list_init(&o->maps);
}

static void count_pages(const struct vm_object *o, int64_t n)
{
	mm_count(COUNT_OBJECT, n);
	if (!o->ops->fill)
		mm_count(COUNT_SHARED, n);
}

static void anonymous_destroy(struct vm_object *o)
{
	cache_free(anonymous_objects, o);
}

static const struct vm_object_ops anonymous_ops = {
	.name = "anonymous",
	.destroy = anonymous_destroy,
};

void object_setup(void)
{
	anonymous_objects = cache_create("vm_object", sizeof(struct vm_object), 0);
}

enum kerr vm_object_create_anonymous(uint64_t size, struct vm_object **out)
{
	struct vm_object *o = cache_alloc(anonymous_objects);
	if (!o)
		return KERR_NOMEM;
	vm_object_init(o, &anonymous_ops, size, nullptr);
	*out = o;
	return KERR_OK;
}

enum kerr object_create_promised(uint64_t size, struct vm_object **out)
{
	uint64_t pages = ALIGN_UP(size, PAGE_SIZE) >> PAGE_SHIFT;
	enum kerr err = commit_charge(pages);
	if (err != KERR_OK)
		return err;
	err = vm_object_create_anonymous(size, out);
	if (err == KERR_OK)
		(*out)->promised = pages;
	else
		commit_release(pages);
	return err;
}

/* Whether each page of it takes a promise of its own: only what no file stands behind. */
static bool promised_by_page(const struct vm_object *o)
{
	return !o->ops->fill && !o->promised;
}

void vm_object_get(struct vm_object *o)
{
	atomic_fetch_add_explicit(&o->references, 1, memory_order_relaxed);
}

static void uncharge(struct vm_object *o, uint64_t pages)
{
	if (!pages)
		return;
	count_pages(o, -(int64_t)pages);
	if (promised_by_page(o))
		commit_release(pages);
	if (o->ops->uncharge)
		o->ops->uncharge(o, pages);
}

void vm_object_put(struct vm_object *o)
{
	if (atomic_fetch_sub_explicit(&o->references, 1, memory_order_acq_rel) != 1)
		return;
	uint64_t pages = vm_object_resident(o);
	pagetree_destroy(&o->pages);
	uncharge(o, pages);
	if (o->promised)
		commit_release(o->promised);
	if (o->ops->destroy)
		o->ops->destroy(o);
}

uint64_t vm_object_resident(struct vm_object *o)
{
	return atomic_load_explicit(&o->pages.pages, memory_order_relaxed);
}

/* ---- Pages ---------------------------------------------------------------------------------- */

static struct frame *page_get(struct vm_object *o, uint64_t index)
{
	rcu_read_lock();
	struct frame *f = page_slot_frame(pagetree_get(&o->pages, index));
	if (f)
		frame_get(f);
	rcu_read_unlock();
	return f;
}

static void page_uncharge(struct vm_object *o)
{
	if (promised_by_page(o))
		commit_release(1);
	if (o->ops->uncharge)
		o->ops->uncharge(o, 1);
}

static enum kerr page_charge(struct vm_object *o)
{
	enum kerr err = o->ops->charge ? o->ops->charge(o, 1) : KERR_OK;
	if (err != KERR_OK || !promised_by_page(o) || commit_charge(1) == KERR_OK)
		return err;
	if (o->ops->uncharge)
		o->ops->uncharge(o, 1);
	return KERR_NOSPC;
}

/* Pages of tmpfs stay until somebody removes them, whoever is killed: they must leave some memory. */
static bool may_take_frame(const struct vm_object *o)
{
	return !o->ops->charge || frame_file_room();
}

/* A charged frame for page `index`. */
static enum kerr page_new(struct vm_object *o, uint64_t index, unsigned flags, struct frame **out)
{
	if (index > PAGETREE_KEY_MAX)
		return KERR_FBIG;
	enum kerr err = page_charge(o);
	if (err != KERR_OK)
		return err;
	*out = may_take_frame(o) ? frame_alloc(0, flags | FRAME_USER) : nullptr;
	if (!*out && frame_reclaim() && may_take_frame(o))
		*out = frame_alloc(0, flags | FRAME_USER);
	if (*out)
		return KERR_OK;
	page_uncharge(o);
	return o->ops->charge ? KERR_NOSPC : KERR_NOMEM;
}

static void page_drop(struct vm_object *o, struct frame *f)
{
	frame_free(f, 0);
	page_uncharge(o);
}

/* Puts `f` in. If another page is there by now, *f becomes that one (with a reference) and ours is
 * returned in *lost. Else *f has a reference for the caller too. */
static enum kerr page_install(struct vm_object *o, uint64_t index, struct frame **f,
			      struct frame **lost)
{
	struct page_ref ref;
	page_slot_t old = 0;
	*lost = nullptr;
	rcu_read_lock();
	enum kerr err = pagetree_ref(&o->pages, index, true, &ref);
	if (err == KERR_OK) {
		frame_get(*f);
		if (pagetree_swap(&o->pages, &ref, index, &old, page_slot_make(*f, true))) {
			count_pages(o, 1);
		} else {
			*lost = *f;
			*f = page_slot_frame(old);
			frame_get(*f);
		}
	}
	rcu_read_unlock();
	return err;
}

enum kerr vm_object_page(struct vm_object *o, uint64_t index, bool create, struct frame **out)
{
	struct frame *f = page_get(o, index), *lost;
	*out = f;
	if (f)
		return KERR_OK;
	if (!create)
		return KERR_NOENT;
	enum kerr err = page_new(o, index, FRAME_ZEROED, &f);
	if (err != KERR_OK)
		return err;
	struct frame *mine = f;
	if (o->ops->fill)
		err = o->ops->fill(o, index, frame_data(f));
	if (err == KERR_OK)
		err = page_install(o, index, &f, &lost);
	if (err != KERR_OK) {
		page_drop(o, mine);
		return err;
	}
	if (lost)
		page_drop(o, lost);
	*out = f;
	return KERR_OK;
}

/* ---- Read and write ------------------------------------------------------------------------- */

/* Bytes NOT copied. */
static size_t move_bytes(void *dst, const void *src, size_t size, bool user)
{
	if (user)
		return hal.user.copy(dst, src, size);
	memcpy(dst, src, size);
	return 0;
}

static size_t read_hole(vaddr_t dst, size_t size, bool user)
{
	return move_bytes((void *)dst, frame_data(zero_frame), size, user);
}

enum kerr vm_object_read(struct vm_object *o, uint64_t offset, vaddr_t dst, size_t size, bool user,
			 size_t *done)
{
	*done = 0;
	if (user && !user_range_ok(dst, size))
		return KERR_FAULT;
	while (*done < size) {
		uint64_t at = offset + *done;
		size_t in_page = at & (PAGE_SIZE - 1);
		size_t n = MIN(PAGE_SIZE - in_page, size - *done);
		struct frame *f = page_get(o, at >> PAGE_SHIFT);
		if (!f && o->ops->fill) {
			enum kerr err = vm_object_page(o, at >> PAGE_SHIFT, true, &f);
			if (err != KERR_OK)
				return err;
		}
		size_t left;
		if (f) {
			left = move_bytes((void *)(dst + *done), (char *)frame_data(f) + in_page, n,
					  user);
			frame_put(f);
		} else {
			left = read_hole(dst + *done, n, user);
		}
		*done += n - left;
		if (left)
			return KERR_FAULT;
	}
	return KERR_OK;
}

/* Writes into a page that is not there yet: the bytes are in it before anybody can see it. */
static enum kerr write_new(struct vm_object *o, uint64_t index, size_t in_page, vaddr_t src,
			   size_t n, bool user, size_t *left)
{
	struct frame *f, *lost;
	bool whole = n == PAGE_SIZE;
	enum kerr err = page_new(o, index, whole ? 0 : FRAME_ZEROED, &f);
	if (err != KERR_OK)
		return err;
	struct frame *mine = f;
	if (!whole && o->ops->fill)
		err = o->ops->fill(o, index, frame_data(f));
	if (err != KERR_OK)
		goto fail;
	char *to = (char *)frame_data(f) + in_page;
	*left = move_bytes(to, (const void *)src, n, user);
	if (*left == n) {
		err = KERR_FAULT;
		goto fail;
	}
	if (whole)
		memset(to + (n - *left), 0, *left);
	err = page_install(o, index, &f, &lost);
	if (err != KERR_OK)
		goto fail;
	if (lost) {
		memcpy((char *)frame_data(f) + in_page, to, n - *left);
		page_drop(o, lost);
	}
	frame_put(f);
	return KERR_OK;
fail:
	page_drop(o, mine);
	return err;
}

enum kerr vm_object_write(struct vm_object *o, uint64_t offset, vaddr_t src, size_t size, bool user,
			  size_t *done)
{
	*done = 0;
	if (user && !user_range_ok(src, size))
		return KERR_FAULT;
	while (*done < size) {
		uint64_t at = offset + *done;
		size_t in_page = at & (PAGE_SIZE - 1), left = 0;
		size_t n = MIN(PAGE_SIZE - in_page, size - *done);
		struct frame *f = page_get(o, at >> PAGE_SHIFT);
		if (f) {
			f->private = 0; /* instruction caches have not seen it */
			left = move_bytes((char *)frame_data(f) + in_page,
					  (const void *)(src + *done), n, user);
			frame_put(f);
		} else {
			enum kerr err = write_new(o, at >> PAGE_SHIFT, in_page, src + *done, n,
						  user, &left);
			if (err != KERR_OK)
				return err;
		}
		*done += n - left;
		if (left)
			return KERR_FAULT;
	}
	return KERR_OK;
}

/* ---- Mappings and truncation ---------------------------------------------------------------- */

void object_add_region(struct vm_object *o, struct region *r, const struct region *like)
{
	spin_lock(&o->maps_lock);
	r->epoch = like ? like->epoch : o->maps_epoch;
	if (r->epoch == o->maps_epoch)
		list_add_tail(&o->maps, &r->object_link);
	else
		list_add_head(&o->maps, &r->object_link);
	spin_unlock(&o->maps_lock);
}

void object_merge_region(struct vm_object *o, struct region *r, const struct region *next)
{
	spin_lock(&o->maps_lock);
	if (r->epoch == o->maps_epoch && next->epoch != r->epoch) {
		r->epoch = next->epoch;
		list_remove(&r->object_link);
		list_add_head(&o->maps, &r->object_link);
	}
	spin_unlock(&o->maps_lock);
}

void object_remove_region(struct vm_object *o, struct region *r)
{
	spin_lock(&o->maps_lock);
	list_remove(&r->object_link);
	spin_unlock(&o->maps_lock);
}

/* A region that this truncation has not seen, with a reference; null: all seen. */
static struct region *next_region(struct vm_object *o, uint32_t epoch)
{
	struct region *r = nullptr;
	spin_lock(&o->maps_lock);
	if (!list_empty(&o->maps)) {
		r = list_first(&o->maps, struct region, object_link);
		if (r->epoch == epoch)
			r = nullptr;
		else
			region_get(r);
	}
	spin_unlock(&o->maps_lock);
	return r;
}

/* r is write-locked; it may have left the list. */
static void region_seen(struct vm_object *o, struct region *r, uint32_t epoch)
{
	spin_lock(&o->maps_lock);
	if (!list_empty(&r->object_link)) {
		r->epoch = epoch;
		list_remove(&r->object_link);
		list_add_tail(&o->maps, &r->object_link);
	}
	spin_unlock(&o->maps_lock);
}

/* Takes [first, last] (indices) out of every address space; afterwards no fault that started before
 * o->size changed is still running. */
static void unmap_everywhere(struct vm_object *o, uint64_t first, uint64_t last)
{
	spin_lock(&o->maps_lock);
	uint32_t epoch = ++o->maps_epoch;
	spin_unlock(&o->maps_lock);
	struct region *r;
	while ((r = next_region(o, epoch))) {
		rwlock_write_lock(&r->lock);
		region_unmap_pages(r, first, last);
		region_seen(o, r, epoch);
		rwlock_write_unlock(&r->lock);
		region_put(r);
	}
}

static void zero_part(struct vm_object *o, uint64_t start, uint64_t end)
{
	struct frame *f = start < end ? page_get(o, start >> PAGE_SHIFT) : nullptr;
	if (!f)
		return;
	memset((char *)frame_data(f) + (start & (PAGE_SIZE - 1)), 0, end - start);
	frame_put(f);
}

/* Frees pages first .. last. o->grow held. Regions are visited even if there seem to be no pages: a fault
 * may be about to make one; and those that it makes in front of `first` do not count. */
static void free_pages(struct vm_object *o, uint64_t first, uint64_t last)
{
	if (first > last)
		return;
	unmap_everywhere(o, first, last);
	uncharge(o, pagetree_remove(&o->pages, first, last, first, last));
}

void vm_object_truncate(struct vm_object *o, uint64_t size)
{
	mutex_lock(&o->grow);
	uint64_t old = atomic_exchange_explicit(&o->size, size, memory_order_seq_cst);
	if (size < old) {
		free_pages(o, ALIGN_UP(size, PAGE_SIZE) >> PAGE_SHIFT, PAGETREE_KEY_MAX);
		zero_part(o, size, ALIGN_UP(size, PAGE_SIZE));
	}
	mutex_unlock(&o->grow);
}

/* Takes up to PUNCH_RUN pages of [*index, last] out of the tree, then out of every address space, and
 * only then lets them go: who faults meanwhile finds either the old page, whose entry is removed
 * after it, or none, and makes a new one. *index moves on; false: there was none. */
static bool punch_run(struct vm_object *o, uint64_t *index, uint64_t last)
{
	struct frame *taken[PUNCH_RUN];
	uint64_t key, first = 0, end = 0;
	unsigned n = 0;
	while (n < PUNCH_RUN && pagetree_next(&o->pages, *index, last, &key)) {
		struct frame *f = page_get(o, key);
		*index = key + 1;
		if (!f)
			continue;
		first = n ? first : key;
		end = key;
		taken[n++] = f;
		pagetree_remove(&o->pages, key, key, key, key);
	}
	if (!n)
		return false;
	unmap_everywhere(o, first, end);
	for (unsigned i = 0; i < n; i++)
		frame_put(taken[i]);
	uncharge(o, n);
	return true;
}

/* The page that contains `start`, where there is one. */
static void punch_part(struct vm_object *o, uint64_t start, uint64_t end)
{
	if (start < end)
		zero_part(o, start, end);
}

void vm_object_punch(struct vm_object *o, uint64_t start, uint64_t end)
{
	uint64_t first = ALIGN_UP(start, PAGE_SIZE), last = ALIGN_DOWN(end, PAGE_SIZE);
	mutex_lock(&o->grow);
	if (first > last) { /* within one page */
		punch_part(o, start, end);
	} else {
		punch_part(o, start, first);
		punch_part(o, last, end);
		uint64_t index = first >> PAGE_SHIFT;
		while (first < last && punch_run(o, &index, (last >> PAGE_SHIFT) - 1))
			;
	}
	mutex_unlock(&o->grow);
}

bool vm_object_seek(struct vm_object *o, uint64_t from, bool data, uint64_t *at)
{
	uint64_t size = atomic_load_explicit(&o->size, memory_order_relaxed);
	if (from >= size)
		return false;
	uint64_t index = from >> PAGE_SHIFT, last = (size - 1) >> PAGE_SHIFT, key;
	if (data) {
		if (!pagetree_next(&o->pages, index, last, &key))
			return false;
	} else {
		for (key = index; key <= last; key++) {
			uint64_t next;
			if (!pagetree_next(&o->pages, key, last, &next) || next != key)
				break;
		}
	}
	*at = MIN(MAX(from, key << PAGE_SHIFT), size);
	return true;
}
