/*
 * ACPI tables: see acpi.h. Byte offsets are those of ACPI 6.5: 5.2.5.3 (RSDP), 5.2.6 (header),
 * 5.2.7/8 (RSDT, XSDT), 5.2.9 (FADT), 5.2.12 (MADT), 7.4.2 (_S5_), 20.2 (AML encoding).
 * Tables are packed and unaligned: fields are read by memcpy, never through a struct.
 * Rejected: an AML interpreter for the one constant package that power off needs; firmware writes
 * _S5_ as a literal package, which a scan for its name finds.
 */
#include "acpi.h"

#include <lib/string.h>

#define HEADER_SIZE 36
#define RSDP_V1_SIZE 20
#define RSDP_V2_SIZE 36
#define TABLE_SIZE_MAX (16u << 20) /* a length beyond is garbage */

static uint64_t field(const uint8_t *at, size_t size)
{
	uint64_t value = 0;
	memcpy(&value, at, size); /* ACPI is little-endian, so are the machines that have it */
	return value;
}

static bool sum_is_zero(const uint8_t *bytes, size_t size)
{
	uint8_t sum = 0;
	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return !sum;
}

static const uint8_t *map(const struct acpi_reader *r, paddr_t address, size_t size)
{
	if (!address || address + size < address)
		return nullptr;
	return r->map(r->context, address, size);
}

/* ---- Root pointer, table of tables --------------------------------------------------------- */

static const uint8_t *rsdp_get(const struct acpi_reader *r, paddr_t address)
{
	const uint8_t *p = map(r, address, RSDP_V1_SIZE);
	if (!p || memcmp(p, "RSD PTR ", 8) || !sum_is_zero(p, RSDP_V1_SIZE))
		return nullptr;
	if (p[15] < 2)
		return p;
	p = map(r, address, RSDP_V2_SIZE);
	return p && sum_is_zero(p, RSDP_V2_SIZE) ? p : nullptr;
}

bool acpi_rsdp_valid(const struct acpi_reader *r, paddr_t address)
{
	return rsdp_get(r, address) != nullptr;
}

paddr_t acpi_rsdp_scan(const struct acpi_reader *r, paddr_t start, paddr_t end)
{
	for (paddr_t at = start; at + RSDP_V1_SIZE <= end; at += 16)
		if (rsdp_get(r, at))
			return at;
	return 0;
}

bool acpi_table_at(const struct acpi_reader *r, paddr_t address, const char *signature,
		   struct acpi_table *out)
{
	const uint8_t *p = map(r, address, HEADER_SIZE);
	if (!p || (signature && memcmp(p, signature, 4)))
		return false;
	uint32_t length = (uint32_t)field(p + 4, 4);
	if (length < HEADER_SIZE || length > TABLE_SIZE_MAX)
		return false;
	p = map(r, address, length);
	if (!p || !sum_is_zero(p, length))
		return false;
	*out = (struct acpi_table){p, length};
	return true;
}

bool acpi_table_find(const struct acpi_reader *r, paddr_t rsdp, const char *signature,
		     struct acpi_table *out)
{
	const uint8_t *p = rsdp_get(r, rsdp);
	struct acpi_table root;
	size_t width = 8;
	if (!p)
		return false;
	if (p[15] < 2 || !acpi_table_at(r, field(p + 24, 8), "XSDT", &root)) {
		width = 4;
		if (!acpi_table_at(r, field(p + 16, 4), "RSDT", &root))
			return false;
	}
	for (size_t at = HEADER_SIZE; at + width <= root.length; at += width)
		if (acpi_table_at(r, field(root.bytes + at, width), signature, out))
			return true;
	return false;
}

/* ---- MADT ---------------------------------------------------------------------------------- */

#define MADT_HEADER 44
#define MADT_CPU 0
#define MADT_IO_APIC 1
#define MADT_OVERRIDE 2
#define MADT_ADDRESS 5
#define MADT_X2APIC 9
#define CPU_ENABLED 1

