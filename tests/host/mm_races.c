/*
 * What faults, forks, truncations and changes of regions on several CPUs must not do to each other, each with
 * the few operations that can: simulated CPUs, which change over where the seed says.
 */
#include "machine.h"

#include "region.h"

#include <core/rcu.h>
#include <mm/aspace.h>
#include <mm/memory.h>
#include <stdio.h>

#define BASE ((vaddr_t)0x10000000)

static struct aspace *_Atomic running[CPU_MAX];
static struct aspace *common;
static _Atomic uint32_t trouble;

static bool answer_fault(struct trap *trap)
{
	struct aspace *as = running[cpu_id()];
	if (!as || trap->addr >= aspace_user_end())
		return false;
	hal.cpu.irq_restore(true);
	enum fault_result result = aspace_fault(as, trap->addr, trap->access);
	hal.cpu.irq_save();
	return result == FAULT_CONTINUE;
}

static void run_in(struct aspace *as)
{
	bool on = hal.cpu.irq_save();
	running[cpu_id()] = as;
	aspace_activate(as);
	hal.cpu.irq_restore(on);
}

static vaddr_t page_address(unsigned page)
{
	return BASE + page * PAGE_SIZE;
}

/* Four CPUs, in `common`. */
static void begin(uint64_t seed)
{
	test_kernel(&(struct host_config){.cpus = 4,
					  .interleave = 2 + (unsigned)(seed % 8),
					  .asid_bits = seed % 2 ? 8 : 0,
					  .ram_dirty = true,
					  .seed = seed});
	test_upcalls.page_fault = answer_fault;
	EXPECT_OK(aspace_create(&common));
}

/* All went well, and nothing is left. */
static uint64_t end(void)
{
	struct memory_stats m;
	EXPECT_EQ(trouble, 0);
	aspace_put(common);
	for (int i = 0; i < 3; i++)
		rcu_synchronize();
	memory_stats(&m);
	EXPECT_EQ(m.anonymous, 0);
	EXPECT_EQ(m.cached, 0);
	EXPECT_EQ(m.committed, 0);
	EXPECT_EQ(pagetree_node_bytes(), 0);
	fflush(nullptr); /* the child ends without */
	return !test_failures();
}

/* A machine lives once in a process, so each seed gets one of its own. */
static void each_seed(uint64_t (*fn)(uint64_t seed), unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t seed = test_seed() + i;
		if (!EXPECT(test_in_child(fn, seed)))
			ktest_note("seed %lu", seed);
	}
}

/*
 * A file shrinks and grows again, while other CPUs split and join the regions that map it and touch its
 * pages: when it has shrunk, nothing of the rest can be reached; and in the end no page counts.
 */
#define SHRUNK 12u

static struct vm_object *shrunk;
static _Atomic bool shrunk_done;

static void shrink_and_look(struct test_random *random)
{
	uint8_t got;
	for (int n = 0; n < 120; n++) {
		unsigned left = n % 2 ? (unsigned)test_random_below(random, SHRUNK) : 0;
		vm_object_truncate(shrunk, left * PAGE_SIZE);
		for (unsigned p = left; p < SHRUNK; p++)
			trouble += hal.user.copy(&got, (void *)page_address(p), 1) == 0;
		vm_object_truncate(shrunk, SHRUNK * PAGE_SIZE);
		preempt_check();
	}
	shrunk_done = true;
}

static void split_or_touch(cpu_t cpu, void *arg)
{
	struct test_random random = {.state = host_config()->seed * 31 + cpu};
	run_in(common);
	if (cpu == 0)
		shrink_and_look(&random);
	while (!shrunk_done) {
		uint8_t value = (uint8_t)cpu;
		unsigned p = (unsigned)test_random_below(&random, SHRUNK);
		if (cpu == 1) {
			EXPECT_OK(aspace_protect(common, page_address(p), PAGE_SIZE, PROT_READ));
			EXPECT_OK(aspace_protect(common, page_address(p), PAGE_SIZE,
						 PROT_READ | PROT_WRITE));
		} else {
			(void)!hal.user.copy((void *)page_address(p), &value, 1);
		}
		preempt_check();
	}
	run_in(nullptr);
}

