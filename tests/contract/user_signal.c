/*
 * Contract: hal.user.signal_push and signal_pop: what was interrupted comes back, and nothing that a
 * program writes over the frame on its stack can hurt the kernel.
 */
#include "space.h"

#include <core/task.h>
#include <mm/heap.h>

#define PAGES 5 /* of user stack */
#define STACK_TOP (SPACE_VA + PAGES * PAGE_SIZE)
#define PC ((vaddr_t)0x400124)
#define SP (STACK_TOP - 512)
#define HANDLER ((vaddr_t)0x401000)

static struct setting {
	struct space space;
	struct hal_frame *frame, *spare;
	void *fpu, *fpu_before;
	paddr_t pages[PAGES];
} setting;

/* A user stack, a frame, and an FPU area for the thread that runs (a kernel thread has none). */
static bool setting_begin(void)
{
	const struct hal_user_info *info = hal.user.info();
	struct setting *t = &setting;

	t->frame = heap_alloc_aligned(info->frame_size, 16);
	t->spare = heap_alloc_aligned(info->frame_size, 16);
	t->fpu = heap_alloc_aligned(info->fpu_size, 64);
	if (!EXPECT(t->frame && t->spare && t->fpu))
		return false;
	memset(t->fpu, 0, info->fpu_size);
	space_begin(&t->space, 0);
	for (size_t i = 0; i < PAGES; i++) {
		t->pages[i] = space_frame(&t->space);
		space_map(&t->space, SPACE_VA + i * PAGE_SIZE, t->pages[i], MAP_USER_WRITE);
	}
	t->fpu_before = current_task()->hal.fpu;
	current_task()->hal.fpu = t->fpu;
	hal.user.frame_init(t->frame, PC, SP);
	hal.user.syscall_result(t->frame, 0x5150);
	return true;
}

static void setting_end(void)
{
	struct setting *t = &setting;

	current_task()->hal.fpu = t->fpu_before;
	space_end(&t->space);
	heap_free(t->frame);
	heap_free(t->spare);
	heap_free(t->fpu);
}

static struct hal_signal signal_make(void)
{
	struct hal_signal s = {
		.signo = 10,
		.siginfo = true,
		.handler = HANDLER,
		.restorer = 0x402000,
		.mask = 0x8001000200040001,
		.alt_base = 0x30000000,
		.alt_size = 8192,
		.alt_flags = 2,
		.fault_addr = 0x12345,
	};

	for (size_t i = 0; i < sizeof(s.info); i++)
		s.info[i] = (uint8_t)(i + 1);
	return s;
}

/* The handler returns: what a restorer does before rt_sigreturn, by architecture, is a pop of the
 * return address or nothing. x86_64 is the one that pops. */
static void handler_returns(struct hal_frame *frame)
{
	if (hal.user.info()->abi != HAL_ABI_X86_64)
		return;
	memcpy(setting.spare, frame, hal.user.info()->frame_size);
	hal.user.frame_fork(frame, setting.spare, hal.user.regs(frame).sp + 8);
}

KERNEL_TEST(user_signal_round_trip)
{
	static char before[2048], after[2048];
	struct hal_signal s = signal_make(), out;

	if (!setting_begin())
		return;
	struct hal_frame *f = setting.frame;
	hal.user.dump(f, before, sizeof(before));
	if (EXPECT_OK(hal.user.signal_push(f, &s))) {
		struct hal_user_regs r = hal.user.regs(f);
		EXPECT_EQ(r.pc, HANDLER);
		EXPECT(r.sp < SP && r.sp >= SPACE_VA);
		EXPECT(SP - r.sp <= hal.user.info()->min_signal_stack * 8);
		handler_returns(f);
		EXPECT_OK(hal.user.signal_pop(f, &out));
		EXPECT_EQ(out.mask, s.mask);
		EXPECT_EQ(out.alt_base, s.alt_base);
		EXPECT_EQ(out.alt_size, s.alt_size);
		EXPECT_EQ(out.alt_flags, s.alt_flags);
		hal.user.dump(f, after, sizeof(after));
		EXPECT_STR(after, before);
	}
	setting_end();
}

