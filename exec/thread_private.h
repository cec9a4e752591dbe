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
enum kerr thread_spawn(const char *name, void (*fn)(void *arg), void *arg);
