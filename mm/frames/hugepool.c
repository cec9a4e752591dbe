/*
 * The pool of explicit huge pages (MAP_HUGETLB): blocks of 512 frames that nobody else can have.
 *
 *	total = persistent (nr_hugepages) + surplus (at most nr_overcommit_hugepages)
 *	      = free + in use;   reserved <= free: promised to mappings that have not touched them
 *
 * A block in use is 512 frames of their own, like all frames of programs: fork shares them, a write
 * after it copies them, each goes when its last reference goes. It says FRAME_POOLED instead of
 * FRAME_USED, so that its free, which finds no FRAME_USED, ends up here; the head's record counts (in
 * `index`, which nobody else uses while a frame is in private memory or an object) how many have
 * come. The last one gives the block back to the pool, or if the pool has surplus, to the allocator.
 *
 * Locks: pool_lock (spin, interrupts off); blocks are allocated and freed outside it.
 */
#include "hugepool.h"

#include "allocator.h"
#include "frame.h"

#include <core/panic.h>

static struct spinlock pool_lock = SPINLOCK_INIT(RANK_HEAP, "huge pages");
static struct list pool_free = {&pool_free, &pool_free}; /* (pool_lock) heads */
static struct hugepool_stats pool;                       /* (pool_lock) */

/* From the allocator; in no list. */
static struct frame *block_new(void)
{
	if (!frame_room(HUGEPOOL_FRAMES, false))
		return nullptr;
	struct frame *head = frame_alloc_contiguous(HUGEPOOL_FRAMES, HUGEPOOL_ORDER, FRAME_USER);
	for (unsigned i = 0; head && i < HUGEPOOL_FRAMES; i++)
		head[i].state = FRAME_POOLED;
	return head;
}

static void block_delete(struct frame *head)
{
	for (unsigned i = 0; i < HUGEPOOL_FRAMES; i++)
		head[i].state = FRAME_USED;
	frame_free_run(head, HUGEPOOL_ORDER);
}

/* Takes up to `count` free blocks out that no mapping was promised, into *chain. pool_lock held. */
static uint64_t take_idle_locked(uint64_t count, struct list *chain)
{
	uint64_t n = 0;
	list_init(chain);
	for (; n < count && pool.free > pool.reserved; n++) {
		struct list *l = pool_free.next;
		list_remove(l);
		list_add_tail(chain, l);
		pool.free--;
		pool.total--;
	}
	return n;
}

static void delete_chain(struct list *chain)
{
	while (!list_empty(chain)) {
		struct frame *head = list_first(chain, struct frame, link);
		list_remove(&head->link);
		block_delete(head);
	}
}

static void add_free_locked(struct frame *head)
{
	list_add_head(&pool_free, &head->link);
	pool.free++;
}

/* One more free block as surplus; false: the limit, or no memory. */
static bool grow_surplus(void)
{
	bool on = spin_lock_irq(&pool_lock);
	bool may = pool.surplus < pool.overcommit;
	pool.surplus += may; /* the place is taken */
	spin_unlock_irq(&pool_lock, on);
	struct frame *head = may ? block_new() : nullptr;
	if (!may)
		return false;
	on = spin_lock_irq(&pool_lock);
	if (head) {
		pool.total++;
		add_free_locked(head);
	} else {
		pool.surplus--;
	}
	spin_unlock_irq(&pool_lock, on);
	return head;
}

enum kerr hugepool_reserve(uint64_t count)
{
	for (;;) {
		bool on = spin_lock_irq(&pool_lock);
		bool enough = pool.free - pool.reserved >= count;
		bool possible = enough || pool.free - pool.reserved + pool.overcommit -
							  MIN(pool.surplus, pool.overcommit) >=
						  count;
		if (enough)
			pool.reserved += count;
		spin_unlock_irq(&pool_lock, on);
		if (enough)
			return KERR_OK;
		if (!possible || !grow_surplus()) {
			hugepool_unreserve(0);
			return KERR_NOMEM;
		}
	}
}

void hugepool_unreserve(uint64_t count)
{
	struct list chain;
	bool on = spin_lock_irq(&pool_lock);
	pool.reserved -= count;
	pool.surplus -= take_idle_locked(pool.surplus, &chain);
	spin_unlock_irq(&pool_lock, on);
	delete_chain(&chain);
}

struct frame *hugepool_take(bool reserved)
{
	for (;;) {
		struct frame *head = nullptr;
		bool on = spin_lock_irq(&pool_lock);
		if (reserved || pool.free > pool.reserved) {
			head = list_first(&pool_free, struct frame, link);
			list_remove(&head->link);
			pool.free--;
			pool.reserved -= reserved;
		}
		spin_unlock_irq(&pool_lock, on);
		if (head) {
			for (unsigned i = 0; i < HUGEPOOL_FRAMES; i++) {
				head[i].private = 0;
				atomic_store_explicit(&head[i].references, 1, memory_order_relaxed);
			}
			head->index = 0;
			return head;
		}
		if (!grow_surplus())
			return nullptr;
	}
}

void hugepool_give(struct frame *head, bool reserved)
{
	bool on = spin_lock_irq(&pool_lock);
	bool surplus = pool.surplus && !reserved;
	pool.reserved += reserved;
	if (surplus) {
		pool.surplus--;
		pool.total--;
	} else {
		add_free_locked(head);
	}
	spin_unlock_irq(&pool_lock, on);
	if (surplus)
		block_delete(head);
}

void hugepool_frame_back(struct frame *f)
{
	struct frame *head = frame_table + (frame_pfn(f) & ~(pfn_t)(HUGEPOOL_FRAMES - 1));
	if (__atomic_add_fetch(&head->index, 1, __ATOMIC_ACQ_REL) == HUGEPOOL_FRAMES)
		hugepool_give(head, false);
}

void hugepool_resize(uint64_t count)
{
	struct list chain;
	bool on = spin_lock_irq(&pool_lock);
	/* What was surplus becomes persistent, or the other way round what is in use surplus. */
	uint64_t persistent = pool.total - pool.surplus;
	list_init(&chain);
	if (count < persistent) {
		persistent -= take_idle_locked(persistent - count, &chain);
		pool.surplus += persistent - MIN(persistent, count);
	} else {
		pool.surplus -= MIN(pool.surplus, count - persistent);
	}
	uint64_t missing = count - MIN(count, pool.total - pool.surplus);
	spin_unlock_irq(&pool_lock, on);
	delete_chain(&chain);
	while (missing--) {
		struct frame *head = block_new();
		if (!head)
			return;
		on = spin_lock_irq(&pool_lock);
		pool.total++;
		add_free_locked(head);
		spin_unlock_irq(&pool_lock, on);
	}
}

void hugepool_set_overcommit(uint64_t count)
{
	WRITE_ONCE(pool.overcommit, count);
}

void hugepool_stats(struct hugepool_stats *out)
{
	bool on = spin_lock_irq(&pool_lock);
	*out = pool;
	spin_unlock_irq(&pool_lock, on);
}
