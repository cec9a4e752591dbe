/* What a heap is (HP-1): the slab, and the bump heap that serves before it. */
#pragma once

#include <mm/heap.h>

struct heap_ops {
	const char *name;
	/* align: power of two up to a page, 0: natural. Null: no memory. */
	void *(*allocate)(size_t size, size_t align);
	void (*deallocate)(void *block);
	void *(*reallocate)(void *block, size_t size);
	void (*stats)(struct heap_stats *out);
};

extern const struct heap_ops heap_bump;
extern const struct heap_ops heap_slab;

#define HEAP_CLASSES 12
#define HEAP_SMALL_MAX ((size_t)8 << (HEAP_CLASSES - 1)) /* 16 KiB */

/* The slab is up from here on; the bump heap is retired. */
void heap_start_slab(void);
void slab_init(void);
/* Fast paths, for heap.c. size: 1 .. HEAP_SMALL_MAX. */
void *slab_alloc(size_t size);
void slab_free(void *object);
/* The usable size of a block of either kind. */
size_t slab_block_size(const void *block);

/* The bump heap over any memory; it knows one arena at a time. */
bool bump_heap_init(void *start, size_t size); /* false: was done before */
void *bump_heap_alloc(size_t size, size_t align);
bool bump_heap_owns(const void *block);
void bump_heap_retire(void);
void bump_heap_reset(void); /* tests: forgets all blocks, starts again; not once retired */
uint64_t slab_frame_count(void);
