/*
 * Threads: stacks and the change between them. The change itself is switch.S; around it the
 * sanitizers are told which stack is used now. A thread's stack is taken to be the 16 KiB below
 * stack_top; a thread that did not go through thread_init (CPU 0's first) runs on the host thread's.
 */
#define _GNU_SOURCE /* pthread_getattr_np */
#include "machine.h"

#include <lib/string.h>

#if defined(HOST_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(HOST_THREAD_SANITIZER)
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_GUESS 16384
#define THREAD_OWN_STACK 1u /* hal_thread.flags: went through thread_init */

struct host_thread_regs { /* as host_stack_switch leaves and takes them */
	uint64_t r15, r14, r13, r12, rbx, rbp, ip;
};

static thread_local struct host_cpu *self;

NOINLINE struct host_cpu *host_self(void)
{
	struct host_cpu *cpu = self;
	atomic_signal_fence(memory_order_seq_cst);
	return cpu;
}

NOINLINE void host_self_set(struct host_cpu *cpu)
{
	atomic_signal_fence(memory_order_seq_cst);
	self = cpu;
}

/* ThreadSanitizer keeps a call stack of its own for each fiber: no entry or exit to be noted in
 * the functions that change fibers. */
#define NOT_TRACED __attribute__((disable_sanitizer_instrumentation))

/* ---- Sanitizers ----------------------------------------------------------------------------- */

#if defined(HOST_ADDRESS_SANITIZER)
static thread_local struct {
	const void *bottom;
	size_t size;
} host_stack;

static void stack_announce(void **fake, const struct hal_thread *to)
{
	if (to && to->flags & THREAD_OWN_STACK)
		__sanitizer_start_switch_fiber(fake, (void *)(to->stack_top - STACK_GUESS),
					       STACK_GUESS);
	else
		__sanitizer_start_switch_fiber(fake, host_stack.bottom, host_stack.size);
}

static void stack_arrived(void *fake)
{
	__sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
}

void host_cpu_stacks_init(void)
{
	pthread_attr_t attr;
	void *bottom;

	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &bottom, &host_stack.size);
	host_stack.bottom = bottom;
	pthread_attr_destroy(&attr);
}

/* A former thread may have left its marks on the stack. */
static void stack_fresh(struct hal_thread *thread)
{
	__asan_unpoison_memory_region((void *)(thread->stack_top - STACK_GUESS), STACK_GUESS);
}
#elif defined(HOST_THREAD_SANITIZER)
/* A fiber for each stack, kept when the stack is used again. */
#define FIBERS 4096
static struct {
	uintptr_t stack_top;
	void *fiber;
} fibers[FIBERS];
static pthread_mutex_t fibers_lock = PTHREAD_MUTEX_INITIALIZER;
static thread_local void *host_fiber;

static void **fiber_of(uintptr_t stack_top)
{
	stack_top = ALIGN_UP(stack_top, PAGE_SIZE); /* exec moves it a little */
	size_t i = (stack_top >> 12) % FIBERS;

	pthread_mutex_lock(&fibers_lock);
	while (fibers[i].stack_top && fibers[i].stack_top != stack_top)
		i = (i + 1) % FIBERS;
	fibers[i].stack_top = stack_top;
	pthread_mutex_unlock(&fibers_lock);
	return &fibers[i].fiber;
}

NOT_TRACED static void stack_announce(void **fake, const struct hal_thread *to)
{
	*fake = nullptr;
	bool own = to && to->flags & THREAD_OWN_STACK;
	__tsan_switch_to_fiber(own ? *fiber_of(to->stack_top) : host_fiber, 0);
}

static void stack_arrived(void *fake)
{
}

void host_cpu_stacks_init(void)
{
	char text[16];

	host_fiber = __tsan_get_current_fiber();
	/* Starts the symbolizer while the stack is one that fork() copies: RAM is shared memory. */
	__sanitizer_symbolize_pc(__builtin_return_address(0), "%f", text, sizeof(text));
}

