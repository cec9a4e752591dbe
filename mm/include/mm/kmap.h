/*
 * Kernel address areas (VM-13, VM-14): regions of the kernel's own address space, kernel stacks with
 * guard pages, temporary views. Bases come from hal.mmu.geometry at boot; mm/layout.c draws the map.
 */
#pragma once

#include <hal/hal.h>
#include <hal/types.h>
#include <lib/kerr.h>

#define KSTACK_SIZE ((size_t)16384)

struct frame;

/* ---- Memory types (VM-12) ------------------------------------------------------------------ */

enum memory_type { MEMORY_NORMAL, MEMORY_IO, MEMORY_UNCACHED, MEMORY_COMBINE, MEMORY_TYPES };

map_flags_t memory_type_flags(enum memory_type type);
/* Of what decode() told: where a format has one type for two, the other's name. */
const char *memory_type_name(map_flags_t flags);

/* ---- Regions -------------------------------------------------------------------------------- */

enum kmap_kind {
	KMAP_PLAIN,      /* zeroed frames from anywhere */
	KMAP_CONTIGUOUS, /* zeroed frames in a row, at most 8 MiB */
	KMAP_DMA,        /* the same, below `limit` */
	KMAP_MMIO,       /* device registers at `address` */
	KMAP_FRAMES,     /* frames of the caller's, which keeps them */
};

struct kmap_request {
	enum kmap_kind kind;
	enum memory_type type; /* KMAP_MMIO with MEMORY_NORMAL: memory of a device that is cached */
	bool read_only;
	size_t size; /* bytes; whole pages are mapped */
	vaddr_t at; /* page aligned, in the kmap area; 0: wherever there is room */
	paddr_t address; /* KMAP_MMIO: any alignment, no RAM */
	paddr_t limit; /* KMAP_DMA: the first byte that is out of reach */
	struct frame *const *frames; /* KMAP_FRAMES: one for each page */
};

/* Maps what *r says; the address of its first byte in *addr, an unmapped page behind its end.
 * KERR_INVAL: the request makes no sense (empty, misaligned, RAM as registers); KERR_EXIST: something is
 * mapped at `at`; KERR_NOMEM: no frames (below the limit), or no room. May sleep. */
enum kerr kmap_region(const struct kmap_request *r, void **addr);

/* `size` bytes of zeroed, mapped kernel memory; may sleep. Null: no memory. */
[[nodiscard]] void *kmap_alloc(size_t size);
/* Unmaps a region of any kind and gives back the frames that are its own. Null is fine. */
void kmap_free(void *addr);
/* Device registers for the kernel's life (any alignment of addr). */
volatile void *kmap_device(paddr_t addr, size_t size);
/* Page-table walk of the kernel table. KERR_NOENT: not mapped. */
enum kerr kmap_translate(vaddr_t va, paddr_t *pa, map_flags_t *flags);

/* ---- Temporary views (VM-16) ---------------------------------------------------------------- */

#define QUICKMAP_DEPTH 8 /* views of one CPU at once, with those of its interrupts */

/* The byte at `pa`, which need not be RAM, and what follows in its page, on this CPU until
 * quickmap_end. Preemption is off between the two; views end in reverse order. Any context. RAM as
 * MEMORY_NORMAL is where the direct map has it, for nothing. */
[[nodiscard]] void *quickmap_begin(paddr_t pa, enum memory_type type);
void quickmap_end(void *view);
/* Copies physical memory through such views; `type` as it is mapped elsewhere. Any context. */
void quickmap_read(void *dst, paddr_t pa, size_t size, enum memory_type type);

/* ---- Kernel stacks -------------------------------------------------------------------------- */

/* A kernel stack: KSTACK_SIZE bytes with an unmapped guard page on both sides; gives the lowest
 * address of the stack itself. Cached per CPU: cheap in the common case. */
[[nodiscard]] void *kstack_alloc(void);
void kstack_free(void *stack); /* any context */
bool kstack_is_guard(vaddr_t addr); /* an address in some stack's guard page */
