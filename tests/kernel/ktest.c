/*
 * Runs the kernel tests inside the booted kernel: `ktest` on the command line means all,
 * `ktest=PATTERN` those whose name or file contains PATTERN. Prints KTAP version 1 on the console,
 * then a line "# N passed, N failed, N skipped", and powers off: status 0 if none failed, 1
 * otherwise (the emulator gets it with exit=emulator). Runs in the boot thread before there are
 * programs. A test that crashes ends everything in the panic page, one that hangs is the caller's
 * time limit's business: see README.md.
 */
#include "ktest_private.h"

#include <core/cmdline.h>
#include <core/cpu.h>
#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <core/time.h>
#include <ktest/ktest.h>
#include <lib/format.h>
#include <stdarg.h>
#include <stdatomic.h>

#define FAILURES_SHOWN 20

static struct {
	_Atomic uint32_t failures;    /* of the running test */
	const char *_Atomic skipped; /* why the running test is */
	uint32_t passed, failed, skipped_count;
} state;

/* ---- Lines ---------------------------------------------------------------------------------- */

static void line_write(const char *prefix, const char *fmt, va_list args)
{
	char text[400];
	size_t n = strlcpy(text, prefix, sizeof(text));

	n += (size_t)vformat(text + n, sizeof(text) - n - 2, fmt, args);
	n = MIN(n, sizeof(text) - 3);
	text[n++] = '\r';
	text[n++] = '\n';
	console_write(text, n);
}

static void line(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void line(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line_write("", fmt, args);
	va_end(args);
}

void ktest_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line_write("# ", fmt, args);
	va_end(args);
}

void ktest_fail(const char *file, int at, const char *fmt, ...)
{
	char text[300];
	va_list args;

	if (atomic_fetch_add(&state.failures, 1) >= FAILURES_SHOWN)
		return;
	va_start(args, fmt);
	vformat(text, sizeof(text), fmt, args);
	va_end(args);
	ktest_note("%s:%d: %s", file, at, text);
}

void ktest_skip(const char *why)
{
	atomic_store(&state.skipped, why);
}

/* ---- Comparisons ------------------------------------------------------------------------------ */

bool ktest_equal(const char *file, int at, const char *left, const char *right, uint64_t a,
		 uint64_t b)
{
	if (likely(a == b))
		return true;
	ktest_fail(file, at, "%s is %ld (%#lx), not %s, %ld (%#lx)", left, (long)a,
		   (unsigned long)a, right, (long)b, (unsigned long)b);
	return false;
}

bool ktest_string_equal(const char *file, int at, const char *a, const char *b)
{
	if (a && b && strcmp(a, b) == 0)
		return true;
	ktest_fail(file, at, "\"%s\" is not \"%s\"", a, b);
	return false;
}

bool ktest_memory_equal(const char *file, int at, const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < size; i++) {
		if (x[i] == y[i])
			continue;
		ktest_fail(file, at, "byte %zu of %zu is %#x, not %#x", i, size, x[i], y[i]);
		return false;
	}
	return true;
}

/* ---- The run ---------------------------------------------------------------------------------- */

static bool selected(const struct kernel_test *t, const char *pattern)
{
	return !*pattern || strstr(t->name, pattern) || strstr(t->file, pattern);
}

static void run_one(const struct kernel_test *t, uint32_t number)
{
	atomic_store(&state.failures, 0);
	atomic_store(&state.skipped, nullptr);
	t->fn();
	const char *why = atomic_load(&state.skipped);

	if (atomic_load(&state.failures)) {
		state.failed++;
		line("not ok %u %s", number, t->name);
	} else if (why) {
		state.skipped_count++;
		line("ok %u %s # SKIP %s", number, t->name, why);
	} else {
		state.passed++;
		line("ok %u %s", number, t->name);
	}
}

/* Secondary CPUs come up beside the boot; tests count on all of them. */
static void cpus_await(void)
{
	nsec_t last = time_now() + NSEC_PER_SEC;

	while ((uint32_t)__builtin_popcountll(cpu_online()) < cpu_count && time_now() < last)
		hal.cpu.relax();
}

[[noreturn]] static void run_all(const char *pattern)
{
	uint32_t count = 0, number = 0;

	cpus_await();
	log_set_console_level(LOG_ERR); /* only what is wrong, between the results */
	for (const struct kernel_test *const *t = __kernel_tests_start; t < __kernel_tests_end; t++)
		count += selected(*t, pattern);
	line("KTAP version 1");
	line("1..%u", count);
	for (const struct kernel_test *const *t = __kernel_tests_start; t < __kernel_tests_end; t++)
		if (selected(*t, pattern))
			run_one(*t, ++number);
	line("# %u passed, %u failed, %u skipped", state.passed, state.failed, state.skipped_count);
	int status = state.failed > 0 || count == 0;
	console_record("exit", status ? "1" : "0");
	hal.platform.power(HAL_POWER_OFF, status);
}

[[noreturn]] static void run_benchmarks(void)
{
	cpus_await();
	log_set_console_level(LOG_ERR);
	ktest_bench();
	console_record("exit", "0");
	hal.platform.power(HAL_POWER_OFF, 0);
}

static enum kerr ktest_init(const struct boot_info *info)
{
	char pattern[64];

	if (cmdline_get("kcrash", pattern, sizeof(pattern)))
		ktest_crash(pattern);
	if (cmdline_get("kbench", pattern, sizeof(pattern)))
		run_benchmarks();
	if (cmdline_get("ktest", pattern, sizeof(pattern)))
		run_all(pattern);
	return KERR_OK;
}

static const struct init_ops ktest_ops = {.init = ktest_init};
INIT_SUBSYSTEM(ktest, .phase = INIT_RUNTIME, .priority = -100, .optional = true,
	       .requires = INIT_SCHEDULER | INIT_TIMERS, INIT_DEPENDS("memory_seal"),
	       .ops = &ktest_ops);
