/*
 * Translation caches (VM-7): loading address spaces, tags, and shootdown.
 *
 * Who is told. Where the hardware broadcasts (geometry.broadcast) one flush reaches all. Else:
 *   - CPUs in context.active have it loaded: one cpu_call, that is at most one interrupt a CPU
 *     a batch;
 *   - CPUs in context.seen may have entries under its tag without having it loaded: their bit
 *     in context.stale makes them drop the tag when they load it next.
 * The two sides cannot miss each other: a CPU sets its active bit, then looks at stale; a flusher
 * sets stale, then looks at active (all sequentially consistent).
 *
 * Lazy. A CPU that goes over to a kernel thread keeps the user half loaded (tlb_activate(null)
 * does no more than note it) and often comes back to the same process. If a flush interrupts
 * it meanwhile, it drops the user half, so that it is interrupted once, not for each batch.
 *
 * Modes. One page, a range page by page, all of an address space, everything: beyond
 * geometry.flush_pages_max pages it is cheaper to forget all and refill (docs/memory.md has the
 * measurement). A batch of huge leaves only counts leaves, not pages.
 *
 * Tags. A tag (ASID, PCID) belongs to a context for a generation. When all are used up a new
 * generation begins: tags that CPUs run with at that moment are kept for their owners
 * (cpu.asid is swapped with 0 and remembered in cpu.reserved), each CPU forgets everything before
 * it loads a tag of the new generation. Loading a tag of the current generation takes no lock: a
 * compare-and-swap on the CPU's own word, which fails only when a rollover took that word away.
 * A context that ends just drops its tag: nobody loads it again before the next generation.
 *
 * Locks: tag_lock (spin, interrupts off) only when a tag must be made, that is once per process
 * and generation. No lock on a context switch.
 */
#include "tlb.h"
#include "mapper.h"

#include <core/panic.h>
#include <core/spinlock.h>

#define ASID_FIRST 1u /* HAL_ASID_NONE is the kernel's */
#define ASID_MAX_BITS 16

struct tlb_cpu {
	struct tlb_context *current; /* loaded; its CPU only, interrupts off */
	bool lazy;     /* its CPU only */
	bool flush_pending;          /* (tag_lock) a generation began */
	_Atomic uint64_t asid;       /* what it runs with; 0: a rollover took it */
	uint64_t reserved;           /* (tag_lock) what the rollover took */
	/* Its CPU, preemption off; read for figures (struct tlb_stats). */
	uint64_t modes[TLB_MODES], pages, interrupts, received, interrupting;
	uint64_t saved_stale, lazy_drops, local_all, local_one;
} ALIGNED(64);

static struct tlb_cpu cpus[CPU_MAX];
static paddr_t kernel_root RO_AFTER_INIT;
static unsigned tag_bits RO_AFTER_INIT;

static struct spinlock tag_lock = SPINLOCK_INIT(RANK_IRQ, "asid");
static _Atomic uint64_t generation;  /* (tag_lock) changes; in place: << tag_bits */
static uint64_t tags_used[(1u << ASID_MAX_BITS) / 64]; /* (tag_lock) bitmap */
static unsigned tag_next = ASID_FIRST;                 /* (tag_lock) */
static uint64_t rollovers;        /* (tag_lock) */

void tlb_init(paddr_t root)
{
	kernel_root = root;
	tag_bits = MIN(hal.mmu.geometry()->asid_bits, ASID_MAX_BITS);
	atomic_store_explicit(&generation, (uint64_t)1 << tag_bits, memory_order_relaxed);
}

/* ---- Tags ----------------------------------------------------------------------------------- */

static unsigned tag_of(uint64_t asid)
{
	return tag_bits ? (unsigned)(asid & (((uint64_t)1 << tag_bits) - 1)) : ASID_FIRST;
}

static bool current_generation(uint64_t asid)
{
	return (asid >> tag_bits << tag_bits) ==
	       atomic_load_explicit(&generation, memory_order_acquire);
}

static bool tag_test_and_set(unsigned tag)
{
	uint64_t bit = (uint64_t)1 << (tag % 64);
	bool was = tags_used[tag / 64] & bit;
	tags_used[tag / 64] |= bit;
	return was;
}

