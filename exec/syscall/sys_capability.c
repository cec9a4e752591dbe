/* Capabilities as Linux's programs know them (capget, capset, prctl), and Tern's call 506: domains. */
#include "gate.h"

#include <exec/domain.h>
#include <lib/string.h>
#include <tern/domain.h>

static_assert(sizeof(struct tern_domain) == TERN_DOMAIN_FIRST);

/* ---- capget(2), capset(2) ---- */

#define CAP_VERSION_1 0x19980330u
#define CAP_VERSION_2 0x20071026u
#define CAP_VERSION_3 0x20080522u

struct user_header {
	uint32_t version;
	int pid;
};

struct user_capabilities {
	uint32_t effective, permitted, inheritable;
};

/* How many words of 32 bits this version has. An unknown one learns which is the newest. */
static enum kerr header_read(vaddr_t from, struct user_header *h, unsigned *words)
{
	enum kerr err = user_read(h, from, sizeof(*h));

	if (err != KERR_OK)
		return err;
	if (h->version == CAP_VERSION_1 || h->version == CAP_VERSION_2 ||
	    h->version == CAP_VERSION_3) {
		*words = h->version == CAP_VERSION_1 ? 1 : 2;
		return KERR_OK;
	}
	uint32_t newest = CAP_VERSION_3;
	err = user_write(from, &newest, sizeof(newest));
	return err == KERR_OK ? KERR_INVAL : err;
}

static enum kerr sets_of(int pid, struct capabilities *out)
{
	/* Threads share their process's. */
	struct process *p = pid ? process_find(pid) : current_process();

	if (!p)
		return KERR_SRCH;
	bool on = spin_lock_irq(&p->lock);
	*out = p->credentials.capabilities;
	spin_unlock_irq(&p->lock, on);
	if (pid)
		process_put(p);
	return KERR_OK;
}

SYSCALL(capget)
{
	struct user_header h;
	unsigned words;
	struct capabilities c;
	enum kerr err = header_read(a0, &h, &words);

	if (err == KERR_INVAL && !a1)
		return KERR_OK; /* only asked for the version */
	if (err == KERR_OK && h.pid < 0)
		err = KERR_INVAL;
	if (err == KERR_OK)
		err = sets_of(h.pid, &c);
	if (err != KERR_OK || !a1)
		return err;
	const struct user_capabilities sets[2] = {
		{(uint32_t)c.effective.compat, (uint32_t)c.permitted.compat,
		 (uint32_t)c.inheritable.compat},
		{(uint32_t)(c.effective.compat >> 32), (uint32_t)(c.permitted.compat >> 32),
		 (uint32_t)(c.inheritable.compat >> 32)},
	};
	return user_write(a1, sets, words * sizeof(sets[0]));
}

SYSCALL(capset)
{
	struct user_header h;
	struct user_capabilities sets[2] = {};
	struct process *p = current_process();
	unsigned words;
	enum kerr err = header_read(a0, &h, &words);

	if (err != KERR_OK)
		return err;
	if (h.pid && h.pid != p->pid && h.pid != current_thread()->tid)
		return KERR_PERM;
	err = user_read(sets, a1, words * sizeof(sets[0]));
	if (err != KERR_OK)
		return err;
	bool on = spin_lock_irq(&p->lock);
	bool done = capabilities_set(&p->credentials.capabilities,
				     sets[0].effective | (uint64_t)sets[1].effective << 32,
				     sets[0].permitted | (uint64_t)sets[1].permitted << 32,
				     sets[0].inheritable | (uint64_t)sets[1].inheritable << 32);
	spin_unlock_irq(&p->lock, on);
	return done ? KERR_OK : KERR_PERM;
}

/* ---- prctl(2): its part about capabilities ---- */

enum { AMBIENT_IS_SET = 1, AMBIENT_RAISE, AMBIENT_LOWER, AMBIENT_CLEAR };

static long ambient(struct capabilities *c, unsigned long what, unsigned long l)
{
	if (what == AMBIENT_CLEAR) {
		capabilities_ambient_clear(c);
		return l ? KERR_INVAL : KERR_OK;
	}
	if (l >= LINUX_CAP_COUNT)
		return KERR_INVAL;
	switch (what) {
	case AMBIENT_IS_SET:
		return c->ambient.compat >> l & 1;
	case AMBIENT_RAISE:
	case AMBIENT_LOWER:
		return capabilities_ambient(c, (enum linux_capability)l, what == AMBIENT_RAISE)
			       ? KERR_OK
			       : KERR_PERM;
	default:
		return KERR_INVAL;
	}
}

