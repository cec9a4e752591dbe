/*
 * Each of the 44 capabilities, row by row: an operation that it guards, tried with everything and with
 * everything but this one. Each try is a child of its own. What a refusal costs the row says: the
 * error, and a count in /sys/kernel/security/capabilities that has grown (but for two that only choose between
 * limits or rules).
 *
 * Then what the sets themselves promise: what is gone is gone, over fork, exec and set-user-id files; and
 * what others give and take.
 */
#define _GNU_SOURCE
#include "tap.h"

#include "domaincall.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#define PAGE 4096

static char *self;

/* ---- Operations: 0 or the error ---- */

static int result(long value)
{
	return value < 0 ? errno : 0;
}

static int opened(const char *path, int flags)
{
	int fd = open(path, flags, 0600), err = result(fd);

	close(fd);
	return err;
}

static int written(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), err;

	if (fd < 0)
		return errno;
	err = result(write(fd, text, strlen(text)));
	close(fd);
	return err;
}

static int policy(int which, int priority)
{
	struct sched_param p = {.sched_priority = priority};

	return result(syscall(SYS_sched_setscheduler, 0, which, &p));
}

static int cpu(void)
{
	return policy(SCHED_BATCH, 0);
}

/* The call itself: a C library may have an error of its own. */
static int mapped(int flags)
{
	return result(syscall(SYS_mmap, NULL, PAGE, PROT_READ, flags | MAP_ANONYMOUS, -1, 0));
}

static int memory(void)
{
	return mapped(MAP_PRIVATE);
}

static int io(void)
{
	return opened("/dev/console", O_WRONLY | O_NOCTTY);
}

static int network(void)
{
	return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int filesystem(void)
{
	return opened("/", O_RDONLY);
}

static int devices(void)
{
	unlink("/tmp/capabilities-null");
	return result(mknod("/tmp/capabilities-null", S_IFCHR | 0600, makedev(1, 3)));
}

static int physical(void)
{
	return opened("/dev/mem", O_RDONLY);
}

static int any_priority(void)
{
	return result(setpriority(PRIO_PROCESS, 0, -5));
}

static int affinity(void)
{
	uint64_t all = ~0ull;

	return result(syscall(SYS_sched_setaffinity, 0, sizeof(all), &all));
}

static int real_time(void)
{
	return policy(SCHED_FIFO, 5);
}

static int reservation(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} a = {.size = 48,
	       .policy = 6,
	       .runtime = 1000000,
	       .deadline = 5000000,
	       .period = 10000000};

	return result(syscall(SYS_sched_setattr, 0, &a, 0));
}

static int nicer(void)
{
	return result(setpriority(PRIO_PROCESS, 0, 5));
}

static int signals(void)
{
	return result(kill(getppid(), 0));
}

static int shared(void)
{
	return mapped(MAP_SHARED);
}

static int queue(void)
{
	return result(syscall(SYS_mq_open, "/q", O_RDWR, 0, NULL));
}

static int semaphore(void)
{
	return result(syscall(SYS_eventfd2, 0, 0));
}

/* A message in another's name. */
static int any_ipc(void)
{
	int p[2];
	struct ucred who = {.pid = 1};
	char control[CMSG_SPACE(sizeof(who))] __attribute__((aligned(8))) = {}, byte = 1;
	struct iovec part = {&byte, 1};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, p))
		return errno;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = 2; /* SCM_CREDENTIALS */
	c->cmsg_len = CMSG_LEN(sizeof(who));
	memcpy(CMSG_DATA(c), &who, sizeof(who));
	return result(sendmsg(p[0], &m, 0));
}

