/*
 * Every operation of mm/space with its n-th allocation failing, for all n: what failed left the address
 * space as it was, or (where Linux too does what comes before the error) at least its contents; and no
 * frame and no promise is lost. Then device objects, commit figures of the strategies, and purging.
 */
#include "machine.h"

#include "inject.h"
#include "region.h"

#include <mm/advice.h>
#include <mm/aspace.h>
#include <mm/memory.h>
#include <mm/pressure.h>

#define BASE ((vaddr_t)0x10000000)
#define RW (PROT_READ | PROT_WRITE)

static struct aspace *as, *child;
static struct vm_object *file;

static vaddr_t page(unsigned n)
{
	return BASE + n * PAGE_SIZE;
}

static bool answer_fault(struct trap *trap)
{
	hal.cpu.irq_restore(true);
	enum fault_result result = aspace_fault(as, trap->addr, trap->access);
	hal.cpu.irq_save();
	return result == FAULT_CONTINUE;
}

static void put_map(unsigned first, unsigned pages, unsigned prot, unsigned flags,
		    struct vm_object *o)
{
	vaddr_t at = page(first);
	EXPECT_OK(aspace_map(as, &at, pages * PAGE_SIZE, prot, flags | MMAP_FIXED, o, 0));
}

static void write_pages(unsigned first, unsigned pages)
{
	for (unsigned i = first; i < first + pages; i++) {
		uint8_t v = (uint8_t)(i + 1);
		EXPECT_EQ(hal.user.copy((void *)page(i), &v, 1), 0);
	}
}

/*
 *	0..15   private, written          40..47  a file, shared, written
 *	16..23  private, read only        48..55  a file, private, half of it written
 *	24..31  a hole                    56..63  shared, written
 *	32..39  private, no access        70..    the heap (brk)
 *	120..131  private, the first 8 written; 132..135 read only, before that written
 */
static void begin(void)
{
	test_kernel(&(struct host_config){.ram_dirty = true, .asid_bits = 4});
	test_upcalls.page_fault = answer_fault;
	EXPECT_OK(aspace_create(&as));
	EXPECT_OK(vm_object_create_anonymous(64 * PAGE_SIZE, &file));
	bool on = hal.cpu.irq_save();
	aspace_activate(as);
	hal.cpu.irq_restore(on);
	put_map(0, 16, RW, MMAP_PRIVATE, nullptr);
	put_map(16, 8, PROT_READ, MMAP_PRIVATE, nullptr);
	put_map(32, 8, PROT_NONE, MMAP_PRIVATE, nullptr);
	put_map(40, 8, RW, MMAP_SHARED, file);
	put_map(48, 8, RW, MMAP_PRIVATE, file);
	put_map(56, 8, RW, MMAP_SHARED, nullptr);
	put_map(120, 16, RW, MMAP_PRIVATE, nullptr);
	write_pages(120, 8);
	write_pages(132, 4);
	EXPECT_OK(aspace_protect(as, page(132), 4 * PAGE_SIZE, PROT_READ));
	write_pages(0, 16);
	write_pages(40, 12);
	write_pages(56, 8);
	aspace_set_brk(as, page(70));
	vaddr_t now;
	EXPECT_OK(aspace_brk(as, page(74), &now));
	/* Page-tree nodes are shared: whoever changes them must copy first. */
	EXPECT_OK(aspace_fork(as, &child));
}

static void settle(void)
{
	for (int i = 0; i < 3; i++)
		rcu_synchronize();
}

static void end(void)
{
	memory_fail_in = 0;
	bool on = hal.cpu.irq_save();
	aspace_activate(nullptr);
	hal.cpu.irq_restore(on);
	aspace_put(as);
	if (child)
		aspace_put(child);
	if (file)
		vm_object_put(file);
	settle();
	struct memory_stats m;
	memory_stats(&m);
	EXPECT_EQ(m.anonymous, 0);
	EXPECT_EQ(m.cached, 0);
	EXPECT_EQ(m.committed, 0);
	EXPECT_EQ(pagetree_node_bytes(), 0);
}

/* ---- What an address space is ----------------------------------------------------------------- */

#define LOOK 128u