/* tag_lock held. */
static void rollover_locked(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(tags_used); i++)
		tags_used[i] = 0;
	atomic_fetch_add_explicit(&generation, (uint64_t)1 << tag_bits, memory_order_seq_cst);
	for (cpu_t i = 0; i < cpu_count; i++) {
		uint64_t asid = atomic_exchange_explicit(&cpus[i].asid, 0, memory_order_seq_cst);
		if (asid)
			cpus[i].reserved = asid;
		if (cpus[i].reserved)
			tag_test_and_set(tag_of(cpus[i].reserved));
		cpus[i].flush_pending = true;
	}
	tag_next = ASID_FIRST;
	rollovers++;
}

/* tag_lock held. The tag the context had, if a CPU runs with it since before the rollover. */
static bool tag_kept_locked(struct tlb_context *ctx, uint64_t old, uint64_t new)
{
	bool kept = false;
	for (cpu_t i = 0; i < cpu_count; i++) {
		if (old && cpus[i].reserved == old) {
			cpus[i].reserved = new;
			kept = true;
		}
	}
	return kept;
}

/* tag_lock held. */
static uint64_t tag_new_locked(struct tlb_context *ctx)
{
	uint64_t old = atomic_load_explicit(&ctx->asid, memory_order_relaxed);
	uint64_t gen = atomic_load_explicit(&generation, memory_order_relaxed);
	if (old && tag_kept_locked(ctx, old, gen | tag_of(old)))
		return gen | tag_of(old);
	for (;;) {
		while (tag_next < (1u << tag_bits)) {
			unsigned tag = tag_next++;
			if (!tag_test_and_set(tag))
				return atomic_load_explicit(&generation, memory_order_relaxed) |
				       tag;
		}
		rollover_locked();
		gen = atomic_load_explicit(&generation, memory_order_relaxed);
		if (old && tag_kept_locked(ctx, old, gen | tag_of(old)))
			return gen | tag_of(old);
	}
}

static NOINLINE uint64_t tag_get_slow(struct tlb_context *ctx, struct tlb_cpu *c)
{
	spin_acquire(&tag_lock); /* interrupts are off */
	uint64_t asid = atomic_load_explicit(&ctx->asid, memory_order_relaxed);
	if (!asid || !current_generation(asid)) {
		asid = tag_new_locked(ctx);
		atomic_store_explicit(&ctx->asid, asid, memory_order_relaxed);
		/* Nobody has entries under a new tag: the generation's flush comes first. */
		atomic_store_explicit(&ctx->stale, 0, memory_order_relaxed);
	}
	if (c->flush_pending) {
		c->flush_pending = false;
		hal.mmu.flush(HAL_ASID_NONE, 0, HAL_FLUSH_ALL, true);
	}
	atomic_store_explicit(&c->asid, asid, memory_order_seq_cst);
	spin_release(&tag_lock);
	return asid;
}

static uint64_t tag_get(struct tlb_context *ctx, struct tlb_cpu *c)
{
	uint64_t asid = atomic_load_explicit(&ctx->asid, memory_order_acquire);
	uint64_t old = atomic_load_explicit(&c->asid, memory_order_relaxed);
	if (likely(asid && old && current_generation(asid) &&
		   atomic_compare_exchange_strong_explicit(
			   &c->asid, &old, asid, memory_order_seq_cst, memory_order_relaxed)))
		return asid;
	return tag_get_slow(ctx, c);
}

/* ---- Loading -------------------------------------------------------------------------------- */

static void forget_if_stale(struct tlb_context *ctx, cpuset_t bit, unsigned tag)
{
	if (unlikely(atomic_load_explicit(&ctx->stale, memory_order_seq_cst) & bit)) {
		atomic_fetch_and_explicit(&ctx->stale, ~bit, memory_order_seq_cst);
		hal.mmu.flush(tag, 0, HAL_FLUSH_ALL, true);
	}
}

