/*
 * Signals. Numbers, flags and structures are Linux's (signal(7)); masks have bit signo-1.
 */
#pragma once

#include <exec/process.h>

/* Where user mode is entered and left with a frame, signals are delivered: see exec/deliver.c. */

#define SIGHUP 1
#define SIGINT 2
#define SIGQUIT 3
#define SIGILL 4
#define SIGTRAP 5
#define SIGABRT 6
#define SIGBUS 7
#define SIGFPE 8
#define SIGKILL 9
#define SIGUSR1 10
#define SIGSEGV 11
#define SIGUSR2 12
#define SIGPIPE 13
#define SIGALRM 14
#define SIGTERM 15
#define SIGCHLD 17
#define SIGCONT 18
#define SIGSTOP 19
#define SIGTSTP 20
#define SIGTTIN 21
#define SIGTTOU 22
#define SIGURG 23
#define SIGXCPU 24
#define SIGXFSZ 25
#define SIGVTALRM 26
#define SIGPROF 27
#define SIGWINCH 28
#define SIGIO 29
#define SIGPWR 30
#define SIGSYS 31
#define SIGSTKFLT 16
#define SIGRTMIN 32
#define SIGNAL_COUNT 64

#define SIGNAL_BIT(signo) ((uint64_t)1 << ((signo) - 1))

/* The current thread has a signal that is not blocked: interruptible sleeps end. */
bool signal_pending(void);
/* The current thread blocks or its process ignores `signo` (job control of terminals asks). */
bool signal_blocked_or_ignored(int signo);
/* To the current thread itself, unblockable: faults, SIGPIPE. si_code and address as Linux. */
void signal_force(int signo, int code, vaddr_t addr);
/* The same for SIGSEGV, SEGV_PKUERR: the protection key of the page at `addr`. */
void signal_force_key(vaddr_t addr, unsigned key);
#define SEGV_PKUERR 4

/* si_code of signals that people and the kernel send. */
#define SI_USER 0
#define SI_KERNEL 0x80
#define SI_QUEUE (-1)
#define SI_TIMER (-2)
#define SI_TKILL (-6)
#define CLD_EXITED 1
#define CLD_KILLED 2
#define CLD_DUMPED 3
#define CLD_STOPPED 5
#define CLD_CONTINUED 6

#define SA_NOCLDSTOP 0x1u
#define SA_NOCLDWAIT 0x2u
#define SA_SIGINFO 0x4u
#define SA_RESTORER 0x04000000u
#define SA_ONSTACK 0x08000000u
#define SA_RESTART 0x10000000u
#define SA_NODEFER 0x40000000u
#define SA_RESETHAND 0x80000000u

#define SIG_DFL 0
#define SIG_IGN 1

#define SIGNAL_UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

struct signal_action {
	vaddr_t handler; /* or SIG_DFL, SIG_IGN */
	uint64_t flags;
	vaddr_t restorer;
	uint64_t mask;
};

/* siginfo_t without its padding. Layout: signal_info_encode(). */
struct signal_info {
	int signo, error, code;
	union {
		struct {
			int pid;
			uint32_t uid;
			uint64_t value;      /* SI_QUEUE and timers */
		};
		struct {
			int child;
			uint32_t child_uid;
			int status;
			uint64_t user_time, system_time; /* clock ticks */
		};
		struct {
			vaddr_t addr;
			uint32_t key; /* SEGV_PKUERR */
		};
	};
};

/* The 128 bytes of a Linux siginfo_t. */
void signal_info_encode(const struct signal_info *info, uint8_t out[128]);
/* Its inverse for what user space hands in (rt_sigqueueinfo). */
void signal_info_decode(const uint8_t in[128], int signo, struct signal_info *out);

/* Sends to a process (thread null) or to one thread of it. KERR_AGAIN: too many are queued (real-time
 * signals only). Any context. */
enum kerr signal_send(struct process *p, struct thread *t, const struct signal_info *info);
/* The current process may signal `p` (kill(2)). */
bool signal_permitted(struct process *p, int signo);
/* kill(2) with all its meanings of pid. */
enum kerr signal_kill(int pid, const struct signal_info *info);
/* tgkill(2), tkill(2) (tgid 0). */
enum kerr signal_thread(int tgid, int tid, const struct signal_info *info);

/* rt_sigaction(2) on the current process; either pointer may be null. */
enum kerr signal_action(int signo, const struct signal_action *set, struct signal_action *old);
/* The current thread's mask. */
void signal_set_mask(uint64_t mask);
uint64_t signal_pending_set(void); /* blocked ones */
uint64_t signal_pending_all(void);
/* Sets `mask` until the next return to user mode, whose handlers see the mask of before:
 * rt_sigsuspend, ppoll, pselect. */
void signal_set_temporary_mask(uint64_t mask);
/* Ends that without a handler (ppoll returned because of its descriptors). */
void signal_restore_mask(void);
/* rt_sigtimedwait: takes one signal of `set`. KERR_AGAIN at the deadline, KERR_INTR. */
enum kerr signal_wait(uint64_t set, nsec_t deadline, struct signal_info *out);
/* Takes one signal of `set` that pends for the current thread; false: there is none. */
bool signal_take(uint64_t set, struct signal_info *out);

/* For signalfd: a queue that wakes at every signal sent to a process. It outlives the process, since a
 * descriptor that was polled there may go on elsewhere. */
struct signal_watch {
	_Atomic uint32_t references; /* the process, and the files that hold it */
	struct waitq queue;
};
/* The current process's, made if need be; valid as long as the process. Null: no memory. */
struct signal_watch *signal_watch_current(void);
void signal_watch_get(struct signal_watch *w);
void signal_watch_put(struct signal_watch *w);
/* sigaltstack(2). KERR_PERM: running on it, KERR_NOMEM: too small, KERR_INVAL. */
enum kerr signal_set_alt_stack(vaddr_t base, uint64_t size, int flags, vaddr_t sp);
int signal_alt_stack_flags(vaddr_t sp); /* SS_ONSTACK, SS_DISABLE, 0 */
/* rt_sigreturn on the current thread's frame. */
enum kerr signal_return(struct hal_frame *frame);
/* setitimer(ITIMER_REAL), alarm: ns, 0: off. Gives what was left. */
void alarm_set(nsec_t first, nsec_t interval, nsec_t *old_left, nsec_t *old_interval);
void alarm_get(nsec_t *left, nsec_t *interval);
/* What /proc/PID/status shows. */
struct signal_figures {
	uint64_t pending, shared_pending, blocked, ignored, caught;
};
void signal_figures(struct process *p, struct signal_figures *out);
