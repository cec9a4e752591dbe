/*
 * From entry.S to the kernel: relocate, understand the loader, hand over. Until boot_relocate() has
 * returned no pointer in data may be used.
 */
#include "cpu.h"
#include "firmware.h"
#include "kernel.ld.h"

#include <hal/image.h>
#include <hal/upcall.h>

#define DIRECT_MAP 0xffff800000000000ull

enum { PROTOCOL_PVH, PROTOCOL_MULTIBOOT2, PROTOCOL_UNKNOWN };

[[noreturn]] void boot_main(paddr_t loader_info, unsigned protocol);

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
	firmware_smp_pages(&source);
	core_boot_main(boot_info_build(&source, &early, x86_cpu_apic_id()));
}
