/*
 * Kernel address areas (VM-13, VM-14): virtually contiguous pages, kernel stacks with guard pages,
 * device registers. Bases come from hal.mmu.geometry at boot; mm/layout.c draws the map.
 */
#pragma once

#include <hal/hal.h>
#include <hal/types.h>
#include <lib/kerr.h>

#define KSTACK_SIZE ((size_t)16384)

/* `size` bytes of zeroed, mapped kernel memory; may sleep. Null: no memory. */
[[nodiscard]] void *kmap_alloc(size_t size);
void kmap_free(void *addr);
/* The same for the code and data of a module, where branches from and to the kernel reach; writable
 * and not executable until kmap_module_protect() (MAP_KERNEL_*, page-wise). Interrupts on, no spinlock. */
[[nodiscard]] void *kmap_module_alloc(size_t size);
void kmap_module_free(void *addr);
enum kerr kmap_module_protect(void *addr, size_t size, map_flags_t flags);
bool kmap_is_module(vaddr_t addr); /* an address of the area */
/* A kernel stack: KSTACK_SIZE bytes with an unmapped guard page on both sides; gives the lowest
 * address of the stack itself. Cached per CPU: cheap in the common case. */
[[nodiscard]] void *kstack_alloc(void);
void kstack_free(void *stack); /* any context */
bool kstack_is_guard(vaddr_t addr); /* an address in some stack's guard page */
/* Device registers (any alignment of addr). */
volatile void *kmap_device(paddr_t addr, size_t size);
/* Page-table walk of the kernel table. KERR_NOENT: not mapped. */
enum kerr kmap_translate(vaddr_t va, paddr_t *pa, map_flags_t *flags);
