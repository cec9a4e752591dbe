/*
 * From the first C line at the linked address to core_boot_main: bss, relocation, the console's
 * registers into the early tables, and the device tree to struct boot_info.
 */
#include "early.h"
#include "fdt_source.h"

#include <hal/image.h>
#include <hal/upcall.h>
#include <lib/compiler.h>
#include <lib/string.h>

#define BLOCK_SIZE 0x200000ull
#define PROTOCOL "arm64-image"
#define PL011_OF_VIRT 0x09000000ull /* QEMU's virt machine */
#define PL011_ID 0xfe0        /* PeriphID0 to 3, PCellID0 to 3 */
#define MPIDR_AFFINITY 0xff00ffffffull

[[noreturn]] void boot_main(paddr_t fdt, paddr_t image);

/* For a console in a GiB that is RAM too: that GiB in 2 MiB blocks. */
alignas(4096) static uint64_t console_blocks[512];

/* early_area.direct, moved up: two tables, for it may straddle them. */
alignas(4096) static uint64_t moved_direct[2 * 512];

static struct fdt_source source;

/* Everything but the area that is in use already. */
static void bss_clear(void)
{
	char *area = (char *)&early_area;
	memset(__bss_start, 0, (size_t)(area - __bss_start));
	memset(area + sizeof(early_area), 0, (size_t)(__bss_end - area) - sizeof(early_area));
}

static void console_map(paddr_t base, paddr_t image)
{
	uint64_t *entry = &early_area.direct[base / GIB];
	uint64_t device = EARLY_BLOCK | EARLY_DEVICE | EARLY_NO_EXECUTE;
	if (*entry == 0) {
		*entry = base / GIB * GIB | device;
	} else {
		uint64_t normal = *entry;
		for (uint64_t i = 0; i < 512; i++)
			console_blocks[i] = normal + i * BLOCK_SIZE;
		console_blocks[base % GIB / BLOCK_SIZE] = ALIGN_DOWN(base, BLOCK_SIZE) | device;
		/* Break before make: the block is not accessed between the two. */
		*entry = 0;
		__asm__ volatile("dsb ishst\n\ttlbi vmalle1\n\tdsb nsh\n\tisb" ::: "memory");
		*entry = ((vaddr_t)console_blocks - (vaddr_t)__image_start + image) | EARLY_TABLE;
	}
	__asm__ volatile("dsb ishst\n\tisb" ::: "memory");
}

/* The PL011 that is stdout, if there is one. */
static void console_find(struct boot_early *early)
{
	struct fdt_node node;
	paddr_t base;
	uint64_t size;
	if (!fdt_stdout(&source.fdt, &node) ||
	    !fdt_is_compatible(&source.fdt, &node, "arm,pl011") ||
	    !fdt_reg(&source.fdt, &node, 0, &base, &size) || base >= 512 * GIB)
		return;
	console_map(base, early->image_start);
	early->console_mmio = base;
	early->console_mmio_size = size;
}

static bool is_pl011(paddr_t base)
{
	static const uint8_t id[8] = {0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
	const volatile uint8_t *registers = (const volatile uint8_t *)(DIRECT_MAP + base);
	for (size_t i = 0; i < 8; i++) {
		uint32_t value = *(const volatile uint32_t *)(registers + PL011_ID + 4 * i);
		if (value != id[i] && i != 2) /* 2: the revision */
			return false;
	}
	return true;
}

/* Nothing is known of the machine: hal.platform.early will say so, if there is a console where the
 * most common machine has it. Should nothing answer there, the abort ends what had ended anyway. */
[[noreturn]] static void boot_without_tree(paddr_t fdt, paddr_t image)
{
	static struct boot_info info;
	static struct boot_region none[1];
	info = (struct boot_info){
		.protocol = PROTOCOL,
		.command_line = "",
		.machine = "",
		.regions = none,
		.fdt = (const void *)(DIRECT_MAP + fdt),
		.image_start = image,
		.image_end = image + (uint64_t)(__image_end - __image_start),
		.image_base = (vaddr_t)__image_start,
		.direct_map = DIRECT_MAP,
	};
	console_map(PL011_OF_VIRT, image);
	if (is_pl011(PL011_OF_VIRT)) {
		info.console_mmio = PL011_OF_VIRT;
		info.console_mmio_size = PAGE_SIZE;
	}
	core_boot_main(&info);
}

/* The direct map a second time, at a random base; both are there until mm has its own tables. */
static vaddr_t direct_map_move(paddr_t image)
{
	uint64_t gib = boot_slide(&source.source, 0, BOOT_SLIDE_BITS) / GIB;
	uint64_t table = (vaddr_t)moved_direct - (vaddr_t)__image_start + image;
	if (!gib)
		return DIRECT_MAP;
	for (size_t i = 0; i < 512; i++)
		moved_direct[gib % 512 + i] = early_area.direct[i];
	early_area.root[1 + gib / 512] = table | EARLY_TABLE;
	early_area.root[2 + gib / 512] = (table + PAGE_SIZE) | EARLY_TABLE;
	__asm__ volatile("dsb ishst\n\tisb" ::: "memory");
	return DIRECT_MAP + (512 + gib) * GIB;
}

[[noreturn]] void boot_main(paddr_t fdt, paddr_t image)
{
	uint64_t mpidr;
	bss_clear();
	if (!boot_relocate((vaddr_t)__image_start, 0))
		for (;;)
			__asm__ volatile("wfi");
	if (fdt >= 512 * GIB - FDT_REACH ||
	    !fdt_source_try(&source, PROTOCOL, (const void *)(DIRECT_MAP + fdt), FDT_REACH))
		boot_without_tree(fdt, image);
	struct boot_early early = {
		.image_start = image,
		.image_end = image + (uint64_t)(__image_end - __image_start),
		.image_base = (vaddr_t)__image_start,
		.direct_map = DIRECT_MAP,
		.early_start = ALIGN_DOWN(image, GIB),
	};
	early.early_end = ALIGN_UP(early.image_end, GIB);
	console_find(&early);
	early.direct_map = direct_map_move(image);
	fdt_source_open(&source, PROTOCOL, (const void *)(early.direct_map + fdt), FDT_REACH);
	__asm__ volatile("mrs %0, mpidr_el1" : "=r"(mpidr));
	core_boot_main(boot_info_build(&source.source, &early, mpidr & MPIDR_AFFINITY));
}
