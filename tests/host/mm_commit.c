/*
 * Commit accounting: random maps, unmaps, protections, moves, breaks, forks and exits in all three
 * modes. After each step the machine's count is what the address spaces and objects were promised,
 * and that is what their regions say; at the end it is zero. Also with allocations that fail, and on
 * four CPUs at the limit of mode 2, which is never exceeded.
 */
#include "machine.h"

#include "commit_private.h"
#include "inject.h"
#include "region.h"

#include <mm/aspace.h>
#include <mm/commit.h>
#include <mm/memory.h>
#include <stdio.h>

#define BASE ((vaddr_t)0x10000000)
#define PAGES 256u
#define SPACES 3u

static struct aspace *spaces[SPACES];

static struct commit_totals totals(void)
{
	struct commit_totals t;
	commit_totals(&t);
	return t;
}

static void configure(enum overcommit_mode mode, uint64_t kib)
{
	EXPECT_OK(
		commit_configure(&(struct commit_settings){.mode = mode, .ratio = 50, .kib = kib}));
}

static enum kerr map(struct aspace *as, uint64_t pages, unsigned prot, unsigned flags)
{
	vaddr_t at = 0;
	return aspace_map(as, &at, pages * PAGE_SIZE, prot, flags, nullptr, 0);
}

/* ---- At random ------------------------------------------------------------------------------ */

static vaddr_t any_page(struct test_random *r)
{
	return BASE + test_random_below(r, PAGES) * PAGE_SIZE;
}

static size_t any_size(struct test_random *r)
{
	return (1 + test_random_below(r, 24)) * PAGE_SIZE;
}

static void any_map(struct test_random *r, struct aspace *as)
{
	static const unsigned kinds[] = {MMAP_PRIVATE, MMAP_PRIVATE, MMAP_SHARED,
					 MMAP_PRIVATE | MMAP_NORESERVE,
					 MMAP_SHARED | MMAP_NORESERVE};
	vaddr_t at = any_page(r);
	unsigned flags =
		kinds[test_random_below(r, 5)] | (test_random_below(r, 3) ? MMAP_FIXED : 0);
	(void)!aspace_map(as, &at, any_size(r), (unsigned)test_random_below(r, 4), flags, nullptr,
			  0);
}

static void any_step(struct test_random *r, unsigned space)
{
	struct aspace *as = spaces[space], *child;
	vaddr_t at = any_page(r);

	switch (test_random_below(r, 10)) {
	case 0:
	case 1:
	case 2:
		any_map(r, as);
		break;
	case 3:
		(void)!aspace_unmap(as, any_page(r), any_size(r));
		break;
	case 4:
	case 5:
		(void)!aspace_protect(as, any_page(r), any_size(r),
				      (unsigned)test_random_below(r, 4));
		break;
	case 6:
		(void)!aspace_remap(as, any_page(r), any_size(r), any_size(r),
				    (unsigned)test_random_below(r, 2) ? 3 : 1, &at);
		break;
	case 7:
		(void)!aspace_brk(as, BASE + (PAGES + test_random_below(r, 64)) * PAGE_SIZE, &at);
		break;
	case 8:
		(void)aspace_fault(as, any_page(r), TRAP_WRITE);
		break;
	case 9:
		if (aspace_fork(as, &child) == KERR_OK) {
			unsigned to = (unsigned)test_random_below(r, SPACES);
			aspace_put(spaces[to]);
			spaces[to] = child;
		}
		break;
	}
}

/* What the regions say; objects are counted once, at the first region that maps them. */
static uint64_t promised_by_regions(void)
{
	static struct vm_object *seen[SPACES * 512];
	uint64_t all = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < SPACES; i++) {
		uint64_t private = 0;
		for (struct rb_node *n = rb_first(&spaces[i]->regions); n; n = rb_next(n)) {
			struct region *r = rb_entry(n, struct region, node);
			unsigned k = 0;
			private += region_promised(r, (r->end - r->start) >> PAGE_SHIFT);
			while (r->object && k < count && seen[k] != r->object)
				k++;
			if (!r->object || k < count)
				continue;
			seen[count++] = r->object;
			all += r->object->promised ? r->object->promised
						   : vm_object_resident(r->object);
		}
		EXPECT_EQ(spaces[i]->committed, private);
		all += private;
	}
	return all;
}

