/*
 * Processes (TH-9): an address space, threads, resources, credentials, and a place in the tree.
 *
 * Lock order: process_tree_lock (tree, groups, sessions, pid table; a spinlock) -> signal lock of
 * one process. Lookups by pid run under rcu.
 */
#pragma once

#include <core/rcu.h>
#include <core/wait.h>
#include <exec/thread.h>
#include <mm/aspace.h>
#include <security/capability.h>

/* What a process holds that layers above exec own: descriptor table, directory context, ... Each
 * layer registers its slot's ops once at init. */
enum process_resource { RESOURCE_FILES, RESOURCE_FS, RESOURCE_COUNT };

struct resource_ops {
	/* fork (share = false) or clone with CLONE_FILES, CLONE_FS (share = true). */
	enum kerr (*clone)(void *resource, bool share, void **out);
	void (*release)(void *resource); /* may sleep */
};
void process_resource_register(enum process_resource slot, const struct resource_ops *ops);
/* What a terminal does when the session leader that it belongs to ends; may be called once to
 * set it. Called without locks. */
struct session;
void process_session_end_register(void (*fn)(struct session *session));

struct credentials {
	uint32_t uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
	uint32_t group_count;
	uint32_t groups[32];
	struct capabilities capabilities;
};

struct rlimit64 {
	uint64_t current, maximum;
};
#define RLIMIT_CPU 0
#define RLIMIT_FSIZE 1
#define RLIMIT_DATA 2
#define RLIMIT_STACK 3
#define RLIMIT_CORE 4
#define RLIMIT_NPROC 6
#define RLIMIT_NOFILE 7
#define RLIMIT_MEMLOCK 8
#define RLIMIT_AS 9
#define RLIMIT_SIGPENDING 11
#define RLIMIT_NICE 13
#define RLIMIT_RTPRIO 14
#define RLIMIT_COUNT 16
#define RLIM_INFINITY UINT64_MAX

enum process_state {
	PROCESS_CREATING,
	PROCESS_RUNNING,
	PROCESS_STOPPED,
	PROCESS_ZOMBIE,
	PROCESS_DEAD
};

struct signal_actions;
struct domain;

struct session {
	int sid;
	_Atomic uint32_t references;
	void *_Atomic tty; /* (tty lock) controlling terminal, drivers/tty's */
};

#define PID_MAX 32768 /* numbers are below it */

struct process_group {
	int id;
	struct session *session;  /* (const) referenced */
	struct list members;      /* (tree lock) struct process.group_link */
	struct process_group *hash_next; /* (tree lock) */
};

/* Signals that wait: a bit each, and the siginfo of those that have one. */
struct signal_set {
	uint64_t bits;      /* (process lock) */
	struct list queue;  /* (process lock) struct signal_item */
};

struct process {
	int pid;
	_Atomic uint32_t references;
	_Atomic uint8_t state;        /* enum process_state */
	struct process *parent;       /* (tree lock; readers under rcu) */
	struct list children, sibling; /* (tree lock) */
	struct spinlock lock;         /* interrupt-safe; RANK_SIGNAL: threads, signals */
	struct list threads;          /* (lock) struct thread.process_link */
	uint32_t thread_count;        /* (lock) live ones */
	struct process_group *group;  /* (tree lock) */
	int pgid;       /* (tree lock) group->id */
	struct session *session;      /* (tree lock) group->session */
	struct list group_link;       /* (tree lock) */
	struct aspace *aspace;        /* replaced by execve under lock; null for process 0 */
	void *resources[RESOURCE_COUNT];
	struct credentials credentials; /* (lock for writing) */
	struct domain
		*domain; /* (lock for writing) where it stands: exec/domain.h; a place that stays */
	struct rlimit64 limits[RLIMIT_COUNT]; /* (lock for writing) */
	/* signals */
	struct signal_actions *actions;
	struct signal_set pending; /* (lock) for any of the threads */
	uint32_t queued_signals; /* (lock) struct signal_item in all queues */
	struct signal_watch *_Atomic watch; /* set once, by the first signalfd that it looks at */
	bool continue_report; /* (lock) a thread that wakes tells the parent */
	bool exiting; /* (lock) all threads end; exit_status is set */
	bool exec_waits; /* (lock) an execve waits until it is the only thread */
	bool group_stop; /* (lock) all threads stop */
	uint8_t stop_signal; /* (lock) why */
	uint32_t stopped_threads; /* (lock) that have joined the stop */
	bool report_stop, report_continue; /* (tree lock) wait4 has not told it yet */
	uint8_t exit_signal; /* to the parent at the end; 0: none */
	uint8_t parent_death_signal;
	bool did_exec; /* setpgid by the parent is over */
	bool subreaper, no_new_privileges;
	bool shares_aspace; /* some other process has it, too (vfork, CLONE_VM) */
	struct waitq child_wait; /* wait4 sleeps here */
	struct thread *_Atomic vfork_parent; /* sleeps until this child execs or ends */
	struct timer alarm; /* ITIMER_REAL */
	nsec_t alarm_interval, alarm_deadline; /* (lock) */
	char name[16]; /* comm */
	vaddr_t arg_start, arg_end, env_start, env_end, stack_start; /* for /proc */
	vaddr_t trampoline; /* where signal handlers return to */
	void *executable; /* struct file of the program, fs's; for /proc/PID/exe */
	nsec_t start_time, user_time, system_time; /* (lock) of ended threads */
	nsec_t child_user_time, child_system_time; /* (tree lock) */
	uint64_t voluntary_switches, involuntary_switches; /* (lock) of ended threads */
	int exit_status; /* wait status word */
	int dumpable;
	uint32_t personality; /* own; only ADDR_NO_RANDOMIZE means anything */
	int16_t oom_adjust; /* oom_score_adj; written by anybody who may, read as it is */
	int16_t oom_adjust_min; /* the superuser's last word; others do not go below */
	uint64_t memory_budget; /* atomic; bytes, of intents; 0: none (exec/intent.c) */
	struct rcu_head rcu;
	struct process *hash_next; /* (tree lock; rcu) pid table */
};

