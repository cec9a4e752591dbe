/* Contract: hal.cpu: current, interrupts, contexts, FPU areas, entropy, the walk up the stack. */
#include <core/cpu.h>
#include <ktest/cpus.h>
#include <ktest/ktest.h>
#include <mm/heap.h>
#include <mm/kmap.h>

/* ---- Interrupt state, current ----------------------------------------------------------------- */

KERNEL_TEST(cpu_interrupts_nest)
{
	EXPECT(hal.cpu.irq_enabled());
	bool outer = hal.cpu.irq_save();
	EXPECT(outer);
	EXPECT(!hal.cpu.irq_enabled());
	bool inner = hal.cpu.irq_save();
	EXPECT(!inner);
	hal.cpu.irq_restore(inner);
	EXPECT(!hal.cpu.irq_enabled());
	hal.cpu.irq_restore(outer);
	EXPECT(hal.cpu.irq_enabled());
}

static struct hal_thread *seen_current[CPU_MAX];
static cpu_t seen_cpu[CPU_MAX];

static void note_current(cpu_t cpu, void *arg)
{
	seen_current[cpu] = hal.cpu.current();
	seen_cpu[cpu] = hal.cpu.current()->cpu;
	EXPECT_EQ(hal.cpu.current(), seen_current[cpu]);
}

KERNEL_TEST(cpu_current_is_each_cpus_own)
{
	memset(seen_current, 0, sizeof(seen_current));
	ktest_on_all_cpus(note_current, nullptr);
	for (cpu_t a = 0; a < CPU_MAX; a++) {
		if (!(cpu_online() & cpu_bit(a)))
			continue;
		EXPECT(seen_current[a]);
		EXPECT_EQ(seen_cpu[a], a);
		for (cpu_t b = 0; b < a; b++)
			EXPECT(seen_current[a] != seen_current[b]);
	}
}

/* ---- Contexts --------------------------------------------------------------------------------- */

#define SWITCHES 1000

/* Two contexts that hand the CPU to each other; interrupts off throughout. */
static struct pair {
	struct task *main, *other;
	uint64_t main_sum, other_sum;
	struct hal_thread *first_prev;
	void *first_arg;
	unsigned turns;
	bool other_irq;
} pair;

/* Many values that live across the switch: more than there are callee-saved registers. */
static NOINLINE uint64_t keep_values(struct task *self, struct task *to, uint64_t seed)
{
	uint64_t a = seed * 3, b = seed ^ 0x1111, c = seed + 77, d = ~seed, e = seed << 7,
		 f = seed * seed, g = seed - 5, h = seed | 0x8000, i = seed * 31, j = seed ^ f,
		 k = seed % 1009, l = seed + e, m = seed >> 3, n = seed * 17;
	struct hal_thread *prev = hal.cpu.switch_to(&self->hal, &to->hal);

	if (prev != &to->hal || hal.cpu.current() != &self->hal)
		return 0;
	if (a != seed * 3 || b != (seed ^ 0x1111) || c != seed + 77 || d != ~seed ||
	    e != seed << 7 || g != seed - 5 || h != (seed | 0x8000) || i != seed * 31 ||
	    j != (seed ^ f) || k != seed % 1009 || l != seed + e || m != seed >> 3 ||
	    n != seed * 17 || f != seed * seed)
		return 0;
	return 1;
}

static void other_context(struct hal_thread *prev, void *arg)
{
	pair.first_prev = prev;
	pair.first_arg = arg;
	pair.other_irq = hal.cpu.irq_enabled();
	for (uint64_t n = 0;; n++)
		pair.other_sum += keep_values(pair.other, pair.main, n * 0x9e3779b97f4a7c15);
}

KERNEL_TEST(cpu_switches_between_contexts)
{
	char *stack = kstack_alloc();
	struct task *other = heap_alloc_zeroed(sizeof(*other));
	int word;

	REQUIRE(stack && other);
	preempt_disable();
	bool on = hal.cpu.irq_save();
	pair = (struct pair){.main = current_task(), .other = other};
	other->hal.stack_top = (uintptr_t)stack + KSTACK_SIZE;
	other->hal.cpu = cpu_id();
	other->preempt_count = 1;
	hal.cpu.thread_init(&other->hal, other_context, &word);
	for (uint64_t n = 0; n < SWITCHES; n++)
		pair.main_sum += keep_values(pair.main, other, n * 0xd1342543de82ef95);
	EXPECT_EQ(hal.cpu.current(), &pair.main->hal);
	EXPECT(!hal.cpu.irq_enabled());
	hal.cpu.irq_restore(on);
	preempt_enable();
	EXPECT_EQ(pair.main_sum, SWITCHES);
	EXPECT_EQ(pair.other_sum, SWITCHES - 1);
	EXPECT_EQ(pair.first_prev, &pair.main->hal);
	EXPECT_EQ(pair.first_arg, &word);
	EXPECT(!pair.other_irq);
	kstack_free(stack);
	heap_free(other);
}

