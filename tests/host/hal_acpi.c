/*
 * ACPI tables, right and wrong: built in a small "physical memory" whose reader gives copies of
 * exactly the asked size, so that the sanitizers see a read past it.
 */
#include "acpi.h"
#include "harness.h"

#include <stdlib.h>

#define RSDP 0x100
#define RSDT 0x200
#define XSDT 0x400
#define MADT 0x600
#define FADT 0xa00
#define DSDT 0xd00

static uint8_t memory[4096];
static void *copies[4096];
static unsigned copy_count;

static const void *map_copy(void *context, paddr_t address, size_t size)
{
	if (address >= sizeof(memory) || size > sizeof(memory) - address)
		return nullptr;
	unsigned slot = copy_count++ % ARRAY_SIZE(copies);
	free(copies[slot]);
	copies[slot] = malloc(size);
	return memcpy(copies[slot], memory + address, size);
}

static const struct acpi_reader reader = {map_copy, nullptr};

static void put(size_t at, uint64_t value, size_t size)
{
	memcpy(memory + at, &value, size);
}

/* Makes the bytes sum up to zero by the one at `at`. */
static void sum_fix(size_t start, size_t size, size_t at)
{
	uint8_t sum = 0;
	memory[start + at] = 0;
	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + memory[start + i]);
	memory[start + at] = (uint8_t)-sum;
}

static void table_begin(size_t at, const char *signature, uint32_t length)
{
	memcpy(memory + at, signature, 4);
	put(at + 4, length, 4);
}

static void sums_fix(void)
{
	static const size_t tables[] = {RSDT, XSDT, MADT, FADT, DSDT};
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		uint32_t length;
		memcpy(&length, memory + tables[i] + 4, 4);
		if (length <= 0x200)
			sum_fix(tables[i], length, 9);
	}
	sum_fix(RSDP, 20, 8);
	sum_fix(RSDP, 36, 32);
}

static void madt_write(void)
{
	static const uint8_t entries[] = {
		0, 8,  0,    0, 1,  0, 0,    0,                          /* CPU 0 */
		0, 8,  1,    2, 1,  0, 0,    0,                          /* APIC id 2 */
		0, 8,  2,    3, 0,  0, 0,    0,                          /* not enabled */
		9, 16, 0,    0, 0,  1, 0,    0,    1,  0, 0, 0, 3, 0, 0, 0, /* x2APIC id 0x100 */
		1, 12, 4,    0, 0,  0, 0xc0, 0xfe, 0,  0, 0, 0,       /* I/O APIC */
		2, 10, 0,    9, 20, 0, 0,    0,    15, 0, /* ISA 9 is 20, level, low */
		4, 6,  0xff, 0, 0,  1, /* NMI: nothing to us */
	};
	table_begin(MADT, "APIC", 44 + sizeof(entries));
	put(MADT + 36, 0xfee00000, 4);
	memcpy(memory + MADT + 44, entries, sizeof(entries));
}

static void machine_write(void)
{
	memset(memory, 0, sizeof(memory));
	memcpy(memory + RSDP, "RSD PTR ", 8);
	memory[RSDP + 15] = 2;
	put(RSDP + 16, RSDT, 4);
	put(RSDP + 20, 36, 4);
	put(RSDP + 24, XSDT, 8);
	table_begin(RSDT, "RSDT", 36 + 8);
	put(RSDT + 36, MADT, 4);
	put(RSDT + 40, FADT, 4);
	table_begin(XSDT, "XSDT", 36 + 24);
	put(XSDT + 36, 0xfffffffffffffff0, 8); /* nowhere */
	put(XSDT + 44, MADT, 8);
	put(XSDT + 52, FADT, 8);
	madt_write();
	table_begin(FADT, "FACP", 244);
	put(FADT + 40, DSDT, 4);
	put(FADT + 64, 0x604, 4);
	put(FADT + 76, 0x608, 4);
	put(FADT + 112, 1u << 10, 4);
	memory[FADT + 116] = 1;
	put(FADT + 120, 0xcf9, 8);
	memory[FADT + 128] = 0x0f;
	table_begin(DSDT, "DSDT", 64);
	memcpy(memory + DSDT + 40, "\x08_S5_\x12\x06\x04\x0a\x05\x00\x00\x00", 13);
	sums_fix();
}

