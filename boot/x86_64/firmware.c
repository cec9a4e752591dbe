/*
 * Firmware memory and ACPI, on the boot CPU with the early tables on. The tables are found once,
 * by firmware_acpi(), and walked for each item.
 */
#include "firmware.h"

#include "smp.h"

#include <lib/compiler.h>

#define STRING_MAX 65536
#define EBDA_POINTER 0x40e
#define BIOS_START 0xe0000
#define BIOS_END 0x100000

/* A start-up message can name a page below 1 MiB; above 0xa0000 is the PC's video memory. */
#define SMP_LOWEST 0x8000
#define SMP_HIGHEST 0xa0000

vaddr_t firmware_direct_map = FIRMWARE_DIRECT_MAP;
static struct acpi_table madt, srat, slit; /* length 0: there is none */
static struct boot_region smp_region = {0, 0, BOOT_MEM_RESERVED, "none"};

const void *firmware_map(paddr_t address, size_t size)
{
	if (address >= EARLY_END || size > EARLY_END - address)
		return nullptr;
	return (const void *)(firmware_direct_map + address);
}

static const void *acpi_map(void *context, paddr_t address, size_t size)
{
	return firmware_map(address, size);
}

const char *firmware_string(paddr_t address)
{
	const char *s = firmware_map(address, 1);
	if (!address || !s)
		return "";
	for (size_t i = 0; i < STRING_MAX && address + i < EARLY_END; i++)
		if (!s[i])
			return s;
	return "";
}

struct boot_region firmware_region(uint64_t start, uint64_t size, uint32_t type)
{
	static const struct {
		enum boot_memory_kind kind;
		const char *name;
	} kinds[] = {
		[0] = {BOOT_MEM_RESERVED, "Reserved"},
		[1] = {BOOT_MEM_USABLE, "System RAM"},
		[2] = {BOOT_MEM_RESERVED, "Reserved"},
		[3] = {BOOT_MEM_ACPI_RECLAIM, "ACPI Tables"},
		[4] = {BOOT_MEM_ACPI_NVS, "ACPI Non-volatile Storage"},
		[5] = {BOOT_MEM_BAD, "Unusable memory"},
	};
	uint64_t end = size > UINT64_MAX - start ? UINT64_MAX : start + size;
	type = type < ARRAY_SIZE(kinds) ? type : 0;
	return (struct boot_region){start, end, kinds[type].kind, kinds[type].name};
}

bool firmware_fixed_region(size_t index, struct boot_region *out)
{
	static const struct boot_region vectors = {
		0,
		PAGE_SIZE,
		BOOT_MEM_RESERVED,
		"Real-mode vectors",
	};
	if (index >= FIRMWARE_REGIONS)
		return false;
	*out = index ? smp_region : vectors;
	return true;
}

/* [start, end) is usable memory, all of it, that holds nothing. */
static bool memory_is_free(const struct boot_source *s, paddr_t start, paddr_t end)
{
	struct boot_region region;
	struct boot_module module;
	bool usable = false;
	for (size_t i = 0; s->region(s, i, &region); i++) {
		if (region.kind == BOOT_MEM_USABLE)
			usable |= region.start <= start && end <= region.end;
		else if (region.start < end && start < region.end)
			return false;
	}
	for (size_t i = 0; s->module(s, i, &module); i++)
		if (module.start < end && start < module.end)
			return false;
	return usable;
}

void firmware_smp_pages(const struct boot_source *s)
{
	paddr_t size = SMP_LOW_PAGES * PAGE_SIZE;
	for (paddr_t at = SMP_LOWEST; at + size <= SMP_HIGHEST; at += PAGE_SIZE) {
		if (!memory_is_free(s, at, at + size))
			continue;
		smp_region = (struct boot_region){at, at + size, BOOT_MEM_RESERVED, SMP_REGION};
		return;
	}
}

/* ACPI 6.5, 5.2.5.1: the first KiB of the extended BIOS data area, then the BIOS itself. */
static paddr_t rsdp_search(const struct acpi_reader *reader)
{
	const volatile uint16_t *segment = firmware_map(EBDA_POINTER, 2);
	paddr_t ebda = (paddr_t)*segment << 4;
	paddr_t rsdp = ebda ? acpi_rsdp_scan(reader, ebda, ebda + 1024) : 0;
	return rsdp ? rsdp : acpi_rsdp_scan(reader, BIOS_START, BIOS_END);
}

paddr_t firmware_acpi(paddr_t rsdp)
{
	struct acpi_reader reader = {acpi_map, nullptr};
	if (!rsdp || !acpi_rsdp_valid(&reader, rsdp))
		rsdp = rsdp_search(&reader);
	if (!rsdp || !acpi_table_find(&reader, rsdp, "APIC", &madt))
		madt.length = 0;
	if (!rsdp || !acpi_table_find(&reader, rsdp, "SRAT", &srat))
		srat.length = 0;
	if (!rsdp || !acpi_table_find(&reader, rsdp, "SLIT", &slit))
		slit.length = 0;
	return rsdp;
}

static uint32_t domain_of_cpu(uint32_t apic_id)
{
	struct acpi_srat_entry e;
	for (size_t at = 0; acpi_srat_next(&srat, &at, &e);)
		if (!e.memory && e.apic_id == apic_id)
			return e.domain;
	return 0;
}

bool firmware_node_range(const struct boot_source *s, size_t index, struct boot_node_range *out)
{
	struct acpi_srat_entry e;
	for (size_t at = 0; acpi_srat_next(&srat, &at, &e);) {
		if (!e.memory || index--)
			continue;
		*out = (struct boot_node_range){e.start, e.end, e.domain};
		return true;
	}
	return false;
}

bool firmware_distance(const struct boot_source *s, size_t index, struct boot_distance *out)
{
	return acpi_slit_at(&slit, index, &out->from, &out->to, &out->distance);
}

bool firmware_cpu(const struct boot_source *s, size_t index, struct boot_cpu *out)
{
	struct acpi_madt_entry e;
	for (size_t at = 0; acpi_madt_next(&madt, &at, &e);) {
		if (e.kind != ACPI_MADT_CPU || index--)
			continue;
		*out = (struct boot_cpu){
			.hardware_id = e.id, .firmware_id = e.uid, .domain = domain_of_cpu(e.id)};
		return true;
	}
	return false;
}
