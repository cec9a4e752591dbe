/*
 * Buffers that devices read and write (PMM-17): frames in a row, below the address that the device can
 * reach, mapped with a memory type.
 */
#pragma once

#include <mm/kmap.h>

struct dma_buffer {
	void *addr;      /* for the CPU */
	paddr_t address; /* for the device; page aligned */
	size_t size;     /* bytes, as asked */
};

#define DMA_ANYWHERE UINT64_MAX
/* `size` zeroed bytes (at most 8 MiB) of which none lies at `limit` or above. KERR_INVAL: size 0;
 * KERR_NOMEM: there is none (below it). May sleep. */
enum kerr dma_alloc(size_t size, paddr_t limit, enum memory_type type, struct dma_buffer *out);
void dma_free(struct dma_buffer *b);