TEST(acpi_reads_a_machine)
{
	struct acpi_table t;
	struct acpi_madt_entry e;
	struct acpi_fadt f;
	uint8_t a, b;
	size_t at = 0;
	machine_write();
	EXPECT_EQ(acpi_rsdp_scan(&reader, 0x10, 0x1000), RSDP);
	REQUIRE(acpi_table_find(&reader, RSDP, "APIC", &t));
	EXPECT_EQ(acpi_madt_local_apic(&t), 0xfee00000);
	static const struct acpi_madt_entry want[] = {
		{.kind = ACPI_MADT_CPU, .id = 0, .uid = 0},
		{.kind = ACPI_MADT_CPU, .id = 2, .uid = 1},
		{.kind = ACPI_MADT_CPU, .id = 0x100, .uid = 3},
		{.kind = ACPI_MADT_IO_APIC, .id = 4, .address = 0xfec00000},
		{.kind = ACPI_MADT_OVERRIDE,
		 .irq = 9,
		 .gsi = 20,
		 .active_low = true,
		 .level = true},
	};
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		REQUIRE(acpi_madt_next(&t, &at, &e));
		EXPECT_EQ(e.kind, want[i].kind);
		EXPECT_EQ(e.id, want[i].id);
		EXPECT_EQ(e.uid, want[i].uid);
		EXPECT_EQ(e.address, want[i].address);
		EXPECT_EQ(e.gsi, want[i].gsi);
		EXPECT_EQ(e.active_low, want[i].active_low);
		EXPECT_EQ(e.level, want[i].level);
	}
	EXPECT(!acpi_madt_next(&t, &at, &e));
	REQUIRE(acpi_table_find(&reader, RSDP, "FACP", &t) && acpi_fadt_read(&t, &f));
	EXPECT_EQ(f.pm1a_control, 0x604);
	EXPECT_EQ(f.pm_timer, 0x608);
	EXPECT_EQ(f.reset_address, 0xcf9);
	EXPECT_EQ(f.reset_value, 0x0f);
	REQUIRE(acpi_table_at(&reader, f.dsdt, "DSDT", &t) && acpi_s5_read(&t, &a, &b));
	EXPECT_EQ(a, 5);
	EXPECT_EQ(b, 0);
}

TEST(acpi_refuses_wrong_sums_and_lengths)
{
	struct acpi_table t;
	machine_write();
	memory[MADT + 50]++;
	EXPECT(!acpi_table_find(&reader, RSDP, "APIC", &t));
	machine_write();
	memory[RSDP + 9]++;
	EXPECT(!acpi_rsdp_valid(&reader, RSDP));
	machine_write();
	put(MADT + 4, 35, 4);
	sums_fix();
	EXPECT(!acpi_table_find(&reader, RSDP, "APIC", &t));
	machine_write();
	put(MADT + 4, 0xffffffff, 4);
	EXPECT(!acpi_table_find(&reader, RSDP, "APIC", &t));
}

/* Two nodes: CPU 0 near 4 GiB of memory, x2APIC CPU 0x101 and memory behind a hole on domain 0x102. */
TEST(acpi_reads_nodes)
{
	/* clang-format off */
	static const uint8_t bytes[] = {
		'S', 'R', 'A', 'T', [48] =
		0, 16, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* APIC 0 on 0 */
		0, 16, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* not enabled */
		2, 24, 0, 0, 2, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 40, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0,
		0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 40, 9, /* cut short */
	};
	/* clang-format on */
	static const uint8_t slit[] = {'S', 'L', 'I', 'T', [36] = 2, [44] = 10, 21, 31, 10};
	struct acpi_table t = {bytes, sizeof(bytes)};
	struct acpi_srat_entry e;
	size_t at = 0;
	REQUIRE(acpi_srat_next(&t, &at, &e));
	EXPECT(!e.memory && e.domain == 0 && e.apic_id == 0);
	REQUIRE(acpi_srat_next(&t, &at, &e));
	EXPECT(!e.memory && e.domain == 0x102 && e.apic_id == 0x101);
	REQUIRE(acpi_srat_next(&t, &at, &e));
	EXPECT(e.memory && e.domain == 0x102);
	EXPECT(e.start == 4ull << 30 && e.end == (4ull << 30) + (256u << 20));
	EXPECT(!acpi_srat_next(&t, &at, &e));

	uint32_t from, to;
	uint8_t distance;
	t = (struct acpi_table){slit, sizeof(slit)};
	REQUIRE(acpi_slit_at(&t, 2, &from, &to, &distance));
	EXPECT(from == 1 && to == 0 && distance == 31);
	EXPECT(!acpi_slit_at(&t, 4, &from, &to, &distance));
	t.length--; /* a matrix that does not fit in */
	EXPECT(!acpi_slit_at(&t, 0, &from, &to, &distance));
}

/* Bytes anywhere change, then the sums are made right again, so that the contents are looked at. */
PROPERTY(acpi_survives_mutilation, 100)
{
	for (int i = 0; i < 300; i++) {
		struct acpi_table t;
		struct acpi_madt_entry e;
		struct acpi_fadt f;
		uint8_t a, b;
		machine_write();
		for (uint64_t n = 1 + test_random_below(random, 6); n; n--)
			memory[RSDP + test_random_below(random, DSDT + 64 - RSDP)] =
				(uint8_t)test_random(random);
		sums_fix();
		unsigned entries = 0;
		if (acpi_table_find(&reader, RSDP, "APIC", &t))
			for (size_t at = 0; acpi_madt_next(&t, &at, &e);)
				entries++;
		EXPECT(entries < 200);
		if (acpi_table_find(&reader, RSDP, "FACP", &t) && acpi_fadt_read(&t, &f) &&
		    acpi_table_at(&reader, f.dsdt, "DSDT", &t))
			(void)acpi_s5_read(&t, &a, &b);
	}
}
