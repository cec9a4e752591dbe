/*
 * Capabilities (DI-10): a set has 128 bits. The low word `own` holds the 44 that decide
 * (<tern/capability.h>); the high word `compat` holds Linux's 41, which its programs see and change, and
 * which cut finer: a check asks for one of each. See change.c for how they move together.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <tern/capability.h>

static_assert(TERN_CAP_COUNT == 44);

enum linux_capability {
	LINUX_CAP_CHOWN,
	LINUX_CAP_DAC_OVERRIDE,
	LINUX_CAP_DAC_READ_SEARCH,
	LINUX_CAP_FOWNER,
	LINUX_CAP_FSETID,
	LINUX_CAP_KILL,
	LINUX_CAP_SETGID,
	LINUX_CAP_SETUID,
	LINUX_CAP_SETPCAP,
	LINUX_CAP_LINUX_IMMUTABLE,
	LINUX_CAP_NET_BIND_SERVICE,
	LINUX_CAP_NET_BROADCAST,
	LINUX_CAP_NET_ADMIN,
	LINUX_CAP_NET_RAW,
	LINUX_CAP_IPC_LOCK,
	LINUX_CAP_IPC_OWNER,
	LINUX_CAP_SYS_MODULE,
	LINUX_CAP_SYS_RAWIO,
	LINUX_CAP_SYS_CHROOT,
	LINUX_CAP_SYS_PTRACE,
	LINUX_CAP_SYS_PACCT,
	LINUX_CAP_SYS_ADMIN,
	LINUX_CAP_SYS_BOOT,
	LINUX_CAP_SYS_NICE,
	LINUX_CAP_SYS_RESOURCE,
	LINUX_CAP_SYS_TIME,
	LINUX_CAP_SYS_TTY_CONFIG,
	LINUX_CAP_MKNOD,
	LINUX_CAP_LEASE,
	LINUX_CAP_AUDIT_WRITE,
	LINUX_CAP_AUDIT_CONTROL,
	LINUX_CAP_SETFCAP,
	LINUX_CAP_MAC_OVERRIDE,
	LINUX_CAP_MAC_ADMIN,
	LINUX_CAP_SYSLOG,
	LINUX_CAP_WAKE_ALARM,
	LINUX_CAP_BLOCK_SUSPEND,
	LINUX_CAP_AUDIT_READ,
	LINUX_CAP_PERFMON,
	LINUX_CAP_BPF,
	LINUX_CAP_CHECKPOINT_RESTORE,
	LINUX_CAP_COUNT,
};

#define CAPABILITY_ALL (TERN_CAP_BIT(TERN_CAP_COUNT) - 1)
#define LINUX_CAP_ALL (TERN_CAP_BIT(LINUX_CAP_COUNT) - 1)

/* What every program has unless a domain or the program itself took it away. */
#define CAPABILITY_BASE                                                                            \
	(TERN_CAP_BIT(TERN_CAP_CPU) | TERN_CAP_BIT(TERN_CAP_MEMORY) | TERN_CAP_BIT(TERN_CAP_IO) |  \
	 TERN_CAP_BIT(TERN_CAP_NETWORK) | TERN_CAP_BIT(TERN_CAP_FILESYSTEM) |                      \
	 TERN_CAP_BIT(TERN_CAP_OWN_PRIORITY) | TERN_CAP_BIT(TERN_CAP_AFFINITY) |                   \
	 TERN_CAP_BIT(TERN_CAP_NICE) | TERN_CAP_BIT(TERN_CAP_SIGNAL) |                             \
	 TERN_CAP_BIT(TERN_CAP_SHARED_MEMORY) | TERN_CAP_BIT(TERN_CAP_MESSAGE_QUEUE) |             \
	 TERN_CAP_BIT(TERN_CAP_SEMAPHORE) | TERN_CAP_BIT(TERN_CAP_CREATE_TASK) |                   \
	 TERN_CAP_BIT(TERN_CAP_DEBUG) | TERN_CAP_BIT(TERN_CAP_PROC_ACCESS))

