/*
 * The names of the capabilities, and which of the 44 come with which of Linux's 41.
 *
 * One table says it: a row for each of Linux's, with the own ones that it brings. Those in
 * CAPABILITY_BASE come with none: every program has them. The reverse maps are computed from the
 * table, so that there is one place to change. Rejected: a map of one to one (Linux knows no
 * domains, no intents and no hot swap; SYS_ADMIN is all sorts of things), and sets of 44 alone (a
 * program that keeps CAP_CHOWN must not get CAP_FOWNER with it, and must read back what it set).
 */
#include <lib/compiler.h>
#include <security/capability.h>

static const char *const names[TERN_CAP_COUNT] = {
	[TERN_CAP_CPU] = "cpu",
	[TERN_CAP_MEMORY] = "memory",
	[TERN_CAP_IO] = "io",
	[TERN_CAP_NETWORK] = "network",
	[TERN_CAP_FILESYSTEM] = "filesystem",
	[TERN_CAP_DEVICES] = "devices",
	[TERN_CAP_DMA] = "dma",
	[TERN_CAP_PHYSICAL_MEMORY] = "physical_memory",
	[TERN_CAP_OWN_PRIORITY] = "own_priority",
	[TERN_CAP_ANY_PRIORITY] = "any_priority",
	[TERN_CAP_AFFINITY] = "affinity",
	[TERN_CAP_REAL_TIME] = "real_time",
	[TERN_CAP_BYPASS_SCHEDULER] = "bypass_scheduler",
	[TERN_CAP_NICE] = "nice",
	[TERN_CAP_SIGNAL] = "signal",
	[TERN_CAP_SHARED_MEMORY] = "shared_memory",
	[TERN_CAP_MESSAGE_QUEUE] = "message_queue",
	[TERN_CAP_SEMAPHORE] = "semaphore",
	[TERN_CAP_ANY_IPC] = "any_ipc",
	[TERN_CAP_CREATE_TASK] = "create_task",
	[TERN_CAP_KILL] = "kill",
	[TERN_CAP_DEBUG] = "debug",
	[TERN_CAP_TRACE] = "trace",
	[TERN_CAP_PROC_ACCESS] = "proc_access",
	[TERN_CAP_MOUNT] = "mount",
	[TERN_CAP_LOAD_MODULE] = "load_module",
	[TERN_CAP_CREATE_DOMAIN] = "create_domain",
	[TERN_CAP_DELETE_DOMAIN] = "delete_domain",
	[TERN_CAP_MODIFY_DOMAIN] = "modify_domain",
	[TERN_CAP_GRANT] = "grant",
	[TERN_CAP_REVOKE] = "revoke",
	[TERN_CAP_BYPASS_SECURITY] = "bypass_security",
	[TERN_CAP_AUDIT] = "audit",
	[TERN_CAP_SHUTDOWN] = "shutdown",
	[TERN_CAP_REBOOT] = "reboot",
	[TERN_CAP_CONFIGURE_KERNEL] = "configure_kernel",
	[TERN_CAP_RESOURCE_ADMIN] = "resource_admin",
	[TERN_CAP_TIME_ADMIN] = "time_admin",
	[TERN_CAP_FILE_OVERRIDE] = "file_override",
	[TERN_CAP_FILE_OWNER] = "file_owner",
	[TERN_CAP_IDENTITY] = "identity",
	[TERN_CAP_NETWORK_ADMIN] = "network_admin",
	[TERN_CAP_LOCK_MEMORY] = "lock_memory",
	[TERN_CAP_HOT_SWAP] = "hot_swap",
};

