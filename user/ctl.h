/* What the files of tern-ctl share. */
#pragma once

#include "lib/sys.h"

/* tern-ctl heal ARGS: its status. */
int ctl_heal(int argc, char **argv);
/* "tern-ctl: WHAT: WHY" on stderr; 1. */
int failed(const char *what, const char *why);
/* The same for an error that a system call gave (below 0). */
int refused(const char *what, long err);
