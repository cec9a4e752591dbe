/*
 * What the boot hands to the kernel, whichever way control arrived (PVH, Multiboot2, a Linux
 * boot header with a device tree). boot/ builds exactly one; all arrays lie in memory that boot/
 * took from the map itself and listed there as BOOT_MEM_BOOTLOADER, so there are no limits on
 * counts. Addresses in it are physical unless the type is a pointer; pointers are valid in the
 * direct map, for the life of the kernel until core says the boot has ended.
 */
#pragma once

#include <hal/types.h>

enum boot_memory_kind {
	BOOT_MEM_USABLE,
	BOOT_MEM_RESERVED,
	BOOT_MEM_ACPI_RECLAIM,
	BOOT_MEM_ACPI_NVS,
	BOOT_MEM_BAD,
	BOOT_MEM_KERNEL,
	BOOT_MEM_BOOTLOADER, /* boot_info itself, modules' list: given back after the boot */
	BOOT_MEM_DEVICE,
};

/* Firmware maps may be unsorted and overlap: mm sorts them, the more restrictive kind wins. */
struct boot_region {
	paddr_t start, end; /* bytes, end is the first byte after; need not be page aligned */
	enum boot_memory_kind kind;
	const char *name; /* for /proc/iomem, never null: "System RAM", "ACPI Tables", "dtb" */
};

struct boot_module {
	paddr_t start, end;
	const char *name; /* module command line or "initrd"; never null */
};

struct boot_framebuffer {
	paddr_t address; /* 0: there is none */
	uint32_t width, height, stride, bits_per_pixel;
	uint8_t red_shift, green_shift, blue_shift;
};

struct boot_cpu {
	uint64_t hardware_id; /* APIC id, MPIDR affinity bits, hart id */
	uint32_t firmware_id; /* ACPI processor uid or device-tree phandle; for diagnostics */
	uint32_t domain; /* firmware's number of the memory node it is on; 0 if it tells none */
};

/* Memory of one node (NUMA). What no range names is on the first node. */
struct boot_node_range {
	paddr_t start, end;
	uint32_t domain; /* firmware's number: any, with gaps */
};

struct boot_distance {
	uint32_t from, to; /* domains */
	uint8_t distance; /* 10: the same node, 20: twice as far */
};

struct boot_info {
	const char *protocol; /* "pvh", "multiboot2", "arm64-image", "riscv-image", "host" */
	const char *command_line;
	struct boot_region *regions;
	size_t region_count;
	struct boot_module *modules;
	size_t module_count;
	struct boot_cpu *cpus; /* [0] is the one that runs now */
	size_t cpu_count;
	struct boot_node_range *node_ranges;
	size_t node_range_count; /* 0: one node */
	struct boot_distance *distances;
	size_t distance_count;
	paddr_t rsdp; /* ACPI root pointer, 0: none */
	const void *fdt; /* flattened device tree, null: none */
	paddr_t image_start, image_end; /* where the kernel image lies, page aligned */
	vaddr_t image_base; /* the virtual address of image_start */
	vaddr_t direct_map; /* virtual = direct_map + physical, from the first C line on */
	paddr_t early_end; /* the early tables map at least all RAM that boot_info and the
			       frames for the first tables come from: [early_start, early_end) */
	paddr_t early_start;
	paddr_t console_mmio; /* registers the early console uses through the direct map */
	size_t console_mmio_size; /* 0: none (ports, SBI) */
	struct boot_framebuffer framebuffer;
	const void *seed; /* entropy from the firmware */
	size_t seed_size;
	const char *machine; /* for people: "QEMU Virtual Machine"; set by hal.platform.early */
	nsec_t entered; /* hal.timer.now() at the kernel's first instruction; raw ticks of that
				  clock until hal.platform.init */
	uint64_t wall_seconds; /* since 1970 at the time of hal.platform.init; 0: unknown */
};
