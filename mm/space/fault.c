/*
 * Page faults (VM-17): from an address to an entry in the hardware table.
 *
 *	region     found under rcu, locked for reading (no lock of the address space), checked again;
 *	           else under aspace.lock, where a stack may grow
 *	rights     the region's: MAPERR, ACCERR
 *	entry      tables made on the way by compare-and-swap; where there is none yet, or a huge
 *	           leaf, huge.c is asked first
 *	page       private write: the page tree's slot, made the tree's own:
 *	             nothing there       a zeroed frame, or a copy of the object's page
 *	             OWNED, or frame with one holder   written in place
 *	             else                a copy
 *	           otherwise a window of up to 16 pages round the address: private pages where there
 *	           are any, else the object's; where there is neither, the shared page of zeroes for
 *	           the one address
 *
 * Locks: the region's, for reading. Rcu while page trees are looked at. Disjoint regions never
 * meet; within a region faults meet only in compare-and-swaps on slots and entries.
 *
 * Entries hold no references: frames stay because whoever takes them away excludes faults and
 * removes entries first. A frame that this code itself replaces (copy-on-write) is put after
 * its entry is gone and flushed, perhaps by another thread (put_replaced). Another thread may have
 * looked up the old frame a moment ago and may still install it in an empty entry: so the one that
 * replaced it sets the entry last, whatever is there (entry_set), and then puts the frame. Who only
 * reads replaces another frame's entry only if the slot still says what it said (window_current), else it
 * looks again.
 *
 * W^X (VM-6): an entry is never writable and executable. In a region with both rights a page is one
 * or the other and changes over on a fault.
 *
 * FAULT_NO_MEMORY is returned when shrinkers have given nothing and exec has given up to find a program
 * to end (frames/pressure.c). Both are asked without any lock.
 */
#include "fault.h"
#include "commit_private.h"
#include "policy_private.h"

#include <core/panic.h>
#include <lib/string.h>
#include <mm/user_copy.h>

#define WINDOW 16u

/* The caller of a fault on behalf of somebody else wants the frame, too. */
struct fault_pin {
	struct frame *frame; /* with a reference */
	bool private;        /* to be put with anonymous_put */
};

/* ---- Entries -------------------------------------------------------------------------------- */

static pte_t make_entry(const struct region *r, struct frame *f, bool writable)
{
	map_flags_t flags = r->read_flags;
	if (writable)
		flags |= MAP_WRITABLE | MAP_DIRTY | MAP_NO_EXECUTE;
	else if (!(flags & MAP_NO_EXECUTE) && f->private != FRAME_SYNCED)
		hal.mmu.code_sync((vaddr_t)frame_data(f), PAGE_SIZE);
	return hal.mmu.leaf(frame_address(f), flags, 0);
}

/* The same for a frame of an object, which nobody writes without vm_object_write or a shared
 * mapping: instruction caches are told once. Private frames are told each time. */
static pte_t make_object_entry(const struct region *r, struct frame *f, bool writable)
{
	pte_t e = make_entry(r, f, writable);
	if (!writable && !(r->read_flags & MAP_NO_EXECUTE))
		f->private = FRAME_SYNCED;
	return e;
}

/* `is` allows all that `was` does. */
static bool only_gains(map_flags_t was, map_flags_t is)
{
	return !(was & MAP_WRITABLE & ~is) && !(is & MAP_NO_EXECUTE & ~was);
}

struct window;
static bool window_current(const struct fault *x, const struct window *w);

/* w: what `new` was made of, null: a private page that is the newest there can be. False: another frame is
 * there, and rightly so. */
