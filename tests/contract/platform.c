/* Contract: what is left: names, lines, the wall clock, instruction memory. Power is not tested. */
#include <core/time.h>
#include <hal/hal.h>
#include <ktest/ktest.h>
#include <mm/frame.h>

KERNEL_TEST(platform_has_a_name)
{
	static const char *const names[] = {"x86_64", "aarch64", "riscv64", "host"};
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		known |= strcmp(hal.name, names[i]) == 0;
	EXPECT(known);
}

KERNEL_TEST(platform_wall_clock_is_plausible)
{
	nsec_t wall = time_wall();

	if (wall < 86400 * NSEC_PER_SEC) {
		ktest_skip("the machine has no real-time clock");
		return;
	}
	EXPECT(wall > 946684800 * NSEC_PER_SEC); /* 2000-01-01 */
	EXPECT(wall < 4102444800 * NSEC_PER_SEC); /* 2100-01-01 */
	nsec_t later = time_wall();
	EXPECT(later >= wall && later - wall < 10 * NSEC_PER_SEC);
}

KERNEL_TEST(irq_route_refuses_lines_that_do_not_exist)
{
	EXPECT_EQ(hal.irq.route(0x7fffffff, IRQ_LEVEL, 0), KERR_INVAL);
	EXPECT_EQ(hal.irq.route(100000, IRQ_EDGE, CPU_NONE), KERR_INVAL);
}

/* Running fresh code cannot be tested in portable C; that the call ends, over any range, can. */
KERNEL_TEST(mmu_code_sync_takes_any_range)
{
	struct frame *f = frame_alloc(0, FRAME_ZEROED);

	REQUIRE(f);
	vaddr_t va = (vaddr_t)frame_data(f);
	for (size_t size = 0; size <= PAGE_SIZE; size = size * 3 + 1)
		hal.mmu.code_sync(va + size % 64, MIN(size, PAGE_SIZE - 64));
	hal.mmu.code_sync(va, PAGE_SIZE);
	frame_free(f, 0);
}
