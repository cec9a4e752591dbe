/* RISC-V 64: the first C at the kernel's own addresses. */
#include <hal/upcall.h>

#include "early_tables.h"
#include "fdt_source.h"

[[noreturn]] void boot_main(uint64_t hart);

void boot_main(uint64_t hart)
{
	static struct fdt_source source;
	const struct boot_early *early = &early_tables.early;
	if (!boot_relocate(early->image_base, 0))
		for (;;) /* the image is damaged: not even a message is safe */
			;
	fdt_source_open(&source, "riscv-image",
			(const void *)(early->direct_map + early_tables.fdt),
			early_tables.fdt_limit);
	core_boot_main(boot_info_build(&source.source, early, hart));
}
