/*
 * Memory as a whole: what firmware told, what there is, what is used. The figures behind
 * /proc/meminfo, /proc/iomem, /proc/zoneinfo and /proc/buddyinfo, as structures; procfs prints
 * them. Also the few calls by which core and exec drive mm.
 */
#pragma once

#include <hal/boot_info.h>
#include <hal/hal.h>
#include <hal/trap.h>
#include <lib/kerr.h>
#include <mm/frame.h>

/* ---- The memory map (PMM-10, PMM-11) ------------------------------------------------------ */

/* Sorted, free of overlaps; bytes, `end` is the first byte after. */
struct memory_range {
	paddr_t start, end;
	enum boot_memory_kind kind;
	const char *name; /* lives as long as the kernel */
};

/* Entry `index` of the sanitised firmware map; false past the end. */
bool iomem_get(size_t index, struct memory_range *out);
/* Ranges that were reserved by name inside the map (image, modules, tables, ...). */
bool iomem_reserved_get(size_t index, struct memory_range *out);
/* Keeps [start, end) from ever being handed out. Before the buddy runs, that is from code that
 * runs ahead of the `memory` record. KERR_EXIST: overlaps another reserved range; KERR_INVAL:
 * empty. `name` stays the caller's. */
enum kerr memory_reserve(paddr_t start, paddr_t end, const char *name);

/* ---- Figures ------------------------------------------------------------------------------ */

struct memory_stats { /* frames, unless said otherwise */
	uint64_t total;      /* RAM the kernel manages */
	uint64_t free;       /* on free lists and in the CPUs' caches */
	uint64_t reserved; /* RAM that is never given out: image, firmware tables, frame records */
	uint64_t cached; /* pages of memory objects: file contents and shared memory */
	uint64_t shared; /* of these: shared anonymous memory and tmpfs */
	uint64_t anonymous; /* private pages of address spaces */
	uint64_t page_tables;
	uint64_t kernel_stacks; /* frames in kernel stacks, cached ones too */
	uint64_t slab; /* frames of the heap */
	uint64_t kmap; /* frames in kmap_alloc's areas, and so in large heap blocks */
	uint64_t committed; /* pages promised to address spaces */
	uint64_t kmap_total; /* bytes of kernel address space for kmap_alloc */
};
void memory_stats(struct memory_stats *out);

#define FRAME_ORDERS 12 /* orders 0 .. 11: 4 KiB to 8 MiB */

struct zone_info {
	const char *name; /* "DMA", "DMA32", "Normal", ... */
	uint8_t node;
	uint64_t start_pfn, spanned, present, managed, free; /* frames */
	uint64_t watermark_min, watermark_low, watermark_high;
	uint64_t blocks[FRAME_ORDERS]; /* free blocks by order */
	uint64_t cached; /* in CPU caches (all zones: listed with the highest) */
	uint64_t allocated, freed; /* events since boot, blocks */
	uint64_t small, large; /* pmm=hybrid: requests of the bitmap, of the buddy */
};
/* Zone `index`, lowest first; only zones with memory. False past the end. */
bool zone_info(size_t index, struct zone_info *out);
/* The policy in use: "buddy", ... */
const char *frame_allocator_name(void);

/* ---- Page tables, for people ---------------------------------------------------------------- */

struct aspace;
/* The way to a translation, from the root down to a leaf or to where there is nothing. */
struct page_walk {
	unsigned count;
	struct page_walk_step {
		unsigned level, index; /* level 0: 4 KiB pages */
		paddr_t table;
		struct pte_parts entry;
	} steps[5];
};
/* Of a user address in `as`, of any other in the kernel's own tables. May sleep. */
void memory_walk(struct aspace *as, vaddr_t va, struct page_walk *out);

/* ---- Driven by core and exec ---------------------------------------------------------------- */

/* Work for an idle CPU (zeroing a frame ahead, trimming caches): does a little and returns true if
 * there is more. From the idle task, interrupts on, preemption on or off. */
bool frame_idle_work(void);

/* A kernel-mode fault on a kernel address: true if the entry is valid by now and the access
 * allowed (another CPU mapped it after this one had walked the table). Any context. */
bool mm_kernel_fault(const struct trap *trap);

/* Gives back a BOOT_MEM_BOOTLOADER range (a boot module that has been unpacked); pages that are shared
 * with something else stay. mm does it itself for all modules at the end of the boot. */
void memory_release_boot_range(paddr_t start, paddr_t end);

/* Area `index` of the kernel's half (VM-14), in no order; false past the last. */
bool kernel_area_get(size_t index, const char **name, vaddr_t *start, vaddr_t *end);

/* VM-6: how many leaf mappings of the kernel table are writable and executable (0, always). Logs
 * the first ones. */
size_t memory_audit(void);
