/*
 * Included before core/lib/string.c in host builds, where libc has these functions already (and the
 * sanitizers watch libc's). Ours get names of their own, so that tests can compare the two.
 */
#pragma once

#define memcmp kernel_memcmp
#define memchr kernel_memchr
#define strlen kernel_strlen
#define strnlen kernel_strnlen
#define strcmp kernel_strcmp
#define strncmp kernel_strncmp
#define strchr kernel_strchr
#define strrchr kernel_strrchr
#define strstr kernel_strstr
