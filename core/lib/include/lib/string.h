/*
 * Memory and string functions: the C standard's, freestanding, and the few of POSIX and BSD that
 * kernels use. memcpy, memmove, memset and memcmp are also what the compiler calls by itself;
 * each HAL provides the first three (hal/<isa>/string.S), tuned.
 */
#pragma once

#include <lib/compiler.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
/* Small constant sizes become plain moves, also in a freestanding build. */
#define memcpy(dst, src, n) __builtin_memcpy(dst, src, n)
#define memmove(dst, src, n) __builtin_memmove(dst, src, n)
#define memset(dst, byte, n) __builtin_memset(dst, byte, n)

void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *haystack, const char *needle);
/* Copies at most size - 1 bytes and always ends `dst` if size > 0. Returns strlen(src). */
size_t strlcpy(char *dst, const char *src, size_t size);
/* Reads an unsigned number in `base` (0: by prefix 0x, 0), stops at the first other character,
 * stores where in *end if end is not null; on overflow gives UINT64_MAX. */
uint64_t str_to_u64(const char *s, const char **end, unsigned base);
