/*
 * Context switch, first entry of threads and of CPUs, and the floating-point unit.
 */
#include <hal/thread_offsets.h>
#include "kcfi.h"
#include "regs.h"
#include "smp_start.h"

#define SWITCH_SIZE 112

	.text

/*
 * struct hal_thread *riscv_cpu_switch_to(struct hal_thread *prev, struct hal_thread *next)
 * gp is the program's all the time: the kernel has no use for it, and system calls do not restore
 * it. a0 goes through: whoever continues gets the prev of the thread that ran last. The sc ends a
 * reservation that prev holds (it stores what is there already, if anything).
 */
	.globl	riscv_cpu_switch_to
	CFI_FUNCTION riscv_cpu_switch_to
riscv_cpu_switch_to:
	addi	sp, sp, -SWITCH_SIZE
	sd	ra, 0(sp)
	sd	s0, 8(sp)
	sd	s1, 16(sp)
	sd	s2, 24(sp)
	sd	s3, 32(sp)
	sd	s4, 40(sp)
	sd	s5, 48(sp)
	sd	s6, 56(sp)
	sd	s7, 64(sp)
	sd	s8, 72(sp)
	sd	s9, 80(sp)
	sd	s10, 88(sp)
	sd	s11, 96(sp)
	sd	gp, 104(sp)
	sc.d	zero, ra, (sp)
	sd	sp, HAL_THREAD_KERNEL_SP(a0)
	ld	sp, HAL_THREAD_KERNEL_SP(a1)
	mv	tp, a1
	ld	ra, 0(sp)
	ld	s0, 8(sp)
	ld	s1, 16(sp)
	ld	s2, 24(sp)
	ld	s3, 32(sp)
	ld	s4, 40(sp)
	ld	s5, 48(sp)
	ld	s6, 56(sp)
	ld	s7, 64(sp)
	ld	s8, 72(sp)
	ld	s9, 80(sp)
	ld	s10, 88(sp)
	ld	s11, 96(sp)
	ld	gp, 104(sp)
	addi	sp, sp, SWITCH_SIZE
	ret

/* long riscv_cpu_guarded_call(uintptr_t *guard, void (*fn)(void), const uintptr_t args[4]): the registers that C
 * keeps lie on the stack at *guard, and whoever loads it again is back here. */
	.globl	riscv_cpu_guarded_call
	CFI_FUNCTION riscv_cpu_guarded_call
riscv_cpu_guarded_call:
	addi	sp, sp, -SWITCH_SIZE
	sd	ra, 0(sp)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	sd	s\n, (8 + 8 * \n)(sp)
	.endr
	sd	sp, 0(a0)
	mv	t0, a1
	mv	t1, a2
	ld	a0, 0(t1)
	ld	a1, 8(t1)
	ld	a2, 16(t1)
	ld	a3, 24(t1)
	jalr	t0
.Lguarded_back:
	ld	ra, 0(sp)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	ld	s\n, (8 + 8 * \n)(sp)
	.endr
	addi	sp, sp, SWITCH_SIZE
	ret

/* [[noreturn]] void riscv_cpu_guarded_end(const uintptr_t *guard) */
	.globl	riscv_cpu_guarded_end
	CFI_FUNCTION riscv_cpu_guarded_end
riscv_cpu_guarded_end:
	ld	sp, 0(a0)
	li	a0, 0
	j	.Lguarded_back

/* First return of riscv_cpu_switch_to in a new thread: s1 = entry, s2 = its argument; s0 and the
 * return address are 0, where a backtrace ends. */
	.globl	riscv_cpu_thread_start
riscv_cpu_thread_start:
	mv	a1, s2
	li	ra, 0
	jr	s1

/*
 * A hart that came to boot/ and was not the first: translation off, interrupts off, a0 = hart id.
 * Only the kernel's half is in the tables, so the step to high addresses is the page fault after satp
 * is written: stvec holds where to go on. A hart that nobody has started stays here.
 */
	.globl	riscv_smp_entry
	.balign	4
riscv_smp_entry:
	lla	a1, riscv_smp_starts
	li	a2, SMP_START_COUNT
1:	ld	t0, SMP_START_SATP(a1)
	fence	r, r
	ld	t1, SMP_START_HART(a1)
	beqz	t0, 2f
	beq	t1, a0, 3f
2:	addi	a1, a1, SMP_START_SIZE
	addi	a2, a2, -1
	bnez	a2, 1b
4:	wfi
	j	4b
3:
	ld	tp, SMP_START_THREAD(a1)
	ld	sp, SMP_START_STACK(a1)
	ld	t1, SMP_START_HIGH(a1)
	csrw	stvec, t1
	sfence.vma
	csrw	satp, t0
	jr	t1 /* only where the tables map these addresses too */

	.globl	riscv_smp_entry_high
	.balign	4
riscv_smp_entry_high:
	fence.i
	sfence.vma
	li	s0, 0
	call	riscv_smp_main

/* ---- Floating point: a0 = struct fpu_area ---- */

	.option	push
	.option	arch, +d

	.globl	riscv_fpu_regs_save
riscv_fpu_regs_save:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	fsd	f\n, (8 * \n)(a0)
	.endr
	frcsr	t0
	sw	t0, 256(a0)
	ret

	.globl	riscv_fpu_regs_load
riscv_fpu_regs_load:
	lw	t0, 256(a0)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	fld	f\n, (8 * \n)(a0)
	.endr
	fscsr	t0
	ret

	.globl	riscv_fpu_regs_zero
riscv_fpu_regs_zero:
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	fmv.d.x	f\n, zero
	.endr
	fscsr	zero
	ret

	.option	pop
