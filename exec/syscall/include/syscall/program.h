/* Starting programs from kernel code. */
#pragma once

#include <lib/kerr.h>

/* execve for the current process with kernel strings; on success the caller returns to user mode. */
enum kerr program_run(const char *path, const char *const *argv, const char *const *envp);
/* Tells exec how to hold a program's file. At init. */
void program_register(void);
/* What process 1 becomes if `kshell` is on the command line, or (with why not) if no program can be
 * it. It never returns. At init, once. */
void program_shell_register(void (*run)(const char *why));
