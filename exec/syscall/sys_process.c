/* Processes: clone, exit, wait, limits, usage, prctl. */
#include "gate.h"
#include <core/time.h>
#include <exec/domain.h>
#include <exec/exit.h>
#include <exec/fork.h>
#include <exec/signal.h>
#include <lib/string.h>
#include <mm/huge.h>

#define TICK (NSEC_PER_SEC / 100)

/* ---- clone ---- */

static long clone_result(const struct clone_request *r)
{
	int tid;
	enum kerr err = process_clone(r, &tid);

	return err == KERR_OK ? tid : err;
}

SYSCALL(clone)
{
	struct clone_request r = {
		.flags = a0 & 0xffffff00u,
		.exit_signal = (int)(a0 & 0xff),
		.stack = a1,
		.parent_tid = a2,
		.child_tid = abi->x86_layouts ? a3 : a4,
		.tls = abi->x86_layouts ? a4 : a3,
	};

	return clone_result(&r);
}

SYSCALL(fork)
{
	return clone_result(&(struct clone_request){.exit_signal = SIGCHLD});
}

SYSCALL(vfork)
{
	return clone_result(
		&(struct clone_request){.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD});
}

#define CLONE_ARGS_MIN 64
#define CLONE_ARGS_KNOWN 88

SYSCALL(clone3)
{
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
			set_tid, set_tid_size, cgroup;
	} args = {};
	uint8_t rest[64];

	static_assert(sizeof(args) == CLONE_ARGS_KNOWN);
	if (a1 < CLONE_ARGS_MIN)
		return KERR_INVAL;
	if (a1 > PAGE_SIZE)
		return KERR_TOOBIG;
	enum kerr err = user_read(&args, a0, MIN(a1, sizeof(args)));
	for (size_t at = sizeof(args); err == KERR_OK && at < a1; at += sizeof(rest)) {
		size_t n = MIN(a1 - at, sizeof(rest));
		err = user_read(rest, a0 + at, n);
		for (size_t i = 0; err == KERR_OK && i < n; i++)
			if (rest[i])
				err = KERR_TOOBIG; /* something newer than we know */
	}
	if (err != KERR_OK)
		return err;
	if (args.exit_signal > SIGNAL_COUNT || args.set_tid_size || args.flags & 0xff ||
	    !args.stack != !args.stack_size)
		return KERR_INVAL;
	return clone_result(&(struct clone_request){
		.flags = args.flags,
		.exit_signal = (int)args.exit_signal,
		.stack = args.stack ? args.stack + args.stack_size : 0,
		.parent_tid = args.parent_tid,
		.child_tid = args.child_tid,
		.tls = args.tls,
	});
}

SYSCALL(set_tid_address)
{
	current_thread()->clear_child_tid = a0;
	return current_thread()->tid;
}

SYSCALL(unshare)
{
	/* A single thread shares nothing that these name; namespaces there are none. */
	return a0 & ~(unsigned long)(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM) ? KERR_INVAL : KERR_OK;
}

SYSCALL(exit)
{
	thread_exit((int)(a0 & 0xff) << 8);
}

SYSCALL(exit_group)
{
	process_exit_group((int)(a0 & 0xff) << 8);
}

/* ---- usage ---- */

struct user_rusage {
	struct user_timeval user, system;
	int64_t max_resident, shared, data, stack, minor_faults, major_faults, swaps, in_blocks,
		out_blocks, sent, received, signals, voluntary, involuntary;
};

static struct user_timeval timeval_of(nsec_t time)
{
	return (struct user_timeval){(int64_t)(time / NSEC_PER_SEC),
				     (int64_t)(time % NSEC_PER_SEC / NSEC_PER_USEC)};
}

static enum kerr rusage_write(vaddr_t to, nsec_t user, nsec_t system, uint64_t voluntary,
			      uint64_t involuntary, uint64_t resident_pages)
{
	const struct user_rusage r = {
		.user = timeval_of(user),
		.system = timeval_of(system),
		.max_resident = (int64_t)(resident_pages * PAGE_SIZE / 1024),
		.voluntary = (int64_t)voluntary,
		.involuntary = (int64_t)involuntary,
	};

	return user_write(to, &r, sizeof(r));
}