static inline struct process *current_process(void)
{
	return current_thread()->process;
}

/* Referenced; null: there is none. */
struct process *process_find(int pid);
void process_get(struct process *p);
void process_put(struct process *p);
/* The process with the smallest pid > after, referenced; null at the end. For /proc and kill(-1). */
struct process *process_next(int after);
/* The same for threads of one process (tids in rising order); copies figures out. */
struct thread_info {
	int tid;
	uint8_t state, priority, policy;
	int nice;
	cpu_t cpu;
	uint8_t wait_reason, realtime;
	nsec_t user_time, system_time;
	uint32_t fpu_saves, fpu_loads, fpu_traps;
	nsec_t run_time, wait_time; /* on a CPU, waiting for one behind others */
	uint64_t voluntary_switches, involuntary_switches;
	uint64_t moves; /* from CPU to CPU */
	cpuset_t affinity;
	char name[16];
};
bool process_thread_next(struct process *p, int after, struct thread_info *out);
/* Times of all threads, ended ones too. */
void process_times(struct process *p, nsec_t *user, nsec_t *system);
/* Context switches of all threads, ended ones too. */
void process_switches(struct process *p, uint64_t *voluntary, uint64_t *involuntary);
/* Times of one thread, up to now. */
void thread_times(const struct thread *t, nsec_t *user, nsec_t *system);
int process_parent_pid(struct process *p);
/* The address space, referenced (aspace_put it); null: none, or not any more. */
struct aspace *process_aspace(struct process *p);
uint64_t process_limit(unsigned limit); /* the current one's soft limit */

uint64_t process_lock_limit(void); /* core's upcall lock_limit */

/* Signals to processes and groups, from kernel code (terminals, timers). */
void process_signal(struct process *p, int signo);
/* Releases `executable` and its like when a program ends or is replaced; set by fs, once. */
void process_executable_register(void *(*get)(void *file), void (*put)(void *file));
void process_group_signal(int pgid, int signo);
bool process_group_orphaned(int pgid);
bool process_group_in_session(int pgid, const struct session *session);

/* Load averages *1024 and counts, for /proc. */
struct exec_figures {
	uint32_t threads, running;
	uint64_t load[3]; /* fixed point, 11 bits */
	uint64_t context_switches, forks;
	int last_pid;
};
void exec_figures(struct exec_figures *out);
struct cpu_times {
	nsec_t user, system, idle;
};
void exec_cpu_times(cpu_t cpu, struct cpu_times *out);

/* Program 1: a process whose first thread runs fn(arg) in the kernel and then goes to user mode
 * (fn calls exec_program()). */
enum kerr process_start_first(void (*fn)(void *arg), void *arg);
/* A child of the current process, which lives in the kernel (it has no address space): runs fn(arg),
 * which executes a program and returns, or ends the process. KERR_NOMEM, AGAIN (no number). */
enum kerr process_spawn(const char *name, void (*fn)(void *arg), void *arg, int *pid);
/* Process 0, to which the kernel's threads belong. */
struct process *process_kernel(void);
/* Ends the machine: the record "exit" with the status, then off. */
[[noreturn]] void kernel_power_off(int status);

/* System calls that programs asked for and that are not there. */
struct missing_call {
	unsigned long number;
	const char *name; /* null: the table does not know it */
	uint64_t count;
	int last_pid;
};
bool missing_call_get(size_t index, struct missing_call *out);
void missing_call_count(unsigned long number, const char *name);