static int create_task(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static pid_t others; /* a process of another user */

static void prepare_other(void)
{
	others = fork();
	if (others == 0) {
		if (setresuid(1000, 1000, 1000))
			_exit(1);
		for (;;)
			pause();
	}
	sleep_ms(20);
}

static int kill_other(void)
{
	int err = result(kill(others, SIGTERM));

	syscall(SYS_kill, others, SIGKILL);
	return err;
}

static int debug(void)
{
	char path[32], link[64];

	snprintf(path, sizeof(path), "/proc/%d/cwd", getppid());
	return opened("/proc/1/environ", O_RDONLY) ?: result(readlink(path, link, sizeof(link)));
}

static int trace(void)
{
	return result(syscall(SYS_syslog, 7, NULL, 0));
}

static int proc_access(void)
{
	struct stat s;

	return result(stat("/proc/1", &s));
}

static int mounting(void)
{
	mkdir("/tmp/capabilities-mount", 0700);
	int err = result(mount("none", "/tmp/capabilities-mount", "tmpfs", 0, NULL));
	if (!err)
		umount("/tmp/capabilities-mount");
	return err;
}

static int load_module(void)
{
	return result(syscall(SYS_init_module, "nothing", 10, ""));
}

static struct tern_domain wish(void)
{
	return (struct tern_domain){.execution = TERN_EXECUTION_SANDBOX,
				    .kind = TERN_SECURITY_SANDBOX,
				    .isolation = TERN_ISOLATION_STRICT,
				    .capabilities = TERN_CAP_BIT(TERN_CAP_COUNT) - 1};
}

static void prepare_domain(void)
{
	struct tern_domain d = wish();

	domain_call(&d, TERN_DOMAIN_CREATE, "capabilities-test");
}

static void forget_domain(void)
{
	struct tern_domain d = {};

	domain_call(&d, TERN_DOMAIN_DELETE, "capabilities-test");
}

static int create_domain(void)
{
	struct tern_domain d = wish();

	return result(domain_call(&d, TERN_DOMAIN_CREATE, "capabilities-test"));
}

static int delete_domain(void)
{
	struct tern_domain d = {};

	return result(domain_call(&d, TERN_DOMAIN_DELETE, "capabilities-test"));
}

static int modify_domain(void)
{
	struct tern_domain d = wish();

	return result(domain_call(&d, TERN_DOMAIN_MODIFY, "capabilities-test"));
}

static int grant(void)
{
	return result(domain_capabilities(TERN_DOMAIN_GRANT, getppid(), 0));
}

static int take(void)
{
	return result(domain_capabilities(TERN_DOMAIN_REVOKE, getppid(), 0));
}

static void prepare_paranoid(void)
{
	struct tern_domain d = wish();

	d.isolation = TERN_ISOLATION_PARANOID;
	domain_call(&d, TERN_DOMAIN_CREATE, "capabilities-test");
	domain_enter("capabilities-test");
}

static int bypass(void)
{
	return opened("/tmp/capabilities-file", O_WRONLY | O_CREAT);
}

static int audit(void)
{
	return written("/sys/kernel/security/audit", "0");
}

static int powered_off(void)
{
	return result(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc, NULL));
}

static int rebooted(void)
{
	return result(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x01234567, NULL));
}

static int configure(void)
{
	char name[65];

	gethostname(name, sizeof(name));
	int err = result(sethostname(name, strlen(name)));
	return err ?: written("/proc/sys/kernel/randomize_va_space", "2");
}

static int limits(void)
{
	struct rlimit l = {10, 10};

	return result(setrlimit(RLIMIT_NICE, &l));
}

static int set_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return result(clock_settime(CLOCK_REALTIME, &t));
}

static void prepare_file(void)
{
	close(open("/tmp/capabilities-other", O_CREAT | O_WRONLY, 0));
	if (chown("/tmp/capabilities-other", 1000, 1000) || chmod("/tmp/capabilities-other", 0))
		_exit(99);
}

static int override(void)
{
	return opened("/tmp/capabilities-other", O_RDWR);
}

static int owner(void)
{
	return result(chmod("/tmp/capabilities-other", 0))
		       ?: result(chown("/tmp/capabilities-other", 1001, 1001));
}

static int identity(void)
{
	return result(syscall(SYS_setresuid, 1234, 1234, 1234));
}

static int network_admin(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), size = 100000;

	return result(setsockopt(fd, SOL_SOCKET, 33 /* SO_RCVBUFFORCE */, &size, sizeof(size)));
}

static void prepare_locks(void)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_MEMLOCK, &none);
}

static int lock_memory(void)
{
	return result(mlock(&self, 8));
}

static int hot_swap(void)
{
	char name[32] = {};
	int fd = open("/sys/kernel/sched/policy", O_RDONLY);

	if (read(fd, name, sizeof(name) - 1) < 1)
		return errno;
	close(fd);
	return written("/sys/kernel/sched/policy", name);
}

/* ---- The table ---- */

#define NOT_TRIED -1 /* with the capability it would end the machine */

