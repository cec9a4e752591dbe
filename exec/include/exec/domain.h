/*
 * What the current process may: capabilities (DI-10) and the isolation of its domain (DI-9). The
 * checks are inline and short; what refuses is out of line, counts and may log (security/audit.c).
 *
 * Sets and domain are read without a lock: each word is written at once, and a process that loses
 * something while it asks has asked before.
 */
#pragma once

#include <exec/process.h>
#include <security/domain.h>

/* Counts the refusal; false. Any context. */
bool process_denied(enum tern_capability c);
bool process_kept_apart(const char *what);

/* A privilege: the capability `c`, of which Linux's `l` is a part. */
static inline bool process_capable(enum tern_capability c, enum linux_capability l)
{
	return likely(capability_set_has(&current_process()->credentials.capabilities.effective, c,
					 l)) ||
	       process_denied(c);
}

/* The same, only to know; a refusal is not counted. */
static inline bool process_has_privilege(enum tern_capability c, enum linux_capability l)
{
	return capability_set_has(&current_process()->credentials.capabilities.effective, c, l);
}

/* What every program has if nobody took it away. */
static inline bool process_has(enum tern_capability c)
{
	return likely(current_process()->credentials.capabilities.effective.own >> c & 1) ||
	       process_denied(c);
}

bool process_separated_slow(struct process *p, enum domain_access what);
/* The current process's domain keeps it apart from p. */
static inline bool process_separated(struct process *p, enum domain_access what)
{
	return unlikely(current_process()->domain->isolation != TERN_ISOLATION_NONE) &&
	       process_separated_slow(p, what);
}
/* The level of the current process's isolation is at least `level`. */
static inline bool process_isolated(enum tern_isolation level)
{
	return unlikely(current_process()->domain->isolation >= level) &&
	       !process_has_privilege(TERN_CAP_BYPASS_SECURITY, LINUX_CAP_MAC_OVERRIDE);
}

/* p is user `uid` and nobody else, with each of its ids. */
bool process_is_of(const struct process *p, uint32_t uid);
/* May look into p: memory and its map, environment, program, folders, descriptors. */
bool process_may_look(struct process *p);

/* The current process goes into domain `name`, for good: NOENT, PERM, AGAIN (full). May sleep. */
enum kerr process_enter_domain(const char *name);
/* p's sets are cut to `own`, for good. */
void process_restrict(struct process *p, uint64_t own);
/* Which table of calls its threads use follows from domain and capabilities. p's lock is held. */
void process_gate_update_locked(struct process *p);

/* The tables of system calls: open, and guarded (tests the domain's bitmap first). Set once, at boot, by the
 * gate. */
extern const void *process_call_tables[2];
