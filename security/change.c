/*
 * How capabilities change: Linux's rules (capabilities(7)) on the word `compat`, and the 44 that follow.
 *
 * The word `own` of a set is what its Linux word brings plus what everybody has, cut to what is still allowed:
 *
 *	own = (BASE of permitted | grants(compat)) & bounding.own
 *
 * settle() does that after each change, so Linux's calls move both words at once and none of them can bring
 * back what bounding.own lost; permitted.own grows only where Linux's permitted does: when the superuser
 * executes a program. Only capabilities_restrict() takes from that (a domain, a program
 * that drops for good): nothing gives it back, and a child is a copy. Of the word `own`,
 * inheritable is what new programs may have: everything, unless the program said otherwise.
 *
 * Files carry no capabilities here; the superuser's programs get theirs because of the user id, as on Linux.
 */
#include <security/capability.h>

#define L(name) ((uint64_t)1 << LINUX_CAP_##name)

/* What follows fsuid. */
#define FS_CAPS                                                                                    \
	(L(CHOWN) | L(DAC_OVERRIDE) | L(DAC_READ_SEARCH) | L(FOWNER) | L(FSETID) |                 \
	 L(LINUX_IMMUTABLE) | L(MKNOD))

bool capabilities_check(const struct capabilities *c)
{
	return !(c->effective.own & ~c->permitted.own) &&
	       !(c->effective.compat & ~c->permitted.compat) &&
	       !(c->permitted.own & ~c->bounding.own) && !(c->inheritable.own & ~c->bounding.own) &&
	       !(c->ambient.compat & ~(c->permitted.compat & c->inheritable.compat)) &&
	       !((c->permitted.own | c->bounding.own) & ~CAPABILITY_ALL) &&
	       !(c->permitted.own & ~(CAPABILITY_BASE | capability_grants(c->permitted.compat)));
}

/* The own words as the Linux words now say: permitted never grows here, effective at most to it.
 * `effective_base`: which base bits are in effect. */
static void settle(struct capabilities *c, uint64_t effective_base)
{
	c->permitted.own &=
		(CAPABILITY_BASE | capability_grants(c->permitted.compat)) & c->bounding.own;
	c->effective.compat &= c->permitted.compat;
	c->effective.own =
		((effective_base & CAPABILITY_BASE) | capability_grants(c->effective.compat)) &
		c->permitted.own;
	c->ambient.compat &= c->permitted.compat & c->inheritable.compat;
	c->ambient.own = capability_grants(c->ambient.compat) & c->permitted.own;
}

static bool any_root(const struct user_ids_change *i)
{
	return !i->uid || !i->euid || !i->suid;
}

void capabilities_ids_changed(struct capabilities *c, const struct user_ids_change *old,
			      const struct user_ids_change *now)
{
	uint64_t base = c->effective.own;

	if (c->secure & SECURE_NO_SETUID_FIXUP)
		return;
	if (any_root(old) && !any_root(now)) {
		if (!(c->secure & SECURE_KEEP_CAPS))
			c->permitted.compat = c->effective.compat = 0;
		c->ambient.compat = 0;
	}
	if (!old->euid && now->euid)
		c->effective.compat = 0;
	if (old->euid && !now->euid)
		c->effective.compat = c->permitted.compat;
	settle(c, base);
}

void capabilities_fsuid_changed(struct capabilities *c, uint32_t old, uint32_t now)
{
	if (c->secure & SECURE_NO_SETUID_FIXUP)
		return;
	if (!old && now)
		c->effective.compat &= ~FS_CAPS;
	if (old && !now)
		c->effective.compat |= c->permitted.compat & FS_CAPS;
	settle(c, c->effective.own);
}