struct snapshot {
	unsigned regions;
	struct region_info region[64];
	uint8_t byte[LOOK]; /* of each page; 0xff: not to be read */
	uint64_t committed, virtual_pages, locked_pages;
};

static void take(struct snapshot *s)
{
	*s = (struct snapshot){};
	for (vaddr_t at = 0; aspace_region_at(as, at, &s->region[s->regions]); s->regions++) {
		struct region_info *r = &s->region[s->regions];
		at = r->end;
		if (r->object)
			vm_object_put(r->object);
	}
	for (unsigned i = 0; i < LOOK; i++)
		if (hal.user.copy(&s->byte[i], (void *)page(i), 1))
			s->byte[i] = 0xff;
	struct aspace_stats stats = aspace_stats(as);
	s->virtual_pages = stats.virtual_pages;
	s->locked_pages = stats.locked_pages;
	s->committed = aspace_committed(as);
}

static bool same_regions(const struct snapshot *a, const struct snapshot *b)
{
	if (a->regions != b->regions || a->committed != b->committed ||
	    a->virtual_pages != b->virtual_pages || a->locked_pages != b->locked_pages)
		return false;
	for (unsigned i = 0; i < a->regions; i++) {
		const struct region_info *p = &a->region[i], *q = &b->region[i];
		if (p->start != q->start || p->end != q->end || p->prot != q->prot ||
		    p->marks != q->marks || p->offset != q->offset || p->object != q->object ||
		    p->shared != q->shared)
			return false;
	}
	return true;
}

/* ---- Operations ------------------------------------------------------------------------------- */

static enum kerr map_at(unsigned first, unsigned pages, unsigned flags, struct vm_object *o)
{
	vaddr_t at = page(first);
	return aspace_map(as, &at, pages * PAGE_SIZE, RW, flags, o, 0);
}

static enum kerr op_map(void)
{
	return map_at(100, 4, MMAP_PRIVATE | MMAP_FIXED, nullptr);
}

static enum kerr op_map_over(void)
{
	return map_at(10, 50, MMAP_PRIVATE | MMAP_FIXED, nullptr);
}

static enum kerr op_map_file(void)
{
	return map_at(4, 4, MMAP_SHARED | MMAP_FIXED, file);
}

static enum kerr op_map_shared(void)
{
	return map_at(4, 4, MMAP_SHARED | MMAP_FIXED, nullptr);
}

static enum kerr op_map_populate(void)
{
	return map_at(100, 4, MMAP_PRIVATE | MMAP_FIXED | MMAP_POPULATE, nullptr);
}

static enum kerr op_unmap_middle(void)
{
	return aspace_unmap(as, page(4), 4 * PAGE_SIZE);
}

static enum kerr op_unmap_many(void)
{
	return aspace_unmap(as, page(4), 50 * PAGE_SIZE);
}

static enum kerr op_protect_middle(void)
{
	return aspace_protect(as, page(4), 4 * PAGE_SIZE, PROT_READ);
}

static enum kerr op_protect_promise(void)
{
	return aspace_protect(as, page(18), 2 * PAGE_SIZE, RW);
}

static enum kerr op_protect_many(void)
{
	return aspace_protect(as, page(34), 20 * PAGE_SIZE, PROT_READ | PROT_EXEC);
}

static enum kerr remap(unsigned from, unsigned pages, unsigned more, unsigned flags, unsigned to)
{
	vaddr_t at = page(to);
	return aspace_remap(as, page(from), pages * PAGE_SIZE, (pages + more) * PAGE_SIZE, flags,
			    &at);
}

static enum kerr op_grow(void)
{
	return remap(16, 8, 4, 0, 0);
}

static enum kerr op_move(void)
{
	return remap(4, 4, 0, 3, 100);
}

static enum kerr op_move_grow(void)
{
	return remap(4, 4, 4, 1, 0);
}

static enum kerr op_move_file(void)
{
	return remap(50, 4, 0, 3, 100);
}

/* Its last leaf holds only others' pages. */
static enum kerr op_move_edge(void)
{
	return remap(122, 8, 0, 3, 100);
}

static enum kerr op_move_keep(void)
{
	return remap(4, 4, 0, 5, 100);
}

