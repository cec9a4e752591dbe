/*
 * The gate of restricted processes (TH-10, DI-9): whose threads' table is `guarded`, every entry of which is
 * sys_guarded(). It asks three things of a call: does the domain refuse its number, does the number need a
 * capability that everybody has but this process lacks, and do its arguments. A refusal is EPERM; brk, which
 * has no errors, tells where the break is. Then the call goes its ordinary way.
 *
 * Which number needs what is a table of bytes for each ABI, made by the compiler from the lists below and
 * table.def. What an execution domain never calls goes into the domains' bitmaps at boot.
 */
#include "gate.h"

#include <exec/domain.h>
#include <mm/aspace.h>
#include <security/audit.h>

/* The numbers of every call that is there, as NUMBER_x86_NAME and NUMBER_generic_NAME. */
#define NONE SYSCALL_NONE
#define MISSING(x86, generic, name) CALL(x86, generic, name, "")
#define CALL(x86, generic, name, kinds) NUMBER_x86_##name = x86, NUMBER_generic_##name = generic,
enum {
#include "table.def"
};
#undef CALL
#undef MISSING
#undef NONE

/* clang-format off */
#define NEEDS_MEMORY(X) \
	X(mmap) X(mremap) X(brk)
#define NEEDS_NETWORK(X) \
	X(socket) X(socketpair) X(connect) X(bind) X(listen) X(accept) X(accept4)
#define NEEDS_FILESYSTEM(X) \
	X(open) X(openat) X(openat2) X(creat) X(stat) X(lstat) X(newfstatat) X(statx) X(access) \
	X(faccessat) X(faccessat2) X(truncate) X(chdir) X(rename) X(renameat) X(renameat2) \
	X(mkdir) X(mkdirat) X(rmdir) X(link) X(linkat) X(unlink) X(unlinkat) X(symlink) \
	X(symlinkat) X(readlink) X(readlinkat) X(chmod) X(fchmodat) X(fchmodat2) X(chown) \
	X(lchown) X(fchownat) X(mknod) X(mknodat) X(utime) X(utimes) X(futimesat) X(utimensat) \
	X(statfs) X(chroot) X(mount) X(umount2) X(setxattr) X(lsetxattr) X(getxattr) \
	X(lgetxattr) X(listxattr) X(llistxattr) X(removexattr) X(lremovexattr)
#define NEEDS_OWN_PRIORITY(X) \
	X(sched_setparam) X(sched_setscheduler) X(sched_setattr)
#define NEEDS_AFFINITY(X) \
	X(sched_setaffinity)
#define NEEDS_NICE(X) \
	X(setpriority)
#define NEEDS_MESSAGE_QUEUE(X) \
	X(mq_open) X(mq_unlink) X(mq_timedsend) X(mq_timedreceive) X(mq_notify) \
	X(mq_getsetattr) X(msgget) X(msgsnd) X(msgrcv) X(msgctl)
#define NEEDS_SEMAPHORE(X) \
	X(eventfd) X(eventfd2) X(semget) X(semop) X(semctl) X(semtimedop)
#define NEEDS_SHARED_MEMORY(X) \
	X(shmget) X(shmat) X(shmctl) X(shmdt)
#define NEEDS_CREATE_TASK(X) \
	X(fork) X(vfork) X(clone) X(clone3)
#define NEEDS_DEBUG(X) \
	X(ptrace) X(move_pages) X(migrate_pages)
#define NEEDS_ALL \
	NEEDS_MEMORY(ROW_MEMORY) NEEDS_NETWORK(ROW_NETWORK) NEEDS_FILESYSTEM(ROW_FILESYSTEM) \
	NEEDS_OWN_PRIORITY(ROW_OWN_PRIORITY) NEEDS_AFFINITY(ROW_AFFINITY) NEEDS_NICE(ROW_NICE) \
	NEEDS_MESSAGE_QUEUE(ROW_MESSAGE_QUEUE) NEEDS_SEMAPHORE(ROW_SEMAPHORE) \
	NEEDS_SHARED_MEMORY(ROW_SHARED_MEMORY) NEEDS_CREATE_TASK(ROW_CREATE_TASK) \
	NEEDS_DEBUG(ROW_DEBUG)
