/*
 * The host tests' framework. A test is a function; it runs in a process of its own (so kernel state
 * is fresh and a crash or a hang is one failed test), with a time limit.
 *
 *	TEST(heap_keeps_contents) { ... EXPECT_EQ(a, b); }
 *	PROPERTY(heap_random, 50) { ... test_random(random) ... }   50 seeds
 *	TEST_DIES(double_free, "double free") { ... }               must panic with that text
 *
 * Kernel tests that are linked in run in each of TEST_KERNEL_VARIANTS machines.
 *
 * Options of every test program: -k PATTERN (part of the name, or with * and ?), --seed N (first
 * seed of properties, "random" for a new one), --runs N, --list, --no-fork (for a debugger), -v.
 * Expectations are those of <ktest/ktest.h>.
 */
#pragma once

#include <ktest/ktest.h>

#define TEST_KERNEL_VARIANTS 4

struct host_test {
	const char *name, *file;
	void (*fn)(struct test_random *random);
	unsigned runs;         /* 0: not a property */
	const char *dies_with; /* null: it does not */
};

#define HOST_TEST_RECORD(id, times, text)                                                          \
	static void host_test_fn_##id(struct test_random *random);                                 \
	KEEP static const struct host_test host_test_##id                                          \
		__attribute__((section("host_tests"))) = {#id, __FILE__, host_test_fn_##id, times, \
							  text};                                   \
	static void host_test_fn_##id([[maybe_unused]] struct test_random *random)

#define TEST(id) HOST_TEST_RECORD(id, 0, nullptr)
#define PROPERTY(id, times) HOST_TEST_RECORD(id, times, nullptr)
#define TEST_DIES(id, text) HOST_TEST_RECORD(id, 0, text)

/* The seed of this run; --seed. */
uint64_t test_seed(void);
/* Called before each test if the program defines it. */
void test_prepare(void);
/* Called before each kernel test: variant 0, 1, .. (harness_machine.c: boots with different knobs). */
void test_prepare_kernel(unsigned variant);
/* Expectations that failed in this process since the test began. */
unsigned test_failures(void);
/* fn(arg) in a process of its own: its result, 0 if it died. */
uint64_t test_in_child(uint64_t (*fn)(uint64_t arg), uint64_t arg);
