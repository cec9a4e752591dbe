/*
 * The system-call gate: what all sys_*.c share.
 *
 * A handler gets the six argument registers as they are and gives the result register: a value or
 * a negated errno, which is what `enum kerr` is. It first decodes and checks, then acts.
 */
#pragma once

#include <exec/process.h>
#include <fs/file.h>
#include <lib/compiler.h>
#include <mm/user_copy.h>

#define SYSCALL_MAX 512
#define SYSCALL_NONE (SYSCALL_MAX - 1) /* where the tables put what an ABI does not have */

#define SYSCALL_ARGS                                                                               \
	unsigned long a0, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,  \
		unsigned long a5
typedef long syscall_fn(SYSCALL_ARGS);

/* SYSCALL(kill) { ... } defines the handler of kill. */
#define SYSCALL(name) long sys_##name(SYSCALL_ARGS)

#define NONE SYSCALL_NONE
#define MISSING(x86, generic, name)
#define CALL(x86, generic, name, kinds) SYSCALL(name);
#include "table.def"
#undef CALL
#undef MISSING
#undef NONE

/* The registers are set already (rt_sigreturn, execve): leave them alone. In the range of the restart
 * codes, so that the hot path has one test for all. */
#define RESULT_NONE (-700L)

/* A call that a signal interrupted is done again if its handler allows: for what waits without
 * a time limit. */
static inline long restartable(enum kerr err)
{
	return err == KERR_INTR ? KERR_RESTART : err;
}

/* ---- abi.c: what differs between the ABIs ---- */

struct abi {
	uint16_t machine; /* ELF e_machine */
	bool x86_layouts; /* struct stat, epoll_event, clone's argument order */
	bool arm_open_flags; /* O_DIRECTORY, O_NOFOLLOW, O_DIRECT, O_LARGEFILE are rotated */
	bool action_restorer; /* struct sigaction has sa_restorer */
	bool icache_call; /* riscv_flush_icache */
	bool has_keys; /* pkey_alloc and its like */
};
extern const struct abi *abi; /* (const after boot) */
void abi_choose(void);
int open_flags_in(int flags);
int open_flags_out(int flags);

/* ---- copy.c: strings from user memory ---- */

#define PATH_SMALL 120

struct user_path {
	const char *text;
	char *heap; /* or null: it fits in small */
	size_t length;
	char small[PATH_SMALL];
};
/* FAULT, NAMETOOLONG, NOMEM. path_end() after success. */
enum kerr path_copy(struct user_path *p, vaddr_t from);
void path_end(struct user_path *p);

/* ---- copy.c: iovec arrays ---- */

#define TRANSFER_MAX ((size_t)0x7ffff000) /* of one call */
#define VECTOR_MAX 1024
#define VECTOR_SMALL 8

/* Copies and checks the whole array: FAULT, INVAL, NOMEM. The sizes are cut at TRANSFER_MAX in all. *out is
 * `small` or from the heap: vector_end() after success. */
enum kerr vector_read(vaddr_t from, unsigned long count, struct io_buffer small[VECTOR_SMALL],
		      struct io_buffer **out);
void vector_end(struct io_buffer *v, const struct io_buffer *small);

/* ---- Times ---- */

struct user_timespec {
	int64_t seconds, nanoseconds;
};
struct user_timeval {
	int64_t seconds, microseconds;
};
/* Reads a timespec as nanoseconds (cut at about 292 years): FAULT, INVAL. */
enum kerr timespec_read(vaddr_t from, nsec_t *out);
enum kerr timespec_write(vaddr_t to, nsec_t time);
enum kerr timeval_read(vaddr_t from, nsec_t *out);
enum kerr timeval_write(vaddr_t to, nsec_t time);
/* Now plus `span`, or NSEC_NEVER. */
nsec_t deadline_after(nsec_t span);

/* ---- sys_lock.c: fcntl(2)'s lock commands ---- */

#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
struct file;
long record_lock(int fd, struct file *f, int command, vaddr_t argument);

/* ---- sys_capability.c: what prctl(2) does about capabilities ---- */

enum {
	PR_GET_KEEPCAPS = 7,
	PR_SET_KEEPCAPS = 8,
	PR_CAPBSET_READ = 23,
	PR_CAPBSET_DROP = 24,
	PR_GET_SECUREBITS = 27,
	PR_SET_SECUREBITS = 28,
	PR_CAP_AMBIENT = 47,
};
long capability_prctl(unsigned long what, unsigned long a1, unsigned long a2, unsigned long a3,
		      unsigned long a4);

/* ---- sys_tern.c: structures that know their size ---- */

/* Copies in what the caller has of a structure of `known` bytes, the rest is 0; *size gets how much
 * that is. Bytes behind what we know must be 0. INVAL (less than `first`), TOOBIG, FAULT. */
enum kerr struct_in(vaddr_t from, void *to, size_t first, size_t known, uint32_t *size);
long struct_out(vaddr_t to, void *from, uint32_t size);

/* ---- confine.c: calls of restricted processes ---- */

void confine_boot(void);
extern syscall_fn *const *syscall_table; /* (const after boot) the open one, or the tracer's */

/* ---- Tracer ---- */

extern syscall_fn *const syscall_table_x86_64[SYSCALL_MAX];
extern syscall_fn *const syscall_table_generic[SYSCALL_MAX];
/* Name and argument kinds of a number of this ABI; false: unknown. */
bool syscall_describe(unsigned long number, const char **name, const char **kinds);
syscall_fn sys_traced;
syscall_fn sys_missing;