static uint64_t at_random(uint64_t seed)
{
	struct test_random random = {.state = seed * 991};

	test_kernel(&(struct host_config){.seed = seed});
	for (unsigned i = 0; i < SPACES; i++) {
		EXPECT_OK(aspace_create(&spaces[i]));
		aspace_set_brk(spaces[i], BASE + PAGES * PAGE_SIZE);
	}
	for (unsigned n = 0; n < 1500; n++) {
		if (n % 100 == 0)
			configure((enum overcommit_mode)(n / 100 % 3), 500 * 4);
#if defined(TERN_DEBUG)
		if (seed % 2)
			memory_fail_in = (int64_t)test_random_below(&random, 12);
#endif
		uint64_t before = totals().committed;
		any_step(&random, (unsigned)test_random_below(&random, SPACES));
#if defined(TERN_DEBUG)
		memory_fail_in = 0;
#endif
		struct commit_totals t = totals();
		if (!EXPECT_EQ(t.committed, promised_by_regions()))
			break;
		if (n / 100 % 3 == OVERCOMMIT_NEVER)
			EXPECT(t.committed <= MAX(before, t.limit));
	}
	for (unsigned i = 0; i < SPACES; i++)
		aspace_put(spaces[i]);
	EXPECT_EQ(totals().committed, 0);
	fflush(nullptr); /* the child ends without */
	return !test_failures();
}

TEST(commit_is_zero_sum)
{
	for (uint64_t seed = test_seed(); seed < test_seed() + 12; seed++)
		EXPECT(test_in_child(at_random, seed));
}

/* ---- The modes ------------------------------------------------------------------------------ */

TEST(commit_modes)
{
	struct aspace *as, *child;
	unsigned rw = PROT_READ | PROT_WRITE;

	test_kernel(nullptr);
	uint64_t all = totals().physical;
	EXPECT_OK(aspace_create(&as));
	EXPECT_EQ(totals().limit, all / 2);

	EXPECT_EQ(map(as, all + 1, rw, MMAP_PRIVATE), KERR_NOMEM);
	EXPECT_EQ(map(as, all + 1, rw, MMAP_SHARED), KERR_NOMEM);
	EXPECT_OK(map(as, all + 1, rw, MMAP_PRIVATE | MMAP_NORESERVE));
	EXPECT_OK(map(as, all + 1, PROT_READ, MMAP_PRIVATE));
	EXPECT_EQ(totals().committed, 0);
	EXPECT_OK(map(as, all - 1, rw, MMAP_PRIVATE));
	EXPECT_OK(map(as, all - 1, rw, MMAP_PRIVATE | MMAP_GROWSDOWN));
	EXPECT_EQ(totals().committed, 2 * all - 2);
	EXPECT_OK(aspace_fork(as, &child)); /* each of its regions is possible */
	EXPECT_EQ(totals().committed, 4 * all - 4);
	aspace_put(child);

	configure(OVERCOMMIT_ALWAYS, 0);
	EXPECT_OK(map(as, 10 * all, rw, MMAP_PRIVATE));
	aspace_put(as);
	EXPECT_EQ(totals().committed, 0);

	configure(OVERCOMMIT_NEVER, 400 * 4);
	EXPECT_EQ(totals().limit, 400);
	EXPECT_OK(aspace_create(&as));
	EXPECT_OK(map(as, 250, rw, MMAP_PRIVATE));
	EXPECT_EQ(aspace_fork(as, &child), KERR_NOMEM);
	EXPECT_EQ(map(as, 151, rw, MMAP_PRIVATE | MMAP_NORESERVE), KERR_NOMEM);
	EXPECT_OK(map(as, 150, rw, MMAP_SHARED));
	EXPECT_EQ(totals().uncommitted, 0);
	EXPECT_EQ(map(as, 1, rw, MMAP_PRIVATE), KERR_NOMEM);
	EXPECT_OK(map(as, 1, PROT_READ, MMAP_PRIVATE));
	aspace_put(as);
	EXPECT_EQ(totals().committed, 0);
	EXPECT_EQ(commit_configure(&(struct commit_settings){.mode = (enum overcommit_mode)3}),
		  KERR_INVAL);
}

