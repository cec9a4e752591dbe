/* The kernel boots on the host as far as core and mm go, and its memory works. */
#include "machine.h"

#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/kmap.h>
#include <mm/memory.h>

static void use_memory(cpu_t cpu, void *arg)
{
	void *blocks[64];

	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
			blocks[i] = heap_alloc(16 + i * 40);
			REQUIRE(blocks[i]);
			memset(blocks[i], (int)cpu, 16 + i * 40);
		}
		for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
			EXPECT_EQ(*(uint8_t *)blocks[i], cpu);
			heap_free(blocks[i]);
		}
	}
}

TEST(mm_boots)
{
	test_kernel(nullptr);
	struct frame_totals t = frame_totals();
	EXPECT(t.total > 15000 && t.free > 14000);
	struct frame *f = frame_alloc(0, FRAME_ZEROED);
	REQUIRE(f);
	EXPECT_EQ(*(uint64_t *)frame_data(f), 0);
	frame_free(f, 0);
	char *p = kmap_alloc(10 * PAGE_SIZE);
	REQUIRE(p);
	memset(p, 1, 10 * PAGE_SIZE);
	kmap_free(p);
	use_memory(0, nullptr);
}

/* A fault of the kernel on its own mapping is answered only if the mapping allows the access. */
TEST(mm_kernel_fault_checks_the_tables)
{
	test_kernel(nullptr);
	char *p = kmap_alloc(PAGE_SIZE);
	REQUIRE(p);
	struct trap t = {.kind = TRAP_PAGE_FAULT, .addr = (vaddr_t)p, .access = TRAP_WRITE};
	EXPECT(mm_kernel_fault(&t));
	t.access = TRAP_EXECUTE;
	EXPECT(!mm_kernel_fault(&t));
	t.access = TRAP_READ;
	t.kind = TRAP_PROTECTION;
	EXPECT(!mm_kernel_fault(&t));
	t.kind = TRAP_PAGE_FAULT;
	t.addr = (vaddr_t)p + PAGE_SIZE; /* its guard */
	EXPECT(!mm_kernel_fault(&t));
	t.addr = PAGE_SIZE;
	EXPECT(!mm_kernel_fault(&t));
	kmap_free(p);
	t.addr = (vaddr_t)p;
	EXPECT(!mm_kernel_fault(&t));
}

TEST(mm_on_four_cpus_simulated)
{
	test_kernel(&(struct host_config){.cpus = 4, .interleave = 7, .seed = test_seed()});
	test_on_all_cpus(use_memory, nullptr);
}

TEST(mm_on_four_cpus_threads)
{
	test_kernel(&(struct host_config){.cpus = 4, .mode = HOST_THREADS});
	test_on_all_cpus(use_memory, nullptr);
}

static struct task deep;

#pragma clang diagnostic ignored "-Winfinite-recursion"
static NOINLINE int recurse(volatile int *above)
{
	volatile int here[64] = {*above};
	return recurse(here) + here[1];
}

static void run_deep(struct hal_thread *prev, void *arg)
{
	volatile int start = 1;
	recurse(&start);
}

TEST_DIES(mm_kernel_stack_guard, "stack overflow")
{
	test_kernel(nullptr);
	char *stack = kstack_alloc();
	REQUIRE(stack);
	deep.hal.stack_top = (uintptr_t)stack + KSTACK_SIZE;
	hal.cpu.irq_save();
	hal.cpu.thread_init(&deep.hal, run_deep, nullptr);
	hal.cpu.switch_to(hal.cpu.current(), &deep.hal);
}