ALWAYS_INLINE bool entry_set(struct fault *x, pte_t new, const struct window *w)
{
	pte_t old = mapper_load(x->entry);
	mapper_mark(x->table, mapper_index(x->va, 0));
	for (;;) {
		if (likely(!old.raw)) {
			if (mapper_swap(x->entry, &old, new)) {
				hal.mmu.publish();
				return true;
			}
			x->flushed = false;
			continue;
		}
		struct pte_parts was = hal.mmu.decode(old, 0), is = hal.mmu.decode(new, 0);
		bool same = was.address == is.address;
		if (same && fault_allows(was, x->access)) {
			tlb_flush_local(&x->as->tlb, x->va);
			return true;
		}
		/* More rights on the same frame: stale entries elsewhere fault and come here. */
		if (same && only_gains(was.flags, is.flags)) {
			if (mapper_swap(x->entry, &old, new)) {
				tlb_flush_local(&x->as->tlb, x->va);
				return true;
			}
			continue;
		}
		if (w && !window_current(x, w))
			return false;
		/* Break before make. */
		if (mapper_swap(x->entry, &old, (pte_t){0})) {
			tlb_flush(&x->as->tlb, x->va, 1, false);
			old = (pte_t){0};
			x->flushed = true;
		}
	}
}

void fault_set_entry(struct fault *x, pte_t new)
{
	(void)entry_set(x, new, nullptr);
}

/* ---- Reading: a window ---------------------------------------------------------------------- */

struct window {
	uint64_t first; /* page number */
	unsigned count;
	unsigned target; /* index of the faulting page */
	bool exclusive;
	page_slot_t private[WINDOW], object[WINDOW];
};

static uint64_t object_index(const struct region *r, vaddr_t va)
{
	return (r->offset + (va - r->start)) >> PAGE_SHIFT;
}

static uint64_t object_pages(const struct vm_object *o)
{
	uint64_t size = atomic_load_explicit(&o->size, memory_order_acquire);
	return (size >> PAGE_SHIFT) + ((size & (PAGE_SIZE - 1)) != 0);
}

/* The aligned window round the address, clipped to region and object. */
static void window_choose(const struct fault *x, struct window *w)
{
	uint64_t key = x->va >> PAGE_SHIFT;
	uint64_t first = ALIGN_DOWN(key, WINDOW), end = first + WINDOW;
	first = MAX(first, x->r->start >> PAGE_SHIFT);
	end = MIN(end, x->r->end >> PAGE_SHIFT);
	if (x->r->object) {
		uint64_t pages = object_pages(x->r->object), index = object_index(x->r, x->va);
		end = MIN(end, key + (pages > index ? pages - index : 1));
	}
	w->first = first;
	w->count = (unsigned)(end - first);
	w->target = (unsigned)(key - first);
}

static void window_object(const struct fault *x, struct window *w)
{
	struct vm_object *o = x->r->object;
	uint64_t index = object_index(x->r, w->first << PAGE_SHIFT);
	bool unused;
	for (unsigned done = 0; done < w->count;) {
		unsigned n = PAGETREE_FANOUT - (unsigned)(index + done) % PAGETREE_FANOUT;
		n = MIN(n, w->count - done);
		if (!pagetree_window(&o->pages, index + done, n, &w->object[done], &unused)) {
			for (unsigned i = 0; i < n; i++)
				w->object[done + i] = 0;
		}
		done += n;
	}
}

/* rcu read lock held. False: the object's page must be made first. */
static bool window_fill(const struct fault *x, struct window *w)
{
	bool some = !x->r->shared &&
		    pagetree_window(&x->as->pages, w->first, w->count, w->private, &w->exclusive);
	for (unsigned i = 0; !some && i < w->count; i++)
		w->private[i] = 0;
	if (!x->r->object)
		return true;
	window_object(x, w);
	return w->private[w->target] || w->object[w->target];
}

/* What page i of the window gets; raw 0: nothing. */
static pte_t window_entry(const struct fault *x, const struct window *w, unsigned i)
{
	const struct region *r = x->r;
	bool may_write = (r->prot & PROT_WRITE) &&
			 (!(r->prot & PROT_EXEC) || (x->access == TRAP_WRITE && i == w->target));
	if (w->private[i])
		return make_entry(r, page_slot_frame(w->private[i]),
				  may_write && w->exclusive && (w->private[i] & PAGE_OWNED));
	if (r->object)
		return w->object[i] ? make_object_entry(r, page_slot_frame(w->object[i]),
							may_write && r->shared)
				    : (pte_t){0};
	return i == w->target ? make_entry(r, zero_frame, false) : (pte_t){0};
}