/* False: of a kind that is not for us, or too short for its kind. */
static bool madt_decode(const uint8_t *e, size_t length, struct acpi_madt_entry *out)
{
	*out = (struct acpi_madt_entry){};
	if (e[0] == MADT_CPU && length >= 8) {
		*out = (struct acpi_madt_entry){.kind = ACPI_MADT_CPU, .uid = e[2], .id = e[3]};
		return field(e + 4, 4) & CPU_ENABLED && e[3] != 0xff;
	}
	if (e[0] == MADT_X2APIC && length >= 16) {
		out->kind = ACPI_MADT_CPU;
		out->id = (uint32_t)field(e + 4, 4);
		out->uid = (uint32_t)field(e + 12, 4);
		return field(e + 8, 4) & CPU_ENABLED && out->id != UINT32_MAX;
	}
	if (e[0] == MADT_IO_APIC && length >= 12) {
		out->kind = ACPI_MADT_IO_APIC;
		out->id = e[2];
		out->address = field(e + 4, 4);
		out->gsi = (uint32_t)field(e + 8, 4);
		return true;
	}
	if (e[0] == MADT_OVERRIDE && length >= 10) {
		unsigned flags = (unsigned)field(e + 8, 2);
		out->kind = ACPI_MADT_OVERRIDE;
		out->irq = e[3];
		out->gsi = (uint32_t)field(e + 4, 4);
		out->active_low = (flags & 3) == 3;
		out->level = (flags >> 2 & 3) == 3;
		return true;
	}
	if (e[0] == MADT_ADDRESS && length >= 12) {
		out->kind = ACPI_MADT_LOCAL_APIC_ADDRESS;
		out->address = field(e + 4, 8);
		return true;
	}
	return false;
}

bool acpi_madt_next(const struct acpi_table *madt, size_t *offset, struct acpi_madt_entry *out)
{
	if (*offset < MADT_HEADER)
		*offset = MADT_HEADER;
	while (*offset + 2 <= madt->length) {
		const uint8_t *e = madt->bytes + *offset;
		size_t length = e[1];
		if (length < 2 || length > madt->length - *offset)
			return false;
		*offset += length;
		if (madt_decode(e, length, out))
			return true;
	}
	return false;
}

paddr_t acpi_madt_local_apic(const struct acpi_table *madt)
{
	struct acpi_madt_entry entry;
	paddr_t address = madt->length >= MADT_HEADER ? field(madt->bytes + 36, 4) : 0;
	for (size_t at = 0; acpi_madt_next(madt, &at, &entry);)
		if (entry.kind == ACPI_MADT_LOCAL_APIC_ADDRESS)
			address = entry.address;
	return address;
}

/* ---- SRAT, SLIT: nodes (ACPI 6.5, 5.2.16 and 5.2.17) --------------------------------------- */

#define SRAT_HEADER 48
#define SRAT_CPU 0
#define SRAT_MEMORY 1
#define SRAT_X2APIC 2
#define SRAT_ENABLED 1
#define SLIT_HEADER 44

static bool srat_decode(const uint8_t *e, size_t length, struct acpi_srat_entry *out)
{
	*out = (struct acpi_srat_entry){};
	if (e[0] == SRAT_CPU && length >= 16) {
		out->domain = (uint32_t)(e[2] | field(e + 9, 3) << 8);
		out->apic_id = e[3];
		return field(e + 4, 4) & SRAT_ENABLED;
	}
	if (e[0] == SRAT_X2APIC && length >= 24) {
		out->domain = (uint32_t)field(e + 4, 4);
		out->apic_id = (uint32_t)field(e + 8, 4);
		return field(e + 12, 4) & SRAT_ENABLED;
	}
	if (e[0] == SRAT_MEMORY && length >= 40) {
		out->memory = true;
		out->domain = (uint32_t)field(e + 2, 4);
		out->start = field(e + 8, 8);
		return field(e + 28, 4) & SRAT_ENABLED &&
		       !__builtin_add_overflow(out->start, field(e + 16, 8), &out->end) &&
		       out->start < out->end;
	}
	return false;
}

