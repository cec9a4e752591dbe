/* Users, groups, sessions: credentials(7). An id of -1 means "leave it". */
#include "gate.h"
#include <exec/domain.h>
#include <exec/group.h>
#include <lib/string.h>

#define KEEP_ID UINT32_MAX
#define GROUPS_MAX 32

SYSCALL(getpid)
{
	return current_process()->pid;
}

SYSCALL(gettid)
{
	return current_thread()->tid;
}

SYSCALL(getppid)
{
	return process_parent_pid(current_process());
}

SYSCALL(getuid)
{
	return current_process()->credentials.uid;
}

SYSCALL(geteuid)
{
	return current_process()->credentials.euid;
}

SYSCALL(getgid)
{
	return current_process()->credentials.gid;
}

SYSCALL(getegid)
{
	return current_process()->credentials.egid;
}

/* ---- user and group ids: one function for both ---- */

struct ids {
	uint32_t *real, *effective, *saved, *filesystem;
};

static struct ids user_ids(struct process *p)
{
	struct credentials *c = &p->credentials;

	return (struct ids){&c->uid, &c->euid, &c->suid, &c->fsuid};
}

static struct ids group_ids(struct process *p)
{
	struct credentials *c = &p->credentials;

	return (struct ids){&c->gid, &c->egid, &c->sgid, &c->fsgid};
}

static bool one_of(const struct ids *i, uint32_t id, bool with_saved)
{
	return id == KEEP_ID || id == *i->real || id == *i->effective ||
	       (with_saved && id == *i->saved);
}

static void assign(const struct ids *i, uint32_t real, uint32_t effective, uint32_t saved)
{
	if (real != KEEP_ID)
		*i->real = real;
	if (effective != KEEP_ID)
		*i->effective = effective;
	if (saved != KEEP_ID)
		*i->saved = saved;
	*i->filesystem = *i->effective;
}

enum id_call { SET, SET_RE, SET_RES };

/* The privilege for ids that are not one's own. */
static bool may_take_any(struct ids (*which)(struct process *))
{
	return process_has_privilege(TERN_CAP_IDENTITY,
				     which == user_ids ? LINUX_CAP_SETUID : LINUX_CAP_SETGID);
}

static long set_ids(struct ids (*which)(struct process *), enum id_call call, uint32_t real,
		    uint32_t effective, uint32_t saved)
{
	struct process *p = current_process();
	struct credentials *c = &p->credentials;
	bool super = may_take_any(which), on = spin_lock_irq(&p->lock);
	const struct user_ids_change old = {c->uid, c->euid, c->suid};
	uint32_t old_fsuid = c->fsuid;
	struct ids i = which(p);
	uint32_t was = *i.effective;
	enum kerr err = KERR_OK;

	switch (call) {
	case SET:
		if (super)
			assign(&i, real, real, real);
		else if (real == *i.real || real == *i.saved)
			assign(&i, KEEP_ID, real, KEEP_ID);
		else
			err = KERR_PERM;
		break;
	case SET_RE:
		if (!super && (!one_of(&i, real, false) || !one_of(&i, effective, true)))
			err = KERR_PERM;
		else if (real != KEEP_ID || (effective != KEEP_ID && effective != *i.real))
			assign(&i, real, effective,
			       effective != KEEP_ID ? effective : *i.effective);
		else
			assign(&i, real, effective, KEEP_ID);
		break;
	case SET_RES:
		if (!super && (!one_of(&i, real, true) || !one_of(&i, effective, true) ||
			       !one_of(&i, saved, true)))
			err = KERR_PERM;
		else
			assign(&i, real, effective, saved);
		break;
	}
	if (err == KERR_OK && *i.effective != was)
		p->dumpable = 0; /* what it read as another it keeps to itself */
	if (err == KERR_OK && which == user_ids) {
		const struct user_ids_change now = {c->uid, c->euid, c->suid};
		capabilities_ids_changed(&c->capabilities, &old, &now);
		capabilities_fsuid_changed(&c->capabilities, old_fsuid, c->fsuid);
	}
	spin_unlock_irq(&p->lock, on);
	if (err != KERR_OK)
		process_denied(TERN_CAP_IDENTITY);
	return err;
}

