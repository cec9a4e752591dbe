/*
 * printf for the kernel: %c %s %d %i %u %x %X %o %p %% with flags - 0 # + space, width,
 * precision, and lengths hh h l ll z t j. No floating point.
 */
#pragma once

#include <lib/compiler.h>
#include <stdarg.h>

/* Writes at most size - 1 characters and an end mark (if size > 0).
 * Returns what the whole text needs without the end mark. */
int format(char *buf, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
int vformat(char *buf, size_t size, const char *fmt, va_list args) PRINTF_LIKE(3, 0);
