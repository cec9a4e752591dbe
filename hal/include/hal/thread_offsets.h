/* Offsets in struct hal_thread, for assembly and C; hal/thread.h checks them. */
#pragma once

#define HAL_THREAD_KERNEL_SP 0
#define HAL_THREAD_STACK_TOP 8
#define HAL_THREAD_SCRATCH 16
#define HAL_THREAD_TLS 24
#define HAL_THREAD_FPU 32
#define HAL_THREAD_CPU 40
#define HAL_THREAD_FLAGS 44
