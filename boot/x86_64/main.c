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

#define DIRECT_MAP 0xffff800000000000ull

enum { PROTOCOL_PVH, PROTOCOL_MULTIBOOT2, PROTOCOL_UNKNOWN };

void boot_five_levels(void);
[[noreturn]] void boot_main(paddr_t loader_info, unsigned protocol);

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
		.direct_map = DIRECT_MAP,
		.early_end = EARLY_END,
	};
	if (!boot_relocate((vaddr_t)__image_start, 0))
		x86_cpu_halt(); /* not even the console's functions can be called */
	x86_cpu_boot(); /* from here on a fault is reported, not a reset */
	if (protocol == PROTOCOL_PVH)
		pvh_source(loader_info, &source);
	else if (protocol == PROTOCOL_MULTIBOOT2)
		multiboot2_source(loader_info, &source);
	else
		core_panic("boot: started by a loader that is neither PVH nor Multiboot2");
	choose_levels(source.command_line);
	firmware_smp_pages(&source);
	core_boot_main(boot_info_build(&source, &early, x86_cpu_apic_id()));
}