/* A new context starts above nothing: its stack is 16-byte aligned for the ABI and inside. */
static uintptr_t entry_frame;

static void entry_context(struct hal_thread *prev, void *arg)
{
	entry_frame = (uintptr_t)__builtin_frame_address(0);
	for (;;)
		hal.cpu.switch_to(hal.cpu.current(), prev);
}

KERNEL_TEST(cpu_new_context_leaves_room_for_the_user_frame)
{
	char *stack = kstack_alloc();
	struct task *other = heap_alloc_zeroed(sizeof(*other));
	size_t frame_size = hal.user.info()->frame_size;

	REQUIRE(stack && other);
	uint8_t *frame = (uint8_t *)stack + KSTACK_SIZE - frame_size;
	memset(frame, 0x77, frame_size);
	preempt_disable();
	bool on = hal.cpu.irq_save();
	other->hal.stack_top = (uintptr_t)stack + KSTACK_SIZE;
	other->hal.cpu = cpu_id();
	other->preempt_count = 1;
	hal.cpu.thread_init(&other->hal, entry_context, nullptr);
	hal.cpu.switch_to(hal.cpu.current(), &other->hal);
	hal.cpu.irq_restore(on);
	preempt_enable();
	for (size_t i = 0; i < frame_size; i++)
		if (!EXPECT_EQ(frame[i], 0x77))
			break;
	EXPECT(entry_frame > (uintptr_t)stack && entry_frame <= (uintptr_t)frame);
	kstack_free(stack);
	heap_free(other);
}

/* ---- FPU areas -------------------------------------------------------------------------------- */

KERNEL_TEST(cpu_fpu_state_comes_back)
{
	size_t size = hal.user.info()->fpu_size;
	struct hal_thread a = {}, b = {};

	EXPECT(size > 0 && size % 8 == 0);
	a.fpu = heap_alloc_aligned(size, 64);
	b.fpu = heap_alloc_aligned(size, 64);
	REQUIRE(a.fpu && b.fpu);
	memset(a.fpu, 0, size);
	memset(b.fpu, 0, size);
	bool on = hal.cpu.irq_save();
	/* A new program's state, saved, loaded and saved again is the same. */
	hal.cpu.fpu_enable(true);
	hal.cpu.fpu_load(&a);
	hal.cpu.fpu_save(&a);
	hal.cpu.fpu_load(&a);
	hal.cpu.fpu_load(&b);
	/* The registers stay what they are while the unit is off. */
	hal.cpu.fpu_enable(false);
	hal.cpu.fpu_enable(true);
	hal.cpu.fpu_save(&b);
	hal.cpu.fpu_enable(false);
	hal.cpu.irq_restore(on);
	EXPECT_MEM(a.fpu, b.fpu, size);
	EXPECT(a.fpu_loads == b.fpu_loads + 1 && a.fpu_saves >= b.fpu_saves);
	/* A copy is the same, in an area of its own. */
	memset(b.fpu, 0x5a, size);
	on = hal.cpu.irq_save();
	hal.cpu.fpu_copy(&b, &a);
	hal.cpu.irq_restore(on);
	EXPECT(memcmp(a.fpu, b.fpu, 256) == 0);
	heap_free(a.fpu);
	heap_free(b.fpu);
}

/* ---- Unwinding -------------------------------------------------------------------------------- */

static struct {
	vaddr_t fp[3], returns[3];
	unsigned found;
} chain;

static NOINLINE int innermost(volatile int *keep)
{
	struct hal_unwind u = {(vaddr_t)(uintptr_t)innermost, (vaddr_t)__builtin_frame_address(0)};
	vaddr_t low = u.fp, high = u.fp + 8192;

	chain.fp[0] = u.fp;
	chain.returns[0] = (vaddr_t)__builtin_extract_return_addr(__builtin_return_address(0));
	chain.found = 0;
	for (unsigned i = 0; i < 3 && hal.cpu.unwind(&u, low, high); i++) {
		if (u.ip != chain.returns[i])
			break;
		chain.found++;
		if (i < 2 && u.fp != chain.fp[i + 1])
			break;
		low = u.fp;
	}
	return *keep;
}

static NOINLINE int middle(volatile int *keep)
{
	chain.fp[1] = (vaddr_t)__builtin_frame_address(0);
	chain.returns[1] = (vaddr_t)__builtin_extract_return_addr(__builtin_return_address(0));
	return innermost(keep) + *keep;
}

static NOINLINE int outermost(volatile int *keep)
{
	chain.fp[2] = (vaddr_t)__builtin_frame_address(0);
	chain.returns[2] = (vaddr_t)__builtin_extract_return_addr(__builtin_return_address(0));
	return middle(keep) + *keep;
}

KERNEL_TEST(cpu_unwinds_three_frames)
{
	volatile int keep = 0;

	outermost(&keep);
	EXPECT_EQ(chain.found, 3);
}

