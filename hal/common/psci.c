/* PSCI calls: the SMC calling convention (Arm DEN 0028) over HVC or SMC. */
#include "psci.h"

#include <lib/compiler.h>
#include <lib/string.h>

#define PSCI_CPU_ON 0xc4000003u
#define PSCI_SYSTEM_OFF 0x84000008u
#define PSCI_SYSTEM_RESET 0x84000009u

#define PSCI_INVALID_PARAMETERS (-2)
#define PSCI_ALREADY_ON (-4)
#define PSCI_ON_PENDING (-5)

static enum conduit { CONDUIT_NONE, CONDUIT_HVC, CONDUIT_SMC } conduit RO_AFTER_INIT;

static int32_t psci_call(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;
/* Versions before 1.1 of the convention let the firmware change x4 to x17. */
#define CLOBBERS                                                                                   \
	"x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",       \
		"x17", "memory"
	if (conduit == CONDUIT_HVC)
		__asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::CLOBBERS);
	else
		__asm__ volatile("smc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::CLOBBERS);
	return (int32_t)x0;
}

void psci_init(const struct fdt *fdt)
{
	static const char *const names[] = {"arm,psci-1.0", "arm,psci-0.2"};
	struct fdt_node node;
	if (!fdt_find_compatible_any(fdt, names, ARRAY_SIZE(names), 0, &node))
		return;
	const char *method = fdt_string(fdt, &node, "method", 0);
	if (method && strcmp(method, "hvc") == 0)
		conduit = CONDUIT_HVC;
	else if (method && strcmp(method, "smc") == 0)
		conduit = CONDUIT_SMC;
}

enum kerr psci_cpu_on(uint64_t mpidr, paddr_t entry, uint64_t argument)
{
	if (conduit == CONDUIT_NONE)
		return KERR_NODEV;
	switch (psci_call(PSCI_CPU_ON, mpidr, entry, argument)) {
	case 0:
		return KERR_OK;
	case PSCI_ALREADY_ON:
	case PSCI_ON_PENDING:
		return KERR_BUSY;
	case PSCI_INVALID_PARAMETERS:
		return KERR_INVAL;
	default:
		return KERR_IO;
	}
}

void psci_system_off(void)
{
	if (conduit != CONDUIT_NONE)
		psci_call(PSCI_SYSTEM_OFF, 0, 0, 0);
}

void psci_system_reset(void)
{
	if (conduit != CONDUIT_NONE)
		psci_call(PSCI_SYSTEM_RESET, 0, 0, 0);
}