/* Whether the page is still in the frame that was seen. (An object's stays, by the region's lock.) */
static NOINLINE bool window_current(const struct fault *x, const struct window *w)
{
	if (x->r->shared)
		return true;
	rcu_read_lock();
	page_slot_t now = pagetree_get(&x->as->pages, x->va >> PAGE_SHIFT);
	rcu_read_unlock();
	return page_slot_frame(now) == page_slot_frame(w->private[w->target]);
}

/* False: the page is in another frame by now. */
static bool window_install(struct fault *x, const struct window *w)
{
	pte_t *entries = x->entry - w->target;
	unsigned base = mapper_index(x->va, 0) - w->target;
	for (unsigned i = 0; i < w->count; i++) {
		if (i == w->target || !(w->private[i] | w->object[i]))
			continue;
		pte_t old = mapper_load(&entries[i]);
		if (old.raw)
			continue;
		mapper_mark(x->table, base + i);
		mapper_swap(&entries[i], &old, window_entry(x, w, i));
	}
	pte_t new = window_entry(x, w, w->target);
	x->private = w->private[w->target];
	x->frame = frame_table + (hal.mmu.decode(new, 0).address >> PAGE_SHIFT);
	return entry_set(x, new, w);
}

static enum fault_result object_error(enum kerr err)
{
	return err == KERR_NOMEM ? FAULT_NO_MEMORY : FAULT_BUS;
}

static enum fault_result fault_window(struct fault *x)
{
	struct window w;
	window_choose(x, &w);
	if (!x->r->object) {
		for (unsigned i = 0; i < w.count; i++)
			w.object[i] = 0;
	}
	for (;;) {
		rcu_read_lock();
		bool ready = window_fill(x, &w);
		rcu_read_unlock();
		/* The frames stay: objects' by the region lock, private ones as entry_set's rule says. */
		if (likely(ready)) {
			if (likely(window_install(x, &w)))
				return FAULT_CONTINUE;
			continue;
		}
		struct frame *f;
		enum kerr err = vm_object_page(x->r->object, object_index(x->r, x->va), true, &f);
		if (err != KERR_OK)
			return object_error(err);
		frame_put(f); /* the object keeps it: truncation waits for us */
	}
}

/* ---- Writing private memory ----------------------------------------------------------------- */

/* A frame with what the page holds now: a copy of `from`, or zeroes. */
static struct frame *page_for_write(struct frame *from)
{
	struct frame *f = frame_alloc(0, from ? FRAME_USER : FRAME_USER | FRAME_ZEROED);
	if (f && from)
		hal.mmu.page_copy(frame_data(f), frame_data(from));
	return f;
}

/* rcu read lock held. Gives the frame to map; *old: one to put afterwards. Null: *err is KERR_NOMEM,
 * KERR_AGAIN (the object's page must be made first). */
static struct frame *write_slot(struct fault *x, struct frame **old, enum kerr *err)
{
	struct page_ref ref;
	uint64_t key = x->va >> PAGE_SHIFT;
	*old = nullptr;
	*err = pagetree_ref(&x->as->pages, key, true, &ref);
	if (unlikely(*err != KERR_OK))
		return nullptr;
	page_slot_t v = atomic_load_explicit(ref.slot, memory_order_acquire);
	for (;;) {
		struct frame *from = page_slot_frame(v);
		if (v & PAGE_OWNED)
			return from;
		if (from && atomic_load_explicit(&from->references, memory_order_acquire) == 1) {
			if (pagetree_swap(&x->as->pages, &ref, key, &v,
					  (v & ~PAGE_LAZY) | PAGE_OWNED))
				return from;
			continue;
		}
		struct frame *source = from;
		if (!v && x->r->object) {
			source = page_slot_frame(
				pagetree_get(&x->r->object->pages, object_index(x->r, x->va)));
			*err = KERR_AGAIN;
			if (!source)
				return nullptr;
		}
		struct frame *f = page_for_write(source);
		*err = KERR_NOMEM;
		if (!f)
			return nullptr;
		if (likely(pagetree_swap(&x->as->pages, &ref, key, &v, page_slot_make(f, true)))) {
			mm_count(COUNT_ANONYMOUS, 1);
			*old = from;
			return f;
		}
		frame_free(f, 0);
	}
}

