/* What differs between the Linux ABIs of the architectures, as data, chosen at boot by the ELF
 * machine number that the HAL reports. */
#include "gate.h"
#include <core/panic.h>
#include <fs/file.h>

static const struct abi abis[] = {
	{.machine = 62,
	 .x86_layouts = true,
	 .action_restorer = true,
	 .has_keys = true}, /* x86_64 */
	{.machine = 183, .arm_open_flags = true, .action_restorer = true, .has_keys = true},
	{.machine = 243, .icache_call = true}, /* RISC-V */
	{.machine = 0x7e72, .has_keys = true}, /* hal/host */
};

const struct abi *abi RO_AFTER_INIT = &abis[0];

void abi_choose(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
		if (abis[i].machine == hal.user.info()->elf_machine) {
			abi = &abis[i];
			return;
		}
	}
	panic("system calls: no ABI for ELF machine %u", hal.user.info()->elf_machine);
}

static const struct {
	int common, arm;
} rotated[] = {
	{O_DIRECTORY, 040000}, {O_NOFOLLOW, 0100000}, {O_DIRECT, 0200000}, {O_LARGEFILE, 0400000}};
#define ROTATED (O_DIRECTORY | O_NOFOLLOW | O_DIRECT | O_LARGEFILE)

int open_flags_in(int flags)
{
	int out = flags & ~ROTATED;

	if (!abi->arm_open_flags)
		return flags;
	for (size_t i = 0; i < ARRAY_SIZE(rotated); i++)
		if (flags & rotated[i].arm)
			out |= rotated[i].common;
	return out;
}

int open_flags_out(int flags)
{
	int out = flags & ~ROTATED;

	if (!abi->arm_open_flags)
		return flags;
	for (size_t i = 0; i < ARRAY_SIZE(rotated); i++)
		if (flags & rotated[i].common)
			out |= rotated[i].arm;
	return out;
}
