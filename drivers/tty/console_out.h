/* The console terminal's output, and the slot `console`. */
#pragma once

#include <core/wait.h>

/* `lock`: the terminal's, which is held in console_out_write. */
enum kerr console_out_init(struct mutex *lock);
void console_out_write(const char *bytes, size_t count);
/* How many bytes were written and have not gone out. */
uint32_t console_out_unsent(void);
/* Until they have. The lock is not held. */
void console_out_drain(void);
