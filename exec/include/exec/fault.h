/* Exceptions of user code, as core's upcalls. */
#pragma once

#include <hal/trap.h>

bool fault_page(struct trap *trap);
void fault_exception(struct trap *trap);
bool fpu_trap(struct trap *trap); /* exec/fpu.c */