static enum kerr op_duplicate(void)
{
	vaddr_t at = page(100);
	return aspace_remap(as, page(58), 0, 4 * PAGE_SIZE, 3, &at);
}

static enum kerr op_shrink(void)
{
	return remap(0, 16, -8u, 0, 0);
}

static enum kerr advise(unsigned first, unsigned pages, int advice)
{
	return aspace_advise(as, page(first), pages * PAGE_SIZE, advice, nullptr);
}

static enum kerr op_dontneed(void)
{
	return advise(4, 4, ADVISE_DONTNEED);
}

static enum kerr op_dontneed_many(void)
{
	return advise(40, 24, ADVISE_DONTNEED);
}

static enum kerr op_free(void)
{
	return advise(4, 4, ADVISE_FREE);
}

static enum kerr op_remove(void)
{
	return advise(42, 2, ADVISE_REMOVE);
}

static enum kerr op_dontfork(void)
{
	return advise(4, 4, ADVISE_DONTFORK);
}

static enum kerr op_huge(void)
{
	return advise(4, 4, ADVISE_NOHUGEPAGE);
}

static enum kerr op_volatile(void)
{
	return advise(4, 4, ADVISE_VOLATILE);
}

static enum kerr op_populate(void)
{
	return advise(16, 8, ADVISE_POPULATE_READ);
}

static enum kerr op_lock(void)
{
	return aspace_lock(as, page(4), 4 * PAGE_SIZE, false);
}

static enum kerr op_lock_all(void)
{
	return aspace_lock_all(as, LOCK_CURRENT | LOCK_FUTURE);
}

static enum kerr op_seal(void)
{
	return aspace_seal(as, page(4), 4 * PAGE_SIZE);
}

static enum kerr op_brk(void)
{
	vaddr_t now;
	EXPECT_OK(aspace_brk(as, page(90), &now));
	return now == page(90) ? KERR_OK : KERR_NOMEM;
}

static enum kerr op_brk_back(void)
{
	vaddr_t now;
	EXPECT_OK(aspace_brk(as, page(72), &now));
	return now == page(72) ? KERR_OK : KERR_NOMEM;
}

static enum kerr op_fork(void)
{
	struct aspace *other;
	enum kerr err = aspace_fork(as, &other);
	if (err == KERR_OK)
		aspace_put(other);
	return err;
}

static enum kerr op_fork_marked(void)
{
	int64_t n = memory_fail_in;
	memory_fail_in = 0; /* these are not meant */
	EXPECT_OK(advise(2, 2, ADVISE_DONTFORK));
	EXPECT_OK(advise(6, 2, ADVISE_WIPEONFORK));
	memory_fail_in = n;
	return op_fork();
}

static enum kerr op_write(void)
{
	switch (aspace_fault(as, page(4), TRAP_WRITE)) {
	case FAULT_CONTINUE:
		return KERR_OK;
	case FAULT_NO_MEMORY:
		return KERR_NOMEM;
	default:
		return KERR_FAULT;
	}
}

