/*
 * Programs for the host machine's user mode: eight-byte instructions of a register machine with
 * sixteen registers. Tests write them as arrays:
 *
 *	static const struct host_instruction program[] = {
 *		P_LI(R7, 93), P_LI(R0, 42), P_SYSCALL,
 *	};
 *
 * They lie in user memory and are fetched, loaded and stored through the MMU model, so demand
 * paging, fork, signals and preemption work as for real programs.
 */
#pragma once

#include <stdint.h>

enum host_op {
	OP_ILLEGAL = 0,
	OP_LI = 1,  /* a = imm */
	OP_LIH,     /* upper half of a = imm */
	OP_MOV,     /* a = b */
	OP_ADD,     /* a = b + c */
	OP_ADDI,    /* a = b + imm */
	OP_SUB,
	OP_MUL,
	OP_DIV,     /* c = 0: TRAP_DIVIDE */
	OP_AND,
	OP_OR,
	OP_XOR,
	OP_LD = 0xc, /* a = 8 bytes at b + imm */
	OP_LW,       /* 4 bytes, unsigned */
	OP_LB,
	OP_ST,       /* 8 bytes at b + imm = a */
	OP_SW,
	OP_SB,
	OP_JMP,      /* imm: instructions from this one */
	OP_JAL,      /* and r12 = the next one */
	OP_JR,       /* to a */
	OP_BEQ,      /* a == b */
	OP_BNE,
	OP_BLT,      /* unsigned */
	OP_SYSCALL = 0x18,
	OP_BREAK,
	OP_CAS,      /* 4 bytes at b: if == a then = c; a = what was there */
	OP_FSET,     /* vector register imm = a */
	OP_FGET,     /* a = vector register imm */
	OP_PRIVILEGED, /* TRAP_ILLEGAL */
};

struct host_instruction {
	uint8_t op, a, b, c;
	int32_t imm;
};

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, LINK, TLS, FP, SP };

#define P_LI(a, imm) {OP_LI, (a), 0, 0, (int32_t)(imm)}
#define P_LIH(a, imm) {OP_LIH, (a), 0, 0, (int32_t)(imm)}
#define P_MOV(a, b) {OP_MOV, (a), (b), 0, 0}
#define P_ADD(a, b, c) {OP_ADD, (a), (b), (c), 0}
#define P_ADDI(a, b, imm) {OP_ADDI, (a), (b), 0, (imm)}
#define P_SUB(a, b, c) {OP_SUB, (a), (b), (c), 0}
#define P_MUL(a, b, c) {OP_MUL, (a), (b), (c), 0}
#define P_DIV(a, b, c) {OP_DIV, (a), (b), (c), 0}
#define P_LD(a, b, imm) {OP_LD, (a), (b), 0, (imm)}
#define P_LW(a, b, imm) {OP_LW, (a), (b), 0, (imm)}
#define P_LB(a, b, imm) {OP_LB, (a), (b), 0, (imm)}
#define P_ST(a, b, imm) {OP_ST, (a), (b), 0, (imm)}
#define P_SW(a, b, imm) {OP_SW, (a), (b), 0, (imm)}
#define P_SB(a, b, imm) {OP_SB, (a), (b), 0, (imm)}
#define P_JMP(imm) {OP_JMP, 0, 0, 0, (imm)}
#define P_JAL(imm) {OP_JAL, 0, 0, 0, (imm)}
#define P_JR(a) {OP_JR, (a), 0, 0, 0}
#define P_BEQ(a, b, imm) {OP_BEQ, (a), (b), 0, (imm)}
#define P_BNE(a, b, imm) {OP_BNE, (a), (b), 0, (imm)}
#define P_BLT(a, b, imm) {OP_BLT, (a), (b), 0, (imm)}
#define P_SYSCALL {OP_SYSCALL, 0, 0, 0, 0}
#define P_BREAK {OP_BREAK, 0, 0, 0, 0}
#define P_CAS(a, b, c) {OP_CAS, (a), (b), (c), 0}
#define P_FSET(a, imm) {OP_FSET, (a), 0, 0, (imm)}
#define P_FGET(a, imm) {OP_FGET, (a), 0, 0, (imm)}
#define P_ILLEGAL {OP_ILLEGAL, 0, 0, 0, 0}
