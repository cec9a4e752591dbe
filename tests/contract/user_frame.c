/* Contract: frames of user registers: made, copied, read, results and restarts of system calls. */
#include <hal/hal.h>
#include <ktest/ktest.h>
#include <mm/heap.h>

static struct hal_frame *frame_alloc_test(void)
{
	size_t size = hal.user.info()->frame_size;
	void *p = heap_alloc_aligned(size, 16);

	EXPECT(p);
	if (p)
		memset(p, 0xee, size);
	return p;
}

KERNEL_TEST(user_info_is_sound)
{
	const struct hal_user_info *info = hal.user.info();

	EXPECT_EQ(hal.user.info(), info);
	EXPECT(info->machine && info->machine[0]);
	EXPECT(info->abi == HAL_ABI_X86_64 || info->abi == HAL_ABI_GENERIC);
	EXPECT(info->elf_machine != 0);
	EXPECT(info->frame_size > 0 && info->frame_size % 16 == 0 && info->frame_size < 2048);
	EXPECT(info->fpu_size > 0 && info->fpu_size <= 16384);
	EXPECT(info->trampoline && info->trampoline_size > 0 && info->trampoline_size < 256);
	EXPECT(info->min_signal_stack >= 1024 && info->min_signal_stack <= 65536);
}

KERNEL_TEST(user_frame_of_a_new_program)
{
	struct hal_frame *f = frame_alloc_test();

	REQUIRE(f);
	hal.user.frame_init(f, 0x401000, 0x7ff0);
	struct hal_user_regs r = hal.user.regs(f);
	EXPECT_EQ(r.pc, 0x401000);
	EXPECT_EQ(r.sp, 0x7ff0);
	EXPECT_EQ(r.fp, 0);
	struct hal_syscall call = hal.user.syscall(f);
	for (int i = 0; i < 6; i++)
		EXPECT_EQ(call.args[i], 0);
	heap_free(f);
}

KERNEL_TEST(user_frame_fork)
{
	struct hal_frame *parent = frame_alloc_test(), *child = frame_alloc_test();
	char before[2048], after[2048];

	REQUIRE(parent && child);
	hal.user.frame_init(parent, 0x401000, 0x7ff0);
	hal.user.syscall_result(parent, 1234);
	size_t n = hal.user.dump(parent, before, sizeof(before));
	EXPECT(n > 20 && n < sizeof(before));
	hal.user.frame_fork(child, parent, 0);
	EXPECT_EQ(hal.user.regs(child).pc, 0x401000);
	EXPECT_EQ(hal.user.regs(child).sp, 0x7ff0);
	hal.user.frame_fork(child, parent, 0x5550);
	EXPECT_EQ(hal.user.regs(child).pc, 0x401000);
	EXPECT_EQ(hal.user.regs(child).sp, 0x5550);
	/* The parent has not changed; the child's result is 0, all else is the parent's. */
	hal.user.dump(parent, after, sizeof(after));
	EXPECT_STR(after, before);
	hal.user.frame_fork(child, parent, 0);
	hal.user.syscall_result(parent, 0);
	hal.user.dump(parent, before, sizeof(before));
	hal.user.dump(child, after, sizeof(after));
	EXPECT_STR(after, before);
	heap_free(parent);
	heap_free(child);
}

KERNEL_TEST(user_frame_result_shows)
{
	struct hal_frame *f = frame_alloc_test();
	char zero[2048], other[2048];

	REQUIRE(f);
	hal.user.frame_init(f, 0x401000, 0x7ff0);
	hal.user.syscall_result(f, 0);
	hal.user.dump(f, zero, sizeof(zero));
	hal.user.syscall_result(f, 0x1234567890);
	hal.user.dump(f, other, sizeof(other));
	EXPECT(strcmp(zero, other) != 0);
	EXPECT(strstr(other, "1234567890"));
	hal.user.syscall_result(f, 0);
	hal.user.dump(f, other, sizeof(other));
	EXPECT_STR(other, zero);
	heap_free(f);
}

/* The instruction is done again: pc goes back by one instruction, with the number if given. */
KERNEL_TEST(user_frame_restart)
{
	struct hal_frame *f = frame_alloc_test();

	REQUIRE(f);
	hal.user.frame_init(f, 0x401000, 0x7ff0);
	hal.user.syscall_restart(f, 219);
	vaddr_t pc = hal.user.regs(f).pc;
	EXPECT(pc < 0x401000 && 0x401000 - pc <= 8);
	EXPECT_EQ(hal.user.regs(f).sp, 0x7ff0);
	heap_free(f);
}

KERNEL_TEST(user_dump_is_cut_at_the_size)
{
	struct hal_frame *f = frame_alloc_test();
	char text[2048];

	REQUIRE(f);
	hal.user.frame_init(f, 0x401000, 0x7ff0);
	size_t n = hal.user.dump(f, text, sizeof(text));
	REQUIRE(n < sizeof(text));
	EXPECT_EQ(strlen(text), n);
	memset(text, '!', sizeof(text));
	EXPECT_EQ(hal.user.dump(f, text, 40), n);
	EXPECT_EQ(strnlen(text, sizeof(text)), 39);
	EXPECT_EQ(text[40], '!');
	heap_free(f);
}
