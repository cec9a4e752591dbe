/* The kernel command line: words separated by blanks, `name` or `name=value`, "quotes" allowed. */
#pragma once

#include <lib/compiler.h>

const char *cmdline(void); /* as the boot loader gave it */
/* Copies the value of `name` (empty for a bare word) to buf; false: not there. The last one wins. */
bool cmdline_get(const char *name, char *buf, size_t size);
bool cmdline_has(const char *name);
uint64_t cmdline_u64(const char *name, uint64_t otherwise);