static void stack_fresh(struct hal_thread *thread)
{
	void **fiber = fiber_of(thread->stack_top);

	if (*fiber)
		__tsan_destroy_fiber(*fiber);
	*fiber = __tsan_create_fiber(0);
}
#else
static void stack_announce(void **fake, const struct hal_thread *to)
{
	*fake = nullptr;
}

static void stack_arrived(void *fake)
{
}

void host_cpu_stacks_init(void)
{
}

static void stack_fresh(struct hal_thread *thread)
{
}
#endif

/* ---- Switching ------------------------------------------------------------------------------ */

NOT_TRACED void *host_switch(uintptr_t *save, uintptr_t load, void *pass, struct hal_thread *to)
{
	void *fake = nullptr;

	stack_announce(&fake, to);
	pass = host_stack_switch(save, load, pass);
	stack_arrived(fake);
	return pass;
}

struct hal_thread *host_cpu_switch_to(struct hal_thread *prev, struct hal_thread *next)
{
	struct host_cpu *cpu = host_self();

	if (cpu->irq_on)
		host_die("hal.cpu.switch_to with interrupts on");
	cpu->current = next;
	cpu->counters.switches++;
	if (prev->fpu)
		((uint64_t *)prev->fpu)[HOST_FPU_KEYS] = cpu->keys;
	if (next->fpu)
		cpu->keys = ((uint64_t *)next->fpu)[HOST_FPU_KEYS];
	return host_switch(&prev->kernel_sp, next->kernel_sp, prev, next);
}

/* switch.S calls it on a new stack. */
[[noreturn]] void host_thread_main(struct hal_thread *prev,
				   void (*entry)(struct hal_thread *prev, void *arg), void *arg);

[[noreturn]] void host_thread_main(struct hal_thread *prev,
				   void (*entry)(struct hal_thread *prev, void *arg), void *arg)
{
	stack_arrived(nullptr);
	entry(prev, arg);
	host_die("a thread's entry function returned");
}

void host_cpu_thread_init(struct hal_thread *thread,
			  void (*entry)(struct hal_thread *prev, void *arg), void *arg)
{
	struct host_thread_regs *regs;

	if (thread->stack_top & 15)
		host_die("thread_init: stack_top %#lx is not 16-byte aligned", thread->stack_top);
	stack_fresh(thread);
	thread->flags |= THREAD_OWN_STACK;
	/* Below the user frame. After the seven pops the stack is aligned for the call. */
	regs = (struct host_thread_regs *)(thread->stack_top - sizeof(struct hal_frame)) - 1;
	*regs = (struct host_thread_regs){
		.rbx = (uintptr_t)entry,
		.r12 = (uintptr_t)arg,
		.ip = (uintptr_t)host_thread_start,
	};
	thread->kernel_sp = (uintptr_t)regs;
}

/* A frame of code that keeps frame pointers: the caller's fp, then the return address. */
long host_cpu_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4])
{
	return host_guarded_call(guard, fn, args);
}

void host_cpu_guarded_end(const uintptr_t *guard)
{
	host_guarded_end(guard);
}

__attribute__((no_sanitize("address"))) bool host_cpu_unwind(struct hal_unwind *u, vaddr_t low,
							     vaddr_t high)
{
	if (!u->fp || (u->fp & 7) || u->fp < low || high < 16 || u->fp > high - 16)
		return false;
	const vaddr_t *frame = (const vaddr_t *)u->fp;
	vaddr_t fp = frame[0], ip = frame[1];
	if (ip == 0 || (fp != 0 && fp <= u->fp))
		return false;
	*u = (struct hal_unwind){.ip = ip, .fp = fp};
	return true;
}

__attribute__((no_sanitize("address"))) struct hal_unwind host_cpu_saved(
	const struct hal_thread *thread)
{
	const struct host_thread_regs *regs =
		(const struct host_thread_regs *)READ_ONCE(thread->kernel_sp);
	return (struct hal_unwind){.ip = regs->ip, .fp = regs->rbp};
}
