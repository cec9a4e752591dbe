/* Threads, inside exec. */
#pragma once

#include <exec/process.h>
#include <hal/upcall.h>

/* A new thread of `p` in state CREATING, without a tid, known to nobody. Null: no memory. */
[[nodiscard]] struct thread *thread_create(struct process *p, const char *name, bool user);
void thread_destroy_unborn(struct thread *t);
/* Makes it run; it may have ended before this returns. */
void thread_launch(struct thread *t);
/* The current thread's last words: everything else about it is gone already. */
[[noreturn]] void thread_leave_cpu(void);
/* The registers of the current thread's unit (fpu.c). Thread context, interrupts on, no spinlock.
 * hold: they are in its area, which stays the thread's to read and change, until release; true: the
 * unit had them, and release(true) may load them at once. */
bool fpu_hold(void);
/* The same if all of them will be rewritten: the area has older ones. */
bool fpu_hold_to_rewrite(void);
void fpu_release(bool live);
/* They are in its area as well, to be read until it returns to user mode. */
void fpu_show(void);
/* A new thread, never run, gets the current one's. */
void fpu_fork(struct thread *child);
/* As a new program has them. */
void fpu_new_program(void);
/* The thread ends: it uses them no more, and no CPU knows of them. */
void fpu_drop(void);
enum kerr thread_spawn(const char *name, void (*fn)(void *arg), void *arg);