static const struct row {
	const char *name;
	int (*try)(void); /* null: nothing in the kernel asks for it yet */
	int without, with; /* errors */
	void (*prepare)(void), (*after)(void);
} rows[TERN_CAP_COUNT] = {
	[TERN_CAP_CPU] = {.name = "cpu", .try = cpu, .without = EPERM},
	[TERN_CAP_MEMORY] = {.name = "memory", .try = memory, .without = EPERM},
	[TERN_CAP_IO] = {.name = "io", .try = io, .without = EPERM},
	[TERN_CAP_NETWORK] = {.name = "network", .try = network, .without = EPERM},
	[TERN_CAP_FILESYSTEM] = {.name = "filesystem", .try = filesystem, .without = EPERM},
	[TERN_CAP_DEVICES] = {.name = "devices", .try = devices, .without = EPERM},
	[TERN_CAP_DMA] = {.name = "dma"},
	[TERN_CAP_PHYSICAL_MEMORY] = {.name = "physical_memory", .try = physical, .without = EPERM},
	[TERN_CAP_OWN_PRIORITY] = {.name = "own_priority", .try = cpu, .without = EPERM},
	[TERN_CAP_ANY_PRIORITY] = {.name = "any_priority", .try = any_priority, .without = EACCES},
	[TERN_CAP_AFFINITY] = {.name = "affinity", .try = affinity, .without = EPERM},
	[TERN_CAP_REAL_TIME] = {.name = "real_time", .try = real_time, .without = EPERM},
	[TERN_CAP_BYPASS_SCHEDULER] = {.name = "bypass_scheduler",
				       .try = reservation,
				       .without = EPERM,
				       .with = EBUSY},
	[TERN_CAP_NICE] = {.name = "nice", .try = nicer, .without = EPERM},
	[TERN_CAP_SIGNAL] = {.name = "signal", .try = signals, .without = EPERM},
	[TERN_CAP_SHARED_MEMORY] = {.name = "shared_memory", .try = shared, .without = EPERM},
	[TERN_CAP_MESSAGE_QUEUE] = {.name = "message_queue",
				    .try = queue,
				    .without = EPERM,
				    .with = ENOSYS},
	[TERN_CAP_SEMAPHORE] = {.name = "semaphore", .try = semaphore, .without = EPERM},
	[TERN_CAP_ANY_IPC] = {.name = "any_ipc", .try = any_ipc, .without = EPERM},
	[TERN_CAP_CREATE_TASK] = {.name = "create_task", .try = create_task, .without = EPERM},
	[TERN_CAP_KILL] = {.name = "kill",
			   .try = kill_other,
			   .without = EPERM,
			   .prepare = prepare_other},
	[TERN_CAP_DEBUG] = {.name = "debug", .try = debug, .without = EACCES},
	[TERN_CAP_TRACE] = {.name = "trace", .try = trace, .without = EPERM},
	[TERN_CAP_PROC_ACCESS] = {.name = "proc_access", .try = proc_access, .without = ENOENT},
	[TERN_CAP_MOUNT] = {.name = "mount", .try = mounting, .without = EPERM},
	[TERN_CAP_LOAD_MODULE] = {.name = "load_module",
				  .try = load_module,
				  .without = EPERM,
				  .with = ENOEXEC},
	[TERN_CAP_CREATE_DOMAIN] = {.name = "create_domain",
				    .try = create_domain,
				    .without = EPERM,
				    .after = forget_domain},
	[TERN_CAP_DELETE_DOMAIN] = {.name = "delete_domain",
				    .try = delete_domain,
				    .without = EPERM,
				    .prepare = prepare_domain,
				    .after = forget_domain},
	[TERN_CAP_MODIFY_DOMAIN] = {.name = "modify_domain",
				    .try = modify_domain,
				    .without = EPERM,
				    .prepare = prepare_domain,
				    .after = forget_domain},
	[TERN_CAP_GRANT] = {.name = "grant", .try = grant, .without = EPERM},
	[TERN_CAP_REVOKE] = {.name = "revoke", .try = take, .without = EPERM},
	[TERN_CAP_BYPASS_SECURITY] = {.name = "bypass_security",
				      .try = bypass,
				      .without = EROFS,
				      .prepare = prepare_paranoid,
				      .after = forget_domain},
	[TERN_CAP_AUDIT] = {.name = "audit", .try = audit, .without = EPERM},
	[TERN_CAP_SHUTDOWN] = {.name = "shutdown",
			       .try = powered_off,
			       .without = EPERM,
			       .with = NOT_TRIED},
	[TERN_CAP_REBOOT] = {.name = "reboot",
			     .try = rebooted,
			     .without = EPERM,
			     .with = NOT_TRIED},
	[TERN_CAP_CONFIGURE_KERNEL] = {.name = "configure_kernel",
				       .try = configure,
				       .without = EPERM},
	[TERN_CAP_RESOURCE_ADMIN] = {.name = "resource_admin", .try = limits, .without = EPERM},
	[TERN_CAP_TIME_ADMIN] = {.name = "time_admin", .try = set_clock, .without = EPERM},
	[TERN_CAP_FILE_OVERRIDE] = {.name = "file_override",
				    .try = override,
				    .without = EACCES,
				    .prepare = prepare_file},
	[TERN_CAP_FILE_OWNER] = {.name = "file_owner",
				 .try = owner,
				 .without = EPERM,
				 .prepare = prepare_file},
	[TERN_CAP_IDENTITY] = {.name = "identity", .try = identity, .without = EPERM},
	[TERN_CAP_NETWORK_ADMIN] = {.name = "network_admin",
				    .try = network_admin,
				    .without = EPERM},
	[TERN_CAP_LOCK_MEMORY] = {.name = "lock_memory",
				  .try = lock_memory,
				  .without = EPERM,
				  .prepare = prepare_locks},
	[TERN_CAP_HOT_SWAP] = {.name = "hot_swap", .try = hot_swap, .without = EPERM},
};

