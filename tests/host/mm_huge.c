/*
 * Huge leaves against a model, on several CPUs with the TLB model of hal/host, which keeps what was
 * cached until it is told to forget. All CPUs read and write pages of a few windows of 2 MiB; CPU 0
 * maps, unmaps, protects, discards, collapses and forks parts of them. Once a change is reported
 * complete no CPU may get at a page by what it had cached, and a child never sees what its parent wrote
 * after the fork. A dropped flush is noticed: so the test tests something.
 */
#include "tlb_model.h"

#include "layout.h"
#include "region.h"

#include <mm/huge.h>
#include <mm/memory.h>
#include <mm/tlb_stats.h>

#define WINDOWS 3u
#define WINDOW_PAGES 512u
#define PAGES (WINDOWS * WINDOW_PAGES)
#define START ((vaddr_t)0x20000000)
#define STEPS 250
#define HOT_PAGES 48u

static struct aspace *space, *child;
static _Atomic uint64_t states[PAGES]; /* generation << 2 | enum kind; CHANGING while it does */
static _Atomic uint64_t since[PAGES];  /* generation from which on contents count */
static _Atomic uint64_t epoch;         /* counts forks; writes carry it */
static uint64_t child_epoch;
static unsigned drop_at; /* the first flush of this step does nothing; 0: none */
static _Atomic uint32_t finished, paused, stale, accesses;
static _Atomic uint32_t busy[CPU_MAX]; /* odd: in the middle of an access */

static bool answer(struct trap *trap)
{
	return tlb_model_fault(space, trap);
}

static vaddr_t address(size_t page)
{
	return START + page * PAGE_SIZE;
}

/* What is written to a page: its number, the state it was in, and the epoch. */
static uint64_t value_of(size_t page, uint64_t generation, uint64_t at)
{
	return (page + 1) | generation << 12 | at << 40;
}

static size_t value_page(uint64_t value)
{
	return (value & 0xfff) - 1;
}

static uint64_t value_generation(uint64_t value)
{
	return value >> 12 & 0xfffffff;
}

static void use_page_now(size_t page, bool write)
{
	uint64_t before = atomic_load(&states[page]);
	uint64_t value = value_of(page, before >> 2, atomic_load(&epoch));
	void *user = (void *)(address(page) + 64);
	bool done =
		write ? hal.user.copy(user, &value, 8) == 0 : hal.user.copy(&value, user, 8) == 0;
	enum kind kind = (enum kind)(before & 3);

	if (atomic_load(&states[page]) != before || kind == CHANGING)
		return;
	atomic_fetch_add(&accesses, 1);
	if (kind == WRITABLE || (kind == READ_ONLY && !write))
		EXPECT(done);
	else if (done)
		atomic_fetch_add(&stale, 1);
	/* Else the frame is another's by now, or was this page's before. */
	if (done && !write && value &&
	    (value_page(value) != page || value_generation(value) < atomic_load(&since[page])))
		atomic_fetch_add(&stale, 1);
}

static void use_page(size_t page, bool write)
{
	atomic_fetch_add(&busy[cpu_id()], 1);
	use_page_now(page, write);
	atomic_fetch_add(&busy[cpu_id()], 1);
}

/* No access that began before is still under way: then contents from before must not be seen again. */
static void settle(void)
{
	for (cpu_t i = 1; i < cpu_count; i++) {
		uint32_t was = atomic_load(&busy[i]);
		while ((was & 1) && atomic_load(&busy[i]) == was)
			hal.cpu.relax();
	}
}

static void forget_contents(size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++)
		atomic_store(&since[i], atomic_load(&states[i]) >> 2);
}

/* Few, so that most are cached by most CPUs. */
static size_t some_page(struct test_random *random)
{
	return test_random_below(random, HOT_PAGES) * (PAGES / HOT_PAGES) + 5;
}

static void check_child(void)
{
	for (size_t page = 0; child && page < PAGES; page++) {
		uint64_t value;
		if (aspace_access(child, address(page) + 64, &value, 8, false) != 8 || !value)
			continue;
		if (value_page(value) != page || value >> 40 > child_epoch)
			atomic_fetch_add(&stale, 1);
	}
}

static void fork_space(void)
{
	check_child();
	if (child)
		aspace_put(child);
	child_epoch = atomic_load(&epoch);
	if (!EXPECT_OK(aspace_fork(space, &child)))
		child = nullptr;
	atomic_fetch_add(&epoch, 1);
}

static void set_states(size_t first, size_t count, uint64_t to)
{
	for (size_t i = first; i < first + count; i++)
		atomic_store(&states[i], to == CHANGING ? (atomic_load(&states[i]) | 3) + 4
							: (atomic_load(&states[i]) & ~3ull) | to);
}

/* Nothing but huge leaves, which all CPUs use; then they become read-only, whole. */
static void all_huge(struct test_random *random)
{
	vaddr_t va = START;

	set_states(0, PAGES, CHANGING);
	EXPECT_OK(aspace_map(space, &va, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_FIXED, nullptr, 0));
	set_states(0, PAGES, WRITABLE);
	for (unsigned i = 0; i < 100; i++) {
		use_page(some_page(random), true);
		hal.cpu.relax();
	}
	if (test_random_below(random, 2)) {
		fork_space();
		return;
	}
	set_states(0, PAGES, CHANGING);
	EXPECT_OK(aspace_protect(space, START, PAGES * PAGE_SIZE, PROT_READ));
	set_states(0, PAGES, READ_ONLY);
}