static const struct operation {
	const char *name;
	enum kerr (*fn)(void);
	bool partial; /* regions may have changed when it fails, contents not */
	bool discards; /* contents may have changed: it is what it does */
	bool quiet; /* succeeds whatever fails */
} operations[] = {
	{.name = "map", .fn = op_map},
	{.name = "map over others", .fn = op_map_over},
	{.name = "map a file", .fn = op_map_file},
	{.name = "map shared", .fn = op_map_shared},
	{.name = "map and populate", .fn = op_map_populate, .quiet = true},
	{.name = "unmap the middle", .fn = op_unmap_middle},
	{.name = "unmap many", .fn = op_unmap_many},
	{.name = "protect the middle", .fn = op_protect_middle},
	{.name = "protect, promised", .fn = op_protect_promise},
	{.name = "protect many", .fn = op_protect_many, .partial = true},
	{.name = "grow", .fn = op_grow},
	{.name = "move", .fn = op_move},
	{.name = "move to grow", .fn = op_move_grow},
	{.name = "move a file", .fn = op_move_file},
	{.name = "move, from the edge of others", .fn = op_move_edge},
	{.name = "move, leaving", .fn = op_move_keep},
	{.name = "duplicate", .fn = op_duplicate},
	{.name = "shrink", .fn = op_shrink},
	{.name = "discard", .fn = op_dontneed},
	{.name = "discard many", .fn = op_dontneed_many, .discards = true},
	{.name = "free lazily", .fn = op_free, .quiet = true},
	{.name = "punch", .fn = op_remove, .quiet = true},
	{.name = "not for children", .fn = op_dontfork},
	{.name = "no huge pages", .fn = op_huge},
	{.name = "volatile", .fn = op_volatile},
	{.name = "populate", .fn = op_populate},
	{.name = "lock", .fn = op_lock, .partial = true},
	{.name = "lock all", .fn = op_lock_all, .partial = true, .quiet = true},
	{.name = "seal", .fn = op_seal, .partial = true},
	{.name = "larger heap", .fn = op_brk},
	{.name = "smaller heap", .fn = op_brk_back},
	{.name = "fork", .fn = op_fork},
	{.name = "fork with marks", .fn = op_fork_marked, .partial = true},
	{.name = "write", .fn = op_write},
};

static uint64_t fail_each(uint64_t index)
{
	const struct operation *o = &operations[index];
	struct snapshot before, after;
	unsigned n = 0;
	enum kerr err;
	begin();
	take(&before);
	do {
		memory_fail_in = ++n;
		err = o->fn();
		bool reached = memory_fail_in <= 0;
		memory_fail_in = 0;
		if (err == KERR_OK && reached && o->quiet) {
			take(&after);
			continue;
		}
		if (err == KERR_OK)
			break;
		EXPECT(err == KERR_NOMEM || err == KERR_AGAIN);
		take(&after);
		if (!o->partial && !o->discards && !EXPECT(same_regions(&before, &after)))
			ktest_note("%s: changed when allocation %u failed", o->name, n);
		if (!o->discards &&
		    !EXPECT(memcmp(before.byte, after.byte, LOOK) == 0 || o->partial))
			ktest_note("%s: contents changed when allocation %u failed", o->name, n);
		if (o->partial)
			before = after; /* what it did stays done */
	} while (n < 200);
	EXPECT(n < 200);
	ktest_note("%s: %u allocations", o->name, n - 1);
	end();
	return !test_failures();
}

TEST(space_each_allocation_fails)
{
	for (unsigned i = 0; i < ARRAY_SIZE(operations); i++)
		if (!EXPECT(test_in_child(fail_each, i)))
			ktest_note("%s", operations[i].name);
}

/* ---- Device objects --------------------------------------------------------------------------- */

