/* Self-tests of memory from the outside: frames, heap and kernel areas on all CPUs at once. */
#include <ktest/cpus.h>
#include <ktest/ktest.h>
#include <mm/frame.h>
#include <mm/heap.h>
#include <mm/kmap.h>

static void use_heap(cpu_t cpu, void *arg)
{
	struct test_random random = {cpu};
	struct {
		uint8_t *p;
		size_t size;
	} blocks[48] = {};

	for (int step = 0; step < 2000; step++) {
		size_t i = test_random_below(&random, ARRAY_SIZE(blocks));
		if (blocks[i].p) {
			EXPECT_EQ(blocks[i].p[0], (uint8_t)(cpu + i));
			EXPECT_EQ(blocks[i].p[blocks[i].size - 1], (uint8_t)(cpu + i));
			heap_free(blocks[i].p);
			blocks[i].p = nullptr;
			continue;
		}
		blocks[i].size = 1 + test_random_below(&random, 3000);
		blocks[i].p = heap_alloc(blocks[i].size);
		if (EXPECT(blocks[i].p))
			memset(blocks[i].p, (int)(cpu + i), blocks[i].size);
	}
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		heap_free(blocks[i].p);
}

KERNEL_TEST(heap_on_all_cpus)
{
	ktest_on_all_cpus(use_heap, nullptr);
}

static void use_frames(cpu_t cpu, void *arg)
{
	struct test_random random = {cpu};
	struct frame *frames[32] = {};

	for (int step = 0; step < 1000; step++) {
		size_t i = test_random_below(&random, ARRAY_SIZE(frames));
		if (frames[i]) {
			EXPECT_EQ(*(uint64_t *)frame_data(frames[i]), cpu * 1000 + i);
			frame_free(frames[i], 0);
			frames[i] = nullptr;
			continue;
		}
		frames[i] = frame_alloc(0, FRAME_ZEROED);
		if (!EXPECT(frames[i]))
			continue;
		EXPECT_EQ(*(uint64_t *)frame_data(frames[i]), 0);
		EXPECT_EQ(frame_at(frame_address(frames[i])), frames[i]);
		*(uint64_t *)frame_data(frames[i]) = cpu * 1000 + i;
	}
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
		if (frames[i])
			frame_free(frames[i], 0);
}

KERNEL_TEST(frames_on_all_cpus)
{
	ktest_on_all_cpus(use_frames, nullptr);
}

static void use_kmap(cpu_t cpu, void *arg)
{
	for (size_t round = 1; round <= 20; round++) {
		size_t size = round * PAGE_SIZE;
		uint64_t *p = kmap_alloc(size);
		if (!EXPECT(p))
			return;
		for (size_t i = 0; i < size / 8; i += 64) {
			EXPECT_EQ(p[i], 0);
			p[i] = cpu;
		}
		for (size_t i = 0; i < size / 8; i += 64)
			EXPECT_EQ(p[i], cpu);
		kmap_free(p);
		char *stack = kstack_alloc();
		if (!EXPECT(stack))
			return;
		memset(stack, (int)cpu, KSTACK_SIZE);
		EXPECT(kstack_is_guard((vaddr_t)stack - 1));
		EXPECT(!kstack_is_guard((vaddr_t)stack));
		EXPECT_EQ(stack[KSTACK_SIZE - 1], (char)cpu);
		kstack_free(stack);
	}
}

KERNEL_TEST(kernel_areas_on_all_cpus)
{
	ktest_on_all_cpus(use_kmap, nullptr);
}
