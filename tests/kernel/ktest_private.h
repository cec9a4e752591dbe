/* Between the files of the test framework. */
#pragma once

/* kcrash=NAME: does the named wrong thing, which should end in the panic page. */
void ktest_crash(const char *name);
