/* Scalars with units, and the page: shared by the kernel and every HAL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint64_t paddr_t;  /* a physical address, bytes */
typedef uintptr_t vaddr_t; /* a virtual address, bytes */
typedef uint64_t pfn_t;    /* a frame number: paddr_t / PAGE_SIZE */
typedef uint64_t nsec_t;   /* nanoseconds */
typedef uint32_t cpu_t;    /* a CPU's index, 0 is the one that booted */

#define PAGE_SHIFT 12
#define PAGE_SIZE ((uint64_t)1 << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

/* Most CPUs one kernel runs. A CPU set is one 64-bit word. */
#define CPU_MAX 64
#define CPU_NONE UINT32_MAX
typedef uint64_t cpuset_t;

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull
#define NSEC_NEVER UINT64_MAX