KERNEL_TEST(cpu_unwind_survives_nonsense)
{
	vaddr_t here = (vaddr_t)__builtin_frame_address(0);
	struct hal_unwind u;
	const vaddr_t wrong[] = {
		0, 8, 1, here + 1, here - 8, here + 65536, ~(vaddr_t)0, ~(vaddr_t)0 - 15, 0x1000};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		u = (struct hal_unwind){here, wrong[i]};
		EXPECT(!hal.cpu.unwind(&u, here, here + 4096));
	}
	/* Outside the bounds; and 0, which is what the outermost frame leaves, whatever they are. */
	u = (struct hal_unwind){here, here};
	EXPECT(!hal.cpu.unwind(&u, here + 4096, here + 8192));
	u = (struct hal_unwind){here, 0};
	EXPECT(!hal.cpu.unwind(&u, 0, here + 4096));
}

/* ---- The rest --------------------------------------------------------------------------------- */

KERNEL_TEST(cpu_entropy_does_not_repeat)
{
	uint64_t values[16], first;
	unsigned ones = 0;

	if (!hal.cpu.entropy(&first)) {
		ktest_skip("no hardware source");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		int tries = 0;
		while (!hal.cpu.entropy(&values[i]) && ++tries < 1000)
			hal.cpu.relax();
		REQUIRE(tries < 1000);
		for (size_t k = 0; k < i; k++)
			EXPECT(values[i] != values[k]);
		ones += (unsigned)__builtin_popcountll(values[i]);
	}
	EXPECT(ones > 512 - 160 && ones < 512 + 160); /* ten standard deviations of 1024 bits */
}

KERNEL_TEST(cpu_describes_itself)
{
	char text[2048];

	for (cpu_t cpu = 0; cpu < cpu_count; cpu++) {
		size_t n = hal.cpu.describe(cpu, text, sizeof(text));
		REQUIRE(n > 0 && n < sizeof(text));
		EXPECT_EQ(strlen(text), n);
		EXPECT(strchr(text, ':'));
		EXPECT_EQ(text[n - 1], '\n');
		/* Cut short, it says what it would need. */
		EXPECT_EQ(hal.cpu.describe(cpu, text, 10), n);
		EXPECT_EQ(strlen(text), 9);
	}
}

/* ---- Guarded calls ----------------------------------------------------------------------------- */

static uintptr_t guard, inner_guard;
static unsigned deepest;

static long add_up(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d)
{
	return (long)(a + 10 * b + 100 * c + 1000 * d);
}

static NOINLINE void sink(unsigned depth, const uintptr_t *end)
{
	volatile uint64_t filling[16];

	for (unsigned i = 0; i < ARRAY_SIZE(filling); i++)
		filling[i] = ~0ull;
	deepest = depth;
	if (depth == 0)
		hal.cpu.guarded_end(end);
	sink(depth - 1, end);
	deepest = (unsigned)filling[depth % ARRAY_SIZE(filling)];
}

static long ended(uintptr_t depth, uintptr_t end, uintptr_t c, uintptr_t d)
{
	sink((unsigned)depth, (const uintptr_t *)end);
	return 77;
}

static long nested(uintptr_t end, uintptr_t b, uintptr_t c, uintptr_t d)
{
	const uintptr_t args[4] = {5, end, 0, 0};
	return hal.cpu.guarded_call(&inner_guard, (void (*)(void))ended, args) + 40;
}

KERNEL_TEST(cpu_guarded_calls_end)
{
	const uintptr_t plain[4] = {1, 2, 3, 4};
	uint64_t a = hal.timer.now(), b = a * 3, c = a ^ b, d = c + 7, e = d * 5;

	EXPECT_EQ(hal.cpu.guarded_call(&guard, (void (*)(void))add_up, plain), 4321);
	for (uintptr_t depth = 0; depth < 20; depth++) {
		const uintptr_t args[4] = {depth, (uintptr_t)&guard, 0, 0};
		bool on = depth % 2 && hal.cpu.irq_save();
		deepest = 99;
		EXPECT_EQ(hal.cpu.guarded_call(&guard, (void (*)(void))ended, args), 0);
		EXPECT_EQ(deepest, 0);
		EXPECT_EQ(hal.cpu.irq_enabled(), depth % 2 == 0);
		hal.cpu.irq_restore(on);
	}
	/* Only the one that was named. */
	const uintptr_t inner[4] = {(uintptr_t)&inner_guard}, outer[4] = {(uintptr_t)&guard};
	EXPECT_EQ(hal.cpu.guarded_call(&guard, (void (*)(void))nested, inner), 40);
	EXPECT_EQ(hal.cpu.guarded_call(&guard, (void (*)(void))nested, outer), 0);
	/* What the caller had in registers is there still. */
	EXPECT_EQ(b, a * 3);
	EXPECT_EQ(c, a ^ b);
	EXPECT_EQ(d, c + 7);
	EXPECT_EQ(e, d * 5);
}
