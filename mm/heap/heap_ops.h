/* What a heap is (HP-1): the providers behind one table, chosen with heap= on the command line. */
#pragma once

#include <mm/heap.h>

struct frame;
struct shrinker;

/* A provider. Any context; never sleeps but where large blocks may (mm/heap.h). */
struct heap_ops {
	const char *name;
	/* align: power of two up to a page, 0: natural. Null: no memory. */
	void *(*allocate)(size_t size, size_t align);
	void (*deallocate)(void *block); /* not null */
	/* Keeps the old block when it fails. */
	void *(*reallocate)(void *block, size_t size);
	/* Bytes that can be used at `block`: at least what was asked for. */
	size_t (*size)(const void *block);
	void (*stats)(struct heap_stats *out);
	/* Looks at all it keeps about its memory; how much of that is damaged, each logged. */
	size_t (*audit)(void);
	const struct shrinker *shrinker; /* null: it gives nothing back */
};

extern const struct heap_ops heap_slab; /* slab.c */
extern const struct heap_ops heap_list; /* list_heap.c */
extern const struct heap_ops heap_bump; /* bump_heap.c */

#define HEAP_CLASSES 12
#define HEAP_SMALL_MAX ((size_t)8 << (HEAP_CLASSES - 1)) /* 16 KiB */

/* Whose block it is that lies there, whatever the provider is by now. Not for early blocks. */
const struct heap_ops *heap_owner(const void *block);
/* Frees a block that is not the slab's; false: it is nobody's. */
bool heap_free_foreign(void *block);
/* What a block's owner is told by, beside the slab's: this, in the records of an arena's frames, or the
 * tag of a kmap range. */
enum { HEAP_TAG_LIST = 1, HEAP_TAG_BUMP = 2 };
void heap_frames_own(struct frame *f, unsigned order, const struct heap_ops *owner);

/* The provider that heap= names is up from here on; the early heap is retired. */
void heap_start(void);
/* The table in use, without the debug mode that may be in front of it. */
const struct heap_ops *heap_provider(void);
/* What its objects are made of where the slab does not run: see slab.c. */
void *heap_object_alloc(const char *cache, size_t size, size_t align);
void heap_object_free(const char *cache, void *object);

void list_heap_init(void);
void slab_init(bool direct); /* direct: caches are slabs; else they ask the provider */
/* Fast paths, for heap.c. size: 1 .. HEAP_SMALL_MAX. */
void *slab_alloc(size_t size);
void slab_free(void *object);

/* Frames that the providers hold, but for large blocks, which are kmap's. */
uint64_t heap_frame_count(void);
void heap_frames_add(int64_t count);

/* The early heap (HP-2), over any memory; it knows one arena at a time. */
bool bump_heap_init(void *start, size_t size); /* false: was done before */
void *bump_heap_alloc(size_t size, size_t align);
void bump_heap_retire(void);
void bump_heap_reset(void); /* tests: forgets all blocks, starts again; not once retired */
size_t bump_heap_size(const void *block);

/* The debug mode (HP-6), in front of any provider: debug.c. */
void heap_debug_init(void);
void *heap_debug_alloc(const char *cache, size_t size, size_t align);
void heap_debug_free(const char *cache, void *block);
void *heap_debug_realloc(void *block, size_t size);
