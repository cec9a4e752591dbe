/*
 * struct hal_frame: what trap and system-call entry save, lowest address first. For interrupted
 * user code it ends at the thread's stack_top; for interrupted kernel code its last two words do
 * not exist. Entry pushes it from the end, so the order is the one that needs the fewest
 * instructions: the registers SYSCALL clobbers anyway lie together and are skipped.
 */
#pragma once

#define FRAME_R15 0
#define FRAME_R14 8
#define FRAME_R13 16
#define FRAME_R12 24
#define FRAME_RBP 32
#define FRAME_RBX 40
#define FRAME_RDI 48
#define FRAME_RSI 56
#define FRAME_RDX 64
#define FRAME_R10 72
#define FRAME_R8 80
#define FRAME_R9 88
#define FRAME_R11 96
#define FRAME_RCX 104
#define FRAME_RAX 112
#define FRAME_VECTOR 120
#define FRAME_ERROR 128
#define FRAME_RIP 136
#define FRAME_CS 144
#define FRAME_RFLAGS 152
#define FRAME_RSP 160
#define FRAME_SS 168
#define FRAME_FS_BASE 176
#define FRAME_SIZE 192
#define FRAME_TAIL 16 /* fs_base and gs_base: entry does not write them */

#ifndef __ASSEMBLER__

#include <hal/types.h>

struct hal_frame {
	uint64_t r15, r14, r13, r12, rbp, rbx;
	uint64_t rdi, rsi, rdx, r10, r8, r9;
	uint64_t r11, rcx; /* after VECTOR_SYSCALL not valid: they are rflags and rip */
	uint64_t rax;
	uint64_t vector;
	uint64_t error; /* the CPU's error code; of VECTOR_SYSCALL the number of the call */
	uint64_t rip, cs, rflags, rsp, ss;
	/* Bases for hal.user.enter(), which is how a thread gets its first ones. */
	uint64_t fs_base, gs_base;
};

static_assert(offsetof(struct hal_frame, r15) == FRAME_R15);
static_assert(offsetof(struct hal_frame, rdi) == FRAME_RDI);
static_assert(offsetof(struct hal_frame, r9) == FRAME_R9);
static_assert(offsetof(struct hal_frame, rax) == FRAME_RAX);
static_assert(offsetof(struct hal_frame, vector) == FRAME_VECTOR);
static_assert(offsetof(struct hal_frame, rip) == FRAME_RIP);
static_assert(offsetof(struct hal_frame, ss) == FRAME_SS);
static_assert(offsetof(struct hal_frame, fs_base) == FRAME_FS_BASE);
static_assert(sizeof(struct hal_frame) == FRAME_SIZE && FRAME_SIZE % 16 == 0);

#endif
