/*
 * Invalidation on several CPUs: all use one address space while CPU 0 maps, protects and unmaps parts of
 * it. Once a change is reported complete, no CPU may get at a page by what it had cached; the TLB
 * model of hal/host keeps everything until it is flushed, so a missing shootdown shows. And a test
 * of that test: one dropped flush is noticed.
 */
#include "tlb_model.h"

#include <mm/tlb_stats.h>

#define PAGES 48
#define START ((vaddr_t)0x20000000)
#define STEPS 300

static struct aspace *space;
static _Atomic uint64_t states[PAGES]; /* generation << 2 | enum kind; CHANGING while it does */
static _Atomic uint32_t finished, stale_accesses, accesses;

static bool answer(struct trap *trap)
{
	return tlb_model_fault(space, trap);
}

static void use_page(size_t page, bool write)
{
	uint64_t value = page + 1, before = atomic_load(&states[page]);
	void *user = (void *)(START + page * PAGE_SIZE + 64);
	bool done =
		write ? hal.user.copy(user, &value, 8) == 0 : hal.user.copy(&value, user, 8) == 0;
	enum kind kind = (enum kind)(before & 3);

	if (atomic_load(&states[page]) != before || kind == CHANGING)
		return;
	atomic_fetch_add(&accesses, 1);
	if (kind == WRITABLE || (kind == READ_ONLY && !write))
		EXPECT(done);
	else if (done)
		atomic_fetch_add(&stale_accesses, 1);
	if (done && !write && value != 0 && value != page + 1)
		atomic_fetch_add(&stale_accesses, 1); /* the frame is another's by now */
}

static void change(struct test_random *random)
{
	size_t first = test_random_below(random, PAGES);
	size_t count = 1 + test_random_below(random, MIN(PAGES - first, 12));
	enum kind to = (enum kind)test_random_below(random, 3);
	vaddr_t va = START + first * PAGE_SIZE;

	for (size_t i = first; i < first + count; i++)
		atomic_store(&states[i], (atomic_load(&states[i]) | 3) + 4);
	/* A mapped range first: what was unmapped there is new. */
	if (to == UNMAPPED) {
		EXPECT_OK(aspace_unmap(space, va, count * PAGE_SIZE));
	} else {
		unsigned prot = to == WRITABLE ? PROT_READ | PROT_WRITE : PROT_READ;
		if (aspace_protect(space, va, count * PAGE_SIZE, prot) != KERR_OK)
			EXPECT_OK(aspace_map(space, &va, count * PAGE_SIZE, prot,
					     MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_FIXED, nullptr,
					     0));
	}
	for (size_t i = first; i < first + count; i++)
		atomic_store(&states[i], (atomic_load(&states[i]) & ~3ull) | to);
}

static void work(cpu_t cpu, void *arg)
{
	struct test_random random = {test_seed() * 64 + cpu};
	bool on = hal.cpu.irq_save();

	aspace_activate(space);
	hal.cpu.irq_restore(on);
	if (cpu == 0) {
		for (int i = 0; i < STEPS; i++) {
			change(&random);
			for (int k = 0; k < 4; k++)
				use_page(test_random_below(&random, PAGES), k & 1);
		}
		atomic_store(&finished, 1);
	}
	while (!atomic_load(&finished)) {
		use_page(test_random_below(&random, PAGES), test_random_below(&random, 2));
		hal.cpu.relax();
	}
}

static uint64_t run(const struct host_config *config, unsigned drop)
{
	vaddr_t va = START;

	test_kernel(config);
	test_upcalls.page_fault = answer;
	if (!EXPECT_OK(aspace_create(&space)))
		return 0;
	EXPECT_OK(aspace_map(space, &va, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_FIXED, nullptr, 0));
	if (drop)
		host_drop_flush(drop);
	test_on_all_cpus(work, nullptr);
	struct host_stale stale;
	uint64_t found = atomic_load(&stale_accesses);
	if (host_tlb_check(&stale))
		found++;
	EXPECT(atomic_load(&accesses) > STEPS);
	ktest_note("%u accesses counted, %u stale, %lu flushes", atomic_load(&accesses),
		   atomic_load(&stale_accesses), host_counters().flushes);
	return found;
}

TLB_MODEL_TESTS(shootdown, run, 4)

static uint64_t run_with_drop(uint64_t drop)
{
	return run(
		&(struct host_config){
			.cpus = 4, .interleave = 4, .asid_bits = 8, .seed = test_seed()},
		(unsigned)drop);
}