#define RUSAGE_SELF 0
#define RUSAGE_CHILDREN (-1)
#define RUSAGE_THREAD 1

SYSCALL(getrusage)
{
	struct process *p = current_process();
	struct thread *t = current_thread();
	uint64_t resident = aspace_stats(p->aspace).resident_pages, voluntary, involuntary;
	nsec_t user, system;

	switch ((int)a0) {
	case RUSAGE_SELF:
		process_times(p, &user, &system);
		process_switches(p, &voluntary, &involuntary);
		return rusage_write(a1, user, system, voluntary, involuntary, resident);
	case RUSAGE_CHILDREN:
		return rusage_write(a1, p->child_user_time, p->child_system_time, 0, 0, 0);
	case RUSAGE_THREAD:
		thread_times(t, &user, &system);
		return rusage_write(a1, user, system, thread_voluntary(t), thread_involuntary(t),
				    resident);
	default:
		return KERR_INVAL;
	}
}

SYSCALL(times)
{
	struct process *p = current_process();
	nsec_t user, system;

	process_times(p, &user, &system);
	const int64_t ticks[4] = {(int64_t)(user / TICK), (int64_t)(system / TICK),
				  (int64_t)(p->child_user_time / TICK),
				  (int64_t)(p->child_system_time / TICK)};
	enum kerr err = a0 ? user_write(a0, ticks, sizeof(ticks)) : KERR_OK;
	return err == KERR_OK ? (long)(time_now() / TICK) : err;
}

/* ---- wait ---- */

SYSCALL(wait4)
{
	int pid = (int)a0;
	struct wait_result r;
	enum wait_for what = pid == -1 || pid == 0 ? WAIT_FOR_ANY : WAIT_FOR_PID;

	if (a2 & ~(unsigned long)(WAIT_NOHANG | WAIT_UNTRACED | WAIT_CONTINUED | WAIT_NOTHREAD |
				  WAIT_ALL | WAIT_CLONE))
		return KERR_INVAL;
	if (pid == INT32_MIN)
		return KERR_SRCH;
	if (pid == 0 || pid < -1) {
		what = WAIT_FOR_GROUP;
		pid = pid ? -pid : current_process()->pgid;
	}
	enum kerr err = process_wait(what, pid, (unsigned)a2 | WAIT_EXITED, &r);
	if (err != KERR_OK || r.pid == 0)
		return err;
	if (a1)
		err = user_write(a1, &r.status, sizeof(r.status));
	if (err == KERR_OK && a3)
		err = rusage_write(a3, r.user_time, r.system_time, r.voluntary_switches,
				   r.involuntary_switches, 0);
	return err == KERR_OK ? r.pid : err;
}

#define P_ALL 0
#define P_PID 1
#define P_PGID 2

static enum kerr wait_info_write(vaddr_t to, const struct wait_result *r)
{
	struct signal_info info = {.signo = SIGCHLD,
				   .code = r->code,
				   .child = r->pid,
				   .child_uid = r->uid,
				   .user_time = r->user_time / TICK,
				   .system_time = r->system_time / TICK};
	uint8_t encoded[128];

	switch (r->code) {
	case CLD_EXITED:
		info.status = r->status >> 8;
		break;
	case CLD_STOPPED:
		info.status = r->status >> 8;
		break;
	case CLD_CONTINUED:
		info.status = SIGCONT;
		break;
	default:
		info.status = r->status & 0x7f;
		break;
	}
	signal_info_encode(&info, encoded);
	if (r->pid == 0)
		memset(encoded, 0, sizeof(encoded));
	return user_write(to, encoded, sizeof(encoded));
}

