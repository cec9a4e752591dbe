/* What procfs offers to the layers above. */
#pragma once

#include <lib/compiler.h>

/* What program 1 wrote to /proc/tern/exit-status: the status to power off with; 0 if nothing. */
int proc_exit_status(void);
/* Text of the host name (utsname node name); setting it cuts at 64 bytes. */
void host_name_get(char buf[65]);
void host_name_set(const char *name, size_t length);
void domain_name_get(char buf[65]);
void domain_name_set(const char *name, size_t length);