#define ROW_MEMORY(name) ROW(name, TERN_CAP_MEMORY)
#define ROW_NETWORK(name) ROW(name, TERN_CAP_NETWORK)
#define ROW_FILESYSTEM(name) ROW(name, TERN_CAP_FILESYSTEM)
#define ROW_OWN_PRIORITY(name) ROW(name, TERN_CAP_OWN_PRIORITY)
#define ROW_AFFINITY(name) ROW(name, TERN_CAP_AFFINITY)
#define ROW_NICE(name) ROW(name, TERN_CAP_NICE)
#define ROW_MESSAGE_QUEUE(name) ROW(name, TERN_CAP_MESSAGE_QUEUE)
#define ROW_SEMAPHORE(name) ROW(name, TERN_CAP_SEMAPHORE)
#define ROW_SHARED_MEMORY(name) ROW(name, TERN_CAP_SHARED_MEMORY)
#define ROW_CREATE_TASK(name) ROW(name, TERN_CAP_CREATE_TASK)
#define ROW_DEBUG(name) ROW(name, TERN_CAP_DEBUG)
/* clang-format on */

#define NOTHING UINT8_MAX

#pragma clang diagnostic ignored "-Winitializer-overrides"
/* clang-format off */
#define ROW(name, capability) [NUMBER_x86_##name] = capability,
static const uint8_t needs_x86[SYSCALL_MAX] = {
	[0 ... SYSCALL_MAX - 1] = NOTHING, NEEDS_ALL [SYSCALL_NONE] = NOTHING,
};
#undef ROW
#define ROW(name, capability) [NUMBER_generic_##name] = capability,
static const uint8_t needs_generic[SYSCALL_MAX] = {
	[0 ... SYSCALL_MAX - 1] = NOTHING, NEEDS_ALL [SYSCALL_NONE] = NOTHING,
};
#undef ROW

/* What only the system's programs do: sandboxes and drivers are refused it by number. */
#define REFUSED_OUTSIDE(X) \
	X(mount) X(umount2) X(chroot) X(reboot) X(init_module) X(finit_module) X(delete_module) \
	X(sethostname) X(setdomainname) X(settimeofday) X(clock_settime) X(syslog) \
	X(migrate_pages) X(move_pages) X(ptrace) X(kexec_load) X(swapon) X(swapoff) X(acct) \
	X(pivot_root) X(personality)
/* clang-format on */
#define X86(name) NUMBER_x86_##name,
#define GENERIC(name) NUMBER_generic_##name,
static const uint16_t refused_x86[] = {REFUSED_OUTSIDE(X86)};
static const uint16_t refused_generic[] = {REFUSED_OUTSIDE(GENERIC)};

static unsigned number_of(const uint16_t x86, const uint16_t generic)
{
	return abi->x86_layouts ? x86 : generic;
}

/* The capability that this very call needs. */
static uint8_t need_of(unsigned number, unsigned long a3)
{
	const unsigned shared = MMAP_SHARED | MMAP_ANONYMOUS;

	if (number == number_of(NUMBER_x86_mmap, NUMBER_generic_mmap) && (a3 & shared) == shared &&
	    current_process()->credentials.capabilities.effective.own >> TERN_CAP_MEMORY & 1)
		return TERN_CAP_SHARED_MEMORY;
	return abi->x86_layouts ? needs_x86[number] : needs_generic[number];
}

static long refuse(unsigned number)
{
	struct process *p = current_process();
	const struct audit_subject s = {p->name, p->pid, p->domain};

	audit_call(number, &s);
	if (number == number_of(NUMBER_x86_brk, NUMBER_generic_brk))
		return sys_brk(0, 0, 0, 0, 0, 0);
	return KERR_PERM;
}

static long sys_guarded(SYSCALL_ARGS)
{
	unsigned long number = hal.user.syscall(thread_frame(current_thread())).number;
	const struct domain *d = current_process()->domain;
	uint8_t need = need_of((unsigned)number, a3);

	if (unlikely(d->refused[number / 64] >> number % 64 & 1))
		return refuse((unsigned)number);
	if (unlikely(need != NOTHING && !process_has(need)))
		return refuse((unsigned)number);
	return syscall_table[number](a0, a1, a2, a3, a4, a5);
}

static syscall_fn *const guarded[SYSCALL_MAX] = {[0 ... SYSCALL_MAX - 1] = sys_guarded};

void confine_boot(void)
{
	process_call_tables[0] = syscall_table;
	process_call_tables[1] = guarded;
	for (size_t i = 0; i < ARRAY_SIZE(refused_x86); i++) {
		unsigned number = number_of(refused_x86[i], refused_generic[i]);
		if (number == SYSCALL_NONE)
			continue;
		domain_refuse_call(TERN_EXECUTION_SANDBOX, number);
		domain_refuse_call(TERN_EXECUTION_DRIVER, number);
	}
}
