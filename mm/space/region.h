/* Address spaces inside mm: their structure, regions, and the steps that their operations share. */
#pragma once

#include "mapper.h"
#include "tlb.h"

#include <core/rcu.h>
#include <mm/aspace.h>

#define FRAME_SYNCED ((uint64_t)1)
#define REGION_MAX 65530 /* regions of one address space, like vm.max_map_count */
#define STACK_GAP ((vaddr_t)256 << PAGE_SHIFT)
#define MMAP_MIN ((vaddr_t)0x10000)

struct aspace {
	_Atomic uint32_t references;
	struct mutex lock;
	struct rb_tree regions; /* (lock) lookups also under rcu */
	uint32_t region_count; /* (lock) */
	struct mapper mapper; /* entries: the locks of the regions they lie in */
	struct tlb_context tlb;
	struct pagetree pages; /* slots: the locks of the regions they lie in */
	vaddr_t brk_start, brk; /* (lock) */
	vaddr_t map_top; /* (lock) mmap goes down from here */
	vaddr_t hint; /* (lock) search starts below; above are only holes .. */
	uint64_t hole; /* (lock) .. of at most this size */
	uint64_t stack_limit, data_limit, total_limit; /* (lock) bytes */
	uint64_t virtual_pages; /* (lock) */
	uint64_t peak_pages; /* (lock) the most that virtual_pages has been */
	uint64_t locked_pages; /* (lock) of regions with MARK_LOCKED */
	uint64_t stack_random; /* (lock) how far from the end the stack may have been put .. */
	uint64_t map_random; /* (lock) .. and map_top below where it could be; bytes */
	uint16_t future_marks; /* (lock) mlockall(MCL_FUTURE): of regions that come */
	uint8_t deny_exec; /* (lock) MDWE_*: what is not executable never becomes so */
	bool sealed; /* (lock) some region was ever sealed */
	bool has_hugetlb; /* (lock) some region was ever one of explicit huge pages */
	bool special_fork; /* (lock) some region was ever marked NO_FORK or WIPE */
	bool purgeable; /* (purge_lock) in the list of those that have pages to give */
	struct list all_link; /* (all_lock) */
	struct list purge_link; /* (purge_lock) */
	bool huge_disabled; /* PR_SET_THP_DISABLE */
	uint16_t keys; /* (lock) protection keys that pkey_alloc gave, a bit each */
	uint64_t committed; /* (lock) pages of private memory that was ever writable .. */
	uint64_t uncommitted; /* (lock) .. and of such that is not promised (MAP_NORESERVE) */
};

/* (M) under aspace.lock; (MW) under aspace.lock and region.lock for writing, so that either suffices
 * for reading. */
struct region {
	struct rb_node node; /* (M) */
	vaddr_t start, end; /* (MW) */
	struct aspace *as; /* constant */
	struct vm_object *object; /* constant; null: private anonymous memory */
	uint64_t offset; /* (MW) byte in the object of `start` */
	uint8_t prot; /* (MW) PROT_*; write and execute imply read */
	uint8_t key; /* (MW) protection key, also in read_flags */
	uint8_t kind; /* constant: enum region_kind */
	bool shared, grows, no_write; /* constant; no_write: PROT_WRITE can never be had */
	bool accounted; /* (MW) private, and was writable once: counts as data */
	bool noreserve; /* constant: counts as data without being promised */
	bool dead; /* (MW) */
	uint16_t marks; /* (MW) MARK_* */
	uint8_t huge; /* (MW) enum region_huge */
	uint8_t hugetlb; /* (MW) enum region_hugetlb */
	map_flags_t read_flags; /* (MW) of an entry that only reads; 0: no access */
	const char *name; /* (M) */
	struct memory_policy policy; /* (MW) all zero: the task's */
	struct rwlock lock; /* readers: faults; writers: whoever changes the region */
	_Atomic uint32_t references; /* the tree's, and truncations on their way */
	uint32_t epoch; /* (object->maps_lock) last truncation seen */
	struct list object_link; /* (object->maps_lock) */
	struct rcu_head rcu;
};

