/*
 * Protection keys: pkey_alloc(2), pkey_free(2), pkey_mprotect(2).
 *
 * On a CPU without keys nothing can be allocated; RISC-V's ABI does not have the calls at all.
 */
#include "gate.h"

#define KEY_RIGHTS (HAL_KEY_NO_ACCESS | HAL_KEY_NO_WRITE)

SYSCALL(pkey_alloc)
{
	unsigned key;

	if (!abi->has_keys)
		return sys_missing(a0, a1, a2, a3, a4, a5);
	if (a0 || a1 & ~(unsigned long)KEY_RIGHTS)
		return KERR_INVAL;
	enum kerr err = aspace_key_alloc(current_process()->aspace, &key);
	if (err != KERR_OK)
		return err;
	hal.user.key_rights(key, (unsigned)a1);
	return (long)key;
}

SYSCALL(pkey_free)
{
	if (!abi->has_keys)
		return sys_missing(a0, a1, a2, a3, a4, a5);
	return aspace_key_free(current_process()->aspace, (int)a0);
}

SYSCALL(pkey_mprotect)
{
	int key = (int)a3;

	if (!abi->has_keys)
		return sys_missing(a0, a1, a2, a3, a4, a5);
	if (key == PROTECT_SAME_KEY)
		return sys_mprotect(a0, a1, a2, 0, 0, 0);
	if (!IS_ALIGNED(a0, PAGE_SIZE))
		return KERR_INVAL;
	if (a1 == 0)
		return KERR_OK;
	if (key < 0 || key >= (int)hal.mmu.geometry()->protection_keys)
		return KERR_INVAL;
	return aspace_protect_key(current_process()->aspace, a0, a1, (unsigned)a2, key);
}
