/*
 * Bringing the machine up: what is where (ACPI, read through the early tables while firmware memory
 * is mapped), the order in which the parts start, the battery clock.
 */
#include "platform.h"

#include "cpu.h"
#include "user.h"

#include <hal/upcall.h>
#include <stdatomic.h>

struct x86_platform x86_platform RO_AFTER_INIT = {.local_apic = 0xfee00000};

/* ---- ACPI ---------------------------------------------------------------------------------- */

static const void *firmware_map(void *context, paddr_t address, size_t size)
{
	const struct boot_info *info = context;
	if (address >= info->early_end || size > info->early_end - address)
		return nullptr;
	return (const void *)(info->direct_map + address);
}

static void madt_take(const struct acpi_table *madt)
{
	struct x86_platform *p = &x86_platform;
	struct acpi_madt_entry e;
	if (acpi_madt_local_apic(madt))
		p->local_apic = acpi_madt_local_apic(madt);
	for (size_t at = 0; acpi_madt_next(madt, &at, &e);) {
		if (e.kind == ACPI_MADT_OVERRIDE && e.irq < ISA_IRQS)
			p->isa[e.irq] = (struct x86_isa_irq){e.gsi, e.active_low, e.level};
		if (e.kind != ACPI_MADT_IO_APIC)
			continue;
		if (p->io_apic_count == IO_APIC_MAX)
			core_log("x86: I/O APIC %u is one too many\n", e.id);
		else
			p->io_apics[p->io_apic_count++] = (struct x86_io_apic){
				.address = e.address, .id = e.id, .first_line = e.gsi};
	}
}

static void acpi_take(struct boot_info *info)
{
	struct x86_platform *p = &x86_platform;
	struct acpi_reader reader = {firmware_map, info};
	struct acpi_table table;
	for (unsigned i = 0; i < ISA_IRQS; i++)
		p->isa[i].gsi = i;
	if (acpi_table_find(&reader, info->rsdp, "APIC", &table))
		madt_take(&table);
	if (acpi_table_find(&reader, info->rsdp, "FACP", &table))
		p->has_fadt = acpi_fadt_read(&table, &p->fadt);
	if (p->has_fadt && acpi_table_at(&reader, p->fadt.dsdt, "DSDT", &table))
		p->has_s5 = acpi_s5_read(&table, &p->s5_a, &p->s5_b);
}

/* ---- Phases -------------------------------------------------------------------------------- */

static const char *machine_name(void)
{
	return x86_features.hypervisor ? "PC (virtual)" : "PC";
}

/* boot/ has called x86_cpu_boot(). */
void x86_platform_early(struct boot_info *info)
{
	x86_mmu_probe(info);
	x86_user_init();
	x86_cpu_count = (cpu_t)MIN(info->cpu_count, (size_t)CPU_MAX);
	atomic_store(&x86_cpus[0].started, 1); /* this one: a panic elsewhere stops it, too */
	for (cpu_t i = 0; i < x86_cpu_count; i++)
		x86_cpus[i].apic_id = (uint32_t)info->cpus[i].hardware_id;
	acpi_take(info);
	x86_power_early(info);
	x86_smp_early(info);
	info->machine = machine_name();
}

enum kerr x86_platform_init(struct boot_info *info)
{
	enum kerr err = x86_irq_init();
	if (err != KERR_OK)
		return err;
	err = x86_timer_init();
	if (err != KERR_OK)
		return err;
	info->entered = x86_timer_from_ticks(info->entered);
	info->wall_seconds = x86_platform_wall_seconds();
	x86_platform_cpu_init(0);
	x86_console_init();
	core_log("cpu: the kernel runs with WP%s%s%s%s", x86_features.nx ? " NX" : "",
		 x86_features.smep ? " SMEP" : "", x86_features.smap ? " SMAP" : "",
		 x86_features.umip ? " UMIP" : "");
	return KERR_OK;
}

void x86_platform_cpu_init(cpu_t cpu)
{
	x86_irq_cpu_init();
	x86_timer_cpu_init();
}

/* ---- Battery clock (Motorola MC146818, registers 0 to 11) ---------------------------------- */

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define RTC_STATUS_A 10
#define RTC_UPDATING 0x80
#define RTC_STATUS_B 11
#define RTC_24_HOURS 2
#define RTC_BINARY 4
#define RTC_LOOKS 100000

struct rtc {
	uint8_t second, minute, hour, day, month, year;
};

static uint8_t cmos_read(uint8_t reg)
{
	x86_outb(CMOS_INDEX, reg);
	return x86_inb(CMOS_DATA);
}

static struct rtc rtc_read(void)
{
	for (int i = 0; i < RTC_LOOKS && cmos_read(RTC_STATUS_A) & RTC_UPDATING; i++)
		x86_relax();
	return (struct rtc){cmos_read(0), cmos_read(2), cmos_read(4),
			    cmos_read(7), cmos_read(8), cmos_read(9)};
}

static uint8_t from_bcd(uint8_t v)
{
	return (uint8_t)((v >> 4) * 10 + (v & 15));
}

/* Days from 1970 to the first of March of `year` in the Gregorian calendar, and on from there. */
static uint64_t days_since_1970(uint64_t year, unsigned month, unsigned day)
{
	if (month <= 2) {
		month += 12;
		year--;
	}
	return year * 365 + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + day -
	       1 - 719468;
}

/* Two readings that agree were not torn by an update. 0: the clock makes no sense. */
uint64_t x86_platform_wall_seconds(void)
{
	struct rtc a = rtc_read(), b = rtc_read();
	for (int i = 0; i < 8 && __builtin_memcmp(&a, &b, sizeof(a)); i++) {
		a = b;
		b = rtc_read();
	}
	uint8_t mode = cmos_read(RTC_STATUS_B);
	bool afternoon = b.hour & 0x80;
	b.hour &= 0x7f;
	if (!(mode & RTC_BINARY))
		b = (struct rtc){from_bcd(b.second), from_bcd(b.minute), from_bcd(b.hour),
				 from_bcd(b.day),    from_bcd(b.month),  from_bcd(b.year)};
	if (!(mode & RTC_24_HOURS))
		b.hour = (uint8_t)(b.hour % 12 + (afternoon ? 12 : 0));
	if (b.month < 1 || b.month > 12 || b.day < 1 || b.day > 31 || b.hour > 23 ||
	    b.minute > 59 || b.second > 60)
		return 0;
	return days_since_1970(2000u + b.year, b.month, b.day) * 86400 + b.hour * 3600u +
	       b.minute * 60u + b.second;
}
