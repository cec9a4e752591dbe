/* Kernel areas, for the rest of mm. */
#pragma once

#include <mm/kmap.h>

/* Backs [start, start + size) of a kernel area with single frames, or nothing of it; the range is
 * the caller's. */
bool kmap_populate(vaddr_t start, size_t size, unsigned frame_flags);
/* Unmaps it, flushes everywhere, frees the frames. Interrupts on, no spinlock. */
void kmap_depopulate(vaddr_t start, size_t size);
bool kmap_contains(const void *addr); /* an address of the kmap area */
size_t kmap_size(const void *addr); /* of a kmap_alloc block; 0: none starts there */
/* kmap_alloc for somebody who wants to recognise what is his: a tag from 1 to 3. */
[[nodiscard]] void *kmap_alloc_tagged(size_t size, unsigned tag);
/* Of the range that the address lies in; 0: no tag, or no range. */
unsigned kmap_tag(const void *addr);
/* kmap_free, if a range without a tag starts there: its bytes; else 0, and nothing was done. */
size_t kmap_free_untagged(void *addr);
/* Boot, once: address space for good, of the kmap area; not from the heap. 0: there is none. */
vaddr_t kmap_reserve(size_t size);
/* Boot: slots of `cpus` CPUs. */
void quickmap_init(cpu_t cpus);
uint64_t kmap_frame_count(void);
/* How many ranges there are; each is a heap block of this many bytes. */
size_t kmap_range_count(void);
#define KMAP_RANGE_BYTES ((size_t)48)
uint64_t kstack_frame_count(void);
/* Gives cached stacks back; true if there were any. Thread context. */