bool acpi_srat_next(const struct acpi_table *srat, size_t *offset, struct acpi_srat_entry *out)
{
	if (*offset < SRAT_HEADER)
		*offset = SRAT_HEADER;
	while (*offset + 2 <= srat->length) {
		const uint8_t *e = srat->bytes + *offset;
		size_t length = e[1];
		if (length < 2 || length > srat->length - *offset)
			return false;
		*offset += length;
		if (srat_decode(e, length, out))
			return true;
	}
	return false;
}

bool acpi_slit_at(const struct acpi_table *slit, size_t index, uint32_t *from, uint32_t *to,
		  uint8_t *distance)
{
	if (slit->length < SLIT_HEADER)
		return false;
	uint64_t nodes = field(slit->bytes + 36, 8);
	if (nodes > UINT16_MAX || nodes * nodes > slit->length - SLIT_HEADER ||
	    index >= nodes * nodes)
		return false;
	*from = (uint32_t)(index / nodes);
	*to = (uint32_t)(index % nodes);
	*distance = slit->bytes[SLIT_HEADER + index];
	return true;
}

/* ---- FADT, _S5_ ---------------------------------------------------------------------------- */

#define FADT_RESET_SUPPORTED (1u << 10)
#define FADT_TIMER_32 (1u << 8)
#define SPACE_PORT 1

/* The port of a register block: the structure at `wide` where it is there and names a port. */
static uint16_t fadt_port(const struct acpi_table *t, size_t narrow, size_t wide)
{
	if (t->length >= wide + 12 && t->bytes[wide] == SPACE_PORT && field(t->bytes + wide + 4, 8))
		return (uint16_t)field(t->bytes + wide + 4, 8);
	return (uint16_t)field(t->bytes + narrow, 4);
}

bool acpi_fadt_read(const struct acpi_table *t, struct acpi_fadt *out)
{
	*out = (struct acpi_fadt){.reset_space = 0xff};
	if (t->length < 116) /* ACPI 1.0 */
		return false;
	uint32_t flags = (uint32_t)field(t->bytes + 112, 4);
	out->dsdt = field(t->bytes + 40, 4);
	if (t->length >= 148 && field(t->bytes + 140, 8))
		out->dsdt = field(t->bytes + 140, 8);
	out->smi_command = (uint16_t)field(t->bytes + 48, 4);
	out->acpi_enable = t->bytes[52];
	out->pm1a_control = fadt_port(t, 64, 172);
	out->pm1b_control = fadt_port(t, 68, 184);
	out->pm_timer = fadt_port(t, 76, 208);
	out->pm_timer_32 = flags & FADT_TIMER_32;
	if (flags & FADT_RESET_SUPPORTED && t->length >= 129) {
		out->reset_space = t->bytes[116];
		out->reset_address = field(t->bytes + 120, 8);
		out->reset_value = t->bytes[128];
	}
	return true;
}

#define AML_PACKAGE 0x12
#define AML_BYTE_PREFIX 0x0a

/* A small constant: ZeroOp, OneOp, or BytePrefix and a byte. */
static bool aml_small(const uint8_t *aml, size_t size, size_t *at, uint8_t *out)
{
	if (*at < size && aml[*at] == AML_BYTE_PREFIX)
		(*at)++;
	else if (*at < size && aml[*at] > 1)
		return false;
	if (*at >= size)
		return false;
	*out = aml[(*at)++];
	return true;
}

bool acpi_s5_read(const struct acpi_table *dsdt, uint8_t *type_a, uint8_t *type_b)
{
	const uint8_t *aml = dsdt->bytes;
	size_t size = dsdt->length;
	for (size_t i = HEADER_SIZE; i + 8 < size; i++) {
		if (memcmp(aml + i, "_S5_", 4) || aml[i + 4] != AML_PACKAGE)
			continue;
		/* PkgLength takes 1 to 4 bytes, told by the first one's top bits; then a count. */
		size_t at = i + 5;
		at += 1 + (aml[at] >> 6) + 1;
		if (aml_small(aml, size, &at, type_a) && aml_small(aml, size, &at, type_b))
			return true;
	}
	return false;
}
