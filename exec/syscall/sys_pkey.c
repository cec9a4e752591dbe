/* Protection keys: pkey_alloc(2), pkey_free(2), pkey_mprotect(2). */
#include "gate.h"

SYSCALL(pkey_alloc)
{
	return sys_missing(a0, a1, a2, a3, a4, a5);
}

SYSCALL(pkey_free)
{
	return sys_missing(a0, a1, a2, a3, a4, a5);
}

SYSCALL(pkey_mprotect)
{
	return sys_missing(a0, a1, a2, a3, a4, a5);
}
