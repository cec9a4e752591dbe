/*
 * User mode: the program's view of this architecture, and its saved registers. Linux's RISC-V
 * conventions: number in a7, arguments in a0 to a5, result in a0, thread pointer in tp (a frame
 * register, so switching threads has nothing to do for it).
 */
#include "riscv64.h"

#include <lib/format.h>
#include <lib/string.h>

#define EM_RISCV 243

/* li a7, 139 (rt_sigreturn); ecall */
static const uint32_t trampoline[] = {0x08b00893, 0x00000073};

/* AT_HWCAP has the letters of the base and of what programs may use: IMAFDC. */
#define LETTER(c) (1u << ((c) - 'a'))
#define HWCAP_LETTERS                                                                              \
	(LETTER('i') | LETTER('m') | LETTER('a') | LETTER('f') | LETTER('d') | LETTER('c'))

static RO_AFTER_INIT struct hal_user_info info;

void riscv_user_init(void)
{
	info = (struct hal_user_info){
		.machine = "riscv64",
		.abi = HAL_ABI_GENERIC,
		.elf_machine = EM_RISCV,
		.hwcap = riscv_cpu_features.letters & HWCAP_LETTERS,
		.frame_size = sizeof(struct hal_frame),
		.fpu_size = sizeof(struct fpu_area),
		.trampoline = trampoline,
		.trampoline_size = sizeof(trampoline),
		.min_signal_stack = riscv_signal_frame_size(),
	};
}

const struct hal_user_info *riscv_user_info(void)
{
	return &info;
}

void riscv_user_frame_init(struct hal_frame *frame, vaddr_t pc, vaddr_t sp)
{
	uint64_t thread = frame->thread;
	memset(frame, 0, sizeof(*frame));
	frame->pc = pc;
	frame->x[REG_SP] = sp;
	frame->thread = thread;
	frame->restore = 1;
}

void riscv_user_frame_fork(struct hal_frame *child, const struct hal_frame *parent, vaddr_t sp)
{
	*child = *parent;
	child->x[REG_A0] = 0;
	if (sp != 0)
		child->x[REG_SP] = sp;
	child->restore = 1;
}

struct hal_user_regs riscv_user_regs(const struct hal_frame *frame)
{
	return (struct hal_user_regs){
		.pc = frame->pc, .sp = frame->x[REG_SP], .fp = frame->x[REG_FP]};
}

struct hal_syscall riscv_user_syscall(const struct hal_frame *frame)
{
	const uint64_t *a = &frame->x[REG_A0];
	return (struct hal_syscall){
		.number = frame->x[REG_A7],
		.args = {frame->orig_a0, a[1], a[2], a[3], a[4], a[5]},
	};
}

void riscv_user_syscall_result(struct hal_frame *frame, long result)
{
	frame->x[REG_A0] = (uint64_t)result;
}

void riscv_user_syscall_restart(struct hal_frame *frame, unsigned long number)
{
	frame->pc -= 4; /* ecall has no short form */
	frame->x[REG_A0] = frame->orig_a0;
	if (number != ~0ul)
		frame->x[REG_A7] = number;
}

/* The architecture has no keys. */
void riscv_user_key_rights(unsigned key, unsigned denied)
{
}

void riscv_user_set_tls(struct hal_thread *thread, struct hal_frame *frame, vaddr_t tls)
{
	frame->x[REG_TP] = tls;
}

size_t riscv_user_dump(const struct hal_frame *frame, char *buf, size_t size)
{
	static const char names[][4] = {
		"pc", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
		"a1", "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
		"s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
	};
	size_t used = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		used += (size_t)format(buf + MIN(used, size), size - MIN(used, size),
				       "%4s %016llx%s", names[i], (unsigned long long)frame->x[i],
				       i % 4 == 3 ? "\n" : " ");
	used += (size_t)format(buf + MIN(used, size), size - MIN(used, size),
			       "scause %llx stval %016llx sstatus %llx\n",
			       (unsigned long long)frame->cause, (unsigned long long)frame->tval,
			       (unsigned long long)frame->status);
	return used;
}