void tlb_activate(struct tlb_context *ctx)
{
	cpu_t cpu = cpu_id();
	struct tlb_cpu *c = &cpus[cpu];
	if (!ctx || c->current == ctx) {
		c->lazy = !ctx;
		return;
	}
	cpuset_t bit = cpu_bit(cpu);
	struct tlb_context *old = c->current;
	atomic_fetch_or_explicit(&ctx->active, bit, memory_order_seq_cst);
	if (tag_bits) {
		if (!(atomic_load_explicit(&ctx->seen, memory_order_relaxed) & bit))
			atomic_fetch_or_explicit(&ctx->seen, bit, memory_order_seq_cst);
		unsigned tag = tag_of(tag_get(ctx, c));
		hal.mmu.activate(ctx->root, tag);
		forget_if_stale(ctx, bit, tag);
	} else {
		hal.mmu.activate(ctx->root, ASID_FIRST); /* forgets what was loaded before */
	}
	c->current = ctx;
	c->lazy = false;
	if (old)
		atomic_fetch_and_explicit(&old->active, ~bit, memory_order_seq_cst);
}

/* Interrupts off: this CPU goes on with no user half. */
static void drop_current(struct tlb_cpu *c, cpu_t cpu)
{
	struct tlb_context *old = c->current;
	hal.mmu.activate(kernel_root, HAL_ASID_NONE);
	c->current = nullptr;
	atomic_fetch_and_explicit(&old->active, ~cpu_bit(cpu), memory_order_seq_cst);
}

static void leave_here(void *arg)
{
	bool on = hal.cpu.irq_save();
	cpu_t cpu = cpu_id();
	if (cpus[cpu].current == arg)
		drop_current(&cpus[cpu], cpu);
	hal.cpu.irq_restore(on);
}

void tlb_leave(struct tlb_context *ctx)
{
	preempt_disable();
	leave_here(ctx);
	cpuset_t others = atomic_load_explicit(&ctx->active, memory_order_seq_cst);
	if (others)
		cpu_call(others, leave_here, ctx);
	preempt_enable();
}

/* ---- Forgetting ----------------------------------------------------------------------------- */

struct flush_request {
	struct tlb_context *context; /* null: kernel */
	unsigned tag;
	enum tlb_mode mode;
	vaddr_t va;
	size_t count, step; /* pages of `step` bytes each */
	bool tables;
};

static void request_mode(struct flush_request *r)
{
	if (r->count == 1)
		r->mode = TLB_PAGE;
	else if (r->count <= hal.mmu.geometry()->flush_pages_max)
		r->mode = TLB_RANGE;
	else
		r->mode = r->context ? TLB_SPACE : TLB_FULL;
}

/* A huge leaf is one entry: any address in it will do. */
static void flush_cpu(const struct flush_request *r, struct tlb_cpu *c)
{
	if (r->mode >= TLB_SPACE) {
		c->local_all++;
		hal.mmu.flush(r->tag, 0, HAL_FLUSH_ALL, true);
		return;
	}
	c->local_one += r->count;
	if (likely(r->step == PAGE_SIZE)) {
		hal.mmu.flush(r->tag, r->va, r->count, r->tables);
		return;
	}
	for (size_t i = 0; i < r->count; i++)
		hal.mmu.flush(r->tag, r->va + i * r->step, 1, r->tables);
}

static void flush_here(void *arg)
{
	const struct flush_request *r = arg;
	cpu_t cpu = cpu_id();
	struct tlb_cpu *c = &cpus[cpu];
	c->received++;
	if (r->context && c->lazy && c->current == r->context) {
		c->lazy_drops++;
		drop_current(c, cpu);
	}
	flush_cpu(r, c);
}

static void flush_others(cpuset_t others, struct flush_request *r, struct tlb_cpu *c)
{
	if (likely(!others))
		return;
	c->interrupting++;
	c->interrupts += (uint64_t)__builtin_popcountll(others);
	cpu_call(others, flush_here, r);
}

static void count_flush(struct tlb_cpu *c, const struct flush_request *r)
{
	c->modes[r->mode]++;
	c->pages += r->count;
}