/* What a range that moves or is replaced has is not asked for twice. */
TEST(commit_moves_at_the_limit)
{
	unsigned rw = PROT_READ | PROT_WRITE;
	vaddr_t at = BASE, to = BASE + 1024 * PAGE_SIZE;
	struct aspace *as;

	test_kernel(nullptr);
	configure(OVERCOMMIT_NEVER, 400 * 4);
	EXPECT_OK(aspace_create(&as));
	EXPECT_OK(aspace_map(as, &at, 400 * PAGE_SIZE, rw, MMAP_PRIVATE | MMAP_FIXED, nullptr, 0));
	EXPECT_OK(aspace_map(as, &at, 400 * PAGE_SIZE, rw, MMAP_PRIVATE | MMAP_FIXED, nullptr, 0));
	EXPECT_OK(aspace_remap(as, at, 400 * PAGE_SIZE, 400 * PAGE_SIZE, 3, &to));
	EXPECT_EQ(totals().committed, 400);
	EXPECT_EQ(aspace_remap(as, to, 400 * PAGE_SIZE, 401 * PAGE_SIZE, 1, &at), KERR_NOMEM);
	EXPECT_EQ(totals().committed, 400);
	EXPECT_OK(aspace_unmap(as, to, PAGE_SIZE));
	at = BASE;
	EXPECT_OK(aspace_map(as, &at, PAGE_SIZE, PROT_READ, MMAP_PRIVATE | MMAP_FIXED, nullptr, 0));
	EXPECT_OK(aspace_protect(as, at, PAGE_SIZE, rw));
	EXPECT_OK(aspace_protect(as, at, PAGE_SIZE, PROT_READ));
	at = BASE + 2 * PAGE_SIZE;
	EXPECT_OK(aspace_map(as, &at, PAGE_SIZE, PROT_READ, MMAP_PRIVATE | MMAP_FIXED, nullptr, 0));
	EXPECT_EQ(aspace_protect(as, at, PAGE_SIZE, rw), KERR_NOMEM);
	EXPECT_EQ(totals().committed, 400);
	aspace_put(as);
	EXPECT_EQ(totals().committed, 0);
}

/* ---- Four CPUs ------------------------------------------------------------------------------ */

static _Atomic uint64_t granted, refused, beyond;

static void charge_at_the_limit(cpu_t cpu, void *arg)
{
	struct test_random random = {.state = host_config()->seed * 7 + cpu};
	uint64_t mine = 0;

	for (int n = 0; n < 4000; n++) {
		uint64_t pages = 1 + test_random_below(&random, 40);
		if (mine >= pages && test_random_below(&random, 2)) {
			/* Less is held before less is counted: `granted` is never too high. */
			granted -= pages;
			commit_release(pages);
			mine -= pages;
		} else if (commit_charge(pages) == KERR_OK) {
			mine += pages;
			beyond += (granted += pages) > 1600;
		} else {
			refused++;
		}
	}
	granted -= mine;
	commit_release(mine);
}

static void never_beyond(enum host_mode mode, uint64_t seed)
{
	test_kernel(&(struct host_config){.cpus = 4, .mode = mode, .interleave = 5, .seed = seed});
	granted = refused = beyond = 0;
	configure(OVERCOMMIT_NEVER, 1600 * 4);
	test_on_all_cpus(charge_at_the_limit, nullptr);
	EXPECT_EQ(beyond, 0);
	EXPECT(refused > 0);
	EXPECT_EQ(totals().committed, 0);
	/* No credit is lost: all of it can be had in one piece, by any CPU. */
	EXPECT_OK(commit_charge(1600));
	EXPECT_EQ(commit_charge(1), KERR_NOMEM);
	commit_release(1600);
}

TEST(commit_limit_on_four_cpus_simulated)
{
	never_beyond(HOST_SIMULATED, 3);
}

TEST(commit_limit_on_four_cpus_threads)
{
	never_beyond(HOST_THREADS, 4);
}

/* ---- Promises of frames --------------------------------------------------------------------- */

TEST(frame_promises)
{
	struct frame_promise p = {}, none = {};
	struct frame *f, *taken[100];
	size_t n = 0;

	test_kernel(nullptr);
	uint64_t free = frame_totals().free;
	EXPECT_OK(frame_promise(&p, 60));
	EXPECT_OK(frame_promise(&p, 40));
	EXPECT_EQ(frame_promise(&none, 1u << 20), KERR_NOMEM);
	EXPECT_EQ(none.left, 0);
	EXPECT_EQ(frame_totals().free, free - 100);
	frame_promise_end(&none);
	EXPECT(!frame_promise_take(&none));
	struct frame *all = nullptr;
	while ((f = frame_alloc(0, 0))) {
		f->link.next = all ? &all->link : nullptr;
		all = f;
	}
	for (n = 0; n < 99; n++) {
		taken[n] = frame_promise_take(&p);
		EXPECT(taken[n] && taken[n]->references == 1);
	}
	EXPECT_EQ(p.left, 1);
	for (n = 0; n < 99; n++)
		frame_free(taken[n], 0);
	while ((f = all)) {
		all = f->link.next ? list_entry(f->link.next, struct frame, link) : nullptr;
		frame_free(f, 0);
	}
	frame_promise_end(&p);
	EXPECT_EQ(frame_totals().free, free);
}
