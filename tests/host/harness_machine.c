/* test_machine() and test_on_all_cpus(): see machine.h. */
#include "machine.h"

#include <hal/upcall.h>
#include <ktest/cpus.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#define STACK_SIZE 65536

static struct task tasks[CPU_MAX];

static struct {
	void (*fn)(cpu_t cpu, void *arg);
	void *arg;
	_Atomic uint32_t arrived, done;
	_Atomic uint32_t round; /* of test_on_all_cpus */
} work;

struct boot_info *test_machine(const struct host_config *config)
{
	struct host_config defaults = {.seed = test_seed()};
	struct boot_info *info = host_boot(config ? config : &defaults);

	for (cpu_t i = 0; i < CPU_MAX; i++)
		snprintf(tasks[i].name, sizeof(tasks[i].name), "test/%u", i);
	hal.cpu.set_current(&tasks[0].hal);
	hal.platform.early(info);
	test_machine_core(info);
	hal.cpu.irq_restore(true);
	return info;
}

/* ---- Booting -------------------------------------------------------------------------------- */

#pragma weak core_boot_main

static jmp_buf booted;
static bool boots;

struct boot_info *test_kernel(const struct host_config *config)
{
	static struct boot_info *info;
	struct host_config defaults = {.seed = test_seed()};

	for (cpu_t i = 0; i < CPU_MAX; i++)
		snprintf(tasks[i].name, sizeof(tasks[i].name), "test/%u", i);
	info = host_boot(config ? config : &defaults);
	boots = true;
	if (setjmp(booted) == 0)
		core_boot_main(info); /* ends in test_idle, which jumps back */
	boots = false;
	preempt_enable_no_check();
	hal.cpu.irq_restore(true);
	return info;
}

/* ---- All CPUs ------------------------------------------------------------------------------- */

/* A CPU takes part in each round once. */
static void work_do(cpu_t cpu)
{
	atomic_fetch_add(&work.arrived, 1);
	while (atomic_load(&work.arrived) < host_config()->cpus)
		hal.cpu.relax();
	work.fn(cpu, work.arg);
	atomic_fetch_add(&work.done, 1);
}

void test_idle(void)
{
	uint32_t seen = 0;

	if (boots)
		longjmp(booted, 1);
	for (;;) {
		hal.cpu.irq_restore(true);
		uint32_t round = atomic_load(&work.round);
		if (round != seen) {
			seen = round;
			work_do(cpu_id());
		}
		hal.cpu.irq_save();
		if (atomic_load(&work.round) == seen)
			hal.cpu.wait();
	}
}

void test_on_all_cpus(void (*fn)(cpu_t cpu, void *arg), void *arg)
{
	static bool started;
	cpu_t n = host_config()->cpus;

	work.fn = fn;
	work.arg = arg;
	atomic_store(&work.arrived, 0);
	atomic_store(&work.done, 0);
	atomic_fetch_add(&work.round, 1);
	for (cpu_t i = 1; i < n && !started; i++) {
		tasks[i].hal.stack_top = (uintptr_t)aligned_alloc(4096, STACK_SIZE) + STACK_SIZE;
		tasks[i].hal.cpu = i;
		if (hal.smp.start(i, &tasks[i].hal) != KERR_OK)
			abort();
	}
	if (started && n > 1)
		hal.smp.ipi(((cpuset_t)1 << (n - 1) << 1) - 2);
	started = true;
	work_do(0);
	while (atomic_load(&work.done) < n)
		hal.cpu.relax();
}

/* ---- Kernel tests ----------------------------------------------------------------------------- */

void ktest_on_all_cpus(void (*fn)(cpu_t cpu, void *arg), void *arg)
{
	test_on_all_cpus(fn, arg);
}

cpu_t ktest_cpu_count(void)
{
	return host_config()->cpus;
}

static void start_one(cpu_t cpu, void *arg)
{
}

/* The machines that each kernel test sees: together they use every knob. */
void test_prepare_kernel(unsigned variant)
{
	static const struct host_config variants[TEST_KERNEL_VARIANTS] = {
		{.cpus = 1},
		{.cpus = 4, .interleave = 5, .asid_bits = 8, .software_access = true},
		{.cpus = 3,
		 .interleave = 50,
		 .spurious = 40,
		 .asid_bits = 8,
		 .split_root = true,
		 .broadcast = true},
		{.cpus = 4, .mode = HOST_THREADS, .asid_bits = 16, .split_root = true},
	};
	struct host_config config = variants[variant];

	config.seed = test_seed();
	test_kernel(&config);
	test_on_all_cpus(start_one, nullptr);
}