/* The line of a capability in /sys/kernel/security/capabilities: its name agrees, *count is what was denied. */
static bool figures(unsigned c, long *count)
{
	char line[128], name[32];
	unsigned number, found = 0;
	unsigned long linux_mask;
	FILE *f = fopen("/sys/kernel/security/capabilities", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%u %31s %lx %ld", &number, name, &linux_mask, count) == 4 &&
		    number == c && strcmp(name, rows[c].name) == 0) {
			found = 1;
			break;
		}
	if (f)
		fclose(f);
	return found;
}

static int attempt(const struct row *r, uint64_t drop)
{
	if (r->prepare)
		r->prepare();
	if (drop && capability_drop(drop))
		_exit(98);
	_exit(r->try());
}

static void every_one(void)
{
	for (unsigned c = 0; c < TERN_CAP_COUNT; c++) {
		const struct row *r = &rows[c];
		uint64_t bit = TERN_CAP_BIT(c);
		long before = 0, later = 0;

		if (r->try && r->with != NOT_TRIED) {
			int got = in_child(attempt(r, 0));
			check(got == r->with, "with %s: %d", r->name, got);
			if (r->after)
				r->after();
		}
		check(figures(c, &before), "%s is listed", r->name);
		if (r->try) {
			int got = in_child(attempt(r, bit));
			check(got == r->without, "without %s: %d", r->name, got);
			figures(c, &later);
			bool quiet = c == TERN_CAP_BYPASS_SECURITY || c == TERN_CAP_LOCK_MEMORY;
			check(quiet || later > before, "its refusal is counted: %s", r->name);
			if (r->after)
				r->after();
		}
		check(in_child(capability_drop(bit); struct tern_domain d = domain_of(0);
			       _exit(!!((d.effective | d.permitted | d.inheritable | d.bounding) &
					bit) +
				     2 * (d.permitted !=
					  (TERN_CAP_BIT(TERN_CAP_COUNT) - 1 - bit)))) == 0,
		      "%s alone leaves all sets", r->name);
	}
	unlink("/tmp/capabilities-null");
	unlink("/tmp/capabilities-file");
	unlink("/tmp/capabilities-other");
}

/* ---- The sets ---- */

#define MOUNT TERN_CAP_BIT(TERN_CAP_MOUNT)
#define NETWORK TERN_CAP_BIT(TERN_CAP_NETWORK)

/* As another program: 0 if this process lacks what `argument` names. */
static int lacks(const char *argument)
{
	struct tern_domain d = domain_of(0);
	uint64_t bits = strtoull(argument, NULL, 16);

	return ((d.effective | d.permitted | d.bounding) & bits) != 0;
}

static int execute_lacks(uint64_t bits)
{
	char text[20];

	snprintf(text, sizeof(text), "%lx", (unsigned long)bits);
	execl(self, self, "lacks", text, NULL);
	return 97;
}