/* Whether what a region with these marks maps is there from the beginning. */
static inline bool is_pinned(unsigned marks)
{
	return (marks & (MARK_LOCKED | MARK_ON_FAULT)) == MARK_LOCKED;
}

/* What a program said about huge pages in a region: nothing, MADV_HUGEPAGE, MADV_NOHUGEPAGE. */
enum region_huge { REGION_HUGE_DEFAULT, REGION_HUGE_YES, REGION_HUGE_NO };

/* Whether a region is of explicit huge pages, and has a promise for those it has not touched. */
enum region_hugetlb { HUGETLB_NO, HUGETLB_PLAIN, HUGETLB_RESERVED };

extern struct frame *zero_frame; /* the shared page of zeroes */

void object_setup(void);
/* Shared anonymous memory that is promised as a whole, now; vm_object_create_anonymous asks for its
 * pages one by one. KERR_NOMEM: no memory, or no promise. */
enum kerr object_create_promised(uint64_t size, struct vm_object **out);
void object_add_region(struct vm_object *o, struct region *r, const struct region *like);
void object_remove_region(struct vm_object *o, struct region *r);
/* r is about to swallow `next`, both write-locked: what a truncation still has to visit it visits. */
void object_merge_region(struct vm_object *o, struct region *r, const struct region *next);

/* ---- Regions (region.c) ---------------------------------------------------------------------- */

void region_setup(void);
static inline void region_get(struct region *r)
{
	atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
}
void region_put(struct region *r); /* memory through rcu */
/* A copy that is in no tree, no object's list, and holds no reference on the object. Null: no memory. */
struct region *region_copy(const struct region *like, struct aspace *as);
void region_free_unused(struct region *r); /* one that never went into a tree */
void region_free_now(struct region *r); /* of an address space that nobody uses any more */
void region_set_prot(struct region *r, unsigned prot); /* with r->key */

/* The one that contains addr. aspace.lock, or rcu (then it may miss, and may be out of date). */
struct region *region_find(const struct aspace *as, vaddr_t addr);
/* The first that ends above addr. aspace.lock. */
struct region *region_above(const struct aspace *as, vaddr_t addr);
static inline struct region *region_next(const struct region *r)
{
	struct rb_node *n = rb_next(&r->node);
	return n ? rb_entry(n, struct region, node) : nullptr;
}
static inline struct region *region_prev(const struct region *r)
{
	struct rb_node *n = rb_prev(&r->node);
	return n ? rb_entry(n, struct region, node) : nullptr;
}
/* Puts it in (and on its object's list, `like` as in object_add_region). aspace.lock. */
void region_insert(struct aspace *as, struct region *r, const struct region *like);
/* Out of the tree and the object's list, marked dead; region_put follows. Write-locked. */
void region_remove(struct aspace *as, struct region *r);
/* r becomes [start, at), `upper` (a region_copy of r) [at, end). r write-locked. */
void region_split(struct aspace *as, struct region *r, vaddr_t at, struct region *upper);
/* r, which ends where `next` begins, swallows it if they are alike; both unlocked. aspace.lock. */
bool region_merge(struct aspace *as, struct region *r, struct region *next);
bool region_alike(const struct region *r, const struct region *next);
/* Entries of the object's pages first .. last go, flushed. Write-locked. */
void region_unmap_pages(struct region *r, uint64_t first, uint64_t last);
/* Figures of the address space; the promise itself is the caller's. aspace.lock. */
void region_account(struct region *r, int64_t pages);
/* Whether `bytes` more may be locked, if r's marks ask for that. aspace.lock. */
bool lock_allowed(const struct aspace *as, unsigned marks, uint64_t bytes);
/* How many of `pages` of r take a promise. */
static inline uint64_t region_promised(const struct region *r, uint64_t pages)
{
	return r->accounted && !r->noreserve ? pages : 0;
}

/* ---- Steps of operations --------------------------------------------------------------------- */