/* r->context, va, count, step and tables are set. Preemption off. */
static void flush_context(struct flush_request *r)
{
	struct tlb_context *ctx = r->context;
	cpu_t cpu = cpu_id();
	struct tlb_cpu *c = &cpus[cpu];
	uint64_t asid = atomic_load_explicit(&ctx->asid, memory_order_relaxed);
	r->tag = tag_of(asid);
	request_mode(r);
	count_flush(c, r);
	if (hal.mmu.geometry()->broadcast) {
		if (asid || !tag_bits) /* else it was never loaded */
			flush_cpu(r, c);
		return;
	}
	cpuset_t self = cpu_bit(cpu);
	cpuset_t active = atomic_load_explicit(&ctx->active, memory_order_seq_cst);
	if (tag_bits) {
		cpuset_t away = atomic_load_explicit(&ctx->seen, memory_order_seq_cst) & ~active;
		if (away) {
			atomic_fetch_or_explicit(&ctx->stale, away, memory_order_seq_cst);
			active |= atomic_load_explicit(&ctx->active, memory_order_seq_cst);
			c->saved_stale += (uint64_t)__builtin_popcountll(away & ~active);
		}
	}
	if (active & self)
		flush_cpu(r, c);
	flush_others(active & ~self, r, c);
}

static void flush(struct flush_request *r)
{
	atomic_thread_fence(memory_order_seq_cst); /* entries first, then who must hear of them */
	preempt_disable();
	if (r->context) {
		flush_context(r);
	} else {
		struct tlb_cpu *c = &cpus[cpu_id()];
		r->tag = HAL_ASID_NONE;
		request_mode(r);
		count_flush(c, r);
		flush_cpu(r, c);
		if (!hal.mmu.geometry()->broadcast)
			flush_others(cpu_online() & ~cpu_bit(cpu_id()), r, c);
	}
	preempt_enable();
}

void tlb_flush(struct tlb_context *ctx, vaddr_t va, size_t pages, bool tables)
{
	flush(&(struct flush_request){
		.context = ctx, .va = va, .count = pages, .step = PAGE_SIZE, .tables = tables});
}

void tlb_flush_kernel(vaddr_t va, size_t pages, bool tables)
{
	tlb_flush(nullptr, va, pages, tables);
}

bool tlb_elsewhere(const struct tlb_context *ctx)
{
	cpuset_t known = atomic_load_explicit(&ctx->seen, memory_order_seq_cst) |
			 atomic_load_explicit(&ctx->active, memory_order_seq_cst);
	return known & ~cpu_bit(cpu_id());
}

void tlb_flush_local(struct tlb_context *ctx, vaddr_t va)
{
	hal.mmu.flush(tag_of(atomic_load_explicit(&ctx->asid, memory_order_relaxed)), va, 1, false);
}

void tlb_batch_finish(struct tlb_batch *b)
{
	if (b->start < b->end) {
		unsigned level = b->small ? 0 : MAPPER_HUGE;
		size_t step = mapper_span(level);
		struct flush_request r = {
			.context = b->context,
			.va = b->start,
			.count = (b->end - b->start + step - 1) >> (PAGE_SHIFT + 9 * level),
			.step = step,
			.tables = b->tables,
		};
		flush(&r);
	}
	struct frame *f;
	while ((f = tlb_batch_next(&b->dead_tables)))
		mapper_table_free(f);
	while ((f = tlb_batch_next(&b->frames)))
		frame_put(f);
	b->start = ~(vaddr_t)0;
	b->end = 0;
	b->tables = b->small = false;
}

struct tlb_stats tlb_stats(void)
{
	struct tlb_stats s = {.rollovers = READ_ONCE(rollovers)};
	for (cpu_t i = 0; i < cpu_count; i++) {
		const struct tlb_cpu *c = &cpus[i];
		for (unsigned m = 0; m < TLB_MODES; m++)
			s.modes[m] += READ_ONCE(c->modes[m]);
		s.pages += READ_ONCE(c->pages);
		s.interrupts += READ_ONCE(c->interrupts);
		s.received += READ_ONCE(c->received);
		s.interrupting += READ_ONCE(c->interrupting);
		s.saved_stale += READ_ONCE(c->saved_stale);
		s.lazy_drops += READ_ONCE(c->lazy_drops);
		s.local_all += READ_ONCE(c->local_all);
		s.local_one += READ_ONCE(c->local_one);
	}
	return s;
}
