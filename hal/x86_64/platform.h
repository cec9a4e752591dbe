/* The machine as ACPI describes it; read once in platform.early, constant afterwards. */
#pragma once

#include "acpi.h"

#define IO_APIC_MAX 16 /* the redirection entries of 16 exceed our vectors */
#define ISA_IRQS 16

struct x86_io_apic {
	paddr_t address;
	uint32_t id, first_line, lines; /* lines: known after x86_irq_init() */
	volatile uint32_t *registers;
};

/* Where an ISA interrupt really arrives. */
struct x86_isa_irq {
	uint32_t gsi;
	bool active_low, level;
};

struct x86_platform {
	paddr_t local_apic;
	struct x86_io_apic io_apics[IO_APIC_MAX];
	unsigned io_apic_count;
	struct x86_isa_irq isa[ISA_IRQS];
	bool has_fadt, has_s5;
	struct acpi_fadt fadt;
	uint8_t s5_a, s5_b;
};

extern struct x86_platform x86_platform;
