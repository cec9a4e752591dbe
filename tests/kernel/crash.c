/*
 * Deliberate crashes, for tests of the panic page: kcrash=NAME on the command line does the wrong
 * thing called NAME in the boot thread. README.md lists what the page must say.
 */
#include "ktest_private.h"

#include <core/log.h>
#include <core/panic.h>
#include <core/spinlock.h>
#include <exec/process.h>
#include <ktest/ktest.h>
#include <lib/string.h>
#include <mm/aspace.h>
#include <mm/heap.h>
#include <mm/heap_debug.h>
#include <mm/user_copy.h>

static NOINLINE void null_read(void)
{
	EXPECT_EQ(*(volatile int *)8, 0);
}

static NOINLINE void null_write(void)
{
	*(volatile int *)8 = 1;
}

/* A call that kCFI would stop before the hardware can. */
#define UNCHECKED_CALLS __attribute__((no_sanitize("kcfi")))

UNCHECKED_CALLS static NOINLINE void null_call(void)
{
	void (*volatile fn)(void) = (void (*)(void))16;
	fn();
}

static NOINLINE void bug(void)
{
	volatile int two = 2;
	BUG_ON(two == 2);
}

/* Writes its own code: text is read-only. */
static NOINLINE void text_write(void)
{
	*(volatile char *)(uintptr_t)text_write = 0;
}

UNCHECKED_CALLS static NOINLINE void data_execute(void)
{
	static char data[16];
	void (*volatile fn)(void) = (void (*)(void))(uintptr_t)data;
	fn();
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winfinite-recursion"
static NOINLINE int descend(volatile int *above)
{
	volatile int here[128];
	here[0] = *above + 1;
	return descend(here) + here[0];
}
#pragma clang diagnostic pop

static NOINLINE void stack_overflow(void)
{
	volatile int zero = 0;
	descend(&zero);
}

static NOINLINE void lock_twice(void)
{
	static struct spinlock lock = SPINLOCK_INIT(RANK_NONE, "twice");
	spin_lock(&lock);
	spin_lock(&lock); /* a debug build names it; a release build stands still */
}

/* ---- Hardening ------------------------------------------------------------------------------ */

static volatile int sealed RO_AFTER_INIT;

static NOINLINE void sealed_write(void)
{
	sealed = 1;
}

static NOINLINE INIT_TEXT void boot_code(void)
{
	sealed = 2;
}

static NOINLINE void init_call(void)
{
	boot_code();
}

static NOINLINE void smash(volatile char *from, size_t size)
{
	char small[24];
	volatile char *to = small;
	for (size_t i = 0; i < size; i++)
		to[i] = from[i];
}

static NOINLINE void stack_smash(void)
{
	static char much[128];
	memset(much, 'x', sizeof(much));
	smash(much, 64);
}

static NOINLINE int wants_two(int a, const char *b)
{
	return a + b[0];
}

static NOINLINE void call_type(void)
{
	void (*volatile fn)(long) = (void (*)(long))(uintptr_t)wants_two;
	fn(7);
}

/* A page that a program could have, filled in already, in front of this thread. */
static volatile char *user_page(unsigned prot)
{
	struct aspace *as;
	vaddr_t at = 0x400000;

	if (aspace_create(&as) != KERR_OK ||
	    aspace_map(as, &at, PAGE_SIZE, prot, MMAP_PRIVATE | MMAP_ANONYMOUS | MMAP_FIXED,
		       nullptr, 0) != KERR_OK ||
	    aspace_fault(as, at, TRAP_READ) != FAULT_CONTINUE)
		panic("no user page for the test");
	current_process()->aspace = as;
	bool on = hal.cpu.irq_save();
	aspace_activate(as);
	hal.cpu.irq_restore(on);
	char c;
	if (user_read(&c, at, 1) != KERR_OK)
		panic("the user page cannot be read in the right way");
	return (volatile char *)at;
}

static NOINLINE void stray_read(void)
{
	EXPECT_EQ(*user_page(PROT_READ), 0);
}

static NOINLINE void stray_write(void)
{
	*user_page(PROT_READ | PROT_WRITE) = 1;
}

UNCHECKED_CALLS static NOINLINE void stray_execute(void)
{
	void (*volatile fn)(void) = (void (*)(void))(uintptr_t)user_page(PROT_READ | PROT_EXEC);
	fn();
}

/* Slower than a compiler that knows what free() means. */
static NOINLINE char *block(size_t size)
{
	char *volatile p = heap_alloc(size);
	return p;
}

static NOINLINE void heap_overflow(void)
{
	char *p = block(100);
	p[103] = 'x';
	heap_free(p);
}

static NOINLINE void heap_underflow(void)
{
	char *p = block(100);
	p[-20] = 'x';
	heap_free(p);
}

static NOINLINE void heap_double_free(void)
{
	char *p = block(100);
	heap_free(p);
	heap_free(p);
}

static NOINLINE void heap_use_after_free(void)
{
	volatile char *p = block(100);
	heap_free((char *)p);
	p[7] = 'x';
	heap_debug_sweep();
}

static NOINLINE void heap_foreign_free(void)
{
	static char global[64];
	heap_free(global + 16);
}

static const struct {
	const char *name;
	void (*fn)(void);
} crashes[] = {
	{"null-read", null_read},
	{"null-write", null_write},
	{"null-call", null_call},
	{"bug", bug},
	{"text-write", text_write},
	{"data-execute", data_execute},
	{"stack", stack_overflow},
	{"lock-twice", lock_twice},
	{"sealed-write", sealed_write},
	{"init-call", init_call},
	{"stack-smash", stack_smash},
	{"call-type", call_type},
	{"user-read", stray_read},
	{"user-write", stray_write},
	{"user-execute", stray_execute},
	{"heap-overflow", heap_overflow},
	{"heap-underflow", heap_underflow},
	{"heap-double-free", heap_double_free},
	{"heap-use-after-free", heap_use_after_free},
	{"heap-foreign-free", heap_foreign_free},
};

void ktest_crash(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++) {
		if (strcmp(crashes[i].name, name) != 0)
			continue;
		log_info("ktest: crashing on purpose: %s", name);
		crashes[i].fn();
		log_error("ktest: %s did not crash", name);
	}
	log_error("ktest: kcrash=%s: there is no such crash", name);
}
