/*
 * User mode: first registers, system calls, TLS, what /proc and the auxiliary vector say.
 * A system call has its number in x8, arguments in x0 to x5, its result in x0 (Linux, arm64).
 */
#include "cpu.h"
#include "regs.h"

#include <lib/compiler.h>
#include <lib/format.h>

#define EM_AARCH64 183
#define SYSCALL_INSTRUCTION_SIZE 4
/* Linux announces this much: its largest frame without SVE and SME, with room to spare. */
#define MIN_SIGNAL_STACK 5120

/* mov x8, #139 (rt_sigreturn); svc #0 */
static const uint32_t trampoline[] = {0xd2801168, 0xd4000001};

struct hal_user_info user_info_data RO_AFTER_INIT = {
	.machine = "aarch64",
	.abi = HAL_ABI_GENERIC,
	.elf_machine = EM_AARCH64,
	.frame_size = FRAME_SIZE,
	.fpu_size = FPU_SIZE,
	.trampoline = trampoline,
	.trampoline_size = sizeof(trampoline),
	.min_signal_stack = MIN_SIGNAL_STACK,
};

void user_init(void)
{
	user_info_data.hwcap = cpu_hwcap();
	user_info_data.hwcap2 = cpu_hwcap2();
}

const struct hal_user_info *user_info(void)
{
	return &user_info_data;
}

void user_frame_init(struct hal_frame *frame, vaddr_t pc, vaddr_t sp)
{
	*frame = (struct hal_frame){.pc = pc, .sp = sp, .pstate = PSTATE_EL0};
}

void user_frame_fork(struct hal_frame *child, const struct hal_frame *parent, vaddr_t sp)
{
	*child = *parent;
	child->x[0] = 0;
	child->tls = reg_read(tpidr_el0); /* the parent runs this; trap_leave loads it */
	if (sp)
		child->sp = sp;
}

struct hal_user_regs user_regs(const struct hal_frame *frame)
{
	return (struct hal_user_regs){.pc = frame->pc, .sp = frame->sp, .fp = frame->x[29]};
}

struct hal_syscall user_syscall(const struct hal_frame *frame)
{
	const uint64_t *x = frame->x;
	return (struct hal_syscall){x[8], {x[0], x[1], x[2], x[3], x[4], x[5]}};
}

void user_syscall_result(struct hal_frame *frame, long result)
{
	frame->x[0] = (uint64_t)result;
}

void user_syscall_restart(struct hal_frame *frame, unsigned long number)
{
	frame->pc -= SYSCALL_INSTRUCTION_SIZE;
	frame->x[0] = frame->orig_x0;
	if (number != ~0ul)
		frame->x[8] = number;
}

/* There are no keys: FEAT_S1POE is not used. */
void user_key_rights(unsigned key, unsigned denied)
{
}

void user_set_tls(struct hal_thread *thread, struct hal_frame *frame, vaddr_t tls)
{
	frame->tls = tls; /* for a thread that has not run: trap_leave loads it */
	thread->tls = tls;
	if (thread == cpu_current())
		reg_write(tpidr_el0, tls);
}

/* format() behind what is in buf already. */
#define APPEND(...)                                                                                \
	(length += (size_t)format(length < size ? buf + length : nullptr,                          \
				  length < size ? size - length : 0, __VA_ARGS__))

size_t user_dump(const struct hal_frame *frame, char *buf, size_t size)
{
	size_t length = 0;
	APPEND("pc  %016llx  sp  %016llx  pstate %08llx\n", (unsigned long long)frame->pc,
	       (unsigned long long)frame->sp, (unsigned long long)frame->pstate);
	for (unsigned i = 0; i < 31; i++)
		APPEND("x%-2u %016llx%s", i, (unsigned long long)frame->x[i],
		       i % 4 == 3 || i == 30 ? "\n" : "  ");
	return length;
}