SYSCALL(waitid)
{
	static const enum wait_for kinds[] = {WAIT_FOR_ANY, WAIT_FOR_PID, WAIT_FOR_GROUP};
	int id = (int)a1;
	struct wait_result r;

	if (a0 > P_PGID ||
	    a3 & ~(unsigned long)(WAIT_NOHANG | WAIT_UNTRACED | WAIT_EXITED | WAIT_CONTINUED |
				  WAIT_NOWAIT | WAIT_NOTHREAD | WAIT_ALL | WAIT_CLONE) ||
	    !(a3 & (WAIT_EXITED | WAIT_UNTRACED | WAIT_CONTINUED)) || (a0 == P_PID && id <= 0) ||
	    (a0 == P_PGID && id < 0))
		return KERR_INVAL;
	if (a0 == P_PGID && id == 0)
		id = current_process()->pgid;
	enum kerr err = process_wait(kinds[a0], id, (unsigned)a3, &r);
	if (err == KERR_OK && a4)
		err = rusage_write(a4, r.user_time, r.system_time, r.voluntary_switches,
				   r.involuntary_switches, 0);
	return err == KERR_OK && a2 ? wait_info_write(a2, &r) : err;
}

/* ---- limits ---- */

static enum kerr limit_check(const struct rlimit64 *old, const struct rlimit64 *set, unsigned which)
{
	if (set->current > set->maximum)
		return KERR_INVAL;
	if (set->maximum > old->maximum &&
	    !process_capable(TERN_CAP_RESOURCE_ADMIN, LINUX_CAP_SYS_RESOURCE))
		return KERR_PERM;
	if (which == RLIMIT_NOFILE && set->maximum > 1048576)
		return KERR_PERM;
	return KERR_OK;
}

static long limit_change(struct process *p, unsigned which, const struct rlimit64 *set,
			 struct rlimit64 *old)
{
	enum kerr err = KERR_OK;
	bool on = spin_lock_irq(&p->lock);

	*old = p->limits[which];
	if (set)
		err = limit_check(old, set, which);
	if (set && err == KERR_OK)
		p->limits[which] = *set;
	spin_unlock_irq(&p->lock, on);
	if (set && err == KERR_OK &&
	    (which == RLIMIT_STACK || which == RLIMIT_DATA || which == RLIMIT_AS)) {
		struct aspace *as = process_aspace(p);
		if (as) {
			intent_memory_limits(p, as);
			aspace_put(as);
		}
	}
	return err;
}

SYSCALL(prlimit64)
{
	int pid = (int)a0;
	unsigned which = (unsigned)a1;
	struct rlimit64 set, old;
	enum kerr err = which < RLIMIT_COUNT ? KERR_OK : KERR_INVAL;

	if (err == KERR_OK && a2)
		err = user_read(&set, a2, sizeof(set));
	if (err != KERR_OK)
		return err;
	struct process *p = process_find(pid ? pid : current_process()->pid);
	if (!p)
		return KERR_SRCH;
	bool allowed = p == current_process() ||
		       (!process_separated(p, DOMAIN_LOOK) &&
			(process_is_of(p, current_process()->credentials.uid) ||
			 process_capable(TERN_CAP_RESOURCE_ADMIN, LINUX_CAP_SYS_RESOURCE)));
	long result = allowed ? limit_change(p, which, a2 ? &set : nullptr, &old) : (long)KERR_PERM;
	process_put(p);
	return result == KERR_OK && a3 ? user_write(a3, &old, sizeof(old)) : result;
}

SYSCALL(getrlimit)
{
	return sys_prlimit64(0, a0, 0, a1, 0, 0);
}

SYSCALL(setrlimit)
{
	return a1 ? sys_prlimit64(0, a0, a1, 0, 0, 0) : KERR_FAULT;
}

/* ---- prctl ---- */

enum {
	PR_SET_PDEATHSIG = 1,
	PR_GET_PDEATHSIG = 2,
	PR_GET_DUMPABLE = 3,
	PR_SET_DUMPABLE = 4,
	PR_SET_NAME = 15,
	PR_GET_NAME = 16,
	PR_GET_SECCOMP = 21,
	PR_SET_TIMERSLACK = 29,
	PR_GET_TIMERSLACK = 30,
	PR_SET_CHILD_SUBREAPER = 36,
	PR_GET_CHILD_SUBREAPER = 37,
	PR_SET_NO_NEW_PRIVS = 38,
	PR_GET_NO_NEW_PRIVS = 39,
	PR_SET_THP_DISABLE = 41,
	PR_GET_THP_DISABLE = 42,
	PR_SET_MDWE = 65,
	PR_GET_MDWE = 66,
};

