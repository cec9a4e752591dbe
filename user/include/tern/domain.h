/* Tern's call 506: domains and capabilities (TH-10, DI-9, DI-10). Sizes as in <tern/tern.h>. */
#pragma once

#include <stdint.h>
#include <tern/capability.h>

#define TERN_NR_DOMAIN 506

enum tern_execution_domain {
	TERN_EXECUTION_KERNEL,
	TERN_EXECUTION_USER,
	TERN_EXECUTION_DRIVER,
	TERN_EXECUTION_SANDBOX,
	TERN_EXECUTION_COUNT,
};

enum tern_security_domain {
	TERN_SECURITY_KERNEL,
	TERN_SECURITY_SYSTEM,
	TERN_SECURITY_USER,
	TERN_SECURITY_SERVICE,
	TERN_SECURITY_SANDBOX,
	TERN_SECURITY_GUEST,
	TERN_SECURITY_CONTAINER,
	TERN_SECURITY_COUNT,
};

enum tern_isolation {
	TERN_ISOLATION_NONE,
	TERN_ISOLATION_LIGHT,
	TERN_ISOLATION_STANDARD,
	TERN_ISOLATION_STRICT,
	TERN_ISOLATION_PARANOID,
	TERN_ISOLATION_COUNT,
};

enum tern_domain_operation {
	TERN_DOMAIN_QUERY, /* the domain `name`, or with an empty name process `pid` (0: the caller) and its domain */
	TERN_DOMAIN_ENTER, /* the caller's process: `name`. There is no way back */
	TERN_DOMAIN_CREATE, /* `name` below the caller's domain; everything that is marked (set) */
	TERN_DOMAIN_MODIFY, /* the same of one without processes (EBUSY) */
	TERN_DOMAIN_DELETE,
	TERN_DOMAIN_DROP, /* `capabilities` leave all sets of the caller's process, for good */
	TERN_DOMAIN_EFFECTIVE, /* `capabilities` of the permitted are in effect from now on */
	TERN_DOMAIN_INHERITABLE, /* only `capabilities` go on to programs that it executes */
	TERN_DOMAIN_GRANT, /* `capabilities` that the caller has to process `pid`, as far as its domain goes */
	TERN_DOMAIN_REVOKE, /* `capabilities` leave all sets of process `pid`, for good */
	TERN_DOMAIN_OPERATIONS,
};

#define TERN_DOMAIN_NAME 32
#define TERN_UNLIMITED UINT32_MAX

struct tern_domain {
	uint32_t size;
	uint32_t operation; /* enum tern_domain_operation */
	char name[TERN_DOMAIN_NAME]; /* ended by 0 */
	char parent[TERN_DOMAIN_NAME]; /* out */
	int32_t pid;
	uint32_t execution; /* (set) enum tern_execution_domain; driver or sandbox, or user */
	uint32_t kind; /* out: that of the built-in domain that it descends from in spirit: (set) */
	uint32_t isolation; /* (set) at least the creator's */
	uint64_t capabilities; /* (set) bits of enum tern_capability; cut to what the creator has */
	uint64_t effective, permitted, inheritable, bounding; /* out: the process's */
	uint32_t process_limit, file_limit; /* (set) 0 or TERN_UNLIMITED: none */
	uint64_t memory_limit; /* (set) bytes of an address space; 0: none */
	uint32_t processes, threads; /* out */
	uint64_t denied_calls, denied_access; /* out: how often its tasks were refused */
	uint64_t refused[8]; /* (set) system-call numbers that give EPERM: a bit each */
};
#define TERN_DOMAIN_FIRST 232