/* [addr, addr + size) as whole pages in *end. False: not page aligned, or it wraps. */
bool whole_pages(vaddr_t addr, size_t size, vaddr_t *end);
/* No hole in [start, end). aspace.lock. (change.c) */
bool covered(struct aspace *as, vaddr_t start, vaddr_t end);
/* A region with `mark` in [start, end). aspace.lock. (change.c) */
bool any_marked(struct aspace *as, vaddr_t start, vaddr_t end, unsigned mark);
/* A region bound at `at`. KERR_NOMEM: nothing was changed. aspace.lock. (change.c) */
enum kerr split_at(struct aspace *as, vaddr_t at);
/* Undoes splits that turned out to be needless, joins what became alike. aspace.lock. (change.c) */
void merge_range(struct aspace *as, vaddr_t start, vaddr_t end);
/* Clears and sets marks of r's part in [start, end). KERR_NOMEM: as before. aspace.lock; merge_range()
 * follows. *part: the region that has them. (change.c) */
enum kerr mark_part(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end, unsigned clear,
		    unsigned set, struct region **part);
/* Unmaps [start, end), page aligned. KERR_NOMEM: nothing was changed. aspace.lock. (map.c) */
enum kerr unmap_locked(struct aspace *as, vaddr_t start, vaddr_t end);
/* A free range of `size` bytes; 0: none. aspace.lock. (map.c) */
vaddr_t find_free_locked(struct aspace *as, size_t size);
bool range_free_locked(struct aspace *as, vaddr_t start, vaddr_t end);
/* What lies round [start, end) and holds nothing once that is gone. aspace.lock. */
void gap_around(struct aspace *as, vaddr_t start, vaddr_t end, vaddr_t *low, vaddr_t *high);
/* The heap grows over [start, end). aspace.lock. */
enum kerr map_brk_locked(struct aspace *as, vaddr_t start, vaddr_t end);
/* Faults in what is not there. Thread context, no lock. (fault.c) */
enum kerr aspace_populate(struct aspace *as, vaddr_t start, vaddr_t end, bool write);
/* RLIMIT_AS. aspace.lock. */
bool within_limits(const struct aspace *as, uint64_t pages);

/* Boot: what the command line says. (huge.c) */
void huge_setup(void);
/* MADV_COLLAPSE of [start, end). KERR_INVAL: a window cannot have a huge page; KERR_NOMEM; KERR_AGAIN. */
enum kerr huge_collapse(struct aspace *as, vaddr_t start, vaddr_t end);

/* ---- Explicit huge pages (hugetlb.c) --------------------------------------------------------- */

/* mmap's arguments; *size is rounded up. KERR_INVAL: a file, a size of page that there is not, a crooked
 * address; KERR_NOMEM: none of that size. */
enum kerr hugetlb_check(unsigned flags, vaddr_t addr, size_t *size, bool file);
enum kerr hugetlb_object_create(uint64_t size, bool reserve, struct vm_object **out);
/* No region of huge pages would be cut within a page. aspace.lock. */
bool hugetlb_may_cut(struct aspace *as, vaddr_t at);
/* Promises for [start, end) of a region that goes are given back; its pages are still there. */
void hugetlb_release(struct region *r, vaddr_t start, vaddr_t end);
/* Round a removal of pages from a region that stays: before, and with the result, after. */
uint64_t hugetlb_untouched(const struct region *r);
void hugetlb_discarded(struct region *r, uint64_t untouched_before);

/* The last reference of a frame in a private tree, and its figure. */
void anonymous_put(struct frame *f);

/* ---- Purgeable memory (purge.c) -------------------------------------------------------------- */

void purge_setup(void);
/* MADV_FREE: the private pages in [start, end) of r may go. aspace.lock. */
void purge_mark_lazy(struct aspace *as, struct region *r, vaddr_t start, vaddr_t end);
/* From now on `as` is asked for pages under pressure. */
void purge_enter(struct aspace *as);
void purge_leave(struct aspace *as); /* it dies */

/* Every address space, for who counts how many share a page (aspace.c). */
extern struct spinlock all_lock;
extern struct list all_spaces;