void capabilities_exec(struct capabilities *c, uint32_t uid, uint32_t euid, bool set_id, bool bound)
{
	const struct capability_set before = c->permitted;
	uint64_t base = before.own & CAPABILITY_BASE, root = 0;

	if (set_id)
		c->ambient = (struct capability_set){};
	if (!(c->secure & SECURE_NO_ROOT) && (!uid || !euid))
		root = c->inheritable.compat | c->bounding.compat;
	/* What the program before does not pass on is out of reach of this one, too. */
	c->bounding.own &= c->inheritable.own;
	c->permitted.compat = root | c->ambient.compat;
	c->permitted.own = base | capability_grants(root) |
			   (capability_grants(c->ambient.compat) & before.own);
	if (bound) {
		c->permitted.compat &= before.compat;
		c->permitted.own &= before.own;
	}
	c->effective.compat = root && !euid ? c->permitted.compat : c->ambient.compat;
	settle(c, base);
	c->secure &= (uint8_t)~SECURE_KEEP_CAPS;
}

bool capabilities_set(struct capabilities *c, uint64_t effective, uint64_t permitted,
		      uint64_t inheritable)
{
	bool may_set = capability_set_has(&c->effective, TERN_CAP_GRANT, LINUX_CAP_SETPCAP);

	effective &= LINUX_CAP_ALL;
	permitted &= LINUX_CAP_ALL;
	inheritable &= LINUX_CAP_ALL;
	if (permitted & ~c->permitted.compat || effective & ~permitted)
		return false;
	if (!may_set && inheritable & ~(c->inheritable.compat | c->permitted.compat))
		return false;
	if (inheritable & ~(c->inheritable.compat | c->bounding.compat))
		return false;
	c->permitted.compat = permitted;
	c->effective.compat = effective;
	c->inheritable.compat = inheritable;
	settle(c, c->effective.own);
	return true;
}

void capabilities_bound_drop(struct capabilities *c, enum linux_capability l)
{
	c->bounding.compat &= ~((uint64_t)1 << l);
}

bool capabilities_ambient(struct capabilities *c, enum linux_capability l, bool raise)
{
	uint64_t bit = (uint64_t)1 << l;

	if (raise && (!(c->permitted.compat & c->inheritable.compat & bit) ||
		      c->secure & SECURE_NO_AMBIENT_RAISE))
		return false;
	if (raise)
		c->ambient.compat |= bit;
	else
		c->ambient.compat &= ~bit;
	settle(c, c->effective.own);
	return true;
}

void capabilities_ambient_clear(struct capabilities *c)
{
	c->ambient = (struct capability_set){};
}

void capabilities_restrict(struct capabilities *c, uint64_t own)
{
	uint64_t alive;

	c->bounding.own &= own;
	alive = capability_alive(c->bounding.own);
	c->bounding.compat &= alive;
	c->permitted.compat &= alive;
	c->inheritable.compat &= alive;
	c->inheritable.own &= own;
	settle(c, c->effective.own);
}

void capabilities_set_effective(struct capabilities *c, uint64_t own)
{
	c->effective.own = own & c->permitted.own;
	c->effective.compat = c->permitted.compat & capability_alive(c->effective.own);
}

void capabilities_set_inheritable(struct capabilities *c, uint64_t own)
{
	c->inheritable.own = own & c->bounding.own;
}

void capabilities_grant(struct capabilities *c, uint64_t own, uint64_t compat)
{
	own &= c->bounding.own;
	compat &= c->bounding.compat & capability_alive(own & ~CAPABILITY_BASE);
	own &= CAPABILITY_BASE | capability_grants(c->permitted.compat | compat);
	c->permitted.compat |= compat;
	c->permitted.own |= own;
	c->effective.compat |= compat;
	c->effective.own |= own;
}

struct capability_set capabilities_of_real(const struct capabilities *c, uint32_t uid)
{
	if (c->secure & SECURE_NO_SETUID_FIXUP)
		return c->effective;
	return uid ? (struct capability_set){c->effective.own & CAPABILITY_BASE, 0} : c->permitted;
}
