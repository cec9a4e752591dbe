/*
 * Processes and their domains: entering, losing capabilities, and who is kept apart from whom.
 *
 * A thread has a pointer to the table through which its system calls go (thread.calls). It is the open
 * table, or the guarded one if the domain refuses calls or the process lacks a capability that
 * everybody has (process_gate_update_locked()). So the gate costs unrestricted programs nothing: one load
 * of a pointer was there before. The pointer is written by whoever restricts, under the process lock, and counts
 * from the thread's next call on; a new thread gets it under the same lock.
 *
 * Whatever this file does takes away; what a process has it got from its parent or, as on Linux, from
 * executing a program (security/change.c). Lock order: domain_lock (security) -> process lock.
 *
 * Rejected: a flag in task.work (it is looked at on the way out), a test in the gate (two loads and a branch
 * for every call of every program).
 */
#include "process_private.h"
#include <exec/domain.h>
#include <exec/intent.h>
#include <exec/sched.h>
#include <security/audit.h>

const void *process_call_tables[2] RO_AFTER_INIT;

static struct audit_subject subject(void)
{
	struct process *p = current_process();

	return (struct audit_subject){p->name, p->pid, p->domain};
}

NOINLINE bool process_denied(enum tern_capability c)
{
	const struct audit_subject s = subject();

	audit_capability(c, &s);
	return false;
}

NOINLINE bool process_kept_apart(const char *what)
{
	const struct audit_subject s = subject();

	audit_isolation(what, &s);
	return true;
}

NOINLINE bool process_separated_slow(struct process *p, enum domain_access what)
{
	static const char *const words[] = {"look", "signal", "see"};
	struct process *me = current_process();

	if (p == me || !domain_separates(me->domain, READ_ONCE(p->domain), what))
		return false;
	/* Whom it made itself it may end, wherever that went. */
	if (what != DOMAIN_LOOK && READ_ONCE(p->parent) == me)
		return false;
	if (process_has_privilege(TERN_CAP_BYPASS_SECURITY, LINUX_CAP_MAC_OVERRIDE))
		return false;
	return what == DOMAIN_SEE || process_kept_apart(words[what]);
}

bool process_is_of(const struct process *p, uint32_t uid)
{
	const struct credentials *c = &p->credentials;

	return c->uid == uid && c->euid == uid && c->suid == uid;
}

bool process_may_look(struct process *p)
{
	const struct credentials *me = &current_process()->credentials, *c = &p->credentials;

	if (p == current_process())
		return true;
	if (!process_has(TERN_CAP_DEBUG) || process_separated(p, DOMAIN_LOOK))
		return false;
	/* Of one's own user and group, in whatever way it may act, if it keeps nothing to itself and has no more
	 * than who looks. */
	if (process_is_of(p, me->euid) && c->gid == me->egid && c->egid == me->egid &&
	    c->sgid == me->egid && READ_ONCE(p->dumpable) &&
	    !(c->capabilities.permitted.own & ~me->capabilities.permitted.own))
		return true;
	return process_capable(TERN_CAP_TRACE, LINUX_CAP_SYS_PTRACE);
}

static void only_idles(struct thread *t)
{
	intent_withdraw(t);
	if (t->policy == SCHED_IDLE)
		return;
	t->policy = SCHED_IDLE;
	t->realtime = 0;
	sched_set_priority(t, sched_priority_of(SCHED_IDLE, t->nice, 0));
}

void process_gate_update_locked(struct process *p)
{
	uint64_t own = p->credentials.capabilities.effective.own;
	bool guarded = p->domain->refuses_calls || (own & CAPABILITY_BASE) != CAPABILITY_BASE;
	struct thread *t;

	list_for_each(t, &p->threads, process_link) {
		atomic_store_explicit(&t->calls, process_call_tables[guarded],
				      memory_order_relaxed);
		if (unlikely(!(own & TERN_CAP_BIT(TERN_CAP_CPU))))
			only_idles(t);
	}
}

void process_restrict(struct process *p, uint64_t own)
{
	bool on = spin_lock_irq(&p->lock);

	capabilities_restrict(&p->credentials.capabilities, own);
	process_gate_update_locked(p);
	spin_unlock_irq(&p->lock, on);
}

static void cut_limit(struct process *p, unsigned which, uint64_t most)
{
	p->limits[which].maximum = MIN(p->limits[which].maximum, most);
	p->limits[which].current = MIN(p->limits[which].current, most);
}

enum kerr process_enter_domain(const char *name)
{
	struct process *p = current_process();
	struct domain *d, *old = p->domain;
	enum kerr err = domain_enter(old, name, &d);

	if (err != KERR_OK)
		return err;
	bool on = spin_lock_irq(&p->lock);
	if (p->domain != old) { /* another of its threads was faster */
		spin_unlock_irq(&p->lock, on);
		domain_leave(d);
		return KERR_AGAIN;
	}
	p->domain = d;
	capabilities_restrict(&p->credentials.capabilities, d->capabilities);
	if (d->file_limit != TERN_UNLIMITED)
		cut_limit(p, RLIMIT_NOFILE, d->file_limit);
	if (d->memory_limit)
		cut_limit(p, RLIMIT_AS, d->memory_limit);
	if (d->isolation >= TERN_ISOLATION_STRICT)
		p->no_new_privileges = true;
	process_gate_update_locked(p);
	spin_unlock_irq(&p->lock, on);
	domain_leave(old);
	if (p->aspace)
		intent_memory_limits(p, p->aspace);
	return KERR_OK;
}
