/*
 * Commit accounting: pages promised to programs, whether or not they have been touched.
 *
 *	promised:  private memory that was ever writable, with the size of its region;
 *	           shared anonymous memory, with its size; pages of tmpfs, one by one.
 *	           MAP_NORESERVE takes no promise, unless the mode is 2
 *	mode 0:    refuses a single request that is larger than all memory
 *	mode 1:    refuses nothing
 *	mode 2:    the sum of all promises never exceeds the limit
 *
 * The count is a word per CPU (counters.h), so modes 0 and 1 cost an addition to a line of this
 * CPU's own; the sum is exact whenever somebody asks. In mode 2 each CPU has a credit besides: a part
 * of what is left below the limit that it may promise without looking at the others. So
 *
 *	sum of counts + sum of credits <= limit
 *
 * and only a CPU whose credit is used up takes commit_lock, sums, and gets a new one; near the
 * limit there are no new credits, the others' are taken back, and each request is checked exactly.
 * A charge adds to the count before it takes from the credit, and the sum reads the credits first:
 * so what moves between the two meanwhile is seen at least once, never missed.
 *
 * Locks: commit_lock (RANK_ZONE, interrupts off), nothing inside. Mode 2 only, and settings.
 *
 * Rejected: one counter with per-CPU differences that are folded into it now and then (every fork
 * is larger than any sensible difference, so the default mode, which needs no sum at all, would have
 * paid for a shared line); counting without check and undoing when the sum is too large (two
 * requests that fit one at a time would both be refused).
 */
#include "commit_private.h"

#include <core/cpu.h>
#include <core/spinlock.h>
#include <lib/compiler.h>
#include <mm/commit.h>
#include <mm/frame.h>

#define CREDIT_MAX 64 /* pages; less on small machines */

struct commit_credit {
	_Atomic int64_t pages; /* grows under commit_lock only; never negative */
} ALIGNED(64);

static struct commit_credit credits[CPU_MAX];
static struct spinlock commit_lock = SPINLOCK_INIT(RANK_ZONE, "commit");
static struct commit_settings settings = {.ratio = 50}; /* (commit_lock) */
static uint64_t limit;      /* (commit_lock) pages */
_Atomic uint64_t commit_unchecked = UINT64_MAX;

static uint64_t limit_of(const struct commit_settings *s)
{
	uint64_t total = frame_totals().total;

	if (s->kib)
		return s->kib >> (PAGE_SHIFT - 10);
	return s->ratio > UINT64_MAX / total ? UINT64_MAX : total * s->ratio / 100;
}

/* commit_lock held. */
static void apply_locked(const struct commit_settings *s)
{
	uint64_t unchecked = s->mode == OVERCOMMIT_ALWAYS  ? UINT64_MAX
			     : s->mode == OVERCOMMIT_GUESS ? frame_totals().total
							   : 0;

	settings = *s;
	limit = limit_of(s);
	for (cpu_t i = 0; i < CPU_MAX; i++)
		atomic_store(&credits[i].pages, 0);
	atomic_store_explicit(&commit_unchecked, unchecked, memory_order_relaxed);
}

void commit_init(void)
{
	static const struct commit_settings initial = {.mode = OVERCOMMIT_GUESS, .ratio = 50};

	bool on = spin_lock_irq(&commit_lock);
	apply_locked(&initial);
	spin_unlock_irq(&commit_lock, on);
}

void commit_settings(struct commit_settings *out)
{
	bool on = spin_lock_irq(&commit_lock);
	*out = settings;
	spin_unlock_irq(&commit_lock, on);
}

enum kerr commit_configure(const struct commit_settings *s)
{
	if (s->mode > OVERCOMMIT_NEVER)
		return KERR_INVAL;
	bool on = spin_lock_irq(&commit_lock);
	apply_locked(s);
	spin_unlock_irq(&commit_lock, on);
	return KERR_OK;
}

bool commit_honours_noreserve(void)
{
	return atomic_load_explicit(&commit_unchecked, memory_order_relaxed) != 0;
}