static uint64_t shrinks(uint64_t seed)
{
	vaddr_t at = BASE;
	begin(seed);
	EXPECT_OK(vm_object_create_anonymous(SHRUNK * PAGE_SIZE, &shrunk));
	EXPECT_OK(aspace_map(common, &at, SHRUNK * PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MMAP_SHARED | MMAP_FIXED, shrunk, 0));
	vm_object_put(shrunk);
	test_on_all_cpus(split_or_touch, nullptr);
	return end();
}

TEST(races_file_shrinks_while_regions_split)
{
	each_seed(shrinks, 12);
}

/*
 * Some CPUs read a page for the first time while others write to it: afterwards all see what was written,
 * though nobody writes again.
 */
static _Atomic unsigned met;

static void meet(unsigned *all)
{
	*all += host_config()->cpus;
	atomic_fetch_add(&met, 1);
	while (atomic_load(&met) < *all)
		hal.cpu.relax();
}

static void read_or_write(cpu_t cpu, void *arg)
{
	unsigned all = 0;
	run_in(common);
	for (unsigned n = 1; n < 200; n++) {
		vaddr_t at = BASE;
		uint8_t value = (uint8_t)n, got;
		if (cpu == 0)
			EXPECT_OK(aspace_map(common, &at, PAGE_SIZE, PROT_READ | PROT_WRITE,
					     MMAP_PRIVATE | MMAP_FIXED, nullptr, 0));
		meet(&all);
		trouble += hal.user.copy(cpu < 2 ? (void *)(BASE + cpu) : &got,
					 cpu < 2 ? &value : (void *)BASE, 1) != 0;
		meet(&all);
		for (unsigned i = 0; i < 2; i++)
			trouble += hal.user.copy(&got, (void *)(BASE + i), 1) != 0 || got != value;
		meet(&all);
		preempt_check();
	}
	run_in(nullptr);
}

static uint64_t first_touch(uint64_t seed)
{
	begin(seed);
	test_on_all_cpus(read_or_write, nullptr);
	return end();
}

TEST(races_page_read_and_written_at_once)
{
	each_seed(first_touch, 8);
}

/*
 * Two CPUs copy a page after a fork, the child keeps the frame and writes to it, and a fourth CPU reads: it never
 * sees what the child wrote.
 */
#define COPY_OLD 1
#define COPY_CHILD 2

static struct aspace *copy_child;

static void copy_or_look(cpu_t cpu, void *arg)
{
	unsigned all = 0;
	uint8_t value, got;
	for (unsigned n = 0; n < 200; n++) {
		run_in(common);
		if (cpu == 0) {
			value = COPY_OLD;
			trouble += hal.user.copy((void *)(BASE + 3), &value, 1) != 0;
			EXPECT_OK(aspace_fork(common, &copy_child));
		}
		meet(&all);
		trouble += hal.user.copy(&got, (void *)(BASE + 3), 1) != 0 || got != COPY_OLD;
		if (cpu == 3)
			run_in(copy_child);
		meet(&all);
		value = cpu == 3 ? COPY_CHILD : (uint8_t)n;
		for (unsigned i = 0; cpu == 2 && i < 8; i++)
			trouble +=
				hal.user.copy(&got, (void *)(BASE + 3), 1) != 0 || got != COPY_OLD;
		if (cpu != 2)
			trouble += hal.user.copy((void *)(BASE + cpu), &value, 1) != 0;
		run_in(nullptr);
		meet(&all);
		if (cpu == 0)
			aspace_put(copy_child);
		preempt_check();
	}
}

static uint64_t copies(uint64_t seed)
{
	vaddr_t at = BASE;
	begin(seed);
	EXPECT_OK(aspace_map(common, &at, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MMAP_PRIVATE | MMAP_FIXED, nullptr, 0));
	test_on_all_cpus(copy_or_look, nullptr);
	return end();
}

TEST(races_copied_by_two_after_a_fork)
{
	each_seed(copies, 32);
}
