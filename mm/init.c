/*
 * Bringing memory up: firmware's map to a heap, in one go on the boot CPU; and the figures.
 *
 *	memory_map_init     the sanitised map, in a hole of the raw one
 *	layout_init         where the kernel's areas lie
 *	bump_start          frames out of what the early tables map
 *	layout_build_table  direct map, image with its rights; loaded
 *	bump_widen          now all RAM is mapped
 *	frame table         32 bytes a frame
 *	numa_init           which node each range is on
 *	frame_init          bump retires, the chosen allocator takes the rest
 *	heap                the provider that heap= names
 *	space               the zero page, caches of address spaces
 */
#include <mm/memory.h>

#include "bump.h"
#include "frame.h"
#include "heap_ops.h"
#include "kmap_private.h"
#include "layout.h"
#include "memory_map.h"
#include "space.h"

#include <core/init.h>
#include <core/log.h>
#include <core/panic.h>
#include <hal/image.h>
#include <mm/huge.h>
#include <mm/numa.h>
#include <mm/pressure.h>

static INIT_TEXT enum kerr memory_init(const struct boot_info *info)
{
	size_t count;
	memory_map_init(info);
	const struct memory_range *map = memory_map(&count);
	layout_init(info);
	memory_map_limit(layout_physical_limit());
	bump_start(map, count, info->early_start, info->early_end);
	layout_build_table(info);
	bump_widen(0, layout_physical_limit());
	layout_build_frame_table();
	numa_init(info);
	frame_init();
	layout_set_frames_ready();
	tlb_init(kernel_mapper.root);
	shrinker_register(&frame_shrinker);
	heap_start();
	space_init();
	quickmap_init((cpu_t)MIN(info->cpu_count, (size_t)CPU_MAX));
	shrinker_register(&kstack_shrinker);

	struct frame_totals t = frame_totals();
	log_info("memory: %llu MiB, %llu KiB reserved, %zu map entries, %u levels of tables",
		 (unsigned long long)(t.total >> (20 - PAGE_SHIFT)),
		 (unsigned long long)(t.reserved << (PAGE_SHIFT - 10)), count,
		 hal.mmu.geometry()->levels);
	return KERR_OK;
}

static enum kerr memory_health(void)
{
	struct frame_totals t = frame_totals();
	return t.free <= t.total ? KERR_OK : KERR_IO;
}

static const struct init_ops memory_ops = {.init = memory_init, .health_check = memory_health};
INIT_SUBSYSTEM(memory, .phase = INIT_EARLY, .priority = 0, .requires = INIT_CONSOLE,
	       .provides = INIT_MEMORY | INIT_HEAP, .ops = &memory_ops);

void memory_release_boot_range(paddr_t start, paddr_t end)
{
	size_t count;
	const struct memory_range *map = memory_map(&count);
	for (size_t i = 0; i < count; i++) {
		const struct memory_range *r = &map[i];
		if (r->kind != BOOT_MEM_BOOTLOADER || r->start < start || r->end > end)
			continue;
		pfn_t first = ALIGN_UP(r->start, PAGE_SIZE) >> PAGE_SHIFT;
		pfn_t after = MIN(r->end, layout_physical_limit()) >> PAGE_SHIFT;
		memory_map_set_usable(i);
		if (first < after)
			frame_release(first, after);
	}
}

/*
 * The end of the boot: what only the boot needed becomes free, what only the boot writes becomes
 * read-only, and every kernel mapping is looked at.
 */
static enum kerr memory_seal(const struct boot_info *info)
{
	if (info->image_end > info->image_start) {
		layout_seal(info);
		paddr_t text = info->image_start + (paddr_t)(__init_text_start - __image_start);
		paddr_t end = info->image_start + (paddr_t)(__init_text_end - __image_start);
		frame_release(text >> PAGE_SHIFT, end >> PAGE_SHIFT);
		log_info("memory: %llu KiB of boot code unmapped and given back",
			 (unsigned long long)((end - text) >> 10));
	}
	for (size_t i = 0; i < info->module_count; i++)
		memory_release_boot_range(info->modules[i].start, info->modules[i].end);
	size_t bad = memory_audit();
	if (bad)
		panic("memory: %zu kernel mappings are writable and executable", bad);
	return KERR_OK;
}

static const struct init_ops seal_ops = {.init = memory_seal};
INIT_SUBSYSTEM(memory_seal, .phase = INIT_RUNTIME, .priority = 0, .requires = INIT_MEMORY,
	       INIT_DEPENDS("memory"), .ops = &seal_ops);

void memory_stats(struct memory_stats *out)
{
	struct frame_totals t = frame_totals();
	*out = (struct memory_stats){
		.total = t.total,
		.free = t.free,
		.reserved = t.reserved,
		.kernel_stacks = kstack_frame_count(),
		.slab = heap_frame_count(),
		.kmap = kmap_frame_count(),
		.kmap_total = kernel_areas[AREA_KMAP].end - kernel_areas[AREA_KMAP].start,
	};
	space_stats(out);
	struct hugepool_stats pool;
	hugepool_stats(&pool);
	uint64_t shared = hugetlb_shared_frames();
	uint64_t own = (pool.total - pool.free) * (HUGE_SIZE / PAGE_SIZE) - shared;
	out->cached -= MIN(out->cached, shared);
	out->anonymous -= MIN(out->anonymous, own);
	out->page_tables += atomic_load_explicit(&kernel_mapper.tables, memory_order_relaxed);
}
