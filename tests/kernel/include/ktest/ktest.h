/*
 * Tests that run inside the booted kernel, and, the same source, as host tests. KERNEL_TEST(name)
 * puts a record into section .kernel_tests; tests/kernel/ktest.c walks it in the kernel,
 * tests/host/harness.c on the host. A test runs in thread context, interrupts on.
 *
 * The EXPECT macros report a failure and go on; their value is whether it held. REQUIRE leaves the
 * test function. Any of them may be used from any CPU and any context.
 */
#pragma once

#include <lib/compiler.h>
#include <lib/kerr.h>
#include <lib/string.h>

struct kernel_test {
	const char *name, *file;
	void (*fn)(void);
};

#define KERNEL_TEST(id)                                                                            \
	static void kernel_test_##id(void);                                                        \
	static const struct kernel_test kernel_test_record_##id = {#id, __FILE__,                  \
								   kernel_test_##id};              \
	KEEP static const struct kernel_test *const kernel_test_pointer_##id                       \
		__attribute__((section(".kernel_tests"))) = &kernel_test_record_##id;              \
	static void kernel_test_##id(void)

extern const struct kernel_test *const __kernel_tests_start[], *const __kernel_tests_end[];

/* ---- Reports ------------------------------------------------------------------------------ */

/* The running test has failed. */
void ktest_fail(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The running test cannot be done here; return from it afterwards. `why` is a static string. */
void ktest_skip(const char *why);
/* A line beside the results. */
void ktest_note(const char *fmt, ...) PRINTF_LIKE(1, 2);

bool ktest_equal(const char *file, int line, const char *left, const char *right, uint64_t a,
		 uint64_t b);
bool ktest_string_equal(const char *file, int line, const char *a, const char *b);
bool ktest_memory_equal(const char *file, int line, const void *a, const void *b, size_t size);

#define EXPECT(cond) ((cond) ? true : (ktest_fail(__FILE__, __LINE__, "%s", #cond), false))
/* Numbers, pointers, enums: what a cast to uint64_t takes. */
#define EXPECT_EQ(a, b) ktest_equal(__FILE__, __LINE__, #a, #b, (uint64_t)(a), (uint64_t)(b))
#define EXPECT_STR(a, b) ktest_string_equal(__FILE__, __LINE__, (a), (b))
#define EXPECT_MEM(a, b, size) ktest_memory_equal(__FILE__, __LINE__, (a), (b), (size))
#define EXPECT_OK(err)                                                                             \
	({                                                                                         \
		enum kerr ktest_err_ = (err);                                                      \
		ktest_err_ == KERR_OK                                                              \
			? true                                                                     \
			: (ktest_fail(__FILE__, __LINE__, "%s: %s", #err, kerr_name(ktest_err_)),  \
			   false);                                                                 \
	})
#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!EXPECT(cond))                                                                 \
			return;                                                                    \
	} while (0)

/* ---- Numbers that repeat: Steele, Lea, Flood, "Fast splittable pseudorandom number
 *      generators", 2014 (the mixing function of SplitMix64) ------------------------------------ */

struct test_random {
	uint64_t state;
};

static inline uint64_t test_random(struct test_random *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* 0 .. n - 1; n > 0. The slight bias does not matter to a test. */
static inline uint64_t test_random_below(struct test_random *r, uint64_t n)
{
	return test_random(r) % n;
}
