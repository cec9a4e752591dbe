/*
 * ACPI's static tables, as far as booting needs them: finding a table, the interrupt model (MADT),
 * power registers (FADT) and the one AML object for power off (_S5_). Nothing is trusted:
 * each length and checksum is verified before use. Source: ACPI 6.5, chapter 5.
 *
 * All reads of physical memory go through a reader, so that the boot, the kernel and a fuzzer on
 * the host share this code.
 */
#pragma once

#include <hal/types.h>

struct acpi_reader {
	/* A pointer to [address, address + size), null: not readable. Stays valid. */
	const void *(*map)(void *context, paddr_t address, size_t size);
	void *context;
};

/* A table whose length and checksum were right. `bytes` begins with the 36 bytes of header. */
struct acpi_table {
	const uint8_t *bytes;
	uint32_t length;
};

/* The root pointer at `address` is one. */
bool acpi_rsdp_valid(const struct acpi_reader *r, paddr_t address);
/* Looks for the root pointer in [start, end), at each multiple of 16; 0: none. */
paddr_t acpi_rsdp_scan(const struct acpi_reader *r, paddr_t start, paddr_t end);
/* First table with this signature of four letters; false: none that is valid. */
bool acpi_table_find(const struct acpi_reader *r, paddr_t rsdp, const char *signature,
		     struct acpi_table *out);
bool acpi_table_at(const struct acpi_reader *r, paddr_t address, const char *signature,
		   struct acpi_table *out);

enum acpi_madt_kind {
	ACPI_MADT_CPU, /* only those that can be used now */
	ACPI_MADT_IO_APIC,
	ACPI_MADT_OVERRIDE, /* ISA interrupt `irq` is `gsi` */
	ACPI_MADT_LOCAL_APIC_ADDRESS,
};

struct acpi_madt_entry {
	enum acpi_madt_kind kind;
	uint32_t id; /* APIC id of a CPU or an I/O APIC */
	uint32_t uid; /* of a CPU */
	paddr_t address; /* registers */
	uint32_t gsi; /* I/O APIC: its first line */
	uint8_t irq;
	bool active_low, level;
};

/* Decodes the entry at *offset (start with 0) and those it does not know after it, moves *offset
 * behind it; false: no more, or the rest is corrupt. */
bool acpi_madt_next(const struct acpi_table *madt, size_t *offset, struct acpi_madt_entry *out);
paddr_t acpi_madt_local_apic(const struct acpi_table *madt);

/* SRAT: which node a CPU or a range of memory is on; only entries that are enabled. */
struct acpi_srat_entry {
	bool memory;
	uint32_t domain;
	uint32_t apic_id;   /* of a CPU */
	paddr_t start, end; /* of memory */
};

/* As acpi_madt_next. */
bool acpi_srat_next(const struct acpi_table *srat, size_t *offset, struct acpi_srat_entry *out);
/* SLIT: the `index`th cell of the matrix of distances; false: past its end, or corrupt. */
bool acpi_slit_at(const struct acpi_table *slit, size_t index, uint32_t *from, uint32_t *to,
		  uint8_t *distance);

struct acpi_fadt {
	paddr_t dsdt;
	uint16_t smi_command; /* port; 0: ACPI mode needs no switching on */
	uint8_t acpi_enable; /* what to write there */
	uint16_t pm1a_control, pm1b_control; /* ports, 0: none */
	uint16_t pm_timer; /* port, 0: none */
	bool pm_timer_32; /* counts 32 bits, else 24 */
	uint8_t reset_space; /* 0 memory, 1 port, 2 PCI configuration; 0xff: none */
	uint64_t reset_address;
	uint8_t reset_value;
};

bool acpi_fadt_read(const struct acpi_table *fadt, struct acpi_fadt *out);
/* SLP_TYPa and SLP_TYPb of power off, from the DSDT's _S5_ package; false: there is none. */
bool acpi_s5_read(const struct acpi_table *dsdt, uint8_t *type_a, uint8_t *type_b);
