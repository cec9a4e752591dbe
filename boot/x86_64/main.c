/*
 * From entry.S to the kernel: relocate, understand the loader, hand over. Until boot_relocate() has
 * returned no pointer in data may be used.
 */
#include "cpu.h"
#include "firmware.h"
#include "kernel.ld.h"

#include <hal/image.h>
#include <hal/upcall.h>
#include <lib/string.h>

enum { PROTOCOL_PVH, PROTOCOL_MULTIBOOT2, PROTOCOL_UNKNOWN };

void boot_five_levels(void);
[[noreturn]] void boot_main(paddr_t loader_info, unsigned protocol);

/* entry.S's tables. */
extern uint64_t early_root[512], early_level2[512], early_direct[512];

#define PTE_TABLE 3ull /* present, writable */
#define ROOT_SLOT 256 /* of FIRMWARE_DIRECT_MAP */
#define EARLY_GIBS (EARLY_END >> 30)

/* The direct map a second time, at a random base; both are there until mm has its own tables. */
static void direct_map_move(const struct boot_source *source)
{
	uint64_t hardware = 0;
	x86_cpu_entropy(&hardware);
	uint64_t gib = boot_slide(source, hardware, BOOT_SLIDE_BITS) >> 30;
	if (gib % 512 > 512 - EARLY_GIBS)
		gib -= EARLY_GIBS;
	for (size_t i = 0; i < EARLY_GIBS; i++)
		early_direct[gib % 512 + i] = early_level2[i];
	if (gib)
		early_root[ROOT_SLOT + gib / 512] =
			((vaddr_t)early_direct - (vaddr_t)__image_start + KERNEL_LMA) | PTE_TABLE;
	firmware_direct_map = FIRMWARE_DIRECT_MAP + (gib << 30);
}

static void source_read(paddr_t loader_info, unsigned protocol, struct boot_source *source)
{
	if (protocol == PROTOCOL_PVH)
		pvh_source(loader_info, source);
	else if (protocol == PROTOCOL_MULTIBOOT2)
		multiboot2_source(loader_info, source);
	else
		core_panic("boot: started by a loader that is neither PVH nor Multiboot2");
}

/*
 * Five levels of tables if "paging=la57" asks and the CPU has them. Not otherwise: each walk and each
 * process pays for the fifth. A loader that has chosen five already is left at that.
 */
static void choose_levels(const char *command_line)
{
	if (strstr(command_line, "paging=la57") && x86_features.five_levels &&
	    !(x86_read_cr4() & CR4_LA57))
		boot_five_levels();
}

void boot_main(paddr_t loader_info, unsigned protocol)
{
	struct boot_source source;
	struct boot_early early = {
		.image_start = KERNEL_LMA,
		.image_end = KERNEL_LMA + (paddr_t)(__image_end - __image_start),
		.image_base = (vaddr_t)__image_start,
		.early_end = EARLY_END,
	};
	if (!boot_relocate((vaddr_t)__image_start, 0))
		x86_cpu_halt(); /* not even the console's functions can be called */
	x86_cpu_boot(); /* from here on a fault is reported, not a reset */
	source_read(loader_info, protocol, &source);
	choose_levels(source.command_line);
	direct_map_move(&source);
	source_read(loader_info, protocol, &source); /* with pointers into the new one */
	early.direct_map = firmware_direct_map;
	firmware_smp_pages(&source);
	core_boot_main(boot_info_build(&source, &early, x86_cpu_apic_id()));
}