void commit_totals(struct commit_totals *out)
{
	struct frame_totals t = frame_totals();
	bool on = spin_lock_irq(&commit_lock);
	*out = (struct commit_totals){
		.physical = t.total,
		.used = t.total - t.free,
		.committed = mm_counted(COUNT_COMMITTED),
		.limit = limit,
	};
	spin_unlock_irq(&commit_lock, on);
	if (out->limit > out->committed)
		out->uncommitted = out->limit - out->committed;
}

/* ---- Mode 2 --------------------------------------------------------------------------------- */

static bool take_credit(struct commit_credit *c, int64_t pages)
{
	int64_t have = atomic_load(&c->pages);

	while (have >= pages)
		if (atomic_compare_exchange_weak(&c->pages, &have, have - pages))
			return true;
	return false;
}

/* commit_lock held. What may still be promised, credits apart: may be negative. */
static int64_t headroom_locked(void)
{
	int64_t given = 0, counted = 0;

	for (cpu_t i = 0; i < cpu_count; i++)
		given += atomic_load(&credits[i].pages);
	for (cpu_t i = 0; i < cpu_count; i++)
		counted += atomic_load(&mm_counters[i].value[COUNT_COMMITTED]);
	return (int64_t)MIN(limit, (uint64_t)INT64_MAX / 2) - given - counted;
}

/* commit_lock held. */
static enum kerr charge_locked(int64_t pages)
{
	int64_t most = (int64_t)MIN((uint64_t)CREDIT_MAX, limit / 64 / cpu_count);
	int64_t room = headroom_locked();

	if (room < pages) {
		for (cpu_t i = 0; i < cpu_count; i++)
			atomic_store(&credits[i].pages, 0);
		if (headroom_locked() < pages)
			return KERR_NOMEM;
	} else if (room - pages > most * cpu_count) {
		atomic_fetch_add(&credits[cpu_id()].pages, most);
	}
	atomic_fetch_add(&mm_counters[cpu_id()].value[COUNT_COMMITTED], pages);
	return KERR_OK;
}

NOINLINE enum kerr commit_charge_checked(uint64_t pages)
{
	if (atomic_load_explicit(&commit_unchecked, memory_order_relaxed) || pages > INT64_MAX / 4)
		return KERR_NOMEM; /* mode 0, more than all memory */
	bool on = hal.cpu.irq_save();
	_Atomic int64_t *count = &mm_counters[cpu_id()].value[COUNT_COMMITTED];
	atomic_fetch_add(count, (int64_t)pages);
	bool granted = take_credit(&credits[cpu_id()], (int64_t)pages);
	if (!granted)
		atomic_fetch_sub(count, (int64_t)pages);
	hal.cpu.irq_restore(on);
	if (granted)
		return KERR_OK;
	on = spin_lock_irq(&commit_lock);
	enum kerr err = charge_locked((int64_t)pages);
	spin_unlock_irq(&commit_lock, on);
	return err;
}

/* ---- Promises of frames --------------------------------------------------------------------- */

enum kerr frame_promise(struct frame_promise *p, size_t count)
{
	struct frame_promise more = {};

	for (; more.left < count; more.left++) {
		struct frame *f = frame_alloc(0, 0);
		if (!f) {
			frame_promise_end(&more);
			return KERR_NOMEM;
		}
		f->link.next = more.frames ? &more.frames->link : nullptr;
		more.frames = f;
	}
	while (more.left) {
		struct frame *f = frame_promise_take(&more);
		f->link.next = p->frames ? &p->frames->link : nullptr;
		p->frames = f;
		p->left++;
	}
	return KERR_OK;
}

struct frame *frame_promise_take(struct frame_promise *p)
{
	struct frame *f = p->frames;

	if (!f)
		return nullptr;
	p->frames = f->link.next ? list_entry(f->link.next, struct frame, link) : nullptr;
	p->left--;
	return f;
}

void frame_promise_end(struct frame_promise *p)
{
	struct frame *f;

	while ((f = frame_promise_take(p)))
		frame_free(f, 0);
}
