/* User mode: what user.c, signal.c and the assembly share. */
#pragma once

#include "cpu.h"
#include "frame.h"

/* After it the frame holds everything and is left through IRET. */
static inline void frame_own(struct hal_frame *frame)
{
	if (frame->vector != VECTOR_SYSCALL)
		return;
	frame->rcx = frame->rip;
	frame->r11 = frame->rflags;
	frame->vector = 0;
}

/* user.c */
void x86_user_init(void);
const struct hal_user_info *x86_user_info(void);
uint64_t x86_user_ip_clean(uint64_t ip);
void x86_user_frame_init(struct hal_frame *frame, vaddr_t pc, vaddr_t sp);
void x86_user_frame_fork(struct hal_frame *child, const struct hal_frame *parent, vaddr_t sp);
void x86_user_key_rights(unsigned key, unsigned denied);
void x86_user_set_tls(struct hal_thread *thread, struct hal_frame *frame, vaddr_t tls);
__attribute__((noreturn)) void x86_user_enter(struct hal_frame *frame);
size_t x86_user_dump(const struct hal_frame *frame, char *buf, size_t size);

/* signal.c */
size_t x86_signal_frame_max(void);
enum kerr x86_signal_push(struct hal_frame *frame, const struct hal_signal *signal);
enum kerr x86_signal_pop(struct hal_frame *frame, struct hal_signal *out);

/* trap.S, x86_user_copy.S */
[[noreturn]] void x86_trap_enter_user(struct hal_frame *frame);
size_t x86_user_copy(void *dst, const void *src, size_t size);
enum kerr x86_user_cmpxchg32(uint32_t *addr, uint32_t *expected, uint32_t desired);
extern const char x86_user_trampoline[], x86_user_trampoline_end[];

static inline struct hal_user_regs x86_user_regs(const struct hal_frame *frame)
{
	return (struct hal_user_regs){frame->rip, frame->rsp, frame->rbp};
}

static inline struct hal_syscall x86_user_syscall(const struct hal_frame *frame)
{
	return (struct hal_syscall){
		frame->error,
		{frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9}};
}

static inline void x86_user_syscall_result(struct hal_frame *frame, long result)
{
	frame->rax = (uint64_t)result;
}

#define SYSCALL_SIZE 2 /* bytes of the instruction */

static inline void x86_user_syscall_restart(struct hal_frame *frame, unsigned long number)
{
	frame_own(frame);
	frame->rip -= SYSCALL_SIZE;
	frame->rax = number == ~0ul ? frame->error : number;
}