TEST(space_device_objects)
{
	struct vm_object *o;
	uint8_t byte = 7;
	paddr_t pa;
	map_flags_t flags;
	begin();
	struct frame *f = frame_alloc_contiguous(4, 2, FRAME_ZEROED);
	EXPECT(f);
	EXPECT_EQ(vm_object_create_device(frame_address(f) + 1, PAGE_SIZE, 0, &o), KERR_INVAL);
	EXPECT_EQ(vm_object_create_device(frame_address(f), 0, 0, &o), KERR_INVAL);
	EXPECT_OK(vm_object_create_device(frame_address(f), 4 * PAGE_SIZE, MAP_NO_CACHE, &o));
	vaddr_t at = page(100);
	EXPECT_EQ(aspace_map(as, &at, 4 * PAGE_SIZE, RW, MMAP_PRIVATE | MMAP_FIXED, o, 0),
		  KERR_INVAL);
	EXPECT_OK(aspace_map(as, &at, 6 * PAGE_SIZE, RW, MMAP_SHARED | MMAP_FIXED, o, 0));
	struct region_info r;
	EXPECT(aspace_region_at(as, at, &r));
	EXPECT_EQ(r.kind, REGION_DEVICE);
	vm_object_put(r.object);

	EXPECT_EQ(hal.user.copy((void *)page(102), &byte, 1), 0);
	EXPECT_EQ(*(uint8_t *)frame_data(f + 2), 7);
	EXPECT_OK(mapper_translate(&as->mapper, page(102), &pa, &flags, nullptr));
	EXPECT_EQ(pa, frame_address(f + 2));
	EXPECT(flags & MAP_NO_CACHE);
	EXPECT(flags & MAP_WRITABLE);
	EXPECT_EQ(aspace_fault(as, page(104), TRAP_READ), FAULT_BUS);
	EXPECT_EQ(aspace_fault(as, page(100), TRAP_EXECUTE), FAULT_ACCERR);
	/* Nobody gets a reference, nothing is taken away, nothing counted. */
	EXPECT_EQ(aspace_access(as, page(102), &byte, 1, false), 0);
	EXPECT_EQ(advise(100, 4, ADVISE_DONTNEED), KERR_INVAL);
	EXPECT_EQ(advise(100, 4, ADVISE_REMOVE), KERR_INVAL);
	EXPECT_EQ(advise(100, 4, ADVISE_VOLATILE), KERR_INVAL);
	EXPECT_OK(aspace_lock(as, page(100), PAGE_SIZE, false));
	struct region_usage u;
	EXPECT(aspace_region_usage(as, page(100), &u));
	EXPECT_EQ(u.resident, 0);
	EXPECT_EQ(f[2].references, 1);

	/* Entries go and come back; a child sees the same memory. */
	EXPECT_OK(aspace_protect(as, page(100), 4 * PAGE_SIZE, PROT_READ));
	EXPECT_EQ(hal.user.copy((void *)page(102), &byte, 1), 1);
	EXPECT_OK(aspace_protect(as, page(100), 4 * PAGE_SIZE, RW));
	EXPECT_OK(remap(101, 2, 0, 3, 110));
	byte = 9;
	EXPECT_EQ(hal.user.copy((void *)page(111), &byte, 1), 0);
	EXPECT_EQ(*(uint8_t *)frame_data(f + 2), 9);
	EXPECT_EQ(remap(110, 2, 4, 1, 0), KERR_FAULT);
	struct aspace *other;
	EXPECT_OK(aspace_fork(as, &other));
	EXPECT_EQ(aspace_fault(other, page(111), TRAP_WRITE), FAULT_CONTINUE);
	EXPECT_OK(mapper_translate(&other->mapper, page(111), &pa, &flags, nullptr));
	EXPECT_EQ(pa, frame_address(f + 2));
	aspace_put(other);
	EXPECT_OK(aspace_unmap(as, page(100), 20 * PAGE_SIZE));
	EXPECT_EQ(o->references, 1);
	vm_object_put(o);
	for (unsigned i = 0; i < 4; i++)
		EXPECT_EQ(f[i].references, 1);
	for (unsigned i = 0; i < 4; i++)
		frame_free(f + i, 0);
	end();
}

/* ---- Strategies (VM-11): what is promised and what is taken ------------------------------------- */

static void expect_cost(unsigned prot, unsigned flags, uint64_t promised, uint64_t frames)
{
	struct memory_stats before, after;
	memory_stats(&before);
	vaddr_t at = page(100);
	EXPECT_OK(aspace_map(as, &at, 8 * PAGE_SIZE, prot, flags | MMAP_FIXED, nullptr, 0));
	memory_stats(&after);
	EXPECT_EQ(after.committed - before.committed, promised);
	EXPECT_EQ(after.anonymous + after.cached - before.anonymous - before.cached, frames);
	EXPECT_OK(aspace_unmap(as, at, 8 * PAGE_SIZE));
	settle();
	memory_stats(&after);
	EXPECT_EQ(after.committed, before.committed);
	EXPECT_EQ(after.anonymous + after.cached, before.anonymous + before.cached);
}

