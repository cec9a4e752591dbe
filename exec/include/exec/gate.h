/*
 * What the system-call layer (exec/syscall, above the filesystems) defines for exec: the only
 * call upward besides registered tables, because it must cost nothing.
 */
#pragma once

#include <hal/hal.h>

void syscall_dispatch(struct hal_frame *frame);
