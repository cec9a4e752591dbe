/* Processes, inside exec. */
#pragma once

#include <exec/process.h>
#include <exec/signal.h>

extern struct process kernel_process; /* process 0: kernel threads */
extern struct spinlock process_tree_lock; /* interrupt-safe */
extern struct process *process_init;  /* (const once set) program 1 */

/* ---- ids.c: one number space for processes, threads, groups and sessions ---- */
enum kerr id_alloc(int *out); /* one use */
void id_hold(int id);         /* one more */
void id_release(int id);
int id_last(void);
int id_limit(void);           /* most that may be in use */
void ids_boot(void);          /* 1 is for program 1 */

/* ---- process.c ---- */
void process_boot(void);
/* A process in state CREATING with nothing in it; one reference. */
[[nodiscard]] struct process *process_create(void);
/* Into and out of the tables and p's list of threads; t->tid is set. */
void process_thread_publish(struct process *p, struct thread *t);
void process_thread_publish_locked(struct process *p, struct thread *t);
/* The current thread leaves its process and the tables: how many are left. */
uint32_t process_thread_withdraw(struct thread *t);
/* Pid table; tree lock held. */
void process_hash_locked(struct process *p);
void process_unhash_locked(struct process *p);
/* The thread table's key of a live thread changes (execve by a thread that is not the first). */
void thread_rehash_locked(struct thread *t, int tid);
/* The nearest living ancestor that takes orphans. */
struct process *process_adopter_locked(struct process *p);

extern const struct resource_ops *process_resource_ops[RESOURCE_COUNT];
extern void *(*process_executable_get)(void *file);
extern void (*process_executable_put)(void *file);
extern void (*process_session_end)(struct session *session);

/* ---- group.c ---- tree lock held */
enum kerr group_create_locked(struct process *p, bool new_session);
void group_join_locked(struct process *p, struct process_group *g);
void group_leave_locked(struct process *p);
struct process_group *group_find_locked(int id);
bool group_anchored_by_locked(const struct process *p);
bool group_orphaned_locked(const struct process_group *g, const struct process *except);
/* After `p` left or lost its parent: a group that became orphaned with stopped members gets SIGHUP
 * and SIGCONT. */
void group_check_orphan_locked(struct process_group *g, const struct process *except);
/* setsid, setpgid, getpgid, getsid as calls */
void session_put(struct session *s);

/* ---- exit.c ---- */
/* Out of the tree and the tables, for good. Tree lock held; then process_released(). */
void process_release_locked(struct process *p);
void process_released(struct process *p);
void vfork_release(struct process *p);
/* From now on the current CPU, and the current process when it runs, use `as` (null: none). */
void sched_use_aspace(struct aspace *as);

/* ---- futex.c ---- */
/* The current thread ends: its robust list and clear_child_tid. */
void futex_thread_exit(struct thread *t);

/* ---- signal.c ---- */
struct signal_actions;
[[nodiscard]] struct signal_actions *signal_actions_create(void);
[[nodiscard]] struct signal_actions *signal_actions_copy(struct signal_actions *from);
void signal_actions_get(struct signal_actions *a);
void signal_actions_put(struct signal_actions *a);
bool signal_actions_shared(const struct signal_actions *a);
void signal_actions_exec(struct signal_actions *a); /* handlers back to the default */
struct signal_action signal_action_get(struct signal_actions *a, int signo);
/* SIGCHLD is ignored or has SA_NOCLDWAIT: children leave no zombie. */
bool signal_actions_no_zombies(struct signal_actions *a);
bool signal_actions_no_stop_report(struct signal_actions *a);
enum kerr signal_send_locked(struct process *p, struct thread *t, const struct signal_info *info);
/* TASK_WORK_SIGNAL of the current thread as its masks and sets say. Process lock held. */
void signal_update_work_locked(struct thread *t);
void signal_flush(struct list *queue);
void signal_boot(void);
/* A signal was queued for p: signalfds look. Process lock held. */
static inline void signal_watch_wake(struct process *p)
{
	struct signal_watch *w = atomic_load_explicit(&p->watch, memory_order_acquire);

	if (unlikely(w))
		wake_all(&w->queue);
}
/* Takes the next signal of `set` (bits wanted) that is there for t. Process lock held. */
bool signal_take_locked(struct thread *t, uint64_t wanted, struct signal_info *out);
void signal_action_reset(struct signal_actions *a, int signo);
/* Signals of `bits` that pend for the process are offered to other threads than the current. */
void signal_retarget_locked(struct process *p, uint64_t bits);
void alarm_expired(struct timer *timer);
/* The process ends: no more of it. No lock. */
void alarm_end(struct process *p);
void deliver_work(struct hal_frame *frame, uint32_t work);
/* All threads of p end with `status` (wait status word); the first one decides. */
void process_end_all_locked(struct process *p, int status);
void thread_notify(struct thread *t, uint32_t work);

/* ---- deliver.c ---- */
/* Joins a group stop; returns when the process goes on or ends. */
void thread_group_stop(void);
/* Wakes the threads of a stopped process. Process lock held. */
void process_continue_locked(struct process *p);
/* figures.c */
void figures_start(void);
void figures_forked(void);
