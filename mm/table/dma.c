/*
 * Buffers for devices (PMM-17).
 *
 * A buffer is a region of the kernel (kmap.c) of frames in a row, so a normal one could lie in the direct
 * map as well; but there nothing would catch a CPU that writes past its end.
 *
 * Caches. The machines that Tern runs on keep what devices and CPUs see the same: x86_64 by its
 * architecture, QEMU's virt machines of AArch64 and RISC-V, which say dma-coherent. So no line is ever
 * cleaned or dropped here, MEMORY_NORMAL is right for rings and buffers, and MEMORY_UNCACHED or
 * MEMORY_COMBINE are for what a CPU only writes (frame buffers). The direct map keeps its cacheable view of
 * the same frames, which nobody uses while the buffer lives; on a machine without coherence the lines that
 * zeroing left there would have to be cleaned first, by an operation that the HAL does not have.
 */
#include <mm/dma.h>

enum kerr dma_alloc(size_t size, paddr_t limit, enum memory_type type, struct dma_buffer *out)
{
	struct kmap_request q = {.kind = KMAP_DMA, .type = type, .size = size, .limit = limit};
	map_flags_t flags;

	*out = (struct dma_buffer){};
	enum kerr err = kmap_region(&q, &out->addr);
	if (err != KERR_OK)
		return err;
	out->size = size;
	return kmap_translate((vaddr_t)out->addr, &out->address, &flags);
}

void dma_free(struct dma_buffer *b)
{
	kmap_free(b->addr);
	*b = (struct dma_buffer){};
}