static void change(struct test_random *random)
{
	size_t most = test_random_below(random, 3) ? 40 : PAGES;
	size_t first = test_random_below(random, PAGES);
	size_t count = 1 + test_random_below(random, MIN(PAGES - first, most));
	if (test_random_below(random, 4) == 0) { /* whole windows */
		first -= first % WINDOW_PAGES;
		count = WINDOW_PAGES;
	}
	vaddr_t va = address(first);
	bool quiet = test_random_below(random, 4), purged;
	switch (test_random_below(random, 8)) {
	case 0:
		fork_space();
		return;
	case 1: {
		enum kerr err =
			aspace_advise(space, ALIGN_DOWN(va, HUGE_SIZE), HUGE_SIZE, 25, &purged);
		EXPECT(err == KERR_OK || err == KERR_INVAL || err == KERR_NOMEM);
		return;
	}
	case 2: {
		static uint8_t kinds[PAGES];
		for (size_t i = first; i < first + count; i++)
			kinds[i] = atomic_load(&states[i]) & 3;
		set_states(first, count, CHANGING);
		if (quiet)
			settle();
		enum kerr err = aspace_advise(space, va, count * PAGE_SIZE, 4, &purged);
		EXPECT(err == KERR_OK || err == KERR_NOMEM);
		if (quiet && err == KERR_OK)
			forget_contents(first, count);
		for (size_t i = first; i < first + count; i++)
			set_states(i, 1, kinds[i]);
		return;
	}
	case 3:
		set_states(first, count, CHANGING);
		EXPECT_OK(aspace_unmap(space, va, count * PAGE_SIZE));
		set_states(first, count, UNMAPPED);
		return;
	case 4:
		all_huge(random);
		return;
	default:
		break;
	}
	bool writable = test_random_below(random, 4);
	unsigned prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	set_states(first, count, CHANGING);
	if (quiet)
		settle();
	if (test_random_below(random, 3) == 0 ||
	    aspace_protect(space, va, count * PAGE_SIZE, prot) != KERR_OK) {
		EXPECT_OK(aspace_map(space, &va, count * PAGE_SIZE, prot,
				     MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_FIXED, nullptr, 0));
		if (quiet)
			forget_contents(first, count);
	}
	set_states(first, count, writable ? WRITABLE : READ_ONLY);
}

static void work(cpu_t cpu, void *arg)
{
	struct test_random random = {test_seed() * 64 + cpu};
	bool on = hal.cpu.irq_save();

	aspace_activate(space);
	hal.cpu.irq_restore(on);
	if (cpu == 0) {
		for (unsigned i = 1; i <= STEPS; i++) {
			if (i == drop_at) { /* no other CPU's flush is meant */
				atomic_store(&paused, 1);
				settle();
				host_drop_flush(1);
			}
			change(&random);
			host_drop_flush(0);
			atomic_store(&paused, 0);
			for (int k = 0; k < 8; k++)
				use_page(some_page(&random), k & 1);
		}
		check_child();
		atomic_store(&finished, 1);
	}
	while (!atomic_load(&finished)) {
		if (atomic_load(&paused)) {
			hal.cpu.relax();
			continue;
		}
		use_page(some_page(&random), test_random_below(&random, 2));
		hal.cpu.relax();
	}
}

static uint64_t run(const struct host_config *config, unsigned drop)
{
	vaddr_t va = START;
	struct huge_stats h;

	test_kernel(config);
	test_upcalls.page_fault = answer;
	uint64_t anonymous, tables;
	struct memory_stats m;
	memory_stats(&m);
	anonymous = m.anonymous;
	tables = m.page_tables;
	if (!EXPECT_OK(aspace_create(&space)))
		return 0;
	EXPECT_OK(aspace_map(space, &va, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_FIXED, nullptr, 0));
	drop_at = drop;
	test_on_all_cpus(work, nullptr);
	struct host_stale entry;
	uint64_t found = atomic_load(&stale);
	if (host_tlb_check(&entry))
		found++;
	huge_stats(&h);
	EXPECT(drop || (h.faults > 1 && h.splits > 3 && h.collapses > 1));
	EXPECT(atomic_load(&accesses) > STEPS);
	ktest_note("%u accesses counted, %lu stale, %lu flushes; %lu huge faults, %lu splits, %lu "
		   "collapses",
		   atomic_load(&accesses), (unsigned long)found, host_counters().flushes,
		   (unsigned long)h.faults, (unsigned long)h.splits, (unsigned long)h.collapses);
	if (drop)
		return found;
	/* The end of all: nothing is left, no table either (VM-5). */
	EXPECT_OK(aspace_unmap(space, START, PAGES * PAGE_SIZE));
	EXPECT_EQ(aspace_table_bytes(space), PAGE_SIZE);
	aspace_put(child);
	aspace_put(space);
	memory_stats(&m);
	huge_stats(&h);
	EXPECT_EQ(m.anonymous, anonymous);
	EXPECT_EQ(m.page_tables, tables);
	EXPECT_EQ(h.mapped, 0);
	return found;
}

TLB_MODEL_TESTS(huge, run, 5)

static uint64_t run_with_drop(uint64_t drop)
{
	return 1 + run(&(struct host_config){.cpus = 4,
					     .interleave = 5,
					     .asid_bits = 8,
					     .broadcast = true,
					     .split_root = true,
					     .seed = test_seed()},
		       (unsigned)drop);
}

TEST(huge_dropped_flush_is_noticed)
{
	unsigned noticed = 0;

	/* 1: nothing; more: something stale; 0: a CPU that faults at a stale entry for ever has died. */
	for (unsigned drop = 10; drop <= STEPS; drop += 10)
		noticed += test_in_child(run_with_drop, drop) != 1;
	ktest_note("%u of 25 dropped flushes noticed", noticed);
	EXPECT(noticed >= 2);
}
