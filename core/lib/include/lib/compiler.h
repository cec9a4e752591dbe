/* Attributes and small macros that every part of the kernel uses. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PACKED __attribute__((packed))
#define ALIGNED(n) __attribute__((aligned(n)))
#define NOINLINE __attribute__((noinline))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
/* The linker keeps it even if nothing refers to it. */
#define KEEP __attribute__((used, retain))
/* Code and data that are given back when the boot has ended. */
#define INIT_TEXT __attribute__((section(".init.text"), cold))
#define INIT_DATA __attribute__((section(".init.data")))
/* Written during the boot only; read-only from the end of the boot on. */
#define RO_AFTER_INIT __attribute__((section(".data.ro_after_init")))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* `align` is a power of two. */
#define ALIGN_DOWN(x, align) ((x) & ~((typeof(x))(align) - 1))
#define ALIGN_UP(x, align) ALIGN_DOWN((x) + (typeof(x))(align) - 1, align)
#define IS_ALIGNED(x, align) (((x) & ((typeof(x))(align) - 1)) == 0)

/* A plain load or store that the compiler neither repeats nor splits. */
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
