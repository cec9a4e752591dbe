/* Between the files of the test framework. */
#pragma once

/* kcrash=NAME: does the named wrong thing, which should end in the panic page. */
void ktest_crash(const char *name);

/* kbench: prints what the kernel's own operations cost. */
void ktest_bench(void);
