/* Process groups and sessions as system calls see them. pid 0 is the current process. */
#pragma once

#include <exec/process.h>

/* setsid(2). KERR_PERM: it leads a group already. */
enum kerr process_new_session(int *sid);
/* setpgid(2): SRCH, PERM, ACCESS, INVAL. */
enum kerr process_set_group(int pid, int pgid);
/* getpgid(2), getsid(2): SRCH. */
enum kerr process_get_group(int pid, int *pgid, int *sid);
