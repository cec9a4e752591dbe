/*
 * Trap entry and exit.
 *
 * sscratch tells where a trap comes from: in user mode it holds the address of the thread's user
 * frame (at the top of its kernel stack), in the kernel 0. tp is the current thread in the kernel.
 *
 * Between entry and exit code the kernel keeps sstatus.SPP = 0, SPIE = 1 and SUM = 0 (SUM is on
 * only inside the user copies), so a return to user mode has nothing to do with sstatus; a trap
 * from the kernel saves the register and restores this state before any C runs, for the C may
 * switch threads. FS is never restored from a frame: it describes the unit, which switches by
 * itself.
 *
 * A user frame is complete (fork, signals), but its return loads the callee-saved registers
 * only if somebody changed the frame (FRAME_RESTORE): C code has preserved them, and switching
 * threads gp, which the kernel does not use.
 * Null system call: 47 instructions in, 24 out.
 *
 * Rejected: tp in sscratch, as Linux does: three more instructions to find the stack.
 */
#include <hal/thread_offsets.h>
#include "kcfi.h"
#include "frame.h"
#include "regs.h"

/* x1, x3, x6..x31: all but sp, tp and t0. */
.macro save_most
	sd	x1, FRAME_X(1)(sp)
	sd	x3, FRAME_X(3)(sp)
	.irp	n, 6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	sd	x\n, FRAME_X(\n)(sp)
	.endr
.endm

/* What C or a switch of threads may change, without sp and tp. (C never touches gp, but neither
 * does a switch save it: another program's may be there.) */
.macro load_caller_saved
	ld	x1, FRAME_X(1)(sp)
	ld	x3, FRAME_X(3)(sp)
	.irp	n, 5,6,7,10,11,12,13,14,15,16,17,28,29,30,31
	ld	x\n, FRAME_X(\n)(sp)
	.endr
.endm

.macro load_callee_saved
	.irp	n, 8,9,18,19,20,21,22,23,24,25,26,27
	ld	x\n, FRAME_X(\n)(sp)
	.endr
.endm

	.text
	.globl	riscv_trap_entry
	.balign	4
riscv_trap_entry:
	csrrw	sp, sscratch, sp
	beqz	sp, .Lfrom_kernel
	sd	tp, FRAME_X(4)(sp)
	ld	tp, FRAME_THREAD(sp)
	sd	t0, FRAME_X(5)(sp)
	save_most
	csrr	a1, scause
	csrr	t1, sepc
	csrrw	t2, sscratch, zero
	sd	t2, FRAME_X(2)(sp)
	sd	zero, FRAME_RESTORE(sp)
	li	t0, CAUSE_ECALL_U
	bne	a1, t0, .Luser_trap
	addi	t1, t1, 4
	sd	t1, FRAME_PC(sp)
	sd	a0, FRAME_ORIG_A0(sp)
	csrsi	sstatus, SSTATUS_SIE
	mv	a0, sp
	call	core_syscall

/* Interrupts are off. sp: the user frame. */
.Luser_return:
	ld	t0, FRAME_RESTORE(sp)
	ld	t1, FRAME_PC(sp)
	bnez	t0, .Luser_return_full
.Luser_return_caller_saved:
	csrw	sepc, t1
	csrw	sscratch, sp
	load_caller_saved
	ld	tp, FRAME_X(4)(sp)
	ld	sp, FRAME_X(2)(sp)
	sret

.Luser_return_full:
	load_callee_saved
	j	.Luser_return_caller_saved

.Luser_trap:
	sd	t1, FRAME_PC(sp)
	mv	a0, sp
	call	riscv_trap_user
	/* A reservation that the handler left must not satisfy an sc of the interrupted code. */
	ld	t1, FRAME_PC(sp)
	sc.d	zero, t1, (sp)
	j	.Luser_return

/* [[noreturn]] void riscv_trap_user_enter(struct hal_frame *frame): interrupts off. */
	.globl	riscv_trap_user_enter
	CFI_FUNCTION riscv_trap_user_enter
riscv_trap_user_enter:
	mv	sp, a0
	sd	tp, FRAME_THREAD(sp)
	ld	t1, FRAME_PC(sp)
	j	.Luser_return_full

.Lfrom_kernel:
	csrrw	sp, sscratch, sp
	/* A page fault within 8 KiB of the stack pointer is the stack itself: nothing else that is
	 * near it can fault. sscratch holds t0 meanwhile; nothing here can trap. */
	csrw	sscratch, t0
	csrr	t0, stval
	sub	t0, t0, sp
	srai	t0, t0, 13
	addi	t0, t0, 1
	sltiu	t0, t0, 2
	bnez	t0, .Lnear_stack
.Lon_stack:
	csrrw	t0, sscratch, zero
	addi	sp, sp, -FRAME_SIZE
	sd	t0, FRAME_X(5)(sp)
	addi	t0, sp, FRAME_SIZE
	sd	t0, FRAME_X(2)(sp)
	sd	tp, FRAME_X(4)(sp)
	save_most
	csrr	a1, scause
	csrr	t1, sepc
	csrr	t2, sstatus
	sd	t1, FRAME_PC(sp)
	sd	t2, FRAME_STATUS(sp)
	li	t0, SSTATUS_SUM | SSTATUS_SPP
	csrc	sstatus, t0
	li	t0, SSTATUS_SPIE
	csrs	sstatus, t0
	mv	a0, sp
	call	riscv_trap_kernel
	/* Interrupts are off. */
	ld	t0, FRAME_STATUS(sp)
	ld	t1, FRAME_PC(sp)
	sc.d	zero, t1, (sp)
	csrw	sepc, t1
	li	t1, SSTATUS_SPP | SSTATUS_SUM
	and	t1, t1, t0
	csrs	sstatus, t1
	not	t0, t0
	andi	t0, t0, SSTATUS_SPIE
	csrc	sstatus, t0
	load_caller_saved
	addi	sp, sp, FRAME_SIZE
	sret

.Lnear_stack:
	csrr	t0, scause
	addi	t0, t0, -CAUSE_LOAD_FAULT
	andi	t0, t0, ~(CAUSE_STORE_FAULT - CAUSE_LOAD_FAULT)
	bnez	t0, .Lon_stack
	/* Take the one overflow stack: the lock is any value but 0, here the old sp. */
	mv	t0, sp
1:	lla	sp, trap_overflow_lock
	amoswap.d.aq sp, t0, (sp)
	bnez	sp, 1b
	lla	sp, riscv_trap_overflow_stack_end
	addi	sp, sp, -FRAME_SIZE
	sd	t0, FRAME_X(2)(sp)
	csrrw	t0, sscratch, zero
	sd	t0, FRAME_X(5)(sp)
	sd	tp, FRAME_X(4)(sp)
	save_most
	csrr	t1, sepc
	csrr	t2, sstatus
	sd	t1, FRAME_PC(sp)
	sd	t2, FRAME_STATUS(sp)
	mv	a0, sp
	call	riscv_trap_stack_fault
	/* It was not the guard page: this CPU did not know the mapping yet. Try again; sepc and
	 * sstatus are as they were. */
	ld	t0, FRAME_X(2)(sp)
	csrw	sscratch, t0
	load_caller_saved
	lla	sp, trap_overflow_lock
	amoswap.d.rl zero, zero, (sp)
	csrrw	sp, sscratch, zero
	sret

	.bss
	.globl	riscv_trap_overflow_stack_end
	.balign	16
	.zero	8192
riscv_trap_overflow_stack_end:
trap_overflow_lock:
	.dword	0