TEST(space_strategies)
{
	begin();
	expect_cost(RW, MMAP_PRIVATE, 8, 0); /* reserve */
	expect_cost(RW, MMAP_SHARED, 8, 0);
	expect_cost(RW, MMAP_PRIVATE | MMAP_POPULATE, 8, 8); /* allocate now */
	expect_cost(RW, MMAP_SHARED | MMAP_POPULATE, 8, 8);
	expect_cost(RW, MMAP_PRIVATE | MMAP_LOCKED, 8, 8);
	expect_cost(PROT_NONE, MMAP_PRIVATE, 0, 0); /* none */
	expect_cost(PROT_READ, MMAP_PRIVATE, 0, 0);
	expect_cost(RW, MMAP_PRIVATE | MMAP_NORESERVE, 0, 0);
	expect_cost(RW, MMAP_SHARED | MMAP_NORESERVE, 0, 0);
	/* What becomes writable is promised then. */
	uint64_t committed = aspace_committed(as);
	EXPECT_OK(aspace_protect(as, page(32), 8 * PAGE_SIZE, RW));
	EXPECT_EQ(aspace_committed(as) - committed, 8);
	end();
}

/* ---- Purging ---------------------------------------------------------------------------------- */

static uint8_t byte_of(unsigned n)
{
	uint8_t v = 0xee;
	EXPECT_EQ(hal.user.copy(&v, (void *)page(n), 1), 0);
	return v;
}

TEST(space_purging)
{
	bool purged = false;
	begin();
	aspace_put(child); /* what is shared is not purged */
	child = nullptr;
	EXPECT_OK(advise(0, 8, ADVISE_FREE));
	EXPECT_OK(advise(8, 4, ADVISE_VOLATILE));
	EXPECT_EQ(byte_of(3), 4);
	write_pages(5, 1);
	EXPECT_OK(aspace_lock(as, page(10), PAGE_SIZE, false));
	struct region_usage u;
	EXPECT(aspace_region_usage(as, page(0), &u));
	EXPECT_EQ(u.lazy, 7 * PAGE_SIZE);

	/* A fork holds all pages: none is given. */
	EXPECT_OK(aspace_fork(as, &child));
	EXPECT(frame_reclaim() || true);
	for (unsigned i = 0; i < 12; i++)
		EXPECT_EQ(byte_of(i), i + 1);
	aspace_put(child);
	child = nullptr;

	struct memory_stats before, after;
	memory_stats(&before);
	EXPECT(frame_reclaim());
	memory_stats(&after);
	EXPECT_EQ(before.anonymous - after.anonymous, 10);
	for (unsigned i = 0; i < 16; i++) {
		bool stays = i == 5 || i == 10 || i >= 12;
		EXPECT_EQ(byte_of(i), stays ? i + 1 : 0);
	}
	EXPECT_OK(aspace_advise(as, page(8), 4 * PAGE_SIZE, ADVISE_NONVOLATILE, &purged));
	EXPECT(purged);
	purged = false;
	EXPECT_OK(aspace_advise(as, page(8), 4 * PAGE_SIZE, ADVISE_NONVOLATILE, &purged));
	EXPECT(!purged);
	EXPECT_EQ(advise(40, 1, ADVISE_FREE), KERR_INVAL);
	EXPECT_EQ(advise(40, 1, ADVISE_VOLATILE), KERR_INVAL);
	EXPECT_EQ(advise(10, 1, ADVISE_VOLATILE), KERR_INVAL);
	end();
}

/* ---- Holes in objects --------------------------------------------------------------------------- */

TEST(space_holes)
{
	uint64_t at;
	begin();
	uint64_t pages = vm_object_resident(file);
	EXPECT_EQ(byte_of(41), 42);
	vm_object_punch(file, PAGE_SIZE + 1, 4 * PAGE_SIZE + 1);
	EXPECT_EQ(vm_object_resident(file), pages - 2);
	EXPECT_EQ(byte_of(41), 42); /* the first byte of the page stays .. */
	EXPECT_EQ(byte_of(42), 0);
	EXPECT_EQ(byte_of(43), 0);
	EXPECT_EQ(byte_of(44), 0); /* .. and that of page 4 does not */
	EXPECT_EQ(byte_of(45), 46);
	EXPECT_EQ(byte_of(50), 51); /* a private copy stays */
	EXPECT_EQ(advise(42, 2, ADVISE_REMOVE), KERR_OK);
	EXPECT(vm_object_seek(file, 0, false, &at));
	EXPECT_EQ(at, 2 * PAGE_SIZE);
	EXPECT(vm_object_seek(file, 2 * PAGE_SIZE + 5, true, &at));
	EXPECT_EQ(at, 4 * PAGE_SIZE);
	end();
}
