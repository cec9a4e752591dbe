/* The saved registers of a trap, for trap.S and C. */
#pragma once

#define FRAME_X(n) ((n) * 8)
#define FRAME_LR 240
#define FRAME_SP 248
#define FRAME_PC 256
#define FRAME_PSTATE 264
#define FRAME_ORIG_X0 272
#define FRAME_TLS 280
#define FRAME_SIZE 288

#ifndef __ASSEMBLER__
#include <hal/types.h>

struct hal_frame {
	uint64_t x[31];
	uint64_t sp, pc, pstate;
	/* User frames: the first argument of the system call as it was, and the thread pointer a
	 * new thread starts with. Kernel frames: a frame record {fp, pc}, so that a walk over
	 * frame pointers goes through. */
	uint64_t orig_x0, tls;
};

static_assert(sizeof(struct hal_frame) == FRAME_SIZE);
static_assert(offsetof(struct hal_frame, sp) == FRAME_SP);
static_assert(offsetof(struct hal_frame, pc) == FRAME_PC);
static_assert(offsetof(struct hal_frame, pstate) == FRAME_PSTATE);
static_assert(offsetof(struct hal_frame, orig_x0) == FRAME_ORIG_X0);
static_assert(offsetof(struct hal_frame, tls) == FRAME_TLS);
#endif