static long get_ids(struct ids (*which)(struct process *), vaddr_t r, vaddr_t e, vaddr_t s)
{
	struct ids i = which(current_process());
	enum kerr err = user_write(r, i.real, 4);

	if (err == KERR_OK)
		err = user_write(e, i.effective, 4);
	return err == KERR_OK ? user_write(s, i.saved, 4) : err;
}

SYSCALL(setuid)
{
	if ((uint32_t)a0 == KEEP_ID)
		return KERR_INVAL;
	return set_ids(user_ids, SET, (uint32_t)a0, 0, 0);
}

SYSCALL(setgid)
{
	if ((uint32_t)a0 == KEEP_ID)
		return KERR_INVAL;
	return set_ids(group_ids, SET, (uint32_t)a0, 0, 0);
}

SYSCALL(setreuid)
{
	return set_ids(user_ids, SET_RE, (uint32_t)a0, (uint32_t)a1, 0);
}

SYSCALL(setregid)
{
	return set_ids(group_ids, SET_RE, (uint32_t)a0, (uint32_t)a1, 0);
}

SYSCALL(setresuid)
{
	return set_ids(user_ids, SET_RES, (uint32_t)a0, (uint32_t)a1, (uint32_t)a2);
}

SYSCALL(setresgid)
{
	return set_ids(group_ids, SET_RES, (uint32_t)a0, (uint32_t)a1, (uint32_t)a2);
}

SYSCALL(getresuid)
{
	return get_ids(user_ids, a0, a1, a2);
}

SYSCALL(getresgid)
{
	return get_ids(group_ids, a0, a1, a2);
}

static long set_filesystem_id(struct ids (*which)(struct process *), uint32_t id)
{
	struct process *p = current_process();
	bool super = may_take_any(which), on = spin_lock_irq(&p->lock);
	struct ids i = which(p);
	uint32_t old = *i.filesystem;

	if (id != KEEP_ID && (super || one_of(&i, id, true) || id == old)) {
		*i.filesystem = id;
		if (which == user_ids)
			capabilities_fsuid_changed(&p->credentials.capabilities, old, id);
	}
	spin_unlock_irq(&p->lock, on);
	return old;
}

SYSCALL(setfsuid)
{
	return set_filesystem_id(user_ids, (uint32_t)a0);
}

SYSCALL(setfsgid)
{
	return set_filesystem_id(group_ids, (uint32_t)a0);
}

SYSCALL(getgroups)
{
	const struct credentials *c = &current_process()->credentials;
	int size = (int)a0;

	if (size < 0 || (size && (uint32_t)size < c->group_count))
		return KERR_INVAL;
	if (size) {
		enum kerr err = user_write(a1, c->groups, c->group_count * sizeof(uint32_t));
		if (err != KERR_OK)
			return err;
	}
	return c->group_count;
}

SYSCALL(setgroups)
{
	struct process *p = current_process();
	uint32_t groups[GROUPS_MAX];
	size_t count = (unsigned)a0;

	if (!process_capable(TERN_CAP_IDENTITY, LINUX_CAP_SETGID))
		return KERR_PERM;
	if (count > GROUPS_MAX)
		return KERR_INVAL;
	enum kerr err = user_read(groups, a1, count * sizeof(uint32_t));
	if (err != KERR_OK)
		return err;
	bool on = spin_lock_irq(&p->lock);
	memcpy(p->credentials.groups, groups, count * sizeof(uint32_t));
	p->credentials.group_count = (uint32_t)count;
	spin_unlock_irq(&p->lock, on);
	return KERR_OK;
}

/* ---- groups and sessions ---- */

SYSCALL(setpgid)
{
	return process_set_group((int)a0, (int)a1);
}

static long group_or_session(int pid, bool session)
{
	int pgid, sid;
	enum kerr err = pid < 0 ? KERR_SRCH : process_get_group(pid, &pgid, &sid);

	return err != KERR_OK ? err : session ? sid : pgid;
}

SYSCALL(getpgid)
{
	return group_or_session((int)a0, false);
}

SYSCALL(getpgrp)
{
	return group_or_session(0, false);
}

SYSCALL(getsid)
{
	return group_or_session((int)a0, true);
}

SYSCALL(setsid)
{
	int sid;
	enum kerr err = process_new_session(&sid);

	return err == KERR_OK ? sid : err;
}
