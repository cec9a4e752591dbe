/*
 * The kernel half as real mappings of this process, so that kernel code can use pointers into it.
 * At first nothing of it can be touched. An access faults (SIGSEGV); the handler walks the tables
 * that the CPU uses now, and if they allow the access, maps the frames there. hal.mmu.flush takes
 * them away again. So these mappings behave like one TLB for all CPUs: stale until flushed. The
 * direct map of RAM is always there (boot/ would have mapped it too).
 *
 * A fault that the tables do not explain becomes a struct trap for core_trap(), if it lies in the
 * kernel half or below 64 KiB (a null pointer); others go to the handler that was there before, the
 * sanitizer's. The handler runs on a signal stack: the fault may be of the kernel stack's own page.
 */
#define _GNU_SOURCE /* REG_RIP */
#include "machine.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGES ((HOST_KERNEL_END - HOST_KERNEL_START) / PAGE_SIZE)
#define AROUND 64 /* pages that one fault maps at most */
#define SIGNAL_STACK 65536
#define NULL_END 0x10000

static _Atomic uint64_t *mapped; /* a bit per page of the kernel half; (atomic) */
/* Changes of the mappings. Recursive: mirror_forget may take away the stack that it runs on. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static struct sigaction before;

static bool is_mapped(vaddr_t va)
{
	uint64_t page = (va - HOST_KERNEL_START) / PAGE_SIZE;

	return atomic_load(&mapped[page / 64]) >> (page % 64) & 1;
}

static void set_mapped(vaddr_t va, bool value)
{
	uint64_t page = (va - HOST_KERNEL_START) / PAGE_SIZE, bit = 1ull << (page % 64);

	if (value)
		atomic_fetch_or(&mapped[page / 64], bit);
	else
		atomic_fetch_and(&mapped[page / 64], ~bit);
}

static bool in_direct_map(vaddr_t va)
{
	return va >= host.direct_map && va < host.direct_map + host.span;
}

/* Where `va` leads by the tables. */
static bool look_up(struct host_cpu *cpu, vaddr_t va, paddr_t *pa, bool *writable)
{
	unsigned level;
	paddr_t slot;

	if (!cpu->root)
		return false;
	uint64_t raw = host_mmu_walk(host_mmu_root(cpu, va), va, &level, &slot);
	if (!(raw & PTE_VALID) || (host.config.software_access && !(raw & PTE_ACCESSED)))
		return false;
	*pa = (raw & PTE_ADDRESS) + (va & (((vaddr_t)PAGE_SIZE << 9 * level) - 1));
	*writable = (raw & PTE_WRITE) && (!host.config.software_access || (raw & PTE_DIRTY));
	return *pa < host.span;
}

/* Maps the page of `va` and those behind it that continue it; false: the tables do not allow it. */
static bool fill(struct host_cpu *cpu, vaddr_t va, bool write)
{
	paddr_t first, pa;
	bool writable, w;
	size_t pages = 1;

	va = ALIGN_DOWN(va, PAGE_SIZE);
	if (!look_up(cpu, va, &first, &writable) || (write && !writable))
		return false;
	while (pages < AROUND && va + pages * PAGE_SIZE < HOST_KERNEL_END &&
	       !is_mapped(va + pages * PAGE_SIZE) &&
	       look_up(cpu, va + pages * PAGE_SIZE, &pa, &w) && pa == first + pages * PAGE_SIZE &&
	       w == writable)
		pages++;
	if (mmap((void *)va, pages * PAGE_SIZE, PROT_READ | (writable ? PROT_WRITE : 0),
		 MAP_SHARED | MAP_FIXED, host.memfd, (off_t)first) == MAP_FAILED)
		return false;
	for (size_t i = 0; i < pages; i++)
		set_mapped(va + i * PAGE_SIZE, true);
	return true;
}

