/* The system as a whole: names, memory figures, log, random numbers, power. */
#include "gate.h"
#include <core/log.h>
#include <core/random.h>
#include <core/time.h>
#include <exec/domain.h>
#include <fs/proc.h>
#include <lib/string.h>
#include <mm/frame.h>
#include <mm/heap.h>

/* ---- names ---- */

struct user_utsname {
	char system[65], node[65], release[65], version[65], machine[65], domain[65];
};

/* What programs that ask for a Linux version must see to believe in the calls there are. */
#define RELEASE "6.1.0-tern"

SYSCALL(uname)
{
	struct user_utsname u = {.system = "Linux", .release = RELEASE, .version = "#1 SMP Tern"};

	host_name_get(u.node);
	domain_name_get(u.domain);
	strlcpy(u.machine, hal.user.info()->machine, sizeof(u.machine));
	return user_write(a0, &u, sizeof(u));
}

static long set_name(vaddr_t from, unsigned long length, void (*set)(const char *, size_t))
{
	char name[64];

	if (!process_capable(TERN_CAP_CONFIGURE_KERNEL, LINUX_CAP_SYS_ADMIN))
		return KERR_PERM;
	if (length > sizeof(name))
		return KERR_INVAL;
	enum kerr err = user_read(name, from, length);
	if (err == KERR_OK)
		set(name, length);
	return err;
}

SYSCALL(sethostname)
{
	return set_name(a0, (unsigned long)(long)(int)a1, host_name_set);
}

SYSCALL(setdomainname)
{
	return set_name(a0, (unsigned long)(long)(int)a1, domain_name_set);
}

SYSCALL(personality)
{
	struct process *p = current_process();
	uint32_t old = p->personality;

	if ((uint32_t)a0 != UINT32_MAX)
		p->personality = (uint32_t)a0;
	return old;
}

/* ---- figures ---- */

SYSCALL(sysinfo)
{
	struct {
		int64_t uptime;
		uint64_t loads[3], total, free, shared, buffers, swap, swap_free;
		uint16_t processes, pad;
		uint64_t high, high_free;
		uint32_t unit;
	} info = {.unit = 1};
	struct frame_totals frames = frame_totals();
	struct exec_figures figures;

	exec_figures(&figures);
	info.uptime = (int64_t)(time_now() / NSEC_PER_SEC);
	for (int i = 0; i < 3; i++)
		info.loads[i] = figures.load[i] << 5; /* 11 to 16 bits after the point */
	info.total = frames.total * PAGE_SIZE;
	info.free = frames.free * PAGE_SIZE;
	info.processes = (uint16_t)figures.threads;
	return user_write(a0, &info, 112);
}

/* ---- random numbers ---- */

#define GRND_KNOWN 7ul

SYSCALL(getrandom)
{
	uint8_t chunk[256];
	size_t size = MIN(a1, (size_t)INT32_MAX), done = 0;

	if (a2 & ~GRND_KNOWN)
		return KERR_INVAL;
	if (!user_range_ok(a0, size))
		return KERR_FAULT;
	while (done < size) {
		size_t n = MIN(size - done, sizeof(chunk));
		random_bytes(chunk, n);
		enum kerr err = user_write(a0 + done, chunk, n);
		if (err != KERR_OK)
			return done ? (long)done : err;
		done += n;
	}
	return (long)done;
}

/* ---- the log: syslog(2) ---- */

enum {
	SYSLOG_CLOSE,
	SYSLOG_OPEN,
	SYSLOG_READ,
	SYSLOG_READ_ALL,
	SYSLOG_READ_CLEAR,
	SYSLOG_CLEAR,
	SYSLOG_CONSOLE_OFF,
	SYSLOG_CONSOLE_ON,
	SYSLOG_CONSOLE_LEVEL,
	SYSLOG_SIZE_UNREAD,
	SYSLOG_SIZE_BUFFER,
};

static _Atomic uint64_t log_cleared_to; /* records before it are not shown */