/* Another thread may have found the new frame in the slot, have taken the old one's entry out, and not yet
 * told the other CPUs: they must have forgotten the frame before it goes. */
static void put_replaced(struct fault *x, struct frame *old)
{
	if (unlikely(!x->flushed) && tlb_elsewhere(&x->as->tlb))
		tlb_flush(&x->as->tlb, x->va, 1, false);
	anonymous_put(old);
}

static enum fault_result fault_write(struct fault *x)
{
	for (;;) {
		struct frame *old, *f;
		enum kerr err;
		rcu_read_lock();
		f = write_slot(x, &old, &err);
		rcu_read_unlock();
		if (likely(f)) {
			x->frame = f;
			x->private = true;
			x->promote = mapper_index(x->va, 0) == MAPPER_ENTRIES - 1;
			(void)entry_set(x, make_entry(x->r, f, x->r->prot & PROT_WRITE), nullptr);
			if (old)
				put_replaced(x, old);
			return FAULT_CONTINUE;
		}
		if (err == KERR_NOMEM)
			return FAULT_NO_MEMORY;
		err = vm_object_page(x->r->object, object_index(x->r, x->va), true, &f);
		if (err != KERR_OK)
			return object_error(err);
		frame_put(f);
	}
}

/* ---- The region ----------------------------------------------------------------------------- */

/* No table, or a huge leaf: FAULT_CONTINUE and no entry: done; and an entry: go on with it. */
static NOINLINE enum fault_result entry_slow(struct fault *x)
{
	bool ask = x->r->hugetlb || huge_possible(x->r, ALIGN_DOWN(x->va, HUGE_SIZE));
	for (;;) {
		enum huge_result huge = ask ? huge_fault(x) : HUGE_NO;
		if (huge != HUGE_NO)
			return huge == HUGE_DONE  ? FAULT_CONTINUE
			       : huge == HUGE_BUS ? FAULT_BUS
						  : FAULT_NO_MEMORY;
		enum kerr err = mapper_entry_make(&x->as->mapper, x->va, 0, &x->entry, &x->table);
		if (err == KERR_OK)
			return FAULT_CONTINUE;
		x->entry = nullptr;
		if (err != KERR_EXIST)
			return FAULT_NO_MEMORY;
		ask = true; /* there is a huge leaf */
	}
}

static enum fault_result resolve(struct fault *x, bool force)
{
	static const uint8_t needed[] = {
		[TRAP_READ] = PROT_READ, [TRAP_WRITE] = PROT_WRITE, [TRAP_EXECUTE] = PROT_EXEC};
	struct region *r = x->r;
	if (unlikely(!(r->prot & needed[x->access])) && !(force && !r->shared && r->prot))
		return FAULT_ACCERR;
	if (r->object) {
		if (unlikely(r->kind == REGION_DEVICE))
			return force ? FAULT_ACCERR : device_fault(x);
		if (object_index(r, x->va) >= object_pages(r->object))
			return FAULT_BUS;
	}
	x->entry = mapper_entry_ready(&x->as->mapper, x->va, &x->table);
	if (unlikely(!x->entry)) {
		enum fault_result result = entry_slow(x);
		if (!x->entry)
			return result;
	}
	return x->access == TRAP_WRITE && !r->shared ? fault_write(x) : fault_window(x);
}

/* aspace.lock held. The stack that may grow down to addr, grown; null: none. */
static struct region *grow_stack(struct aspace *as, vaddr_t addr)
{
	struct region *r = region_above(as, addr), *below;
	vaddr_t start = ALIGN_DOWN(addr, PAGE_SIZE);
	if (!r || !r->grows || start < MMAP_MIN || r->end - start > as->stack_limit)
		return nullptr;
	below = region_prev(r);
	if (below && below->prot && start - below->end < STACK_GAP)
		return nullptr;
	uint64_t pages = (r->start - start) >> PAGE_SHIFT;
	if (!within_limits(as, pages) || !lock_allowed(as, r->marks, pages << PAGE_SHIFT) ||
	    (below && below->end > start) || commit_charge(region_promised(r, pages)) != KERR_OK)
		return nullptr;
	rwlock_write_lock(&r->lock);
	as->virtual_pages += pages;
	region_account(r, (int64_t)pages);
	if (r->object)
		r->offset -= pages << PAGE_SHIFT;
	WRITE_ONCE(r->start, start);
	rwlock_write_unlock(&r->lock);
	return r;
}

