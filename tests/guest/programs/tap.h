/* Results of a test program, one line each; the harness numbers and names them. */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int tap_failed;

/* "ok NAME", or "not ok NAME" with the error number and the line. */
#define check(cond, ...)                                                                           \
	do {                                                                                       \
		errno = 0;                                                                         \
		bool good_ = (cond);                                                               \
		int err_ = errno;                                                                  \
		printf("%s ", good_ ? "ok" : "not ok");                                            \
		printf(__VA_ARGS__);                                                               \
		if (!good_) {                                                                      \
			printf(" # line %d: %s (%s)", __LINE__, #cond, strerror(err_));            \
			tap_failed++;                                                              \
		}                                                                                  \
		printf("\n");                                                                      \
		fflush(stdout);                                                                    \
	} while (0)

static inline int tap_end(void)
{
	return tap_failed != 0;
}

/* The status that waitpid gives for a child, as a shell would show it. */
static inline int status_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs the code block in a child; the value is its status. */
#define in_child(...)                                                                              \
	({                                                                                         \
		fflush(stdout);                                                                    \
		pid_t pid_ = fork();                                                               \
		if (pid_ == 0) {                                                                   \
			__VA_ARGS__;                                                               \
			_exit(0);                                                                  \
		}                                                                                  \
		pid_ < 0 ? -1 : status_of(pid_);                                                   \
	})

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What the calling thread has computed. */
static inline uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}
