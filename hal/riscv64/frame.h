/*
 * What trap entry saves. The first 32 words are pc and x1 to x31: the order of Linux's
 * user_regs_struct, so signal frames copy them as they are. One layout for user and kernel traps.
 */
#pragma once

#define FRAME_PC 0
#define FRAME_X(n) ((n) * 8)
#define FRAME_STATUS 256
#define FRAME_CAUSE 264
#define FRAME_TVAL 272
#define FRAME_ORIG_A0 280
#define FRAME_THREAD 288
#define FRAME_RESTORE 296
#define FRAME_SIZE 304

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

enum { REG_RA = 1, REG_SP = 2, REG_GP = 3, REG_TP = 4, REG_FP = 8, REG_A0 = 10, REG_A7 = 17 };

struct hal_frame {
	union {
		uint64_t pc;
		uint64_t x[32]; /* x[0] is the pc */
	};
	uint64_t status;  /* sstatus at a trap from the kernel; user traps do not store it */
	uint64_t cause; /* scause and stval of exceptions; interrupts and calls do not store them */
	uint64_t tval;
	uint64_t orig_a0; /* first argument of the system call */
	uint64_t thread; /* user frames: the kernel's tp, set by enter() */
	uint64_t restore; /* not 0: also the callee-saved registers changed; cleared at entry */
};

static_assert(offsetof(struct hal_frame, x[31]) == FRAME_X(31));
static_assert(offsetof(struct hal_frame, status) == FRAME_STATUS);
static_assert(offsetof(struct hal_frame, cause) == FRAME_CAUSE);
static_assert(offsetof(struct hal_frame, tval) == FRAME_TVAL);
static_assert(offsetof(struct hal_frame, orig_a0) == FRAME_ORIG_A0);
static_assert(offsetof(struct hal_frame, thread) == FRAME_THREAD);
static_assert(offsetof(struct hal_frame, restore) == FRAME_RESTORE);
static_assert(sizeof(struct hal_frame) == FRAME_SIZE && FRAME_SIZE % 16 == 0);
#endif