static long set_secure(struct capabilities *c, unsigned long bits)
{
	unsigned locked = (c->secure & SECURE_LOCKS) >> 1;

	if (bits & ~(unsigned long)SECURE_ALL || (bits ^ c->secure) & locked ||
	    (c->secure & SECURE_LOCKS & ~bits) ||
	    !capability_set_has(&c->effective, TERN_CAP_GRANT, LINUX_CAP_SETPCAP))
		return KERR_PERM;
	c->secure = (uint8_t)bits;
	return KERR_OK;
}

/* Process lock held. */
static long change_locked(struct capabilities *c, unsigned long what, unsigned long a1,
			  unsigned long a2)
{
	switch ((int)what) {
	case PR_GET_KEEPCAPS:
		return (c->secure & SECURE_KEEP_CAPS) != 0;
	case PR_SET_KEEPCAPS:
		if (a1 > 1)
			return KERR_INVAL;
		if (c->secure & SECURE_KEEP_CAPS << 1)
			return KERR_PERM;
		c->secure =
			(uint8_t)((c->secure & ~SECURE_KEEP_CAPS) | (a1 ? SECURE_KEEP_CAPS : 0));
		return KERR_OK;
	case PR_CAPBSET_READ:
		return a1 >= LINUX_CAP_COUNT ? (long)KERR_INVAL
					     : (long)(c->bounding.compat >> a1 & 1);
	case PR_CAPBSET_DROP:
		if (!capability_set_has(&c->effective, TERN_CAP_GRANT, LINUX_CAP_SETPCAP))
			return KERR_PERM;
		if (a1 >= LINUX_CAP_COUNT)
			return KERR_INVAL;
		capabilities_bound_drop(c, (enum linux_capability)a1);
		return KERR_OK;
	case PR_GET_SECUREBITS:
		return c->secure;
	case PR_SET_SECUREBITS:
		return set_secure(c, a1);
	default:
		return ambient(c, a1, a2);
	}
}

long capability_prctl(unsigned long what, unsigned long a1, unsigned long a2, unsigned long a3,
		      unsigned long a4)
{
	struct process *p = current_process();

	if ((int)what == PR_CAP_AMBIENT && (a3 || a4))
		return KERR_INVAL;
	bool on = spin_lock_irq(&p->lock);
	long result = change_locked(&p->credentials.capabilities, what, a1, a2);
	spin_unlock_irq(&p->lock, on);
	return result;
}

/* ---- 506 ---- */

static void describe_domain(const struct domain *d, struct tern_domain *t)
{
	struct process *p;

	memcpy(t->name, d->name, sizeof(t->name));
	if (d->parent)
		memcpy(t->parent, d->parent->name, sizeof(t->parent));
	t->execution = d->execution;
	t->kind = d->kind;
	t->isolation = d->isolation;
	t->capabilities = d->capabilities;
	t->process_limit = d->process_limit;
	t->file_limit = d->file_limit;
	t->memory_limit = d->memory_limit;
	t->denied_calls = atomic_load_explicit(&d->denied_calls, memory_order_relaxed);
	t->denied_access = atomic_load_explicit(&d->denied_access, memory_order_relaxed);
	memcpy(t->refused, d->refused, sizeof(t->refused));
	t->processes = atomic_load_explicit(&d->processes, memory_order_relaxed);
	t->threads = 0;
	for (int pid = 0; (p = process_next(pid)); process_put(p)) {
		pid = p->pid;
		t->threads += p->domain == d ? p->thread_count : 0;
	}
}

static enum kerr query(struct tern_domain *t)
{
	const struct domain *d = t->name[0] ? domain_find(t->name) : nullptr;

	if (t->name[0] && !d)
		return KERR_NOENT;
	if (!d) {
		struct process *p = process_find(t->pid ? t->pid : current_process()->pid);
		if (!p)
			return KERR_SRCH;
		bool hidden = process_separated(p, DOMAIN_SEE);
		const struct capabilities *c = &p->credentials.capabilities;
		d = p->domain;
		t->pid = p->pid;
		t->effective = c->effective.own;
		t->permitted = c->permitted.own;
		t->inheritable = c->inheritable.own;
		t->bounding = c->bounding.own;
		process_put(p);
		if (hidden)
			return KERR_SRCH;
	}
	describe_domain(d, t);
	return KERR_OK;
}