/* Most flushes are of pages that the CPU had not cached: dropping them changes nothing. */
TEST(shootdown_dropped_flush_is_noticed)
{
	unsigned noticed = 0;

	for (unsigned drop = 50; drop < 450; drop += 10)
		noticed += test_in_child(run_with_drop, drop) > 0;
	ktest_note("%u of 40 dropped flushes noticed", noticed);
	EXPECT(noticed >= 5);
}

/* ---- By counters ------------------------------------------------------------------------------ */

#define CPUS 4u

static _Atomic uint32_t arrived;

static void wait_for_all(uint32_t phase)
{
	atomic_fetch_add(&arrived, 1);
	while (atomic_load(&arrived) < phase * CPUS)
		hal.cpu.relax();
}

static void activate(struct aspace *as)
{
	bool on = hal.cpu.irq_save();

	aspace_activate(as);
	hal.cpu.irq_restore(on);
}

static void read_pages(size_t count)
{
	uint64_t value;

	for (size_t i = 0; i < count; i++)
		EXPECT_EQ(hal.user.copy(&value, (void *)(START + i * PAGE_SIZE), 8), 0);
}

/* What a step took, from what there was before. */
static struct tlb_stats since(const struct tlb_stats *before)
{
	struct tlb_stats s = tlb_stats();

	for (unsigned m = 0; m < TLB_MODES; m++)
		s.modes[m] -= before->modes[m];
	s.interrupts -= before->interrupts;
	s.interrupting -= before->interrupting;
	s.lazy_drops -= before->lazy_drops;
	return s;
}

/* Write-protects pages, which all CPUs have read. */
static struct tlb_stats protect(size_t pages)
{
	struct tlb_stats before = tlb_stats();

	EXPECT_OK(aspace_protect(space, START, pages * PAGE_SIZE, PROT_READ));
	return since(&before);
}

static void count_interrupts(cpu_t cpu, void *arg)
{
	static const struct {
		size_t pages;
		enum tlb_mode mode;
	} batches[] = {{1, TLB_PAGE}, {40, TLB_RANGE}, {100, TLB_SPACE}};
	uint32_t phase = 1;

	activate(space);
	for (size_t i = 0; i < ARRAY_SIZE(batches); i++) {
		if (cpu == 0) {
			uint64_t value = 5;
			EXPECT_OK(aspace_protect(space, START, 100 * PAGE_SIZE,
						 PROT_READ | PROT_WRITE));
			for (size_t k = 0; k < 100; k++)
				EXPECT_EQ(hal.user.copy((void *)(START + k * PAGE_SIZE), &value, 8),
					  0);
		}
		wait_for_all(phase++);
		read_pages(100);
		wait_for_all(phase++);
		if (cpu == 0) {
			struct tlb_stats s = protect(batches[i].pages);
			EXPECT_EQ(s.interrupts, CPUS - 1);
			EXPECT_EQ(s.interrupting, 1);
			EXPECT_EQ(s.modes[batches[i].mode], 1);
		}
		wait_for_all(phase++);
	}
	/* The others go over to kernel threads: they hear of the first change, and of no other. */
	if (cpu != 0)
		activate(nullptr);
	wait_for_all(phase++);
	if (cpu == 0) {
		struct tlb_stats before = tlb_stats();
		for (size_t i = 0; i < 10; i++)
			EXPECT_OK(aspace_unmap(space, START + i * 3 * PAGE_SIZE, PAGE_SIZE));
		struct tlb_stats s = since(&before);
		EXPECT_EQ(s.interrupts, CPUS - 1);
		EXPECT_EQ(s.lazy_drops, CPUS - 1);
		EXPECT_EQ(s.modes[TLB_PAGE], 10);
	}
	wait_for_all(phase++);
}

static void run_counted(const struct host_config *config)
{
	vaddr_t va = START;

	test_kernel(config);
	test_upcalls.page_fault = answer;
	if (!EXPECT_OK(aspace_create(&space)))
		return;
	EXPECT_OK(aspace_map(space, &va, 100 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_FIXED, nullptr, 0));
	test_on_all_cpus(count_interrupts, nullptr);
}

TEST(shootdown_interrupts_once_a_batch)
{
	run_counted(&(struct host_config){.cpus = CPUS, .interleave = 3, .asid_bits = 8});
}

TEST(shootdown_interrupts_once_a_batch_without_tags)
{
	run_counted(&(struct host_config){.cpus = CPUS, .interleave = 3});
}
