/* Stopping: the panic page, backtraces, assertions. */
#pragma once

#include <hal/upcall.h>
#include <lib/compiler.h>

#define panic(...) core_panic(__VA_ARGS__)

[[noreturn]] void assert_failed(const char *what, const char *file, int line);

/* Always on: invariants whose violation would corrupt data. */
#define BUG_ON(cond)                                                                               \
	do {                                                                                       \
		if (unlikely(cond))                                                                \
			assert_failed(#cond, __FILE__, __LINE__);                                  \
	} while (0)

/* Debug builds only. */
#if defined(TERN_DEBUG)
#define assert(cond) BUG_ON(!(cond))
#else
#define assert(cond) ((void)sizeof(cond))
#endif

/* Names the function at `address`: "name+0x1c (mm/fault.c:120)"; the bare address without symbols. */
size_t symbol_format(vaddr_t address, char *buf, size_t size);
/* Who names addresses outside the image, in any context; 0: unknown. Set once, by the loader of modules. */
void symbols_register(size_t (*outside)(vaddr_t address, char *buf, size_t size));
/* The index-th function of the image in order of address, for /proc/kallsyms; false: no more. */
bool symbol_get(size_t index, const char **name, vaddr_t *address);
/* Logs the call chain from `ip`, `fp` (within the current stack). */
void backtrace_log(vaddr_t ip, vaddr_t fp);
/* From an interrupt handler: at its end, the call chain of what it interrupted is logged. */
void backtrace_log_interrupted(void);
/* From an interrupt handler: core_irq_exit calls irq_exit_work with what it interrupted. */
void irq_exit_want(void);
void irq_exit_work(struct hal_frame *frame);
extern _Atomic cpuset_t irq_exit_wanted; /* CPUs that asked for it */
/* The return addresses of who called the caller, and so on: at most `max`; how many. Any context. */
size_t backtrace_take(vaddr_t *chain, size_t max);
