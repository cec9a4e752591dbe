/* What uname(2), /proc/version and /proc/sys/kernel say: the Linux release whose ABI programs find,
 * and this kernel's own version. */
#pragma once

#define TERN_RELEASE "6.1.0-tern"
#define TERN_VERSION "#1 SMP PREEMPT Tern 0.1"
