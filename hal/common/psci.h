/* The Power State Coordination Interface (Arm DEN 0022), through the firmware. */
#pragma once

#include "fdt.h"

void psci_init(const struct fdt *fdt); /* hvc or smc, from the device tree; else all calls fail */
/* KERR_NODEV: no PSCI; KERR_BUSY: it runs already; KERR_INVAL: no such CPU. */
enum kerr psci_cpu_on(uint64_t mpidr, paddr_t entry, uint64_t argument);
void psci_system_off(void);   /* returns only if it failed */
void psci_system_reset(void);