#define B(name) TERN_CAP_BIT(TERN_CAP_##name)
static const uint64_t grants[LINUX_CAP_COUNT] = {
	[LINUX_CAP_CHOWN] = B(FILE_OWNER),
	[LINUX_CAP_DAC_OVERRIDE] = B(FILE_OVERRIDE),
	[LINUX_CAP_DAC_READ_SEARCH] = B(FILE_OVERRIDE),
	[LINUX_CAP_FOWNER] = B(FILE_OWNER),
	[LINUX_CAP_FSETID] = B(FILE_OWNER),
	[LINUX_CAP_KILL] = B(KILL),
	[LINUX_CAP_SETGID] = B(IDENTITY),
	[LINUX_CAP_SETUID] = B(IDENTITY),
	[LINUX_CAP_SETPCAP] = B(GRANT) | B(REVOKE),
	[LINUX_CAP_LINUX_IMMUTABLE] = B(FILE_OWNER),
	[LINUX_CAP_NET_BIND_SERVICE] = B(NETWORK_ADMIN),
	[LINUX_CAP_NET_BROADCAST] = B(NETWORK_ADMIN),
	[LINUX_CAP_NET_ADMIN] = B(NETWORK_ADMIN),
	[LINUX_CAP_NET_RAW] = B(NETWORK_ADMIN),
	[LINUX_CAP_IPC_LOCK] = B(LOCK_MEMORY),
	[LINUX_CAP_IPC_OWNER] = B(ANY_IPC),
	[LINUX_CAP_SYS_MODULE] = B(LOAD_MODULE) | B(HOT_SWAP),
	[LINUX_CAP_SYS_RAWIO] = B(PHYSICAL_MEMORY) | B(DMA),
	[LINUX_CAP_SYS_CHROOT] = B(MOUNT),
	[LINUX_CAP_SYS_PTRACE] = B(TRACE),
	[LINUX_CAP_SYS_PACCT] = B(RESOURCE_ADMIN),
	[LINUX_CAP_SYS_ADMIN] = B(MOUNT) | B(CONFIGURE_KERNEL) | B(DEVICES) | B(ANY_IPC) |
				B(TRACE) | B(RESOURCE_ADMIN),
	[LINUX_CAP_SYS_BOOT] = B(SHUTDOWN) | B(REBOOT),
	[LINUX_CAP_SYS_NICE] = B(ANY_PRIORITY) | B(REAL_TIME) | B(BYPASS_SCHEDULER),
	[LINUX_CAP_SYS_RESOURCE] = B(RESOURCE_ADMIN),
	[LINUX_CAP_SYS_TIME] = B(TIME_ADMIN),
	[LINUX_CAP_SYS_TTY_CONFIG] = B(DEVICES),
	[LINUX_CAP_MKNOD] = B(DEVICES),
	[LINUX_CAP_LEASE] = B(FILE_OWNER),
	[LINUX_CAP_AUDIT_WRITE] = B(AUDIT),
	[LINUX_CAP_AUDIT_CONTROL] = B(AUDIT),
	[LINUX_CAP_SETFCAP] = B(GRANT),
	[LINUX_CAP_MAC_OVERRIDE] = B(BYPASS_SECURITY),
	[LINUX_CAP_MAC_ADMIN] = B(CREATE_DOMAIN) | B(DELETE_DOMAIN) | B(MODIFY_DOMAIN),
	[LINUX_CAP_SYSLOG] = B(TRACE),
	[LINUX_CAP_WAKE_ALARM] = B(TIME_ADMIN),
	[LINUX_CAP_BLOCK_SUSPEND] = B(SHUTDOWN),
	[LINUX_CAP_AUDIT_READ] = B(AUDIT),
	[LINUX_CAP_PERFMON] = B(TRACE),
	[LINUX_CAP_BPF] = B(TRACE),
	[LINUX_CAP_CHECKPOINT_RESTORE] = B(TRACE),
};
#undef B

const char *capability_name(enum tern_capability c)
{
	return c < TERN_CAP_COUNT ? names[c] : "?";
}

uint64_t capability_linux_of(enum tern_capability c)
{
	uint64_t compat = 0;

	for (unsigned l = 0; l < LINUX_CAP_COUNT; l++)
		if (grants[l] >> c & 1)
			compat |= (uint64_t)1 << l;
	return compat;
}

uint64_t capability_grants(uint64_t compat)
{
	uint64_t own = 0;

	if (compat == LINUX_CAP_ALL)
		return CAPABILITY_ALL & ~CAPABILITY_BASE;
	for (compat &= LINUX_CAP_ALL; compat; compat &= compat - 1)
		own |= grants[__builtin_ctzll(compat)];
	return own;
}

uint64_t capability_alive(uint64_t own)
{
	uint64_t compat = 0;

	if ((own | CAPABILITY_BASE) == CAPABILITY_ALL)
		return LINUX_CAP_ALL;
	for (unsigned l = 0; l < LINUX_CAP_COUNT; l++)
		if (grants[l] & own)
			compat |= (uint64_t)1 << l;
	return compat;
}
