/*
 * A simulated machine for a test, so far that spinlocks, wait queues, time and the log work:
 * hal/host with a bare task on each CPU, and upcalls that the test can steer.
 */
#pragma once

#include "harness.h"

#include <core/task.h>
#include <core/upcalls.h>
#include <hal/boot_info.h>
#include <host/host.h>

/* host_boot() with `config` (null: one CPU, 64 MiB, the seed of --seed), CPU 0's task current,
 * platform.early done; returns with interrupts on. Once in a test. */
struct boot_info *test_machine(const struct host_config *config);

/* The same, and boots what is linked of the kernel (core is): all init records up to INIT_CORE, that
 * is memory, heap, interrupts, timers. Returns on CPU 0's boot task. */
struct boot_info *test_kernel(const struct host_config *config);

/* Runs fn(cpu, arg) on every CPU of the machine, the caller as CPU 0, and returns when all are
 * done. The CPUs wait for each other before they begin. */
void test_on_all_cpus(void (*fn)(cpu_t cpu, void *arg), void *arg);

/* ---- Upcalls: what a test may set; null: the default in brackets ------------------------------- */

struct test_upcalls {
	bool (*page_fault)(struct trap *trap); /* [false: nobody wants it] */
	void (*exception)(struct trap *trap); /* [the test fails] */
	void (*syscall)(struct hal_frame *frame); /* [the test fails] */
	void (*user_work)(struct hal_frame *frame, uint32_t work); /* [nothing] */
	void (*reschedule)(bool preempted); /* [nothing] */
	enum kerr (*park)(enum wait_reason reason, bool interruptible, nsec_t deadline);
	void (*unpark)(struct task *task);
	bool (*memory_short)(unsigned attempt); /* [false: there will be none] */
	uint64_t (*lock_limit)(void); /* [UINT64_MAX] */
	/* [a task is bound to its CPU: park waits for interrupts until the token is there] */
};
extern struct test_upcalls test_upcalls;

/* Between the harness's own files. */
void test_machine_core(struct boot_info *info); /* makes core work as far as it is linked */
__attribute__((noreturn)) void test_idle(void);
