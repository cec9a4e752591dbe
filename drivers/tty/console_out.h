/* The console terminal's output, and the slot `console`. */
#pragma once

#include <lib/kerr.h>
#include <stddef.h>
#include <stdint.h>

enum kerr console_out_init(void);
/* Thread context; one at a time, by the terminal's lock. */
void console_out_write(const char *bytes, size_t count);
/* How many bytes were written and have not gone out. */
uint32_t console_out_unsent(void);
/* Until they have. */
void console_out_drain(void);
