/* What both protocols share: memory as the firmware left it, and ACPI's list of CPUs. */
#pragma once

#include "acpi.h"
#include "boot.h"

#define EARLY_END (1ull << 32) /* entry.S maps this much */

/* Where entry.S puts the direct map; where it is by now. */
#define FIRMWARE_DIRECT_MAP 0xffff800000000000ull
extern vaddr_t firmware_direct_map;

/* The early tables' view of [address, address + size); null: not mapped. */
const void *firmware_map(paddr_t address, size_t size);
/* A string in the first 4 GiB, "" if `address` is 0 or no end is near. */
const char *firmware_string(paddr_t address);
/* Type numbers of the BIOS memory map, which both protocols use (ACPI 6.5, table 15.8). */
struct boot_region firmware_region(uint64_t start, uint64_t size, uint32_t type);
/* Regions that are taken whatever the map says: index < FIRMWARE_REGIONS. */
#define FIRMWARE_REGIONS 2
bool firmware_fixed_region(size_t index, struct boot_region *out);
/* Sets low pages aside in which the other CPUs can start; from then on a fixed region. */
void firmware_smp_pages(const struct boot_source *s);
/* Finds ACPI (at `rsdp`, or where a BIOS puts it if 0); what firmware_cpu() lists. */
paddr_t firmware_acpi(paddr_t rsdp);
bool firmware_cpu(const struct boot_source *s, size_t index, struct boot_cpu *out);
bool firmware_node_range(const struct boot_source *s, size_t index, struct boot_node_range *out);
bool firmware_distance(const struct boot_source *s, size_t index, struct boot_distance *out);

/* The protocols: from the address that the loader gave. Stop with core_panic if it is no good. */
void pvh_source(paddr_t start_info, struct boot_source *out);
void multiboot2_source(paddr_t info, struct boot_source *out);