/* Every alignment of the interrupted stack gives an aligned handler, below the red zone. */
KERNEL_TEST(user_signal_aligns_the_stack)
{
	struct hal_signal s = signal_make();

	if (!setting_begin())
		return;
	for (vaddr_t sp = SP; sp > SP - 20; sp--) {
		hal.user.frame_init(setting.frame, PC, sp);
		if (!EXPECT_OK(hal.user.signal_push(setting.frame, &s)))
			break;
		/* At a function's first instruction; x86_64 has its return address pushed. */
		vaddr_t got = hal.user.regs(setting.frame).sp;
		EXPECT_EQ(got % 16, hal.user.info()->abi == HAL_ABI_X86_64 ? 8 : 0);
		EXPECT(got < sp);
	}
	setting_end();
}

KERNEL_TEST(user_signal_on_an_alternate_stack)
{
	struct hal_signal s = signal_make();

	if (!setting_begin())
		return;
	s.stack_top = SPACE_VA + 2 * PAGE_SIZE;
	hal.user.frame_init(setting.frame, PC, SP);
	EXPECT_OK(hal.user.signal_push(setting.frame, &s));
	vaddr_t sp = hal.user.regs(setting.frame).sp;
	EXPECT(sp < s.stack_top && sp >= SPACE_VA);
	setting_end();
}

KERNEL_TEST(user_signal_without_a_stack)
{
	static char before[2048], after[2048];
	struct hal_signal s = signal_make(), out;
	static const vaddr_t wrong[] = {0,
					8,
					128,
					SPACE_VA,
					SPACE_VA + 64,
					STACK_TOP + PAGE_SIZE,
					0x7fffffff0000,
					~(vaddr_t)0,
					~(vaddr_t)0 - 8191,
					(vaddr_t)1 << 63};

	if (!setting_begin())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		hal.user.frame_init(setting.frame, PC, wrong[i]);
		hal.user.dump(setting.frame, before, sizeof(before));
		EXPECT_EQ(hal.user.signal_push(setting.frame, &s), KERR_FAULT);
		hal.user.dump(setting.frame, after, sizeof(after));
		EXPECT_STR(after, before); /* nothing has changed */
		if (wrong[i] < SPACE_VA || wrong[i] >= STACK_TOP)
			EXPECT_EQ(hal.user.signal_pop(setting.frame, &out), KERR_FAULT);
	}
	setting_end();
}

static void stack_write(vaddr_t va, uint64_t value)
{
	size_t page = (va - SPACE_VA) / PAGE_SIZE;

	*(uint64_t *)((char *)space_data(setting.pages[page]) + va % PAGE_SIZE) = value;
}

static uint64_t hostile_word(struct test_random *random)
{
	static const uint64_t words[] = {0,
					 1,
					 ~0ull,
					 1ull << 63,
					 0x800000000000,
					 0xffff800000000000,
					 0xffffffff80000000,
					 0x3,
					 0x202,
					 0xffffffff};

	if (test_random_below(random, 2))
		return test_random(random);
	return words[test_random_below(random, ARRAY_SIZE(words))];
}

/* Words of the frame are overwritten; each pop gives an answer and a frame of user mode. */
KERNEL_TEST(user_signal_hostile_frame)
{
	struct test_random random = {4711};
	struct hal_signal s = signal_make(), out;
	unsigned accepted = 0, refused = 0;

	if (!setting_begin())
		return;
	for (int round = 0; round < 400; round++) {
		hal.user.frame_init(setting.frame, PC, SP);
		if (!EXPECT_OK(hal.user.signal_push(setting.frame, &s)))
			break;
		handler_returns(setting.frame);
		vaddr_t sp = ALIGN_DOWN(hal.user.regs(setting.frame).sp, (vaddr_t)8);
		uint64_t words = (SP - sp) / 8;
		for (uint64_t n = 1 + test_random_below(&random, round % 4 ? 4 : 200); n; n--)
			stack_write(sp + 8 * test_random_below(&random, words),
				    hostile_word(&random));
		enum kerr err = hal.user.signal_pop(setting.frame, &out);
		EXPECT(err == KERR_OK || err == KERR_FAULT);
		accepted += err == KERR_OK;
		refused += err != KERR_OK;
		/* What was accepted can be loaded and saved again. */
		bool on = hal.cpu.irq_save();
		hal.cpu.fpu_enable(true);
		hal.cpu.fpu_load(&current_task()->hal);
		hal.cpu.fpu_save(&current_task()->hal);
		hal.cpu.fpu_enable(false);
		hal.cpu.irq_restore(on);
	}
	EXPECT(accepted > 0);
	ktest_note("%u hostile frames accepted with user's rights, %u refused", accepted, refused);
	setting_end();
}
