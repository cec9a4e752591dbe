/*
 * The part of a thread that a HAL knows. `struct task` (core) starts with one, `struct thread`
 * (exec) starts with a task. The HAL's "current" register (GS base, TPIDR_EL1, tp) leads to it.
 * The layout is fixed, because trap entry code uses these offsets from assembly.
 */
#pragma once

#include <hal/thread_offsets.h>
#include <hal/types.h>

struct hal_thread {
	uintptr_t kernel_sp; /* saved stack pointer while the thread does not run */
	uintptr_t stack_top; /* a trap from user mode starts here; 16-byte aligned */
	uintptr_t scratch;   /* for trap entry */
	uintptr_t tls; /* user thread pointer while not running, where it is no frame register */
	void *fpu; /* save area, hal.cpu.fpu_size() bytes, 64-byte aligned; null: kernel thread */
	cpu_t cpu; /* where it runs or ran last; (written by the scheduler) */
	uint32_t flags; /* private to the HAL */
	/* (the CPU that has them) times the unit's registers were really moved */
	uint32_t fpu_saves, fpu_loads;
};

static_assert(offsetof(struct hal_thread, kernel_sp) == HAL_THREAD_KERNEL_SP);
static_assert(offsetof(struct hal_thread, stack_top) == HAL_THREAD_STACK_TOP);
static_assert(offsetof(struct hal_thread, scratch) == HAL_THREAD_SCRATCH);
static_assert(offsetof(struct hal_thread, tls) == HAL_THREAD_TLS);
static_assert(offsetof(struct hal_thread, fpu) == HAL_THREAD_FPU);
static_assert(offsetof(struct hal_thread, cpu) == HAL_THREAD_CPU);
static_assert(offsetof(struct hal_thread, flags) == HAL_THREAD_FLAGS);
