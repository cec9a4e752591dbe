/*
 * The capabilities of a task (DI-10): bits of the 64-bit sets that <tern/tern.h>'s call 506 takes and
 * gives. Those marked (all) an ordinary program has; the others belong to the superuser, as far
 * as its domain goes. docs/security.md tells what each one guards.
 */
#pragma once

#include <stdint.h>

enum tern_capability {
	/* resources */
	TERN_CAP_CPU,             /* (all) policies other than SCHED_IDLE */
	TERN_CAP_MEMORY,          /* (all) more memory: mmap, mremap, brk */
	TERN_CAP_IO, /* (all) device nodes other than null, zero, full, random, tty */
	TERN_CAP_NETWORK, /* (all) sockets */
	TERN_CAP_FILESYSTEM, /* (all) calls that name a file */
	TERN_CAP_DEVICES, /* making device nodes */
	TERN_CAP_DMA, /* memory that devices reach */
	TERN_CAP_PHYSICAL_MEMORY, /* /dev/mem */
	/* scheduling */
	TERN_CAP_OWN_PRIORITY, /* (all) its policy and priority */
	TERN_CAP_ANY_PRIORITY, /* other users' threads, and beyond RLIMIT_NICE */
	TERN_CAP_AFFINITY, /* (all) */
	TERN_CAP_REAL_TIME, /* beyond RLIMIT_RTPRIO */
	TERN_CAP_BYPASS_SCHEDULER, /* reservations: SCHED_DEADLINE */
	TERN_CAP_NICE, /* (all) setpriority */
	/* communication */
	TERN_CAP_SIGNAL, /* (all) to other processes */
	TERN_CAP_SHARED_MEMORY, /* (all) MAP_SHARED memory */
	TERN_CAP_MESSAGE_QUEUE, /* (all) */
	TERN_CAP_SEMAPHORE, /* (all) eventfd */
	TERN_CAP_ANY_IPC, /* messages in another's name; past a domain's isolation */
	/* processes and the system */
	TERN_CAP_CREATE_TASK, /* (all) */
	TERN_CAP_KILL, /* signals to other users' processes */
	TERN_CAP_DEBUG, /* (all) memory of other processes; those of others: CAP_SYS_PTRACE */
	TERN_CAP_TRACE, /* kernel addresses, the kernel's log */
	TERN_CAP_PROC_ACCESS, /* (all) what /proc tells of other processes */
	TERN_CAP_MOUNT, /* mount, umount2, chroot */
	TERN_CAP_LOAD_MODULE,
	/* security */
	TERN_CAP_CREATE_DOMAIN,
	TERN_CAP_DELETE_DOMAIN,
	TERN_CAP_MODIFY_DOMAIN,
	TERN_CAP_GRANT, /* capabilities to others */
	TERN_CAP_REVOKE, /* those of others */
	TERN_CAP_BYPASS_SECURITY, /* what a domain's isolation forbids */
	TERN_CAP_AUDIT, /* which denials are logged */
	/* the machine */
	TERN_CAP_SHUTDOWN,
	TERN_CAP_REBOOT,
	TERN_CAP_CONFIGURE_KERNEL, /* settings in /proc/sys and /sys, host name */
	TERN_CAP_RESOURCE_ADMIN, /* limits */
	TERN_CAP_TIME_ADMIN, /* the clock */
	/* Tern's own */
	TERN_CAP_FILE_OVERRIDE, /* permission bits of files */
	TERN_CAP_FILE_OWNER, /* files of others: owner, mode, times */
	TERN_CAP_IDENTITY, /* other user and group numbers */
	TERN_CAP_NETWORK_ADMIN, /* options of sockets and interfaces */
	TERN_CAP_LOCK_MEMORY, /* beyond RLIMIT_MEMLOCK */
	TERN_CAP_HOT_SWAP, /* other providers in the kernel's slots, other schedulers */
	TERN_CAP_COUNT,
};

#define TERN_CAP_BIT(c) ((uint64_t)1 << (c))