void host_mirror_forget(vaddr_t va, size_t pages)
{
	vaddr_t end = va + pages * PAGE_SIZE;

	if (host.geometry.levels != 3)
		return;
	if (pages == HAL_FLUSH_ALL) {
		va = HOST_KERNEL_START;
		end = HOST_KERNEL_END;
	}
	va = MAX(ALIGN_DOWN(va, PAGE_SIZE), (vaddr_t)HOST_KERNEL_START);
	end = MIN(end, (vaddr_t)HOST_KERNEL_END);
	pthread_mutex_lock(&lock);
	for (; va < end; va += PAGE_SIZE) {
		uint64_t page = (va - HOST_KERNEL_START) / PAGE_SIZE;
		if (page % 64 == 0 && atomic_load(&mapped[page / 64]) == 0) {
			va += 63 * PAGE_SIZE;
			continue;
		}
		vaddr_t from = va;
		while (va < end && is_mapped(va)) {
			set_mapped(va, false);
			va += PAGE_SIZE;
		}
		if (va > from)
			mmap((void *)from, va - from, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	}
	pthread_mutex_unlock(&lock);
}

/* ---- Faults --------------------------------------------------------------------------------- */

/* (AMD64 APM volume 2, 8.4.2: bit 1 of the error code is a write.) */
static bool was_write(const ucontext_t *context)
{
	return context->uc_mcontext.gregs[REG_ERR] & 2;
}

static void frame_from(const ucontext_t *context, struct hal_frame *frame)
{
	const greg_t *regs = context->uc_mcontext.gregs;

	*frame = (struct hal_frame){.pc = (uint64_t)regs[REG_RIP]};
	frame->r[FRAME_FP] = (uint64_t)regs[REG_RBP];
	frame->r[FRAME_SP] = (uint64_t)regs[REG_RSP];
}

static void fault_report(vaddr_t va, const ucontext_t *context)
{
	struct hal_frame frame;
	frame_from(context, &frame);
	bool at_stack = va - (frame.r[FRAME_SP] - PAGE_SIZE) < 2 * PAGE_SIZE;
	struct trap trap = {
		.kind = at_stack ? TRAP_STACK_OVERFLOW : TRAP_PAGE_FAULT,
		.access = was_write(context) ? TRAP_WRITE : TRAP_READ,
		.present = host_mmu_is_kernel(va) && is_mapped(va),
		.addr = va,
		.ip = frame.pc,
		.frame = &frame,
	};

	host.points_off = true;
	if (!core_trap(&trap))
		core_trap_fatal(&trap);
	host.points_off = false;
}

static void on_fault(int signo, siginfo_t *info, void *arg)
{
	vaddr_t va = (vaddr_t)info->si_addr;
	bool kernel = va >= HOST_KERNEL_START && va < HOST_KERNEL_END;
	struct host_cpu *cpu = host_self();

	if (cpu && kernel && !in_direct_map(va)) {
		pthread_mutex_lock(&lock);
		bool done = fill(cpu, va, was_write(arg));
		pthread_mutex_unlock(&lock);
		if (done)
			return;
	}
	if (cpu && cpu->current && (kernel || va < NULL_END)) {
		fault_report(va, arg);
		return;
	}
	sigaction(SIGSEGV, &before, nullptr); /* happens again, with the handler of before */
}

void host_mirror_thread_init(void)
{
	stack_t stack = {.ss_size = SIGNAL_STACK};

	stack.ss_sp = malloc(SIGNAL_STACK);
	sigaltstack(&stack, nullptr);
}

void host_mirror_init(void)
{
	if (mmap((void *)HOST_KERNEL_START, HOST_KERNEL_END - HOST_KERNEL_START, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		 0) != (void *)HOST_KERNEL_START)
		host_die("the addresses of the kernel half are taken");
	mapped = mmap(nullptr, PAGES / 8, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	host_mirror_thread_init();
	struct sigaction action = {.sa_sigaction = on_fault,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	sigaction(SIGSEGV, &action, &before);
}
