/* The end of threads and processes, and waiting for it. Statuses are wait(2)'s words:
 * code << 8 for an exit, the signal number for a kill. */
#pragma once

#include <exec/process.h>

/* exit(2): only the current thread; the last one ends the process with `status`. */
[[noreturn]] void thread_exit(int status);
/* exit_group(2) and fatal signals: all threads of the current process. */
[[noreturn]] void process_exit_group(int status);
/* Tells the parent that `p` stopped or went on: CLD_STOPPED, CLD_CONTINUED and the signal. */
void process_notify_parent(struct process *p, int code, int signo);

#define WAIT_NOHANG 1
#define WAIT_UNTRACED 2 /* stopped children, too */
#define WAIT_EXITED 4
#define WAIT_CONTINUED 8
#define WAIT_NOWAIT 0x01000000
#define WAIT_NOTHREAD 0x20000000u
#define WAIT_ALL 0x40000000u
#define WAIT_CLONE 0x80000000u

enum wait_for { WAIT_FOR_ANY, WAIT_FOR_PID, WAIT_FOR_GROUP };

struct wait_result {
	int pid;             /* 0: nothing (WAIT_NOHANG) */
	uint32_t uid;
	int code;            /* CLD_* */
	int status;          /* wait status word */
	nsec_t user_time, system_time;
	uint64_t voluntary_switches, involuntary_switches;
};

/* wait4(2), waitid(2). KERR_CHILD: there is no such child. KERR_RESTART: a signal came. */
enum kerr process_wait(enum wait_for what, int id, unsigned options, struct wait_result *out);
