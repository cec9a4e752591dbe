/* Starting programs from kernel code. */
#pragma once

#include <lib/kerr.h>

/* execve for the current process with kernel strings; on success the caller returns to user mode. */
enum kerr program_run(const char *path, const char *const *argv, const char *const *envp);
/* Tells exec how to hold a program's file. At init. */
void program_register(void);
