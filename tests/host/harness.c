/*
 * Runs the tests of one program: those of section host_tests, then the kernel tests that are linked
 * in (.kernel_tests). Each test is forked, its output collected through a pipe and shown if it
 * failed; exit 0: passed, 1: failed, 77: skipped, anything else: crashed. Results are TAP lines, a
 * failed test's output follows as comments. The last line reads "N passed, N failed" with ", N
 * skipped" if there were any.
 * Rejected: threads instead of processes (the kernel's state is global on purpose).
 */
#include "harness.h"

#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_SECONDS 120 /* a hang, not a speed goal */
#define EXIT_SKIPPED 77

extern const struct host_test __start_host_tests[] __attribute__((weak));
extern const struct host_test __stop_host_tests[] __attribute__((weak));

static struct options {
	const char *pattern;
	uint64_t seed;
	unsigned runs;
	bool list, no_fork, verbose;
} options = {.seed = 1};

static struct {
	_Atomic unsigned failures; /* of the running test */
	const char *skipped;
	unsigned number, passed, failed, skipped_count;
} state;

/* ---- What tests call ---------------------------------------------------------------------- */

void ktest_fail(const char *file, int line, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	printf("    %s:%d: %s\n", file, line, text);
	if (++state.failures == 20) {
		printf("    more than enough: the test stops here\n");
		fflush(nullptr);
		_exit(1);
	}
}

void ktest_skip(const char *why)
{
	state.skipped = why;
}

void ktest_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("    ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
}

bool ktest_equal(const char *file, int line, const char *left, const char *right, uint64_t a,
		 uint64_t b)
{
	if (a == b)
		return true;
	ktest_fail(file, line, "%s is %lld (%#llx), not %s, %lld (%#llx)", left, (long long)a,
		   (unsigned long long)a, right, (long long)b, (unsigned long long)b);
	return false;
}

bool ktest_string_equal(const char *file, int line, const char *a, const char *b)
{
	if (a && b && strcmp(a, b) == 0)
		return true;
	ktest_fail(file, line, "\"%s\" is not \"%s\"", a ? a : "(null)", b ? b : "(null)");
	return false;
}

bool ktest_memory_equal(const char *file, int line, const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < size; i++) {
		if (x[i] == y[i])
			continue;
		ktest_fail(file, line, "byte %zu of %zu is %#x, not %#x", i, size, x[i], y[i]);
		return false;
	}
	return true;
}

uint64_t test_seed(void)
{
	return options.seed;
}

unsigned test_failures(void)
{
	return state.failures;
}

uint64_t test_in_child(uint64_t (*fn)(uint64_t arg), uint64_t arg)
{
	uint64_t result = 0;
	int fds[2];

	if (pipe(fds) != 0)
		exit(2);
	fflush(nullptr);
	pid_t child = fork();
	if (child == 0) {
		result = fn(arg);
		_exit(write(fds[1], &result, sizeof(result)) != sizeof(result));
	}
	close(fds[1]);
	if (read(fds[0], &result, sizeof(result)) != sizeof(result))
		result = 0;
	close(fds[0]);
	waitpid(child, nullptr, 0);
	return result;
}

__attribute__((weak)) void test_prepare(void)
{
}

__attribute__((weak)) void test_prepare_kernel(unsigned variant)
{
}

/* ---- One test ------------------------------------------------------------------------------ */

/* One of both is not null. */
struct job {
	const struct host_test *host;
	const struct kernel_test *kernel;
	const char *name;
	unsigned variant; /* of kernel tests */
};

static int test_body(const struct job *job)
{
	unsigned runs = 1;

	if (job->host && job->host->runs)
		runs = options.runs ? options.runs : job->host->runs;
	test_prepare();
	for (unsigned i = 0; i < runs; i++) {
		struct test_random random = {options.seed + i};
		if (job->kernel) {
			test_prepare_kernel(job->variant);
			job->kernel->fn();
		} else {
			job->host->fn(&random);
		}
		if (state.failures) {
			if (job->host && job->host->runs)
				printf("    again with: --seed %llu --runs 1 -k %s\n",
				       (unsigned long long)options.seed + i, job->name);
			return 1;
		}
		if (state.skipped)
			return EXIT_SKIPPED;
	}
	return 0;
}

static char *read_all(int fd)
{
	size_t size = 0, room = 4096;
	char *text = malloc(room);
	ssize_t n;

	while ((n = read(fd, text + size, room - size - 1)) > 0) {
		size += (size_t)n;
		if (room - size < 2)
			text = realloc(text, room *= 2);
	}
	text[size] = '\0';
	return text;
}