static enum kerr change_own(const struct tern_domain *t)
{
	struct process *p = current_process();
	struct capabilities *c = &p->credentials.capabilities;

	if (t->capabilities & ~CAPABILITY_ALL)
		return KERR_INVAL;
	if (t->operation == TERN_DOMAIN_DROP) {
		process_restrict(p, ~t->capabilities);
		return KERR_OK;
	}
	bool on = spin_lock_irq(&p->lock);
	enum kerr err = KERR_OK;
	if (t->operation == TERN_DOMAIN_INHERITABLE)
		capabilities_set_inheritable(c, t->capabilities);
	else if (t->capabilities & ~c->permitted.own)
		err = KERR_PERM;
	else
		capabilities_set_effective(c, t->capabilities);
	process_gate_update_locked(p);
	spin_unlock_irq(&p->lock, on);
	return err;
}

/* Giving is bounded thrice: by what the giver has, by the receiver's domain, by its bounding set. */
static enum kerr change_other(const struct tern_domain *t)
{
	const struct capabilities *me = &current_process()->credentials.capabilities;
	bool grant = t->operation == TERN_DOMAIN_GRANT;

	if (t->capabilities & ~CAPABILITY_ALL)
		return KERR_INVAL;
	if (!process_capable(grant ? TERN_CAP_GRANT : TERN_CAP_REVOKE, LINUX_CAP_SETPCAP))
		return KERR_PERM;
	if (grant && t->capabilities & ~me->permitted.own)
		return KERR_PERM;
	struct process *p = process_find(t->pid);
	if (!p)
		return KERR_SRCH;
	enum kerr err = process_separated(p, DOMAIN_SIGNAL) ? KERR_PERM : KERR_OK;
	if (err == KERR_OK && grant) {
		uint64_t compat = me->permitted.compat;
		bool on = spin_lock_irq(&p->lock);
		if (t->capabilities & ~p->domain->capabilities)
			err = KERR_PERM;
		else
			capabilities_grant(&p->credentials.capabilities, t->capabilities, compat);
		process_gate_update_locked(p);
		spin_unlock_irq(&p->lock, on);
	} else if (err == KERR_OK) {
		process_restrict(p, ~t->capabilities);
	}
	process_put(p);
	return err;
}

static enum kerr change_domain(const struct tern_domain *t)
{
	static const enum tern_capability needs[] = {
		[TERN_DOMAIN_CREATE] = TERN_CAP_CREATE_DOMAIN,
		[TERN_DOMAIN_MODIFY] = TERN_CAP_MODIFY_DOMAIN,
		[TERN_DOMAIN_DELETE] = TERN_CAP_DELETE_DOMAIN,
	};
	struct process *p = current_process();
	uint64_t most = p->credentials.capabilities.permitted.own;

	if (!process_capable(needs[t->operation], LINUX_CAP_MAC_ADMIN))
		return KERR_PERM;
	switch (t->operation) {
	case TERN_DOMAIN_CREATE:
		return domain_create(p->domain, t, most);
	case TERN_DOMAIN_MODIFY:
		return domain_modify(p->domain, t, most);
	default:
		return domain_delete(p->domain, t->name);
	}
}

SYSCALL(tern_domain)
{
	struct tern_domain t;
	uint32_t size;
	enum kerr err = struct_in(a0, &t, TERN_DOMAIN_FIRST, sizeof(t), &size);

	if (err != KERR_OK)
		return err;
	if (!memchr(t.name, 0, sizeof(t.name)))
		return KERR_INVAL;
	switch (t.operation) {
	case TERN_DOMAIN_QUERY:
		err = query(&t);
		return err == KERR_OK ? struct_out(a0, &t, size) : err;
	case TERN_DOMAIN_ENTER:
		return process_enter_domain(t.name);
	case TERN_DOMAIN_CREATE:
	case TERN_DOMAIN_MODIFY:
	case TERN_DOMAIN_DELETE:
		return change_domain(&t);
	case TERN_DOMAIN_DROP:
	case TERN_DOMAIN_EFFECTIVE:
	case TERN_DOMAIN_INHERITABLE:
		return change_own(&t);
	case TERN_DOMAIN_GRANT:
	case TERN_DOMAIN_REVOKE:
		return change_other(&t);
	default:
		return KERR_INVAL;
	}
}
