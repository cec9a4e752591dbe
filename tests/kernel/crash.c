/*
 * Deliberate crashes, for tests of the panic page: kcrash=NAME on the command line does the wrong
 * thing called NAME in the boot thread. README.md lists what the page must say.
 */
#include "ktest_private.h"

#include <core/log.h>
#include <core/panic.h>
#include <core/spinlock.h>
#include <ktest/ktest.h>

static NOINLINE void null_read(void)
{
	EXPECT_EQ(*(volatile int *)8, 0);
}

static NOINLINE void null_write(void)
{
	*(volatile int *)8 = 1;
}

static NOINLINE void null_call(void)
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

static NOINLINE void data_execute(void)
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

static const struct {
	const char *name;
	void (*fn)(void);
} crashes[] = {
	{"null-read", null_read},   {"null-write", null_write},
	{"null-call", null_call},   {"bug", bug},
	{"text-write", text_write}, {"data-execute", data_execute},
	{"stack", stack_overflow},  {"lock-twice", lock_twice},
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
