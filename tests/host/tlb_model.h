/*
 * What the tests of invalidation share (mm_shootdown.c, mm_huge.c): what a page may be, faults that one
 * address space answers, and the machines that a model runs on.
 */
#pragma once

#include "machine.h"

#include <mm/aspace.h>

enum kind { WRITABLE, READ_ONLY, UNMAPPED, CHANGING };

static inline bool tlb_model_fault(struct aspace *space, struct trap *trap)
{
	if (trap->addr >= aspace_user_end() || current_task()->preempt_count)
		return false;
	hal.cpu.irq_restore(true);
	enum fault_result result = aspace_fault(space, trap->addr, trap->access);
	hal.cpu.irq_save();
	return result == FAULT_CONTINUE;
}

/* run(config, 0) finds nothing stale: with tags and interrupts, without tags, where the hardware
 * broadcasts, with host threads. `often`: host_config.interleave of the first. */
#define TLB_MODEL_TESTS(name, run, often)                                                          \
	TEST(name##_simulated)                                                                     \
	{                                                                                          \
		EXPECT_EQ(run(&(struct host_config){.cpus = 4,                                     \
						    .interleave = (often),                         \
						    .asid_bits = 8,                                \
						    .seed = test_seed()},                          \
			      0),                                                                  \
			  0);                                                                      \
	}                                                                                          \
	TEST(name##_without_tags)                                                                  \
	{                                                                                          \
		EXPECT_EQ(run(&(struct host_config){.cpus = 3,                                     \
						    .interleave = 9,                               \
						    .seed = test_seed()},                          \
			      0),                                                                  \
			  0);                                                                      \
	}                                                                                          \
	TEST(name##_by_broadcast)                                                                  \
	{                                                                                          \
		EXPECT_EQ(run(&(struct host_config){.cpus = 4,                                     \
						    .interleave = 5,                               \
						    .asid_bits = 8,                                \
						    .split_root = true,                            \
						    .broadcast = true,                             \
						    .software_access = true,                       \
						    .seed = test_seed()},                          \
			      0),                                                                  \
			  0);                                                                      \
	}                                                                                          \
	TEST(name##_threads)                                                                       \
	{                                                                                          \
		EXPECT_EQ(run(&(struct host_config){.cpus = 4,                                     \
						    .mode = HOST_THREADS,                          \
						    .asid_bits = 8},                               \
			      0),                                                                  \
			  0);                                                                      \
	}