static NOINLINE struct region *lock_slow(struct aspace *as, vaddr_t addr)
{
	mutex_lock(&as->lock);
	struct region *r = region_find(as, addr);
	if (!r)
		r = grow_stack(as, addr);
	if (r)
		rwlock_read_lock(&r->lock);
	mutex_unlock(&as->lock);
	return r;
}

/* The region of addr, locked for reading. */
static struct region *lock_region(struct aspace *as, vaddr_t addr)
{
	rcu_read_lock();
	struct region *r = region_find(as, addr);
	bool locked = r && rwlock_try_read_lock(&r->lock);
	rcu_read_unlock();
	if (likely(locked)) {
		if (likely(!r->dead && addr >= r->start && addr < r->end))
			return r;
		rwlock_read_unlock(&r->lock);
	}
	return lock_slow(as, addr);
}

static enum fault_result fault_at(struct aspace *as, vaddr_t addr, enum trap_access access,
				  struct fault_pin *pin)
{
	for (unsigned attempt = 0;; attempt++) {
		struct fault x = {.as = as,
				  .r = lock_region(as, addr),
				  .va = ALIGN_DOWN(addr, PAGE_SIZE),
				  .access = access};
		if (unlikely(!x.r))
			return FAULT_MAPERR;
		policy_enter(&x.r->policy,
			     (x.r->object ? object_index(x.r, x.va) : x.va >> PAGE_SHIFT));
		enum fault_result result = resolve(&x, pin);
		policy_leave();
		if (pin && result == FAULT_CONTINUE) {
			*pin = (struct fault_pin){x.frame, x.private};
			frame_get(x.frame);
		}
		rwlock_read_unlock(&x.r->lock);
		if (unlikely(x.promote))
			huge_promote(as, addr);
		if (likely(result != FAULT_NO_MEMORY))
			return result;
		if (attempt == 0 && frame_reclaim())
			continue;
		if (!upcalls.memory_short(attempt))
			return FAULT_NO_MEMORY;
	}
}

enum fault_result aspace_fault(struct aspace *as, vaddr_t addr, enum trap_access access)
{
	if (unlikely(addr >= hal.mmu.geometry()->user_end))
		return FAULT_MAPERR;
	return fault_at(as, addr, access, nullptr);
}

enum kerr aspace_populate(struct aspace *as, vaddr_t start, vaddr_t end, bool write)
{
	for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
		enum fault_result result = aspace_fault(as, va, write ? TRAP_WRITE : TRAP_READ);
		if (result != FAULT_CONTINUE)
			return result == FAULT_NO_MEMORY ? KERR_NOMEM : KERR_FAULT;
	}
	return KERR_OK;
}

size_t aspace_access(struct aspace *as, vaddr_t addr, void *buf, size_t size, bool write)
{
	size_t done = 0;
	if (!user_range_ok(addr, size))
		return 0;
	while (done < size) {
		size_t in_page = (addr + done) & (PAGE_SIZE - 1);
		size_t n = MIN(PAGE_SIZE - in_page, size - done);
		struct fault_pin pin;
		if (fault_at(as, addr + done, write ? TRAP_WRITE : TRAP_READ, &pin) !=
		    FAULT_CONTINUE)
			break;
		char *bytes = (char *)frame_data(pin.frame) + in_page;
		if (write)
			memcpy(bytes, (char *)buf + done, n);
		else
			memcpy((char *)buf + done, bytes, n);
		if (pin.private)
			anonymous_put(pin.frame);
		else
			frame_put(pin.frame);
		done += n;
	}
	return done;
}
