/*
 * Domains (TH-10, DI-9): where a process stands. Each is one of four execution domains and one of seven
 * security domains, with capabilities, limits, an isolation level and the system calls that
 * its tasks may make. See domain.c for the rules and who checks what.
 */
#pragma once

#include <hal/types.h>
#include <lib/compiler.h>
#include <lib/kerr.h>
#include <security/capability.h>
#include <stdatomic.h>
#include <tern/domain.h>

#define DOMAIN_MAX 64 /* at a time, built-in ones too */
#define DOMAIN_CALLS 512 /* system-call numbers */

struct domain {
	char name[TERN_DOMAIN_NAME]; /* (const while in use) */
	uint16_t id;
	bool used, built_in;
	uint8_t execution; /* enum tern_execution_domain (const while it has processes, as what follows) */
	uint8_t kind; /* enum tern_security_domain */
	uint8_t isolation; /* enum tern_isolation */
	bool refuses_calls; /* some bit of refused */
	struct domain *parent; /* null: kernel's */
	uint64_t capabilities; /* the most that a task in it has */
	uint64_t refused[DOMAIN_CALLS / 64]; /* calls that give EPERM: a bit each */
	uint32_t process_limit, file_limit; /* UINT32_MAX: none */
	uint64_t memory_limit; /* of an address space, bytes */
	_Atomic uint32_t processes;
	_Atomic uint32_t
		objects; /* that name it as their maker's: its place is not used again before */
	_Atomic uint64_t denied_calls, denied_access;
};

extern struct domain domain_table[DOMAIN_MAX];
#define DOMAIN_OF(kind) (&domain_table[TERN_SECURITY_##kind])

/* What the objects of other domains see of a task's isolation. */
enum domain_access {
	DOMAIN_LOOK, /* into a process: memory, files, environment; its limits */
	DOMAIN_SIGNAL, /* and priority */
	DOMAIN_SEE, /* that a process is there */
	DOMAIN_CONNECT, /* to a socket; take what it sends */
};

/* Whether isolation of `from` forbids an access to something of `to`; never of itself or a domain below it. No
 * locks, any context. */
bool domain_separates(const struct domain *from, const struct domain *to, enum domain_access what);
/* Files: from this level on only harmless device nodes; no file is opened to be written. */
#define DOMAIN_NO_DEVICES TERN_ISOLATION_STRICT
#define DOMAIN_NO_WRITES TERN_ISOLATION_PARANOID

/* A process more; false: the limit is reached. */
bool domain_join(struct domain *d);
void domain_leave(struct domain *d);

/* An object that will be compared with it later. */
static inline void domain_hold(struct domain *d)
{
	if (!d->built_in)
		atomic_fetch_add_explicit(&d->objects, 1, memory_order_relaxed);
}

static inline void domain_release(struct domain *d)
{
	if (!d->built_in)
		atomic_fetch_sub_explicit(&d->objects, 1, memory_order_release);
}

/* Enters: PERM if that gave more than `from` allows. *out has one process more, the caller takes it out of `from`. */
enum kerr domain_enter(struct domain *from, const char *name, struct domain **out);
struct domain *domain_find(const char *name); /* null: none */
/* A new one below `parent`, at most with what that and `capabilities` allow. EXIST, NOSPC, INVAL, PERM. */
enum kerr domain_create(struct domain *parent, const struct tern_domain *wish,
			uint64_t capabilities);
/* Of one without processes, and that was created: BUSY, PERM, NOENT. */
enum kerr domain_modify(struct domain *by, const struct tern_domain *wish, uint64_t capabilities);
enum kerr domain_delete(struct domain *by, const char *name);
/* The n-th in use; null behind the last. */
const struct domain *domain_get(size_t n);
/* The calls that an execution domain never makes; by who knows the numbers, at boot. */
void domain_refuse_call(enum tern_execution_domain e, unsigned number);

const char *domain_execution_name(unsigned execution);
const char *domain_isolation_name(unsigned isolation);
const char *domain_kind_name(unsigned kind);
