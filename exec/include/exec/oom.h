/* Out of memory (PMM-16): which program is ended so that the others go on. */
#pragma once

#include <exec/process.h>

#define OOM_ADJUST_MIN (-1000) /* never chosen */
#define OOM_ADJUST_MAX 1000    /* chosen first */

/* core's upcall memory_short: reclaims, ends a program if that is what it takes, and waits for
 * what it gives back. False: the current program ends itself, or it took too long. */
bool oom_relieve(unsigned attempt);
/* Before something is made for a program out of the kernel's frames: false if programs are out of
 * frames and that stays so. */
bool oom_admit(void);
/* An address space has gone. Any context. */
void oom_memory_freed(void);
/* How much speaks for ending p, adjusted, in frames; negative: nothing at all. Thread context. */
int64_t oom_points(struct process *p);
/* /proc/PID/oom_score: the same as Linux's scale, 0 to 2000; 667 is a program without memory. */
unsigned oom_score(struct process *p);
/* KERR_INVAL: out of range; KERR_ACCESS: lower than the superuser allowed. */
enum kerr oom_adjust(struct process *p, int adjust);