struct capability_set {
	uint64_t own, compat;
};
static_assert(sizeof(struct capability_set) == 16);

/* What a task may: part of its credentials, guarded as they are. Always (capabilities_check()): effective
 * lies in permitted, ambient in permitted and inheritable, the word `own` of all in bounding's. */
struct capabilities {
	struct capability_set effective, permitted, inheritable, bounding, ambient;
	uint8_t secure; /* SECURE_* */
};

/* prctl(PR_SET_SECUREBITS); each has a lock one bit above. */
#define SECURE_NO_ROOT 0x01u
#define SECURE_NO_SETUID_FIXUP 0x04u
#define SECURE_KEEP_CAPS 0x10u
#define SECURE_NO_AMBIENT_RAISE 0x40u
#define SECURE_LOCKS 0xaau
#define SECURE_ALL 0xffu

static inline bool capability_set_has(const struct capability_set *s, enum tern_capability c,
				      enum linux_capability l)
{
	return s->own >> c & s->compat >> l & 1;
}

/* ---- capability.c: names and the map ---- */

const char *capability_name(enum tern_capability c);
/* Linux's capabilities without which the superuser's `c` is not had; 0: everybody has it. */
uint64_t capability_linux_of(enum tern_capability c);
/* The own capabilities that come with Linux's `compat`. */
uint64_t capability_grants(uint64_t compat);
/* Linux's capabilities of which `own` leaves something. */
uint64_t capability_alive(uint64_t own);

/* ---- change.c: how they change; pure, the caller holds the lock ---- */

struct user_ids_change {
	uint32_t uid, euid, suid;
};

/* Of the kernel and of program 1. */
#define CAPABILITIES_ROOT                                                                          \
	{                                                                                          \
		.effective = {CAPABILITY_ALL, LINUX_CAP_ALL},                                      \
		.permitted = {CAPABILITY_ALL, LINUX_CAP_ALL}, .inheritable = {CAPABILITY_ALL, 0},  \
		.bounding = {                                                                      \
			CAPABILITY_ALL,                                                            \
			LINUX_CAP_ALL                                                              \
		}                                                                                  \
	}

/* After setuid(2) and its like. */
void capabilities_ids_changed(struct capabilities *c, const struct user_ids_change *old,
			      const struct user_ids_change *now);
void capabilities_fsuid_changed(struct capabilities *c, uint32_t old, uint32_t now);
/* A new program with these ids. set_id: they are another's by the file's mode bits; bound: no new
 * privileges (prctl). */
void capabilities_exec(struct capabilities *c, uint32_t uid, uint32_t euid, bool set_id,
		       bool bound);
/* capset(2): Linux's words. False: not allowed, nothing changed. */
bool capabilities_set(struct capabilities *c, uint64_t effective, uint64_t permitted,
		      uint64_t inheritable);
void capabilities_bound_drop(struct capabilities *c, enum linux_capability l);
/* PR_CAP_AMBIENT_RAISE, _LOWER. False: not allowed. */
bool capabilities_ambient(struct capabilities *c, enum linux_capability l, bool raise);
void capabilities_ambient_clear(struct capabilities *c);
/* Nothing but `own` is left in any set, for good. */
void capabilities_restrict(struct capabilities *c, uint64_t own);
/* Which of the permitted are in effect, and which go on to new programs. */
void capabilities_set_effective(struct capabilities *c, uint64_t own);
void capabilities_set_inheritable(struct capabilities *c, uint64_t own);
/* More of what bounding allows becomes permitted and effective, with those of Linux's `compat` that the
 * giver has. */
void capabilities_grant(struct capabilities *c, uint64_t own, uint64_t compat);
/* access(2): the effective set as if the real user asked. */
struct capability_set capabilities_of_real(const struct capabilities *c, uint32_t uid);
bool capabilities_check(const struct capabilities *c);