/* The last `size` bytes of the log, whole lines. */
static long log_copy(vaddr_t to, size_t size, bool clear)
{
	char line[300];
	uint64_t first = MAX(log_cleared_to, log_first_seq()), end = log_next_seq();
	size_t total = 0, done = 0, n;

	for (uint64_t seq = first; seq < end && (n = log_read(&seq, line, sizeof(line), true));)
		total += n;
	for (uint64_t seq = first; seq < end && (n = log_read(&seq, line, sizeof(line), true));) {
		if (total > size) {
			total -= n; /* does not fit: the oldest go */
			continue;
		}
		n = MIN(n, size - done);
		enum kerr err = user_write(to + done, line, n);
		if (err != KERR_OK)
			return err;
		done += n;
	}
	if (clear)
		log_cleared_to = end;
	return (long)done;
}

SYSCALL(syslog)
{
	int size = (int)a2;

	if ((int)a0 != SYSLOG_READ_ALL && (int)a0 != SYSLOG_SIZE_BUFFER &&
	    !process_capable(TERN_CAP_TRACE, LINUX_CAP_SYSLOG))
		return KERR_PERM;
	switch ((int)a0) {
	case SYSLOG_CLOSE:
	case SYSLOG_OPEN:
		return KERR_OK;
	case SYSLOG_READ:
	case SYSLOG_READ_ALL:
	case SYSLOG_READ_CLEAR:
		if (!a1 || size < 0)
			return KERR_INVAL;
		return log_copy(a1, (size_t)size, (int)a0 == SYSLOG_READ_CLEAR);
	case SYSLOG_CLEAR:
		log_cleared_to = log_next_seq();
		return KERR_OK;
	case SYSLOG_CONSOLE_OFF:
		log_set_console_level(LOG_ALERT);
		return KERR_OK;
	case SYSLOG_CONSOLE_ON:
		log_set_console_level(LOG_DEBUG);
		return KERR_OK;
	case SYSLOG_CONSOLE_LEVEL:
		if (size < 1 || size > 8)
			return KERR_INVAL;
		log_set_console_level((enum log_level)MIN(size, LOG_DEBUG));
		return KERR_OK;
	case SYSLOG_SIZE_UNREAD:
		return 0;
	case SYSLOG_SIZE_BUFFER:
		return (long)log_buffer_size();
	default:
		return KERR_INVAL;
	}
}

/* ---- power: reboot(2) ---- */

#define REBOOT_MAGIC1 0xfee1deadu
#define REBOOT_RESTART 0x01234567u
#define REBOOT_HALT 0xcdef0123u
#define REBOOT_CAD_ON 0x89abcdefu
#define REBOOT_CAD_OFF 0u
#define REBOOT_POWER_OFF 0x4321fedcu
#define REBOOT_RESTART2 0xa1b2c3d4u

static bool magic2(uint32_t v)
{
	return v == 672274793 || v == 85072278 || v == 369367448 || v == 537993216;
}

static bool may_do(uint32_t what)
{
	if (what == REBOOT_RESTART || what == REBOOT_RESTART2)
		return process_capable(TERN_CAP_REBOOT, LINUX_CAP_SYS_BOOT);
	if (what == REBOOT_POWER_OFF || what == REBOOT_HALT)
		return process_capable(TERN_CAP_SHUTDOWN, LINUX_CAP_SYS_BOOT);
	return true;
}

SYSCALL(reboot)
{
	if (!process_has_privilege(TERN_CAP_SHUTDOWN, LINUX_CAP_SYS_BOOT) &&
	    !process_capable(TERN_CAP_REBOOT, LINUX_CAP_SYS_BOOT))
		return KERR_PERM;
	if ((uint32_t)a0 != REBOOT_MAGIC1 || !magic2((uint32_t)a1))
		return KERR_INVAL;
	if (!may_do((uint32_t)a2))
		return KERR_PERM;
	switch ((uint32_t)a2) {
	case REBOOT_CAD_ON:
	case REBOOT_CAD_OFF:
		return KERR_OK;
	case REBOOT_POWER_OFF:
		log_info("power off");
		kernel_power_off(proc_exit_status());
	case REBOOT_HALT:
		log_info("halted");
		hal.smp.stop_others();
		hal.platform.power(HAL_POWER_HALT, 0);
	case REBOOT_RESTART:
	case REBOOT_RESTART2:
		log_info("restarting");
		hal.platform.power(HAL_POWER_REBOOT, 0);
	default:
		return KERR_INVAL;
	}
}