/* Runs it in a child; its output in *output (freed by the caller), its wait status as result. */
static int test_fork(const struct job *job, char **output)
{
	int fds[2], status = 0;

	if (pipe(fds) != 0)
		exit(2);
	fflush(nullptr);
	pid_t child = fork();
	if (child == 0) {
		close(fds[0]);
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		setvbuf(stdout, nullptr, _IONBF, 0);
		alarm(TEST_SECONDS);
		int result = test_body(job);
		if (result == EXIT_SKIPPED)
			printf("%s", state.skipped);
		fflush(nullptr);
		_exit(result);
	}
	close(fds[1]);
	*output = read_all(fds[0]);
	close(fds[0]);
	waitpid(child, &status, 0);
	return status;
}

static void test_failed(const struct job *job, int status, const char *output)
{
	state.failed++;
	printf("not ok %u - %s", ++state.number, job->name);
	if (WIFSIGNALED(status))
		printf(": %s", WTERMSIG(status) == SIGALRM ? "hangs" : strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 1)
		printf(": ended with status %d", WEXITSTATUS(status));
	printf("\n");
	/* As comments, which TAP readers show with the result. */
	for (const char *line = output; *line;) {
		int length = (int)strcspn(line, "\n");
		printf("# %.*s\n", length, line);
		line += length + (line[length] == '\n');
	}
}

static void test_run(const struct job *job)
{
	struct timespec from, to;
	char *output = nullptr;
	int status;

	clock_gettime(CLOCK_MONOTONIC, &from);
	if (options.no_fork)
		status = test_body(job) << 8;
	else
		status = test_fork(job, &output);
	clock_gettime(CLOCK_MONOTONIC, &to);
	long ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
	bool ended = WIFEXITED(status);

	if (job->host && job->host->dies_with) {
		bool died = !(ended && WEXITSTATUS(status) == 0);
		if (died && output && strstr(output, job->host->dies_with)) {
			status = 0;
			ended = true;
		} else {
			printf("    should die with \"%s\"\n", job->host->dies_with);
			status = 1 << 8;
		}
	}
	if (ended && WEXITSTATUS(status) == EXIT_SKIPPED) {
		state.skipped_count++;
		const char *why = output ? strrchr(output, '\n') : nullptr;
		printf("ok %u - %s # SKIP %s\n", ++state.number, job->name,
		       why      ? why + 1
		       : output ? output
				: state.skipped);
	} else if (!ended || WEXITSTATUS(status) != 0) {
		test_failed(job, status, output ? output : "");
	} else {
		state.passed++;
		printf("ok %u - %s (%ld ms)\n", ++state.number, job->name, ms);
		if (options.verbose && output)
			printf("%s", output);
	}
	free(output);
	state.failures = 0;
	state.skipped = nullptr;
}

/* ---- All of them ---------------------------------------------------------------------------- */

static bool pattern_matches(const char *name)
{
	return !options.pattern || strstr(name, options.pattern) ||
	       fnmatch(options.pattern, name, 0) == 0;
}

static void visit(const struct job *job)
{
	if (!pattern_matches(job->name))
		return;
	if (options.list)
		printf("%s\n", job->name);
	else
		test_run(job);
}

static void visit_variants(const struct kernel_test *t)
{
	char name[128];

	for (unsigned v = 0; v < TEST_KERNEL_VARIANTS; v++) {
		snprintf(name, sizeof(name), "%s@%u", t->name, v);
		visit(&(struct job){.kernel = t, .name = name, .variant = v});
	}
}

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;
		if (strcmp(argv[i], "-k") == 0 && more) {
			options.pattern = argv[++i];
		} else if (strcmp(argv[i], "--seed") == 0 && more) {
			if (strcmp(argv[++i], "random") != 0)
				options.seed = strtoull(argv[i], nullptr, 0);
			else if (getrandom(&options.seed, 4, 0) == 4)
				options.seed &= UINT32_MAX;
		} else if (strcmp(argv[i], "--runs") == 0 && more) {
			options.runs = (unsigned)strtoul(argv[++i], nullptr, 0);
		} else if (strcmp(argv[i], "--list") == 0) {
			options.list = true;
		} else if (strcmp(argv[i], "--no-fork") == 0) {
			options.no_fork = true;
		} else if (strcmp(argv[i], "-v") == 0) {
			options.verbose = true;
		} else {
			fprintf(stderr, "%s: what is %s?\n", argv[0], argv[i]);
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	setvbuf(stdout, nullptr, _IOLBF, 0);
	for (const struct host_test *t = __start_host_tests; t < __stop_host_tests; t++)
		visit(&(struct job){.host = t, .name = t->name});
	for (const struct kernel_test *const *t = __kernel_tests_start; t < __kernel_tests_end; t++)
		visit_variants(*t);
	if (options.list)
		return 0;
	printf("%u passed, %u failed", state.passed, state.failed);
	if (state.skipped_count)
		printf(", %u skipped", state.skipped_count);
	printf("\n");
	return state.failed ? 1 : 0;
}
