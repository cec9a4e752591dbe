/* What procfs offers to the layers above. */
#pragma once

#include <lib/compiler.h>
#include <lib/kerr.h>

/* What program 1 wrote to /proc/tern/exit-status: the status to power off with; 0 if nothing. */
int proc_exit_status(void);
/* A file /proc/net/NAME, whose text `show` makes with text_print(). At init. */
struct text;
struct proc_subject;
void proc_net_register(const char *name,
		       enum kerr (*show)(struct text *t, const struct proc_subject *s));
void text_print(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_add(struct text *t, const char *bytes, size_t count);
/* R, S, D, T or Z of a process whose thread `info` is. */
struct process;
struct thread_info;
char proc_state_letter(const struct process *p, const struct thread_info *info);
/* The memory of a process; all 0 if it has none (any more). */
struct aspace_stats proc_aspace_stats(struct process *p);
/* Text of the host name (utsname node name); setting it cuts at 64 bytes. */
void host_name_get(char buf[65]);
void host_name_set(const char *name, size_t length);
void domain_name_get(char buf[65]);
void domain_name_set(const char *name, size_t length);
