/* clone(2) in all its forms. */
#pragma once

#include <exec/process.h>

#define CLONE_VM 0x100u
#define CLONE_FS 0x200u
#define CLONE_FILES 0x400u
#define CLONE_SIGHAND 0x800u
#define CLONE_VFORK 0x4000u
#define CLONE_PARENT 0x8000u
#define CLONE_THREAD 0x10000u
#define CLONE_SYSVSEM 0x40000u
#define CLONE_SETTLS 0x80000u
#define CLONE_PARENT_SETTID 0x100000u
#define CLONE_CHILD_CLEARTID 0x200000u
#define CLONE_DETACHED 0x400000u
#define CLONE_UNTRACED 0x800000u
#define CLONE_CHILD_SETTID 0x1000000u
#define CLONE_IO 0x80000000u
#define CLONE_CLEAR_SIGHAND 0x100000000ull

struct clone_request {
	uint64_t flags;      /* CLONE_* */
	int exit_signal;     /* 0: none */
	vaddr_t stack;       /* 0: the parent's */
	vaddr_t parent_tid, child_tid, tls;
};

/* *tid: the new thread's or process's. INVAL, AGAIN (no number), NOMEM, and with CLONE_THREAD in a
 * process that ends RESTART. With CLONE_VFORK it returns when the child has executed or ended. */
enum kerr process_clone(const struct clone_request *request, int *tid);
