/*
 * What the compiler's checks need at run time (HW-4).
 *
 * Stack protector: a function with an array on its stack keeps a copy of __stack_chk_guard between it
 * and the return address and compares before it returns. One word for all CPUs and threads, chosen
 * at each boot, read-only afterwards; its lowest byte is 0, so that no string operation can write it.
 * It is set in core_boot_main(), which never returns, and nor does what called it: whoever has
 * the old value on its stack never compares.
 * Rejected: a word for each thread (a register or a segment for it on x86_64 and AArch64; clang
 * 19 has none for RISC-V): an attacker who can read one stack has the value of that thread only,
 * for a load more at each thread switch.
 *
 * kCFI: each indirect call compares the type number in front of the callee with that of the pointer.
 * What fails traps; hal/ decodes it to TRAP_CALL_TYPE, core/panic.c names caller and callee.
 */
#include "core_private.h"

#include <core/panic.h>

KEEP uintptr_t __stack_chk_guard RO_AFTER_INIT = 0x2b7e1516;

[[noreturn]] void __stack_chk_fail(void);

void stack_guard_set(uint64_t value)
{
	__stack_chk_guard = (uintptr_t)value & ~(uintptr_t)0xff;
}

KEEP NOINLINE void __stack_chk_fail(void)
{
	char where[160];

	symbol_format((vaddr_t)__builtin_return_address(0) - 1, where, sizeof(where));
	core_panic("stack smashing in %s", where);
}
