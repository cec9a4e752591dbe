/* Where a thread runs. For programs that define _GNU_SOURCE. */
#pragma once

#include <sched.h>

/* It (0: the caller) may use one CPU only; 0, or -1 and errno. */
static inline int keep_on(pid_t thread, int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	return sched_setaffinity(thread, sizeof(one), &one);
}