static long set_name(vaddr_t from)
{
	struct thread *t = current_thread();
	char name[16];
	enum kerr err = user_read_string(name, from, sizeof(name), nullptr);

	if (err == KERR_NAMETOOLONG)
		name[sizeof(name) - 1] = '\0';
	else if (err != KERR_OK)
		return err;
	strlcpy(t->task.name, name, sizeof(t->task.name));
	if (t->tid == t->process->pid)
		strlcpy(t->process->name, name, sizeof(t->process->name));
	return KERR_OK;
}

SYSCALL(prctl)
{
	struct process *p = current_process();
	int value;

	switch ((int)a0) {
	case PR_SET_PDEATHSIG:
		if (a1 > SIGNAL_COUNT)
			return KERR_INVAL;
		p->parent_death_signal = (uint8_t)a1;
		return KERR_OK;
	case PR_GET_PDEATHSIG:
		value = p->parent_death_signal;
		return user_write(a1, &value, sizeof(value));
	case PR_GET_DUMPABLE:
		return p->dumpable;
	case PR_SET_DUMPABLE:
		if (a1 > 1)
			return KERR_INVAL;
		p->dumpable = (int)a1;
		return KERR_OK;
	case PR_GET_SECCOMP:
		return 0;
	case PR_GET_KEEPCAPS:
	case PR_SET_KEEPCAPS:
	case PR_CAPBSET_READ:
	case PR_CAPBSET_DROP:
	case PR_GET_SECUREBITS:
	case PR_SET_SECUREBITS:
	case PR_CAP_AMBIENT:
		return capability_prctl(a0, a1, a2, a3, a4);
	case PR_SET_NAME:
		return set_name(a1);
	case PR_GET_NAME:
		return user_write(a1, current_task()->name, 16);
	case PR_SET_TIMERSLACK:
		return KERR_OK;
	case PR_GET_TIMERSLACK:
		return 50000;
	case PR_SET_CHILD_SUBREAPER:
		p->subreaper = a1;
		return KERR_OK;
	case PR_GET_CHILD_SUBREAPER:
		value = p->subreaper;
		return user_write(a1, &value, sizeof(value));
	case PR_SET_NO_NEW_PRIVS:
		if (a1 != 1 || a2 || a3 || a4)
			return KERR_INVAL;
		p->no_new_privileges = true;
		return KERR_OK;
	case PR_GET_NO_NEW_PRIVS:
		return p->no_new_privileges;
	case PR_SET_THP_DISABLE:
		if (a2 || a3 || a4)
			return KERR_INVAL;
		aspace_set_huge_disabled(p->aspace, a1);
		return KERR_OK;
	case PR_GET_THP_DISABLE:
		if (a1 || a2 || a3 || a4)
			return KERR_INVAL;
		return aspace_huge_disabled(p->aspace);
	case PR_SET_MDWE:
		return a2 || a3 || a4 || a1 > UINT32_MAX
			       ? KERR_INVAL
			       : aspace_deny_exec(p->aspace, (unsigned)a1);
	case PR_GET_MDWE:
		return a1 || a2 || a3 || a4 ? (long)KERR_INVAL : aspace_exec_denied(p->aspace);
	default:
		return KERR_INVAL;
	}
}

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

SYSCALL(arch_prctl)
{
	struct thread *t = current_thread();

	switch ((int)a0) {
	case ARCH_SET_FS:
		if (!user_range_ok(a1, 0))
			return KERR_PERM;
		hal.user.set_tls(&t->task.hal, thread_frame(t), a1);
		return KERR_OK;
	case ARCH_GET_FS:
		return user_write(a1, &t->task.hal.tls, sizeof(t->task.hal.tls));
	default:
		return KERR_INVAL;
	}
}
