/* For tests that need more than one CPU. */
#pragma once

#include <hal/types.h>

/* Calls fn(cpu, arg) on every CPU that runs, in a thread bound to it, and returns when all are done.
 * The threads wait for each other before they begin. With one CPU it is a plain call. */
void ktest_on_all_cpus(void (*fn)(cpu_t cpu, void *arg), void *arg);
cpu_t ktest_cpu_count(void);