static void set_operations(void)
{
	struct tern_domain d = domain_of(0);
	uint64_t all = TERN_CAP_BIT(TERN_CAP_COUNT) - 1;

	check(d.effective == all && d.permitted == all && d.bounding == all && d.inheritable == all,
	      "the superuser has all");
	check(in_child(_exit(domain_capabilities(TERN_DOMAIN_EFFECTIVE, 0, all & ~MOUNT) ||
			     mounting() != EPERM ||
			     domain_capabilities(TERN_DOMAIN_EFFECTIVE, 0, all) || mounting())) ==
		      0,
	      "what is not in effect may be again");
	check(in_child(_exit(capability_drop(MOUNT) ||
			     domain_capabilities(TERN_DOMAIN_EFFECTIVE, 0, all) != -1 ||
			     errno != EPERM)) == 0,
	      "what is dropped may not");
	check(in_child(_exit(capability_drop(MOUNT) || in_child(_exit(mounting())) != EPERM ||
			     in_child(_exit(execute_lacks(MOUNT))))) == 0,
	      "it stays away over fork and exec");
	check(in_child(_exit(capability_drop(NETWORK) || in_child(_exit(network())) != EPERM ||
			     in_child(_exit(execute_lacks(NETWORK))))) == 0,
	      "so does one of those that everybody has");
	check(in_child(_exit(domain_capabilities(TERN_DOMAIN_INHERITABLE, 0, all & ~MOUNT) ||
			     mounting() || execute_lacks(MOUNT))) == 0,
	      "what is not inheritable does not reach the next program");
	check(in_child(_exit(domain_capabilities(TERN_DOMAIN_DROP, 0, all + 1) != -1 ||
			     errno != EINVAL)) == 0,
	      "no 45th");
	check(in_child(capability_drop(TERN_CAP_BIT(TERN_CAP_CPU));
		       _exit(syscall(SYS_sched_getscheduler, 0) != SCHED_IDLE)) == 0,
	      "without cpu it idles");
}

/* A set-user-id file gives what Linux gives, as far as bounding goes. */
static void set_user_id(void)
{
	char copy[] = "/tmp/capabilities-setuid", text[8192];
	int from = open(self, O_RDONLY), to = open(copy, O_CREAT | O_WRONLY | O_TRUNC, 0755);
	ssize_t n;

	while ((n = read(from, text, sizeof(text))) > 0)
		if (write(to, text, (size_t)n) != n)
			break;
	close(from);
	close(to);
	check(chmod(copy, 04755) == 0, "a set-user-id program");
	char *saved = self;
	self = copy;
	check(in_child(_exit(setresuid(1000, 1000, 1000) || execute_lacks(MOUNT))) == 1,
	      "gives a user what root has");
	check(in_child(_exit(capability_drop(MOUNT | NETWORK) || setresuid(1000, 1000, 1000) ||
			     execute_lacks(MOUNT | NETWORK))) == 0,
	      "but not what was dropped");
	check(in_child(_exit(domain_enter("sandbox") || setresuid(1000, 1000, 1000) != -1)) == 0,
	      "in a sandbox nobody changes users");
	check(in_child(_exit(setresuid(1000, 1000, 1000) || domain_enter("user") ||
			     execute_lacks(MOUNT))) == 0,
	      "nor what the domain has not");
	self = saved;
	unlink(copy);
}

static void giving(void)
{
	int p[2];
	char byte;

	if (pipe(p))
		return;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		close(p[1]);
		if (setresuid(1000, 1000, 1000) || read(p[0], &byte, 1) != 1)
			_exit(90);
		int first = mounting();
		if (read(p[0], &byte, 1) != 1)
			_exit(91);
		_exit(first ? 1 : mounting() == EPERM ? 0 : 2);
	}
	close(p[0]);
	sleep_ms(20);
	check(in_child(_exit(capability_drop(MOUNT) ||
			     domain_capabilities(TERN_DOMAIN_GRANT, child, MOUNT) != -1 ||
			     errno != EPERM)) == 0,
	      "nobody grants what it has not");
	check(domain_capabilities(TERN_DOMAIN_GRANT, child, MOUNT) == 0, "mount is granted");
	struct tern_domain d = domain_of(child);
	check((d.effective & MOUNT) && !(d.effective & TERN_CAP_BIT(TERN_CAP_CONFIGURE_KERNEL)),
	      "and nothing with it");
	check(write(p[1], "x", 1) == 1, "the user mounts");
	sleep_ms(50);
	check(domain_capabilities(TERN_DOMAIN_REVOKE, child, MOUNT) == 0, "mount is revoked");
	check(write(p[1], "x", 1) == 1, "the user tries again");
	check(status_of(child) == 0, "it mounted with, and not without");
	close(p[1]);
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc == 3 && strcmp(argv[1], "lacks") == 0)
		return lacks(argv[2]);
	every_one();
	set_operations();
	set_user_id();
	giving();
	return tap_end();
}
